"""`deeplift_cli.load_scores` against the same file read by h5py, and how much of the file is read."""

import pickle
import pydoc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from score_files import attributes, open_score_file

import deeplift_cli
from deeplift_cli import RegionScores, Scores, load_scores
from deeplift_cli.errors import UserError
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.outputs.row_search import NoSuchRegionError, SeveralRegionsError
from deeplift_cli.sequences.records import Region

N, L, R = 50, 30, 3


def rows(first: int, end: int) -> ScoredBatch:
    """Rows whose windows are 20 bp apart on two chromosomes, with an N at position 2 of every row."""
    random = np.random.default_rng(first)
    n = end - first
    letters = random.integers(4, size=(n, L))
    one_hot = (np.arange(4)[:, None] == letters[:, None]).astype(np.int8)
    one_hot[:, :, 2] = 0
    hypothetical = random.normal(size=(n, 4, L)).astype(np.float32) * one_hot.any(1, keepdims=True)
    places = [1000 + 20 * (row // 2) for row in range(first, end)]
    regions = [
        Region(f"chr{row % 2 + 1}", place, place + L, f"peak_{row}", "+-."[row % 3], 2 * row)
        for row, place in zip(range(first, end), places, strict=True)
    ]
    each = random.normal(size=(n, R))
    return ScoredBatch(
        regions, one_hot, hypothetical, prediction=each[:, 0], output=each[:, 1], reference_output=each,
        completeness_error=1e-6 * each, identical_references=np.arange(n, dtype=np.int32),
        rescored=np.zeros(n, np.int32), standard_error=each[:, 2] ** 2,
        position_standard_error=random.random(size=(n, L)).astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of N rows in chunks of 5 rows."""
    found = tmp_path_factory.mktemp("scores") / "scores.h5"
    layout = ScoreLayout.of_run(
        L, R, 5, "float32", standard_errors=True, fold_sd=False, control_variate=False
    )
    attrs = attributes(layout) | {
        "rule": "rescale",
        "seed": 3,
        "targets": [0],
        "genome": None,
        "logits": True,
    }
    with open_score_file(found, layout, attrs=attrs) as file:
        for first in range(0, N, 5):
            file.add(rows(first, first + 5))
    return found


@pytest.fixture(scope="module")
def stored(path: Path) -> dict[str, Any]:
    """All datasets, read by h5py alone."""
    with h5py.File(path) as file:
        found: dict[str, Any] = {}
        file.visititems(
            lambda name, item: found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


@pytest.fixture
def scores(path: Path) -> Any:
    with load_scores(path) as opened:
        yield opened


# ---- single regions


def check(found: RegionScores, stored: dict[str, Any], row: int, here: slice = slice(None)) -> None:
    """Compare a region, or the part of a region at these positions, with the datasets."""
    assert (found.row, found.index, found.name) == (row, 2 * row, f"peak_{row}")
    assert np.array_equal(found.one_hot, stored["raw/seq"][row][:, here])
    assert np.array_equal(found.hypothetical, stored["shap/seq"][row][:, here])
    assert np.array_equal(found.contributions, stored["projected_shap/seq"][row].sum(0)[here])
    assert np.array_equal(found.along["position_standard_error"], stored["standard_error/seq"][row][here])
    letters = "".join("ACGT"[column.argmax()] if column.any() else "N" for column in found.one_hot.T)
    assert found.sequence == letters
    assert len(found) == len(letters) == found.end - found.start
    assert found.quality["output"] == stored["qc/output"][row]
    assert np.array_equal(found.quality["reference_output"], stored["qc/reference_output"][row])


def test_regions_by_name_row_and_place(scores: Scores, stored: dict[str, Any]) -> None:
    check(scores["peak_17"], stored, 17)
    check(scores[17], stored, 17)
    check(scores.region(np.int64(-33)), stored, 17)
    place = scores["peak_17"]
    assert (place.chrom, place.start, place.end, place.strand) == ("chr2", 1160, 1190, ".")
    assert place.sequence[2] == "N"
    check(scores["chr2:1,171-1179"], stored, 17, slice(11, 19))
    assert "peak_17" in scores
    assert "peak_50" not in scores


def test_a_place_that_one_window_covers(scores: Scores, stored: dict[str, Any]) -> None:
    """Rows 0 and 2 are chr1:1000-1030 and chr1:1020-1050."""
    check(scores["chr1:1000-1020"], stored, 0, slice(0, 20))
    check(scores["chr1:1000-1030"], stored, 0)


def test_several_regions_at_a_place_are_refused_and_named(scores: Scores) -> None:
    with pytest.raises(SeveralRegionsError) as caught:
        scores["chr1:1020-1029"]
    assert str(caught.value) == (
        f"2 rows of score file {scores.path} fit chr1:1,020-1,029: 0 (peak_0, window chr1:1,000-1,030), "
        "2 (peak_2, window chr1:1,020-1,050); say which by name or row, as in scores[0]"
    )
    assert isinstance(caught.value, KeyError)


def test_several_regions_of_a_name_are_refused_and_named(tmp_path: Path) -> None:
    layout = ScoreLayout.of_run(
        L, R, 5, "float32", standard_errors=True, fold_sd=False, control_variate=False
    )
    batch = rows(0, 5)
    batch.regions[3] = replace(batch.regions[3], name="peak_1")
    with open_score_file(tmp_path / "s.h5", layout) as file:
        file.add(batch)
    with load_scores(tmp_path / "s.h5") as scores:
        assert "peak_1" in scores
        with pytest.raises(
            SeveralRegionsError, match=r"fit the name 'peak_1': 1 \(.*\), 3 \(.*say which by row"
        ):
            scores["peak_1"]
        assert scores[3].name == "peak_1"


def test_all_regions_in_order(scores: Scores, stored: dict[str, Any]) -> None:
    found = list(scores)
    assert len(found) == len(scores) == N
    for row, region in enumerate(found):
        check(region, stored, row)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("peak_50", r"no region named 'peak_50'; its 50 regions are peak_0, peak_1, peak_2, \.\.\."),
        ("chr3:5-9", "there is none on 'chr3', its regions are on 'chr1', 'chr2'"),
        ("chr1:900-999", "the nearest on chr1 is peak_0, window chr1:1,000-1,030"),
        (
            "chr1:990-1010",
            r"a part of it is in peak_0, window chr1:1,000-1,030: give scores\[\"chr1:1000-1010\"\] for the "
            r"part, or scores\[0\] for the whole window",
        ),
        ("chr1:9-5", "no region named 'chr1:9-5'"),
        (f"chr1:1-{'9' * 5000}", "no region named"),
        (50, "no row 50: its 50 rows are numbered from 0 to 49"),
        (-51, "no row -51"),
    ],
)
def test_what_is_not_there_is_a_key_error_of_one_line(scores: Scores, wanted: Any, message: str) -> None:
    with pytest.raises(NoSuchRegionError, match=message) as caught:
        scores[wanted]
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, KeyError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wanted", [slice(3), None, 1.0, True, ("peak_1", "peak_2")])
def test_other_keys_are_a_type_error(scores: Scores, wanted: Any) -> None:
    with pytest.raises(TypeError, match="by its name, its row or a place"):
        scores[wanted]


def test_parts_of_a_region(scores: Scores, stored: dict[str, Any]) -> None:
    check(scores[0].part(1010, 1020).part(1012, 1013), stored, 0, slice(12, 13))
    for start, end in (999, 1010), (1000, 1031), (1010, 1010):
        with pytest.raises(ValueError, match=f"{start}-{end} is no part of chr1:1000-1030"):
            scores[0].part(start, end)


# ---- tables and arrays


def test_the_table_of_regions(scores: Scores, stored: dict[str, Any]) -> None:
    table = scores.regions
    assert list(table.columns[:6]) == ["chrom", "start", "end", "name", "strand", "index"]
    for key in ("start", "end", "index"):
        assert table[key].tolist() == stored[f"regions/{key}"].tolist()
    for key in ("chrom", "name", "strand"):
        assert table[key].tolist() == [text.decode() for text in stored[f"regions/{key}"]]
    for key in ("prediction", "output", "identical_references", "rescored", "standard_error"):
        assert np.array_equal(table[key], stored[f"qc/{key}"])
    assert np.array_equal(table["reference_output"], stored["qc/reference_output"].mean(1))
    worst = [max(errors, key=abs) for errors in stored["qc/completeness_error"].tolist()]
    assert table["completeness_error"].tolist() == worst
    assert table.query("chrom == 'chr2' and start < 1030").name.tolist() == ["peak_1", "peak_3"]


def test_the_dataset_holds_all_arrays(scores: Scores, stored: dict[str, Any]) -> None:
    data = scores.dataset
    assert data is scores.to_xarray()
    assert dict(data.sizes) == {"region": N, "base": 4, "position": L, "reference": R}
    assert np.array_equal(data.one_hot, stored["raw/seq"])
    assert np.array_equal(data.hypothetical, stored["shap/seq"])
    assert np.array_equal(data.contributions, stored["projected_shap/seq"].sum(1))
    assert np.array_equal(data.position_standard_error, stored["standard_error/seq"])
    for name in ("prediction", "output", "reference_output", "completeness_error", "standard_error"):
        assert np.array_equal(data[name], stored[f"qc/{name}"])
        assert data[name].dims == ("region", "reference")[: stored[f"qc/{name}"].ndim]
    assert data.attrs["rule"] == "rescale"
    one = data.sel(region="peak_17", base="G")
    assert np.array_equal(one.hypothetical, stored["shap/seq"][17, 2])
    assert (one.chrom.item(), one.start.item(), one.strand.item()) == ("chr2", 1160, ".")
    (total,) = (data.contributions * data.one_hot).sum("base").sel(region=["peak_4"]).values
    assert np.array_equal(total, stored["projected_shap/seq"][4].sum(0))


@pytest.mark.parametrize(
    "key",
    [
        (3,), (-1, 2, slice(None, None, -2)), (slice(40, 3, -7), [3, 1], slice(5, 9)), ([5, 3, 49, 3],),
        ([],), (slice(0, 0), 1), (np.arange(N) % 7 == 0, slice(1, 3), 4), ([-1, 0], [0], [29, 0, 0]),
    ],
)  # fmt: skip
def test_every_way_of_indexing(scores: Scores, stored: dict[str, Any], key: tuple[Any, ...]) -> None:
    found = scores.dataset.hypothetical[key]
    expected = stored["shap/seq"]
    for axis in reversed(range(len(key))):
        expected = expected[(slice(None),) * axis + (key[axis],)]
    assert np.array_equal(found, expected)
    assert found.dtype == np.float32


# ---- how much is read


def without_other_chunks(path: Path, folder: Path, kept: int) -> Path:
    """Return a copy of a file in which the wide datasets' chunks are zeros, but for the chunk of one row."""
    copy = folder / "damaged.h5"
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        for name in ("raw/seq", "shap/seq", "projected_shap/seq"):
            for place in range(file[name].id.get_num_chunks()):
                chunk = file[name].id.get_chunk_info(place)
                if not chunk.chunk_offset[0] <= kept < chunk.chunk_offset[0] + file[name].chunks[0]:
                    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    copy.write_bytes(content)
    return copy


def test_only_the_chunks_with_the_rows_are_read(path: Path, stored: dict[str, Any], tmp_path: Path) -> None:
    with load_scores(without_other_chunks(path, tmp_path, 12)) as scores:
        assert len(scores.regions) == N
        data = scores.dataset
        for row in range(10, 15):
            check(scores[row], stored, row)
            assert np.array_equal(data.hypothetical[row], stored["shap/seq"][row])
        assert np.array_equal(data.contributions[[14, 10]], stored["projected_shap/seq"].sum(1)[[14, 10]])
        assert repr(data)
        for read in (lambda: scores[9], lambda: list(scores), lambda: data.hypothetical[[12, 15]].load()):
            with pytest.raises(UserError, match=r"damaged\.h5 is damaged, \S+/seq, rows "):
                read()


def test_a_large_file_is_opened_without_reading_it(tmp_path: Path, path: Path) -> None:
    """The bytes that the process reads are counted: fewer than a tenth of the scores."""
    big = tmp_path / "big.h5"
    layout = ScoreLayout.of_run(
        1000, 1, 20, "float32", standard_errors=False, fold_sd=False, control_variate=False
    )
    random = np.random.default_rng(0)
    zeros, table = np.zeros(20), np.zeros((20, 1))
    with open_score_file(big, layout) as file:
        for first in range(0, 400, 20):
            regions = [
                Region("chr1", row, row + 1000, f"r{row}", ".", row) for row in range(first, first + 20)
            ]
            values = random.normal(size=(20, 4, 1000)).astype(np.float32)
            one_hot = (random.integers(4, size=(20, 1, 1000)) == np.arange(4)[:, None]).astype(np.int8)
            file.add(
                ScoredBatch(regions, one_hot, values, zeros, zeros, table, table, zeros.astype(int), zeros)
            )
    before = bytes_read()
    with load_scores(big) as scores:
        assert scores["r77"].sequence
        assert scores.dataset.hypothetical.sel(region="r333", position=slice(3, 5)).shape == (4, 3)
        assert len(scores.regions) == 400
    assert bytes_read() - before < big.stat().st_size / 10


def bytes_read() -> int:
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


# ---- the object itself


def test_attributes_and_options(scores: Scores) -> None:
    assert scores.attrs["model_sha256"] == "x"
    assert scores.attrs["fingerprint"] == {}
    assert scores.options == {
        "rule": "rescale", "seed": 3, "targets": [0], "genome": None, "logits": True, "shard": None,
        "batch_size": 5,
    }  # fmt: skip


def test_representations_fit_one_screen(scores: Scores) -> None:
    for shown in (repr(scores), repr(scores["peak_3"])):
        assert len(shown.splitlines()) <= 24
        assert max(map(len, shown.splitlines())) <= 120
    assert "50 regions of 30 bp, 3 references each" in repr(scores)
    assert "[region 50, base 4, position 30] float32" in repr(scores)
    assert scores["peak_3"].sequence in repr(scores["peak_3"])


def test_a_closed_file_says_so_and_opens_elsewhere(path: Path, stored: dict[str, Any]) -> None:
    with load_scores(str(path)) as scores:
        data, copy = scores.dataset, pickle.dumps(scores)
        sent = pickle.dumps(data.contributions)
    assert repr(scores).splitlines()[0].endswith("closed")
    for read in (lambda: scores[0], lambda: scores.regions, lambda: data.one_hot.load()):
        with pytest.raises(UserError, match="has been closed; load_scores opens it again"):
            read()
    check(pickle.loads(copy)["peak_17"], stored, 17)
    assert np.array_equal(pickle.loads(sent)[5], stored["projected_shap/seq"][5].sum(0))


@pytest.mark.parametrize(("package", "attribute"), [("pandas", "regions"), ("xarray", "dataset")])
def test_single_regions_need_neither_pandas_nor_xarray(
    path: Path, stored: dict[str, Any], monkeypatch: pytest.MonkeyPatch, package: str, attribute: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "deeplift_cli.scores.as_dataset", raising=False)
    with load_scores(path) as scores:
        check(scores["peak_17"], stored, 17)
        with pytest.raises(UserError, match=rf"{package}.*pip install 'deeplift-genomics\[tables\]'"):
            getattr(scores, attribute)


def test_what_is_no_score_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_scores(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(UserError, match="is not an HDF5 file"):
        load_scores(tmp_path / "text.h5")
    for wrong in (None, 3, b"x".__class__):
        with pytest.raises(TypeError, match="load_scores takes the path of a score file"):
            load_scores(wrong)  # type: ignore[arg-type]


def test_the_package_names_what_it_has() -> None:
    assert {"RegionScores", "Scores", "load_scores"} <= set(dir(deeplift_cli))
    assert "load_scores(path: str | os.PathLike[str])" in pydoc.plain(pydoc.render_doc(deeplift_cli))
    with pytest.raises(AttributeError, match="no attribute 'load_score'"):
        _ = deeplift_cli.load_score  # type: ignore[attr-defined]
