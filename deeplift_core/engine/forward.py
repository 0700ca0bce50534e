"""The forward pass: the values that backward passes read, and those of targets and predictions."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.graph import refs_in, substitute


class ForwardPass:
    """The calls of a plan in order, with the values that are freed after each.

    Parameters
    ----------
    plan : Plan
    keep : collection of int, optional
        Nodes whose values are returned besides the wanted ones; by default those that the plan keeps.
    """

    def __init__(self, plan: Plan, keep: Collection[int] | None = None) -> None:
        self._inputs = plan.graph.inputs
        kept = {*(plan.kept if keep is None else keep), *plan.wanted}
        calls = dict(sorted(_needed_calls(plan, kept).items()))
        last_use = {ref: index for index, (_, refs) in calls.items() for ref in refs}
        self._kept = kept
        self._calls = [
            (index, call, tuple(ref for ref in refs if last_use[ref] == index and ref not in kept))
            for index, (call, refs) in calls.items()
        ]

    def __call__(self, inputs: Sequence[Tensor]) -> dict[int, Any]:
        """Run the calls on a batch.

        Parameters
        ----------
        inputs : sequence of Tensor [K, ...]

        Returns
        -------
        dict of int to values
            Values of the nodes to keep. A value that no later call reads is freed at once.
        """
        values: dict[int, Any] = dict(zip(self._inputs, inputs, strict=True))
        for index, (function, args, kwargs), freed in self._calls:
            lookup = values.__getitem__
            named = {key: substitute(value, lookup) for key, value in kwargs.items()}
            values[index] = function(*substitute(args, lookup), **named)
            for ref in freed:
                del values[ref]
        return {index: value for index, value in values.items() if index in self._kept}


def _needed_calls(plan: Plan, wanted: Collection[int]) -> dict[int, Any]:
    """Return each needed node's call with the nodes that the call reads."""
    calls: dict[int, Any] = {}
    stack = list(wanted)
    while stack:
        index = stack.pop()
        if index in calls or index in plan.graph.inputs:
            continue
        call = plan.call_of(index)
        refs = refs_in((call.args, tuple(call.kwargs.values())))
        calls[index] = call, refs
        stack.extend(refs)
    return calls
