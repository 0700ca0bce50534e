"""The forward pass and each backward pass, compiled into one function each by torch.compile.

Rules use torch's operations only. A trace of a pass is therefore a flat list of ATen calls on tensors of
fixed shapes, without Python and autograd, and calls whose results do not reach the scores are taken out. The
forward passes of input and references are the same compiled function, and round alike.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from deeplift_core.assignment.plan import Plan
from deeplift_core.compile.tracing import traced
from deeplift_core.engine.executable import EagerExecutable, LayerScores
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.errors import CompileError

# Torch raises these where it cannot compile; they have no common class.
_FAILURES = (RuntimeError, OSError, TypeError, ValueError, AssertionError, ImportError)


class CompiledExecutable:
    """A plan compiled when the first batch comes; all batches have its shapes.

    Parameters
    ----------
    plan, channel_axis
        The arguments of :class:`deeplift_core.engine.executable.EagerExecutable`.

    Raises
    ------
    CompileError
        From the first batch, if torch cannot compile, for instance for want of a C++ compiler.
    """

    def __init__(self, plan: Plan, channel_axis: int | None) -> None:
        self.plan = plan
        self._channel_axis = channel_axis
        self._kept: list[int] = []
        self._forward: Callable[..., Any] | None = None
        self._backward: list[Callable[..., Any]] = []
        self._lock = threading.Lock()

    def forward(self, inputs: Sequence[Tensor]) -> dict[int, Any]:
        """Return the values that the compiled backward passes read, and those of the targets."""
        with self._lock:
            if self._forward is None:
                self._compile(list(inputs))
        assert self._forward is not None
        return dict(zip(self._kept, self._forward(list(inputs)), strict=True))

    def scores(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """Run the compiled backward passes, which share no intermediate values."""
        at_x, at_reference = ([values[index] for index in self._kept] for values in (x, reference))
        reference.clear()
        for backward in self._backward:
            yield [LayerScores(*found) for found in backward(at_x, at_reference)]

    def _compile(self, inputs: list[Tensor]) -> None:
        try:
            forward, passes = self._traced(inputs)
            compiled = torch.compile(forward, dynamic=False)
            values = compiled(inputs)  # the first call compiles
            self._backward = [torch.compile(backward, dynamic=False) for backward in passes]
            for backward in self._backward:
                backward(values, _apart(values))
        except torch.OutOfMemoryError:
            raise
        except _FAILURES as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CompileError(f"torch cannot compile the scoring of this model: {reason}") from error
        self._forward = compiled

    def _traced(self, inputs: list[Tensor]) -> tuple[fx.GraphModule, list[fx.GraphModule]]:
        """Return all passes as flat graphs, and note which values are kept between them."""
        plan = self.plan
        values = ForwardPass(plan)(inputs)
        everything = sorted(values)
        targets = range(len(plan.targets))
        for target in targets:  # rules memoise what follows from weights, which is to be in no trace
            self._scores(target, values, _apart(values))
        read = {*plan.wanted, *plan.layers}
        for target in targets:
            read |= _read(self._traced_backward(target, everything, values), everything, values)
        kept = self._kept = sorted(read)
        run = ForwardPass(plan, keep=read)

        def forward(inputs: list[Tensor]) -> list[Any]:
            found = run(inputs)
            return [found[index] for index in kept]

        return traced(forward, inputs), [self._traced_backward(target, kept, values) for target in targets]

    def _traced_backward(self, target: int, kept: list[int], values: Mapping[int, Any]) -> fx.GraphModule:
        def backward(x: list[Any], reference: list[Any]) -> list[tuple[Tensor | None, ...]]:
            # A rule may read values that do not affect the scores. In the trace these are the constants of
            # the first batch, and the trace loses every call that only they reach.
            pair = ({**values, **dict(zip(kept, side, strict=True))} for side in (x, reference))
            return [tuple(found) for found in self._scores(target, *pair)]

        at_input = [values[index] for index in kept]
        return traced(backward, at_input, _apart(at_input))

    def _scores(self, target: int, x: Mapping[int, Any], reference: Mapping[int, Any]) -> list[LayerScores]:
        """Return the scores for the target at one place among the plan's."""
        alone = replace(self.plan, targets=self.plan.targets[target : target + 1])
        (found,) = EagerExecutable(alone, self._channel_axis).scores(x, dict(reference))
        return found


def _apart(values: Any) -> Any:
    """Return copies of the values: a trace would take the same tensor in two places for one argument."""
    return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, values)


def _read(backward: fx.GraphModule, kept: list[int], values: Mapping[int, Any]) -> set[int]:
    """Return which of the kept nodes' values the backward pass reads, at the input or at the reference."""
    arguments = [bool(node.users) for node in backward.graph.nodes if node.op == "placeholder"]
    counts = [len(values[index]) if isinstance(values[index], (tuple, list)) else 1 for index in kept]
    total = sum(counts)
    read, start = set(), 0
    for index, count in zip(kept, counts, strict=True):
        if any(arguments[place] or arguments[total + place] for place in range(start, start + count)):
            read.add(index)
        start += count
    return read
