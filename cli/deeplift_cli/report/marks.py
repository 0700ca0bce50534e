"""The seqlets of each listed region, which the page marks in an opened logo."""

import base64
import json
import zlib
from collections.abc import Collection, Mapping

from deeplift_cli.report.seqlets import SeqletTable, other_scores
from deeplift_cli.sequences.records import Region

# Of each row, the first position in the window and the length of each seqlet, one after the other.
Marks = dict[int, list[int]]


def marks_of(table: SeqletTable, regions: Mapping[int, Region]) -> Marks:
    """Find the seqlets of the regions that the page lists.

    Parameters
    ----------
    table : SeqletTable
    regions : mapping of int to Region
        The windows of the listed rows.

    Raises
    ------
    UserError
        If a seqlet lies outside the window of its row: the file is about other scores.
    """
    found: Marks = {}
    for line, row, start, end in table.places:
        region = regions.get(row)
        if region is None:
            continue
        if not region.start <= start < end <= region.end:
            raise other_scores(table.path, line, row)
        found.setdefault(row, []).extend((start - region.start, end - start))
    return found


def marks_text(marks: Marks, drawn: Collection[int]) -> str:
    """Return the marks of the rows that have a logo, as JSON by row, in raw deflate and base64."""
    text = json.dumps({row: marks[row] for row in drawn if row in marks}, separators=(",", ":"))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(deflate.compress(text.encode()) + deflate.flush()).decode()
