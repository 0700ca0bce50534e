"""Elementwise functions of several quantities that are neither sums nor products: where, comparisons, a**b.

The paper does not treat such functions. Each quantity gets its Shapley value in the game "take this quantity
at the input or at the reference",

    phi_i = sum over sets S of the others of w(S) (f(S and i at the input) - f(S at the input))
    w(S) = |S|! (n - |S| - 1)! / n!

found by evaluating f on all 2^n combinations (n is 2 to 4). This carries the rule of products
(:mod:`deeplift_core.rules.products`) over to any function: the rule is symmetric, gives nothing to a quantity
that did not change, and is exact in sum. A mask is a quantity like any other, 0 or 1: where a mask flips, the
mask gets the jump between the two values from which it chooses, less what these values changed themselves. A
gradient takes masks as constants and would leave that jump unexplained.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from math import factorial
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node
from deeplift_core.rules.differences import Noise, quotient
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.rule import NoRuleError, Rule, Sent, sum_to_shape
from deeplift_core.rules.values import PairValues, as_number

# No operation of torch has more arguments; 2^n evaluations of the function and of its derivative are needed.
_MOST = 4
_Coalition = frozenset[int]


class Interaction(Rule):
    """The Shapley values of an elementwise function of two to four quantities.

    Where a quantity's Delta is too small to divide by, its multiplier is the limit of phi / Delta: the mean
    of the derivatives at both ends with the same weights (0 for masks, and where there is no finite
    derivative).

    Raises
    ------
    NoRuleError
        If the function has one varying argument, or more than four.
    """

    label: ClassVar[str] = "interaction"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        if not 2 <= len(self.sources) <= _MOST:
            raise NoRuleError("combines too many quantities that depend on the input")

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """See the module's docstring."""
        fresh = self._by_sign(pair, m)
        coalitions = [
            frozenset(c) for n in range(len(self.sources) + 1) for c in combinations(self.sources, n)
        ]
        values = {coalition: self._at(pair, coalition) for coalition in coalitions}
        slopes = {coalition: self._slopes(pair, coalition) for coalition in coalitions}
        noise = Noise.of(values[frozenset()], values[frozenset(self.sources)])
        gains = self._gains(values)
        for source in self.sources:
            gain, limit = gains[source], torch.zeros_like(fresh)
            for weight, others in self._weighted(source):
                both = slopes[others][source] + slopes[others | {source}][source]
                limit = limit + weight / 2 * both
            delta = pair.delta(source)
            multiplier = torch.where(delta == 0, limit, quotient(gain, delta, limit, noise))
            shape = self.graph.nodes[source].shape
            yield source, Multipliers.same(sum_to_shape(fresh * multiplier, shape))

    def _gains(self, values: Mapping[_Coalition, Tensor]) -> dict[int, Tensor]:
        """Return Shapley values as the mean over the orders in which quantities change.

        Orders in which some combination has no finite value are left out. An example is 0 to a power that
        turns from positive to negative, while the base turns from 0 to another number: if the base changes
        first, all values are finite.
        """
        total = {source: torch.zeros_like(values[frozenset()]) for source in self.sources}
        count = torch.zeros_like(values[frozenset()])
        for order in permutations(self.sources):
            steps = [values[frozenset(order[:size])] for size in range(len(order) + 1)]
            finite = torch.stack([step.isfinite() for step in steps]).all(0)
            count = count + finite
            for source, before, after in zip(order, steps, steps[1:], strict=False):
                total[source] = total[source] + torch.where(finite, after - before, 0)
        return {source: gain / count for source, gain in total.items()}

    def _weighted(self, source: int) -> Iterator[tuple[float, _Coalition]]:
        others = [other for other in self.sources if other != source]
        n = len(self.sources)
        for size in range(n):
            for chosen in combinations(others, size):
                yield factorial(size) * factorial(n - size - 1) / factorial(n), frozenset(chosen)

    def _point(self, pair: PairValues, coalition: _Coalition) -> dict[int, Tensor]:
        """Return the coalition's quantities at the input and the others at the reference, in their dtypes."""
        point = {
            source: (pair.x if source in coalition else pair.reference)[source] for source in self.sources
        }
        dtypes = {source: self.graph.nodes[source].dtype for source in self.sources}
        return {
            s: value if dtypes[s].is_floating_point else value.to(dtypes[s]) for s, value in point.items()
        }

    def _at(self, pair: PairValues, coalition: _Coalition) -> Tensor:
        dtype = pair.x[self.node.index].dtype
        value: Tensor = as_number(self.evaluate(self._point(pair, coalition).__getitem__), dtype)
        return value

    def _slopes(self, pair: PairValues, coalition: _Coalition) -> dict[int, Tensor]:
        """Return derivatives with respect to each quantity, all in the output's shape."""
        with torch.enable_grad():
            point = {
                source: value.detach().expand(self.node.shape).clone()
                for source, value in self._point(pair, coalition).items()
            }
            smooth = [source for source, value in point.items() if value.is_floating_point()]
            for source in smooth:
                point[source].requires_grad_()
            output = self.evaluate(point.__getitem__)
            none = torch.zeros(self.node.shape, dtype=pair.x[self.node.index].dtype, device=output.device)
            found = dict.fromkeys(self.sources, none)
            if smooth and output.requires_grad:
                given = torch.autograd.grad(
                    output.sum(), [point[source] for source in smooth], allow_unused=True
                )
                found |= {
                    source: torch.where(grad.isfinite(), grad, 0)
                    for source, grad in zip(smooth, given, strict=True)
                    if grad is not None
                }
        return found
