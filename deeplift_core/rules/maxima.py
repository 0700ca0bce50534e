"""The rule of maxima named ``switch``, which is the default.

The paper leaves maxima open, and the original implementation sends the multiplier to the input's argmax only,
which breaks summation-to-delta. Here a maximum that rose (Delta y > 0) is explained by the position that is
the argmax of the input, and a maximum that fell by the position that was the argmax of the reference. That
position changed by at least Delta y and in the same direction, so that the multiplier Delta y / Delta x lies
in (0, 1] and the contributions add up to Delta y. If the reference ties at the input's argmax, this position
counts as the reference's argmax too. A maximum that did not change passes its multiplier on to the argmax if
input and reference share it. Of several ties the first position is the argmax
(:mod:`deeplift_core.rules.ties`), so that a tie never counts twice.

The other rule of maxima is :mod:`deeplift_core.rules.aumann_shapley`. Both know from
:mod:`deeplift_core.rules.windows` which positions a maximum chooses from.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node
from deeplift_core.rule_names import MAXIMUM_RULES
from deeplift_core.rules.differences import UNITS, where_positive
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule, Sent, permuted_back
from deeplift_core.rules.values import PairValues
from deeplift_core.rules.windows import WINDOWS, Windows, windows_of

# The names of the rules of maxima; the first is the default.
SWITCH, AUMANN_SHAPLEY = MAXIMUM_RULES


class Routes(NamedTuple):
    """The positions, among those [..., M] of the source, that get the multipliers of maxima [..., W].

    Attributes
    ----------
    at_x, at_r : int64 Tensor [..., W]
        Positions of the maxima of the input and of the reference.
    to_x, to_r : Tensor [..., W]
        Factor of the multiplier that goes to each of these positions; one of the two is 0.
    delta : Tensor [..., W]
        Difference-from-reference of the maxima.
    """

    at_x: Tensor
    at_r: Tensor
    to_x: Tensor
    to_r: Tensor
    delta: Tensor

    def send(self, m: Multipliers, to: Tensor) -> Tensor:
        """Return the multipliers of the positions.

        Parameters
        ----------
        m : Multipliers
            The multipliers of the maxima [..., W].
        to : Tensor [..., M]
            Any tensor with the shape, the memory layout and the dtype of the result.
        """
        total = m.by_sign(self.delta)
        # In bfloat16 the kernel would convert everything to float32 and back at each addition.
        dtype = torch.promote_types(to.dtype, torch.float32)
        sent = torch.zeros_like(to, dtype=dtype)
        for at, share in ((self.at_x, self.to_x), (self.at_r, self.to_r)):
            _scatter_add(sent, at, (share * total).to(dtype))
        return sent.to(to.dtype)


def _in_memory(value: Tensor) -> list[int]:
    """Return the axes from the longest stride to the shortest."""
    return sorted(range(value.dim()), key=value.stride().__getitem__, reverse=True)


def _scatter_add(total: Tensor, at: Tensor, value: Tensor) -> None:
    """Add values [..., W] to a total [..., M] at positions [..., W], in the order of the total's memory."""
    order = _in_memory(total)
    total.permute(order).scatter_add_(order.index(at.dim() - 1), at.permute(order), value.permute(order))


def _gathered(value: Tensor, at: Tensor) -> Tensor:
    """Return values [..., M] at positions [..., W] of the last axis, in the positions' memory layout.

    The kernel would lay the result out in rows. Whatever then combines the result with tensors of another
    layout would take many times as long.
    """
    order = _in_memory(at)
    found = value.permute(order).gather(order.index(at.dim() - 1), at.permute(order))
    return permuted_back(found, order)


def routes_of_maxima(
    x: Tensor,
    r: Tensor,
    top_x: Tensor,
    top_r: Tensor,
    at_x: Tensor,
    at_r: Tensor,
    *,
    rectified: bool = False,
) -> Routes:
    """Return the routes of the multipliers by the rule ``switch``, see the module's docstring.

    Parameters
    ----------
    x, r : Tensor [..., M]
        Values from which the maxima choose, at the input and at the reference.
    top_x, top_r : Tensor [..., W]
        The maxima.
    at_x, at_r : int64 Tensor [..., W]
        Positions of the maxima.
    rectified : bool
        The argument of :func:`shares_of_maxima`.
    """
    old, new = _gathered(r, at_x), _gathered(x, at_r)
    to_x, to_r, delta = shares_of_maxima(top_x, top_r, old, new, rectified=rectified)
    return Routes(at_x, at_r, to_x, to_r, delta)


def shares_of_maxima(
    top_x: Tensor, top_r: Tensor, old: Tensor, new: Tensor, *, rectified: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors of the multipliers for the maxima's positions.

    Parameters
    ----------
    top_x, top_r : Tensor
        The maxima.
    old : Tensor
        The reference's values where the input has its maxima.
    new : Tensor
        The input's values where the reference has its maxima.
    rectified : bool
        True if the maxima are maxima of ReLU of the values, and the multipliers are those of ReLU's argument
        (:mod:`deeplift_core.passes.relu_before_pool`).

    Returns
    -------
    to_x, to_r, delta : Tensor
        See :class:`Routes`.
    """
    if rectified:
        # -1 is below all maxima: a maximum of 0 at the input takes nothing, even at the reference's argmax.
        old = where_positive(top_x, old).sub_(top_x.clone().le_(0))
    delta = top_x - top_r
    # The reference's maximum minus its value at the input's argmax: 0 if both have the same argmax.
    below = top_r - old
    # Both differences count as 0 within rounding, as in `difference`, but with fewer passes over memory.
    size, rounding = top_r if rectified else top_r.abs(), UNITS * torch.finfo(delta.dtype).eps
    delta = where_positive(delta.abs().sub_(size, alpha=rounding), delta)
    below = where_positive(below.sub(size, alpha=rounding), below)
    rose = where_positive(delta, delta / (top_x - old))
    # At a shared argmax a maximum that did not rise fell by Delta x = Delta y, or stayed: the factor is 1.
    shared = delta.clamp(min=0).add_(below).eq_(0)
    fell = where_positive(torch.minimum(-delta, below), delta / (new - top_r))
    return rose.add_(shared), fell, delta


class Maximum(Rule):
    """Base class of all rules of maxima; a maximum starts afresh, so that each source gets one multiplier."""

    mixing = None


class MaximumOfWindows(Maximum):
    """Base class of the rules of maxima over windows of one source.

    Parameters
    ----------
    graph, node
        The arguments of every rule.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self.windows: Windows = windows_of(graph, node)
        self.source = self.windows.source
        self.sources = (self.source,)

    def _values(self, pair: PairValues) -> list[Tensor]:
        """Return values [..., M] of the source at the input and at the reference."""
        return [self.windows.flatten(side[self.source]) for side in (pair.x, pair.reference)]

    def _maxima(self, pair: PairValues) -> list[Tensor]:
        """Return the maxima [..., W] at the input and at the reference."""
        return [self.windows.flat_maxima(side[self.node.index]) for side in (pair.x, pair.reference)]

    def _sent(self, multipliers: Tensor) -> Sent:
        """Return the result of :meth:`backward` for multipliers [..., M]."""
        return [(self.source, Multipliers.same(self.windows.unflatten(multipliers)))]


@rule_for(*WINDOWS, variant=SWITCH)
class Switch(MaximumOfWindows):
    """The rule ``switch``; see the module's docstring."""

    label: ClassVar[str] = SWITCH

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Send each maximum's multiplier to the argmax of the input or to that of the reference."""
        like = self.windows.flatten(pair.x[self.source])
        return self._sent(
            pair.memoised(self.node.index, self._routes).send(m.each(self.windows.flat_maxima), like)
        )

    def _routes(self, pair: PairValues) -> Routes:
        values, maxima = self._values(pair), self._maxima(pair)
        positions = map(self.windows.first_of_largest, values, maxima)
        return routes_of_maxima(*values, *maxima, *positions)
