"""Maxima over a window or an axis.

The paper leaves maxima open, and the original implementation sends the multiplier to the input's
argmax only, which breaks summation-to-delta. Here a window whose maximum rose (Delta y > 0) explains it
by the position that is the maximum of the input, and one whose maximum fell by the position that was
the maximum of the reference; that position changed by at least Delta y and in the same direction, so
the multiplier Delta y / Delta x lies in (0, 1] and the sum is exact. Where the reference ties at the
input's argmax, that position counts as the reference's argmax too (a switch). A shared argmax that did
not change passes its multiplier on unchanged; ties never count twice. The larger of two tensors, running
maxima and all minima have the same rule.

Where a ReLU lies right before a max pool, both rules are one step, from the maxima to what ReLU takes: the
pool's Delta y / Delta x times Rescale's multiplier is Delta y over the difference of what ReLU takes there.
Nothing of ReLU's size is worked out or kept for it: of a window all positions but two would get 0.
"""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from deeplift_core.graph import Graph, Node, Ref
from deeplift_core.rules.base import (
    Multipliers,
    NoRuleError,
    Rule,
    Sent,
    Walk,
    difference,
    permuted_back,
    scaled_multipliers,
    sum_to_shape,
    where_positive,
)
from deeplift_core.rules.registry import rule_for


class Routes(NamedTuple):
    """Where the multipliers of maxima [..., W] go among the positions [..., M] that they choose from.

    Attributes
    ----------
    at_x, at_r : int64 Tensor [..., W]
        Positions of the maxima of the input and of the reference.
    to_x, to_r : Tensor [..., W]
        What a maximum's multiplier is multiplied by on its way to either; one of the two is 0.
    delta : Tensor [..., W]
        Difference-from-reference of the maxima.
    """

    at_x: Tensor
    at_r: Tensor
    to_x: Tensor
    to_r: Tensor
    delta: Tensor

    def send(self, m: Multipliers, to: Tensor) -> Tensor:
        """Multipliers of the positions ``to`` [..., M], given those of the maxima; laid out as these are."""
        total = m.by_sign(self.delta)
        # Of bfloat16 the kernel makes float32 and back, all of it each time.
        dtype = torch.promote_types(to.dtype, torch.float32)
        sent = torch.zeros_like(to, dtype=dtype)
        for at, share in ((self.at_x, self.to_x), (self.at_r, self.to_r)):
            _scatter_add(sent, at, (share * total).to(dtype))
        return sent.to(to.dtype)


def _in_memory(value: Tensor) -> list[int]:
    """Its axes from the longest stride to the shortest."""
    return sorted(range(value.dim()), key=value.stride().__getitem__, reverse=True)


def _scatter_add(total: Tensor, at: Tensor, value: Tensor) -> None:
    """Add values [..., W] to a total [..., M] at positions [..., W] of the last axis, along its layout."""
    order = _in_memory(total)
    total.permute(order).scatter_add_(order.index(at.dim() - 1), at.permute(order), value.permute(order))


def _gathered(value: Tensor, at: Tensor) -> Tensor:
    """Values [..., M] at positions [..., W] of the last axis, laid out as the positions are.

    Left to itself the kernel lays them out in rows, and all that combines them with others of another layout
    takes many times as long.
    """
    order = _in_memory(at)
    found = value.permute(order).gather(order.index(at.dim() - 1), at.permute(order))
    return permuted_back(found, order)


def routes_of_maxima(
    x: Tensor,
    r: Tensor,
    top_x: Tensor,
    top_r: Tensor,
    at_x: Tensor,
    at_r: Tensor,
    *,
    rectified: bool = False,
) -> Routes:
    """See the module's docstring.

    Parameters
    ----------
    x, r : Tensor [..., M]
        Values that the maxima choose from, at the input and at the reference.
    top_x, top_r : Tensor [..., W]
        The maxima.
    at_x, at_r : int64 Tensor [..., W]
        Their positions.
    rectified : bool
        Whether the maxima are those of ReLU of the values.
    """
    old, new = _gathered(r, at_x), _gathered(x, at_r)
    to_x, to_r, delta = shares_of_maxima(top_x, top_r, old, new, rectified=rectified)
    return Routes(at_x, at_r, to_x, to_r, delta)


def shares_of_maxima(
    top_x: Tensor, top_r: Tensor, old: Tensor, new: Tensor, *, rectified: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What goes to the maxima's positions, and the maxima's difference-from-reference; see `Routes`.

    Parameters
    ----------
    top_x, top_r : Tensor
        The maxima.
    old : Tensor
        The reference's values where the input has its maxima.
    new : Tensor
        The input's values where the reference has its maxima.
    rectified : bool
        Whether the maxima are those of ReLU of the values, and what they send goes to what ReLU takes.
    """
    if rectified:
        # A maximum of 0 takes nothing, even at the reference's own position: -1 is below all of these.
        old = where_positive(top_x, old).sub_(top_x.clone().le_(0))
    delta = difference(top_x, top_r)
    # How far the input's argmax was below the reference's maximum: 0 where it is the reference's argmax, too.
    below = difference(top_r, old)
    rose = where_positive(delta, delta / (top_x - old))
    # Whatever did not rise at an argmax that both share: it fell there, and Delta x is Delta y, or stayed.
    shared = delta.clamp(min=0).add_(below).eq_(0)
    fell = where_positive(torch.minimum(-delta, below), delta / (new - top_r))
    return rose.add_(shared), fell, delta


def shares_of_two(
    x: Sequence[Tensor], r: Sequence[Tensor], top_x: Tensor, top_r: Tensor, *, rectified: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What the first and the second of two get of their maximum's multiplier, and the maximum's Delta.

    The larger is chosen, without positions.

    Parameters
    ----------
    x, r : sequence of two Tensors
        First and second, at the input and at the reference; of two equal ones the first is the maximum.
    top_x, top_r : Tensor
        The maxima.
    rectified : bool
        As for :func:`shares_of_maxima`.
    """
    second_x, second_r = ((second - first).gt_(0) for first, second in (x, r))  # numbers 0 and 1
    old, new = _chosen(second_x, *r), _chosen(second_r, *x)
    to_x, to_r, delta = shares_of_maxima(top_x, top_r, old, new, rectified=rectified)
    to_second = where_positive(second_x, to_x).add_(where_positive(second_r, to_r))
    return to_x.add_(to_r).sub_(to_second), to_second, delta


def _chosen(second: Tensor, first_value: Tensor, second_value: Tensor) -> Tensor:
    """The second value where ``second`` is 1, the first where it is 0."""
    return where_positive(1 - second, first_value).add_(where_positive(second, second_value))


class Maximum(Rule):
    """Base: brings values and argmax positions into the form that :func:`routes_of_maxima` takes."""

    label: ClassVar[str] = "maximum"
    source: int
    rectified = False  # whether ``source`` holds what a ReLU takes whose values these are the maxima of

    def splits(self, given: bool) -> bool:
        """Each source gets one multiplier."""
        del given
        return False

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """See the module's docstring."""
        shape = self.graph.nodes[self.source].shape
        positions = self.flatten(walk.x[self.source])
        routed = walk.once(self.node.index, self._routes).send(m.each(self.flat_maxima), positions)
        return [(self.source, Multipliers.same(self.unflatten(routed, shape)))]

    def _routes(self, walk: Walk) -> Routes:
        sides = walk.x, walk.reference
        values = [self.flatten(side[self.source]) for side in sides]
        maxima = [self.flat_maxima(side[self.node.index]) for side in sides]
        positions = (self.positions(side) for side in sides)
        return routes_of_maxima(*values, *maxima, *positions, rectified=self.rectified)

    @abstractmethod
    def flatten(self, value: Tensor) -> Tensor:
        """Values with everything that one maximum may choose from on the last axis."""

    @abstractmethod
    def unflatten(self, value: Tensor, shape: torch.Size) -> Tensor:
        """Undo :meth:`flatten`."""

    @abstractmethod
    def positions(self, values: Any) -> Tensor:
        """Argmax positions on the last axis of :meth:`flatten`'s result."""

    @abstractmethod
    def flat_maxima(self, value: Tensor) -> Tensor:
        """The maxima's own axes brought into the same form."""


class MaxPool(Maximum):
    """Windowed maxima, overlapping, padded, dilated or adaptive; the kernel tells the argmax."""

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self.source, self.kernel = values_of(graph, node)
        self.sources = (self.source,)
        self._axes = 3 if "3d" in graph.nodes[self.kernel].op_name else 2
        self._shape = graph.nodes[self.source].shape

    def past_relu(self, source: int, passed: Sequence[int]) -> "MaxPool":
        """The rule of this pool and of the ReLU before it, of which ``source`` holds the argument.

        Parameters
        ----------
        source : int
        passed : sequence of int
            The nodes in between: ReLU itself, and axes of length 1 put in.
        """
        other = copy(self)
        other.source, other.sources = source, (source,)
        other.passed, other.rectified = tuple(passed), True
        return other

    @property
    def call(self) -> Node | None:
        """The kernel's, without the ReLU that was passed: the maxima are rectified instead.

        Only where a maximum is 0 is its position another one, and there nothing is sent to it.
        """
        if not self.rectified:
            return None
        kernel = self.graph.nodes[self.kernel]
        assert kernel.op is not None

        def rectified_maxima(value: Tensor, *settings: Any, **named: Any) -> tuple[Tensor, Tensor]:
            maxima, positions = kernel.op(value.reshape(self._shape), *settings, **named)  # type: ignore[misc]
            return maxima.relu(), positions

        return replace(kernel, op=rectified_maxima, args=(Ref(self.source), *kernel.args[1:]))

    @property
    def saved(self) -> set[int]:
        """The kernel's indices are kept with its values."""
        return {self.node.index, self.source, self.kernel}

    def flatten(self, value: Tensor) -> Tensor:
        """Join the spatial axes, which is how the kernel counts positions."""
        return self.flat_maxima(value.reshape(self._shape))

    def unflatten(self, value: Tensor, shape: torch.Size) -> Tensor:
        """Split the spatial axes again."""
        return value.reshape(shape)

    def positions(self, values: Any) -> Tensor:
        """The kernel's second result."""
        return self.flat_maxima(values[self.kernel][1])

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Join the spatial axes."""
        return value.flatten(-self._axes)


class MaxOfPairs(MaxPool):
    """Windows of two neighbours that do not overlap; compiled code reads and adds at positions one by one."""

    @property
    def saved(self) -> set[int]:
        """No positions."""
        return {self.node.index, self.source}

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """See the module's docstring."""
        *shares, delta = walk.once(self.node.index, self._shares)
        total = m.by_sign(delta)
        to = walk.x[self.source]
        sent = torch.zeros_like(to.reshape(self._shape))
        for half, share in zip(self._halves(sent), shares, strict=True):
            half.copy_(share * total)
        return [(self.source, Multipliers.same(sent.reshape(to.shape)))]

    def _shares(self, walk: Walk) -> tuple[Tensor, Tensor, Tensor]:
        # Copies: torch's threshold kernel is many times slower on every second value of a row.
        values = (side[self.source].reshape(self._shape) for side in (walk.x, walk.reference))
        x, r = ([half.clone() for half in self._halves(value)] for value in values)
        maxima = walk.x[self.node.index], walk.reference[self.node.index]
        return shares_of_two(x, r, *maxima, rectified=self.rectified)

    def _halves(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The first of each pair, and the second."""
        end = 2 * self.node.shape[-1]
        return value[..., 0:end:2], value[..., 1:end:2]


@rule_for(
    torch.ops.aten.max_pool2d_with_indices.default,
    torch.ops.aten.max_pool3d_with_indices.default,
    torch.ops.aten.adaptive_max_pool2d.default,
    torch.ops.aten.adaptive_max_pool3d.default,
)
def max_pool(graph: Graph, node: Node) -> MaxPool:
    """The rule for windowed maxima."""
    _, kernel = values_of(graph, node)
    return (MaxOfPairs if _is_of_pairs(graph.nodes[kernel]) else MaxPool)(graph, node)


def _is_of_pairs(kernel: Node) -> bool:
    """Whether windows are pairs along the last axis, one after the other; defaults are not recorded."""
    named = kernel.op_name == "max_pool2d_with_indices" and not kernel.kwargs
    return named and kernel.args[1:] in (([1, 2],), ([1, 2], [1, 2]))


@rule_for(torch.ops.aten.max.default, torch.ops.aten.max.dim, torch.ops.aten.amax.default)
class MaxOverAxes(Maximum):
    """Maximum over whole axes: ``x.max(dim)``, ``x.amax(dims)``, global max pooling."""

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        operation = node
        self.source = self.sources[0]
        if node.op_name == "getitem":
            self.source, index = values_of(graph, node)
            operation = graph.nodes[index]
        self.sources = (self.source,)
        rank = len(graph.nodes[self.source].shape)
        axes = operation.args[1] if len(operation.args) > 1 else ()
        chosen = [axes] if isinstance(axes, int) else list(axes)
        self._axes = sorted(axis % rank for axis in chosen) or list(range(rank))
        self._others = [axis for axis in range(rank) if axis not in self._axes]

    def flatten(self, value: Tensor) -> Tensor:
        """Bring the reduced axes to the end and join them."""
        return value.permute(*self._others, *self._axes).flatten(len(self._others))

    def unflatten(self, value: Tensor, shape: torch.Size) -> Tensor:
        """Undo the join and the permutation."""
        order = [*self._others, *self._axes]
        return permuted_back(value.reshape([shape[axis] for axis in order]), order)

    def positions(self, values: Any) -> Tensor:
        """First of the largest."""
        return self.flatten(values[self.source]).argmax(-1, keepdim=True)

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Drop the reduced axes, where they were kept, for one axis at the end."""
        shape = self.graph.nodes[self.source].shape
        return value.reshape([shape[axis] for axis in self._others]).unsqueeze(-1)


@rule_for(torch.ops.aten.cummax.default)
class RunningMaximum(Maximum):
    """Maximum of each position and all before it along an axis; the kernel tells the argmax."""

    def __init__(self, graph: Graph, node: Node) -> None:
        super().__init__(graph, node)
        self.source, self._kernel = values_of(graph, node)
        self.sources = (self.source,)
        self._axis = graph.nodes[self._kernel].args[1]

    @property
    def saved(self) -> set[int]:
        """The kernel's positions are kept with its values."""
        return {self.node.index, self.source, self._kernel}

    def flatten(self, value: Tensor) -> Tensor:
        """Bring the axis to the end."""
        return value.movedim(self._axis, -1)

    def unflatten(self, value: Tensor, shape: torch.Size) -> Tensor:
        """Bring the axis back."""
        return value.movedim(-1, self._axis)

    def positions(self, values: Any) -> Tensor:
        """The kernel's second result."""
        return self.flatten(values[self._kernel][1])

    def flat_maxima(self, value: Tensor) -> Tensor:
        """Bring the axis to the end."""
        return self.flatten(value)


class LargerOfTwo(Rule):
    """The larger (or smaller) of two quantities: a maximum over an axis of two, as maxout has it.

    Not the Shapley value of the two, which would split a rise of the one that is now larger with the other:
    that way ``torch.maximum(a, b)`` and ``torch.stack([a, b]).amax(0)`` score alike.

    Parameters
    ----------
    graph, node
        As for every rule.
    left, right : int
        The two.
    sign : {1, -1}
        -1 for the smaller.
    """

    label: ClassVar[str] = "maximum"

    def __init__(self, graph: Graph, node: Node, left: int, right: int, sign: int = 1) -> None:
        super().__init__(graph, node)
        self.sources = (left, right)
        self._sign = sign

    def splits(self, given: bool) -> bool:
        """Each source gets one multiplier."""
        del given
        return False

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """See the module's docstring; the smaller of two is the larger of their negatives."""
        *shares, delta = walk.once(self.node.index, self._shares)
        total = self._sign * scaled_multipliers(m, float(self._sign)).by_sign(delta)
        for source, share in zip(self.sources, shares, strict=True):
            yield source, Multipliers.same(sum_to_shape(share * total, self.graph.nodes[source].shape))

    def _shares(self, walk: Walk) -> tuple[Tensor, Tensor, Tensor]:
        sides = walk.x, walk.reference
        x, r = ([self._sign * side[s].expand(self.node.shape) for s in self.sources] for side in sides)
        return shares_of_two(x, r, *(self._sign * side[self.node.index] for side in sides))


def larger_of_two(graph: Graph, node: Node) -> LargerOfTwo | None:
    """The rule where ``node`` is ``maximum(a, b)``, also written ``where(a > b, a, b)``; None where not."""
    if node.op_name == "maximum":
        left, right = node.args
        return LargerOfTwo(graph, node, left.index, right.index)
    if node.op_name != "where" or not all(isinstance(value, Ref) for value in node.args):
        return None
    mask, chosen, other = (value.index for value in node.args)
    sign = _COMPARISONS.get(graph.nodes[mask].op_name)
    compared = graph.nodes[mask].args
    if sign is None or not all(isinstance(value, Ref) for value in compared):
        return None
    order = [value.index for value in compared]
    if order == [other, chosen]:
        sign = -sign
    elif order != [chosen, other]:
        return None
    return LargerOfTwo(graph, node, chosen, other, sign)


# Which of two the first is where the comparison holds.
_COMPARISONS = {"gt": 1, "ge": 1, "lt": -1, "le": -1}


def values_of(graph: Graph, node: Node) -> tuple[int, int]:
    """Input and index of the kernel whose first result (the values, not the positions) ``node`` takes."""
    if node.op_name != "getitem" or node.args[1] != 0:
        raise NoRuleError("the position of a value is used as a value")
    kernel = graph.nodes[node.args[0].index]
    source = kernel.args[0]
    if not isinstance(source, Ref):
        raise NoRuleError("only which values are chosen depends on the input")
    return source.index, kernel.index
