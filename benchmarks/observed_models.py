"""The signal and the models of `observed_signal.py`: reads on simulated DNA, and networks that predict them.

The sequences are those of examples/simulation.py, end to end in random order. A binding site is any place,
planted or not, at which a matrix fits: the occupancy of a place is a logistic function of its log-odds on
either strand. Each site adds reads with a footprint of its motif's width. Reads of the plus strand lie
upstream of the site, those of the minus strand as far downstream, as in ChIP experiments. What is observed
is a Poisson draw from these rates, so that the best possible predictions are known.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from bpnetlite import BPNet
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from simulation import ALPHABET, BACKGROUND, LENGTH, MOTIFS, simulate

Floats = npt.NDArray[np.float64]

PLUS, MINUS = 0, 1
BATCH = 64
_BACKGROUND_RATE = 0.02  # reads at a base without a site
_CUT = 20  # positions at either end of a window of which the BPNets give no profile
_BINS = 20


@dataclass(frozen=True)
class _Footprint:
    """Reads at a site: their number at full occupancy, distance upstream of its middle, and width, in bp."""

    reads: float
    upstream: int
    width: float


_FOOTPRINTS = {"GATA": _Footprint(40, 12, 6), "TAL1": _Footprint(25, 6, 15)}


@dataclass(frozen=True)
class Genome:
    """Simulated windows, one after the other.

    Attributes
    ----------
    bases : int array [W L]
        Indices into ACGT.
    rates : float array [2, W L]
        Expected reads of the plus and the minus strand.
    """

    bases: npt.NDArray[np.int8]
    rates: Floats

    @property
    def letters(self) -> str:
        """The sequence as text."""
        return "".join(ALPHABET[base] for base in self.bases)

    def draw(self, strand: int, seed: int) -> Floats:
        """Return observed reads of one strand [W L], a Poisson draw."""
        return np.random.default_rng(seed).poisson(self.rates[strand]).astype(np.float64)

    def windows(self) -> Tensor:
        """Return all windows, one-hot [W, 4, L]."""
        rows = self.bases.reshape(-1, LENGTH)
        return torch.from_numpy(rows[:, None] == np.arange(4)[:, None]).float()


def simulated_genome(windows: int, seed: int) -> Genome:
    """Simulate a genome of so many windows of `LENGTH` bp."""
    order = np.random.default_rng(seed).permutation(windows)
    sequences = simulate(windows, seed)
    bases = np.concatenate([sequences[row].bases for row in order])
    rates = np.full((2, len(bases)), _BACKGROUND_RATE)
    for motif, footprint in _FOOTPRINTS.items():
        sites = footprint.reads * _occupancy(bases, MOTIFS[motif])
        for strand, direction in ((PLUS, -1), (MINUS, 1)):
            at = np.arange(-60, 61)
            shape = np.exp(-(((at - direction * footprint.upstream) / footprint.width) ** 2) / 2)
            rates[strand] += np.convolve(sites, shape / shape.sum(), mode="same")
    return Genome(bases, rates)


def _occupancy(bases: npt.NDArray[np.int8], counts: npt.NDArray[np.int64]) -> Floats:
    """Return the occupancy, both strands together, of the place with its middle at each base: [N]."""
    odds = np.log2((counts + 1) / (counts + 1).sum(axis=1, keepdims=True) * sum(BACKGROUND) / BACKGROUND)
    most, width = odds.max(axis=1).sum(), len(odds)
    found = np.zeros(len(bases))
    for matrix in (odds, odds[::-1, ::-1]):
        places = np.lib.stride_tricks.sliding_window_view(bases, width)
        scores = matrix[np.arange(width), places].sum(axis=1)
        found[width // 2 : width // 2 + len(scores)] += 1 / (1 + np.exp(-2 * (scores - 0.7 * most)))
    return found


# ---- networks


@dataclass(frozen=True)
class Predictor:
    """A network of the table.

    Attributes
    ----------
    name, what : str
    make : callable
        The untrained network.
    loss : callable
        From its output and the reads [N, L] to a scalar.
    target : str
        What `deeplift score` explains.
    epochs : int
        Of training.
    cut : int or None
        The profile leaves out so many positions at either end of the window; None if there is no profile of
        single bases.
    """

    name: str
    what: str
    make: Callable[[], nn.Module]
    loss: Callable[[Tensor | tuple[Tensor, Tensor], Tensor], Tensor]
    target: str
    epochs: int
    cut: int | None = None


def _bpnet_loss(output: Tensor | tuple[Tensor, Tensor], reads: Tensor) -> Tensor:
    """bpnet-lite's: multinomial for the profile, squared error for the logarithm of the counts."""
    profile, counts = output
    inside = reads[:, _CUT : LENGTH - _CUT]
    likelihood = (inside * torch.log_softmax(profile[:, 0], 1)).sum(1).mean()
    return 10 * nn.functional.mse_loss(counts[:, 0], inside.sum(1).log1p()) - likelihood


def _total_loss(output: Tensor | tuple[Tensor, Tensor], reads: Tensor) -> Tensor:
    """Squared error of the logarithm of the counts."""
    assert isinstance(output, Tensor)
    return nn.functional.mse_loss(output[:, 0], reads.sum(1).log1p())


def _bins_loss(output: Tensor | tuple[Tensor, Tensor], reads: Tensor) -> Tensor:
    """Poisson likelihood of the reads of bins."""
    assert isinstance(output, Tensor)
    bins = reads.reshape(len(reads), _BINS, -1).sum(2)
    return nn.functional.poisson_nll_loss(output[:, 0], bins, log_input=False)


def _convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 24, 13), nn.BatchNorm1d(24), nn.ReLU(),
        nn.Conv1d(24, 24, 5, dilation=4), nn.BatchNorm1d(24), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 1),
    )  # fmt: skip


def _pools() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 24, 13), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(3),
        nn.Conv1d(24, 24, 7), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(24, 24, 5), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(4),
        nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 1),
    )  # fmt: skip


def _binned() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 24, 13, padding=6), nn.BatchNorm1d(24), nn.GELU(), nn.MaxPool1d(2),
        nn.Conv1d(24, 32, 5, padding=2), nn.BatchNorm1d(32), nn.GELU(), nn.MaxPool1d(5),
        nn.Conv1d(32, 32, 5, padding=2), nn.BatchNorm1d(32), nn.GELU(),
        nn.Conv1d(32, 1, 1), nn.Softplus(),
    )  # fmt: skip


PREDICTORS = (
    Predictor(
        "bpnet", "BPNet of bpnet-lite, 16 filters, 3 dilated layers",
        lambda: BPNet(16, 3, 1, 0, trimming=_CUT, verbose=False), _bpnet_loss, "counts", 14, _CUT,
    ),
    Predictor(
        "small-bpnet", "the same with 8 filters and 1 layer",
        lambda: BPNet(8, 1, 1, 0, trimming=_CUT, verbose=False), _bpnet_loss, "counts", 14, _CUT,
    ),
    Predictor(
        "convolutions", "two convolutions, mean over positions, dense layers; log counts",
        _convolutions, _total_loss, "0", 16,
    ),
    Predictor(
        "pools", "Basset-like: three max pools, dense layers; log counts", _pools, _total_loss, "0", 16,
    ),
    Predictor("bins", "Borzoi-like: counts of 20 bins of 10 bp", _binned, _bins_loss, "sum(0,:)", 12),
)  # fmt: skip


def trained(predictor: Predictor, x: Tensor, reads: Tensor, epochs: int) -> nn.Module:
    """Train a network, the same at every call; without epochs it stays as it is initialised."""
    torch.manual_seed(0)
    net = predictor.make()
    if epochs:
        optimiser = torch.optim.AdamW(net.parameters())
        steps = epochs * -(-len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = predictor.loss(net(x[rows]), reads[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()
