"""Pieces that run through complex numbers: linear ones score like their matrix, all others are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fft import fft, ifft, irfft, rfft

from deeplift_core import DeepLift, UnsupportedOpsError

N = 8
FILTER = torch.complex(
    torch.linspace(-1, 1, 5, dtype=torch.float64), torch.linspace(0, 2, 5, dtype=torch.float64)
)
ROTATION = torch.polar(torch.ones(4, dtype=torch.float64), torch.arange(4, dtype=torch.float64))


class Model(nn.Module):
    """Convolution, ``function`` of its channels [rows, 8 channels x positions], tanh and a dense layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function, self.last = nn.Linear(24, N), function, nn.LazyLinear(1)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.function(torch.relu(self.first(x.flatten(1))))))


def model_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Model:
    model = Model(function).double()
    model(x)  # The last layer takes its size from the first call.
    return model


def explained(function: Callable[[Tensor], Tensor], rule: str = "rescale") -> Any:
    draw = torch.Generator().manual_seed(3)
    x, r = (torch.eye(4)[torch.randint(4, (3, 6), generator=draw)].mT.double() for _ in range(2))
    return DeepLift(model_of(function, x), x, rule=rule).attribute(x, r[:, None])


def rotated(h: Tensor) -> Tensor:
    pairs = torch.view_as_complex(h.reshape(-1, 4, 2)) * ROTATION
    return torch.view_as_real(pairs).flatten(1)


def filtered_in_pieces(h: Tensor) -> Tensor:
    """Sums, differences, moves, choices, a quotient and a matrix product, all of complex numbers."""
    z = rfft(h)
    z = torch.cat([z[:, :2], z[:, 2:].flip(1)], 1) - 2 * z.conj() / (1 + 2j)
    z = torch.where(torch.arange(5) > 2, z, 1j * z).masked_fill(torch.arange(5) == 3, 0)
    matrix = torch.outer(FILTER, FILTER.conj())
    return irfft((z.roll(1, 1) @ matrix).cumsum(1) + FILTER, n=N)


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "filter": lambda h: irfft(rfft(h) * FILTER, n=N),
    "parts": lambda h: torch.cat([rfft(h).real, rfft(h).imag], 1),
    "two ways": lambda h: ifft(fft(h) * fft(torch.arange(N, dtype=h.dtype))).real,
    "rotation": rotated,
    "in pieces": filtered_in_pieces,
    "made of two": lambda h: torch.view_as_real(fft(torch.complex(h[:, :4], h[:, 4:]))).flatten(1),
    "negated": lambda h: torch.view_as_real(-rfft(h).conj().resolve_conj()).flatten(1),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_piece_scores_like_its_matrix(name: str) -> None:
    function = LINEAR[name]
    at_zero = function(torch.zeros(1, N, dtype=torch.float64))
    matrix = function(torch.eye(N, dtype=torch.float64)) - at_zero
    found, expected = explained(function), explained(lambda h: h @ matrix + at_zero)
    torch.testing.assert_close(found.contributions, expected.contributions, atol=1e-12, rtol=0)
    assert found.completeness_error.abs().max() < 1e-12
    assert explained(function, "revealcancel").completeness_error.abs().max() < 1e-12


NONLINEAR: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "only slightly": (lambda h: irfft(rfft(h) + 1e-7 * rfft(h) * rfft(h), n=N), "aten.mul.Tensor"),
    "only far out": (
        lambda h: irfft(torch.where(h.sum(1, keepdim=True) > 1e3, 2 * rfft(h), rfft(h)), n=N),
        "aten.where.self",
    ),
    "only far out, smoothly": (lambda h: 1e6 * irfft(torch.tanh(1e-6 * rfft(h)), n=N), "aten.tanh"),
    "only near 0": (lambda h: irfft((rfft(h) ** 2 + 1e-30).sqrt(), n=N), "aten.pow"),
    "square": (lambda h: irfft(rfft(h) ** 2, n=N), "aten.pow"),
    "a varying factor": (lambda h: irfft(rfft(h) * h.mean(1, keepdim=True), n=N), "aten.mul.Tensor"),
    "a varying divisor": (lambda h: irfft(FILTER / (2 + rfft(h)), n=N), "aten.reciprocal"),
    "a matrix product": (
        lambda h: torch.view_as_real(rfft(h).unsqueeze(2) @ rfft(h).unsqueeze(1)).flatten(1), "aten.bmm",
    ),
    "length": (lambda h: rfft(h).abs(), "aten.abs"),
    "angle": (lambda h: torch.view_as_real(torch.polar(h, h)).flatten(1), "aten.polar"),
    "a varying index": (lambda h: irfft(rfft(h).gather(1, h[:, :5].argsort(1)), n=N), "aten.gather"),
}  # fmt: skip


@pytest.mark.parametrize("name", NONLINEAR)
def test_any_other_piece_is_refused_and_its_operation_named(name: str) -> None:
    """Trying the first four at one scale, to a thousandth, took them for linear."""
    function, operation = NONLINEAR[name]
    with pytest.raises(UnsupportedOpsError, match=rf"not linear in the input, because of {operation}"):
        explained(function)


def test_a_quotient_of_complex_numbers_is_recorded_with_its_imaginary_part() -> None:
    """The divisor became a real number: the graph computed another function than the model."""

    def function(h: Tensor) -> Tensor:
        return irfft(rfft(h) / (2 + rfft(h)), n=N)

    x = torch.eye(4, 6).double()[None].expand(3, 4, 6).contiguous()
    model = model_of(function, x)
    result = DeepLift(model, x, rule="gradient").attribute(x, torch.zeros_like(x)[:, None])
    torch.testing.assert_close(result.output, model(x).detach()[:, 0])


def test_pairs_as_complex_numbers_do_not_mind_the_strides_of_a_batch() -> None:
    """The example's convolution gives dense pairs, and that of rows with other strides gives none."""
    torch.manual_seed(0)
    convolution, last = nn.Conv1d(4, 2, 3, padding=1), nn.Linear(2 * N, 1)

    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = convolution, last

        def forward(self, x: Tensor) -> Any:
            pairs = self.first(x).reshape(len(x), 2, N // 2, 2).contiguous()
            return self.last(torch.view_as_real(torch.view_as_complex(pairs) * 1j).flatten(1))

    class Plain(Rotary):
        def forward(self, x: Tensor) -> Any:
            pairs = self.first(x).reshape(len(x), 2, N // 2, 2)
            return self.last(torch.stack([-pairs[..., 1], pairs[..., 0]], 3).flatten(1))

    draw = torch.Generator().manual_seed(3)
    x, r = (torch.eye(4)[torch.randint(4, (8, N), generator=draw)].mT for _ in range(2))
    found, expected = (DeepLift(model, x).attribute(x, r[:, None]) for model in (Rotary(), Plain()))
    torch.testing.assert_close(found.contributions, expected.contributions)
