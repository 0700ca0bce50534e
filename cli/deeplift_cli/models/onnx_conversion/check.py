"""Checking a converted model against onnxruntime."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models.onnx_conversion.several_inputs import Packed, pack
from deeplift_cli.models.probing import TOLERANCE, largest_difference, run

# Loading stays quick: no check of larger files or inputs (a 32 kb sequence) against onnxruntime.
LARGEST_FILE = 256 << 20
LARGEST_INPUT = 4 * (1 << 15)


def compare_with_onnxruntime(
    path: Path, size: int, module: nn.Module, inputs: tuple[Tensor, ...], instead: bytes | None = None
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
    expected = _run_onnxruntime(str(path) if instead is None else instead, inputs)
    if isinstance(expected, str):
        return (f"not checked against onnxruntime, which cannot run it: {expected}",)
    found = _outputs(module, inputs)
    if isinstance(found, str):
        raise UserError(f"{path} was not converted rightly: {found.splitlines()[0]}")
    difference = largest_difference([tensor.float() for tensor in found], expected)
    if difference > TOLERANCE:
        raise UserError(
            f"{path} was not converted rightly: outputs differ from onnxruntime's by {difference:.1e} of the "
            "largest; please report it, and export the model to TorchScript or torch.export meanwhile"
        )
    return ()


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | str:
    if len(inputs) == 1:
        return run(module, inputs[0])
    return run(Packed(module, [tuple(value.shape[1:]) for value in inputs]), pack(inputs))


def _run_onnxruntime(model: str | bytes, inputs: tuple[Tensor, ...]) -> list[Tensor] | str:
    # imported here: it is not among the dependencies
    import onnxruntime  # type: ignore[import-untyped]
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]

    errors = [getattr(state, name) for name in dir(state) if isinstance(getattr(state, name), type)]
    failures = tuple(kind for kind in errors if issubclass(kind, Exception))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings are about its own optimisations
    options.intra_op_num_threads = torch.get_num_threads()
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
        results = session.run(None, feeds)
    except failures as error:
        return str(error).splitlines()[0][:160]
    return [torch.from_numpy(result).float() for result in results]
