"""Import of the libraries of the extra "motifs", or one line that says how to install them."""

import importlib
import warnings
from typing import Any

from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.errors import UserError


def library(name: str) -> Any:
    """Import a module of one of the packages that the extra "motifs" installs.

    Parameters
    ----------
    name : str
        The dotted name of the module.

    Raises
    ------
    UserError
        If the module cannot be imported; the message has the command that installs it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the libraries' own dependencies
            return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"seqlets and motifs need {name.partition('.')[0]}, which cannot be imported ({error}); install "
            f"it by `pip install '{DISTRIBUTION}[motifs]'`"
        ) from error
