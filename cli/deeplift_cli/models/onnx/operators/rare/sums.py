"""The sum and the mean of several tensors."""

from functools import reduce

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("Mean")
def mean(*tensors: Tensor) -> Tensor:
    """The mean of several tensors."""
    return tensors[0] if len(tensors) == 1 else reduce(torch.add, tensors) / len(tensors)


@operator("Sum")
def total(*tensors: Tensor) -> Tensor:
    """The sum of several tensors."""
    return reduce(torch.add, tensors)
