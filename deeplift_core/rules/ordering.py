"""Order statistics: sort, topk, kthvalue, median.

The paper leaves order statistics open. The i-th largest value y_i may rise although the position that now
holds it did not rise, so that the rule looks for a position whose own change explains the rise. If y_i rose
from y0_i to y_i, then i positions are now at least y_i, and fewer than i positions were above y0_i; hence one
of the i positions rose from at most y0_i to at least y_i, which is a rise by at least Delta y_i. Of all such
positions the one that changed least explains the rise, with the multiplier Delta y_i / Delta x_j in (0, 1]. A
fall is explained likewise. For the largest value this is the rule ``switch`` of maxima
(:mod:`deeplift_core.rules.maxima`). A value that did not change passes its multiplier to its position if the
position is the same at input and reference.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule, Sent
from deeplift_core.rules.values import PairValues
from deeplift_core.rules.windows import values_of

# The most elements of the table of (order statistic, position) that are compared at the same time.
_TABLE = 1 << 24
# The place of the argument that is the axis, and whether an axis is left in the result (None: the next
# argument says whether).
_AXIS = {"sort": 1, "topk": 2, "kthvalue": 2, "median": 1}
_KEEPS_AXIS = {"sort": True, "topk": True, "kthvalue": None, "median": None}


@rule_for(
    torch.ops.aten.sort.default,
    torch.ops.aten.sort.stable,
    torch.ops.aten.topk.default,
    torch.ops.aten.kthvalue.default,
    torch.ops.aten.median.dim,
)
class OrderStatistics(Rule):
    """Values in order along an axis; see the module's docstring."""

    label: ClassVar[str] = "order statistic"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self._source, self._kernel = values_of(graph, node)
        self.sources = (self._source,)
        kernel = graph.nodes[self._kernel]
        place, keeps = _AXIS[kernel.op_name], _KEEPS_AXIS[kernel.op_name]
        # sort.stable has its axis among the keywords
        axis = kernel.kwargs.get("dim", kernel.args[place] if len(kernel.args) > place else -1)
        self._axis = axis % len(graph.nodes[self._source].shape)
        kept = kernel.args[place + 1] if len(kernel.args) > place + 1 else kernel.kwargs.get("keepdim", False)
        self._keeps_axis = bool(kept) if keeps is None else keeps

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Look for the position that explains each value, some values at a time."""
        x, r = (self._along(values[self._source]) for values in (pair.x, pair.reference))
        y, y0, delta = (self._in_order(value) for value in self._results(pair))
        total = m.each(self._in_order).by_sign(delta)
        at_x, at_r = (self._in_order(values[self._kernel][1]) for values in (pair.x, pair.reference))
        stayed = (delta == 0) & (at_x == at_r)
        sent = torch.zeros_like(x).scatter_add(-1, at_x, total * stayed)
        step = max(1, _TABLE // max(1, x.numel()))
        for start in range(0, delta.shape[-1], step):
            some = slice(start, start + step)
            place, share = _witness(x, r, y[..., some], y0[..., some], delta[..., some])
            sent = sent.scatter_add(-1, place, share * total[..., some])
        return [(self._source, Multipliers.same(sent.movedim(-1, self._axis)))]

    def _results(self, pair: PairValues) -> tuple[Tensor, Tensor, Tensor]:
        here = self.node.index
        return pair.x[here], pair.reference[here], pair.delta(here)

    def _along(self, value: Tensor) -> Tensor:
        return value.movedim(self._axis, -1)

    def _in_order(self, value: Any) -> Tensor:
        moved: Tensor = value.movedim(self._axis, -1) if self._keeps_axis else value.unsqueeze(-1)
        return moved


def _witness(x: Tensor, r: Tensor, y: Tensor, y0: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Return the position that explains each order statistic [..., i], and its multiplier (0 for Delta 0)."""
    x, r, y, y0 = x.unsqueeze(-2), r.unsqueeze(-2), y.unsqueeze(-1), y0.unsqueeze(-1)
    rose, fell = (x >= y) & (r <= y0), (x <= y) & (r >= y0)
    explains = torch.where(delta.unsqueeze(-1) > 0, rose, fell)
    change = x - r
    size = torch.where(explains, change.abs(), torch.inf)
    smallest, place = size.min(-1)
    still = delta == 0
    return place, torch.where(still, 0, delta.abs() / torch.where(still, 1, smallest))
