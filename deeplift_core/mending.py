"""Pairs that float32 rounds beyond the tolerance, scored again in float64.

That takes contributions that cancel to less than a thousandth of their size: one pair in some dozens or
hundreds, but then most batches with 20 references have one. So only those pairs are scored again, K of them
at a time, whichever rows and references they come from.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from deeplift_core.completeness import TOLERANCE, relative_error
from deeplift_core.pairs import Pair, score_pairs
from deeplift_core.plan import Plan
from deeplift_core.propagate import values_to_keep
from deeplift_core.steps import Steps, Task


class Mender:
    """Keeps a copy of the recording in float64, whose nodes are at the same places.

    Parameters
    ----------
    plan : Plan
        The recording, and the rule of every node.
    channel_axis : int or None
        Of the inputs; None to find it.
    """

    def __init__(self, plan: Plan, channel_axis: int | None) -> None:
        self._plan = plan
        self._channel_axis = channel_axis
        self._float64_plan: Plan | None = None
        self._steps: dict[Task, Steps] = {}

    def mend(
        self,
        task: Task,
        outputs: dict[int, Tensor],
        pairs: list[Pair],
        rows: Sequence[Tensor],
        references: Sequence[Tensor],
    ) -> tuple[dict[int, Tensor], list[Pair]]:
        """Replace the pairs of one batch that are beyond the tolerance, and the outputs of their rows.

        Parameters
        ----------
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
            for some in torch.split(places, len(rows[0])):
                outputs, pairs = self._mend(task, outputs, pairs, rows, references, some)
            done[places[:, 0], places[:, 1]] = True

    def _mend(
        self,
        task: Task,
        outputs: dict[int, Tensor],
        pairs: list[Pair],
        rows: Sequence[Tensor],
        references: Sequence[Tensor],
        places: Tensor,
    ) -> tuple[dict[int, Tensor], list[Pair]]:
        """Replace at most K pairs, given by row and reference [M, 2]."""
        filled = places[torch.arange(len(rows[0]), device=places.device).clamp(max=len(places) - 1)]
        row, number = filled.unbind(1)
        steps = self._in_float64(task)
        x = steps.forward([tensor[row].double() for tensor in rows])
        reference = steps.forward([tensor[row, number].double() for tensor in references])
        (exact,) = score_pairs(steps, x, reference)
        row, number = places.unbind(1)
        mended = {
            node: outputs[node].index_copy(0, row, x[node][: len(row)].to(outputs[node].dtype))
            for node in {task.target, task.prediction}
        }
        moved = outputs[task.target] - mended[task.target]
        pairs = [replace(pair, completeness_error=pair.completeness_error + moved) for pair in pairs]
        for reference in set(number.tolist()):
            chosen = (number == reference).nonzero().squeeze(1)
            pairs[reference] = pairs[reference].with_rows(row[chosen], exact, chosen)
        return outputs | mended, pairs

    def _in_float64(self, task: Task) -> Steps:
        if task not in self._steps:
            graph = self._plan.graph
            if self._float64_plan is None:
                self._float64_plan = Plan(graph.empty_twin(), self._plan.preset, self._plan.layer_rules)
            plan = self._float64_plan
            plan.graph.follow(graph, torch.float64)
            if task.layers != tuple(graph.inputs):
                plan = plan.scoring(task.layers[0])
            keep = values_to_keep(plan, task.target, task.layers)
            self._steps[task] = Steps([replace(task, plan=plan, keep=keep)], self._channel_axis)
        return self._steps[task]


def _beyond(output: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Which pairs [K, R] are beyond the tolerance."""
    error = torch.stack([pair.completeness_error for pair in pairs], 1)
    reference_output = torch.stack([pair.reference_output for pair in pairs], 1)
    return relative_error(error, output, reference_output) > TOLERANCE[torch.float32]
