"""The registry of the rules of recorded operations.

A rule is registered on an operation of torch, either on one overload (``torch.ops.aten.scatter.src``) or on a
packet, which stands for all overloads of one name (``torch.ops.aten.convolution``). The namespace is part of
the operation, so that ``mylib::var`` never gets the rule of ``aten::var``. A registration may say which calls
it accepts; :mod:`deeplift_core.rules.conditions` has the usual conditions. An operation may have several
rules, called variants, of which the first one that was registered is the default.

Pointwise operations need no registered rule (:mod:`deeplift_core.rules.elementwise`), but a registered rule
comes first. Rules in other packages are found by their entry points; docs/rules.md shows an example.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any, NamedTuple, TypeAlias, TypeVar

from torch._ops import OpOverload, OpOverloadPacket

from deeplift_core.errors import OptionError
from deeplift_core.graph import Graph, Node
from deeplift_core.rules.conditions import Condition
from deeplift_core.rules.rule import NoRuleError, Rule

ENTRY_POINTS = "deeplift.rules"
# The variant of a rule that is registered without a name.
DEFAULT = "default"

MakeRule = Callable[[Graph, Node], Rule]
Operation: TypeAlias = "OpOverload[..., Any] | OpOverloadPacket[..., Any] | str"

R = TypeVar("R", bound=MakeRule)


class _Registered(NamedTuple):
    """One registration: the rule, a condition on calls, and the package that registered the rule."""

    make: MakeRule
    accepts: Condition | None
    package: str


# All registrations, by "namespace::name" for a packet or "namespace::name.overload" for an overload, and by
# variant.
_RULES: dict[str, dict[str, _Registered]] = {}


def rule_for(
    *operations: Operation, accepts: Condition | None = None, variant: str | None = None
) -> Callable[[R], R]:
    """Return a decorator that registers a rule for these operations.

    Parameters
    ----------
    *operations : OpOverload, OpOverloadPacket or str
        For example ``torch.ops.aten.convolution.default`` (one overload) or ``torch.ops.aten.convolution``
        (all overloads), or their names "aten::convolution.default" and "aten::convolution". A name serves for
        an operation whose library is not loaded yet. The rule of an overload comes before that of its packet.
    accepts : callable of a Node, optional
        Returns "" for a call of the operation that the rule explains, or the reason why the rule does not
        explain this call. The call is then refused with this reason. Without this, every call is accepted.
    variant : str, optional
        The name by which a layer rule or a preset chooses this rule where the operation has more than one.
        The first rule of an operation is its default; each further one needs a name.

    Returns
    -------
    callable
        Takes a :class:`Rule`, or a function of a graph and a node that makes one, and returns it unchanged.

    Raises
    ------
    ValueError
        If a name has no namespace, or an operation already has this variant, or has a rule and the new one
        has no name.
    """
    keys = [_key(operation) for operation in operations]

    def register(rule: R) -> R:
        for key in keys:
            known = _RULES.get(key, {})
            if variant in known or (variant is None and known):
                taken = known[variant or next(iter(known))].make
                raise ValueError(
                    f"{key} already has a rule: {taken!r}; to offer another one beside it, register that "
                    "one with a new variant=NAME"
                )
        for key in keys:
            entry = _Registered(rule, accepts, getattr(rule, "__module__", "").partition(".")[0])
            _RULES.setdefault(key, {})[variant or DEFAULT] = entry
        return rule

    return register


@cache
def load_rules_of_other_packages() -> None:
    """Import every module under the entry points "deeplift.rules", which registers its rules.

    Raises
    ------
    OptionError
        Naming the entry point that cannot be loaded.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # code of others can raise anything
            raise OptionError(
                f"the rules that {point.value} adds (entry point {point.name!r}) cannot be loaded: {error}; "
                "repair or uninstall that package"
            ) from error


def registered(op: Callable[..., Any] | None) -> bool:
    """Return whether a rule is registered for this operation.

    Parameters
    ----------
    op : callable or None
        The operation of a node; None (an input of the model) has no rule.
    """
    return bool(_entries(op))


def registered_by_another_package(op: Callable[..., Any] | None) -> bool:
    """Return whether a package other than this one has a rule for the operation.

    The recorder then records the operation as a whole: its normal form, in other operations, would leave the
    other package's rule without a call.
    """
    return any(entry.package != __name__.partition(".")[0] for entry in _entries(op).values())


def registered_as(node: Node, rule: type[Rule]) -> bool:
    """Return whether ``rule`` is the default rule of the node's operation."""
    entries = _entries(node.op)
    return bool(entries) and next(iter(entries.values())).make is rule


def operations_of(rule: MakeRule) -> Iterator[str]:
    """Yield the names of all operations that have this rule, such as "aten::slice.Tensor"."""
    for key, entries in _RULES.items():
        if any(entry.make is rule for entry in entries.values()):
            yield key


def variants_of(op: Callable[..., Any] | None) -> tuple[str, ...]:
    """Return the names of the rules of an operation, the default first; empty if there is none.

    Parameters
    ----------
    op : callable or None
        The operation of a node.
    """
    return tuple(_entries(op))


def all_variants() -> tuple[str, ...]:
    """Return the names of all variants of all operations, in the order of their registration."""
    names = (name for entries in _RULES.values() if len(entries) > 1 for name in entries)
    return tuple(dict.fromkeys(names))


def refusal(node: Node, variant: str | None = None) -> str | None:
    """Return why the node's call has no rule: "" if it has one, None if no rule is registered."""
    entries = _entries(node.op)
    return _reason(_chosen(entries, node, variant), node) if entries else None


def kernel_of(graph: Graph, node: Node) -> Node:
    """Return the operation whose result a node holds; for one of several results it is an earlier node."""
    return graph.nodes[node.args[0].index] if node.op_name == "getitem" else node


def make_rule(graph: Graph, node: Node, variant: str | None = None) -> Rule | None:
    """Return the registered rule for ``node``.

    Parameters
    ----------
    graph : Graph
    node : Node
        One of several results of an operation ("getitem") has the rule of that operation.
    variant : str, optional
        One of :func:`variants_of` the operation; by default the first of them.

    Returns
    -------
    Rule or None
        The value is None if no rule is registered.

    Raises
    ------
    NoRuleError
        With the reason, if the rule does not accept the call.
    OptionError
        If the operation has rules, but no such variant.
    """
    kernel = kernel_of(graph, node)
    entries = _entries(kernel.op)
    if not entries:
        return None
    entry = _chosen(entries, kernel, variant)
    reason = _reason(entry, kernel)
    if reason:
        raise NoRuleError(reason)
    return entry.make(graph, node)


def _chosen(entries: dict[str, _Registered], node: Node, variant: str | None) -> _Registered:
    name = next(iter(entries)) if variant is None else variant
    if name not in entries:
        known = ", ".join(entries)
        raise OptionError(f"{node.called} has no rule {name!r}; choose from {known}")
    return entries[name]


def _reason(entry: _Registered, node: Node) -> str:
    return entry.accepts(node) if entry.accepts else ""


def _entries(op: Callable[..., Any] | None) -> dict[str, _Registered]:
    """Return the rules of an operation by variant, the default first."""
    if not isinstance(op, OpOverload):
        return {}
    own, of_packet = (_RULES.get(key, {}) for key in (_key(op), _key(op.overloadpacket)))
    # A named variant of an overload is offered beside the packet's default; an unnamed rule replaces it.
    return (
        own | {name: of_packet[name] for name in of_packet if name not in own}
        if DEFAULT in own
        else of_packet | own
    )


_NAME = re.compile(r"\w+::\w+(\.\w+)?")


@cache
def _key(operation: Operation) -> str:
    """Return the name of a packet, "aten::slice", or of an overload, "aten::slice.Tensor"."""
    if isinstance(operation, OpOverload):
        return f"{operation._schema.name}.{operation._overloadname}"
    if isinstance(operation, OpOverloadPacket):
        return operation._qualified_op_name
    if not isinstance(operation, str) or not _NAME.fullmatch(operation):
        raise ValueError(
            f"{operation!r} does not name an operation with its namespace: write torch.ops.NAMESPACE.NAME, "
            f'"NAMESPACE::NAME" or "NAMESPACE::NAME.OVERLOAD", for example "aten::{operation}"'
        )
    return operation
