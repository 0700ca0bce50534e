"""Seqlets as BED with six standard columns and ten more."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

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
_LARGEST_SCORE = 1000  # that BED allows


def bed_lines(
    seqlets: Seqlets,
    letters: Sequence[str],
    regions: Sequence[Region],
    chrom_sizes: Mapping[str, int],
    names: Sequence[str] = (),
    matches: Matches | None = None,
) -> Iterator[str]:
    """Yield the lines of seqlets without the header, sorted by the bytes of the chromosome, start and end.

    Parameters
    ----------
    seqlets : Seqlets
    letters : sequence of str, [S]
        The letters of the seqlets.
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
    lines: list[tuple[bytes, int, int, str]] = []
    for place, row in enumerate(seqlets.row.tolist()):
        region = regions[row]
        low, high = region.start + int(seqlets.start[place]), region.start + int(seqlets.end[place])
        span = Region(region.chrom, low, high, region.name, ".", region.index)
        start, end = clipped(span, chrom_sizes.get(region.chrom))
        if start >= end:  # on padding alone
            continue
        name, strand, match = one_column(region.name), ".", [_NOTHING] * 3
        if matches is not None:
            motif, strand = int(matches.motif[place]), str(matches.strand[place])
            name = labels[motif]
            p_value, q_value = float(matches.p_value[place]), float(matches.q_value[place])
            match = [texts[motif], f"{p_value:.4g}", f"{q_value:.4g}"]
        columns = [
            one_column(region.chrom), str(start), str(end), name, str(_score(float(seqlets.p_value[place]))),
            strand, letters[place][start - low : end - low], one_column(region.name), str(row), region.strand,
            f"{float(seqlets.contribution[place]):.6g}", f"{float(means[place]):.6g}",
            f"{float(seqlets.p_value[place]):.4g}", *match,
        ]  # fmt: skip
        lines.append((region.chrom.encode("utf-8", "surrogateescape"), start, end, "\t".join(columns) + "\n"))
    yield from (line for *_, line in sorted(lines))


def _score(p_value: float) -> int:
    """Return BED's score: -10 log10 of the p-value, between 0 and 1000."""
    if p_value <= 0:
        return _LARGEST_SCORE
    return min(_LARGEST_SCORE, max(0, round(-10 * float(np.log10(p_value)))))
