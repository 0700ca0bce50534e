"""Softmax and its logarithm; before operator set 13 they are over all axes from the given one on, as one."""

import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("Softmax", since=13)
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Softmax along an axis."""
    return F.softmax(x, axis)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax along an axis."""
    return F.log_softmax(x, axis)


@operator("Softmax")
def softmax_of_the_rest(x: Tensor, axis: int = 1) -> Tensor:
    """Softmax over all axes from this one on."""
    first = axis % max(x.dim(), 1)
    if all(size == 1 for size in x.shape[first + 1 :]):
        return F.softmax(x, first)
    return F.softmax(x.flatten(first), -1).reshape(x.shape)


@operator("LogSoftmax")
def log_softmax_of_the_rest(x: Tensor, axis: int = 1) -> Tensor:
    """The logarithm of softmax over all axes from this one on."""
    first = axis % max(x.dim(), 1)
    if all(size == 1 for size in x.shape[first + 1 :]):
        return F.log_softmax(x, first)
    return F.log_softmax(x.flatten(first), -1).reshape(x.shape)
