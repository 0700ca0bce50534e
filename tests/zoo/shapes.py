"""Shape juggling, constant indices, sums along axes, resampling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.entry import LENGTH, Net, entry

_FLIP = [3, 2, 1, 0]


def _juggled(juggle: object) -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = juggle(torch.relu(s.conv(x)))
        return s.last(torch.tanh(h.flatten(1) @ s.mix[: h[0].numel()]))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), mix=torch.randn(2000, 5) / 8, last=nn.Linear(5, 2))


def _index(h: Tensor) -> Tensor:
    return h[:, [0, 2, 2, 5]][..., torch.tensor([3, 1, 7])]


_JUGGLES = {
    "unfold": lambda h: h.unfold(2, 6, 3),
    "unfold_2d": lambda h: F.unfold(h.unsqueeze(2), (1, 5), stride=(1, 3)),
    "roll": lambda h: h - torch.roll(h, 2, -1) + h.roll((1, 3), (1, 2)),
    "gather": lambda h: h.gather(2, torch.tensor([[[4, 0, 7]]]).expand(h.shape[0], 6, 3)),
    "index": _index,
    "index_select": lambda h: h.index_select(2, torch.tensor([5, 5, 1])),
    "take_along": lambda h: torch.take_along_dim(h, torch.tensor([[[2, 9]]]), 2),
    "repeat": lambda h: h.repeat(1, 2, 1) + h.repeat_interleave(2, 1),
    "tile": lambda h: torch.tile(h, (2,)) - h.tile((1, 1, 2)).flip(-1),
    "chunk": lambda h: torch.cat([part * (i + 1) for i, part in enumerate(h[..., :18].chunk(3, -1))], 1),
    "stack": lambda h: torch.stack([h, h.flip(-1), -h], 2),
    "split": lambda h: (
        torch.cat(h.split([3, 7, 10], -1)[::-1], -1) + torch.cat(h.tensor_split(3, 2)[::-1], 2)
    ),
    "strided": lambda h: h[..., ::3] + h[..., 1:20:3].flip(2),
    "expand": lambda h: h.mean(-1, keepdim=True).expand(-1, -1, 4) - h[..., :4],
    "movedim": lambda h: h.movedim(1, -1).swapaxes(1, 2).unsqueeze(1).squeeze(1).contiguous(),
    "reshape": lambda h: h.reshape(h.shape[0], 3, -1).view(h.shape[0], -1, 8).mT,
    "pad_constant": lambda h: F.pad(h, (2, 1), value=0.4),
    "pad_reflect": lambda h: F.pad(h, (3, 2), mode="reflect"),
    "pad_replicate": lambda h: F.pad(h, (3, 2), mode="replicate"),
    "pad_circular": lambda h: F.pad(h, (3, 2), mode="circular"),
    "diagonal": lambda h: torch.diagonal(h.mT @ s_matrix(h), dim1=1, dim2=2),
    "triangle": lambda h: torch.tril(h) + torch.triu(h, 2),
    "einsum": lambda h: torch.einsum("ncl,cd,le->nde", h, s_square(h), torch.ones(20, 2, dtype=h.dtype)),
    "tensordot": lambda h: torch.tensordot(h, s_square(h), ([1], [0])),
    "cumsum": lambda h: h.cumsum(-1) - h.flip(-1).cumsum(-1).flip(-1),
    "diff": lambda h: h.diff(dim=-1),
    "upsample_nearest": lambda h: F.interpolate(h, scale_factor=2) - F.interpolate(h, size=40).roll(1, -1),
    "upsample_linear": lambda h: F.interpolate(h, scale_factor=2, mode="linear", align_corners=False),
    "upsample_bilinear": lambda h: F.interpolate(h.unsqueeze(1), size=(3, 9), mode="bilinear"),
    "upsample_bicubic": lambda h: F.interpolate(h.unsqueeze(1), size=(6, 9), mode="bicubic"),
    "pixel_shuffle": lambda h: F.pixel_shuffle(h.reshape(h.shape[0], 12, 2, 5), 2),
    "scatter": lambda h: torch.zeros_like(h).scatter_add(
        2, (torch.arange(20) // 3).expand(h.shape[0], 6, 20), h
    ),
    "index_add": lambda h: torch.zeros_like(h).index_add(2, torch.arange(20) // 4, h),
    "assigned": lambda h: _assigned(h),
    "constant_matrix": lambda h: h @ torch.linalg.matrix_exp(torch.eye(20).double() / 9).to(h.dtype),
    "fourier": lambda h: torch.fft.rfft(h, dim=-1).real + torch.fft.rfft(h, dim=-1).imag,
    "fourier_convolution": lambda h: torch.fft.irfft(
        torch.fft.rfft(h, n=40) * torch.fft.rfft(torch.linspace(1, 0, 20, dtype=h.dtype), n=40), n=40
    )[..., :20],
}


def s_square(h: Tensor) -> Tensor:
    """A constant 6 x 3 matrix."""
    return torch.linspace(-1, 1, 18, dtype=h.dtype).reshape(6, 3)


def s_matrix(h: Tensor) -> Tensor:
    """A constant 6 x 20 matrix."""
    return torch.linspace(-1, 1, 120, dtype=h.dtype).reshape(6, 20)


def _assigned(h: Tensor) -> Tensor:
    result = torch.zeros(h.shape[0], 6, 10, dtype=h.dtype)
    result[:, :, ::2] = h[..., :5]
    result[:, 2:4, 1] = 2 * h[:, 2:4, 7]
    result[:, 0] += h[:, 1, :10]
    return result


_NOT_IN_ONNX = {
    "fourier": "the exporters write no complex numbers",
    "fourier_convolution": "the exporters write no complex numbers",
}
for _name, _juggle in _JUGGLES.items():
    entry(f"shape_{_name}", not_in_onnx=_NOT_IN_ONNX.get(_name))(lambda j=_juggle: _juggled(j))


@entry("position_embedding")
def position_embedding() -> nn.Module:
    def forward(s: Net, x: Tensor) -> Tensor:
        h = s.conv(x).transpose(1, 2) + s.places(torch.arange(LENGTH - 4))
        return s.last(torch.relu(h).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 5), places=nn.Embedding(LENGTH, 6), last=nn.Linear(120, 2))


@entry("base_embedding")
def base_embedding() -> nn.Module:
    """The one-hot times a table of embeddings, with k-mers of neighbours."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = x.transpose(1, 2) @ s.table.weight
        return s.last(torch.relu(s.hidden(h.unfold(1, 3, 3).flatten(1))))

    return Net(forward, table=nn.Embedding(4, 3), hidden=nn.Linear(72, 6), last=nn.Linear(6, 2))


@entry("profile_and_counts")
def profile_and_counts() -> nn.Module:
    """Two outputs of different shapes, as BPNet has them; the first is explained at one position."""

    def forward(s: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(s.conv(x))
        return s.counts(h.mean(-1)), s.profile(h).squeeze(1)

    return Net(forward, conv=nn.Conv1d(4, 6, 5), profile=nn.Conv1d(6, 1, 5), counts=nn.Linear(6, 1))


@entry("grouped_by_region")
def grouped_by_region() -> nn.Module:
    """Convolved region by region, the regions being rows of one larger batch."""

    def forward(s: Net, x: Tensor) -> Tensor:
        n = x.shape[0]
        regions = x.unflatten(2, (3, 8)).permute(0, 2, 1, 3).flatten(0, 1)
        h = torch.relu(s.conv(regions)).amax(-1).reshape(n, 3, 6)
        return s.last(torch.relu(s.hidden(h)).flatten(1))

    return Net(forward, conv=nn.Conv1d(4, 6, 3), hidden=nn.Linear(6, 4), last=nn.Linear(12, 2))


@entry("pairwise_map")
def pairwise_map() -> nn.Module:
    """Akita's and Orca's contact maps: all pairs of positions, made symmetric, then 2-d convolutions."""

    def forward(s: Net, x: Tensor) -> Tensor:
        h = torch.relu(s.conv(x))
        pairs = (h.unsqueeze(-1) + h.unsqueeze(-2)) / 2
        grid = torch.relu(s.grid(pairs))
        grid = (grid + grid.transpose(-1, -2)) / 2
        rows, columns = torch.triu_indices(grid.shape[-1], grid.shape[-1], 2)
        return s.last(grid[..., rows, columns]).mean(-1)

    return Net(
        forward, conv=nn.Conv1d(4, 5, 5, stride=3), grid=nn.Conv2d(5, 4, 3, padding=1),
        last=nn.Conv1d(4, 2, 1),
    )  # fmt: skip
