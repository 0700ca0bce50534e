"""Examine what a Keras file says of its network: layers of Keras itself, and no code.

Keras makes objects of whatever class a configuration names, and runs the functions in ``Lambda`` layers.
Files could circumvent the safe mode of Keras (CVE-2025-1550, CVE-2025-8747, CVE-2025-9905), so that this
module allows the classes of a list only.
"""

import base64
import binascii
import json
import sys
from typing import Any

from deeplift_cli.errors import UserError

# Folders of Keras with layers that compute with tensors only.
_LAYER_FOLDERS = (
    "activations", "attention", "convolutional", "core", "merging", "normalization", "pooling",
    "regularization", "reshaping", "rnn",
)  # fmt: skip
_NAMESPACES = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
_MODELS = {"Functional", "Sequential", "Model"}
_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
_POLICIES = {"Policy", "DTypePolicy"}
_OPERATIONS = "keras.src.ops."
_FUNCTIONS = ("keras.activations", "keras.ops")
# What is only for training. A layer with a regulariser keeps a loss of every call.
_FOR_TRAINING = {"compile_config", "activity_regularizer"}
LOG_SUM_EXP = "DeepliftLogSumExp"


def parsed(text: str | bytes, label: str) -> dict[str, Any]:
    """Read the JSON of a configuration.

    Raises
    ------
    UserError
        Where it is none.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"model file {label} is damaged: its configuration is no JSON") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise UserError(f"model file {label} is damaged: its configuration names no network")
    return config


class KerasConfig:
    """A network's configuration after examination.

    Parameters
    ----------
    config : dict
    label : str
        The name of the file in messages.

    Attributes
    ----------
    plain : dict
        The configuration in single precision, without what is for training only.
    notes : list of str
        What is taken for something else.

    Raises
    ------
    UserError
        Where it has anything but Keras's own layers.
    """

    def __init__(self, config: dict[str, Any], label: str) -> None:
        self.label = label
        self.notes: list[str] = []
        try:
            self.plain: dict[str, Any] = self._examined(config)
        except RecursionError as error:
            raise UserError(f"model file {label}: its layers lie within each other without end") from error

    def _examined(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._examined(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "class_name" in value:
            name = value["class_name"]
            if name == "Lambda":
                return self._known_lambda(value)
            if name in _POLICIES:
                return _single_precision(value)
            self._require_known(value)
        found = {key: self._examined(item) for key, item in value.items() if key not in _FOR_TRAINING}
        if "output_layers" in found and isinstance(found.get("layers"), list):
            _count_calls_from_0(found)
        if isinstance(found.get("dtype"), str) and "float" in found["dtype"]:
            found["dtype"] = "float32"
        return found

    def _require_known(self, entry: dict[str, Any]) -> None:
        name, module = entry["class_name"], entry.get("module")
        if not isinstance(name, str) or not isinstance(module, str | None):
            raise UserError(f"model file {self.label} is damaged: a class's name is no text")
        if name == "function":
            known = module in (None, "builtins", *_FUNCTIONS) and _is_function(entry.get("config"))
            name = str(entry.get("config"))
        elif name.startswith("__"):
            known = name in _VALUES
        elif name in _MODELS:
            known = module is None or module.partition(".")[0] == "keras"
        elif module is not None and module.startswith(_OPERATIONS):
            known = _is_operation(module, name)
        else:
            known = any(_is_of(namespace, name) for namespace in _NAMESPACES if module in (None, namespace))
        known = known and entry.get("registered_name") in (None, entry["class_name"], name)
        if known:
            return
        if name in ("TFOpLambda", "SlicingOpLambda"):
            raise UserError(
                f"model file {self.label} calls functions of TensorFlow, not layers ({_called(entry)}); "
                f"convert it where TensorFlow is installed: python -m tf2onnx.convert --keras {self.label} "
                f"--output {self.label}.onnx"
            )
        of = f" of {module}" if module else ""
        raise UserError(
            f"model file {self.label} has {_called(entry)}{of}, which is none of Keras's own and would "
            "run code: if you trust where the file comes from and the code is installed here, give "
            "--allow-pickle; else export the model to ONNX (model.export(FILE, format='onnx'))"
        )

    def _known_lambda(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return ChromBPNet's sum of counts, which its files have as code, as a layer; refuse all others."""
        name = _called(entry)
        config = entry.get("config") if isinstance(entry.get("config"), dict) else {}
        code = _code_of(config.get("function") if isinstance(config, dict) else None)
        if b"reduce_logsumexp" not in code or b"keepdims" not in code:
            raise UserError(
                f"model file {self.label} has code in the layer {name} (Lambda), and loading it can run "
                "any code that it contains: if you trust where it comes from, give --allow-pickle; else "
                "export the model to ONNX (tf2onnx, or model.export(FILE, format='onnx'))"
            )
        self.notes.append(
            f"the layer {name} (Lambda) is taken for ChromBPNet's tf.math.reduce_logsumexp(x, axis=-1, "
            "keepdims=True), which its code names; the code was not run"
        )
        own = {"name": config.get("name", LOG_SUM_EXP)} if isinstance(config, dict) else {}
        kept: dict[str, Any] = {
            key: self._examined(entry[key]) for key in ("name", "inbound_nodes") if key in entry
        }
        if "module" in entry:
            kept |= {"module": None, "registered_name": LOG_SUM_EXP}
        return {"class_name": LOG_SUM_EXP, "config": own, **kept}


def modules_of(value: Any) -> set[str]:
    """Return the modules outside Keras that a configuration names."""
    if isinstance(value, list):
        return set().union(*map(modules_of, value))
    if not isinstance(value, dict):
        return set()
    found = set[str]().union(*map(modules_of, value.values()))
    module = value.get("module")
    if (
        "class_name" in value
        and isinstance(module, str)
        and module.split(".")[0] not in ("keras", "builtins")
    ):
        found.add(module)
    return found


def _count_calls_from_0(network: dict[str, Any]) -> None:
    """Change in place how often a network inside a network was called before, as Keras 2 wrote it.

    Keras 2 counts the making of the inner network as its first call, which Keras 3 allows for in outputs of
    ``Functional`` only, and not where a layer takes what the inner network gives.
    """
    layers = [entry for entry in network["layers"] if isinstance(entry, dict)]
    kinds = {entry.get("name"): entry.get("class_name") for entry in layers}
    inner = {name for name, kind in kinds.items() if kind in _MODELS and isinstance(name, str)}
    sources = [
        source
        for entry in layers
        for node in entry.get("inbound_nodes") or []
        if isinstance(node, list)  # Keras 3 writes mappings
        for source in node
        if isinstance(source, list) and len(source) in (3, 4)
    ]
    if isinstance(network["output_layers"], list):
        sequential = {name for name in inner if kinds[name] == "Sequential"}
        sources += [
            source
            for source in network["output_layers"]
            if isinstance(source, list) and len(source) == 3 and source[0] in sequential
        ]
    for source in sources:
        if isinstance(source[0], str) and source[0] in inner and isinstance(source[1], int) and source[1] > 0:
            source[1] -= 1


def _single_precision(policy: dict[str, Any]) -> Any:
    """Return what Keras is told of a precision: float32, unless it is none of floating point."""
    config = policy.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return "float32" if isinstance(name, str) and "float" in name else str(name)


def _code_of(function: Any) -> bytes:
    """Return the code of a ``Lambda`` as it lies in the file; it is only looked at."""
    if isinstance(function, dict):
        config = function.get("config")
        function = config.get("code") if isinstance(config, dict) else None
    if isinstance(function, list):
        function = function[0] if function else None
    if not isinstance(function, str):
        return b""
    try:
        return base64.b64decode(function)
    except (binascii.Error, ValueError):
        return b""


def _called(entry: dict[str, Any]) -> str:
    config = entry.get("config")
    name = config.get("name") if isinstance(config, dict) else config
    return repr(name if isinstance(name, str) else entry["class_name"])


def _is_of(namespace: str, name: str) -> bool:
    """Return whether Keras has a class of this name that computes with tensors only."""
    found = getattr(sys.modules.get(namespace), name, None)
    if not isinstance(found, type):
        return False
    if namespace != "keras.layers":
        return found.__module__.startswith("keras.src.")
    return any(found.__module__.startswith(f"keras.src.layers.{folder}.") for folder in _LAYER_FOLDERS)


def _is_operation(module: str, name: str) -> bool:
    import keras

    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, keras.Operation) and found.__module__ == module


def _is_function(name: Any) -> bool:
    import keras

    if not isinstance(name, str):
        return False
    return any(callable(getattr(space, name, None)) for space in (keras.activations, keras.ops))
