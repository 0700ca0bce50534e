"""Reader of TorchScript archives: scripted, traced or frozen."""

import warnings
from pathlib import Path

from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.scripted import check_graph, examined_archive
from deeplift_cli.models.foreign import errors_in_one_line
from deeplift_cli.models.model_file import ModelFile, TensorSpec, file_sha256
from deeplift_cli.models.registry import Candidate, Format


def recognises(candidate: Candidate) -> bool:
    """Return whether the archive holds TorchScript code."""
    return any(name.startswith("code/") for name in candidate.members)


def read(path: Path, *, allow_pickle: bool) -> ModelFile:
    """Load a TorchScript archive on the CPU; it declares names of inputs, but no shapes.

    Unless pickles are allowed, torch reads only content that was examined.

    Raises
    ------
    UserError
        If the archive could run code outside torch, torch cannot load it, or it has no ``forward``.
    """
    import torch

    file = str(path) if allow_pickle else examined_archive(path)
    try:
        with warnings.catch_warnings():  # torch deprecates TorchScript, but users still have archives
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the archive's own code can raise any exception
        raise UserError(f"TorchScript file {path} cannot be loaded: {_last_line(error)}") from error
    if not hasattr(module, "forward"):
        raise UserError(f"TorchScript file {path} has no forward method to run")
    with errors_in_one_line(f"TorchScript file {path} cannot be used"):
        if not allow_pickle:
            check_graph(path, module.inlined_graph)
        arguments = module.forward.schema.arguments[1:]
        inputs = tuple(
            TensorSpec(item.name, None, None) for item in arguments if not item.has_default_value()
        )
        module = module.float().eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    return ModelFile(module, "torchscript", path, file_sha256(path), inputs)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


FORMAT = Format("torchscript", "TorchScript (.pt)", recognises, read)
