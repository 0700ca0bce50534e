"""Structural operations: linear maps with weights >= 0, which move, copy, sum or average values.

A weight that is not negative never turns a rise into a fall, so that these operations act on P, Q, m+ and m-
separately (paper, section 3.5.1, with W- = 0). One rule serves all of them: P of the output is f(P) - f(0),
and multipliers go back through the adjoint of f, which autograd gives at any point, since f is linear.

Every operation is registered by its overloads, because overloads of one name may compute quite different
functions: ``scatter.src`` writes values to other places, ``scatter.reduce`` may multiply them.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.graph import Node, Ref, substitute, tensors_in
from deeplift_core.rules.conditions import Condition, all_of, argument, one_of, positive, varies_in
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.registry import rule_for
from deeplift_core.rules.rule import Rule, Sent
from deeplift_core.rules.values import PairValues, as_number

aten = torch.ops.aten

# The arguments that hold values, as the schemas name them; indices, masks and sizes must be constant.
_VALUES = ("self", "input", "tensors", "src", "source", "values")
constant_indices = varies_in(*_VALUES)


def _written_once(name: str, writes: Callable[[Node], Tensor]) -> Condition:
    """Require that no two varying values are written to one place.

    torch does not define which of the two values stays, and autograd would send multipliers to both of them.

    Parameters
    ----------
    name : str
        The argument that holds the written values; constants may be written twice.
    writes : callable
        Returns how many values a call writes to each place.
    """

    def accepts(node: Node) -> str:
        varies = isinstance(argument(node, name), Ref)
        return "it writes two values to one place" if varies and bool((writes(node) > 1).any()) else ""

    return accepts


def _writes_of_scatter(node: Node) -> Tensor:
    index = argument(node, "index")
    ones = torch.ones(index.shape, dtype=torch.int32, device=index.device)
    return ones.new_zeros(node.shape).scatter_add(argument(node, "dim"), index, ones)


def _writes_of_index_copy(node: Node) -> Tensor:
    return torch.bincount(argument(node, "index").flatten())


def _writes_of_index_put(node: Node) -> Tensor:
    indices = argument(node, "indices")
    device = next(index.device for index in indices if index is not None)
    zeros = torch.zeros(node.shape, dtype=torch.int32, device=device)
    if argument(node, "accumulate"):
        return zeros  # the values are added, and none replaces another
    return aten.index_put.default(zeros, indices, zeros.new_ones(()), True)  # type: ignore[no-any-return]


@rule_for(
    # The same values in another shape or order.
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default,
    aten.transpose.int, aten.t.default, aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.flip.default, aten.roll.default, aten.unfold.default, aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default, aten.channel_shuffle.default,
    # Some of the values, or several copies of them.
    aten.slice.Tensor, aten.select.int, aten.narrow.default, aten.index.Tensor, aten._unsafe_index.Tensor,
    aten.index_select.default, aten.gather.default, aten.take.default, aten.diagonal.default,
    aten.tril.default, aten.triu.default, aten.expand.default, aten.repeat.default, aten.cat.default,
    aten.stack.default, aten.diag_embed.default, aten.im2col.default,
    aten.constant_pad_nd.default, aten.reflection_pad1d.default, aten.reflection_pad2d.default,
    aten.replication_pad1d.default, aten.replication_pad2d.default,
    # Values in place of others.
    aten.slice_scatter.default, aten.select_scatter.default, aten.diagonal_scatter.default,
    aten.scatter.value,
    # Sums and means.
    aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim, aten.cumsum.default,
    aten.scatter_add.default, aten.col2im.default, aten.avg_pool1d.default,
    aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default,
    # Interpolation between neighbours, with weights between 0 and 1; that of bicubic has negative weights.
    aten.upsample_nearest1d.default, aten.upsample_nearest1d.vec, aten.upsample_nearest2d.default,
    aten.upsample_nearest2d.vec, aten._upsample_nearest_exact1d.default, aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.default, aten._upsample_nearest_exact2d.vec,
    aten.upsample_linear1d.default, aten.upsample_linear1d.vec, aten.upsample_bilinear2d.default,
    aten.upsample_bilinear2d.vec, aten._upsample_bilinear2d_aa.default,
    accepts=constant_indices,
)  # fmt: skip
@rule_for(aten.scatter.src, accepts=all_of(constant_indices, _written_once("src", _writes_of_scatter)))
@rule_for(
    aten.index_copy.default, accepts=all_of(constant_indices, _written_once("source", _writes_of_index_copy))
)
@rule_for(
    aten.index_put.default, accepts=all_of(constant_indices, _written_once("values", _writes_of_index_put))
)
@rule_for(aten.index_add.default, accepts=all_of(constant_indices, one_of("alpha", 1)))
@rule_for(aten.scatter_reduce.two, accepts=all_of(constant_indices, one_of("reduce", "sum", "mean")))
@rule_for(
    aten.avg_pool2d.default,
    aten.avg_pool3d.default,
    accepts=all_of(constant_indices, positive("divisor_override")),
)
class Structural(Rule):
    """Any linear map with weights >= 0 and constant indices; constants may be added."""

    label: ClassVar[str] = "structural"
    passes_parts: ClassVar[bool] = True
    mixing = None

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Apply the adjoint to m+ and to m-."""
        with torch.enable_grad():
            points = {source: self._zeros(source, m.positive).requires_grad_() for source in self.sources}
            output = self.evaluate(points.__getitem__)

            def adjoint(value: Tensor) -> tuple[Tensor, ...]:
                return torch.autograd.grad(output, list(points.values()), value, retain_graph=m.split)

            positive = adjoint(m.positive)
            negative = adjoint(m.negative) if m.split else positive
        return [(s, Multipliers(p, q)) for s, p, q in zip(points, positive, negative, strict=True)]

    def parts(self, pair: PairValues) -> Parts:
        """Return P as f(P) - f(0), and Q as f(Q) - f(0): constants among the arguments cancel."""
        parts = {source: pair.parts(source) for source in self.sources}
        at_zero = self.evaluate(lambda s: torch.zeros_like(parts[s].positive))
        positive = self.evaluate(lambda s: parts[s].positive) - at_zero
        return Parts(positive, self.evaluate(lambda s: parts[s].negative) - at_zero)

    def evaluate(self, lookup: Callable[[int], Any]) -> Any:
        """Run the operation on floating-point numbers, which masks and counts are, too.

        A model may sum a mask into a count. The multipliers of both are floating-point numbers, so that the
        operation must not return integers, and constant masks among the arguments become numbers, too.
        """
        if self.node.dtype.is_floating_point:
            return super().evaluate(lookup)
        op = self.node.op
        assert isinstance(op, OpOverload)
        args = substitute(self.node.args, lookup)
        dtype = next(value.dtype for value in tensors_in(args) if value.is_floating_point())
        declared = zip(op._schema.arguments, args, strict=False)
        numbers = (_as_numbers(value, dtype) if one.name in _VALUES else value for one, value in declared)
        named = {name: value for name, value in self.node.kwargs.items() if name != "dtype"}
        return op(*numbers, **named)

    def _zeros(self, source: int, like: Tensor) -> Tensor:
        return like.new_zeros(()).expand(self.graph.nodes[source].shape)


def _as_numbers(value: Any, dtype: torch.dtype) -> Any:
    """Return a value, or a list of values, with masks and counts as floating-point numbers."""
    return [as_number(item, dtype) for item in value] if isinstance(value, list) else as_number(value, dtype)
