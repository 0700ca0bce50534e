"""An inspection as plain text for a terminal, a file or a pipe, part by part as the parts become known."""

import textwrap
from collections.abc import Iterator

from deeplift_cli.inspection.as_json import REFERENCES
from deeplift_cli.inspection.findings import Classes, Cost, InputForm, Inspection, Recording, SelfCheck
from deeplift_cli.inspection.operations_text import every_operation, grouped_operations
from deeplift_cli.models import TensorSpec
from deeplift_cli.models.layouts import IDS
from deeplift_cli.options.rules import ISM
from deeplift_cli.process.terminal_text import printable

_LABEL = 12
_CLASSES = 10  # names of classes that are listed
_SAME_PARAGRAPH = ("inputs", "outputs", "command")
_HOW_TO_SUPPORT = (
    "What can be done: write a rule for the operation (docs/rules.md, 'Adding a rule'), replace it in the "
    "model, or score with --rule gradient, which takes any operation but does not keep summation-to-delta."
)


class Report:
    """The text of one inspection, in parts, each of which is given once.

    Parameters
    ----------
    full : bool
        True to list every single operation, in the order in which they run, and all names of classes.
    width : int
        The width of the terminal in characters; lines are broken to fit, if possible.
    """

    def __init__(self, *, full: bool, width: int) -> None:
        self._full = full
        self._width = width
        self._given = set[str]()

    def new_lines(self, found: Inspection, *, finished: bool) -> list[str]:
        """Return the lines of all parts that are known and were not given before.

        Parameters
        ----------
        found : Inspection
        finished : bool
            True if nothing more will be known; the verdict is the last part.
        """
        lines: list[str] = []
        for name, part in self._parts(found, finished):
            if name in self._given or not part:
                continue
            lines += [""] if self._given and name not in _SAME_PARAGRAPH else []
            self._given.add(name)
            for item in part:
                # Tables have their own width, and a command that is broken over lines could not be copied.
                whole = name in ("operations", "command")
                lines += [item] if whole else _wrapped(printable(item), self._width)
        return lines

    def _parts(self, found: Inspection, finished: bool) -> Iterator[tuple[str, list[str]]]:
        recording = found.recording
        yield "model", list(_model(found))
        if finished or found.form is not None or recording is not None:
            yield "inputs", list(_inputs(found))
        if finished or recording is not None:
            yield "outputs", list(_outputs(found, full=self._full))
        if recording is not None:
            if self._full:
                yield "operations", every_operation(recording)
            else:
                yield "operations", grouped_operations(recording, self._width)
            yield "unsupported", list(_unsupported(recording))
        if found.checks:
            yield "checks", list(_checks(found.checks))
        if found.cost is not None:
            yield "cost", list(_cost(found.cost, found.form))
        if finished:
            yield "verdict", _verdict(found)
            yield "command", [printable(f"  {found.command}")] if found.command else []


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines that fit; lines after the first are indented to the label's text."""
    indent = " " * (len(text) - len(text.lstrip()) or _LABEL)
    if len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _model(found: Inspection) -> Iterator[str]:
    model = found.model
    yield _line("model", f"{model.path} ({model.format}, {found.parameters:,} parameters)")
    yield _line("", f"sha256 {model.sha256}")


def _inputs(found: Inspection) -> Iterator[str]:
    yield from _tensors("inputs", found.inputs)
    if found.model.further is not None:
        yield _line("", f"with {found.model.further}")
    if found.form is not None:
        yield from _form(found.form)


def _outputs(found: Inspection, *, full: bool) -> Iterator[str]:
    yield from _tensors("outputs", found.outputs)
    if found.recording is None:
        return
    output = _output_name(found, found.recording.output)
    yield from _explained(found.recording, output)
    if found.classes is not None:
        yield from _classes(found.classes, output, full=full)
    if found.heads:
        heads = ", ".join(f"{head} of output {name}" for head, name in found.heads.items())
        yield _line("heads", f"{heads}; --target takes these words")
    for place, note in enumerate(found.recording.notes):
        yield _line("" if place else "notes", note)


def _tensors(label: str, specs: list[TensorSpec]) -> Iterator[str]:
    """Yield a line for each tensor with its shape, or one line if the file declares none."""
    shown = [f"{_shape(spec)} {spec.dtype or ''}".strip() for spec in specs]
    for place, text in enumerate(shown or ["not declared by the file"]):
        yield _line("" if place else label, text)


def _shape(spec: TensorSpec) -> str:
    if spec.shape is None:
        return f"{spec.name} (shape not declared)"
    free = ("N" if axis == 0 else "any" for axis in range(len(spec.shape)))
    sizes = (other if size is None else str(size) for size, other in zip(spec.shape, free, strict=True))
    return f"{spec.name} [{', '.join(sizes)}]"


def _form(form: InputForm) -> Iterator[str]:
    layout = form.layout
    yield _line("layout", f"{layout.name} {layout.described}, {form.layout_reason}; --layout overrides it")
    if layout.name == IDS:
        yield _line("alphabet", f"the token ids of {layout.alphabet}, as --token-ids says")
    else:
        yield _line("alphabet", f"{layout.alphabet}, which no file declares; --alphabet overrides it")
    other = "takes other lengths, too" if form.takes_any_length else "takes no other"
    yield _line("length", f"{form.length} bp, {form.length_reason}; the model {other}")


def _output_name(found: Inspection, place: int | str) -> str:
    """The explained output's name, where it has one."""
    return found.outputs[place].name if isinstance(place, int) and place < len(found.outputs) else str(place)


def _explained(recording: Recording, output: str) -> Iterator[str]:
    shape = ", ".join(map(str, recording.output_shape))
    targets = f"--target chooses one element of its [{shape}]" if shape else "one value"
    yield _line("explained", f"output {output}; {targets}")
    if recording.explains_logit:
        yield _line("", "before its final sigmoid or softmax; --no-logits explains what comes after")


def _classes(classes: Classes, output: str, *, full: bool) -> Iterator[str]:
    """Yield the names of classes with their indices: all of them if `full`, or else the first ones."""
    shown = classes.names if full else classes.names[:_CLASSES]
    listed = ", ".join(f"{index} {name}" for index, name in enumerate(shown) if name)
    further = len(classes.names) - len(shown)
    more = f", and {further:,} more, which --full lists" if further else ""
    if len(classes.axes) == 1:
        yield _line("classes", f"{listed}{more}; --target takes these names")
        return
    yield _line("classes", f"{listed}{more}")
    axes = f"{len(classes.axes)} axes" if classes.axes else "no axis"
    count = f"{len(classes.names):,} elements, as many as {classes.source} has names"
    yield _line("", f"--target takes no names: output {output} has {axes} of {count}")


def _unsupported(recording: Recording) -> Iterator[str]:
    missing = recording.unsupported
    if not missing:
        yield _line("unsupported", "none: every operation has a rule")
        return
    for place, item in enumerate(missing):
        where = f"module {item.module!r}" if item.module else "the model's own forward"
        source = f" ({item.source})" if item.source else ""
        yield _line("" if place else "unsupported", f"{item.op} in {where}{source}: {item.problem}")
    yield _line("", _HOW_TO_SUPPORT)


def _cost(cost: Cost, form: InputForm | None) -> Iterator[str]:
    threads = f", {cost.threads} thread{'s' if cost.threads > 1 else ''}" if cost.device == "cpu" else ""
    place = f"{cost.device}{threads}, {cost.precision}"
    yield f"cost of one sequence, measured in batches of {cost.batch_size} ({place})"
    yield _row("forward", f"{_seconds(cost.forward_seconds)}, the model alone")
    total = cost.scoring_seconds(REFERENCES)
    if total is not None and cost.fixed_seconds is not None and cost.reference_seconds is not None:
        parts = f"{_seconds(cost.fixed_seconds)} and {_seconds(cost.reference_seconds)} for each"
        yield _row(
            "scoring",
            f"{_seconds(total)} with {REFERENCES} references ({parts}), genomics-default, one target",
        )
        yield _row(
            "", f"so some {_seconds(10_000 * total)} for 10,000 sequences, without reading and writing"
        )
    if form is not None:
        mutants = f"{1 + 3 * form.length:,} forward passes, without references"
        yield _row(
            ISM, f"some {_seconds(cost.mutagenesis_seconds(form.length))} with --rule {ISM}: {mutants}"
        )
    if cost.bytes_per_sequence is not None:
        batch = f"{_bytes(cost.bytes_per_sequence * cost.batch_size)} for a batch of {cost.batch_size}"
        yield _row("memory", f"{_bytes(cost.bytes_per_sequence)} of values kept; {batch}")


def _checks(checks: list[SelfCheck]) -> Iterator[str]:
    first = checks[0]
    yield (
        f"self-check of summation-to-delta: {first.sequences} random sequences, "
        f"{first.references} dinucleotide shuffles each"
    )
    for item in checks:
        verdict = "within" if item.holds else "BEYOND"
        yield _row(
            item.rule,
            f"target {item.target}: worst relative error {item.worst_relative_error:.1e}, "
            f"{verdict} the tolerance of {item.tolerance:.0e}",
        )
    if all(item.largest_difference == 0 for item in checks):
        yield _row(
            "", "but the output is the same for all of them: is this the right layout, output and target?"
        )


def _verdict(found: Inspection) -> list[str]:
    if found.can_be_scored:
        return [
            "can be scored: every operation has a rule, and contributions sum to the output's difference",
            "to score, with your own files in place of the capitals:",
        ]
    return ["cannot be scored:", *(f"  {problem}" for problem in found.problems)]


def _row(label: str, text: str) -> str:
    return f"  {label:<18}{text}"


def _seconds(value: float) -> str:
    """Return a time in a unit that gives few digits."""
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if value < 999.5 * size and (unit != "s" or value < 120):
            return f"{value / size:.3g} {unit}"
    return f"{value / 60:,.0f} min" if value < 7200 else f"{value / 3600:,.1f} h"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
