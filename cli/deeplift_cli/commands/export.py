"""`deeplift export`: a score file in other formats."""

from pathlib import Path
from typing import Any

import click

from deeplift_cli.commands.further_options import Brought, ExtensibleCommand, is_given
from deeplift_cli.commands.shared_options import FILE, new_file, parsed, with_options
from deeplift_cli.outputs.registry import FORMATS, OutputFormat

_OPTIONS = (
    click.argument("scores", type=FILE, metavar="SCORES.h5"),
    click.option("-c", "--chrom-sizes", type=FILE,
                 help="Lengths of chromosomes: two columns, name and length.  [default: those in SCORES.h5]"),
    click.option("-g", "--genome", type=FILE, help="The genome FASTA, instead of --chrom-sizes."),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
    click.option("-q", "--quiet", is_flag=True, help="Do not list the files that were written."),
)  # fmt: skip


def _options_of(kind: OutputFormat) -> list[click.Option]:
    """Return the option that writes the format, under a name that is unique, and the format's own options."""
    flag = click.Option(
        [_parameter(kind.name), kind.flag],
        callback=parsed(new_file),
        metavar=kind.metavar,
        help=kind.help,
    )
    return [flag, *kind.options]


def _parameter(name: str) -> str:
    """Return the name in Python of the option that writes a format; no option of a format has this name."""
    return f"to_{name.replace('-', '_')}"


def _own() -> list[click.Option]:
    options = [option for kind in FORMATS.own().values() for option in _options_of(kind)]
    return list(dict.fromkeys(options))  # formats may share an option


def _further() -> tuple[list[Brought], list[str]]:
    kinds, problems = FORMATS.further()
    return [(f"the output format {kind.name!r}", _options_of(kind)) for kind in kinds], problems


@click.command(
    "export",
    cls=ExtensibleCommand,
    own=_own,
    further=_further,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@with_options(_OPTIONS)
@click.pass_context
def command(
    context: click.Context,
    /,
    scores: Path,
    chrom_sizes: Path | None,
    genome: Path | None,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Write a score file in other formats.

    \b
    deeplift export scores.h5 --bigwig scores.bw
    deeplift export scores.h5 --bedgraph scores.bedGraph.gz --npz scores.npz

    Several formats may be written at once; their files appear together. If the command was stopped, give the
    same command again.
    """
    outputs = {name: path for name in FORMATS.names() if (path := given.pop(_parameter(name), None))}
    if not outputs:
        raise click.UsageError(
            f"say what to write: {' or '.join(f'--{name} FILE' for name in FORMATS.names())}"
        )
    if chrom_sizes is not None and genome is not None:
        raise click.UsageError("give either --chrom-sizes or --genome")
    kinds = [FORMATS.get(name) for name in outputs]
    if (chrom_sizes or genome) and all(kind.lengths == "ignored" for kind in kinds):
        raise click.UsageError("--chrom-sizes and --genome are of no use to the formats that are written")
    _refuse_options_of_others(context, kinds)
    from deeplift_cli.outputs.export import ExportOptions, export
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable

    screen = Screen(quiet=quiet)
    options = ExportOptions(
        scores=scores,
        outputs=outputs,
        options=given,
        chrom_sizes=chrom_sizes,
        genome=genome,
        overwrite=overwrite,
    )
    with screen.progress(at_once=False) as progress:
        written = export(options, screen.note, progress)
    screen.show(
        [f"{'' if place else 'written':<18}  {printable(str(path))}" for place, path in enumerate(written)]
    )
    return 0


def _refuse_options_of_others(context: click.Context, kinds: list[OutputFormat]) -> None:
    """Refuse an option of a format that is not written."""
    known = context.command.get_params(context)
    users: dict[click.Option, list[str]] = {}
    for kind in (*FORMATS.own().values(), *FORMATS.loaded()):
        for option in kind.options:
            users.setdefault(option, []).append(kind.flag)
    used = [option for kind in kinds for option in kind.options]
    for option, flags in users.items():
        if option in known and option not in used and is_given(context, str(option.name)):
            raise click.UsageError(f"{option.opts[0]} goes with {' or '.join(flags)}")
