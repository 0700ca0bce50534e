"""`deeplift report`: reads a score file and writes its page."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.publish import Publication, check_writable
from deeplift_cli.outputs.score_reader import ScoreReader, probed
from deeplift_cli.process.steps import step
from deeplift_cli.process.terminal_text import printable
from deeplift_cli.report.content import Report
from deeplift_cli.report.contributions import read_contributions
from deeplift_cli.report.listing import choose, priorities
from deeplift_cli.report.marks import Marks, marks_of
from deeplift_cli.report.numbers import read_numbers
from deeplift_cli.report.page import page
from deeplift_cli.report.quality import assess
from deeplift_cli.report.seqlets import SeqletTable, check_regions, other_scores, read_seqlets
from deeplift_cli.report.trust import CheckTable, read_check

LARGEST_PAGE = 20_000_000  # bytes
_SPARE = 50_000  # bytes for what changes when logos are left out


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of `deeplift report`, named as on the command line."""

    scores: Path
    out: Path
    seqlets: Path | None = None
    check: Path | None = None
    title: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Written:
    """What a page holds: numbers of all regions, of listed regions and of logos, and its bytes."""

    regions: int
    listed: int
    logos: int
    size: int


def report(options: ReportOptions, progress: Callable[[int, int], None]) -> Written:
    """Write the page of a score file; the file appears whole or not at all.

    Parameters
    ----------
    options : ReportOptions
    progress : callable
        Takes the numbers of rows that are read, and of all rows.

    Raises
    ------
    UserError
        If the output exists or cannot be written, an input cannot be read, is damaged or has another format,
        or the seqlets are not those of the score file.
    """
    inputs = [path for path in (options.scores, options.seqlets, options.check) if path is not None]
    check_writable([options.out], options.overwrite, inputs)
    with step("reading", options.scores):
        reader = probed(options.scores)
    seqlets = None
    if options.seqlets is not None:
        with step("reading", options.seqlets):
            seqlets = _seqlets_of(reader, options.seqlets)
    check = None
    if options.check is not None:
        with step("reading", options.check):
            check = read_check(options.check)
    made = _report(options, reader, seqlets, check, progress)
    content = page(made)
    if len(content) > LARGEST_PAGE:
        made = _with_fewer_logos(made, len(content) - LARGEST_PAGE)
        content = page(made)
    try:
        with step("writing", options.out), Publication() as publication:
            publication.temporary(options.out).write_bytes(content)
    except OSError as error:
        raise not_written(options.out, error) from error
    return Written(reader.n_rows, len(made.listing.rows), len(made.listing.logos), len(content))


def _seqlets_of(reader: ScoreReader, path: Path) -> SeqletTable:
    table = read_seqlets(path)
    for line, row, _, _ in table.places:
        if row >= reader.n_rows:
            raise other_scores(path, line, row)
    return table


def _report(
    options: ReportOptions,
    reader: ScoreReader,
    seqlets: SeqletTable | None,
    check: CheckTable | None,
    progress: Callable[[int, int], None],
) -> Report:
    with step("reading", options.scores):
        numbers = read_numbers(reader)
        always = _shown_rows(seqlets)
        # Four characters of base64 hold three bytes.
        limit = LARGEST_PAGE // 4 * 3
        found = read_contributions(reader, priorities(numbers, always), limit, progress)
        quality = assess(reader, numbers, found.root_mean_square)
    marks: Marks = {}
    if seqlets is not None:
        check_regions(seqlets, found.regions)
        marks = marks_of(seqlets, found.regions)
    listing = choose(numbers, found, always)
    title = options.title or "Contribution scores"
    return Report(
        printable(title), reader, numbers, found, quality, listing, seqlets, marks, check, deeplift_version()
    )


def _with_fewer_logos(made: Report, surplus: int) -> Report:
    """Return the report without the logos of the last regions, which take these bytes of the page."""
    best, always = made.contributions.best, _shown_rows(made.seqlets)
    logos = sum(row.size for row in made.listing.logos.values())
    best.shrink(max(0, logos - (surplus + _SPARE) // 4 * 3))
    return replace(made, listing=choose(made.numbers, made.contributions, always))


def _shown_rows(seqlets: SeqletTable | None) -> set[int]:
    return set() if seqlets is None else {seqlet.row for seqlet in seqlets.shown}
