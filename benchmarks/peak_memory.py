"""The memory that one contender takes to score one batch, each in a process of its own.

    python benchmarks/peak_memory.py CONTENDER MODEL PAIRS

prints MiB: the process's largest resident size while it records and scores, less what it had before, with
model and data loaded, and with all that libraries need once: another model has been scored.
"""

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from speed_models import CASES
from torch import Tensor, nn

from deeplift_core import DeepLift

CONTENDERS = ("ours", "tangermeme")
REFERENCES = 1
_STATUS = Path("/proc/self/status")


def resident(field: str) -> float:
    """MiB of this process: VmRSS is what it has now, VmHWM the most it had."""
    found = re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) / 1024 if found else float("nan")


def peak_of(work: Callable[[], object]) -> float:
    """MiB that ``work`` takes at its largest, more than there were before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def in_process(script: str, *arguments: str) -> float:
    """The number that a script beside this one prints last, run in a process of its own; NaN if it fails."""
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=False
    )
    return float("nan") if done.returncode else float(done.stdout.split()[-1])


def one_hot(*shape: int) -> Tensor:
    """Random sequences [..., 4, L]."""
    letters = torch.randint(4, shape, generator=torch.Generator().manual_seed(0))
    return nn.functional.one_hot(letters, 4).mT.float().contiguous()


def score(contender: str, model: nn.Module, x: Tensor, references: Tensor) -> None:
    """One batch against some references."""
    if contender == "ours":
        DeepLift(model, x, rule="rescale").attribute(x, references)
        return
    from tangermeme.deep_lift_shap import deep_lift_shap

    options = {"batch_size": len(x), "hypothetical": True, "device": "cpu", "warning_threshold": float("inf")}
    deep_lift_shap(model, x, references=references, **options)


def main() -> None:
    """Score one batch."""
    contender, name, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    warnings.simplefilter("ignore")
    case = CASES[name]
    small = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(16, 1))
    score(contender, small.eval(), one_hot(2, 10), one_hot(2, REFERENCES, 10))
    model, x, references = case.model(), one_hot(pairs, case.length), one_hot(pairs, REFERENCES, case.length)
    print(peak_of(lambda: score(contender, model, x, references)))


if __name__ == "__main__":
    main()
