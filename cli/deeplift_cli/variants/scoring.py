"""Scores of both alleles against the same references, by one model or by the mean of several."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.models.explainer import Explained, model_errors
from deeplift_cli.models.fold_mean import mean_of_scores, models_of
from deeplift_cli.models.scorer import Scorer, Scores, root_mean_square
from deeplift_cli.process.steps import step
from deeplift_cli.variants.source import PairBatch
from deeplift_cli.variants.windows import Alignment, Window

Array = npt.NDArray[Any]

# Contributions are also summed over this many bp on each side of the variant, the width of a motif or two.
NEARBY = 10


@dataclass(frozen=True)
class PairScores:
    """Scores of N variants with R references each, for one target; with several models their mean.

    Attributes
    ----------
    ref : Scores
    alts : list of Scores
        One for each of the windows of ALT.
    effects : float64 array [F, N]
        f(ALT) - f(REF) of each of the F models, the mean over the windows of ALT.
    difference : array [N, L]
        Contribution in ALT less contribution in REF, at the positions of REF's window.
    allele, nearby : array [N]
        The sum of the difference over the REF allele, and over the allele and `NEARBY` bp on each side.
    difference_error, allele_error, nearby_error : array [N, L], [N] and [N], or None
        The standard errors of these over references; None for one reference.
    """

    ref: Scores
    alts: list[Scores]
    effects: Array
    difference: Array
    allele: Array
    nearby: Array
    difference_error: Array | None
    allele_error: Array | None
    nearby_error: Array | None

    def rows(self, kept: Sequence[int]) -> "PairScores":
        """Return scores with only these rows."""
        rest: dict[str, Any] = {
            item.name: None if (values := getattr(self, item.name)) is None else values[kept]
            for item in fields(self)
            if item.name not in ("ref", "alts", "effects")
        }
        return PairScores(
            self.ref.rows(kept), [alt.rows(kept) for alt in self.alts], self.effects[:, kept], **rest
        )


@dataclass(frozen=True)
class _Allele:
    """Scores of one window of N variants, and the contribution [N, R, L] against each reference."""

    scores: Scores
    each: Array


class PairScorer:
    """Scores pairs with one model or with several, the folds of a cross-validation.

    Parameters
    ----------
    explained : Explained
        The model, or all models.
    """

    def __init__(self, explained: Explained) -> None:
        self._explained = explained
        self._models = models_of(explained)
        self._n_targets = len(explained.targets.specs)

    @property
    def n_models(self) -> int:
        """The number of models."""
        return len(self._models)

    @property
    def rescoring_stopped(self) -> str:
        """Why pairs are no longer scored again in float64 by one of the models; "" while rescoring is on."""
        return self._explained.rescoring_stopped

    def score(self, batch: PairBatch, references: npt.NDArray[np.float32]) -> list[PairScores]:
        """Score a batch for each target.

        Parameters
        ----------
        batch : PairBatch
        references : float32 array [N, R, 4, L], or [R, 4, L] for all variants
            The references of both alleles.
        """
        gaps = batch.gaps
        alleles = [self._allele(batch.sequences, references, gaps)]
        for alt in batch.alts:
            # With the fill `both` the second window differs from the first for insertions and deletions only.
            same = len(alleles) > 1 and np.array_equal(alt, batch.alts[0])
            alleles.append(alleles[1] if same else self._allele(alt, references, gaps))
        return [
            _pair_scores(batch, [[allele[place] for allele in by_fold] for by_fold in alleles])
            for place in range(self._n_targets)
        ]

    def outputs(self, sequences: npt.NDArray[np.int8]) -> list[Array]:
        """Return the mean over the models of the explained scalar for each target: [N] each."""
        found = []
        for model in self._models:
            with step("scoring a batch", model.options.model), model_errors(model.options, model.memory):
                assert isinstance(model.scorer, Scorer)
                found.append(model.scorer.outputs(sequences, model.targets.for_core))
        return [np.mean(by_model, axis=0) for by_model in zip(*found, strict=True)]

    def _allele(
        self,
        sequences: npt.NDArray[np.int8],
        references: npt.NDArray[np.float32],
        gaps: npt.NDArray[np.bool_],
    ) -> list[list[_Allele]]:
        """Score one window of all variants with each model: a list by model of lists by target."""
        found = []
        for model in self._models:
            with step("scoring a batch", model.options.model), model_errors(model.options, model.memory):
                assert isinstance(model.scorer, Scorer)
                results = model.scorer.score_each(sequences, references, model.targets.for_core, gaps)
            found.append([_Allele(*result) for result in results])
        return found


def _pair_scores(batch: PairBatch, alleles: Sequence[Sequence[_Allele]]) -> PairScores:
    """Compare the alleles for one target.

    Parameters
    ----------
    batch : PairBatch
    alleles : sequence of sequence of _Allele
        REF and the windows of ALT, each by model.
    """
    outputs = np.array([[fold.scores.output for fold in allele] for allele in alleles], np.float64)
    windows = (batch.sequences, *batch.alts)
    ref, *alts = [_mean(*both) for both in zip(windows, alleles, strict=True)]
    differences = [
        _difference([pair.windows[place] for pair in batch.pairs], ref.each, alt.each)
        for place, alt in enumerate(alts)
    ]
    each = np.mean(differences, axis=0)  # [N, R, L]
    allele, nearby = _sums(batch, each)
    return PairScores(
        _with_error(ref),
        [_with_error(alt) for alt in alts],
        outputs[1:].mean(0) - outputs[0],
        each.mean(1),
        allele.mean(1),
        nearby.mean(1),
        standard_error(each),
        standard_error(allele),
        standard_error(nearby),
    )


def _mean(sequences: npt.NDArray[np.int8], folds: Sequence[_Allele]) -> _Allele:
    """Average the scores of several models, which have the same references."""
    if len(folds) == 1:
        return folds[0]
    scores = mean_of_scores(sequences, [fold.scores for fold in folds])
    return _Allele(scores, np.mean([fold.each for fold in folds], axis=0))


def _with_error(allele: _Allele) -> Scores:
    return replace(allele.scores, standard_error=root_mean_square(standard_error(allele.each)))


def _difference(windows: Sequence[Window], ref: Array, alt: Array) -> Array:
    """Return contributions in ALT, at the positions of REF, less those in REF: [N, R, L]."""
    found = np.empty_like(ref)
    for row, window in enumerate(windows):
        aligned = alt[row] if window.gained == 0 else Alignment.of(window).aligned(alt[row])
        np.subtract(aligned, ref[row], out=found[row])
    return found


def _sums(batch: PairBatch, each: Array) -> tuple[Array, Array]:
    """Return the sums of differences [N, R, L] over the allele, and over its surroundings: [N, R] each."""
    allele, nearby = np.empty((2, *each.shape[:2]))
    for row, pair in enumerate(batch.pairs):
        window = pair.windows[0]
        end = window.at + len(window.ref)
        allele[row] = each[row, :, window.at : end].sum(1)
        nearby[row] = each[row, :, max(window.at - NEARBY, 0) : end + NEARBY].sum(1)
    return allele, nearby


def standard_error(values: Array) -> Array | None:
    """Return the standard error of the mean over references of values [N, R, ...]; None for one reference.

    This is the sample standard deviation (with R - 1) over the root of R.
    """
    count = values.shape[1]
    if count < 2:
        return None
    found: Array = values.std(1, ddof=1) / np.sqrt(count)
    return found
