"""The networks of `shapley.py`, with the sequences that they are asked about.

Five are trained models of other people, and one is the example of this repository. Four more are small
networks that are trained here, with fixed seeds, on simulated DNA (`examples/simulation.py`), so that every
kind of network is there with trained weights: dense from end to end, convolutions, max pools, attention.
"""

import gzip
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deeplift_cli.models import load
from deeplift_cli.sequences import one_hot
from deeplift_core.engine.targets import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from auroc import auroc
from published import ARCHITECTURES
from simulation import BACKGROUND, MOTIFS, Simulated, Stream, simulate
from simulation import one_hot as encode

ROOT = Path(__file__).resolve().parents[1]
Sequences = npt.NDArray[np.int8]

# Seeds of the simulation: the example's networks were trained on seeds 1 to 3.
TRAIN_SEED, TEST_SEED, SHORT_SEED = 11, 12, 13
SHORT = 16  # bp of the dense network's sequences


@dataclass(frozen=True)
class Settings:
    """Where files are, and how much training the networks of this module get.

    Attributes
    ----------
    shared : pathlib.Path
        The folder with `models` and `sequences`.
    training : int
        Number of sequences.
    epochs : int
    """

    shared: Path
    training: int = 8000
    epochs: int = 12


@dataclass(frozen=True)
class Subject:
    """A network, ready to be explained.

    Attributes
    ----------
    module : torch.nn.Module
    sequences : int8 array [N, 4, L]
    channels_last : bool
        Whether the module takes [N, L, 4].
    target : Target
    """

    module: nn.Module
    sequences: Sequences
    channels_last: bool = False
    target: Target = 0

    @property
    def channel_axis(self) -> int:
        """The axis of the four bases in the module's input."""
        return 2 if self.channels_last else 1


Make = Callable[[Settings], Subject]


@dataclass(frozen=True)
class Network:
    """One network of the tables.

    Attributes
    ----------
    name, kind, what : str
        ``kind`` is a row of the recommendation, ``what`` says where model and sequences come from.
    make : callable
        The function that makes the `Subject` from `Settings`.
    pairs : int
        Number of sequences, each with one reference, for which Shapley values are computed.
    """

    name: str
    kind: str
    what: str
    make: Make
    pairs: int = 16


NETWORKS: dict[str, Network] = {}


def _network(name: str, kind: str, what: str, pairs: int = 16) -> Callable[[Make], Make]:
    """Register the function that makes a network."""

    def register(make: Make) -> Make:
        NETWORKS[name] = Network(name, kind, what, make, pairs)
        return make

    return register


DENSE, CONVOLUTIONS, POOLS, ATTENTION = "dense from end to end", "convolutions", "max pools", "attention"


# ---- dense from end to end


@_network("mmsplice-donor", DENSE, "MMSplice, splice donors of chr22", pairs=64)
def _donor(settings: Settings) -> Subject:
    sequences = _fasta(settings.shared / "sequences" / "splice_windows_mmsplice_donor.fa")
    return Subject(_onnx(settings, "mmsplice_donor"), sequences, channels_last=True)


@_network("dense", DENSE, f"trained here: GATA anywhere in {SHORT} bp, or not", pairs=64)
def _dense(settings: Settings) -> Subject:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(4 * SHORT, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
    )
    x, y = _short(settings.training, SHORT_SEED)
    _train(net, x, y, settings.epochs)
    test, labels = _short(2000, SHORT_SEED + 1)
    _report("dense", net, test, labels)
    return Subject(net, test[labels[:, 0] == 1].numpy().astype(np.int8))


def _short(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Sequences [N, 4, SHORT] of background, every other one with a GATA motif, and labels [N, 1]."""
    stream = Stream(seed)
    counts = MOTIFS["GATA"]
    bases = stream.choices(BACKGROUND, number * SHORT).reshape(number, SHORT)
    for row in bases[::2]:
        start = stream.choice([1] * (SHORT - len(counts) + 1))
        row[start : start + len(counts)] = [stream.choice(position) for position in counts]
    x = torch.from_numpy(bases[:, None] == np.arange(4)[:, None]).float()
    return x, (torch.arange(number) % 2 == 0).float()[:, None]


# ---- convolutions


@_network("mmsplice-acceptor", CONVOLUTIONS, "MMSplice, splice acceptors of chr22; no hidden dense layer")
def _acceptor(settings: Settings) -> Subject:
    sequences = _fasta(settings.shared / "sequences" / "splice_windows_mmsplice_acceptor.fa")
    return Subject(_onnx(settings, "mmsplice_acceptor"), sequences, channels_last=True)


@_network("tal1-gata", CONVOLUTIONS, "examples/tal1_gata.onnx, simulated DNA with both motifs")
def _tal1_gata(_: Settings) -> Subject:
    return Subject(load(ROOT / "examples" / "tal1_gata.onnx"), _with_both_motifs())


@_network("deepkingnet", CONVOLUTIONS, "DeepKingNet (average pools), CTCF peaks", pairs=8)
def _deepkingnet(settings: Settings) -> Subject:
    sequences = _fasta(settings.shared / "sequences" / "Gm12878.CTCF.top500.w200.fa")
    return Subject(_onnx(settings, "deepkingnet_200bp"), sequences, channels_last=True)


# ---- max pools


@_network("janggu", POOLS, "two pools and a dense layer, MafK peaks")
def _janggu(settings: Settings) -> Subject:
    sequences = _fasta(settings.shared / "sequences" / "janggu_mafk_test.fa")
    return Subject(_onnx(settings, "janggu_oct4_mafk"), sequences)


@_network("pools", POOLS, "trained here: two pools and a dense layer, simulated DNA")
def _pools(settings: Settings) -> Subject:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(4, 24, 11), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(24, 24, 5), nn.ReLU(), nn.MaxPool1d(4),
        nn.Flatten(), nn.Linear(24 * 10, 32), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    return _of_simulated("pools", net, settings)


@_network(
    "global-maximum", POOLS, "trained here: a maximum over all positions and a dense layer, simulated DNA"
)
def _global_maximum(settings: Settings) -> Subject:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(4, 24, 15), nn.ReLU(), nn.AdaptiveMaxPool1d(1),
        nn.Flatten(), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    return _of_simulated("global-maximum", net, settings)


@_network("tetss2", POOLS, "TETSS2, three pools and a global maximum, DNase peaks of chr22", pairs=8)
def _tetss2(settings: Settings) -> Subject:
    architecture = ARCHITECTURES["tetss2"]
    if architecture.missing:
        raise SystemExit(architecture.missing)
    return Subject(architecture.make(), _peaks(settings.shared / "sequences", 201), target=())


# ---- attention


class Transformer(nn.Module):
    """A convolution with stride 4, one transformer block, the mean over positions and a dense layer."""

    def __init__(self, features: int = 24, length: int = 200) -> None:
        super().__init__()
        self.tokens = nn.Conv1d(4, features, 11, stride=4)
        self.positions = nn.Parameter(0.02 * torch.randn((length - 11) // 4 + 1, features))
        self.block = nn.TransformerEncoderLayer(
            features, 4, 48, dropout=0, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.relu(self.tokens(x)).transpose(1, 2) + self.positions
        logits: Tensor = self.head(self.block(tokens).mean(1))
        return logits


@_network("transformer", ATTENTION, "trained here: one transformer block, simulated DNA")
def _transformer(settings: Settings) -> Subject:
    torch.manual_seed(0)
    return _of_simulated("transformer", Transformer(), settings)


class DeepTransformer(nn.Module):
    """A convolution and an average pool, three blocks that normalise after each sum, and a first token.

    Only the first token reaches the output, as in BERT, so that everything goes through attention. The block
    of `Transformer` normalises before attention, and its output is a mean over positions.
    """

    def __init__(self, features: int = 24, length: int = 200) -> None:
        super().__init__()
        self.tokens = nn.Sequential(nn.Conv1d(4, features, 11, padding=5), nn.ReLU(), nn.AvgPool1d(5))
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, features))
        self.positions = nn.Parameter(0.02 * torch.randn(length // 5 + 1, features))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(features, 2, 48, dropout=0, activation="relu", batch_first=True)
            for _ in range(3)
        )
        self.head = nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        logits: Tensor = self.head(tokens[:, 0])
        return logits


class AttentionPooling(nn.Module):
    """A convolution, the mean over positions under a softmax of each head's logits, and dense layers."""

    def __init__(self, features: int = 24, heads: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(4, features, 13), nn.ReLU())
        self.logits = nn.Conv1d(features, heads, 1)
        self.head = nn.Sequential(nn.Linear(heads * features, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x: Tensor) -> Tensor:
        found = self.features(x)
        pooled = self.logits(found).softmax(2) @ found.transpose(1, 2)
        logits: Tensor = self.head(pooled.flatten(1))
        return logits


@_network(
    "deep-transformer",
    ATTENTION,
    "trained here: three blocks, output from the first token, simulated DNA",
    pairs=8,
)
def _deep_transformer(settings: Settings) -> Subject:
    torch.manual_seed(0)
    return _of_simulated("deep-transformer", DeepTransformer(), settings)


@_network(
    "attention-pooling", ATTENTION, "trained here: softmax over all positions, dense layers, simulated DNA"
)
def _attention_pooling(settings: Settings) -> Subject:
    torch.manual_seed(0)
    return _of_simulated("attention-pooling", AttentionPooling(), settings)


# ---- sequences


def _onnx(settings: Settings, name: str) -> nn.Module:
    return load(settings.shared / "models" / f"{name}.onnx")


def _fasta(path: Path) -> Sequences:
    """Records of equal length that have no N, in the order of the file."""
    records = (record.partition("\n")[2] for record in path.read_text().split(">")[1:])
    return _encoded(record.replace("\n", "").upper() for record in records)


def _peaks(folder: Path, length: int) -> Sequences:
    """Windows about the summits of the DNase peaks."""
    with gzip.open(folder / "chr22_20-21M.GRCh37.fa.gz", "rt") as file:
        next(file)
        letters = file.read().replace("\n", "").upper()
    lines = (folder / "H1_DNase.chr22_20-21M.piece.narrowPeak").read_text().splitlines()
    summits = [int(columns[1]) + int(columns[9]) for columns in map(str.split, lines)]
    starts = [summit - length // 2 for summit in summits]
    return _encoded(letters[start : start + length] for start in starts if start >= 0)


def _encoded(sequences: Iterator[str]) -> Sequences:
    return one_hot([sequence.encode() for sequence in sequences if set(sequence) <= set("ACGT")])


@cache
def _simulated(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Sequences [N, 4, 200] and labels [N, 3]."""
    sequences: list[Simulated] = simulate(number, seed)
    return torch.from_numpy(encode(sequences)), torch.tensor([one.labels for one in sequences]).float()


def _with_both_motifs() -> Sequences:
    x, labels = _simulated(2000, TEST_SEED)
    return x[labels[:, 0] == 1].numpy().astype(np.int8)


# ---- training


def _of_simulated(name: str, net: nn.Module, settings: Settings) -> Subject:
    _train(net, *_simulated(settings.training, TRAIN_SEED), settings.epochs)
    _report(name, net, *_simulated(2000, TEST_SEED))
    return Subject(net.eval(), _with_both_motifs())


def _train(net: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * -(-len(x) // 64))
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _report(name: str, net: nn.Module, x: Tensor, labels: Tensor) -> None:
    """Say on stderr how well the network does on sequences that it was not trained on."""
    with torch.no_grad():
        scores = net.eval()(x)[:, 0].numpy()
    print(f"{name}: AUROC {auroc(scores, labels[:, 0].numpy() == 1):.3f}", file=sys.stderr)
