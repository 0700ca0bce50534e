"""`deeplift merge`: makes one file of shards of scores or of variants, or the average of folds."""

from typing import Any

import click

from deeplift_cli.commands.shared_options import FILE, OVERLAP, new_file, parsed, with_options
from deeplift_cli.errors import UserError

_OPTIONS = (
    click.argument("parts", nargs=-1, required=True, type=FILE, metavar="PART..."),
    click.option("-o", "--out", required=True, callback=parsed(new_file), metavar="PATH",
                 help="HDF5 file to write."),
    click.option("--tsv", callback=parsed(new_file), metavar="PATH",
                 help="For shards of deeplift variants: also write the table of effects."),
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


@click.command("merge", context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
@click.option("-q", "--quiet", is_flag=True, help="No summary.")
def command(quiet: bool, **given: Any) -> int:
    """Merge score files, or files of variants, into one.

    \b
    deeplift merge shards/*.h5 -o scores.h5
    deeplift merge --average fold*.h5 -o mean.h5
    deeplift merge variants/*.h5 -o variants.h5 --tsv variants.tsv

    Merged shards (--shard of deeplift score and variants) are what one run would have written, bit for bit.
    Give all shards of a job, in any order.
    """
    if (given["chrom_sizes"] or given["genome"]) and not given["bigwig"]:
        raise click.UsageError("--chrom-sizes and --genome go with --bigwig")
    from deeplift_cli.merge.merge import MergeOptions, merge
    from deeplift_cli.merge.variants import merge_variants
    from deeplift_cli.process.screen import Screen
    from deeplift_cli.process.terminal_text import printable
    from deeplift_cli.variants.variant_reader import holds_variants

    screen = Screen(quiet=quiet)
    with screen.progress(at_once=False) as progress:
        options = MergeOptions(**given)
        variants = holds_variants(options.parts[0])
        if variants:
            rows, written = merge_variants(options, progress)
        elif options.tsv is not None:
            raise UserError(f"--tsv goes with files of variants, and {options.parts[0]} is none")
        else:
            rows, written = merge(options, screen.note, progress)
    lines = [f"{'variants' if variants else 'sequences':<18}  {rows:,}"]
    lines += [
        f"{'' if place else 'written':<18}  {printable(str(path))}" for place, path in enumerate(written)
    ]
    screen.show(lines)
    return 0
