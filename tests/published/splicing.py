"""Splice sites: SpliceAI and OpenSpliceAI (PyTorch, channels first), CI-SpliceAI (Keras, channels last)."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from published.architecture import Head, published
from published.keras_models import keras_on_torch, reseed

_ACCEPTOR = (Head("acceptor", 0, (1, 5)),)


class _Unit(nn.Module):
    """Norm, ReLU and convolution, twice, and what came in."""

    def __init__(self, width: int, window: int, dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            convolution = nn.Conv1d(width, width, window, dilation=dilation, padding="same")
            layers += [nn.BatchNorm1d(width), nn.ReLU(), convolution]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _SpliceAI(nn.Module):
    """Residual units in groups of four; the sum of a convolution of each group, without its context."""

    def __init__(self, width: int, groups: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, width, 1)
        self.groups = nn.ModuleList(
            nn.Sequential(*(_Unit(width, window, dilation) for _ in range(4))) for window, dilation in groups
        )
        self.skips = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(len(groups) + 1))
        self.last = nn.Sequential(nn.Conv1d(width, 3, 1), nn.Softmax(1))
        self.flank = 4 * sum(dilation * (window - 1) for window, dilation in groups)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        total = self.skips[0](x)
        for group, skip in zip(self.groups, self.skips[1:], strict=True):
            x = group(x)
            total = total + skip(x)
        return self.last(total[:, :, self.flank : -self.flank])


@published(
    "spliceai", (4, 411), paper="Jaganathan et al. 2019, Cell 176:535",
    source="paper, figure 1 (SpliceAI-400nt, all 8 residual units)", heads=_ACCEPTOR,
)  # fmt: skip
def spliceai() -> nn.Module:
    return _SpliceAI(8, ((11, 1), (11, 4)))


@published(
    "openspliceai", (4, 411), paper="Chao et al. 2025, eLife 14:RP107454",
    source="openspliceai, SpliceAI (flanks of 400)", package="openspliceai", heads=_ACCEPTOR,
)  # fmt: skip
def openspliceai() -> nn.Module:
    """SpliceAI with leaky ReLUs; all 8 residual units."""
    from openspliceai.train_base.openspliceai import SpliceAI

    return SpliceAI(8, np.array([11] * 8), np.array([1] * 4 + [4] * 4))


@published(
    "ci_spliceai", (2511, 4), paper="Strauch et al. 2022, PLoS ONE 17:e0269159",
    source="CI-SpliceAI__Train, models.py (all windows and dilations, 1 of 4 units each)", package="keras",
    heads=(Head("acceptor", 0, (5, 1)),),
)  # fmt: skip
def ci_spliceai() -> nn.Module:
    keras = keras_on_torch()
    layers = keras.layers

    def convolution(x: Any, window: int, dilation: int) -> Any:
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return layers.Conv1D(6, window, dilation_rate=dilation, padding="same")(x)

    x = bases = layers.Input((2511, 4))
    x = layers.Conv1D(6, 1)(x)
    skip = layers.Conv1D(6, 1)(x)
    for window, dilation in ((11, 1), (11, 4), (21, 10), (41, 25)):
        x = layers.add([convolution(convolution(x, window, dilation), window, dilation), x])
        skip = layers.add([layers.Conv1D(6, 1)(x), skip])
    output = layers.Conv1D(3, 1, activation="softmax")(layers.Cropping1D(1250)(skip))
    return reseed(keras.Model(bases, output))
