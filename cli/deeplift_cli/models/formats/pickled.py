"""Reader of whole modules saved by `torch.save`, only if the user allows it: a pickle can run any code."""

import inspect
import pickle
from argparse import Namespace
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.foreign import errors_in_one_line, reason
from deeplift_cli.models.model_file import ModelFile, TensorSpec, file_sha256
from deeplift_cli.models.registry import Candidate, Format

# Classes in checkpoints that hold options and run no code when they are loaded.
_HARMLESS: list[Any] = [Namespace, SimpleNamespace, PosixPath, PurePosixPath]
_ADVICE = "export the model to ONNX (torch.onnx.export), TorchScript (torch.jit.script) or torch.export"


def recognises(candidate: Candidate) -> bool:
    """Return whether the file is a pickle, alone or in torch's archive, but not TorchScript or exported."""
    if candidate.members:
        scripted = any(name.startswith("code/") for name in candidate.members)
        return "data.pkl" in candidate.members and not scripted
    return candidate.head[0] == 0x80 and candidate.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(path: Path, *, allow_pickle: bool) -> ModelFile:
    """Load a pickled module.

    Raises
    ------
    UserError
        If pickles are not allowed, the file holds weights without their network, its classes are not
        installed, or the file is damaged.
    """
    from torch import nn

    loaded = _load(path, allow_pickle)
    if isinstance(loaded, dict):
        raise UserError(
            f"{path} holds only weights (a state dict) without the network that they belong to: build the "
            f"network in Python, load them with load_state_dict, and {_ADVICE}"
        )
    if not isinstance(loaded, nn.Module):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not a torch module: {_ADVICE}")
    with errors_in_one_line(f"the module in {path} cannot be used"):
        if isinstance(loaded, nn.DataParallel):
            loaded = loaded.module
        module = loaded.float().eval().requires_grad_(False)
        inputs = _inputs(module)
    return ModelFile(module, "pickled", path, file_sha256(path), inputs)


def _load(path: Path, allow_pickle: bool) -> Any:
    """Load content that needs no code; other content only if `allow_pickle` is true."""
    import torch

    with errors_in_one_line(f"{path} is damaged or truncated"):
        try:
            with torch.serialization.safe_globals(_HARMLESS):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not allow_pickle:
                raise UserError(
                    f"{path} is a pickle with Python objects in it, and loading it can run any code that it "
                    f"contains: if you trust where it comes from, give --allow-pickle; else {_ADVICE}"
                ) from error
        try:
            return torch.load(path, map_location="cpu", weights_only=False)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{path} needs Python code that is not installed here ({reason(error)}): put it on "
                f"PYTHONPATH, or {_ADVICE} where it is"
            ) from error


def _inputs(module: Any) -> tuple[TensorSpec, ...]:
    """Return the required parameters of ``forward``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    needed = [item.name for item in parameters if item.kind in kinds and item.default is item.empty]
    return tuple(TensorSpec(name, None, None) for name in needed)


FORMAT = Format(
    "pickled", "a whole torch module (torch.save, with --allow-pickle)", recognises, read, asked_last=True
)
