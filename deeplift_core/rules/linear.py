"""Linear rule (paper, section 3.5.1): operations that mix inputs with constant weights.

P of the output takes positive weights of positive differences and negative weights of negative ones,

    P = W+ Delta+ + W- Delta-        Q = W- Delta+ + W+ Delta-

split by the sign of each input's whole Delta. The multiplier of an input is therefore

    Delta > 0: W+^T m+ + W-^T m-     Delta < 0: W-^T m+ + W+^T m-     Delta = 0: W^T (m+ + m-) / 2

With a = (m+ + m-)/2 and d = (m+ - m-)/2 all three are W^T a + sign(Delta) |W|^T d, which is how it is
computed here: two transposed products, and only one where m+ and m- do not differ.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from deeplift_core.engine.kernels import input_gradient
from deeplift_core.graph.graph import Graph, Node, Ref
from deeplift_core.passes import sequence_convolution
from deeplift_core.passes.large_dense import product, weights_first
from deeplift_core.passes.short_sums import with_short_sums
from deeplift_core.rules.base import Multipliers, NoRuleError, Parts, Rule, Sent, Walk, only_varying
from deeplift_core.rules.products import ProductOfMatrices
from deeplift_core.rules.registry import rule_for


class LinearRule(Rule):
    """Any product of one varying input with constant weights.

    Attributes
    ----------
    dense : bool
        True for a matrix product with one row per example; False for convolutions, position-wise
        dense layers included (convolutions of width 1). The `genomics-default` preset asks.
    """

    label: ClassVar[str] = "linear"
    dense: bool
    source: int
    weight: Tensor

    @property
    def saved(self) -> set[int]:
        """The sign of the input's Delta decides; the output's value does not matter."""
        return {self.source}

    def saved_for(self, *, split: bool, parts: bool) -> set[int]:
        """Not even that where m+ and m- are the same and nobody asks for P and Q."""
        return self.saved if split or parts else set()

    def splits(self, given: bool) -> bool:
        """Each source gets one multiplier."""
        del given
        return False

    @abstractmethod
    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """The operation without its bias, with other weights or values."""

    def apply_to_both(self, weight: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
        """:meth:`apply` to P and to Q."""
        return self.apply(weight, parts.positive), self.apply(weight, parts.negative)

    @abstractmethod
    def transpose(self, m: Tensor, *, absolute: bool = False) -> Tensor:
        """The adjoint of :meth:`apply` with the weights, or with their absolute values."""

    @cached_property
    def _absolute(self) -> Tensor:
        return self.weight.abs()

    @cached_property
    def _signed(self) -> tuple[Tensor, Tensor]:
        return self.weight.clamp(min=0), self.weight.clamp(max=0)

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """See the module's docstring."""
        if not m.split:
            return [(self.source, Multipliers.same(self.transpose(m.positive)))]
        mean, half = (m.positive + m.negative) / 2, (m.positive - m.negative) / 2
        sign = torch.sign(walk.delta(self.source))
        total = self.transpose(mean) + sign * self.transpose(half, absolute=True)
        return [(self.source, Multipliers.same(total))]

    def parts(self, walk: Walk) -> Parts:
        """Sums of like-signed terms, so that a part with no term is exactly 0."""
        delta = Parts.of(walk.delta(self.source))
        (up_rise, up_fall), (down_rise, down_fall) = (self.apply_to_both(w, delta) for w in self._signed)
        return Parts(up_rise + down_fall, down_rise + up_fall)


@rule_for(torch.ops.aten.convolution.default)
class Convolution(LinearRule):
    """Convolution of any dimension: stride, padding, dilation, groups, transposed."""

    dense = False

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self.source = only_varying(node, 0)
        self.weight = node.args[1]
        self._settings = node.args[3:]
        self._shape = graph.nodes[self.source].shape

    @cached_property
    def call(self) -> Node | None:
        """One that rounds less, where there are very many terms."""
        return with_short_sums(self.node)

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Convolve without the bias."""
        assert self.node.op is not None
        result: Tensor = self.node.op(value, weight, None, *self._settings)
        return result

    def transpose(self, m: Tensor, *, absolute: bool = False) -> Tensor:
        """By what was prepared for it the first time."""
        return self._absolute_adjoint(m) if absolute else self._adjoint(m)

    @cached_property
    def _adjoint(self) -> Callable[[Tensor], Tensor]:
        return self._adjoint_of(self.weight)

    @cached_property
    def _absolute_adjoint(self) -> Callable[[Tensor], Tensor]:
        return self._adjoint_of(self._absolute)

    def _adjoint_of(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        if self.node.op is sequence_convolution.convolution:
            return sequence_convolution.adjoint_of(weight, self._shape, self._settings)

        in_rows = torch.empty(self._shape, device="meta").stride()
        return lambda m: input_gradient(m, weight, self._shape, in_rows, self._settings)


@rule_for(
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.baddbmm.default,
)
def matrix_product(graph: Graph, node: Node) -> Rule:
    """Linear with one constant factor; a product of two quantities where both depend on the input."""
    both = sum(isinstance(factor, Ref) for factor in node.args) > 1
    return ProductOfMatrices(graph, node) if both else MatrixProduct(graph, node)


class MatrixProduct(LinearRule):
    """(Batched) matrix product with one constant factor, and a constant bias where there is one.

    A product is dense "on features" when it has one row for each example of the batch; position-wise
    dense layers record as one product over batch x positions.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        first = 1 if node.op_name in ("addmm", "baddbmm") else 0
        left, right = node.args[first : first + 2]
        if len(self.sources) != 1 or isinstance(left, Ref) == isinstance(right, Ref):
            raise NoRuleError("both factors, or the bias, depend on the input")
        self._on_left = isinstance(left, Ref)
        self.source = self.sources[0]
        weight = right if self._on_left else left
        self.weight = weight * node.kwargs["alpha"] if node.kwargs.get("alpha", 1) != 1 else weight
        shape = graph.nodes[self.source].shape
        rows = shape.numel() // shape[-1 if self._on_left else -2]
        self.dense = rows == graph.batch_size

    @property
    def call(self) -> Node | None:
        """The other way round, where that is faster."""
        return weights_first(self.node)

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Multiply on the side where the varying factor stands."""
        return product(value, weight) if self._on_left else weight @ value

    def apply_to_both(self, weight: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
        """In one product: with few rows, reading the weights from memory is what takes the time."""
        axis = -2 if self._on_left else -1
        of_rise, of_fall = self.apply(weight, torch.cat(parts, axis)).chunk(2, axis)
        return of_rise, of_fall

    def transpose(self, m: Tensor, *, absolute: bool = False) -> Tensor:
        """Multiply with the transposed constant factor."""
        weight = self._absolute if absolute else self.weight
        return product(m, weight.mT) if self._on_left else weight.mT @ m
