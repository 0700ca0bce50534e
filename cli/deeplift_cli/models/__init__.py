"""Readers of model files: any supported file becomes a `torch.nn.Module`."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.foreign import errors_in_one_line
from deeplift_cli.models.input_layout import find_layout
from deeplift_cli.models.layouts import Layout
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.registry import FORMATS, examine, find_format

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Layout", "ModelFile", "TensorSpec", "find_layout", "load", "read"]


def read(
    path: str | PathLike[str], *, allow_pickle: bool = False, options: Mapping[str, Any] | None = None
) -> ModelFile:
    """Read a model file of any supported format.

    Parameters
    ----------
    path : path
        The model file. Its content, not its suffix, determines the format.
    allow_pickle : bool
        True to read files that can run any code: pickled modules, and archives of torch without examination.
    options : mapping of str to anything, optional
        Options of the file's format.

    Returns
    -------
    ModelFile

    Raises
    ------
    UserError
        If the file is missing, damaged, of no known format, or uses an operation that cannot be converted; or
        if an option belongs to another format.
    """
    candidate = examine(Path(path))
    kind, problems = find_format(candidate)
    given = dict(options or {})
    own = [option.name for option in kind.options]
    for name in given:
        if name not in own:
            raise UserError(
                f"--{name.replace('_', '-')} is no option for {candidate.path}, which is of the format "
                f"{kind.name}; leave it out"
            )
    try:
        if kind.name in FORMATS.own():
            return kind.read(candidate.path, allow_pickle=allow_pickle, **given)
        with errors_in_one_line(f"{candidate.path} cannot be read as the model format {kind.name!r}"):
            return kind.read(candidate.path, allow_pickle=allow_pickle, **given)
    except UserError as error:
        if not problems:
            raise
        raise UserError(f"{error} ({'; '.join(problems)})") from error


def load(path: str | PathLike[str], *, allow_pickle: bool = False, **options: Any) -> "nn.Module":
    """Return the module of any supported model file.

    Parameters
    ----------
    path : path
    allow_pickle : bool
        The option of `read`.
    **options
        Of the file's format: ``architecture="model.py:Net"`` and ``model_args={"filters": 64}`` for weights.

    Returns
    -------
    torch.nn.Module
        The module in evaluation mode, in float32, on the CPU, with parameters that need no gradient.

    Raises
    ------
    UserError
        As `read` does.
    """
    return read(path, allow_pickle=allow_pickle, options=options).module
