"""Operations that draw random numbers in training only, in the form that they have at inference.

The schemas of these operations say that they write random numbers into an argument, which they do not do at
inference.
"""

# ruff: noqa: ARG001 - all forms take the same arguments
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from deeplift_core.capture.normal_forms.arithmetic import Varies
from deeplift_core.errors import CaptureError

aten = torch.ops.aten


def _rrelu(in_place: bool) -> Callable[..., Tensor]:
    """Return a form that writes RReLU at inference as leaky ReLU with the mean of its training slopes."""

    def form(
        varies: Varies,
        func: Any,
        x: Tensor,
        noise: Tensor,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,
        generator: Any = None,
    ) -> Tensor:
        if training:
            raise CaptureError(
                "rrelu with training=True draws the slope of every negative value at random; call rrelu with "
                "training=self.training, or use torch.nn.RReLU, which does so"
            )
        slope = (lower + upper) / 2
        leaky = aten.leaky_relu_.default if in_place else aten.leaky_relu.default
        result: Tensor = leaky(x, slope)
        return result

    return form


FORMS: dict[str, Callable[..., Any]] = {
    "rrelu_with_noise": _rrelu(in_place=False),
    "rrelu_with_noise_": _rrelu(in_place=True),
}
