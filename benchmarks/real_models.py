"""Check `deeplift score` on real models and real DNA, and print what comes out as markdown tables.

    python benchmarks/real_models.py [--shared DIR] [--markdown docs/real-models.md]

DIR holds `models` and `sequences`; by default $DEEPLIFT_SHARED, else `shared` beside the repository. The
real command runs, in this process, with its defaults (20 dinucleotide shuffles for each sequence), on one
thread so that times can be compared.
Everything that it is compared with is computed here from the model files by onnxruntime or tangermeme,
never by this package. `--markdown` puts the tables into that page, between its two marks.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from pages import insert, table
from torch import nn

from deeplift_cli.main import run as deeplift

Array = npt.NDArray[Any]
Predict = Callable[[Array], Array]

RULES = ("genomics-default", "rescale")
BASES = "ACGT"
TOLERANCE = 1e-4  # of summation-to-delta in float32, relative


@dataclass(frozen=True)
class Case:
    """A model with sequences to score.

    Attributes
    ----------
    model : str
        Name of the ONNX file.
    sequences : str
        What they are, in words.
    files : tuple of (str, str)
        Options of `deeplift score` and the files in `sequences` that they get.
    site : (str, int) or None
        The two bases that every window has at this place (0-based), which the model looks for.
    perturb : bool
        Whether to compare with in-silico mutagenesis, which takes 3 L predictions a sequence.
    """

    model: str
    sequences: str
    files: tuple[tuple[str, str], ...]
    site: tuple[str, int] | None = None
    perturb: bool = True

    @property
    def label(self) -> str:
        """Model and sequences."""
        return f"{self.model}, {self.sequences}"


def _fasta(name: str) -> tuple[tuple[str, str], ...]:
    return (("--fasta", name),)


_PEAKS = (
    ("--genome", "chr22_20-21M.GRCh37.fa.gz"),
    ("--regions", "H1_DNase.chr22_20-21M.piece.narrowPeak"),
)
_CTCF = _fasta("Gm12878.CTCF.top500.w200.fa")
# Donor windows are 5 exon and 13 intron bases, acceptor windows 50 intron and 3 exon bases.
CASES = (
    Case("mmsplice_donor", "donor sites", _fasta("splice_windows_mmsplice_donor.fa"), ("GT", 5)),
    Case("mmsplice_acceptor", "acceptor sites", _fasta("splice_windows_mmsplice_acceptor.fa"), ("AG", 48)),
    Case("deepkingnet_200bp", "DNase peaks of chr22", _PEAKS),
    Case("deepkingnet_200bp", "CTCF peaks", _CTCF, perturb=False),
    Case("janggu_oct4_mafk", "MafK peaks", _fasta("janggu_mafk_test.fa")),
    Case("janggu_oct4_mafk", "CTCF peaks", _CTCF, perturb=False),
)


@dataclass(frozen=True)
class Scores:
    """A score file and the references behind it; N sequences of length L, R references each.

    Attributes
    ----------
    sequences : int8 array [N, 4, L]
    hypothetical : float32 array [N, 4, L]
    observed : float32 array [N, L]
        Contributions of the observed bases.
    output : float64 array [N]
    reference_output, completeness_error : float64 array [N, R]
    references : array [N, R, 4, L]
    seconds : float
        Wall-clock time of the command.
    """

    sequences: Array
    hypothetical: Array
    observed: Array
    output: Array
    reference_output: Array
    completeness_error: Array
    references: Array
    seconds: float


# ---- the command


def score(
    case: Case,
    shared: Path,
    folder: Path,
    rule: str,
    precision: str = "float32",
    extra: Sequence[str] = (),
) -> Scores:
    """Run `deeplift score`, with ``extra`` options, and read what it wrote.

    Raises
    ------
    RuntimeError
        If the command does not end with 0.
    """
    out, saved = folder / "scores.h5", folder / "references.h5"
    files = [part for option, name in case.files for part in (option, str(shared / "sequences" / name))]
    command = ["score", "--model", str(model_path(case, shared)), *files, "--out", str(out), "--rule", rule]
    command += ["--save-references", str(saved), "--precision", precision, "--threads", "1", *extra]
    command += ["--quiet", "--overwrite"]
    started = time.perf_counter()
    code = deeplift(command)
    seconds = time.perf_counter() - started
    if code:
        raise RuntimeError(f"exit code {code} of: deeplift {' '.join(command)}")
    with h5py.File(out) as file, h5py.File(saved) as references:
        return Scores(
            file["raw/seq"][:],
            file["shap/seq"][:],
            file["projected_shap/seq"][:].sum(axis=1),
            file["qc/output"][:],
            file["qc/reference_output"][:],
            file["qc/completeness_error"][:],
            references["references"][:],
            seconds,
        )


def model_path(case: Case, shared: Path) -> Path:
    """The case's model file."""
    return shared / "models" / f"{case.model}.onnx"


# ---- what onnxruntime says of the same model


def logit_function(path: Path) -> Predict:
    """Function from [N, 4, L] to the model's logits [N], run by onnxruntime.

    A final Sigmoid is cut off the graph: undoing it afterwards would lose all digits where it saturates.
    """
    model = onnx.load(path)
    graph = model.graph
    last = next(node for node in graph.node if node.output[0] == graph.output[0].name)
    if last.op_type == "Sigmoid":
        graph.output[0].name = last.input[0]
        graph.node.remove(last)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (given,) = session.get_inputs()
    channels_last = given.shape[-1] == len(BASES)

    def predict(sequences: Array) -> Array:
        batches = np.array_split(sequences, max(1, len(sequences) // 1000))
        rows = [batch.swapaxes(1, 2) if channels_last else batch for batch in batches]
        feeds = ({given.name: np.ascontiguousarray(batch, dtype=np.float32)} for batch in rows)
        logits = [session.run(None, feed)[0][:, 0] for feed in feeds]
        return np.concatenate(logits).astype(np.float64)

    return predict


def mutagenesis(predict: Predict, sequences: Array) -> Array:
    """In-silico mutagenesis [N, L]: f(x) minus the mean over the three other bases at each position."""
    effects = [_mutate(predict, sequence) for sequence in sequences]
    found: Array = predict(sequences)[:, None] - np.stack(effects)
    return found


def _mutate(predict: Predict, sequence: Array) -> Array:
    """Mean prediction [L] over the three sequences that differ from [4, L] at each position."""
    bases, places = np.nonzero(sequence == 0)
    mutants = np.repeat(sequence[None], len(bases), axis=0)
    rows = np.arange(len(bases))
    mutants[rows, :, places] = 0
    mutants[rows, bases, places] = 1
    summed: Array = np.bincount(places, weights=predict(mutants), minlength=sequence.shape[-1])
    return summed / 3


# ---- measures


def scale(output: Array, reference_output: Array) -> Array:
    """What summation-to-delta errors are relative to [N, R]: max(|Delta|, 0.01 |f(x)|, 0.01 |f(r)|)."""
    delta = np.abs(output[:, None] - reference_output)
    found: Array = np.maximum(delta, 0.01 * np.maximum(np.abs(output)[:, None], np.abs(reference_output)))
    return found


def relative_errors(scores: Scores) -> Array:
    """Relative summation-to-delta error [N, R] of each pair, as the command reports it."""
    found: Array = np.abs(scores.completeness_error) / scale(scores.output, scores.reference_output)
    return found


def outside_errors(scores: Scores, predict: Predict) -> Array:
    """Relative error [N] of stored contributions against onnxruntime's outputs, over the references.

    No number of this comes from the command but the contributions and the references themselves.
    """
    n, count = scores.references.shape[:2]
    output = predict(scores.sequences)
    reference_output = predict(scores.references.reshape(n * count, *scores.sequences.shape[1:]))
    reference_output = reference_output.reshape(n, count)
    delta = output - reference_output.mean(axis=1)
    error = np.abs(scores.observed.sum(axis=1, dtype=np.float64) - delta)
    found: Array = error / scale(output, reference_output).mean(axis=1)
    return found


def correlations(first: Array, second: Array) -> Array:
    """Pearson correlation [N] of the rows of two [N, L]."""
    a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    found: Array = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return found


@dataclass(frozen=True)
class SiteRank:
    """How the splice site's two bases rank among the same two bases elsewhere in their windows.

    Attributes
    ----------
    auroc : float
        Over all windows together.
    first : float
        Share of the windows with others in which the site's contribution is the largest.
    windows, with_others, others : int
    """

    auroc: float
    first: float
    windows: int
    with_others: int
    others: int


def rank_site(sequences: Array, observed: Array, site: tuple[str, int]) -> SiteRank:
    """Rank the site by the sum of its two bases' scores.

    Parameters
    ----------
    sequences : int8 array [N, 4, L]
    observed : array [N, L]
        Contributions of the observed bases, or another score of them.
    site : (str, int)
        The two bases, and where every window has them.

    Raises
    ------
    ValueError
        If some window does not have those bases there.
    """
    (one, two), place = tuple(site[0]), site[1]
    pairs = sequences[:, BASES.index(one), :-1] & sequences[:, BASES.index(two), 1:]
    if not pairs[:, place].all():
        raise ValueError(f"a window has no {one}{two} at {place}")
    totals = observed[:, :-1] + observed[:, 1:]
    here = totals[:, place].copy()
    pairs[:, place] = 0
    others = totals[pairs == 1]
    highest = np.where(pairs == 1, totals, -np.inf).max(axis=1)
    compared = np.isfinite(highest)
    return SiteRank(
        auroc(here, others),
        float((here > highest)[compared].mean()),
        len(here),
        int(compared.sum()),
        len(others),
    )


def auroc(positives: Array, negatives: Array) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    order = np.sort(negatives)
    below, upto = (np.searchsorted(order, positives, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(negatives))


# ---- tangermeme


def janggu_network(shared: Path) -> nn.Module:
    """The janggu model in plain layers, from the state dict: what tangermeme's hooks need."""
    network = nn.Sequential(
        nn.Conv1d(4, 32, 21, padding=10), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(32, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(5),
        nn.Flatten(), nn.Linear(320, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 1),
    )  # fmt: skip
    network.load_state_dict(torch.load(shared / "models" / "janggu_oct4_mafk.pt", weights_only=True))
    return network.eval()


def tangermeme_scores(network: nn.Module, scores: Scores) -> Array:
    """tangermeme's hypothetical contributions [N, 4, L] with the same references, in the model's dtype."""
    from tangermeme.deep_lift_shap import deep_lift_shap

    dtype = next(network.parameters()).dtype
    found: torch.Tensor = deep_lift_shap(
        network,
        torch.from_numpy(scores.sequences).to(dtype),
        references=torch.from_numpy(scores.references).to(dtype),
        hypothetical=True,
        device="cpu",
    )
    return found.numpy()


@dataclass(frozen=True)
class Agreement:
    """Two tools' contributions over all positions: Pearson correlation, and the largest difference."""

    hypothetical: float
    observed: float
    difference: float
    largest: float


def agreement(ours: Scores, theirs: Array) -> Agreement:
    """Compare hypothetical contributions [N, 4, L], and those of the observed bases."""
    seen = ours.sequences == 1
    return Agreement(
        float(np.corrcoef(ours.hypothetical.ravel(), theirs.ravel())[0, 1]),
        float(np.corrcoef(ours.hypothetical[seen], theirs[seen])[0, 1]),
        float(np.abs(ours.hypothetical - theirs).max()),
        float(np.abs(theirs).max()),
    )


# ---- tables


@dataclass(frozen=True)
class Measured:
    """Rows of the two tables for one case and one rule."""

    completeness: list[str]
    meaning: list[str] | None


def measure(case: Case, shared: Path, folder: Path, rule: str) -> Measured:
    """Run one case with one rule, in both precisions."""
    print(f"{case.label}, {rule}", file=sys.stderr)
    predict = logit_function(model_path(case, shared))
    single = score(case, shared, folder, rule)
    double = score(case, shared, folder, rule, "float64")
    errors, fine = relative_errors(single), relative_errors(double)
    completeness = [
        *(case.label, rule, str(len(single.output)), f"{errors.size:,}"),
        *(f"{value:.1e}" for value in (np.median(errors), np.quantile(errors, 0.999), errors.max())),
        *(str((errors > TOLERANCE).sum()), f"{fine.max():.1e}"),
        f"{outside_errors(single, predict).max():.1e}",
        *(f"{single.seconds:.1f}", f"{double.seconds:.1f}"),
    ]
    return Measured(completeness, _meaning(case, rule, single, predict) if case.perturb else None)


def _meaning(case: Case, rule: str, scores: Scores, predict: Predict) -> list[str]:
    effects = mutagenesis(predict, scores.sequences)
    found = correlations(scores.observed, effects)
    low, median = np.quantile(found, (0.1, 0.5))
    site = ["", "", "", ""]
    if case.site is not None:
        ranks = rank_site(scores.sequences, scores.observed, case.site)
        site = [
            f"{ranks.windows} {case.site[0]} against {ranks.others}",
            f"{ranks.auroc:.4f}",
            f"{rank_site(scores.sequences, effects, case.site).auroc:.4f}",
            f"{ranks.first:.1%} of {ranks.with_others}",
        ]
    return [case.label, rule, *site, f"{median:.3f}", f"{found.mean():.3f}", f"{low:.3f}"]


def compare_with_tangermeme(shared: Path, folder: Path) -> list[list[str]]:
    """Rows of the third table: the janggu model in both precisions."""
    network = janggu_network(shared)
    rows = []
    for case in (case for case in CASES if case.model == "janggu_oct4_mafk"):
        for precision in ("float32", "float64"):
            ours = score(case, shared, folder, "rescale", precision)
            found = agreement(ours, tangermeme_scores(network.to(getattr(torch, precision)), ours))
            misses = [f"{1 - value:.1e}" for value in (found.hypothetical, found.observed)]
            rows.append(
                [case.sequences, precision, *misses, f"{found.difference:.1e}", f"{found.largest:.2f}"]
            )
    return rows


def report(shared: Path) -> str:
    """Everything, as markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        score(CASES[0], shared, folder, "rescale")  # compiles and imports, so that times are the work's
        found = [measure(case, shared, folder, rule) for case in CASES for rule in RULES]
        peers = compare_with_tangermeme(shared, folder)
    completeness = (
        "model, sequences|rule|sequences|pairs|median|99.9 %|worst|beyond 1e-4|worst in float64|"
        "against onnxruntime|seconds|seconds in float64"
    )
    meaning = (
        "model, sequences|rule|site against others|AUROC|AUROC of mutagenesis|ranked first|"
        "correlation with mutagenesis, median|mean|10 % quantile"
    )
    peer = (
        "sequences|precision|1 - correlation, hypothetical|1 - correlation, observed|largest difference|"
        "largest contribution"
    )
    return "\n\n".join(
        [
            "### Summation-to-delta, relative",
            table(completeness, (row.completeness for row in found)),
            "### The bases that matter",
            table(meaning, (row.meaning for row in found if row.meaning)),
            "### tangermeme, the janggu model, `--rule rescale`",
            table(peer, peers),
        ]
    )


def main() -> None:
    """Measure and print."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    parser = argparse.ArgumentParser(description="Check deeplift score on real models and real DNA.")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DEEPLIFT_SHARED", beside)))
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    text = report(options.shared)
    print(text)
    if options.markdown:
        insert(options.markdown, text)


if __name__ == "__main__":
    main()
