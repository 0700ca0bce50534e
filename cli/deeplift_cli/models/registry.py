"""The registry of model formats: one module in `formats` per format, found by being there.

A new format is one file: a module in `deeplift_cli/models/formats` that defines ``FORMAT``. Such modules are
imported to decide what a file is, so they import torch, onnx and the like inside their functions only.
"""

import importlib
import pkgutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import Archive
from deeplift_cli.models.model_file import ModelFile

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Candidate:
    """A file as the formats' `recognises` see it.

    Attributes
    ----------
    path : pathlib.Path
    head : bytes
        The first `HEAD_BYTES` bytes.
    members : tuple of str
        Names inside the archive where the file is a zip archive, without the folder that all share.
    """

    path: Path
    head: bytes
    members: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Format:
    """One kind of model file.

    Attributes
    ----------
    name : str
    description : str
        For help and error messages: what it is, and the suffix it usually has.
    recognises : callable
        Whether a file is of this kind, by its content (by its suffix only where the content says nothing).
    read : callable
        ``read(path, allow_pickle=bool)`` returns the `ModelFile` or raises `UserError`.
    """

    name: str
    description: str
    recognises: Callable[[Candidate], bool]
    read: Callable[..., ModelFile]


@cache
def formats() -> tuple[Format, ...]:
    """Return every format in the `formats` folder, in alphabetical order of their modules."""
    package = importlib.import_module("deeplift_cli.models.formats")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return tuple(module.FORMAT for module in modules)


def examine(path: Path) -> Candidate:
    """Read what is needed to tell the format of `path`.

    Raises
    ------
    UserError
        Where the file is missing, no regular file, unreadable, empty, or a zip archive that was cut short,
        has two members of one name or would fill the memory.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"model file {path} does not exist") from error
    except OSError as error:
        raise UserError(f"model file {path} cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise UserError(f"model {path} is a folder; give one file: {known_kinds()}")
    if not stat.S_ISREG(mode):
        raise UserError(f"model {path} is {_kind(mode)}; copy the model into a file")
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"model file {path} cannot be read: {error.strerror}") from error
    if not head:
        raise UserError(f"model file {path} is empty")
    if not head.startswith(b"PK"):
        return Candidate(path, head)
    with Archive(path, str(path)) as archive:
        return Candidate(path, head, archive.names)


def _kind(mode: int) -> str:
    """Return what a file that is neither a folder nor a regular file is, which reading could wait for."""
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


def find_format(candidate: Candidate) -> Format:
    """Return the one format that recognises the file; raise `UserError` with what would be read instead."""
    for kind in formats():
        if kind.recognises(candidate):
            return kind
    raise UserError(f"{candidate.path} is not a model file that deeplift reads{_hint(candidate)}")


def known_kinds() -> str:
    """Return the formats' descriptions as one phrase."""
    return ", ".join(kind.description for kind in formats())


def _hint(candidate: Candidate) -> str:
    """Say what to do about files of other tools that users are likely to have."""
    if candidate.head.startswith(b"\x89HDF\r\n\x1a\n") or "model.weights.h5" in candidate.members:
        return (
            ": it is a Keras model; convert it to ONNX (python -m tf2onnx.convert --keras, or model.export)"
        )
    if candidate.path.suffix == ".safetensors":
        return ": it holds weights without the network; export the model to ONNX or TorchScript"
    return f" (it reads {known_kinds()})"
