"""Regions of BED files as the text that a browser reads."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from deeplift_cli.browser.windows import Window
from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.sequences.bed import BedLine, read_bed
from deeplift_cli.sequences.text import columns_of, open_text, short_lines

_SCORE = re.compile(r"\d+(\.\d*)?([eE][-+]?\d+)?", re.ASCII)
_COLOUR = re.compile(r"\d{1,3},\d{1,3},\d{1,3}", re.ASCII)


def windows_as_bed(windows: Iterable[Window]) -> bytes:
    """Return windows as BED4, sorted by chromosome and start."""
    ordered = sorted(windows, key=lambda window: (window.chrom, window.start, window.end))
    return "".join(
        f"{window.chrom}\t{window.start}\t{window.end}\t{one_column(window.name)}\n" for window in ordered
    ).encode()


def read_annotations(path: Path, sizes: Mapping[str, int]) -> tuple[bytes, int]:
    """Read a BED file of any number of columns as BED6, or as BED9 where a line has a colour.

    Columns 7 and later mean different things in different files (narrowPeak, seqlets with p-values, BED12),
    and browsers take them for those of BED12. Of these columns only a colour is therefore kept.

    Parameters
    ----------
    path : Path
        The file, plain or gzip.
    sizes : mapping of str to int
        Length of each chromosome of the genome in bp.

    Returns
    -------
    text : bytes
        UTF-8, sorted by chromosome and start.
    n_skipped : int
        The number of lines that have no place on the genome, or a name that no file can hold.

    Raises
    ------
    UserError
        If the file does not parse.
    """
    usable, skipped = dict[int, BedLine](), 0
    for line in read_bed(path, may_be_empty=True):
        if line.fault is None and 0 <= line.start < line.end <= sizes.get(line.chrom, 0):
            usable[line.line] = line
        else:
            skipped += 1
    rows = list[tuple[str, int, int, str]]()
    with open_text(path, "BED file") as file:
        for number, text in short_lines(file, f"BED file {path}"):
            if number in usable:
                region = usable[number]
                rows.append((region.chrom, region.start, region.end, _rest(region, columns_of(text))))
    return "".join(f"{c}\t{s}\t{e}\t{rest}\n" for c, s, e, rest in sorted(rows)).encode(), skipped


def _rest(region: BedLine, columns: list[str]) -> str:
    """Return the columns of a line from the name on."""
    score = columns[4] if len(columns) > 4 and _SCORE.fullmatch(columns[4]) else "0"
    rest = f"{one_column(region.name)}\t{score}\t{region.strand}"
    if len(columns) > 8 and _COLOUR.fullmatch(columns[8]):
        rest += f"\t{region.start}\t{region.end}\t{columns[8]}"
    return rest
