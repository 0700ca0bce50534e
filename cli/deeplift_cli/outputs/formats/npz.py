"""Scores as NumPy arrays in a .npz archive, which is written while the score file is read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.registry import Export, OutputFormat

if TYPE_CHECKING:
    from deeplift_cli.outputs.read_batch import ReadBatch

# Names of arrays in the archive, and the datasets [N, 4, L] with their values.
_WIDE = {"raw_seq": "raw/seq", "shap_seq": "shap/seq", "projected_shap_seq": "projected_shap/seq"}
_TEXTS = ("chrom", "name", "strand")
_PLACES = ("start", "end")
_LEVEL = 1  # higher levels make scores hardly smaller, and take several times as long


def write(export: Export) -> None:
    """Write one array after the other; the memory does not grow with the score file."""
    rows, length = export.scores.n_rows, export.scores.layout.length
    longest = _longest_texts(export)
    with ZipFile(export.temporary, "w", ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for key, name in _WIDE.items():
            dtype = export.scores.layout.wide[name]
            parts = (batch.values(name) for batch in export.batches(name))
            _add(archive, key, (rows, 4, length), dtype, parts)
        for key in ("chrom", "start", "end", "name", "strand"):
            dtype = np.dtype(np.int64) if key in _PLACES else np.dtype(f"<U{longest[key]}")
            _add(archive, key, (rows,), dtype, _column(export, key, dtype))


def _longest_texts(export: Export) -> dict[str, int]:
    """Return the length of each column's longest text, which determines the type of its array."""
    longest = dict.fromkeys(_TEXTS, 1)
    for batch in export.batches():
        for key in _TEXTS:
            longest[key] = max(longest[key], *map(len, _texts(batch, key)))
    return longest


def _texts(batch: "ReadBatch", key: str) -> list[Any]:
    return [getattr(region, key) for region in batch.regions]


def _column(export: Export, key: str, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    for batch in export.batches():
        yield np.array(_texts(batch, key), dtype)


def _add(
    archive: ZipFile,
    key: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    parts: Iterator[npt.NDArray[Any]],
) -> None:
    """Write one member as `numpy.savez_compressed` does, part by part."""
    with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        for part in parts:
            member.write(np.ascontiguousarray(part, dtype).tobytes())


FORMAT = OutputFormat(
    "npz",
    "NumPy archive: raw_seq, shap_seq, projected_shap_seq, chrom, start, end, name, strand.",
    ".npz",
    write,
)
