"""Operations that only move, copy, sum or average values: the linear map has no negative weight.

They act on P, Q, m+ and m- separately. One rule serves all: the map is linear in its varying
arguments, so P goes through as f(P) - f(0), and the adjoint is what autograd gives at any point, where there
is none at hand (:mod:`deeplift_core.rules.adjoints`).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref, refs_in, substitute
from deeplift_core.rules.adjoints import adjoint_of
from deeplift_core.rules.base import Multipliers, NoRuleError, Parts, Rule, Sent, Walk
from deeplift_core.rules.registry import rule_for


@rule_for(
    # the same values in another shape or order
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze", "flip", "roll",
    "unfold", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    # some of the values, or several copies of them
    "slice", "select", "narrow", "index", "_unsafe_index", "index_select", "gather", "take", "diagonal",
    "tril", "triu",
    "expand", "repeat", "cat", "stack", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d",
    "replication_pad1d", "replication_pad2d", "upsample_nearest1d", "upsample_nearest2d",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d",
    "index_put", "slice_scatter", "select_scatter", "diagonal_scatter", "scatter", "scatter_add", "index_add",
    "index_copy", "im2col", "col2im", "diag_embed",
    # sums and means
    "sum", "mean", "cumsum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
)  # fmt: skip
class Structural(Rule):
    """Any linear map with weights >= 0 and constant indices."""

    label: ClassVar[str] = "structural"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        for position, argument in enumerate(node.args):
            dtypes = [graph.nodes[source].dtype for source in refs_in(argument)]
            if position != 0 and not all(dtype.is_floating_point for dtype in dtypes):
                raise NoRuleError("an index depends on the input")

    @property
    def saved(self) -> set[int]:
        """Neither direction reads a forward value; the shapes are known."""
        return set()

    def splits(self, given: bool) -> bool:
        """m+ and m- go through by themselves."""
        return given

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """The adjoint, for m+ and m- by itself."""
        known = adjoint_of(self.node)
        if known is not None:
            source, shape = self.sources[0], self.graph.nodes[self.sources[0]].shape
            return [(source, m.each(lambda value: known(self.node, shape, value)))]
        if self.node.op_name in ("cat", "stack"):
            return self._pieces(m)
        return self._by_autograd(m)

    def _pieces(self, m: Multipliers) -> Sent:
        """For each of the joined tensors what lies at its place."""
        items, axis = self.node.args[0], self.node.args[1] if len(self.node.args) > 1 else 0
        shapes = [
            self.graph.nodes[item.index].shape if isinstance(item, Ref) else item.shape for item in items
        ]

        def cut(value: Tensor) -> Sequence[Tensor]:
            if self.node.op_name == "stack":
                return torch.unbind(value, axis)
            sizes = [shape[axis] if shape.numel() else 0 for shape in shapes]
            return torch.ops.aten.split_with_sizes.default(value, sizes, axis)  # type: ignore[no-any-return]

        positive = cut(m.positive)
        negative = cut(m.negative) if m.split else positive
        for item, *pieces in zip(items, positive, negative, strict=True):
            if isinstance(item, Ref):
                yield item.index, Multipliers(*pieces)

    def _by_autograd(self, m: Multipliers) -> Sent:
        with torch.enable_grad():
            points = {source: self._zeros(source, m.positive).requires_grad_() for source in self.sources}
            output = self.evaluate(points.__getitem__)

            def adjoint(value: Tensor) -> tuple[Tensor, ...]:
                return torch.autograd.grad(output, list(points.values()), value, retain_graph=m.split)

            positive = adjoint(m.positive)
            negative = adjoint(m.negative) if m.split else positive
        return [(s, Multipliers(p, q)) for s, p, q in zip(points, positive, negative, strict=True)]

    def parts(self, walk: Walk) -> Parts:
        """f(P) - f(0) and f(Q) - f(0): what constants among the arguments add drops out."""
        parts = {source: walk.parts(source) for source in self.sources}
        at_zero = self.evaluate(lambda s: torch.zeros_like(parts[s].positive))
        positive = self.evaluate(lambda s: parts[s].positive) - at_zero
        return Parts(positive, self.evaluate(lambda s: parts[s].negative) - at_zero)

    def evaluate(self, lookup: Callable[[int], Any]) -> Any:
        """Sums of masks are counts, of which multipliers are numbers like all others."""
        node = self.node
        if node.dtype.is_floating_point or "dtype" not in node.kwargs:
            return super().evaluate(lookup)
        assert node.op is not None
        return node.op(*substitute(node.args, lookup))

    def _zeros(self, source: int, like: Tensor) -> Tensor:
        return like.new_zeros(()).expand(self.graph.nodes[source].shape)
