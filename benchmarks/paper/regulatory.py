"""Simulated regulatory DNA (paper, section 4.2, figures 5 and 6): are motifs found, and for their own task?

A training takes its own sequences and its own initial weights; every method then scores the same held-out
sequences of that training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from auroc import auroc
from numpy.typing import NDArray
from simulation import LENGTH, TASKS, Simulated, one_hot, simulate
from torch import Tensor
from train import Net, labels, train

import deeplift_references
from paper.methods import (
    DEFAULT,
    GRADIENT,
    GUIDED_TIMES_INPUT,
    MUTAGENESIS,
    POSITIVE_FIRST,
    RESCALE,
    REVEAL_CANCEL,
    Method,
    Subject,
    integrated,
)
from paper.motifs import FREQUENCIES, Matches, top_matches
from paper.ranking import average_precision, rank_correlation

FILTERS = HIDDEN = 50  # the paper's numbers of filters and of hidden units
BATCH = 64
STRONG = 7.0  # log-odds beyond which a match counts as strong (paper, figure 5b)
STRENGTH_BIN = 0.5  # matches whose log-odds fall into one bin of this width count as equally strong
BOTH, GATA, TAL1 = range(len(TASKS))
OWN_TASK = {"GATA": GATA, "TAL1": TAL1}

FREQUENCY, SHUFFLES = "frequency", "shuffles"
METHODS: tuple[Method, ...] = (
    GRADIENT,
    integrated(5),
    integrated(10),
    integrated(20),
    GUIDED_TIMES_INPUT,
    RESCALE,
    REVEAL_CANCEL,
    DEFAULT,
    POSITIVE_FIRST,
    MUTAGENESIS,
)
# With shuffles: mutagenesis has no reference, and one number of steps is enough.
WITH_SHUFFLES: tuple[Method, ...] = (
    GRADIENT,
    integrated(10),
    GUIDED_TIMES_INPUT,
    RESCALE,
    REVEAL_CANCEL,
    DEFAULT,
    POSITIVE_FIRST,
)


@dataclass(frozen=True)
class Size:
    """How much is simulated, trained and scored.

    Attributes
    ----------
    train : int
        Training sequences.
    epochs : int
    held_out : int
        Further sequences, for the accuracy.
    scored : int
        The first of these, which every method scores.
    shuffles : int
        Dinucleotide shuffles of each sequence as references.
    """

    train: int
    epochs: int
    held_out: int
    scored: int
    shuffles: int


@dataclass(frozen=True)
class Scored:
    """The scores of one training's held-out sequences.

    Attributes
    ----------
    sequences : list of Simulated
        The N scored sequences.
    matches : mapping of str to Matches
        The matches of each motif.
    scores : mapping of (method, reference) to float array [tasks, N, L]
        Contributions of the observed bases.
    accuracy : mapping of str to float
        AUROC of each task on all held-out sequences.
    """

    sequences: list[Simulated]
    matches: dict[str, Matches]
    scores: dict[tuple[str, str], NDArray[np.float64]]
    accuracy: dict[str, float]


def trained(seed: int, size: Size) -> Net:
    """Train the paper's network on sequences of this seed."""
    return train(
        simulate(size.train, 100 + seed), filters=FILTERS, hidden=HIDDEN, epochs=size.epochs, seed=seed
    )


def frequency_reference() -> Tensor:
    """Return the reference [1, 4, 200] that has the background's frequencies at every position."""
    return torch.tensor(FREQUENCIES)[None, :, None].repeat(1, 1, LENGTH)


def score(net: Net, seed: int, size: Size) -> Scored:
    """Score held-out sequences with every method and both kinds of reference."""
    held_out = simulate(size.held_out, 10_000 + seed)
    with torch.no_grad():
        logits = torch.cat([net.logits(x) for x in torch.from_numpy(one_hot(held_out)).split(500)]).numpy()
    wanted = labels(held_out)
    sequences = held_out[: size.scored]
    x = torch.from_numpy(one_hot(sequences))
    subject = Subject(net, x[:BATCH])
    shuffle = deeplift_references.make("dinucleotide", n_references=size.shuffles, seed=seed)
    shuffles = torch.from_numpy(shuffle(x.numpy().astype(np.int8)))
    scores = {}
    for kind, methods, references in (
        (FREQUENCY, METHODS, frequency_reference()),
        (SHUFFLES, WITH_SHUFFLES, shuffles),
    ):
        for method in methods:
            found = method.scores(subject, x, references, range(len(TASKS)))
            # The contribution of the observed base is the sum over the four channels.
            scores[method.name, kind] = found.sum(dim=2).double().numpy()
    return Scored(
        sequences,
        {motif: top_matches(sequences, motif) for motif in OWN_TASK},
        scores,
        {task: auroc(logits[:, i], wanted[:, i]) for i, task in enumerate(TASKS)},
    )


def measures(scored: Scored) -> dict[str, dict[str, float]]:
    """Return the measures of every method and kind of reference, by "method|reference".

    `MEASURES` describes each. The log-odds of the matches themselves are measured, too, as "log-odds of the
    matrix|none", where they can stand for scores.
    """
    found = {
        f"{method}|{kind}": _measures(scored, scores) for (method, kind), scores in scored.scores.items()
    }
    odds: dict[str, float] = {}
    for motif, matches in scored.matches.items():
        odds |= {f"{motif} strength": 1.0, **_ranking(motif, matches, matches.log_odds)}
    return {"log-odds of the matrix|none": odds, **found}


def missed_by_number(scored: Scored) -> list[dict[str, str | float]]:
    """Return, for each method, the share of strong TAL1 matches missed by their number in the sequence.

    The matches are those of "strong TAL1 missed". A second instance of a motif makes up for the loss of the
    first, so that methods that saturate miss more of several.
    """
    tal1, in_both = scored.matches["TAL1"], labels(scored.sequences)[:, BOTH]
    strong = in_both[tal1.row] & (tal1.log_odds > STRONG)
    number = np.bincount(tal1.row[strong], minlength=len(scored.sequences))[tal1.row]
    rows: list[dict[str, str | float]] = []
    for (method, kind), scores in scored.scores.items():
        if kind == FREQUENCY:
            missed = tal1.importance(scores)[BOTH] <= 0
            row: dict[str, str | float] = {"method": method}
            for strong_ones in (1, 2, 3):
                chosen = strong & (number == strong_ones)
                row[f"{strong_ones} in the sequence"] = float(missed[chosen].mean()) if chosen.any() else ""
            rows.append(row)
    return rows


def counts(scored: Scored) -> dict[str, int]:
    """Return how many matches are behind the measures."""
    present, tal1 = labels(scored.sequences), scored.matches["TAL1"]
    found = {
        "sequences": len(scored.sequences),
        "strong TAL1 matches": int((present[tal1.row, BOTH] & (tal1.log_odds > STRONG)).sum()),
    }
    for motif, matches in scored.matches.items():
        found[f"{motif} planted"] = int(matches.planted.sum())
        found[f"{motif} chance"] = int(matches.chance.sum())
        found[f"{motif} equally strong pairs"] = int((equally_strong(matches) & matches.planted).sum())
    return found


# What each measure is, for the table of the page.
MEASURES = {
    "strong TAL1 missed": f"Share of TAL1 matches with log-odds over {STRONG:g}, in sequences with both "
    "motifs, whose score for the task both is 0 or less (figure 5b)",
    "weaker motif negative": "Share of sequences with both motifs in which all instances of one motif "
    "together have a negative score for the task both",
    "GATA mass, TAL1 mass": "Share of the positive scores for the motif's own task that lies on its planted "
    "instances, in sequences that have it",
    "TAL1 false": "Mean score of planted TAL1 instances for the task GATA, divided by that of planted GATA "
    "instances; GATA false is the same for the task TAL1",
    "cooperativity": "Mean score of planted TAL1 instances for the task both where GATA is there, too, less "
    "the mean where it is not, divided by the standard deviation of the latter",
    "motif-free": "Sum of the absolute scores of a sequence without motifs for the task both, mean",
    "GATA strength, TAL1 strength": "Spearman correlation of a match's score for the motif's own task with "
    "its log-odds, all matches",
    "AUROC, AUPRC": "Planted instances against chance matches, by their score for the motif's own task",
    "matched AUROC, AUPRC": "The same with as many chance matches as planted ones in every bin of log-odds, "
    f"{STRENGTH_BIN:g} wide",
}


def _measures(scored: Scored, scores: NDArray[np.float64]) -> dict[str, float]:
    present = labels(scored.sequences)
    tal1 = scored.matches["TAL1"]
    importance = {motif: matches.importance(scores) for motif, matches in scored.matches.items()}
    in_both = present[tal1.row, BOTH]
    strong = in_both & (tal1.log_odds > STRONG)
    together = tal1.planted & in_both
    alone = tal1.planted & ~in_both
    alone_scores = importance["TAL1"][BOTH, alone]
    found = {
        "strong TAL1 missed": float((importance["TAL1"][BOTH, strong] <= 0).mean()),
        "weaker motif negative": _weaker_negative(scored.sequences, scores[BOTH]),
        "cooperativity": float(
            (importance["TAL1"][BOTH, together].mean() - alone_scores.mean()) / alone_scores.std()
        ),
        "motif-free": float(np.abs(scores[BOTH, ~present[:, [GATA, TAL1]].any(axis=1)]).sum(axis=1).mean()),
    }
    for motif, matches in scored.matches.items():
        task = OWN_TASK[motif]
        found[f"{motif} mass"] = _planted_mass(scored.sequences, scores[task], motif)
        found[f"{motif} strength"] = rank_correlation(importance[motif][task], matches.log_odds)
        found |= _ranking(motif, matches, importance[motif][task])
        (other,) = set(OWN_TASK) - {motif}
        own = importance[other][OWN_TASK[other], scored.matches[other].planted].mean()
        found[f"{motif} false"] = float(importance[motif][OWN_TASK[other], matches.planted].mean() / own)
    return found


def _ranking(motif: str, matches: Matches, importance: NDArray[np.float64]) -> dict[str, float]:
    found = {}
    for what, chosen in (
        (motif, matches.planted | matches.chance),
        (f"{motif} matched", equally_strong(matches)),
    ):
        found[f"{what} AUROC"] = auroc(importance[chosen], matches.planted[chosen])
        found[f"{what} AUPRC"] = average_precision(importance[chosen], matches.planted[chosen])
    return found


def equally_strong(matches: Matches) -> NDArray[np.bool_]:
    """Choose as many planted as chance matches from every bin of log-odds, the first of each."""
    bins = np.floor(matches.log_odds / STRENGTH_BIN)
    chosen = np.zeros(len(bins), dtype=bool)
    for value in np.unique(bins):
        planted = np.flatnonzero((bins == value) & matches.planted)
        chance = np.flatnonzero((bins == value) & matches.chance)
        number = min(len(planted), len(chance))
        chosen[planted[:number]] = chosen[chance[:number]] = True
    return chosen


def planted_positions(sequences: Sequence[Simulated], motif: str) -> NDArray[np.bool_]:
    """Return where [N, L] instances of this motif are planted."""
    positions = np.zeros((len(sequences), LENGTH), dtype=bool)
    for row, sequence in enumerate(sequences):
        for instance in sequence.planted:
            if instance.motif == motif:
                positions[row, instance.start : instance.end] = True
    return positions


def _planted_mass(sequences: Sequence[Simulated], scores: NDArray[np.float64], motif: str) -> float:
    positions = planted_positions(sequences, motif)
    rows = positions.any(axis=1)
    positive = np.maximum(scores[rows], 0)
    return float((positive * positions[rows]).sum() / positive.sum())


def _weaker_negative(sequences: Sequence[Simulated], scores: NDArray[np.float64]) -> float:
    positions = [planted_positions(sequences, motif) for motif in OWN_TASK]
    rows = np.all([where.any(axis=1) for where in positions], axis=0)
    totals = [(scores * where).sum(axis=1)[rows] for where in positions]
    return float((np.min(totals, axis=0) < 0).mean())
