"""Keras files, .keras and .h5: code in them, damage, and sizes. Cases are there where Keras is installed."""

import functools
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
from test_models_keras import HIDDEN, changed

from hostile.cases import Kind
from hostile.running import payload_of
from hostile.tidy import LENGTH

kind = Kind(__name__)
OPTIONS = "-f in.fa -o out.h5 --n-references 2 -q"


@functools.cache
def _files() -> dict[str, bytes]:
    """A small network in both formats."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    layers = keras.layers
    bases = layers.Input((LENGTH, 4))
    x = layers.Conv1D(3, 5, activation="relu", name="first")(bases)
    trunk = keras.Model(bases, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)), name="trunk")
    again = layers.Input((LENGTH, 4))
    network = keras.Model(again, trunk(again))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("m.keras", "m.h5"):
            network.save(Path(folder, name))
            found[name] = Path(folder, name).read_bytes()
    return found


def whole(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(_files()[name])


def edited(name: str, edit: Callable[[dict[str, Any], Path], Any]) -> Callable[[Path], object]:
    """Make the network's file with another configuration."""

    def make(folder: Path) -> None:
        plain = folder.parent / f"plain-{name}"
        plain.write_bytes(_files()[name])
        changed(plain, folder / name, lambda config: edit(config, payload_of(folder)))
        plain.unlink()

    return make


def cut(name: str, share: float) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        content = _files()[name]
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return make


def member(name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], object]:
    """Make the archive with another content of a member."""

    def make(folder: Path) -> None:
        whole("m.keras")(folder)
        with zipfile.ZipFile(folder / "m.keras") as archive:
            members = {entry: archive.read(entry) for entry in archive.namelist()}
        with zipfile.ZipFile(folder / "m.keras", "w", compression) as archive:
            for entry, data in (members | {name: content}).items():
                archive.writestr(entry, data)

    return make


def hdf5(edit: Callable[[Any], Any]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        whole("m.h5")(folder)
        with h5py.File(folder / "m.h5", "r+") as file:
            edit(file)

    return make


def first_layer(config: dict[str, Any]) -> dict[str, Any]:
    trunk = next(entry for entry in config["config"]["layers"] if entry["class_name"] == "Functional")
    return next(entry for entry in trunk["config"]["layers"] if entry["config"]["name"] == "first")  # type: ignore[no-any-return]


def nested(depth: int) -> bytes:
    return b'{"class_name": "Functional", "config": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"


if find_spec("keras") is not None:
    for _file in ("m.keras", "m.h5"):
        _score, _says = f"score -m {_file} {OPTIONS}", _file.replace(".", r"\.")
        kind.odd(f"{_file}: a network", _score, make=whole(_file), names=("s0", "s1", "s2"))
        for _name, _edit in HIDDEN.items():
            _make = edited(_file, lambda config, marker, edit=_edit: edit(first_layer(config), marker))
            kind.bad(f"{_file}: {_name}", _score, _says, "--allow-pickle", make=_make)
        kind.bad(
            f"{_file}: inspect: a Lambda",
            f"inspect -m {_file}",
            _says,
            "--allow-pickle",
            make=edited(_file, lambda config, marker: HIDDEN["a Lambda"](first_layer(config), marker)),
        )
        for _share in (0.02, 0.3, 0.7, 0.99):
            kind.bad(f"{_file}: cut at {_share}", _score, _says, "damaged|truncated", make=cut(_file, _share))
        kind.bad(
            f"{_file}: 2**40 filters",
            _score,
            _says,
            make=edited(_file, lambda config, _: first_layer(config)["config"].update(filters=1 << 40)),
        )
        kind.bad(
            f"{_file}: a layer's name with escape codes",
            _score,
            _says,
            make=edited(_file, lambda config, _: first_layer(config).update(class_name="\x1b[31m\nred")),
            never=(r"\x1b",),
        )
    KERAS = f"score -m m.keras {OPTIONS}"
    kind.bad(
        "a configuration of 100,000 brackets", KERAS, r"m\.keras", make=member("config.json", nested(100_000))
    )
    kind.bad("a configuration of 900 brackets", KERAS, r"m\.keras", make=member("config.json", nested(900)))
    kind.bad("a configuration that is a list", KERAS, r"m\.keras", make=member("config.json", b"[]"))
    kind.bad(
        "a configuration without a network",
        KERAS,
        r"m\.keras",
        make=member("config.json", json.dumps({}).encode()),
    )
    kind.bad(
        "weights that are no HDF5",
        KERAS,
        r"m\.keras",
        "damaged",
        make=member("model.weights.h5", b"weights" * 99),
    )
    HDF5 = f"score -m m.h5 {OPTIONS}"
    for _name, _change in {
        "a link to another file": lambda file: file.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/a")),
        "values in another file": lambda file: file.create_dataset(
            "a", (4,), "f4", external=[("/etc/passwd", 0, 16)]
        ),
        "a group that holds itself": lambda file: file.__setitem__("model_weights/a", file["model_weights"]),
        "values of 4 terabytes": lambda file: file.create_dataset("a", (1 << 40,), "f4", chunks=(1 << 20,)),
        "no weights": lambda file: file.__delitem__("model_weights"),
        "a configuration that is a number": lambda file: file.attrs.__setitem__("model_config", 3),
    }.items():
        kind.bad(_name, HDF5, r"m\.h5", make=hdf5(_change))
