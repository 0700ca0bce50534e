"""The index of an input: a shard reads its own records only, and exactly what a pass over all gives."""

import gzip
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from score_files import datasets
from small_models import deeplift, random_letters, score, torchscript, write_fasta

import deeplift_references
from deeplift_cli.errors import UserError
from deeplift_cli.sequences import (
    FastaSource,
    GenomeSource,
    InputIndex,
    Record,
    Skipped,
    Source,
    cache_folder,
    line_starts,
    open_prepared_source,
    open_source,
)
from deeplift_cli.sequences.cache import CacheError
from deeplift_cli.sequences.genome import Genome
from deeplift_cli.sequences.line_starts import LineStarts
from deeplift_references.generators.frequency import Frequency
from deeplift_references.generators.mean import Mean

RECORDS, ROWS = 23, 4
LONG = 1000  # records of a file for which the index is read in several pieces


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """The same windows as regions of a genome and as FASTA; some cannot be scored."""
    letters = random_letters(1, 24 * RECORDS)
    write_fasta(tmp_path / "genome.fa", {"chr1": letters[:48] + "N" * 24 + letters[72:]})
    lines = [
        f"chr{1 + (i == 7)}\t{24 * i}\t{24 * i + 24}\tpeak{i}\t0\t{'+-'[i % 3 == 0]}\n"
        for i in range(RECORDS)
    ]
    (tmp_path / "in.bed").write_text("# regions\n" + "".join(lines) + "chr1\t9000\t9024\n")
    short = {1, 4, 5, 13, RECORDS - 1}
    write_fasta(
        tmp_path / "in.fa",
        {f"s{i}:{100 * i}-{100 * i + 24}(-)": random_letters(i, 24 - (i in short)) for i in range(RECORDS)},
    )
    return tmp_path


GENOME = ("-g", "genome.fa", "-r", "in.bed")
FASTA = ("-f", "in.fa")


def run(out: str, *options: object) -> Any:
    return score(
        "-m", torchscript("Net"), "-o", out, "--batch-size", ROWS, "--compile", "off", *options
    )  # fmt: skip


def quiet(_: str) -> None:
    pass


def share_by_reading_all(source: Source, length: int | None, batches: range, rows: int) -> list[Any]:
    """The records of some batches, written another way than the program's."""
    found, usable = [], 0
    for record in source.records(length):
        if usable // rows in batches:
            found.append(record)
        usable += isinstance(record, Record)
    return found


def assert_same_shares(source: Source, length: int | None, rows: int) -> None:
    index = InputIndex(source, length, quiet)
    usable = sum(isinstance(record, Record) for record in source.records(length))
    assert (index.n_records, index.n_usable) == (source.n_records, usable)
    last = -(-usable // rows)
    for first in range(last + 1):
        for stop in (*range(first, last + 1), sys.maxsize):
            batches = range(first, stop)
            expected = share_by_reading_all(source, length, batches, rows)
            if stop <= last and expected and stop * rows <= usable:
                # What is skipped behind the last batch of a share belongs to the next one.
                assert isinstance(expected[-1], Record)
            assert list(index.records(batches, rows)) == expected


# ---- the same records


FASTA_LINE = st.sampled_from(
    ["ACGT", "acgu", "ACGTACGT", "NNNN", "AC GT", "", "PQ", "ACGTACG", "\ufeff", "  ", "ACGT\t"]
)
FASTA_HEADING = st.sampled_from(
    [">a", ">", "> b c", ">chr1:5-9", ">chr1:5-9(-)", ">é\x07", "\ufeff>d", ">a b"]
)
LINE_END = st.sampled_from(["\n", "\r\n", "\r"])
FASTA_TEXT = st.lists(
    st.tuples(FASTA_HEADING, st.lists(FASTA_LINE, max_size=3), LINE_END), min_size=1, max_size=12
).map(lambda records: "".join(end.join([heading, *lines, ""]) for heading, lines, end in records))


@given(text=FASTA_TEXT, packed=st.booleans(), length=st.sampled_from([None, 4, 8]), rows=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_fasta_gives_the_same_shares(
    tmp_path: Path, text: str, packed: bool, length: int | None, rows: int
) -> None:
    path = tmp_path / "any.fa"
    data = text.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    try:
        source = FastaSource(path)
    except UserError:
        return
    if length is not None or source.first_length():
        assert_same_shares(source, length, rows)


BED_LINE = st.sampled_from(
    [
        "chr1\t10\t18", "chr1 20 28 name with", "# comment", "track name=x", "", "chr2\t0\t8",
        "chr1\t0\t8\tn\t0\t-", "chr1\t590\t700\tlate", "\ufeffchr1\t50\t58",
        "chr1\t70\t78\tp\t0\t.\t0\t0\t0\t3", "chr1\t9\t99999999999999999999",
    ]
)  # fmt: skip


@given(lines=st.lists(st.tuples(BED_LINE, LINE_END), max_size=14), rows=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_regions_give_the_same_shares(tmp_path: Path, lines: list[tuple[str, str]], rows: int) -> None:
    write_fasta(tmp_path / "g.fa", {"chr1": random_letters(3, 600)})
    path = tmp_path / "any.bed"
    path.write_bytes("".join(map("".join, lines)).encode())
    try:
        source = open_source(None, tmp_path / "g.fa", path, quiet)
    except UserError:
        return
    assert_same_shares(source, 8, rows)


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"\xe2", b"\x85"]), max_size=30), st.integers(1, 4)
)
def test_lines_begin_where_text_has_them(parts: list[bytes], chunk: int) -> None:
    data = b"".join(parts)
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]
    lines = list(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_starts, "_CHUNK", chunk)
        found = LineStarts(io.BytesIO(data))
        assert [found.offset(line) for line in range(1, len(lines) + 1)] == starts[: len(lines)]
        with pytest.raises(ValueError, match="fewer lines"):
            found.offset(len(starts) + 1)


def test_a_long_file_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeplift_cli.sequences.input_index._ROWS_AT_ONCE", 7)
    monkeypatch.setattr("deeplift_cli.sequences.base_counts._LETTERS_AT_ONCE", 4 * 8 * 5)
    path = write_fasta(tmp_path / "long.fa", [random_letters(i, 8) for i in range(LONG)])
    source = FastaSource(path)
    index = InputIndex(source, None, quiet)
    for batches in (range(0, 3), range(10, 14), range(60, sys.maxsize)):
        assert list(index.records(batches, 16)) == share_by_reading_all(source, None, batches, 16)
    letters = np.array(
        [list(record.letters) for record in source.records(None) if isinstance(record, Record)]
    )
    expected = [(letters == code).sum(axis=0) for code in b"ACGT"]
    np.testing.assert_array_equal(index.base_counts().sum(axis=0), expected)


# ---- the same scores


def outputs(name: str) -> tuple[Any, ...]:
    with h5py.File(f"{name}.h5") as file:
        attrs = {
            key: file.attrs[key] for key in ("fingerprint", "n_skipped", "worst_relative_completeness_error")
        }
    return (
        datasets(f"{name}.h5"),
        attrs,
        Path(f"{name}.bed").read_bytes(),
        Path(f"{name}.skipped.tsv").read_bytes(),
    )


@pytest.mark.parametrize(
    "options",
    [
        (*FASTA, "--n-references", 2),
        (*FASTA, "--reference", "mean"),
        (*GENOME, "--n-references", 2),
        (*GENOME, "--reference", "mean", "--strand-aware"),
        (*GENOME, "--reference", "frequency", "--strand-aware"),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_a_shard_writes_the_same_with_and_without_an_index(
    options: tuple[object, ...], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyfaidx import Faidx

    Faidx("genome.fa").close()  # the genome needs no cache
    for number in (1, 2, 3):
        run(f"with{number}.h5", *options, "--shard", f"{number}/3")
    assert sum(path.suffix == ".records" for path in cache.iterdir()) == 1
    monkeypatch.setenv("DEEPLIFT_CACHE", str(Path("in.bed") / "below-a-file"))
    for number in (1, 2, 3):
        outcome = run(f"without{number}.h5", *options, "--shard", f"{number}/3")
        assert (
            f"without an index this shard reads the whole of {'in.fa' if '-f' in options else 'in.bed'}"
            in outcome.err
        )
        assert outputs(f"with{number}") == outputs(f"without{number}")


@pytest.mark.usefixtures("inputs")
def test_only_the_shards_own_windows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run("1.h5", *GENOME, "--shard", "1/6", "--reference", "frequency")
    fetched = []
    fetch = Genome.fetch

    def counted(self: Genome, chrom: str, start: int, end: int) -> bytes:
        fetched.append(start)
        return fetch(self, chrom, start, end)

    monkeypatch.setattr(Genome, "fetch", counted)
    monkeypatch.setattr(GenomeSource, "_find_facts", None)
    run("2.h5", *GENOME, "--shard", "2/6", "--reference", "frequency")
    assert len(fetched) == ROWS


@pytest.mark.usefixtures("inputs")
def test_a_fasta_file_is_parsed_from_the_shards_first_record(monkeypatch: pytest.MonkeyPatch) -> None:
    run("1.h5", *FASTA, "--shard", "1/5")
    places = []
    records = FastaSource.records

    def noted(self: FastaSource, length: int | None, *start: Any) -> Any:
        places.extend(start)
        found = list(islice(records(self, length, *start), ROWS + 6))
        return iter(found)

    monkeypatch.setattr(FastaSource, "records", noted)
    monkeypatch.setattr(FastaSource, "_find_facts", None)
    run("4.h5", *FASTA, "--shard", "4/5")
    (place,) = places
    assert place.number == 16  # 12 can be scored before, and 1, 4, 5 and 13 cannot
    text = Path("in.fa").read_text()
    assert text[place.offset :].startswith(">s16:")
    assert text.count("\n", 0, place.offset) == place.line - 1


@pytest.mark.usefixtures("inputs")
def test_notes_on_the_file_come_with_each_shard() -> None:
    Path("in.fa").write_text("".join(f">same {i}\n{random_letters(i)}\n" for i in range(9)) + "> x\nA\n")
    first, second = (run(f"{i}.h5", *FASTA, "--shard", f"{i}/3").err for i in (1, 2))
    assert "indexing in.fa, once" in first
    assert "indexing" not in second
    for said in (first, second):
        assert "FASTA file in.fa: records 1 and 2 are both named 'same'" in said
        assert "FASTA file in.fa, line 19: a blank follows '>'" in said


@pytest.mark.parametrize("kind", ["frequency", "mean"])
def test_references_learn_the_same_from_counts(kind: str) -> None:
    rng = np.random.default_rng(5)
    sequences = (np.arange(4)[:, None] == rng.integers(0, 5, (9, 1, 6))).astype(np.int8)
    observed, counted = deeplift_references.make(kind), deeplift_references.make(kind)
    observed.observe(sequences[:4])
    observed.observe(sequences[4:])
    counts = sequences.sum(axis=0, dtype=np.int64)
    assert counted.observe_counts(counts)
    np.testing.assert_array_equal(counted(sequences), observed(sequences))
    assert counted.observe_counts(counts)  # the caller's array is left alone
    np.testing.assert_array_equal(counts, sequences.sum(axis=0))


def test_references_that_need_no_counts_or_cannot_use_them() -> None:
    given = Frequency((0.1, 0.2, 0.3, 0.4))
    assert given.observe_counts(np.ones((4, 3), np.int64))
    np.testing.assert_allclose(given.frequencies, [0.1, 0.2, 0.3, 0.4])
    assert not deeplift_references.make("zeros").observe_counts(np.ones((4, 3), np.int64))
    mean = Mean()
    mean.observe_counts(np.ones((4, 3), np.int64))
    with pytest.raises(ValueError, match="sequences of one length"):
        mean.observe_counts(np.ones((4, 2), np.int64))


# ---- what is believed


def only(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"*{suffix}")
    return path


@pytest.mark.parametrize("suffix", [".records", ".facts"])
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "foreign", "longer"])
def test_a_damaged_index_is_made_anew(inputs: Path, cache: Path, suffix: str, how: str) -> None:
    source = open_prepared_source(inputs / "in.fa", None, None, quiet)
    expected = list(InputIndex(source, 24, quiet).records(range(1, 3), ROWS))
    path = only(cache, suffix)
    whole = path.read_bytes()
    places = range(0, len(whole), 97) if how == "flipped" else range(1)
    for place in places:
        damaged = {
            "flipped": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
            "cut": whole[:-1],
            "empty": b"",
            "foreign": b"{}" * 50,
            "longer": whole + b"\0",
        }[how]
        path.write_bytes(damaged)
        source = open_prepared_source(inputs / "in.fa", None, None, quiet)
        index = InputIndex(source, 24, quiet)
        assert list(index.records(range(1, 3), ROWS)) == expected
        assert path.read_bytes() == whole


def keeping_time(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file but for its size and time."""
    state, data = path.stat(), path.read_bytes()
    changed = change(data)
    assert len(changed) == len(data)
    path.write_bytes(changed)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_records_that_changed_without_a_trace_are_indexed_again(inputs: Path) -> None:
    for number in (1, 2):
        source = open_prepared_source(inputs / "in.fa", None, None, quiet)
        index = InputIndex(source, 24, quiet)
        assert index.is_new
        assert list(index.records(range(6), ROWS)) == share_by_reading_all(source, 24, range(6), ROWS)
        if number == 1:
            keeping_time(inputs / "in.fa", lambda data: data.replace(b">s3:", b">t3:"))


@pytest.mark.usefixtures("inputs")
def test_a_genome_that_changed_without_a_trace_is_told(cache: Path) -> None:
    run("1.h5", *GENOME, "--shard", "1/6")
    keeping_time(Path("genome.fa"), lambda data: data[:250] + b"ACGTACGTAC" + data[260:])
    refused = deeplift(
        "score", "-m", torchscript("Net"), "-o", "3.h5", *GENOME, "--batch-size", ROWS, "--shard", "3/6"
    )
    assert refused.code == 1
    assert (
        "regions file in.bed, or genome genome.fa, has changed since it was indexed: the record of line 12"
        in refused.err
    )
    assert not list(cache.glob("*.records"))
    assert "indexing in.bed" in run("3.h5", *GENOME, "--shard", "3/6").err
    before, after = (outputs(name)[1]["fingerprint"] for name in ("1", "3"))
    assert before != after  # by which merge refuses them


def test_a_genome_of_another_time_or_size_is_indexed_again(inputs: Path, cache: Path) -> None:
    genome, regions = inputs / "genome.fa", inputs / "in.bed"
    digests = []
    for _ in range(2):
        index = InputIndex(open_prepared_source(None, genome, regions, quiet), 24, quiet)
        assert index.is_new
        digests.append(index.digest)
        genome.write_text(genome.read_text()[:-30] + "A\n")
    assert digests[0] != digests[1]
    assert len(list(cache.glob("*.records"))) == 1


def test_an_index_is_of_one_length_and_version(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_prepared_source(inputs / "in.fa", None, None, quiet)
    assert InputIndex(source, 24, quiet).n_usable == RECORDS - 5
    assert InputIndex(source, 23, quiet).n_usable == 5
    assert not InputIndex(source, None, quiet).is_new  # the first record has 24
    monkeypatch.setattr("deeplift_cli.sequences.cached_file.deeplift_version", lambda: "0.0.0")
    assert InputIndex(source, 24, quiet).is_new


def test_indexes_of_older_states_are_removed(inputs: Path, cache: Path) -> None:
    for _ in range(2):
        InputIndex(open_prepared_source(inputs / "in.fa", None, None, quiet), 24, quiet)
        with (inputs / "in.fa").open("a") as file:
            file.write(">more\nACGT\n")
    assert sorted(path.suffix for path in cache.iterdir()) == [".facts", ".records"]


def test_what_cannot_be_used_is_told_as_ever(inputs: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"FASTA file none\.fa does not exist"):
        open_prepared_source(Path("none.fa"), None, None, quiet)
    with pytest.raises(UserError, match=r"genome none\.fa does not exist"):
        open_prepared_source(None, Path("none.fa"), inputs / "in.bed", quiet)
    (inputs / "protein.fa").write_text(">p\nMKLPQ\n")
    with pytest.raises(UserError, match="looks like protein"):
        open_prepared_source(inputs / "protein.fa", None, None, quiet)
    assert not cache.exists() or not list(cache.iterdir())


def test_a_genome_that_is_its_own_regions_file_waits_for_nobody(tmp_path: Path) -> None:
    """One lock in the cache would serve both."""
    path = tmp_path / "both"
    path.write_text(">chr1\t0\t5\n>chr2\t0\t5\n")
    with pytest.raises(UserError, match="make the names agree"):
        open_prepared_source(None, path, path, quiet)


def test_a_cache_that_cannot_be_written(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPLIFT_CACHE", str(inputs / "in.fa" / "below"))
    with pytest.raises(CacheError, match="set DEEPLIFT_CACHE"):
        InputIndex(FastaSource(inputs / "in.fa"), 24, quiet)


# ---- many at once


PREPARE = """
import sys
from pathlib import Path
from deeplift_cli.sequences import InputIndex, open_prepared_source
print("ready", flush=True)
sys.stdin.readline()
notes = []
source = open_prepared_source(None, Path("genome.fa"), Path("in.bed"), notes.append)
index = InputIndex(source, 24, notes.append)
print(sum("indexing in.bed" in note for note in notes), len(list(index.records(range(2, 3), 4))))
"""


@pytest.mark.usefixtures("inputs")
def test_of_processes_that_start_together_one_indexes(cache: Path) -> None:
    words = [sys.executable, "-c", PREPARE]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(words, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outs = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(outs) == [["0", "4"]] * 3 + [["1", "4"]]
    assert {path.suffix for path in cache.iterdir()} == {".fai", ".facts", ".records"}


# ---- the command


@pytest.mark.usefixtures("inputs")
def test_prepare_makes_what_shards_need_once() -> None:
    words = ("prepare", *GENOME)
    first = deeplift(*words)
    assert first.code == 0
    cache = cache_folder()
    assert f"genome.fa: 1 sequence(s), 552 bp; made {cache}/genome.fa." in first.out
    assert (
        f"in.bed: 24 record(s), of which 21 can be scored with 24 bp; made its index, {cache}/in.bed."
        in first.out
    )
    again = deeplift(*words)
    assert (again.code, again.err) == (0, "")
    assert again.out.count("its index is there already") == 2
    assert "indexing" not in run("1.h5", *GENOME, "--shard", "1/2").err
    assert deeplift(*words, "-q", "--length", 20).out == ""


@pytest.mark.usefixtures("inputs")
def test_prepare_of_a_fasta_file_and_of_a_genome_alone() -> None:
    Path("genome.fa.gz").write_bytes(gzip.compress(Path("genome.fa").read_bytes()))
    assert "genome.fa.gz: 1 sequence(s), 552 bp; made " in deeplift("prepare", "-g", "genome.fa.gz").out
    assert "its index is there already" in deeplift("prepare", "-g", "genome.fa.gz").out
    assert "23 record(s), of which 18 can be scored with 24 bp; made" in deeplift("prepare", *FASTA).out
    assert "indexing" not in run("1.h5", *FASTA, "--shard", "1/2").err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "give --fasta, or --genome"),
        (("-r", "in.bed"), 2, "give --fasta, or --genome"),
        ((*FASTA, "-g", "genome.fa"), 2, "give either --fasta, or --genome"),
        ((*FASTA, "-r", "in.bed"), 2, "give either --fasta, or --genome"),
        (("-g", "genome.fa", "--length", 24), 2, "--length goes with --fasta or --regions"),
        ((*FASTA, "--length", 0), 2, "--length"),
        (("-f", "none.fa"), 1, "FASTA file none.fa does not exist"),
        (("-g", "none.fa"), 1, "genome none.fa does not exist"),
        (("-g", "genome.fa", "-r", "in.bed", "--length", 600), 1,
         "in.bed has no record that can be scored with 600 bp; the first, peak0 (line 2), has its window at "
         "chr1:-288-312, which begins before the chromosome (552 bp; --edge pad fills the window with N)"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("inputs")
def test_prepare_refuses(options: tuple[object, ...], code: int, words: str) -> None:
    outcome = deeplift("prepare", *options)
    assert outcome.code == code
    assert words in outcome.err


@pytest.mark.usefixtures("inputs")
def test_prepare_needs_a_cache_that_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPLIFT_CACHE", str(Path("in.bed") / "below"))
    outcome = deeplift("prepare", *FASTA)
    assert outcome.code == 1
    assert "set DEEPLIFT_CACHE to another folder" in outcome.err


def test_skipped_records_are_compared_too(inputs: Path) -> None:
    """A record that is skipped has its place in a shard's table."""
    source = open_prepared_source(inputs / "in.fa", None, None, quiet)
    index = InputIndex(source, 24, quiet)
    keeping_time(inputs / "in.fa", lambda data: data.replace(b">s4:", b">t4:"))
    with pytest.raises(UserError, match="has changed since it was indexed: the record of line 9 is another"):
        list(index.records(range(1), ROWS))
    assert not index.path.exists()
    assert any(isinstance(record, Skipped) for record in source.records(24))
