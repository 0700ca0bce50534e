"""Valid but odd files are read as what they mean."""

import gzip
import subprocess
from pathlib import Path
from shutil import which

import h5py
import numpy as np
import pytest
from small_models import LENGTH, deeplift, encode, onnx_file, random_letters, score, torchscript, write_fasta

LETTERS = [random_letters(seed) for seed in range(3)]
PLAIN = "".join(f">s{i}\n{text}\n" for i, text in enumerate(LETTERS))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def columns(*names: str, path: str = "out.h5") -> list[np.ndarray]:
    with h5py.File(path) as file:
        return [file[name][()] for name in names]


def scores_of(fasta: bytes, *options: object, name: str = "odd.fa") -> np.ndarray:
    Path(name).write_bytes(fasta)
    score(
        "-q",
        "-m",
        torchscript("Net"),
        "-f",
        name,
        "-o",
        "out.h5",
        "--overwrite",
        "--n-references",
        2,
        *options,
    )
    return columns("shap/seq")[0]


def folded(text: str, width: int) -> str:
    return "\n".join(text[i : i + width] for i in range(0, len(text), width))


ODD_FASTA = {
    "lower case": PLAIN.replace("A", "a").replace("C", "c").replace("G", "g").replace("T", "t"),
    "soft-masked": PLAIN.replace("A", "a"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "old Mac": PLAIN.replace("\n", "\r"),
    "blank lines": "\n\n" + PLAIN.replace("\n", "\n\n"),
    "no newline at the end": PLAIN.rstrip("\n"),
    "RNA": PLAIN.replace("T", "U"),
    "folded": "".join(f">s{i}\n{folded(text, 7)}\n" for i, text in enumerate(LETTERS)),
    "spaces": "".join(
        f">s{i}\n{folded(text, 10).replace(chr(10), ' ')}  \n" for i, text in enumerate(LETTERS)
    ),
    "byte-order mark": "\ufeff" + PLAIN,
    "descriptions": PLAIN.replace("\n", " some words | and : more\n", 1),
}


@pytest.mark.parametrize("kind", ODD_FASTA)
def test_odd_spellings_of_a_fasta_give_the_same_bits(kind: str) -> None:
    plain = scores_of(PLAIN.encode())
    np.testing.assert_array_equal(scores_of(ODD_FASTA[kind].encode()), plain)
    assert columns("regions/name")[0].tolist() == [b"s0", b"s1", b"s2"]


def test_gzip_whatever_the_name() -> None:
    plain = scores_of(PLAIN.encode())
    np.testing.assert_array_equal(scores_of(gzip.compress(PLAIN.encode()), name="odd.fa.gz"), plain)
    np.testing.assert_array_equal(scores_of(gzip.compress(PLAIN.encode()), name="odd.txt"), plain)


@pytest.mark.skipif(which("bgzip") is None, reason="bgzip is not installed")
def test_bgzip() -> None:
    plain = scores_of(PLAIN.encode())
    packed = subprocess.run(["bgzip", "-c"], input=PLAIN.encode(), capture_output=True, check=True).stdout
    np.testing.assert_array_equal(scores_of(packed, name="odd.fa.gz"), plain)


def test_letters_that_are_no_base_are_empty_columns() -> None:
    text = "ACGTNRYKMSWBDHVacgtn-*UX"
    assert len(text) == LENGTH
    scores_of(f">odd\n{text}\n".encode())
    expected = encode("ACGTNNNNNNNNNNNACGTNNNTN")
    np.testing.assert_array_equal(columns("raw/seq")[0][0], expected)


@pytest.mark.parametrize(
    "name",
    [
        "a|b:c;d",
        "sp|P12345|NAME_X",
        "chr1:5-9",
        "[red]bold[/red]",
        "=1+1",
        "ünï",
        "%s{x}\\n",
        "'\"`$(x)",
        "-o",
    ],
)
def test_names_of_any_kind_arrive_unchanged(name: str) -> None:
    scores_of(f">{name} more words\n{LETTERS[0]}\n".encode())
    assert columns("regions/name")[0].tolist() == [name.encode()]
    assert Path("out.bed").read_text().split("\t")[3] == name


def test_records_with_one_name_are_all_scored() -> None:
    assert scores_of(PLAIN.replace("s1", "s0").replace("s2", "s0").encode()).shape[0] == 3
    assert columns("regions/index")[0].tolist() == [0, 1, 2]


def test_records_that_cannot_be_scored_are_listed_and_the_others_scored() -> None:
    records = {
        "short": "ACGT",
        "good": LETTERS[0],
        "n": "N" * LENGTH,
        "long": LETTERS[1] * 2,
        "last": LETTERS[2],
    }
    write_fasta(Path("some.fa"), records)
    outcome = score("-m", onnx_file(), "-f", "some.fa", "-o", "out.h5", "--n-references", 2)
    assert columns("regions/name")[0].tolist() == [b"good", b"last"]
    lines = [line.split("\t") for line in Path("out.skipped.tsv").read_text().splitlines()]
    assert [line[2] for line in lines] == ["name", "short", "n", "long"]
    assert [line[0] for line in lines[1:]] == ["0", "2", "3"]
    assert "n (line 5) has no base" in outcome.out


BED = ["chr1\t20\t50\tname\t7\t+\t1\t-1\t-1\t12", "chr1\t100\t141\tother name\t7\t-\t1\t-1\t-1\t20"]
ODD_BED = {
    "track and browser lines": [
        "track name=x description='y z'",
        "browser position chr1:1-2",
        "#chrom\tstart",
        *BED,
    ],
    "extra columns": [f"{line}\tmore\tand more" for line in BED],
    "CRLF": [f"{line}\r" for line in BED],
    "blank lines": ["", BED[0], "", "  ", BED[1], ""],
    "summits as floats": [f"{line}.0" for line in BED],
}


@pytest.mark.parametrize("kind", ODD_BED)
def test_odd_spellings_of_a_bed_give_the_same_windows(kind: str) -> None:
    genome = random_letters(9, 300)
    write_fasta(Path("g.fa"), {"chr1": genome, "chr2": "ACGT"})
    Path("odd.bed").write_text("\n".join(ODD_BED[kind]))
    score(
        "-q",
        "-m",
        torchscript("AnyLength"),
        "-g",
        "g.fa",
        "-r",
        "odd.bed",
        "--length",
        30,
        "-o",
        "out.h5",
        "--n-references",
        2,
    )
    start, end, name, raw = columns("regions/start", "regions/end", "regions/name", "raw/seq")
    assert name.tolist() == [b"name", b"other name"]
    assert (start.tolist(), end.tolist()) == ([17, 105], [47, 135])
    np.testing.assert_array_equal(raw, [encode(genome[17:47]), encode(genome[105:135])])


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip", "lower case", "CRLF"])
def test_genomes_of_every_kind_give_the_same_bits(kind: str) -> None:
    genome = random_letters(9, 300)
    write_fasta(Path("plain.fa"), {"chr1": folded(genome, 60)})
    Path("r.bed").write_text("\n".join(BED))
    options = ("-m", torchscript("AnyLength"), "-r", "r.bed", "--n-references", 2, "--length", 30)
    score("-q", *options, "-g", "plain.fa", "-o", "plain.h5")
    text, path = f">chr1\n{folded(genome, 60)}\n", "g.fa"
    if kind == "bgzip":
        if which("bgzip") is None:
            pytest.skip("bgzip is not installed")
        path = "g.fa.gz"
        packed = subprocess.run(["bgzip", "-c"], input=text.encode(), capture_output=True, check=True).stdout
        Path(path).write_bytes(packed)
    elif kind == "gzip":
        path = "g.fa.gz"
        Path(path).write_bytes(gzip.compress(text.encode()))
    else:
        changed = {"plain": text, "lower case": text.lower(), "CRLF": text.replace("\n", "\r\n")}[kind]
        Path(path).write_text(changed, newline="")
    before = set(Path().iterdir())
    score("-q", *options, "-g", path, "-o", "out.h5")
    np.testing.assert_array_equal(columns("shap/seq"), columns("shap/seq", path="plain.h5"))
    written = {Path("out.h5"), Path("out.bed"), Path("out.skipped.tsv"), Path("cache")}
    assert set(Path().iterdir()) - before <= written  # no index beside the genome


def test_a_region_beyond_the_chromosome_is_skipped_with_its_line() -> None:
    write_fasta(Path("g.fa"), {"chr1": random_letters(9, 300)})
    Path("r.bed").write_text("chr1\t20\t50\nchr1\t290\t310\nchr1\t5\t9\nchr1\t99999999999\t199999999999\n")
    given = ("-m", torchscript("AnyLength"), "-g", "g.fa", "-r", "r.bed", "-o", "out.h5")
    outcome = deeplift("score", *given)
    assert "regions file r.bed has regions of 4 to 30 bp" in outcome.err  # those beyond the end do not count
    outcome = score(*given, "--length", 30)
    assert columns("regions/index")[0].tolist() == [0]
    lines = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == ["2", "3", "4"]
    assert all("300 bp" in line for line in lines)
    assert "skipped             3\n" in outcome.out


def test_a_name_that_would_steer_the_terminal_is_shown_escaped() -> None:
    write_fasta(Path("esc.fa"), {"good": LETTERS[0], "\x1b[31mred": "ACGT"})
    outcome = score("-m", torchscript("Net"), "-f", "esc.fa", "-o", "out.h5")
    assert "\x1b" not in outcome.out + outcome.err
    assert "\\x1b[31mred" in outcome.out


def test_a_pipe_is_told_to_be_saved_first() -> None:
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "/dev/null", "-o", "out.h5")
    assert outcome.code == 1
    assert "/dev/null" in outcome.err
