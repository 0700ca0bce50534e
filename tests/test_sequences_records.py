"""Records are checked when they are read: letters, names, places, and sizes that memory could not take."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import h5py
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_models import LENGTH, deeplift, random_letters, score, torchscript, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.sequences import FastaSource, GenomeSource, Record, Skipped
from deeplift_cli.sequences.names import parse_coordinates

GOOD = random_letters(1)
NUCLEOTIDES = "ACGTURYSWKMBDHVNX"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def reasons(path: Path, length: int | None) -> list[str | None]:
    records = FastaSource(path).records(length)
    return [record.reason if isinstance(record, Skipped) else None for record in records]


# ---- letters


@pytest.mark.parametrize("letter", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_letters_of_no_nucleotide_make_a_record_skipped(letter: str) -> None:
    for text in (letter, letter.lower()):
        path = write("in.fa", f">good\nACGTAC\n>odd words\nACG\nA{text}C\n")
        expected = None
        if letter not in NUCLEOTIDES:
            expected = f"has the letter '{text}', which stands for no nucleotide, at position 5"
        assert reasons(path, 6) == [None, expected]


@pytest.mark.parametrize("letters", ["MKVLEFIP", "acgt" * 2 + "\n" + "acqt" * 2])
def test_a_file_of_protein_is_refused_as_a_whole(letters: str) -> None:
    path = write("protein.fa", f">empty\n>one\n{letters}\n>two\nMKQ\n")
    with pytest.raises(
        UserError, match=r"protein\.fa looks like protein.*each of its 2 records.*'one' \(line 2\)"
    ):
        FastaSource(path)
    write("protein.fa", f">one\n{letters}\n>dna\n{GOOD}\n")
    assert FastaSource("protein.fa").first_length() == LENGTH  # of the first record that is DNA


def test_protein_is_not_scored_by_the_command() -> None:
    write("p.fa", f">a\n{'MKTAYIAKQRQISFVKSHFSRQLE'}\n")
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "p.fa", "-o", "out.h5")
    assert outcome.code == 1
    assert "p.fa looks like protein" in outcome.err
    write("mixed.fa", f">a\n{'MKTAYIAKQRQISFVKSHFSRQLE'}\n>b\n{GOOD}\n")
    score("-m", torchscript("Net"), "-f", "mixed.fa", "-o", "out.h5")
    assert "has the letter 'I'" in Path("out.skipped.tsv").read_text()


def test_windows_with_a_letter_of_no_nucleotide_are_skipped() -> None:
    genome = write("g.fa", ">c\n" + "ACGT" * 10 + "\n" + "ACGTEACGTA" * 4 + "\n")
    bed = write("in.bed", "c\t0\t10\nc\t40\t50\n")
    kept, skipped = GenomeSource(genome, bed).records(None)
    assert isinstance(kept, Record)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == (
        "has the letter 'E', which stands for no nucleotide, at position 5 of its window c:40-50"
    )


def test_a_digit_in_a_genome_stops_the_run() -> None:
    genome = write("g.fa", ">c\nACGT1CGTAC\n")
    bed = write("in.bed", "c\t0\t4\nc\t2\t6\n")
    records = GenomeSource(genome, bed).records(None)
    assert isinstance(next(records), Record)
    with pytest.raises(UserError, match=r"cannot be read at c:2-6: there is '1'"):
        next(records)
    genome.write_text(">c\nACGT1CGTAC\nA\nC\n")  # no index tells where these lines are: the genome is copied
    with pytest.raises(UserError, match=r"line 2 holds '1'"):
        GenomeSource(genome, bed)


# ---- names


@pytest.mark.parametrize("sign", ["\x00", "\x01", "\x07", "\x7f", "\x9b"])
def test_names_with_control_characters_are_skipped_before_anything_is_scored(sign: str) -> None:
    write("in.fa", f">a{sign}b\n{GOOD}\n>good\n{GOOD}\n")
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", "--n-references", 2)
    with h5py.File("out.h5") as file:
        assert file["regions/name"][:].tolist() == [b"good"]
    (line,) = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert "control character" in line
    assert ascii(sign)[1:-1] in line
    assert sign not in line


def test_bed_names_and_chromosomes_with_control_characters_are_skipped() -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    bed = write("in.bed", "c\t0\t24\ta\x00b\nc\t0\t24\tgood\nc\x00\t0\t24\nc\t10\t34\t\x1b[31m\n")
    score("-m", torchscript("Net"), "-g", genome, "-r", bed, "-o", "out.h5", "--n-references", 2)
    with h5py.File("out.h5") as file:
        assert file["regions/name"][:].tolist() == [b"good"]
    lines = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == ["1", "3", "4"]
    assert all("control character" in line for line in lines)


def test_halves_of_surrogate_pairs_become_replacement_characters() -> None:
    write("in.fa", f">a\ud800b\n{GOOD}\n".encode("utf-8", "surrogatepass"))
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", "--n-references", 2)
    with h5py.File("out.h5") as file:
        assert "\ufffd" in file["regions/name"][0].decode()


def test_chromosome_sizes_with_control_characters_are_refused() -> None:
    for text in ("a\x00\t5\n", "a\x07\t5\n"):
        with pytest.raises(UserError, match="line 1 has the control character"):
            read_chrom_sizes(write("sizes", text))


def test_names_after_a_blank_are_told_apart(shared: Path) -> None:
    notes = list[str]()
    shutil.copyfile(shared / "cases" / "space.fa", "space.fa")
    source = FastaSource("space.fa", notes.append)
    names = [record.region.name for record in source.records(None) if isinstance(record, Record)]
    assert names == ["seq 0", "seq 1", "seq 2", "seq 3"]
    assert len(notes) == 1
    assert "line 1: a blank follows '>'" in notes[0]
    write("tabs.fa", f">\t a\tb  c\n{GOOD}\n>  \n{GOOD}\n>c d\n{GOOD}\n")
    names = [r.region.name for r in FastaSource("tabs.fa").records(None) if isinstance(r, Record)]
    assert names == ["a b c", "record_2", "c"]


def test_records_that_share_a_name_are_told() -> None:
    notes = list[str]()
    FastaSource(write("in.fa", f">seq 0\n{GOOD}\n>seq 1\n{GOOD}\n>seq 2\n{GOOD}\n"), notes.append)
    assert len(notes) == 1
    assert "records 1 and 2 are both named 'seq'" in notes[0]
    FastaSource(write("in.fa", f">a 0\n{GOOD}\n>b 0\n{GOOD}\n>a 1\n{GOOD}\n"), notes.append)
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("length", "is_scored"), [(50_000, True), (65_536, True), (65_537, False), (10**7, False)]
)
def test_headings_of_any_length_are_quick(length: int, is_scored: bool) -> None:
    began = time.perf_counter()
    write("in.fa", f">{':' * length}\n{GOOD}\n>good {'x' * 10**6}\n{GOOD}\n")
    first, second = FastaSource("in.fa").records(None)
    assert time.perf_counter() - began < 2
    assert isinstance(first, Record) == is_scored
    assert isinstance(second, Record)
    if isinstance(first, Skipped):
        assert first.reason == "has a name of more than 65,536 characters"
        assert len(first.name) < 70_000


def test_a_heading_of_colons_is_scored() -> None:
    write("in.fa", f">{':' * 50_000}\n{GOOD}\n")
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", "--n-references", 2)
    with h5py.File("out.h5") as file:
        assert file["regions/name"][0] == b":" * 50_000


# The expression that names were read with, which takes quadratic time.
SLOW = re.compile(
    r"(?:.*::)?(?P<chrom>.+):(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)(?:\((?P<strand>[-+.]?)\))?", re.ASCII
)


SPANS = st.builds(
    "{}:{}-{}{}".format,
    st.text("a:", max_size=5),
    st.text("0123,", min_size=1, max_size=3),
    st.text("0123,", min_size=1, max_size=3),
    st.sampled_from(["", "(+)", "(-)", "(.)", "()", "(a)"]),
)


@given(st.text(":-(+).,019a", max_size=14) | SPANS)
@example("a:::1-5")
@example("::1-5")
@example(":::1-5")
@settings(max_examples=150, deadline=None)
def test_coordinates_are_what_one_expression_finds(name: str) -> None:
    match = SLOW.fullmatch(name)
    for length in range(6):
        expected = None
        if match is not None:
            start, end = int(match["start"].replace(",", "")), int(match["end"].replace(",", ""))
            shift = {end - start: 0, end - start + 1: 1}.get(length)
            if shift is not None and start >= shift:
                expected = (match["chrom"], start - shift, end, match["strand"] or ".")
        assert parse_coordinates(name, length) == expected


# ---- places


def test_coordinates_beyond_64_bits_are_skipped() -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    digits = "9" * 5000
    lines = [
        "c\t0\t24\tgood",
        f"c\t{10**20}\t{10**20 + 24}",
        f"c\t-{digits}\t5",
        f"c\t1\t{digits}\tlong",
        f"c\t0\t24\tsummit\t0\t.\t1\t1\t1\t{digits}",
        f"c\t{10**17}\t{10**17 + 24}\tfar",
        f"c\t{'0' * 5000}5\t{'0' * 5000}29\tzeros",
    ]
    score("-m", torchscript("Net"), "-g", genome, "-r", write("in.bed", "\n".join(lines)), "-o", "out.h5",
          "--n-references", 2)  # fmt: skip
    with h5py.File("out.h5") as file:
        assert file["regions/name"][:].tolist() == [b"good", b"summit", b"zeros"]
        assert file["regions/start"][2] == 5
    skipped = Path("out.skipped.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in skipped] == ["2", "3", "4", "6"]
    assert all("beyond what 64 bits hold" in line for line in skipped[:3])
    assert all(len(line) < 300 for line in skipped)


def test_regions_that_all_lie_beyond_64_bits_are_refused() -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    bed = write("in.bed", f"c\t{10**20}\t{10**20 + 24}\n")
    with pytest.raises(UserError, match=r"in\.bed has no region that can be scored.*beyond what 64 bits"):
        GenomeSource(genome, bed)


def test_a_literal_of_another_kind_is_refused_with_its_line() -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    for text in ("1e20", "0x10", "١٢", "1.0", "--1"):
        with pytest.raises(UserError, match=r"in\.bed, line 2 has .* where the start belongs"):
            GenomeSource(genome, write("in.bed", f"c\t0\t24\nc\t{text}\t24\n"))


def test_coordinates_in_names_beyond_64_bits_are_part_of_the_name() -> None:
    name = f"chr1:{10**20}-{10**20 + LENGTH}"
    write("in.fa", f">{name}\n{GOOD}\n>chr1:{'1' * 9000}-{'1' * 9000}\n{GOOD}\n")
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", "--n-references", 2)
    with h5py.File("out.h5") as file:
        assert file["regions/chrom"][0].decode() == name
        assert file["regions/end"][:].tolist() == [LENGTH, LENGTH]


@pytest.mark.parametrize("size", ["9" * 5000, str(2**32), "0", "-1", "1e9", "x" * 9000])
def test_chromosome_sizes_that_are_none(size: str) -> None:
    with pytest.raises(UserError, match=r"line 1 has .* where the length belongs") as caught:
        read_chrom_sizes(write("sizes", f"c\t{size}\n"))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "options",
    [
        ["--target", "9" * 5000],
        ["--target", f"(1,{'9' * 5000})"],
        ["--output", "9" * 5000],
        ["--batch-size", "9" * 5000],
        ["--shard", f"1/{'9' * 5000}", "--batch-size", "2"],
        ["--shard", f"{'9' * 20}/{'9' * 20}", "--batch-size", "2"],
        ["--shard", "²/³", "--batch-size", "2"],
        ["--frequencies", "a,b,c,d"],
        ["--seed", "9" * 5000],
    ],
)
def test_numbers_that_cannot_be_are_unusable_options(options: list[str]) -> None:
    write("in.fa", f">a\n{GOOD}\n")
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", *options)
    assert outcome.code == 2
    assert "set_int_max_str_digits" not in outcome.err
    assert "Traceback" not in outcome.err


# ---- sizes


def test_a_record_of_any_length_is_skipped_in_bounded_memory() -> None:
    """16 million letters, on one line and on lines of 60, read as by a model that takes 24."""
    for name, width in (("one.fa", 10**9), ("wrapped.fa", 60)):
        letters = "ACGT" * (4_000_000 if width > 60 else 200_000)
        lines = (letters[i : i + width] for i in range(0, len(letters), width))
        write(name, f">big\n{chr(10).join(lines)}\n>good\n{GOOD}\n")
        size = len(letters)
        del letters, lines
        tracemalloc.start()
        big, good = FastaSource(name).records(LENGTH)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(big, Skipped)
        assert big.reason == f"is {size} bp long; the model takes 24 bp (--length 24 cuts and pads records)"
        assert isinstance(good, Record)
        assert peak < 4e6


def test_a_foreign_letter_far_into_a_long_record_is_found_in_its_place() -> None:
    write("in.fa", f">big\n{'ACGT' * 500_000}\nACE\n>good\n{GOOD}\n")
    assert reasons(Path("in.fa"), LENGTH) == [
        "has the letter 'E', which stands for no nucleotide, at position 2,000,003", None
    ]  # fmt: skip


def test_a_genome_of_one_long_line_is_indexed_and_copied_in_bounded_memory() -> None:
    """pyfaidx holds a line three times while it makes an index; a copy is made without holding it."""
    letters = random_letters(3, 1_000_000) * 8
    write("g.fa", f">c\n{letters}\n")
    write("packed.fa", gzip.compress(f">c\n{letters}\n".encode(), 1))
    expected = letters[7_999_000:].encode()
    del letters
    bed = write("in.bed", "c\t7999000\t8000000\n")
    for name, most in (("g.fa", 32e6), ("packed.fa", 16e6)):
        tracemalloc.start()
        (record,) = GenomeSource(name, bed).records(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(record, Record)
        assert record.letters == expected
        assert peak < most


@pytest.mark.parametrize("reader", ["regions", "sizes"])
def test_a_table_of_one_endless_line_is_refused_in_bounded_memory(reader: str) -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    with gzip.open("table.gz", "wb", 1) as file:
        for _ in range(64):
            file.write(b"c" * 2**20)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"table\.gz, line 1 is longer than"):
        GenomeSource(genome, "table.gz") if reader == "regions" else read_chrom_sizes(Path("table.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


def test_a_bomb_of_gzip_is_read_as_a_stream() -> None:
    """Lines, letters and zeros, 8 MB of the last two in 8 kB."""
    for name, begin, byte in (("blank", b"", b"\n"), ("letters", b">a\n", b"A"), ("zeros", b">a\n", b"\x00")):
        with gzip.open(f"{name}.fa.gz", "wb", 9) as file:
            file.write(begin)
            for _ in range(1 if name == "blank" else 8):
                file.write(byte * (2**15 if name == "blank" else 2**20))
    for name, words in (("blank", "blank lines"), ("letters", "8388608 bp"), ("zeros", r"'\\x00'")):
        tracemalloc.start()
        try:
            found = next(FastaSource(f"{name}.fa.gz").records(LENGTH))
            assert isinstance(found, Skipped)
            text = found.reason
        except UserError as error:
            text = str(error)
        assert tracemalloc.get_traced_memory()[1] < 4e6
        tracemalloc.stop()
        assert re.search(words, text)


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/dev/stdin"])
def test_what_is_no_regular_file_is_told_at_once(kind: str) -> None:
    if kind == "pipe":
        os.mkfifo("pipe")
    good = ["-m", str(torchscript("AnyLength")), "-o", "out.h5"]
    write("in.fa", f">chr1:0-24\n{GOOD}\n")
    write("in.bed", "chr1:0-24\t0\t24\n")
    for options in (
        ["-f", kind],
        ["-g", kind, "-r", "in.bed"],
        ["-g", "in.fa", "-r", kind],
        ["-f", "in.fa", "--bigwig", "x.bw", "-c", kind],
        ["-f", "in.fa", "--reference", f"background:{kind}"],
        ["-f", "in.fa", "--reference", f"file:{kind}"],
    ):
        outcome = deeplift("score", *good, *options)
        assert outcome.code == 1
        assert f"{kind} is not a regular file" in outcome.err, options


def test_an_index_that_is_a_pipe_is_not_waited_for() -> None:
    genome = write_fasta(Path("g.fa"), {"c": random_letters(2, 100)})
    os.mkfifo("g.fa.fai")
    assert len(list(GenomeSource(genome, write("in.bed", "c\t0\t24\n")).records(None))) == 1


def test_reading_within_a_limit_of_memory() -> None:
    """A process with 18 MB of address space left reads past a record of 36 million letters."""
    with open("big.fa", "wb") as file:
        file.write(b">big\n")
        for _ in range(36):
            file.write(b"ACGT" * 250_000)
        file.write(f"\n>good\n{GOOD}\n".encode())
    script = (
        "import resource, sys\n"
        "from deeplift_cli.sequences import FastaSource\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 18_000_000,) * 2)\n"
        "print([type(record).__name__ for record in FastaSource('big.fa').records(24)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "['Skipped', 'Record']\n", done.stderr
