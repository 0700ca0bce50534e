"""Time this checkout against another one, in alternation, on the models of benchmarks/speed.py.

    python benchmarks/compare.py OTHER_CHECKOUT [MODEL ...] [--modes eager compiled ...] [--repeats 3]

Each contender runs in a process of its own that lives through all rounds, and the two take turns, so that a
drift of the machine's speed hits both alike. For each model and mode, the script prints the medians of both,
the median of the ratios (this checkout's seconds over the other's), the rows of a batch, and the peak of the
resident memory of each process.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1]
# Precision, rule, compiled, and whether all sequences share one reference.
MODES = {
    "eager": ("float32", "rescale", False, False),
    "default": ("float32", "genomics-default", False, False),
    "compiled": ("float32", "rescale", True, False),
    "bfloat16": ("bfloat16", "rescale", False, False),
    "bfloat16-compiled": ("bfloat16", "rescale", True, False),
    "one-reference": ("float32", "rescale", False, True),
}
_WORKER = """
import resource, sys, time, warnings
warnings.simplefilter("ignore")
import torch
import speed
model, mode, references = sys.argv[1], sys.argv[2], int(sys.argv[3])
precision, rule, compiled, one = __import__("json").loads(sys.argv[4])
speed.keep_freed_memory()
speed.REFERENCES = references
bench = speed.Bench(speed.CASES[model])
explainer = bench.explainer(precision, rule)
explainer = explainer.compiled() if compiled else explainer
references = bench.frequencies if one else bench.references
explainer.attribute(bench.x, references)
print("ready", explainer.batch_size, flush=True)
for line in sys.stdin:
    started = time.perf_counter()
    explainer.attribute(bench.x, references)
    print(time.perf_counter() - started, flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, flush=True)
"""


def worker(checkout: Path, model: str, mode: str, references: int) -> "subprocess.Popen[str]":
    """A process that scores one model each time a line comes in."""
    # Each checkout has its own benchmarks, which know where its modules are.
    places = [checkout, *(checkout / name for name in ("cli", "references", "benchmarks"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, "-c", _WORKER, model, mode, str(references), json.dumps(MODES[mode])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, cwd=checkout, text=True, **pipes)


def answer(process: "subprocess.Popen[str]") -> str:
    """The next line that a worker prints.

    Raises
    ------
    SystemExit
        If the worker has failed.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a contender failed; see its message above")
    return line.strip()


def compared(other: Path, model: str, mode: str, repeats: int, references: int) -> list[str]:
    """One line of the table."""
    both = [worker(checkout, model, mode, references) for checkout in (HERE, other)]
    sizes = [answer(process).split()[1] for process in both]
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats):
        for process, found in zip(both, seconds, strict=True):
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
            found.append(float(answer(process)))
    for process in both:
        assert process.stdin is not None
        process.stdin.close()
    peaks = [answer(process) for process in both]
    ratio = median(a / b for a, b in zip(*seconds, strict=True))
    times = [f"{median(found):.2f}" for found in seconds]
    return [model, mode, *times, f"{ratio:.3f}", *sizes, *peaks]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--references", type=int, default=20)
    given = parser.parse_intermixed_args()
    from speed_models import CASES

    print("model | mode | this, s | other, s | ratio | rows, this | rows, other | MiB, this | MiB, other")
    for model in given.models or CASES:
        for mode in given.modes:
            found = compared(given.other.resolve(), model, mode, given.repeats, given.references)
            print(" | ".join(found), flush=True)


if __name__ == "__main__":
    main()
