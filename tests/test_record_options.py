"""Options that decide which records are scored, and where windows are cut, from the command to the files."""

import gzip
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from score_files import datasets
from small_models import (
    LENGTH,
    Outcome,
    deeplift,
    encode,
    onnx_file,
    random_letters,
    score,
    torchscript,
    write_fasta,
)

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import GenomeSource, InputIndex, Record, make_selection, open_prepared_source
from deeplift_cli.sequences.renaming import read_names, read_renaming

CHROMS = {"chr1": random_letters(1, 300), "chr2": random_letters(2, 200), "chrM": random_letters(3, 100)}
FEW = ("--n-references", 2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    write_fasta(tmp_path / "g.fa", CHROMS)
    return tmp_path


def bed(*lines: str, name: str = "in.bed") -> Path:
    path = Path(name)
    path.write_text("".join(line.replace(" ", "\t") + "\n" for line in lines))
    return path


def run(*options: object, model: str = "Net", out: str = "out.h5") -> Outcome:
    return score("-m", torchscript(model), "-o", out, *FEW, *options)


def genome_run(*options: object, **given: Any) -> Outcome:
    length = () if "--length" in options else ("--length", LENGTH)  # regions may have any width
    return run("-g", "g.fa", "-r", "in.bed", *length, *options, **given)


def refused(*options: object, model: str = "Net") -> Outcome:
    outcome = deeplift("score", "-m", torchscript(model), "-o", "out.h5", *FEW, *options)
    assert not Path("out.h5").exists()
    return outcome


def rows(path: str = "out.h5") -> list[tuple[str, int, int, str]]:
    with h5py.File(path) as file:
        texts = (file[f"regions/{key}"].asstr()[:].tolist() for key in ("chrom", "strand"))
        places = (file[f"regions/{key}"][:].tolist() for key in ("start", "end"))
        chrom, strand = texts
        return list(zip(chrom, *places, strand, strict=True))


def indexes(path: str = "out.h5") -> list[int]:
    with h5py.File(path) as file:
        found: list[int] = file["regions/index"][:].tolist()
        return found


def sequences(path: str = "out.h5") -> np.ndarray:
    with h5py.File(path) as file:
        found: np.ndarray = file["raw/seq"][:]
        return found


def summary(outcome: Outcome) -> Mapping[str, str]:
    """The table's lines that have a label."""
    lines = [(line[:18].strip(), line[20:]) for line in outcome.out.splitlines()]
    return {label: text for label, text in lines if label}


# ---- kinds of regions files


KINDS = {
    "BED3": ("chr1 100 140", 108),
    "BED4": ("chr1 100 140 a", 108),
    "BED6": ("chr1 100 140 a 0 -", 108),
    "BED12": ("chr1 100 140 a 0 - 100 140 0 2 5,5, 0,35,", 108),
    "BED12 with a single exon": ("chr1 100 140 a 0 - 100 140 0 1 40 0", 108),
    "narrowPeak": ("chr1 100 140 a 0 - 1 1 1 15", 103),
    "narrowPeak without a summit": ("chr1 100 140 a 0 - 1 1 1 -1", 108),
    "narrowPeak and two further columns": ("chr1 100 140 a 0 - 1 1 1 1 5 7", 89),
    "broadPeak": ("chr1 100 140 a 0 - 1 1 1", 108),
    "gappedPeak": ("chr1 100 140 a 0 - 100 140 0 2 5,5 0,35 1 1 1", 108),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_regions_file_is_read(kind: str, packed: bool) -> None:
    line, start = KINDS[kind]
    path = bed(line, "chr2 10 34", line)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = [
        record.region for record in GenomeSource("g.fa", path).records(LENGTH) if isinstance(record, Record)
    ]
    assert [(region.chrom, region.start) for region in found] == [
        ("chr1", start),
        ("chr2", 10),
        ("chr1", start),
    ]
    columns = len(line.split())
    assert found[0].name == ("a" if columns > 3 else "chr1:100-140")
    assert found[0].strand == ("-" if columns > 5 else ".")


def test_order_and_duplicates_are_kept() -> None:
    bed("chr2 50 74 b", "chr1 100 124 a", "chr2 50 74 b", "chr1 20 44 c")
    genome_run()
    assert [(chrom, start) for chrom, start, *_ in rows()] == [
        ("chr2", 50), ("chr1", 100), ("chr2", 50), ("chr1", 20),
    ]  # fmt: skip
    assert [line.split("\t")[:2] for line in Path("out.bed").read_text().splitlines()] == [
        ["chr2", "50"], ["chr1", "100"], ["chr2", "50"], ["chr1", "20"],
    ]  # fmt: skip


# ---- standard input


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("packed", [False, True])
def test_regions_from_standard_input_give_the_scores_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    content = bed("chr2 50 74 b 0 -", "chr1 100 124 a", "chr1 290 310").read_bytes()
    genome_run(out="file.h5")
    (folder / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
    typed(monkeypatch, gzip.compress(content) if packed else content)
    run("-g", "g.fa", "-r", "-", "--length", LENGTH)
    assert not list((folder / "temporary").iterdir())
    assert datasets("out.h5") == datasets("file.h5")
    for ending in ("bed", "skipped.tsv"):
        assert Path(f"out.{ending}").read_text() == Path(f"file.{ending}").read_text()
    with h5py.File("out.h5") as one, h5py.File("file.h5") as other:
        if not packed:  # the content counts, wherever it comes from
            assert one.attrs["fingerprint"] == other.attrs["fingerprint"]


def test_regions_from_a_pipe() -> None:
    command = [sys.executable, "-c", "from deeplift_cli.main import main; main()", "score"]
    options = ["-m", str(torchscript("Net")), "-g", "g.fa", "-r", "-", "-o", "out.h5", "--threads", "1", *FEW]
    words = [*command, *map(str, options)]
    done = subprocess.run(words, input=b"chr1\t100\t124\n", capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert rows() == [("chr1", 100, 124, ".")]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "standard-input is empty"), (b"chr1\t5\n", "standard-input, line 1 has 2 column(s)")],
)
def test_standard_input_that_is_no_regions_file(
    monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    typed(monkeypatch, content)
    outcome = refused("-g", "g.fa", "-r", "-")
    assert outcome.code == 1
    assert words in outcome.err


def test_standard_input_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    outcome = refused("-g", "g.fa", "-r", "-")
    assert (outcome.code, "standard input is closed" in outcome.err) == (1, True)
    typed(monkeypatch, b"chr1\t100\t124\n")
    monkeypatch.setattr(tempfile, "tempdir", "none")
    outcome = refused("-g", "g.fa", "-r", "-")
    assert (outcome.code, "set TMPDIR" in outcome.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("score", "-m", "m.pt", "-o", "out.h5", "--batch-size", "2", "--shard", "1/2"),
        ("prepare",),
    ],
)
def test_what_reads_by_an_index_needs_a_file(words: tuple[str, ...]) -> None:
    outcome = deeplift(*words, "-g", "g.fa", "-r", "-")
    assert (outcome.code, "save the regions to a file first" in outcome.err) == (2, True)


# ---- chromosomes that are chosen


MIXED = ("chr2 50 74", "chr1 100 124", "chrX 5 9", "chr1 288 308", "chrM 10 34", "chr2 20 44")


def test_regions_on_other_chromosomes_are_left_out_and_counted() -> None:
    bed(*MIXED)
    outcome = genome_run("--chroms", "chr1, chrM")
    assert [row[:2] for row in rows()] == [("chr1", 100), ("chrM", 10)]
    assert indexes() == [1, 4]  # numbers of the file's own regions
    assert summary(outcome)["skipped"] == "1"
    assert summary(outcome)["left out"] == "3 on other chromosomes than those of --chroms"
    (line,) = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert line.startswith("3\t4\tchr1:288-308\t")
    assert deeplift("verify", "out.h5", "-m", torchscript("Net")).code == 0
    assert "left out" not in genome_run("--overwrite").out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--chroms", "chr1,"), 2, "'chr1,' is not a list of names"),
        (("--chroms", ""), 2, "--chroms"),
        (("--rename-chroms", ""), 2, "--rename-chroms"),
        (("--chroms", "chr1,1"), 1, "a chromosome of --chroms: --chroms says '1', the genome has 'chr1'"),
        (("--chroms", "chr2"), 1,
         "no region that can be scored on the chromosomes of --chroms (chr2); its first is on 'chr1'"),
        (("--rename-chroms", "none.tsv"), 1, "file of chromosome names none.tsv does not exist"),
    ],
)  # fmt: skip
def test_choices_that_cannot_be_meant(options: tuple[str, ...], code: int, words: str) -> None:
    bed("chr1 100 124")
    outcome = refused("-g", "g.fa", "-r", "in.bed", *options)
    assert (outcome.code, words in outcome.err) == (code, True), outcome.err


@pytest.mark.parametrize("options", [("--chroms", "chr1"), ("--rename-chroms", "ucsc"), ("--edge", "pad")])
@pytest.mark.parametrize("command", ["score", "prepare"])
def test_options_about_regions_go_with_regions(command: str, options: tuple[str, ...]) -> None:
    outcome = deeplift(*([command] if command == "prepare" else ["score", "-m", "m.pt", "-o", "o.h5"]),
                       "-f", "g.fa", *options)  # fmt: skip
    assert outcome.code == 2
    assert f"{options[0]} goes with --genome and --regions" in outcome.err


# ---- chromosomes by other names


def test_names_that_all_miss_are_told_with_the_option_that_helps() -> None:
    bed("one 100 124")
    assert "make the names agree, or give --rename-chroms FILE" in refused("-g", "g.fa", "-r", "in.bed").err
    bed("GL000194.1 5 9", "1 100 124")
    outcome = refused("-g", "g.fa", "-r", "in.bed")
    assert outcome.code == 1
    assert "g.fa has no chromosome of the regions file in.bed: regions say 'GL000194.1'" in outcome.err
    assert "--rename-chroms ucsc translates the regions' names" in outcome.err
    genome_run("--rename-chroms", "ucsc")
    assert rows() == [("chr1", 100, 124, ".")]
    (line,) = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert "its region, renamed, says 'chrGL000194.1', the genome has" in line
    assert "--rename-chroms" not in line


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ("ucsc", "1", "chr1"), ("ucsc", "X", "chrX"), ("ucsc", "MT", "chrM"), ("ucsc", "chr1", "chr1"),
        ("ucsc", "chrM", "chrM"), ("ensembl", "chr1", "1"), ("ensembl", "chrM", "MT"), ("ensembl", "1", "1"),
        ("ensembl", "chrUn_KI270742v1", "Un_KI270742v1"),
        ("names.tsv", "NC_1", "chr1"), ("names.tsv", "other", "other"),
    ],
)  # fmt: skip
def test_translations(given: str, name: str, expected: str) -> None:
    Path("names.tsv").write_text("# alias\tname\tsource\n\nNC_1\tchr1\trefseq\nNC_1\tchr1\n")
    assert read_renaming(given).translate(name) == expected


def test_scores_of_translated_regions_are_those_of_the_genomes_names() -> None:
    bed("chr1 100 124 a 0 -", "chrM 10 34 m", "chr2 50 74")
    genome_run("--strand-aware", out="plain.h5")
    bed("1 100 124 a 0 -", "MT 10 34 m", "2 50 74")
    genome_run("--strand-aware", "--rename-chroms", "ucsc", "--bigwig", "out.bw")
    Path("names.tsv").write_text("1\tchr1\nMT\tchrM\n2\tchr2\n")
    genome_run("--strand-aware", "--rename-chroms", "names.tsv", out="file.h5")
    for path in ("out.h5", "file.h5"):
        assert datasets(path) == datasets("plain.h5")
    assert Path("plain.bed").read_text() == Path("out.bed").read_text()
    import pyBigWig

    with pyBigWig.open("out.bw") as file:
        assert file.chroms() == {name: len(letters) for name, letters in CHROMS.items()}


def test_chosen_chromosomes_may_be_spelled_as_the_regions_spell_them() -> None:
    bed("1 100 124", "2 50 74", "MT 10 34")
    for number, chroms in enumerate(("1,MT", "chr1,chrM")):
        genome_run("--rename-chroms", "ucsc", "--chroms", chroms, out=f"{number}.h5")
        assert [row[0] for row in rows(f"{number}.h5")] == ["chr1", "chrM"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\tb\nc\n", "line 2 has one name"),
        ("a\t\n", "line 1 has one name"),
        ("a\tb\na\tc\n", "line 2 translates 'a' to 'c', an earlier line to 'b'"),
        ("a\tb\x07\n", "line 1 has the control character"),
        ("# nothing\n", "holds no names"),
        ("", "is empty"),
        ("x" * 2**20 + "\n", "line 1 is longer than"),
    ],
)
def test_files_of_names_that_do_not_parse(text: str, words: str) -> None:
    Path("names.tsv").write_text(text)
    with pytest.raises(UserError, match=r"file of chromosome names names\.tsv") as caught:
        read_names(Path("names.tsv"))
    assert words in str(caught.value)


# ---- windows of a length


def fitted(letters: str, length: int) -> str:
    """Cut or padded about the centre, the odd base on the right; written another way than the program's."""
    while len(letters) > length:
        letters = letters[:-1] if (len(letters) - length) % 2 else letters[1:-1]
    while len(letters) < length:
        letters = letters + "N" if (length - len(letters)) % 2 else f"N{letters}N"
    return letters


ANY = torchscript("AnyLength")


@pytest.mark.parametrize("length", [23, 24, 40])
def test_records_of_several_lengths_are_cut_or_padded(length: int) -> None:
    texts = [random_letters(seed, size) for seed, size in enumerate((24, 7, 8, 41, 60, 23))]
    write_fasta(Path("in.fa"), texts)
    outcome = run("-f", "in.fa", "--length", length, model="AnyLength")
    expected = [fitted(text, length) for text in texts]
    np.testing.assert_array_equal(sequences(), [encode(text) for text in expected])
    assert summary(outcome)["window"] == f"{length} bp"
    assert (summary(outcome)["sequences scored"], summary(outcome)["skipped"]) == ("6", "0")
    for (chrom, start, end, _), text, window in zip(rows(), texts, expected, strict=True):
        assert end - start == length
        inside = text[max(start, 0) : end]
        assert chrom.startswith("s")
        assert window.strip("N") == inside
        assert window.index(inside) == max(-start, 0)
    assert deeplift("verify", "out.h5", "-m", ANY).code == 0
    write_fasta(Path("fitted.fa"), {f"s{i}": text for i, text in enumerate(expected)})
    run("-f", "fitted.fa", model="AnyLength", out="fitted.h5")
    with h5py.File("out.h5") as one, h5py.File("fitted.h5") as other:
        np.testing.assert_array_equal(one["raw/seq"][:], other["raw/seq"][:])
        np.testing.assert_array_equal(one["qc/prediction"][:], other["qc/prediction"][:])


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("size", [9, 10, 39, 40])
def test_places_of_records_that_are_cut_or_padded(strand: str, size: int) -> None:
    """Letters of a record on the minus strand run along it, so that its right end is the window's start."""
    turned = str.maketrans("ACGT", "TGCA")
    genome = CHROMS["chr2"]
    places = [(3, 3 + size), (100, 100 + size), (200 - size, 200)]
    parts = {f"chr2:{start}-{end}({strand})": genome[start:end] for start, end in places}
    if strand == "-":
        parts = {name: text[::-1].translate(turned) for name, text in parts.items()}
    write_fasta(Path("in.fa"), parts)
    Path("sizes").write_text("chr2\t200\n")
    run("-f", "in.fa", "--length", LENGTH, "--bigwig", "out.bw", "-c", "sizes")
    kept = sequences()
    for (chrom, start, end, _), one_hot, (first, last) in zip(rows(), kept, places, strict=True):
        assert (chrom, end - start) == ("chr2", LENGTH)
        for place in range(start, end):
            base = genome[place] if first <= place < last else "N"
            np.testing.assert_array_equal(one_hot[:, place - start], encode(base)[:, 0])
    lines = [line.split("\t") for line in Path("out.bed").read_text().splitlines()]
    assert [(int(line[1]), int(line[2])) for line in lines] == [
        (max(start, 0), min(end, 200)) for _, start, end, _ in rows()
    ]
    assert [int(line[1]) + int(line[9]) for line in lines] == [start + LENGTH // 2 for _, start, *_ in rows()]
    assert deeplift("verify", "out.h5", "-m", torchscript("Net")).code == 0
    import pyBigWig

    with h5py.File("out.h5") as file, pyBigWig.open("out.bw") as bigwig:
        projected = file["projected_shap/seq"][:].sum(axis=1)
        projected[~file["raw/seq"][:].any(axis=1)] = np.nan  # positions with N are gaps
        for (_, start, end, _), values in zip(rows(), projected, strict=True):
            first, last = max(start, 0), min(end, 200)
            found = bigwig.values("chr2", first, last, numpy=True)
            np.testing.assert_allclose(found, values[first - start : last - start], atol=1e-6)


def test_records_that_are_padded_need_coordinates_for_a_bigwig() -> None:
    write_fasta(Path("in.fa"), {"chr1": "ACGT" * 4, "one": "ACGT" * 8})
    Path("sizes").write_text("chr1\t200\n")
    outcome = refused("-f", "in.fa", "--length", LENGTH, "--bigwig", "out.bw", "-c", "sizes")
    assert (outcome.code, "record 'one' has no coordinates" in outcome.err) == (1, True)


@pytest.mark.parametrize("given", ["regions", "fasta"])
def test_widths_that_differ_need_a_length(given: str) -> None:
    bed("chr1 100 140", "chrX 1 2", "chr2 100 161", "chr2 300 400", "chr1 250 285")
    texts = [random_letters(seed, size) for seed, size in enumerate((40, 61, 35))]
    write_fasta(Path("in.fa"), {**{f"s{i}": text for i, text in enumerate(texts)}, "none": "", "odd": "ACGE"})
    words = ("-f", "in.fa") if given == "fasta" else ("-g", "g.fa", "-r", "in.bed")
    outcome = refused(*words, model="AnyLength")
    assert outcome.code == 1
    said = "FASTA file in.fa has records" if given == "fasta" else "regions file in.bed has regions"
    assert f"{said} of 35 to 61 bp, and {ANY} takes any length: give --length L" in outcome.err
    outcome = run(*words, "--length", 30, model="AnyLength")
    assert sequences().shape == (3, 4, 30)
    assert summary(outcome)["window"] == "30 bp"
    if given == "regions":
        assert [row[1] for row in rows()] == [105, 115, 252]


@pytest.mark.parametrize("words", [("-g", "g.fa", "-r", "in.bed"), ("-f", "in.fa")])
def test_a_length_that_the_model_does_not_take(words: tuple[str, ...]) -> None:
    bed("chr1 100 124")
    write_fasta(Path("in.fa"), [random_letters(1)])
    outcome = deeplift("score", "-m", onnx_file(), *words, "-o", "out.h5", "--length", 30)
    assert outcome.code == 1
    assert "takes sequences of 24 bp only, not the 30 bp of --length; give --length 24" in outcome.err
    outcome = refused(*words, "--length", 30)
    assert (outcome.code, "does not take sequences of 30 bp; it takes 24 bp" in outcome.err) == (1, True)


def test_a_record_that_is_too_long_to_be_cut_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeplift_cli.sequences.fasta._LONGEST_CUT", 50)
    write_fasta(Path("in.fa"), [random_letters(seed, size) for seed, size in enumerate((50, 51, 10))])
    run("-f", "in.fa", "--length", LENGTH)
    assert indexes() == [0, 2]
    assert "s1\thas 51 letters; records of 50 at most are cut" in Path("out.skipped.tsv").read_text()


def test_the_shared_case_of_several_lengths(shared: Path) -> None:
    model, fasta = (shared / "cases" / name for name in ("fc.onnx", "vary.fa"))
    outcome = deeplift("score", "-m", model, "-f", fasta, "-o", "out.h5", *FEW)
    assert outcome.code == 1
    assert "has records of 120 to 756 bp" in outcome.err
    assert "--length" in outcome.err
    score("-m", model, "-f", fasta, "-o", "out.h5", "--length", 200, *FEW)
    assert sequences().shape == (6, 4, 200)
    assert deeplift("verify", "out.h5", "-m", model).code == 0


# ---- windows over the ends of chromosomes


def padded(chrom: str, start: int, end: int) -> str:
    letters = CHROMS[chrom]
    return "".join(letters[place] if 0 <= place < len(letters) else "N" for place in range(start, end))


# Centres at and beside both ends of chr2, which has 200 bp, and in its middle.
CENTRES = (0, 1, 11, 12, 13, 100, 187, 188, 189, 198, 199)


@pytest.mark.parametrize("length", [23, 24])
@pytest.mark.parametrize("kind", ["summits", "midpoints"])
def test_windows_over_both_ends_are_padded(length: int, kind: str) -> None:
    if kind == "summits":
        bed("chr2 200 260 after 0 - 1 1 1 0", *(f"chr2 {c} {c + 30} p{c} 0 - 1 1 1 0" for c in CENTRES))
    else:
        bed("chr2 190 210 after 0 -", *(f"chr2 {c - 1} {c + 1} p{c} 0 -" for c in CENTRES))
    outcome = genome_run(
        "--edge", "pad", "--length", length, "--bigwig", "out.bw", "--strand-aware", model="AnyLength"
    )
    places = [(c - length // 2, c - length // 2 + length) for c in CENTRES]
    assert rows() == [("chr2", *place, "-") for place in places]
    np.testing.assert_array_equal(sequences(), [encode(padded("chr2", *place)) for place in places])
    assert summary(outcome)["skipped"] == "1"
    assert (
        "whose centre lies outside the chromosome (200 bp; are regions and genome of one assembly?)"
        in Path("out.skipped.tsv").read_text()
    )

    lines = [line.split("\t") for line in Path("out.bed").read_text().splitlines()]
    found = [(int(line[1]), int(line[2]), int(line[1]) + int(line[9])) for line in lines]
    assert found == [(max(a, 0), min(b, 200), c) for (a, b), c in zip(places, CENTRES, strict=True)]
    assert deeplift("verify", "out.h5", "-m", ANY).code == 0
    assert deeplift("show", "out.h5", "--name", "p0").code == 0

    genome_again = ("-g", "g.fa", "-r", "out.bed", "--edge", "pad", "--length", length)
    run(*genome_again, model="AnyLength", out="again.h5")
    assert [row[:3] for row in rows("again.h5")] == [row[:3] for row in rows()]


@pytest.mark.parametrize("overlap", ["nearest-centre", "mean"])
@pytest.mark.parametrize("reader", ["pyBigWig", "pybigtools"])
def test_the_bigwig_of_padded_windows_ends_with_the_chromosome(overlap: str, reader: str) -> None:
    centres = {"chr1": (5, 7, 292, 299), "chrM": (0, 50, 99)}
    bed(*(f"{chrom} {c} {c + 1}" for chrom, all_centres in centres.items() for c in all_centres))
    genome_run("--edge", "pad", "--bigwig", "out.bw", "--overlap", overlap)
    expected = {chrom: np.full((2, len(letters)), 0.0) for chrom, letters in CHROMS.items()}
    nearest = {chrom: np.full(len(letters), np.inf) for chrom, letters in CHROMS.items()}
    with h5py.File("out.h5") as file:
        values = file["projected_shap/seq"][:].sum(axis=1)
    for (chrom, start, end, _), row in zip(rows(), values, strict=True):
        for place in range(max(start, 0), min(end, len(CHROMS[chrom]))):
            distance = abs(place - (start + LENGTH // 2))
            if overlap == "mean":
                expected[chrom][:, place] += row[place - start], 1
            elif distance <= nearest[chrom][place]:  # of two at one distance the one further right
                nearest[chrom][place] = distance
                expected[chrom][:, place] = row[place - start], 1
    for chrom, (total, count) in expected.items():
        with np.errstate(invalid="ignore"):
            mean = total / count
        np.testing.assert_allclose(read_bigwig(reader, chrom), mean, atol=1e-6)
    assert deeplift("export", "out.h5", "--bigwig", "again.bw", "--overlap", overlap).code == 0
    assert Path("again.bw").read_bytes() == Path("out.bw").read_bytes()
    assert deeplift("export", "out.h5", "--bedgraph", "out.bedGraph", "--overlap", overlap).code == 0
    for line in Path("out.bedGraph").read_text().splitlines():
        chrom, start, end, _ = line.split("\t")
        assert 0 <= int(start) < int(end) <= len(CHROMS[chrom])
    Path("sizes").write_text("chr1\t250\nchrM\t100\n")
    outcome = deeplift("export", "out.h5", "--bigwig", "other.bw", "-c", "sizes")
    assert (outcome.code, "lies outside its chromosome, which has 250 bp" in outcome.err) == (1, True)


def read_bigwig(reader: str, chrom: str) -> np.ndarray:
    size = len(CHROMS[chrom])
    if reader == "pyBigWig":
        import pyBigWig

        with pyBigWig.open("out.bw") as file:
            return np.array(file.values(chrom, 0, size) if chrom in file.chroms() else [np.nan] * size)
    import pybigtools

    with pybigtools.open("out.bw") as file:
        known = chrom in file.chroms()
        return np.array(file.values(chrom, 0, size, fillna=np.nan) if known else [np.nan] * size)


def test_windows_over_the_ends_are_skipped_unless_padded() -> None:
    bed("chr2 0 20", "chr2 50 74", "chr2 180 200")
    for options in ((), ("--edge", "skip")):
        outcome = genome_run("--overwrite", *options)
        assert indexes() == [1]
        assert summary(outcome)["skipped"] == "2"


def test_scores_of_padded_windows_are_those_of_their_letters() -> None:
    """The same sequences as FASTA records with N give the same output and contributions."""
    bed("chr2 0 10", "chr2 50 74", "chr2 190 200")
    genome_run("--edge", "pad")
    write_fasta(Path("in.fa"), [padded("chr2", start, end) for _, start, end, _ in rows()])
    run("-f", "in.fa", out="fasta.h5")
    with h5py.File("out.h5") as one, h5py.File("fasta.h5") as other:
        for name in ("raw/seq", "shap/seq", "qc/output", "qc/reference_output"):
            np.testing.assert_array_equal(one[name][:], other[name][:])


def test_a_chromosome_shorter_than_the_window_is_padded_on_both_sides() -> None:
    write_fasta(Path("g.fa"), {"tiny": "ACGTA", "long": random_letters(4, 60)})
    bed("tiny 0 5", "long 10 34")
    genome_run("--edge", "pad")
    np.testing.assert_array_equal(sequences()[0], encode("N" * 10 + "ACGTA" + "N" * 9))
    assert [line.split("\t")[1:3] for line in Path("out.bed").read_text().splitlines()] == [
        ["0", "5"], ["10", "34"],
    ]  # fmt: skip


# ---- the share of N


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, [0, 1, 2, 3]), (0, [0]), (0.25, [0, 1]), (0.2499, [0]), (0.5, [0, 1, 2]),
                        (1, [0, 1, 2, 3])]
)  # fmt: skip
def test_sequences_with_more_n_are_skipped(limit: float | None, kept: list[int]) -> None:
    letters = random_letters(9)
    texts = [letters, "N" * 6 + letters[6:], letters[:12] + "NRYKMSWBDHVX", "N" * 23 + "A"]
    write_fasta(Path("in.fa"), texts)
    write_fasta(Path("g.fa"), {f"c{i}": text for i, text in enumerate(texts)})
    bed(*(f"c{i} 0 24" for i in range(4)))
    options = () if limit is None else ("--max-n", limit)
    for words in (("-f", "in.fa"), ("-g", "g.fa", "-r", "in.bed")):
        run(*words, *options, "--overwrite")
        assert indexes() == kept
        lines = Path("out.skipped.tsv").read_text().splitlines()[1:]
        assert [int(line.split("\t")[0]) for line in lines] == [i for i in range(4) if i not in kept]
        assert all(f"above --max-n {limit:g}" in line for line in lines)


def test_padding_counts_as_n() -> None:
    write_fasta(Path("in.fa"), [random_letters(1, 18), random_letters(2, 17)])
    run("-f", "in.fa", "--length", LENGTH, "--max-n", 0.25)
    assert indexes() == [0]
    bed("chr2 6 7", "chr2 5 6", "chr2 193 194", "chr2 195 196")
    genome_run("--edge", "pad", "--max-n", 0.25, "--overwrite")
    assert indexes() == [0, 2]
    assert "chr2:195-196\thas 7 letters that are no base" in Path("out.skipped.tsv").read_text()


# ---- shards


def assert_shards_are_the_whole_job(*options: object) -> None:
    """Shards with an index and merged are one run, and a shard of another choice is of another job."""
    whole = ("-m", torchscript("Net"), "--batch-size", 2, "--compile", "off", *options)
    score(*whole, "-o", "whole.h5")
    for number in (1, 2):
        score(*whole, "-o", f"part{number}.h5", "--shard", f"{number}/2")
    assert deeplift("merge", "part1.h5", "part2.h5", "-o", "merged.h5").code == 0
    assert datasets("merged.h5") == datasets("whole.h5")
    for ending in ("bed", "skipped.tsv"):
        assert Path(f"merged.{ending}").read_text() == Path(f"whole.{ending}").read_text()


def test_shards_of_chosen_regions() -> None:
    bed(*MIXED[::-1], *MIXED, "chr1 200 224", "chr1 5 29")
    assert_shards_are_the_whole_job("-g", "g.fa", "-r", "in.bed", "--chroms", "chr1,chrM", *FEW)
    score("-m", torchscript("Net"), *FEW, "--batch-size", 2, "--compile", "off", "-g", "g.fa", "-r", "in.bed",
          "-o", "other2.h5", "--shard", "2/2", "--chroms", "chr1,chr2")  # fmt: skip
    outcome = deeplift("merge", "part1.h5", "other2.h5", "-o", "mixed.h5")
    assert outcome.code == 1
    assert "--chroms" in outcome.err


def test_shards_of_records_that_are_cut_or_padded() -> None:
    sizes = (24, 7, 8, 41, 0, 60, 23, 24)
    write_fasta(Path("in.fa"), [random_letters(seed, size) for seed, size in enumerate(sizes)])
    assert_shards_are_the_whole_job("-f", "in.fa", "--length", LENGTH, "--reference", "mean")
    said = deeplift("prepare", "-f", "in.fa", "--length", LENGTH)
    assert "8 record(s), of which 7 can be scored with 24 bp; its index is there already" in said.out
    assert "of which 2 can be scored with 24 bp; made" in deeplift("prepare", "-f", "in.fa").out


def test_shards_of_padded_windows() -> None:
    bed("chr2 0 2", "chr2 50 74", "chr1 298 300", "chr9 1 2", "chr2 194 200", "chr1 0 24", "chrM 30 54")
    assert_shards_are_the_whole_job(
        "-g", "g.fa", "-r", "in.bed", "--length", LENGTH, "--edge", "pad", "--max-n", 0.45, *FEW
    )
    outcome = deeplift("merge", "part1.h5", "part2.h5", "-o", "again.h5", "--bigwig", "again.bw")
    assert outcome.code == 0
    assert indexes("again.h5") == [1, 4, 5, 6]


def test_an_index_belongs_to_one_choice() -> None:
    bed(*MIXED)
    found = []
    Path("names.tsv").write_text("chrX\tchr2\n")
    choices: list[dict[str, Any]] = [
        {}, {"chroms": ("chr1",)}, {"chroms": ("chr2", "chrM")}, {"rename_chroms": "names.tsv"},
        {"max_n": 0.5}, {"edge": "pad"},
    ]  # fmt: skip
    for choice in choices:
        selection = make_selection(**choice)
        source = open_prepared_source(None, Path("g.fa"), Path("in.bed"), str, selection)
        index = InputIndex(source, LENGTH, str)
        assert index.is_new
        found.append((source.n_records, source.facts.n_left_out, index.n_records, index.n_usable))
        again = open_prepared_source(None, Path("g.fa"), Path("in.bed"), str, selection)
        assert again.facts == source.facts
        assert not InputIndex(again, LENGTH, str).is_new
        assert list(index.records(range(sys.maxsize), 2)) == list(again.records(LENGTH))
    assert found == [
        (6, 0, 6, 4), (2, 4, 2, 1), (3, 3, 3, 3), (6, 0, 6, 4), (6, 0, 6, 4), (6, 0, 6, 5),
    ]  # fmt: skip


def test_prepare_makes_the_index_that_score_uses() -> None:
    bed("1 100 124", "2 50 74", "MT 10 34")
    options = ("-g", "g.fa", "-r", "in.bed", "--chroms", "chr1,chrM", "--rename-chroms", "ucsc")
    said = deeplift("prepare", *options, "--length", LENGTH)
    assert "in.bed: 2 record(s), of which 2 can be scored" in said.out
    sharded = (*options, "--shard", "1/2", "--batch-size", 1)
    assert "indexing" not in run(*sharded).err
