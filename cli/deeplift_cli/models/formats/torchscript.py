"""TorchScript archives, scripted, traced or frozen."""

import warnings
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.models.model_file import ModelFile, TensorSpec, file_sha256
from deeplift_cli.models.registry import Candidate, Format


def recognises(candidate: Candidate) -> bool:
    """Whether the archive has TorchScript's code in it."""
    return any(name.startswith("code/") for name in candidate.members)


def read(path: Path, *, allow_pickle: bool) -> ModelFile:  # noqa: ARG001
    """Load a TorchScript archive on the CPU. It declares names of inputs, but no shapes.

    Raises
    ------
    UserError
        Where torch cannot load it, or it has no ``forward``.
    """
    import torch

    try:
        with warnings.catch_warnings():  # torch deprecates TorchScript; users' archives stay
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        arguments = module.forward.schema.arguments[1:]
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"TorchScript file {path} cannot be loaded: {_last_line(error)}") from error
    except AttributeError as error:
        raise UserError(f"TorchScript file {path} has no forward method to run") from error
    inputs = tuple(TensorSpec(item.name, None, None) for item in arguments if not item.has_default_value())
    module = module.float().eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return ModelFile(module, "torchscript", path, file_sha256(path), inputs)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


FORMAT = Format("torchscript", "TorchScript (.pt)", recognises, read)
