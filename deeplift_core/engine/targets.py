"""What is explained: a scalar of the model's output, as a node of a graph.

The choice of an element, or a user's own function, is recorded as further nodes, and backward passes begin at
the last of these. The nodes belong to a new graph that shares the model's own nodes; the recording itself
never changes.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from deeplift_core.capture import record_function, record_proved_function
from deeplift_core.errors import CaptureError, DeepLiftError, TargetError
from deeplift_core.graph import Graph

Index = int | tuple[int, ...]
Scalar = Index | Callable[[Tensor], Tensor]


class TargetFunction(ABC):
    """A target function that computes the same for ever, and that equal objects compute alike.

    A subclass is best a frozen dataclass: hashable, compared by its fields, and without anything outside
    these fields that changes what it computes. Such a function is recorded and proved once and found again by
    its value, as an index is. Any other function is recorded and proved at every call, because what it
    computes may have changed.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class LogRatio(TargetFunction):
    ...     first: int
    ...     second: int
    ...
    ...     def __call__(self, output):
    ...         return output[:, self.first] - output[:, self.second]
    """

    @abstractmethod
    def __call__(self, output: Tensor) -> Tensor:
        """Return one value for each row.

        Parameters
        ----------
        output : Tensor [K, ...]
            The explained output.

        Returns
        -------
        Tensor [K]

        Raises
        ------
        TargetError
            Where the output has another shape than the function is for.
        """


@dataclass(frozen=True)
class OfOutput:
    """A target that is taken of one output of several, whichever output the explainer explains by default.

    Attributes
    ----------
    output : int or str
        The place among all outputs, or the name where the model returns a mapping.
    target : int, tuple of int, or callable
    """

    output: int | str
    target: Scalar


Target = Scalar | tuple[str, Index] | OfOutput


def choose_output(structure: Any, output: int | str) -> int:
    """Return the place of the chosen output among the outputs that depend on the input.

    Parameters
    ----------
    structure
        The structure that :func:`deeplift_core.capture.record_model` returns.
    output : int or str
        The place among all outputs, or the name where the model returns a mapping.

    Raises
    ------
    TargetError
        If there is no such output, or the output does not depend on the input.
    """
    if isinstance(output, str):
        if not isinstance(structure, Mapping) or output not in structure:
            names = ", ".join(map(str, structure)) if isinstance(structure, Mapping) else "none are named"
            raise TargetError(f"the model has no output named {output!r} ({names})")
        place = structure[output]
    else:
        places = tree_leaves(structure)
        if not 0 <= output < len(places):
            raise TargetError(
                f"the model has no output {output}: it has {len(places)} (0 to {len(places) - 1})"
            )
        place = places[output]
    if not isinstance(place, int):
        named = structure if isinstance(structure, Mapping) else dict(enumerate(tree_leaves(structure)))
        usable = ", ".join(str(name) for name, leaf in named.items() if leaf is not None)
        raise TargetError(f"output {output!r} does not depend on the input; choose from {usable}")
    return place


def checked(target: Target) -> Target:
    """Return the target with plain integers, so that equal targets have equal keys in a cache.

    Raises
    ------
    TargetError
        If the target is neither an index, nor a module's name with an index, nor a function; or if it is a
        `TargetFunction` that has no hash.
    """
    if isinstance(target, OfOutput):
        output = target.output if isinstance(target.output, str) else operator.index(target.output)
        return OfOutput(output, _checked_scalar(target.target))
    if isinstance(target, tuple) and target and isinstance(target[0], str):
        if len(target) != 2:
            raise TargetError(f"target {target!r} must be (module name, index)")
        return target[0], _plain(target[1])
    return _checked_scalar(target)


def means_its_value(target: Target) -> bool:
    """Return whether equal targets are the same target: all but functions that are no `TargetFunction`."""
    scalar = target.target if isinstance(target, OfOutput) else target
    return not callable(scalar) or isinstance(scalar, TargetFunction)


def _checked_scalar(target: Any) -> Scalar:
    if not callable(target):
        return _plain(target)
    if isinstance(target, TargetFunction) and not _has_hash(target):
        raise TargetError(
            f"a target of class {type(target).__name__} has no hash, by which it is found again: "
            "make the class a frozen dataclass with hashable fields"
        )
    function: Callable[[Tensor], Tensor] = target
    return function


def _has_hash(value: Hashable) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _plain(index: Any) -> Index:
    try:
        if isinstance(index, tuple):
            return tuple(operator.index(place) for place in index)
        return operator.index(index)
    except TypeError:
        raise TargetError(
            f"target {index!r} is neither an index, a tuple of indices, (module name, index) nor a function"
        ) from None


def with_scalar(graph: Graph, output: int, target: Scalar) -> tuple[Graph, int]:
    """Return a graph with a node [K]: one scalar for each row of the node ``output`` [K, ...].

    Parameters
    ----------
    graph : Graph
    output : int
    target : index or callable
        An element, or a function, which runs now: on zeros, and on other numbers, on which its recording is
        compared with it.

    Returns
    -------
    graph : Graph
        The graph given, with further nodes behind its own.
    node : int
        The node of the scalar.

    Raises
    ------
    TargetError
        If the index does not name one element, or the function fails, does not return one value for each
        row, mixes rows, or does something that its recording does not.
    """
    example = example_of(graph, output)
    if example.shape[:1] != (graph.batch_size,):
        shape = tuple(example.shape)
        raise TargetError(
            f"the output has shape {shape}, not one row for each of the {graph.batch_size} inputs"
        )
    if not example.dtype.is_floating_point:
        raise TargetError(
            f"the output is {example.dtype}, not floating numbers, whose differences are explained"
        )
    if not callable(target):
        place = _full_index(target, tuple(example.shape[1:]))
        if not place:
            return graph, output
        return record_function(graph, output, example, lambda value: _element(value, place))
    try:
        extended, node = record_proved_function(graph, output, example, target)
    except CaptureError as problem:
        raise TargetError(str(problem)) from problem
    except (DeepLiftError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise TargetError(
            f"the target function failed on an output of shape {tuple(example.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    shape = extended.nodes[node].shape
    if shape != (graph.batch_size,):
        raise TargetError(
            f"the target function returned shape {tuple(shape)} for {graph.batch_size} rows, not one value "
            "a row"
        )
    return extended, node


def _full_index(target: Index, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index with zeros for further axes of length 1, after a check against the shape."""
    given = target if isinstance(target, tuple) else (target,)
    if not shape and given == (0,):
        return ()
    index = (*given, *(0 for size in shape[len(given) :] if size == 1))
    if len(index) != len(shape):
        ranges = ", ".join(f"0 to {size - 1}" for size in shape) or "0"
        raise TargetError(
            f"target {target} does not name one element of an output of shape {shape}: give ({ranges})"
        )
    for place, size in zip(index, shape, strict=True):
        if not 0 <= place < size:
            raise TargetError(
                f"target {target} is out of range: the output has shape {shape}, valid is 0 to {size - 1}"
            )
    return index


def _element(value: Tensor, place: tuple[int, ...]) -> Tensor:
    """Return the column [K] of one element, by one select for each axis."""
    for position in place:
        value = value.select(1, position)
    return value


def example_of(graph: Graph, index: int) -> Tensor:
    """Return zeros in the shape of a node's value."""
    node = graph.nodes[index]
    return torch.zeros(node.shape, dtype=node.dtype, device=graph.device)
