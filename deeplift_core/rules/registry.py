"""One registry: which rule stands for which recorded operation.

A rule for a further operation is one class in one module of this folder, under ``@rule_for`` with the
operation's ATen names. Pointwise operations need none: see :mod:`deeplift_core.rules.elementwise`.
"""

import operator
from collections.abc import Callable
from typing import TypeVar

from deeplift_core.graph import Graph, Node
from deeplift_core.rules.base import Rule

_RULES: dict[str, type[Rule]] = {}

R = TypeVar("R", bound=type[Rule])


def rule_for(*op_names: str) -> Callable[[R], R]:
    """Class decorator: this rule explains the ATen operations of these names ("convolution")."""

    def register(rule: R) -> R:
        for name in op_names:
            if name in _RULES:
                raise ValueError(f"{name} already has the rule {_RULES[name].__name__}")
            _RULES[name] = rule
        return rule

    return register


def registered(name: str) -> bool:
    """Whether an operation of this name has a rule of its own."""
    return name in _RULES


def make_rule(graph: Graph, node: Node) -> Rule | None:
    """The registered rule for ``node``; None where there is none.

    One of several results of an operation ("getitem") has the rule of that operation.
    """
    kernel = graph.nodes[node.args[0].index] if node.op is operator.getitem else node
    found = _RULES.get(kernel.op_name)
    return found(graph, node) if found else None
