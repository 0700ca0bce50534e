"""Seconds to come to a correlation of 0.99 with 500 shuffles: ours in every mode, and tangermeme.

    python benchmarks/accuracy_per_second.py [--shared DIR] [--repeats 5] [--markdown PAGE] [MODEL ...]

For each precision, with and without the control variate, the number of dinucleotide shuffles is found for
which contributions of the observed bases have a median correlation of 0.99 with those from 500 other shuffles
in float32. Then this many shuffles are scored, in turns, under `rescale`, which tangermeme implements, too;
tangermeme, whose scores are the same means of pairs, needs as many as ours without the control variate in
float32, and runs at its best of three batch sizes. The time includes the estimate of the expected reference,
and excludes shuffling for all. *janggu* is a trained model with MafK peaks (below DIR, by default
$DEEPLIFT_SHARED), and *example* the trained network of `examples/` with its sequences; others are those of
`speed_models.py`, with random weights and sequences. A mode that does not come to the wanted correlation with
400 shuffles is not timed, and the table has the correlation.
"""

import argparse
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import torch
from pages import insert, table
from real_models import janggu_network
from speed import PEER_BATCHES, PRECISIONS, Bench, Run, fastest, timed
from speed_models import CASES, Case
from torch import Tensor, nn

import deeplift_references
from deeplift_cli.process.memory import keep_freed_memory
from deeplift_core import DeepLift
from deeplift_references import Reference
from references import JANGGU, MANY, ROOT, WANTED, Array, correlation, observed, sequences_of

MODELS = ("janggu", "example")
# The numbers of shuffles for which the correlation is measured; others are interpolated.
COUNTS = (5, 10, 20, 50, 100, 200, 400)
PEAKS = 32
TANGERMEME = "tangermeme, float32, , without"


class Trained(Case):
    """A model that keeps its weights and the statistics of its batch norms."""

    def model(self) -> nn.Module:
        """The model itself."""
        return self.make()


@dataclass(frozen=True)
class Setting:
    """A model with its sequences.

    Attributes
    ----------
    bench : Bench
        The model and what runs it.
    sequences : int8 array [N, 4, L]
    """

    bench: Bench
    sequences: Array

    @classmethod
    def of(cls, name: str, shared: Path) -> "Setting":
        """The setting of one of `MODELS`, or of one of `speed_models.CASES`."""
        if name in CASES:
            bench = Bench(CASES[name])
            return cls(bench, bench.x.numpy().astype(np.int8))
        of_example = name == "example"
        network = example_network() if of_example else janggu_network(shared)
        fasta = ROOT / "examples" / "sequences.fa" if of_example else JANGGU.files(shared)[1]
        sequences = sequences_of(fasta, 200, PEAKS)
        bench = Bench(Trained(lambda: network, 200, len(sequences)))
        bench.x = torch.from_numpy(sequences).float()
        return cls(bench, sequences)

    def references(self, count: int, seed: int) -> tuple[Reference, Tensor]:
        """What makes dinucleotide shuffles, and the shuffles [N, R, 4, L]."""
        maker = deeplift_references.make("dinucleotide", n_references=count, seed=seed)
        return maker, torch.from_numpy(maker(self.sequences))

    def multipliers(self, explainer: DeepLift, place: int, references: Tensor) -> Tensor:
        """The multipliers [R, 4, L] of one sequence with its references [R, 4, L]."""
        x = self.bench.x[place].expand(len(references), -1, -1)
        found: Tensor = explainer.attribute(x, references[:, None], per_reference=True).multipliers
        return found[:, 0].float()


def example_network() -> nn.Module:
    """The network of examples/train.py in plain layers, with the trained weights, up to the logits."""
    network = nn.Sequential(
        nn.Conv1d(4, 32, 11), nn.ReLU(), nn.Conv1d(32, 32, 11), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    places = {"conv1": 0, "conv2": 2, "dense": 6, "head": 8}
    weights = {}
    for tensor in onnx.load(ROOT / "examples" / "tal1_gata.onnx").graph.initializer:
        layer, kind = tensor.name.split(".")
        weights[f"{places[layer]}.{kind}"] = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
    network.load_state_dict(weights)
    return network.eval()


def needed(setting: Setting, explainer: DeepLift, exact: list[Array]) -> dict[bool, int | float]:
    """How many shuffles come to the wanted correlation, without and with the control variate.

    Where the largest number does not suffice, the value is the correlation that it comes to.
    """
    maker, pool = setting.references(COUNTS[-1], seed=2)
    expected = maker.expected(setting.sequences)
    found: dict[tuple[bool, int], list[float]] = {}
    for place, sequence in enumerate(setting.sequences):
        multipliers = setting.multipliers(explainer, place, pool[place])
        for corrected in (False, True):
            for count in COUNTS:
                known = expected[place] if corrected else None
                sets = [
                    observed(
                        multipliers[first : first + count], sequence,
                        pool[place, first : first + count].numpy(), known,
                    )[0]
                    for first in range(0, COUNTS[-1] - count + 1, count)
                ]  # fmt: skip
                each = [correlation(exact[place], scores) for scores in sets]
                found.setdefault((corrected, count), []).append(float(np.mean(each)))
    counts: dict[bool, int | float] = {}
    for corrected in (False, True):
        missing = [np.log(1 - np.median(found[corrected, count])) for count in COUNTS]
        if missing[-1] > np.log(1 - WANTED):
            counts[corrected] = float(1 - np.exp(missing[-1]))
            continue
        wanted = np.interp(np.log(1 - WANTED), missing[::-1], np.log(COUNTS)[::-1])
        counts[corrected] = int(np.ceil(np.exp(wanted)))
    return counts


def corrected_run(explainer: DeepLift, setting: Setting, maker: Reference, references: Tensor) -> Any:
    """Scores with the control variate, whose expectation is estimated here."""
    expected = maker.expected(setting.sequences)
    return explainer.attribute(setting.bench.x, references, expected_reference=expected)


def contenders(setting: Setting) -> Iterator[tuple[str, int | float, Run | None]]:
    """The name of each mode, its number of shuffles, and what runs it.

    A mode that does not come to the wanted correlation has the correlation in place of the number, and None.
    """
    bench = setting.bench
    plain = bench.explainer("float32", "rescale")
    _, many = setting.references(MANY, seed=1)
    exact = [
        observed(setting.multipliers(plain, place, many[place]), sequence, many[place].numpy(), None)[0]
        for place, sequence in enumerate(setting.sequences)
    ]
    for precision in PRECISIONS:
        explainer = plain if precision == "float32" else bench.explainer(precision, "rescale")
        counts = needed(setting, explainer, exact)
        for how, ready in (("eager", explainer), ("compiled", explainer.compiled())):
            for corrected, count in counts.items():
                name = f"ours, {precision}, {how}, {'with' if corrected else 'without'}"
                if isinstance(count, float):
                    yield name, count, None
                    continue
                maker, references = setting.references(count, seed=3)
                run: Run = partial(ready.attribute, bench.x, references)
                if corrected:
                    run = partial(corrected_run, ready, setting, maker, references)
                yield name, count, run
        if precision == "float32":
            yield TANGERMEME, counts[False], _of_tangermeme(setting, counts[False])


def _of_tangermeme(setting: Setting, count: int | float) -> Run | None:
    """What runs tangermeme at its best batch."""
    if isinstance(count, float):
        return None
    _, references = setting.references(count, seed=3)
    return fastest({batch: setting.bench.peer("float32", batch, references) for batch in PEER_BATCHES})[1]


def rows_of(name: str, shared: Path, repeats: int) -> list[list[str]]:
    """Lines of the table for one model."""
    setting = Setting.of(name, shared)
    counts: dict[str, int | float] = {}
    runs: dict[str, Run] = {}
    for who, count, run in contenders(setting):
        counts[who] = count
        if run is not None:
            runs[who] = run
            run()  # warms up
    seconds = {who: median(times) for who, times in timed(runs, repeats).items()}
    rows = []
    for who, count in counts.items():
        cells = [name, *who.split(",")]
        if who in seconds:
            each = f"{1000 * seconds[who] / len(setting.sequences):.1f}"
            ratio = f"{seconds[TANGERMEME] / seconds[who]:.1f}" if TANGERMEME in seconds else ""
            rows.append([*cells, str(count), each, ratio])
        else:
            rows.append([*cells, f"{count:.3f} with {COUNTS[-1]}", "", ""])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of janggu, {', '.join(CASES)}")
    beside = ROOT.parent / "shared"
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DEEPLIFT_SHARED", beside)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    rows = [row for name in given.models or MODELS for row in rows_of(name, given.shared, given.repeats)]
    header = "model|tool|precision|mode|control variate|shuffles|milliseconds a sequence|times as fast"
    text = table(header, rows)
    print(text)
    if given.markdown:
        insert(given.markdown, text, "accuracy")


if __name__ == "__main__":
    main()
