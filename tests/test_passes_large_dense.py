"""Dense layers of millions of weights, which are computed as weights times rows."""

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.passes import large_dense
from deeplift_core.passes.large_dense import LargeDense, product

ROWS, BEFORE, AFTER = 32, 4 * 16 * 50, 700  # 2.2 million weights


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 1)])
def test_products_the_other_way_round_are_the_same(
    shape: tuple[int, int], turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_dense, "LARGE_DENSE_ROWS", 1)
    torch.manual_seed(0)
    rows, weight = torch.randn(4, shape[0]), torch.randn(shape[::-1]).mT if turned else torch.randn(shape)
    found = product(rows, weight)
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), rows.double() @ weight.double(), atol=1e-6, rtol=0)


def dense(*, bias: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(),
        nn.Linear(BEFORE, AFTER, bias=bias), nn.ReLU(), nn.Linear(AFTER, 2),
    )  # fmt: skip


def sequences(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.eye(4)[torch.randint(4, (*shape, 800), generator=generator)].mT


@pytest.mark.parametrize(
    ("rows", "dtype", "pays"),
    [(ROWS, torch.float32, True), (ROWS - 1, torch.float32, False), (ROWS, torch.bfloat16, False)],
)
@pytest.mark.parametrize("bias", [False, True])
def test_which_layers_are_computed_the_other_way_round(
    bias: bool, rows: int, dtype: torch.dtype, pays: bool
) -> None:
    plan = DeepLift(dense(bias=bias), sequences(rows), dtype=dtype)._explainer.planner.base
    changed = [
        plan.graph.nodes[i]
        for i, rule in plan.rules.items()
        if isinstance(getattr(rule, "_rule", None), LargeDense)
    ]
    assert [node.shape[1] for node in changed] == ([AFTER] if pays else [])
    assert [index in plan.calls for index in (node.index for node in changed)] == [True] * len(changed)


@pytest.mark.parametrize("rule", ["genomics-default", "rescale"])
@pytest.mark.parametrize("bias", [False, True])
def test_scores_through_them_are_those_of_float64(bias: bool, rule: str) -> None:
    model, x, references = dense(bias=bias), sequences(ROWS), sequences(ROWS, 1)
    found, exact = (
        DeepLift(model, x, rule=rule, dtype=dtype).attribute(x, references)
        for dtype in (torch.float32, torch.float64)
    )
    scale = float(exact.contributions.abs().max())
    torch.testing.assert_close(
        found.contributions.double(), exact.contributions, atol=2e-6 * scale, rtol=0, check_dtype=False
    )
