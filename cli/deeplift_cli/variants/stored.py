"""The arrays of a finished batch: names, and the way from scores to arrays and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.models.scorer import Scores
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.variants.pieces import Piece
from deeplift_cli.variants.scoring import PairScores
from deeplift_cli.variants.variant_file import ALT, ALT_LEFT, MODELS, OF_VCF, REF

Array = npt.NDArray[Any]

_OF_ALLELE = (
    "hypothetical",
    "prediction",
    "output",
    "reference_output",
    "completeness_error",
    "rescored",
    "standard_error",
    "fold_sd",
)
# The datasets of a `VariantFile` and the fields of `PairScores` from which they come.
_OF_PAIR = {
    "difference/seq": "difference",
    "difference/allele": "allele",
    "difference/nearby": "nearby",
    "difference/standard_error": "difference_error",
    "difference/allele_standard_error": "allele_error",
    "difference/nearby_standard_error": "nearby_error",
}


def groups_of(n_windows: int) -> tuple[str, ...]:
    """Return the names of the alleles' groups for one window of ALT or two."""
    return (REF, ALT, ALT_LEFT)[: 1 + n_windows]


def as_arrays(
    scores: Sequence[PairScores], sequences: Mapping[str, Array], identical: Mapping[str, Array], dtype: str
) -> dict[str, Array]:
    """Return everything that the outputs need of a batch.

    Parameters
    ----------
    scores : sequence of PairScores
        For each target.
    sequences : mapping of str to int8 array [N, 4, L]
        The windows of each allele, by group.
    identical : mapping of str to int array [N]
        The number of references that equal each window, by group.
    dtype : str
        The type of the hypothetical contributions.
    """
    arrays = {f"sequences/{group}": array for group, array in sequences.items()}
    arrays |= {f"identical/{group}": array for group, array in identical.items()}
    for target, pair in enumerate(scores):
        for group, allele in zip(sequences, (pair.ref, *pair.alts), strict=True):
            arrays |= {
                f"{target}/{group}/{name}": values for name, values in _of_allele(allele, dtype).items()
            }
        of_pair = {name: getattr(pair, field) for name, field in _OF_PAIR.items()}
        arrays |= {f"{target}/{name}": values for name, values in of_pair.items() if values is not None}
        arrays[f"{target}/{MODELS}"] = pair.effects.T
    return arrays


def _of_allele(scores: Scores, dtype: str) -> dict[str, Array]:
    values = {name: getattr(scores, name) for name in _OF_ALLELE}
    values["hypothetical"] = scores.hypothetical.astype(dtype)
    return {name: array for name, array in values.items() if array is not None}


def scored_batch(piece: Piece, target: int, group: str) -> ScoredBatch:
    """Return the scores of one allele for one target, by its number."""
    named = {name: f"{target}/{group}/{name}" for name in _OF_ALLELE}
    values: dict[str, Any] = {name: piece[key] for name, key in named.items() if key in piece}
    return ScoredBatch(
        regions=list(piece.head.regions),
        sequences=piece[f"sequences/{group}"],
        identical_references=piece[f"identical/{group}"],
        **values,
    )


def numbers_of(piece: Piece, target: int) -> dict[str, Array]:
    """Return the numbers of a batch's pairs for one target, by the names of their datasets."""
    found = {name: piece[f"{target}/{name}"] for name in _OF_PAIR if f"{target}/{name}" in piece}
    effects = piece[f"{target}/{MODELS}"]  # [N, F]
    positions = np.array([variant.pos for variant in piece.head.variants], np.int64)
    found |= {"variants/pos": positions, "variants/effect": effects.mean(1)}
    return found | {MODELS: effects} if effects.shape[1] > 1 else found


def texts_of(piece: Piece) -> dict[str, list[str]]:
    """Return the columns of the VCF that are texts, by the names of their datasets."""
    return {
        f"variants/{name}": [getattr(variant, name) for variant in piece.head.variants]
        for name in OF_VCF
        if name != "pos"
    }


def completeness_of(piece: Piece, target: int, group: str) -> tuple[Array, Array, Array]:
    """Return summation-to-delta's errors, the outputs and the references' outputs of one allele."""
    error, output, at_references = (
        piece[f"{target}/{group}/{name}"] for name in ("completeness_error", "output", "reference_output")
    )
    return error, output, at_references
