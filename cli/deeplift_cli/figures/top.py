"""`deeplift plot --top`: a folder with pictures of the strongest regions, and a table of these regions."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.figures.page import page_style
from deeplift_cli.figures.picture import as_bytes
from deeplift_cli.figures.plot import PlotOptions, figure_of, inputs_of
from deeplift_cli.options.pictures import ENDINGS
from deeplift_cli.outputs.guarded_file import not_written
from deeplift_cli.outputs.publish import Publication, check_writable, plain_name
from deeplift_cli.process.screen import Screen
from deeplift_cli.process.steps import step
from deeplift_cli.sequences.names import printed
from deeplift_cli.show.contents import Explained, read_contents

TABLE = "regions.tsv"
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # as names of regions are read
_HEADING = ("picture", "row", "name", "chrom", "start", "end", "strand", "difference", "output")


@dataclass(frozen=True)
class Picture:
    """A region, and the name of its picture in the folder."""

    name: str
    shown: Explained


def plot_top(options: PlotOptions, count: int, ending: str, screen: Screen) -> list[Picture]:
    """Draw the strongest regions of the first score file, each as a picture in the folder `options.out`.

    The strongest regions are those of `deeplift show`: their output differs most from the mean output of
    their references. The folder is made if it is not there. All pictures and the table appear together.

    Parameters
    ----------
    options : PlotOptions
        `wanted`, `variant`, `zoom` and `model` are not given.
    count : int
        The number of regions; all if the file has fewer.
    ending : str
        Of the pictures, with its dot.
    screen : Screen

    Returns
    -------
    list of Picture
        The strongest region first.

    Raises
    ------
    UserError
        As `plot`, or if the folder holds files that are no pictures of an earlier call.
    """
    folder = options.out
    with step("reading", options.files[0]):
        strongest = read_contents(options.files[0], count).top
    if not strongest:
        raise UserError(f"score file {options.files[0]} has no regions at all")
    digits = len(str(len(strongest)))
    pictures = [
        Picture(f"{'_'.join(filter(None, (f'{rank:0{digits}}', plain_name(one.region.name))))}{ending}", one)
        for rank, one in enumerate(strongest, 1)
    ]
    written = [folder / picture.name for picture in pictures] + [folder / TABLE]
    with _made(folder), _not_written(folder):
        check_writable(written, options.overwrite, inputs_of(options))
        outdated = _earlier(folder) - set(written)
        _require_no_others(folder, outdated.union(written))
        with Publication() as publication:
            for picture in pictures:
                one = replace(options, wanted=picture.shown.row, out=folder / picture.name)
                with step("drawing", one.out), page_style():
                    content = as_bytes(figure_of(one, screen), one.out)
                publication.temporary(one.out).write_bytes(content)
            publication.temporary(folder / TABLE).write_text(_table(pictures), **_ENCODING)
        for path in outdated:
            path.unlink(missing_ok=True)
    return pictures


def _table(pictures: list[Picture]) -> str:
    lines = ["\t".join(_HEADING)]
    for picture in pictures:
        one, region = picture.shown, picture.shown.region
        place = (printed(region.chrom), str(region.start), str(region.end), region.strand)
        difference = "" if one.difference is None else f"{one.difference:.6g}"
        cells = (picture.name, str(one.row), printed(region.name), *place, difference, f"{one.output:.6g}")
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder if there is none; a folder that was made is removed if the work fails."""
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise UserError(f"output {folder} exists and is not a folder; give another name")
    if not folder.parent.is_dir():
        raise UserError(f"output folder {folder.parent} does not exist (for {folder.name}); make it first")
    is_new = not folder.is_dir()
    with _not_written(folder):
        folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _not_written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise not_written(folder, error) from error


def _earlier(folder: Path) -> set[Path]:
    """Return the pictures in the folder that the table of an earlier call lists."""
    with suppress(FileNotFoundError):
        lines = (folder / TABLE).read_text(**_ENCODING).split("\n")
        if lines and lines[0].split("\t") == list(_HEADING):
            listed = {line.partition("\t")[0] for line in lines[1:]}
            return {path for path in folder.iterdir() if path.name in listed and path.suffix in ENDINGS}
    return set()


def _require_no_others(folder: Path, known: set[Path]) -> None:
    """Refuse a folder with other files, which would pass for pictures of these regions.

    Hidden files do not count: file managers and Snakemake put some into folders of all kinds.
    """
    others = sorted(path.name for path in set(folder.iterdir()) - known if not path.name.startswith("."))
    if others:
        raise UserError(
            f"output folder {folder} holds other files, such as {printed(others[0])}; give a new folder, "
            "or empty this one"
        )
