"""Scoring of one batch of sequences in the tool's own layout, [N, 4, L] in the order ACGT."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
    every["standard_error"] = _root_mean_square(every["position_standard_error"])
    return Scores(**every)


def as_tensor(one_hot: npt.NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor; reversed views of numpy have negative strides, which torch refuses."""
    return torch.from_numpy(np.ascontiguousarray(one_hot))


def _root_mean_square(errors: npt.NDArray[Any] | None) -> npt.NDArray[np.float64] | None:
    """Return the root mean square [N] over positions of standard errors [N, L]; None for None."""
    if errors is None:
        return None
    found: npt.NDArray[np.float64] = np.sqrt((errors.astype(np.float64) ** 2).mean(axis=1))
    return found


class Scorer:
    """Runs `deeplift_core.DeepLift` on numpy arrays.

    Parameters
    ----------
    explainer : DeepLift
        An explainer that was recorded on a batch in the model's layout.
    layout : Layout
        The model's layout.
    rc_average : bool
        True to score the reverse complements of sequences and references, too, and to average all results
        over the two strands.
    weights : HeldWeights, optional
        Makes the explainer's second input, which a sequence and its references have in common.
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
    ) -> list[Scores]:
        """Score sequences for each target.

        Parameters
        ----------
        sequences : array [N, 4, L]
        references : array [N, R, 4, L] or [R, 4, L]
        targets : sequence of Target
        records : sequence of int, [N]
            The number of each sequence in the input file, by which further inputs have values.
        """
        further = () if self._further is None else self._further.rows(records)
        forward = self._one_strand(sequences, references, targets, further)
        if not self._rc_average:
            return forward
        turned = self._one_strand(
            reverse_complement(sequences), reverse_complement(references), targets, further
        )
        return [mean_of_strands(*both) for both in zip(forward, turned, strict=True)]

    def _one_strand(
        self,
        sequences: npt.NDArray[Any],
        references: npt.NDArray[Any],
        targets: Sequence[Target],
        further: tuple[torch.Tensor, ...],
    ) -> list[Scores]:
        given, against = as_tensor(sequences), as_tensor(references)
        unknown = self._layout.unknown(given)
        if unknown is not None and bool(unknown.any()):
            # References have at these positions what their sequence has, so that each needs its own.
            against = against if against.dim() > given.dim() else against.expand(len(given), *against.shape)
            r = self._layout.to_model(against, unknown.unsqueeze(1))
        else:
            r = self._layout.to_model(against)
        x = self._layout.to_model(given, unknown)
        if self._weights is None:
            results = self._explainer.attribute_targets((x, *further) if further else x, r, targets)
        else:
            weights = self._weights(x, *further)
            n_references = r.shape[1] if r.dim() > x.dim() else len(r)
            r = r if r.dim() > x.dim() else r.expand(len(x), *r.shape)
            both = weights.unsqueeze(1).expand(-1, n_references, -1)
            results = self._explainer.attribute_targets((x, weights, *further), (r, both), targets)
        return [self._as_arrays(result, unknown) for result in results]

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
            "position_standard_error": None if error is None else error.reshape(len(hypothetical), -1),
        }
        arrays: dict[str, Any] = {
            name: None if tensor is None else tensor.cpu().numpy() for name, tensor in tensors.items()
        }
        return Scores(standard_error=_root_mean_square(arrays["position_standard_error"]), **arrays)
