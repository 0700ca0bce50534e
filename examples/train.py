"""Make the example: simulate DNA, train a small CNN on it, write the model, its sequences and their motifs.

    python examples/train.py

writes tal1_gata.onnx, sequences.fa and planted_motifs.bed beside this file (or into --out DIR) and prints the
accuracy on sequences that training never saw. One CPU core, two to three minutes. Needs torch and onnx.

The sequences and motifs come out the same on every machine. The weights come out the same on the same machine
with the same torch; elsewhere kernels round differently, and the model is as good but not equal to the bit.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from auroc import auroc
from numpy.typing import NDArray
from simulation import LENGTH, TASKS, Simulated, one_hot, simulate, write_bed, write_fasta
from torch import Tensor, nn

TRAIN, TEST, EXAMPLE = 24_000, 4_000, 100
TRAIN_SEED, TEST_SEED, EXAMPLE_SEED, TORCH_SEED = 1, 2, 3, 0
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 16, 128, 4e-3, 1e-2


class Net(nn.Module):
    """Two convolutions, global average pooling, a dense layer and one probability per task, as in the paper.

    Input [N, 4, 200], channels A, C, G, T; output [N, 3], in the order of `simulation.TASKS`.
    """

    def __init__(self, filters: int = 32, width: int = 11, hidden: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, filters, width)
        self.conv2 = nn.Conv1d(filters, filters, width)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.dense = nn.Linear(filters, hidden)
        self.head = nn.Linear(hidden, len(TASKS))

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs before the sigmoid, which training works on."""
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = torch.flatten(self.pool(x), 1)
        logits: Tensor = self.head(torch.relu(self.dense(x)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(x))


def train(
    sequences: list[Simulated],
    *,
    filters: int = 32,
    hidden: int = 32,
    epochs: int = EPOCHS,
    seed: int = TORCH_SEED,
) -> Net:
    """Train on the sequences; half of the batches are shown as their reverse complements."""
    torch.manual_seed(seed)
    net = Net(filters, hidden=hidden)
    x, y = torch.from_numpy(one_hot(sequences)), torch.from_numpy(labels(sequences)).float()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    loss_function = nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        total, start = 0.0, time.perf_counter()
        for rows in torch.randperm(len(x)).split(BATCH):
            batch = x[rows].flip(1, 2) if torch.rand(()) < 0.5 else x[rows]
            loss = loss_function(net.logits(batch), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1:2d} of {epochs}: loss {total / len(x):.4f}, {seconds:.1f} s", flush=True)
    return net.eval()


def labels(sequences: list[Simulated]) -> NDArray[np.bool_]:
    """Return the labels [N, 3] of the sequences."""
    return np.array([sequence.labels for sequence in sequences])


def report(net: Net, sequences: list[Simulated], what: str) -> None:
    """Print the AUROC of each task."""
    with torch.no_grad():
        scores = torch.cat([net.logits(x) for x in torch.from_numpy(one_hot(sequences)).split(500)]).numpy()
    wanted = labels(sequences)
    per_task = [f"{task} {auroc(scores[:, i], wanted[:, i]):.4f}" for i, task in enumerate(TASKS)]
    print(f"AUROC on {what}: " + ", ".join(per_task))


def export(net: Net, path: Path) -> None:
    """Write the network as ONNX, opset 17, weights inside, with a batch axis of any length."""
    with warnings.catch_warnings():
        # The tracing exporter is the older one; it writes one node per layer and nothing about this machine.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            net,
            (torch.zeros(2, 4, LENGTH),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["sequence"],
            output_names=["probability"],
            dynamic_axes={"sequence": {0: "N"}, "probability": {0: "N"}},
        )
    onnx.checker.check_model(str(path), full_check=True)


def main() -> None:
    """Simulate, train, report and write the three files."""
    parser = argparse.ArgumentParser(description="Make the example: the model, its sequences, their motifs.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    start = time.perf_counter()

    example = simulate(EXAMPLE, EXAMPLE_SEED)
    write_fasta(example, folder / "sequences.fa")
    write_bed(example, folder / "planted_motifs.bed")
    net = train(simulate(TRAIN, TRAIN_SEED))
    report(net, simulate(TEST, TEST_SEED), f"{TEST} further sequences")
    report(net, example, f"the {EXAMPLE} sequences of sequences.fa")
    export(net, folder / "tal1_gata.onnx")
    print(f"wrote tal1_gata.onnx, sequences.fa, planted_motifs.bed in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
