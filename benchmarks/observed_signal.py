"""What `deeplift check --observed` says of right models, and of models, sequences and signals that are wrong.

    python benchmarks/observed_signal.py [--windows 40] [--markdown docs/trust.md] [--quick]

The networks of `observed_models.py` are trained here on reads of simulated DNA whose rates are known. Further
windows are scored, and `deeplift check --observed` compares the predictions with the reads of these windows,
once as everything should be and once for each fault. The ceiling is the agreement of the true rates with the
same reads, and a replicate is a second draw from these rates. `--markdown` puts the table into that page,
between its marks; `--quick` hardly trains: a test that the script works.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pybigtools
import torch
from observed_models import (
    LENGTH,
    MINUS,
    PLUS,
    PREDICTORS,
    Floats,
    Genome,
    Predictor,
    simulated_genome,
    trained,
)
from pages import insert, table

from deeplift_cli.main import run as deeplift
from deeplift_cli.trust.measure import correlations, quartiles

TRAIN_SEED, TEST_SEED, READS_SEED = 31, 32, 33
SHIFT = 10  # bp
PERMUTED_EPOCHS = 2  # enough to learn the mean, which is all that there is to learn
# `check` needs references for its other numbers; the observed signal takes none.
REFERENCES = 4


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Attributes
    ----------
    windows : int
        Windows that are checked.
    training : int
        Windows of training.
    most_epochs : int
        Upper limit of the epochs of training.
    """

    windows: int = 40
    training: int = 4000
    most_epochs: int = 100


@dataclass(frozen=True)
class Fault:
    """What is wrong in one column of the table.

    Attributes
    ----------
    name : str
    weights : str
        ``right``, ``permuted`` (the windows had the reads of other windows in training) or ``untrained``.
    alphabet : str
        The order of channels that the command is told; the networks take ACGT.
    signal : callable
        From the genome to the reads in the bigWig.
    """

    name: str
    weights: str = "right"
    alphabet: str = "ACGT"
    signal: Callable[[Genome], Floats] = lambda genome: _reads(genome)


def _reads(genome: Genome, strand: int = PLUS) -> Floats:
    return genome.draw(strand, READS_SEED + strand)


FAULTS = (
    Fault("right"),
    Fault("channels A, G, C, T", alphabet="AGCT"),
    Fault("trained on permuted targets", weights="permuted"),
    Fault("untrained", weights="untrained"),
    Fault("signal of the other strand", signal=lambda genome: _reads(genome, MINUS)),
    Fault(f"signal shifted by {SHIFT} bp", signal=lambda genome: np.roll(_reads(genome), SHIFT)),
    Fault("signal of the next window", signal=lambda genome: np.roll(_reads(genome), -LENGTH)),
)


class Bench:
    """The simulated data, in memory and as files in a folder."""

    def __init__(self, folder: Path, effort: Effort) -> None:
        self.folder, self.effort = folder, effort
        training = simulated_genome(effort.training, TRAIN_SEED)
        self.x = training.windows()
        self.reads = torch.from_numpy(training.draw(PLUS, READS_SEED)).float().reshape(-1, LENGTH)
        self.genome = simulated_genome(effort.windows, TEST_SEED)
        (folder / "genome.fa").write_text(f">chr1\n{self.genome.letters}\n")
        starts = range(0, len(self.genome.bases), LENGTH)
        (folder / "regions.bed").write_text("".join(f"chr1\t{at}\t{at + LENGTH}\tw{at}\n" for at in starts))
        for number, fault in enumerate(FAULTS):
            values = fault.signal(self.genome).tolist()
            rows = (("chr1", at, at + 1, value) for at, value in enumerate(values))
            pybigtools.open(str(folder / f"{number}.bw"), "w").write({"chr1": len(values)}, rows)

    def networks(self, predictor: Predictor) -> dict[str, Path]:
        """Train the network in the three ways, and return the file of each."""
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(0))
        found = {}
        for name, reads, epochs in (
            ("right", self.reads, predictor.epochs),
            ("permuted", self.reads[order], PERMUTED_EPOCHS),
            ("untrained", self.reads, 0),
        ):
            found[name] = self.folder / f"{predictor.name}-{name}.pt"
            net = trained(predictor, self.x, reads, min(epochs, self.effort.most_epochs))
            torch.save(net, found[name])
        return found

    def checked(self, predictor: Predictor, models: dict[str, Path], number: int) -> dict[str, Any]:
        """Score the windows, run `deeplift check --observed` with one fault, and return what it found."""
        fault = FAULTS[number]
        scores = self.folder / f"{predictor.name}-{fault.weights}-{fault.alphabet}.h5"
        model = ("-m", models[fault.weights], "--allow-pickle")
        if not scores.exists():  # faults of the signal alone share the scores
            _run(
                "score", *model, "-g", self.folder / "genome.fa", "-r", self.folder / "regions.bed",
                "-o", scores, "--alphabet", fault.alphabet, "--target", predictor.target,
                "--n-references", REFERENCES, "-q",
            )  # fmt: skip
        signal = self.folder / f"{number}.bw"
        text = _run("check", scores, *model, "-n", self.effort.windows, "--observed", signal, "--json")
        found: dict[str, Any] = json.loads(text)["measures"]["observed"]
        return found

    def agreement(self, predicted: Floats, cut: int | None) -> dict[str, Any]:
        """The numbers that the check would find if a network predicted these reads [N L]."""
        inside = slice(cut or 0, LENGTH - (cut or 0))
        given, reads = (values.reshape(-1, LENGTH)[:, inside] for values in (predicted, _reads(self.genome)))
        totals = (np.log1p(rows.sum(axis=1))[None] for rows in (given, reads))
        (pearson,), (spearman,) = correlations(*totals, np.ones((1, len(reads)), np.bool_))
        found: dict[str, Any] = {"total": {"pearson": pearson, "spearman": spearman}}
        if cut is not None:
            found["profile"] = quartiles(correlations(given, reads, np.ones(reads.shape, np.bool_))[0])
        return found


def _run(*words: object) -> str:
    """Run the command in this process and return its standard output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if deeplift(list(map(str, words))):
            raise SystemExit(f"deeplift {' '.join(map(str, words))} failed")
    return output.getvalue()


def rows_of(bench: Bench, predictor: Predictor) -> list[list[str]]:
    """The table's rows of one network."""
    models = bench.networks(predictor)
    replicate = bench.genome.draw(PLUS, READS_SEED + 2)
    found = [
        bench.agreement(bench.genome.rates[PLUS], predictor.cut),
        bench.agreement(replicate, predictor.cut),
        *(bench.checked(predictor, models, number) for number in range(len(FAULTS))),
    ]
    rows = [
        [predictor.name, f"totals, {name.capitalize()}", *(_cell(one["total"][name]) for one in found)]
        for name in ("pearson", "spearman")
    ]
    if predictor.cut is not None:
        rows.append(
            [predictor.name, "profiles, Pearson", *(_cell(one["profile"]["median"]) for one in found)]
        )
    return rows


def _cell(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"


def main() -> None:
    """Measure, print, and put the table into a page if one is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=Effort.windows)
    parser.add_argument("--quick", action="store_true", help="few windows, hardly any training")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    effort = Effort(8, 200, 1) if given.quick else Effort(given.windows)
    rows = list[list[str]]()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), effort)
        for predictor in PREDICTORS:
            started = time.process_time()
            rows += rows_of(bench, predictor)
            taken = time.process_time() - started
            print(f"{predictor.name}: {taken:.0f} s of processor time", file=sys.stderr)
    networks = table("network|what", [[one.name, one.what] for one in PREDICTORS])
    names = "|".join(fault.name for fault in FAULTS)
    measured = table(f"network|correlation|true rates (ceiling)|a replicate|{names}", rows)
    text = f"{networks}\n\n{measured}"
    print(text)
    if given.markdown is not None:
        insert(given.markdown, text, "observed")


if __name__ == "__main__":
    main()
