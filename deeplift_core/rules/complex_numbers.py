"""Pieces of a model that run through complex numbers: Fourier transforms, rotary embeddings.

Such a piece takes real quantities and gives a real one. A piece that is linear over the real numbers sends
multipliers back through its adjoint: a Fourier transform, a product with a constant filter and the transform
back are a convolution, for instance. Real and imaginary parts have no sign by which to split weights, so that
P and Q of the output start afresh.

Linearity is proved by structure: each operation of the piece must be known to be linear in those of its
arguments that depend on the input. Trying a piece on numbers would prove nothing, since a function may be
nonlinear only far out, or only slightly.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.graph import Graph, Node, call, refs_in
from deeplift_core.rules.conditions import Condition, varies_in
from deeplift_core.rules.multipliers import Multipliers
from deeplift_core.rules.registry import refusal, registered_as
from deeplift_core.rules.rule import NoRuleError, Rule, Sent
from deeplift_core.rules.structural import Structural
from deeplift_core.rules.values import PairValues

aten = torch.ops.aten


def _always(node: Node) -> str:
    del node
    return ""


def _one_factor(node: Node) -> str:
    """One factor varies. Where two arguments refer to the same quantity, the product is a square."""
    varying = [value for value in node.args if refs_in(value)]
    return "" if len(varying) == 1 else "more than one of its factors depend on the input"


def _keeps_fractions(node: Node) -> str:
    fractional = node.dtype.is_floating_point or node.dtype.is_complex
    return "" if fractional else f"it rounds to {node.dtype}"


_only_first = varies_in("self")

# Operations that are linear over the real numbers, or linear and add a constant, and on what condition.
_CONDITIONS: "list[tuple[Condition, tuple[OpOverload[..., Any], ...]]]" = [
    # Fourier transforms; real and imaginary parts, and numbers made of these; copies; sums and differences.
    (
        _always,
        (
            aten._fft_r2c.default, aten._fft_c2c.default, aten._fft_c2r.default,
            aten.view_as_real.default, aten.view_as_complex.default, aten.real.default, aten.imag.default,
            aten.complex.default, aten._conj.default, aten._conj_physical.default,
            aten.conj_physical.default, aten.resolve_conj.default, aten._neg_view.default,
            aten.resolve_neg.default,
            aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default,
            aten.lift_fresh.default,
            aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.rsub.Tensor,
            aten.rsub.Scalar, aten.neg.default,
        ),
    ),
    (_keeps_fractions, (aten._to_copy.default,)),
    # Products of which one factor is constant.
    (
        _one_factor,
        (
            aten.mul.Tensor, aten.mul.Scalar, aten.mm.default, aten.bmm.default, aten.convolution.default,
        ),
    ),
    (_only_first, (aten.div.Tensor, aten.div.Scalar)),
    # Choices that do not depend on the input.
    (varies_in("self", "other"), (aten.where.self,)),
    (_only_first, (aten.masked_fill.Scalar, aten.masked_fill.Tensor)),
]  # fmt: skip
_LINEAR: dict[Any, Condition] = {op: condition for condition, operations in _CONDITIONS for op in operations}


def nonlinearity(node: Node) -> str:
    """Return why an operation is not known to be linear over the real numbers in its varying arguments.

    Parameters
    ----------
    node : Node
        An operation on real or complex numbers.

    Returns
    -------
    str
        The value is "" if the operation is linear, or linear up to a constant that it adds.
    """
    condition = _LINEAR.get(node.op)
    if condition is not None:
        return condition(node)
    if registered_as(node, Structural):
        return refusal(node) or ""
    return "it is not known to be linear"


class ComplexPiece(Rule):
    """All operations between real quantities and the real output ``node``, with complex numbers between them.

    Raises
    ------
    NoRuleError
        Naming the operation of the piece that is not linear.
    """

    label: ClassVar[str] = "linear, complex"
    mixing = "convolution"

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        body, sources = {node.index}, set()
        stack = [node.index]
        while stack:
            for ref in graph.nodes[stack.pop()].refs:
                if not graph.nodes[ref].dtype.is_complex:
                    sources.add(ref)
                elif ref not in body:
                    body.add(ref)
                    stack.append(ref)
        self.sources = tuple(sorted(sources))
        self._body = [graph.nodes[index] for index in sorted(body)]
        for part in self._body:
            reason = nonlinearity(part)
            if reason:
                raise NoRuleError(
                    "complex numbers in a piece that is not linear in the input, because of "
                    f"{part.describe()}: {reason}"
                )

    def _run(self, given: dict[int, Tensor]) -> Tensor:
        values: dict[int, Any] = dict(given)
        for node in self._body:
            values[node.index] = call(node, values.__getitem__)
        result: Tensor = values[self.node.index]
        return result

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Apply the adjoint of the piece."""
        fresh = self._by_sign(pair, m)
        with torch.enable_grad():
            shapes = {source: self.graph.nodes[source].shape for source in self.sources}
            points = {source: fresh.new_zeros(shape).requires_grad_() for source, shape in shapes.items()}
            output = self._run(points)
            found = torch.autograd.grad(output, list(points.values()), fresh)
        return [(source, Multipliers.same(grad)) for source, grad in zip(points, found, strict=True)]
