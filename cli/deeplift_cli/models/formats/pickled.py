"""What `torch.save` wrote: weights and checkpoints, or whole modules.

Weights are read as data. A whole module is read only where the user says so, as a pickle can run any code.
"""

import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.architecture import OPTIONS, Hyperparameters
from deeplift_cli.models.examination.archive import Archive
from deeplift_cli.models.examination.pickles import check_tensors
from deeplift_cli.models.foreign import errors_in_one_line, reason, search_working_folder
from deeplift_cli.models.model_file import ModelFile, file_sha256, inputs_of_forward
from deeplift_cli.models.registry import Candidate, Format
from deeplift_cli.models.weights import with_architecture, without_architecture

# Classes in checkpoints that hold options and run no code when they are loaded.
_HARMLESS: list[Any] = [Namespace, SimpleNamespace, PosixPath, PurePosixPath]
# Where checkpoints keep weights and hyperparameters: Lightning's names first.
_STATES = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_HYPERPARAMETERS = ("hyper_parameters", "hparams", "config", "args")
_ADVICE = "export the model to ONNX (torch.onnx.export), TorchScript (torch.jit.script) or torch.export"


def recognises(candidate: Candidate) -> bool:
    """Return whether the file is a pickle, alone or in torch's archive, but not TorchScript or exported."""
    if candidate.members:
        scripted = any(name.startswith("code/") for name in candidate.members)
        return "data.pkl" in candidate.members and not scripted
    return candidate.head[0] == 0x80 and candidate.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(
    path: Path,
    *,
    allow_pickle: bool,
    architecture: str | None = None,
    model_args: str | Mapping[str, Any] | None = None,
) -> ModelFile:
    """Load a pickled module, or weights into the network that `architecture` builds.

    Raises
    ------
    UserError
        If pickles are not allowed, the file holds weights without their network, its classes are not
        installed, or the file is damaged.
    """
    from torch import nn

    loaded = _load(path, allow_pickle)
    if isinstance(loaded, Mapping):
        return _with_weights(path, loaded, architecture, model_args)
    if not isinstance(loaded, nn.Module):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not a torch module: {_ADVICE}")
    if architecture is not None or model_args is not None:
        raise UserError(f"{path} holds a whole module; leave out --architecture and --model-args")
    with errors_in_one_line(f"the module in {path} cannot be used"):
        if isinstance(loaded, nn.DataParallel):
            loaded = loaded.module
        module = loaded.float().eval().requires_grad_(False)
        inputs = inputs_of_forward(module)
    return ModelFile(module, "pickled", path, file_sha256(path), inputs)


def _with_weights(
    path: Path,
    loaded: Mapping[str, Any],
    architecture: str | None,
    model_args: str | Mapping[str, Any] | None,
) -> ModelFile:
    """Read a state dict, alone or in a checkpoint with hyperparameters."""
    if architecture is None:
        raise without_architecture(path, "a state dict")
    inner = [loaded[key] for key in _STATES if _is_state(loaded.get(key))]
    state = loaded if _is_state(loaded) else inner[0] if inner else None
    if state is None:
        found = ", ".join(map(str, list(loaded)[:8])) or "nothing"
        raise UserError(
            f"{path} holds a dict without weights (it has {found}): deeplift looks for tensors by name, "
            f"alone or below one of {', '.join(_STATES)}"
        )
    return with_architecture(
        path,
        state,
        _hyperparameters(loaded),
        format_name="pickled",
        architecture=architecture,
        given=model_args,
    )


def _is_state(value: Any) -> bool:
    """Return whether the content is a mapping of names to tensors, and to what modules keep beside them."""
    from torch import Tensor

    if not isinstance(value, Mapping) or not any(isinstance(item, Tensor) for item in value.values()):
        return False
    return all(
        isinstance(key, str) and (isinstance(item, Tensor) or key.endswith("_extra_state"))
        for key, item in value.items()
    )


def _hyperparameters(checkpoint: Mapping[str, Any]) -> Hyperparameters:
    """Return a checkpoint's hyperparameters."""
    for key in _HYPERPARAMETERS:
        value = checkpoint.get(key)
        if isinstance(value, Namespace | SimpleNamespace):
            value = vars(value)
        if isinstance(value, Mapping):
            called = checkpoint.get("hparams_name")  # Lightning's: the argument that they were given as
            names = [name for name in (called, key) if isinstance(name, str)]
            return Hyperparameters({str(name): item for name, item in value.items()}, names)
    return Hyperparameters()


def _check_tensors(path: Path) -> None:
    """Refuse tensors that reach beyond the file or the memory; not every release of torch may do so."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # torch compares sizes itself in its old formats
            return
    with Archive(path, str(path)) as archive:
        check_tensors(archive, "data.pkl", "data/")


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
        search_working_folder()
        try:
            return torch.load(path, map_location="cpu", weights_only=False)
        except (ImportError, AttributeError) as error:
            if "'__main__'" in str(error):
                raise UserError(
                    f"{path} holds a class of the script that saved it ({reason(error)}): save the weights "
                    "alone, torch.save(model.state_dict(), FILE), and name the script's class, "
                    "--architecture SCRIPT.py:CLASS"
                ) from error
            raise UserError(
                f"{path} needs Python code that is not installed here ({reason(error)}): run where the code "
                f"lies, put it on PYTHONPATH or install its package, or {_ADVICE} where it is"
            ) from error


FORMAT = Format(
    "pickled",
    "weights or a checkpoint of torch (with --architecture), a whole module (with --allow-pickle)",
    recognises,
    read,
    options=OPTIONS,
    asked_last=True,
)
