"""The rule of maxima named ``aumann-shapley``.

On the straight line from reference r to input x, value j of a maximum is r_j + t Delta_j with t from 0 to 1.
Position j contributes Delta_j times the share of t in which j is the argmax. This is the Aumann-Shapley value
(integrated gradients, without a number of steps to choose) of one maximum along a straight line, not of the
whole network, in which the values that reach a maximum do not move along a straight line. The paper leaves
maxima open.

The maximum along the line is the upper envelope of the lines r_j + t Delta_j, and the shares follow in closed
form from the points where one line overtakes another. The multipliers are the shares: they lie in [0, 1] and
add up to 1, and sum_j Delta_j share_j = max(x) - max(r). A position with Delta 0 gets its share as multiplier
all the same. Of lines that tie at both ends (:mod:`deeplift_core.rules.ties`) the first one gets the whole
share.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.rules.differences import difference, where_positive
from deeplift_core.rules.larger_of_two import LargerOfTwo
from deeplift_core.rules.maxima import AUMANN_SHAPLEY, MaximumOfWindows
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Sent, single
from deeplift_core.rules.ties import tie_tolerance
from deeplift_core.rules.values import PairValues
from deeplift_core.rules.windows import WINDOWS

# The most values that are processed together, so that intermediate values stay in a CPU's cache.
_AT_A_TIME = 1 << 16

# The most values of a maximum whose pairs are all compared; for more values the upper envelope is faster.
_FEW = 8


@torch.library.custom_op("deeplift::shares_along_the_line", mutates_args=())
def shares_along_the_line(x: Tensor, r: Tensor, tolerance: float) -> Tensor:
    """Return the share of t in [0, 1] in which each value is the argmax of r + t (x - r).

    The time is linear in k for each line of the upper envelope, and the memory is linear in k. Which steps
    are taken depends on the values, for which reason this is one operation to torch.compile.

    Parameters
    ----------
    x, r : Tensor [k, R]
        The k values of R maxima, at the input and at the reference.
    tolerance : float
        The largest distance of a tie from a maximum, relative to the maximum's magnitude.

    Returns
    -------
    Tensor [k, R]
        Shares >= 0 that add up to 1 over the first axis.
    """
    step = max(1, _AT_A_TIME // x.shape[0])
    shares = torch.empty_like(x)
    for start in range(0, x.shape[1], step):
        some = slice(start, start + step)
        ends = x[:, some].contiguous(), r[:, some].contiguous(), tolerance
        found = _shares_by_pairs(*ends) if len(x) <= _FEW else None
        shares[:, some] = _shares(*ends) if found is None else found
    return shares


@shares_along_the_line.register_fake
def _(x: Tensor, r: Tensor, tolerance: float) -> Tensor:
    del r, tolerance
    return torch.empty_like(x)


def _shares(x: Tensor, r: Tensor, tolerance: float) -> Tensor:
    """Follow the upper envelope from t = 0 to t = 1, from each line to the one that overtakes it first."""
    shares = torch.zeros_like(x)
    top = r.amax(0)
    highest = r >= top - tolerance * top.abs()
    at = _first_of_largest(x, highest, tolerance)
    t = torch.zeros_like(top)
    while True:
        x_at, r_at = x.gather(0, at), r.gather(0, at)
        above_at_x = x - x_at  # at t = 1; only lines that are higher there overtake the line ``at``
        overtaking = above_at_x > tolerance * x_at.abs()
        below_at_r = (r_at - r).clamp_(min=0)  # by how much each line is lower at t = 0
        span = above_at_x.add_(below_at_r)
        crossing = torch.where(overtaking, below_at_r / span, torch.inf)
        first = crossing.amin(0)
        end = torch.maximum(first.clamp(max=1), t)
        shares.scatter_add_(0, at, (end - t).unsqueeze(0))
        overtaken = first <= 1
        if not overtaken.any():
            return shares
        # If several lines overtake at the same t, except for rounding, the line that is highest at t = 1
        # follows.
        rounding = tolerance * (torch.maximum(r_at.abs(), x_at.abs()) + span)
        close = (crossing <= first).logical_or_(below_at_r.sub_(first * span) <= rounding)
        together = overtaking.logical_and_(close)
        at, t = torch.where(overtaken, _first_of_largest(x, together, tolerance), at), end


def _shares_by_pairs(x: Tensor, r: Tensor, tolerance: float) -> Tensor | None:
    """Return the shares for few values, by operations that are fast on a CPU.

    If two lines cross, one loses the part of [0, 1] before the crossing and the other the part after it. The
    share of a line is the part that it keeps against all other lines.

    Returns
    -------
    Tensor [k, R] or None
        The value is None if two lines tie at both ends and are not equal, which only the upper envelope gets
        right, because ties are not transitive.
    """
    start_lost, end_lost = torch.zeros_like(x), torch.zeros_like(x)
    rounding = (x.abs() + r.abs()).mul_(tolerance)
    tiny = torch.finfo(x.dtype).tiny
    for j, k in combinations(range(len(x)), 2):
        lead, lead_at_end = r[j] - r[k], x[j] - x[k]
        apart = torch.maximum(lead.abs(), lead_at_end.abs())
        if not (rounding[j] - apart).mul_(apart).amax() <= 0:
            return None
        falling = lead - lead_at_end
        gaining = falling.neg()
        # 1 for equal lines, of which the first one keeps all, and 0 or 1 for parallel lines.
        crossing = lead.add_(tiny).div_(falling.add_(tiny)).clamp_(0, 1)
        after = 1 - crossing
        start_of_j, end_of_k = where_positive(gaining, crossing), where_positive(gaining, after)
        start_of_k, end_of_j = crossing.sub_(start_of_j), after.sub_(end_of_k)
        for lost, place, part in (
            (start_lost, j, start_of_j), (end_lost, j, end_of_j),
            (start_lost, k, start_of_k), (end_lost, k, end_of_k),
        ):  # fmt: skip
            torch.maximum(lost[place], part, out=lost[place])
    return start_lost.add_(end_lost).neg_().add_(1).clamp_(min=0)


def _first_of_largest(x: Tensor, among: Tensor, tolerance: float) -> Tensor:
    """Return the places [1, R] of the largest of some values [k, R]; of several ties the first counts."""
    candidates = torch.where(among, x, -torch.inf)
    top = candidates.amax(0)
    ties = candidates >= top - tolerance * top.abs()
    return ties.view(torch.uint8).argmax(0, keepdim=True)


@rule_for(*WINDOWS, variant=AUMANN_SHAPLEY)
class AumannShapley(MaximumOfWindows):
    """The rule ``aumann-shapley`` for maxima over windows; see the module's docstring."""

    label: ClassVar[str] = AUMANN_SHAPLEY

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Send to each position of a window its share of the maximum's multiplier."""
        total = self.windows.flat_maxima(self._by_sign(pair, m))
        values = self._values(pair)
        rest = values[0].shape[:-1]
        # The axis of positions comes first, so that windows are rows of memory that are gathered and added up
        # whole.
        x, r = (single(value.movedim(-1, 0).reshape(-1, math.prod(rest))) for value in values)
        total = single(total.movedim(-1, 0).reshape(-1, math.prod(rest)))
        tolerance = tie_tolerance(values[0].dtype)
        sent = torch.zeros_like(x)
        for start, stop in self.windows.chunks(math.prod(rest)):
            rows = self.windows.rows(start, stop)
            if rows is None:
                sent.add_(shares_along_the_line(x, r, tolerance) * total)
                continue
            places = rows.T.flatten()
            in_windows = (side.index_select(0, places).view(rows.shape[1], -1) for side in (x, r))
            shares = shares_along_the_line(*in_windows, tolerance) * total[start:stop].flatten()
            sent.index_add_(0, places, shares.view(len(places), -1))
        return self._sent(sent.to(values[0].dtype).view(-1, *rest).movedim(0, -1))


class AumannShapleyOfTwo(LargerOfTwo):
    """The rule ``aumann-shapley`` for the larger of two quantities."""

    label: ClassVar[str] = AUMANN_SHAPLEY

    def _shares_of(
        self, x: Sequence[Tensor], r: Sequence[Tensor], top_x: Tensor, top_r: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        stacked = (single(torch.stack(list(side)).flatten(1)) for side in (x, r))
        shares = shares_along_the_line(*stacked, tie_tolerance(top_x.dtype)).to(top_x.dtype)
        to_first, to_second = shares.view(2, *top_x.shape)
        return to_first, to_second, difference(top_x, top_r)
