"""Reader of the seqlets of a score file: counts for each motif, and the strongest seqlets."""

import heapq
import itertools
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.narrowpeak import one_column
from deeplift_cli.sequences.names import coordinate
from deeplift_cli.sequences.records import Region
from deeplift_cli.sequences.text import open_text, short_lines, shorten

_WHAT = "seqlets file"
_FIRST_LINE = 2  # the number of the line of the first seqlet, below the columns
# Columns of `deeplift seqlets`; the file may have others.
_TEXTS = ("chrom", "strand", "sequence", "motif")
_COUNTS = ("row", "start", "end")
_REALS = ("contribution", "p_value")
_Q_VALUE = "motif_q_value"
_NEEDED = (*_TEXTS, *_COUNTS, *_REALS, _Q_VALUE)
CERTAIN = 0.1  # the largest q-value of a match that counts
MOTIFS = 20  # motifs that are listed, those with the largest sum of absolute contributions
EXAMPLES = 3  # seqlets of each motif that are shown
TOP = 25  # seqlets of the whole file that are listed


@dataclass(frozen=True, slots=True)
class Seqlet:
    """One seqlet.

    Attributes
    ----------
    line : int
        The number of its line, from 1.
    row : int
        The row of the score file, from 0.
    chrom : str
    start, end : int
        The span on the genome, or in the record; 0-based and half-open.
    sequence : str
    contribution : float
        The sum of the contributions.
    p_value : float
    motif : str
        The best match; "" if the file has no motifs.
    strand : str
        The strand of the match.
    q_value : float
        The false discovery rate of the match; 1 without a match.
    """

    line: int
    row: int
    chrom: str
    start: int
    end: int
    sequence: str
    contribution: float
    p_value: float
    motif: str
    strand: str
    q_value: float


@dataclass
class Motif:
    """The seqlets that match one motif with a q-value of at most `CERTAIN`.

    Attributes
    ----------
    name : str
    count : int
    total, total_size : float
        The sums of their contributions, and of the absolute values.
    """

    name: str
    count: int = 0
    total: float = 0.0
    total_size: float = 0.0
    _best: list[tuple[float, int, Seqlet]] = field(default_factory=list)

    def add(self, seqlet: Seqlet) -> None:
        """Count a seqlet."""
        self.count += 1
        self.total += seqlet.contribution
        self.total_size += abs(seqlet.contribution)
        _keep(self._best, seqlet, EXAMPLES)

    @property
    def best(self) -> list[Seqlet]:
        """The seqlets of the largest absolute contributions, the largest first."""
        return _largest_first(self._best)


@dataclass(frozen=True)
class SeqletTable:
    """The content of a file of seqlets.

    Attributes
    ----------
    path : Path
    count, count_negative, count_matched : int
        Numbers of all seqlets, of those with negative contributions, and of those with a certain match.
    has_motifs : bool
        True if the seqlets were compared with motifs.
    n_motifs : int
        Number of motifs that a seqlet matches with certainty.
    motifs : list of Motif
        The motifs, at most `MOTIFS`, ordered by the sum of the absolute contributions.
    top : list of Seqlet
        The seqlets, at most `TOP`, ordered by absolute contribution.
    rows, starts, ends : array of int
        The row, the start and the end of each seqlet, in the order of the file.
    """

    path: Path
    count: int
    count_negative: int
    count_matched: int
    has_motifs: bool
    n_motifs: int
    motifs: list[Motif]
    top: list[Seqlet]
    rows: "array[int]"
    starts: "array[int]"
    ends: "array[int]"

    @property
    def places(self) -> Iterator[tuple[int, int, int, int]]:
        """The line, the row, the start and the end of every seqlet."""
        return zip(itertools.count(_FIRST_LINE), self.rows, self.starts, self.ends)

    @property
    def shown(self) -> list[Seqlet]:
        """All seqlets that the page shows."""
        return [*self.top, *(seqlet for motif in self.motifs for seqlet in motif.best)]


def read_seqlets(path: Path) -> SeqletTable:
    """Read a file of `deeplift seqlets`, plain or gzip.

    Of every seqlet only the place is kept, in 24 bytes; of some, everything.

    Raises
    ------
    UserError
        If the file cannot be read, or is not of `deeplift seqlets`; with the line's number, if a line cannot
        be parsed.
    """
    count = count_negative = count_matched = 0
    has_motifs = False
    motifs: dict[str, Motif] = {}
    top: list[tuple[float, int, Seqlet]] = []
    rows, starts, ends = array("q"), array("q"), array("q")
    for seqlet in _lines(path):
        count += 1
        rows.append(seqlet.row)
        starts.append(seqlet.start)
        ends.append(seqlet.end)
        count_negative += seqlet.contribution < 0
        has_motifs = has_motifs or bool(seqlet.motif)
        _keep(top, seqlet, TOP)
        if seqlet.motif and seqlet.q_value <= CERTAIN:
            count_matched += 1
            motifs.setdefault(seqlet.motif, Motif(seqlet.motif)).add(seqlet)
    ordered = sorted(motifs.values(), key=lambda motif: (-motif.total_size, motif.name))
    return SeqletTable(
        path, count, count_negative, count_matched, has_motifs, len(ordered), ordered[:MOTIFS],
        _largest_first(top), rows, starts, ends,
    )  # fmt: skip


def check_regions(table: SeqletTable, regions: Mapping[int, Region]) -> None:
    """Check that the seqlets that the page shows lie in the windows of their rows.

    Parameters
    ----------
    table : SeqletTable
    regions : mapping of int to Region
        The windows of the rows of all these seqlets.

    Raises
    ------
    UserError
        If a seqlet does not: the file is about other scores.
    """
    for seqlet in table.shown:
        region = regions[seqlet.row]
        is_inside = region.start <= seqlet.start < seqlet.end <= region.end
        if one_column(region.chrom) != seqlet.chrom or not is_inside:
            raise other_scores(table.path, seqlet.line, seqlet.row)


def other_scores(path: Path, line: int, row: int) -> UserError:
    """Return the error about a line whose seqlet has no place in the score file."""
    return UserError(
        f"{_WHAT} {path}, line {line} does not fit row {row:,} of the score file; give the "
        "seqlets of these scores (deeplift seqlets)"
    )


def _keep(best: list[tuple[float, int, Seqlet]], seqlet: Seqlet, most: int) -> None:
    """Put a seqlet into a heap of the largest; of equal seqlets the first of the file is kept."""
    entry = (abs(seqlet.contribution), -seqlet.line, seqlet)
    if len(best) < most:
        heapq.heappush(best, entry)
    else:
        heapq.heappushpop(best, entry)


def _largest_first(best: list[tuple[float, int, Seqlet]]) -> list[Seqlet]:
    return [seqlet for _, _, seqlet in sorted(best, reverse=True)]


def _lines(path: Path) -> Iterator[Seqlet]:
    places: dict[str, int] | None = None
    with open_text(path, _WHAT) as file:
        for number, line in short_lines(file, f"{_WHAT} {path}"):
            columns = line.rstrip("\n").split("\t")
            if places is None:
                names = [name.lstrip("#") for name in columns]
                missing = [name for name in _NEEDED if name not in names]
                if missing or not line.startswith("#"):
                    raise UserError(
                        f"{_WHAT} {path} does not begin with the columns of deeplift seqlets (missing: "
                        f"{', '.join(missing) or '#'}); give a file of that command"
                    )
                places = {name: names.index(name) for name in _NEEDED}
                width = len(names)
            elif len(columns) != width:
                raise UserError(
                    f"{_WHAT} {path}, line {number} has {len(columns)} column(s); the first line has {width}"
                )
            else:
                yield _parsed({name: columns[place] for name, place in places.items()}, number, path)


def _parsed(columns: Mapping[str, str], number: int, path: Path) -> Seqlet:
    row, start, end = (_count(columns[name], name, number, path) for name in _COUNTS)
    contribution, p_value = (_real(columns[name], name, number, path) for name in _REALS)
    motif = "" if columns["motif"] == "." else columns["motif"]
    return Seqlet(
        line=number,
        row=row,
        chrom=columns["chrom"],
        start=start,
        end=end,
        sequence=columns["sequence"],
        contribution=contribution,
        p_value=p_value,
        motif=motif,
        strand=columns["strand"],
        q_value=_real(columns[_Q_VALUE], _Q_VALUE, number, path) if motif else 1.0,
    )


def _count(text: str, name: str, number: int, path: Path) -> int:
    found = coordinate(text) if text.isascii() and text.isdecimal() else None
    if found is None:
        raise UserError(f"{_WHAT} {path}, line {number}: {name} is {shorten(text)}, not a whole number")
    return found


def _real(text: str, name: str, number: int, path: Path) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not abs(found) < float("inf"):
        raise UserError(f"{_WHAT} {path}, line {number}: {name} is {shorten(text)}, not a finite number")
    return found
