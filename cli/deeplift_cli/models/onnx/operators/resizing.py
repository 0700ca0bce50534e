"""Resize and Upsample, in every mode: each axis is resized by weighted sums of its positions.

Where torch has a function for the whole operator, this function is used. Elsewhere each axis is resized by
itself: an index_select for each of the few positions that an output position depends on, times constant
weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator

_TORCH_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class _Axis:
    """One axis to resize: its number, lengths before and after, scale and region of interest."""

    axis: int
    before: int
    after: int
    scale: float
    roi: tuple[float, float]


@dataclass(frozen=True)
class _Settings:
    mode: str
    coordinates: str
    nearest: str
    cubic: float
    exclude_outside: bool
    extrapolation: float
    antialias: bool


@operator("Upsample", "Resize")
def upsample(
    x: Tensor, scales: Tensor | Sequence[float] | None = None, mode: str = "nearest", **attrs: Sequence[float]
) -> Tensor:
    """Resize by factors, with coordinates counted from the corner, as before operator set 11."""
    given = torch.as_tensor(attrs.get("scales", scales), dtype=torch.float64)
    return resize(
        x, None, given, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


@operator("Resize", since=11)
def resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """Resize to sizes or by factors."""
    over = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes]
    changes = _changes(x, over, scales, sizes, keep_aspect_ratio_policy, roi)
    settings = _Settings(
        mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside),
        extrapolation_value, bool(antialias),
    )  # fmt: skip
    cropped = coordinate_transformation_mode == "tf_crop_and_resize"
    changes = [change for change in changes if change.before != change.after or cropped]
    whole = _by_torch(x, changes, settings)
    if whole is not None:
        return whole
    for change in changes:
        x = _along(x, change, settings)
    return x


def _changes(
    x: Tensor,
    axes: list[int],
    scales: Tensor | None,
    sizes: Tensor | None,
    policy: str,
    roi: Tensor | None,
) -> list[_Axis]:
    lengths = [x.shape[axis] for axis in axes]
    if sizes is not None and sizes.numel():
        after = [int(n) for n in sizes.tolist()]
        factors = [n / length for n, length in zip(after, lengths, strict=True)]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            after = [math.floor(length * factor + 0.5) for length in lengths]
    elif scales is not None:
        factors = [float(n) for n in scales.tolist()]
        after = [math.floor(n * length + 1e-6) for n, length in zip(factors, lengths, strict=True)]
    else:
        raise ValueError("Resize needs sizes or factors")
    corners = [0.0] * len(axes) + [1.0] * len(axes) if roi is None or not roi.numel() else roi.tolist()
    regions = zip(corners[: len(axes)], corners[len(axes) :], strict=True)
    rows = zip(axes, lengths, after, factors, regions, strict=True)
    return [_Axis(*row) for row in rows]


def _by_torch(x: Tensor, changes: list[_Axis], settings: _Settings) -> Tensor | None:
    """Torch's own function where it has one for all of the spatial axes."""
    spatial = x.dim() - 2
    if not changes or min(change.axis for change in changes) < 2 or settings.antialias:
        return None
    if any(change.after != change.before * change.scale for change in changes):
        return None
    sizes = list(x.shape[2:])
    for change in changes:
        sizes[change.axis - 2] = change.after
    if settings.mode == "nearest":
        plain = settings.coordinates == "asymmetric" and settings.nearest == "floor"
        whole = all(change.after % change.before == 0 for change in changes)
        halves = settings.coordinates in ("half_pixel", "pytorch_half_pixel")
        fits = plain or (whole and halves and settings.nearest.startswith("round"))
        return F.interpolate(x, sizes, mode="nearest") if fits and spatial in _TORCH_MODES else None
    corners = settings.coordinates == "align_corners"
    halves = settings.coordinates == "half_pixel" or (
        settings.coordinates == "pytorch_half_pixel" and all(change.after > 1 for change in changes)
    )
    if not (corners or halves) or settings.mode != "linear" or spatial not in _TORCH_MODES:
        return None
    return F.interpolate(x, sizes, mode=_TORCH_MODES[spatial], align_corners=corners)


def _along(x: Tensor, change: _Axis, settings: _Settings) -> Tensor:
    """Resize one axis."""
    places = _places(change, settings.coordinates)
    outside = (places < 0) | (places > change.before - 1)
    if settings.mode == "nearest":
        x = x.index_select(change.axis, _nearest(places, settings.nearest, change.before))
    else:
        positions, weights = _taps(places, change, settings)
        x = _weighted(x, change.axis, positions, weights)
    if settings.coordinates == "tf_crop_and_resize" and bool(outside.any()):
        shape = [-1 if axis == change.axis else 1 for axis in range(x.dim())]
        inside = (~outside).to(x.dtype).reshape(shape)
        x = x * inside + settings.extrapolation * (1 - inside)
    return x


def _weighted(x: Tensor, axis: int, positions: Tensor, weights: Tensor) -> Tensor:
    shape = [-1 if place == axis else 1 for place in range(x.dim())]
    terms = [
        x.index_select(axis, position) * weight.to(x.dtype).reshape(shape)
        for position, weight in zip(positions, weights, strict=True)
    ]
    total: Tensor = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _places(change: _Axis, coordinates: str) -> Tensor:
    """Where each output position lies along the input, by the specification's formulas."""
    at = torch.arange(change.after, dtype=torch.float64)
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and change.after > 1):
        return (at + 0.5) / change.scale - 0.5
    if coordinates == "pytorch_half_pixel":
        return at * 0
    if coordinates == "half_pixel_symmetric":
        adjustment = change.after / (change.before * change.scale)
        return change.before / 2 * (1 - adjustment) + (at + 0.5) / change.scale - 0.5
    if coordinates == "align_corners":
        return at * (change.before - 1) / max(change.after - 1, 1)
    if coordinates == "tf_crop_and_resize":
        start, end = change.roi
        if change.after == 1:
            return at + (start + end) * (change.before - 1) / 2
        return (start + at * (end - start) / (change.after - 1)) * (change.before - 1)
    return at / change.scale


def _nearest(places: Tensor, how: str, size: int) -> Tensor:
    places = torch.round(places * 2**20) / 2**20  # halves stay halves, whatever the rounding of the factor
    chosen = {
        "floor": torch.floor(places),
        "ceil": torch.ceil(places),
        "round_prefer_floor": torch.ceil(places - 0.5),
        "round_prefer_ceil": torch.floor(places + 0.5),
    }[how]
    return chosen.clamp(0, size - 1).to(torch.int64)


def _taps(places: Tensor, change: _Axis, settings: _Settings) -> tuple[Tensor, Tensor]:
    """Positions that each output position draws on, and their weights: both [taps, output positions]."""
    stretch = max(1.0, 1 / change.scale) if settings.antialias else 1.0
    reach = (2 if settings.mode == "cubic" else 1) * stretch
    first = torch.floor(places - reach) + 1
    positions = first + torch.arange(math.ceil(2 * reach) + (1 if stretch > 1 else 0))[:, None]
    distance = (positions - places).abs() / stretch
    cubic = settings.mode == "cubic"
    weights = _cubic(distance, settings.cubic) if cubic else (1 - distance).clamp(min=0)
    inside = (positions >= 0) & (positions < change.before)
    if settings.exclude_outside:
        weights = weights * inside
    weights = weights / weights.sum(0)
    return positions.clamp(0, change.before - 1).to(torch.int64), weights


def _cubic(distance: Tensor, a: float) -> Tensor:
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
