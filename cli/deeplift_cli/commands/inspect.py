"""`deeplift inspect`: tells whether a model can be scored, by which rules, and at what cost."""

import shutil
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from deeplift_cli.commands.further_options import (
    ExtensibleCommand,
    options_of_further_model_formats,
    options_of_own_model_formats,
    with_format_options,
)
from deeplift_cli.commands.shared_options import (
    ALLOW_PICKLE,
    ALPHABET,
    BATCH_SIZE,
    DEVICE,
    ENCODE_N,
    INPUT,
    LABELS,
    LAYER_RULE,
    LAYOUT,
    LOGITS,
    MODEL,
    OUTPUT,
    PRECISION,
    THREADS,
    TOKEN_IDS,
    parsed,
    refuse_contradictory_layout,
    unusable_options,
    with_options,
)
from deeplift_cli.options.settings import InspectOptions
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.process.fast_imports import without_garbage_collection

if TYPE_CHECKING:
    from deeplift_cli.inspection.findings import Inspection
    from deeplift_cli.inspection.text import Report
    from deeplift_cli.process.screen import Screen

_WIDTH = 120  # characters in a line of tables that go to a file or a pipe
_OPTIONS = (
    MODEL,
    OUTPUT,
    click.option("--target", "targets", callback=parsed(parse_targets), metavar="SPEC",
                 help="Elements of the output for the self-check, as in score.  [default: the first]"),
    LABELS,
    LAYER_RULE,
    LAYOUT,
    ALPHABET,
    INPUT,
    ENCODE_N,
    TOKEN_IDS,
    click.option("--length", type=click.IntRange(1, 2**28), metavar="L",
                 help="Length of the sequences, if the model takes any.  [default: one that it runs on]"),
    LOGITS,
    BATCH_SIZE,
    DEVICE,
    THREADS,
    PRECISION,
    ALLOW_PICKLE,
    click.option("--full", is_flag=True, help="List every single operation."),
    click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object."),
)  # fmt: skip


class _Audience:
    """Shows the parts of a report as soon as they are known, and below them what is being done.

    Parameters
    ----------
    screen : Screen
    report : Report or None
        The value is None if only the notes of the model's format are to be shown.
    """

    def __init__(self, screen: "Screen", report: "Report | None") -> None:
        self._screen = screen
        self._report = report
        self._notes_shown = False

    def known(self, found: "Inspection", *, finished: bool = False) -> None:
        if not self._notes_shown:
            for line in found.model.notes:
                self._screen.note(line)
            self._notes_shown = True
        if self._report is not None:
            lines = self._report.new_lines(found, finished=finished)
            if lines:
                self._screen.show(lines)

    def finished(self, found: "Inspection") -> None:
        self.known(found, finished=True)

    def doing(self, what: str) -> AbstractContextManager[None]:
        return self._screen.status(what)


@click.command(
    "inspect",
    cls=ExtensibleCommand,
    own=options_of_own_model_formats,
    further=options_of_further_model_formats,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@with_options(_OPTIONS)
@click.pass_context
def command(context: click.Context, /, full: bool, as_json: bool, **given: Any) -> int:
    """Inspect a model: can it be scored, by which rules, and at what cost?

    \b
    deeplift inspect -m model.onnx
    deeplift inspect -m model.onnx --json > model.json

    Shows inputs, outputs and names of classes, every operation and the rule it gets under each preset, and
    what is unsupported, as soon as this is known. Then the command checks summation-to-delta on random
    sequences, measures time and memory for a sequence, and ends with a command for deeplift score. The exit
    code is 0 if the model can be scored and the check holds.
    """
    refuse_contradictory_layout(given)
    # These modules import torch, for which --help should not wait.
    with without_garbage_collection():
        from deeplift_cli.inspection import as_json as json_form
        from deeplift_cli.inspection.examine import inspect
        from deeplift_cli.inspection.text import Report
        from deeplift_cli.process.screen import Screen

    if given["targets"] is None:
        del given["targets"]
    screen = Screen(quiet=False)
    options = InspectOptions(**with_format_options(context, given, InspectOptions))
    width = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else _WIDTH
    audience = _Audience(screen, None if as_json else Report(full=full, width=width))
    with unusable_options(context):
        found = inspect(options, audience)
    audience.finished(found)
    if as_json:
        screen.show([json_form.as_json(found)])
    if found.can_be_scored:
        return 0
    screen.problem(f"cannot be scored: {'; '.join(found.problems)}")
    return 1
