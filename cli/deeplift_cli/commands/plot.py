"""`deeplift plot`: draws the contributions of one region as a logo, with other tracks."""

from pathlib import Path
from typing import Any

import click

from deeplift_cli.commands.shared_options import (
    ALLOW_PICKLE,
    FILE,
    OUTPUT,
    new_file,
    one_model,
    parsed,
    with_options,
)
from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.errors import UserError
from deeplift_cli.options.pictures import ENDINGS, check_ending
from deeplift_cli.options.rows import parse_locus, parse_span


def _picture(text: str) -> Path:
    return check_ending(new_file(text))


_ROW = ("name", "region", "index", "variant")
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
    click.option("-o", "--out", required=True, callback=parsed(_picture), metavar="|".join(ENDINGS),
                 help="The picture to write; the ending is its format."),
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
    click.option("--overwrite", is_flag=True, help="Replace a picture that exists."),
    click.option("-q", "--quiet", is_flag=True, help="Do not say what was written."),
)  # fmt: skip


@click.command("plot", context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(quiet: bool, **given: Any) -> int:
    """Draw the contributions of one region as a logo.

    \b
    deeplift plot scores.h5 --name peak_17 -o peak_17.png
    deeplift plot scores_0.h5 scores_1.h5 --region chr1:1000-1200 --hits hits.bed -o logo.svg
    deeplift plot variants.h5 --variant rs12740374 --zoom 109274900-109275000 -o alleles.pdf

    Several files are drawn above each other. Negative contributions hang upside down below the axis.
    """
    rows = {name: given.pop(name) for name in _ROW}
    chosen = [name for name, value in rows.items() if value is not None]
    if len(chosen) != 1:
        raise click.UsageError("say what to draw, by one of --name, --region, --index and --variant")
    if given["model"] is None:
        for name in _OF_MODEL:
            if given[name]:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with --model")
    if rows["variant"] is not None and len(given["files"]) > 1:
        raise click.UsageError("--variant takes one file, of `deeplift variants`")
    if rows["variant"] is not None and given["model"] is not None:
        raise click.UsageError("--model goes with --name, --region or --index")
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
    wanted = None if rows["variant"] is not None else rows[chosen[0]]
    options = PlotOptions(wanted=wanted, variant=rows["variant"], **given)
    plot(options, screen)
    screen.show([f"written  {printable(str(options.out))}"])
    return 0
