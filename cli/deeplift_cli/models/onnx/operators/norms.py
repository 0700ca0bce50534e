"""Normalisations."""

import torch
import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes, has_input
from deeplift_cli.models.onnx.registry import Conversion, call, operator


@operator("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Normalise each channel of each row."""
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@operator("RMSNormalization")
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


@operator("GroupNormalization")
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


@operator("BatchNormalization")
def batch_norm(node: NodeProto, graph: Graph) -> Conversion:
    """Batch normalisation at inference, which uses its running statistics."""
    if len(node.output) > 1 or any(name not in graph.constants for name in node.input[1:]):
        return call(batch_norm_by_tensors, node)
    epsilon = attributes(node).get("epsilon", 1e-5)
    module = BatchNorm(epsilon, *(graph.tensor(name) for name in node.input[1:]))
    return Conversion(module, (node.input[0],))


class BatchNorm(nn.Module):
    """Batch normalisation at inference, for any number of axes."""

    def __init__(self, epsilon: float, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = nn.Parameter(scale), nn.Parameter(bias), epsilon
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.running_mean: Tensor
        self.running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.epsilon
        )


def batch_norm_by_tensors(
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


@operator("LayerNormalization")
def layer_norm(node: NodeProto, graph: Graph) -> Conversion:
    """Normalise over axes taken from the constant scale: the input's shape may be unknown."""
    if graph.constant(node, 1) is None or not graph.is_constant(node, 2) or len(node.output) > 1:
        return call(layer_norm_by_tensors, node)
    bias = graph.tensor(node.input[2]) if has_input(node, 2) else None
    module = LayerNorm(graph.tensor(node.input[1]), bias, attributes(node).get("epsilon", 1e-5))
    return Conversion(module, (node.input[0],))


class LayerNorm(nn.Module):
    """Layer normalisation over as many last axes as the scale has."""

    def __init__(self, scale: Tensor, bias: Tensor | None, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(scale), epsilon
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


def layer_norm_by_tensors(
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
