"""One recording under one set of options: scores for any targets, from programs that are made on demand."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from deeplift_core.accuracy.rescoring import Rescoring
from deeplift_core.arguments import check_flag, check_integer
from deeplift_core.assignment.layer_rules import LayerRules
from deeplift_core.assignment.names import parse_rule
from deeplift_core.assignment.plan import Plan
from deeplift_core.assignment.presets import preset
from deeplift_core.capture import Recording
from deeplift_core.engine.batches import batches, over_references
from deeplift_core.engine.executable import EagerExecutable, Executable
from deeplift_core.engine.float32 import full_precision
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.engine.grad_mode import plain_tensors
from deeplift_core.engine.gradients import GradientExecutable
from deeplift_core.engine.logits import softmax_axis, with_logit
from deeplift_core.engine.pairs import TargetScores
from deeplift_core.engine.scorer import BatchScorer
from deeplift_core.engine.shared_references import SharedReferences
from deeplift_core.engine.targets import (
    OfOutput,
    Target,
    checked,
    choose_output,
    means_its_value,
    with_scalar,
)
from deeplift_core.errors import DeepLiftError, OptionError, TargetError
from deeplift_core.graph import Graph, content, converted_node, layer_node
from deeplift_core.passes.registry import applied, chosen
from deeplift_core.planner import Ends, Planner
from deeplift_core.results import Attribution

# One thread at a time makes a program, for which a target is recorded and rules are assigned. Other threads
# then find the program in the cache.
_LOCK = threading.RLock()
# The number of programs that an explainer caches, one for each combination of targets and layer.
PROGRAMS = 16
# Scores in float64 of rows against references, for the target at a place.
Exact = Callable[[int, tuple[Tensor, ...], tuple[Tensor, ...]], TargetScores]


@dataclass(frozen=True)
class Options:
    """The options of `DeepLift` that matter after recording; its docstring describes them."""

    rule: str = "genomics-default"
    layer_rules: Mapping[str, str] = field(default_factory=dict)
    logits: bool = True
    centre: bool = True
    channel_axis: int | None = None
    compile: bool = False
    passes: str | Sequence[str] = "auto"
    constant_inputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("logits", "centre", "compile"):
            check_flag(name, getattr(self, name))
        if self.channel_axis is not None:
            check_integer("channel_axis", self.channel_axis, "the number of an axis")
        _, steps = parse_rule(self.rule)
        if steps and self.layer_rules:
            raise OptionError(f"layer rules do not go with rule {self.rule!r}, which has no rules by layer")
        chosen(self.passes)
        if self.compile and self.constant_inputs:
            raise OptionError(
                "a model with constant inputs is not compiled: every batch has its own constants"
            )

    @property
    def steps(self) -> int:
        """Number of gradients for each pair; 0 for DeepLIFT's own rules."""
        return parse_rule(self.rule)[1]


@dataclass(frozen=True)
class Program:
    """The scorer of batches for some targets, and a function that scores few pairs in float64.

    Attributes
    ----------
    scorer : BatchScorer
    exact : callable or None
        Takes the place of a target, rows [M, ...] and one reference for each [M, 1, ...]; None where pairs
        are not scored again. The rows of constant inputs come after those of the others.
    """

    scorer: BatchScorer
    exact: Exact | None


class Explainer:
    """A recording under one set of options.

    Parameters
    ----------
    recording : Recording
    options : Options
    constants : sequence of Tensor [K, ...]
        The values of the constant inputs for the rows of one batch, which is the only batch to score then.

    Raises
    ------
    OptionError
        If a layer pattern or a rule is not usable.
    UnsupportedOpsError
        If the model contains operations without a rule: all of them are listed.
    """

    @plain_tensors()
    def __init__(self, recording: Recording, options: Options, constants: Sequence[Tensor] = ()) -> None:
        self.recorded = recording
        self.constants = tuple(constants)
        places = options.constant_inputs
        self.recording = recording.with_constants(places, constants) if places else recording
        self.options = options
        self.graph, self.explained = self._explained(self.recording.graph)
        _check_channel_axis(self.graph, options.channel_axis)
        self.layer_rules = LayerRules(dict(options.layer_rules))
        self.rescoring = Rescoring()
        self.shared = SharedReferences()
        self._programs: OrderedDict[Any, Program] = OrderedDict()
        self.planner: Planner | None = None
        if not options.steps:
            self.planner = self._make_planner(self.graph)
            self.layer_rules.check(self.planner.sites.values())

    def with_options(self, **changes: Any) -> "Explainer":
        """Return the same recording under other options; the model does not run again."""
        return Explainer(self.recorded, replace(self.options, **changes), self.constants)

    def with_constants(self, constants: Sequence[Tensor]) -> "Explainer":
        """Return the same recording for a batch with other values [K, ...] of its constant inputs."""
        other = Explainer(self.recorded, self.options, constants)
        other.rescoring = self.rescoring
        return other

    def _explained(self, graph: Graph) -> tuple[Graph, int]:
        return self._explained_of(graph, self.recording.output)

    def _explained_of(self, graph: Graph, output: int) -> tuple[Graph, int]:
        """Return the node that is explained for the node of an output: its logit where that is wanted."""
        if not self.options.logits:
            return graph, output
        return with_logit(graph, output, centre=self.options.centre)

    @plain_tensors()
    def centred_axis(self, target: Target) -> int | None:
        """Return the axis over which the mean is subtracted in a target's output; None where none is."""
        wanted = checked(target)
        if isinstance(wanted, tuple) and wanted and isinstance(wanted[0], str):
            return None
        if not (self.options.logits and self.options.centre):
            return None
        return softmax_axis(self.recording.graph, self._output_of(wanted))

    def shape_of(self, target: Target) -> tuple[int, ...]:
        """Return the shape, without the rows, of the output that a target is taken of, as it is explained."""
        wanted = checked(target)
        if isinstance(wanted, tuple) and wanted and isinstance(wanted[0], str):
            return tuple(self.graph.nodes[layer_node(self.graph, wanted[0])].shape[1:])
        return tuple(self.graph.nodes[self._output_of(wanted)].shape[1:])

    def _output_of(self, target: Target) -> int:
        """Return the node of the output that a target is taken of."""
        if not isinstance(target, OfOutput):
            return self.recording.output
        return self.recording.outputs[choose_output(self.recording.structure, target.output)]

    def _make_planner(self, graph: Graph) -> Planner:
        options = self.options
        return Planner(graph, self.explained, preset(options.rule), self.layer_rules, chosen(options.passes))

    @cached_property
    @plain_tensors()
    def bytes_per_row(self) -> int:
        """Size of the forward values that one row keeps for the backward pass, its reference's included."""
        nodes = [self.graph.nodes[index] for index in self.graph.inputs]
        inputs = sum(node.shape.numel() * node.dtype.itemsize for node in nodes)
        kept = inputs if self.planner is None else self.planner.bytes_kept()
        return 2 * kept // self.graph.batch_size

    # ---- programs

    @plain_tensors()
    def program(self, targets: Sequence[Target], layer: str | None) -> Program:
        """Return the program for these targets, from the cache where it is there.

        A target that is a function, and no `TargetFunction`, runs at every call, because what it computes may
        have changed. The key of its program in the cache is what the function computed.
        """
        wanted = tuple(checked(target) for target in targets)
        with _LOCK:
            if all(map(means_its_value, wanted)):
                return self._cached((wanted, layer), lambda: self._make(wanted, layer))
            extended = self._with_targets(self.graph, wanted)
            graph, ends = extended
            # Two functions may make the same calls and return different results of these.
            key = tuple(ends), content(graph, len(self.graph.nodes))
            return self._cached((key, layer), lambda: self._make(wanted, layer, extended))

    def _cached(self, key: Any, make: Callable[[], Program]) -> Program:
        if key not in self._programs:
            self._programs[key] = make()
            while len(self._programs) > PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return self._programs[key]

    def _make(
        self,
        targets: Sequence[Target],
        layer: str | None,
        extended: tuple[Graph, list[Ends]] | None = None,
    ) -> Program:
        graph, ends = extended or self._with_targets(self.graph, targets)
        if self.planner is None:
            if layer is not None:
                raise OptionError(f"layer= does not go with rule {self.options.rule!r}")
            plan = self._without_rules(graph, ends)
            return Program(BatchScorer(self._executable(plan), self.shared), None)
        plan = _planned(self.planner, graph, ends, layer)
        rescored = _may_be_rescored(graph) and (layer is None or _all_goes_through(graph, layer, ends))
        exact: Exact | None = None
        if rescored and self.constants:
            exact = partial(self._exactly_with_constants, targets, layer)
        elif rescored:
            exact = partial(_exactly, self._exact_program(targets, layer, (graph, ends)))
        return Program(BatchScorer(self._executable(plan), self.shared), exact)

    def _without_rules(self, graph: Graph, ends: Sequence[Ends]) -> Plan:
        """Return a plan for gradients, which take any operation."""
        inputs = tuple(graph.inputs)
        targets, predictions = tuple(end.target for end in ends), tuple(end.prediction for end in ends)
        plan = Plan(graph, {}, targets, predictions, inputs, kept=frozenset(inputs))
        names = chosen(self.options.passes)
        return applied(applied(plan, names), names, read_kept=True)

    def _with_targets(self, graph: Graph, targets: Sequence[Target]) -> tuple[Graph, list[Ends]]:
        ends = []
        for target in targets:
            if isinstance(target, tuple) and target and isinstance(target[0], str):
                graph, node = with_scalar(graph, layer_node(graph, target[0]), target[1])
                ends.append(Ends(node, node))
                continue
            output, explained = self._output_of(target), self.explained
            scalar = target.target if isinstance(target, OfOutput) else target
            if output != self.recording.output:
                graph, explained = self._explained_of(graph, output)
            graph, node = with_scalar(graph, explained, scalar)
            prediction = node
            if self.constants and set(graph.inputs).isdisjoint(graph.ancestors(explained)):
                raise TargetError("the target depends on no input but those that are constants")
            if explained != output:
                graph, prediction = with_scalar(graph, output, scalar)
            ends.append(Ends(node, prediction))
        return graph, ends

    def _executable(self, plan: Plan) -> Executable:
        options = self.options
        if options.steps:
            at_input = options.rule == "gradient"
            return GradientExecutable(plan, options.channel_axis, steps=options.steps, at_input=at_input)
        if not options.compile:
            return EagerExecutable(plan, options.channel_axis)
        # The import of torch's compiler takes seconds, and not every user needs the compiler.
        from deeplift_core.compile.executable import CompiledExecutable

        return CompiledExecutable(plan, options.channel_axis)

    # ---- float64

    @cached_property
    def _few_rows(self) -> tuple[Graph, int]:
        """The recording on which pairs are scored again; it has few rows if the model takes so few."""
        graph, explained = self._explained(self.recording.few_rows or self.recording.graph)
        return graph, explained

    @cached_property
    def _exact_planner(self) -> Planner:
        return self._make_planner(self._few_rows[0].converted(torch.float64))

    def _exact_program(
        self, targets: Sequence[Target], layer: str | None, extended: tuple[Graph, list[Ends]]
    ) -> Callable[[], list[BatchScorer]]:
        """Return a function that makes one scorer in float64 for each target.

        The first pair that is scored again calls the function. Targets that are functions are recorded here,
        during the user's call that gave them.
        """
        base = self._few_rows[0]
        try:
            few, ends = self._with_targets(base, targets) if self.recording.few_rows else extended
        except DeepLiftError:  # a target function may take batches of K rows only
            few, ends = extended
            base = self.graph
        made: list[BatchScorer] = []

        def make() -> list[BatchScorer]:
            with _LOCK:
                if not made:
                    planner = self._exact_planner
                    if base is self.graph and base is not self._few_rows[0]:
                        planner = self._make_planner(self.graph.converted(torch.float64))
                    added = tuple(converted_node(n, torch.float64) for n in few.nodes[len(base.nodes) :])
                    graph = replace(planner.graph, nodes=(*planner.graph.nodes, *added))
                    for end in ends:
                        plan = _planned(planner, graph, [end], layer)
                        executable = EagerExecutable(plan, self.options.channel_axis)
                        made.append(BatchScorer(executable, self.shared))
                return made

        return make

    def _exactly_with_constants(
        self,
        targets: Sequence[Target],
        layer: str | None,
        place: int,
        rows: tuple[Tensor, ...],
        references: tuple[Tensor, ...],
    ) -> TargetScores:
        """Score M pairs in float64, a few at a time, each few under the constants of their own rows."""
        recorded = self.recorded.in_float64
        try:
            return self._exactly_under(recorded, targets[place], layer, rows, references)
        except TargetError:  # a target function may take batches of K rows only
            whole = replace(self.recorded, few_rows=None).in_float64
            return self._exactly_under(whole, targets[place], layer, rows, references)

    def _exactly_under(
        self,
        recorded: Recording,
        target: Target,
        layer: str | None,
        rows: tuple[Tensor, ...],
        references: tuple[Tensor, ...],
    ) -> TargetScores:
        x, r = (tuple(tensor.double() for tensor in given) for given in (rows, references))
        count = len(rows) - len(self.constants)
        parts = list[TargetScores]()
        for batch, refs in batches(x, r, recorded.graph.batch_size, shared=False):
            explainer = Explainer(recorded, self.options, batch[count:])
            scorer = explainer.program([target], layer).scorer
            parts += scorer.score(batch[:count], refs, shared=False)
        return TargetScores.joined(parts, len(rows[0]))

    # ---- scores

    @plain_tensors()
    def forward(self, targets: Sequence[Target]) -> Callable[[Sequence[Tensor]], list[tuple[Tensor, Tensor]]]:
        """Return a function of a batch of K rows that gives each target's scalar [K] and prediction [K]."""
        wanted = tuple(checked(target) for target in targets)
        with _LOCK:
            graph, ends = self._with_targets(self.graph, wanted)
        run = ForwardPass(self._without_rules(graph, ends), keep=())

        def outputs(rows: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
            with plain_tensors(), full_precision(rows[0].device):
                values = run(rows)
            return [(values[end.target], values[end.prediction]) for end in ends]

        return outputs

    @plain_tensors()
    def score_batch(
        self,
        program: Program,
        rows: list[Tensor],
        references: list[Tensor],
        *,
        shared: bool,
        per_reference: bool,
        expected: Sequence[Tensor],
    ) -> list[Attribution]:
        """Score one batch of exactly K rows for each target of a program, padding included.

        ``expected`` is empty where no expectation of the references is given.
        """
        found = program.scorer.score(rows, references, shared=shared)
        if program.exact is not None:
            every = [*rows, *self.constants]
            found = [
                self.rescoring(scores, every, references, partial(program.exact, place))
                for place, scores in enumerate(found)
            ]
        return [
            over_references(
                scores,
                self.options.channel_axis,
                per_reference=per_reference,
                references=references,
                expected=expected,
            )
            for scores in found
        ]


def _planned(planner: Planner, graph: Graph, ends: Sequence[Ends], layer: str | None) -> Plan:
    if layer is None:
        return planner.plan(graph, ends)
    at = layer_node(graph, layer)
    for end in ends:
        if at not in graph.ancestors(end.target):
            raise TargetError(f"the target does not depend on the output of module {layer!r}")
    return planner.plan(graph, ends, at)


def _may_be_rescored(graph: Graph) -> bool:
    """Return whether scores are in float32, on a device that has float64."""
    return graph.nodes[graph.inputs[0]].dtype == torch.float32 and graph.device.type != "mps"


def _all_goes_through(graph: Graph, layer: str, ends: Sequence[Ends]) -> bool:
    """Return whether a layer's contributions sum to the targets' differences: no input goes another way."""
    at = layer_node(graph, layer)
    seen = {at}
    pending = [end.target for end in ends]
    while pending:
        index = pending.pop()
        if index not in seen:
            seen.add(index)
            pending.extend(graph.nodes[index].refs)
    return seen.isdisjoint(set(graph.inputs) - {at})


def _check_channel_axis(graph: Graph, axis: int | None) -> None:
    sizes = [len(graph.nodes[index].shape) for index in graph.inputs]
    if axis is not None and not any(-size <= axis < size and axis % size for size in sizes):
        raise OptionError(
            f"channel_axis={axis} is no axis of an input with {' or '.join(map(str, sizes))} axes; axis 0 "
            "is that of the rows"
        )


def _exactly(
    make: Callable[[], list[BatchScorer]],
    place: int,
    rows: tuple[Tensor, ...],
    references: tuple[Tensor, ...],
) -> TargetScores:
    """Score M pairs in float64, a few at a time, for the target at one place."""
    scorer = make()[place]
    size = scorer.executable.plan.graph.batch_size
    x = tuple(tensor.double() for tensor in rows)
    r = tuple(tensor.double() for tensor in references)
    parts = [scorer.score(*batch, shared=False)[0] for batch in batches(x, r, size, shared=False)]
    return TargetScores.joined(parts, len(rows[0]))
