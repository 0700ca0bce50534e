"""Products of quantities that all depend on the input: gates, attention, squeeze-excite.

The paper does not treat such products. Each factor gets its Shapley value in the game "take this factor at
the input or at the reference": for two factors

    Delta(ab) = Delta a (b + b0)/2 + Delta b (a + a0)/2

The Shapley value is the only choice that is symmetric in the factors, gives nothing to a factor that did not
change, is additive (so that it carries over to matrix products, which are sums of such products), and keeps
summation-to-delta. Layer-wise relevance propagation for LSTMs and transformers takes the gate as a constant
and explains none of the gate's own Delta; gradients of the product break summation-to-delta.
"""

from collections.abc import Iterable
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import NoRuleError, Rule, Sent, sum_to_shape
from deeplift_core.rules.values import PairValues


class _Bilinear(Rule):
    """A product of two quantities, ``left`` and ``right``, of whatever kind."""

    left: int
    right: int

    @staticmethod
    def _mean(pair: PairValues, index: int) -> Tensor:
        mean: Tensor = (pair.x[index] + pair.reference[index]) / 2
        return mean


class Product(_Bilinear):
    """Product of two quantities, element by element (gates, squeeze-excite).

    The multiplier of each factor is the mean of the other factor over input and reference.

    Raises
    ------
    NoRuleError
        If the node is not a product of two different quantities.
    """

    label: ClassVar[str] = "product"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        if node.op_name != "mul" or len(self.sources) != 2:
            raise NoRuleError("not a product of two quantities")
        self.left, self.right = self.sources

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Multiply by the mean of the other factor."""
        fresh = self._by_sign(pair, m)
        for source, other in ((self.left, self.right), (self.right, self.left)):
            shape = self.graph.nodes[source].shape
            yield source, Multipliers.same(sum_to_shape(fresh * self._mean(pair, other), shape))


class ProductOfMatrices(_Bilinear):
    """(Batched) matrix product of two quantities that both depend on the input (attention).

    Delta(AB) = Delta A (B + B0)/2 + (A + A0)/2 Delta B, the sum over the products of elements.

    Raises
    ------
    NoRuleError
        If one of the factors is constant.
    """

    label: ClassVar[str] = "matrix product"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        left, right = node.args[:2]
        if not (isinstance(left, Ref) and isinstance(right, Ref)):
            raise NoRuleError("not a product of two quantities")
        self.left, self.right = left.index, right.index

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Multiply by the transposed mean of the other matrix."""
        fresh = self._by_sign(pair, m)
        yield self.left, Multipliers.same(fresh @ self._mean(pair, self.right).mT)
        yield self.right, Multipliers.same(self._mean(pair, self.left).mT @ fresh)


def _along_an_axis(node: Node) -> str:
    axis = node.args[1] if len(node.args) > 1 else None
    return "" if isinstance(axis, int) else "it multiplies over all axes, the rows' among them"


@rule_for(torch.ops.aten.prod, accepts=_along_an_axis)
class ProductOverAxis(Rule):
    """Product of all elements along an axis (noisy-or, for instance).

    Each of the n factors gets its Shapley value. Since a product is multilinear, the multiplier of a factor
    is the mean of the product of the other factors over the straight line from reference to input,

        m_i = integral from 0 to 1 of prod over j != i of (r_j + t Delta_j) dt

    The integrand is a polynomial of degree n - 1, which Gauss-Legendre quadrature with n / 2 points
    integrates exactly.
    """

    label: ClassVar[str] = "product"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self._source = self.sources[0]
        shape = graph.nodes[self._source].shape
        self._axis = node.args[1] % len(shape)
        self._kept = bool(node.args[2]) if len(node.args) > 2 else bool(node.kwargs.get("keepdim", False))
        self._quadrature = gauss_legendre(max(1, ceil(shape[self._axis] / 2)))

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Multiply by the mean over the straight line."""
        fresh = self._by_sign(pair, m)
        fresh = fresh if self._kept else fresh.unsqueeze(self._axis)
        x, r = pair.x[self._source], pair.reference[self._source]
        mean = _total(weight * self._others(r + at * (x - r)) for at, weight in self._quadrature)
        return [(self._source, Multipliers.same(fresh * mean))]

    def _others(self, value: Tensor) -> Tensor:
        """Return for each element the product of the others, without a division, since elements may be 0."""
        one = torch.ones_like(value.narrow(self._axis, 0, 1))
        before = torch.cat([one, value.narrow(self._axis, 0, value.shape[self._axis] - 1)], self._axis)
        after = torch.cat([value.narrow(self._axis, 1, value.shape[self._axis] - 1), one], self._axis)
        return before.cumprod(self._axis) * after.flip(self._axis).cumprod(self._axis).flip(self._axis)


def gauss_legendre(count: int) -> list[tuple[float, float]]:
    """Return points between 0 and 1 with weights that are exact for polynomials of degree 2 count - 1.

    The points follow from the eigenvalues of the Jacobi matrix of the Legendre polynomials (Golub and Welsch,
    1969, Mathematics of Computation 23).
    """
    k = torch.arange(1, count, dtype=torch.float64)
    beside = k / (4 * k.square() - 1).sqrt()
    points, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return list(zip(((points + 1) / 2).tolist(), vectors[0].square().tolist(), strict=True))


def _total(terms: Iterable[Tensor]) -> Tensor:
    first, *rest = terms
    return sum(rest, start=first)
