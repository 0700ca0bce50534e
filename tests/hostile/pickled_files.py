"""Pickles, with and without --allow-pickle."""

import io
import os
import pickle
import shutil
import tarfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from failing_models import (
    BadState,
    Bfloat16Inside,
    DoubleInside,
    Exits,
    Half,
    HalfInside,
    NeverReturns,
    Numpy,
    PythonCounts,
    PythonRandom,
    Raises,
    RaisesKeyError,
    RaisesMemoryError,
    RaisesNothing,
    RaisesOSError,
    RaisesOwn,
    RaisesStopIteration,
    RaisesTwoLines,
    ReturnsList,
    ReturnsObject,
    ReturnsWhatever,
    TakesKeywords,
    WarnsAndPrints,
)
from small_models import Net, pickled

from hostile.cases import Kind, of_model
from hostile.payloads import Command, Evaluate, Execute, hostile_pickle, touch
from hostile.running import payload_of
from hostile.tidy import LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m m.pt -f in.fa -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
ALLOWED = f"{QUIET} --allow-pickle"
INSPECT = "inspect -m m.pt"
FILE = r"m\.pt"


def saved(build: Callable[[Path], object], name: str = "m.pt", **options: Any) -> Callable[[Path], None]:
    """What torch.save makes of it."""
    return lambda folder: torch.save(build(folder), folder / name, **options)


def _disguised(folder: Path) -> object:
    """Weights, among which something else lies."""
    return {**Net().state_dict(), "optimizer": touch(folder)}


def _in_a_module(folder: Path) -> object:
    net = Net()
    net.extra = touch(folder)  # type: ignore[assignment]
    return net


# ---- without --allow-pickle


for _name, _build in {
    "alone": touch,
    "by eval": lambda folder: Evaluate(payload_of(folder)),
    "by exec": lambda folder: Execute(payload_of(folder)),
    "by the shell": lambda folder: Command(payload_of(folder)),
    "among weights": _disguised,
    "in a module": _in_a_module,
    "in a tuple": lambda folder: (Net(), touch(folder)),
    "in a checkpoint": lambda folder: {"state_dict": Net().state_dict(), "hyper_parameters": touch(folder)},
}.items():
    bad(f"code {_name}", QUIET, FILE, "--allow-pickle", make=saved(_build))
    bad(f"inspect: code {_name}", INSPECT, FILE, "--allow-pickle", make=saved(_build))
bad("code in an old torch.save", QUIET, FILE, make=saved(touch, _use_new_zipfile_serialization=False))
for _protocol in range(6):
    bad(
        f"code in a bare pickle of protocol {_protocol}",
        QUIET,
        FILE,
        make=lambda folder, protocol=_protocol: (folder / "m.pt").write_bytes(
            hostile_pickle(folder, protocol)
        ),
    )
for _file in ("m.onnx", "m.pt2", "m.ckpt", "m.safetensors", "m.h5", "m.npz", "m"):
    bad(
        f"code in a bare pickle named {_file}",
        of_model(QUIET, _file),
        make=lambda folder, name=_file: (folder / name).write_bytes(hostile_pickle(folder)),
    )
    bad(f"code in torch's archive named {_file}", of_model(QUIET, _file), make=saved(touch, _file))


def _tar(folder: Path) -> None:
    """The oldest format of torch.save."""
    with tarfile.open(folder / "m.pt", "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = hostile_pickle(folder)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _numpy(folder: Path) -> None:
    np.save(folder / "m.npy", np.array([touch(folder)], object), allow_pickle=True)
    np.savez(folder / "m.npz", a=np.array([touch(folder)], object))  # type: ignore[arg-type]


bad("code in the tar format", QUIET, FILE, make=_tar)
bad("code in numpy's .npy", of_model(QUIET, "m.npy"), make=_numpy)
bad("code in numpy's .npz", of_model(QUIET, "m.npz"), make=_numpy)
bad(
    "a pickled module",
    QUIET,
    FILE,
    "--allow-pickle",
    make=lambda folder: shutil.copyfile(pickled(), folder / "m.pt"),
)
bad(
    "inspect: a pickled module",
    INSPECT,
    FILE,
    "--allow-pickle",
    make=lambda folder: shutil.copyfile(pickled(), folder / "m.pt"),
)
bad(
    "weights alone",
    QUIET,
    FILE,
    "weights",
    "network|architecture",
    make=saved(lambda folder: Net().state_dict()),
)
bad("a tensor", QUIET, FILE, make=saved(lambda folder: torch.ones(3)))
bad("a list", QUIET, FILE, make=saved(lambda folder: [1, 2, 3]))
bad("None", QUIET, FILE, make=saved(lambda folder: None))
bad(
    "a checkpoint of Lightning",
    QUIET,
    FILE,
    "weights|network|architecture|pickle",
    make=saved(
        lambda folder: {"state_dict": Net().state_dict(), "epoch": 3, "pytorch-lightning_version": "2.0"}
    ),
)
bad(
    "a checkpoint with a Namespace",
    QUIET,
    FILE,
    "weights|network|architecture",
    never=("--allow-pickle",),
    make=saved(lambda folder: {"state_dict": Net().state_dict(), "hyper_parameters": Namespace(lr=0.1)}),
)
bad(
    "cut short",
    QUIET,
    FILE,
    make=lambda folder: (folder / "m.pt").write_bytes(pickled().read_bytes()[:2000]),
)


def _bare(text: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "m.pt").write_bytes(text)


bad(
    "a pickle of 2**40 brackets",
    QUIET,
    FILE,
    make=_bare(b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b"."),
)
bad(
    "a pickle that says 2**62 bytes",
    QUIET,
    FILE,
    make=_bare(b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b"."),
)
bad(
    "a pickle of half a billion doublings",
    QUIET,
    FILE,
    code=1,
    make=_bare(b"\x80\x02]q\x00" + b"".join(b"(h\x00h\x00l" for _ in range(30)) + b"."),
)
bad("a pickle without its end", QUIET, FILE, make=_bare(b"\x80\x02}q\x00"))
bad("a pickle of an integer of 5,000 digits", QUIET, FILE, make=_bare(b"\x80\x02L" + b"9" * 5000 + b"L\n."))


# ---- with it


def module(build: Callable[[], object]) -> Callable[[Path], None]:
    return lambda folder: torch.save(build(), folder / "m.pt")


for _name, _says, _kind in (
    ("raises an exception", "of its own", Raises),
    ("raises KeyError", "", RaisesKeyError),
    ("raises StopIteration", "", RaisesStopIteration),
    ("raises an exception of its own", "", RaisesOwn),
    ("raises an exception of several lines", "one", RaisesTwoLines),
    ("raises an exception of no words", "", RaisesNothing),
    ("raises OSError", "", RaisesOSError),
    ("raises MemoryError", "", RaisesMemoryError),
    ("exits", "", Exits),
    ("calls itself without end", "", NeverReturns),
    ("does not come back", "does not come back", BadState),
    ("uses Python's random numbers", "", PythonRandom),
    ("counts calls", "", PythonCounts),
    ("leaves torch", "", Numpy),
    ("returns nothing", "", ReturnsWhatever),
    ("returns an object", "", ReturnsObject),
    ("returns a list", "", ReturnsList),
    ("takes keywords only", "", TakesKeywords),
):
    bad(f"allowed: {_name}", ALLOWED, FILE, *([_says] if _says else []), make=module(_kind), never=(r"\x1b",))
    if _says or "raises" in _name:
        bad(f"inspect: {_name}", f"{INSPECT} --allow-pickle", FILE, make=module(_kind), long=True)


def _of_a_missing_module(folder: Path) -> None:
    data = pickle.dumps(Namespace(a=1)).replace(b"\x8c\x08argparse", b"\x8c\x08nowhere7")
    (folder / "m.pt").write_bytes(data)


def _of_a_missing_class(folder: Path) -> None:
    (folder / "m.pt").write_bytes(pickle.dumps(Namespace(a=1)).replace(b"Namespace", b"Nonsenses"))


bad(
    "allowed: of a module that is not installed",
    ALLOWED,
    FILE,
    "nowhere7",
    "PYTHONPATH|installed",
    make=_of_a_missing_module,
)
bad("allowed: of a class that is not there", ALLOWED, FILE, "Nonsenses", make=_of_a_missing_class)
bad("allowed: weights alone", ALLOWED, FILE, "weights", make=saved(lambda folder: Net().state_dict()))
bad("allowed: a function", ALLOWED, FILE, make=saved(lambda folder: print))
bad("allowed: a class in place of a module", ALLOWED, FILE, make=saved(lambda folder: Net))
bad("allowed: text", of_model(ALLOWED, "in.fa"), r"in\.fa")
bad("allowed: an unpickler's error", ALLOWED, FILE, make=_bare(b"\x80\x02q\xff."))
odd(
    "allowed: a module",
    f"{SCORE} --allow-pickle",
    *LETTERS,
    make=lambda folder: shutil.copyfile(pickled(), folder / "m.pt"),
)
odd(
    "allowed: a module in DataParallel",
    f"{SCORE} --allow-pickle",
    *LETTERS,
    make=module(lambda: torch.nn.DataParallel(Net())),
)
odd(
    "allowed: a module in training mode",
    f"{SCORE} --allow-pickle",
    *LETTERS,
    make=module(lambda: Net().train()),
)
odd(
    "allowed: an old torch.save",
    f"{SCORE} --allow-pickle",
    *LETTERS,
    make=saved(lambda folder: Net(), _use_new_zipfile_serialization=False),
)
odd("allowed: a module that warns", f"{SCORE} --allow-pickle", *LETTERS, make=module(WarnsAndPrints))
odd("allowed: half precision behind", f"{SCORE} --allow-pickle", make=module(Half))
odd("allowed: half precision inside", f"{SCORE} --allow-pickle", make=module(HalfInside))
odd("allowed: bfloat16 inside", f"{SCORE} --allow-pickle", make=module(Bfloat16Inside))
odd("allowed: double precision inside", f"{SCORE} --allow-pickle", *LETTERS, make=module(DoubleInside))
odd("allowed: weights in half precision", f"{SCORE} --allow-pickle", make=module(lambda: Net().half()))
odd("allowed: an ONNX file", "score -m net.onnx -f in.fa -o out.h5 --n-references 2 --allow-pickle", *LETTERS)
odd("weights that are shared", f"{SCORE} --allow-pickle", make=module(lambda: _tied()))


def _tied() -> Net:
    net = Net()
    net.last.bias = torch.nn.Parameter(net.hidden.bias[:2])  # a view of the other
    return net


def _wild(folder: Path) -> list[str]:
    name = b"mo del\n\xff.pt"
    shutil.copyfile(folder / "pickled.pt", os.path.join(os.fsencode(folder), name))
    return [
        "score",
        "-m",
        os.fsdecode(name),
        "-f",
        "in.fa",
        "-o",
        "out.h5",
        "--n-references",
        "2",
        "--allow-pickle",
    ]


odd("allowed: a file name of blanks, a newline and no UTF-8", SCORE, *LETTERS, make=_wild)
