"""Score files to be verified."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from hostile import merging
from hostile.cases import Kind
from hostile.merging import with_parts

kind = Kind(__name__)
VERIFY = "verify a.h5"
FILE = r"a\.h5"


def bad(name: str, words: str = VERIFY, *says: str, **rest: Any) -> None:
    """As of other kinds, where there is such a command."""
    kind.bad(name, words, *says, needs="verify", **rest)


def odd(name: str, words: str = VERIFY, **rest: Any) -> None:
    """As of other kinds, where there is such a command."""
    kind.odd(name, words, needs="verify", **rest)


def a(**edits: Any) -> Callable[[Path], None]:
    return with_parts("a", **edits)


bad("missing", "verify none.h5", r"none\.h5", "does not exist")
bad("text", "verify in.fa", r"in\.fa")
bad("a folder", "verify .", "folder|HDF5|file")
bad("no file at all", "verify", "SCORES|argument", code=2)
bad("cut short", VERIFY, FILE, make=a(raw=lambda path: path.write_bytes(path.read_bytes()[:4000])))
for _name in ("shap/seq", "projected_shap/seq", "raw/seq"):
    bad(f"a byte of {_name} flipped", VERIFY, FILE, _name, make=a(raw=merging._flip_chunk(_name)))
for _name, _value in (
    ("shap/seq", 7.5),
    ("projected_shap/seq", -2.0),
    ("raw/seq", 1),
    ("qc/output", 3.0),
    ("qc/completeness_error", 9.0),
    ("regions/start", 77),
    ("qc/prediction", 5.0),
    ("regions/index", 88),
):
    bad(f"{_name} holds {_value}", VERIFY, FILE, _name, make=a(edit=merging._change_value(_name, _value)))
for _name in ("shap/seq", "regions/name", "qc/output"):
    bad(f"without {_name}", VERIFY, FILE, _name, make=a(edit=lambda file, name=_name: file.__delitem__(name)))
bad(
    "without its attributes",
    VERIFY,
    FILE,
    make=a(edit=lambda file: [file.attrs.__delitem__(name) for name in list(file.attrs)]),
)
bad(
    "without its BED file",
    VERIFY,
    r"a\.bed",
    make=lambda folder: (a()(folder), (folder / "a.bed").unlink()),
)
bad(
    "with another BED file",
    VERIFY,
    r"a\.bed",
    make=lambda folder: (a()(folder), (folder / "a.bed").write_text("chr1\t1\t25\n")),
)
bad(
    "without its table of skipped records",
    VERIFY,
    r"a\.skipped\.tsv",
    make=lambda folder: (a()(folder), (folder / "a.skipped.tsv").unlink()),
)
bad("another model", "verify a.h5 -m any.pt", "model|any.pt", make=a())
bad("a model that is no model", "verify a.h5 -m in.fa", r"in\.fa", make=a())
bad(
    "a checksum of no kind",
    VERIFY,
    FILE,
    make=a(edit=lambda file: file["shap/seq"].attrs.__setitem__("sha256", 7)),
)
bad(
    "a group in place of a dataset",
    VERIFY,
    FILE,
    make=a(edit=lambda file: (file.__delitem__("shap/seq"), file.create_group("shap/seq"))),
)
bad(
    "a link to itself",
    VERIFY,
    FILE,
    make=a(
        edit=lambda file: (
            file.__delitem__("shap/seq"),
            file.__setitem__("shap/seq", h5py.SoftLink("/shap/seq")),
        )
    ),
)
odd("a tidy file", VERIFY, make=a())
odd("with its model", "verify a.h5 -m net.pt", make=a())
odd("a shard", "verify p1.h5", make=with_parts("p1"))
odd("float16", "verify half.h5", make=with_parts("half"))
