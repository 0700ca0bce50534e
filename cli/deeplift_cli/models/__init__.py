"""Loading models: any supported file becomes a `torch.nn.Module`."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from deeplift_cli.models.input_layout import Layout, find_layout
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.registry import examine, find_format

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Layout", "ModelFile", "TensorSpec", "find_layout", "load", "read"]


def read(path: str | PathLike[str], *, allow_pickle: bool = False) -> ModelFile:
    """Read a model file of any supported format.

    Parameters
    ----------
    path : path
        The format is told from the content, not from the suffix.
    allow_pickle : bool
        True reads files that can run any code: pickled modules, and archives of torch unexamined.

    Returns
    -------
    ModelFile

    Raises
    ------
    UserError
        Where the file is missing, damaged, of no known format, or uses what cannot be converted.
    """
    candidate = examine(Path(path))
    return find_format(candidate).read(candidate.path, allow_pickle=allow_pickle)


def load(path: str | PathLike[str], *, allow_pickle: bool = False) -> "nn.Module":
    """Return the module of any supported model file: ``read(path).module``."""
    return read(path, allow_pickle=allow_pickle).module
