"""SCORES.h5 and its companions: the layout, and that they appear whole or not at all."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_files import BatchFile, open_score_file

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.columns import DamagedChunkError, deflated, inflated
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch, pack
from deeplift_cli.outputs.publish import check_writable
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.sequences import Region, Skipped, one_hot

LENGTH, REFERENCES = 21, 3


def make_region(i: int, length: int) -> Region:
    return Region(f"chr{i % 3}", 9000 * i, 9000 * i + length, f"peak é {i}", "+-."[i % 3], i + 5)


def make_batch(n: int, first: int = 0, length: int = LENGTH) -> ScoredBatch:
    rng = np.random.default_rng(first)
    letters = ["".join(rng.choice(list("ACGTN"), length)).encode() for _ in range(n)]
    return ScoredBatch(
        regions=[make_region(i, length) for i in range(first, first + n)],
        sequences=one_hot(letters) if n else np.zeros((0, 4, length), np.int8),
        hypothetical=rng.standard_normal((n, 4, length)).astype(np.float32),
        prediction=rng.random(n),
        output=rng.standard_normal(n),
        reference_output=rng.standard_normal((n, REFERENCES)),
        completeness_error=rng.standard_normal((n, REFERENCES)),
        identical_references=rng.integers(0, 3, n),
    )


def open_file(
    path: Path, length: int = LENGTH, rows: int = 7, dtype: str = "float32", **options: Any
) -> BatchFile:
    return open_score_file(path, ScoreLayout(length, REFERENCES, rows, dtype), **options)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[ScoredBatch]]:
    batches = [make_batch(7), make_batch(0, 7), make_batch(7, 7), make_batch(2, 14)]
    path = tmp_path / "scores.h5"
    skipped = Skipped(3, "bad\tname", 17, "is 5 bp long; the model takes 21 bp")
    with open_file(path, skipped=(skipped,)) as file:
        for batch in batches:
            file.add(batch)
        assert file.n_rows == 16
    return path, batches


def test_everything_is_where_the_layout_says(written: tuple[Path, list[ScoredBatch]]) -> None:
    path, batches = written
    wide = {"raw/seq": np.int8, "shap/seq": np.float32, "projected_shap/seq": np.float32}
    narrow = {
        "qc/prediction": np.float64,
        "qc/output": np.float64,
        "qc/reference_output": np.float64,
        "qc/completeness_error": np.float64,
        "qc/identical_references": np.int32,
        "regions/start": np.int64,
        "regions/end": np.int64,
        "regions/index": np.int64,
    }
    with h5py.File(path) as file:
        names = list[str]()
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        texts = {"regions/chrom", "regions/name", "regions/strand"}
        assert set(names) == set(wide) | set(narrow) | texts
        for name, dtype in (wide | narrow).items():
            dataset = file[name]
            assert (dataset.dtype, dataset.compression, dataset.shuffle) == (dtype, "gzip", True)
            assert len(dataset) == 16
        for name in texts:
            info = h5py.check_string_dtype(file[name].dtype)
            assert (info.encoding, info.length) == ("utf-8", None)
        for name in narrow:
            group, key = name.split("/")
            if group == "qc":
                expected = np.concatenate([getattr(batch, key) for batch in batches])
            else:
                expected = np.array([getattr(region, key) for batch in batches for region in batch.regions])
            np.testing.assert_array_equal(file[name][:], expected)
        for name in texts:
            key = name.split("/")[1]
            assert file[name].asstr()[:].tolist() == [
                getattr(r, key) for batch in batches for r in batch.regions
            ]
        sequences = np.concatenate([batch.sequences for batch in batches])
        hypothetical = np.concatenate([batch.hypothetical for batch in batches])
        np.testing.assert_array_equal(file["raw/seq"][:], sequences)
        np.testing.assert_array_equal(file["shap/seq"][:], hypothetical)
        np.testing.assert_array_equal(file["projected_shap/seq"][:], hypothetical * sequences)
        assert not np.signbit(file["projected_shap/seq"][:][sequences == 0]).any()


def test_bed_and_skipped_table(written: tuple[Path, list[ScoredBatch]]) -> None:
    path, batches = written
    bed = [line.split("\t") for line in path.with_name("scores.bed").read_text("utf-8").splitlines()]
    regions = [region for batch in batches for region in batch.regions]
    outputs = np.concatenate([batch.output for batch in batches])
    assert len(bed) == 16
    for columns, region, output in zip(bed, regions, outputs, strict=True):
        assert len(columns) == 10
        assert columns[:4] == [region.chrom, str(region.start), str(region.end), region.name]
        assert columns[5] == region.strand
        assert float(columns[6]) == pytest.approx(output, rel=1e-5)
        assert (columns[4], columns[7:9]) == ("0", ["-1", "-1"])
        assert int(columns[1]) + int(columns[9]) - LENGTH // 2 == region.start
    assert path.with_name("scores.skipped.tsv").read_text() == (
        "index\tline\tname\treason\n3\t17\tbad name\tis 5 bp long; the model takes 21 bp\n"
    )


def test_attributes(tmp_path: Path) -> None:
    options = {
        "text": "é",
        "number": 0.5,
        "flag": True,
        "none": None,
        "nested": {"a": [1, Path("x")]},
        "path": Path("p"),
        "long": ["x" * 100] * 1000,
        "seed": np.int64(3),
        "array": np.array([[0.5, 2]]),
        "numbers": [np.float64(0.25)],
    }
    with open_file(tmp_path / "a.h5", attrs=options):
        pass
    with h5py.File(tmp_path / "a.h5") as result:
        attrs = dict(result.attrs)
    assert (attrs["format"], attrs["format_version"]) == ("deeplift-scores", 1)
    assert (attrs["text"], attrs["number"], attrs["flag"], attrs["path"]) == ("é", 0.5, True, "p")
    assert json.loads(attrs["nested"]) == {"a": [1, "x"]}
    assert json.loads(attrs["none"]) is None
    assert len(json.loads(attrs["long"])) == 1000
    assert attrs["seed"] == 3
    assert (json.loads(attrs["array"]), json.loads(attrs["numbers"])) == ([[0.5, 2]], [0.25])


def test_without_rows_the_file_is_still_valid(tmp_path: Path) -> None:
    with open_file(tmp_path / "a.h5"):
        pass
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["shap/seq"].shape == (0, 4, LENGTH)
        assert file["qc/reference_output"].shape == (0, REFERENCES)
        assert file["regions/name"].shape == (0,)
    assert (tmp_path / "a.bed").read_text() == ""
    assert (tmp_path / "a.skipped.tsv").read_text() == "index\tline\tname\treason\n"


@pytest.mark.parametrize("length", [1, 18, 2114, 200_000])
@pytest.mark.parametrize("rows", [1, 7, 64, 96, 5000])
def test_chunks_are_of_a_sensible_size(tmp_path: Path, length: int, rows: int) -> None:
    """At most half a MiB, whole ones in a batch, and no fewer than need be."""
    with open_file(tmp_path / "a.h5", length=length, rows=rows) as file:
        file.add(make_batch(1, length=length))
    with h5py.File(tmp_path / "a.h5") as result:
        chunk, *rest = result["shap/seq"].chunks
        assert rest == [4, length]
        assert rows % chunk == 0
        fitting = [n for n in range(1, rows + 1) if rows % n == 0 and n * 16 * length <= 2**19]
        assert chunk == max(fitting, default=1)


def stored(path: Path) -> dict[str, Any]:
    """The chunks of all datasets of numbers as they lie in the file, the texts, and the checksums."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        for name in file["regions"]:
            found[name] = file[f"regions/{name}"][:].tolist()
        for name in ("raw/seq", "shap/seq", "projected_shap/seq", "qc/output", "qc/reference_output"):
            dataset = file[name]
            places = [
                info.chunk_offset
                for info in map(dataset.id.get_chunk_info, range(dataset.id.get_num_chunks()))
            ]
            found[name] = (dataset.shape, [dataset.id.read_direct_chunk(place) for place in places])
        file.visititems(lambda name, item: found.update({f"{name}!": item.attrs.get("sha256")}))
    return found


@settings(deadline=None, max_examples=12)
@given(sizes=st.lists(st.integers(0, 6), max_size=9), length=st.sampled_from([LENGTH, 12_000]))
def test_batches_of_any_size_make_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], length: int
) -> None:
    """A chunk of the wide datasets holds six rows, or two."""
    folder = tmp_path_factory.mktemp("sizes")
    whole = make_batch(sum(sizes), length=length)
    cuts = np.cumsum([0, *sizes]).tolist()
    regular = list(range(0, sum(sizes) + 6, 6))
    for name, edges in (("as.h5", cuts), ("regular.h5", regular)):
        with open_file(folder / name, length=length, rows=6) as file:
            for first, end in pairwise(edges):
                file.add(rows_of(whole, slice(first, end)))
        assert file.n_rows == sum(sizes)
    assert stored(folder / "as.h5") == stored(folder / "regular.h5")
    assert (folder / "as.bed").read_bytes() == (folder / "regular.bed").read_bytes()
    with h5py.File(folder / "as.h5") as file:
        np.testing.assert_array_equal(file["shap/seq"][:], whole.hypothetical)
        np.testing.assert_array_equal(file["qc/output"][:], whole.output)


def rows_of(batch: ScoredBatch, rows: slice) -> ScoredBatch:
    every = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return ScoredBatch(**{name: None if values is None else values[rows] for name, values in every.items()})


def test_a_batch_of_too_many_rows_is_refused(tmp_path: Path) -> None:
    packed = pack(make_batch(7), ScoreLayout(LENGTH, REFERENCES, 7), ThreadPoolExecutor(1))
    with (
        open_file(tmp_path / "a.h5", rows=3) as file,
        pytest.raises(ValueError, match="7 rows, not at most 3"),
    ):
        file.append(packed)


def test_a_damaged_chunk_is_not_stored(tmp_path: Path) -> None:
    layout = ScoreLayout(LENGTH, REFERENCES, 7)
    packed = pack(make_batch(7), layout, ThreadPoolExecutor(1))
    content = bytearray(packed.chunks["shap/seq"][0])
    content[40] ^= 1
    packed.chunks["shap/seq"][0] = bytes(content)
    with pytest.raises(DamagedChunkError), open_file(tmp_path / "a.h5") as file:
        file.append(packed)
    assert files_in(tmp_path) == []


def test_checksums_are_those_of_the_values(written: tuple[Path, list[ScoredBatch]]) -> None:
    path, _ = written
    with h5py.File(path) as file:
        names = list[str]()
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            values = file[name][:]
            if values.dtype == object:
                content = b"".join(text + b"\0" for text in values)
            else:
                content = values.astype(values.dtype.newbyteorder("<")).tobytes()
            assert file[name].attrs["sha256"] == sha256(content).hexdigest()
        attrs = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in file.attrs.items()
        }
    stored_sum = attrs.pop("attributes_sha256")
    text = json.dumps(attrs, sort_keys=True, separators=(",", ":"))
    assert stored_sum == sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "float64", "int64"])
def test_chunks_are_inflated_to_what_was_deflated(dtype: str) -> None:
    values = np.random.default_rng(0).integers(-9, 9, (5, 4, 31)).astype(dtype)
    content = deflated(values)
    np.testing.assert_array_equal(inflated(content, values.shape, values.dtype), values)
    wrong = [content[:-1], content + b"x", content[:9] + b"x" + content[10:], b"", deflated(values[:4])]
    for damaged in wrong:
        with pytest.raises(DamagedChunkError):
            inflated(damaged, values.shape, values.dtype)


def test_half_precision(tmp_path: Path) -> None:
    batch = make_batch(3)
    with open_file(tmp_path / "a.h5", dtype="float16") as file:
        file.add(batch)
    with h5py.File(tmp_path / "a.h5") as result:
        assert result["shap/seq"].dtype == result["projected_shap/seq"].dtype == np.float16
        np.testing.assert_array_equal(result["shap/seq"][:], batch.hypothetical.astype(np.float16))


@pytest.mark.skipif(which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_reads_it(written: tuple[Path, list[ScoredBatch]]) -> None:
    path, batches = written
    dumped = subprocess.run(["h5dump", str(path)], capture_output=True, text=True, check=True)
    assert dumped.stderr == ""
    for name in ("projected_shap", "identical_references", "deeplift-scores", "peak"):
        assert name in dumped.stdout
    column = subprocess.run(
        ["h5dump", "-d", "/regions/start", "-y", "-w", "9999", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    numbers = column.split("DATA {")[1].split("}")[0].replace("\n", " ")
    assert [int(number) for number in numbers.split(",")] == [
        r.start for batch in batches for r in batch.regions
    ]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_an_exception_leaves_what_was_there(tmp_path: Path, before: bool, error: type[BaseException]) -> None:
    path = tmp_path / "scores.h5"
    names = ("scores.h5", "scores.bed", "scores.skipped.tsv") if before else ()
    for name in names:
        (tmp_path / name).write_text(f"old {name}")

    def fail() -> None:
        with open_file(path, overwrite=before) as file:
            file.add(make_batch(5))
            assert len(files_in(tmp_path)) == len(names) + 3  # so there are temporary files to be removed
            raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        fail()
    assert files_in(tmp_path) == sorted(names)
    assert all((tmp_path / name).read_text() == f"old {name}" for name in names)


def test_what_hdf5_refuses_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    batch = make_batch(4)
    batch.regions[2] = Region("a\0b", 0, LENGTH, "x", ".", 0)  # HDF5 strings cannot hold NUL
    with pytest.raises(ValueError, match="NULL"), open_file(tmp_path / "a.h5") as file:
        file.add(batch)
    assert files_in(tmp_path) == []


_FULL_DISC = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_outputs_score_file import make_batch, open_file
from deeplift_cli.errors import UserError
from score_files import write_bigwig
resource.setrlimit(resource.RLIMIT_FSIZE, ({h5_limit}, 10**9))
try:
    with open_file(Path({folder!r}, "a.h5"), length=2000, rows=40) as file:
        for number in range({batches}):
            file.add(make_batch(40, 40 * number, length=2000))
    resource.setrlimit(resource.RLIMIT_FSIZE, ({bigwig_limit}, 10**9))
    write_bigwig(Path({folder!r}, "a.bw"), Path({folder!r}, "a.h5"), {{f"chr{{i}}": 10**7 for i in range(3)}})
    print("done")
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("h5_limit", "bigwig_limit", "batches", "words", "left"),
    [
        (500_000, 10**8, 5, "a.h5 cannot be written: File too large", []),  # found while batches come
        (500_000, 10**8, 1, "a.h5 cannot be written: File too large", []),  # found when the file is closed
        (10**8, 100_000, 1, "a.bw cannot be written", ["a.bed", "a.h5", "a.skipped.tsv"]),  # the scratch file
        (10**8, 400_000, 1, "a.bw could not be written whole", ["a.bed", "a.h5", "a.skipped.tsv"]),
        (10**8, 10**8, 1, "done", ["a.bed", "a.bw", "a.h5", "a.skipped.tsv"]),
    ],
)
def test_a_full_disc_is_told_and_leaves_nothing(
    tmp_path: Path, h5_limit: int, bigwig_limit: int, batches: int, words: str, left: list[str]
) -> None:
    """A limit on the size of files stands for the disc: HDF5 alone would crash the process at its end."""
    tests = str(Path(__file__).parent)
    script = _FULL_DISC.format(
        tests=tests, h5_limit=h5_limit, bigwig_limit=bigwig_limit, folder=str(tmp_path), batches=batches
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert files_in(tmp_path) == left


def test_a_batch_of_another_shape_is_refused(tmp_path: Path) -> None:
    batch = make_batch(4)
    batch.output = batch.output[:3]
    with (
        open_file(tmp_path / "a.h5") as file,
        pytest.raises(ValueError, match=r"output .* \(3,\), not \(4,\)"),
    ):
        file.add(batch)
    assert file.n_rows == 0


def test_overwrite(written: tuple[Path, list[ScoredBatch]]) -> None:
    path, _ = written
    content = path.read_bytes()
    refused = open_file(path)
    with pytest.raises(UserError, match=r"scores\.h5 exists; give --overwrite"), refused:
        pass
    (path.parent / ".scores.h5.table").unlink()
    assert path.read_bytes() == content
    with open_file(path, overwrite=True) as file:
        file.add(make_batch(1))
    with h5py.File(path) as result:
        assert len(result["raw/seq"]) == 1
    assert len(path.with_name("scores.bed").read_text().splitlines()) == 1
    assert files_in(path.parent) == ["scores.bed", "scores.h5", "scores.skipped.tsv"]


def test_the_hdf5_appears_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = list[str]()
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append(Path(new).name), replace(old, new)))
    with open_file(tmp_path / "a.h5"):
        pass
    assert order == ["a.bed", "a.skipped.tsv", "a.h5"]


@pytest.mark.parametrize(
    ("name", "bed", "skipped"),
    [
        ("a.h5", "a.bed", "a.skipped.tsv"),
        ("a.fold1.hdf5", "a.fold1.bed", "a.fold1.skipped.tsv"),
        ("a.target1", "a.target1.bed", "a.target1.skipped.tsv"),
    ],
)
def test_names_of_the_companions(name: str, bed: str, skipped: str) -> None:
    assert companions(Path("x") / name) == (Path("x") / bed, Path("x") / skipped)


def test_outputs_are_checked_before_any_work(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("x")
    new = tmp_path / "new"
    check_writable([new, tmp_path / "other"], overwrite=False)
    check_writable([there], overwrite=True)
    cases: list[tuple[list[Path], bool, list[Path], str]] = [
        ([there], False, [], "there exists; give --overwrite"),
        ([tmp_path / "none" / "a.h5"], True, [], "none does not exist"),
        ([there / "a.h5"], True, [], "there is not a folder"),
        ([tmp_path], True, [], "is not a regular file"),
        ([Path("/dev/null")], True, [], "is not a regular file"),
        ([new, tmp_path / "x" / ".." / "new"], True, [], "two outputs"),
        ([there], True, [there], "is also an input"),
    ]
    (tmp_path / "x").mkdir()
    for paths, overwrite, inputs, words in cases:
        with pytest.raises(UserError, match=words):
            check_writable(paths, overwrite, inputs)
    assert files_in(tmp_path) == ["there", "x"]


def test_a_bare_name_means_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_file(Path("a.h5")):
        pass
    assert files_in(tmp_path) == ["a.bed", "a.h5", "a.skipped.tsv"]
