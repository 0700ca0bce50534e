"""How many operations scoring takes at least, and how fast the machine does them at best."""

import time
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# A product this large is limited by arithmetic alone, and takes a fraction of a second on one core.
_SIZE = 2048
_REPEATS = 7


def operations(model: nn.Module, x: Tensor, references: int) -> float:
    """Multiplications and additions for one sequence: 1 + n forward passes, and n backwards to the input."""
    point = x[:1].clone().requires_grad_()
    with FlopCounterMode(display=False) as forward:
        output = model(point)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(output.flatten(1)[:, 0].sum(), point)
    return (1 + references) * forward.get_total_flops() + references * backward.get_total_flops()


def rate(dtype: torch.dtype) -> float:
    """Operations a second in a large product of matrices."""
    first, second = (torch.randn(_SIZE, _SIZE).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        first @ second
        seconds.append(time.perf_counter() - started)
    return 2 * _SIZE**3 / median(seconds)
