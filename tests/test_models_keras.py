"""Keras files: .keras and .h5 of Keras 3, and .h5 as Keras 2 wrote them, ChromBPNet's among them."""

import base64
import json
import marshal
import sys
import types
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from published.keras_models import keras_on_torch
from small_models import deeplift, encode, random_letters, score, write_fasta

from deeplift_cli.errors import UserError
from deeplift_cli.models import find_layout, read

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")
LENGTH, TASKS = 60, 3


def network(dtype: str | None = None) -> Any:
    """Two heads, a network inside the network, layers of several kinds."""
    keras = keras_on_torch()
    layers = keras.layers
    keras.utils.set_random_seed(0)
    given = {} if dtype is None else {"dtype": dtype}
    x = bases = layers.Input((LENGTH, 4), name="sequence")
    x = layers.Conv1D(8, 7, activation="relu", name="first", activity_regularizer="l2", **given)(x)
    x = layers.BatchNormalization(name="norm", **given)(x)
    y = layers.Conv1D(8, 3, dilation_rate=2, activation="gelu", name="second", **given)(x)
    x = layers.Add(**given)([layers.Cropping1D(2, **given)(x), y])
    x = layers.Dropout(0.5, **given)(x)
    heads = [
        layers.Flatten(name="profile", **given)(layers.Conv1D(1, 5, name="last", **given)(x)),
        layers.Dense(TASKS, name="counts", **given)(layers.GlobalAveragePooling1D(**given)(x)),
    ]
    trunk = keras.Model(bases, heads, name="trunk")
    again = layers.Input((LENGTH, 4), name="bases")
    return keras.Model(again, trunk(again), name="whole")


def sequences(rows: int = 3, length: int = LENGTH) -> torch.Tensor:
    return torch.stack(
        [torch.from_numpy(encode(random_letters(seed, length)).T.copy()) for seed in range(rows)]
    ).float()


def message(path: Path, **given: Any) -> str:
    with pytest.raises(UserError) as error:
        read(path, **given)
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def assert_same(module: torch.nn.Module, keras_network: Any, x: torch.Tensor) -> None:
    with torch.no_grad():
        found, expected = module(x), keras_network(x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.cpu())


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_both_formats(suffix: str, tmp_path: Path) -> None:
    whole = network()
    whole.compile(loss="mse")
    whole.save(tmp_path / f"m{suffix}")
    path = (tmp_path / f"m{suffix}").rename(tmp_path / "model")  # the content tells, not the name
    model = read(path)
    assert model.format == "keras"
    assert_same(model.module, whole, sequences())
    assert str(model.inputs[0]) == "bases (?, 60, 4)"
    assert [str(spec) for spec in model.outputs] == ["profile (?, 46)", "counts (?, 3)"]
    assert find_layout(model, length=None)[0].name == "nlc"
    assert {"trunk.first", "trunk.norm", "trunk.counts"} <= {name for name, _ in model.module.named_modules()}
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_score_and_inspect(suffix: str, tmp_path: Path) -> None:
    whole = network()
    whole.save(tmp_path / f"m{suffix}")
    letters = [random_letters(seed, LENGTH) for seed in range(3)]
    fasta = write_fasta(tmp_path / "in.fa", letters)
    given = ["-m", tmp_path / f"m{suffix}", "--output", "counts", "--target", "2"]
    score(
        *given,
        "-f",
        fasta,
        "-o",
        tmp_path / "s.h5",
        "--n-references",
        2,
        "--layer-rule",
        "trunk.first=rescale",
    )
    with h5py.File(tmp_path / "s.h5") as file, torch.no_grad():
        expected = whole(sequences())[1][:, 2].cpu().numpy()
        np.testing.assert_allclose(file["qc/output"][:], expected, rtol=1e-4, atol=1e-5)
        total = file["projected_shap/seq"][:].sum((1, 2))
        delta = file["qc/output"][:] - file["qc/reference_output"][:].mean(1)
        np.testing.assert_allclose(total, delta, atol=1e-4)
    inspected = deeplift("inspect", *given, "--json")
    assert inspected.code == 0, inspected.err
    assert "trunk.first" in inspected.out


def test_further_inputs_by_the_names_of_keras(tmp_path: Path) -> None:
    """Tracks of any length are declared so, and a row for each record goes with its sequence."""
    keras = keras_on_torch()
    layers = keras.layers
    bases, tracks = layers.Input((LENGTH, 4), name="bases"), layers.Input((None, 2), name="tracks")
    x = layers.Conv1D(4, 5, activation="relu")(layers.Concatenate()([bases, tracks]))
    model = keras.Model([bases, tracks], layers.Dense(1)(layers.GlobalAveragePooling1D()(x)))
    model.save(tmp_path / "m.keras")
    fasta = write_fasta(tmp_path / "in.fa", [random_letters(seed, LENGTH) for seed in range(3)])
    values = np.random.default_rng(0).random((3, LENGTH, 2)).astype(np.float32)
    np.save(tmp_path / "tracks.npy", values)
    words = ("-m", tmp_path / "m.keras", "-f", fasta, "--n-references", 1, "--overwrite")
    found = deeplift("score", *words, "-o", tmp_path / "a.h5")
    assert "tracks [N, any, 2]" in found.err
    assert "add --input tracks=zeros" in found.err
    for value, given in (("zeros", 0 * values), (tmp_path / "tracks.npy", values)):
        score(*words, "-o", tmp_path / "a.h5", "--input", f"tracks={value}")
        expected = keras.ops.convert_to_numpy(model([sequences().numpy(), given]))[:, 0]
        with h5py.File(tmp_path / "a.h5") as file:
            np.testing.assert_allclose(file["qc/output"][:], expected, rtol=1e-5)


def test_half_precision_is_scored_in_single(tmp_path: Path) -> None:
    whole = network("mixed_float16")
    whole.save(tmp_path / "m.keras")
    model = read(tmp_path / "m.keras")
    plain = network()
    plain.set_weights(whole.get_weights())
    assert_same(model.module, plain, sequences())


def test_a_recurrent_network(tmp_path: Path) -> None:
    keras = keras_on_torch()
    layers = keras.layers
    recurrent = keras.Sequential(
        [layers.Input((20, 4)), layers.Bidirectional(layers.LSTM(3)), layers.Dense(2, activation="sigmoid")]
    )
    for suffix in (".keras", ".h5"):
        recurrent.save(tmp_path / f"m{suffix}")
        model = read(tmp_path / f"m{suffix}")
        with torch.no_grad():
            x = sequences(2, 20)
            torch.testing.assert_close(model.module(x), recurrent(x).cpu())
        assert "bidirectional.forward_layer" in " ".join(name for name, _ in model.module.named_modules())


# ---- ChromBPNet, as TensorFlow's Keras 2.8 wrote it


def layer(kind: str, name: str, config: dict[str, Any], *sources: Any) -> dict[str, Any]:
    inbound = [[[source, 0, place, {}] for source, place in sources]] if sources else []
    return {
        "class_name": kind, "name": name, "inbound_nodes": inbound,
        "config": {"name": name, "trainable": True, "dtype": "float32"} | config,
    }  # fmt: skip


def convolution(name: str, filters: int, width: int, source: str, **more: Any) -> dict[str, Any]:
    initial = {"class_name": "GlorotUniform", "config": {"seed": None}}
    config = {
        "filters": filters, "kernel_size": [width], "strides": [1], "padding": "valid", "groups": 1,
        "data_format": "channels_last", "dilation_rate": [1], "activation": "relu", "use_bias": True,
        "kernel_initializer": initial, "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
        "kernel_constraint": None, "bias_constraint": None,
    }  # fmt: skip
    return layer("Conv1D", name, config | more, (source, 0))


FILTERS, LAYERS, IN, OUT = 4, 2, 240, 40


def bpnet(prefix: str, name: str, filters: int = FILTERS) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the weights of ChromBPNet's network for one part of the signal."""
    random = np.random.default_rng(len(name) + filters)
    weights: dict[str, list[np.ndarray]] = {}

    def convolved(place: str, out: int, width: int, source: str, inside: int, **more: Any) -> dict[str, Any]:
        shape = (width, inside, out)
        weights[place] = [random.normal(0, 0.5, shape).astype("f4"), random.normal(0, 0.5, out).astype("f4")]
        return convolution(place, out, width, source, **more)

    shape = {"batch_input_shape": [None, IN, 4], "sparse": False, "ragged": False}
    first = f"{prefix}bpnet_1st_conv"
    layers = [layer("InputLayer", "sequence", shape), convolved(first, filters, 21, "sequence", 4)]
    x, size = first, IN - 20
    for step in range(1, LAYERS + 1):
        made, cropped, added = f"{prefix}bpnet_{step}conv", f"{prefix}bpnet_{step}crop", f"add_{step}"
        layers += [
            convolved(made, filters, 3, x, filters, dilation_rate=[2**step]),
            layer("Cropping1D", cropped, {"cropping": [2**step, 2**step]}, (x, 0)),
            layer("Add", added, {}, (made, 0), (cropped, 0)),
        ]
        x, size = added, size - 2 * 2**step
    profile, crop = f"{prefix}bpnet_prof_out_precrop", f"{prefix}bpnet_logitt_before_flatten"
    logits, counts = f"{prefix}bpnet_logits_profile_predictions", f"{prefix}bpnet_logcount_predictions"
    cut = (size - 74 - OUT) // 2
    dense = {
        key: value for key, value in convolution("", 1, 1, "")["config"].items()
        if "initializer" in key or "regularizer" in key or "constraint" in key or key == "use_bias"
    }  # fmt: skip
    weights[counts] = [random.normal(0, 0.5, (filters, 1)).astype("f4"), random.normal(0, 1, 1).astype("f4")]
    layers += [
        convolved(profile, 1, 75, x, filters, activation="linear"),
        layer("Cropping1D", crop, {"cropping": [cut, cut]}, (profile, 0)),
        layer("Flatten", logits, {"data_format": "channels_last"}, (crop, 0)),
        layer("GlobalAveragePooling1D", "gap", {"data_format": "channels_last"}, (x, 0)),
        layer("Dense", counts, dense | {"units": 1, "activation": "linear"}, ("gap", 0)),
    ]
    config = {
        "name": name, "layers": layers, "input_layers": [["sequence", 0, 0]],
        "output_layers": [[logits, 0, 0], [counts, 0, 0]],
    }  # fmt: skip
    return {"class_name": "Functional", "config": config}, weights


def write_tensorflow(
    path: Path, config: Any, weights: dict[str, Any], networks: tuple[str, ...] = ()
) -> Path:
    """What TensorFlow's Keras 2.8 leaves on the disc."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.8.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["training_config"] = json.dumps({"loss": ["multinomial_nll", "mse"]})
        top = file.create_group("model_weights")
        names = list(networks) or [entry["name"] for entry in config["config"]["layers"]]
        top.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group = top.create_group(name)
            held = weights if not networks else weights.get(name, {})
            inside = held if networks else {name: held[name]} if name in held else {}
            group.attrs["weight_names"] = [
                f"{part}/{kind}:0".encode() for part in inside for kind in ("kernel", "bias")
            ]
            for part, values in inside.items():
                for kind, value in zip(("kernel", "bias"), values, strict=True):
                    group[f"{part}/{kind}:0"] = value
    return path


@pytest.fixture
def nobias(tmp_path: Path) -> Path:
    config, weights = bpnet("wo_bias_", "model_wo_bias")
    return write_tensorflow(tmp_path / "chrombpnet_nobias.h5", config, weights)


def lambda_code(function: Any) -> str:
    return base64.b64encode(marshal.dumps(function.__code__)).decode()


def with_bias(path: Path, function: Any) -> Path:
    """The whole of ChromBPNet: both networks, and counts that are added by a Lambda.

    The networks have one shape and lie in another order than Keras 3 has them.
    """
    (plain, weights), (bias, bias_weights) = bpnet("wo_bias_", "model_wo_bias"), bpnet("", "bias")
    code = {
        "function": [lambda_code(function), None, None],
        "function_type": "lambda",
        "module": "chrombpnet",
    }
    rest = {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None, "arguments": {}}

    def inside(network: dict[str, Any]) -> dict[str, Any]:
        name = network["config"]["name"]
        return network | {"name": name, "inbound_nodes": [[["sequence", 0, 0, {}]]]}

    shape = {"batch_input_shape": [None, IN, 4], "sparse": False, "ragged": False}
    layers = [
        layer("InputLayer", "sequence", shape), inside(bias), inside(plain),
        layer("Concatenate", "concatenate", {"axis": -1}, ("model_wo_bias", 1), ("bias", 1)),
        layer("Add", "logits_profile_predictions", {}, ("model_wo_bias", 0), ("bias", 0)),
        layer("Lambda", "logcount_predictions", code | rest, ("concatenate", 0)),
    ]  # fmt: skip
    for entry in layers[3:5]:  # the first node of a network inside is its own
        for source in entry["inbound_nodes"][0]:
            source[1] = 1
    heads = ["logits_profile_predictions", "logcount_predictions"]
    config = {
        "name": "model", "layers": layers, "input_layers": [["sequence", 0, 0]],
        "output_layers": [[name, 0, 0] for name in heads],
    }  # fmt: skip
    held = {"model_wo_bias": weights, "bias": bias_weights}
    names = tuple(entry["name"] for entry in layers)
    return write_tensorflow(path, {"class_name": "Functional", "config": config}, held, names)


def test_chrombpnet_without_bias_equals_bpnet_lite(nobias: Path) -> None:
    lite = pytest.importorskip("bpnetlite", reason="bpnet-lite is not installed")
    model = read(nobias)
    other = lite.BPNet.from_chrombpnet(str(nobias)).eval()
    x = sequences(3, IN)
    with torch.no_grad():
        profile, counts = model.module(x)
        expected_profile, expected_counts = other(x.mT)
    cut = (expected_profile.shape[-1] - OUT) // 2
    assert cut >= 0
    torch.testing.assert_close(profile, expected_profile[:, 0, cut : cut + OUT], rtol=1e-4, atol=1e-4)
    assert counts.shape == expected_counts.shape
    assert [spec.name for spec in model.outputs] == [
        "wo_bias_bpnet_logits_profile_predictions", "wo_bias_bpnet_logcount_predictions",
    ]  # fmt: skip


def test_the_whole_of_chrombpnet(tmp_path: Path, nobias: Path) -> None:
    tf: Any = None
    path = with_bias(tmp_path / "m.h5", lambda x: tf.math.reduce_logsumexp(x, axis=-1, keepdims=True))
    model = read(path)
    assert "logcount_predictions" in model.notes[0]
    assert "the code was not run" in model.notes[0]
    config, weights = bpnet("", "bias")
    bias = read(write_tensorflow(tmp_path / "bias.h5", config, weights)).module
    x = sequences(3, IN)
    with torch.no_grad():
        (found, counts), (one, one_count), (two, two_count) = (
            module(x) for module in (model.module, read(nobias).module, bias)
        )
    torch.testing.assert_close(found, one + two, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(counts, torch.logaddexp(one_count, two_count), rtol=1e-4, atol=1e-4)
    outcome = deeplift("inspect", "-m", path, "--output", "logcount_predictions")
    assert outcome.code == 0, outcome.err


# ---- what cannot be used


def changed(source: Path, target: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    """A file with another configuration."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(content["config.json"])
        edit(config)
        content["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return target
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        edit(config)
        file.attrs["model_config"] = json.dumps(config)
    return target


def first_layer(config: dict[str, Any]) -> dict[str, Any]:
    trunk = next(entry for entry in config["config"]["layers"] if entry["class_name"] == "Functional")
    found: dict[str, Any] = next(e for e in trunk["config"]["layers"] if e["config"]["name"] == "first")
    return found


def ran(path: Path) -> Any:
    return types.FunctionType(compile(f"open({str(path)!r}, 'w')", "code", "eval"), {})


HIDDEN: dict[str, Callable[[dict[str, Any], Path], Any]] = {
    "a Lambda": lambda entry, marker: entry.update(
        class_name="Lambda", config={"name": "code", "function": [lambda_code(ran(marker)), None, None]}
    ),
    "a Lambda of Keras 3": lambda entry, marker: entry.update(
        class_name="Lambda",
        config={
            "name": "code",
            "function": {"class_name": "__lambda__", "config": {"code": lambda_code(ran(marker))}},
        },
    ),
    "a lambda as an initialiser": lambda entry, marker: entry["config"].update(
        kernel_initializer={"class_name": "__lambda__", "config": {"code": lambda_code(ran(marker))}}
    ),
    "a function of Python's": lambda entry, marker: entry["config"].update(
        activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    ),
    "a function of Keras's that fetches files": lambda entry, marker: entry["config"].update(
        activation={
            "module": "keras.utils", "class_name": "function", "config": "get_file",
        }
    ),
    "a class of another module": lambda entry, marker: entry["config"].update(
        kernel_initializer={"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}}
    ),
    "a layer that reads files": lambda entry, marker: entry.update(
        class_name="StringLookup", config={"vocabulary": "/etc/passwd", "name": "first"}
    ),
    "a layer that unpickles": lambda entry, marker: entry.update(
        class_name="TorchModuleWrapper", config={"module": "AAAA", "name": "first"}
    ),
    "a layer of a package": lambda entry, marker: entry.update(
        class_name="Attention9", module="crested.tl", registered_name="crested>Attention9"
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("what", HIDDEN)
def test_code_is_refused(what: str, suffix: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{suffix}")
    marker = tmp_path / "ran"
    path = changed(
        tmp_path / f"m{suffix}", tmp_path / "bad", lambda config: HIDDEN[what](first_layer(config), marker)
    )
    text = message(path)
    assert "--allow-pickle" in text
    assert not marker.exists()


def test_other_code_in_chrombpnet_s_place(tmp_path: Path) -> None:
    assert "layer 'logcount_predictions' (Lambda)" in message(with_bias(tmp_path / "m.h5", lambda x: x))


def test_functions_of_tensorflow(tmp_path: Path) -> None:
    network().save(tmp_path / "m.h5")
    path = changed(
        tmp_path / "m.h5",
        tmp_path / "tf.h5",
        lambda config: first_layer(config).update(class_name="TFOpLambda"),
    )
    assert f"python -m tf2onnx.convert --keras {path} --output {path}.onnx" in message(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damaged_files(suffix: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{suffix}")
    content = (tmp_path / f"m{suffix}").read_bytes()
    for share in (0.1, 0.5, 0.9):
        path = tmp_path / "cut"
        path.write_bytes(content[: int(len(content) * share)])
        assert "damaged or truncated" in message(path)
    for edit in (
        lambda config: config.clear(),
        lambda config: config.update(config=3),
        lambda config: first_layer(config).update(class_name=3),
        lambda config: first_layer(config)["config"].update(filters=-3),
        lambda config: first_layer(config)["config"].update(filters=9),  # other weights than the file's
        lambda config: config["config"].update(layers=[]),
    ):
        message(changed(tmp_path / f"m{suffix}", tmp_path / "bad", edit))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_more_weights_than_memory(suffix: str, tmp_path: Path) -> None:
    network().save(tmp_path / f"m{suffix}")
    path = changed(
        tmp_path / f"m{suffix}",
        tmp_path / "bad",
        lambda config: first_layer(config)["config"].update(filters=1 << 40),
    )
    assert "memory" in message(path)


def test_hdf5_that_points_elsewhere(nobias: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    layer_of = "model_weights/wo_bias_bpnet_1conv"
    for edit, says in (
        (lambda file: file.__setitem__(f"{layer_of}/x", h5py.ExternalLink("other.h5", "/x")), "is a link"),
        (lambda file: file.__setitem__(f"{layer_of}/x", h5py.SoftLink("/model_weights")), "is a link"),
        (
            lambda file: file.create_dataset("x", (4,), "f4", external=[(str(secret), 0, 16)]),
            "in other files",
        ),
        (lambda file: file.__setitem__("model_weights/again", file["model_weights"]), "without end"),
        (lambda file: file.create_dataset("x", (1 << 40,), "f4", chunks=(1024,)), "memory"),
        (lambda file: file.__delitem__("model_weights"), "damaged"),
    ):
        path = tmp_path / "bad.h5"
        path.write_bytes(nobias.read_bytes())
        with h5py.File(path, "r+") as file:
            edit(file)
        assert says in message(path)


def test_hdf5_without_a_network(nobias: Path, tmp_path: Path) -> None:
    whole = network()
    whole.save_weights(tmp_path / "m.weights.h5")
    assert "holds weights of Keras without the network" in message(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "any.h5", "w") as file:
        file["x"] = 3
    assert "without a Keras model" in message(tmp_path / "any.h5")
    fasta = write_fasta(tmp_path / "in.fa", [random_letters(0, IN)])
    score("-m", nobias, "-f", fasta, "-o", tmp_path / "s.h5", "--n-references", 1)
    assert "is a score file, not a model" in message(tmp_path / "s.h5")


def test_another_backend_and_no_keras(nobias: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = keras_on_torch()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    assert "KERAS_BACKEND=torch" in message(nobias)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "keras", None)
    assert "pip install 'deeplift-genomics[keras]'" in message(nobias)


OWN = """
import keras


@keras.saving.register_keras_serializable(package="lab")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def test_layers_of_a_lab_s_own_with_allow_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "layers_of_the_lab.py").write_text(OWN)
    keras = keras_on_torch()
    import layers_of_the_lab as lab

    dense = keras.layers.Dense(2)
    doubled = keras.Sequential([keras.layers.Input((20, 4)), keras.layers.Flatten(), dense, lab.Twice()])
    doubled.save("m.keras")
    path = Path("m.keras")
    assert "'twice' of layers_of_the_lab, which is none of Keras's own" in message(path)
    model = read(path, allow_pickle=True)
    with torch.no_grad():
        torch.testing.assert_close(model.module(sequences(2, 20)), doubled(sequences(2, 20)).cpu())
    del sys.modules["layers_of_the_lab"]
    (tmp_path / "layers_of_the_lab.py").unlink()
    assert "needs the module layers_of_the_lab" in message(path, allow_pickle=True)
