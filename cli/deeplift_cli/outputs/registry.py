"""The registry of output formats: every module in the package `formats` defines one format.

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
from deeplift_cli.process.progress import Progressed, no_progress

if TYPE_CHECKING:
    from deeplift_cli.outputs.read_batch import ReadBatch
    from deeplift_cli.outputs.score_reader import ScoreReader


@dataclass(frozen=True)
class Export:
    """The argument of a format's `write`.

    Attributes
    ----------
    scores : ScoreReader
        The score file: `n_rows`, `layout.length` (L in bp) and `attrs` among others.
    temporary : Path
        The path to write to. The file is renamed to `path` when all exported files are complete.
    path : Path
        The final name, for messages, and for formats that depend on the name.
    chrom_sizes : mapping of str to int, or None
        Length of each chromosome in bp; None if the lengths are not known.
    options : mapping of str to anything
        Values of the format's own options, by their names in Python ("overlap").
    progress : callable, optional
        Called with the numbers of rows that `batches` has read and of all rows; formats that read the file
        several times begin at 0 again.
    """

    scores: "ScoreReader"
    temporary: Path
    path: Path
    chrom_sizes: Mapping[str, int] | None
    options: Mapping[str, Any]
    progress: Progressed = no_progress

    def batches(self, *wide: str) -> Iterator["ReadBatch"]:
        """Yield the rows of the score file in their order, some at a time.

        Parameters
        ----------
        *wide : str
            The datasets [N, 4, L] to read: "raw/seq", "shap/seq", "projected_shap/seq". The regions and the
            small datasets are always read.

        Yields
        ------
        ReadBatch
            ``batch.regions``, ``batch.values(name)`` [n, 4, L] and ``batch.numbers[name]`` [n, ...].

        Raises
        ------
        UserError
            If the score file is damaged; raised after the last batch at the latest.
        """
        from deeplift_cli.outputs.columns import compressing_threads

        with compressing_threads() as pool:
            for batch in self.scores.batches(pool, wide):
                yield batch
                self.progress(batch.rows.stop, self.scores.n_rows)


@dataclass(frozen=True)
class OutputFormat:
    """A format to which a score file can be exported.

    Attributes
    ----------
    name : str
        The name of the option without the dashes: lower case, words joined by "-".
    help : str
        One sentence for `deeplift export --help`.
    suffix : str
        The usual suffix of such files, with its dot. Temporary files end in the suffix, too.
    write : callable
        Takes an `Export` and writes the file; raises `UserError` if the file cannot be written. The OSError
        of a full disc may pass through.
    options : tuple of click.Option
        The format's own options. Several formats may share an option, which must be an equal object.
    lengths : {"needed", "used", "ignored"}
        Whether the format needs the lengths of chromosomes, uses them if they are known, or ignores them.
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Export], None]
    options: tuple[click.Option, ...] = field(default=(), repr=False)
    lengths: Literal["needed", "used", "ignored"] = "ignored"

    @property
    def flag(self) -> str:
        """The name of the option on the command line."""
        return f"--{self.name}"

    @property
    def metavar(self) -> str:
        """The placeholder for the file in help texts."""
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
