"""Self-check: summation-to-delta on random sequences, scored as by `deeplift score`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import deeplift_references
from deeplift_cli.inspection.findings import SelfCheck
from deeplift_cli.models import Layout
from deeplift_cli.models.further_inputs import FurtherInputs
from deeplift_cli.models.held_weights import HeldWeights
from deeplift_cli.models.probing import one_hot
from deeplift_cli.models.scorer import Scorer
from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.run.summary import relative_completeness_error
from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import TOLERANCE
from deeplift_core.engine.targets import Target

REFERENCES = 3
_AT_LEAST = 4
_SEED = 1


@dataclass(frozen=True)
class Sample:
    """Random sequences [N, 4, L] and their dinucleotide shuffles [N, R, 4, L]; N is a multiple of K."""

    sequences: npt.NDArray[np.int8]
    references: npt.NDArray[np.float32]

    @classmethod
    def of(cls, batch_size: int, length: int) -> "Sample":
        """Return whole batches with at least a few sequences, which are the same in every call."""
        rows = batch_size * -(-_AT_LEAST // batch_size)
        sequences = one_hot(rows, length, seed=_SEED).numpy().astype(np.int8)
        shuffles = deeplift_references.make("dinucleotide", n_references=REFERENCES, seed=_SEED)
        return cls(sequences, shuffles(sequences))

    def records(self, further: FurtherInputs | None) -> list[int]:
        """Return a record for each sequence, whose values of further inputs the sequence gets."""
        n_records = 1 if further is None else further.n_records
        return [row % n_records for row in range(len(self.sequences))]


def check(
    explainer: DeepLift,
    layout: Layout,
    sample: Sample,
    rule: str,
    spec: TargetSpec,
    target: Target,
    weights: HeldWeights | None,
    further: FurtherInputs | None,
) -> SelfCheck:
    """Score the sample and compare sums of contributions with differences of the output."""
    scorer = Scorer(explainer, layout, rc_average=False, weights=weights, further=further)
    (scores,) = scorer.score(sample.sequences, sample.references, [target], sample.records(further))
    assert scores.completeness_error is not None
    assert scores.reference_output is not None
    errors = relative_completeness_error(scores.completeness_error, scores.output, scores.reference_output)
    return SelfCheck(
        rule,
        spec.stored,
        len(sample.sequences),
        sample.references.shape[1],
        worst_relative_error=float(errors.max()),  # NaN if an error is NaN
        tolerance=TOLERANCE[explainer.dtype],
        largest_difference=float(np.abs(scores.output[:, None] - scores.reference_output).max()),
    )
