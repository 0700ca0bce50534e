"""The quality of the scores of one file: sums, noise of references, skipped records."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.outputs.skipped import HEADING
from deeplift_cli.report.numbers import AgainstReferences, Numbers
from deeplift_cli.sequences.text import open_text, short_lines
from deeplift_core.assignment.names import PRESETS, RULES

_NUMBER = re.compile(r"\d[\d,]*")


@dataclass(frozen=True)
class Reason:
    """A reason for which records were skipped, as it is given for the first of them.

    Reasons that differ in their numbers only count as one.
    """

    count: int
    text: str
    example: str


@dataclass(frozen=True)
class Skipped:
    """The records that were skipped.

    Attributes
    ----------
    count : int
    path : Path
        The table beside the score file.
    reasons : list of Reason, or None
        The most frequent first; None if the table is not there.
    """

    count: int
    path: Path
    reasons: list[Reason] | None


@dataclass(frozen=True)
class ReferenceQuality:
    """The quality of N sequences with R references each.

    Attributes
    ----------
    pairs : int
        N x R.
    worst : float
        The largest relative error of summation-to-delta, as it was computed when the file was written.
    is_exempt : bool
        True if the rule does not promise summation-to-delta, as gradients do not.
    largest_error : float
        The largest absolute error of summation-to-delta.
    rescored : int or None
        Pairs that were computed again in float64; None if the file does not say.
    identical, with_identical : int
        Pairs whose reference equals the sequence, and sequences with such a reference.
    noise : ndarray, [N], or None
        The standard error of the contributions over the references, as a share of the contributions (both
        as root mean squares over positions); NaN where all contributions are 0; None with one reference.
    """

    pairs: int
    worst: float
    is_exempt: bool
    largest_error: float
    rescored: int | None
    identical: int
    with_identical: int
    noise: npt.NDArray[np.float64] | None


@dataclass(frozen=True)
class Quality:
    """The quality of N sequences.

    Attributes
    ----------
    of_references : ReferenceQuality or None
        The value is None for in-silico mutagenesis, which has neither references nor summation-to-delta.
    skipped : Skipped
    """

    of_references: ReferenceQuality | None
    skipped: Skipped

    @property
    def noise(self) -> npt.NDArray[np.float64] | None:
        """The noise of the references, [N]; None where there is none to measure."""
        return None if self.of_references is None else self.of_references.noise


def assess(reader: ScoreReader, numbers: Numbers, root_mean_square: npt.NDArray[np.float64]) -> Quality:
    """Return the quality of the scores.

    Parameters
    ----------
    reader : ScoreReader
    numbers : Numbers
    root_mean_square : ndarray, [N]
        The root mean square of each row's contributions.

    Raises
    ------
    UserError
        If the table of skipped records cannot be read, or belongs to other scores.
    """
    against = numbers.against_references
    of_references = None if against is None else _of_references(reader, against, root_mean_square)
    return Quality(of_references, read_skipped(reader))


def _of_references(
    reader: ScoreReader, against: AgainstReferences, root_mean_square: npt.NDArray[np.float64]
) -> ReferenceQuality:
    noise = None
    if against.standard_error is not None:
        noise = np.full(reader.n_rows, np.nan)
        np.divide(against.standard_error, root_mean_square, out=noise, where=root_mean_square > 0)
    rule = str(reader.attrs.get("rule", "")).partition(":")[0]
    return ReferenceQuality(
        pairs=reader.n_rows * reader.layout.n_references,
        worst=np.nan if reader.worst is None else reader.worst,
        is_exempt=rule in RULES and rule not in PRESETS,
        largest_error=float(against.error.max(initial=0.0)),
        rescored=None if against.rescored is None else int(against.rescored.sum()),
        identical=int(against.identical.sum()),
        with_identical=int((against.identical > 0).sum()),
        noise=noise,
    )


def read_skipped(reader: ScoreReader) -> Skipped:
    """Count the skipped records of a score file by reason, from the table beside it.

    Raises
    ------
    UserError
        If the table cannot be read, or belongs to other scores.
    """
    path = companions(reader.path)[1]
    if not path.exists():
        return Skipped(reader.n_skipped, path, None)
    found: dict[str, Reason] = {}
    count = 0
    with open_text(path, "table of skipped records") as file:
        lines = short_lines(file, f"table of skipped records {path}")
        if next(lines, (1, ""))[1] != HEADING:
            raise UserError(
                f"{path} is not the table of skipped records of {reader.path}; put that one there"
            )
        for _, line in lines:
            columns = line.rstrip("\n").split("\t")
            name, text = columns[2:4] if len(columns) == 4 else ("", "in a line that cannot be read")
            reason = found.setdefault(_NUMBER.sub("0", text), Reason(0, text, name))
            found[_NUMBER.sub("0", text)] = replace(reason, count=reason.count + 1)
            count += 1
    if count != reader.n_skipped:
        raise UserError(
            f"{path} lists {count:,} records, but {reader.path} says that {reader.n_skipped:,} were skipped; "
            "put its own table there"
        )
    return Skipped(count, path, sorted(found.values(), key=lambda reason: -reason.count))
