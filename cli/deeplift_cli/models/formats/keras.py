"""Keras models, .keras and .h5, by Keras 3 with torch as its backend; TensorFlow is not needed."""

import copy
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.errors import UserError
from deeplift_cli.models.examination.archive import Archive, put_together, require_memory
from deeplift_cli.models.examination.hdf5 import check_weights
from deeplift_cli.models.examination.keras_config import LOG_SUM_EXP, KerasConfig, modules_of, parsed
from deeplift_cli.models.foreign import errors_in_one_line, reason, search_working_folder
from deeplift_cli.models.model_file import ModelFile, TensorSpec, file_sha256
from deeplift_cli.models.registry import Candidate, Format

if TYPE_CHECKING:
    from torch import nn

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = "model.weights.h5"


def recognises(candidate: Candidate) -> bool:
    """Return whether the file is an archive with a network and weights, or any HDF5 file."""
    return candidate.head.startswith(_HDF5) or {"config.json", _WEIGHTS} <= set(candidate.members)


def read(path: Path, *, allow_pickle: bool) -> ModelFile:
    """Load a Keras model.

    Unless pickles are allowed, Keras gets no more than what was examined: its own layers, in single
    precision, and weights. A layer of the same function takes the place of ChromBPNet's ``Lambda``.

    Raises
    ------
    UserError
        Where Keras is missing or runs on another backend, the file could run code, is damaged, or holds
        weights only.
    """
    archive = _head(path) != _HDF5
    config = parsed(_config_of_archive(path) if archive else _config_of_hdf5(path), str(path))
    keras = _keras_on_torch(path)
    try:
        checked = KerasConfig(config, str(path))
    except UserError:
        if not allow_pickle:
            raise
        _import_code(path, config)
        taken, notes, plan = config, list[str](), None
    else:
        taken, notes, plan = checked.plain, checked.notes, _plan(keras, path, checked.plain)
    with (
        errors_in_one_line(f"Keras file {path} cannot be loaded by Keras {keras.__version__}"),
        keras.device("cpu"),
        tempfile.TemporaryDirectory() as folder,
    ):
        if archive:
            copied = _write_archive(path, Path(folder), taken)
        else:
            copied = _write_hdf5(path, Path(folder), taken, plan)
        network = keras.models.load_model(
            copied, compile=False, safe_mode=plan is not None, custom_objects=_own_layers(keras)
        )
        inputs = tuple(
            TensorSpec(tensor.name, tuple(tensor.shape), tensor.dtype) for tensor in network.inputs
        )
        outputs = _outputs(network)
        module = _module(network)
    return ModelFile(module, "keras", path, file_sha256(path), inputs, outputs, tuple(notes))


def _keras_on_torch(path: Path) -> Any:
    """Import Keras with torch as its backend, which has to be chosen before the first import.

    Raises
    ------
    UserError
    """
    imported = "keras" in sys.modules
    if not imported:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ImportError as error:
        raise UserError(
            f"{path} is a Keras model, and Keras cannot be imported ({reason(error)}): install it by "
            f"`pip install '{DISTRIBUTION}[keras]'` (TensorFlow is not needed), or convert the file to ONNX"
        ) from error
    backend = keras.config.backend()
    if backend != "torch":
        raise UserError(
            f"{path} cannot be read: Keras was imported with the backend {backend}, but has to run on "
            "torch: set KERAS_BACKEND=torch before Keras is first imported"
        )
    return keras


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_HDF5))


def _config_of_archive(path: Path) -> bytes:
    with Archive(path, str(path)) as archive:
        return archive.read("config.json")


def _config_of_hdf5(path: Path) -> str:
    import h5py

    with errors_in_one_line(f"model file {path} is damaged or truncated"), h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise UserError(_no_network(path, file))
        attribute = h5py.h5a.open(file.id, b"model_config")
        require_memory(str(path), attribute.get_storage_size() * 3)
        text = file.attrs["model_config"]
        return text.decode() if isinstance(text, bytes) else str(text)


def _no_network(path: Path, file: Any) -> str:
    if file.attrs.get("format") == "deeplift-scores":
        return f"{path} is a score file, not a model"
    if "layer_names" in file.attrs or "layers" in file or "_layer_checkpoint_dependencies" in file:
        return f"{path} holds weights of Keras without the network: save the whole model, model.save(FILE)"
    return f"{path} is an HDF5 file without a Keras model in it (model_config)"


def _import_code(path: Path, config: dict[str, Any]) -> None:
    """Import the modules of a network's own classes, which register themselves."""
    import importlib

    search_working_folder()
    for name in sorted(modules_of(config)):
        with errors_in_one_line(f"{path} needs the module {name}; install its package"):
            importlib.import_module(name)


def _plan(keras: Any, path: Path, config: dict[str, Any]) -> Any:
    """Return the network without memory for its weights.

    Raises
    ------
    UserError
        Where it cannot be built, or its weights need more memory than there is.
    """
    with (
        errors_in_one_line(
            f"Keras file {path} describes no network that Keras {keras.__version__} can build"
        ),
        keras.device("meta"),
        keras.saving.custom_object_scope(_own_layers(keras)),
    ):
        plan = _from_config(keras, copy.deepcopy(config))
        count = plan.count_params()
    require_memory(str(path), count * 4)
    return plan


def _from_config(keras: Any, config: dict[str, Any]) -> Any:
    if "module" in config:
        return keras.saving.deserialize_keras_object(config, safe_mode=True)
    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    return kind.from_config(config["config"])


def _own_layers(keras: Any) -> dict[str, Any]:
    """Layers in place of code in known files."""

    class LogSumExp(keras.layers.Layer):  # type: ignore[misc]
        """ChromBPNet's sum of the counts of its two branches."""

        def call(self, x: Any) -> Any:
            return keras.ops.logsumexp(x, axis=-1, keepdims=True)

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 1)

    return {LOG_SUM_EXP: LogSumExp}


def _write_archive(path: Path, folder: Path, config: dict[str, Any]) -> Path:
    """Write an archive of the examined network and the weights."""
    with Archive(path, str(path)) as archive:
        weights = archive.read(_WEIGHTS)
        metadata = archive.read("metadata.json") if "metadata.json" in archive.names else b"{}"
    check_weights(io.BytesIO(weights), str(path))
    members = {"metadata.json": metadata, "config.json": json.dumps(config).encode(), _WEIGHTS: weights}
    copied = folder / "model.keras"
    copied.write_bytes(put_together(members, top="").read())
    return copied


def _write_hdf5(path: Path, folder: Path, config: dict[str, Any], plan: Any) -> Path:
    """Write a file of the network and the weights, in the order of the network's plan if there is one."""
    import h5py

    check_weights(path, str(path))
    copied = folder / "model.h5"
    with h5py.File(path, "r") as source, h5py.File(copied, "w") as target:
        if "model_weights" not in source:
            raise UserError(f"model file {path} is damaged or truncated: it has no model_weights")
        for name in ("keras_version", "backend"):
            if name in source.attrs:
                target.attrs[name] = source.attrs[name]
        target.attrs["model_config"] = json.dumps(config)
        source.copy("model_weights", target)
        if plan is not None:
            _order_weights(target["model_weights"], plan)
    return copied


def _order_weights(group: Any, plan: Any) -> None:
    """Put the names of layers and weights into the order of the network.

    Keras reads weights of HDF5 files by their order, so that two branches of the same shapes would be
    exchanged where Keras 2 had another order.
    """
    _set_order(group, "layer_names", [layer.name for layer in plan.layers])
    for layer in plan.layers:
        if layer.name in group:
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            _set_order(group[layer.name], "weight_names", [weight.path for weight in weights])


def _set_order(group: Any, attribute: str, wanted: list[str]) -> None:
    if attribute not in group.attrs:  # Keras divides very long lists
        return
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]
    by_path = {name.partition(":")[0]: name for name in names}
    if len(by_path) == len(names) == len(wanted) and set(by_path) == set(wanted):
        group.attrs[attribute] = [by_path[path].encode() for path in wanted]


def _module(network: Any) -> "nn.Module":
    from torch import nn

    from deeplift_cli.models.keras_module import KerasModule

    module = KerasModule(network).float().requires_grad_(False)
    return nn.Module.eval(module)


def _inputs(network: Any) -> tuple[TensorSpec, ...]:
    """Return the inputs; none for a class of its own, which does not declare them."""
    declared = getattr(network, "inputs", None) or ()
    return tuple(TensorSpec(tensor.name, tuple(tensor.shape), tensor.dtype) for tensor in declared)


def _outputs(network: Any) -> tuple[TensorSpec, ...]:
    """Return the outputs by the names of the layers that make them; none where two have one name."""
    found = []
    for tensor in getattr(network, "outputs", None) or ():
        history = tensor._keras_history
        inner = getattr(history.operation, "output_names", None)
        name = inner[history.tensor_index] if inner else history.operation.name
        found.append(TensorSpec(name, tuple(tensor.shape), tensor.dtype))
    return tuple(found) if len({spec.name for spec in found}) == len(found) else ()


FORMAT = Format("keras", "Keras (.keras, .h5)", recognises, read)
