"""Checking a converted model against onnxruntime."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx.errors import brief
from deeplift_cli.models.onnx.several_inputs import Packed, pack
from deeplift_cli.models.probing import TOLERANCE, largest_difference, run
from deeplift_cli.process.failures import is_about_memory

# Loading stays quick, since larger files or inputs (a 32 kb sequence) are not compared with onnxruntime.
LARGEST_FILE = 256 << 20
LARGEST_INPUT = 4 * (1 << 15)
# Tolerances of files in a half precision, in which onnxruntime rounds the result of every operation.
_HALF_TOLERANCES: dict[int | None, float] = {onnx.TensorProto.FLOAT16: 2e-2, onnx.TensorProto.BFLOAT16: 0.1}
# Differences up to so many times the model's own rounding errors are rounding errors, too.
_TIMES_ROUNDING = 10


def compare_with_onnxruntime(
    path: Path,
    size: int,
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    instead: bytes | None = None,
    half: int | None = None,
) -> tuple[str, ...]:
    """Compare a converted model with onnxruntime, where that is installed and the model is not too large.

    Parameters
    ----------
    path : pathlib.Path
    size : int
        Bytes of the file and its external data.
    module : nn.Module
    inputs : tuple of Tensor
        A batch of the size that the file declares.
    instead : bytes, optional
        The model to run in place of the file, where that only does in training what was taken out.
    half : int, optional
        The half precision that the file computes in; see `half_precision`.

    Returns
    -------
    tuple of str
        A note where onnxruntime cannot run the file.

    Raises
    ------
    UserError
        Where they differ.
    """
    if importlib.util.find_spec("onnxruntime") is None or size > LARGEST_FILE:
        return ()
    if sum(x[0].numel() for x in inputs) > LARGEST_INPUT:
        return ()
    expected = _run_onnxruntime(_readable(path) if instead is None else instead, inputs)
    if isinstance(expected, str):
        return (f"not checked against onnxruntime, which cannot run it: {expected}",)
    found = _outputs(module, inputs)
    if isinstance(found, str):
        raise UserError(
            f"{path} was not converted rightly, as onnxruntime runs it: {brief(RuntimeError(found))}; please "
            "report it, and export the model to TorchScript or torch.export meanwhile"
        )
    difference = _difference([tensor.float() for tensor in found], expected, half)
    if difference > _HALF_TOLERANCES.get(half, TOLERANCE) and not _is_rounding(module, inputs, difference):
        raise UserError(
            f"{path} was not converted rightly: outputs differ from onnxruntime's by {difference:.1e} of the "
            "largest; please report it, and export the model to TorchScript or torch.export meanwhile"
        )
    return ()


def _readable(path: Path) -> str | bytes:
    """Return what onnxruntime opens: the file's name, or its content where the name is no Unicode text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return str(path)


def half_precision(model: onnx.ModelProto) -> int | None:
    """Return the coarsest half precision in which a model has weights, inputs or results; None without one.

    Parameters
    ----------
    model : onnx.ModelProto
        The model with inferred shapes and types, or without them.
    """
    graph = model.graph
    found = {tensor.data_type for tensor in graph.initializer}
    values = (*graph.input, *graph.output, *graph.value_info)
    found |= {value.type.tensor_type.elem_type for value in values}
    for node in graph.node:
        for item in node.attribute:
            found.add(item.t.data_type)
            if node.op_type == "Cast" and item.name == "to":
                found.add(item.i)
    coarse = (kind for kind in (onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16) if kind in found)
    return next(coarse, None)


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor], half: int | None) -> float:
    """The largest relative difference; where a half precision overflows, there is nothing to compare."""
    if half is not None and [a.shape for a in found] == [b.shape for b in expected]:
        pairs = [(a, b.isfinite()) for a, b in zip(found, expected, strict=True)]
        found = [a.where(finite, 0) for a, finite in pairs]
        expected = [b.where(finite, 0) for b, (_, finite) in zip(expected, pairs, strict=True)]
    return largest_difference(found, expected)


def _is_rounding(module: nn.Module, inputs: tuple[Tensor, ...], difference: float) -> bool:
    """Return whether the module's own rounding errors are as large as the difference."""
    single = _outputs(module, inputs)
    try:
        double = _outputs(module.double(), tuple(x.double() if x.is_floating_point() else x for x in inputs))
    finally:
        module.float()
    if isinstance(single, str) or isinstance(double, str):
        return False
    rounding = largest_difference([a.double() for a in single], [a.double() for a in double])
    return difference <= _TIMES_ROUNDING * rounding < float("inf")


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | str:
    if len(inputs) == 1:
        return run(module, inputs[0])
    return run(Packed(module, inputs), pack(inputs))


def _run_onnxruntime(model: str | bytes, inputs: tuple[Tensor, ...]) -> list[Tensor] | str:
    # onnxruntime is imported here, since it is not among the dependencies.
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about its own optimisations
    options.intra_op_num_threads = torch.get_num_threads()
    # onnxruntime runs the file's own operations, one after the other: optimising would compute constants of
    # any size.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False  # it takes memory in ever larger pieces and returns none
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # idle threads would hold up torch's
    types = {
        "tensor(float16)": torch.float16,
        "tensor(double)": torch.float64,
        "tensor(float)": torch.float32,
    }
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {}
        for declared, x in zip(session.get_inputs(), inputs, strict=True):
            dtype = types.get(declared.type) or getattr(torch, declared.type[len("tensor(") : -1])
            feeds[declared.name] = x.to(dtype).numpy()
        return [torch.from_numpy(result).float() for result in session.run(None, feeds)]
    except Exception as error:
        if is_about_memory(error):
            raise
        return brief(error)[:160]
