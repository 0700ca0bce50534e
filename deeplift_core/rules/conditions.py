"""Conditions on the arguments of a call, for rules that explain some calls of an operation only.

Each function here makes a condition for ``rule_for(..., accepts=...)``: a function of a node that returns ""
or the reason why the call has no rule.
"""

from collections.abc import Callable
from typing import Any

from torch._ops import OpOverload

from deeplift_core.graph import Node, refs_in

# Such a function takes a call of an operation. It returns "" where the rule explains this call, and otherwise
# the reason why the rule does not.
Condition = Callable[[Node], str]


def argument(node: Node, name: str) -> Any:
    """Return the argument with this name in the operation's schema, or the schema's default for it.

    Raises
    ------
    ValueError
        If the operation has no argument of this name.
    """
    overload = node.op
    assert isinstance(overload, OpOverload)
    for place, declared in enumerate(overload._schema.arguments):
        if declared.name == name:
            given = node.args[place] if place < len(node.args) else declared.default_value
            return node.kwargs.get(name, given)
    raise ValueError(f"{node.called} has no argument {name!r}")


def varies_in(*names: str) -> Condition:
    """Only these arguments may depend on the model's input; all others, such as indices, are constant."""

    def accepts(node: Node) -> str:
        overload = node.op
        assert isinstance(overload, OpOverload)
        declared = [one.name for one in overload._schema.arguments]
        given = {**dict(zip(declared, node.args, strict=False)), **node.kwargs}
        varying = [name for name, value in given.items() if refs_in(value) and name not in names]
        return f"its argument {varying[0]!r} depends on the model's input" if varying else ""

    return accepts


def one_of(name: str, *values: Any) -> Condition:
    """The argument ``name`` has one of these values."""

    def accepts(node: Node) -> str:
        given = argument(node, name)
        known = " or ".join(map(repr, values))
        return "" if given in values else f"it has {name}={given!r}, and the rule needs {known}"

    return accepts


def positive(name: str) -> Condition:
    """The number ``name``, where it is given, is above 0."""

    def accepts(node: Node) -> str:
        given = argument(node, name)
        return (
            ""
            if given is None or given > 0
            else f"it has {name}={given!r}, and the rule needs a positive one"
        )

    return accepts


def all_of(*conditions: Condition) -> Condition:
    """All of these conditions hold; the first reason why not is given."""

    def accepts(node: Node) -> str:
        return next(filter(None, (condition(node) for condition in conditions)), "")

    return accepts
