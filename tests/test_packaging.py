"""Images, recipe and distributions: the same packages and version everywhere, and what is built installs."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The names of packages in conda that differ from those on PyPI.
IN_CONDA = {"isal": "python-isal", "torch": "pytorch"}


def recipe() -> dict[str, Any]:
    """The recipe of bioconda, with what its template language would fill in."""
    template = Environment(autoescape=False).from_string((PACKAGING / "bioconda/meta.yaml").read_text())
    filled = template.render(PYTHON="python", pin_subpackage=lambda name, **_: name)
    parsed = yaml.safe_load(filled)
    assert isinstance(parsed, dict)
    return parsed


def test_the_recipe_has_the_projects_packages_and_version() -> None:
    found = recipe()
    ours = {re.sub(r"\s*>=", " >=", package) for package in PROJECT["dependencies"]}
    named = {re.sub(r"^\w+", lambda name: IN_CONDA.get(name[0], name[0]), package) for package in ours}
    assert set(found["requirements"]["run"]) == named | {f"python {PROJECT['requires-python']}"}
    assert found["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    assert found["build"]["entry_points"] == [f"deeplift = {PROJECT['scripts']['deeplift']}"]


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["preferred-citation"]["authors"][0]["family-names"] == "Shrikumar"


def test_images_copy_what_the_package_is_built_of() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    files = ["pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "constraints.txt"]
    needed = {path.partition("/")[0] for path in [*files, *build["packages"]]}
    docker = (PACKAGING / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.+)", docker, flags=re.M) for word in line.split()[:-1]}
    apptainer = set(re.findall(r"^    (\S+) /source/", (PACKAGING / "deeplift.def").read_text(), flags=re.M))
    assert copied == apptainer == needed


def test_the_dockerfile_has_no_fault_that_hadolint_finds() -> None:
    linter = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, PACKAGING / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_wheel_and_source_distribution_build_and_install(tmp_path: Path) -> None:
    """The source distribution is built first, and the wheel from it, as a release is."""
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("this is no checkout of git")
    for name in filter(None, tracked.stdout.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert list((tmp_path / "dist").glob("*.tar.gz"))
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    ours = {path.relative_to(ROOT / "cli") for path in (ROOT / "cli").rglob("*.py")}
    # Pages are made of further files.
    ours |= {path.relative_to(ROOT / "cli") for path in (ROOT / "cli").rglob("page/*") if path.is_file()}
    assert ours <= {path.relative_to(installed) for path in installed.rglob("*")}
    assert all((installed / package / "py.typed").exists() for package in ("deeplift_core", "deeplift_cli"))
    check = "from deeplift_cli.main import run; import sys; sys.exit(run(['--help']))"
    environment = {"PYTHONPATH": str(installed), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-c", check], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "score" in done.stdout
