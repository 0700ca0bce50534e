"""Genome and regions: windows, indexes, and the promise to write nothing beside the genome."""

import gzip
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from Bio import bgzf

from deeplift_cli.errors import UserError
from deeplift_cli.sequences import GenomeSource, Record, Region, Skipped, cache_folder
from deeplift_cli.sequences.genome import Genome

SIZES = {"1": 1000, "chr2": 333, "MT": 60, "empty": 0, "long": 70_000}
_RNG = random.Random(5)
SEQUENCES = {name: "".join(_RNG.choices("ACGTNacgt", k=length)) for name, length in SIZES.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fasta_text(sequences: dict[str, str], width: int = 60, end: str = "\n") -> str:
    lines = []
    for name, text in sequences.items():
        lines += [f">{name} description"] + [text[i : i + width] for i in range(0, len(text), width)]
    return end.join(lines) + end


def write_genome(folder: Path, sequences: dict[str, str], kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / ("genome.fa.gz" if "gz" in kind else "genome.fa")
    text = fasta_text(sequences)
    if kind == "plain":
        path.write_text(text)
    elif kind == "crlf":
        path.write_bytes(fasta_text(sequences, end="\r\n").encode())
    elif kind == "one-line":
        path.write_text(fasta_text(sequences, width=10**9).rstrip("\n"))
    elif kind == "uneven":
        path.write_text(text.replace("A\n", "A\n\n"))
    elif kind == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    elif kind == "bgzip":
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(text)
    elif kind == "bgzip-named-otherwise":
        path = folder / "genome.fa.bgzf"
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(text)
    elif kind == "bgzip-without-end-marker":
        with bgzf.BgzfWriter(str(path)) as file:
            file.write(text)
        path.write_bytes(path.read_bytes()[:-28])
    return path


def write_bed(folder: Path, text: str, name: str = "in.bed") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


KINDS = [
    "plain",
    "crlf",
    "one-line",
    "uneven",
    "gzip",
    "bgzip",
    "bgzip-named-otherwise",
    "bgzip-without-end-marker",
]


@pytest.mark.parametrize("kind", KINDS)
def test_fetches_equal_slices_of_the_text(tmp_path: Path, kind: str, cache: Path) -> None:
    path = write_genome(tmp_path / "genome", SEQUENCES, kind)
    path.parent.chmod(0o555)
    notes = list[str]()
    genome = Genome(path, notes.append)
    assert genome.sizes == SIZES
    rng = random.Random(kind)
    windows = [("1", 0, 1000), ("1", 59, 61), ("1", 60, 120), ("chr2", 332, 333), ("long", 69_999, 70_000)]
    for _ in range(500):
        name = rng.choice(["1", "chr2", "MT", "long"])
        start = rng.randrange(SIZES[name])
        windows.append((name, start, rng.randint(start + 1, min(SIZES[name], start + 500))))
    for name, start, end in windows:
        assert genome.fetch(name, start, end) == SEQUENCES[name][start:end].upper().encode(), (
            name,
            start,
            end,
        )
    assert len(notes) >= 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = list[str]()
    assert Genome(path, again.append).fetch("MT", 3, 9) == SEQUENCES["MT"][3:9].upper().encode()
    assert [note for note in again if "end marker" not in note] == []
    assert (again != []) == (kind == "bgzip-without-end-marker")
    assert not [file for file in cache.iterdir() if "part-" in file.name or file.name.endswith("lock")]


def test_every_start_in_a_bgzip_with_full_blocks(tmp_path: Path) -> None:
    """A fetch may begin at a block's first byte, and blocks may have the full 65,536."""
    text = "".join(random.Random(3).choices("ACGT", k=140_000))
    path = tmp_path / "full.fa.gz"
    with bgzf.BgzfWriter(str(path)) as file:
        file.write(fasta_text({"c": text}))
    genome = Genome(path)
    for start in [*range(64_000, 65_500), *range(128_000, 130_000)]:
        assert genome.fetch("c", start, start + 3) == text[start : start + 3].encode()


def test_an_index_beside_the_genome_is_used_if_sound_and_not_older(tmp_path: Path, cache: Path) -> None:
    path = write_genome(tmp_path / "genome", SEQUENCES, "plain")
    Genome(path)
    (made,) = cache.iterdir()
    beside = path.with_name("genome.fa.fai")
    made.rename(beside)
    notes = list[str]()
    Genome(path, notes.append)
    assert notes == []
    assert list(cache.iterdir()) == []
    link = tmp_path / "link.fa"
    link.symlink_to(path)
    Genome(link, notes.append)
    assert notes == []

    good = beside.read_text()
    for bad in ("", "1\t5\n", good + good, good.replace("70000", "90000")):
        beside.write_text(bad)
        assert Genome(path, notes.append).sizes == SIZES
        assert beside.read_text() == bad
    assert sum("does not fit the genome" in note for note in notes) == 4
    assert sum("indexing" in note for note in notes) == 1  # the cache serves from the second on

    beside.write_text(good)
    os.utime(path, (2_000_000_000, 2_000_000_000))
    Genome(path, notes.append)
    assert "is older than the genome" in notes[-2]
    assert "indexing" in notes[-1]


def test_a_changed_genome_is_indexed_anew(tmp_path: Path, cache: Path) -> None:
    for kind in ("plain", "gzip"):
        path = write_genome(tmp_path / kind, SEQUENCES, kind)
        Genome(path)
        write_genome(tmp_path / kind, {"other": "ACGTACGTAC"}, kind)
        genome = Genome(path)
        assert genome.fetch("other", 2, 6) == b"GTAC"
    assert len(list(cache.iterdir())) == 1 + 2  # what was made from the older states is gone


def _fetch_in_a_process(path: Path) -> bytes:
    return Genome(path).fetch("long", 10, 20)


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_processes_that_start_at_once(tmp_path: Path, kind: str) -> None:
    path = write_genome(tmp_path, SEQUENCES, kind)
    with multiprocessing.get_context("fork").Pool(6) as pool:
        assert set(pool.map(_fetch_in_a_process, [path] * 12)) == {SEQUENCES["long"][10:20].upper().encode()}


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "g.fa", "is empty"),
        (b"chr1 ACGT\n", "g.fa", "is not a FASTA file"),
        (b">a\nACGT\n>a\nACGT\n", "g.fa", "line 3: second record named a"),
        (b">a\nACGT\nA1GTAA\nA\n", "g.fa", "line 3 holds '1'"),
        (
            gzip.compress(b">a\n" + random.Random(0).randbytes(5000).hex().encode())[:-900],
            "g.fa.gz",
            "g.fa.gz",
        ),
        (
            gzip.compress(b">a\n" + b"".join(random.Random(0).choices([b"A", b"C", b"G"], k=9999)))[:-99],
            "g.fa.gz",
            "cut short",
        ),
    ],
)
def test_genomes_that_are_none(tmp_path: Path, content: bytes, name: str, words: str, cache: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        Genome(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_damaged_bgzip_is_told(tmp_path: Path) -> None:
    path = write_genome(tmp_path, SEQUENCES, "bgzip")
    content = bytearray(path.read_bytes())
    content[20_000:20_100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|cut short"):
        Genome(path)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_genome(tmp_path, SEQUENCES, "plain")
    monkeypatch.setenv("DEEPLIFT_CACHE", str(path / "below-a-file"))
    with pytest.raises(UserError, match="set DEEPLIFT_CACHE"):
        Genome(path)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEEPLIFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "deeplift"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "deeplift"


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return write_genome(tmp_path / "genome", SEQUENCES, "plain")


def records_of(genome: Path, bed: Path, length: int | None) -> list[Record | Skipped]:
    return list(GenomeSource(genome, bed).records(length))


def test_windows_are_centred_on_the_summit_or_the_midpoint(genome: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    regions = [(rng.randint(300, 500), rng.randint(1, 60), rng.randint(-1, 59)) for _ in range(300)]
    lines = [f"1\t{start}\t{start + width}\tp\t0\t-\t1\t2\t3\t{top}\n" for start, width, top in regions]
    source = GenomeSource(genome, write_bed(tmp_path, "".join(lines)))
    for length in (20, 21, 50, 151):
        for (start, width, summit), record in zip(regions, source.records(length), strict=True):
            assert isinstance(record, Skipped) == (summit >= width)
            if isinstance(record, Skipped):
                continue
            window = record.region
            assert (window.end - window.start, window.strand, window.name) == (length, "-", "p")
            left, right = start - window.start, window.end - (start + width)
            if summit >= 0:
                assert window.start + length // 2 == start + summit
            else:
                assert abs(left - right) <= 1
            if summit < 0 and width == length:
                assert (left, right) == (0, 0)
            assert record.letters == SEQUENCES["1"][window.start : window.end].upper().encode()


def test_valid_but_odd_regions(genome: Path, tmp_path: Path) -> None:
    text = (
        "browser position chr1:1-2\r\ntrack name=x\r\n# a comment\r\n\r\n1\t100\t110\r\n"
        "1\t100\t110\tname with spaces | and : more\t0\t+\textra\tx\r\n"
        "1 100 110 spaces 0 -\r\n"
        "1\t100\t110\t.\t0\t.\t1\t1\t1\t2.0\r\n"
        "1\t100\t120\ttranscript\t0\t+\t100\t120\t0\t2\t5,5\t0,15\n"  # BED12: column 10 counts exons
        "1\t100\t110\tlast\t0\t+"
    )
    for path in (write_bed(tmp_path, text), tmp_path / "in.bed.gz"):
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        source = GenomeSource(genome, path)
        records = [record for record in source.records(10) if isinstance(record, Record)]
        assert source.n_records == len(records) == 6
        assert [(r.region.start, r.region.strand, r.region.name, r.line) for r in records] == [
            (100, ".", "1:100-110", 5),
            (100, "+", "name with spaces | and : more", 6),
            (100, "-", "spaces", 7),
            (97, ".", "1:100-110", 8),
            (105, "+", "transcript", 9),
            (100, "+", "last", 10),
        ]
        assert [r.region.index for r in records] == list(range(6))
        assert all(r.has_coordinates for r in records)


def test_regions_that_cannot_be_scored_are_skipped_with_numbers(genome: Path, tmp_path: Path) -> None:
    bed = write_bed(
        tmp_path,
        "1\t100\t120\n1\t-5\t15\n1\t2\t6\n1\t990\t1000\nchr1\t5\t25\nchrM\t5\t25\nzz\t5\t25\tz\n"
        "1\t100\t120\tp\t0\t.\t1\t1\t1\t20\n",
    )
    source = GenomeSource(genome, bed)
    kept, *skipped = source.records(20)
    assert isinstance(kept, Record)
    assert all(isinstance(record, Skipped) for record in skipped)
    assert [(s.index, s.line) for s in skipped if isinstance(s, Skipped)] == [(i, i + 1) for i in range(1, 8)]
    reasons = [s.reason for s in skipped if isinstance(s, Skipped)]
    pad = "--edge pad fills the window with N"
    assert reasons[0] == f"has its window at 1:-5-15, which begins before the chromosome (1000 bp; {pad})"
    assert reasons[1] == f"has its window at 1:-6-14, which begins before the chromosome (1000 bp; {pad})"
    assert reasons[2] == f"has its window at 1:985-1005, which ends after the chromosome (1000 bp; {pad})"
    assert "its region says 'chr1', the genome has '1' (--rename-chroms ensembl translates it)" in reasons[3]
    assert "its region says 'chrM', the genome has 'MT'" in reasons[4]
    assert "lacks: its region says 'zz', the genome has '1', 'chr2', 'MT', ..." in reasons[5]
    assert "summit at 20, outside its own 20 bp" in reasons[6]


def test_without_a_wanted_length_regions_stay_as_they_are(genome: Path, tmp_path: Path) -> None:
    bed = write_bed(tmp_path, "1\t10\t15\tp\t0\t.\t1\t1\t1\t0\n1\t20\t30\n1\t40\t45\n")
    source = GenomeSource(genome, bed)
    assert source.first_length() == 5
    first, second, third = source.records(None)
    assert isinstance(first, Record)
    assert (first.region.start, first.region.end) == (10, 15)
    assert isinstance(second, Skipped)
    assert second.reason == "is 10 bp long; the first region has 5 bp"
    assert isinstance(third, Record)


def test_a_window_without_a_base_is_skipped(tmp_path: Path) -> None:
    genome = write_genome(tmp_path, {"a": "ACGT" + "N" * 20 + "ACGT"}, "plain")
    record, skipped = records_of(genome, write_bed(tmp_path, "a\t0\t8\na\t10\t18\n"), None)
    assert isinstance(record, Record)
    assert isinstance(skipped, Skipped)
    assert "no base" in skipped.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# nothing\n", "holds no regions"),
        ("1\t5\t9\n1\t5\n", "line 2 has 2 column(s)"),
        ("chrom\tstart\tend\n1\t5\t9\n", "line 1 has 'start' where the start belongs"),
        ("1\t5\t9.5\n", "'9.5' where the end belongs"),
        ("1\t5\t1_000\n", "where the end belongs"),
        ("1\t9\t9\n", "line 1: the end 9 is not after the start 9"),
        ("chr1\t5\t9\nchr9\t5\t9\n", "regions say 'chr1', the genome has '1'"),
    ],
)
def test_regions_files_that_do_not_parse(genome: Path, tmp_path: Path, text: str, words: str) -> None:
    path = write_bed(tmp_path, text)
    with pytest.raises(UserError) as caught:
        GenomeSource(genome, path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.fixture(scope="module")
def chr22(shared: Path) -> str:
    with gzip.open(shared / "sequences" / "chr22_20-21M.GRCh37.fa.gz", "rt") as file:
        return "".join(file.read().split("\n")[1:])


def _real(shared: Path, bed: str, length: int) -> Iterator[Record | Skipped]:
    folder = shared / "sequences"
    return GenomeSource(folder / "chr22_20-21M.GRCh37.fa.gz", folder / bed).records(length)


def test_real_peaks_on_the_real_genome(shared: Path, chr22: str) -> None:
    bed = "H1_DNase.chr22_20-21M.piece.narrowPeak"
    peaks = [line.split() for line in (shared / "sequences" / bed).read_text().splitlines()]
    records = list(_real(shared, bed, 2114))
    assert len(records) == len(peaks) == 53
    for record, peak in zip(records, peaks, strict=True):
        start = int(peak[1]) + int(peak[9]) - 1057
        if isinstance(record, Skipped):
            assert start < 0 or start + 2114 > len(chr22)
        else:
            assert record.letters.decode() == chr22[start : start + 2114].upper()
    assert sum(isinstance(record, Record) for record in records) > 45


def test_real_splice_sites_against_the_windows_cut_by_others(shared: Path) -> None:
    """The donor windows of the shared FASTA (sense strand, GT after 5 exon bases) lie around their sites."""
    complement = bytes.maketrans(b"ACGT", b"TGCA")
    text = (shared / "sequences" / "splice_windows_mmsplice_donor.fa").read_text().split()
    windows = dict(zip(text[::2], text[1::2], strict=True))
    checked = 0
    for record in _real(shared, "chr22_20-21M.splice_sites.bed", 61):
        assert isinstance(record, Record)
        gene, kind = record.region.name.split(":")
        site = record.region.start + 30
        window = windows.get(f">{gene}|{kind}|{record.region.strand}|{site}")
        if kind == "donor" and window is not None:
            sense = (
                record.letters if record.region.strand == "+" else record.letters.translate(complement)[::-1]
            )
            assert window.encode() in sense
            checked += 1
    assert checked == 128


def test_real_run_of_n_is_skipped(shared: Path, tmp_path: Path) -> None:
    bed = write_bed(tmp_path, "22:20000001-21000000\t520000\t520200\n22:20000001-21000000\t509331\t509531\n")
    skipped, kept = GenomeSource(shared / "sequences" / "chr22_20-21M.GRCh37.fa.gz", bed).records(200)
    assert isinstance(skipped, Skipped)
    assert isinstance(kept, Record)
    assert kept.letters.count(b"N") == 100


def test_region_is_what_the_outputs_take(genome: Path, tmp_path: Path) -> None:
    (record,) = records_of(genome, write_bed(tmp_path, "1\t5\t9\n"), None)
    assert isinstance(record, Record)
    assert record.region == Region("1", 5, 9, "1:5-9", ".", 0)
