"""`deeplift merge`: makes one score file of shards, or the average of folds."""

from typing import Any

import click

from deeplift_cli.commands.shared_options import FILE, OVERLAP, new_file, parsed, with_options
from deeplift_cli.commands.single_values import OnceCommand

_OPTIONS = (
    click.argument("parts", nargs=-1, required=True, type=FILE, metavar="PART..."),
    click.option("-o", "--out", required=True, callback=parsed(new_file), metavar="PATH",
                 help="HDF5 file of scores to write."),
    click.option("--average", is_flag=True,
                 help="The mean of models that scored the same sequences, such as cross-validation folds."),
    click.option("--bigwig", callback=parsed(new_file), metavar="PATH",
                 help="Also write a bigWig of the observed bases' contributions."),
    click.option("-c", "--chrom-sizes", type=FILE,
                 help="For --bigwig: two columns, name and length.  [default: those in the parts]"),
    click.option("-g", "--genome", type=FILE, help="For --bigwig: the genome FASTA, instead of sizes."),
    OVERLAP,
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
)  # fmt: skip


@click.command("merge", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
@click.option("-q", "--quiet", is_flag=True, help="No summary.")
def command(quiet: bool, **given: Any) -> int:
    """Merge score files into one.

    \b
    deeplift merge shards/*.h5 -o scores.h5
    deeplift merge --average fold*.h5 -o mean.h5

    Merged shards (deeplift score --shard) are what one run would have written, bit for bit. Give all shards
    of a job, in any order.
    """
    if (given["chrom_sizes"] or given["genome"]) and not given["bigwig"]:
        raise click.UsageError("--chrom-sizes and --genome go with --bigwig")
    from deeplift_cli.merge.merge import MergeOptions, merge
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable

    screen = Screen(quiet=quiet)
    with screen.progress(at_once=False) as progress:
        rows, written = merge(MergeOptions(**given), screen.note, progress)
    lines = [f"{'sequences':<18}  {rows:,}"]
    lines += [
        f"{'' if place else 'written':<18}  {printable(str(path))}" for place, path in enumerate(written)
    ]
    screen.show(lines)
    return 0
