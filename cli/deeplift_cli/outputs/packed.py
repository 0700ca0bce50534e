"""Batches of scores in the form of the score file: wide arrays are compressed, chunk by chunk."""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.checksums import OrderedDigest
from deeplift_cli.outputs.columns import deflated
from deeplift_cli.outputs.datasets import NUMBERS, WIDE, ScoreLayout
from deeplift_cli.sequences.records import Region


@dataclass
class ScoredBatch:
    """Scores of N sequences of length L with R references.

    Parameters
    ----------
    regions : list of Region, [N]
        The places of the sequences.
    sequences : ndarray of int8, [N, 4, L]
        One-hot sequences in the order ACGT; all zero at an N.
    hypothetical : ndarray of float32, [N, 4, L]
        Hypothetical contributions.
    prediction, output : ndarray, [N]
        The model's own prediction, and the explained scalar.
    reference_output, completeness_error : ndarray, [N, R], or None
        The explained scalar at each reference, and the summation-to-delta error: the sum of contributions
        minus the difference of the explained scalar. Here and below, the value is None if the file has no
        such dataset.
    identical_references : ndarray of int, [N], or None
        The number of references that equal the sequence.
    rescored : ndarray of int, [N], or None
        The number of pairs that were scored again in float64.
    standard_error : ndarray, [N], or None
        The root mean square over positions of the standard error, over references, of the contributions.
    position_standard_error : ndarray, [N, L], or None
        The standard error of the observed base's contribution at each position.
    fold_sd : ndarray, [N, L], or None
        The sample standard deviation, over the folds of a cross-validation, of the observed base's
        contribution at each position.
    reference_correction : ndarray, [N], or None
        The sum of what a control variate added to the contributions.
    mutant_differences : ndarray, [N, 4, L], or None
        For in-silico mutagenesis, the explained scalar with each base at each position, less that of the
        sequence.
    """

    regions: list[Region]
    sequences: npt.NDArray[np.int8]
    hypothetical: npt.NDArray[np.floating[Any]]
    prediction: npt.NDArray[np.floating[Any]]
    output: npt.NDArray[np.floating[Any]]
    reference_output: npt.NDArray[np.floating[Any]] | None = None
    completeness_error: npt.NDArray[np.floating[Any]] | None = None
    identical_references: npt.NDArray[np.integer[Any]] | None = None
    rescored: npt.NDArray[np.integer[Any]] | None = None
    standard_error: npt.NDArray[np.floating[Any]] | None = None
    position_standard_error: npt.NDArray[np.floating[Any]] | None = None
    fold_sd: npt.NDArray[np.floating[Any]] | None = None
    reference_correction: npt.NDArray[np.floating[Any]] | None = None
    mutant_differences: npt.NDArray[np.floating[Any]] | None = None


@dataclass(frozen=True)
class PackedBatch:
    """A batch of scores that is ready to be stored.

    Attributes
    ----------
    regions : list of Region, [N]
    chunks : mapping of str to list of bytes
        The compressed chunks of each wide dataset; the last chunk is padded with zeros.
    numbers : mapping of str to ndarray [N, ...]
        The values of the other datasets, in the types of the file.
    """

    regions: list[Region]
    chunks: Mapping[str, list[bytes]]
    numbers: Mapping[str, npt.NDArray[Any]]


def wide_digests() -> dict[str, OrderedDigest]:
    """Return a new digest for each wide dataset."""
    return {name: OrderedDigest() for name in WIDE}


def pack(
    batch: ScoredBatch,
    layout: ScoreLayout,
    pool: Executor,
    digests: Mapping[str, OrderedDigest] | None = None,
) -> PackedBatch:
    """Compress a batch of at most K rows, on the threads of the pool.

    Parameters
    ----------
    batch : ScoredBatch
    layout : ScoreLayout
    pool : Executor
    digests : mapping of str to OrderedDigest, optional
        The digests of the wide datasets, to which the values of the batch are added.

    Raises
    ------
    ValueError
        If an array's shape does not fit the layout.
    """
    _check_shapes(batch, layout)
    observed = np.where(batch.sequences != 0, batch.hypothetical, 0)
    wide = zip(layout.wide.items(), (batch.sequences, batch.hypothetical, observed), strict=True)
    pending: dict[str, list[Future[bytes]]] = {}
    for (name, dtype), values in wide:
        digest = digests[name] if digests else None
        chunks = _chunks(values, layout.rows_per_chunk, dtype)
        firsts = range(0, len(values), layout.rows_per_chunk)
        pending[name] = [
            pool.submit(_deflated, chunk, len(values) - first, digest, digest.turn() if digest else 0)
            for chunk, first in zip(chunks, firsts, strict=True)
        ]
    numbers = {
        name: np.asarray(getattr(batch, NUMBERS[name]), dtype) for name, (_, dtype) in layout.numbers.items()
    }
    packed = {name: [future.result() for future in futures] for name, futures in pending.items()}
    return PackedBatch(batch.regions, packed, numbers)


def _deflated(chunk: npt.NDArray[Any], rows: int, digest: OrderedDigest | None, turn: int) -> bytes:
    if digest is not None:
        digest.put(turn, chunk[:rows])
    return deflated(chunk)


def _chunks(values: npt.NDArray[Any], rows: int, dtype: np.dtype[Any]) -> list[npt.NDArray[Any]]:
    """Return whole chunks; the last chunk is padded with zeros, as HDF5 does."""
    chunks = []
    for first in range(0, len(values), rows):
        chunk = np.zeros((rows, *values.shape[1:]), dtype)
        part = values[first : first + rows]
        chunk[: len(part)] = part
        chunks.append(chunk)
    return chunks


def _check_shapes(batch: ScoredBatch, layout: ScoreLayout) -> None:
    n = len(batch.regions)
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(("sequences", "hypothetical"), (n, 4, layout.length))
    expected |= {NUMBERS[name]: (n, *rest) for name, (rest, _) in layout.numbers.items()}
    for name, shape in expected.items():
        found = np.shape(getattr(batch, name))
        if found != shape:
            raise ValueError(f"{name} has the shape {found}, not {shape}")
    if n > layout.batch_size:
        raise ValueError(f"a batch has {n} rows, not at most {layout.batch_size}")
