"""Indexes of genomes: believed only where they are true, so that every window's letters are right."""

import gzip
import itertools
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from Bio import bgzf
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import GenomeSource, Record
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.sequences.random_access import NotBgzipError, find_blocks

_RNG = random.Random(11)
SEQUENCES = {name: "".join(_RNG.choices("ACGT", k=size)) for name, size in
             {"chr1": 600, "chr2": 600, "chr3": 59, "chr4": 121, "chr5": 60}.items()}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fasta(sequences: dict[str, str], width: int = 60, end: str = "\n", heading: str = "{}") -> str:
    lines = []
    for name, text in sequences.items():
        lines += [">" + heading.format(name)] + [text[i : i + width] for i in range(0, len(text), width)]
    return end.join(lines) + end


def naive_fai(text: str) -> str:
    """An index by splitting: shares nothing with the program's."""
    lines, place = [], 0
    for piece in text.split(">")[1:]:
        heading, *rows = piece.split("\n")
        offset = place + 1 + len(heading) + 1
        letters = "".join(rows).replace("\r", "")
        bases = len(rows[0].rstrip("\r")) if letters else 0
        width = len(rows[0]) + (1 if len(rows) > 1 else 0) if letters else 0
        lines.append(f"{heading.split()[0]}\t{len(letters)}\t{offset}\t{bases}\t{width}")
        place += 1 + len(piece)
    return "".join(line + "\n" for line in lines)


def write_pair(folder: Path, text: str, fai: str, *, bgzip: bool = False) -> Path:
    """A genome with an index that is newer."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / ("genome.fa.gz" if bgzip else "genome.fa")
    if bgzip:
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(text)
    else:
        path.write_bytes(text.encode())
    index = path.with_name(path.name + ".fai")
    index.write_text(fai)
    newer = path.stat().st_mtime + 10
    os.utime(index, (newer, newer))
    return path


def check_windows(path: Path, sequences: dict[str, str], notes: list[str] | None = None) -> None:
    """Every window of some lengths has the letters of the text."""
    genome = Genome(path, (notes if notes is not None else list[str]()).append)
    assert genome.sizes == {name: len(text) for name, text in sequences.items()}
    for name, text in sequences.items():
        for length in (1, 7, 60, 61, len(text) or 1):
            for start in range(0, len(text) - length + 1, 7 if len(text) > 200 else 1):
                assert genome.fetch(name, start, start + length) == text[start : start + length].encode()


def test_the_case_of_an_index_of_another_heading(tmp_path: Path, shared: Path) -> None:
    folder = shared / "cases"
    for name in ("stale5000.fa", "stale5000.fa.fai"):
        shutil.copyfile(folder / name, tmp_path / name)
    path = tmp_path / "stale5000.fa"
    newer = path.stat().st_mtime + 10
    os.utime(path.with_name("stale5000.fa.fai"), (newer, newer))
    pieces = [piece.split("\n", 1) for piece in path.read_text().split(">")[1:]]
    sequences = {heading.split()[0]: text.replace("\n", "") for heading, text in pieces}
    notes = list[str]()
    records = list(GenomeSource(path, folder / "stale.in.bed", notes.append).records(200))
    assert len(records) == 8
    for record in records:
        assert isinstance(record, Record)
        region = record.region
        assert record.letters.decode() == sequences[region.chrom][region.start : region.end]
    assert "stale5000.fa.fai does not fit the genome" in notes[0]


def edited(line: int, column: int, change: Callable[[int], object]) -> Callable[[str], str]:
    def edit(fai: str) -> str:
        rows = [row.split("\t") for row in fai.splitlines()]
        rows[line][column] = str(change(int(rows[line][column])))
        return "".join("\t".join(row) + "\n" for row in rows)

    return edit


def swapped_names(fai: str) -> str:
    return fai.replace("chr1", "x").replace("chr2", "chr1").replace("x", "chr2")


def without(line: int) -> Callable[[str], str]:
    return lambda fai: "".join(row for i, row in enumerate(fai.splitlines(keepends=True)) if i != line)


FALSE_INDEXES: dict[str, Callable[[str], str]] = {
    "swapped names": swapped_names,
    "a name that only begins alike": lambda fai: fai.replace("chr2", "chr2a"),
    "offset one more": edited(1, 2, lambda number: number + 1),
    "offset one less": edited(1, 2, lambda number: number - 1),
    "first offset one more": edited(0, 2, lambda number: number + 1),
    "last offset one less": edited(4, 2, lambda number: number - 1),
    "length one less": edited(1, 1, lambda number: number - 1),
    "length one more": edited(1, 1, lambda number: number + 1),
    "last length one less": edited(4, 1, lambda number: number - 1),
    "a line one letter longer": lambda fai: fai.replace("60\t61", "61\t62"),
    "a short line one letter longer": edited(3, 3, lambda number: number + 1),
    "lines of another end": lambda fai: fai.replace("60\t61", "60\t62"),
    "lines without an end": lambda fai: fai.replace("60\t61", "60\t60"),
    "one sequence is missing": without(2),
    "the last is missing": without(4),
    "the first is missing": without(0),
    "another order": lambda fai: "".join(reversed(fai.splitlines(keepends=True))),
    "one twice": lambda fai: fai + fai.splitlines(keepends=True)[-1],
    "minus": edited(0, 2, lambda number: -number),
    "no bases": edited(1, 3, lambda _: 0),
    "beyond 64 bits": edited(1, 1, lambda _: 10**30),
    "many digits": edited(1, 1, lambda _: "9" * 5000),
    "letters": edited(1, 1, lambda _: "x"),
    "empty": lambda _: "",
    "no table": lambda _: "\x00\x01\x02",
}  # fmt: skip


@pytest.mark.parametrize("bgzip", [False, True], ids=["plain", "bgzip"])
@pytest.mark.parametrize("kind", FALSE_INDEXES)
def test_an_index_that_is_false_is_not_used(tmp_path: Path, kind: str, bgzip: bool) -> None:
    text = fasta(SEQUENCES)
    true = naive_fai(text)
    false = FALSE_INDEXES[kind](true)
    assert false != true
    notes = list[str]()
    check_windows(write_pair(tmp_path / "g", text, false, bgzip=bgzip), SEQUENCES, notes)
    assert "does not fit the genome, and is not used" in notes[0]


@pytest.mark.parametrize("bgzip", [False, True], ids=["plain", "bgzip"])
def test_an_index_of_another_state_of_the_file_is_not_used(tmp_path: Path, bgzip: bool) -> None:
    text = fasta(SEQUENCES)
    others = {
        "another heading": fasta(SEQUENCES, heading="{} v2"),
        "cut": text[:1100],
        "longer": text + ">chr6\nACGTAC\n",
        "another width": fasta(SEQUENCES, width=50),
        "CRLF": fasta(SEQUENCES, end="\r\n"),
    }
    for number, (kind, other) in enumerate(others.items()):
        notes = list[str]()
        check_windows(
            write_pair(tmp_path / f"g{number}", text, naive_fai(other), bgzip=bgzip), SEQUENCES, notes
        )
        assert "does not fit" in notes[0], kind


@pytest.mark.parametrize("bgzip", [False, True], ids=["plain", "bgzip"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("width", [7, 60, 10**6])
def test_a_true_index_is_used_and_does_without_one(
    tmp_path: Path, bgzip: bool, end: str, width: int, cache: Path
) -> None:
    sequences = {**SEQUENCES, "none": "", "last": "ACGTA"}
    text = fasta(sequences, width, end, "{} some words")
    for number, content in enumerate((text, text.removesuffix(end), text + end + end)):
        path = write_pair(tmp_path / f"g{number}", content, naive_fai(text), bgzip=bgzip)
        notes = list[str]()
        check_windows(path, sequences, notes)
        assert notes == []
        made = [file.suffix for file in cache.iterdir()] if cache.exists() else []
        assert made == ([".gzi"] if bgzip else [])
        path.with_name(path.name + ".fai").unlink()
        check_windows(path, sequences)
        shutil.rmtree(cache)


def test_an_index_of_this_program_in_the_cache_is_checked_too(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(fasta(SEQUENCES))
    Genome(path)
    (made,) = cache.iterdir()
    made.write_text(swapped_names(made.read_text()))
    check_windows(path, SEQUENCES)
    assert made.read_text() == naive_fai(fasta(SEQUENCES))


def test_a_line_that_is_short_at_the_cost_of_another_stops_the_run(tmp_path: Path) -> None:
    """The sizes fit, so that no look at headings tells; every window that would be wrong is refused."""
    text = SEQUENCES["chr1"]
    rows = [text[i : i + 60] for i in range(0, 600, 60)]
    moved = "\n".join([">chr1", rows[0], rows[1][:-1], *(rows[2:7]), rows[7] + rows[1][-1], *rows[8:]]) + "\n"
    path = write_pair(tmp_path / "g", moved, naive_fai(fasta({"chr1": text})))
    letters = moved.removeprefix(">chr1").replace("\n", "")
    genome = Genome(path)
    refused = 0
    for length in (1, 20, 100):
        for start in range(600 - length):
            try:
                assert genome.fetch("chr1", start, start + length) == letters[start : start + length].encode()
            except UserError as error:
                assert "lines are not as in its index" in str(error)  # noqa: PT017
                refused += 1
    assert refused > 600


@pytest.mark.parametrize("bgzip", [False, True], ids=["plain", "bgzip"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_all_windows_where_a_line_is_short_at_the_cost_of_another(
    tmp_path: Path, bgzip: bool, end: str
) -> None:
    """Every two lines but the first, by every number of letters: the right letters, or none."""
    letters = "".join(random.Random(7).choices("ACGT", k=23))
    text = fasta({"a": letters}, 4, end)
    rows = [letters[i : i + 4] for i in range(0, 23, 4)]
    number = right = refused = 0
    for short, longer in itertools.permutations(range(1, len(rows)), 2):
        for moved in range(1, len(rows[short])):
            sizes = [len(row) for row in rows]
            sizes[short] -= moved
            sizes[longer] += moved
            ends = list(itertools.accumulate(sizes))
            lines = [letters[stop - size : stop] for size, stop in zip(sizes, ends, strict=True)]
            content = end.join([">a", *lines, ""])
            notes = list[str]()
            genome = Genome(
                write_pair(tmp_path / f"{number}", content, naive_fai(text), bgzip=bgzip), notes.append
            )
            assert notes == []
            number += 1
            for start in range(23):
                for stop in range(start + 1, 24):
                    try:
                        found = genome.fetch("a", start, stop)
                    except UserError as error:
                        assert "lines are not as in its index" in str(error)  # noqa: PT017
                        refused += 1
                    else:
                        assert found == letters[start:stop].encode()
                        right += 1
    assert min(right, refused) > 1000


def test_the_gzi_of_another_file_does_no_harm(tmp_path: Path, cache: Path) -> None:
    sequences = {"a": "".join(random.Random(3).choices("ACGT", k=200_000)), "b": SEQUENCES["chr1"]}
    text = fasta(sequences)
    path = write_pair(tmp_path / "g", text, naive_fai(text), bgzip=True)
    blocks = find_blocks(path).tolist()[1:-1]  # the last is the end, which samtools does not write
    wrong = struct.pack("<Q", len(blocks)) + b"".join(struct.pack("<QQ", p, u + 1) for p, u in blocks)
    path.with_name("genome.fa.gz.gzi").write_bytes(wrong)
    notes = list[str]()
    for _ in range(2):
        genome = Genome(path, notes.append)
        assert notes == []
        for start in range(0, 199_000, 997):
            assert genome.fetch("a", start, start + 500) == sequences["a"][start : start + 500].encode()
        (made,) = cache.iterdir()  # the second time there is one in the cache that is not ours
        assert made.read_bytes() != wrong
        made.write_bytes(wrong)


ENDS = {
    "wrapped": fasta(SEQUENCES),
    "one line": fasta(SEQUENCES, 10**6),
    "CRLF": fasta(SEQUENCES, end="\r\n"),
    "full last line": fasta(SEQUENCES, 30),
    "uneven": fasta(SEQUENCES).replace("A\n", "A\n\n"),
}


@pytest.mark.parametrize("newline", [True, False], ids=["newline at the end", "none"])
@pytest.mark.parametrize("packed", ["plain", "bgzip", "gzip"])
@pytest.mark.parametrize("kind", ENDS)
def test_windows_that_fill_a_chromosome_or_reach_its_ends(
    tmp_path: Path, kind: str, packed: str, newline: bool
) -> None:
    text = ENDS[kind] if newline else ENDS[kind].rstrip("\r\n")
    path = tmp_path / "genome.fa"
    if packed == "bgzip":
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(text)
    else:
        path.write_bytes(gzip.compress(text.encode()) if packed == "gzip" else text.encode())
    lines = [f"{name}\t{len(letters) - 59}\t{len(letters)}" for name, letters in SEQUENCES.items()]
    lines += [f"{name}\t0\t59" for name in SEQUENCES]
    bed = tmp_path / "in.bed"
    bed.write_text("\n".join(lines))
    for length in (None, 59):
        records = list(GenomeSource(path, bed).records(length))
        expected = [text[-59:] for text in SEQUENCES.values()] + [text[:59] for text in SEQUENCES.values()]
        assert [getattr(record, "letters", record) for record in records] == [t.encode() for t in expected]
    # One letter further is outside, on both sides.
    bed.write_text("chr4\t62\t122\nchr4\t61\t121\nchr4\t-1\t59\nchr4\t0\t60\n")
    kinds = [isinstance(record, Record) for record in GenomeSource(path, bed).records(60)]
    assert kinds == [False, True, False, True]


def test_bgzip_is_read_in_place_whatever_its_name(tmp_path: Path, cache: Path) -> None:
    for name in ("genome.fa", "genome.bgzf", "genome"):
        path = tmp_path / name
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(fasta(SEQUENCES))
        check_windows(path, SEQUENCES)
    assert {file.suffix for file in cache.iterdir()} == {".fai", ".gzi"}
    plain = tmp_path / "plain.fa.gz"
    plain.write_text(fasta(SEQUENCES))
    check_windows(plain, SEQUENCES)
    assert not [file for file in cache.iterdir() if file.suffix == ".fa"]


def test_a_sequence_that_begins_with_a_block(tmp_path: Path, cache: Path) -> None:
    """pyfaidx cannot begin there if the block before is full, so that a copy is made."""
    sequences = {"a": (SEQUENCES["chr1"] * 200)[: 2**16 - len(">a\n\n>b\n")], "b": SEQUENCES["chr2"] * 200}
    path = write_pair(tmp_path / "g", fasta(sequences, 10**6), naive_fai(fasta(sequences, 10**6)), bgzip=True)
    assert find_blocks(path)[1, 1] == 2**16
    genome = Genome(path)
    for start in (0, 1, 5000):
        assert genome.fetch("b", start, start + 100) == sequences["b"][start : start + 100].encode()
    assert {file.suffix for file in cache.iterdir()} == {".gzi", ".fa", ".fai"}


def test_a_block_that_does_not_unpack_is_told_with_its_place(tmp_path: Path) -> None:
    text = fasta({"a": "".join(random.Random(3).choices("ACGT", k=200_000))})
    path = write_pair(tmp_path / "g", text, naive_fai(text), bgzip=True)
    content = bytearray(path.read_bytes())
    content[find_blocks(path)[1, 0] + 100] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, (1, 1))
    genome = Genome(path)
    assert genome.fetch("a", 5, 50) == text[3:][5:50].encode()
    with pytest.raises(UserError, match=r"a:70000-70050: .*; the file is damaged"):
        genome.fetch("a", 70_000, 70_050)


@given(st.binary(max_size=200), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_bytes_behind_a_block_are_no_bgzip(tmp_path_factory, junk: bytes, blocks: int) -> None:
    path = tmp_path_factory.mktemp("junk") / "x"
    data = gzip.compress(b"ACGT")  # no bgzip
    whole = b""
    for _ in range(blocks):
        writer = path.with_name("block")
        with bgzf.BgzfWriter(str(writer)) as file:
            file.write("ACGT" * 50)
        whole += writer.read_bytes()
    path.write_bytes(whole + junk + data)
    with pytest.raises(NotBgzipError):
        find_blocks(path)


@given(
    st.dictionaries(
        st.text("ab|:é.", min_size=1, max_size=4), st.text("ACGTNacgt*-", max_size=40), min_size=1, max_size=5
    ),
    st.integers(1, 12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_what_is_indexed_is_read(tmp_path_factory, sequences, width: int, end: str, newline: bool) -> None:
    path = tmp_path_factory.mktemp("index") / "g.fa"
    text = fasta(sequences, width, end, "{} x")
    path.write_bytes((text if newline else text.removesuffix(end)).encode())
    genome = Genome(path)
    assert genome.sizes == {name: len(letters) for name, letters in sequences.items()}
    check_all_windows(genome, sequences)


def check_all_windows(genome: Genome, sequences: dict[str, str]) -> None:
    for name, letters in sequences.items():
        for start in range(len(letters)):
            for stop in range(start + 1, len(letters) + 1):
                assert genome.fetch(name, start, stop) == letters[start:stop].upper().encode()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["\n", "\n", "\n", "\r\n", " \n"])), max_size=8),
    st.integers(1, 5),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_lines_of_any_lengths_and_ends_are_read(tmp_path_factory, lines, width: int, newline: bool) -> None:
    """pyfaidx makes indexes of some such files that are not true, a longer last line's for one."""
    path = tmp_path_factory.mktemp("lines") / "g.fa"
    letters = "".join(random.Random(5).choices("ACGT", k=60))
    rows, place = list[str](), 0
    for longer, end in [(0, "\n"), (0, "\n"), *lines]:
        length = width + longer if longer < 3 else 5 - longer
        rows.append(letters[place : place + length] + end)
        place += length
    text = "".join([">a\n", *rows, ">b\n", *rows])
    path.write_bytes((text if newline else text.rstrip()).encode())
    check_all_windows(Genome(path), {"a": letters[:place], "b": letters[:place]})


@given(st.binary(max_size=300) | st.text(">aA1\n\r \t", max_size=60).map(str.encode))
@settings(max_examples=60, deadline=None)
def test_an_index_of_any_bytes_does_no_harm(tmp_path_factory, content: bytes) -> None:
    """As a genome, and as the index of another one."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "g.fa").write_bytes(content)
    try:
        genome = Genome(folder / "g.fa")
        for name, size in genome.sizes.items():
            assert not size or len(genome.fetch(name, 0, size)) == size
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    path = write_pair(folder / "other", ">a\nACGT\nAC\n", "")
    path.with_name("genome.fa.fai").write_bytes(content)
    check_all_windows(Genome(path), {"a": "ACGTAC"})
