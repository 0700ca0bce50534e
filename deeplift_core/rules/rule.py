"""The base class of rules: how multipliers, P and Q pass one recorded operation.

A rule says which multipliers the sources of an operation get, given those of its output (the backward
pass), and, where a RevealCancel activation later in the model asks for P and Q, how these parts come from
the sources to the output.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref, substitute
from deeplift_core.rules.multipliers import Multipliers, Parts
from deeplift_core.rules.values import PairValues

Sent = Iterable[tuple[int, Multipliers]]
R = TypeVar("R", bound="Rule")


class NoRuleError(Exception):
    """An operation has no rule for its arguments; the assignment collects these errors into one message."""


class Rule(ABC):
    """The rule of one recorded operation.

    Parameters
    ----------
    graph : Graph
        The recorded graph.
    node : Node
        The operation whose output this rule explains.

    Attributes
    ----------
    label : str
        The name of the rule that users see.
    passes_parts : bool
        True if :meth:`parts` asks for the parts of the sources; these are then computed first.
    mixing : str or None
        The kind of mixing layer that the operation is for presets: "dense", "convolution" or "other"; None if
        presets look through the operation at the layers before it.
    sources : tuple of int
        The nodes that receive multipliers.
    """

    label: ClassVar[str]
    passes_parts: ClassVar[bool] = False
    mixing: str | None = "other"

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node
        self.sources = node.refs

    @property
    def name(self) -> str:
        """The name in `DeepLift.nodes`; a rule with variants names the variant."""
        return self.label

    @abstractmethod
    def backward(self, pair: PairValues, m: Multipliers) -> Sent:
        """Return the multipliers of the sources, given those of the output.

        Parameters
        ----------
        pair : PairValues
            Values of this node and of earlier nodes may be read.
        m : Multipliers
            The multipliers of the output, in the output's shape.

        Returns
        -------
        iterable of (int, Multipliers)
            The multipliers of each source, in the source's shape.
        """

    def parts(self, pair: PairValues) -> Parts:
        """Return P and Q of the output: by the sign of the whole Delta, unless a rule says otherwise."""
        return Parts.of(pair.delta(self.node.index))

    def _by_sign(self, pair: PairValues, m: Multipliers) -> Tensor:
        """Return one multiplier of the output, for operations that start afresh from its sign."""
        return m.by_sign(pair.delta(self.node.index)) if m.split else m.positive

    def _stacked(self, values: Mapping[int, Tensor]) -> Tensor:
        """Return the values of all sources in the output's shape, stacked along a further last axis."""
        return torch.stack([values[source].expand(self.node.shape) for source in self.sources], -1)

    def evaluate(self, lookup: Callable[[int], Any]) -> Any:
        """Run the recorded operation on other values of its sources."""
        node = self.node
        assert node.op is not None
        args = substitute(node.args, lookup)
        return node.op(*args, **{key: substitute(value, lookup) for key, value in node.kwargs.items()})


def recast(rule: Rule, cls: type[R], **changes: Any) -> R:
    """Return the same rule as an object of another class, which computes the same result in another way.

    Passes replace rules by this function. Memoised values of the first object are not copied.
    """
    other = cls.__new__(cls)
    memoised = {
        name for base in type(rule).__mro__ for name, value in vars(base).items() if _is_memoised(value)
    }
    other.__dict__.update({k: v for k, v in copy(rule).__dict__.items() if k not in memoised}, **changes)
    return other


def _is_memoised(attribute: Any) -> bool:
    return type(attribute).__name__ == "cached_property"


def only_varying(node: Node, position: int) -> int:
    """Return the node to which argument ``position`` refers, if no other argument depends on the input.

    Raises
    ------
    NoRuleError
        If another argument depends on the input.
    """
    value = node.args[position]
    if not isinstance(value, Ref) or len(node.refs) != 1 or node.kwargs:
        raise NoRuleError("more than one argument, or an unusual one, depends on the input")
    return value.index


def permuted_back(value: Tensor, order: Sequence[int]) -> Tensor:
    """Undo ``permute(order)``."""
    return value.permute(sorted(range(len(order)), key=order.__getitem__))


def sum_to_shape(value: Tensor, shape: torch.Size) -> Tensor:
    """Sum over the axes along which ``shape`` was broadcast to ``value``'s shape."""
    return value if value.shape == shape else value.sum_to_size(shape)


def single(value: Tensor) -> Tensor:
    """Return the same values in float32 at least."""
    return value.to(torch.promote_types(value.dtype, torch.float32))
