"""FASTA input: what is read, what is skipped, what is refused."""

import gzip
import io
import subprocess
import tracemalloc
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import FastaSource, Record, Region, Skipped, one_hot
from deeplift_cli.sequences.names import parse_coordinates
from deeplift_cli.sequences.text import pieces


def write(folder: Path, content: str | bytes, name: str = "in.fa") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def letters_of(path: Path, length: int | None = None) -> list[bytes]:
    return [record.letters for record in FastaSource(path).records(length) if isinstance(record, Record)]


def naive_fasta(text: str) -> dict[str, str]:
    """Heading to sequence, by splitting: shares nothing with the parser."""
    pieces = text.replace("\r", "").split(">")[1:]
    return {piece.split("\n")[0]: "".join(piece.split("\n")[1:]) for piece in pieces}


@pytest.mark.parametrize(
    "text",
    [
        ">a\nACGT\n>b\nTTTT\n",
        ">a\nACGT\n>b\nTTTT",  # no newline at the end
        ">a\r\nAC\r\nGT\r\n>b\r\nTTTT\r\n",
        ">a\rACGT\r>b\rTTTT\r",
        "\n\n>a\n\nAC\n\nGT\n\n>b\nTTTT\n\n\n",
        ">a\nacgt\n>b\nuuuu\n",
        ">a\nAC GT  \n>b\n\tTT TT\n",
        "\ufeff>a some words | and : more\nACGT\n>b\tx\nTTTT\n",
    ],
)
def test_odd_but_valid_files_read_alike(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    records = list(FastaSource(path).records(4))
    assert [record.letters for record in records if isinstance(record, Record)] == [b"ACGT", b"TTTT"]
    assert [record.region.name for record in records if isinstance(record, Record)] == ["a", "b"]


def test_iupac_letters_gaps_and_stops_stay_as_they_are(tmp_path: Path) -> None:
    assert letters_of(write(tmp_path, ">a\nACGTNRYKMSWBDHVacgun-*\n")) == [b"ACGTNRYKMSWBDHVACGTN-*"]


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b">a\nACGT\n", mtime=0), "misnamed.fa")
    assert letters_of(path) == [b"ACGT"]
    assert letters_of(write(tmp_path, ">a\nACGT\n", "misnamed.fa.gz")) == [b"ACGT"]


def test_a_record_knows_its_number_line_and_place(tmp_path: Path) -> None:
    path = write(tmp_path, "\n>one two\nAC\nGT\n\n>chr1:7-11(-) x\nACGT\n")
    first, second = FastaSource(path).records(None)
    assert first == Record(Region("one", 0, 4, "one", ".", 0), b"ACGT", False, 2)
    assert second == Record(Region("chr1", 7, 11, "chr1:7-11(-)", "-", 1), b"ACGT", True, 6)


def test_records_that_cannot_be_scored_are_skipped_with_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, ">a\nACGT\n>b\nACGTA\n>c\n>d\nNNRN\n>\nACNN\n")
    source = FastaSource(path)
    records = list(source.records(4))
    assert source.n_records == len(records) == 5
    assert records[1] == Skipped(
        1, "b", 3, "is 5 bp long; the model takes 4 bp (--length 4 cuts and pads records)"
    )
    assert records[2] == Skipped(2, "c", 5, "has no letters")
    assert isinstance(records[3], Skipped)
    assert "no base" in records[3].reason
    assert isinstance(records[4], Record)
    assert (records[4].region.index, records[4].region.name) == (4, "record_5")


def test_length_of_the_first_record_serves_where_the_model_takes_any(tmp_path: Path) -> None:
    source = FastaSource(write(tmp_path, ">empty\n>a\nACG\n>b\nACGT\n>c\nTTT\n"))
    assert source.first_length() == 3
    for _ in range(2):  # may be read again
        kinds = [type(record) for record in source.records(None)]
        assert kinds == [Skipped, Record, Skipped, Record]
    assert "is 4 bp long; the first record has 3 bp (--length 3 cuts and pads records)" in [
        getattr(r, "reason", "") for r in source.records(None)
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "nothing but blank lines"),
        (b"ACGT\n", "line 1 begins with 'ACGT', not '>'"),
        (b"\n\nchr1\t1\t2\n", "line 3 begins with"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a FASTA file"),
        (b">a\nACGT\n>b\nAC5T\n", "record 2 (b), line 4 holds '5'"),
        (b">a\nAC\xc3\xa9T\n", "record 1 (a), line 2 holds"),
        (b">a\nACGT;\n", "holds ';'"),
        (b">a\n>b\n", "2 headings but no letters"),
        (
            gzip.compress(b">a\n" + bytes(np.random.default_rng(0).choice(list(b"ACGT"), 9999)))[:-200],
            "cut short",
        ),
        (gzip.compress(b">a\nACGT\n", mtime=0)[:-8] + b"12345678", "damaged"),
    ],
)
def test_files_that_do_not_parse_are_refused_at_once(tmp_path: Path, content: bytes, words: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError) as caught:
        FastaSource(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        FastaSource(tmp_path / "none.fa")
    with pytest.raises(UserError, match="is a folder"):
        FastaSource(tmp_path)
    with pytest.raises(UserError, match="not a regular file"):
        FastaSource("/dev/null")


@pytest.mark.parametrize(
    ("name", "length", "expected"),
    [
        ("chr1:100-200", 100, ("chr1", 100, 200, ".")),
        ("chr1:100-200", 101, ("chr1", 99, 200, ".")),
        ("chr1:100-200", 99, None),
        ("chr1:100-200(+)", 100, ("chr1", 100, 200, "+")),
        ("chr1:100-200(-)", 100, ("chr1", 100, 200, "-")),
        ("chr1:100-200(.)", 100, ("chr1", 100, 200, ".")),
        ("peak::7::chr1:100-200(-)", 100, ("chr1", 100, 200, "-")),
        ("HLA:A*01:5-9", 4, ("HLA:A*01", 5, 9, ".")),
        ("22:20000001-21000000", 1_000_000, ("22", 20_000_000, 21_000_000, ".")),
        ("chr1:1,001-2,000", 1000, ("chr1", 1000, 2000, ".")),
        ("chr1:0-9", 10, None),  # 1-based and closed cannot begin at 0
        ("chr1:0-10", 10, ("chr1", 0, 10, ".")),
        ("gi|1|dbj|A.1|", 10, None),
        ("TANGO2|donor|+|8768", 18, None),
        ("chr1:5", 5, None),
        (":1-5", 4, None),
    ],
)
def test_coordinates_in_names(name: str, length: int, expected: tuple[str, int, int, str] | None) -> None:
    assert parse_coordinates(name, length) == expected


@given(st.lists(st.text("ACGTNRYacgt*-U", min_size=7, max_size=7), min_size=1, max_size=5))
def test_one_hot_against_a_loop(texts: list[str]) -> None:
    letters = [text.encode() for text in texts]
    encoded = one_hot(letters)
    assert encoded.dtype == np.int8
    assert encoded.shape == (len(texts), 4, 7)
    for row, text in enumerate(texts):
        for position, letter in enumerate(text):
            assert encoded[row, :, position].tolist() == [int(letter == base) for base in "ACGT"]


def test_one_hot_of_nothing_and_of_uneven_lengths() -> None:
    assert one_hot([]).shape == (0, 4, 0)
    with pytest.raises(ValueError, match="one length"):
        one_hot([b"A", b"AC"])


@given(st.text(alphabet="ab\n", max_size=60), st.integers(1, 9))
def test_pieces_put_together_are_the_lines(content: str, size: int) -> None:
    found = dict[int, str]()
    for number, piece, begins in pieces(io.StringIO(content), first=3, size=size):
        assert begins == (number not in found)
        assert len(piece) < 2 * size
        found[number] = found.get(number, "") + piece
    lines = dict(enumerate(content.split("\n"), start=3))
    assert {number: line for number, line in found.items() if line} == {
        n: line for n, line in lines.items() if line
    }
    assert found.keys() <= lines.keys()


def test_many_blank_lines_are_passed_over_in_blocks(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b">a\nAC\n" + b"\n" * 3_000_000 + b"GT\n" + b"\n" * 9 + b"5\n", 1))
    with pytest.raises(UserError, match="line 3000013 holds '5'"):
        FastaSource(path)


def test_memory_does_not_grow_with_the_number_of_records(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        path = write(tmp_path, "".join(f">chr1:{i}-{i + 200}\n{'ACGT' * 50}\n" for i in range(n)))
        tracemalloc.start()
        assert sum(1 for _ in FastaSource(path).records(200)) == n
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(8000) < peak(2000) + 50_000


def test_real_files_against_a_naive_parse(shared: Path) -> None:
    folder = shared / "sequences"
    for name in ("Gm12878.CTCF.top500.w200.fa", "janggu_mafk_test.fa", "splice_windows_mmsplice_donor.fa"):
        naive = naive_fasta((folder / name).read_text())
        records = [
            record for record in FastaSource(folder / name).records(None) if isinstance(record, Record)
        ]
        assert [(r.region.name, r.letters.decode()) for r in records] == [
            (k, v.upper()) for k, v in naive.items()
        ]


def test_real_crlf_file(shared: Path) -> None:
    path = shared / "sequences" / "pyfaidx_crlf_mRNAs.fasta"
    naive = naive_fasta(path.read_text())
    source = FastaSource(path)
    assert source.n_records == len(naive) == 20
    for index, (heading, sequence) in enumerate(naive.items()):
        record = list(source.records(len(sequence)))[index]
        assert isinstance(record, Record)
        assert (record.region.name, record.letters.decode()) == (heading.split()[0], sequence)


def test_real_soft_masked_peaks_have_the_coordinates_of_their_bed(shared: Path) -> None:
    folder = shared / "sequences"
    bed = [line.split() for line in (folder / "Gm12878.CTCF.top500.w200.bed").read_text().splitlines()]
    records = list(FastaSource(folder / "Gm12878.CTCF.top500.w200.fa").records(200))
    places = [(r.region.chrom, r.region.start, r.region.end) for r in records if isinstance(r, Record)]
    assert places == [(chrom, int(start), int(end)) for chrom, start, end in bed]


@pytest.mark.skipif(which("bgzip") is None, reason="bgzip is not installed")
def test_bgzip(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f">r{i}\n{'ACGTTGCA' * 25}\n" for i in range(1000)))  # several blocks
    subprocess.run(["bgzip", str(path)], check=True)
    assert letters_of(path.with_name("in.fa.gz")) == [b"ACGTTGCA" * 25] * 1000
