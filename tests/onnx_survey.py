"""What the ONNX reader and the rules make of each case in `onnx_cases`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx_cases import FLOATS, Case, by_onnxruntime
from promised import PROMISED
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx.conversion import convert_nodes, to_module
from deeplift_cli.models.onnx.definitions import has_definition, is_converted
from deeplift_cli.models.onnx.graph import Graph
from deeplift_cli.models.onnx.preparation import prepare
from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error
from deeplift_core.errors import CaptureError, UnsupportedOpsError

RULES = {torch.float32: "genomics-default", torch.float64: "rescale"}


@dataclass(frozen=True)
class Conversion:
    """What came of converting a case with some of its inputs as inputs of the model, others as constants.

    Attributes
    ----------
    how : str
        Who converted it; "" where nobody did.
    problem : str
        Why it did not convert or run; "differs: ..." where it gave something else.
    by_onnxruntime : bool
        It gives what onnxruntime gives, and ONNX's reference gives something else.
    """

    varying: tuple[int, ...]
    how: str
    problem: str
    by_onnxruntime: bool = False
    module: nn.Module | None = None


@dataclass(frozen=True)
class Score:
    """What DeepLIFT makes of a converted case: "exact", "refused", "inexact" or "constant", and why."""

    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Finding:
    """All about one case.

    Attributes
    ----------
    first : Conversion
        With one input that varies: the first of floating point, or else mask, or else all inputs.
    constant : Conversion or None
        With none, where that did not do.
    several : Conversion or None
        With all inputs of floating point varying, where there are several.
    """

    case: Case
    first: Conversion
    constant: Conversion | None
    several: Conversion | None
    score: Score | None

    @property
    def converts(self) -> bool:
        """Whether it gives what it should."""
        return not self.first.problem

    @property
    def converts_constants(self) -> bool:
        """Whether it gives what it should at least on constants."""
        return self.converts or (self.constant is not None and not self.constant.problem)


def _varying(case: Case) -> list[int]:
    """The inputs that may depend on the sequence: those of floating point, else masks."""
    assert case.inputs is not None
    kinds = [array.dtype.name for array in case.inputs]
    floats = [place for place, kind in enumerate(kinds) if kind in FLOATS]
    return floats or [place for place, kind in enumerate(kinds) if kind == "bool"]


def first_conversion(case: Case) -> Conversion:
    """Convert a case with the first input varying that may depend on the sequence; else with all."""
    varying = _varying(case)[:1] or range(len(case.inputs or ()))
    return conversion(case, tuple(varying))


def survey(case: Case) -> Finding:
    """Convert, run and score a case."""
    varying, first = _varying(case), first_conversion(case)
    constant = conversion(case, ()) if first.problem else None
    several = conversion(case, tuple(varying)) if len(varying) > 1 else None
    if first.problem or not varying:
        return Finding(case, first, constant, several, None)
    others = (conversion(case, (place,)) for place in varying[1:])
    return Finding(case, first, constant, several, score(case, [several or first, first, *others]))


# ---- conversion


def conversion(case: Case, varying: tuple[int, ...]) -> Conversion:
    """Convert a case and compare what it gives."""
    model = with_constants(case, varying)
    try:
        graph = Graph.from_model(model)
        opset = graph.opset
        prepare(graph)
        missing = convert_nodes(graph)
        if missing:
            return Conversion(varying, "", f"no converter for {missing[0].operator}")
        module = to_module(graph)
    except (UserError, NotImplementedError) as error:
        return Conversion(varying, "", str(error).splitlines()[0])
    how = converted_by(case.operator, opset, graph)
    inputs = tuple(torch.from_numpy(_single(case.inputs[place])) for place in varying)
    try:
        with torch.no_grad():
            found = [np.asarray(value) for value in _flat(module(*inputs))]
    except (RuntimeError, IndexError, NotImplementedError) as error:
        return Conversion(varying, how, f"does not run: {str(error).splitlines()[0]}")
    problem = difference(found, case.outputs, case.relative)
    if not problem:
        return Conversion(varying, how, "", module=module)
    if not difference(found, _second_opinion(case), case.relative):
        return Conversion(varying, how, "", by_onnxruntime=True, module=module)
    return Conversion(varying, how, f"differs: {problem}", module=module)


def with_constants(case: Case, varying: Sequence[int]) -> Any:
    """The case's model with all inputs but these as constants."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    declared = list(model.graph.input)
    for place, value in enumerate(declared):
        if place not in varying:
            model.graph.initializer.append(numpy_helper.from_array(case.inputs[place], value.name))
            model.graph.input.remove(value)
    return model


def _single(array: np.ndarray) -> np.ndarray:
    return np.array(array, dtype=np.float32 if array.dtype.name in FLOATS else array.dtype)


def _flat(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray] | None, relative: float) -> str:
    """By how much outputs differ from what is expected; "" where they agree."""
    if expected is None or len(found) != len(expected):
        return f"{len(found)} outputs"
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape:
            return f"shape {one.shape}, not {other.shape}"
        wide = [array.astype(np.float64) for array in (one, other)]
        largest = np.abs(wide[1][np.isfinite(wide[1])]).max(initial=1.0)
        if not np.allclose(*wide, rtol=relative, atol=relative * largest, equal_nan=True):
            return f"by up to {np.nanmax(np.abs(wide[0] - wide[1])):.2g}"
    return ""


def _second_opinion(case: Case) -> tuple[np.ndarray, ...] | None:
    try:
        return by_onnxruntime(case.model, case.inputs)
    except Exception:  # noqa: BLE001 - its exceptions have no common class
        return None


def converted_by(operator: str, opset: int, graph: Graph) -> str:
    """Who converts an operator of an operator set, by what became of it in the converted graph."""
    nodes = [node for node in graph.nodes if node.op_type != "Identity"]
    if operator == "Identity" or not nodes:
        return "worked out beforehand"
    if has_definition(operator, opset) and not is_converted(operator, opset):
        return "its definition in ONNX"
    if not is_converted(operator, opset):
        return "written out"
    return "deeplift" if any(node.name in graph.modules for node in nodes) else "onnx2torch"


# ---- scores


class _OneRow(nn.Module):
    """A converted case as a model of one row: whatever its axes stand for, they are one example's."""

    def __init__(self, module: nn.Module, used: Sequence[int], masks: bool) -> None:
        super().__init__()
        self.module, self.used, self.masks = module, list(used), masks

    def forward(self, *inputs: Tensor) -> Tensor:
        results = _flat(self.module(*(x[0] > 0.5 if self.masks else x[0] for x in inputs)))
        return torch.cat([results[place].reshape(1, -1).to(inputs[0].dtype) for place in self.used], 1)


def score(case: Case, conversions: Iterable[Conversion]) -> Score:
    """Score a case as converted in the first of these ways that is not refused."""
    found = []
    for one in conversions:
        if one.module is None or one.problem:
            continue
        found.append(_scored(case, one))
        if found[-1].verdict in ("exact", "inexact"):
            return found[-1]
    return found[0]


def _used(outputs: Sequence[np.ndarray]) -> list[int]:
    """Outputs to explain: finite ones; whole numbers (positions, mostly) only where there are no others."""
    finite = [place for place, one in enumerate(outputs) if one.size and np.isfinite(one.astype(float)).all()]
    floating = [place for place in finite if outputs[place].dtype.name in FLOATS]
    return floating or finite


def _scored(case: Case, conversion: Conversion) -> Score:
    used = _used(case.outputs)
    given = [case.inputs[place] for place in conversion.varying]
    x = [torch.from_numpy(_single(array)).double() for array in given]
    if not used or not all(bool(value.isfinite().all()) and value.numel() for value in x):
        return Score("constant", "infinite or empty")
    module = _OneRow(conversion.module, used, masks=given[0].dtype == np.bool_)
    references = [_references(value, seed, module.masks) for seed, value in enumerate(x)]
    largest = 0.0
    for dtype, rule in RULES.items():
        try:
            found = _attributed(module, x, references, rule, dtype)
        except UnsupportedOpsError as error:
            return Score("refused", str(error))
        except CaptureError as error:
            constant = "no tensor that depends on its input" in str(error)
            return Score("constant" if constant else "refused", str(error))
        error = relative_error(found.completeness_error, found.output, found.reference_output)
        if not bool((error <= PROMISED[dtype]).all()):
            return Score("inexact", f"{rule}, {dtype}: by {float(error.max()):.1e}")
        largest = max(largest, float((found.output[:, None] - found.reference_output).abs().max()))
    return Score("exact" if largest else "constant")


def _attributed(
    module: nn.Module, x: Sequence[Tensor], references: Sequence[Tensor], rule: str, dtype: torch.dtype
) -> Any:
    rows, others = tuple(value[None] for value in x), tuple(value[None] for value in references)
    explainer = DeepLift(module, rows, rule=rule, dtype=dtype, logits=False)
    weights = torch.linspace(0.5, 1.5, explainer.output_shape[0], dtype=dtype)
    return explainer.attribute(rows, others, target=lambda output: output @ weights)


def _references(x: Tensor, seed: int, masks: bool) -> Tensor:
    """Two references between values of x, so that functions that are not defined everywhere are there."""
    generator = torch.Generator().manual_seed(seed)
    flat = x.reshape(-1)
    turns = [flat[torch.randperm(x.numel(), generator=generator)] for _ in range(4)]
    mixed = turns[:2] if masks else [(turns[0] + turns[1]) / 2, (turns[2] + turns[3]) / 2]
    return torch.stack(mixed).reshape(2, *x.shape)
