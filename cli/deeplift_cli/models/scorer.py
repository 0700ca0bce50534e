"""Scoring of one batch of sequences in the tool's own layout, [N, 4, L] in the order ACGT."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.models import Layout
from deeplift_cli.models.further_inputs import FurtherInputs
from deeplift_cli.models.held_weights import HeldWeights
from deeplift_cli.sequences.encode import reverse_complement
from deeplift_core import Attribution, DeepLift
from deeplift_core.engine.targets import Target

Float = npt.NDArray[np.float32]
# The arrays of `Scores` with an axis of bases, [N, 4, L].
_OF_BASES = ("hypothetical", "mutant_differences")


@dataclass(frozen=True)
class Scores:
    """Outputs and contribution scores of N sequences with R references each.

    Attributes
    ----------
    hypothetical : array [N, 4, L]
    prediction, output : array [N]
    reference_output, completeness_error : array [N, R], or None
        None, here and below, for in-silico mutagenesis, which takes no references.
    rescored : array of int [N], or None
        Number of pairs that were scored again in float64.
    standard_error : array [N] or None
        The root mean square over positions of `position_standard_error`.
    position_standard_error : array [N, L] or None
        The standard error, over references, of each observed base's contribution; None for one reference.
    fold_sd : array [N, L] or None
        The sample standard deviation, over the folds of a cross-validation, of each observed base's
        contribution; None for one model.
    reference_correction : array [N] or None
        The sum of what a control variate added to the contributions; None without a control variate.
    mutant_differences : array [N, 4, L], or None
        For in-silico mutagenesis, the explained scalar with each base at each position, less that of the
        sequence; 0 where the sequence has no base.
    """

    hypothetical: npt.NDArray[Any]
    prediction: npt.NDArray[Any]
    output: npt.NDArray[Any]
    reference_output: npt.NDArray[Any] | None
    completeness_error: npt.NDArray[Any] | None
    rescored: npt.NDArray[Any] | None
    standard_error: npt.NDArray[Any] | None
    position_standard_error: npt.NDArray[Any] | None = None
    fold_sd: npt.NDArray[Any] | None = None
    reference_correction: npt.NDArray[Any] | None = None
    mutant_differences: npt.NDArray[Any] | None = None

    def rows(self, kept: Sequence[int]) -> "Scores":
        """Return scores with only these rows."""
        every: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        every |= {name: values[kept] for name, values in every.items() if values is not None}
        return Scores(**every)


def mean_of_strands(forward: Scores, turned: Scores) -> Scores:
    """Average the scores of two strands, of which the second are those of the reverse complements.

    Both strands have the same references, so that their errors may be fully correlated: the mean of the
    standard errors is an upper bound of the standard error of the mean scores.
    """
    every: dict[str, Any] = {}
    for item in fields(Scores):
        ours, theirs = getattr(forward, item.name), getattr(turned, item.name)
        if ours is None:
            every[item.name] = None
            continue
        if item.name in _OF_BASES:
            theirs = reverse_complement(theirs)
        elif item.name == "position_standard_error":
            theirs = theirs[:, ::-1]
        every[item.name] = ours + theirs if item.name == "rescored" else (ours + theirs) / 2
    every["standard_error"] = root_mean_square(every["position_standard_error"])
    return Scores(**every)


def as_tensor(one_hot: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor; reversed views of numpy have negative strides, which torch refuses."""
    return torch.from_numpy(np.ascontiguousarray(one_hot))


def root_mean_square(errors: npt.NDArray[Any] | None) -> npt.NDArray[np.float64] | None:
    """Return the root mean square [N] over positions of standard errors [N, L]; None for None."""
    if errors is None:
        return None
    found: npt.NDArray[np.float64] = np.sqrt((errors.astype(np.float64) ** 2).mean(axis=1))
    return found


class OnModel:
    """Runs an explainer on numpy arrays; what its kinds of scores have in common.

    Parameters
    ----------
    explainer : DeepLift
        An explainer that was recorded on a batch in the model's layout.
    layout : Layout
        The model's layout.
    rc_average : bool
        True to score the reverse complements, too, and to average all results over the two strands.
    weights : HeldWeights, optional
        Makes the explainer's second input, which a sequence and its references or mutants have in common.
    further : FurtherInputs, optional
        Holds the explainer's last inputs, which are constants of each sequence.
    """

    def __init__(
        self,
        explainer: DeepLift,
        layout: Layout,
        *,
        rc_average: bool,
        weights: HeldWeights | None = None,
        further: FurtherInputs | None = None,
    ) -> None:
        self._explainer = explainer
        self._layout = layout
        self._rc_average = rc_average
        self._weights = weights
        self._further = further

    def _of_records(self, records: Sequence[int] | npt.NDArray[np.integer[Any]]) -> tuple[torch.Tensor, ...]:
        """Return the values of further inputs for these records of the input."""
        return () if self._further is None else self._further.rows(records)

    def _shown(self, sequences: npt.NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return sequences [N, 4, L] as the model is shown them, and where these show it an N: bool [N, L].

        The second value is None if the model is shown zeros for N.
        """
        given = as_tensor(sequences)
        unknown = self._layout.unknown(given)
        return self._layout.to_model(given, unknown), unknown


class Scorer(OnModel):
    """Scores sequences against references by `deeplift_core.DeepLift`, on numpy arrays."""

    @property
    def rescoring_stopped(self) -> str:
        """The reason why pairs are no longer scored again in float64; "" while rescoring is on."""
        return self._explainer.rescoring_stopped

    def score(
        self,
        sequences: npt.NDArray[np.int8],
        references: Float,
        targets: Sequence[Target],
        records: Sequence[int] | npt.NDArray[np.integer[Any]],
        expected: Float | None = None,
    ) -> list[Scores]:
        """Score sequences for each target.

        Parameters
        ----------
        sequences : int8 array [N, 4, L]
        references : float32 array [N, R, 4, L] or [R, 4, L]
        targets : sequence of Target
        records : sequence of int, [N]
            The number of each sequence in the input file, by which further inputs have values.
        expected : float32 array [N, 4, L], optional
            The expectation of each sequence's references, as a control variate.
        """
        further = self._of_records(records)
        forward = self._one_strand(sequences, references, targets, further, expected)
        if not self._rc_average:
            return forward
        turned = self._one_strand(
            reverse_complement(sequences),
            reverse_complement(references),
            targets,
            further,
            None if expected is None else reverse_complement(expected),
        )
        return [mean_of_strands(*both) for both in zip(forward, turned, strict=True)]

    def score_each(
        self,
        sequences: npt.NDArray[np.int8],
        references: Float,
        targets: Sequence[Target],
        gaps: npt.NDArray[np.bool_],
    ) -> list[tuple[Scores, npt.NDArray[Any]]]:
        """Score as `score`, and also return what each observed base contributes against each reference.

        All sequences have the same values of further inputs.

        Parameters
        ----------
        sequences, references, targets
            The arguments of `score`.
        gaps : bool array [N, L]
            The positions at which the references of each sequence have no base; there the references get what
        the model is shown for N.
            All positions at which the sequence has no base are gaps, and perhaps others.

        Returns
        -------
        list of (Scores, array [N, R, L])
            One item for each target. A position without a base contributes 0. With `rc_average`, the array
            holds the mean over both strands. The scores have no standard errors.
        """
        forward = self._each_of_one_strand(sequences, references, targets, gaps)
        if not self._rc_average:
            return forward
        turned = self._each_of_one_strand(
            reverse_complement(sequences), reverse_complement(references), targets, gaps[:, ::-1]
        )
        return [
            (mean_of_strands(plus, minus), (each + other[..., ::-1]) / 2)
            for (plus, each), (minus, other) in zip(forward, turned, strict=True)
        ]

    def outputs(
        self, sequences: npt.NDArray[np.int8], targets: Sequence[Target]
    ) -> list[npt.NDArray[np.float64]]:
        """Return the explained scalar of sequences [N, 4, L] for each target, by forward passes alone: [N].

        All sequences have the same values of further inputs. With `rc_average`, this is the mean over both
        strands.
        """
        strands = [sequences, reverse_complement(sequences)] if self._rc_average else [sequences]
        found = []
        for strand in strands:
            x, _ = self._shown(strand)
            found.append([of.output.double().cpu().numpy() for of in self._explainer.outputs(x, targets)])
        return [np.mean(of_target, axis=0) for of_target in zip(*found, strict=True)]

    def _each_of_one_strand(
        self,
        sequences: npt.NDArray[Any],
        references: npt.NDArray[Any],
        targets: Sequence[Target],
        gaps: npt.NDArray[np.bool_],
    ) -> list[tuple[Scores, npt.NDArray[Any]]]:
        x, unknown = self._shown(sequences)
        r = self._references_shown(references, None if unknown is None else as_tensor(gaps))
        if unknown is not None:
            unknown = unknown.unsqueeze(1)  # as the results, whose second axis is that of references
        found = []
        for result in self._explainer.attribute_targets(x, r, targets, per_reference=True):
            scores = self._as_arrays(result, unknown)
            hypothetical = scores.hypothetical  # [N, R, 4, L]
            observed = np.where(sequences[:, None] != 0, hypothetical, 0).sum(2)
            # Standard errors, also of the mean over strands or models, come from the contributions returned.
            plain = replace(
                scores,
                hypothetical=hypothetical.mean(1),
                standard_error=None,
                position_standard_error=None,
            )
            found.append((plain, observed))
        return found

    def _one_strand(
        self,
        sequences: npt.NDArray[Any],
        references: npt.NDArray[Any],
        targets: Sequence[Target],
        further: tuple[torch.Tensor, ...],
        expected: Float | None,
    ) -> list[Scores]:
        x, unknown = self._shown(sequences)
        # Where a sequence has no base, its references have what the sequence has there.
        r = self._references_shown(references, unknown)
        e: Any = None if expected is None else self._layout.to_model(as_tensor(expected), unknown)
        if self._weights is None:
            given = (x, *further) if further else x
            results = self._explainer.attribute_targets(given, r, targets, expected_reference=e)
        else:
            weights = self._weights(x, *further)
            n_references = r.shape[1] if r.dim() > x.dim() else len(r)
            r = r if r.dim() > x.dim() else r.expand(len(x), *r.shape)
            both = weights.unsqueeze(1).expand(-1, n_references, -1)
            e = None if e is None else (e, weights)
            results = self._explainer.attribute_targets(
                (x, weights, *further), (r, both), targets, expected_reference=e
            )
        return [self._as_arrays(result, unknown) for result in results]

    def _references_shown(self, references: npt.NDArray[Any], unknown: torch.Tensor | None) -> torch.Tensor:
        """Return references as the model is shown them, with what stands for N where `unknown` [N, L] says.

        References [R, 4, L] that serve all sequences stay so where no sequence has an N.
        """
        against = as_tensor(references)
        if unknown is None or not bool(unknown.any()):
            return self._layout.to_model(against)
        each = against if against.dim() == 4 else against.expand(len(unknown), *against.shape)
        return self._layout.to_model(each, unknown.unsqueeze(1))

    def _as_arrays(self, result: Attribution, unknown: torch.Tensor | None) -> Scores:
        # With weights held there is a second input, whose contributions are 0.
        found, error = (
            value[0] if isinstance(value, tuple) else value
            for value in (result.hypothetical, result.position_standard_error)
        )
        assert isinstance(found, torch.Tensor)
        hypothetical = self._layout.from_model(found, unknown)
        tensors = {
            "hypothetical": hypothetical,
            "prediction": result.prediction,
            "output": result.output,
            "reference_output": result.reference_output,
            "completeness_error": result.completeness_error,
            "rescored": result.rescored.sum(1),
            "reference_correction": result.reference_correction,
            "position_standard_error": None if error is None else error.reshape(len(hypothetical), -1),
        }
        arrays: dict[str, Any] = {
            name: None if tensor is None else tensor.cpu().numpy() for name, tensor in tensors.items()
        }
        return Scores(standard_error=root_mean_square(arrays["position_standard_error"]), **arrays)
