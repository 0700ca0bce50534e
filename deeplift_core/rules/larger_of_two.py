"""The larger, or the smaller, of two quantities: ``maximum(a, b)`` and ``where(a > b, a, b)``.

This is a maximum over an axis of two, as maxout has it, and has the same two rules. It does not get the
Shapley value of the two quantities, which would split a rise of the larger one with the other: thus
``torch.maximum(a, b)`` and ``torch.stack([a, b]).amax(0)`` score alike.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.rules.differences import where_positive
from deeplift_core.rules.maxima import SWITCH, Maximum, shares_of_maxima
from deeplift_core.rules.multipliers import Multipliers, scaled_multipliers
from deeplift_core.rules.rule import Sent, sum_to_shape
from deeplift_core.rules.ties import tie_threshold, tie_threshold_of_rectified
from deeplift_core.rules.values import PairValues


def shares_of_two(
    x: Sequence[Tensor], r: Sequence[Tensor], top_x: Tensor, top_r: Tensor, *, rectified: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors of the multiplier for the first and second of two values by the rule ``switch``.

    This is :func:`deeplift_core.rules.maxima.routes_of_maxima` for windows of two, without positions.

    Parameters
    ----------
    x, r : sequence of two Tensors
        First and second values, at the input and at the reference. The second one is the argmax only if the
        first one is no tie.
    top_x, top_r : Tensor
        The maxima.
    rectified : bool
        The argument of :func:`deeplift_core.rules.maxima.shares_of_maxima`.

    Returns
    -------
    to_first, to_second, delta : Tensor
        ``delta`` is the maxima's difference-from-reference.
    """
    threshold = tie_threshold_of_rectified if rectified else tie_threshold
    # The numbers 0 and 1: whether the second value is the argmax.
    second_x = threshold(top_x).sub_(x[0]).gt_(0)
    second_r = threshold(top_r).sub_(r[0]).gt_(0)
    old, new = _chosen(second_x, *r), _chosen(second_r, *x)
    to_x, to_r, delta = shares_of_maxima(top_x, top_r, old, new, rectified=rectified)
    to_second = where_positive(second_x, to_x).add_(where_positive(second_r, to_r))
    return to_x.add_(to_r).sub_(to_second), to_second, delta


def _chosen(second: Tensor, first_value: Tensor, second_value: Tensor) -> Tensor:
    """Return the second value where ``second`` is 1, and the first where it is 0."""
    return where_positive(1 - second, first_value).add_(where_positive(second, second_value))


class LargerOfTwo(Maximum):
    """Base class of the rules of the larger of two quantities.

    Parameters
    ----------
    graph, node
        The arguments of every rule.
    left, right : int
        The nodes of the two quantities.
    sign : {1, -1}
        -1 for the smaller of two, which is the larger of their negatives.
    """

    def __init__(self, graph: Graph, node: Node, left: int, right: int, sign: int = 1) -> None:
        super().__init__(graph, node)
        self.sources = (left, right)
        self.sign = sign

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Send to each of the two its share of the multiplier."""
        *shares, delta = pair.memoised(self.node.index, self._shares)
        total = self.sign * scaled_multipliers(m, float(self.sign)).by_sign(delta)
        for source, share in zip(self.sources, shares, strict=True):
            yield source, Multipliers.same(sum_to_shape(share * total, self.graph.nodes[source].shape))

    def _shares(self, pair: PairValues) -> tuple[Tensor, Tensor, Tensor]:
        sides = pair.x, pair.reference
        x, r = ([self.sign * side[s].expand(self.node.shape) for s in self.sources] for side in sides)
        return self._shares_of(x, r, *(self.sign * side[self.node.index] for side in sides))

    @abstractmethod
    def _shares_of(
        self, x: Sequence[Tensor], r: Sequence[Tensor], top_x: Tensor, top_r: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return shares as :func:`shares_of_two` does, by this rule."""


class SwitchOfTwo(LargerOfTwo):
    """The rule ``switch`` (:mod:`deeplift_core.rules.maxima`) for two quantities."""

    label: ClassVar[str] = SWITCH

    def _shares_of(
        self, x: Sequence[Tensor], r: Sequence[Tensor], top_x: Tensor, top_r: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return shares_of_two(x, r, top_x, top_r)


def larger_of_two(graph: Graph, node: Node) -> SwitchOfTwo | None:
    """Return the rule if ``node`` is ``maximum(a, b)`` or ``where(a > b, a, b)``, else None."""
    if node.op_name == "maximum":
        left, right = node.args
        return SwitchOfTwo(graph, node, left.index, right.index)
    if node.op_name != "where" or not all(isinstance(value, Ref) for value in node.args):
        return None
    mask, chosen, other = (value.index for value in node.args)
    sign = _COMPARISONS.get(graph.nodes[mask].op_name)
    compared = graph.nodes[mask].args
    if sign is None or not all(isinstance(value, Ref) for value in compared):
        return None
    order = [value.index for value in compared]
    if order == [other, chosen]:
        sign = -sign
    elif order != [chosen, other]:
        return None
    return SwitchOfTwo(graph, node, chosen, other, sign)


# 1 or -1 for each comparison: the first quantity is the larger one (1) or the smaller one (-1) if the
# comparison holds.
_COMPARISONS = {"gt": 1, "ge": 1, "lt": -1, "le": -1}
