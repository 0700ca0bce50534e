"""Run the experiments of the DeepLIFT paper, and write figures and tables.

    python benchmarks/paper/run.py [--only toy,regulatory,mnist] [--quick] [--out DIR] [--page docs/paper.md]

Each experiment writes its figures (PNG and SVG), its tables (markdown) and its numbers (JSON) to --out, which
is `results` beside this file by default. `--page` puts the tables into that page, between their marks, and
the figures into `images/paper` beside the page. `--quick` trains on little and for a short time, to show that
everything runs; its numbers say nothing.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# The simulation and its network; this package, and the tables of all pages.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from pages import insert
from simulation import one_hot, simulate
from train import Net

from paper import figures, mnist, regulatory, tables, toy
from paper.digits import DigitsError, digits
from paper.methods import Subject, costs

RESULTS = Path(__file__).resolve().parent / "results"
EXPERIMENTS = ("toy", "regulatory", "mnist")


@dataclass(frozen=True)
class Scale:
    """The size of a whole run."""

    trainings: int
    regulatory: regulatory.Size
    mnist: mnist.Size
    cost_repeats: int
    cost_rows: int


FULL = Scale(
    trainings=5,
    regulatory=regulatory.Size(train=16_000, epochs=10, held_out=2_000, scored=400, shuffles=10),
    mnist=mnist.Size(digits=2_000, folds=5, epochs=15),
    cost_repeats=5,
    cost_rows=64,
)
QUICK = Scale(
    trainings=2,
    regulatory=regulatory.Size(train=256, epochs=1, held_out=80, scored=40, shuffles=2),
    mnist=mnist.Size(digits=60, folds=2, epochs=2),
    cost_repeats=1,
    cost_rows=8,
)


@dataclass(frozen=True)
class Part:
    """The result of an experiment: numbers for JSON, and tables by the name of their mark in the page."""

    numbers: dict[str, Any]
    tables: dict[str, str]


@dataclass(frozen=True)
class Training:
    """One training of the regulatory experiment; scores and network of the first one only."""

    measures: dict[str, dict[str, float]]
    counts: dict[str, int]
    accuracy: dict[str, float]
    scored: regulatory.Scored | None
    net: Net | None


def main() -> None:
    """Run what was chosen."""
    parser = argparse.ArgumentParser(description="Run the experiments of the DeepLIFT paper.")
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="experiments, separated by commas")
    parser.add_argument("--quick", action="store_true", help="small networks, to see that everything runs")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--page", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(EXPERIMENTS):
        known = ", ".join(EXPERIMENTS)
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; choose from {known}")
    try:
        run(chosen, QUICK if options.quick else FULL, options.workers, options.out, options.page)
    except DigitsError as error:
        raise SystemExit(f"Error: {error}") from error


def run(chosen: list[str], scale: Scale, workers: int, out: Path, page: Path | None = None) -> None:
    """Run experiments and write what they leave."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    with _executor(workers) as pool:
        # All trainings are handed out first, so that no process waits; the digits come first, because their
        # download may fail.
        folds = _start_mnist(pool, scale) if "mnist" in chosen else []
        trainings = _start_regulatory(pool, scale) if "regulatory" in chosen else []
        if "toy" in chosen:
            _write(_toy(out), "toy", out, page)
        if folds:
            of_folds = _results(folds, "fold")
        if trainings:
            of_trainings = _results(trainings, "training")
    # Costs are measured once the machine has nothing else to do.
    if trainings:
        _write(_regulatory(of_trainings, scale, out), "regulatory", out, page)
    if folds:
        _write(_mnist(of_folds, scale, out), "mnist", out, page)


class _Here(Executor):
    """Runs everything at once in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run and return a finished future."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _executor(workers: int) -> Executor:
    if workers == 1:
        return _Here()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,))


def _start_mnist(pool: Executor, scale: Scale) -> list[Future[mnist.OfFold]]:
    images, classes = mnist.fewer(*digits(), scale.mnist.digits)
    return [
        pool.submit(mnist.run_fold, images, classes, fold, scale.mnist) for fold in range(scale.mnist.folds)
    ]


def _start_regulatory(pool: Executor, scale: Scale) -> list[Future[Training]]:
    return [pool.submit(train_and_measure, seed, scale.regulatory) for seed in range(scale.trainings)]


def train_and_measure(seed: int, size: regulatory.Size) -> Training:
    """Run one training of the regulatory experiment."""
    net = regulatory.trained(seed, size)
    scored = regulatory.score(net, seed, size)
    first = seed == 0
    return Training(
        regulatory.measures(scored),
        regulatory.counts(scored),
        scored.accuracy,
        scored if first else None,
        net if first else None,
    )


def _results(futures: list[Future[Any]], what: str) -> list[Any]:
    started, found = time.perf_counter(), []
    for number, future in enumerate(futures, start=1):
        found.append(future.result())
        minutes = (time.perf_counter() - started) / 60
        print(f"{what} {number} of {len(futures)} after {minutes:.1f} min", flush=True)
    return found


def _toy(out: Path) -> Part:
    # Only this experiment needs captum.
    from paper import beside_captum

    curves = toy.curves()
    figures.save(figures.toy(curves), out, "toy")
    numbers = {
        "values": toy.at_points(curves),
        "sigmoid": toy.sigmoid_example(),
        "captum": beside_captum.compare(),
    }
    return Part(numbers, tables.toy(numbers))


def _regulatory(trainings: list[Training], scale: Scale, out: Path) -> Part:
    first, net = trainings[0].scored, trainings[0].net
    assert first is not None
    assert net is not None
    for motif in regulatory.OWN_TASK:
        figures.save(figures.strength(first, motif), out, f"strength-{motif.lower()}")
    figures.save(figures.example(first), out, "example")
    measured = {
        name: {
            measure: [training.measures[name][measure] for training in trainings]
            for measure in trainings[0].measures[name]
        }
        for name in trainings[0].measures
    }
    missed = {
        name.removesuffix("|frequency"): found["strong TAL1 missed"]
        for name, found in measured.items()
        if name.endswith("|frequency")
    }
    figures.save(figures.missed(missed), out, "missed")
    x = torch.from_numpy(one_hot(simulate(scale.cost_rows, 20_000)))
    cost = costs(
        regulatory.METHODS,
        Subject(net, x[: regulatory.BATCH]),
        x,
        regulatory.frequency_reference(),
        repeats=scale.cost_repeats,
    )
    numbers = {
        "size": asdict(scale.regulatory),
        "measures": regulatory.MEASURES,
        "accuracy": [training.accuracy for training in trainings],
        "counts": [training.counts for training in trainings],
        "measured": measured,
        "missed by number": regulatory.missed_by_number(first),
        "costs": [asdict(each) for each in cost],
    }
    return Part(numbers, tables.regulatory(numbers))


def _mnist(folds: list[mnist.OfFold], scale: Scale, out: Path) -> Part:
    changes = {
        conversion: {
            method.name: np.concatenate([fold.converted[conversion].change[method.name] for fold in folds])
            for method in mnist.METHODS
        }
        for conversion in mnist.CONVERSIONS
    }
    erased = {
        conversion: {
            method.name: float(
                np.concatenate([fold.converted[conversion].erased[method.name] for fold in folds]).mean()
            )
            for method in mnist.METHODS
        }
        for conversion in mnist.CONVERSIONS
    }
    figures.save(figures.conversions(changes), out, "mnist")
    figures.save(figures.erased(folds[0].example), out, "mnist-example")
    images, _ = mnist.fewer(*digits(), -(-scale.cost_rows // 10))
    x = torch.from_numpy(images)[: scale.cost_rows, None]
    cost = costs(
        mnist.METHODS,
        Subject(folds[0].net, x[: mnist.BATCH]),
        x,
        torch.zeros(1, *x.shape[1:]),
        repeats=scale.cost_repeats,
    )
    numbers = {
        "size": asdict(scale.mnist),
        "accuracy": [fold.accuracy for fold in folds],
        "conversions": {
            f"{original} to {target}": {
                "digits": len(next(iter(found.values()))),
                "methods": {
                    method: {**values, "erased": erased[original, target][method]}
                    for method, values in mnist.summary(found).items()
                },
            }
            for (original, target), found in changes.items()
        },
        "costs": [asdict(each) for each in cost],
    }
    return Part(numbers, tables.mnist(numbers))


def _write(part: Part, name: str, out: Path, page: Path | None) -> None:
    (out / f"{name}.json").write_text(json.dumps(part.numbers, indent=1) + "\n")
    text = "\n\n".join(f"## {mark}\n\n{table}" for mark, table in part.tables.items())
    (out / f"{name}.md").write_text(text + "\n")
    if page is None:
        return
    images = page.parent / "images" / "paper"
    images.mkdir(parents=True, exist_ok=True)
    for mark, table in part.tables.items():
        insert(page, table, mark)
    for figure in FIGURES[name]:
        shutil.copyfile(out / f"{figure}.png", images / f"{figure}.png")


FIGURES = {
    "toy": ("toy",),
    "regulatory": ("strength-tal1", "strength-gata", "missed", "example"),
    "mnist": ("mnist", "mnist-example"),
}


if __name__ == "__main__":
    main()
