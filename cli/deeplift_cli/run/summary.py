"""Counts and times of a run, and the table with them at the end of the run."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.process.terminal_text import printable
from deeplift_cli.sequences import Skipped
from deeplift_core.accuracy.completeness import relative_error


def relative_completeness_error(
    error: npt.NDArray[Any], output: npt.NDArray[Any], reference_output: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Return each sequence's [N] worst relative summation-to-delta error over its R references.

    The result is NaN for a sequence with a NaN error.

    Parameters
    ----------
    error, reference_output : array [N, R]
        The summation-to-delta error, and the explained scalar at each reference.
    output : array [N]
        The explained scalar of each sequence.
    """
    tensors = [torch.from_numpy(values) for values in (error, output, reference_output)]
    worst: npt.NDArray[np.float64] = relative_error(tensors[0], tensors[1], tensors[2]).amax(1).numpy()
    return worst


@dataclass
class Completeness:
    """Summation-to-delta over a whole run, in constant memory.

    Attributes
    ----------
    worst : float
        Largest relative error.
    beyond : int
        Number of sequences whose error is larger than the precision's tolerance.
    beyond_limit : int
        Number of sequences whose error is larger than the user's own limit.
    """

    tolerance: float
    limit: float | None
    worst: float = 0.0
    beyond: int = 0
    beyond_limit: int = 0

    def add(self, errors: npt.NDArray[np.float64]) -> None:
        """Count the errors [N] of further sequences; NaN counts as larger than every limit."""
        self.worst = float(np.maximum(self.worst, errors.max(initial=0.0)))
        self.beyond += int((~(errors <= self.tolerance)).sum())
        if self.limit is not None:
            self.beyond_limit += int((~(errors <= self.limit)).sum())


@dataclass
class Summary:
    """Counts and times of one run, which may resume an earlier one.

    Attributes
    ----------
    completeness : dict of str to Completeness
        The completeness by target; empty for in-silico mutagenesis, which has no summation-to-delta.
    scored : int
        Number of sequences with scores, those of the earlier run included.
    resumed : int
        Number of sequences that the earlier run scored.
    identical : int
        Number of sequences that have references equal to themselves.
    skipped : int
        Number of records without scores: records that could not be used, or whose scores are not finite.
    examples : list of Skipped
        The first of these.
    left_out : int
        Regions on chromosomes that were not chosen, of the whole input.
    rescoring_stopped : str
        The reason why sequences are no longer scored again in float64; "" while rescoring is on.
    settings : dict of str to str
        How sequences were scored, by the name of the line.
    unit : str
        The word for the records: "sequences", or "variants", each of which has several scored sequences.
    """

    completeness: dict[str, Completeness]
    exempt: bool
    started: float
    scored: int = 0
    resumed: int = 0
    identical: int = 0
    skipped: int = 0
    left_out: int = 0
    examples: list[Skipped] = field(default_factory=list)
    scoring_since: float = 0.0
    seconds: float = 0.0
    scoring_seconds: float = 0.0
    rescoring_stopped: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    unit: str = "sequences"

    def start_scoring(self) -> None:
        """Start the clock for sequences per second, which does not count the time to load the model."""
        self.scoring_since = time.perf_counter()

    def finish(self) -> None:
        """Stop the clock."""
        now = time.perf_counter()
        self.seconds, self.scoring_seconds = now - self.started, now - self.scoring_since

    @property
    def worst(self) -> float:
        """Largest relative summation-to-delta error over all targets."""
        return max(part.worst for part in self.completeness.values())

    def worst_of(self, label: str) -> float | None:
        """The largest relative summation-to-delta error of a target; None for in-silico mutagenesis."""
        return self.completeness[label].worst if self.completeness else None

    def warnings(self) -> list[str]:
        """Return warnings: how many sequences miss summation-to-delta, and why rescoring stopped."""
        missed = 0 if self.exempt else sum(part.beyond for part in self.completeness.values())
        lines = [self._missed("the tolerance", missed)] if missed else []
        if self.rescoring_stopped:
            lines.append(f"sequences are no longer scored again in float64: {self.rescoring_stopped}")
        return lines

    def beyond_limit(self) -> str | None:
        """Return one line if summation-to-delta was missed by more than the user's own limit."""
        missed = sum(part.beyond_limit for part in self.completeness.values())
        return self._missed("--max-completeness-error", missed) if missed else None

    def _missed(self, limit: str, missed: int) -> str:
        scores = self.scored * len(self.completeness)
        return (
            f"summation-to-delta is off by more than {limit} in {missed:,} of {scores:,} sequences "
            f"(worst relative error {self.worst:.1e}); see qc/completeness_error"
        )

    def lines(self, written: list[Path]) -> list[str]:
        """Return the table as lines of text."""
        rows = [(f"{self.unit} scored", f"{self.scored:,}"), ("skipped", f"{self.skipped:,}")]
        rows += [("", f"{item.name} (line {item.line}) {item.reason}") for item in self.examples]
        if self.skipped > len(self.examples):
            rows.append(("", f"and {self.skipped - len(self.examples):,} more: see the .skipped.tsv"))
        if self.left_out:
            rows.append(("left out", f"{self.left_out:,} on other chromosomes than those of --chroms"))
        if self.identical:
            rows.append(
                ("identical", f"{self.identical:,} with references equal to themselves, which add nothing")
            )
        rows += self.settings.items()
        if self.completeness:
            rows.append(("summation-to-delta", self._completeness_text()))
        if self.resumed:
            rows.append(("resumed", f"from {self.resumed:,} {self.unit} that an earlier run had finished"))
        rate = (self.scored - self.resumed) / self.scoring_seconds if self.scoring_seconds else 0.0
        rows.append(("time", f"{self.seconds:.1f} s; {rate:,.1f} {self.unit} per second while scoring"))
        rows += [("written" if place == 0 else "", str(path)) for place, path in enumerate(written)]
        return [f"{label:<18}  {printable(text)}" for label, text in rows]

    def _completeness_text(self) -> str:
        if self.exempt:
            return f"worst relative error {self.worst:.1e} (this rule does not promise it)"
        beyond = sum(part.beyond for part in self.completeness.values())
        tolerance = next(iter(self.completeness.values())).tolerance
        verdict = "all" if not beyond else f"all but {beyond:,}"
        return f"worst relative error {self.worst:.1e}; {verdict} within {tolerance:.0e}"
