"""Max pools in fewer passes over memory.

- The positions of the maxima are found in the forward pass (:class:`PositionsInForwardPass`), so that those
  of the input are found a single time for all references, and slices of the values replace gathered windows.
- Windows of two neighbours need no positions (:class:`MaxOfPairs`). With positions, compiled code would read
  and add one number after the other.

benchmarks/passes.py measured the pass on a CPU under the rule ``rescale``, together with
:mod:`deeplift_core.passes.relu_before_pool`, which needs this pass: eager, the two take 46 % off the time of
Basset, 33 % off DeepSEA and 29 % off a small Enformer; compiled, they take 53 % off Basset.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_core.assignment.plan import Call, Plan
from deeplift_core.graph import Node, Ref
from deeplift_core.passes.thresholds import SLICED_WINDOW
from deeplift_core.rules.larger_of_two import shares_of_two
from deeplift_core.rules.maxima import Routes, Switch, routes_of_maxima
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.rule import Sent, recast
from deeplift_core.rules.ties import below_tie, below_tie_of_rectified
from deeplift_core.rules.values import PairValues
from deeplift_core.rules.windows import PoolWindows, RegularWindows

ORDER = 60

_PAIRS = RegularWindows(length=(1, 2), stride=(1, 2), padding=(0, 0), dilation=(1, 1))


class FastMaxPool(Switch):
    """Base class of the fast variants.

    Attributes
    ----------
    rectified : bool
        True if ``source`` holds the argument of a ReLU, whose values the pool reads.
    """

    rectified: bool
    windows: PoolWindows

    def _called(self, node: Node, value: Tensor, *settings: Any, **named: Any) -> tuple[Tensor, ...]:
        """Return the maxima and their positions from the kernel, which takes the first of equal values."""
        assert node.op is not None
        maxima, positions = node.op(value.reshape(self.windows.shape), *settings, **named)
        return maxima.relu_() if self.rectified else maxima, positions

    def call(self) -> Call:
        """Return the pool's call, with a ReLU before the pool applied to the maxima instead of all values."""
        node = self.graph.nodes[self.windows.kernel]
        return Call(partial(self._called, node), (Ref(self.source), *node.args[1:]), node.kwargs)

    def _sent(self, multipliers: Tensor) -> Sent:
        """Reshape multipliers to the source, which may lack axes of length 1 that the pool reads."""
        shape = self.graph.nodes[self.source].shape
        return [(self.source, Multipliers.same(multipliers.reshape(shape)))]


class PositionsInForwardPass(FastMaxPool):
    """Positions of the maxima found in the forward pass, in place of those that the kernel returns.

    The kernel's own argmax does not count values within rounding of the maximum as ties.
    """

    def _called(self, node: Node, value: Tensor, *settings: Any, **named: Any) -> tuple[Tensor, ...]:
        maxima, positions = super()._called(node, value, *settings, **named)
        value, pool = value.reshape(self.windows.shape), self.windows
        if torch.finfo(value.dtype).eps > torch.finfo(torch.float32).eps:
            return maxima, positions  # 8 eps of float32 are less than one step between two such numbers
        if pool.regular is not None and 1 < math.prod(pool.regular.length) <= SLICED_WINDOW:
            below = below_tie_of_rectified if self.rectified else below_tie
            return maxima, _first_by_slices(value, below(maxima), pool, pool.regular)
        found = pool.first_of_largest(pool.flatten(value), pool.flat_maxima(maxima))
        return maxima, found.reshape(maxima.shape)

    def _routes(self, pair: PairValues) -> Routes:
        kernel = self.windows.kernel
        positions = (self.windows.flat_maxima(side[kernel][1]) for side in (pair.x, pair.reference))
        # If ReLU makes a maximum 0, any position of the window may count as its position: the multiplier is
        # 0.
        return routes_of_maxima(
            *self._values(pair), *self._maxima(pair), *positions, rectified=self.rectified
        )


def _first_by_slices(
    value: Tensor, below: Callable[[Tensor], Tensor], pool: PoolWindows, regular: RegularWindows
) -> Tensor:
    """Return positions along the joined axes of the first values that tie with the maxima.

    A slice holds the values at one offset of all windows. In values that lie channels last in memory, as
    those of convolutions do, slices are as fast to read as rows.

    Parameters
    ----------
    value : Tensor [..., *size]
    below : Callable
        The function of :func:`deeplift_core.rules.ties.below_tie` for the maxima [..., *count].
    pool : PoolWindows
    regular : RegularWindows
        The regular windows of ``pool``.

    Returns
    -------
    int64 Tensor [..., *count]
    """
    axes = range(len(pool.size))
    pitch = [math.prod(pool.size[axis + 1 :]) for axis in axes]
    others = [slice(None)] * (value.dim() - len(axes))
    padded = _padded(value, pool, regular)
    slices: list[Tensor] = []
    distance: list[int] = []  # distances from the start of each window
    for offset in product(*map(range, regular.length)):
        at = [offset[axis] * regular.dilation[axis] for axis in axes]
        ends = [at[axis] + (pool.count[axis] - 1) * regular.stride[axis] + 1 for axis in axes]
        places = [slice(at[axis], ends[axis], regular.stride[axis]) for axis in axes]
        slices.append(padded[(*others, *places)])
        distance.append(sum(at[axis] * pitch[axis] for axis in axes))
    start = torch.zeros((), dtype=torch.int64, device=value.device)
    for axis in axes:
        first = torch.arange(pool.count[axis], device=value.device) * regular.stride[axis]
        start = start.unsqueeze(-1) + (first - regular.padding[axis]) * pitch[axis]
    # The number of the offset with the first tie is found from the last offset to the first: the number is 0
    # if the value at an offset is a tie, and otherwise one more than at the offset that follows. Of all
    # types, floating-point numbers take the least time, both eager and compiled, and so few offsets are exact
    # in each of them.
    flags = map(below, reversed(slices[:-1]))
    first_tie = next(flags)
    for flag in flags:
        first_tie.add_(1).mul_(flag)
    positions = _times(first_tie.to(torch.int64), distance).add_(start)
    # If all values of a window are -inf or NaN, padding was counted as a tie.
    return positions if padded is value else positions.clamp_(0, math.prod(pool.size) - 1)


def _times(offset: Tensor, distance: list[int]) -> Tensor:
    """Return the distance at each offset."""
    step = distance[1] if len(distance) > 1 else 1
    if distance == [step * number for number in range(len(distance))]:
        return offset if step == 1 else offset.mul_(step)
    return torch.tensor(distance, device=offset.device)[offset]


def _padded(value: Tensor, pool: PoolWindows, regular: RegularWindows) -> Tensor:
    """Return the values padded with -inf as far as windows reach; the same tensor if none reaches out."""
    pads: list[int] = []
    for axis in reversed(range(len(pool.size))):
        length, stride, padding, dilation = (setting[axis] for setting in regular)
        end = (pool.count[axis] - 1) * stride - padding + (length - 1) * dilation + 1
        pads += [padding, max(0, end - pool.size[axis])]
    return F.pad(value, pads, value=-torch.inf) if any(pads) else value


class MaxOfPairs(FastMaxPool):
    """Windows of two neighbours along the last axis that do not overlap, without positions.

    With positions, compiled code would read and add one number after the other.
    """

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Send each maximum's multiplier to the first and to the second of its window."""
        *shares, delta = pair.memoised(self.node.index, self._shares)
        total = m.by_sign(delta)
        sent = torch.zeros_like(pair.x[self.source].reshape(self.windows.shape))
        for half, share in zip(self._halves(sent), shares, strict=True):
            half.copy_(share * total)
        return self._sent(sent)

    def _shares(self, pair: PairValues) -> tuple[Tensor, Tensor, Tensor]:
        # The values are copied, since torch's threshold kernel is many times slower on every second value of
        # a row.
        values = (side[self.source].reshape(self.windows.shape) for side in (pair.x, pair.reference))
        x, r = ([half.clone() for half in self._halves(value)] for value in values)
        maxima = pair.x[self.node.index], pair.reference[self.node.index]
        return shares_of_two(x, r, *maxima, rectified=self.rectified)

    def _halves(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first of each pair, and the second."""
        end = 2 * self.node.shape[-1]
        return value[..., 0:end:2], value[..., 1:end:2]


def apply(plan: Plan) -> Plan:
    """Compute every max pool under the rule ``switch`` in one of these ways."""
    pools = {
        index: recast(rule, _class_of(rule.windows), rectified=False)
        for index, rule in plan.rules.items()
        if type(rule) is Switch and isinstance(rule.windows, PoolWindows)
    }
    return plan.with_rules(pools, {pool.windows.kernel: pool.call() for pool in pools.values()})


def _class_of(windows: PoolWindows) -> type[FastMaxPool]:
    return MaxOfPairs if windows.regular == _PAIRS else PositionsInForwardPass
