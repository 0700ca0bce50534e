"""What pip installs: under a name of its own, beside the paper's original implementation."""

import json
import subprocess
import tomllib
import venv
from importlib.metadata import Distribution, distributions, version
from pathlib import Path

import h5py
import pytest
from small_models import deeplift, random_letters, score, torchscript, write_fasta

from deeplift_cli.distribution import DISTRIBUTION

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = "0.6.13.0"
OURS = {"deeplift_core", "deeplift_cli", "deeplift_references"}


def test_the_name_is_that_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    assert project["scripts"].keys() == {"deeplift"}


def test_every_place_gives_the_version_of_the_installed_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of earlier releases hold it by the same keys, so that their runs can be merged and compared."""
    monkeypatch.chdir(tmp_path)
    assert deeplift("--version").out == f"deeplift, version {version(DISTRIBUTION)}\n"
    write_fasta(Path("in.fa"), [random_letters(1)])
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", "--n-references", 1)
    with h5py.File("a.h5") as file:
        assert json.loads(file.attrs["versions"])["deeplift"] == version(DISTRIBUTION)
        assert json.loads(file.attrs["fingerprint"])["the version of deeplift"] == version(DISTRIBUTION)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The folder of packages of a new environment that has the original implementation."""
    venv.create(tmp_path / "venv", with_pip=True)
    done = _install(tmp_path / "venv", f"deeplift=={ORIGINAL}")
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()[::-1]), "pip failed")
        pytest.skip(f"no registry gives the original implementation: {reason}")
    return next((tmp_path / "venv").glob("lib/python*/site-packages"))


def _install(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [folder / "bin/python", "-I", "-m", "pip", "install", "--quiet", "--no-deps", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _files(distribution: Distribution) -> set[Path]:
    assert distribution.files
    return {Path(str(distribution.locate_file(file))).resolve() for file in distribution.files}


def test_both_implementations_are_installed_side_by_side(environment: Path) -> None:
    before = {found.metadata["Name"]: _files(found) for found in distributions(path=[str(environment)])}
    assert DISTRIBUTION not in before

    done = _install(environment.parents[2], str(ROOT))
    assert done.returncode == 0, done.stderr
    after = {found.metadata["Name"]: found for found in distributions(path=[str(environment)])}
    assert after["deeplift"].version == ORIGINAL
    assert after[DISTRIBUTION].version == version(DISTRIBUTION)
    assert _files(after["deeplift"]) == before["deeplift"]
    assert all(file.exists() for file in before["deeplift"])
    assert not _files(after["deeplift"]) & _files(after[DISTRIBUTION])

    packages = {file.parts[0] for file in after[DISTRIBUTION].files or () if file.suffix == ".py"}
    assert packages == OURS
    assert {file.parts[0] for file in after["deeplift"].files or () if file.suffix == ".py"} == {"deeplift"}
    script = environment.parents[2] / "bin/deeplift"
    assert "from deeplift_cli.main import main" in script.read_text()
    assert environment / "deeplift/__init__.py" in _files(after["deeplift"])
