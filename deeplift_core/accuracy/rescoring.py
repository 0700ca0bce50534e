"""Pairs that float32 rounds beyond the tolerance, scored again in float64.

That takes contributions that cancel to less than a thousandth of their size: one pair in some dozens or
hundreds, but then most batches with 20 references have one. So only those pairs are scored again, whichever
rows and references they come from.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from deeplift_core.accuracy.completeness import TOLERANCE, relative_error
from deeplift_core.engine.pairs import Pair
from deeplift_core.engine.steps import Task
from deeplift_core.results import Attribution

# Scores in float64 of rows [M, ...] against one reference for each [M, 1, ...], by reference, and with one
# result for each layer.
Exactly = Callable[[Task, tuple[Tensor, ...], tuple[Tensor, ...]], Attribution]
Scored = tuple[dict[int, Tensor], list[Pair]]


def mended(
    exactly: Exactly,
    task: Task,
    outputs: dict[int, Tensor],
    pairs: list[Pair],
    rows: Sequence[Tensor],
    references: Sequence[Tensor],
) -> Scored:
    """One batch with the pairs that are beyond the tolerance, and the outputs of their rows, replaced.

    Parameters
    ----------
    exactly : callable
    task : Task
    outputs : dict of int to Tensor [K]
        Targets and predictions at the input.
    pairs : list of Pair
        One for each reference.
    rows, references : sequence of Tensor [K, ...] and [K, R, ...]

    Returns
    -------
    outputs, pairs
        As they were given, where nothing is beyond the tolerance.
    """
    done = torch.zeros(len(rows[0]), len(pairs), dtype=torch.bool, device=rows[0].device)
    while True:
        places = (_beyond(outputs[task.target], pairs) & ~done).nonzero()
        if not len(places):
            return outputs, pairs
        # A more exact output may put further pairs of its row beyond the tolerance: look again.
        for some in torch.split(places, len(rows[0])):  # no more at a time than memory is planned for
            row, number = some.unbind(1)
            points = tuple(tensor[row] for tensor in rows)
            exact = exactly(task, points, tuple(tensor[row, number, None] for tensor in references))
            outputs, pairs = _replaced(task, outputs, pairs, exact, some)
        done[places[:, 0], places[:, 1]] = True


def _replaced(
    task: Task, outputs: dict[int, Tensor], pairs: list[Pair], exact: Attribution, places: Tensor
) -> Scored:
    """With the results of pairs given by row and reference [M, 2] put in."""
    row, number = places.unbind(1)
    better = {task.target: exact.output, task.prediction: exact.prediction}
    replaced = {
        node: outputs[node].index_copy(0, row, value.to(outputs[node].dtype))
        for node, value in better.items()
    }
    moved = outputs[task.target] - replaced[task.target]
    pairs = [replace(pair, completeness_error=pair.completeness_error + moved) for pair in pairs]
    found = Pair.of(exact, 0)
    for reference in set(number.tolist()):
        chosen = (number == reference).nonzero().squeeze(1)
        pairs[reference] = pairs[reference].with_rows(row[chosen], found, chosen)
    return outputs | replaced, pairs


def _beyond(output: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Which pairs [K, R] are beyond the tolerance."""
    error = torch.stack([pair.completeness_error for pair in pairs], 1)
    reference_output = torch.stack([pair.reference_output for pair in pairs], 1)
    return relative_error(error, output, reference_output) > TOLERANCE[torch.float32]
