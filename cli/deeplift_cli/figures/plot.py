"""`deeplift plot`: one region of score files as a page of logos and tracks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deeplift_cli.errors import UserError
from deeplift_cli.figures.alleles import read_alleles
from deeplift_cli.figures.colours import colours_by_name
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.logo import letter_heights, limits
from deeplift_cli.figures.page import draw_page, page_style
from deeplift_cli.figures.picture import is_vector, save
from deeplift_cli.figures.rows import Row
from deeplift_cli.figures.tracks.base import Track
from deeplift_cli.figures.tracks.bigwig import read_bigwig
from deeplift_cli.figures.tracks.heat_map import HeatMap
from deeplift_cli.figures.tracks.intervals import Interval, Intervals, names_of, read_intervals
from deeplift_cli.figures.tracks.scores import Scores
from deeplift_cli.figures.tracks.signal import Signal
from deeplift_cli.options.rows import Locus, Wanted
from deeplift_cli.outputs.publish import check_writable
from deeplift_cli.outputs.row_lookup import ScoreRow, read_chromosomes, read_wanted_row
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.names import printed
from deeplift_cli.show.table import target_text

_LONGEST_TITLE = 80  # letters
_MOST_LETTERS = 10_000  # positions of a picture that can be enlarged; letters take some 700 bytes each


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """Options of `deeplift plot`, named as on the command line.

    Exactly one of `wanted` and `variant` is given, or none where the regions are chosen later; `variant` goes
    with one file and without `model`.
    """

    files: tuple[Path, ...]
    out: Path
    wanted: Wanted | None = None
    variant: str | None = None
    zoom: tuple[int, int] | None = None
    colours: str = "standard"
    own_scale: bool = False
    hypothetical: bool = False
    standard_errors: bool = False
    hits: tuple[Path, ...] = ()
    bed: tuple[Path, ...] = ()
    track: tuple[Path, ...] = ()
    model: Path | None = None
    output: int | str | None = None
    profile_track: tuple[int, ...] = ()
    profile_bin: int | None = None
    allow_pickle: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Content:
    """What is drawn, before the choice of tracks.

    Attributes
    ----------
    title : str
    strand : str
        The strand in brackets, or "".
    rows : tuple of Row
    coordinates : Coordinates
    sources : tuple of (ScoreReader, ScoreRow)
        The rows of score files; empty for the alleles of a variant.
    """

    title: str
    strand: str
    rows: tuple[Row, ...]
    coordinates: Coordinates
    sources: tuple[tuple[ScoreReader, ScoreRow], ...] = field(default=())


def plot(options: PlotOptions, screen: Screen) -> None:
    """Draw a region of score files, or both alleles of a variant, and write the picture.

    Raises
    ------
    UserError
        If the output exists, a file cannot be used, no row or several rows are meant, the files are not about
        one place, or something that should be drawn is not there.
    """
    check_writable([options.out], options.overwrite, inputs_of(options))
    with step("drawing", options.out), page_style():
        save(figure_of(options, screen), options.out)


def inputs_of(options: PlotOptions) -> list[Path]:
    """Return all files that are read."""
    model = [options.model] if options.model else []
    return [*options.files, *options.hits, *options.bed, *options.track, *model]


def figure_of(options: PlotOptions, screen: Screen) -> Figure:
    """Return the picture of one region, or of both alleles of a variant; to be called within `page_style`.

    Raises
    ------
    UserError
        As `plot`, but for the output.
    """
    content = _content(options)
    tracks = tracks_of(options, content, screen)
    shown = content.coordinates.shown
    chrom = f"{_shortened(shown.chrom)}:" if content.coordinates.is_genomic else ""
    place = f"{chrom}{shown.start:,}-{shown.end:,}{content.strand}"
    return draw_page(tracks, content.coordinates, content.title, place)


def tracks_of(options: PlotOptions, content: Content, screen: Screen) -> list[Track]:
    """Return the tracks of the page from top to bottom, as the options choose them.

    Raises
    ------
    UserError
        As `plot`.
    """
    coordinates = content.coordinates
    # The tracks above the letters show what the model predicts, what was measured, and which motifs were
    # found.
    above: list[Track] = []
    if options.model is not None:
        above.append(_profile(options, content, screen))
    above += [read_bigwig(path, coordinates) for path in options.track]

    def chromosomes() -> set[str]:
        return {chrom for reader, _ in content.sources for chrom in read_chromosomes(reader.path)}

    hits = [read_intervals(path, coordinates, chromosomes) for path in options.hits]
    names = names_of(interval for each in hits for interval in each)
    colours = colours_by_name(names)
    above += [Intervals(path.name, each, colours) for path, each in zip(options.hits, hits, strict=True)]
    below = [Intervals(path.name, read_intervals(path, coordinates, chromosomes), {}) for path in options.bed]
    shaded = _shaded([interval for each in hits for interval in each], colours, coordinates)
    return [*above, *_rows(options, content.rows, coordinates, shaded), *below]


def _rows(
    options: PlotOptions,
    rows: Sequence[Row],
    coordinates: Coordinates,
    shaded: tuple[tuple[float, float, str], ...],
) -> list[Track]:
    """Return a logo for each row, and a heat map below if there should be one."""
    shown = [row.within(*coordinates.limits) for row in rows]
    ranges = [_range(row, with_error=options.standard_errors) for row in shown]
    if not options.own_scale:
        ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(ranges)
    largest = [float(np.abs(row.hypothetical).max(initial=0.0)) or 1.0 for row in shown]
    if not options.own_scale:
        largest = [max(largest)] * len(largest)
    letters = is_vector(options.out) and coordinates.width <= _MOST_LETTERS
    tracks: list[Track] = []
    for row, ends, most in zip(rows, ranges, largest, strict=True):
        tracks.append(Scores(row, options.colours, options.standard_errors, ends, shaded, letters))
        if options.hypothetical:
            tracks.append(HeatMap(row, most))
    return tracks


def _range(row: Row, *, with_error: bool) -> tuple[float, float]:
    """Return limits of the y axis that hold the letters, and the bands of standard errors."""
    errors = np.zeros(1) if row.standard_error is None or not with_error else row.standard_error
    ends = [letter_heights(row.contributions + sign * errors, row.sequence) for sign in (0, 1, -1)]
    return limits(*ends)


def _shaded(
    intervals: Sequence[Interval], colours: dict[str, str], coordinates: Coordinates
) -> tuple[tuple[float, float, str], ...]:
    return tuple(
        (float(coordinates.x(each.start)), float(coordinates.x(each.end - 1)) + 1, colours[each.name])
        for each in intervals
    )


def _content(options: PlotOptions) -> Content:
    if options.variant is not None:
        content = _of_variant(options.files[0], options.variant)
    else:
        assert options.wanted is not None
        content = _of_files(options.files, options.wanted)
    if options.standard_errors:
        for path, row in zip(options.files, content.rows, strict=False):
            if row.standard_error is None:
                raise UserError(
                    f"score file {path} does not hold the standard error of each base; score again with "
                    "--standard-errors"
                )
    return content if options.zoom is None else _zoomed(content, *options.zoom)


def _of_variant(path: Path, variant: str) -> Content:
    with step("reading", path):
        alleles = read_alleles(path, variant)
    found = alleles.variant
    named = "" if found.id in ("", ".") else f"{found.id}   "
    return Content(_shortened(f"{named}{found}"), "", alleles.rows, alleles.coordinates)


def _of_files(files: Sequence[Path], wanted: Wanted) -> Content:
    sources = []
    for path in files:
        with step("reading", path):
            sources.append(read_wanted_row(path, wanted))
    first = sources[0][1].region
    for _, row in sources[1:]:
        if row.region.chrom != first.chrom or row.region.start >= first.end or row.region.end <= first.start:
            raise UserError(
                f"the regions are not at one place: {printed(first.name)} in {files[0]}, and "
                f"{printed(row.region.name)} at {_place(row)} in {row.path}; choose by --region"
            )
    shown = wanted
    if not isinstance(shown, Locus):
        ends = [(row.region.start, row.region.end) for _, row in sources]
        shown = Locus(first.chrom, min(start for start, _ in ends), max(end for _, end in ends))
    labels = _labels([reader for reader, _ in sources])
    rows = tuple(_row(row, label) for (_, row), label in zip(sources, labels, strict=True))
    # A record without coordinates is its own chromosome.
    is_genomic = first.chrom != first.name
    strand = f" ({first.strand})" if is_genomic and first.strand != "." else ""
    return Content(_shortened(first.name), strand, rows, Coordinates(shown, is_genomic), tuple(sources))


def _row(row: ScoreRow, label: str) -> Row:
    return Row(
        label,
        np.arange(row.region.start, row.region.start + row.sequence.shape[1]),
        row.sequence,
        row.contributions,
        row.hypothetical,
        row.standard_error,
    )


def _labels(readers: Sequence[ScoreReader]) -> list[str]:
    """Return the target of each file, and the name of each of several files, or else its path."""
    targets = [f"target {target_text(reader.target)}" for reader in readers]
    if len(readers) == 1:
        return list(map(printed, targets))
    names = [reader.path.name for reader in readers]
    if len(set(names)) < len(names):
        names = [str(reader.path) for reader in readers]
    return [printed(f"{target}   {name}") for target, name in zip(targets, names, strict=True)]


def _zoomed(content: Content, start: int, end: int) -> Content:
    shown = content.coordinates.shown
    if start < shown.start or end > shown.end:
        raise UserError(
            f"--zoom {start:,}-{end:,} is not inside of what is drawn, {printed(str(shown))}; give "
            "coordinates of the x axis"
        )
    coordinates = replace(content.coordinates, shown=Locus(shown.chrom, start, end))
    for row in content.rows:
        if not row.within(*coordinates.limits).places.size:
            raise UserError(f"--zoom {start:,}-{end:,} holds no base of {row.label or content.title}")
    return replace(content, coordinates=coordinates)


def _profile(options: PlotOptions, content: Content, screen: Screen) -> Signal:
    # The module imports torch, for which pictures without a model need not wait.
    from deeplift_cli.figures.tracks.profile import ProfileOptions, predict_profile

    assert options.model is not None
    how = ProfileOptions(
        options.model, options.output, options.profile_track, options.profile_bin, options.allow_pickle
    )
    with step("running the model", options.model):
        return predict_profile(how, *content.sources[0], screen)


def _place(row: ScoreRow) -> str:
    return str(Locus(printed(row.region.chrom), row.region.start, row.region.end))


def _shortened(text: str, longest: int = _LONGEST_TITLE) -> str:
    text = printed(text)
    return text if len(text) <= longest else text[:longest] + "..."
