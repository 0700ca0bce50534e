"""The tables of docs/paper.md, as markdown, from the numbers of an experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pages import table

from paper.regulatory import FREQUENCY, SHUFFLES

# The columns of each table on regulatory DNA: measure, and number of decimals.
_FOUND = {
    "strong TAL1 missed": 3,
    "weaker motif negative": 3,
    "GATA mass": 3,
    "TAL1 mass": 3,
    "TAL1 false": 3,
    "GATA false": 3,
    "cooperativity": 2,
    "motif-free": 1,
}
_RANKED = {
    "GATA strength": 3,
    "TAL1 strength": 3,
    "GATA AUROC": 3,
    "GATA AUPRC": 3,
    "TAL1 AUROC": 3,
    "TAL1 AUPRC": 3,
}
_MATCHED = {
    "GATA matched AUROC": 3,
    "GATA matched AUPRC": 3,
    "TAL1 matched AUROC": 3,
    "TAL1 matched AUPRC": 3,
}


def toy(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Tables of the toy networks, by the name of their mark."""
    return {
        "toy": _of_rows(numbers["values"]),
        "sigmoid": _of_rows(numbers["sigmoid"]),
        "captum": _of_rows(numbers["captum"]),
    }


def regulatory(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Tables of the experiment on regulatory DNA, by the name of their mark."""
    measured = numbers["measured"]
    found = {f"regulatory-{kind}": _measures(measured, kind, _FOUND) for kind in (FREQUENCY, SHUFFLES)}
    return {
        "regulatory-measures": table("measure|what", [list(row) for row in numbers["measures"].items()]),
        "regulatory-accuracy": _accuracy(numbers["accuracy"]),
        "regulatory-counts": _counts(numbers["counts"]),
        **found,
        "regulatory-missed": _of_rows(numbers["missed by number"]),
        "regulatory-ranking": _measures(measured, FREQUENCY, _RANKED),
        "regulatory-matched": _measures(measured, FREQUENCY, _MATCHED),
        "regulatory-costs": _costs(numbers["costs"]),
    }


def mnist(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Tables of the experiment on digits, by the name of their mark."""
    accuracy = np.array(numbers["accuracy"])
    conversions = numbers["conversions"]
    methods = next(iter(conversions.values()))["methods"]
    medians = [
        [
            method,
            *(
                "{median:.2f} ({lower quartile:.2f} to {upper quartile:.2f})".format_map(
                    of["methods"][method]
                )
                for of in conversions.values()
            ),
        ]
        for method in methods
    ]
    better = [
        [
            method,
            *(f"{100 * of['methods'][method]['RevealCancel better']:.1f} %" for of in conversions.values()),
        ]
        for method in methods
        if method != "RevealCancel"
    ]
    header = "method|" + "|".join(f"{name}, {of['digits']} digits" for name, of in conversions.items())
    return {
        "mnist-accuracy": f"Accuracy on held-out digits: {100 * accuracy.mean():.2f} % on average over "
        f"{len(accuracy)} networks ({100 * accuracy.min():.2f} to {100 * accuracy.max():.2f} %).",
        "mnist-medians": table(header, medians),
        "mnist-better": table(header, better),
        "mnist-costs": _costs(numbers["costs"]),
    }


def _measures(measured: Mapping[str, Any], kind: str, columns: Mapping[str, int]) -> str:
    rows = []
    for name, found in measured.items():
        method, reference = name.split("|")
        if reference in (kind, "none") and columns.keys() <= found.keys():
            rows.append([method, *(_spread(found[column], digits) for column, digits in columns.items())])
    return table("method|" + "|".join(columns), rows)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _accuracy(accuracy: Sequence[Mapping[str, float]]) -> str:
    rows = [
        [str(number), *(f"{value:.4f}" for value in found.values())]
        for number, found in enumerate(accuracy, start=1)
    ]
    return table("training|" + "|".join(f"AUROC, {task}" for task in accuracy[0]), rows)


def _counts(counts: Sequence[Mapping[str, int]]) -> str:
    rows = [[name, ", ".join(str(found[name]) for found in counts)] for name in counts[0]]
    return table("what|number in each training", rows)


def _costs(costs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            each["method"],
            each["forward"],
            each["backward"],
            f"{1000 * each['seconds']:.2f}",
            f"{each['relative']:.1f}",
        ]
        for each in costs
    ]
    return table("method|forward passes|backward passes|ms for a sequence|times gradient x input", rows)


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each mapping; the columns are the keys of the first."""
    return table("|".join(rows[0]), [[_written(value) for value in row.values()] for row in rows])


def _written(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
