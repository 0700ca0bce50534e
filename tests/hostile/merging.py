"""Parts of a merge."""

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from small_models import random_letters

from hostile import tidy
from hostile.cases import Kind
from hostile.running import Place, run, session_place

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SHARDS = "merge -q p1.h5 p2.h5 -o out.h5"
AVERAGE = "merge -q --average a.h5 b.h5 -o out.h5"
RECORDS = 9


_GIVEN = "score -q -f in.fa --batch-size 2 --n-references 2"
# Two shards of a job, the whole job, and folds and what only looks like one.
_PARTS = {
    "p1": f"{_GIVEN} -m net.pt --shard 1/2",
    "p2": f"{_GIVEN} -m net.pt --shard 2/2",
    "a": f"{_GIVEN} -m net.pt",
    "b": f"{_GIVEN} -m net.onnx",
    "seed": f"{_GIVEN} -m net.pt --seed 1",
    "rule": f"{_GIVEN} -m net.pt --rule rescale",
    "target": f"{_GIVEN} -m net.pt --target 1",
    "mono": f"{_GIVEN} -m net.pt --reference mononucleotide",
    "three": f"{_GIVEN} -m net.pt --n-references 3",
    "gradient": f"{_GIVEN} -m net.pt --rule gradient",
    "probability": f"{_GIVEN} -m net.onnx --output probability --no-logits",
    "half": f"{_GIVEN} -m net.pt --dtype float16",
    "both": f"{_GIVEN} -m net.pt --rc-average",
    "sequences": f"{_GIVEN} -m net.pt -f other.fa",
    "q2": f"{_GIVEN} -m net.pt --seed 1 --shard 2/2",
    "t2": f"{_GIVEN} -m net.pt --shard 2/3",
    "bfloat16": f"{_GIVEN} -m net.pt --precision bfloat16",
}


@functools.cache
def _inputs() -> Place:
    """A folder with what all parts are scored from."""
    place = session_place("merging")
    tidy.fill(place.work)
    letters = [random_letters(seed, 24 if seed != 104 else 20) for seed in range(100, 100 + RECORDS)]
    (place.work / "in.fa").write_text(
        tidy.fasta(*letters, names=tuple(f"chr1:{30 * i}-{30 * i + len(t)}" for i, t in enumerate(letters)))
    )
    (place.work / "other.fa").write_text(tidy.fasta(*letters[::-1]))
    return place


@functools.cache
def scored(name: str) -> Path:
    """The score file of a part, made when a case first asks for one."""
    place = _inputs()
    outcome = run(place, f"{_PARTS[name]} -o {name}.h5".split())
    assert outcome.code == 0, outcome.err
    return place.work / f"{name}.h5"


Edit = Callable[[h5py.File], object]


def with_parts(
    *names: str, edit: Edit | None = None, raw: Callable[[Path], object] | None = None
) -> Callable[[Path], None]:
    """Copy parts, with something done to the last."""

    def make(folder: Path) -> None:
        for name in names:
            for end in ("h5", "bed", "skipped.tsv"):
                shutil.copyfile(scored(name).with_suffix(f".{end}"), folder / f"{name}.{end}")
        last = folder / f"{names[-1]}.h5"
        if edit is not None:
            with h5py.File(last, "r+") as file:
                edit(file)
        if raw is not None:
            raw(last)

    return make


def shards(**edits: Any) -> Callable[[Path], None]:
    return with_parts("p1", "p2", **edits)


P2 = r"p2\.h5"


# ---- files that are no parts


for _name, _data in {
    "text": b"hello",
    "nothing": b"",
    "random bytes": bytes(range(256)) * 30,
    "HDF5's first bytes": b"\x89HDF\r\n\x1a\n" + bytes(3000),
}.items():
    bad(f"a part of {_name}", SHARDS, P2, make=shards(raw=lambda path, data=_data: path.write_bytes(data)))
bad("a part that is missing", SHARDS, P2, "does not exist", make=shards(raw=lambda path: path.unlink()))
bad("a part that is a folder", SHARDS, P2, make=shards(raw=lambda path: (path.unlink(), path.mkdir())))
bad("a part that is a pipe", SHARDS, P2, make=shards(raw=lambda path: (path.unlink(), os.mkfifo(path))))
bad("another program's HDF5", SHARDS, P2, make=shards(raw=lambda path: _other_hdf5(path)))
for _part in (0.3, 0.7, 0.98):
    bad(
        f"a part cut at {_part:.0%}",
        SHARDS,
        P2,
        make=shards(raw=lambda path, part=_part: os.truncate(path, int(path.stat().st_size * part))),
    )


def _other_hdf5(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(5)


# ---- one byte flipped, at places all over the file: told, or of no matter


def _flip(part: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(len(data) * part)] ^= 0xFF
        path.write_bytes(bytes(data))

    return change


def _as_without_the_flip(folder: Path) -> None:
    """Merged is what one run would have written, and can be read."""
    with h5py.File(folder / "out.h5") as file, h5py.File(scored("a")) as whole:
        for name in ("raw/seq", "shap/seq", "projected_shap/seq", "regions/name", "qc/output"):
            np.testing.assert_array_equal(file[name][:], whole[name][:])


for _place in range(12):
    bad(
        f"a part with a byte flipped at {_place}/12",
        SHARDS,
        P2,
        code=(0, 1),
        make=shards(raw=_flip((_place + 0.5) / 12)),
        check=_as_without_the_flip,
    )


def _flip_chunk(name: str) -> Callable[[Path], None]:
    """A byte within the compressed values of a dataset."""

    def change(path: Path) -> None:
        with h5py.File(path) as file:
            chunk = file[name].id.get_chunk_info(0)
            place = chunk.byte_offset + chunk.size // 2
        data = bytearray(path.read_bytes())
        data[place] ^= 0xFF
        path.write_bytes(bytes(data))

    return change


for _name in ("shap/seq", "projected_shap/seq", "raw/seq"):
    bad(
        f"a part with a byte of {_name} flipped",
        SHARDS,
        P2,
        "shap|seq|damaged|checksum",
        make=shards(raw=_flip_chunk(_name)),
    )
    bad(
        f"average: a byte of {_name} flipped",
        AVERAGE,
        r"b\.h5",
        make=with_parts("a", "b", raw=_flip_chunk(_name)),
    )


def _change_value(name: str, value: float) -> Edit:
    """Another value, rightly compressed: only a checksum tells."""

    def edit(file: h5py.File) -> None:
        values = file[name][:]
        values.reshape(-1)[0] = value
        file[name][...] = values

    return edit


for _name, _value in (
    ("shap/seq", 7.5),
    ("raw/seq", 1),
    ("qc/output", 3.0),
    ("regions/start", 77),
    ("shap/seq", float("nan")),
):
    bad(f"a part in which {_name} holds {_value}", SHARDS, P2, make=shards(edit=_change_value(_name, _value)))


# ---- attributes and datasets of another shape


for _name, _value in {
    "format": "something-else",
    "format_version": 99,
    "shard": "x",
    "target": "first",
    "n_skipped": "many",
    "n_skipped ": -3,
    "fingerprint": "[]",
    "fingerprint ": "{",
    "fingerprint  ": "7",
    "shard ": "9/2",
    "shard  ": "9" * 5000 + "/2",
    "worst_relative_completeness_error": "bad",
    "batch_size": -1,
    "batch_size ": "x",
    "format_version ": "one",
    "fingerprint   ": "[" * 60_000,
    "batch_size  ": 10**15,
}.items():
    _attribute = _name.strip()
    _shown = str(_value) if len(str(_value)) < 30 else f"{len(str(_value)):,} signs"
    bad(
        f"a part whose {_name.strip()} is {_shown}",
        SHARDS,
        P2,
        code=(0, 1)
        if _name in ("worst_relative_completeness_error", "batch_size ", "batch_size", "batch_size  ")
        else 1,
        make=shards(edit=lambda file, name=_attribute, value=_value: file.attrs.__setitem__(name, value)),
    )
    if _name == _name.strip():
        bad(
            f"a part without {_name}",
            SHARDS,
            P2,
            code=(0, 1) if _name == "worst_relative_completeness_error" else 1,
            make=shards(edit=lambda file, name=_name: file.attrs.__delitem__(name)),
        )
bad(
    "a part whose attributes are arrays",
    SHARDS,
    P2,
    make=shards(edit=lambda file: [file.attrs.__setitem__(name, np.arange(9)) for name in list(file.attrs)]),
)
bad(
    "a part without attributes",
    SHARDS,
    P2,
    make=shards(edit=lambda file: [file.attrs.__delitem__(name) for name in list(file.attrs)]),
)
for _name in (
    "shap/seq",
    "raw/seq",
    "projected_shap/seq",
    "regions/name",
    "regions/start",
    "qc/output",
    "qc/reference_output",
):
    bad(
        f"a part without {_name}",
        SHARDS,
        P2,
        make=shards(edit=lambda file, name=_name: file.__delitem__(name)),
    )
    bad(
        f"a part with a group for {_name}",
        SHARDS,
        P2,
        make=shards(edit=lambda file, name=_name: (file.__delitem__(name), file.create_group(name))),
    )
for _name in ("shap", "raw", "regions", "qc"):
    bad(
        f"a part with a dataset for {_name}",
        SHARDS,
        P2,
        make=shards(edit=lambda file, name=_name: (file.__delitem__(name), file.__setitem__(name, 7))),
    )


def _other(name: str, values: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(file: h5py.File) -> None:
        found = values(file[name][:])
        del file[name]
        file[name] = found

    return edit


for _name, _change in {
    "a row too few": lambda values: values[:-1],
    "an axis too few": lambda values: values[0],
    "no rows": lambda values: values[:0],
    "text": lambda values: np.full(values.shape, b"A"),
    "float64": lambda values: values.astype(np.float64),
    "no chunks": lambda values: values,
}.items():
    bad(
        f"a part whose shap/seq has {_name}",
        SHARDS,
        P2,
        make=shards(edit=_other("shap/seq", _change)),
        code=(0, 1) if _name in ("float64", "no chunks") else 1,
        check=_as_without_the_flip,
    )
bad(
    "a part whose regions/name are numbers",
    SHARDS,
    P2,
    make=shards(edit=_other("regions/name", lambda values: np.arange(len(values)))),
)
bad(
    "a part whose shap/seq is a link to another file",
    SHARDS,
    P2,
    make=shards(
        edit=lambda file: (
            file.__delitem__("shap/seq"),
            file.__setitem__("shap/seq", h5py.ExternalLink("p1.h5", "/shap/seq")),
        )
    ),
)
bad(
    "a part whose shap/seq links to itself",
    SHARDS,
    P2,
    make=shards(
        edit=lambda file: (
            file.__delitem__("shap/seq"),
            file.__setitem__("shap/seq", h5py.SoftLink("/shap/seq")),
        )
    ),
)
bad(
    "a part of 1e12 rows",
    SHARDS,
    P2,
    make=shards(
        edit=lambda file: [
            file[name].resize(10**12, axis=0) for name in ("shap/seq", "raw/seq", "projected_shap/seq")
        ]
    ),
)


# ---- parts that do not belong together


bad("a shard that is missing", "merge -q p1.h5 -o out.h5", "shard 2|2 of 2", make=with_parts("p1"))
bad("a shard twice", "merge -q p1.h5 p1.h5 -o out.h5", "twice", make=with_parts("p1"))
bad(
    "a shard twice, by a link",
    "merge -q p1.h5 link.h5 -o out.h5",
    "twice",
    make=lambda folder: (with_parts("p1")(folder), (folder / "link.h5").symlink_to("p1.h5")),
)
bad("a whole job", "merge -q a.h5 -o out.h5", r"a\.h5", "shard", make=with_parts("a"))
bad("a shard of another job", "merge -q p1.h5 q2.h5 -o out.h5", "seed", make=with_parts("p1", "q2"))
bad("shards of two divisions", "merge -q p1.h5 t2.h5 -o out.h5", r"t2\.h5", make=with_parts("p1", "t2"))
bad(
    "no table of skipped records",
    SHARDS,
    r"skipped\.tsv",
    make=lambda folder: ((shards()(folder), [path.unlink() for path in folder.glob("p*.skipped.tsv")])),
)
bad(
    "a table of other skipped records",
    SHARDS,
    r"skipped\.tsv",
    make=lambda folder: (
        (shards()(folder), [path.write_text("x\n" * 5) for path in folder.glob("p*.skipped.tsv")])
    ),
)
bad("an output that is a part", "merge -q p1.h5 p2.h5 -o p1.h5 --overwrite", r"p1\.h5", make=shards())
bad(
    "an output that exists",
    SHARDS,
    r"out\.h5",
    "--overwrite",
    make=lambda folder: (shards()(folder), (folder / "out.h5").write_text("mine")),
)
bad(
    "an output in a folder that is missing",
    "merge -q p1.h5 p2.h5 -o nowhere/out.h5",
    "nowhere",
    make=shards(),
)
bad("a bigWig without sizes", f"{SHARDS} --bigwig out.bw", "--chrom-sizes", make=shards())
bad(
    "a bigWig with sizes too small",
    f"{SHARDS} --bigwig out.bw -c sizes",
    "chr1",
    make=shards(),
    files={"sizes": "chr1\t40\n"},
)
for _other_job, _says in {
    "seed": "seed",
    "rule": "rule",
    "target": "target",
    "mono": "reference",
    "three": "references",
    "gradient": "rule",
    "probability": "logits",
    "both": "rc|strand",
    "bfloat16": "precision",
    "sequences": "FASTA|sequences",
}.items():
    bad(
        f"average: another {_other_job}",
        f"merge -q --average a.h5 {_other_job}.h5 -o out.h5",
        rf"{_other_job}\.h5",
        _says,
        make=with_parts("a", _other_job),
    )
bad(
    "average: the same file twice",
    "merge -q --average a.h5 a.h5 -o out.h5",
    r"a\.h5",
    "twice|same",
    make=with_parts("a"),
)
bad(
    "average: the same file by another path",
    "merge -q --average a.h5 ./../work/a.h5 -o out.h5",
    r"a\.h5",
    "twice|same",
    make=with_parts("a"),
)
bad(
    "average: the same file by a link",
    "merge -q --average a.h5 link.h5 -o out.h5",
    "twice|same",
    make=lambda folder: (with_parts("a")(folder), (folder / "link.h5").symlink_to("a.h5")),
)
bad(
    "average: a copy of the same file",
    "merge -q --average a.h5 copy.h5 -o out.h5",
    "twice|same",
    make=lambda folder: ((with_parts("a")(folder), shutil.copyfile(folder / "a.h5", folder / "copy.h5"))),
)
bad("average: one file", "merge -q --average a.h5 -o out.h5", "two|more", make=with_parts("a"))
bad("average: shards", f"{SHARDS} --average", "shard", make=shards())
bad(
    "average: NaN in one fold",
    AVERAGE,
    r"b\.h5",
    make=with_parts("a", "b", edit=_change_value("shap/seq", float("nan"))),
)
bad(
    "average: NaN in one output",
    AVERAGE,
    r"b\.h5",
    make=with_parts("a", "b", edit=_change_value("qc/output", float("nan"))),
)
bad(
    "average: infinity in one fold",
    AVERAGE,
    r"b\.h5",
    make=with_parts("a", "b", edit=_change_value("shap/seq", float("inf"))),
)


# ---- odd and valid


odd("two shards", SHARDS, make=shards(), check=_as_without_the_flip, skipped=1)
odd("in another order", "merge p2.h5 p1.h5 -o out.h5", make=shards(), check=_as_without_the_flip, skipped=1)
odd(
    "in another folder, behind links",
    "merge far/p1.h5 far/l2.h5 -o out.h5",
    check=_as_without_the_flip,
    skipped=1,
    make=lambda folder: _far(folder),
)
odd(
    "renamed",
    ["merge", "my part\n1.h5", "p2.h5", "-o", "out.h5"],
    check=_as_without_the_flip,
    skipped=1,
    make=lambda folder: _renamed(folder),
)
odd("average: two folds", "merge --average a.h5 b.h5 -o out.h5", make=with_parts("a", "b"), skipped=1)
odd(
    "to be overwritten",
    f"{SHARDS} --overwrite",
    check=_as_without_the_flip,
    skipped=1,
    make=lambda folder: (shards()(folder), (folder / "out.h5").write_text("mine")),
)
bad(
    "an attribute of one's own",  # the checksum says that the attributes are not those that were written
    SHARDS,
    P2,
    "attributes",
    make=shards(edit=lambda file: file.attrs.__setitem__("note", "mine")),
)
odd(
    "a dataset of one's own",
    SHARDS,
    check=_as_without_the_flip,
    skipped=1,
    make=shards(edit=lambda file: file.__setitem__("mine", np.arange(3))),
)


def _far(folder: Path) -> None:
    shards()(folder)
    (folder / "far").mkdir()
    for path in folder.glob("p*.*"):
        path.rename(folder / "far" / path.name)
    for end in ("h5", "bed", "skipped.tsv"):
        (folder / "far" / f"l2.{end}").symlink_to(f"p2.{end}")


def _renamed(folder: Path) -> None:
    shards()(folder)
    for end in ("h5", "bed", "skipped.tsv"):
        (folder / f"p1.{end}").rename(folder / f"my part\n1.{end}")
