"""A ReLU and the max pool behind it in one step, but not where the ReLU has scores of its own."""

import torch
from plans import changing, plan_of
from torch import nn

from deeplift_core import DeepLift
from deeplift_core.passes.max_pools import FastMaxPool


def test_the_output_of_the_relu_has_scores_of_its_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 5, 3), nn.ReLU(), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(10, 1))
    x, references = torch.randn(2, 4, 8).double(), torch.randn(2, 3, 4, 8).double()
    plain = DeepLift(model, x, rule="rescale", dtype=torch.float64, passes=())
    every = plain._with(passes="auto")
    assert ("sequence_convolutions",) in changing(plain)
    assert any(passes[-1] == "relu_before_pool" for passes in changing(plain))
    pools = [rule for rule in plan_of(every).rules.values() if isinstance(rule, FastMaxPool)]
    assert [pool.rectified for pool in pools] == [True]
    for layer in ("0", "1", "2"):
        found, expected = (each.attribute(x, references, layer=layer) for each in (every, plain))
        torch.testing.assert_close(found.multipliers, expected.multipliers, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=1e-12)
        assert expected.contributions.abs().max() > 0
