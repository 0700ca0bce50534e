"""How much the deletion and insertion curves of `deeplift check` change with the draws of their replacements.

    python benchmarks/curve_noise.py [--shared DIR] [--rows 40] [--markdown docs/trust.md]

Two trained models are scored once, with 64 shuffles. The curves of the same sequences are then computed
several times, each time with the bases of other shuffles and with other random orders: as many as
`deeplift check` takes, and 16 of each. The table has the mean of each reported number and its standard
deviation over these draws. Contributions are the same in all, and so is the difference of which losses are
fractions.

DIR holds `models` and `sequences`; by default $DEEPLIFT_SHARED, else `shared` beside the repository.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from pages import insert, table

from deeplift_cli.main import run as deeplift
from deeplift_cli.outputs.score_reader import probed
from deeplift_cli.process.screen import Screen
from deeplift_cli.trust import curves
from deeplift_cli.trust.sample import Sample, take_sample

ROOT = Path(__file__).resolve().parents[1]
DRAWS, MORE = 4, 16
COUNTS = (curves.REFERENCES, MORE)
AT = curves.SHARES.index(0.05)


def samples(shared: Path, rows: int) -> Iterator[tuple[str, Sample]]:
    """Score two models, and yield the name and the sample of each."""
    models, sequences = shared / "models", shared / "sequences"
    example = ("-f", ROOT / "examples" / "sequences.fa", "--target", 1)
    acceptor = ("-f", sequences / "splice_windows_mmsplice_acceptor.fa")
    for name, model, options in (
        ("example", ROOT / "examples" / "tal1_gata.onnx", example),
        ("acceptor", models / "mmsplice_acceptor.onnx", acceptor),
    ):
        with tempfile.TemporaryDirectory() as folder:
            scores = Path(folder) / "scores.h5"
            words = ("score", "-m", model, *options, "-o", scores, "--n-references", DRAWS * MORE, "-q")
            if deeplift(list(map(str, words))):
                raise SystemExit(f"{name} was not scored")
            yield name, take_sample(probed(scores), (model,), rows, False, Screen(quiet=True))


def rows_of(name: str, sample: Sample) -> Iterator[list[str]]:
    """The table's rows of one model."""
    found = {count: [_numbers(sample, draw, count) for draw in range(DRAWS)] for count in COUNTS}
    for label in found[MORE][0]:
        cells = []
        for count in COUNTS:
            values = np.array([numbers[label] for numbers in found[count]])
            cells.append(f"{values.mean():.3f} ± {values.std(ddof=1):.3f}")
        yield [name, label, *cells]


def _numbers(sample: Sample, draw: int, count: int) -> dict[str, float]:
    """What the table of the check reports, with so many references and orders."""
    first = draw * MORE
    shown = replace(
        sample,
        references=np.roll(sample.references, -first, axis=1),
        reference_output=np.roll(sample.reference_output, -first, axis=1),
    )
    measured = curves.measure(shown, count, count, seed=draw).numbers
    found = {}
    for name, curve in measured.items():
        found[f"{name} at 5 %"] = curve["by_contribution"][AT]
        found[f"{name} at 5 %, random"] = curve["at_random"][AT]
        found[f"{name}, area"] = curve["area"]["median"]
    return found


def main() -> None:
    """Measure, print, and put the table into a page if one is named."""
    beside = ROOT.parent / "shared"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DEEPLIFT_SHARED", beside)))
    parser.add_argument("--rows", type=int, default=40, help="sequences of each model")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = list[list[str]]()
    for name, sample in samples(given.shared, given.rows):
        started = time.process_time()
        rows += rows_of(name, sample)
        print(f"{name}: {time.process_time() - started:.0f} s of processor time", file=sys.stderr)
    headings = "|".join(f"{count} references, {count} orders" for count in COUNTS)
    text = table(f"model|number|{headings}", rows)
    print(text)
    if given.markdown is not None:
        insert(given.markdown, text, "noise")


if __name__ == "__main__":
    main()
