"""The rules for comparison: gradients in place of multipliers (paper, section 2)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from deeplift_core.assignment.plan import Plan
from deeplift_core.engine.backward import Score
from deeplift_core.engine.executable import LayerScores, finished
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.errors import TargetError


class GradientExecutable:
    """Mean of some gradients on the line from reference to input, times the difference-from-reference.

    Parameters
    ----------
    plan : Plan
        The plan; its rules are not read.
    channel_axis : int or None
        The axis of the inputs along which a one-hot base lies; None if the axis is to be found.
    steps : int
        The number of gradients for each pair, at the middles of as many equal parts of the line.
    at_input : bool
        True to take a single gradient, at the input itself.
    """

    def __init__(self, plan: Plan, channel_axis: int | None, *, steps: int, at_input: bool) -> None:
        self.plan = plan
        self._channel_axis = channel_axis
        self._fractions = [1.0] if at_input else [(k + 0.5) / steps for k in range(steps)]
        self.forward = ForwardPass(plan)
        self._targets_alone = ForwardPass(plan, keep=())

    def scores(self, x: Mapping[int, Any], reference: dict[int, Any]) -> Iterator[list[LayerScores]]:
        """Take the gradients of each target in turn."""
        ends = {layer: (x[layer], reference[layer]) for layer in self.plan.layers}
        reference.clear()
        for target in self.plan.targets:
            total = [torch.zeros_like(at_x) for at_x, _ in ends.values()]
            for fraction in self._fractions:
                point = [r + fraction * (at_x - r) for at_x, r in ends.values()]
                total = [sum_ + new for sum_, new in zip(total, self._gradients(target, point), strict=True)]
            scored = []
            for (layer, (at_x, r)), gradients in zip(ends.items(), total, strict=True):
                mean = gradients / len(self._fractions)
                score = Score(mean, mean * (at_x - r))
                scored.append(finished(self.plan, layer, score, at_x, r, self._channel_axis))
            yield scored

    def _gradients(self, target: int, inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.enable_grad():
            points = [tensor.detach().clone().requires_grad_() for tensor in inputs]
            value = self._targets_alone(points)[target]
            if not value.requires_grad:
                raise TargetError(
                    "the target has no gradient with respect to the input: every way to the input has an "
                    "operation without one, such as argmax, a comparison or a cast to whole numbers"
                )
            found = torch.autograd.grad(value.sum(), points, allow_unused=True)
        return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(inputs, found, strict=True)]
