"""`deeplift plot`: draws the contributions of regions as logos, with other tracks."""

from pathlib import Path
from typing import Any

import click

from deeplift_cli.commands.shared_options import (
    ALLOW_PICKLE,
    FILE,
    OUTPUT,
    new_file,
    new_folder,
    one_model,
    parsed,
    with_options,
)
from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.errors import UserError
from deeplift_cli.options.pictures import ENDINGS, FORMATS, check_ending, check_folder
from deeplift_cli.options.rows import parse_locus, parse_span


def _out(text: str, *, is_folder: bool) -> Path:
    """Parse `--out`, of which --top decides what it means."""
    try:
        return check_folder(new_folder(text)) if is_folder else check_ending(new_file(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'-o' / '--out'") from error


_ROW = ("name", "region", "index", "variant", "top")
_OF_MODEL = ("output", "profile_track", "profile_bin", "allow_pickle")
_OPTIONS = (
    click.argument("files", nargs=-1, required=True, type=FILE, metavar="SCORES.h5..."),
    click.option("--name", metavar="NAME", help="The region of this name."),
    click.option("--region", callback=parsed(parse_locus), metavar="CHROM:START-END",
                 help="The region that covers this place, which is drawn (0-based, as in BED)."),
    click.option("--index", type=click.IntRange(min=0), metavar="I",
                 help="The row of this number, from 0, as the lines of SCORES.bed."),
    click.option("--variant", metavar="ID|I",
                 help="Both alleles of a variant from a file of `deeplift variants`: its ID, "
                      "chrom:pos:ref:alt, or its number from 0."),
    click.option("--top", type=click.IntRange(min=1), metavar="N",
                 help="The N regions whose output differs most from that of their references (of the first "
                      "file), each as a picture in the folder DIR."),
    click.option("-o", "--out", required=True, metavar="|".join([*ENDINGS, "DIR"]),
                 help="The picture to write; the ending is its format. With --top, the folder."),
    click.option("--format", "picture_format", type=click.Choice(FORMATS),
                 help=f"With --top: the format of the pictures.  [default: {FORMATS[0]}]"),
    click.option("--zoom", callback=parsed(parse_span), metavar="START-END",
                 help="Draw a part only, in the coordinates of the x axis."),
    click.option("--colours", type=click.Choice(["standard", "colour-blind"]), default="standard",
                 show_default=True, help="Colours of the bases."),
    click.option("--own-scale", is_flag=True,
                 help="Give each file a y axis of its own.  [default: one for all]"),
    click.option("--hypothetical", is_flag=True,
                 help="Add the hypothetical contributions of all four bases as a heat map."),
    click.option("--standard-errors", is_flag=True,
                 help="Add the standard error of each contribution as a band."),
    click.option("--hits", type=FILE, multiple=True, metavar="FILE.bed",
                 help="Motif hits, drawn as boxes with names above the letters; may be given several times."),
    click.option("--bed", type=FILE, multiple=True, metavar="FILE.bed",
                 help="Other annotations, drawn below the letters; may be given several times."),
    click.option("--track", type=FILE, multiple=True, metavar="FILE.bw",
                 help="Values of a bigWig; may be given several times."),
    click.option("-m", "--model", type=FILE, multiple=True, callback=one_model,
                 help="Add the profile that the scored model predicts."),
    OUTPUT,
    click.option("--profile-track", type=click.IntRange(min=0), multiple=True, metavar="I",
                 help="Which track of the profile; may be given several times.  [default: all]"),
    click.option("--profile-bin", type=click.IntRange(min=1), metavar="BP",
                 help="Bases in a bin of the profile.  [default: 1]"),
    ALLOW_PICKLE,
    click.option("--overwrite", is_flag=True, help="Replace pictures that exist."),
    click.option("-q", "--quiet", is_flag=True, help="Do not say what was written."),
)  # fmt: skip


@click.command("plot", context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(quiet: bool, out: str, picture_format: str | None, **given: Any) -> int:
    """Draw the contributions of regions as logos.

    \b
    deeplift plot scores.h5 --top 5 -o logos/
    deeplift plot scores.h5 --name peak_17 -o peak_17.png
    deeplift plot scores_0.h5 scores_1.h5 --region chr1:1000-1200 --hits hits.bed -o logo.svg
    deeplift plot variants.h5 --variant rs12740374 --zoom 109274900-109275000 -o alleles.pdf

    Several files are drawn above each other. Negative contributions hang upside down below the axis.
    """
    rows = {name: given.pop(name) for name in _ROW}
    chosen = [name for name, value in rows.items() if value is not None]
    if len(chosen) != 1:
        raise click.UsageError("say what to draw, by one of --name, --region, --index, --variant and --top")
    if given["model"] is None:
        for name in _OF_MODEL:
            if given[name]:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with --model")
    if rows["variant"] is not None and len(given["files"]) > 1:
        raise click.UsageError("--variant takes one file, of `deeplift variants`")
    if rows["variant"] is not None and given["model"] is not None:
        raise click.UsageError("--model goes with --name, --region or --index")
    top = rows.pop("top")
    if top is None and picture_format is not None:
        raise click.UsageError("--format goes with --top; the ending of --out is the format of one picture")
    if top is not None and (given["zoom"] is not None or given["model"] is not None):
        raise click.UsageError("--zoom and --model go with one region, not with --top")
    given["out"] = _out(out, is_folder=top is not None)
    # These modules import matplotlib and h5py, for which --help should not wait.
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"pictures need matplotlib, which cannot be imported ({error}): install it by `pip install "
            f"'{DISTRIBUTION}[plot]'`"
        ) from error
    from deeplift_cli.figures.plot import PlotOptions, plot
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable

    screen = Screen(quiet=quiet)
    if top is not None:
        from deeplift_cli.figures.top import TABLE, plot_top

        folder = PlotOptions(**given)
        pictures = plot_top(folder, top, f".{picture_format or FORMATS[0]}", screen)
        screen.show([f"written  {len(pictures):,} picture(s) and {TABLE} in {printable(str(folder.out))}"])
        return 0
    wanted = None if rows["variant"] is not None else rows[chosen[0]]
    options = PlotOptions(wanted=wanted, variant=rows["variant"], **given)
    plot(options, screen)
    screen.show([f"written  {printable(str(options.out))}"])
    return 0
