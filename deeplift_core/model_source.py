"""The model to explain: its precision and device, the tensors that it takes, and its recording."""

from collections.abc import Mapping, Sequence
from functools import partial
from glob import escape
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from deeplift_core.arguments import as_tensor, check_integer, check_model, checked_device, checked_dtype
from deeplift_core.capture import Recording, record
from deeplift_core.engine.targets import choose_output
from deeplift_core.errors import OptionError
from deeplift_core.graph import Graph

Tensors = Tensor | tuple[Tensor, ...]
# What a user may give: tensors, or NumPy arrays, which this package knows by what they can do.
Arrays = Any
LayerRuleMap = Mapping[str, str] | Mapping[nn.Module, str] | Mapping[str | nn.Module, str]


class ModelSource:
    """A user's model with the precision and the device of its computation.

    Parameters
    ----------
    model : torch.nn.Module
    output : int or str
    dtype, device
        The arguments of `DeepLift`.

    Raises
    ------
    OptionError
        If the model is not a module, or another argument is not of its kind.
    """

    def __init__(
        self,
        model: nn.Module,
        output: int | str,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        check_model(model)
        if not isinstance(output, str):
            check_integer("output", output, "the place or the name of an output")
        self._model = model
        self._output = output
        tensors = chain(model.parameters(), model.buffers())
        own = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
        self._dtype = checked_dtype(dtype) or (None if own is None else own.dtype)
        self.device = checked_device(device or ("cpu" if own is None else own.device))

    @property
    def dtype(self) -> torch.dtype:
        """The user's precision, else the model's own, else that of the first input."""
        return self._dtype or torch.get_default_dtype()

    def tensors(self, value: Arrays, at_least: torch.dtype | None = None) -> tuple[Tensor, ...]:
        """Return inputs or references as a tuple, in the precision and on the device of the computation.

        Parameters
        ----------
        value : tensor or array, or tuple of these
        at_least : torch.dtype, optional
            Return this precision if that of the computation is lower.

        Raises
        ------
        OptionError
            If an item is neither a tensor nor a NumPy array of numbers.
        """
        tensors = [as_tensor(item) for item in (value if isinstance(value, tuple) else (value,))]
        if self._dtype is None:
            first = tensors[0].dtype
            self._dtype = first if first.is_floating_point else torch.get_default_dtype()
        dtype = self.dtype if at_least is None else torch.promote_types(self.dtype, at_least)
        return tuple(tensor.to(device=self.device, dtype=dtype) for tensor in tensors)

    def module_name(self, module: str | nn.Module) -> str:
        """Return the qualified name of one of the model's modules; names are returned as they are.

        Raises
        ------
        OptionError
            If the module is not a part of the model.
        """
        if isinstance(module, str):
            return module
        names = [str(name) for name, own in self._model.named_modules() if own is module]
        if names:
            return names[0]
        raise OptionError(
            f"this {type(module).__name__} is no module of the model {type(self._model).__name__}"
        )

    def layer_patterns(self, rules: LayerRuleMap | None) -> dict[str, str]:
        """Return layer rules by patterns of names; a module stands for itself and the modules inside.

        Raises
        ------
        OptionError
            If a module is not a part of the model, or the rules are not a mapping.
        """
        if rules is not None and not isinstance(rules, Mapping):
            raise OptionError(
                "layer_rules is a mapping of patterns of module names to rules, such as "
                f"{{'conv*': 'rescale'}}, not {rules!r}"
            )
        patterns: dict[str, str] = {}
        for key, rule in (rules or {}).items():
            name = self.module_name(key)
            patterns[name if isinstance(key, str) else f"{escape(name)}.**" if name else "**"] = rule
        return patterns

    def __str__(self) -> str:
        return type(self._model).__name__

    def record(self, example: tuple[Tensor, ...]) -> Recording:
        """Record the model on a batch.

        Raises
        ------
        OptionError
            If the batch has no rows.
        CaptureError, TargetError
            If the model cannot be recorded, or has no such output.
        """
        if not all(tensor.dim() and len(tensor) for tensor in example):
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in example)
            raise OptionError(f"a model is recorded on one row at least; got shape {shapes}")
        return record(self._model, example, partial(choose_output, output=self._output))


def check_shapes(graph: Graph, inputs: Sequence[Tensor], references: Sequence[Tensor]) -> bool:
    """Return whether all inputs share the references.

    Raises
    ------
    OptionError
        If shapes do not fit the recording or each other.
    """
    if not len(inputs) == len(references) == len(graph.inputs):
        given = f"{len(inputs)} for x and {len(references)} for references"
        wanted_count = "1 input" if len(graph.inputs) == 1 else f"{len(graph.inputs)} inputs"
        raise OptionError(f"the model has {wanted_count}; got {given}")
    shared = references[0].dim() == inputs[0].dim()
    count = 0
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
        count = count or leading[-1]
        if leading[-1] != count:
            raise OptionError(
                f"there are {count} references of the first input and {leading[-1]} of another; all inputs "
                "must have as many"
            )
    return shared


def check_expected(inputs: Sequence[Tensor], expected: Sequence[Tensor], n_references: int) -> None:
    """Check the expectation of references, which has the shape of x.

    Raises
    ------
    OptionError
        If the shapes differ, or there are fewer than two references.
    """
    ours, given = ([tuple(tensor.shape) for tensor in tensors] for tensors in (inputs, expected))
    if ours != given:
        shapes = [" and ".join(map(str, shapes)) for shapes in (given, ours)]
        raise OptionError(f"expected_reference has shape {shapes[0]}; it must be that of x, {shapes[1]}")
    if n_references < 2:
        raise OptionError(
            "expected_reference= needs two references or more, since each is corrected by the others"
        )


def example_batch(graph: Graph, n_references: int) -> tuple[Tensors, Tensors]:
    """Return random numbers as a batch with references, in the recorded shapes, the same in every call."""
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
