"""`DeepLift`: contribution scores of a model's inputs against references."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from deeplift_core.assignment.report import described
from deeplift_core.engine.batches import batches, joined
from deeplift_core.engine.targets import Target
from deeplift_core.errors import OptionError
from deeplift_core.explainer import Explainer, Options
from deeplift_core.graph import Graph
from deeplift_core.model_source import ModelSource, Tensors, check_shapes, example_batch
from deeplift_core.results import Attribution, NodeInfo

# One thread at a time records a model that was given without an example.
_LOCK = threading.Lock()


class DeepLift:
    """DeepLIFT contribution scores (Shrikumar, Greenside, Kundaje 2017).

    The model is recorded on a batch of K rows, and the recording is compared with the model on other rows.
    Every later batch has K rows, too (the last one is filled up). With R references a batch takes 1 + R
    forward passes and R backward passes. Threads may share an object.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it was (mode, device, dtype, hooks). Parameters are read when the model is recorded.
    example : Tensor [K, ...] or tuple of Tensor, optional
        A batch of inputs; K is the batch size. The first x by default.
    rule : str
        A preset: "genomics-default" (Rescale after convolutions, RevealCancel after dense layers),
        "rescale", "revealcancel", "revealcancel-positive-first"; for comparison "gradient" (times
        difference-from-reference) and "integrated-gradients" (midpoint rule with 50 steps; ":N" for N),
        which are exempt from summation-to-delta.
    layer_rules : mapping of str to str, optional
        fnmatch patterns of module names, each with the rule for the operations there that have a choice;
        the last pattern that fits counts.
    output : int or str
        Which output, where the model returns several.
    logits : bool
        Leave out a final sigmoid or softmax, or the logarithm of either, and explain its logit.
    centre : bool
        For softmax, subtract the mean contribution over its classes (paper, equation 5).
    channel_axis : int, optional
        Axis of x (the batch is axis 0) along which a one-hot base lies; by default axis 1, the last, or
        any other of size 4, in this order.
    dtype, device : torch.dtype, torch.device or str, optional
        To compute in and on; the model's own by default, the first input's where the model has none.
    compile : bool
        Compile both passes with torch.compile when the first batch comes: seconds to a minute for each
        target. The rules "gradient" and "integrated-gradients" are not compiled.
    passes : "auto" or sequence of str
        Optimisations, by the names in :mod:`deeplift_core.passes`; an empty sequence runs the recorded
        operations and the paper's formulas as they are, which is the specification of all others.

    Raises
    ------
    CaptureError
        If the model cannot be recorded, or the recording does not compute what the model does.
    UnsupportedOpsError
        If the model contains operations without a rule: all of them are listed.
    OptionError, TargetError
        If an option is not usable, or there is no such output.
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
        passes: str | Sequence[str] = "auto",
    ) -> None:
        self._options = Options(rule, dict(layer_rules or {}), logits, centre, channel_axis, compile, passes)
        self._source = ModelSource(model, output, dtype, device)
        self._made: Explainer | None = None
        if example is not None:
            self._made = Explainer(self._source.record(self._source.tensors(example)), self._options)

    @property
    def _explainer(self) -> Explainer:
        if self._made is None:
            raise OptionError("nothing is recorded yet: give an example, or call attribute() first")
        return self._made

    def _with(self, **changes: Any) -> "DeepLift":
        other = object.__new__(DeepLift)
        other.__dict__.update(self.__dict__, _options=replace(self._options, **changes))
        other._made = None if self._made is None else Explainer(self._made.recording, other._options)
        return other

    def with_rule(self, rule: str, layer_rules: Mapping[str, str] | None = None) -> "DeepLift":
        """Return the same recording under another rule; the model does not run again.

        Layer rules are not taken over. The parameters, and the errors raised, are those of `DeepLift`.
        """
        return self._with(rule=rule, layer_rules=dict(layer_rules or {}))

    def compiled(self, targets: Sequence[Target] = (0,)) -> "DeepLift":
        """Return the same recording with ``compile=True``, compiled for these targets.

        Raises
        ------
        CompileError
            If torch cannot compile, for instance for want of a C++ compiler.
        """
        other = self._with(compile=True)
        other.attribute_targets(*self.example_batch(1), targets)
        return other

    def attribute(
        self,
        x: Tensors,
        references: Tensors,
        target: Target = 0,
        *,
        per_reference: bool = False,
        layer: str | None = None,
    ) -> Attribution:
        """Return contribution scores of x against references.

        Parameters
        ----------
        x : Tensor [N, ...] or tuple of Tensor
            Inputs; a tuple for a model with several.
        references : Tensor [N, R, ...] or [R, ...], or tuple of Tensor
            R references for each input, or R that serve all.
        target : int, tuple of int, callable, or (module name, index)
            Element of the explained output; or a function of that output which returns one value a row, and
            which runs at every call; or an element of the output of any module, named as for
            ``layer``.
        per_reference : bool
            Return the first three results for each reference, [N, R, ...], instead of their mean.
        layer : str, optional
            Score the output of this module instead of the inputs: its name, with ":1" for the second call of
            a module that runs several times and "[0]" for the first of several output tensors.

        Raises
        ------
        TargetError, OptionError
            If the target names no scalar, or shapes do not fit.
        CompileError
            If the scoring is to be compiled, and torch cannot.
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
        """Return what `attribute` returns for each of several targets, which share all forward passes."""
        inputs, given = self._source.tensors(x), self._source.tensors(references)
        with _LOCK:
            self._made = self._made or Explainer(self._source.record(inputs), self._options)
        explainer, graph = self._explainer, self.graph
        shared = check_shapes(graph, inputs, given)
        if not targets:
            return []
        program = explainer.program(targets, layer)
        found = [
            explainer.score_batch(program, rows, refs, shared=shared, per_reference=per_reference)
            for rows, refs in batches(inputs, given, graph.batch_size, shared)
        ]
        one_input = layer is not None or not isinstance(x, tuple)
        return [joined(parts, len(inputs[0]), one_input) for parts in zip(*found, strict=True)]

    def check_target(self, target: Target) -> None:
        """Check a target before there is anything to score; a TargetError says what is wrong with it."""
        self._explainer.program([target], None)

    @property
    def graph(self) -> Graph:
        """The recording of the model, with the nodes of its logit; printable and savable."""
        return self._explainer.graph

    @property
    def nodes(self) -> list[NodeInfo]:
        """Every recorded operation of the model with the rule that it got."""
        return self.nodes_under(self._options.rule, self._options.layer_rules)

    def nodes_under(self, rule: str, layer_rules: Mapping[str, str] | None = None) -> list[NodeInfo]:
        """Return `nodes` as another rule would have them, operations without a rule included.

        A recording made with rule="gradient", which takes any operation, so shows all that stands in the
        way of DeepLIFT's own rules.
        """
        return described(self.graph, self._explainer.explained, rule, layer_rules or {})

    def example_batch(self, n_references: int) -> tuple[Tensors, Tensors]:
        """Return random x [K, ...] and references [K, R, ...], to try how long scoring takes."""
        return example_batch(self.graph, n_references)

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self._source.dtype

    @property
    def device(self) -> torch.device:
        """What is computed on."""
        return self._source.device

    @property
    def batch_size(self) -> int:
        """K, the number of rows of every batch."""
        return self.graph.batch_size

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the explained output for one sequence: what a target chooses from."""
        return tuple(self.graph.nodes[self._explainer.explained].shape[1:])

    @property
    def explains_logit(self) -> bool:
        """Whether a final sigmoid or softmax is left out."""
        return self._explainer.explained != self._explainer.recording.output

    @property
    def bytes_per_row(self) -> int:
        """Size of the forward values that one sequence keeps, its reference's included."""
        return self._explainer.bytes_per_row

    @property
    def weight_bytes(self) -> int:
        """Size of the weights and other constants that every batch reads."""
        return sum(tensor.nbytes for tensor in self.graph.constants)

    @property
    def rescoring_stopped(self) -> str:
        """Why pairs are no longer scored again in float64; "" while they are."""
        return self._explainer.rescoring.stopped
