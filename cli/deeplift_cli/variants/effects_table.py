"""The table of effects, one line for each variant, tab-separated; it holds what the HDF5 file holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.variants.p_values import BackgroundEffects
from deeplift_cli.variants.variant_file import (
    MOTIF_NUMBERS,
    MOTIF_TEXTS,
    OF_VCF,
    REF,
    VariantLayout,
    VariantRows,
)

Column = npt.NDArray[Any] | Sequence[str]

_NONE = "."
_MOTIFS = tuple(name.partition("/")[2] for name in (*MOTIF_TEXTS, *MOTIF_NUMBERS))


class EffectsTable:
    """Writes the table; a context manager.

    Parameters
    ----------
    path : Path
        The file to write, which does not exist.
    final : Path
        The final name, for messages.
    layout : VariantLayout
        What is known of each variant, which decides the columns.
    background : BackgroundEffects or None
        The effects of all background variants, for the column of p-values.

    Raises
    ------
    UserError
        If the file cannot be written.
    """

    def __init__(
        self, path: Path, final: Path, layout: VariantLayout, background: BackgroundEffects | None
    ) -> None:
        self._path = path
        self._final = final
        self._layout = layout
        self._background = background

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("x", encoding="utf-8", newline="\n")
            self._file.write("\t".join(self._columns(self._layout.no_rows())) + "\n")
        except OSError as error:
            raise not_written(self._final, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as failure:
            raise not_written(self._final, failure) from failure

    def append(self, rows: VariantRows) -> None:
        """Add variants, a line for each.

        Raises
        ------
        UserError
            If the disc is full.
        """
        columns = [_texts(name, values) for name, values in self._columns(rows).items()]
        try:
            self._file.writelines("\t".join(cells) + "\n" for cells in zip(*columns, strict=True))
        except OSError as error:
            raise not_written(self._final, error) from error

    def _columns(self, rows: VariantRows) -> dict[str, Column]:
        """Return all columns, in order, by their names in the heading."""
        numbers = rows.numbers
        of_vcf = rows.texts | {"variants/pos": [str(pos) for pos in numbers["variants/pos"].tolist()]}
        columns: dict[str, Column] = {
            name: [one_column(text) for text in of_vcf[f"variants/{name}"]] for name in OF_VCF
        }
        outputs = {name: batch.numbers["qc/output"] for name, batch in rows.alleles.items()}
        effect = numbers["variants/effect"]
        columns |= {
            "ref_output": outputs[REF],
            "alt_output": np.mean([found for name, found in outputs.items() if name != REF], axis=0),
            "effect": effect,
        }
        if "variants/effect_of_models" in numbers:
            columns["effect_fold_sd"] = numbers["variants/effect_of_models"].std(1, ddof=1)
        if self._background is not None:
            columns["background_p"] = self._background.p_values(effect)
        for name in ("allele", "nearby"):
            columns[f"{name}_difference"] = numbers[f"difference/{name}"]
            error = numbers.get(f"difference/{name}_standard_error")
            if error is not None:
                columns[f"{name}_difference_se"] = error
        if self._layout.motifs:
            stored: Mapping[str, Column] = {**rows.texts, **numbers}
            columns |= {name: stored[f"variants/{name}"] for name in _MOTIFS}
        return columns


def _texts(name: str, values: Column) -> Sequence[str]:
    """Return the cells of a column: numbers with 9 digits, scores of motifs with 4, a dot for none."""
    if not isinstance(values, np.ndarray):
        return values
    if name in _MOTIFS:
        return [_NONE if np.isnan(value) else f"{value:.4g}" for value in values.tolist()]
    return [f"{value:.9g}" for value in values.tolist()]
