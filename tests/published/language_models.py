"""Blocks of genomic language models: the selective state space of Caduceus, the long convolution of Hyena.

The published packages need compiled kernels for a GPU, or load weights from a hub. The blocks are therefore
written out here after the papers and the published code. One-hot bases are multiplied with the embedding: the
product is the embedding that each token looks up.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published.architecture import Head, published

# ---- Caduceus


@published(
    "caduceus", (4, 24), paper="Schiff et al. 2024 (Caduceus), ICML, arXiv:2403.03234",
    source="caduceus, modeling_caduceus.py and modeling_rcps.py; Mamba: paper, algorithm 2 (written out)",
    heads=(Head("logit of C", 0, (10, 1)),),
)  # fmt: skip
def caduceus() -> nn.Module:
    """A Mamba block in both directions, the same for both strands, and a head that predicts each base."""
    return Caduceus(width=6, blocks=1)


class Mamba(nn.Module):
    """The selective state space block (Gu and Dao 2023, arXiv:2312.00752, figure 3 and algorithm 2).

    The names of the parameters are those of the published code.
    """

    def __init__(self, width: int, inner: int, state: int = 3, rank: int = 2, taps: int = 4) -> None:
        super().__init__()
        self.sizes = [rank, state, state]
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, taps, groups=inner, padding=taps - 1)
        self.x_proj = nn.Linear(inner, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, L, width] to features of the same shape."""
        values, gate = self.in_proj(x).chunk(2, -1)
        convolved = self.conv1d(values.transpose(1, 2))[..., : x.shape[1]]
        scanned = self.scan(F.silu(convolved.transpose(1, 2)))
        return self.out_proj(scanned * F.silu(gate))

    def scan(self, u: Tensor) -> Tensor:
        """The recurrence h_t = exp(step_t A) h_(t-1) + step_t B_t u_t, y_t = C_t h_t + D u_t."""
        rank, b, c = self.x_proj(u).split(self.sizes, -1)
        step = F.softplus(self.dt_proj(rank))[..., None]
        decay = (step * -self.A_log.exp()).exp()
        given = step * b[:, :, None] * u[..., None]
        state, read = torch.zeros_like(given[:, 0]), []
        for place in range(u.shape[1]):
            state = decay[:, place] * state + given[:, place]
            read.append((state * c[:, place, None]).sum(-1))
        return torch.stack(read, 1) + u * self.D


class BothDirections(nn.Module):
    """The sum of a Mamba block along the sequence and of one against it; both share their projections."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.mamba_fwd, self.mamba_rev = Mamba(width, inner), Mamba(width, inner)
        self.mamba_rev.in_proj, self.mamba_rev.out_proj = self.mamba_fwd.in_proj, self.mamba_fwd.out_proj

    def forward(self, x: Tensor) -> Tensor:
        return self.mamba_fwd(x) + self.mamba_rev(x.flip(1)).flip(1)


class BothStrands(nn.Module):
    """A module for the first half of the channels, and for the reverse complement of the second half."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        strand, other = x.chunk(2, -1)
        return torch.cat([self.module(strand), self.module(other.flip(1, 2)).flip(1, 2)], -1)


class Caduceus(nn.Module):
    """Logits [N, L, 4] of the bases; reverse-complemented sequences give reverse-complemented logits.

    Channels are in the order ACGT, so that flipping the channels complements the bases.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, width, bias=False)
        self.norms = nn.ModuleList(BothStrands(nn.LayerNorm(width)) for _ in range(blocks + 1))
        self.mixers = nn.ModuleList(BothStrands(BothDirections(width, 2 * width)) for _ in range(blocks))
        self.lm_head = nn.Linear(width, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        bases = x.transpose(1, 2)
        states = torch.cat([self.embedding(bases), self.embedding(bases.flip(2)).flip(2)], -1)
        for norm, mixer in zip(self.norms[:-1], self.mixers, strict=True):
            states = states + mixer(norm(states))
        strand, other = self.norms[-1](states).chunk(2, -1)
        return self.lm_head(strand) + self.lm_head(other.flip(2)).flip(2)


# ---- Hyena


@published(
    "hyenadna", (4, 96), paper="Nguyen et al. 2023 (HyenaDNA), NeurIPS, arXiv:2306.15794",
    source="hyena-dna, standalone_hyenadna.py; Hyena: Poli et al. 2023, arXiv:2302.10866 (written out)",
    heads=(Head("logit of C", 0, (90, 1)),),
    not_in_onnx="torch's older exporter writes no fft_rfft; the current one does",
)  # fmt: skip
def hyenadna() -> nn.Module:
    """Gates around long convolutions by Fourier transforms, whose filters are networks of the position."""
    return HyenaDNA(width=8, blocks=2, longest=96)


class ImplicitFilter(nn.Module):
    """A filter for each channel, [width, length]: a network of the position times a window that decays."""

    def __init__(self, width: int, longest: int, features: int = 5, hidden: int = 8) -> None:
        super().__init__()
        place = torch.linspace(0, 1, longest)[:, None]
        bands = torch.linspace(1e-4, (features - 1) // 2 - 1, (features - 1) // 2)
        angle = 2 * math.pi * torch.arange(longest)[:, None] / longest * bands
        self.register_buffer("place", place)
        self.register_buffer("positions", torch.cat([place, angle.cos(), -angle.sin()], 1))
        self.register_buffer("decay", torch.linspace(math.log(100) / 1.5, math.log(100) / 0.3, width))
        self.frequency = nn.Parameter(torch.full((1, hidden), 10.0))
        self.inner = nn.ModuleList([nn.Linear(features, hidden), nn.Linear(hidden, hidden)])
        self.last = nn.Linear(hidden, width, bias=False)

    def forward(self, length: int) -> Tensor:
        values = self.positions[:length]
        for layer in self.inner:
            values = torch.sin(self.frequency * layer(values))
        window = torch.exp(-self.place[:length] * self.decay) + 0.05
        return (self.last(values) * window).T


def by_fourier(x: Tensor, filters: Tensor) -> Tensor:
    """Causal convolution of [N, C, L] with filters [C, L] of the whole length, by fast Fourier transforms."""
    length = x.shape[-1]
    spectrum = torch.fft.rfft(x, n=2 * length) * torch.fft.rfft(filters, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length]


def by_convolution(x: Tensor, filters: Tensor) -> Tensor:
    """The convolution that :func:`by_fourier` computes, without Fourier transforms."""
    length = x.shape[-1]
    return F.conv1d(x, filters.flip(1)[:, None], padding=length - 1, groups=len(filters))[..., :length]


class Hyena(nn.Module):
    """The operator of order 2: y = x1 * (filter * (x2 * v)), with x1, x2 and v by short convolutions."""

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width)
        self.short_filter = nn.Conv1d(3 * width, 3 * width, 3, padding=2, groups=3 * width)
        self.long_filter = ImplicitFilter(width, longest)
        self.bias = nn.Parameter(torch.randn(width))
        self.out_proj = nn.Linear(width, width)
        self.convolve = by_fourier

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        first, second, value = self.short_filter(self.in_proj(x).transpose(1, 2))[..., :length].chunk(3, 1)
        gated = second * value
        mixed = self.convolve(gated, self.long_filter(length)) + gated * self.bias[:, None]
        return self.out_proj((first * mixed).transpose(1, 2))


class HyenaDNA(nn.Module):
    """Hyena operators and position-wise dense layers behind norms; logits [N, L, 4] of the next base."""

    def __init__(self, width: int, blocks: int, longest: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, width, bias=False)
        self.mixers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), Hyena(width, longest)) for _ in range(blocks)
        )
        self.dense = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"),
                nn.Linear(2 * width, width),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        states = self.embedding(x.transpose(1, 2))
        for mixer, dense in zip(self.mixers, self.dense, strict=True):
            states = states + mixer(states)
            states = states + dense(states)
        return self.last(states)
