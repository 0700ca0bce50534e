"""Time `deeplift report`, and its page in Chromium.

    python benchmarks/report_page.py [--regions 10000] [--length 2114] [--kind peaks]

The script makes a score file with the given number of regions. With `--kind peaks`, the windows are put
together from pieces of the scores of the embedded example, which are smaller the farther they are from the
middle, as in the peaks that a profile model was trained on. With `--kind noise`, contributions are normally
distributed, as those of an untrained model, which is the worst case for the size. The script prints the time
and memory of the command, the size of the page, and how many logos the page holds. Then Chromium opens the
page three times. The script prints the milliseconds until the table was on the screen, until the page was
parsed, until the logos of the best sequences were drawn, and from a click on a region to its letters. This
second part needs Chromium and selenium.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from chromium import Page, chromium  # noqa: E402
from score_files import attributes, open_score_file  # noqa: E402

from deeplift_cli.outputs.datasets import ScoreLayout  # noqa: E402
from deeplift_cli.outputs.packed import ScoredBatch  # noqa: E402
from deeplift_cli.sequences import Region  # noqa: E402

COMMAND = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
BATCH, REFERENCES = 64, 20
READY = "document.body && document.body.dataset.state === 'ready'"
# The state of the page is set before the browser paints, so that the second frame after it shows the state.
CLOCK = """
window.times = {};
new MutationObserver(() => {
  const state = document.body?.dataset.state;
  if (state && !(state in times)) {
    times[state] = -1;
    requestAnimationFrame(() => requestAnimationFrame(() => (times[state] = performance.now())));
  }
}).observe(document, { attributes: true, childList: true, subtree: true });
"""
CLICK = """
const begin = performance.now();
document.querySelector("#region-table tbody tr:nth-child(7)").click();
while (!document.querySelector("dialog[open] #letters path.A")) await new Promise((r) => setTimeout(r, 1));
return performance.now() - begin;
"""


def example(folder: Path) -> tuple[Any, Any]:
    """Score the embedded example; return sequences [N, 4, 200] and hypothetical contributions."""
    scores = folder / "example.h5"
    inputs = ["-m", ROOT / "examples/tal1_gata.onnx", "-f", ROOT / "examples/sequences.fa"]
    subprocess.run(
        [*COMMAND, "score", "-q", *inputs, "-o", scores, "--compile", "off", "--overwrite"], check=True
    )
    with h5py.File(scores) as file:
        return file["raw/seq"][:], file["shap/seq"][:]


def batches(kind: str, n: int, length: int, folder: Path) -> Iterator[ScoredBatch]:
    """Yield the scores of n regions."""
    rng = np.random.default_rng(0)
    sequences, pieces = example(folder)
    count = -(-length // sequences.shape[2])
    distance = np.abs(np.arange(length) - length / 2)
    envelope = (0.03 + 0.97 * np.exp(-((distance / 250) ** 2))).astype(np.float32)
    for first in range(0, n, BATCH):
        rows = min(BATCH, n - first)
        chosen = rng.integers(0, len(sequences), (rows, count))
        joined = [np.concatenate(list(found), axis=1)[:, :length] for found in sequences[chosen]]
        one_hot = np.stack(joined)
        if kind == "noise":
            hypothetical = rng.standard_normal((rows, 4, length), np.float32)
        else:
            hypothetical = np.stack(
                [np.concatenate(list(found), axis=1)[:, :length] * envelope for found in pieces[chosen]]
            )
        total = (hypothetical * one_hot).sum((1, 2), dtype=np.float64)
        starts = rng.integers(0, 200_000_000, rows).tolist()
        yield ScoredBatch(
            regions=[
                Region(f"chr{first % 22 + 1}", start, start + length, f"peak_{first + i}", ".", first + i)
                for i, start in enumerate(starts)
            ],
            sequences=one_hot,
            hypothetical=hypothetical,
            prediction=total / 3,
            output=total,
            reference_output=np.zeros((rows, REFERENCES)),
            completeness_error=rng.standard_normal((rows, REFERENCES)) * 1e-6,
            identical_references=np.zeros(rows, np.int32),
            rescored=np.zeros(rows, np.int32),
            standard_error=rng.random(rows) / 100,
        )


def write(path: Path, kind: str, n: int, length: int) -> None:
    """Write the score file."""
    layout = ScoreLayout.of_run(length, REFERENCES, BATCH, "float32", standard_errors=False, fold_sd=False)
    layout = ScoreLayout(length, REFERENCES, BATCH, "float32", layout.optional - {"fold_sd/seq"})
    with open_score_file(path, layout, attrs=attributes(layout)) as file:
        for batch in batches(kind, n, length, path.parent):
            file.add(batch)


def opened(page: Page, url: str) -> list[float]:
    """Open the page, and return milliseconds: table, parsed, logos, click."""
    page.open(url, READY, 120)
    page.wait("window.times.ready > 0")
    table, ready = page.run("return [times.table, times.ready]")
    parsed = page.run("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert page.problems() == []
    return [table, parsed, ready, page.run(CLICK)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--regions", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=2114)
    parser.add_argument("--kind", choices=("peaks", "noise"), default="peaks")
    parser.add_argument("--keep", type=Path, help="a folder in which the score file and the page stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        scores, out = folder / f"{given.kind}.h5", folder / f"{given.kind}.html"
        if not scores.exists():
            write(scores, given.kind, given.regions, given.length)
        begin = time.perf_counter()
        done = subprocess.run(
            [*COMMAND, "report", scores, "-o", out, "--overwrite"], capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - begin
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(done.stdout, end="")
        print(f"time                {seconds:.1f} s; at most {memory:.0f} MiB with the making of the file")
        with chromium() as page:
            page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK})
            for _ in range(3):
                table, parsed, ready, click = opened(page, out.resolve().as_uri())
                print(
                    f"Chromium            table {table:.0f} ms, parsed {parsed:.0f} ms, "
                    f"logos {ready:.0f} ms, click {click:.0f} ms"
                )


if __name__ == "__main__":
    main()
