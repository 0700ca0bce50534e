"""Find activations: maximal elementwise pieces of a graph with a single varying source.

``gelu(x)`` and ``x * Phi(x)`` written out are the same activation, and score alike.
"""

from collections.abc import Sequence

from deeplift_core.graph import Graph
from deeplift_core.rules.elementwise import affine_terms, is_elementwise


class ElementwiseParents:
    """The elementwise parent of each node: the nearest node of which the node is an elementwise function.

    The parent, the parent's parent and so on are the nodes that an activation could take as its single
    source.

    Parameters
    ----------
    graph : Graph
    root : int, optional
        A node that gets scores itself; no activation reaches back past this node.
    """

    def __init__(self, graph: Graph, root: int | None = None) -> None:
        self._graph = graph
        self._parent: list[int | None] = []
        self._depth: list[int] = []
        self._affine: list[bool] = []  # whether the node is an affine function of its parent
        for node in graph.nodes:
            inner = is_elementwise(node.op) and node.index != root
            parent = self._common(node.refs) if inner else None
            self._parent.append(parent)
            self._depth.append(0 if parent is None else self._depth[parent] + 1)
            straight = parent is not None and affine_terms(node) is not None
            self._affine.append(straight and all(self._affine_down(ref, parent) for ref in node.refs))

    def _common(self, refs: Sequence[int]) -> int | None:
        """Return the nearest node that is one of ``refs``, or of which they are elementwise functions."""
        nearest: int | None = refs[0]
        for ref in refs[1:]:
            other: int | None = ref
            while nearest != other and nearest is not None and other is not None:
                if self._depth[nearest] >= self._depth[other]:
                    nearest = self._parent[nearest]
                else:
                    other = self._parent[other]
            if nearest is None or other is None:
                return None
        return nearest

    def _affine_down(self, index: int, ancestor: int | None) -> bool:
        while index != ancestor:
            above = self._parent[index]
            if above is None or not self._affine[index]:
                return False
            index = above
        return True

    def parent(self, index: int) -> int | None:
        """Return the nearest node that this one is an elementwise function of."""
        return self._parent[index]

    def affine(self, index: int) -> bool:
        """Return whether the node is an affine function of its parent."""
        return self._affine[index]

    def source(self, index: int) -> int:
        """Return the source of the activation that ends at ``index``.

        The source is the farthest possible one, without an affine beginning of the activation: batch norm
        before ReLU gets a rule of its own, which acts on P and Q separately, with the same result and less
        work.
        """
        path = [index]
        while (above := self._parent[path[-1]]) is not None:
            path.append(above)
        while len(path) > 2 and self._affine[path[-2]]:
            path.pop()
        return path[-1]

    def between(self, source: int, output: int) -> list[int]:
        """Return the nodes after ``source`` up to ``output``, in order."""
        seen = {source}
        stack, body = [output], []
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                body.append(index)
                stack.extend(self._graph.nodes[index].refs)
        return sorted(body)
