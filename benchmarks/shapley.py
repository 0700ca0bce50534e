"""Compare the rules with Shapley values of positions, and print the distances as markdown tables.

    python benchmarks/shapley.py [--shared DIR] [--markdown docs/rules.md] [--quick] [NETWORK ...]

The players of the game are the positions at which a sequence and its reference, one dinucleotide shuffle,
differ. A coalition is a hybrid: the positions of the coalition have the sequence's bases, all others those of
the reference. The value of a coalition is the explained scalar of the hybrid (`DeepLift.outputs`).

Where the sequences have at most 18 bp, all hybrids are computed, and the Shapley values are exact. For longer
sequences the values are sampled from random orders in antithetic pairs. The values are exact in a second
game, in which only a window of 16 bp is shuffled. Of the windows side by side, the game takes the one whose
shuffling changes the output most.

DIR holds `models` and `sequences`; by default $DEEPLIFT_SHARED, else `shared` beside the repository.
`--quick` takes two sequences and few orders, and hardly trains, to test that the script works. `--markdown`
puts the tables into that page, between its two marks.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pages import insert, table
from scipy.stats import pearsonr, spearmanr
from shapley_networks import NETWORKS, Network, Sequences, Settings, Subject
from shapley_values import MOST_PLAYERS, Array, Coalitions, Game, exact, sampled
from torch import Tensor

import deeplift_references
from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error
from deeplift_core.assignment.names import DEFAULT_STEPS

SEED = 1
WINDOW = 16  # bp
ROWS = 256  # hybrids in a forward pass
SHARES = "aumann-shapley"
# The columns: a rule, and the rule of maxima where there is a choice.
RULES: dict[str, tuple[str, str | None]] = {
    "rescale": ("rescale", None),
    "revealcancel": ("revealcancel", None),
    "positive-first": ("revealcancel-positive-first", None),
    "genomics-default": ("genomics-default", None),
    f"rescale, {SHARES}": ("rescale", SHARES),
    f"genomics-default, {SHARES}": ("genomics-default", SHARES),
    "integrated gradients, 10 steps": ("integrated-gradients:10", None),
    f"integrated gradients, {DEFAULT_STEPS} steps": (f"integrated-gradients:{DEFAULT_STEPS}", None),
    "gradient x difference": ("gradient", None),
}


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Attributes
    ----------
    pairs : int
        Upper limit of a network's number of pairs of sequence and reference.
    orders : int
        Number of sampled orders of a pair.
    window : int
        bp of the second game.
    """

    pairs: int = 64
    orders: int = 400
    window: int = WINDOW


@dataclass(frozen=True)
class Pair:
    """A sequence and a reference, [4, L] each, and the Shapley values of all positions.

    Attributes
    ----------
    sequence, reference : int8 array [4, L]
    values, standard_error : float64 array [L]
        The value is 0 where sequence and reference are equal; the standard error is 0 where the values are
        exact.
    """

    sequence: Sequences
    reference: Sequences
    values: Array
    standard_error: Array

    @property
    def differ(self) -> npt.NDArray[np.bool_]:
        """The players: whether sequence and reference differ [L]."""
        return (self.sequence != self.reference).any(axis=0)


@dataclass(frozen=True)
class Measures:
    """What was measured of one rule, for each of N pairs."""

    distance: Array  # sum of |contribution - Shapley value|, relative to the sum of |Shapley value|
    pearson: Array
    spearman: Array
    rank: Array  # of the position with the largest |Shapley value| among all |contribution|
    sum_error: Array  # relative error of summation-to-delta


@dataclass(frozen=True)
class Compared:
    """A network's rows of the tables: one game, all rules."""

    network: Network
    game: str
    pairs: list[Pair]
    rules: dict[str, Measures]

    @property
    def noise(self) -> float:
        """The relative L1 distance that the sampling alone is expected to leave, with normal errors."""
        shares = [pair.standard_error.sum() / np.abs(pair.values).sum() for pair in self.pairs]
        return float(np.sqrt(2 / np.pi) * np.mean(shares))


# ---- hybrids


class Hybrids:
    """The explained scalar of hybrids of sequences and references of one network."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._explainer = DeepLift(subject.module, self.inputs(_filled(subject.sequences, ROWS)))

    def inputs(self, sequences: Sequences) -> Tensor:
        """Sequences [N, 4, L] as the network takes them."""
        x = torch.from_numpy(np.ascontiguousarray(sequences)).float()
        return x.movedim(1, self.subject.channel_axis)

    def outputs(self, sequences: Sequences) -> Array:
        """The explained scalars [N] of sequences [N, 4, L]."""
        (found,) = self._explainer.outputs(self.inputs(sequences), [self.subject.target])
        return found.output.double().numpy()

    def game(self, sequence: Sequences, reference: Sequences) -> tuple[npt.NDArray[np.intp], Game]:
        """The positions at which two sequences [4, L] differ, and the game that these positions play."""
        players = np.flatnonzero((sequence != reference).any(axis=0))

        def value(coalitions: Coalitions) -> Array:
            chosen = np.zeros((len(coalitions), sequence.shape[1]), bool)
            chosen[:, players] = coalitions
            return self.outputs(np.where(chosen[:, None], sequence, reference))

        return players, value


def _filled(rows: Sequences, count: int) -> Sequences:
    """The rows, repeated to ``count`` rows."""
    return np.resize(rows, (count, *rows.shape[1:]))


def shapley_values(hybrids: Hybrids, sequence: Sequences, reference: Sequences, orders: int) -> Pair:
    """Shapley values of the positions, exact if ``orders`` is 0."""
    players, game = hybrids.game(sequence, reference)
    values, errors = np.zeros((2, sequence.shape[1]))
    if orders:
        values[players], errors[players] = sampled(game, len(players), orders, SEED)
    else:
        values[players] = exact(game, len(players))
    return Pair(sequence, reference, values, errors)


def shuffled(sequences: Sequences) -> Sequences:
    """One dinucleotide shuffle [N, 4, L] of each sequence."""
    shuffle = deeplift_references.make("dinucleotide", n_references=1, seed=SEED)
    return shuffle(sequences)[:, 0].astype(np.int8)


def with_a_window_shuffled(hybrids: Hybrids, sequence: Sequences, width: int) -> Sequences:
    """The sequence [4, L] with that window shuffled, of those side by side, which changes the output most."""
    starts = range(0, sequence.shape[1] - width + 1, width)
    windows = shuffled(np.stack([sequence[:, start : start + width] for start in starts]))
    changed = np.repeat(sequence[None], len(starts), axis=0)
    for row, start in enumerate(starts):
        changed[row, :, start : start + width] = windows[row]
    (before,) = hybrids.outputs(sequence[None])
    found: Sequences = changed[np.abs(hybrids.outputs(changed) - before).argmax()]
    return found


# ---- rules


def rules_of(explainer: DeepLift) -> dict[str, DeepLift]:
    """The network under every rule of the tables; without a maximum, those of maxima are left out."""
    has_maxima = any("switch" in node.rule for node in explainer.nodes)
    return {
        name: explainer.with_rule(rule, {"*": maxima} if maxima else None)
        for name, (rule, maxima) in RULES.items()
        if has_maxima or maxima is None
    }


def measure(explainer: DeepLift, hybrids: Hybrids, pairs: Sequence[Pair]) -> Measures:
    """Compare one rule's contributions with the Shapley values."""
    x, references = (
        hybrids.inputs(np.stack([getattr(pair, which) for pair in pairs]))
        for which in ("sequence", "reference")
    )
    result = explainer.attribute(x, references[:, None], hybrids.subject.target)
    scores = result.contributions.sum(hybrids.subject.channel_axis, dtype=torch.float64).numpy()
    errors = relative_error(result.completeness_error, result.output, result.reference_output, result.summed)
    rows = [_compare(row, pair) for row, pair in zip(scores, pairs, strict=True)]
    distance, pearson, spearman, rank = np.array(rows).T
    return Measures(distance, pearson, spearman, rank, errors[:, 0].numpy())


def _compare(scores: Array, pair: Pair) -> tuple[float, float, float, float]:
    """Distance, correlations and rank of the top position, over the positions that differ."""
    found, values = scores[pair.differ], pair.values[pair.differ]
    top = np.abs(found[np.abs(values).argmax()])
    return (
        float(np.abs(found - values).sum() / np.abs(values).sum()),
        float(pearsonr(found, values).statistic),
        float(spearmanr(found, values).statistic),
        float(1 + (np.abs(found) > top).sum()),
    )


def compare(network: Network, settings: Settings, effort: Effort) -> list[Compared]:
    """All games of one network."""
    subject = network.make(settings)
    hybrids = Hybrids(subject)
    sequences = subject.sequences[: min(network.pairs, effort.pairs)]
    length = sequences.shape[2]
    is_short = length <= MOST_PLAYERS
    orders = 0 if is_short else effort.orders
    pairs = [
        shapley_values(hybrids, one, other, orders)
        for one, other in zip(sequences, shuffled(sequences), strict=True)
    ]
    games = [(f"{length} bp, exact" if is_short else f"{length} bp, sampled", pairs)]
    if not is_short:
        changed = [with_a_window_shuffled(hybrids, one, effort.window) for one in sequences]
        inside = [
            shapley_values(hybrids, one, other, 0) for one, other in zip(sequences, changed, strict=True)
        ]
        games.append((f"{effort.window} of {length} bp, exact", inside))
    explainer = DeepLift(subject.module, hybrids.inputs(sequences))
    rules = rules_of(explainer)
    return [
        Compared(network, game, found, {name: measure(rule, hybrids, found) for name, rule in rules.items()})
        for game, found in games
    ]


# ---- tables


def _game(compared: Compared) -> list[str]:
    players = np.mean([pair.differ.sum() for pair in compared.pairs])
    return [
        *(compared.network.name, compared.network.kind, compared.network.what, compared.game),
        *(str(len(compared.pairs)), f"{players:.0f}", f"{compared.noise:.2f}" if compared.noise else ""),
    ]


def _row(compared: Compared, cell: Callable[[Measures], str]) -> list[str]:
    cells = [cell(compared.rules[name]) if name in compared.rules else "" for name in RULES]
    return [compared.network.name, compared.game, *cells]


def _mean(values: Array, form: str = ".2f") -> str:
    """The mean over the pairs, with its standard error."""
    return f"{values.mean():{form}} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def _distance(found: Measures) -> str:
    return _mean(found.distance)


def _correlations(found: Measures) -> str:
    return f"{found.pearson.mean():.2f}, {found.spearman.mean():.2f}"


def _rank(found: Measures) -> str:
    return f"{found.rank.mean():.1f}, {(found.rank == 1).mean():.0%}"


def _of_maxima(compared: Compared) -> list[str]:
    """What `aumann-shapley` changes for the same pairs, and how many of the pairs it brings nearer."""
    switch, shares = (compared.rules[name] for name in ("genomics-default", f"genomics-default, {SHARES}"))
    differences = (
        shares.distance - switch.distance,
        shares.pearson - switch.pearson,
        shares.spearman - switch.spearman,
    )
    nearer = (differences[0] < 0, differences[1] > 0, differences[2] > 0)
    cells = [
        f"{_mean(change, '+.2f')} ({better.sum()} of {len(better)})"
        for change, better in zip(differences, nearer, strict=True)
    ]
    return [compared.network.name, compared.game, *cells]


def _largest_sum_errors(compared: Sequence[Compared]) -> list[str]:
    """Of each rule, the largest of the games' medians."""
    every = [
        [np.median(one.rules[name].sum_error) for one in compared if name in one.rules] for name in RULES
    ]
    return [f"{max(medians):.0e}" if medians else "" for medians in every]


def report(compared: Sequence[Compared]) -> str:
    """The tables, as markdown."""
    rules = "|".join(RULES)
    with_maxima = [one for one in compared if f"genomics-default, {SHARES}" in one.rules]
    games = "network|kind|model and sequences|positions|pairs|positions that differ, mean|noise of sampling"
    measured = (
        ("**Relative L1 distance**, mean over the pairs ± its standard error (0 is best):", _distance),
        ("**Correlation** with the Shapley values: mean Pearson, mean Spearman (1 is best):", _correlations),
        ("**Rank of the top position**: mean, and share of the pairs with rank 1:", _rank),
    )
    parts = [table(games, map(_game, compared))]
    for title, cell in measured:
        parts += [title, table(f"network|positions|{rules}", (_row(one, cell) for one in compared))]
    parts += [
        "**Summation-to-delta**: the median relative error of a game, largest of all games:",
        table(rules, [_largest_sum_errors(compared)]),
    ]
    if with_maxima:
        parts += [
            "**Maxima**, `aumann-shapley` minus the switch, both under `genomics-default`: mean of the "
            "differences of pairs ± its standard error, and how many pairs come nearer (the others tie or do "
            "not):",
            table("network|positions|relative L1 distance|Pearson|Spearman", map(_of_maxima, with_maxima)),
        ]
    return "\n\n".join(parts)


def main() -> None:
    """Measure and print."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    parser = argparse.ArgumentParser(description="Compare the rules with Shapley values.")
    parser.add_argument(
        "names", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; by default all"
    )
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DEEPLIFT_SHARED", beside)))
    parser.add_argument(
        "--quick", action="store_true", help="two sequences, a few orders, hardly any training"
    )
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    unknown = set(options.names) - set(NETWORKS)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}; there are {', '.join(NETWORKS)}")
    torch.set_num_threads(1)
    settings, effort = Settings(options.shared), Effort()
    if options.quick:
        settings, effort = Settings(options.shared, training=200, epochs=1), Effort(2, 4, 8)
    compared = list[Compared]()
    for name in options.names or NETWORKS:
        started = time.perf_counter()
        compared += compare(NETWORKS[name], settings, effort)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    text = report(compared)
    print(text)
    if options.markdown:
        insert(options.markdown, text, "shapley")


if __name__ == "__main__":
    main()
