"""The zoo through ONNX, by both of torch's exporters: converts, equals onnxruntime, and scores exactly.

All combinations of exporter, operator set and batch run under ``make zoo``; by default each model is exported
once by the older exporter and every tenth by the current one, which takes a second; operator sets and batches
take turns.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx_cases import rare_operators
from promised import PROMISED
from torch import Tensor, nn
from zoo import ENTRIES, Entry

from deeplift_cli.errors import UserError
from deeplift_cli.models import ModelFile, read
from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error

D = torch.float64
EXPORTERS = {"legacy": (11, 13, 17, 20), "current": (18, 25)}
BATCHES = ("free", "one")
EXPORTABLE = [name for name, entry in ENTRIES.items() if entry.not_in_onnx is None]
# The exporter follows a trace, in which the number of rows of the example is a constant of the model.
ROWS_OF_EXAMPLE = 2


def _combinations() -> Iterator[Any]:
    every = [(kind, opset, batch) for kind, sets in EXPORTERS.items() for opset in sets for batch in BATCHES]
    older = [one for one in every if one[0] == "legacy"]
    current = [one for one in every if one[0] == "current"]
    for place, name in enumerate(EXPORTABLE):
        chosen = {older[place % len(older)]}
        if place % 10 == 0:
            chosen.add(current[place // 10 % len(current)])
        for one in every:
            marks = () if one in chosen else (pytest.mark.zoo,)
            yield pytest.param(name, *one, id="-".join(map(str, (name, *one))), marks=marks)


pytestmark = pytest.mark.usefixtures("one_thread")


def export(entry: Entry, path: Path, kind: str, opset: int, batch: str) -> None:
    """Write the file; what the exporter itself cannot write is skipped with what it says."""
    inputs = entry.inputs(1 if batch == "one" else ROWS_OF_EXAMPLE)
    names = [f"x{place}" for place in range(len(inputs))]
    settings: dict[str, Any] = {"input_names": names, "opset_version": opset, "dynamo": kind == "current"}
    if kind == "current":
        settings |= {"external_data": False, "verbose": False}
        if batch == "free":
            rows = torch.export.Dim("rows")
            settings["dynamic_shapes"] = (tuple({0: rows} for _ in inputs),)
    elif batch == "free":
        settings["dynamic_axes"] = {name: {0: "rows"} for name in names}
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(entry.make(), inputs, str(path), **settings)
    except Exception as error:  # noqa: BLE001 - exporters raise whatever their passes do
        pytest.skip(f"the {kind} exporter at operator set {opset}: {str(error).splitlines()[0][:120]}")


def outputs(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    return list(value) if isinstance(value, (tuple, list)) else [value]


def by_onnxruntime(path: Path, inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), inputs, strict=True)}
        return session.run(None, feeds)
    except Exception as error:  # noqa: BLE001 - its exceptions have no common class
        pytest.skip(f"onnxruntime cannot run the file: {str(error).splitlines()[0][:120]}")


def run(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return outputs(module(*inputs))


def assert_close(found: list[Tensor], expected: list[Any], tolerance: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        scale = max(1e-6, float(np.abs(np.asarray(other)).max()))
        np.testing.assert_allclose(one.numpy(), np.asarray(other), rtol=0, atol=tolerance * scale)


def scores(module: nn.Module, entry: Entry, rows: int, rule: str, dtype: torch.dtype) -> Any:
    x = entry.inputs(2 * rows, seed=5)
    given, references = (value if len(value) > 1 else value[0] for value in (x, entry.references(x, 2)))
    example = tuple(value[:rows] for value in x)
    output = 1 if entry.name == "several_outputs" else 0
    explainer = DeepLift(
        module, example if len(example) > 1 else example[0], rule=rule, dtype=dtype, output=output
    )
    return explainer.attribute(given, references, per_reference=True)


class _InOrder(nn.Module):
    """Outputs by their place, as an ONNX file has them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        return tuple(outputs(self.model(*inputs)))


def _agree(one: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Largest relative difference of what two modules compute in float64."""
    wide = tuple(x.double() for x in inputs)
    pairs = zip(run(one.double(), wide), run(other.double(), wide), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)


def _loaded(path: Path, kind: str, opset: int) -> ModelFile:
    try:
        return read(path)
    except UserError as error:
        pytest.fail(f"{kind} {opset}: {error}")


@pytest.mark.parametrize(("name", "kind", "opset", "batch"), list(_combinations()))
def test_through_onnx(name: str, kind: str, opset: int, batch: str, tmp_path: Path) -> None:
    entry = ENTRIES[name]
    path = tmp_path / "model.onnx"
    export(entry, path, kind, opset, batch)
    assert not rare_operators(path), "move what models have out of operators/rare"
    inputs = entry.inputs(1 if batch == "one" else ROWS_OF_EXAMPLE, seed=5)
    expected = by_onnxruntime(path, inputs)
    original = run(entry.make(), inputs)
    if not all(
        a.shape == b.shape and np.allclose(a, b, atol=1e-3) for a, b in zip(expected, original, strict=True)
    ):
        pytest.skip(f"the {kind} exporter at operator set {opset} wrote another function")
    model = _loaded(path, kind, opset)
    assert_close(run(model.module, inputs), expected, 1e-4)
    rows = model.batch_size or ROWS_OF_EXAMPLE
    rule = ("rescale", "genomics-default")[opset % 2]
    for dtype in (torch.float32, D):
        result = scores(model.module, entry, rows, rule, dtype)
        error = relative_error(result.completeness_error, result.output, result.reference_output)
        assert error.max() <= PROMISED[dtype]
    first = scores(_InOrder(entry.make()), entry, rows, "rescale", D)
    same = _agree(model.module, _InOrder(entry.make()), inputs) < 1e-12
    found = scores(model.module, entry, rows, "rescale", D)
    for one, other in zip(_each(found.contributions), _each(first.contributions), strict=True):
        scale = other.abs().max().clamp(min=1e-3)
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-9 if same else 1e-3)


def _each(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, tuple) else [value]
