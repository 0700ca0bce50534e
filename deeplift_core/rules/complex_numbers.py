"""Pieces of a model that run through complex numbers: Fourier transforms, rotary embeddings.

Such a piece takes real quantities and gives a real one. Where it is linear in them (a Fourier transform, a
product with a constant filter and the transform back is a convolution), multipliers go back through its
adjoint. Real and imaginary parts have no sign by which to split weights, so P and Q start afresh behind it.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, call
from deeplift_core.rules.base import Multipliers, NoRuleError, Rule, Sent, Walk

_TOLERANCE = 1e-3  # of a check in single precision: what is not linear misses it by far


class ComplexPiece(Rule):
    """All operations between real quantities and the real output ``node``, complex numbers between them."""

    label: ClassVar[str] = "linear, complex"

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
        if not self._linear():
            raise NoRuleError("complex numbers in a piece that is not linear in the input")

    @property
    def saved(self) -> set[int]:
        """Only the sign of the output's Delta counts."""
        return {self.node.index}

    def _run(self, given: dict[int, Tensor]) -> Tensor:
        values: dict[int, Any] = dict(given)
        for node in self._body:
            values[node.index] = call(node, values.__getitem__)
        result: Tensor = values[self.node.index]
        return result

    def _linear(self) -> bool:
        """Whether f(a + b) - f(a) = f(b) - f(0), tried on random numbers."""
        generator = torch.Generator().manual_seed(0)

        def draw() -> dict[int, Tensor]:
            nodes = [self.graph.nodes[source] for source in self.sources]
            return {
                node.index: torch.randn(node.shape, generator=generator).to(self.graph.device, node.dtype)
                for node in nodes
            }

        a, b = draw(), draw()
        both = self._run({source: a[source] + b[source] for source in a}) - self._run(a)
        alone = self._run(b) - self._run({source: torch.zeros_like(value) for source, value in a.items()})
        return bool((both - alone).abs().max() <= _TOLERANCE * alone.abs().max())

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """The adjoint."""
        fresh = self._fresh(walk, m)
        with torch.enable_grad():
            shapes = {source: self.graph.nodes[source].shape for source in self.sources}
            points = {source: fresh.new_zeros(shape).requires_grad_() for source, shape in shapes.items()}
            output = self._run(points)
            found = torch.autograd.grad(output, list(points.values()), fresh)
        return [(source, Multipliers.same(grad)) for source, grad in zip(points, found, strict=True)]
