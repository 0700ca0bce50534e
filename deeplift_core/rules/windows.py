"""The windows of maxima: the positions from which each maximum chooses.

A maximum of any kind is the largest of some positions of one axis: a max pool has a window of positions for
each maximum, a maximum over axes has one window of all positions, and a running maximum has for each position
the window of all positions up to it. The rules of maxima (:mod:`deeplift_core.rules.maxima`,
:mod:`deeplift_core.rules.aumann_shapley`) know nothing else about the operation.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.rules.registry import kernel_of
from deeplift_core.rules.rule import NoRuleError, permuted_back
from deeplift_core.rules.ties import tie_threshold

aten = torch.ops.aten

# The most values that are gathered from the windows at the same time.
_AT_A_TIME = 1 << 22


class Windows(ABC):
    """The windows of the maxima of one operation.

    Attributes
    ----------
    source : int
        The node that holds the values.
    kernel : int
        The node of the recorded operation: the maxima's own node, or where the operation also returns
        positions the node of which the maxima are the first result.
    """

    source: int
    kernel: int

    @abstractmethod
    def flatten(self, value: Tensor) -> Tensor:
        """Bring values of the source into the form [..., M], with all positions on the last axis."""

    @abstractmethod
    def unflatten(self, value: Tensor) -> Tensor:
        """Bring [..., M] back into the shape in which the operation takes the source."""

    @abstractmethod
    def flat_maxima(self, value: Tensor) -> Tensor:
        """Bring what belongs to the maxima into the form [..., W], with the maxima on the last axis."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Tensor | None:
        """Return the positions of the windows from ``start`` to before ``stop``.

        Returns
        -------
        int64 Tensor [stop - start, k] or None
            Positions in order. A window of fewer than k positions repeats its first one. None stands for one
            window of all positions.
        """

    @abstractmethod
    def chunks(self, rest: int) -> Iterator[tuple[int, int]]:
        """Split the windows into pieces whose values are gathered at the same time.

        Parameters
        ----------
        rest : int
            The number of rows of :meth:`flatten`'s result: the product of all its axes but the last.

        Yields
        ------
        start, stop : int
            The arguments of :meth:`rows`.
        """

    def first_of_largest(self, values: Tensor, maxima: Tensor) -> Tensor:
        """Return the positions of the maxima; of several ties the first position counts.

        Parameters
        ----------
        values : Tensor [..., M]
        maxima : Tensor [..., W]

        Returns
        -------
        int64 Tensor [..., W]
        """
        least = tie_threshold(maxima).unsqueeze(-1)
        found = []
        for start, stop in self.chunks(math.prod(values.shape[:-1])):
            rows = self.rows(start, stop)
            in_windows = values.unsqueeze(-2) if rows is None else values[..., rows]
            ties = in_windows >= least[..., start:stop, :]
            # torch has no argmax of booleans; of several equal numbers it takes the first.
            place = ties.view(torch.uint8).argmax(-1)
            if rows is not None:
                place = rows[torch.arange(len(rows), device=rows.device), place]
            found.append(place)
        return torch.cat(found, -1) if len(found) > 1 else found[0]


class RegularWindows(NamedTuple):
    """Windows that are all alike: the same offsets from starts at equal distances.

    Attributes
    ----------
    length, stride, padding, dilation : tuple of int
        The settings of max pools, for each axis.
    """

    length: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


class PoolWindows(Windows):
    """The windows of a max pool: overlapping, padded, dilated or adaptive, along two or three axes.

    Attributes
    ----------
    shape : torch.Size
        The shape in which the operation takes the source.
    size, count : tuple of int
        Positions and windows along each axis that is pooled.
    regular : RegularWindows or None
        The arrangement of the windows; None for an adaptive pool whose windows differ in length.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        self.source, self.kernel = values_of(graph, node)
        operation = graph.nodes[self.kernel]
        self._axes = 3 if "3d" in operation.op_name else 2
        self.shape = graph.nodes[self.source].shape
        self.size, self.count = tuple(self.shape[-self._axes :]), tuple(node.shape[-self._axes :])
        self.regular = self._equal_parts() if "adaptive" in operation.op_name else self._settings(operation)
        self._device = graph.device

    def _settings(self, operation: Node) -> RegularWindows:
        """Return the settings of the recorded call, which leaves out settings with their default."""

        def setting(place: int, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
            value = operation.args[place] if len(operation.args) > place else operation.kwargs.get(name)
            given = [value] if isinstance(value, int) else list(value or default)
            return tuple(given * self._axes if len(given) == 1 else given)

        length = setting(1, "kernel_size", ())
        ones = (1,) * self._axes
        return RegularWindows(
            length, setting(2, "stride", length), setting(3, "padding", (0,)), setting(4, "dilation", ones)
        )

    def _equal_parts(self) -> RegularWindows | None:
        """Return the windows of an adaptive pool if its axes divide into parts of equal length."""
        if any(size % count for size, count in zip(self.size, self.count, strict=True)):
            return None
        length = tuple(size // count for size, count in zip(self.size, self.count, strict=True))
        return RegularWindows(length, length, (0,) * self._axes, (1,) * self._axes)

    def flatten(self, value: Tensor) -> Tensor:
        """Join the pooled axes, which is how torch counts positions."""
        return self.flat_maxima(value.reshape(self.shape))

    def unflatten(self, value: Tensor) -> Tensor:
        """Split the pooled axes again."""
        return value.reshape(self.shape)

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Join the pooled axes."""
        return value.flatten(-self._axes)

    def rows(self, start: int, stop: int) -> Tensor | None:
        """Return rows of the table of all windows."""
        return None if self._is_one_of_all else self._table[start:stop]

    def chunks(self, rest: int) -> Iterator[tuple[int, int]]:
        """Split anywhere."""
        if self._is_one_of_all:
            yield 0, 1
        else:
            windows, length = self._table.shape
            yield from _pieces(windows, length, rest)

    @cached_property
    def _is_one_of_all(self) -> bool:
        """True if there is one window of all positions."""
        return self.regular is not None and self.regular[:3] == (self.size, self.size, (0,) * self._axes)

    @cached_property
    def _table(self) -> Tensor:
        """The positions [W, k] of every window along the joined axes."""
        table = torch.zeros(1, 1, dtype=torch.int64)
        for axis, size in enumerate(self.size):
            windows = [self._along(axis, number) for number in range(self.count[axis])]
            longest = max(map(len, windows))
            full = torch.tensor([[*places, *places[:1] * (longest - len(places))] for places in windows])
            table = (size * table[:, None, :, None] + full[None, :, None, :]).flatten(2).flatten(0, 1)
        return table.to(self._device)

    def _along(self, axis: int, number: int) -> list[int]:
        """Return the positions of one window along one axis, without padding."""
        size, count = self.size[axis], self.count[axis]
        if self.regular is None:
            return list(range(number * size // count, -((number + 1) * size // -count)))
        length, stride, padding, dilation = (setting[axis] for setting in self.regular)
        start = number * stride - padding
        return [place for place in range(start, start + length * dilation, dilation) if 0 <= place < size]


class AxesWindows(Windows):
    """One window of all positions along some axes: ``x.max(dim)``, ``x.amax(dims)``, global max pooling."""

    def __init__(self, graph: Graph, node: Node) -> None:
        if node.op_name == "getitem":
            self.source, self.kernel = values_of(graph, node)
        else:
            self.source, self.kernel = node.refs[0], node.index
        arguments = graph.nodes[self.kernel].args
        self._shape = graph.nodes[self.source].shape
        rank = len(self._shape)
        axes: Any = arguments[1] if len(arguments) > 1 else ()
        chosen = [axes] if isinstance(axes, int) else list(axes)
        self._axes = sorted(axis % rank for axis in chosen) or list(range(rank))
        self._others = [axis for axis in range(rank) if axis not in self._axes]

    def flatten(self, value: Tensor) -> Tensor:
        """Bring the reduced axes to the end and join them."""
        return value.permute(*self._others, *self._axes).flatten(len(self._others))

    def unflatten(self, value: Tensor) -> Tensor:
        """Undo the join and the permutation."""
        order = [*self._others, *self._axes]
        return permuted_back(value.reshape([self._shape[axis] for axis in order]), order)

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Drop the reduced axes, where they were kept, for one axis at the end."""
        return value.reshape([self._shape[axis] for axis in self._others]).unsqueeze(-1)

    def rows(self, start: int, stop: int) -> None:
        """Return None, which stands for all positions."""
        del start, stop

    def chunks(self, rest: int) -> Iterator[tuple[int, int]]:
        """Yield the one window."""
        del rest
        yield 0, 1


class RunningWindows(Windows):
    """The windows of a running maximum: each position and all before it along an axis."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.source, self.kernel = values_of(graph, node)
        self._axis: int = graph.nodes[self.kernel].args[1]
        self._length = graph.nodes[self.source].shape[self._axis]
        self._device = graph.device

    def flatten(self, value: Tensor) -> Tensor:
        """Bring the axis to the end."""
        return value.movedim(self._axis, -1)

    def unflatten(self, value: Tensor) -> Tensor:
        """Bring the axis back."""
        return value.movedim(-1, self._axis)

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Bring the axis to the end."""
        return self.flatten(value)

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the positions up to each position."""
        window = torch.arange(start, stop, device=self._device).unsqueeze(-1)
        position = torch.arange(stop, device=self._device)
        return torch.where(position <= window, position, 0)

    def chunks(self, rest: int) -> Iterator[tuple[int, int]]:
        """Split anywhere, as if all windows were as long as the last."""
        yield from _pieces(self._length, self._length, rest)

    def first_of_largest(self, values: Tensor, maxima: Tensor) -> Tensor:
        """Return the first position at which the running maximum is within 8 eps of its value here.

        The running maximum is sorted, so that a search by halves finds the position. The maximum has just
        risen there, to the value at that position.
        """
        del values
        found = torch.searchsorted(maxima.contiguous(), tie_threshold(maxima).contiguous())
        return found.clamp_(max=self._length - 1)  # The search places NaN after the end.


# The operations of maxima over windows, each with the class of its windows.
WINDOWS: dict[Any, type[PoolWindows] | type[AxesWindows] | type[RunningWindows]] = {
    aten.max_pool2d_with_indices.default: PoolWindows,
    aten.max_pool3d_with_indices.default: PoolWindows,
    aten.adaptive_max_pool2d.default: PoolWindows,
    aten.adaptive_max_pool3d.default: PoolWindows,
    aten.max.default: AxesWindows,
    aten.max.dim: AxesWindows,
    aten.amax.default: AxesWindows,
    aten.cummax.default: RunningWindows,
}


def windows_of(graph: Graph, node: Node) -> Windows:
    """Return the windows of the maxima that ``node`` holds.

    Raises
    ------
    NoRuleError
        If ``node`` holds the positions, or if only the positions depend on the model's input.
    """
    return WINDOWS[kernel_of(graph, node).op](graph, node)


def _pieces(windows: int, length: int, rest: int) -> Iterator[tuple[int, int]]:
    step = max(1, _AT_A_TIME // max(1, length * rest))
    for start in range(0, windows, step):
        yield start, min(start + step, windows)


def values_of(graph: Graph, node: Node) -> tuple[int, int]:
    """Find the argument and the node of the operation whose first result, the values, ``node`` takes.

    Raises
    ------
    NoRuleError
        If ``node`` takes the positions, or if only the positions depend on the model's input.
    """
    if node.op_name != "getitem" or node.args[1] != 0:
        raise NoRuleError("the position of a value is used as a value")
    kernel = graph.nodes[node.args[0].index]
    source = kernel.args[0]
    if not isinstance(source, Ref):
        raise NoRuleError("only which values are chosen depends on the input")
    return source.index, kernel.index
