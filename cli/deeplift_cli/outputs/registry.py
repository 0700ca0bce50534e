"""The registry of output formats: one module in `formats` per format, found by being there.

A new format is one file: a module in `deeplift_cli/outputs/formats` that defines ``FORMAT``, or a package
with an entry point of the group "deeplift.outputs" that leads to an `OutputFormat`. The name of the format is
the name of its option: ``deeplift export scores.h5 --bed FILE`` writes a format "bed". Modules are imported
for the help text, so that they import h5py and the like inside their functions only.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from deeplift_cli.extensions import Registry

if TYPE_CHECKING:
    from deeplift_cli.outputs.score_reader import ReadBatch, ScoreReader


@dataclass(frozen=True)
class Export:
    """What a format's `write` gets.

    Attributes
    ----------
    scores : ScoreReader
        The score file: `n_rows`, `layout.length` (L in bp) and `attrs` among others.
    temporary : Path
        Where to write. The file appears under its own name when all that is exported is complete.
    path : Path
        That name, for messages, and for formats that mind it.
    chrom_sizes : mapping of str to int, or None
        Length of each chromosome in bp; None where it is not known.
    options : mapping of str to anything
        Values of the format's own options, by their names in Python ("overlap").
    """

    scores: "ScoreReader"
    temporary: Path
    path: Path
    chrom_sizes: Mapping[str, int] | None
    options: Mapping[str, Any]

    def batches(self, *wide: str) -> Iterator["ReadBatch"]:
        """Go through the rows in their order, some at a time.

        Parameters
        ----------
        *wide : str
            The datasets [N, 4, L] that are wanted: "raw/seq", "shap/seq", "projected_shap/seq". The regions
            and the numbers are always there.

        Yields
        ------
        ReadBatch
            ``batch.regions``, ``batch.values(name)`` [n, 4, L] and ``batch.numbers[name]`` [n, ...].

        Raises
        ------
        UserError
            If what is read is damaged, at the latest after the last batch.
        """
        from deeplift_cli.outputs.columns import compressing_threads

        with compressing_threads() as pool:
            yield from self.scores.batches(pool, wide)


@dataclass(frozen=True)
class OutputFormat:
    """One kind of file that can be made of a score file.

    Attributes
    ----------
    name : str
        Of the option, without the dashes: lower case, words joined by "-".
    help : str
        One sentence for `deeplift export --help`.
    suffix : str
        That files of this kind usually have, with its dot. Temporary files end in it, too.
    write : callable
        Gets an `Export` and writes the file; raises `UserError` where that is not possible. Running out of
        disc may be left as the OSError that it is.
    options : tuple of click.Option
        Options of its own. Several formats may share one, as an equal object.
    lengths : {"needed", "used", "ignored"}
        Whether the lengths of chromosomes have to be known, are used where they are known, or do not matter.
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Export], None]
    options: tuple[click.Option, ...] = field(default=(), repr=False)
    lengths: Literal["needed", "used", "ignored"] = "ignored"

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name}"

    @property
    def metavar(self) -> str:
        """What stands for the file in help texts."""
        return f"FILE{self.suffix}"


@cache
def _own() -> Mapping[str, OutputFormat]:
    package = importlib.import_module("deeplift_cli.outputs.formats")
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    formats = [module.FORMAT for module in modules]
    return {kind.name: kind for kind in formats}


FORMATS = Registry("deeplift.outputs", "output format", OutputFormat, _own)
