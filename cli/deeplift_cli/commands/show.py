"""`deeplift show`: prints what is in a score file."""

from pathlib import Path

import click

from deeplift_cli.commands.shared_options import FILE, with_options
from deeplift_cli.commands.single_values import OnceCommand

_OPTIONS = (
    click.argument("files", nargs=-1, required=True, type=FILE, metavar="SCORES.h5..."),
    click.option("--name", metavar="NAME", help="Show the letters of the region of this name instead."),
    click.option("--table", is_flag=True, help="Show the quality of all files as one table, tab-separated."),
)  # fmt: skip


@click.command("show", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(files: tuple[Path, ...], name: str | None, table: bool) -> int:
    """Show what is in score files.

    \b
    deeplift show scores.h5
    deeplift show scores.h5 --name peak_17
    deeplift show results/*/scores_*.h5 --table > report.tsv

    Shows sequences, options, quality, datasets, and the regions whose output is farthest from that of their
    references. With --name, upper-case letters are those whose contributions are at least a quarter of the
    region's largest; a terminal shows them in colour, reversed where they are negative.
    """
    if name is not None and table:
        raise click.UsageError("give either --name or --table")
    # These modules import h5py and numpy, for which --help should not wait.
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.show.contents import read_contents, read_row
    from deeplift_cli.show.letters import as_letters, screen_of_stdout
    from deeplift_cli.show.table import as_table
    from deeplift_cli.show.text import as_lines

    screen = Screen(quiet=False)
    if table:
        screen.show(as_table([read_contents(path) for path in files]))
        return 0
    for path in files:
        if name is None:
            screen.show(as_lines(read_contents(path)))
            continue
        row = read_row(path, name)
        screen.show(as_letters(row, screen_of_stdout()))
        if row.more:
            screen.note(f"{path} has {row.more:,} further regions of this name; the first is shown")
    return 0
