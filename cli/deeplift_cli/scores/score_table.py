"""`load_scores`: a score file as a Python object."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.errors import UserError
from deeplift_cli.options.rows import Locus, parse_locus
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.outputs.attributes import plain_value
from deeplift_cli.outputs.datasets import REGION_KEYS
from deeplift_cli.outputs.row_search import COMPARED, Ways, check_row, no_such_name, row_at, row_named
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.stored_regions import regions_of
from deeplift_cli.scores.region_scores import RegionScores
from deeplift_cli.scores.variables import Variable, variables
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.records import Region

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

_WAYS = Ways(by_row="row, as in scores[0]", by_name="name", this_row="scores[{}]", this_place='scores["{}"]')
_SHOWN = ("model", "target", "rule", "reference", "n_references", "seed")


def load_scores(path: str | os.PathLike[str]) -> "Scores":
    """Open a score file of `deeplift score` or `deeplift merge` for reading.

    Nothing but the attributes and the layout is read at once. Tables and arrays are read when they are asked
    for, and of the arrays only the rows that are asked for.

    Parameters
    ----------
    path : str or path
        The score file, such as "scores.h5".

    Returns
    -------
    Scores

    Raises
    ------
    UserError
        If there is no such file, or the file is not a score file, or is damaged.
    TypeError
        If the argument is not a path.

    Examples
    --------
    >>> from deeplift_cli import load_scores
    >>> scores = load_scores("scores.h5")
    >>> scores.regions                      # a pandas table with one line for each region
    >>> scores["peak_17"].contributions     # one region by its name: [L]
    >>> scores[0]                           # one region by its row
    >>> scores["chr1:100-300"].sequence     # a place within a region, 0-based, end exclusive
    >>> scores.dataset.contributions        # an xarray array [N, L], which is read when it is used
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"load_scores takes the path of a score file, not an object of type {type(path).__name__}"
        )
    return Scores(Path(os.fsdecode(path)))


class Scores:
    """A score file, which stays open until `close`; made by `load_scores`.

    Indexing finds one region: ``scores["peak_17"]`` by name, ``scores[5]`` by row, ``scores["chr1:100-300"]``
    by place. ``len(scores)`` is the number of regions, and iteration yields every region with its scores. A
    ``with`` block closes the file at its end.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    length : int
        L, the number of positions of each region.
    n_references : int
        R, the number of references of each region; 1 if one reference served all regions, and 0 for
        in-silico mutagenesis.

    Raises
    ------
    UserError
        If there is no such file, or the file is not a score file; later, if rows are damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = ScoreReader(path)
        self._file = self._reader.open()
        self.length = self._reader.layout.length
        self.n_references = self._reader.layout.n_references
        self._variables = variables(self._reader.layout, self._reader.n_rows)

    # ---- what the file says of itself

    @property
    def attrs(self) -> dict[str, Any]:
        """All attributes of the file; lists, mappings and None are read from their JSON."""
        return {key: plain_value(value) for key, value in self._reader.attrs.items()}

    @property
    def options(self) -> dict[str, Any]:
        """The options of the run that made the scores, by the names in docs/score-file.md."""
        names = {item.name for item in fields(ScoreOptions)}
        return {key: value for key, value in self.attrs.items() if key in names}

    # ---- views of the whole file

    @cached_property
    def regions(self) -> "DataFrame":
        """A pandas table with one line for each region, in the order of the rows.

        The columns are chrom, start, end (0-based and half-open), name, strand, index (the number of the
        record in the input), and the numbers of `qc/`. Of the numbers for each reference, the table has the
        mean (reference_output) or the number that is farthest from 0 (completeness_error).
        """
        try:
            import pandas
        except ImportError as error:
            raise _missing("pandas", "regions") from error
        columns: dict[str, Any] = {
            key: [getattr(region, key) for region in self._regions] for key in REGION_KEYS
        }
        for name, one in self._variables.items():
            if one.is_quality:
                values = self._read(name, slice(0, len(self)))
                columns[name] = values if values.ndim == 1 else _over_references(name, values)
        return pandas.DataFrame(columns)

    @cached_property
    def dataset(self) -> "Dataset":
        """An xarray dataset of all arrays, with the axes region, base, position and reference.

        The arrays are those of `RegionScores`: one_hot and hypothetical [region, base, position],
        contributions [region, position], and further ones if the file has them; output, reference_output
        and the other numbers of `qc/` are there, too. Values are read when they are used, and then only of
        the regions that are used: ``scores.dataset.contributions.sel(region="peak_17")``. The attributes are
        those of the file, as they are stored, without the options that were not given.
        """
        try:
            from deeplift_cli.scores.as_dataset import as_dataset
        except ImportError as error:
            raise _missing("xarray", "dataset") from error
        return as_dataset(
            self._variables,
            self._regions,
            lambda name: partial(self._read, name),
            _storable(self._reader.attrs),
        )

    def to_xarray(self) -> "Dataset":
        """Return `dataset`."""
        return self.dataset

    # ---- single regions

    def region(self, which: str | int) -> RegionScores:
        """Return the scores of one region.

        Parameters
        ----------
        which : str or int
            The name of a region; or a row, where negative rows count from the end; or a place such as
            "chr1:100-300", 0-based and half-open, which is the window of one region or lies in it: the
            result is then the part of the region at this place.

        Raises
        ------
        NoSuchRegionError
            If there is no such region. The error is a UserError and a KeyError.
        SeveralRegionsError
            Likewise, if several regions have this name, or this window, or cover the place.
        UserError
            If the rows are damaged.
        TypeError
            If the argument is neither a text nor an integer.
        """
        part = None
        if isinstance(which, str):
            row, part = self._row_of(which)
        elif isinstance(which, int | np.integer) and not isinstance(which, bool):
            row = int(which) + (len(self) if -len(self) <= which < 0 else 0)
            check_row(row, len(self), self.path)
        else:
            raise TypeError(
                "a region is found by its name, its row or a place such as 'chr1:100-300', not by an object "
                f"of type {type(which).__name__}; Scores.dataset takes slices"
            )
        (whole,) = self._rows(slice(row, row + 1))
        return whole if part is None else whole.part(part.start, part.end)

    __getitem__ = region

    def __len__(self) -> int:
        """Return N, the number of regions."""
        return self._reader.n_rows

    def __iter__(self) -> Iterator[RegionScores]:
        """Yield all regions with their scores, in the order of the rows."""
        step = self._reader.layout.rows_per_chunk
        for first in range(0, len(self), step):
            yield from self._rows(slice(first, min(first + step, len(self))))

    def __contains__(self, name: object) -> bool:
        """Return whether a region has this name."""
        return name in self._rows_by_name

    # ---- the file

    def close(self) -> None:
        """Close the file; what was not read yet cannot be read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path only: another process opens the file again."""
        return load_scores, (self.path.absolute(),)

    def __repr__(self) -> str:
        """Return the size, the options that matter most, and the arrays with their shapes."""
        attrs = self.attrs
        rows = [(key, printed(str(attrs[key]))) for key in _SHOWN if attrs.get(key) is not None]
        if self._reader.worst is not None:
            rows.append(("worst error", f"{self._reader.worst:.2g} (relative) of summation-to-delta"))
        rows += [(name, _described(one)) for name, one in self._variables.items()]
        width = max(len(name) for name, _ in rows)
        n, r = len(self), self.n_references
        size = f"{n:,} region{'s' * (n != 1)} of {self.length:,} bp, {r} reference{'s' * (r != 1)} each"
        closed = "" if self._file else ", closed"
        head = f"<Scores of {printed(str(self.path))}: {size}{closed}"
        return "\n".join([head, *(f"  {name:<{width}}  {text}" for name, text in rows)]) + ">"

    # ---- reading

    @cached_property
    def _regions(self) -> list[Region]:
        found = list[Region]()
        names = [f"regions/{key}" for key in REGION_KEYS]
        for columns in self._reader.columns(names, self._open_file()):
            found += regions_of({key: columns[f"regions/{key}"] for key in REGION_KEYS})
        return found

    @cached_property
    def _rows_by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for row, region in enumerate(self._regions):
            found.setdefault(region.name, []).append(row)
        return found

    def _row_of(self, text: str) -> tuple[int, Locus | None]:
        """Return the row of a name or of a place, and the place."""

        def regions() -> list[Region]:
            return self._regions

        if text in self._rows_by_name:
            return row_named(text, self._rows_by_name[text], regions, self.path, _WAYS), None
        try:
            place = parse_locus(text)
        except ValueError as error:
            names = [region.name for region in self._regions[:COMPARED]]
            raise no_such_name(text, names, len(self), self.path) from error
        return row_at(place, regions, self.path, _WAYS), place

    def _read(self, name: str, rows: slice) -> Any:
        return self._variables[name].read(self._reader, self._open_file(), rows)

    def _rows(self, rows: slice) -> Iterator[RegionScores]:
        arrays = {name: self._read(name, rows) for name in self._variables}
        for place, region in enumerate(self._regions[rows]):
            values = {name: array[place] for name, array in arrays.items()}
            main = {name: values.pop(name) for name in ("one_hot", "contributions", "hypothetical")}
            quality = {name: value for name, value in values.items() if self._variables[name].is_quality}
            along = {name: value for name, value in values.items() if name not in quality}
            keys = {key: getattr(region, key) for key in REGION_KEYS}
            yield RegionScores(**keys, row=rows.start + place, **main, quality=quality, along=along)

    def _open_file(self) -> Any:
        if not self._file:
            raise UserError(f"score file {self.path} has been closed; load_scores opens it again")
        return self._file


def _storable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that every file format of xarray can hold."""
    return {
        key: int(value) if isinstance(value, bool) else value
        for key, value in attrs.items()
        if value != "null"
    }


def _over_references(name: str, values: Any) -> Any:
    """Return one number for the R references of each region."""
    if name != "completeness_error":
        return values.mean(axis=1)
    return np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)[:, 0]


def _described(one: Variable) -> str:
    sizes = ", ".join(f"{name} {size:,}" for name, size in zip(one.dims, one.shape, strict=True))
    return f"[{sizes}] {one.dtype}"


def _missing(package: str, attribute: str) -> UserError:
    return UserError(
        f"Scores.{attribute} needs {package}, which is not installed: pip install '{DISTRIBUTION}[tables]'"
    )
