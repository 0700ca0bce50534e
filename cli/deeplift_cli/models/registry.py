"""The registry of model formats: every module in the package `formats` defines one format.

A new format is one file: a module in `deeplift_cli/models/formats` that defines ``FORMAT``, or a package with
an entry point of the group "deeplift.models" that leads to a `Format`. Modules of formats are imported to
find the format of a file, and for help texts, so they must import torch, onnx and the like inside functions
only. Formats of other packages are imported if no format of the program recognises a file, or an option is
unknown.
"""

import importlib
import pkgutil
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import click

from deeplift_cli.errors import UserError
from deeplift_cli.extensions import Registry
from deeplift_cli.file_kinds import look_alike
from deeplift_cli.models.examination.archive import Archive
from deeplift_cli.models.foreign import reason
from deeplift_cli.models.model_file import ModelFile

HEAD_BYTES = 4096
_ALONE_IN_FOLDERS = (".onnx", ".safetensors")


@dataclass(frozen=True)
class Candidate:
    """The argument of the formats' `recognises`: a file, and the beginning of its content.

    Attributes
    ----------
    path : pathlib.Path
    head : bytes
        The first `HEAD_BYTES` bytes.
    members : tuple of str
        The names in a zip archive, without the common top folder; empty for other files.
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
        A phrase for help and error messages: the kind of file, and its usual suffix.
    recognises : callable
        Returns whether a file has this format, by its content (by its suffix only if the content is no help).
    read : callable
        ``read(path, allow_pickle=bool, **options)`` returns the `ModelFile` or raises `UserError`. The
        options are the format's own options that the user gave, by their names in Python, as texts (paths,
        too), numbers, truth values or lists of these; the function has the defaults.
    options : tuple of click.Option
        The format's own options for `deeplift score` and `deeplift inspect`; scores depend on their values.
    asked_last : bool
        True if a file has this format only if no other format recognises the file.
    """

    name: str
    description: str
    recognises: Callable[[Candidate], bool]
    read: Callable[..., ModelFile]
    options: tuple[click.Option, ...] = field(default=(), repr=False)
    asked_last: bool = False


@cache
def _own() -> Mapping[str, Format]:
    """Return every format in the `formats` folder, in alphabetical order of their modules."""
    package = importlib.import_module("deeplift_cli.models.formats")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return {module.FORMAT.name: module.FORMAT for module in modules}


FORMATS = Registry("deeplift.models", "model format", Format, _own)


def examine(path: Path) -> Candidate:
    """Read the part of a file that determines its format.

    Raises
    ------
    UserError
        Where the file is missing, a folder without one model, no regular file, unreadable, empty, or a zip
        archive that was cut short, has two members of one name or would fill the memory.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"model file {path} does not exist") from error
    except OSError as error:
        raise UserError(f"model file {path} cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        return examine(_in_folder(path))
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


def _in_folder(path: Path) -> Path:
    """Return the one model in a folder: an ONNX file beside its weights, or what the Hugging Face hub has.

    Raises
    ------
    UserError
        Where there is none, or several.
    """
    if (path / "saved_model.pb").is_file():
        folder, output = shlex.quote(str(path)), shlex.quote(f"{path}.onnx")
        raise UserError(
            f"model {path} is a SavedModel of TensorFlow, which only TensorFlow reads; convert it where "
            "TensorFlow is installed (pip install tf2onnx): python -m tf2onnx.convert "
            f"--saved-model {folder} --output {output}"
        )
    try:
        found = [
            file for file in sorted(path.iterdir()) if file.suffix in _ALONE_IN_FOLDERS and file.is_file()
        ]
    except OSError as error:
        raise UserError(f"model folder {path} cannot be read: {error.strerror}") from error
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found[:5])
        raise UserError(f"model {path} is a folder with {len(found)} models ({names}); give one of them")
    raise UserError(f"model {path} is a folder; give one file: {known_kinds()}")


def _kind(mode: int) -> str:
    """Return the kind of a file that is neither a folder nor a regular file; reading it could block."""
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


def find_format(candidate: Candidate) -> tuple[Format, list[str]]:
    """Find the format that recognises the file.

    Returns
    -------
    format : Format
    problems : list of str
        One line for each format of other packages that failed, and might have recognised the file.

    Raises
    ------
    UserError
        If no format recognises the file; the message names the known formats.
    """
    own = FORMATS.own().values()
    for kind in own:
        if not kind.asked_last and kind.recognises(candidate):
            return kind, []
    further, problems = FORMATS.further()
    for kind in further:
        try:
            if kind.recognises(candidate):
                return kind, problems
        except Exception as error:  # noqa: BLE001 - the code of other packages can raise any exception
            problems.append(f"the model format {kind.name!r} cannot tell: {reason(error)}")
    for kind in own:
        if kind.asked_last and kind.recognises(candidate):
            return kind, problems
    more = "".join(f"; {problem}" for problem in problems)
    raise UserError(
        f"{candidate.path} is not a model file that deeplift reads (it reads {known_kinds()})"
        f"{look_alike(candidate.path)}{more}"
    )


def known_kinds() -> str:
    """Return the descriptions of all formats as one phrase."""
    return ", ".join(kind.description for kind in (*FORMATS.own().values(), *FORMATS.further()[0]))
