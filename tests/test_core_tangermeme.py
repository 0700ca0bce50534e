"""tangermeme's `deep_lift_shap` on the same references: equal where it has rules, but for softmax.

Its rules are for modules, so the models here are made of modules it knows; the products of attention are in
its own `BilinearOp`. Softmax is where the two mean different things, and that difference is tested as well.
"""

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from zoo.entry import Net

from deeplift_core import DeepLift

theirs = pytest.importorskip("tangermeme.deep_lift_shap", reason="tangermeme is not installed")
D = torch.float64
LENGTH = 20


def hypothetical(model: nn.Module, x: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Hypothetical contributions by both."""
    warnings.simplefilter("error")  # it warns where its sums do not hold
    found = theirs.deep_lift_shap(
        model, x, references=references, device="cpu", hypothetical=True, dtype=D, warning_threshold=1e-8
    )
    return DeepLift(model, rule="rescale").attribute(x, references).hypothetical, found


def sequences(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    letters = torch.randint(4, (4, 3, LENGTH), generator=generator)
    one_hot = nn.functional.one_hot(letters, 4).transpose(2, 3).to(D)
    return one_hot[:, 0], one_hot[:, 1:]


def body(*middle: nn.Module, channels: int = 6, width: int = LENGTH - 2, kernel: int = 3) -> nn.Module:
    """The layers between a convolution and a dense head."""
    return nn.Sequential(
        nn.Conv1d(4, 6, kernel),
        *middle,
        nn.Flatten(),
        nn.Linear(channels * width, 3),
        nn.Tanh(),
        nn.Linear(3, 1),
    )


class Transposed(nn.Module):
    """Channels last inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Attention(nn.Module):
    """One head, its two products in modules."""

    def __init__(self, weigh: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))
        self.scores, self.mix, self.weigh = theirs.BilinearOp(), theirs.BilinearOp(), weigh

    def forward(self, h: Tensor) -> Tensor:
        h = h.transpose(1, 2)
        weights = self.weigh(self.scores(self.query(h), self.key(h).transpose(1, 2)) / 6**0.5)
        return self.mix(weights, self.value(h)).transpose(1, 2)


ACTIVATIONS = [
    nn.ReLU, nn.ReLU6, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Softshrink, nn.LogSigmoid, nn.PReLU,
]  # fmt: skip
MODELS: dict[str, Callable[[], nn.Module]] = {
    **{kind.__name__: lambda kind=kind: body(kind()) for kind in ACTIVATIONS},
    "two layers": lambda: body(nn.ReLU(), nn.Conv1d(6, 6, 3), nn.ELU(), width=LENGTH - 4),
    "batch norm": lambda: body(nn.BatchNorm1d(6), nn.ReLU()),
    # Wide windows, so that no position keeps its value: there tangermeme passes the plain gradient on.
    "max pool": lambda: body(nn.Softplus(), nn.MaxPool1d(3), width=4, kernel=9),
    "max pool, overlapping and padded": lambda: body(nn.Softplus(), nn.MaxPool1d(3, 2, 1), width=6, kernel=9),
    "max pool, dilated": lambda: body(nn.Softplus(), nn.MaxPool1d(3, 2, dilation=2), width=4, kernel=9),
    "average pool": lambda: body(nn.GELU(), nn.AvgPool1d(3), width=6),
    "gated linear unit": lambda: body(nn.GLU(1), channels=3),
    "layer norm": lambda: body(Transposed(nn.LayerNorm(6)), nn.ReLU()),
    "layer norm of all": lambda: body(nn.LayerNorm([6, LENGTH - 2]), nn.GELU()),
    "RMS norm": lambda: body(Transposed(nn.RMSNorm(6, eps=1e-6)), nn.ReLU()),
    "products of attention": lambda: body(Attention(nn.Sigmoid())),
}


@pytest.fixture(autouse=True)
def _own_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        yield


@pytest.mark.parametrize("name", MODELS)
def test_equal(name: str) -> None:
    torch.manual_seed(1)
    ours, found = hypothetical(MODELS[name]().eval().to(D), *sequences())
    assert found.abs().max() > 1e-3
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-7)


def test_softmax_differs_in_what_a_common_shift_gets() -> None:
    """Both sum to Delta. Ours gives what moves all logits alike nothing, as softmax does; theirs does not.

    Both tend to the same derivative where differences are small.
    """
    torch.manual_seed(1)
    model = nn.Sequential(nn.Softmax(1), nn.Linear(4, 1)).to(D)
    z = 2 * torch.randn(3, 4, dtype=D)
    z0 = 2 * torch.randn(3, 1, 4, dtype=D) + 1

    def theirs_on(z: Tensor, z0: Tensor) -> Tensor:
        wide = Net(lambda s, x: s.model(x[..., 0]), model=model)
        warnings.simplefilter("ignore")  # these are no one-hot sequences, which it minds
        given = theirs.deep_lift_shap(
            wide,
            z[..., None],
            references=z0[..., None],
            device="cpu",
            dtype=D,
            raw_outputs=True,
            only_warn=True,
        )
        return given[..., 0]

    def ours_on(z: Tensor, z0: Tensor) -> Tensor:
        return DeepLift(model, rule="rescale").attribute(z, z0, per_reference=True).multipliers

    assert (ours_on(z, z0) - theirs_on(z, z0)).abs().max() > 1e-3
    torch.testing.assert_close(ours_on(z, z0).sum(2), torch.zeros(3, 1, dtype=D), rtol=0, atol=1e-12)
    assert theirs_on(z, z0).sum(2).abs().max() > 1e-3
    nearby = z[:, None] + 1e-4 * (z0 - z[:, None])
    torch.testing.assert_close(ours_on(z, nearby), theirs_on(z, nearby), rtol=0, atol=1e-4)
