"""Packages that bring rules, references, formats and subcommands: docs/extending.md's own, and unfit ones."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import Outcome, deeplift, onnx_file, random_letters, write_fasta
from test_export import write_scores

from deeplift_cli import command_line, extensions, reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.errors import UserError
from deeplift_cli.models import registry as models
from deeplift_cli.outputs import registry as outputs
from deeplift_core.rules import registry as rules
from deeplift_references import registry as references

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
CTCF = """>MA0000.1\tTEST
A  [ 1 20  0  2 18  0 ]
C  [ 2  0 19  1  0  1 ]
G  [16  0  1 17  1  0 ]
T  [ 1  0  0  0  1 19 ]
"""


def install(
    folder: Path, name: str, files: Mapping[str, str], groups: Mapping[str, Mapping[str, str]]
) -> Path:
    """What pip leaves of a package: its files, and its entry points in a folder of metadata."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line for group, points in groups.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
    ]  # fmt: skip
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


# ---- the documented package


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, installed, in a folder with inputs for it."""
    folder = tmp_path_factory.mktemp("lab")
    files = dict(re.findall(r"This is `(deeplift_lab/\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
    assert len(files) == 5
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    project = tomllib.loads(toml)["project"]
    install(
        folder / "site", project["name"], files | {"deeplift_lab/__init__.py": ""}, project["entry-points"]
    )
    (folder / "test.jaspar").write_text(CTCF)
    letters = {f"s{i}": random_letters(i, 30) for i in range(6)} | {"site": "TTTTTTTTGACGATTTTTTT" + "T" * 10}
    write_fasta(folder / "in.fa", letters)
    return folder


def command(folder: Path, *words: object) -> Outcome:
    """`deeplift` in a process of its own, which finds the package as any other."""
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", "from deeplift_cli.main import main; main()", *map(str, words)],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_documented_package_scores_exports_and_lists(lab: Path) -> None:
    given = ["-m", "test.jaspar", "-f", "in.fa", "--threads", 1, "--compile", "off"]
    options = ["--reference", "reversed", "--pseudocount", 2, "-o", "s.h5"]
    done = command(lab, "score", *given, *options)
    assert done.code == 0, done.err
    with h5py.File(lab / "s.h5") as file:
        assert json.loads(file.attrs["format_options"]) == [["pseudocount", 2.0]]
        fingerprint = json.loads(file.attrs["fingerprint"])
        assert (fingerprint["--pseudocount"], fingerprint["the version of deeplift-lab"]) == (2.0, "1.0")
        total = file["projected_shap/seq"][:].sum((1, 2))
        delta = file["qc/output"][:] - file["qc/reference_output"][:, 0]
        np.testing.assert_allclose(total, delta, atol=1e-5)
        assert np.abs(delta).max() > 0.1
        expected = [occupancy(letters, 2.0) for letters in fasta(lab / "in.fa")]
        np.testing.assert_allclose(file["qc/output"][:], expected, rtol=1e-5)
        backwards = [occupancy(letters[::-1], 2.0) for letters in fasta(lab / "in.fa")]
        np.testing.assert_allclose(file["qc/reference_output"][:, 0], backwards, rtol=1e-5)
    verified = command(lab, "verify", "s.h5", "-m", "test.jaspar")
    assert verified.code == 0, verified.err

    done = command(lab, "export", "s.h5", "--totals", "s.tsv", "--digits", 3, "--npz", "s.npz")
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in (lab / "s.tsv").read_text().splitlines()]
    assert rows[0] == ["chrom", "start", "end", "name", "positive", "negative"]
    for row, value in zip(rows[1:], total, strict=True):
        assert float(row[4]) + float(row[5]) == pytest.approx(value, rel=0.02, abs=0.01)

    done = command(lab, "export", "s.h5", "--digits", 3, "--npz", "t.npz")
    assert "--digits goes with --totals" in one_line(done, 2)

    done = command(lab, "strongest", "s.h5", "-n", 1)
    assert (done.code, done.out.split("\t")[0]) == (0, "site")


def fasta(path: Path) -> list[str]:
    return path.read_text().splitlines()[1::2]


def occupancy(letters: str, pseudocount: float) -> float:
    """What the model gives, in numpy."""
    counts = np.array([[float(n) for n in re.findall(r"\d+", line)] for line in CTCF.splitlines()[1:]])
    weights = np.log(4 * (counts + pseudocount / 4) / (counts.sum(0) + pseudocount))
    codes = ["ACGT".index(letter) for letter in letters]
    width = weights.shape[1]
    scores = [
        sum(weights[codes[start + place], place] for place in range(width)) - weights.max(0).sum() / 2
        for start in range(len(codes) - width + 1)
    ]
    return float(sum(1 / (1 + np.exp(-score)) for score in scores))


def test_help_and_inspect_show_what_the_documented_package_brings(lab: Path) -> None:
    for words, expected in (
        (["--help"], [r"strongest +\(of the package deeplift-lab\)"]),
        (["score", "--help"], ["JASPAR", r"--pseudocount FLOAT RANGE", r"\|reversed\b"]),
        (["export", "--help"], ["--totals FILE.tsv", "--digits"]),
        (["inspect", "-m", "test.jaspar", "--pseudocount", "1"], ["occupancy"]),
    ):
        done = command(lab, *words)
        assert done.code == 0, done.err
        shown = " ".join(done.out.split())
        for text in expected:
            assert re.search(text, done.out) or re.search(text, shown), (words, done.out)


def test_an_option_of_another_format_is_refused(lab: Path) -> None:
    done = command(lab, "inspect", "-m", onnx_file(), "--pseudocount", "1")
    assert done.code == 1
    assert done.err.startswith("deeplift: --pseudocount is no option for ")
    assert "of the format onnx; leave it out" in done.err


# ---- packages that cannot be used


CACHES = (extensions._points, references._entry_points, rules.load_rules_of_other_packages)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages, on this process's path, and nothing of other tests' packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(references, "_KINDS", dict(references._KINDS))
    for registry in (models.FORMATS, outputs.FORMATS, command_line.REGISTRY):
        monkeypatch.setattr(registry, "_loaded", {})
    for cached in CACHES:
        cached.cache_clear()
    yield folder
    for cached in CACHES:
        cached.cache_clear()


GROUPS = ("deeplift.references", "deeplift.models", "deeplift.outputs", "deeplift.commands")


def one_line(done: Outcome, code: int) -> str:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith(("deeplift:", "Error:"))]
    return line


FAULTS = [
    ("import surely_not_there", "cannot be loaded: No module named 'surely_not_there'"),
    ("raise SystemExit('bye')", "cannot be loaded: bye"),
    ("1 / 0", "cannot be loaded: division by zero"),
    ("", "cannot be loaded: module 'broken_one"),
]


@pytest.mark.parametrize(("code", "words"), FAULTS)
def test_a_package_that_cannot_be_loaded_is_named_where_it_is_needed(
    site: Path, code: str, words: str
) -> None:
    module = f"broken_one{FAULTS.index((code, words))}"  # a module that failed once is not tried again
    points = {group: {"broken": f"{module}:thing"} for group in GROUPS}
    install(site, "broken-pack", {f"{module}.py": code}, points)
    write_scores()
    about = f"of the package broken-pack ({module}:thing) {words}"
    assert f"the output format 'broken' {about}" in one_line(deeplift("export", "s.h5", "--broken", "x"), 2)
    assert f"the subcommand 'broken' {about}" in one_line(deeplift("broken"), 1)
    given = ["-f", "in.fa", "-o", "x.h5"]
    line = one_line(deeplift("score", "-m", onnx_file(), *given, "--reference", "broken"), 2)
    assert f"the kind of reference 'broken' {about}" in line
    Path("model.what").write_text("no model")
    write_fasta(Path("in.fa"), [random_letters(0)])
    line = one_line(deeplift("score", "-m", "model.what", *given), 1)
    assert "is not a model file that deeplift reads" in line
    assert f"the model format 'broken' {about}" in line
    assert f"the model format 'broken' {about}" in one_line(deeplift("inspect", "--broken-option"), 2)


def test_a_package_that_cannot_be_loaded_is_in_nobodys_way(site: Path) -> None:
    points = {group: {"broken": "broken_two:thing"} for group in GROUPS}
    install(site, "broken-pack", {"broken_two.py": "raise RuntimeError('no')"}, points)
    write_scores()
    write_fasta(Path("in.fa"), [random_letters(0)])
    assert deeplift("export", "s.h5", "--npz", "x.npz").code == 0
    done = deeplift("score", "-m", onnx_file(), "-f", "in.fa", "-o", "x.h5", "--n-references", 1)
    assert (done.code, done.err) == (0, "")
    assert deeplift("merge", "--average", "x.h5", "s.h5", "-o", "y.h5").code == 1
    done = deeplift("--help")
    assert (done.code, done.err) == (0, "")
    assert "(of the package broken-pack)" in done.out
    for name in ("score", "export", "inspect"):
        done = deeplift(name, "--help")
        assert (done.code, done.err) == (0, "")
        kind = "output format" if name == "export" else "model format"
        assert f"the {kind} 'broken' of the package broken-pack" in " ".join(done.out.split())
    assert "broken_two" not in sys.modules


def test_rules_that_cannot_be_loaded_are_named_before_anything_is_scored(site: Path) -> None:
    """They could change the scores of any model, so that none is scored without them."""
    install(site, "broken-pack", {"broken_rules.py": "1 / 0"}, {"deeplift.rules": {"mine": "broken_rules"}})
    write_fasta(Path("in.fa"), [random_letters(0)])
    line = one_line(deeplift("score", "-m", onnx_file(), "-f", "in.fa", "-o", "x.h5"), 1)
    assert "the rules that broken_rules adds (entry point 'mine') cannot be loaded: division by zero" in line
    write_scores()
    assert deeplift("export", "s.h5", "--npz", "x.npz").code == 0
    assert deeplift("--help").code == 0


def test_names_that_deeplift_has_itself_are_refused(site: Path) -> None:
    points = {
        "deeplift.references": {"zeros": "greedy"},
        "deeplift.models": {"onnx": "greedy:thing"},
        "deeplift.outputs": {"npz": "greedy:thing"},
        "deeplift.commands": {"verify": "greedy:thing"},
    }
    install(site, "greedy-pack", {"greedy.py": "raise AssertionError('loaded')"}, points)
    write_scores()
    words = "the package greedy-pack brings the {} {!r}, but deeplift has one of this name itself"
    for done, code, kind, name in (
        (deeplift("export", "s.h5", "--npz", "x"), 1, "output format", "npz"),
        (deeplift("verify", "s.h5"), 1, "subcommand", "verify"),
        (deeplift("score", "-m", "m", "-f", "f", "-o", "o", "--reference", "zeros"), 2,
         "kind of reference", "zeros"),
        (deeplift("inspect", "-m", "in.fa", "--unknown"), 2, "model format", "onnx"),
    ):  # fmt: skip
        assert words.format(kind, name) in one_line(done, code)
    assert deeplift("export", "s.h5", "--bigwig", "x.bw").code == 0


def test_names_that_two_packages_bring_are_refused(site: Path) -> None:
    points = {group: {"both": "neither:thing"} for group in GROUPS}
    for name in ("pack-b", "pack-a"):
        install(site, name, {}, points)
    write_scores()
    words = "the packages pack-a and pack-b both bring the {} 'both'; uninstall one of them"
    for done, code, kind in (
        (deeplift("export", "s.h5", "--both", "x"), 2, "output format"),
        (deeplift("both"), 1, "subcommand"),
        (deeplift("score", "-m", "m", "-f", "f", "-o", "o", "--reference", "both"), 2, "kind of reference"),
    ):
        assert words.format(kind) in one_line(done, code)


UNFIT = """
import click
from deeplift_cli.outputs.registry import OutputFormat
from deeplift_references import register
def write(export): pass
number = 3
misnamed = OutputFormat("other", "", ".x", write)
greedy = OutputFormat("greedy", "", ".x", write, (click.Option(["--genome"]),))
sly = OutputFormat("sly", "", ".x", write, (click.Option(["scores", "--of"]),))
lazy = OutputFormat("lazy", "", ".x", write)
"""


def test_things_that_are_not_what_they_should_be(site: Path) -> None:
    points = {
        "deeplift.outputs": {
            name: f"unfit:{name}" for name in ("number", "misnamed", "greedy", "sly", "lazy")
        },
        "deeplift.commands": {"number": "unfit:number"},
        "deeplift.references": {"nothing": "unfit"},
    }
    install(site, "unfit-pack", {"unfit.py": UNFIT}, points)
    write_scores()
    line = one_line(deeplift("export", "s.h5", "--number", "x"), 2)
    assert "the output format 'number' of the package unfit-pack is of the type int, not OutputFormat" in line
    assert "'misnamed' of the package unfit-pack calls itself 'other'" in line
    assert "'greedy' brings an option --genome, which `deeplift export` has already" in line
    assert "'sly' brings an option scores, which `deeplift export` has already" in line
    assert "is of the type int, not Command" in one_line(deeplift("number"), 1)
    line = one_line(deeplift("score", "-m", "m", "-f", "f", "-o", "o", "--reference", "nothing"), 2)
    assert "registers no kind of this name" in line
    line = one_line(deeplift("export", "s.h5", "--lazy", "x"), 1)
    assert "the output format 'lazy' wrote nothing for x" in line
    assert not Path("x").exists()


def test_unknown_names_are_answered_with_those_that_there_are(site: Path) -> None:
    install(site, "unfit-pack", {"unfit_two.py": UNFIT}, {"deeplift.outputs": {"lazy": "unfit_two:lazy"}})
    write_scores()
    line = one_line(deeplift("export", "s.h5"), 2)
    assert "--bedgraph FILE or --bigwig FILE or --npz FILE or --lazy FILE" in line
    line = one_line(deeplift("score", "-m", "m", "-f", "f", "-o", "o", "--reference", "what"), 2)
    assert "choose from dinucleotide" in line
    assert "file:REFS.h5" in line
    with pytest.raises(UserError, match="choose from bedgraph, bigwig, npz, lazy"):
        outputs.FORMATS.get("what")
