"""In-silico mutagenesis: each base of a sequence is replaced by each other base, and the model runs on it.

The hypothetical contribution of base b at position i is f(b at i) less the mean of f over the four bases at
i, where f is the explained scalar. The contribution of the observed base is therefore 3/4 of the usual score
of mutagenesis, which is f of the sequence less the mean of f over the three other bases. There are no
references, and contributions need not sum to any difference in output.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.models.scorer import Float, OnModel, Scores, mean_of_strands
from deeplift_cli.sequences.encode import reverse_complement
from deeplift_core.engine.targets import Target

# Bytes of the mutants that are made at a time. `DeepLift.outputs` prepares its forward pass at every call, so
# that calls should have many rows.
_BYTES_AT_ONCE = 64 << 20


class Mutagenesis(OnModel):
    """Computes mutagenesis scores of numpy arrays, for which the explainer's rule does not matter."""

    @property
    def rescoring_stopped(self) -> str:
        """Always "": no sequence is scored again in float64."""
        return ""

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
        sequences : array [N, 4, L]
        references, expected
            Arguments that are not used, since there are no references.
        targets : sequence of Target
        records : sequence of int, [N]
            The number of each sequence in the input file, by which further inputs have values.

        Returns
        -------
        list of Scores
            The scores without anything that belongs to references.
        """
        further = self._of_records(records)
        forward = self._one_strand(sequences, targets, further)
        if not self._rc_average:
            return forward
        turned = self._one_strand(reverse_complement(sequences), targets, further)
        return [mean_of_strands(*both) for both in zip(forward, turned, strict=True)]

    def outputs(
        self,
        changed: npt.NDArray[Any],
        sequences: npt.NDArray[np.int8],
        targets: Sequence[Target],
        records: Sequence[int] | npt.NDArray[np.integer[Any]],
    ) -> npt.NDArray[np.float64]:
        """Return the explained scalars of changed sequences, [targets, N].

        Parameters
        ----------
        changed : array [N, 4, L]
            Sequences, which may hold frequencies of bases.
        sequences : array [N, 4, L]
            The sequence that each was, to which held weights belong.
        targets : sequence of Target
        records : sequence of int, [N]
        """
        further = self._of_records(records)
        strands = [(changed, sequences)]
        if self._rc_average:
            strands.append((reverse_complement(changed), reverse_complement(sequences)))
        found = [self._run(rows, self._others(own, further), targets)[1] for rows, own in strands]
        mean: npt.NDArray[np.float64] = np.mean(found, axis=0)
        return mean

    def _others(
        self, sequences: npt.NDArray[np.int8], further: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """Return the explainer's inputs beside the sequences."""
        if self._weights is None:
            return further
        return (self._weights(self._shown(sequences)[0], *further), *further)

    def _one_strand(
        self,
        sequences: npt.NDArray[np.int8],
        targets: Sequence[Target],
        further: tuple[torch.Tensor, ...],
    ) -> list[Scores]:
        others = self._others(sequences, further)
        predictions, outputs = self._run(sequences, others, targets)
        kind = np.float64 if self._explainer.dtype == torch.float64 else np.float32
        differences = np.zeros((len(targets), *sequences.shape), kind)
        flat = differences.reshape(len(targets), -1)
        # A position without a base has no mutants.
        places = np.flatnonzero((sequences == 0) & sequences.any(axis=1, keepdims=True))
        for start in range(0, len(places), step := self._rows_at_once(sequences.shape[2])):
            part = places[start : start + step]
            rows, bases, positions = np.unravel_index(part, sequences.shape)
            mutants, each = sequences[rows], np.arange(len(part))
            mutants[each, :, positions] = 0
            mutants[each, bases, positions] = 1
            _, mutated = self._run(mutants, [tensor[rows] for tensor in others], targets)
            flat[:, part] = mutated - outputs[:, rows]
        found = zip(differences, predictions, outputs, strict=True)
        return [_scores(of_target, prediction, output) for of_target, prediction, output in found]

    def _run(
        self, sequences: npt.NDArray[Any], others: Sequence[torch.Tensor], targets: Sequence[Target]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return predictions and explained scalars of sequences, [targets, N] each."""
        x, _ = self._shown(sequences)
        found = self._explainer.outputs((x, *others) if others else x, targets)
        predictions = np.stack([one.prediction.double().cpu().numpy() for one in found])
        outputs = np.stack([one.output.double().cpu().numpy() for one in found])
        return predictions, outputs

    def _rows_at_once(self, length: int) -> int:
        """The number of mutants that are made at a time: whole batches of the explainer."""
        size = self._layout.channels * length * self._explainer.dtype.itemsize
        rows = self._explainer.batch_size
        return rows * max(1, _BYTES_AT_ONCE // (size * rows))


def _scores(differences: npt.NDArray[Any], prediction: npt.NDArray[Any], output: npt.NDArray[Any]) -> Scores:
    """Return the scores of N sequences by the differences [N, 4, L] of their mutants."""
    return Scores(
        hypothetical=differences - differences.mean(axis=1, keepdims=True),
        prediction=prediction,
        output=output,
        reference_output=None,
        completeness_error=None,
        rescored=None,
        standard_error=None,
        mutant_differences=differences,
    )
