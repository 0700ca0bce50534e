"""Refuse models whose explained output depends on random numbers that the model draws."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from deeplift_core.capture.places import run_user_code
from deeplift_core.errors import CaptureError

# Two runs of one function differ by less than this on every device, relative to the largest value.
_TOLERANCE = 1e-5


def check_repeatable(model: nn.Module, example: Sequence[Tensor], place: int, draws: Sequence[str]) -> None:
    """Refuse a model whose explained output differs between two runs with different seeds.

    Parameters
    ----------
    model : torch.nn.Module
        The model in eval mode, on the example's device.
    example : sequence of Tensor [K, ...]
    place : int
        The place of the explained output among the leaves of the model's return value.
    draws : sequence of str
        The calls that drew numbers, each with its place in the model. Without such calls, the model does not
        run.

    Raises
    ------
    CaptureError
        If the two runs differ; the message names these calls.
    """
    if not draws:
        return
    first, second = (_output(model, example, place, seed) for seed in (1, 2))
    # NaN differs from NaN in every comparison, which does not show that the output is random.
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
        value: Tensor = tree_leaves(run_user_code(model, *(tensor.clone() for tensor in example)))[place]
    return value
