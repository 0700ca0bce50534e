"""`deeplift report`: a score file as one HTML page."""

from pathlib import Path

import click

from deeplift_cli.commands.shared_options import FILE, new_file, parsed, with_options
from deeplift_cli.commands.single_values import OnceCommand


def _page(text: str) -> Path:
    path = new_file(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{text!r} does not end in .html, by which browsers know a page")
    return path


_OPTIONS = (
    click.argument("scores", type=FILE, metavar="SCORES.h5"),
    click.option("-o", "--out", required=True, callback=parsed(_page), metavar="REPORT.html",
                 help="The page to write."),
    click.option("--seqlets", type=FILE, metavar="FILE.bed",
                 help="Seqlets of these scores, from `deeplift seqlets`, to show the strongest."),
    click.option("--check", type=FILE, metavar="FILE.json",
                 help="What `deeplift check --json` printed of these scores, to show how far to trust them."),
    click.option("--title", metavar="TEXT", help="Title of the page.  [default: Contribution scores]"),
    click.option("--overwrite", is_flag=True, help="Replace a page that exists."),
    click.option("-q", "--quiet", is_flag=True, help="Do not say what was written."),
)  # fmt: skip


@click.command("report", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(
    scores: Path,
    out: Path,
    seqlets: Path | None,
    check: Path | None,
    title: str | None,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Write a score file as one HTML page, to look at and to pass on.

    \b
    deeplift report scores.h5 -o report.html
    deeplift report scores.h5 -o report.html --seqlets seqlets.bed --check check.json --title "K562, ATAC"

    The page has how the scores were made, their quality, logos of the best sequences, a table of all
    regions with the logo of each, the mean contribution along the window, and the base composition. It is
    below 20 MB (of large files it has the best regions), needs no other file, and loads nothing.
    """
    # These modules import numpy and h5py, for which --help should not wait.
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable
    from deeplift_cli.report.build import ReportOptions, report

    screen = Screen(quiet=quiet)
    options = ReportOptions(
        scores=scores, out=out, seqlets=seqlets, check=check, title=title, overwrite=overwrite
    )
    with screen.progress() as progress:
        written = report(options, progress)
    regions = f"{written.listed:,} of {written.regions:,} in the table, {written.logos:,} with a logo"
    page = f"{printable(str(out))}, {written.size / 1e6:.1f} MB"
    screen.show([f"{'regions':<18}  {regions}", f"{'written':<18}  {page}"])
    return 0
