"""Pairs whose contributions cancel to a ten-thousandth of their size, so that float32 misses the promise."""

import torch
from torch import Tensor, nn

SIZE = 256


def nearly_equal_pairs(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A model with inputs and references [count, SIZE], the outputs of which are all nearly 0.

    Of many random points those in the middle of the sorted outputs, each with its neighbour.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(SIZE, SIZE), nn.Softplus(), nn.Linear(SIZE, 1))
    points = torch.randn(20_000, SIZE)
    with torch.no_grad():
        values = model.double()(points.double())[:, 0]
        model[2].bias -= values.median()
    order = values.argsort()
    middle = order[len(order) // 2 - count // 2 : len(order) // 2 + count // 2 + 1]
    return model.float(), points[middle[1:]], points[middle[:-1]]
