"""`deeplift browser`: a genome browser page with the letters of bigWigs."""

import re
from pathlib import Path
from typing import Any

import click

from deeplift_cli.commands.shared_options import FILE, new_folder, parsed, with_options

_LOCUS = re.compile(r"(?P<chrom>.+):(?P<start>\d[\d,]{0,14})-(?P<end>\d[\d,]{0,14})", re.ASCII)
_ASSEMBLY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _locus(text: str) -> tuple[str, int, int]:
    match = _LOCUS.fullmatch(text.strip())
    start, end = (int(match[key].replace(",", "")) for key in ("start", "end")) if match else (0, 0)
    if match is None or not 1 <= start <= end:
        raise ValueError(f"{text[:40]!r} is not CHROMOSOME:START-END, as chr1:1001-1300")
    return match["chrom"], start - 1, end


def _assembly(text: str) -> str:
    if not _ASSEMBLY.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no name of an assembly, as hg38 or GCF_000001635.27")
    return text


def _track_name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{text[:40]!r} is no name for a track: it needs letters, and nothing unprintable")
    return text


_OPTIONS = (
    click.argument("bigwigs", nargs=-1, type=FILE, metavar="SCORES.bw..."),
    click.option("-g", "--genome", type=FILE, help="Genome FASTA from which the scores were made (.gz too)."),
    click.option("-o", "--out", required=True, callback=parsed(new_folder), metavar="DIR",
                 help="Folder to make, with index.html."),
    click.option("-r", "--regions", type=FILE,
                 help="BED or narrowPeak of the scored windows.  [default: SCORES.bed]"),
    click.option("--bed", "annotations", type=FILE, multiple=True,
                 help="Regions to show below the scores, such as seqlets or motif hits; several times."),
    click.option("--name", "names", multiple=True, callback=parsed(_track_name), metavar="NAME",
                 help="Name of a bigWig's track, once for each.  [default: the files' names]"),
    click.option("--locus", callback=parsed(_locus), metavar="CHR:START-END",
                 help="First view.  [default: the middle of the first window]"),
    click.option("--assembly", callback=parsed(_assembly), metavar="NAME",
                 help="The genome's name at UCSC, for hubs and IGV.  [default: found by its chromosomes]"),
    click.option("--serve", type=click.IntRange(0, 65_535), metavar="PORT",
                 help="Serve the folder on this machine until Ctrl-C; 0 takes a free port."),
    click.option("--overwrite", is_flag=True, help="Replace files in DIR that exist."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but the address of --serve."),
)  # fmt: skip


def _say_address(url: str) -> None:
    from deeplift_cli.process.screen import Screen

    Screen(quiet=False).show([f"{'served at':<18}  {url} until Ctrl-C"])


@click.command("browser", context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(
    bigwigs: tuple[Path, ...], genome: Path | None, serve: int | None, quiet: bool, **given: Any
) -> int:
    """Show bigWigs of contributions as letters in a genome browser.

    \b
    deeplift browser scores.bw -g hg38.fa -o browser
    deeplift browser k562.bw hepg2.bw -g hg38.fa -o browser -r peaks.bed --bed seqlets.bed
    deeplift browser -o browser --serve 8000

    Makes a folder with a page of igv.js, a session for IGV, and track hubs for the UCSC and WashU browsers.
    Data below 20 MB are in the page itself: open index.html from disk. With more data, --serve shows the
    page; it can be given later, without bigWigs. The page needs no internet and sends nothing anywhere.
    """
    if not bigwigs and serve is None:
        raise click.UsageError("give bigWigs, or --serve PORT for a folder that is there")
    if bigwigs and genome is None:
        raise click.UsageError("give the genome by --genome")
    if not bigwigs and (genome is not None or any(value for name, value in given.items() if name != "out")):
        raise click.UsageError("without bigWigs the folder is served as it is: give only --out and --serve")
    if given["names"] and len(given["names"]) != len(bigwigs):
        raise click.UsageError(f"give --name once for each of the {len(bigwigs)} bigWigs")
    # These modules import numpy, for which --help should not wait.
    from deeplift_cli.browser.build import BrowserOptions, build
    from deeplift_cli.browser.report import as_lines
    from deeplift_cli.browser.server import open_server
    from deeplift_cli.browser.server import serve as serve_until_stopped
    from deeplift_cli.process.screen import Screen

    screen = Screen(quiet=quiet)
    if genome is not None:
        built = build(BrowserOptions(bigwigs=bigwigs, genome=genome, **given), screen.note)
        screen.show(as_lines(built, given["out"], served=serve is not None))
    if serve is not None:
        serve_until_stopped(open_server(given["out"], serve), _say_address)
    return 0
