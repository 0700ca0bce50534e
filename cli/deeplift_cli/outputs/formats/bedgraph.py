"""Per-base contributions as bedGraph: one line for each run of bases with equal values."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.along_genome import pieces
from deeplift_cli.outputs.overlaps import OPTION
from deeplift_cli.outputs.registry import Export, OutputFormat
from deeplift_cli.outputs.text_output import opened


def write(export: Export) -> None:
    """Write sorted, disjoint lines, which `bedGraphToBigWig` and `bedtools` accept.

    Each value has nine digits, which distinguish all numbers of float32.

    Raises
    ------
    UserError
        As `along_genome.pieces`, and for a chromosome with a space in its name, which a line cannot hold.
    """
    with opened(export.temporary, export.path) as file, pieces(export) as found:
        for chrom, start, values in found:
            if " " in chrom:
                raise UserError(
                    f"chromosome {chrom!r} has a space in its name, at which readers of bedGraph "
                    f"({export.path}) would cut the line; rename it and score again"
                )
            file.write("".join(_lines(chrom, start, values)).encode())


def _lines(chrom: str, start: int, values: npt.NDArray[np.float32]) -> Iterator[str]:
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for low, high, value in zip(edges, edges[1:], values[edges[:-1]].tolist(), strict=False):
        yield f"{chrom}\t{start + low}\t{start + high}\t{value:.9g}\n"


FORMAT = OutputFormat(
    "bedgraph",
    "bedGraph of the observed bases' contributions; gzip where the name ends in .gz.",
    ".bedGraph",
    write,
    (OPTION,),
    lengths="used",
)
