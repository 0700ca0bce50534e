"""docs/tutorial.md and docs/export-onnx.md, and the Python of docs/choosing.md and docs/sums.md, are run."""

import contextlib
import csv
import io
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest
import torch
from documented import ROOT, lines_of, program, text_of
from small_models import Outcome, deeplift, random_letters, write_fasta

EXAMPLES = ROOT / "examples"
# What the pages run beside `deeplift`; the tests have it done already, or another test does it.
OTHERS = ("make demo", ". .venv/bin/activate", "pip install ", "git clone ")


def blocks(page: str, kind: str, section: str = "") -> list[str]:
    text = text_of(page)
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which somebody has put a model, a genome, peaks and motifs of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    shutil.copyfile(EXAMPLES / "tal1_gata.onnx", "model.onnx")
    shutil.copyfile(EXAMPLES / "tal1_gata.jaspar", "jaspar.meme")
    shutil.copyfile(ROOT / ".test/data/genome.fa", "hg38.fa")
    shutil.copyfile(ROOT / ".test/data/peaks.narrowPeak", "peaks.narrowPeak")
    return tmp_path


def run(page: str, section: str = "") -> dict[str, Outcome]:
    """Run each line of the shell blocks, which has to succeed; the outcome of each by its text."""
    found: dict[str, Outcome] = {}
    for line in (line for block in blocks(page, "sh", section) for line in lines_of(block)):
        words = shlex.split(line, comments=True)
        if program(words):
            found[line] = deeplift(*words[1:])
            assert found[line].code == 0, (line, found[line].err)
        elif words[0] == "grep":
            pattern, *files = words[1:]
            lines = [
                text for name in files for text in Path(name).read_text().splitlines() if pattern in text
            ]
            found[line] = Outcome(0, "\n".join(lines), "")
        else:
            assert line.startswith(OTHERS), line
    return found


def planted(name: str, motif: str) -> list[tuple[int, int]]:
    with (EXAMPLES / "planted_motifs.bed").open() as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return [(int(start), int(end)) for where, start, end, what, *_ in rows if (where, what) == (name, motif)]


def test_the_tutorial(folder: Path) -> None:
    pytest.importorskip("tangermeme", reason="pip install '.[motifs]'")
    pytest.importorskip("memelite", reason="pip install '.[motifs]'")
    pytest.importorskip("matplotlib", reason="pip install '.[plot]'")
    outcomes = run("docs/tutorial.md")
    assert any(line.startswith("deeplift browser") for line in outcomes)
    summary = outcomes["deeplift show scores_1.h5"].out
    assert "  the regions whose output differs most from the mean output of their references\n" in summary
    top = summary.split("difference      output  region\n")[1].split()
    assert top[:3] == ["+14.52", "11.7", "seq093_both"]
    said = text_of("docs/tutorial.md")
    assert "`seq093_both`" in said
    assert "11.7" in said
    assert "14.5 " in said
    letters = outcomes["deeplift show scores_1.h5 --name seq093_both"].out
    strong = re.findall("[ACGT]{5,}", letters)
    assert strong.count("AGATAAG") == 2
    assert strong.count("CTTATCT") == 1
    for name in ("seq093.png", "zoom.png", "region.png"):
        assert Path(name).read_bytes().startswith(b"\x89PNG")
    for file, motif in (("gata.bed", "GATA"), ("tal1.bed", "TAL1")):
        rows = [line.split("\t") for line in Path(file).read_text().splitlines()]
        spans = [(int(row[1]), int(row[2]), row[3]) for row in rows if row[0] == "seq093_both"]
        truth = planted("seq093_both", motif)
        assert len(spans) == len(truth) == 3
        for (start, end, name), (first, last) in zip(spans, sorted(truth), strict=True):
            assert motif in name
            assert min(end, last) - max(start, first) >= 8
    assert "chr1" in Path("seqlets.bed").read_text()
    assert "dynseq" in Path("browser/index.html").read_text(errors="replace")


def test_the_make_target_that_the_tutorial_begins_with_draws_its_picture() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    assert "--out $(RESULTS)/seq001_both.png" in recipe
    assert "demo-results/seq001_both.png" in text_of("docs/tutorial.md")


def test_an_exported_network_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the network: onnxruntime and the score file have its predictions."""
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("docs/export-onnx.md", "python")
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "net"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "docs/export-onnx.md", "exec"), names)
    write_fasta(Path("peaks.fa"), [random_letters(seed, 200) for seed in range(3)])
    outcomes = run("docs/export-onnx.md")
    assert len(outcomes) == 2
    with h5py.File("scores.h5") as file:
        x, prediction = file["raw/seq"][:].astype(np.float32), file["qc/prediction"][:]
    with torch.no_grad():
        expected = names["model"](torch.from_numpy(x)).numpy()
    (through,) = onnxruntime.InferenceSession("model.onnx").run(None, {"sequence": x})
    np.testing.assert_allclose(through, expected, atol=1e-5)
    np.testing.assert_allclose(prediction, expected[:, 0], atol=1e-5)


def test_pages_that_read_a_score_file(folder: Path) -> None:
    """The Python of docs/sums.md and docs/choosing.md, and the noise that the latter states."""
    said = re.search(
        r"these lines print (\d+) % for 5 .*? (\d+) % for 20 and (\d+) % for 80", text_of("docs/choosing.md")
    )
    assert said
    for number, percent in zip((5, 20, 80), said.groups(), strict=True):
        done = deeplift(
            "score", "-m", "model.onnx", "-f", "examples/sequences.fa", "-o", "scores.h5",
            "--n-references", number, "--overwrite", "--quiet",
        )  # fmt: skip
        assert done.code == 0, done.err
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            (code,) = blocks("docs/choosing.md", "python")
            exec(compile(code, "docs/choosing.md", "exec"), {})
        found = re.search(r"(\d+)%", printed.getvalue())
        assert found
        assert abs(int(found[1]) - int(percent)) <= 1
    for code in blocks("docs/sums.md", "python"):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, "docs/sums.md", "exec"), {})
