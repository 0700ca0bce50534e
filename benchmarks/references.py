"""How many shuffles are enough, with and without a control variate, and what references change at all.

    python benchmarks/references.py [--shared DIR] [--sequences 16] [--markdown docs/references.md]
                                    [--figure docs/images/references.png]

DIR holds trained `models` and `sequences`; it is $DEEPLIFT_SHARED by default, or else `shared` beside the
repository. Contributions of the observed bases from few dinucleotide shuffles are correlated (Pearson, over
the positions of a sequence) with those from 500 other shuffles. Where 200 shuffles make several disjoint
sets, the mean of the sets' correlations is one sequence's; the table has the median over sequences. All pairs
are scored one time: a set's scores are means of pairs, and its control variate is
`deeplift_core.engine.control_variate`.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pages import insert, table

import deeplift_references
from deeplift_cli.models import find_layout, read
from deeplift_cli.sequences import FastaSource, Record, one_hot
from deeplift_core import DeepLift
from deeplift_core.engine.control_variate import ControlVariate

Array = npt.NDArray[Any]

ROOT = Path(__file__).resolve().parents[1]
RULES = ("genomics-default", "rescale")
COUNTS = (1, 2, 5, 10, 20, 50, 100)
LEAST_CORRECTED = 5  # as --control-variate needs
NOISE = (2, 5, 20)  # numbers of references for which the variance between disjoint sets is taken
MANY, POOL, ROWS = 500, 200, 64
WANTED = 0.99
DISTANCES = (0, 1, 2, 3, 5, 10)


@dataclass(frozen=True)
class Case:
    """A trained model with sequences.

    Attributes
    ----------
    name : str
    model, fasta : str
        Files: `examples/...` of this repository, others below DIR.
    target : int
    """

    name: str
    model: str
    fasta: str
    target: int = 0

    def files(self, shared: Path) -> tuple[Path, Path]:
        """The paths of the model and of its sequences."""
        of_example = self.model.startswith("examples/")
        model = ROOT / self.model if of_example else shared / "models" / self.model
        return model, ROOT / self.fasta if of_example else shared / "sequences" / self.fasta


CTCF = "Gm12878.CTCF.top500.w200.fa"
JANGGU = Case("janggu, MafK peaks", "janggu_oct4_mafk.onnx", "janggu_mafk_test.fa")
CASES = (
    Case("example, GATA and TAL1", "examples/tal1_gata.onnx", "examples/sequences.fa", 2),
    JANGGU,
    Case("mmsplice acceptor", "mmsplice_acceptor.onnx", "splice_windows_mmsplice_acceptor.fa"),
    Case("deepkingnet, CTCF peaks", "deepkingnet_200bp.onnx", CTCF),
)


def sequences_of(fasta: Path, length: int, most: int | None = None) -> Array:
    """Sequences without N, one-hot int8 [N, 4, L]; at most so many, evenly spread over the file."""
    letters = [
        record.letters
        for record in FastaSource(fasta).records(length)
        if isinstance(record, Record) and not set(record.letters) - set(b"ACGT")
    ]
    chosen = np.linspace(0, len(letters) - 1, min(most or len(letters), len(letters))).astype(int)
    return one_hot([letters[place] for place in chosen])


# ---- scores


class Scored:
    """Multipliers of one model's pairs.

    Parameters
    ----------
    case : Case
    shared : Path
    rule : str
    """

    def __init__(self, case: Case, shared: Path, rule: str) -> None:
        model = read(case.files(shared)[0], allow_pickle=False, options={})
        self._layout, length = find_layout(model, length=None)
        assert length is not None
        self.length = length
        example = torch.zeros(ROWS, 4, length)
        example[:, 0] = 1
        self._explainer = DeepLift(
            model.module, self._layout.to_model(example), rule=rule, channel_axis=self._layout.channel_axis
        )
        self._target = case.target

    @property
    def reveals(self) -> bool:
        """Return whether an operation has the rule RevealCancel, so that the default differs from rescale."""
        return any(node.rule == "revealcancel" for node in self._explainer.nodes)

    def multipliers(self, sequence: Array, references: Array) -> torch.Tensor:
        """The multipliers [R, 4, L] of a sequence [4, L] with each of its references [R, 4, L]."""
        x = torch.from_numpy(sequence).float().expand(len(references), -1, -1)
        pairs = self._explainer.attribute(
            self._layout.to_model(x),
            self._layout.to_model(torch.from_numpy(references)[:, None]),
            self._target,
            per_reference=True,
        )
        return self._layout.from_model(pairs.multipliers[:, 0])

    def mean(self, sequence: Array, references: Array) -> Array:
        """Contributions [L] of the observed bases: the mean over references [R, 4, L]."""
        return observed(self.multipliers(sequence, references), sequence, references, None)[0]


def observed(
    multipliers: torch.Tensor, sequence: Array, references: Array, expected: Array | None
) -> tuple[Array, Array | None]:
    """Contributions [L] of the observed bases, and their standard errors, from pairs' multipliers [R, 4, L].

    With ``expected`` [4, L], the mean is corrected by the control variate.
    """
    x, r = torch.from_numpy(sequence).float(), torch.from_numpy(references)
    column: Sequence[torch.Tensor] = (multipliers * (x - r)).unsqueeze(1).unbind(0)
    variate = None
    if expected is not None:
        each = multipliers.unsqueeze(1).unbind(0)
        variate = ControlVariate(each, r.unsqueeze(0), torch.from_numpy(expected)[None])
        column = variate.corrected(column)
    positions = torch.stack(list(column))[:, 0].sum(1)
    if len(positions) < 2:
        return positions.mean(0).numpy(), None
    error = positions.std(0) / len(positions) ** 0.5
    if variate is not None:
        error = variate.standard_error(error[None], 1)[0]
    return positions.mean(0).numpy(), error.numpy()


def correlation(first: Array, second: Array) -> float:
    """Pearson's, over positions."""
    return float(np.corrcoef(first, second)[0, 1])


@dataclass(frozen=True)
class Counted:
    """How close few references come to many, for one model and rule.

    Attributes
    ----------
    correlations : mapping of (bool, int) to list of float
        A correlation for each sequence, by whether the mean is corrected and by the number of references.
    variances : mapping of (bool, int) to array [N, L]
        The variances between disjoint sets of references, by the same keys.
    errors : mapping of (bool, int) to array [N, L]
        The mean squared standard errors of the same sets.
    other : mapping of str to list of float
        Correlations of other references' scores with those of the many.
    """

    correlations: dict[tuple[bool, int], list[float]]
    variances: dict[tuple[bool, int], Array]
    errors: dict[tuple[bool, int], Array]
    other: dict[str, list[float]]

    def median(self, corrected: bool, count: int) -> float:
        """The median over sequences."""
        return float(np.median(self.correlations[corrected, count]))

    def enough(self, corrected: bool) -> str:
        """The number of references for the wanted correlation, interpolated: 1 - r falls as 1 / n does."""
        counts = [n for n in COUNTS if (corrected, n) in self.correlations]
        missing = [np.log(1 - self.median(corrected, n)) for n in counts]
        if missing[-1] > np.log(1 - WANTED):
            return f"over {counts[-1]}"
        found = np.exp(np.interp(np.log(1 - WANTED), missing[::-1], np.log(counts)[::-1]))
        return f"{found:.0f}"


OTHERS: dict[str, Callable[[Array], Any]] = {
    "frequency of the sequences": lambda x: deeplift_references.make(
        "frequency", frequencies=tuple(x.sum((0, 2)) / x.sum())
    ),
    "zeros": lambda _: deeplift_references.make("zeros"),
    f"{MANY} mononucleotide shuffles": lambda _: deeplift_references.make(
        "mononucleotide", n_references=MANY, seed=1
    ),
}


def count(scored: Scored, x: Array, *, others: bool) -> Counted:
    """Score all pairs of sequences [N, 4, L], and compare sets of references."""
    many = deeplift_references.make("dinucleotide", n_references=MANY, seed=1)(x)
    maker = deeplift_references.make("dinucleotide", n_references=20, seed=2)
    pool = deeplift_references.make("dinucleotide", n_references=POOL, seed=2)(x)
    expected = maker.expected(x)
    wanted = [(False, n) for n in COUNTS] + [(True, n) for n in COUNTS if n >= LEAST_CORRECTED]
    correlations: dict[tuple[bool, int], list[float]] = {key: [] for key in wanted}
    noise = [(corrected, n) for corrected in (False, True) for n in NOISE]
    variances: dict[tuple[bool, int], list[Array]] = {key: [] for key in noise}
    errors: dict[tuple[bool, int], list[Array]] = {key: [] for key in noise}
    makers = {name: make(x) for name, make in OTHERS.items()} if others else {}
    other: dict[str, list[float]] = {name: [] for name in makers}
    for place, sequence in enumerate(x):
        exact = scored.mean(sequence, many[place])
        multipliers = scored.multipliers(sequence, pool[place])
        for corrected, n in dict.fromkeys([*wanted, *noise]):
            sets = []
            for first in range(0, POOL - n + 1, n):
                part = slice(first, first + n)
                known = expected[place] if corrected else None
                sets.append(observed(multipliers[part], sequence, pool[place, part], known))
            if (corrected, n) in correlations:
                each = [correlation(exact, found) for found, _ in sets]
                correlations[corrected, n].append(float(np.mean(each)))
            if n in NOISE:
                variances[corrected, n].append(np.var([found for found, _ in sets], axis=0, ddof=1))
                errors[corrected, n].append(np.mean([np.square(error) for _, error in sets], axis=0))
        for name, kind in makers.items():
            found = scored.mean(sequence, kind(sequence[None])[0])
            other[name].append(correlation(exact, found))
    return Counted(
        correlations,
        {key: np.array(found) for key, found in variances.items()},
        {key: np.array(found) for key, found in errors.items()},
        other,
    )


# ---- tables


def count_rows(found: dict[tuple[str, str], Counted]) -> list[list[str]]:
    """Correlations by number of references."""
    rows = []
    for (name, rule), counted in found.items():
        for corrected in (False, True):
            known = [(corrected, n) in counted.correlations for n in COUNTS]
            cells = [
                f"{counted.median(corrected, n):.4f}" if there else ""
                for n, there in zip(COUNTS, known, strict=True)
            ]
            how = "with" if corrected else "without"
            rows.append([name, rule, how, *cells, counted.enough(corrected)])
    return rows


def noise_rows(found: dict[tuple[str, str], Counted]) -> list[list[str]]:
    """What the control variate does to the variance, and whether standard errors are those between sets."""
    rows = []
    for (name, rule), counted in found.items():
        cells = []
        for n in NOISE:
            each = counted.variances[False, n].sum(1) / counted.variances[True, n].sum(1)
            cells.append(f"{np.median(each):.2f} ({each.min():.2f} to {each.max():.2f})")
        for key in ((False, 20), (True, 5), (True, 20)):
            cells.append(f"{np.sqrt(counted.errors[key].sum() / counted.variances[key].sum()):.2f}")
        rows.append([name, rule, *cells])
    return rows


def other_rows(found: dict[tuple[str, str], Counted]) -> list[list[str]]:
    """Other kinds of reference against 500 dinucleotide shuffles."""
    return [
        [name, rule, *(f"{np.median(counted.other[kind]):.3f}" for kind in OTHERS)]
        for (name, rule), counted in found.items()
    ]


def kept(x: Array, kind: str) -> Array:
    """The share of shuffles that have the sequence's own base at each position: [N, L]."""
    share: Array = (deeplift_references.make(kind, n_references=200, seed=0).expected(x) * x).sum(1)
    return share


def edge_rows(x: Array) -> list[list[str]]:
    """Shares of shuffles with the sequence's own base near the beginning, and in the middle."""
    rows = []
    for kind in ("dinucleotide", "mononucleotide"):
        shares = kept(x, kind).mean(0)
        middle = shares[len(shares) // 4 : -len(shares) // 4].mean()
        rows.append([kind, *(f"{shares[distance]:.2f}" for distance in DISTANCES), f"{middle:.2f}"])
    return rows


def groups(x: Array, size: int) -> dict[str, Array]:
    """Sequences of several kinds, made of the same peaks [N, 4, L]."""
    gc = x[:, 1:3].sum((1, 2)) / x.sum((1, 2))
    order = np.argsort(gc, kind="stable")
    middle = (len(x) - size) // 2
    half = x.shape[2] // 2
    repeat = one_hot([b"CA" * (half // 2)])[0]
    tract = one_hot([b"A" * half])[0]
    low, mid, high = order[:size], order[middle : middle + size], order[-size:]

    def with_left(left: Array) -> Array:
        changed = x[mid].copy()
        changed[:, :, : left.shape[1]] = left
        return changed

    def name(text: str, rows: Array) -> str:
        return f"{text} ({100 * gc[rows].min():.0f} to {100 * gc[rows].max():.0f} % GC)"

    return {
        name("lowest GC", low): x[low],
        name("middle", mid): x[mid],
        name("highest GC", high): x[high],
        "middle, left half (CA)n": with_left(repeat),
        "middle, left half poly-A": with_left(tract),
        "middle, left half N": with_left(np.zeros_like(tract)),
    }


def group_rows(scored: Scored, x: Array, size: int) -> list[list[str]]:
    """What references change in sequences of several kinds, and how close 20 come to 500."""
    rows = []
    for name, chosen in groups(x, size).items():
        counted = count(scored, chosen, others=False)
        changed = 1 - kept(chosen, "dinucleotide").sum() / chosen.sum()
        each = [f"{counted.median(corrected, 20):.3f}" for corrected in (False, True)]
        rows.append([name, f"{100 * changed:.0f} %", *each])
    return rows


# ---- figure


def draw(found: dict[tuple[str, str], Counted], path: Path) -> None:
    """Correlations by number of references, a panel for each model."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for name, _ in found))
    figure = Figure(figsize=(8, 5.6), dpi=100, layout="constrained")
    panels = figure.subplots(2, (len(names) + 1) // 2, sharex=True, sharey=True, squeeze=False).flat
    ticks = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
    for panel, name in zip(panels, names, strict=False):
        for (other, rule), counted in found.items():
            if other != name:
                continue
            for corrected, colour in ((False, "#555555"), (True, "#0072b2")):
                counts = [n for n in COUNTS if (corrected, n) in counted.correlations]
                missing = [1 - counted.median(corrected, n) for n in counts]
                style = "-" if rule == RULES[0] else "--"
                label = f"{rule}, {'with' if corrected else 'without'} control variate"
                panel.plot(counts, missing, style, marker="o", ms=3, lw=1.3, color=colour, label=label)
        panel.axhline(1 - WANTED, color="#bbbbbb", lw=0.8, zorder=0)
        panel.set(title=name, xscale="log", yscale="log")
        panel.title.set_fontsize(10)
        panel.set_xticks(COUNTS, [str(n) for n in COUNTS])
        panel.set_yticks([1 - tick for tick in ticks], [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
    figure.axes[0].invert_yaxis()  # all panels share the axis
    figure.supxlabel("dinucleotide shuffles a sequence", fontsize=10)
    figure.supylabel(f"correlation with {MANY} others", fontsize=10)
    every = [panel.get_legend_handles_labels() for panel in figure.axes]
    handles, labels = max(every, key=lambda found: len(found[0]))
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def report(found: dict[tuple[str, str], Counted], edges: list[list[str]], kinds: list[list[str]]) -> str:
    """All tables, as markdown."""
    counts = "|".join(map(str, COUNTS))
    return "\n\n".join(
        [
            f"Correlation with {MANY} other shuffles, by the number of shuffles:",
            table(f"model, sequences|rule|control variate|{counts}|for {WANTED}", count_rows(found)),
            "The variance of contributions divided by that with the control variate, by the number of "
            "shuffles (median, least and largest of the sequences); and standard errors as stated, divided "
            "by the standard deviations between sets of shuffles:",
            table(
                f"model, sequences|rule|{'|'.join(map(str, NOISE))}|"
                "standard error, 20 without control variate|5 with|20 with",
                noise_rows(found),
            ),
            f"Other references, correlation with {MANY} dinucleotide shuffles:",
            table("model, sequences|rule|" + "|".join(OTHERS), other_rows(found)),
            "Share of shuffles that have the sequence's own base, by the distance from its end (CTCF peaks):",
            table("shuffles|" + "|".join(map(str, DISTANCES)) + "|middle", edges),
            "What shuffles change in CTCF peaks and in changed ones, and the correlation of 20 shuffles with "
            f"{MANY} ({JANGGU.name.split(',')[0]} model, {RULES[0]}):",
            table("sequences|bases that a shuffle changes|without control variate|with", kinds),
        ]
    )


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    beside = ROOT.parent / "shared"
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DEEPLIFT_SHARED", beside)))
    parser.add_argument("--sequences", type=int, default=16, help="sequences of each model  [default: 16]")
    parser.add_argument("--markdown", type=Path, metavar="PAGE")
    parser.add_argument("--figure", type=Path, metavar="PNG")
    options = parser.parse_args()
    found: dict[tuple[str, str], Counted] = {}
    for case in CASES:
        for rule in RULES:
            scored = Scored(case, options.shared, rule)
            if rule != RULES[0] and not Scored(case, options.shared, RULES[0]).reveals:
                continue
            x = sequences_of(case.files(options.shared)[1], scored.length, options.sequences)
            found[case.name, rule] = count(scored, x, others=True)
            print(*(" | ".join(row) for row in count_rows(found)[-2:]), sep="\n", flush=True)
    scored = Scored(JANGGU, options.shared, RULES[0])
    peaks = sequences_of(options.shared / "sequences" / CTCF, scored.length)
    text = report(found, edge_rows(peaks), group_rows(scored, peaks, options.sequences))
    print(text)
    if options.markdown:
        insert(options.markdown, text)
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
