"""What an entry of the zoo is, and the one registry of them."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

LENGTH = 24
BASES = (4, LENGTH)

Build = Callable[[], nn.Module]
Forward = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """One small model.

    Attributes
    ----------
    name : str
    shapes : tuple of tuple of int
        Of one row of each input. An axis of 4 makes it one-hot, others are tracks of numbers.
    spelling_of : str
        Another entry that computes the same function with the same weights, written another way; the entry's
        own name where it is the first.
    not_in_onnx : str or None
        Why no ONNX file of it can be had from torch's exporters, if so.
    """

    name: str
    build: Build = field(repr=False)
    shapes: tuple[tuple[int, ...], ...]
    spelling_of: str
    not_in_onnx: str | None

    def make(self) -> nn.Module:
        """The model in evaluation mode, with the same weights every time."""
        with torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(self.spelling_of.encode()))
            model = self.build()
            _enliven(model)
        return model.eval()

    def inputs(self, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Random rows [rows, ...] for each input, float32."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(_random_rows(rows, shape, generator) for shape in self.shapes)

    def references(self, x: tuple[Tensor, ...], count: int, seed: int = 1) -> tuple[Tensor, ...]:
        """References [rows, count, ...]: the rows of x with their positions shuffled."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(_shuffled(value, count, generator) for value in x)


ENTRIES: dict[str, Entry] = {}


def entry(
    name: str,
    *shapes: tuple[int, ...],
    spelling_of: str | None = None,
    not_in_onnx: str | None = None,
) -> Callable[[Build], Build]:
    """Register a function that builds a model; its input is a short one-hot sequence unless said."""

    def register(build: Build) -> Build:
        if name in ENTRIES:
            raise ValueError(f"two entries are called {name}")
        ENTRIES[name] = Entry(name, build, shapes or (BASES,), spelling_of or name, not_in_onnx)
        return build

    return register


class Net(nn.Module):
    """Some parts, and a function of them and the inputs."""

    def __init__(self, forward: Forward, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self._forward = forward

    def forward(self, *inputs: Tensor) -> Any:
        return self._forward(self, *inputs)


def _enliven(model: nn.Module) -> None:
    """Give norms other scales, shifts and statistics than 1 and 0, which would hide mistakes."""
    for module in model.modules():
        mean, var = getattr(module, "running_mean", None), getattr(module, "running_var", None)
        if isinstance(mean, Tensor) and isinstance(var, Tensor):
            mean.normal_(0, 0.3)
            var.uniform_(0.5, 2)
        if "Norm" in type(module).__name__:
            for parameter in module.parameters(recurse=False):
                parameter.data.normal_(0.3, 0.8)


def _random_rows(rows: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if 4 not in shape:
        return torch.randn(rows, *shape, generator=generator)
    axis = 1 + shape.index(4)
    others = [rows, *(size for place, size in enumerate(shape) if place != axis - 1)]
    letters = torch.randint(4, others, generator=generator)
    return nn.functional.one_hot(letters, 4).movedim(-1, axis).float()


def _shuffled(value: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Permute the longest axis, for each row and reference in another way."""
    axis = max(range(1, value.dim()), key=lambda place: value.shape[place])
    rows = []
    for row in value:
        orders = [torch.randperm(value.shape[axis], generator=generator) for _ in range(count)]
        rows.append(torch.stack([row.index_select(axis - 1, order) for order in orders]))
    return torch.stack(rows)
