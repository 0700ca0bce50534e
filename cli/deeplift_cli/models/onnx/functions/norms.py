"""Normalisations."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.calls import call


@call("LpNormalization")
def lp_normalization(x: Tensor, axis: int = -1, p: int = 2) -> Tensor:
    """Divide by the length along an axis; what has none stays 0."""
    length = x.abs().sum(axis, keepdim=True) if p == 1 else x.square().sum(axis, keepdim=True).sqrt()
    return x / torch.where(length == 0, torch.ones_like(length), length)


@call("MeanVarianceNormalization")
def mean_variance_normalization(x: Tensor, axes: Sequence[int] = (0, 2, 3)) -> Tensor:
    """Subtract the mean and divide by the standard deviation, over some axes."""
    centred = x - x.mean(list(axes), keepdim=True)
    return centred / (centred.square().mean(list(axes), keepdim=True).sqrt() + 1e-9)


@call("LRN")
def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Divide by a power of the mean square of neighbouring channels."""
    if size % 2:
        return F.local_response_norm(x, size, alpha, beta, bias)
    before, after = (size - 1) // 2, size // 2
    channels = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    squares = F.avg_pool2d(F.pad(channels, (0, 0, before, after)), (size, 1), 1).reshape(x.shape)
    return x / (squares * alpha + bias).pow(beta)


@call("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise each channel of each row."""
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@call("RMSNormalization")
def rms_norm(
    x: Tensor,
    scale: Tensor,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001
) -> Tensor:
    """Divide by the root of the mean square over the axes from this one on."""
    over = x.shape[axis:]
    if scale.shape == over:
        return F.rms_norm(x, list(over), scale, epsilon)
    return F.rms_norm(x, list(over), eps=epsilon) * scale


@call("LayerNormalization")
def layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    outputs: int = 1,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001
) -> Tensor | tuple[Tensor, ...]:
    """Normalise over the axes from this one on; the mean and the inverse deviation may be outputs, too."""
    first = axis % x.dim()
    normal = F.layer_norm(x, list(x.shape[first:]), eps=epsilon) * scale
    normal = normal if bias is None else normal + bias
    if outputs == 1:
        return normal
    over = list(range(first, x.dim()))
    mean = x.mean(over, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(over, keepdim=True) + epsilon)
    return (normal, mean, inverse)[:outputs]


@call("GroupNormalization")
def group_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,  # noqa: ARG001
) -> Tensor:
    """Normalise groups of channels; scales are for each group (to operator set 20) or channel."""
    repeats = x.shape[1] // scale.numel()
    if repeats > 1:
        scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@call("BatchNormalization")
def batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: float = 1e-5,
    **_: float,
) -> Tensor:
    """Batch normalisation at inference, with parameters that are worked out in the graph."""
    shape = [1, -1, *[1] * (x.dim() - 2)]
    factor = (scale * torch.rsqrt(variance + epsilon)).reshape(shape)
    return x * factor + (bias.reshape(shape) - mean.reshape(shape) * factor)
