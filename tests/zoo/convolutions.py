"""How convolutions and dense layers are put together: residual, dense, dilated, transposed, normed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from zoo.entry import LENGTH, Net, entry


def _head(channels: int, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, 7), nn.ReLU(), nn.Linear(7, outputs))


@entry("residual")
def residual() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.stem(x))
        for conv in s.convs:
            h = h + torch.relu(conv(h))
        return s.head(h.mean(-1))

    convs = nn.ModuleList(nn.Conv1d(6, 6, 3, padding=2**i, dilation=2**i) for i in range(3))
    return Net(forward, stem=nn.Conv1d(4, 6, 7, padding=3), convs=convs, head=_head(6))


@entry("residual_inplace", spelling_of="residual")
def residual_inplace() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu_(s.stem(x))
        for conv in s.convs:
            h += torch.relu_(conv(h))
        return s.head(h.sum(-1).div_(h.shape[-1]))

    convs = nn.ModuleList(nn.Conv1d(6, 6, 3, padding=2**i, dilation=2**i) for i in range(3))
    return Net(forward, stem=nn.Conv1d(4, 6, 7, padding=3), convs=convs, head=_head(6))


@entry("residual_valid_cropped")
def cropped() -> nn.Module:
    """Valid convolutions whose skips are cropped, as in BPNet of chrombpnet."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.stem(x))
        for conv in s.convs:
            y = torch.relu(conv(h))
            cut = (h.shape[-1] - y.shape[-1]) // 2
            h = h[..., cut:-cut] + y
        return s.head(h.mean(-1))

    convs = nn.ModuleList(nn.Conv1d(6, 6, 3, dilation=2**i) for i in range(3))
    return Net(forward, stem=nn.Conv1d(4, 6, 5), convs=convs, head=_head(6))


@entry("preactivation")
def preactivation() -> nn.Module:
    """SpliceAI's blocks: norm, ReLU and convolution, twice, and a skip from every block to the end."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.stem(x)
        skip = s.skip(h)
        for block, side in zip(s.blocks, s.sides, strict=True):
            h = h + block(h)
            skip = skip + side(h)
        return torch.softmax(s.last(skip), 1).mean(-1)

    def block(dilation: int) -> nn.Module:
        conv = [nn.Conv1d(6, 6, 3, padding=dilation, dilation=dilation) for _ in range(2)]
        return nn.Sequential(
            nn.BatchNorm1d(6), nn.ReLU(), conv[0], nn.BatchNorm1d(6), nn.ReLU(inplace=True), conv[1]
        )

    return Net(
        forward,
        stem=nn.Conv1d(4, 6, 1),
        skip=nn.Conv1d(6, 6, 1),
        blocks=nn.ModuleList(block(d) for d in (1, 2, 4)),
        sides=nn.ModuleList(nn.Conv1d(6, 6, 1) for _ in range(3)),
        last=nn.Conv1d(6, 3, 1),
    )


@entry("densenet")
def densenet() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.stem(x)
        for conv in s.convs:
            h = torch.cat([h, torch.relu(conv(h))], 1)
        return s.head(h.amax(-1))

    convs = nn.ModuleList(nn.Conv1d(5 + 3 * i, 3, 3, padding=1) for i in range(3))
    return Net(forward, stem=nn.Conv1d(4, 5, 3), convs=convs, head=_head(14))


@entry("inception")
def inception() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.cat([torch.relu(branch(x)) for branch in s.branches], 1)
        return s.head(F.max_pool1d(h, 4).flatten(1))

    branches = nn.ModuleList(nn.Conv1d(4, 3, k, padding=k // 2) for k in (1, 3, 7))
    return Net(forward, branches=branches, head=_head(9 * 6))


@entry("depthwise_separable")
def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 8, 5, padding="same"), nn.ReLU(), nn.Conv1d(8, 8, 5, groups=8, padding=2),
        nn.Conv1d(8, 6, 1), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 6, 3, groups=2, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(66, 2),
    )  # fmt: skip


@entry("transposed_unet")
def unet() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        top = torch.relu(s.down1(x))
        low = torch.relu(s.down2(top))
        up = torch.relu(s.up(low))
        return s.last(torch.cat([up, top], 1)).flatten(1)

    return Net(
        forward,
        down1=nn.Conv1d(4, 6, 4, stride=2, padding=1),
        down2=nn.Conv1d(6, 8, 4, stride=2, padding=1),
        up=nn.ConvTranspose1d(8, 6, 4, stride=2, padding=1),
        last=nn.Conv1d(12, 2, 1),
    )


@entry("transposed_grouped")
def transposed_grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 3, stride=3), nn.ReLU(),
        nn.ConvTranspose1d(6, 4, 5, stride=3, groups=2, output_padding=1, dilation=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 31, 2),
    )  # fmt: skip


@entry("two_dimensional", (4, 1, LENGTH))
def two_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 6, (1, 5)), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d((1, 3), (1, 2)),
        nn.Conv2d(6, 5, (1, 3), padding=(0, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(45, 2),
    )  # fmt: skip


@entry("channels_last", (LENGTH, 4))
def channels_last() -> nn.Module:
    """As Keras has it: the convolution is wrapped in transpositions, dense layers see [N, L, C]."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x.transpose(1, 2)).transpose(1, 2)
        h = torch.relu(s.position(torch.relu(h)))
        return s.head(h.flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), position=nn.Linear(6, 5), head=_head(100))


@entry("channels_last_unit", (LENGTH, 4, 1))
def first_layer_over_all_bases() -> nn.Module:
    """DeepBind's and Basset's first form: a 2-d kernel over all four bases."""
    return nn.Sequential(
        nn.Unflatten(1, (1, LENGTH)), nn.Flatten(3), nn.Conv2d(1, 6, (5, 4)), nn.ReLU(), nn.MaxPool2d((4, 1)),
        nn.Flatten(), nn.Linear(30, 2), nn.Sigmoid(),
    )  # fmt: skip


@entry("weight_norm")
def weight_norm() -> nn.Module:
    conv = parametrizations.weight_norm(nn.Conv1d(4, 6, 5))
    return nn.Sequential(
        conv, nn.ReLU(), nn.Flatten(), parametrizations.weight_norm(nn.Linear(120, 8)), nn.ReLU(),
        nn.Linear(8, 2),
    )  # fmt: skip


@entry("spectral_norm")
def spectral_norm() -> nn.Module:
    conv = parametrizations.spectral_norm(nn.Conv1d(4, 6, 5))
    return nn.Sequential(
        conv, nn.ReLU(), nn.Flatten(), parametrizations.spectral_norm(nn.Linear(120, 8)), nn.ReLU(),
        nn.Linear(8, 2),
    )  # fmt: skip


@entry("dense_only")
def dense_only() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4 * LENGTH, 12), nn.ReLU(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 2)
    )


@entry("dropout_in_training")
def dropout() -> nn.Module:
    """In training mode when it is handed over: dropout does nothing, norms keep their statistics."""
    return nn.Sequential(
        nn.Conv1d(4, 6, 5), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout1d(0.3), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(120, 8), nn.ReLU(), nn.AlphaDropout(0.2), nn.Linear(8, 2),
    )  # fmt: skip


@entry("stochastic_depth")
def functional_dropout() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = F.dropout(torch.relu(s.conv(x)), 0.3, training=s.training)
        return s.last(F.feature_alpha_dropout(h, 0.1, s.training).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), last=nn.Linear(120, 2))


@entry("bilinear_layer")
def bilinear() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x)).mean(-1)
        return s.pair(h, torch.tanh(s.other(h)))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), other=nn.Linear(6, 5), pair=nn.Bilinear(6, 5, 2))
