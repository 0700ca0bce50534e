"""The table of effects, one line for each variant, tab-separated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.variants.vcf import Variant

Column = npt.NDArray[Any] | Sequence[str]


class EffectsTable:
    """Writes the table; a context manager.

    The first columns are ``chrom pos id ref alt ref_output alt_output effect``; further ones are named by the
    first batch.

    Parameters
    ----------
    path : Path
        The file to write, which does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="\n")
        self._headed = False

    def append(self, variants: Sequence[Variant], columns: Mapping[str, Column]) -> None:
        """Add variants.

        Parameters
        ----------
        variants : sequence of Variant, [N]
        columns : mapping of str to array or sequence of str, [N]
            The columns after those of the VCF, by name; numbers get 9 digits.
        """
        if not self._headed:
            self._file.write("\t".join(["chrom", "pos", "id", "ref", "alt", *columns]) + "\n")
            self._headed = True
        texts = [_texts(values) for values in columns.values()]
        for row, variant in enumerate(variants):
            own = [one_column(text) for text in (variant.chrom, str(variant.pos), variant.id)]
            cells = [*own, variant.ref, variant.alt, *(column[row] for column in texts)]
            self._file.write("\t".join(cells) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _texts(values: Column) -> list[str]:
    if isinstance(values, np.ndarray):
        return [f"{value:.9g}" for value in values.tolist()]
    return list(values)
