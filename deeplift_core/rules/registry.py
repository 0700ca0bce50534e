"""One registry: which rule stands for which recorded operation.

A rule for a further operation is one class in one module of this folder, under ``@rule_for`` with the
operation's ATen names. Pointwise operations need none: see :mod:`deeplift_core.rules.elementwise`. Rules in
other packages are found by their entry points; docs/rules.md shows how.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from deeplift_core.errors import OptionError
from deeplift_core.graph import Graph, Node
from deeplift_core.rules.base import Rule

ENTRY_POINTS = "deeplift.rules"

MakeRule = Callable[[Graph, Node], Rule]
_RULES: dict[str, MakeRule] = {}

R = TypeVar("R", bound=MakeRule)


def rule_for(*op_names: str) -> Callable[[R], R]:
    """Decorator: this rule explains the operations of these names.

    Parameters
    ----------
    *op_names : str
        Without namespace and overload: "convolution" for ``aten.convolution.default``, "scan" for
        ``mylibrary::scan``.

    Returns
    -------
    callable
        Takes a :class:`Rule`, or a function of a graph and a node that makes one, and returns it unchanged.

    Raises
    ------
    ValueError
        If one of them has a rule already.
    """

    def register(rule: R) -> R:
        for name in op_names:
            if name in _RULES:
                raise ValueError(f"{name} already has a rule: {_RULES[name].__qualname__}")
            _RULES[name] = rule
        return rule

    return register


@cache
def load_rules_of_other_packages() -> None:
    """Import every module under the entry points "deeplift.rules"; they register rules as they load.

    Raises
    ------
    OptionError
        Naming the entry point that cannot be loaded.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except (ImportError, AttributeError, ValueError) as error:
            raise OptionError(
                f"the rules that {point.value} adds (entry point {point.name!r}) cannot be loaded: {error}; "
                "mend or uninstall that package"
            ) from error


def registered(graph_or_name, node=None) -> bool:
    """Whether an operation of this name has a rule of its own."""
    if node is None:
        return graph_or_name in _RULES
    kernel = graph_or_name.nodes[node.args[0].index] if node.op_name == "getitem" else node
    return kernel.op_name in _RULES


def variants_of(graph, node):
    return ("",) if registered(graph, node) else ()


def all_variants():
    return ()


def registered_as(node: Node, rule: type[Rule]) -> bool:
    """Whether ``rule`` is the registered rule of the node's operation."""
    return _RULES.get(node.op_name) is rule


def make_rule(graph: Graph, node: Node, variant=None) -> Rule:
    """The registered rule for ``node``; None where there is none.

    One of several results of an operation ("getitem") has the rule of that operation.
    """
    kernel = graph.nodes[node.args[0].index] if node.op_name == "getitem" else node
    found = _RULES.get(kernel.op_name)
    return found(graph, node) if found else None
