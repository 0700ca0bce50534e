"""Weights without their network: safetensors and checkpoints, with --architecture."""

import json
import os
import struct
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_models import Net

from hostile import archives
from hostile.cases import Kind
from hostile.payloads import touch
from hostile.tidy import LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
BUILT = "--architecture small_models:Net"
SAFE = f"score -m m.safetensors -f in.fa -o out.h5 --n-references 2 -q {BUILT}"
SAVED = f"score -m m.ckpt -f in.fa -o out.h5 --n-references 2 -q {BUILT}"


def safe(header: Any, data: bytes = b"", length: int | None = None) -> Callable[[Path], object]:
    """Make a file of this header; `length` is what the file says of the header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = struct.pack("<Q", len(text) if length is None else length)
    return lambda folder: (folder / "m.safetensors").write_bytes(size + text + data)


def whole(folder: Path) -> bytes:
    from safetensors.torch import save_file

    save_file(dict(Net().state_dict()), folder / "m.safetensors")
    return (folder / "m.safetensors").read_bytes()


def cut(share: float) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        content = whole(folder)
        (folder / "m.safetensors").write_bytes(content[: int(len(content) * share)])

    return make


def entry(dtype: str = "F32", shape: tuple[Any, ...] = (2,), offsets: tuple[int, int] = (0, 8)) -> Any:
    return {"conv.weight": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def larger_than_memory(folder: Path) -> None:
    """Write a file of 4 terabytes of nothing, which takes no room on the disc."""
    safe(entry(shape=(1 << 40,), offsets=(0, 1 << 42)))(folder)
    path = folder / "m.safetensors"
    os.truncate(path, path.stat().st_size + (1 << 42))


for _share in (0.01, 0.3, 0.99):
    bad(f"cut at {_share}", SAFE, r"m\.safetensors", "damaged|truncated", make=cut(_share))
for _name, _make in {
    "a header of 2**63 bytes": safe({}, length=1 << 63),
    "a header longer than the file": safe({}, length=1 << 20),
    "a header that is no JSON": safe(b"{conv: 3}"),
    "a header of a list": safe(b"[1, 2]"),
    "a header of 100,000 brackets": safe(b'{"a":' * 100_000),
    "a tensor beyond the file": safe(entry(offsets=(0, 800), shape=(200,)), bytes(8)),
    "a tensor of 2**60 numbers": safe(entry(shape=(1 << 60,)), bytes(8)),
    "a tensor of -2 numbers": safe(entry(shape=(-2,)), bytes(8)),
    "a tensor of an unknown type": safe(entry(dtype="F31"), bytes(8)),
    "offsets the wrong way round": safe(entry(offsets=(8, 0)), bytes(8)),
    "bytes that no tensor has": safe(entry(), bytes(80)),
}.items():
    bad(_name, SAFE, r"m\.safetensors", make=_make)
bad("larger than the memory", SAFE, r"m\.safetensors", "memory", make=larger_than_memory)
bad("no tensor", SAFE, r"m\.safetensors", "missing", make=safe({}))
bad("a tensor of another shape", SAFE, r"m\.safetensors", "missing", "of another shape",
    make=safe(entry(), bytes(8)))  # fmt: skip
bad("no architecture", SAFE.removesuffix(BUILT), r"m\.safetensors", "--architecture", make=whole)
odd("weights of a network", SAFE, *LETTERS, make=whole)
for _text in ("[1]", "{", '{"a": ' * 50_000, ""):

    def _make_config(folder: Path, text: str = _text) -> None:
        whole(folder)
        (folder / "config.json").write_text(text)

    bad(f"a config.json of {_text[:6]!r}", SAFE, r"config\.json", make=_make_config)


# ---- checkpoints


def saved(build: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: torch.save(build(folder), folder / "m.ckpt")


for _name, _build in {
    "among weights": lambda folder: {**Net().state_dict(), "optimizer": touch(folder)},
    "among hyperparameters": lambda folder: {
        "state_dict": Net().state_dict(),
        "hyper_parameters": {"lr": touch(folder)},
    },
    "in a Namespace": lambda folder: {
        "state_dict": Net().state_dict(),
        "hyper_parameters": Namespace(lr=touch(folder)),
    },
    "in a callback's state": lambda folder: {"state_dict": Net().state_dict(), "callbacks": touch(folder)},
}.items():
    bad(f"code {_name}", SAVED, r"m\.ckpt", "--allow-pickle", make=saved(_build))
    bad(f"inspect: code {_name}", f"inspect -m m.ckpt {BUILT}", r"m\.ckpt", make=saved(_build))
odd(
    "a Namespace that the network does not take",
    SAVED,
    *LETTERS,
    make=saved(lambda folder: {"state_dict": Net().state_dict(), "hyper_parameters": Namespace(lr=0.1)}),
)


def with_storage(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Make a state dict of one tensor of two numbers with something changed in its pickle."""

    def make(folder: Path) -> None:
        torch.save({"conv.weight": torch.ones(2)}, folder / "m.ckpt")

        def edit(content: dict[str, bytes]) -> None:
            assert change(content["data.pkl"]) != content["data.pkl"]
            content["data.pkl"] = change(content["data.pkl"])

        archives.changed(folder / "m.ckpt", folder / "m.ckpt", edit)

    return make


# In the pickle, 2 is the count of the storage's elements, and then the tensor's size.
for _name, _count in (("2**30", b"J\x00\x00\x00\x40"), ("200", b"K\xc8")):
    bad(
        f"a storage of {_name} numbers, of which the file has two",
        SAVED,
        r"m\.ckpt",
        "damaged|truncated",
        make=with_storage(lambda data, count=_count: data.replace(b"K\x02", count)),
    )
for _name, _value in {
    "weights by number": {3: torch.ones(3)},
    "a dict of nothing": {},
    "a list as weights": {"state_dict": [torch.ones(3)]},
    "hyperparameters that are a list": {"state_dict": {"a": torch.ones(2)}, "hyper_parameters": [3]},
    "names with escape codes": {"\x1b[31mred\nline": torch.ones(3)},
    "an empty name": {"": torch.ones(3)},
}.items():
    bad(_name, SAVED, r"m\.ckpt", make=saved(lambda folder, value=_value: value), never=(r"\x1b",))
