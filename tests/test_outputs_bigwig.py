"""bigWig: values at their places, overlaps against brute force, and refusals before anything is written."""

import struct
import warnings
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pybigtools
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_files import open_score_file, write_bigwig

from deeplift_cli.errors import UserError
from deeplift_cli.outputs import bigwig_order
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.formats import bigwig as bigwig_module
from deeplift_cli.outputs.overlaps import RULES
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.sequences import FastaSource, Record, Region, one_hot

Values = npt.NDArray[np.float32]
Windows = list[tuple[str, int, str]]  # chromosome, start, strand


def write_scores(path: Path, regions: list[Region], letters: list[bytes]) -> Path:
    n, length = len(regions), len(letters[0]) if letters else 5
    scores = np.random.default_rng(n).standard_normal((n, 4, length)).astype(np.float32)
    zeros, table = np.zeros(n), np.zeros((n, 1))
    with open_score_file(path, ScoreLayout(length, 1, max(1, n)), overwrite=True) as file:
        if n:
            counts = np.zeros(n, int)
            file.add(ScoredBatch(regions, one_hot(letters), scores, zeros, zeros, table, table, counts))
    return path


def scored_windows(path: Path, windows: Windows, length: int) -> Path:
    regions = [Region(c, s, s + length, f"w{i}", strand, i) for i, (c, s, strand) in enumerate(windows)]
    rng = np.random.default_rng(length)
    letters = ["".join(rng.choice(list("ACGTN"), length)).encode() for _ in windows]
    return write_scores(path, regions, letters)


def contributions(path: Path) -> Values:
    with h5py.File(path) as file:
        projected: Values = file["projected_shap/seq"][:].sum(axis=1)
        projected[~file["raw/seq"][:].any(axis=1)] = np.nan  # no base, no value
    return projected


def brute_force(
    starts: list[int], values: npt.NDArray[np.float32], rule: str, size: int
) -> npt.NDArray[np.float64]:
    """Position by position; NaN where no window lies. Ties: further right, then the row that comes first."""
    length = values.shape[1]
    result = np.full(size, np.nan)
    for position in range(size):
        covering = [row for row, start in enumerate(starts) if start <= position < start + length]
        if not covering:
            continue
        if rule == "mean":
            result[position] = np.mean([float(values[row, position - starts[row]]) for row in covering])
        else:
            key = {row: (abs(position - starts[row] - length // 2), -starts[row], row) for row in covering}
            best = min(covering, key=key.__getitem__)
            result[position] = values[best, position - starts[best]]
    return result


def read_all(path: Path, chrom: str, size: int) -> npt.NDArray[np.float64]:
    with pyBigWig.open(str(path)) as file:
        if chrom not in file.chroms():
            return np.full(size, np.nan)
        values: npt.NDArray[np.float64] = np.array(file.values(chrom, 0, size), dtype=np.float64)
    return values


@settings(deadline=None, max_examples=150)
@given(
    starts=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    length=st.integers(1, 17),
    rule=st.sampled_from(sorted(RULES)),
)
def test_overlap_rules_against_brute_force(starts: list[int], length: int, rule: str) -> None:
    values = np.random.default_rng(0).standard_normal((len(starts), length)).astype(np.float32)
    order = np.argsort(starts, kind="stable")
    found = np.full(80, np.nan)
    last = 0
    for start, piece in RULES[rule](np.sort(np.array(starts, np.int64)), values[order]):
        assert start >= last
        assert piece.dtype == np.float32
        assert len(piece) > 0
        found[start : start + len(piece)] = piece
        last = start + len(piece)
    np.testing.assert_allclose(found, brute_force(starts, values, rule, 80), rtol=1e-6, atol=1e-6)
    if rule == "nearest-centre":
        np.testing.assert_array_equal(found, brute_force(starts, values, rule, 80))


def test_boundaries_of_chrombpnet() -> None:
    """Its writer cuts at (centre1 + centre2) // 2, which is the same where the sum is even."""
    values = np.array([[1.0] * 10, [2.0] * 10], np.float32)
    for second in (2, 4, 8):
        (_, left), (cut, _) = RULES["nearest-centre"](np.array([0, second]), values)
        assert cut == (5 + 5 + second) // 2 == len(left)


@settings(deadline=None, max_examples=15)
@given(
    windows=st.lists(
        st.tuples(st.sampled_from(["chr1", "chr10", "chr2"]), st.integers(0, 180), st.sampled_from("+-.")),
        min_size=1,
        max_size=15,
    ),
    rule=st.sampled_from(sorted(RULES)),
)
def test_files_against_brute_force(
    tmp_path_factory: pytest.TempPathFactory, windows: Windows, rule: str
) -> None:
    folder = tmp_path_factory.mktemp("bw")
    scores = scored_windows(folder / "s.h5", windows, 20)
    values = contributions(scores)
    write_bigwig(folder / "s.bw", scores, {"chr10": 200, "chr2": 200, "chr1": 200, "other": 7}, rule)
    for chrom in ("chr1", "chr10", "chr2"):
        rows = [row for row, window in enumerate(windows) if window[0] == chrom]
        expected = brute_force([windows[row][1] for row in rows], values[rows], rule, 200)
        found = read_all(folder / "s.bw", chrom, 200)
        np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-6)


def test_both_libraries_and_the_summary_agree(tmp_path: Path) -> None:
    scores = scored_windows(tmp_path / "s.h5", [("a", 50 * i, ".") for i in reversed(range(400))], 40)
    write_bigwig(tmp_path / "s.bw", scores, {"a": 30_000})
    values = contributions(scores)[::-1]
    with pyBigWig.open(str(tmp_path / "s.bw")) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pybigtools announces a new default
        other = pybigtools.open(str(tmp_path / "s.bw")).values("a", 0, 20_000)
        np.testing.assert_array_equal(np.array(file.values("a", 0, 20_000)), other)
        header = file.header()
        assert header["nBasesCovered"] == np.isfinite(values).sum() < 400 * 40
        assert header["nLevels"] > 0  # zoom levels, which genome browsers need
        assert file.stats("a", 0, 20_000, exact=True)[0] == pytest.approx(np.nanmean(values), rel=1e-4)
    np.testing.assert_array_equal(np.array(other).reshape(400, 50)[:, :40], values)
    assert np.isnan(np.array(other).reshape(400, 50)[:, 40:]).all()


def test_the_chromosomes_stand_before_the_data(tmp_path: Path) -> None:
    """In the order of UCSC's tools: header, zoom headers by their steps, summary, chromosomes, data."""
    names = [f"c{number:03d}" for number in range(300)]
    windows = [(name, 50, ".") for name in names] + [("d", start, ".") for start in range(0, 90_000, 1000)]
    scores = scored_windows(tmp_path / "s.h5", windows, 1000)
    sizes = dict.fromkeys(names, 2000) | {"d": 100_000, "unused": 5}
    write_bigwig(tmp_path / "s.bw", scores, sizes)
    content = (tmp_path / "s.bw").read_bytes()
    magic, _, n_zooms, tree, data, index, _, _, _, summary = struct.unpack("<IHHQQQHHQQ", content[:52])
    zooms = [struct.unpack("<IIQQ", content[64 + 24 * i : 88 + 24 * i]) for i in range(n_zooms)]
    assert n_zooms > 0
    assert 64 + 24 * n_zooms <= summary < tree < data < index < zooms[0][2]
    steps = [step for step, *_ in zooms]
    assert steps == sorted(steps)
    assert all(begin < end for _, _, begin, end in zooms)
    (tree_magic, _, key, value, count, _) = struct.unpack("<IIIIQQ", content[tree : tree + 32])
    assert (magic, tree_magic, key, value, count) == (0x888FFC26, 0x78CA8C91, 4, 8, 301)
    assert data - tree == 32 + 4 + count * (key + value)  # one leaf, and nothing else
    assert content[-4:] == content[:4]
    values = contributions(scores)
    with pyBigWig.open(str(tmp_path / "s.bw")) as file, pybigtools.open(str(tmp_path / "s.bw")) as other:
        assert file.chroms() == {name: sizes[name] for name in [*names, "d"]} == other.chroms()
        for row, (name, start, _) in enumerate(windows):
            np.testing.assert_array_equal(np.array(file.values(name, start, start + 1000)), values[row])
        assert file.stats("d", 0, 90_000, type="max")[0] == pytest.approx(np.nanmax(values[-90:]), rel=0.2)


@pytest.mark.parametrize(("at_once", "count"), [(7, 4_800), (1 << 20, 300_000)])
def test_moving_the_chromosomes_changes_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, count: int
) -> None:
    """Large enough for an index with branches; parts of it moved a few bytes at a time."""
    values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    chroms = {f"{name}{number}": count for name in "ab" for number in range(10)}
    path = tmp_path / "x.bw"
    pybigtools.open(str(path), "w").write(
        chroms, (("b7", place, place + 1, value) for place, value in enumerate(values.tolist()))
    )
    monkeypatch.setattr(bigwig_order, "_BYTES_AT_ONCE", at_once)
    size = path.stat().st_size
    for _ in range(2):  # the second time there is nothing to move
        bigwig_order.move_chromosomes_forward(path)
        assert path.stat().st_size == size
        with pyBigWig.open(str(path)) as file:
            np.testing.assert_array_equal(np.array(file.values("b7", 0, count)), values)
            assert file.chroms() == {"b7": count}


def test_what_is_no_bigwig_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    for places in ((300, 100, 200), (200, 100, 300)):
        path.write_bytes(struct.pack("<IHHQQQ", 0x888FFC26, 4, 0, *places) + bytes(400))
        before = path.read_bytes()
        with pytest.raises(ValueError, match="chromosomes"):
            bigwig_order.move_chromosomes_forward(path)
        assert path.read_bytes() == before


def test_n_within_a_window_is_a_gap(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "s.h5", [Region("a", 3, 8, "x", ".", 0)], [b"ANCNG"])
    write_bigwig(tmp_path / "s.bw", scores, {"a": 10})
    found = read_all(tmp_path / "s.bw", "a", 10)
    assert "".join("." if np.isnan(value) else "x" for value in found) == "...x.x.x.."
    np.testing.assert_array_equal(found[3:8], contributions(scores)[0])


@pytest.mark.parametrize("rule", RULES)
def test_a_gap_where_windows_overlap(tmp_path: Path, rule: str) -> None:
    """The windows are of one genome, so that all of them have N at the same positions."""
    genome = "ACGTNNACGTACGTNACGTACNNNNNACGTACGT"
    starts = [0, 4, 9, 14]
    regions = [Region("a", start, start + 20, "x", ".", i) for i, start in enumerate(starts)]
    scores = write_scores(
        tmp_path / "s.h5", regions, [genome[start : start + 20].encode() for start in starts]
    )
    write_bigwig(tmp_path / "s.bw", scores, {"a": 40}, rule)
    found = read_all(tmp_path / "s.bw", "a", 34)
    assert np.isnan(found).tolist() == [letter == "N" for letter in genome]


def test_the_last_base_of_a_chromosome(tmp_path: Path) -> None:
    scores = scored_windows(tmp_path / "s.h5", [("a", 80, "."), ("b", 0, ".")], 20)
    write_bigwig(tmp_path / "s.bw", scores, {"a": 100, "b": 20})
    np.testing.assert_array_equal(read_all(tmp_path / "s.bw", "a", 100)[80:], contributions(scores)[0])


REFUSALS = [
    ([Region("a", 85, 105, "x", ".", 0)], {"a": 100}, "window a:85-105 .* has 100 bp"),
    ([Region("a", -1, 19, "x", ".", 0)], {"a": 100}, "lies outside"),
    ([Region("chr7", 5, 25, "x", ".", 0)], {"7": 100}, "regions say 'chr7', the chromosome sizes have '7'"),
    ([Region("gene7", 0, 20, "gene7", ".", 0)], {"7": 100}, "'gene7' has no coordinates, .* chr1:100-200"),
    ([], {"a": 100}, "has no rows"),
]


@pytest.mark.parametrize(("regions", "sizes", "words"), REFUSALS)
def test_refusals_leave_nothing(
    tmp_path: Path, regions: list[Region], sizes: dict[str, int], words: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    scores = write_scores(tmp_path / "s.h5", regions, [b"A" * 20] * len(regions))
    (folder / "s.bw").write_text("old")
    with pytest.raises(UserError, match=words):
        write_bigwig(folder / "s.bw", scores, sizes, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["s.bw"]
    assert (folder / "s.bw").read_text() == "old"


def test_a_score_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    scores = scored_windows(tmp_path / "s.h5", [("a", 0, "."), ("a", 30, ".")], 20)
    with h5py.File(scores, "a") as file:
        file["projected_shap/seq"][1, 2, 3] = np.nan
    with pytest.raises(UserError, match="row 1: a score is not a finite number"):
        write_bigwig(tmp_path / "s.bw", scores, {"a": 100})


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_while_writing_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """pybigtools prints what its source raises, and goes on as if the file were complete."""

    def broken(starts: npt.NDArray[np.int64], values: npt.NDArray[np.float32]):
        yield 0, values[0]
        raise error("in the middle")

    scores = scored_windows(tmp_path / "s.h5", [("a", 0, ".")], 20)
    monkeypatch.setitem(RULES, "mean", broken)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match="in the middle"):
        write_bigwig(tmp_path / "s.bw", scores, {"a": 100}, "mean")
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_came_out_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = scored_windows(tmp_path / "s.h5", [("a", 0, ".")], 20)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(bigwig_module, "_bases_covered", lambda path: 19)
    with pytest.raises(UserError, match="could not be written whole"):
        write_bigwig(tmp_path / "s.bw", scores, {"a": 100})
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_file_needs_overwrite(tmp_path: Path) -> None:
    scores = scored_windows(tmp_path / "s.h5", [("a", 0, ".")], 20)
    write_bigwig(tmp_path / "s.bw", scores, {"a": 100})
    with pytest.raises(UserError, match="--overwrite"):
        write_bigwig(tmp_path / "s.bw", scores, {"a": 100})
    write_bigwig(tmp_path / "s.bw", scores, {"a": 100}, overwrite=True)


def test_chrom_sizes(tmp_path: Path) -> None:
    path = tmp_path / "sizes"
    path.write_text("# comment\r\nchr1\t100\r\n\r\nchr 2\t7\r\nchr3\t9\t112\t70\t71")
    assert read_chrom_sizes(path) == {"chr1": 100, "chr 2": 7, "chr3": 9}
    for text, words in [
        ("", "is empty"),
        ("\n", "holds no chromosomes"),
        ("chr1\t1\nchr2\n", "line 2 has one column"),
        ("chr1\tlong\n", "line 1 has 'long' where the length belongs"),
        ("chr1\t0\n", "positive integer"),
        ("chr1\t-5\n", "positive integer"),
        ("chr1\t4294967296\n", "positive integer"),
        ("chr1\t1\nchr1\t2\n", "line 2 repeats 'chr1'"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            read_chrom_sizes(path)


def test_real_peaks_with_coordinates_in_their_names(shared: Path, tmp_path: Path) -> None:
    folder = shared / "sequences"
    source = FastaSource(folder / "Gm12878.CTCF.top500.w200.fa")
    records = [record for record in source.records(200) if isinstance(record, Record)]
    records = [record for record in records if record.region.chrom in ("chr17", "chr19", "chr22")]
    scores = write_scores(tmp_path / "s.h5", [r.region for r in records], [r.letters for r in records])
    write_bigwig(tmp_path / "s.bw", scores, {f"chr{name}": 250_000_000 for name in range(1, 23)})
    values = contributions(scores)
    regions = [record.region for record in records]
    alone = 0
    with pyBigWig.open(str(tmp_path / "s.bw")) as file:
        for row, region in enumerate(regions):
            others = [r for r in regions if r.chrom == region.chrom and abs(r.start - region.start) < 200]
            if len(others) == 1:
                found = np.array(file.values(region.chrom, region.start, region.end))
                np.testing.assert_array_equal(found, values[row])
                alone += 1
    assert alone > 60
