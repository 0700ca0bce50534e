"""The forward values of a batch at its input and at one reference, with their differences and parts."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from deeplift_core.rules.differences import difference
from deeplift_core.rules.multipliers import Parts

if TYPE_CHECKING:
    from deeplift_core.rules.rule import Rule

Found = TypeVar("Found")


def as_number(value: Any, dtype: torch.dtype) -> Any:
    """Return masks and counts as floating-point numbers, and every other value as it is."""
    if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex():
        return value
    return value.to(dtype)


class Numbers(MutableMapping[int, Any]):
    """Forward values by node, in which masks and counts are numbers: 0 and 1, or 0, 1, 2 and so on.

    Parameters
    ----------
    values : mapping of int to values
        Entries are taken out of this mapping as rules free them.
    dtype : torch.dtype
        The type of masks and counts as numbers.
    """

    def __init__(self, values: MutableMapping[int, Any], dtype: torch.dtype) -> None:
        self._values = values
        self._dtype = dtype

    def __getitem__(self, index: int) -> Any:
        value = self._values[index]
        number = as_number(value, self._dtype)
        if number is not value:
            self._values[index] = number
        return number

    def __setitem__(self, index: int, value: Any) -> None:
        self._values[index] = value

    def __delitem__(self, index: int) -> None:
        del self._values[index]

    def pop(self, index: int, default: Any = None) -> Any:
        """Remove a value and return it unchanged."""
        return self._values.pop(index, default)

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class PairValues:
    """The forward values of one batch of inputs and one batch of references.

    The backward passes of all targets share one object, and so share everything that is memoised here.

    Parameters
    ----------
    x, reference : mutable mapping of int to values
        Forward values by node. The object owns both mappings and empties them as it frees values.
    rule_of : callable
        Returns the rule of a node.
    dtype : torch.dtype
        The precision of the scores; masks and counts become numbers of this type.

    Attributes
    ----------
    x, reference : mapping of int to values
    """

    def __init__(
        self,
        x: MutableMapping[int, Any],
        reference: MutableMapping[int, Any],
        rule_of: Callable[[int], "Rule"],
        dtype: torch.dtype,
    ) -> None:
        self.x = Numbers(x, dtype)
        self.reference = Numbers(reference, dtype)
        self._rule_of = rule_of
        self._deltas: dict[int, Tensor] = {}
        self._parts: dict[int, Parts] = {}
        self._memoised: dict[int, Any] = {}
        self._end = max(x, default=-1) + 1

    def memoised(self, index: int, find: Callable[["PairValues"], Found]) -> Found:
        """Return the result of ``find`` for one node, computed a single time for all targets and parts."""
        if index not in self._memoised:
            self._memoised[index] = find(self)
        found: Found = self._memoised[index]
        return found

    def free_from(self, index: int) -> None:
        """Free everything that belongs to this node and to later ones.

        The last target's backward pass calls this as it proceeds: a rule reads values of its own node and of
        earlier nodes only.
        """
        for held in (self.x, self.reference, self._deltas, self._parts, self._memoised):
            for passed in range(index, self._end):
                held.pop(passed, None)
        self._end = index

    def delta(self, index: int) -> Tensor:
        """Return the difference-from-reference of one node; differences within rounding are exactly 0."""
        if index not in self._deltas:
            self._deltas[index] = difference(self.x[index], self.reference[index])
        return self._deltas[index]

    def parts(self, index: int) -> Parts:
        """Return P and Q of one node, computed when a RevealCancel activation asks for them.

        The parts of a node may need those of the nodes before it, through hundreds of layers. They are
        therefore computed in the order of the graph, without recursion.
        """
        if index not in self._parts:
            for needed in self._needed_for_parts(index):
                self._parts[needed] = self._rule_of(needed).parts(self)
        return self._parts[index]

    def _needed_for_parts(self, index: int) -> list[int]:
        needed, stack = {index}, [index]
        while stack:
            rule = self._rule_of(stack.pop())
            if rule.passes_parts:
                new = [s for s in rule.sources if s not in self._parts and s not in needed]
                needed.update(new)
                stack.extend(new)
        return sorted(needed)
