"""Linear rule (paper, section 3.5.1): operations that mix inputs with constant weights.

P of the output takes positive weights of positive differences and negative weights of negative ones,

    P = W+ Delta+ + W- Delta-        Q = W- Delta+ + W+ Delta-

split by the sign of each input's whole Delta. The multiplier of an input is therefore

    Delta > 0: W+^T m+ + W-^T m-     Delta < 0: W-^T m+ + W+^T m-     Delta = 0: W^T (m+ + m-) / 2
"""

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.products import ProductOfMatrices
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import NoRuleError, Rule, Sent, only_varying
from deeplift_core.rules.values import PairValues

aten = torch.ops.aten


class LinearRule(Rule):
    """Product of one varying input with constant weights.

    Attributes
    ----------
    source : int
        The node that holds the input.
    weight : Tensor
    dense : bool
        True for a matrix product with one row for each example; False for convolutions, position-wise dense
        layers included (convolutions of width 1). The preset ``genomics-default`` asks.
    """

    label: ClassVar[str] = "linear"
    dense: bool
    source: int
    weight: Tensor

    @property
    def mixing(self) -> str:  # type: ignore[override]
        """A dense layer or a convolution."""
        return "dense" if self.dense else "convolution"

    @abstractmethod
    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Run the operation without its bias, with these weights and values."""

    @abstractmethod
    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Apply the adjoint of :meth:`apply` with these weights."""

    @cached_property
    def signed_weights(self) -> tuple[Tensor, Tensor]:
        """W+ and W-."""
        return self.weight.clamp(min=0), self.weight.clamp(max=0)

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Apply the formula in the module's docstring; if m+ equals m-, its three cases are equal."""
        if not m.split:
            return [(self.source, Multipliers.same(self.transpose(self.weight, m.positive)))]
        above, below = self.signed_weights
        delta = pair.delta(self.source)
        rose = self.transpose(above, m.positive) + self.transpose(below, m.negative)
        fell = self.transpose(below, m.positive) + self.transpose(above, m.negative)
        stayed = self.transpose(self.weight, (m.positive + m.negative) / 2)
        sent = torch.where(delta > 0, rose, torch.where(delta < 0, fell, stayed))
        return [(self.source, Multipliers.same(sent))]

    def parts(self, pair: PairValues) -> Parts:
        """Return the two sums of like-signed terms, so that a part without terms is exactly 0."""
        above, below = self.signed_weights
        rise, fall = Parts.of(pair.delta(self.source))
        return Parts(
            self.apply(above, rise) + self.apply(below, fall),
            self.apply(below, rise) + self.apply(above, fall),
        )


def convolution_adjoint(
    m: Tensor, weight: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], settings: tuple[Any, ...]
) -> Tensor:
    """Apply the adjoint of a convolution, by torch's kernel for the gradient of its input.

    Parameters
    ----------
    m : Tensor
        Multipliers of the convolution's result.
    weight : Tensor
    shape, strides : tuple of int
        Shape and strides of the convolution's input, whose numbers the kernel does not read. An input with
        another order in memory than the result would be copied first.
    settings : tuple
        The arguments of ``aten.convolution`` after the bias.
    """
    shape_only = m.new_empty_strided(shape, strides)
    grads: tuple[Tensor, ...] = aten.convolution_backward.default(
        m, shape_only, weight, None, *settings, [True, False, False]
    )
    return grads[0]


@rule_for(torch.ops.aten.convolution.default)
class Convolution(LinearRule):
    """Convolution of any dimension: stride, padding, dilation, groups, transposed."""

    dense = False

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self.source = only_varying(node, 0)
        self.weight = node.args[1]
        self.settings = node.args[3:]
        self.shape = graph.nodes[self.source].shape

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Convolve without the bias."""
        result: Tensor = aten.convolution.default(value, weight, None, *self.settings)
        return result

    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Convolve with the kernel turned round."""
        strides = torch.empty(self.shape, device="meta").stride()
        return convolution_adjoint(m, weight, self.shape, strides, self.settings)


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

    A product is dense "on features" if it has one row for each example of the batch; a position-wise dense
    layer is recorded as one product over batch x positions.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        first = 1 if node.op_name in ("addmm", "baddbmm") else 0
        left, right = node.args[first : first + 2]
        if len(self.sources) != 1 or isinstance(left, Ref) == isinstance(right, Ref):
            raise NoRuleError("both factors, or the bias, depend on the input")
        self.on_left = isinstance(left, Ref)
        self.source = self.sources[0]
        weight = right if self.on_left else left
        self.weight = weight * node.kwargs["alpha"] if node.kwargs.get("alpha", 1) != 1 else weight
        shape = graph.nodes[self.source].shape
        rows = shape.numel() // shape[-1 if self.on_left else -2]
        self.dense = rows == graph.batch_size

    def apply(self, weight: Tensor, value: Tensor) -> Tensor:
        """Multiply on the side where the varying factor stands."""
        return value @ weight if self.on_left else weight @ value

    def transpose(self, weight: Tensor, m: Tensor) -> Tensor:
        """Multiply with the transposed constant factor."""
        return m @ weight.mT if self.on_left else weight.mT @ m
