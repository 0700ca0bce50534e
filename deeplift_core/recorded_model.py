"""The properties of a recorded model apart from scores: its graph, rules, shapes and sizes."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from deeplift_core.assignment.report import described, noted
from deeplift_core.engine.targets import Target
from deeplift_core.errors import OptionError
from deeplift_core.explainer import Explainer, Options
from deeplift_core.graph import Graph
from deeplift_core.model_source import ModelSource, Tensors, example_batch
from deeplift_core.results import NodeInfo

# One thread at a time records a model that was given without an example.
_LOCK = threading.Lock()


class RecordedModel:
    """A model with its recording, which is made when the first batch comes, and the options of its scores.

    Parameters
    ----------
    source : ModelSource
    options : Options
    """

    def __init__(self, source: ModelSource, options: Options) -> None:
        self._source = source
        self._options = options
        self._made: Explainer | None = None

    def _record(self, example: tuple[Tensor, ...]) -> None:
        """Record the model on a batch, unless it is recorded already."""
        with _LOCK:
            if self._made is None:
                places = self._options.constant_inputs
                if places and not (set(places) < set(range(len(example)))):
                    raise OptionError(
                        f"constant_inputs={places} are not some of the {len(example)} inputs, counted from 0"
                    )
                recording = self._source.record(example)
                self._made = Explainer(recording, self._options, [example[place] for place in places])

    @property
    def _explainer(self) -> Explainer:
        if self._made is None:
            raise OptionError("nothing is recorded yet: give an example, or call attribute() first")
        return self._made

    def _with(self, **changes: Any) -> Self:
        """Return the same recording under other options."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _options=replace(self._options, **changes))
        other._made = None if self._made is None else self._made.with_options(**changes)
        return other

    def __repr__(self) -> str:
        """Return what is recorded and how scores are computed, in a few lines."""
        name, options = type(self).__name__, self._options
        rules = "".join(f", {pattern}={rule}" for pattern, rule in options.layer_rules.items())
        given = f"{name} of {self._source} under {options.rule}{rules}"
        if self._made is None:
            return f"<{given}; nothing is recorded yet>"
        shapes = ", ".join(str(list(self.graph.nodes[index].shape)) for index in self.graph.inputs)
        explained = "the logit of the output" if self.explains_logit else "the output"
        counts = Counter(node.rule for node in self.nodes)
        operations = ", ".join(f"{rule} {count}" for rule, count in counts.most_common())
        return (
            f"<{given}\n"
            f"  recorded on   {shapes}, {self.dtype}, {self.device}\n"
            f"  explains      {explained}, {list(self.output_shape)} for each row\n"
            f"  operations    {operations}>"
        )

    def check_target(self, target: Target) -> None:
        """Check a target before any sequence is scored.

        Raises
        ------
        TargetError
            If the target names no scalar of the model.
        """
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
        """Return `nodes` under another rule, operations without a rule included.

        A `DeepLift` made with rule="gradient" takes any operation; this method then shows all operations that
        DeepLIFT's own rules do not explain.
        """
        return described(self.graph, self._explainer.explained, rule, layer_rules or {})

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the rules of this model, one line each; empty for most models.

        Notes say where RevealCancel follows a dense layer that reads the input itself, and where
        ``detach()`` is passed through.
        """
        return self.notes_under(self._options.rule, self._options.layer_rules)

    def notes_under(self, rule: str, layer_rules: Mapping[str, str] | None = None) -> list[str]:
        """Return `notes` under another rule."""
        return noted(self.graph, self._explainer.explained, rule, layer_rules or {})

    def example_batch(self, n_references: int) -> tuple[Tensors, Tensors]:
        """Return random x [K, ...] and references [K, R, ...], to try how long scoring takes."""
        return example_batch(self.graph, n_references)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the computation."""
        return self._source.dtype

    @property
    def device(self) -> torch.device:
        """The device of the computation."""
        return self._source.device

    @property
    def batch_size(self) -> int:
        """K, the number of rows of every batch."""
        return self.graph.batch_size

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the explained output for one sequence, from which a target chooses."""
        return tuple(self.graph.nodes[self._explainer.explained].shape[1:])

    @property
    def explains_logit(self) -> bool:
        """True if a final sigmoid or softmax, or the logarithm of either, is left out."""
        return self._explainer.explained != self._explainer.recording.output

    def centred_axis(self, target: Target = 0) -> int | None:
        """Return the axis of a target's output over which the mean is subtracted; None where none is.

        Parameters
        ----------
        target : Target
            Its output counts: another one than the explained output for `OfOutput`, none for a module's.

        Returns
        -------
        int or None
            The axis of the classes of a final softmax, with the batch as axis 0.
        """
        return self._explainer.centred_axis(target)

    def shape_of(self, target: Target) -> tuple[int, ...]:
        """Return the shape for one sequence of the output that a target chooses from."""
        return self._explainer.shape_of(target)

    @property
    def bytes_per_row(self) -> int:
        """Bytes of the forward values that one sequence and its reference keep."""
        return self._explainer.bytes_per_row

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights and other constants that every batch reads."""
        return sum(tensor.nbytes for tensor in self.graph.constants)

    @property
    def rescoring_stopped(self) -> str:
        """The reason why pairs are no longer scored again in float64; "" while rescoring is on."""
        return self._explainer.rescoring.stopped
