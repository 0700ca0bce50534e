"""Finding out what `--target` is for a model: names become indices, ``all`` several targets, heads functions.

Indices, ranges and functions of them need nothing of the model; they are checked when the model is recorded.
For the rest, the model runs once on a few random sequences, to see the shapes of its outputs.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.models.batch_memory import LONG, SHORTER
from deeplift_cli.models.heads import function_of_head, heads_of, output_of_head
from deeplift_cli.models.input_layout import find_batch_size, find_layout
from deeplift_cli.models.labels import read_labels
from deeplift_cli.models.layouts import Layout
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.output_shapes import output_specs
from deeplift_cli.models.probing import one_hot
from deeplift_cli.models.target_functions import Less, Part, Reduced
from deeplift_cli.options.settings import ModelOptions
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.options.targets import (
    COUNTS,
    FIXED_WEIGHTS,
    Difference,
    Each,
    Element,
    Head,
    Name,
    Place,
    Range,
    Reduction,
    TargetSpec,
    Unread,
    each_of,
    has_each,
    has_names,
)
from deeplift_core import OfOutput, TargetFunction

Scalar = int | tuple[int, ...] | TargetFunction


@dataclass(frozen=True)
class ModelTargets:
    """The targets of a run, for its model.

    Attributes
    ----------
    specs : tuple of TargetSpec
        The targets as the user wrote them.
    outputs : tuple of int or str
        The output of each target, as `deeplift_core` takes it.
    scalars : tuple of int, tuple of int, or TargetFunction
        The scalar of that output which each target explains, as `deeplift_core` takes it.
    weights_of : int or None
        The place of the profile whose weights are a second input of the model that is scored; None where the
        model is scored as it is.
    """

    specs: tuple[TargetSpec, ...]
    outputs: tuple[int | str, ...]
    scalars: tuple[Scalar, ...]
    weights_of: int | None = None

    @property
    def output(self) -> int | str:
        """The output that the model is recorded for: the first target's."""
        return self.outputs[0] if self.weights_of is None else 0

    @property
    def for_core(self) -> list[Scalar | OfOutput]:
        """The targets as `deeplift_core` takes them."""
        pairs = zip(self.outputs, self.scalars, strict=True)
        if self.weights_of is not None:
            return list(self.scalars)
        return [scalar if output == self.output else OfOutput(output, scalar) for output, scalar in pairs]


def need_the_model(targets: Sequence[TargetSpec]) -> bool:
    """Return whether the model is needed to know how many targets these are, and their names."""
    return any(isinstance(target, Unread) or has_each(target) for target in targets)


def find_targets(options: ModelOptions, model: ModelFile, length: Callable[[], int | None]) -> ModelTargets:
    """Find out what the targets of the options are for a model.

    Parameters
    ----------
    options : ModelOptions
    model : ModelFile
    length : callable
        Length of the sequences to be scored, where the shapes of outputs are needed.

    Raises
    ------
    OptionsError
        If a name is not known, or does not tell its axis; if the output of a head is not clear; or if targets
        do not go together.
    UserError
        If the file of labels cannot be used, or the model has no such output or index.
    """
    labels = model.labels if options.labels is None else read_labels(options.labels)
    targets = _with_names_read(options.targets, labels)
    if options.default_target and options.output is None and _explains_counts(options, model, length):
        targets = (Head(COUNTS),)
    given = place_in_file(options.output, model)
    if not any(isinstance(target, Head) or has_each(target) or has_names(target) for target in targets):
        return ModelTargets(targets, (given or 0,) * len(targets), tuple(map(_scalar, targets)))
    outputs = _outputs_of(options, model, length())
    names = [spec.name for spec in outputs]
    if isinstance(given, str):
        if given not in names:
            raise UserError(f"{model.path} has no output {given!r}; it has {', '.join(names)}")
        given = names.index(given)
    if given is not None and given >= len(outputs):
        raise UserError(
            f"{model.path} has no output {given}: it has {len(outputs)} (0 to {len(outputs) - 1})"
        )
    return _Finder(model, outputs, given, labels).found(targets)


def _explains_counts(options: ModelOptions, model: ModelFile, length: Callable[[], int | None]) -> bool:
    """Return whether the default target is the counts head, as for BPNet-like models.

    Element 0 is no scalar of such a model's first output, a profile with tracks and positions.
    """
    if len(model.outputs) == 1:
        return False
    wanted = length()
    try:  # the number of axes of an output is that for short sequences
        outputs = _outputs_of(options, model, min(wanted, SHORTER) if wanted and wanted > LONG else wanted)
    except UserError:
        if wanted and wanted > LONG:  # the recording refuses sequences that are too long for the model
            return False
        raise
    return COUNTS in heads_of(outputs) and len(outputs[0].shape or ()) > 2


class _Finder:
    """Finds targets for outputs whose shapes are known."""

    def __init__(
        self, model: ModelFile, outputs: Sequence[TensorSpec], given: int | None, labels: Sequence[str]
    ) -> None:
        self._model = model
        self._outputs = outputs
        self._given = given
        self._labels = labels

    def found(self, targets: Sequence[TargetSpec]) -> ModelTargets:
        specs = tuple(chain.from_iterable(map(self._expanded, targets)))
        heads = {spec.name: self._place_of(spec.name) for spec in specs if isinstance(spec, Head)}
        if FIXED_WEIGHTS in heads:
            if len(specs) > 1:
                raise OptionsError(
                    f"--target {FIXED_WEIGHTS} changes what the model is; score other targets in a run of "
                    "their own"
                )
            place = heads[FIXED_WEIGHTS]
            return ModelTargets(specs, (self._key(place),), (Reduced("sum", (), FIXED_WEIGHTS),), place)
        places = [heads[spec.name] if isinstance(spec, Head) else self._given or 0 for spec in specs]
        scalars = [self._scalar(spec, place) for spec, place in zip(specs, places, strict=True)]
        return ModelTargets(specs, tuple(map(self._key, places)), tuple(scalars))

    def _expanded(self, target: TargetSpec) -> Sequence[TargetSpec]:
        """Return each target that one with ``all`` stands for."""
        if not isinstance(target, Element | Reduction) or not has_each(target):
            return [target]
        shape = self._shape
        if len(target.places) > len(shape) or any(size != 1 for size in shape[len(target.places) :]):
            example = f": write ({','.join(['0'] * (len(shape) - 1) + ['all'])}), perhaps" if shape else ""
            raise UserError(
                f"--target {target} has {len(target.places)} place(s), and the output has the shape "
                f"{shape} without the batch{example}"
            )
        return each_of(target, shape[target.places.index(Each())])

    def _scalar(self, spec: TargetSpec, place: int) -> Scalar:
        if isinstance(spec, Head):
            return function_of_head(spec.name, self._outputs[place])
        return _scalar(spec, self._index_of)

    def _place_of(self, head: str) -> int:
        return output_of_head(head, self._outputs, self._given)

    def _key(self, place: int) -> int | str:
        """Return the place of an output, or its key where the model returns a mapping."""
        name = self._outputs[place].name
        return place if self._model.outputs or name == str(place) else name

    @property
    def _shape(self) -> tuple[int, ...]:
        """The shape of the output that is not a head's, without the batch."""
        spec = self._outputs[self._given or 0]
        return tuple(size or 0 for size in (spec.shape or ())[1:])

    def _index_of(self, name: Name, axis: int) -> int:
        """Return the index that a name stands for on an axis, counted from 0 after the batch."""
        where = f"the output has the shape {self._shape} without the batch"
        fitting = [at for at, size in enumerate(self._shape) if size == len(self._labels)]
        if not self._labels:
            raise OptionsError(f"--target {name}: the model's file names no classes; --labels FILE does")
        if not fitting:
            raise UserError(
                f"--target {name}: there are {len(self._labels):,} names, and no axis has as many: {where}"
            )
        if len(fitting) > 1:
            raise OptionsError(
                f"--target {name}: two axes have as many indices as there are names, {len(self._labels):,}: "
                f"{where}; write an index"
            )
        if axis != fitting[0]:
            places = ["0"] * len(self._shape)
            whole = [":"] * len(self._shape)
            places[fitting[0]] = whole[fitting[0]] = str(name)
            raise OptionsError(
                f"--target {name}: names are those of axis {fitting[0]} after the batch: {where}; write "
                f"({','.join(places)}) or mean({','.join(whole)}), perhaps"
            )
        found = [index for index, label in enumerate(self._labels) if label == name.text]
        if not found:
            near = difflib.get_close_matches(name.text, self._labels, 3, 0.6)
            known = f"perhaps {' or '.join(near)}" if near else f"{len(self._labels):,} names are known"
            raise OptionsError(f"--target {name} is no known name ({known})")
        if len(found) > 1:
            raise OptionsError(
                f"--target {name} is the name of {len(found)} indices, {found[0]} and {found[1]} among them; "
                "write an index"
            )
        return found[0]


def _with_names_read(targets: Sequence[TargetSpec], labels: Sequence[str]) -> tuple[TargetSpec, ...]:
    """Read the texts that could not be read before names were known."""
    read = list[TargetSpec]()
    for target in targets:
        try:
            read += parse_targets(target.text, labels) if isinstance(target, Unread) else [target]
        except ValueError as error:
            raise OptionsError(f"--target: {error}") from error
    return tuple(read)


def place_in_file(output: int | str | None, model: ModelFile) -> int | str | None:
    """Return the place of the chosen output, or its name where the file names none.

    Raises
    ------
    UserError
        If the file names its outputs, and none so.
    """
    names = [spec.name for spec in model.outputs]
    if not isinstance(output, str) or not names:
        return output
    if output not in names:
        raise UserError(f"{model.path} has no output {output!r}; it has {', '.join(names)}")
    return names.index(output)


def _outputs_of(options: ModelOptions, model: ModelFile, length: int | None) -> list[TensorSpec]:
    """Run the model on random sequences of the length to be scored, as few as it takes."""
    layout, only = _layout_by_short_sequences(options, model, length) or find_layout(
        model, length=length, **options.layout_options
    )
    used = only or length
    assert used is not None
    rows = find_batch_size(model, layout, used if only else min(used, SHORTER)) or 1
    return output_specs(layout.adapted(model), (layout.to_model(one_hot(rows, used)),))


def _layout_by_short_sequences(
    options: ModelOptions, model: ModelFile, length: int | None
) -> tuple[Layout, None] | None:
    """Return the layout as found with short sequences, where those to be scored are long; else None."""
    if length is None or length <= LONG:
        return None
    try:
        layout, only = find_layout(model, length=SHORTER, **options.layout_options)
    except UserError:  # it may need longer sequences
        return None
    return (layout, None) if only is None else None


def _no_names(name: Name, axis: int) -> int:
    raise AssertionError(f"{name} on axis {axis}: names are looked up in the shapes of outputs")


def _scalar(spec: TargetSpec, index_of: Callable[[Name, int], int] = _no_names) -> Scalar:
    """Return an element as its indices, and other terms as functions."""
    if isinstance(spec, Difference):
        return Less(_reduced(spec.first, index_of), _reduced(spec.second, index_of))
    if isinstance(spec, Reduction):
        return _reduced(spec, index_of)
    assert isinstance(spec, Element)
    indices = tuple(part for part in _parts(spec.places, index_of) if isinstance(part, int))
    return indices if len(indices) > 1 else indices[0]


def _reduced(term: Element | Reduction, index_of: Callable[[Name, int], int]) -> Reduced:
    function = term.function if isinstance(term, Reduction) else "sum"
    return Reduced(function, _parts(term.places, index_of), str(term))


def _parts(places: Sequence[Place], index_of: Callable[[Name, int], int]) -> tuple[Part, ...]:
    parts = list[Part]()
    for axis, place in enumerate(places):
        if isinstance(place, Range):
            parts.append((place.start or 0, place.end))
        elif isinstance(place, Name):
            parts.append(index_of(place, axis))
        else:
            assert isinstance(place, int)
            parts.append(place)
    return tuple(parts)
