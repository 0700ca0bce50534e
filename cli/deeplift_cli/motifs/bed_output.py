"""Seqlets as BED with six standard columns and ten more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deeplift_cli.motifs.matches import Matches
from deeplift_cli.motifs.seqlets import Seqlets
from deeplift_cli.outputs.chrom_sizes import clipped
from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.sequences.records import Region

# Browsers take columns 7 to 12 for a thick part, a colour and exons if these look like that. igv.js and
# IGV stop at the letters in column 7, and JBrowse at the sign in column 10, where exons would have a count.
COLUMNS = (
    "chrom", "start", "end", "name", "score", "strand", "sequence", "record", "row", "record_strand",
    "contribution", "mean", "p_value", "motif", "motif_p_value", "motif_q_value",
)  # fmt: skip
HEADER = "#" + "\t".join(COLUMNS) + "\n"
_NOTHING = "."
_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_LARGEST_SCORE = 1000  # that BED allows


def bed_lines(
    seqlets: Seqlets,
    bases: npt.NDArray[np.int8],
    regions: Sequence[Region],
    chrom_sizes: Mapping[str, int],
    names: Sequence[str] = (),
    matches: Matches | None = None,
) -> Iterator[str]:
    """Yield the lines of seqlets without the header, sorted by the bytes of the chromosome, start and end.

    Parameters
    ----------
    seqlets : Seqlets
    bases : ndarray of int8, [N, L]
        The sequences: 0 to 3 for A, C, G and T, 4 where there is no base.
    regions : sequence of Region, [N]
        The windows of the rows.
    chrom_sizes : mapping of str to int
        Lengths of chromosomes in bp, where they are known. Flanks on padding beyond the ends are cut off.
    names : sequence of str
        The motifs' names.
    matches : Matches, optional
        The best match of each seqlet.

    Yields
    ------
    str
        A line with its end.
    """
    texts = [one_column(name) for name in names]
    labels = ["_".join(text.split()) for text in texts]  # UCSC's browser would cut a name at a space
    means = seqlets.mean
    for place in _order(seqlets, regions).tolist():
        row, low, high = (int(column[place]) for column in (seqlets.row, seqlets.start, seqlets.end))
        region = regions[row]
        span = replace(region, start=region.start + low, end=region.start + high)
        start, end = clipped(span, chrom_sizes.get(region.chrom))
        if start >= end:  # on padding alone
            continue
        record, p_value = one_column(region.name), float(seqlets.p_value[place])
        name, strand, match = record, ".", [_NOTHING] * 3
        if matches is not None:
            motif, strand = int(matches.motif[place]), str(matches.strand[place])
            name = labels[motif]
            match = [texts[motif], f"{matches.p_value[place]:.4g}", f"{matches.q_value[place]:.4g}"]
        letters = _LETTERS[bases[row, start - region.start : end - region.start]].tobytes().decode()
        columns = [
            one_column(region.chrom), str(start), str(end), name, str(_score(p_value)), strand, letters,
            record, str(row), region.strand, f"{seqlets.contribution[place]:.6g}", f"{means[place]:.6g}",
            f"{p_value:.4g}", *match,
        ]  # fmt: skip
        yield "\t".join(columns) + "\n"


def _order(seqlets: Seqlets, regions: Sequence[Region]) -> npt.NDArray[np.int64]:
    """Return the places of the seqlets in the order of the genome."""
    chroms = sorted({region.chrom.encode("utf-8", "surrogateescape") for region in regions})
    ranks = {chrom.decode("utf-8", "surrogateescape"): rank for rank, chrom in enumerate(chroms)}
    chrom = np.array([ranks[region.chrom] for region in regions], np.int64)[seqlets.row]
    begin = np.array([region.start for region in regions], np.int64)[seqlets.row]
    # Every seqlet that is cut off at the beginning of a chromosome begins at 0.
    return np.lexsort((begin + seqlets.end, np.maximum(begin + seqlets.start, 0), chrom))


def _score(p_value: float) -> int:
    """Return BED's score: -10 log10 of the p-value, between 0 and 1000."""
    if p_value <= 0:
        return _LARGEST_SCORE
    return min(_LARGEST_SCORE, max(0, round(-10 * float(np.log10(p_value)))))
