"""What README says of other programs, on small networks: where their sums hold, and where they do not."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

D = torch.float64
LENGTH = 24

Peer = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Modules(nn.Module):
    """Dense layers and a ReLU, each of them a module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(4 * LENGTH, 6), nn.ReLU(), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.last(self.relu(self.first(x.flatten(1))))
        return hidden


class Functional(Modules):
    """The same network with the ReLU as a function."""

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.last(torch.relu(self.first(x.flatten(1))))
        return hidden


class Pooled(nn.Sequential):
    """A convolution, a ReLU and a max pool."""

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(6 * 5, 1))


def captum(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    deep_lift = pytest.importorskip("captum.attr").DeepLift
    found: Tensor = deep_lift(model).attribute(x, references, target=0)
    return found.detach()


def tangermeme(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    score = pytest.importorskip("tangermeme.deep_lift_shap").deep_lift_shap
    found: Tensor = score(
        model, x, references=references[:, None], device="cpu", dtype=D, warning_threshold=1e9
    )
    return found


def ours(model: nn.Module, x: Tensor, references: Tensor) -> Tensor:
    found = DeepLift(model, rule="rescale").attribute(x, references[:, None]).contributions
    assert isinstance(found, Tensor)
    return found


def error(peer: Peer, kind: type[nn.Module]) -> tuple[float, Tensor]:
    """The worst error of a sum relative to the difference in output, and the contributions."""
    torch.manual_seed(0)
    model = kind().to(D).eval()
    letters = torch.randint(4, (2, 16, LENGTH))
    x, references = nn.functional.one_hot(letters, 4).mT.to(D)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = peer(model, x, references)
    with torch.no_grad():
        delta = (model(x) - model(references))[:, 0]
    return float(((found.sum((1, 2)) - delta).abs() / delta.abs()).max()), found


@pytest.mark.parametrize("kind", [Modules, Functional, Pooled])
def test_our_sums_hold(kind: type[nn.Module]) -> None:
    assert error(ours, kind)[0] < 1e-9


@pytest.mark.parametrize("peer", [captum, tangermeme])
def test_all_agree_on_dense_layers(peer: Peer) -> None:
    missed, found = error(peer, Modules)
    assert missed < 1e-6
    # By position: tangermeme gives the whole contribution of a position to its observed base.
    torch.testing.assert_close(found.sum(1), error(ours, Modules)[1].sum(1), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("peer", [captum, tangermeme])
def test_a_function_in_place_of_a_module_is_not_seen_by_others(peer: Peer) -> None:
    assert error(peer, Functional)[0] > 0.05


def test_a_max_pool_behind_a_relu() -> None:
    assert error(captum, Pooled)[0] > 0.05
    assert error(tangermeme, Pooled)[0] < 1e-6
