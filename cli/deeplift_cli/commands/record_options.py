"""Options of `score`, `variants` and `prepare` that decide which records of an input are scored."""

from collections.abc import Mapping
from math import isnan
from typing import Any

import click

from deeplift_cli.commands.shared_options import parsed
from deeplift_cli.options.chromosome_styles import STYLES


def _chroms(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError(f"{text[:60]!r} is not a list of names such as chr1,chr2")
    return tuple(dict.fromkeys(names))


def _share(value: float) -> float:
    if isnan(value):
        raise ValueError("nan is no share")
    return value


def _rename_chroms(text: str) -> str:
    if not text:
        raise ValueError(f"an empty text is neither {' nor '.join(STYLES)}, nor a file")
    return text


LENGTH = click.IntRange(1, 2**28)
RECORD_OPTIONS = (
    click.option("--edge", type=click.Choice(["skip", "pad"]), default="skip", show_default=True,
                 help="Windows that pass an end of their chromosome: skip them, or pad them with N."),
    click.option("--max-n", type=click.FloatRange(0, 1), callback=parsed(_share), metavar="F",
                 help="Skip sequences of which a larger share is N, padding included.  [default: no limit]"),
    click.option("--chroms", callback=parsed(_chroms), metavar="chr1,chr2",
                 help="Regions or variants on these chromosomes only.  [default: all]"),
    click.option("--rename-chroms", callback=parsed(_rename_chroms), metavar=f"FILE|{'|'.join(STYLES)}",
                 help="Translate the input's chromosomes: 1 to chr1 (ucsc), chr1 to 1 (ensembl), or by a "
                      "file of two columns, the input's name and the genome's."),
)  # fmt: skip
_OF_REGIONS = {"edge": "skip", "chroms": None, "rename_chroms": None}  # defaults


def refuse_without_regions(given: Mapping[str, Any]) -> None:
    """Refuse options about regions if the input has no regions.

    Raises
    ------
    click.UsageError
    """
    for name, default in _OF_REGIONS.items():
        if given[name] != default and not given["regions"]:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --genome and --regions")
