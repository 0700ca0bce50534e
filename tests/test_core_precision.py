"""Models that name a precision inside are scored in any: exactly in float64, with their casts in bfloat16."""

import pytest
import torch
from promised import PROMISED
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error
from deeplift_core.capture.one_precision import one_precision
from deeplift_core.errors import CaptureError, ForwardError

D = torch.float64


class Casts(nn.Module):
    """Features, then a head in float32: ``dense`` has weights, which fail on a mixture."""

    def __init__(self, dense: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(4, 6, 5)
        self.head = nn.Linear(6, 2) if dense else nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.convolution(x)).mean(2).float())


class Remembers(nn.Module):
    """Makes a constant in its first call and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(4, 6, 5)
        self.weights: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.convolution(x))
        if self.weights is None:
            self.weights = torch.linspace(0, 1, h.shape[2], dtype=h.dtype)[:, None]
        return (h @ self.weights).flatten(1)


def pairs() -> tuple[Tensor, Tensor]:
    letters = torch.randint(4, (2, 4, 20), generator=torch.Generator().manual_seed(1))
    x = nn.functional.one_hot(letters, 4).transpose(2, 3).float()
    return x[:, 0], x[:, 1:]


def scored(model: nn.Module, dtype: torch.dtype) -> Tensor:
    """The errors of summation-to-delta, relative."""
    x, references = pairs()
    result = DeepLift(model, x, dtype=dtype, rule="rescale").attribute(x, references)
    assert result.output.dtype == dtype
    return relative_error(result.completeness_error, result.output, result.reference_output)


@pytest.mark.parametrize("dense", [True, False])
def test_a_cast_inside_does_not_round_in_float64(dense: bool) -> None:
    assert scored(Casts(dense), D).max() <= PROMISED[D]


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_a_constant_that_an_earlier_call_left_does_not_matter(dtype: torch.dtype) -> None:
    model = Remembers()
    model(pairs()[0])
    assert scored(model, dtype).max() <= PROMISED[dtype]
    assert model.weights is not None
    assert model.weights.dtype == torch.float32


def test_a_head_in_float32_stays_so_in_bfloat16() -> None:
    x, references = pairs()
    result = DeepLift(Casts(dense=False), x, dtype=torch.bfloat16).attribute(x, references)
    assert result.output.dtype == torch.float32


def test_a_model_that_fails_in_its_own_precision_too_is_reported_in_that() -> None:
    with pytest.raises(ForwardError, match=r"shape \[2, 5, 20\], torch\.float32"):
        DeepLift(Casts(dense=True), torch.zeros(2, 5, 20), dtype=D)


def test_a_model_that_runs_in_its_own_precision_only_says_so() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(x).abs().sum((1, 2))

    class InSteps(nn.Module):
        """Rounds to whole numbers of its own unit of rounding, which no other precision has."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return ((x.flatten(1).sum(1).float() * self.weight.float() + 2**30) - 2**30) + 1e-9

    x, _ = pairs()
    with pytest.raises(CaptureError, match=r"does not run in torch\.bfloat16"):
        DeepLift(nn.Sequential(nn.Conv1d(4, 4, 3), Fourier()), x, dtype=torch.bfloat16)
    with pytest.raises(CaptureError, match=r"something else in torch\.float64 than in its own precision"):
        DeepLift(InSteps(), x, dtype=D, rule="gradient")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_nothing_of_one_precision_is_left_whatever_ends_the_forward(error: type[BaseException]) -> None:
    """Torch runs no hooks after an exception that is no `Exception`."""

    class Ends(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    model = Ends()
    with pytest.raises(error), one_precision(model, torch.float32):
        model(torch.ones(1))
    assert torch.ones(1).half().dtype == torch.float16
