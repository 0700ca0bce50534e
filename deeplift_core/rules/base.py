"""What every rule works with: multipliers, parts, and the two sets of forward values.

DeepLIFT splits each difference-from-reference into a positive and a negative part, Delta = P + Q,
each with its own multiplier (paper, section 3.2). A rule says how multipliers go from the output of
one recorded operation to its inputs and, where a RevealCancel activation further on asks for them,
how the parts come from its inputs to its output.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref, substitute

Found = TypeVar("Found")


class NoRuleError(Exception):
    """Internal: this operation, with these arguments, has no rule. Collected into one message."""


class Multipliers(NamedTuple):
    """Multipliers m+ and m- of one quantity; the same tensor object twice where they do not differ."""

    positive: Tensor
    negative: Tensor

    @property
    def split(self) -> bool:
        """Whether m+ and m- may differ."""
        return self.positive is not self.negative

    @classmethod
    def same(cls, value: Tensor) -> "Multipliers":
        """One multiplier for both parts."""
        return cls(value, value)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Multipliers":
        """Apply ``change`` to both, once where they are the same."""
        positive = change(self.positive)
        return Multipliers(positive, change(self.negative) if self.split else positive)

    def __add__(self, other: object) -> "Multipliers":
        """Sum over several paths to the same quantity."""
        if not isinstance(other, Multipliers):
            return NotImplemented
        positive = self.positive + other.positive
        if not (self.split or other.split):
            return Multipliers.same(positive)
        return Multipliers(positive, self.negative + other.negative)

    def by_sign(self, delta: Tensor) -> Tensor:
        """One multiplier: m+ where ``delta`` > 0, m- where it is < 0, their mean where it is 0."""
        if not self.split:
            return self.positive
        return torch.lerp(self.negative, self.positive, delta.sign().add_(1).mul_(0.5))


class Parts(NamedTuple):
    """Positive (P >= 0) and negative (Q <= 0) part of one difference-from-reference."""

    positive: Tensor
    negative: Tensor

    @classmethod
    def of(cls, delta: Tensor) -> "Parts":
        """Parts by the sign of the whole difference."""
        return cls(delta.clamp(min=0), delta.clamp(max=0))

    def scaled(self, factor: Tensor | float) -> "Parts":
        """Parts of ``factor * Delta``: a negative factor swaps P with Q."""
        positive, negative = self.positive * factor, self.negative * factor
        if isinstance(factor, Tensor):
            keep = factor >= 0
            return Parts(torch.where(keep, positive, negative), torch.where(keep, negative, positive))
        return Parts(positive, negative) if factor >= 0 else Parts(negative, positive)


def scaled_multipliers(m: Multipliers, factor: Tensor | float) -> Multipliers:
    """Multipliers of x given those of ``factor * x``: a negative factor swaps m+ with m-."""
    if not m.split:
        return Multipliers.same(m.positive * factor)
    positive, negative = m.positive * factor, m.negative * factor
    if isinstance(factor, Tensor):
        keep = factor >= 0
        return Multipliers(
            factor * torch.where(keep, m.positive, m.negative),
            factor * torch.where(keep, m.negative, m.positive),
        )
    return Multipliers(positive, negative) if factor >= 0 else Multipliers(negative, positive)


# How many eps of the magnitude a difference may be and still count as rounding.
UNITS = 8.0


def resolution(*values: Tensor) -> Tensor:
    """How small a difference of these values counts as 0: some eps times the largest magnitude."""
    largest = magnitude(*values)
    return largest.mul_(UNITS * torch.finfo(largest.dtype).eps)


def magnitude(*values: Tensor) -> Tensor:
    """The largest of these values' sizes."""
    largest = values[0].abs()
    for value in values[1:]:
        largest = torch.maximum(largest, value.abs())
    return largest


def where_positive(condition: Tensor, value: Tensor) -> Tensor:
    """``value`` where ``condition`` > 0, else 0; where that is NaN, either, as the device has it.

    Much faster on a CPU than torch.where, which takes a branch for each element.
    """
    chosen: Tensor = torch.ops.aten.threshold_backward.default(value, condition, 0)
    return chosen


def difference(x: Tensor, reference: Tensor) -> Tensor:
    """Difference-from-reference, exactly 0 where it is no larger than rounding.

    That is, some eps times the magnitude of either: where it matters the two are the same but for eps.
    """
    delta = x - reference
    rounding = UNITS * torch.finfo(delta.dtype).eps
    return where_positive(delta.abs().sub_(reference.abs(), alpha=rounding), delta)


class Noise(NamedTuple):
    """By how much a difference of two values may be wrong.

    Kept apart, for each more tensor takes a pass over memory.

    Attributes
    ----------
    magnitude : Tensor
        Of the values.
    share : float
        How much of that is rounding.
    lost : float
        For a difference over no step at all, what the function that the values are of loses beyond that.
    """

    magnitude: Tensor
    share: float
    lost: float

    @classmethod
    def of(cls, *values: Tensor, units: float = UNITS, lost: float = 0.0) -> "Noise":
        """That of differences of values of these sizes, rounded by so many eps of the largest."""
        return cls(magnitude(*values), units * torch.finfo(values[0].dtype).eps, lost)


# Steps from which on lost digits do not matter: the quotient of a long one is right in spite of them, and
# keeps the sum exact, which is of what the model computes.
_LONG = 0.1


def quotient(change: Tensor, by: Tensor, limit: Tensor, noise: Noise, *, near: bool = False) -> Tensor:
    """``change / by``, or its limit where ``by`` is too small for the quotient to be right.

    That is where the limit gives the change to within the noise of the values it is the difference of:
    sigmoid(1e-3) and sigmoid(1e-3 + 1e-8) differ by one unit of rounding or by none, which is no slope.

    Parameters
    ----------
    change, by, limit : Tensor
        The change is overwritten: to fill a new tensor takes longer.
    noise : Noise
        Of the change.
    near : bool
        Whether ``limit * by`` is finite and never many times as large as the values that the change is of.
        Then the limit, and what it leaves of the change over ``by``, are the quotient, in fewer passes.
    """
    if near:
        rest = change.addcmul_(limit, by, value=-1)
        beyond = rest.abs()
    else:
        rest, beyond = change, torch.addcmul(change, limit, by, value=-1).abs_()
    beyond.sub_(noise.magnitude, alpha=noise.share)
    if noise.lost:
        beyond.addcmul_(by, by, value=noise.lost / _LONG**2)
    found = rest.div_(by)
    torch.ops.aten.threshold_backward.grad_input(found, beyond, noise.lost, grad_input=found)
    # Numbers 0 and 1: faster than a mask.
    return found.add_(limit if near else where_positive(beyond.le_(noise.lost), limit))


def permuted_back(value: Tensor, order: Sequence[int]) -> Tensor:
    """Undo ``permute(order)``."""
    return value.permute(sorted(range(len(order)), key=order.__getitem__))


def sum_to_shape(value: Tensor, shape: torch.Size) -> Tensor:
    """Sum over the axes along which ``shape`` was broadcast to ``value``'s shape."""
    return value if value.shape == shape else value.sum_to_size(shape)


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def single(value: Tensor) -> Tensor:
    """The same in float32 at least."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def as_number(value: Any, dtype: torch.dtype) -> Any:
    """Masks and counts as floating-point numbers; other values as they are."""
    if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex():
        return value
    return value.to(dtype)


class Walk:
    """The forward values of one batch of inputs and one batch of references, and what follows from them.

    One serves the walks from all targets, which share what they work out on the way.

    Attributes
    ----------
    x, reference : dict of int to values
        Masks and counts that depend on the input are numbers like all others: 0 and 1, 0, 1, 2 and so on.
    """

    def __init__(self, x: Mapping[int, Any], reference: Mapping[int, Any], rule_of: Callable[[int], "Rule"]):
        dtype = next(value.dtype for value in x.values() if _is_floating(value))
        self.x = {index: as_number(value, dtype) for index, value in x.items()}
        self.reference = {index: as_number(value, dtype) for index, value in reference.items()}
        self._rule_of = rule_of
        self._deltas: dict[int, Tensor] = {}
        self._parts: dict[int, Parts] = {}
        self._found: dict[int, Any] = {}
        self._end = max(self.x) + 1

    def once(self, index: int, find: Callable[["Walk"], Found]) -> Found:
        """What the rule of one node finds, however many targets and parts ask for it."""
        if index not in self._found:
            self._found[index] = find(self)
        found: Found = self._found[index]
        return found

    def let_go(self, index: int) -> None:
        """Forget, in the walk from the last target, what belongs to this node and to later ones.

        Rules read values of their own node and of earlier ones, so that nothing reads these again.
        """
        for held in (self.x, self.reference, self._deltas, self._parts, self._found):
            for passed in range(index, self._end):
                held.pop(passed, None)
        self._end = index

    def delta(self, index: int) -> Tensor:
        """Difference-from-reference of one node, cleaned of rounding."""
        if index not in self._deltas:
            self._deltas[index] = difference(self.x[index], self.reference[index])
        return self._deltas[index]

    def parts(self, index: int) -> Parts:
        """P and Q of one node, computed when a RevealCancel activation needs them."""
        if index not in self._parts:
            self._parts[index] = self._rule_of(index).parts(self)
        return self._parts[index]


Sent = Iterable[tuple[int, Multipliers]]


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
        Shown to users as the rule that the operation got.
    sources : tuple of int
        The nodes that receive multipliers.
    passed : tuple of int
        Nodes on the way to them whose rules this one works out along with its own.
    """

    label: ClassVar[str]
    passed: tuple[int, ...] = ()

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph = graph
        self.node = node
        self.sources = node.refs

    @property
    def name(self) -> str:
        """What `nodes` shows; a rule with variants says which."""
        return self.label

    @property
    def saved(self) -> set[int]:
        """Nodes whose forward values :meth:`backward` or :meth:`parts` may read."""
        return {self.node.index, *self.sources}

    def saved_for(self, *, split: bool, parts: bool) -> set[int]:
        """Which of :attr:`saved` are read where it is known what comes.

        Parameters
        ----------
        split : bool
            Whether the output's m+ and m- may differ.
        parts : bool
            Whether :meth:`parts` may be called.
        """
        del split, parts
        return self.saved

    def splits(self, given: bool) -> bool:
        """Whether a source's m+ and m- may differ, ``given`` whether the output's may; True if unsure."""
        del given
        return True

    @property
    def call(self) -> Node | None:
        """The call that forward passes make in place of one of the model's: none, unless a rule says so."""
        return None

    @abstractmethod
    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """Multipliers of the sources, given those of the output."""

    def parts(self, walk: Walk) -> Parts:
        """P and Q of the output; unless a rule says otherwise they start afresh from its sign."""
        return Parts.of(walk.delta(self.node.index))

    def _fresh(self, walk: Walk, m: Multipliers) -> Tensor:
        """One multiplier of the output, for operations that start afresh from its sign."""
        return m.by_sign(walk.delta(self.node.index)) if m.split else m.positive

    def _stacked(self, values: Mapping[int, Tensor]) -> Tensor:
        """Values of all sources, broadcast to the output's shape, along a further last axis."""
        return torch.stack([values[source].expand(self.node.shape) for source in self.sources], -1)

    def evaluate(self, lookup: Callable[[int], Any]) -> Any:
        """Run the recorded operation on other values of its sources."""
        node = self.node
        assert node.op is not None
        args = substitute(node.args, lookup)
        return node.op(*args, **{key: substitute(value, lookup) for key, value in node.kwargs.items()})


def only_varying(node: Node, position: int) -> int:
    """The node that argument ``position`` refers to, where no other argument depends on the input."""
    value = node.args[position]
    if not isinstance(value, Ref) or len(node.refs) != 1 or node.kwargs:
        raise NoRuleError("more than one argument, or an unusual one, depends on the input")
    return value.index
