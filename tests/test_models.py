"""Reading model files: the shared models, formats other than ONNX, and what users are told of bad files."""

import hashlib
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models import find_layout, load, read

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|legacy|removed):Warning")
SHARED = ("deepkingnet_200bp", "janggu_oct4_mafk", "mmsplice_acceptor", "mmsplice_donor")


class Small(nn.Module):
    """A model for 24 bp with what each format has to carry over: batch norm, dropout, named submodules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Sequential(nn.Linear(6 * 12, 5), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool1d(F.relu(self.norm(self.conv(x))), 2)
        h = self.drop(h)
        return self.head(h.view(h.shape[0], -1))


class TwoInputs(nn.Module):
    def forward(self, sequence: Tensor, signal: Tensor) -> Tensor:
        return sequence.sum((1, 2)) + signal.sum(1)


class Baked(nn.Module):
    """A model for batches of one row: with more, the rows' results depend on each other."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.square().sum((1, 2)) * x[:, 0].sum()).view(1, 1)


def one_hot(rows: int, length: int = 24) -> Tensor:
    letters = torch.randint(4, (rows, length), generator=torch.Generator().manual_seed(rows))
    return F.one_hot(letters, 4).transpose(1, 2).float()


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    model = Small()
    nn.init.uniform_(model.norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(model.norm.running_var, 0.5, 2)
    return model.eval()


def save(model: nn.Module, path: Path, kind: str) -> Path:
    x = one_hot(1)
    if kind == "scripted":
        torch.jit.script(model).save(str(path))
    elif kind == "traced":
        torch.jit.trace(model, x).save(str(path))
    elif kind == "frozen":
        torch.jit.freeze(torch.jit.script(model)).save(str(path))
    elif kind == "exported":
        torch.export.save(torch.export.export(model, (x,)), path)
    elif kind == "exported free":
        shapes = ({0: torch.export.Dim("n")},)
        torch.export.save(torch.export.export(model, (one_hot(2),), dynamic_shapes=shapes), path)
    elif kind == "pickled":
        torch.save(model, path)
    elif kind == "pickled, old style":
        torch.save(model, path, _use_new_zipfile_serialization=False)
    return path


def message(path: Path, **options: bool) -> str:
    """Return what the user is told, which is one line that names the file."""
    with pytest.raises(UserError) as caught:
        read(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("rows", [1, 5])
def test_shared_models_equal_onnxruntime(shared: Path, name: str, rows: int) -> None:
    path = shared / "models" / f"{name}.onnx"
    model = read(path)
    layout, length = find_layout(model, length=None)
    assert layout.name == ("ncl" if name.startswith("janggu") else "nlc")
    assert length == {"mmsplice_acceptor": 53, "mmsplice_donor": 18}.get(name, 200)
    assert model.batch_size is None
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    x = layout.to_model(one_hot(rows, length)).contiguous()
    session = onnxruntime.InferenceSession(str(path))
    (expected,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(model.module(x).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_state_dict_without_its_class(shared: Path) -> None:
    text = message(shared / "models" / "janggu_oct4_mafk.pt")
    assert "only weights (a state dict)" in text
    for way_out in ("ONNX", "TorchScript", "torch.export"):
        assert way_out in text


@pytest.mark.parametrize(
    "kind",
    ["scripted", "traced", "frozen", "exported", "exported free", "pickled", "pickled, old style"],
)
@pytest.mark.parametrize("training", [False, True])
def test_formats(small: Small, kind: str, training: bool, tmp_path: Path) -> None:
    if training and kind in ("traced", "frozen"):
        pytest.skip("a trace keeps the mode it was made in; freezing asks for eval mode")
    x = one_hot(7)
    with torch.no_grad():
        expected = small(x)
    path = save(small.train(training), tmp_path / "model.bin", kind)
    model = read(path, allow_pickle=True)
    assert model.format == {"exp": "exported", "pic": "pickled"}.get(kind[:3], "torchscript")
    assert not model.module.training
    with torch.no_grad():
        torch.testing.assert_close(model.module(x), expected)
        torch.testing.assert_close(model.module(x[:3]), expected[:3])
    assert find_layout(model, length=24)[1] == 24
    assert [spec.name for spec in model.inputs] == ["x"]
    if kind != "frozen":
        names = {name for name, _ in model.module.named_modules()}
        assert {"conv", "norm", "head.0", "head.2"} <= names


def test_load_returns_the_module(small: Small, tmp_path: Path) -> None:
    assert isinstance(load(save(small, tmp_path / "m.pt", "scripted")), nn.Module)


@pytest.mark.parametrize("kind", ["exported", "onnx"])
def test_batch_that_cannot_be_freed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    if kind == "onnx":
        torch.onnx.export(Baked(), one_hot(1), path, dynamo=False, opset_version=17)
    else:
        save(Baked(), path, kind)
    model = read(path)
    assert model.batch_size == 1
    assert "exactly 1" in model.notes[0]
    with torch.no_grad():
        torch.testing.assert_close(model.module(one_hot(1)), Baked()(one_hot(1)))


@pytest.mark.parametrize("kind", ["scripted", "exported", "onnx", "pickled"])
def test_several_inputs_are_named(kind: str, tmp_path: Path) -> None:
    path, example = tmp_path / "model", (one_hot(1), torch.ones(1, 3))
    if kind == "scripted":
        torch.jit.script(TwoInputs()).save(str(path))
    elif kind == "exported":
        torch.export.save(torch.export.export(TwoInputs(), example), path)
    elif kind == "onnx":
        names = ["sequence", "signal"]
        torch.onnx.export(TwoInputs(), example, path, dynamo=False, opset_version=17, input_names=names)
    else:
        torch.save(TwoInputs(), path)
    with pytest.raises(
        UserError, match=r"takes 2 inputs: sequence .* and signal .*, add --input signal=zeros"
    ):
        find_layout(read(path, allow_pickle=True), length=24)


def test_pickles_are_refused_unless_allowed(small: Small, tmp_path: Path) -> None:
    for kind in ("pickled", "pickled, old style"):
        text = message(save(small, tmp_path / "model.pt", kind))
        assert "can run any code" in text
        assert "--allow-pickle" in text


def test_pickle_that_runs_code_does_not_run_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Trap(), tmp_path / "model.pt")
    message(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def test_pickle_of_a_class_that_is_not_there(tmp_path: Path) -> None:
    script = (
        "import sys, types, torch; m = types.ModuleType('elsewhere'); sys.modules['elsewhere'] = m\n"
        "C = type('Net', (torch.nn.Linear,), {'__module__': 'elsewhere'}); m.Net = C\n"
        "torch.save(C(2, 2), sys.argv[1])"
    )
    path = tmp_path / "model.pt"
    subprocess.run([sys.executable, "-c", script, path], check=True)
    text = message(path, allow_pickle=True)
    assert "elsewhere" in text
    assert "PYTHONPATH" in text


def test_what_pickles_hold_instead_of_a_module(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in (small.state_dict(), {"state_dict": small.state_dict(), "epoch": 3}, OrderedDict()):
        torch.save(content, path)
        assert "only weights" in message(path)
    torch.save(torch.zeros(3), path)
    assert "holds a Tensor" in message(path)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert "does not exist" in message(path)
    assert "is a folder" in message(tmp_path)
    path.write_bytes(b"")
    assert "is empty" in message(path)
    path.write_text(">chr1\nACGT\n")
    assert "is not an ONNX" in message(path)
    other = tmp_path / "model.xyz"
    other.write_text("hello")
    assert "not a model file that deeplift reads (it reads" in message(other)
    other.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "damaged or truncated" in message(other)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(100))
    assert "safetensors file" in message(weights)


@pytest.mark.parametrize("kind", ["scripted", "exported", "pickled", "pickled, old style"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_archives(small: Small, kind: str, share: float, tmp_path: Path) -> None:
    path = save(small, tmp_path / "model", kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated" in message(path, allow_pickle=True)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_onnx(shared: Path, share: float, tmp_path: Path) -> None:
    content = (shared / "models" / "janggu_oct4_mafk.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    message(path)


def test_format_is_told_from_the_content(small: Small, shared: Path, tmp_path: Path) -> None:
    disguised = tmp_path / "model.pt"
    disguised.write_bytes((shared / "models" / "mmsplice_donor.onnx").read_bytes())
    assert read(disguised).format == "onnx"
    assert read(save(small, tmp_path / "model.onnx", "exported")).format == "exported"


def graph_file(path: Path, nodes, inputs, *, opset: int = 17, constants=(), data: str | None = None) -> Path:
    """Write an ONNX file of these nodes; inputs are (name, shape) pairs and the output is y."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants]
    graph = helper.make_graph(nodes, "graph", values, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    options = {"save_as_external_data": True, "location": data, "size_threshold": 0} if data else {}
    onnx.save(model, path, **options)
    return path


SEQUENCE = ("x", TensorProto.FLOAT, ["n", 4, 10])


def test_unsupported_operators_are_all_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Twist", ["b"], ["c"], name="second", domain="com.example"),
        helper.make_node("Det", ["c"], ["y"], name="third"),
    ]
    text = message(graph_file(tmp_path / "m.onnx", nodes, [SEQUENCE]))
    assert "Det: first, third" in text
    assert "com.example.Twist: second" in text
    assert "fine" not in text


def test_operators_newer_than_the_conversion_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("DeformConv", ["x", "x", "x"], ["y"], name="new one")]
    text = message(graph_file(tmp_path / "m.onnx", nodes, [SEQUENCE], opset=24))
    assert "DeformConv (operator set 24): new/one" in text


def test_external_data(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    path = graph_file(tmp_path / "m.onnx", nodes, [SEQUENCE], constants=[("w", weight)], data="weights.bin")
    model, x = read(path), one_hot(3, 10)
    np.testing.assert_allclose(model.module(x).numpy(), x.flatten(1).numpy() @ weight, rtol=1e-5, atol=1e-6)
    both = path.read_bytes() + (tmp_path / "weights.bin").read_bytes()
    assert model.sha256 == hashlib.sha256(both).hexdigest()
    (tmp_path / "weights.bin").unlink()
    text = message(path)
    assert "weights.bin" in text
    assert "does not exist" in text


def test_wrong_conversion_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graph_file(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [SEQUENCE])
    assert read(path).notes == ()
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: 1.001 * x)
    assert "differ from onnxruntime's by 1.0e-03" in message(path)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_other_input_types_run_in_single_precision(dtype: int, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    path = graph_file(tmp_path / "m.onnx", nodes, [("x", dtype, ["n", 4, 10])], constants=[("w", weight)])
    x = one_hot(2, 10)
    np.testing.assert_allclose(read(path).module(x).numpy(), x.flatten(1).numpy() @ weight, atol=1e-5)
    assert read(path).module.double()(x.double()).dtype == torch.float64


def test_importing_the_package_is_quick() -> None:
    script = (
        "import sys, deeplift_cli.models\n"
        "print(sorted({'torch', 'onnx', 'onnx2torch', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


# ---- folders


def test_a_savedmodel_of_tensorflow(tmp_path: Path) -> None:
    folder = tmp_path / "a model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01")
    text = message(folder)
    assert f"python -m tf2onnx.convert --saved-model '{folder}' --output '{folder}.onnx'" in text


def test_a_folder_with_one_model(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "model.onnx"
    path.parent.mkdir()
    torch.onnx.export(Baked(), one_hot(1), path, dynamo=False, opset_version=17)
    (path.parent / "notes.txt").write_text("seen")
    model = read(path.parent)
    assert model.path == path
    assert model.sha256 == read(path).sha256
    shutil.copyfile(path, path.with_name("second.onnx"))
    assert "a folder with 2 models (model.onnx, second.onnx); give one of them" in message(path.parent)
