"""ReLU in all its spellings, and every other activation between convolutions and between dense layers."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import LENGTH, Net, entry

Function = Callable[[Tensor], Tensor]


def _between(activation: Function) -> nn.Module:
    """The activation after two convolutions and after a dense layer."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = activation(s.conv1(x))
        h = activation(s.conv2(h))
        return s.last(activation(s.hidden(h.flatten(1))))

    return Net(
        forward,
        conv1=nn.Conv1d(4, 6, 5, padding=2),
        conv2=nn.Conv1d(6, 5, 3, stride=2),
        hidden=nn.Linear(5 * 11, 8),
        last=nn.Linear(8, 2),
    )


def _on_positive(activation: Function) -> nn.Module:
    """For functions that are defined on positive numbers only: after ReLU, averages and a constant."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.avg_pool1d(torch.relu(s.conv(x)), 3) + 0.2
        return s.last(activation(h).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(36, 2))


class _ReusedReLU(nn.Module):
    """One ReLU module called at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 5, 3, stride=2)
        self.hidden, self.last = nn.Linear(5 * 11, 8), nn.Linear(8, 2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.last(self.relu(self.hidden(h.flatten(1))))


def _sequential(inplace: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(inplace), nn.Conv1d(6, 5, 3, stride=2), nn.ReLU(inplace),
        nn.Flatten(), nn.Linear(5 * 11, 8), nn.ReLU(inplace), nn.Linear(8, 2),
    )  # fmt: skip


entry("relu_module")(lambda: _sequential(False))
entry("relu_inplace_module", spelling_of="relu_module")(lambda: _sequential(True))
entry("relu_reused", spelling_of="relu_module")(_ReusedReLU)

_RELUS: dict[str, Function] = {
    "functional": F.relu,
    "method": Tensor.relu,
    "inplace": lambda x: F.relu(x, inplace=True),
    "method_inplace": Tensor.relu_,
    "clamp": lambda x: x.clamp(min=0),
    "clip_method": lambda x: x.clip(0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "mask": lambda x: x * (x > 0),
    "half_sum": lambda x: 0.5 * (x + x.abs()),
}
for _name, _function in _RELUS.items():
    entry(f"relu_{_name}", spelling_of="relu_module")(lambda f=_function: _between(f))

_ON_ALL_NUMBERS: dict[str, Function] = {
    "elu": F.elu,
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 0.7),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 0.4),
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "exp": torch.exp,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "arctan": torch.arctan,
    "square": torch.square,
    "cube": lambda x: x**3,
    "logsigmoid": F.logsigmoid,
    "hardshrink": lambda x: F.hardshrink(x, 0.1),
    "softshrink": lambda x: F.softshrink(x, 0.1),
    "tanhshrink": lambda x: F.tanhshrink(5 * x),
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
    "sign": lambda x: torch.sign(x - 0.1) + x,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "snake": lambda x: x + torch.sin(3 * x) ** 2 / 3,
}
for _name, _function in _ON_ALL_NUMBERS.items():
    entry(f"act_{_name}")(lambda f=_function: _between(f))

entry("act_gelu_written_out", spelling_of="act_gelu")(
    lambda: _between(lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))))
)
entry("act_silu_written_out", spelling_of="act_silu")(lambda: _between(lambda x: x * torch.sigmoid(x)))
entry("act_softplus_written_out", spelling_of="act_softplus")(
    lambda: _between(lambda x: torch.log1p(torch.exp(x)))
)
entry("act_mish_written_out", spelling_of="act_mish")(
    lambda: _between(lambda x: x * torch.tanh(F.softplus(x)))
)
entry("act_square_product", spelling_of="act_square")(lambda: _between(lambda x: x * x))

_ON_POSITIVE: dict[str, Function] = {
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "pow": lambda x: x**1.7,
    "pow_base": lambda x: 2.0**x,
}
for _name, _function in _ON_POSITIVE.items():
    entry(f"act_{_name}")(lambda f=_function: _on_positive(f))


@entry("act_prelu")
def prelu() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.PReLU(6, 0.1), nn.Flatten(), nn.Linear(6 * (LENGTH - 4), 8), nn.PReLU(),
        nn.Linear(8, 2),
    )  # fmt: skip


@entry("act_tail")
def tail() -> nn.Module:
    """A final sigmoid after activations of the whole dense output."""
    return nn.Sequential(nn.Conv1d(4, 6, 5), nn.Softplus(), nn.Flatten(), nn.Linear(120, 2), nn.Sigmoid())
