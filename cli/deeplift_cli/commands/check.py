"""`deeplift check`: how far the scores in a file can be trusted."""

import json
from pathlib import Path

import click

from deeplift_cli.commands.shared_options import ALLOW_PICKLE, FILE, with_options
from deeplift_cli.commands.single_values import OnceCommand
from deeplift_cli.process.fast_imports import without_garbage_collection

_OPTIONS = (
    click.argument("scores", type=FILE, metavar="SCORES.h5"),
    click.option("-m", "--model", "models", type=FILE, multiple=True, required=True,
                 help="The model of the scores; of a mean of folds, all folds."),
    click.option("-n", "--rows", type=click.IntRange(min=1), default=100, show_default=True,
                 help="Number of sequences, spread over the file."),
    click.option("--observed", type=FILE, metavar="FILE.bw",
                 help="The signal that the model predicts: compare totals and profiles."),
    click.option("--json", "machine", is_flag=True, help="Print JSON in place of the table."),
    ALLOW_PICKLE,
)  # fmt: skip


@click.command("check", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
def command(
    scores: Path,
    models: tuple[Path, ...],
    rows: int,
    observed: Path | None,
    machine: bool,
    allow_pickle: bool,
) -> int:
    """Check how far scores can be trusted.

    \b
    deeplift check scores.h5 -m model.onnx -n 50
    deeplift check scores.h5 -m model.onnx --observed atac.bw

    Compares contributions with in-silico mutagenesis, replaces the strongest positions, states the noise of
    references, and shuffles the model's weights. docs/trust.md explains each number.
    """
    # These modules import torch, for which --help should not wait.
    with without_garbage_collection():
        from deeplift_cli.outputs.score_reader import probed
        from deeplift_cli.process.screen import Screen
        from deeplift_cli.process.terminal_text import printable
        from deeplift_cli.trust.measures import as_json, as_table, measured
        from deeplift_cli.trust.sample import take_sample

    screen = Screen(quiet=False)
    sample = take_sample(probed(scores), models, rows, allow_pickle, screen, observed)
    found = list(measured(sample))
    n = len(sample.sequences)
    if machine:
        screen.show([json.dumps(as_json(found, str(scores), n), indent=2)])
    else:
        screen.show([f"{printable(str(scores))}: {n:,} sequences", *as_table(found)])
    return 0
