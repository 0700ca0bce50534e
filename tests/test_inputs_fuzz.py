"""Parsers of inputs on any bytes: records, skips, or one line that says what is wrong; nothing else."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplift_cli.commands.attribution_options import _frequencies
from deeplift_cli.errors import UserError
from deeplift_cli.options.shards import parse_shard
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.options.targets import Element
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.reference_kinds.reference_file import open_references
from deeplift_cli.sequences import FastaSource, GenomeSource, Record, Selection, Skipped
from deeplift_cli.sequences.bed import read_bed
from deeplift_cli.sequences.renaming import read_names

# The suite looks at some examples; `pytest -m fuzz` at a thousand times as many.
TIMES = [pytest.param(40, id="some"), pytest.param(20_000, id="many", marks=pytest.mark.fuzz)]

LINES = st.lists(
    st.one_of(
        st.text("ACGTNacgtnEU*-", max_size=12),
        st.builds(">{}".format, st.text("ab:;-0123456789(+) \t\x00é", max_size=12)),
        st.builds("{}\t{}\t{}\t{}".format, st.sampled_from(["a", "chr1", "\x00", ""]), st.integers(),
                  st.integers(), st.text(max_size=4)),
        st.builds("a\t{}\t{}\tn\t0\t+\t1\t1\t1\t{}".format, st.integers(0, 9), st.integers(0, 40),
                  st.integers()),
        st.sampled_from(["", " ", "#", "track x", "browser", "1e20", "9" * 5000, "a\t" + "9" * 5000]),
        st.text(max_size=8),
    ),
    max_size=8,
)  # fmt: skip
CONTENT = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda lines, end, begin, packed: _packed(
            (begin + end.join(lines)).encode("utf-8", "replace"), packed
        ),
        LINES,
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.sampled_from(["", "\ufeff", ">a\n", "a\t0\t4\n"]),
        st.integers(0, 3),
    ),
)


def _packed(content: bytes, how: int) -> bytes:
    """As it is, mostly; or gzip, or gzip that is cut."""
    packed = gzip.compress(content, mtime=0)
    return {2: packed, 3: packed[: len(packed) // 2]}.get(how, content)


@contextmanager
def one_line(place: str) -> Iterator[None]:
    """Within, a UserError is one printable line that names the file."""
    try:
        yield
    except UserError as error:
        text = str(error)
        assert place in text
        assert "\n" not in text
        assert len(text) < 2000


def times(number: int, test: Callable[..., None], *strategies: st.SearchStrategy) -> None:
    """Run a test on so many examples."""
    settings(max_examples=number, deadline=None)(given(*strategies)(test))()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))


def _write(name: str, content: bytes) -> Path:
    path = Path(name)
    path.unlink(missing_ok=True)  # so that the cache takes it for another file
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("number", TIMES)
def test_fasta(number: int) -> None:
    def check(content: bytes) -> None:
        path = _write("x.fa", content)
        with one_line("x.fa"):
            source = FastaSource(path)
            for length in (None, 4):
                records = list(source.records(length))
                assert len(records) == source.n_records
                for index, record in enumerate(records):
                    if isinstance(record, Skipped):
                        assert (record.index, "\x00" in record.name) == (index, False)
                        continue
                    region = record.region
                    assert region.index == index
                    assert set(record.letters) <= set(b"ACGTRYSWKMBDHVNX-*")
                    assert "\x00" not in region.name + region.chrom
                    assert 0 <= region.start < region.end < 2**63

    times(number, check, CONTENT)


@pytest.mark.parametrize("number", TIMES)
def test_genomes_and_regions(number: int) -> None:
    def check(genome: bytes, regions: bytes) -> None:
        fasta, bed = _write("x.fa", genome), _write("x.bed", regions)
        with one_line("x."):
            list(read_bed(bed))
        with one_line("x."):
            for record in GenomeSource(fasta, bed).records(3):
                if isinstance(record, Record):
                    region = record.region
                    assert len(record.letters) == region.end - region.start == 3
                    assert "\x00" not in region.name + region.chrom

    times(number, check, CONTENT, CONTENT)


@pytest.mark.parametrize("number", TIMES)
def test_genomes_and_regions_that_are_padded(number: int) -> None:
    def check(genome: bytes, regions: bytes, length: int) -> None:
        fasta, bed = _write("x.fa", genome), _write("x.bed", regions)
        with one_line("x."):
            source = GenomeSource(fasta, bed, selection=Selection(pad=True, max_n=0.8))
            for record in source.records(length):
                if isinstance(record, Record):
                    region = record.region
                    assert len(record.letters) == region.end - region.start == length
                    assert 0 <= region.start + length // 2 < source.chrom_sizes()[region.chrom]

    times(number, check, CONTENT, CONTENT, st.integers(1, 9))


@pytest.mark.parametrize("number", TIMES)
def test_records_that_are_cut_or_padded(number: int) -> None:
    def check(content: bytes, length: int) -> None:
        path = _write("x.fa", content)
        with one_line("x.fa"):
            for record in FastaSource(path, selection=Selection(fit=True)).records(length):
                if isinstance(record, Record):
                    assert len(record.letters) == record.region.end - record.region.start == length

    times(number, check, CONTENT, st.integers(1, 9))


@pytest.mark.parametrize("number", TIMES)
def test_files_of_chromosome_names(number: int) -> None:
    def check(content: bytes) -> None:
        path = _write("x.names", content)
        with one_line("x.names"):
            names = read_names(path)
            assert names
            assert not any("\x00" in name for pair in names.items() for name in pair)

    times(number, check, CONTENT)


@pytest.mark.parametrize("number", TIMES)
def test_chromosome_sizes(number: int) -> None:
    def check(content: bytes) -> None:
        path = _write("x.sizes", content)
        with one_line("x.sizes"):
            assert all(0 < size < 2**32 for size in read_chrom_sizes(path).values())

    times(number, check, CONTENT)


@pytest.mark.parametrize("number", TIMES)
def test_references(number: int) -> None:
    with h5py.File("good.h5", "w") as file:
        file["references"] = np.full((2, 4, 6), 0.25, np.float32)
    whole = Path("good.h5").read_bytes()

    def check(place: int, junk: bytes, cut: bool) -> None:
        place %= len(whole)
        content = whole[:place] + junk + (b"" if cut else whole[place + len(junk) :])
        path = _write("x.h5", content)
        with one_line("x.h5"):
            found = open_references(path, 6).common(6)
            assert np.isfinite(found).all()

    times(number, check, st.integers(0), st.binary(max_size=8), st.booleans())


@pytest.mark.parametrize("number", TIMES)
@pytest.mark.parametrize("parse", [parse_targets, parse_shard, _frequencies])
def test_options(number: int, parse: Callable[[str], object]) -> None:
    def check(text: str) -> None:
        try:
            parse(text)
        except ValueError as error:
            assert len(str(error)) < 1000  # noqa: PT017

    words = st.text("0123456789,()/: auto.-e", max_size=20) | st.text(max_size=8) | st.just("9" * 5000)
    times(number, check, words)


@pytest.mark.parametrize("number", TIMES)
def test_targets_that_are_written_are_read(number: int) -> None:
    def check(indices: list[tuple[int, ...]]) -> None:
        text = ",".join(f"({','.join(map(str, index))})" for index in indices)
        assert [spec.places for spec in parse_targets(text) if isinstance(spec, Element)] == indices

    index = st.lists(st.integers(0, 10**20), min_size=1, max_size=4).map(tuple)
    times(number, check, st.lists(index, min_size=1, max_size=5, unique=True))


@pytest.mark.parametrize("number", TIMES)
def test_records_that_are_written_are_read(number: int) -> None:
    def check(records: list[tuple[str, str]], width: int, end: str, packed: bool) -> None:
        lines = []
        for name, letters in records:
            lines += [f">{name} x", *(letters[i : i + width] for i in range(0, len(letters), width))]
        text = (end.join(lines) + end).encode()
        found = list(FastaSource(_write("x.fa", gzip.compress(text) if packed else text)).records(6))
        assert [(r.region.name, r.letters.decode()) for r in found if isinstance(r, Record)] == [
            (name, letters.upper()) for name, letters in records
        ]

    record = st.tuples(
        st.text("abé|.:1-2", min_size=1, max_size=8), st.text("ACGTacgtN", min_size=5, max_size=5)
    )
    record = record.map(lambda pair: (pair[0], pair[1] + "A"))
    times(number, check, st.lists(record, min_size=1, max_size=5), st.integers(1, 7),
          st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())  # fmt: skip
