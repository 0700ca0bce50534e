"""`DeepLift`: contribution scores of a model's inputs against references."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_core.assignment.names import parse_rule
from deeplift_core.assignment.plan import Plan
from deeplift_core.assignment.report import described
from deeplift_core.capture import Recording, record
from deeplift_core.engine import targets
from deeplift_core.engine.backward import values_to_keep
from deeplift_core.engine.batches import batches, joined
from deeplift_core.engine.scorer import BatchScorer
from deeplift_core.engine.steps import GradientSteps, Steps, Task
from deeplift_core.engine.targets import Target
from deeplift_core.errors import OptionError, TargetError
from deeplift_core.graph import Graph, layer_node
from deeplift_core.passes.sequence_convolution import in_sequence_form
from deeplift_core.results import BY_LAYER, Attribution, NodeInfo
from deeplift_core.rules.base import NoRuleError

Tensors = Tensor | tuple[Tensor, ...]


class DeepLift:
    """DeepLIFT contribution scores (Shrikumar, Greenside, Kundaje 2017).

    The model is recorded once, on a batch of K rows; every later batch has K rows too (the last is
    padded). For n references each sequence takes one forward pass itself, and one forward pass and one
    reverse walk for each reference.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; left as it was (mode, device, dtype, hooks). Parameters are read when it is recorded.
    example : Tensor [K, ...] or tuple of Tensor, optional
        A batch of inputs; K is the batch size. Left out, the first x is taken.
    rule : str
        "genomics-default" (Rescale after convolutions, RevealCancel after dense layers), "rescale",
        "revealcancel", "revealcancel-positive-first"; for comparison "gradient" (times
        difference-from-reference) and "integrated-gradients" (midpoint rule with 50 steps; ":N" for N),
        which are exempt from summation-to-delta.
    layer_rules : mapping of str to str, optional
        fnmatch patterns of module names, each with the rule for the activations there.
    output : int or str
        Which output, where the model returns several.
    logits : bool
        Leave out a final sigmoid or softmax and explain its logit.
    centre : bool
        For softmax, subtract the mean contribution over its classes (paper, equation 5).
    channel_axis : int, optional
        Axis of x (the batch is axis 0) along which a one-hot base lies; by default axis 1, the last, or
        any other of size 4, in this order.
    dtype : torch.dtype, optional
        To compute in; the model's own by default, the first input's where the model has none.
    device : torch.device or str, optional
        To compute on; the model's own by default.
    compile : bool
        Compile forward pass and reverse walk with torch.compile when the first batch comes: seconds to a
        minute for each target, and faster from then on. The rules "gradient" and "integrated-gradients"
        are not compiled. Scores agree with those of ``compile=False`` to rounding.

    Raises
    ------
    OptionError
        If a rule or a layer pattern is not known.
    CaptureError
        If the model cannot be recorded.
    UnsupportedOpsError
        If it contains operations without a rule: all of them are listed.
    TargetError
        If there is no such output.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensors | None = None,
        rule: str = "genomics-default",
        layer_rules: Mapping[str, str] | None = None,
        output: int | str = 0,
        logits: bool = True,
        centre: bool = True,
        channel_axis: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word for it
    ) -> None:
        self._model = model
        self._compile = compile
        self._set_rule(rule, layer_rules)
        self._output, self._logits, self._centre = output, logits, centre
        self._channel_axis = channel_axis
        tensors = chain(model.parameters(), model.buffers())
        own = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
        self._dtype = dtype or (None if own is None else own.dtype)
        self.device = torch.device(device or ("cpu" if own is None else own.device))
        self._recording: Recording | None = None
        self._plan: Plan | None = None
        self._tasks: dict[Any, Task] = {}
        self._scorer: BatchScorer | None = None
        self._float64: DeepLift | None = None
        self._functions_in: torch.dtype | None = None  # what targets that are functions are written for
        if example is not None:
            self._record(self._as_inputs(example))

    def _set_rule(self, rule: str, layer_rules: Mapping[str, str] | None) -> None:
        self._rule, self._steps = parse_rule(rule)
        self._layer_rules = dict(layer_rules or {})
        if self._steps and self._layer_rules:
            raise OptionError(f"layer rules do not go with rule {rule!r}, which has no activation rules")

    def with_rule(self, rule: str, layer_rules: Mapping[str, str] | None = None) -> "DeepLift":
        """The same recording under another rule; the model does not run again.

        Parameters
        ----------
        rule, layer_rules
            As for `DeepLift` itself; layer rules are not taken over.

        Raises
        ------
        OptionError
            If a rule or a layer pattern is not known.
        UnsupportedOpsError
            If the model contains operations without a rule.
        """
        other = copy(self)
        other._set_rule(rule, layer_rules)
        other._tasks = {}
        if self._plan is not None:
            other._make_plan(self._plan.graph)
        return other

    # ---- recording

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in: as asked for, else the model's own, else that of the first input."""
        return self._dtype or torch.get_default_dtype()

    def _as_inputs(self, value: Tensors) -> tuple[Tensor, ...]:
        tensors = value if isinstance(value, tuple) else (value,)
        if self._dtype is None:
            first = tensors[0].dtype
            self._dtype = first if first.is_floating_point else torch.get_default_dtype()
        return tuple(tensor.to(device=self.device, dtype=self.dtype) for tensor in tensors)

    def _record(self, example: tuple[Tensor, ...]) -> BatchScorer:
        if not all(tensor.dim() and len(tensor) for tensor in example):
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in example)
            raise OptionError(f"a model is recorded on one row at least; got shape {shapes}")
        self._recording = record(self._model, example, partial(targets.choose_output, output=self._output))
        self._prediction = self._recording.output
        return self._take(self._recording.graph)

    def _take(self, graph: Graph) -> BatchScorer:
        """Explain this recording, of whose nodes all are the model's own."""
        graph, self._explained = in_sequence_form(graph), self._prediction
        if self._logits:
            graph, self._explained = targets.logit(graph, self._prediction, centre=self._centre)
        return self._make_plan(graph)

    def _make_plan(self, graph: Graph) -> BatchScorer:
        plan = Plan(graph, "rescale" if self._steps else self._rule, self._layer_rules)
        if not self._steps:
            plan.reached(self._explained)
            plan.check_patterns()
        self._plan = plan
        self._float64 = None
        self._scorer = BatchScorer(self._make_steps(), self._channel_axis)
        return self._scorer

    def _exactly(self, task: Task, rows: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> Attribution:
        """Scores of a few pairs in float64: see :mod:`deeplift_core.accuracy.rescoring`."""
        if self._float64 is None:
            self._float64 = self._twin()
        target, layer = task.asked
        scores = self._float64.attribute(rows, references, target, per_reference=True, layer=layer)
        if layer is not None:
            kinds: dict[str, Any] = {name: (getattr(scores, name),) for name in BY_LAYER}
            scores = replace(scores, **kinds)
        return scores

    def _twin(self) -> "DeepLift":
        """The same in float64, and with a few rows where the model takes so few."""
        assert self._recording is not None
        other = copy(self)
        other._dtype, other._compile, other._tasks = torch.float64, False, {}
        other._functions_in = self.dtype
        other._take((self._recording.few_rows or self._recording.graph).converted(torch.float64))
        return other

    def _make_steps(self) -> Callable[[Sequence[Task], int | None], Steps]:
        if self._steps:
            return partial(GradientSteps, steps=self._steps, at_input=self._rule == "gradient")
        if not self._compile:
            return Steps
        # torch's compiler takes seconds to import, and not everyone needs it.
        from deeplift_core.compile.steps import CompiledSteps

        return CompiledSteps

    def _recorded(self) -> Plan:
        if self._plan is None:
            raise OptionError("nothing is recorded yet: give an example, or call attribute() first")
        return self._plan

    @property
    def batch_size(self) -> int:
        """K, the number of rows of every batch."""
        return self._recorded().graph.batch_size

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the explained output for one sequence: what a target chooses from."""
        return tuple(self._recorded().graph.nodes[self._explained].shape[1:])

    @property
    def bytes_per_row(self) -> int:
        """Forward values that one sequence keeps for the reverse walk, its reference's included."""
        plan = self._recorded()
        kept = plan.graph.inputs if self._steps else values_to_keep(plan, self._explained, ())
        nodes = (plan.graph.nodes[index] for index in kept)
        return 2 * sum(node.shape.numel() * node.dtype.itemsize for node in nodes) // plan.graph.batch_size

    @property
    def weight_bytes(self) -> int:
        """Size of the weights and other constants that every batch reads."""
        return sum(tensor.nbytes for tensor in self._recorded().graph.constants)

    @property
    def explains_logit(self) -> bool:
        """Whether a final sigmoid or softmax is left out."""
        self._recorded()
        return self._explained != self._prediction

    @property
    def nodes(self) -> list[NodeInfo]:
        """Every recorded operation of the model with the rule it got."""
        plan = self._recorded()
        return described(plan.graph, self._explained, None if self._steps else plan, self._rule)

    def compiled(self, targets: Sequence[Target] = (0,)) -> "DeepLift":
        """The same recording with ``compile=True``, compiled for these targets.

        Parameters
        ----------
        targets : sequence of target
            As for `attribute`; any other target is compiled when it first comes.

        Raises
        ------
        CompileError
            If torch cannot compile, for instance for want of a C++ compiler.
        """
        other = copy(self)
        other._compile = True
        other._tasks = {}
        other._make_plan(self._recorded().graph)
        other.attribute_targets(*self.example_batch(1), targets)
        return other

    def example_batch(self, n_references: int) -> tuple[Tensors, Tensors]:
        """A batch of random numbers and references of the recorded shapes, to try how long scoring takes.

        Parameters
        ----------
        n_references : int
            R.

        Returns
        -------
        x, references : Tensor [K, ...], [K, R, ...], or tuples of them for a model with several inputs
            The same ones every time.
        """
        graph = self._recorded().graph
        generator = torch.Generator().manual_seed(0)
        x: list[Tensor] = []
        references: list[Tensor] = []
        for node in (graph.nodes[index] for index in graph.inputs):
            for drawn_into, shape in (
                (x, node.shape),
                (references, (node.shape[0], n_references, *node.shape[1:])),
            ):
                drawn = torch.rand(shape, generator=generator)
                drawn_into.append(drawn.to(dtype=node.dtype, device=graph.device))
        return (x[0], references[0]) if len(x) == 1 else (tuple(x), tuple(references))

    def nodes_under(self, rule: str, layer_rules: Mapping[str, str] | None = None) -> list[NodeInfo]:
        """`nodes` as another rule would have them, where that has no rule for some of them, too.

        With a recording made by rule="gradient", which takes any operation, this shows all that stands
        in the way of DeepLIFT's own rules.

        Parameters
        ----------
        rule, layer_rules
            As for `DeepLift` itself.

        Raises
        ------
        OptionError
            If a rule is not known.
        """
        graph = self._recorded().graph
        name, steps = parse_rule(rule)
        return described(graph, self._explained, None if steps else Plan(graph, name, layer_rules), name)

    # ---- scores

    def check_target(self, target: Target) -> None:
        """Check a target before there is anything to score.

        Raises
        ------
        TargetError
            If it names no scalar of the output.
        """
        self._recorded()
        self._task(target, None)

    def attribute(
        self,
        x: Tensors,
        references: Tensors,
        target: Target = 0,
        *,
        per_reference: bool = False,
        layer: str | None = None,
    ) -> Attribution:
        """Contribution scores of x against references.

        Parameters
        ----------
        x : Tensor [N, ...] or tuple of Tensor
            Inputs; a tuple for a model with several.
        references : Tensor [N, R, ...] or [R, ...], or tuple of Tensor
            R references for each input, or R that serve all.
        target : int, tuple of int, callable, or (module name, index)
            Element of the (explained) output; or a function of it that returns one value a row; or an
            element of the output of any module, named as for ``layer``.
        per_reference : bool
            Return the first three results for each reference, [N, R, ...], instead of their mean.
        layer : str, optional
            Score the output of this module instead of the inputs: its name, with ":1" for the second call of
            a module that runs several times and "[0]" for the first of several output tensors.

        Returns
        -------
        Attribution

        Raises
        ------
        TargetError
            If the target names no scalar.
        OptionError
            If shapes do not fit.
        CompileError
            If it is to be compiled, and torch cannot.
        """
        (result,) = self.attribute_targets(x, references, [target], per_reference=per_reference, layer=layer)
        return result

    def attribute_targets(
        self,
        x: Tensors,
        references: Tensors,
        targets: Sequence[Target],
        *,
        per_reference: bool = False,
        layer: str | None = None,
    ) -> list[Attribution]:
        """What `attribute` returns for each of several targets, which share all forward passes.

        Parameters
        ----------
        x, references, per_reference, layer
            As for `attribute`.
        targets : sequence of target
            Each as for `attribute`.

        Returns
        -------
        list of Attribution
            One for each target.

        Raises
        ------
        TargetError, OptionError, CompileError
            As from `attribute`.
        """
        inputs, given = self._as_inputs(x), self._as_inputs(references)
        scorer = self._scorer or self._record(inputs)
        shared = self._check_shapes(inputs, given)
        tasks = tuple(self._task(target, layer) for target in targets)
        if not tasks:
            return []
        exactly = None if self._steps else self._exactly
        with torch.inference_mode(mode=False), torch.no_grad():  # adjoints are taken by autograd
            found = [
                scorer.score(tasks, rows, refs, exactly, shared=shared, per_reference=per_reference)
                for rows, refs in batches(inputs, given, self.batch_size, shared)
            ]
        one_input = layer is not None or not isinstance(x, tuple)
        return [joined(parts, inputs[0].shape[0], one_input) for parts in zip(*found, strict=True)]

    def _check_shapes(self, inputs: tuple[Tensor, ...], references: tuple[Tensor, ...]) -> bool:
        """Whether the references are shared; refuses shapes that do not fit."""
        graph = self._recorded().graph
        if not len(inputs) == len(references) == len(graph.inputs):
            given = f"{len(inputs)} for x and {len(references)} for references"
            raise OptionError(f"the model has {len(graph.inputs)} inputs; got {given}")
        shared = references[0].dim() == inputs[0].dim()
        for x, reference, index in zip(inputs, references, graph.inputs, strict=True):
            wanted = graph.nodes[index].shape[1:]
            if x.shape[1:] != wanted or x.shape[0] != inputs[0].shape[0] or x.shape[0] == 0:
                raise OptionError(
                    f"x has shape {tuple(x.shape)}; recorded was [N, {', '.join(map(str, wanted))}]"
                )
            leading = reference.shape[: reference.dim() - len(wanted)]
            fits = reference.shape[len(leading) :] == wanted and reference.numel() > 0
            if not fits or len(leading) != (1 if shared else 2) or (not shared and leading[0] != x.shape[0]):
                raise OptionError(
                    f"references have shape {tuple(reference.shape)}; for x of shape {tuple(x.shape)} they "
                    "must be [N, R, ...], or [R, ...] where all inputs share them"
                )
        return shared

    def _task(self, target: Target, layer: str | None) -> Task:
        """Nodes for this target and layer, kept for later calls."""
        target = targets.checked(target)
        if (target, layer) not in self._tasks:
            plan = self._recorded()
            if isinstance(target, tuple) and target and isinstance(target[0], str):
                name, index = target
                node = prediction = self._select(layer_node(plan.graph, name), index)
            else:
                node = self._select(self._explained, target)
                same = self._explained == self._prediction
                prediction = node if same else self._select(self._prediction, target)
            graph = plan.graph
            layers = tuple(graph.inputs)
            if layer is not None:
                plan, at = self._plan_of_layer(node, layer)
                layers = (at,)
            keep = frozenset(graph.inputs) if self._steps else values_to_keep(plan, node, layers)
            self._tasks[target, layer] = Task((target, layer), plan, node, prediction, layers, keep)
        return self._tasks[target, layer]

    def _select(self, output: int, target: Any) -> int:
        """Node of an element, or a function, of an output; the plan goes on with the extended graph."""
        plan = self._recorded()
        graph, node = targets.select(plan.graph, output, target, written_for=self._functions_in)
        if graph is not plan.graph:
            plan.extend(graph)
        return node

    def _plan_of_layer(self, target: int, layer: str) -> tuple[Plan, int]:
        """Plan and node for the scores of a module's output."""
        if self._steps:
            raise OptionError(f"layer= does not go with rule {self._rule!r}")
        at = layer_node(self._recorded().graph, layer)
        try:
            plan = self._recorded().scoring(at)
        except NoRuleError as problem:
            raise TargetError(f"the output of module {layer!r} cannot be scored: {problem}") from problem
        if at not in plan.reached(target):
            raise TargetError(f"the target does not depend on the output of module {layer!r}")
        return plan, at
