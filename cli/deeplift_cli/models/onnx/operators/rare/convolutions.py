"""Convolutions with a state."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("CausalConvWithState")
def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past: Tensor | None = None,
    activation: str = "none",
) -> tuple[Tensor, Tensor]:
    """Each channel's convolution with what came before, and the last positions for the next piece."""
    reach = weight.shape[-1] - 1
    whole = F.pad(x, [reach, 0]) if past is None else torch.cat([past, x], -1)
    y = F.conv1d(whole, weight, bias, groups=x.shape[1])
    y = F.silu(y) if activation in ("silu", "swish") else y
    return y, whole.narrow(-1, whole.shape[-1] - reach, reach)
