"""The neighbourhood of an activation, for presets: mixing layers before it, and gates after it."""

from functools import cached_property

from deeplift_core.assignment.activations import ElementwiseParents
from deeplift_core.graph import Graph, Node
from deeplift_core.rules.elementwise import affine_terms, is_elementwise
from deeplift_core.rules.larger_of_two import larger_of_two
from deeplift_core.rules.registry import kernel_of, make_rule, registered, registered_as
from deeplift_core.rules.rule import NoRuleError
from deeplift_core.rules.structural import Structural

_NONE: frozenset[str] = frozenset()
_OTHER = frozenset({"other"})


class Mixing:
    """Kinds of the nearest mixing layers before each node, found in one sweep over the graph.

    A convolution is a "convolution", and so is a position-wise dense layer. A matrix product with one row for
    each example is "dense". Affine operations, activations, maxima and structural operations have the kinds
    of the layers before them. Every other operation is "other".
    """

    def __init__(self, graph: Graph, parents: ElementwiseParents) -> None:
        self._graph = graph
        self._parents = parents

    def before(self, index: int) -> frozenset[str]:
        """Return the kinds before one node, its own operation included."""
        return self._kinds[index]

    @cached_property
    def _kinds(self) -> list[frozenset[str]]:
        kinds: list[frozenset[str]] = []
        for node in self._graph.nodes:
            kinds.append(self._of(node, kinds))
        return kinds

    def _of(self, node: Node, before: list[frozenset[str]]) -> frozenset[str]:
        if node.op is None:
            return _NONE
        if not node.dtype.is_complex and any(self._graph.nodes[i].dtype.is_complex for i in node.refs):
            return frozenset({"convolution"})
        if registered(kernel_of(self._graph, node).op):
            try:
                rule = make_rule(self._graph, node)
            except NoRuleError:
                return _OTHER
            assert rule is not None
            own, sources = rule.mixing, rule.sources
        elif is_elementwise(node.op) and self._passes_on(node):
            own, sources = None, node.refs
        else:
            return _OTHER
        return _NONE.union(*(before[source] for source in sources)) if own is None else frozenset({own})

    def _passes_on(self, node: Node) -> bool:
        """Return whether an elementwise operation is affine, an activation, or the larger of two."""
        alone = self._parents.parent(node.index) is not None or len(node.refs) == 1
        return alone or affine_terms(node) is not None or larger_of_two(self._graph, node) is not None


def is_gate(graph: Graph, output: int) -> bool:
    """Return whether a node is multiplied with a quantity that does not depend on the node.

    One factor of the product is the node itself, or the node after moves and scalings (1 - z). This holds for
    the gates of an LSTM and of squeeze-excite, but not for a vector that a norm divides by its own length.
    """
    stack, seen = [output], {output}
    while stack:
        index = stack.pop()
        for node in graph.consumers.get(index, ()):
            if len(node.refs) == 1 and _moves_or_scales(node) and node.index not in seen:
                seen.add(node.index)
                stack.append(node.index)
            others = [ref for ref in node.refs if ref != index]
            if node.op_name == "mul" and any(not _depends(graph, ref, output) for ref in others):
                return True
    return False


def _moves_or_scales(node: Node) -> bool:
    return registered_as(node, Structural) or affine_terms(node) is not None


def _depends(graph: Graph, index: int, on: int) -> bool:
    """Return whether the node ``index`` depends on the earlier node ``on``."""
    stack, seen = [index], {index}
    while stack:
        at = stack.pop()
        if at == on:
            return True
        new = [ref for ref in graph.nodes[at].refs if ref >= on and ref not in seen]
        seen.update(new)
        stack.extend(new)
    return False
