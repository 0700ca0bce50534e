"""Models that draw random numbers as they run: allowed as long as the explained output does not show it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from deeplift_core.errors import CaptureError

# Relative to the largest value: more than two runs of one function differ by on any device.
_TOLERANCE = 1e-5


def check_repeatable(model: nn.Module, example: Sequence[Tensor], place: int, draws: Sequence[str]) -> None:
    """Refuse a model one of whose outputs depends on the random numbers that it draws.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode, on the example's device.
    example : sequence of Tensor [K, ...]
    place : int
        Which of the output's leaves is explained.
    draws : sequence of str
        The calls that drew numbers, each with its place in the model. Without any, nothing is run.

    Raises
    ------
    CaptureError
        Naming these calls, if two runs with different seeds differ.
    """
    if not draws:
        return
    first, second = (_output(model, example, place, seed) for seed in (1, 2))
    # Every function of NaN differs from itself, which is no sign of chance.
    if (first - second).abs().nan_to_num().max() <= _TOLERANCE * first.abs().nan_to_num().max():
        return
    calls = "; ".join(dict.fromkeys(draws))
    raise CaptureError(
        f"the output depends on random numbers that the model draws ({calls}): turn "
        "this off for inference (dropout and sampling only where self.training), or draw the numbers once, "
        "when the model is made"
    )


def _output(model: nn.Module, example: Sequence[Tensor], place: int, seed: int) -> Tensor:
    device = example[0].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        value: Tensor = tree_leaves(model(*(tensor.clone() for tensor in example)))[place]
    return value
