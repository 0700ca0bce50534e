"""Model files that try to run code, to fill the memory or to hang are refused in one line, and do nothing."""

import io
import json
import os
import pickle
import socket
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.main import run
from deeplift_cli.models import read
from deeplift_cli.models.examination import operators
from deeplift_cli.models.examination.archive import Archive, put_together
from deeplift_cli.models.examination.expressions import is_arithmetic

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|legacy|removed):Warning")
COMMANDS = ("score", "inspect")
CODE = f"code/__torch__/{__name__}.py"  # where a scripted module of this file lies


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).sum((1, 2))


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def call(command: str, model: Path, *further: str) -> tuple[int, str]:
    """Run the command on a model in this process; return exit code and what it says."""
    fasta = model.with_name("seqs.fa")
    fasta.write_text(">a\nACGTACGTACGTACGTACGT\n")
    inputs = ["--fasta", str(fasta), "--out", str(model.with_name("out.h5"))] if command == "score" else []
    capture = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", capture)
        code = run([command, "--model", str(model), *inputs, *further])
    return code, capture.getvalue()


def assert_refused(model: Path, marker: Path, *words: str) -> None:
    """Assert that both commands refuse a model in one line that says what to do, and that no code ran."""
    for command in COMMANDS:
        code, said = call(command, model)
        assert not marker.exists(), said
        assert code == 1
        lines = said.strip().splitlines()
        assert len(lines) == 1, said
        assert str(model) in said
        for word in words:
            assert word in said


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torch.export with a free batch size, so that it has expressions in it."""
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim("n"), 2: torch.export.Dim("length", min=10, max=3000)},)
    torch.export.save(
        torch.export.export(Small().eval(), (torch.zeros(2, 4, 20),), dynamic_shapes=shapes), path
    )
    return path


def members(path: Path) -> dict[str, bytes]:
    with Archive(path, str(path)) as archive:
        return {name: archive.read(name) for name in archive.names}


def write(path: Path, content: dict[str, bytes], top: str = "model") -> Path:
    path.write_bytes(put_together(content, top=top).read())
    return path


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def with_sample_inputs(content: dict[str, bytes], trap: Touch) -> None:
    content["data/sample_inputs/model.pt"] = pickled(((trap,), {}))


def with_pickled_weight(content: dict[str, bytes], trap: Touch) -> None:
    name = "data/weights/model_weights_config.json"
    table = json.loads(content[name])
    entry = next(iter(table["config"].values()))
    entry["use_pickle"] = True
    content[name] = json.dumps(table).encode()
    content[f"data/weights/{entry['path_name']}"] = pickled(trap)


def with_constant(content: dict[str, bytes], trap: Touch, prefix: str) -> None:
    entry = {"path_name": f"{prefix}_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    content["data/constants/model_constants_config.json"] = json.dumps({"config": {"c": entry}}).encode()
    content[f"data/constants/{prefix}_0"] = pickle.dumps(trap) if prefix == "opaque_obj" else pickled(trap)


def with_old_weights(content: dict[str, bytes], trap: Touch) -> None:
    content["data/weights/model.pt"] = pickled({"conv.weight": trap})


def with_old_constants(content: dict[str, bytes], trap: Touch) -> None:
    content["data/constants/model.pt"] = pickled({"c": trap})


PICKLES: dict[str, Callable[[dict[str, bytes], Touch], None]] = {
    "sample inputs": with_sample_inputs,
    "pickled weight": with_pickled_weight,
    "pickled constant": lambda content, trap: with_constant(content, trap, "tensor"),
    "opaque constant": lambda content, trap: with_constant(content, trap, "opaque_obj"),
    "script object": lambda content, trap: with_constant(content, trap, "custom_obj"),
    "old weights": with_old_weights,
    "old constants": with_old_constants,
}


@pytest.mark.parametrize("route", PICKLES)
def test_exported_program_unpickles_nothing(exported: Path, route: str, tmp_path: Path) -> None:
    content, marker = members(exported), tmp_path / "ran"
    PICKLES[route](content, Touch(marker))
    assert_refused(write(tmp_path / "model.onnx", content), marker, "--allow-pickle", "torch.export.save")


@pytest.mark.parametrize("part", ["state_dict", "constants", "example_inputs", "none"])
def test_old_layout_unpickles_nothing(exported: Path, part: str, tmp_path: Path) -> None:
    """The layout of torch 2.7 has no top folder and three pickles."""
    new, marker = members(exported), tmp_path / "ran"
    program = torch.export.load(exported)
    held: dict[str, Any] = {
        "state_dict": dict(program.state_dict),
        "constants": {},
        "example_inputs": program.example_inputs,
    }
    if part != "none":
        held[part] = ({"x": Touch(marker)},) if part == "example_inputs" else {"x": Touch(marker)}
    content = {f"serialized_{name}.pt": pickled(value) for name, value in held.items()}
    content |= {"serialized_exported_program.json": new["models/model.json"], "version": b"8.20"}
    path = write(tmp_path / "model.bin", content, top="")
    if part == "none":
        x = torch.rand(3, 4, 20)
        torch.testing.assert_close(read(path).module(x), program.module()(x))
    else:
        assert_refused(path, marker, "--allow-pickle", "torch.export.save")


def code_of(marker: Path) -> str:
    return f"__import__('pathlib').Path('{marker}').touch()"


def change(value: Any, field: str, text: Callable[[str], str]) -> int:
    """Change every text of a field anywhere in a program; return how many there were."""
    count = 0
    if isinstance(value, dict):
        for key, item in value.items():
            if key == field and isinstance(item, str):
                value[key] = text(item)
                count += 1
            else:
                count += change(item, field, text)
    elif isinstance(value, list):
        count = sum(change(item, field, text) for item in value)
    return count


def _structure(kind: str, context: Any) -> Callable[[str], str]:
    leaf = {"type": None, "context": None, "children_spec": []}
    return lambda _old: json.dumps([1, {"type": kind, "context": context, "children_spec": [leaf]}])


PROGRAMS: dict[str, tuple[str, Callable[[Path], Callable[[str], str]]]] = {
    "size": ("expr_str", lambda marker: lambda old: f"({code_of(marker)}, {old})[1]"),
    "name": ("name", lambda marker: lambda old: f"x={code_of(marker)}" if old == "x" else old),
    "weight": ("parameter_name", lambda marker: lambda old: f'{old}."+{code_of(marker)}+"'),
    "operator": ("target", lambda marker: lambda old: "torch.serialization.os.system"),
    "file operator": ("target", lambda marker: lambda old: "torch.ops.aten.save.default"),
    "library": ("target", lambda marker: lambda old: "torch.ops.load_library"),
    "own operator": ("target", lambda marker: lambda old: "torch.ops.evil.run.default"),
    "higher order": ("target", lambda marker: lambda old: "torch.ops.higher_order.call_torchbind"),
    "module import": (
        "in_spec",
        lambda marker: _structure(
            "collections.defaultdict",
            {"default_factory_module": "this", "default_factory_name": "s", "dict_context": []},
        ),
    ),
    "enumeration": (
        "in_spec",
        lambda marker: _structure("builtins.dict", '[{"__enum__": true, "fqn": "this:s", "name": "a"}]'),
    ),
    "keyword": (
        "in_spec",
        lambda marker: _structure("builtins.dict", json.dumps([f"x={code_of(marker)}"])),
    ),
}


@pytest.mark.parametrize("field", PROGRAMS)
def test_exported_program_runs_none_of_its_text(exported: Path, field: str, tmp_path: Path) -> None:
    content, marker = members(exported), tmp_path / "ran"
    program = json.loads(content["models/model.json"])
    name, make = PROGRAMS[field]
    assert change(program, name, make(marker))
    content["models/model.json"] = json.dumps(program).encode()
    assert_refused(write(tmp_path / "m.pt2", content), marker, "--allow-pickle")


@pytest.mark.parametrize("name", ["x", "relu", "conv.weight"])
def test_names_of_an_exported_program_are_not_run(exported: Path, name: str, tmp_path: Path) -> None:
    """torch writes names of inputs, values and weights into Python code."""
    content, marker = members(exported), tmp_path / "ran"
    evil = {"x": f"x={code_of(marker)}", "relu": f"relu=[{code_of(marker)}];relu"}
    text = json.dumps(evil.get(name, f'conv.w"+{code_of(marker)}+"')).encode()
    for member in content:
        if member.endswith(".json"):
            content[member] = content[member].replace(f'"{name}"'.encode(), text)
    assert_refused(write(tmp_path / "m.pt2", content), marker, "--allow-pickle", "none in Python")


class Labelled(nn.Module):
    """What exported programs have besides weights: contexts, branches, text, labels, numbered modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(4, 4, 3, padding="same") for _ in range(2)])

    def forward(self, x: Tensor) -> dict[str, Any]:
        for layer in self.layers:
            x = torch.einsum("bcl,cd->bdl", layer(x), torch.eye(4))
        with torch.enable_grad():
            high = torch.cond(x.sum() > 0, lambda h: h.sum(1), lambda h: -h.sum(1), (x,))
        return {"cell type: K562 (ATAC)": high.float(), "rest": [x, x.mean((1, 2))]}


def test_what_honest_programs_have_is_let_through(tmp_path: Path) -> None:
    model, x = Labelled().eval(), torch.rand(2, 4, 20)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "m.pt2")
    found = read(tmp_path / "m.pt2").module(x)
    assert found.keys() == model(x).keys()
    torch.testing.assert_close(found, model(x))


def test_guards_of_a_program_are_not_run(exported: Path, tmp_path: Path) -> None:
    """They are code, and the sizes that they check are checked without them."""
    content, marker = members(exported), tmp_path / "ran"
    program = json.loads(content["models/model.json"])
    program["guards_code"] = [f"{code_of(marker)} is None"]
    content["models/model.json"] = json.dumps(program).encode()
    model = read(write(tmp_path / "m.pt2", content))
    x = torch.rand(3, 4, 20)
    torch.testing.assert_close(model.module(x), torch.export.load(exported).module()(x))
    assert not marker.exists()


@pytest.mark.parametrize("member", ["data/aotinductor/model/a.wrapper.so", "lib/evil.so", "extra/run.py"])
def test_compiled_code_is_refused(exported: Path, member: str, tmp_path: Path) -> None:
    content = members(exported) | {member: b"\x7fELF"}
    path = write(tmp_path / "m.pt2", content)
    for allow in (False, True):
        with pytest.raises(UserError, match="compiled code"):
            read(path, allow_pickle=allow)


def test_allow_pickle_reads_what_is_refused_without(exported: Path, tmp_path: Path) -> None:
    content, marker = members(exported), tmp_path / "ran"
    content["data/sample_inputs/model.pt"] = pickled(((Touch(marker),), {}))
    assert read(write(tmp_path / "m.pt2", content), allow_pickle=True).format == "exported"
    assert marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Mul(Integer(3), Max(Integer(1), Add(Symbol('s53', positive=True, integer=True), Integer(-4))))",
        "FloorDiv(Symbol('s0', integer=True), Integer(2))",
        "Pow(Symbol('s0', integer=True), Integer(2))",
        "Equality(Mod(Symbol('u0', integer=True), Integer(2)), Integer(0))",
        "2*s0 + 1",
        "(s0 + 1)//2",
        "Float('0.5', precision=53)",
    ],
)
def test_sizes_that_torch_writes(text: str) -> None:
    assert is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "().__class__",
        "s0.func",
        "lambdify(s0, s0)",
        "sympify('s0')",
        "Symbol('s0', evil=True)",
        "Symbol('__import__')",
        "s0 if s1 else s2",
        "[s0 for s0 in s1]",
        "s0\n+ 1",
        "s0 # + 1",
        "9**9**9",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "LShift(Integer(1), Integer(100000000000))",
        "(9**8)**8",
        "(" * 80 + "s0" + ")" * 80 + "+" * 5000 + "s0",
        "s0" + "+1" * 6000,
        "9" * 5000,
        "s0**s1",
        "",
    ],
)
def test_sizes_that_are_code_or_never_end(text: str) -> None:
    assert not is_arithmetic(text)


@given(st.text(alphabet="s01_.,+-*/%()<>='& Pow\n", max_size=40))
def test_sizes_of_any_kind_run_nothing(text: str) -> None:
    """What is let through has no attribute, no index and no call but of sympy's functions."""
    if is_arithmetic(text):
        assert not {"\n", "[", "lambda"} & set(text)
        assert ".func" not in text


class Saves(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.path)
        return x.sum((1, 2))


class SavesWhenLoaded(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), self.path)

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2))


class FromFile(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2)) + torch.from_file(self.path, True, 1).sum()


class Calls(nn.Module):
    """Reaches its saving through a submodule and a function."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.inner = nn.Sequential(Saves(path))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def scripted(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module.eval()).save(str(path))
    return path


@pytest.mark.parametrize("kind", [Saves, SavesWhenLoaded, FromFile, Calls])
def test_torchscript_touches_no_file(kind: type[nn.Module], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = scripted(kind(str(marker)), tmp_path / "m.pt")
    marker.unlink(missing_ok=True)
    assert_refused(path, marker, "reads or writes files", "--allow-pickle")


SPELLINGS = {
    "plain": "torch.save(x, '{marker}')",
    "operator": "ops.aten.save(x, '{marker}')",
    "method": "(x).save('{marker}', )",
    "getattr": "getattr(torch, 'save')(x, '{marker}')",
    "escaped": "getattr(torch, '\\163ave')(x, '{marker}')",
    "spaced": "torch . save(x, '{marker}')",
    "comment": "torch.save(x, '{marker}')  # fine",
    "continued": "torch.\\\n    save(x, '{marker}')",
    "other namespace": "ops.profiler._record_function_enter_new('{marker}', None)",
    "image": "ops.image.write_file('{marker}', x)",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_torchscript_in_other_spellings(spelling: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = members(scripted(Small(), tmp_path / "small.pt"))
    code = content[CODE].decode().splitlines(keepends=True)
    place = next(n for n, line in enumerate(code) if line.startswith("    return"))
    code.insert(place, f"    _9 = {SPELLINGS[spelling].format(marker=marker)}\n")
    content[CODE] = "".join(code).encode()
    assert_refused(write(tmp_path / "m.pt", content), marker, "--allow-pickle")


def test_torchscript_computes_no_default_argument(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = members(scripted(Small(), tmp_path / "small.pt"))
    code = content[CODE].decode()
    changed = code.replace("x: Tensor)", "x: Tensor, y: int=torch.numel(torch.zeros([2])))")
    assert changed != code
    content[CODE] = changed.encode()
    assert_refused(write(tmp_path / "m.pt", content), marker, "default argument")


def test_graph_is_checked_as_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the text's examination would miss is found in the graph, before anything runs."""
    marker = tmp_path / "ran"
    path = scripted(Calls(str(marker)), tmp_path / "m.pt")
    monkeypatch.setattr("deeplift_cli.models.examination.scripted._Calls.check", lambda *_: None)
    assert_refused(path, marker, "aten::save", "--allow-pickle")


@pytest.mark.parametrize("kind", [Saves])
def test_torchscript_with_files_is_read_where_allowed(kind: type[nn.Module], tmp_path: Path) -> None:
    path = scripted(kind(str(tmp_path / "ran")), tmp_path / "m.pt")
    assert read(path, allow_pickle=True).format == "torchscript"


def test_every_operator_that_takes_text_was_looked_at() -> None:
    """A new operator of torch with text among its arguments could name a file: look, then add it here."""
    harmless = set((Path(__file__).parent / "operators_with_text.txt").read_text().split())
    taking_text = {
        schema.name
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.split("::")[0] in operators.NAMESPACES
        and any(str(item.type) in ("str", "Optional[str]") for item in schema.arguments)
    }
    allowed = {name for name in taking_text if not operators.reason_against(*name.split("::"))}
    assert not allowed - harmless
    assert {"aten::save", "aten::from_file"} <= taking_text - allowed


def test_two_members_of_one_name(exported: Path, tmp_path: Path) -> None:
    path, marker = tmp_path / "m.pt2", tmp_path / "ran"
    path.write_bytes(exported.read_bytes())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("model/data/sample_inputs/model.pt", pickled(((Touch(marker),), {})))
    assert_refused(path, marker, "two members")


def test_member_behind_another_top_folder(exported: Path, tmp_path: Path) -> None:
    path, marker = tmp_path / "m.pt2", tmp_path / "ran"
    path.write_bytes(exported.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data/sample_inputs/model.pt", pickled(((Touch(marker),), {})))
    assert_refused(path, marker)


def test_archive_behind_other_bytes(exported: Path, tmp_path: Path) -> None:
    content, marker = members(exported), tmp_path / "ran"
    content["data/sample_inputs/model.pt"] = pickled(((Touch(marker),), {}))
    zipped = put_together(content, top="model").read()
    for head in (b"PK\x03\x04" + bytes(26), b"\x80\x02", b"\x08\x07\x12\x00"):
        path = tmp_path / "m.onnx"
        path.write_bytes(head + zipped)
        assert_refused(path, marker)


def test_archive_that_would_fill_the_memory(tmp_path: Path) -> None:
    """A directory that declares terabytes is not believed by reading them."""
    path = tmp_path / "m.pt"
    scripted(Small(), path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.start_dir
    for _ in range(8):
        struct.pack_into("<I", data, place + 24, 0xFFFFFFF0)  # the size that a member unpacks to
        lengths = struct.unpack_from("<HHH", data, place + 28)
        place += 46 + sum(lengths)
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeplift_cli.process.memory.memory_of", lambda _device: 16 << 30)
        assert_refused(path, tmp_path / "ran", "GB of memory", "damaged or made to fill the memory")


def test_tensor_that_few_bytes_stand_for(exported: Path, tmp_path: Path) -> None:
    content = members(exported)
    name = "data/weights/model_weights_config.json"
    table = json.loads(content[name])
    meta = next(iter(table["config"].values()))["tensor_meta"]
    meta["sizes"], meta["strides"] = [{"as_int": 1 << 50}], [{"as_int": 0}]
    content[name] = json.dumps(table).encode()
    assert_refused(write(tmp_path / "m.pt2", content), tmp_path / "ran", "GB of memory")


@pytest.mark.parametrize("wrong", ["count", "shape"])
def test_torchscript_tensor_beyond_its_bytes(wrong: str, tmp_path: Path) -> None:
    content = members(scripted(Small(), tmp_path / "small.pt"))
    weight = content["data.pkl"]
    # [2, 4, 3]: 24 elements, one byte each in the pickle.
    old, new = (b"K\x18", b"K\xff") if wrong == "count" else (b"K\x02K\x04K\x03", b"K\xffK\x04K\x03")
    assert old in weight
    content["data.pkl"] = weight.replace(old, new)
    assert_refused(write(tmp_path / "m.pt", content), tmp_path / "ran", "damaged")


def test_files_that_are_no_files(tmp_path: Path) -> None:
    pipe, sock = tmp_path / "pipe", tmp_path / "sock"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sock))
        for path, kind in ((pipe, "a named pipe"), (sock, "a socket"), (Path("/dev/zero"), "a device")):
            with pytest.raises(UserError, match=f"{kind}; copy the model into a file"):
                read(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="cannot be read"):
        read(loop)
    with pytest.raises(UserError, match="does not exist"):
        read(pipe / "model")


class BadParameters(nn.Module):
    def parameters(self, recurse: bool = True) -> Any:
        raise KeyError("no parameters")

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2))


class BadWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._parameters["weight"] = "text"  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2))


class NoForward(nn.Module):
    forward = None  # type: ignore[assignment]


class RaisesWhenLoaded(nn.Module):
    def __setstate__(self, state: Any) -> None:
        raise OverflowError(str(len(state)))

    def forward(self, x: Tensor) -> Tensor:
        return x


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.again = [self]

    def __setstate__(self, state: Any) -> None:
        self.__setstate__(state)


@pytest.mark.parametrize("kind", [BadParameters, BadWeight, NoForward, RaisesWhenLoaded, Deep])
def test_pickles_that_fail_in_odd_ways(kind: type[nn.Module], tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(kind(), path)
    with pytest.raises(UserError) as caught:
        read(path, allow_pickle=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_pickles_of_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(b"\x80\x02" + data)
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
