"""Fourier transforms, as products with constant matrices of cosines and sines: they are linear."""

import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


def _waves(length: int, count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, count] of a transform of `length` positions."""
    steps = torch.outer(torch.arange(length), torch.arange(count)) % length
    angles = steps.to(torch.float64) * (2 * torch.pi / length)
    return angles.cos().to(like), angles.sin().to(like)


def _transformed(x: Tensor, length: int, inverse: bool, onesided: bool) -> Tensor:
    """Transform x [..., positions, 1 or 2] along its positions; the result has a real and imaginary part."""
    x = x[..., :length, :]
    if x.shape[-2] < length:
        x = torch.nn.functional.pad(x, (0, 0, 0, length - x.shape[-2]))
    cosines, sines = _waves(length, length // 2 + 1 if onesided and not inverse else length, x)
    sines = -sines if inverse else sines
    real = x[..., 0] @ cosines
    imaginary = -(x[..., 0] @ sines)
    if x.shape[-1] == 2:
        real = real + x[..., 1] @ sines
        imaginary = imaginary + x[..., 1] @ cosines
    y = torch.stack([real, imaginary], -1)
    return y / length if inverse else y


@operator("DFT")
def dft_of_axis(
    x: Tensor, length: Tensor | None = None, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """The discrete Fourier transform along an axis that is an attribute."""
    return _dft(x, length, axis, inverse, onesided)


@operator("DFT", since=20)
def dft(
    x: Tensor,
    length: Tensor | None = None,
    axis: Tensor | None = None,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """The discrete Fourier transform along an axis that is an input."""
    return _dft(x, length, -2 if axis is None else int(axis), inverse, onesided)


def _dft(x: Tensor, length: Tensor | None, axis: int, inverse: int, onesided: int) -> Tensor:
    along = axis % x.dim()
    moved = x.movedim(along, -2)
    count = moved.shape[-2] if length is None else int(length)
    if inverse and onesided:  # from half of the spectrum to real numbers, in the newest operator set
        return _real_from_half(moved, count if length is not None else 2 * (count - 1)).movedim(-2, along)
    return _transformed(moved, count, bool(inverse), bool(onesided)).movedim(-2, along)


def _real_from_half(x: Tensor, length: int) -> Tensor:
    """The real inverse transform: frequencies but the first (and the middle one) count twice."""
    count = length // 2 + 1
    cosines, sines = _waves(length, count, x)
    twice = torch.full((count,), 2.0, dtype=x.dtype, device=x.device)
    twice[0] = 1.0
    twice[-1] = 1.0 if length % 2 == 0 else 2.0
    spectrum = x[..., :count, :]
    real = (spectrum[..., 0] * twice) @ cosines.T - (spectrum[..., 1] * twice) @ sines.T
    return (real / length).unsqueeze(-1)


@operator("STFT")
def stft(
    signal: Tensor,
    step: Tensor,
    window: Tensor | None = None,
    frame: Tensor | None = None,
    onesided: int = 1,
) -> Tensor:
    """The Fourier transforms of frames [N, frames, frequencies, 2] of a signal [N, positions, 1 or 2]."""
    signal = signal if signal.dim() == 3 else signal.unsqueeze(-1)
    length = int(frame) if frame is not None else len(window) if window is not None else signal.shape[1]
    frames = signal.unfold(1, length, int(step)).transpose(-1, -2)  # [N, frames, positions, parts]
    frames = frames if window is None else frames * window[:, None]
    return _transformed(frames, length, inverse=False, onesided=bool(onesided))
