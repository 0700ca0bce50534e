"""Measurements of the time that a model takes."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from deeplift_cli.models.probing import called
from deeplift_core import DeepLift
from deeplift_core.capture import borrowed
from deeplift_core.engine.targets import Target

RUNS = 5
# Seconds after which a slow model is not run again for a better median.
_ENOUGH_SECONDS = 2.0
FEW, MORE = 1, 3


def forward_seconds(module: nn.Module, batch: tuple[Tensor, ...], dtype: torch.dtype) -> float:
    """Return the median time in seconds of the model's forward pass for one row, on the batch's device."""
    device = batch[0].device
    with borrowed(module, dtype, device):
        return _median_seconds(lambda: called(module, *batch), device) / batch[0].shape[0]


def scoring_seconds(
    explainer: DeepLift, x: tuple[Tensor, ...], references: tuple[Tensor, ...], target: Target
) -> tuple[float, float]:
    """Return the time in seconds of scoring one row: a fixed part, and the part for each reference.

    Parameters
    ----------
    explainer : DeepLift
    x : tuple of Tensor [K, ...]
        One batch, for each input.
    references : tuple of Tensor [K, R, ...]
        The references, at least `MORE` for each row.
    target : Target
    """
    few, more = (
        _median_seconds(
            partial(explainer.attribute, x, tuple(tensor[:, :n] for tensor in references), target),
            explainer.device,
            warm=n == MORE,  # each further reference repeats what the first one did
        )
        for n in (FEW, MORE)
    )
    each = max(0.0, (more - few) / (MORE - FEW))
    return max(0.0, few - FEW * each) / x[0].shape[0], each / x[0].shape[0]


def _median_seconds(run: Callable[[], object], device: torch.device, *, warm: bool = False) -> float:
    """Return the median time in seconds of a few runs, after one run that is not counted.

    Parameters
    ----------
    run : callable
    device : torch.device
    warm : bool
        True if runs of the same operations came before, so that all runs count.
    """
    if not warm:
        _seconds(run, device)
    times: list[float] = []
    while len(times) < RUNS and sum(times) < _ENOUGH_SECONDS:
        times.append(_seconds(run, device))
    return median(times)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    start = time.perf_counter()
    run()
    _finish(device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
