"""Convolutional classifiers of whole sequences: DeepBind, Basset, DeepSEA, Beluga and Sei."""

import torch
from torch import Tensor, nn
from zoo.entry import Net

from published.architecture import Head, published

_FIRST = (Head("first task", 0, 0),)


@published(
    "deepbind", (4, 101), paper="Alipanahi et al. 2015, Nature Biotechnology 33:831",
    source="paper, supplementary notes", heads=_FIRST,
)  # fmt: skip
def deepbind() -> nn.Module:
    """The largest and the mean match of each motif."""

    def forward(s: Net, x: Tensor) -> Tensor:
        matches = s.motifs(x)
        return s.network(torch.cat([s.largest(matches), s.mean(matches)], 1))

    return Net(
        forward,
        motifs=nn.Sequential(nn.Conv1d(4, 16, 24, padding=23), nn.ReLU()),
        largest=nn.MaxPool1d(124),
        mean=nn.AvgPool1d(124),
        network=nn.Sequential(nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)),
    )


@published(
    "basset", (4, 300), paper="Kelley, Snoek and Rinn 2016, Genome Research 26:990",
    source="paper, methods", heads=_FIRST,
)  # fmt: skip
def basset() -> nn.Module:
    """Convolutions of widths 19, 11 and 7, norms before ReLU, two hidden dense layers."""

    def convolution(before: int, after: int, width: int, pool: int) -> list[nn.Module]:
        layer = nn.Conv1d(before, after, width, padding=width // 2)
        return [layer, nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(pool)]

    def dense(before: int, after: int) -> list[nn.Module]:
        return [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.3)]

    return nn.Sequential(
        *convolution(4, 12, 19, 3), *convolution(12, 8, 11, 4), *convolution(8, 8, 7, 4), nn.Flatten(),
        *dense(8 * 6, 24), *dense(24, 24), nn.Linear(24, 5), nn.Sigmoid(),
    )  # fmt: skip


@published(
    "deepsea", (4, 300), paper="Zhou and Troyanskaya 2015, Nature Methods 12:931",
    source="selene, models/deepsea.py", heads=_FIRST,
)  # fmt: skip
def deepsea() -> nn.Module:
    """Three convolutions of width 8, norms behind the pools."""
    return nn.Sequential(
        nn.Conv1d(4, 8, 8), nn.ReLU(inplace=True), nn.MaxPool1d(4), nn.BatchNorm1d(8),
        nn.Conv1d(8, 12, 8), nn.ReLU(inplace=True), nn.MaxPool1d(4), nn.BatchNorm1d(12), nn.Dropout(0.2),
        nn.Conv1d(12, 16, 8), nn.ReLU(inplace=True), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(16 * 9, 10), nn.ReLU(inplace=True), nn.BatchNorm1d(10), nn.Linear(10, 10), nn.Sigmoid(),
    )  # fmt: skip


@published(
    "beluga", (4, 1, 328), paper="Zhou et al. 2018 (ExPecto), Nature Genetics 50:1171",
    source="ExPecto, chromatin.py", heads=_FIRST,
)  # fmt: skip
def beluga() -> nn.Module:
    """Six convolutions in two dimensions, of height 1: inputs have shape [N, 4, 1, L]."""

    def pair(before: int, after: int) -> list[nn.Module]:
        return [
            nn.Conv2d(before, after, (1, 8)), nn.ReLU(), nn.Conv2d(after, after, (1, 8)), nn.ReLU(),
            nn.Dropout(0.2),
        ]  # fmt: skip

    return nn.Sequential(
        *pair(4, 8), nn.MaxPool2d((1, 4)), *pair(8, 12), nn.MaxPool2d((1, 4)), *pair(12, 16), nn.Flatten(),
        nn.Linear(16 * 2, 12), nn.ReLU(), nn.Linear(12, 10), nn.Sigmoid(),
    )  # fmt: skip


@published(
    "sei", (4, 256), paper="Chen et al. 2022, Nature Genetics 54:940", source="sei-framework, model/sei.py",
    heads=_FIRST,
)  # fmt: skip
def sei() -> nn.Module:
    """Linear paths beside nonlinear ones, dilated residual convolutions, and positions joined by splines."""
    return _Sei(8, 10)


class _Sei(nn.Module):
    def __init__(self, width: int, tasks: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(
            nn.Sequential(*([] if first else [nn.MaxPool1d(4), nn.Dropout(0.2)]), *_twice(before, width))
            for first, before in ((True, 4), (False, width), (False, width))
        )
        self.curved = nn.ModuleList(nn.Sequential(*_twice(width, width, nn.ReLU)) for _ in range(3))
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Conv1d(width, width, 5, dilation=rate, padding=2 * rate), nn.ReLU(inplace=True))
            for rate in (2, 4, 8, 16, 25)
        )
        self.splines: Tensor | None = None  # made by the first call and kept, as in the source
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Flatten(), nn.Linear(width * 8, tasks), nn.ReLU(inplace=True),
            nn.Linear(tasks, tasks), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        for linear, curved in zip(self.linear, self.curved, strict=True):
            x = linear(x)
            x = curved(x) + x
        for dilated in self.dilated:
            x = x + dilated(x)
        if self.splines is None:
            self.splines = _spline_basis(x.shape[-1], 8)
        return self.classifier(x @ self.splines)


def _twice(before: int, after: int, activation: type[nn.Module] | None = None) -> list[nn.Module]:
    """Two convolutions of width 9, each with the activation behind it, if any."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers.append(nn.Conv1d(channels, after, 9, padding=4))
        if activation is not None:
            layers.append(activation())
    return layers


def _spline_basis(places: int, count: int) -> Tensor:
    """Cubic B-splines over the places, [places, count]: they join positions that lie near each other."""
    from scipy.interpolate import BSpline

    inner = torch.linspace(0, places - 1, count - 2)
    knots = torch.cat([inner[:1].expand(3), inner, inner[-1:].expand(3)]).numpy()
    basis = BSpline.design_matrix(torch.arange(places).numpy().astype("float64"), knots.astype("float64"), 3)
    return torch.from_numpy(basis.toarray()).float()
