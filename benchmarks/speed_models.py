"""The field's standard models at their real sizes, with random weights.

Every nonlinearity is a module of its own, called once: that is what tools with hooks need to be right.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tangermeme.deep_lift_shap import BilinearOp
from torch import Tensor, nn

# The command sets this variable, too, and oneDNN reads it when torch first computes.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")


class Sum(nn.Module):
    """x + inner(x), cropped to what the inner layers leave."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Mean(nn.Module):
    """Over positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


class Middle(nn.Module):
    """Values at the middle position."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., x.shape[-1] // 2]


class Attention(nn.Module):
    """Self-attention over positions as Enformer's blocks have it, without relative positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(channels), heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.scores, self.mix, self.softmax = BilinearOp(), BilinearOp(), nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x.transpose(1, 2))
        q, k, v = (
            part(h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = self.softmax(self.scores(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5)
        return self.out(self.mix(weights, v).transpose(1, 2).flatten(2)).transpose(1, 2)


def bpnet(filters: int, layers: int = 8, tasks: int = 1) -> nn.Module:
    """BPNet's trunk and counts head (Avsec et al. 2021)."""
    dilated = [
        Sum(nn.Sequential(nn.Conv1d(filters, filters, 3, padding=2**i, dilation=2**i), nn.ReLU()))
        for i in range(1, layers + 1)
    ]
    return nn.Sequential(
        nn.Conv1d(4, filters, 21, padding=10), nn.ReLU(), *dilated, Mean(), nn.Linear(filters, tasks)
    )


def basset() -> nn.Module:
    """Basset (Kelley et al. 2016), 600 bp."""
    return nn.Sequential(
        nn.Conv1d(4, 300, 19, padding=9), nn.BatchNorm1d(300), nn.ReLU(), nn.MaxPool1d(3),
        nn.Conv1d(300, 200, 11, padding=5), nn.BatchNorm1d(200), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(200, 200, 7, padding=3), nn.BatchNorm1d(200), nn.ReLU(), nn.MaxPool1d(4),
        nn.Flatten(), nn.Linear(200 * 12, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(),
        nn.Linear(1000, 164),
    )  # fmt: skip


def deepsea() -> nn.Module:
    """DeepSEA (Zhou and Troyanskaya 2015), 1,000 bp."""
    return nn.Sequential(
        nn.Conv1d(4, 320, 8), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(320, 480, 8), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(480, 960, 8), nn.ReLU(),
        nn.Flatten(), nn.Linear(960 * 53, 925), nn.ReLU(), nn.Linear(925, 919),
    )  # fmt: skip


def spliceai() -> nn.Module:
    """SpliceAI-10k's trunk (Jaganathan et al. 2019): 32 convolutions in 16 residual units."""

    def unit(width: int, dilation: int) -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(2):
            padding = dilation * (width - 1) // 2
            layers += [
                nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 32, width, padding=padding, dilation=dilation)
            ]  # fmt: skip
        return Sum(nn.Sequential(*layers))

    shapes = [(11, 1)] * 4 + [(11, 4)] * 4 + [(21, 10)] * 4 + [(41, 25)] * 4
    return nn.Sequential(
        nn.Conv1d(4, 32, 1), *(unit(*shape) for shape in shapes), nn.Conv1d(32, 3, 1), Middle()
    )


def enformer(channels: int = 192, blocks: int = 2) -> nn.Module:
    """Enformer's layers (Avsec et al. 2021), few and narrow: GELU, pools, attention, layer norms."""

    def stage(before: int, after: int) -> list[nn.Module]:
        return [
            nn.BatchNorm1d(before), nn.GELU(), nn.Conv1d(before, after, 5, padding=2),
            Sum(nn.Sequential(nn.BatchNorm1d(after), nn.GELU(), nn.Conv1d(after, after, 1))), nn.MaxPool1d(2),
        ]  # fmt: skip

    body: list[nn.Module] = []
    for _ in range(blocks):
        body += [Sum(Attention(channels, 8))]
    half = channels // 2
    return nn.Sequential(
        nn.Conv1d(4, half, 15, padding=7), *stage(half, half), *stage(half, half), *stage(half, channels),
        *stage(channels, channels), *body,
        nn.Conv1d(channels, channels, 1), nn.GELU(), Mean(), nn.Linear(channels, 5),
    )  # fmt: skip


def long_trunk(filters: int, pools: int = 7, blocks: int = 2) -> nn.Module:
    """Borzoi's layers (Linder et al. 2025) for inputs of its length: a tower with pools, then attention."""
    body: list[nn.Module] = [nn.Conv1d(4, filters, 15, padding=7), nn.MaxPool1d(2)]
    for _ in range(pools - 1):
        body += [
            nn.BatchNorm1d(filters), nn.GELU(), nn.Conv1d(filters, filters, 5, padding=2), nn.MaxPool1d(2)
        ]  # fmt: skip
    body += [Sum(Attention(filters, 4)) for _ in range(blocks)]
    return nn.Sequential(*body, nn.Conv1d(filters, filters, 1), nn.GELU(), Mean(), nn.Linear(filters, 5))


def mmsplice() -> nn.Module:
    """The size of an MMSplice module (Cheng et al. 2019): tiny."""
    return nn.Sequential(
        nn.Conv1d(4, 32, 11), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 8, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 43, 64), nn.ReLU(), nn.Linear(64, 1),
    )  # fmt: skip


def _give_weights_of_he(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


# Sequences that batch norms take their statistics from.
_NORM_ROWS = 16


@dataclass(frozen=True)
class Case:
    """A model, its input's length, and how many sequences a run takes: some seconds, and a full batch."""

    make: Callable[[], nn.Module]
    length: int
    sequences: int

    def model(self) -> nn.Module:
        """With the same weights every time, and values of the size that they have in a trained model.

        Batch norms hold the mean and variance of what reaches them, here from random sequences. A model
        without any has He's weights: with torch's own, values shrink from layer to layer until the output
        hardly depends on the input, and pairs miss summation-to-delta that trained models' do not.
        """
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.make()
            norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
            if not norms:
                _give_weights_of_he(model)
            for norm in norms:
                norm.momentum = None  # the plain mean over what follows
            with torch.no_grad():
                model.train()(torch.eye(4)[torch.randint(4, (_NORM_ROWS, self.length))].mT)
        return model.eval()


CASES = {
    "BPNet, 64 filters": Case(lambda: bpnet(64), 2114, 8),
    "BPNet, 512 filters": Case(lambda: bpnet(512), 2114, 1),
    "Basset": Case(basset, 600, 16),
    "DeepSEA": Case(deepsea, 1000, 32),
    "SpliceAI-like": Case(spliceai, 5000, 2),
    "Enformer-like, small": Case(enformer, 2048, 8),
    "MMSplice-like, tiny": Case(mmsplice, 53, 256),
}

# Where several targets of one run are timed.
MANY_TARGETS = {
    "BPNet, 64 filters": Case(lambda: bpnet(64, tasks=16), 2114, 8),
    "Basset": Case(basset, 600, 16),
}
