"""The two steps of scoring, each compiled into one function by torch.compile.

Rules are written with torch's operations only, so that both steps can be traced as they run: a flat list of
ATen calls on tensors of fixed shapes, without Python, autograd or the values that no rule reads in the end.
The forward passes of input and references are the same compiled function, and round alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from deeplift_core.compile.tracing import traced
from deeplift_core.engine.steps import LayerScores, Steps, Task
from deeplift_core.errors import CompileError

# What torch raises where it cannot compile has no common class.
_FAILURES = (RuntimeError, OSError, TypeError, ValueError, AssertionError, ImportError)


class CompiledSteps(Steps):
    """Compiled when the first batch comes; all batches have its shapes.

    Parameters
    ----------
    tasks, channel_axis
        As for :class:`deeplift_core.engine.steps.Steps`.

    Raises
    ------
    CompileError
        From the first batch, if torch cannot compile, for instance for want of a C++ compiler.
    """

    def __init__(self, tasks: Sequence[Task], channel_axis: int | None) -> None:
        super().__init__(tasks, channel_axis)
        self._kept: list[int] = []
        self._forward: Callable[..., Any] | None = None
        self._walks: list[Callable[..., Any]] = []

    def forward(self, inputs: list[Tensor]) -> dict[int, Any]:
        """As the base class has it, less the values that are not read."""
        if self._forward is None:
            self._compile(inputs)
        assert self._forward is not None
        return dict(zip(self._kept, self._forward(inputs), strict=True))

    def walks(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """As the base class has it; walks are compiled one by one, and share nothing."""
        at_x, at_reference = ([values[index] for index in self._kept] for values in (x, reference))
        for walk in self._walks:
            yield [LayerScores(*found) for found in walk(at_x, at_reference)]

    def _walk(self, place: int, x: Mapping[int, Any], reference: Mapping[int, Any]) -> list[LayerScores]:
        (found,) = Steps([self.tasks[place]], self._channel_axis).walks(x, dict(reference))
        return found

    def _compile(self, inputs: list[Tensor]) -> None:
        try:
            forward, walks = self._traced_steps(inputs)
            compiled = torch.compile(forward, dynamic=False)
            values = compiled(inputs)  # compiling happens in the first call
            self._walks = [torch.compile(walk, dynamic=False) for walk in walks]
            for walk in self._walks:
                walk(values, _apart(values))
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CompileError(f"torch cannot compile the scoring of this model: {reason}") from error
        self._forward = compiled

    def _traced_steps(self, inputs: list[Tensor]) -> tuple[fx.GraphModule, list[fx.GraphModule]]:
        """Both steps as flat graphs; sets which values are kept between them."""
        values = super().forward(inputs)
        everything = sorted(values)
        places = range(len(self.tasks))
        for place in places:  # what rules work out only once must not become part of a trace
            self._walk(place, values, _apart(values))
        read = {*self.wanted, *(layer for task in self.tasks for layer in task.layers)}
        for place in places:
            read |= _read(self._traced_walk(place, everything, values), everything, values)
        kept = self._kept = sorted(read)

        def forward(inputs: list[Tensor]) -> list[Any]:
            found = self.graph.run(inputs, self.wanted, read)
            return [found[index] for index in kept]

        return traced(forward, inputs), [self._traced_walk(place, kept, values) for place in places]

    def _traced_walk(self, place: int, kept: list[int], values: Mapping[int, Any]) -> fx.GraphModule:
        def walk(x: list[Any], reference: list[Any]) -> list[tuple[Tensor | None, ...]]:
            # Rules may look at values of which nothing comes in the end: any will do for those.
            pair = ({**values, **dict(zip(kept, side, strict=True))} for side in (x, reference))
            return [tuple(found) for found in self._walk(place, *pair)]

        at_input = [values[index] for index in kept]
        return traced(walk, at_input, _apart(at_input))


def _apart(values: Any) -> Any:
    """The same values in other tensors: a trace takes one tensor in two places for one argument."""
    return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, values)


def _read(walk: fx.GraphModule, kept: list[int], values: Mapping[int, Any]) -> set[int]:
    """Which of the kept nodes' values the walk reads, at the input or at the reference."""
    arguments = [bool(node.users) for node in walk.graph.nodes if node.op == "placeholder"]
    counts = [len(values[index]) if isinstance(values[index], (tuple, list)) else 1 for index in kept]
    total = sum(counts)
    read, start = set(), 0
    for index, count in zip(kept, counts, strict=True):
        if any(arguments[place] or arguments[total + place] for place in range(start, start + count)):
            read.add(index)
        start += count
    return read
