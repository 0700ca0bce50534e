"""The list of all measures, the table and the JSON of their results."""

from collections.abc import Callable, Iterator
from typing import Any

from deeplift_cli.trust import changed_positions, curves, mutants, observed, reference_noise, shuffled_weights
from deeplift_cli.trust.measure import Measure
from deeplift_cli.trust.sample import Sample

# The measures are in the order of the table, each with a text for the progress line that says what it does.
MEASURES: tuple[tuple[str, Callable[[Sample], Measure]], ...] = (
    ("mutagenesis", mutants.measure),
    ("deletion and insertion", curves.measure),
    ("noise of references", reference_noise.measure),
    ("shuffled weights", shuffled_weights.measure),
    ("positions that references change", changed_positions.measure),
)


# These measures need an observed signal.
_OBSERVED = (("observed signal", observed.measure),)


def measured(sample: Sample) -> Iterator[Measure]:
    """Yield the results of all measures; each is computed when the one before has been taken."""
    for name, measure in (*MEASURES, *(() if sample.observed is None else _OBSERVED)):
        with sample.screen.status(f"{name}, of {len(sample.sequences):,} sequences"):
            found = measure(sample)
        yield found


def as_table(found: list[Measure]) -> list[str]:
    """Return the table as lines of text; values are medians with quartiles over the sequences."""
    lines = [line for measure in found for line in measure.lines]
    rows = [("", "median (quartiles)", "normal"), *((line.label, line.value, line.normal) for line in lines)]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"  {label:<{first}}  {value:<{second}}  {normal}".rstrip() for label, value, normal in rows]


def as_json(found: list[Measure], path: str, n_sequences: int) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "file": path,
        "sequences": n_sequences,
        "measures": {measure.name: measure.numbers for measure in found},
        "table": [[line.label, line.value, line.normal] for measure in found for line in measure.lines],
    }
