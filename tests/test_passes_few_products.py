"""The pass `few_products` sends the multipliers of the linear rule, also where a difference is rounding."""

import torch
from torch import nn

from deeplift_core import DeepLift


def test_a_difference_that_is_rounding_counts_as_none() -> None:
    """Its inputs get the mean of m+ and m-, which differ by as much as the weights do."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 1))
    x = torch.randn(4, 6)
    references = torch.randn(4, 1, 6)
    eps = torch.finfo(x.dtype).eps
    references[:, 0, :2] = x[:, :2] * (1 + 2 * eps)
    references[:, 0, 2:4] = x[:, 2:4] * (1 - 2 * eps)
    without, found = (
        DeepLift(model, x, rule="revealcancel", passes=passes).attribute(x, references)
        for passes in ((), ("few_products",))
    )
    torch.testing.assert_close(found.multipliers, without.multipliers, rtol=1e-4, atol=1e-6)
