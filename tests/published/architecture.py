"""What a published architecture is here, and the one registry of them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from zoo.entry import Build, Entry

import deeplift_references
from deeplift_core.engine.targets import Target


@dataclass(frozen=True)
class Head:
    """What is explained: an output of the model, and an element of it."""

    name: str
    output: int | str
    target: Target


@dataclass(frozen=True)
class Architecture(Entry):
    """A published architecture, built small.

    Attributes
    ----------
    paper, source : str
        Where it was published, and the code whose layers it follows.
    package : str or None
        The package on PyPI that defines it, where it is not written out here.
    heads : tuple of Head
    trained : bool
        Whether the weights are those that its authors trained, which are left as they are.
    """

    paper: str
    source: str
    package: str | None
    heads: tuple[Head, ...]
    trained: bool = False

    def make(self) -> nn.Module:
        """The model in evaluation mode, with the same weights every time."""
        return self.build().eval() if self.trained else super().make()

    @property
    def missing(self) -> str | None:
        """Why it cannot be built in this environment, if so."""
        if self.package is None or find_spec(_MODULES[self.package]) is not None:
            return None
        return f"{self.package} is not installed (`make test` does so)"

    def inputs(self, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Random sequences, and tracks of numbers that are counts: none is negative."""
        return tuple(value.abs() for value in super().inputs(rows, seed))

    def references(self, x: tuple[Tensor, ...], count: int, seed: int = 1) -> tuple[Tensor, ...]:
        """Dinucleotide shuffles of the sequences, and shuffles of the tracks."""
        shuffle = deeplift_references.make("dinucleotide", n_references=count, seed=seed)

        def shuffled(value: Tensor) -> Tensor:
            if 4 not in value.shape[1:]:
                return super(Architecture, self).references((value,), count, seed)[0]
            axis = 1 + list(value.shape[1:]).index(4)
            bases = value.movedim(axis, 1)
            made = torch.from_numpy(shuffle(bases.flatten(2).numpy().astype("int8")))
            return made.unflatten(3, bases.shape[2:]).movedim(2, axis + 1).to(value.dtype)

        return tuple(shuffled(value) for value in x)


# The names that packages on PyPI are imported by.
_MODULES = {
    "alphagenome-pt": "alphagenome_pt",
    "bpnet-lite": "bpnetlite",
    "borzoi-pytorch": "borzoi_pytorch",
    "cherimoya": "cherimoya",
    "enformer-pytorch": "enformer_pytorch",
    "keras": "keras",
    "openspliceai": "openspliceai",
    "promoterai-torch": "promoterai_torch",
    "tetss2": "tetss2",
}

ARCHITECTURES: dict[str, Architecture] = {}


def published(
    name: str,
    *shapes: tuple[int, ...],
    paper: str,
    source: str,
    heads: tuple[Head, ...],
    package: str | None = None,
    not_in_onnx: str | None = None,
    trained: bool = False,
) -> Callable[[Build], Build]:
    """Register a function that builds an architecture; the weights become random unless they are trained."""

    def register(build: Build) -> Build:
        if name in ARCHITECTURES:
            raise ValueError(f"two architectures are called {name}")

        def alive() -> nn.Module:
            model = build()
            if not trained:
                _randomise(model)
            return model

        ARCHITECTURES[name] = Architecture(
            name, alive, shapes, name, not_in_onnx, paper, source, package, heads, trained
        )
        return build

    return register


def _randomise(model: nn.Module) -> None:
    """Weights that keep a signal's size, and no zeros, which would hide mistakes in biases and new heads."""
    for module in model.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0, 0.2)
