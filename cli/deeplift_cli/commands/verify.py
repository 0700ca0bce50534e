"""`deeplift verify`: checks that a score file is undamaged, and that its values agree with each other."""

from pathlib import Path

import click

from deeplift_cli.commands.shared_options import ALLOW_PICKLE, FILE, with_options
from deeplift_cli.commands.single_values import OnceCommand
from deeplift_cli.process.fast_imports import without_garbage_collection

_OPTIONS = (
    click.argument("files", nargs=-1, required=True, type=FILE, metavar="SCORES.h5..."),
    click.option("-m", "--model", "models", type=FILE, multiple=True,
                 help="Compute some rows again with this model, and compare; of a mean of folds, all folds."),
    click.option("-n", "--rows", type=click.IntRange(min=1), default=10, show_default=True,
                 help="With --model: number of rows, spread over the file."),
    ALLOW_PICKLE,
)  # fmt: skip


@click.command("verify", cls=OnceCommand, context_settings={"help_option_names": ["-h", "--help"]})
@with_options(_OPTIONS)
@click.option("-q", "--quiet", is_flag=True, help="Print no table, only problems.")
def command(
    files: tuple[Path, ...], models: tuple[Path, ...], rows: int, allow_pickle: bool, quiet: bool
) -> int:
    """Verify score files.

    \b
    deeplift verify scores.h5
    deeplift verify shards/*.h5 -m model.onnx

    Checks the layout, the checksum of every dataset, that values are finite and agree with each other, and
    the companion files (.bed, .skipped.tsv). The exit code is 1 if there is a problem, which is printed with
    its place.
    """
    # These modules import torch, for which --help should not wait.
    with without_garbage_collection():
        from deeplift_cli.outputs.score_reader import ScoreReader
        from deeplift_cli.process.screen import Screen
        from deeplift_cli.process.terminal_text import printable
        from deeplift_cli.verify.checks import verify
        from deeplift_cli.verify.recomputed_rows import recompute

    screen = Screen(quiet=quiet)
    wrong = 0
    for path in files:
        with screen.progress(at_once=False) as progress:
            found = verify(path, progress)
        if models and not found.problems:
            with screen.progress(at_once=False) as progress:
                again = recompute(ScoreReader(path), models, rows, allow_pickle, screen, progress)
            well = f"{again.rows} rows computed again, largest difference {again.largest:.1e}"
            found.add("model", well, again.problems)
        screen.show([printable(str(path)), *(f"  {label:<16}  {text}" for label, text in found.lines)])
        for problem in found.problems:
            screen.problem(problem if str(path) in problem else f"{path}: {problem}")
        wrong += bool(found.problems)
    return 1 if wrong else 0
