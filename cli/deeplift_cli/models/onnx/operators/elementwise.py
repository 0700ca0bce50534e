"""Activations, comparisons, bounds and extremes of single values."""

from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from onnx import NodeProto
from torch import Tensor, nn

from deeplift_cli.models.onnx.graph import Graph, attributes
from deeplift_cli.models.onnx.registry import Conversion, call, operator


@operator("HardSwish")
def hard_swish(x: Tensor) -> Tensor:
    """x times the hard sigmoid of x."""
    return F.hardswish(x)


@operator("Mish")
def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x))."""
    return F.mish(x)


@operator("LessOrEqual")
def less_or_equal(x: Tensor, y: Tensor) -> Tensor:
    """Return whether x is at most y."""
    return torch.le(x, y)


@operator("GreaterOrEqual")
def greater_or_equal(x: Tensor, y: Tensor) -> Tensor:
    """Return whether x is at least y."""
    return torch.ge(x, y)


@operator("IsNaN")
def is_no_number(x: Tensor) -> Tensor:
    """Where x is not a number."""
    return torch.isnan(x)


@operator("Gelu")
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit, exact or by tanh."""
    return F.gelu(x, approximate=approximate)


@operator("Celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable ELU."""
    return F.celu(x, alpha)


@operator("Selu")
def selu(x: Tensor, alpha: float = 1.6732632, gamma: float = 1.0507010) -> Tensor:
    """Scaled ELU; with the usual numbers torch's own."""
    if abs(alpha - 1.6732632) < 1e-5 and abs(gamma - 1.0507010) < 1e-5:
        return F.selu(x)
    return gamma * F.elu(x, alpha)


@operator("HardSigmoid")
def hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """alpha x + beta, kept within 0 and 1."""
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return (alpha * x + beta).clamp(0.0, 1.0)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return F.softplus(x)


@operator("Mod")
def modulo(x: Tensor, y: Tensor, fmod: int = 0) -> Tensor:
    """Remainder with the sign of the divisor, or (`fmod`) of the dividend."""
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


@operator("Dropout")
def dropout(x: Tensor, *_: Tensor | None, **__: Any) -> tuple[Tensor, Tensor]:
    """Nothing, at inference, with a mask that keeps all: where the mask is used."""
    return x, torch.ones_like(x, dtype=torch.bool)


@operator("Clip")
def clip(node: NodeProto, graph: Graph) -> Conversion:
    """Keep values within bounds, which are attributes or (from operator set 11 on) inputs."""
    if not graph.is_constant(node, 1) or not graph.is_constant(node, 2):
        return call(clip_by_tensors, node)
    attrs = attributes(node)
    low, high = (
        attrs.get(name) if value is None else float(value)
        for name, value in (("min", graph.constant(node, 1)), ("max", graph.constant(node, 2)))
    )
    return call(clipped, node, node.input[:1], {"low": low, "high": high})


def clipped(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Keep values within bounds; a lower bound of 0 alone is a ReLU."""
    if low is None and high is None:
        return x
    if low == 0.0 and high is None:
        return F.relu(x)
    return x.clamp(low, high)


def clip_by_tensors(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Keep within bounds that are tensors, constant or not; the upper one wins."""
    if low is not None and high is not None:
        return torch.clamp(x, low, high)
    return x if low is high else torch.clamp(x, min=low, max=high)


@operator("Max", "Min")
def extremes(node: NodeProto, graph: Graph) -> Conversion:
    """The maximum or minimum of a tensor and a constant number is a clip, others are of pairs."""
    values = [graph.constant(node, index) for index in range(len(node.input))]
    numbers = [value.item() for value in values if value is not None and value.size == 1 and value.ndim <= 1]
    tensors = [name for name, value in zip(node.input, values, strict=True) if value is None]
    if len(tensors) == 1 and len(numbers) == len(values) - 1 and numbers and graph.is_float(tensors[0]):
        low, high = (float(max(numbers)), None) if node.op_type == "Max" else (None, float(min(numbers)))
        return call(clipped, node, tensors, {"low": low, "high": high})
    return call(largest if node.op_type == "Max" else smallest, node)


def largest(*tensors: Tensor) -> Tensor:
    """The largest of several tensors."""
    return reduce(torch.maximum, tensors)


def smallest(*tensors: Tensor) -> Tensor:
    """The smallest of several tensors."""
    return reduce(torch.minimum, tensors)


@operator("PRelu")
def prelu(node: NodeProto, graph: Graph) -> Conversion | None:
    """Leaky ReLU with slopes that are constant."""
    if not graph.is_constant(node, 1):
        return None
    return Conversion(Prelu(graph.tensor(node.input[1])), (node.input[0],))


class Prelu(nn.Module):
    """Leaky ReLU with slopes that broadcast against the input: one, or one for each channel or value."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, x: Tensor) -> Tensor:
        slope = self.slope.reshape((1,) * (x.dim() - self.slope.dim()) + tuple(self.slope.shape))
        if x.dim() > 1 and slope.shape[1] == slope.numel():
            return F.prelu(x, slope.reshape(-1))
        return F.relu(x) - slope * F.relu(-x)
