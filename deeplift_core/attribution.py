"""`DeepLift`: contribution scores of a model's inputs against references."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeplift_core.engine.batches import batches, joined, rows_from
from deeplift_core.engine.targets import Target
from deeplift_core.errors import OptionError, TargetError
from deeplift_core.explainer import Options
from deeplift_core.model_source import Arrays, LayerRuleMap, ModelSource, check_expected, check_shapes
from deeplift_core.recorded_model import RecordedModel
from deeplift_core.results import Attribution, Outputs


class DeepLift(RecordedModel):
    """DeepLIFT contribution scores (Shrikumar, Greenside, Kundaje 2017).

    The model is recorded on a batch of K rows, and the recording is compared with the model on other rows.
    Every later batch has K rows, too (the last one is filled up). With R references a batch takes 1 + R
    forward passes and R backward passes. Threads may share an object.

    Parameters
    ----------
    model : torch.nn.Module
        The model, left as it was (mode, device, dtype, hooks). The parameters are read when the model is
        recorded.
    example : Tensor [K, ...] or tuple of Tensor, optional
        A batch of inputs, by default the first x; K is the batch size.
    rule : str
        A preset: "genomics-default" (Rescale after convolutions, RevealCancel after dense layers),
        "rescale", "revealcancel", "revealcancel-positive-first"; for comparison "gradient" (times
        difference-from-reference) and "integrated-gradients" (midpoint rule with 50 steps; ":N" for N),
        which are exempt from summation-to-delta.
    layer_rules : mapping of str or Module to str, optional
        fnmatch patterns of module names ("encoder.**" for a module and all inside), or such modules, each
        with the rule for the operations there that have a choice; the last that fits counts.
    output : int or str
        The output to explain, if the model returns several.
    logits : bool
        True to leave out a final sigmoid or softmax, or the logarithm of either, and explain its logit.
    centre : bool
        True to subtract, for softmax, the mean contribution over its classes (paper, equation 5).
    channel_axis : int, optional
        Axis of x (the batch is axis 0) along which a one-hot base lies; by default axis 1, the last, or
        any other of size 4, in this order.
    dtype, device : torch.dtype, torch.device or str, optional
        The precision and the device of the computation: by default the model's own, else the first input's.
    compile : bool
        True to compile both passes with torch.compile when the first batch comes, which takes seconds to a
        minute for each target. The rules "gradient" and "integrated-gradients" are not compiled.
    passes : "auto" or sequence of str
        Optimisations, by the names in :mod:`deeplift_core.passes`; an empty sequence runs the recorded
        operations and the paper's formulas as they are, which is the specification of all others.
    constant_inputs : sequence of int
        Places of inputs that a row and its references have in common, such as control tracks. Rules take them
        for constants of each row, so that scores are those of a model with these values inside. ``x`` holds
        all inputs; ``references`` and the results are those of the other inputs. Rules are assigned again for
        every batch, and nothing is compiled.

    Raises
    ------
    CaptureError
        If the model cannot be recorded, or the recording does not compute what the model does.
    UnsupportedOpsError
        If the model contains operations without a rule: all of them are listed.
    OptionError, TargetError
        If an option is not usable, or there is no such output.

    Examples
    --------
    >>> explainer = DeepLift(model, example=x[:32], rule="rescale", layer_rules={"pool*": "aumann-shapley"})
    >>> print(explainer)                                       # what is recorded, and how it is explained
    >>> result = explainer.attribute(x, references, target=3)
    >>> result.contributions, result.hypothetical              # [N, 4, L] each
    >>> explainer.attribute(x, references, layer="conv2")      # of a layer instead of the input
    >>> explainer.nodes                                        # every operation with its rule
    """

    def __init__(
        self,
        model: nn.Module,
        example: Arrays | None = None,
        rule: str = "genomics-default",
        layer_rules: LayerRuleMap | None = None,
        output: int | str = 0,
        logits: bool = True,
        centre: bool = True,
        channel_axis: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word for it
        passes: str | Sequence[str] = "auto",
        constant_inputs: Sequence[int] = (),
    ) -> None:
        source = ModelSource(model, output, dtype, device)
        patterns = source.layer_patterns(layer_rules)
        constants = tuple(constant_inputs)
        super().__init__(
            source, Options(rule, patterns, logits, centre, channel_axis, compile, passes, constants)
        )
        if example is not None:
            self._record(self._source.tensors(example))

    def with_rule(self, rule: str, layer_rules: LayerRuleMap | None = None) -> "DeepLift":
        """Return the same recording under another rule; the model does not run again.

        Layer rules are not taken over. The parameters, and the errors raised, are those of `DeepLift`.
        """
        return self._with(rule=rule, layer_rules=self._source.layer_patterns(layer_rules))

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
        x: Arrays,
        references: Arrays,
        target: Target = 0,
        *,
        per_reference: bool = False,
        layer: str | nn.Module | None = None,
        expected_reference: Arrays | None = None,
    ) -> Attribution:
        """Return contribution scores of x against references.

        Parameters
        ----------
        x : Tensor [N, ...] or tuple of Tensor
            Inputs; a tuple for a model with several. NumPy arrays are taken, too.
        references : Tensor [N, R, ...] or [R, ...], or tuple of Tensor
            R references for each input, or R that serve all; none for inputs that are constants.
        target : int, tuple of int, callable, (module name, index), or OfOutput
            Element of the explained output; or a function of that output which returns one value a row; or an
            element of the output of any module, named as for ``layer``; or ``OfOutput(output, target)``, a
            target of another output of the model. A function runs at every call, because what it computes may
            have changed, unless its class is derived from `deeplift_core.TargetFunction`: such a function is
            recorded once, and found again by its value.
        per_reference : bool
            Return the first three results for each reference, [N, R, ...], instead of their mean.
        layer : str or Module, optional
            Score the output of this module instead of the inputs: the module, or its name, with ":1" for the
            second call of a module that runs several times and "[0]" for the first of several output tensors.
        expected_reference : Tensor [N, ...] or tuple of Tensor, optional
            The expectation of the references of each input, which are independent draws: their expected
            one-hot, or an estimate without bias from other draws. The expectation serves as a control
            variate, which makes the mean over references less noisy at no further pass of the model, and
            leaves the mean without bias: see :mod:`deeplift_core.engine.control_variate`. The control variate
            needs two references or more; with fewer than five the noise may become larger.

        Raises
        ------
        TargetError, OptionError
            If the target names no scalar, shapes do not fit, or options contradict each other.
        CompileError
            If the scoring is to be compiled, and torch cannot.
        """
        (result,) = self.attribute_targets(
            x,
            references,
            [target],
            per_reference=per_reference,
            layer=layer,
            expected_reference=expected_reference,
        )
        return result

    def attribute_targets(
        self,
        x: Arrays,
        references: Arrays,
        targets: Sequence[Target],
        *,
        per_reference: bool = False,
        layer: str | nn.Module | None = None,
        expected_reference: Arrays | None = None,
    ) -> list[Attribution]:
        """Return what `attribute` returns for each of several targets, which share all forward passes."""
        if isinstance(targets, str) or not isinstance(targets, Sequence):
            raise TargetError(f"targets is a list of targets, not {targets!r}; attribute() takes one target")
        inputs, given = self._source.tensors(x), self._source.tensors(references)
        self._record(inputs)
        explainer, graph = self._explainer, self.graph
        inputs, constants = self._divided(inputs)
        shared = check_shapes(graph, inputs, given)
        if not targets:
            return []
        at = None if layer is None else self._source.module_name(layer)
        expected: tuple[torch.Tensor, ...] = ()
        if expected_reference is not None:
            if per_reference or layer is not None:
                other = "per_reference=" if per_reference else "layer="
                raise OptionError(
                    f"expected_reference= corrects the inputs' mean over references; leave out {other}"
                )
            expected = self._source.tensors(expected_reference, at_least=torch.float32)
            check_expected(inputs, expected, given[0].shape[0 if shared else 1])
        program = explainer.program(targets, at)
        size, found = graph.batch_size, []
        for number, (rows, refs) in enumerate(batches(inputs, given, size, shared)):
            start = number * size
            if constants:
                own = [rows_from(tensor, start, size) for tensor in constants]
                explainer = explainer.with_constants(own)
                program = explainer.program(targets, at)
            found.append(
                explainer.score_batch(
                    program,
                    rows,
                    refs,
                    shared=shared,
                    per_reference=per_reference,
                    expected=[rows_from(tensor, start, size) for tensor in expected],
                )
            )
        one_input = layer is not None or not isinstance(references if constants else x, tuple)
        return [joined(parts, len(inputs[0]), one_input) for parts in zip(*found, strict=True)]

    def outputs(self, x: Arrays, targets: Sequence[Target] = (0,)) -> list[Outputs]:
        """Return the explained scalars of x and the model's predictions, by forward passes alone.

        The rule does not matter; the recording, ``logits`` and ``centre`` do, so that the scalars are those
        that `attribute` explains.

        Parameters
        ----------
        x : Tensor [N, ...] or tuple of Tensor
            Inputs, as for `attribute`.
        targets : sequence of Target
            Targets, as for `attribute`.

        Returns
        -------
        list of Outputs
            One for each target.

        Raises
        ------
        TargetError, OptionError
            If a target names no scalar, or shapes do not fit.
        """
        inputs = self._source.tensors(x)
        self._record(inputs)
        explainer, size, total = self._explainer, self.graph.batch_size, len(inputs[0])
        inputs, constants = self._divided(inputs)
        check_shapes(self.graph, inputs, inputs)
        if not targets:
            return []
        run, found = explainer.forward(targets), []
        for start in range(0, total, size):
            if constants:
                own = [rows_from(tensor, start, size) for tensor in constants]
                run = explainer.with_constants(own).forward(targets)
            found.append(run([rows_from(tensor, start, size).contiguous() for tensor in inputs]))
        return [
            Outputs(*(torch.cat(part)[:total] for part in zip(*parts, strict=True)))
            for parts in zip(*found, strict=True)
        ]

    def _divided(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the inputs that are explained, and those that are constants.

        Raises
        ------
        OptionError
            If the constants have another shape than was recorded, or other numbers of rows.
        """
        places = self._options.constant_inputs
        recorded = self._explainer.recorded.graph
        if not places:
            return inputs, ()
        if len(inputs) != len(recorded.inputs):
            raise OptionError(f"the model has {len(recorded.inputs)} inputs; got {len(inputs)} for x")
        constants = tuple(inputs[place] for place in places)
        for place, tensor in zip(places, constants, strict=True):
            wanted = recorded.nodes[recorded.inputs[place]].shape[1:]
            if tensor.shape != (len(inputs[0]), *wanted):
                raise OptionError(
                    f"input {place} has shape {tuple(tensor.shape)}; for {len(inputs[0])} rows it must be "
                    f"{(len(inputs[0]), *wanted)}"
                )
        return tuple(tensor for place, tensor in enumerate(inputs) if place not in places), constants
