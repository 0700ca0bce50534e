"""`deeplift show`: what it says is what the file holds, and a hostile file gets one line."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_models import Outcome, deeplift, random_letters, score, torchscript, write_fasta
from terminals import read_to_end
from test_verify import attribute, consistent

from deeplift_cli.outputs import score_reader
from deeplift_cli.process.watched_child import LostError
from deeplift_cli.show import contents, letters

START = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
ANSI = re.compile(r"\x1b\[([\d;]*)m")
COLOURED = re.compile(r"\x1b\[(?:\d+;)*3[1-6](?:;\d+)*m")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scores(folder: Path) -> Path:
    """Twelve records, one of them with N, one of one letter, and one that is skipped."""
    records = {f"r{i}": random_letters(i, 24 - (i == 4)) for i in range(12)}
    records["r2"] = "NN" + records["r2"][2:]
    records["r5"] = "A" * 24
    path = folder / "k562" / "scores_1.h5"
    path.parent.mkdir()
    options = ["--target", 1, "--n-references", 3, "--seed", 5, "--batch-size", 4, "--rule", "rescale"]
    score("-m", torchscript("Net"), "-f", write_fasta(Path("in.fa"), records), "-o", path, *options)
    return path


def shown(*words: object) -> list[str]:
    done = deeplift("show", *words)
    assert done.code == 0, done.err
    return done.out.splitlines()


def value(lines: list[str], label: str) -> str:
    (found,) = (line for line in lines if line.startswith(f"  {label} "))
    return found[len(label) + 2 :].strip()


def test_the_summary_says_what_the_file_holds(scores: Path) -> None:
    lines = shown(scores)
    assert lines[0] == str(scores)
    assert value(lines, "sequences") == "11 of 24 bp; 1 skipped"
    assert value(lines, "references") == "dinucleotide, 3 each, seed 5"
    assert (value(lines, "target"), value(lines, "rule")) == ("1", "rescale")
    assert "--batch-size 4" in " ".join(" ".join(lines).split())
    with h5py.File(scores) as file:
        for name in ("shap/seq", "qc/reference_output"):
            kind, shape = file[name].dtype, list(file[name].shape)
            assert value(lines, name) == f"{kind}   {shape}"
        difference = file["qc/output"][:] - file["qc/reference_output"][:].mean(axis=1)
        names = file["regions/name"].asstr()[:]
        share = file["qc/identical_references"][:].sum() / 33
    assert value(lines, "identical") == f"{share:.2%} of the references equal their own sequence"
    order = np.argsort(-np.abs(difference))[: contents.TOP]
    top = [line.split() for line in lines[-contents.TOP :]]
    assert [cells[2] for cells in top] == names[order].tolist()
    np.testing.assert_allclose([float(cells[0]) for cells in top], difference[order], rtol=1e-3)


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_the_strongest_rows_are_found_however_many_are_read_at_once(
    scores: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(score_reader, "_PROBED_ROWS", at_once)
    with h5py.File(scores) as file:
        difference = file["qc/output"][:] - file["qc/reference_output"][:].mean(axis=1)
        names = file["regions/name"].asstr()[:]
    order = np.argsort(-np.abs(difference)).tolist()
    for most in (3, 100):
        top = contents.read_contents(scores, most).top
        assert [one.row for one in top] == order[:most]
        assert [one.region.name for one in top] == names[order[:most]].tolist()


def test_averages_and_shards_are_named(scores: Path) -> None:
    options = ["--batch-size", 4, "--n-references", 3, "--target", 1, "--rule", "rescale", "--seed", 5]
    for name, model in (("one.h5", "Net"), ("two.h5", "Sigmoid")):
        score("-m", torchscript(model), "-f", "in.fa", "-o", name, *options)
    assert deeplift("merge", "--average", "one.h5", "two.h5", "-o", "mean.h5").code == 0
    lines = shown("mean.h5")
    assert value(lines, "average of") == "2 files: one.h5, two.h5"
    assert "\n".join(lines).count("SHA-256") == 2
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "part.h5", *options, "--shard", "2/2")
    assert value(shown("part.h5"), "shard").startswith("2/2")


def test_the_table_has_a_line_for_each_file(scores: Path) -> None:
    consistent("b.h5")
    attribute("b.h5", "target", "[50, 1]")
    heading, first, second = shown("--table", scores, "b.h5")
    assert heading == (
        "sample\ttarget\tsequences\tskipped\tworst_relative_completeness_error\t"
        "references_equal_to_their_sequence\tfile"
    )
    with h5py.File(scores) as file:
        worst = f"{file.attrs['worst_relative_completeness_error']:.2g}"
        share = f"{file['qc/identical_references'][:].sum() / 33:.2%}"
    assert float(share[:-1]) > 0  # the record of one letter
    assert first.split("\t") == ["k562", "1", "11", "1", worst, share, str(scores)]
    assert second.split("\t")[:4] == [Path.cwd().name, "50-1", "9", "1"]


@pytest.mark.parametrize("name", ["r0", "r2", "r11"])
def test_letters_of_strong_positions_are_upper_case(scores: Path, name: str) -> None:
    with h5py.File(scores) as file:
        (row,) = np.flatnonzero(file["regions/name"].asstr()[:] == name)
        size = np.abs(file["projected_shap/seq"][row].sum(axis=0))
        sequence = file["raw/seq"][row]
    strong = size >= size.max() / 4
    assert 0 < strong.sum() < 24
    expected = [
        ("ACGT"[column.argmax()] if column.any() else "N") for column in sequence.T
    ]  # the record as it was given
    expected = [letter if big else letter.lower() for letter, big in zip(expected, strong, strict=True)]
    assert shown(scores, "--name", name) == ["".join(expected)]


def on_terminal(*words: object, **variables: str) -> str:
    """What the command writes to a terminal of 50 columns."""
    ours, theirs = pty.openpty()
    plain = {key: text for key, text in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.Popen(
        [*START, "show", *map(str, words)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env=plain | {"TERM": "xterm", "COLUMNS": "29"} | variables,
    )  # fmt: skip
    os.close(theirs)
    written = read_to_end(ours)
    assert done.wait() == 0, written
    return written.decode()


def test_a_terminal_shows_colours_unless_it_should_not(scores: Path) -> None:
    (plain,) = shown(scores, "--name", "r0")
    written = on_terminal(scores, "--name", "r0")
    assert COLOURED.search(written)
    head, *lines = ANSI.sub("", written).split("\r\n")[:-1]
    assert head.startswith("r0  r0:0-24  output ")
    assert [line.split() for line in lines] == [["0", plain[:20]], ["20", plain[20:]]]

    without = on_terminal(scores, "--name", "r0", NO_COLOR="1")
    assert not COLOURED.search(without)
    assert ANSI.sub("", without) == ANSI.sub("", written)
    with h5py.File(scores) as file:
        contributions = file["projected_shap/seq"][0].sum(axis=0)
    strong = np.abs(contributions) >= np.abs(contributions).max() / 4
    n_negative = int((contributions[strong] < 0).sum())
    assert sum("7" in codes[1].split(";") for codes in ANSI.finditer(written)) == n_negative


def test_a_pipe_gets_no_colours_whatever_is_forced(scores: Path) -> None:
    done = subprocess.run(
        [*START, "show", scores, "--name", "r0"],
        env=os.environ | {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "\x1b" not in done.stdout
    assert len(done.stdout) == 25


def test_of_several_regions_of_one_name_the_first_is_shown() -> None:
    def rename(names: Any) -> None:
        names[5:] = b"twice"

    path = consistent(regions__name=rename)
    done = deeplift("show", path, "--name", "twice")
    assert done.err == "deeplift: a.h5 has 3 further regions of this name; the first is shown\n"
    with h5py.File(path) as file:
        sequence = file["raw/seq"][5]
    (line,) = done.out.splitlines()
    assert list(line.upper()) == ["ACGT"[column.argmax()] if column.any() else "N" for column in sequence.T]


def test_nothing_is_strong_where_all_contributions_are_zero() -> None:
    screen = letters.screen_of_stdout()
    region = contents.Region("c", 0, 4, "n", ".", 0)
    row = contents.Row(
        contents.Explained(0, region, 0.0, 0.0), np.eye(4, dtype=np.int8), np.zeros(4, np.float32), 0
    )
    assert letters.as_letters(row, screen) == ["acgt"]


# ---- what cannot be shown


def refused(*words: object) -> str:
    done: Outcome = deeplift("show", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("deeplift: ")
    return done.err


def no_file(path: Path) -> None:
    path.unlink()


def no_hdf5(path: Path) -> None:
    path.write_text("hello\n")


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def without_dataset(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["qc/output"]


def link_elsewhere(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["qc/output"]
        file["qc/output"] = h5py.ExternalLink("/etc/passwd", "/x")


def other_numbers(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["qc/output"][3] += 1


def other_target(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["target"] = 7


def many_rows(path: Path) -> None:
    with h5py.File(path, "a") as file:
        for group in ("raw", "shap", "projected_shap", "regions", "qc"):
            for dataset in file[group].values():
                dataset.resize(10**12, axis=0)


HOSTILE = {
    no_file: "score file a.h5 does not exist",
    no_hdf5: "score file a.h5 is not an HDF5 file, or damaged",
    other_hdf5: "a.h5 is not a score file of version 1",
    cut: "score file a.h5 is not an HDF5 file, or damaged",
    without_dataset: "score file a.h5 is damaged, its layout: there is no dataset qc/output",
    link_elsewhere: "qc/output is a link to another place, which deeplift does not follow",
    other_numbers: "qc/output, rows 1 to 9: the values are not those of the stored checksum",
    other_target: "score file a.h5 is damaged, its attributes: they are not those of the stored checksum",
    many_rows: "shap/seq, rows 1 to 4096: the chunk is missing",
}


@pytest.mark.parametrize("damage", HOSTILE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("option", [[], ["--table"]], ids=["summary", "table"])
def test_a_damaged_file_is_one_line(damage: Any, option: list[str]) -> None:
    damage(consistent())
    assert HOSTILE[damage] in refused("a.h5", *option)


def test_a_region_that_is_not_there_is_named_with_some_that_are(scores: Path) -> None:
    said = refused(scores, "--name", "r4\x1b[31m")
    assert "has no region named 'r4\\x1b[31m'; its 11 regions are r0, r1, r2, ..." in said


def test_a_damaged_chunk_of_letters_is_one_line() -> None:
    path = consistent()
    with h5py.File(path) as file:
        info = file["projected_shap/seq"].id.get_chunk_info(0)
        name = file["regions/name"].asstr()[0]
    with path.open("r+b") as file:
        file.seek(info.byte_offset + info.size // 2)
        file.write(b"\xff\xff\xff")
    assert "projected_shap/seq, rows 1 to 4" in refused(path, "--name", name)


def test_a_crash_of_hdf5_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: object) -> None:
        raise LostError("crashed (SIGSEGV)")

    consistent()
    monkeypatch.setattr(contents, "watched", crash)
    assert "reading it, HDF5 crashed (SIGSEGV)" in refused("a.h5")


def test_names_that_a_terminal_would_obey_are_escaped() -> None:
    def rename(names: Any) -> None:
        names[:] = b"\x1b[31mred\t" + b"x" * 300

    text = "\n".join(shown(consistent(regions__name=rename)))
    assert "\x1b" not in text
    assert "\\x1b[31mred\\t" in text
    assert max(map(len, text.splitlines())) < 400


def test_name_and_table_contradict_each_other() -> None:
    assert deeplift("show", "a.h5", "--name", "x", "--table").code == 2
