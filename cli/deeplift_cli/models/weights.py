"""Weights without their network, put into the network that `--architecture` builds."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.errors import UserError
from deeplift_cli.models.architecture import Architecture, Hyperparameters
from deeplift_cli.models.foreign import errors_in_one_line, reason
from deeplift_cli.models.model_file import ModelFile, file_sha256, inputs_of_forward

if TYPE_CHECKING:
    from torch import Tensor, nn

_LARGEST_CONFIG = 1 << 20
_SHOWN = 5  # names in a message
# Values of batch norm that only training reads; old files have none.
_NOT_NEEDED = ".num_batches_tracked"


def with_architecture(
    path: Path,
    state: "Mapping[str, Tensor]",
    stored: Hyperparameters,
    *,
    format_name: str,
    architecture: str,
    given: str | Mapping[str, Any] | None,
) -> ModelFile:
    """Build the network and load the weights.

    Parameters
    ----------
    path : pathlib.Path
        The file of the weights.
    state : mapping of str to torch.Tensor
    stored : Hyperparameters
        The hyperparameters of the file; where there are none, a file ``config.json`` beside it is read, as
        the Hugging Face hub has it.
    format_name : str
        The name of the weights' format.
    architecture : str
        The value of `--architecture`.
    given : str, mapping or None
        The value of `--model-args`, or the arguments by name.

    Returns
    -------
    ModelFile
        Its SHA-256 is that of the weights, of ``config.json`` where it was read, and of the code's file where
        one is named.

    Raises
    ------
    UserError
        Where the network cannot be built or the weights are not its.
    """
    code = Architecture.find(architecture)
    config = path.with_name("config.json")
    beside = [config] if not stored.values and config.is_file() else []
    module, notes = code.build(_of_file(config) if beside else stored, given)
    if beside:
        notes = (f"hyperparameters are those of {config}", *notes)
    with errors_in_one_line(f"the weights in {path} cannot be put into --architecture {architecture}"):
        found = load_weights(path, module, state, code.spec)
        module = module.float().eval().requires_grad_(False)
        inputs = inputs_of_forward(module)
    files = [*beside, *([] if code.file is None else [code.file])]
    return ModelFile(module, format_name, path, file_sha256(path, files), inputs, notes=(*notes, *found))


def _of_file(path: Path) -> Hyperparameters:
    """Read hyperparameters beside the weights."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}, which says how the network beside it is built, cannot be read: {reason(error)}"
        ) from error
    if not isinstance(found, dict):
        raise UserError(f"{path}, which says how the network beside it is built, is no JSON object")
    return Hyperparameters(found, ("config",))


def without_architecture(path: Path, what: str) -> UserError:
    """Return the error for weights that come alone; `what` says what they are."""
    return UserError(
        f"{path} holds only weights ({what}) without the network that they belong to: say what builds it, "
        "--architecture FILE.py:CLASS or MODULE:CLASS, with --model-args where it needs arguments; or export "
        "the model to ONNX (torch.onnx.export), TorchScript (torch.jit.script) or torch.export"
    )


@dataclass(frozen=True)
class _Misfit:
    """How weights below a prefix differ from a network's."""

    prefix: str
    missing: list[str]
    unknown: list[str]
    shapes: list[str]

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.unknown) + len(self.shapes)


def load_weights(
    path: Path, module: "nn.Module", state: "Mapping[str, Tensor]", spec: str
) -> tuple[str, ...]:
    """Put weights into a module.

    Where the names do not fit but those below one prefix do ("model." in checkpoints of Lightning), these are
    taken.

    Returns
    -------
    tuple of str
        Notes: which prefix was left out, and which weights outside it.

    Raises
    ------
    UserError
        With all names that are missing, unknown or of another shape.
    """
    expected = module.state_dict()
    whole = _misfit(expected, state, "")
    if not whole.count:
        module.load_state_dict(dict(state), strict=False)
        return ()
    fitting = [prefix for prefix in _prefixes(expected, state) if not _misfit(expected, state, prefix).count]
    if len(fitting) > 1:
        raise UserError(
            f"{path} holds the weights of several networks that {spec} builds, below {_listed(fitting)}: "
            "save those of one in a file of their own"
        )
    if not fitting:
        _refuse(path, expected, state, spec)
    prefix = fitting[0]
    below = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    module.load_state_dict(below, strict=False)
    outside = [name for name in state if not name.startswith(prefix)]
    note = f"names of weights begin with {prefix!r}, which {spec} does not have and was left out"
    return (note, *([f"weights outside {prefix!r} are not used: {_listed(outside)}"] if outside else []))


def _misfit(expected: "Mapping[str, Tensor]", state: "Mapping[str, Tensor]", prefix: str) -> _Misfit:
    below = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    there = {_place(expected[name]) for name in below if name in expected}
    missing = [
        name
        for name, value in expected.items()
        if name not in below and not name.endswith(_NOT_NEEDED) and _place(value) not in there
    ]
    shapes = [
        f"{name} {list(value.shape)} (in the network {list(expected[name].shape)})"
        for name, value in below.items()
        if name in expected and getattr(expected[name], "shape", ()) != getattr(value, "shape", ())
    ]
    return _Misfit(prefix, missing, [name for name in below if name not in expected], shapes)


def _place(value: Any) -> object:
    """Equal for names of one tensor, of which a file may hold one only."""
    place = value.data_ptr() if hasattr(value, "data_ptr") else 0
    return (place, tuple(value.shape)) if place else id(value)


def _prefixes(expected: Iterable[str], state: Iterable[str]) -> list[str]:
    """Return the prefixes below which some name of the network is found."""
    sought = next((name for name in expected if not name.endswith(_NOT_NEEDED)), None)
    if sought is None:
        return []
    return [name.removesuffix(sought) for name in state if name.endswith(f".{sought}")]


def _refuse(path: Path, expected: "Mapping[str, Tensor]", state: "Mapping[str, Tensor]", spec: str) -> None:
    prefixes = ["", *_prefixes(expected, state)]
    closest = min((_misfit(expected, state, prefix) for prefix in prefixes), key=lambda item: item.count)
    parts = [
        f"{what} {_listed(names)}"
        for what, names in (
            ("missing:", closest.missing),
            ("not in the network:", closest.unknown),
            ("of another shape:", closest.shapes),
        )
        if names
    ]
    below = f" below {closest.prefix!r}" if closest.prefix else ""
    raise UserError(
        f"the weights in {path}{below} are not those of --architecture {spec}: {'; '.join(parts)}; give the "
        "arguments that it was trained with (--model-args), or its own class"
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
