"""Operations that act on each element separately: which these are, and which of them are affine.

Torch tags its pointwise operations, so that no list of these is needed here. Affine operations (adding or
multiplying by a constant, batch norm, sums and differences of two quantities) scale P and Q. The others
belong to an activation (:mod:`deeplift_core.rules.activation`) or combine several quantities
(:mod:`deeplift_core.rules.products`, :mod:`deeplift_core.rules.interaction`).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload

from deeplift_core.graph import Graph, Node, Ref, op_name
from deeplift_core.rules.conditions import argument
from deeplift_core.rules.multipliers import Multipliers, Parts, scaled_multipliers
from deeplift_core.rules.registry import registered
from deeplift_core.rules.rule import NoRuleError, Rule, Sent, sum_to_shape
from deeplift_core.rules.values import PairValues

Factor = Tensor | float
Term = tuple[int, Factor]

# Operations that are pointwise, although torch does not tag them so; releases before 2.10 do not tag the last
# three.
_UNTAGGED = {
    "_prelu_kernel",
    "_to_copy",
    "prims::convert_element_type",
    "detach",
    "alias",
    "lift_fresh",
    "contiguous",
    "masked_fill",
    "_conj_physical",
    "ldexp",
    "leaky_relu",
}


def is_elementwise(op: Callable[..., Any] | None) -> bool:
    """Return whether an operation returns one tensor, element by element, and has no registered rule.

    A registered rule of an elementwise operation explains that operation alone, so that no activation
    includes the operation.
    """
    tags = getattr(op, "tags", ())
    if op is None or torch.Tag.nondeterministic_seeded in tags:
        return False
    if not (torch.Tag.pointwise in tags or op_name(op) in _UNTAGGED) or registered(op):
        return False
    # An operation with several results, such as frexp, is no function that an activation could contain.
    return not isinstance(op, OpOverload) or len(op._schema.returns) == 1


def affine_terms(node: Node) -> list[Term] | None:
    """Return the terms, each a source and a factor, whose sum is the node's Delta.

    Returns
    -------
    list of (int, Tensor or float), or None
        The value is None if the operation is not affine in its varying arguments.
    """
    make = _AFFINE.get(node.op_name)
    return make(node) if make and node.dtype.is_floating_point else None


def _terms(*pairs: tuple[Any, Factor]) -> list[Term]:
    return [(value.index, factor) for value, factor in pairs if isinstance(value, Ref)]


def _alpha(node: Node) -> float:
    return float(argument(node, "alpha"))


def _product(node: Node) -> list[Term] | None:
    left, right = node.args
    if isinstance(left, Ref) and isinstance(right, Ref):
        return None
    return _terms((left, right), (right, left))


def _quotient(node: Node) -> list[Term] | None:
    above, below = node.args[:2]
    if isinstance(below, Ref) or node.kwargs.get("rounding_mode") is not None:
        return None
    # The function divides as torch does: a model that divides by 0 has an output of NaN or infinity, and is
    # no error here.
    return _terms((above, 1 / below if isinstance(below, Tensor) or below else math.inf))


def _addcmul(node: Node) -> list[Term] | None:
    shift, left, right = node.args
    if isinstance(left, Ref) and isinstance(right, Ref):
        return None
    scale = node.kwargs.get("value", 1)
    varying, constant = (left, right) if isinstance(left, Ref) else (right, left)
    factor = constant * scale if not isinstance(constant, Ref) else scale
    return _terms((shift, 1.0), (varying, factor))


def _where(node: Node) -> list[Term] | None:
    mask, chosen, other = node.args
    if isinstance(mask, Ref):
        return None
    dtype = node.dtype
    return _terms((chosen, mask.to(dtype)), (other, (~mask).to(dtype)))


def _masked_fill(node: Node) -> list[Term] | None:
    value, mask, filled = node.args
    if isinstance(mask, Ref) or isinstance(filled, Ref):
        return None
    return _terms((value, (~mask).to(node.dtype)))


def _interpolation(node: Node) -> list[Term] | None:
    start, end, weight = node.args
    return None if isinstance(weight, Ref) else _terms((start, 1 - weight), (end, weight))


def _conversion(node: Node) -> list[Term] | None:
    return _terms((node.args[0], 1.0))


def _reversed_difference(node: Node) -> list[Term]:
    value, other = node.args[:2]
    return _terms((value, -_alpha(node)), (other, 1.0))


_AFFINE: dict[str, Callable[[Node], list[Term] | None]] = {
    "add": lambda node: _terms((node.args[0], 1.0), (node.args[1], _alpha(node))),
    "sub": lambda node: _terms((node.args[0], 1.0), (node.args[1], -_alpha(node))),
    "rsub": _reversed_difference,
    "neg": lambda node: _terms((node.args[0], -1.0)),
    "mul": _product,
    "div": _quotient,
    "addcmul": _addcmul,
    "lerp": _interpolation,
    "where": _where,
    "masked_fill": _masked_fill,
    **dict.fromkeys(
        ("_to_copy", "prims::convert_element_type", "clone", "contiguous", "detach", "alias", "lift_fresh"),
        _conversion,
    ),
}


class Affine(Rule):
    """Sum of scaled quantities: P and Q, m+ and m- are scaled, and swapped where a factor is negative.

    This is the Linear rule (paper, section 3.5.1) for one weight for each element.

    Parameters
    ----------
    graph, node
        The arguments of every rule.
    terms : list of (source, factor), optional
        The terms of the sum; by default those of the node's own operation.

    Raises
    ------
    NoRuleError
        If the node's operation is not affine and no terms are given.
    """

    label: ClassVar[str] = "affine"
    passes_parts: ClassVar[bool] = True
    mixing = None

    def __init__(self, graph: Graph, node: Node, terms: list[Term] | None = None) -> None:
        super().__init__(graph, node)
        terms = affine_terms(node) if terms is None else terms
        if terms is None:
            raise NoRuleError("not affine")
        self.sources = tuple(dict.fromkeys(source for source, _ in terms))
        self._terms = terms

    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Multiply by each factor, and sum over the axes along which the source was broadcast."""
        for source, factor in self._terms:
            scaled = m if isinstance(factor, float) and factor == 1 else scaled_multipliers(m, factor)
            yield source, scaled.each(partial(sum_to_shape, shape=self.graph.nodes[source].shape))

    def parts(self, pair: PairValues) -> Parts:
        """Add the scaled parts of all terms."""
        scaled = [pair.parts(source).scaled(factor) for source, factor in self._terms]
        shape = self.node.shape
        total = [sum((p[side] for p in scaled[1:]), start=scaled[0][side]).expand(shape) for side in (0, 1)]
        return Parts(total[0], total[1])
