"""The recorded graph as data: immutable, readable as text, the same after a file, and exact about modules."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift, OptionError, TargetError
from deeplift_core.capture import borrowed, record_function, record_model
from deeplift_core.graph import Graph, Node, Ref, call, layer_node, op_name
from deeplift_core.graph.operations import RESULT

K, L = 3, 10


class Net(nn.Module):
    def __init__(self, run: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *x: Tensor) -> Any:
        return self.run(self, *x)


def everything() -> Net:
    """Results of several kernels, in-place code, constants of all kinds, complex numbers, casts."""
    torch.manual_seed(0)

    def run(s: Net, x: Tensor) -> Any:
        h = s.norm(s.conv(x))
        h[:, 0] *= 2
        values, places = h.max(2)
        spectrum = torch.fft.irfft(torch.fft.rfft(h) * (1 + 0.5j), n=h.shape[2])
        h = s.pool(h + spectrum.clamp(min=-torch.inf)).to(torch.float64).float()
        out, (last, _) = s.lstm(h.transpose(1, 2))
        return s.head(torch.cat([values, out[:, -1], last[0], places.float()], 1)), out

    return Net(
        run, conv=nn.Conv1d(4, 6, 3), norm=nn.BatchNorm1d(6), pool=nn.MaxPool1d(2),
        lstm=nn.LSTM(6, 5, batch_first=True), head=nn.Linear(22, 2),
    ).eval()  # fmt: skip


def recorded(model: nn.Module, x: Tensor) -> tuple[Graph, list[int]]:
    with borrowed(model, x.dtype, x.device):
        graph, outputs, _ = record_model(model, [x])
    return graph, outputs


def example(seed: int = 0) -> Tensor:
    return torch.randn(K, 4, L, generator=torch.Generator().manual_seed(seed))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(type(one) is type(other) and one == other)


# ---- nodes


@pytest.mark.filterwarnings("ignore")
def test_every_operation_is_an_overload_of_torchs() -> None:
    graph, _ = recorded(everything(), example())
    for node in graph.nodes:
        assert node.op is None or isinstance(node.op, torch._ops.OpOverload), node.describe()
    convolution = next(node for node in graph.nodes if node.op_name == "convolution")
    assert convolution.op is torch.ops.aten.convolution.default


def test_weights_along_a_sequence_lie_as_the_fastest_kernel_reads_them() -> None:
    torch.manual_seed(0)
    for layer in (
        nn.Conv1d(4, 6, 3),
        nn.Conv1d(4, 6, 1),
        nn.ConvTranspose1d(4, 6, 3),
        nn.Conv1d(4, 8, 3, groups=4),
    ):
        graph, _ = recorded(layer, example())
        weight = next(node for node in graph.nodes if node.op_name == "convolution").args[1]
        assert torch.equal(weight, layer.weight)
        assert weight.shape == layer.weight.shape
        image = weight.unsqueeze(2)
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert image.contiguous(memory_format=torch.channels_last).data_ptr() == weight.data_ptr()


def test_one_of_several_results() -> None:
    graph, _ = recorded(Net(lambda s, x: torch.cat(list(x.max(2)), 1)), example())
    kernel = next(node for node in graph.nodes if node.op_name == "max")
    assert kernel.results == ((torch.Size([K, 4]), torch.float32), (torch.Size([K, 4]), torch.int64))
    taken = [node for node in graph.nodes if node.op is RESULT]
    assert [node.args for node in taken] == [(Ref(kernel.index), 0), (Ref(kernel.index), 1)]
    assert [node.op_name for node in taken] == ["getitem", "getitem"]
    assert [node.dtype for node in taken] == [torch.float32, torch.int64]
    assert op_name(RESULT) == "getitem"
    values = torch.ones(2), torch.arange(3)
    for place in (0, 1):  # by the dispatcher, and as graphs run
        assert torch.equal(RESULT(list(values), place), values[place])
        assert call(taken[place], {kernel.index: values}.__getitem__) is values[place]


def test_a_graph_does_not_change() -> None:
    x = example()
    graph, (output,) = recorded(nn.Sequential(nn.Flatten(), nn.Linear(4 * L, 3)), x)
    before = str(graph)
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.nodes = ()  # type: ignore[misc]
    extended, node = record_function(graph, output, torch.zeros(K, 3), lambda y: torch.tanh(y).sum(1))
    assert str(graph) == before
    assert extended.nodes[: len(graph.nodes)] == graph.nodes
    assert (extended.of_model, node) == (graph.of_model, len(graph.nodes) + 1)
    found = extended.run([x], [node, output], ())
    assert torch.equal(found[node], torch.tanh(found[output]).sum(1))
    assert node not in extended.consumers
    assert output not in extended.consumers


def test_many_targets_do_not_grow_the_recording() -> None:
    x = example()
    explainer = DeepLift(nn.Sequential(nn.Flatten(), nn.Linear(4 * L, 3)), x, logits=False)
    count = len(explainer._explainer.recording.graph.nodes)
    for _ in range(20):
        explainer.attribute(x, x.flip(0), lambda y: y[:, 0] * 2)
    assert len(explainer._explainer.recording.graph.nodes) == count


# ---- text and files


@pytest.mark.filterwarnings("ignore")
def test_the_text_has_one_readable_line_for_each_node() -> None:
    model = Net(
        lambda s, x: s.head(torch.relu(s.conv(x) * 0.5 + torch.tensor([1.0, 2.0])).flatten(1)),
        conv=nn.Conv1d(4, 2, 9), head=nn.Linear(4, 1),
    )  # fmt: skip
    lines = str(recorded(model, example())[0]).splitlines()
    assert lines[0] == "input_0: input -> float32[3, 4, 10]"
    assert lines[1].startswith(
        "convolution_1: aten.convolution.default(input_0, float32[2, 4, 9], float32[2]="
    )
    assert "-> float32[3, 2, 2]  # 'conv' " in lines[1]
    assert lines[2].startswith("mul_2: aten.mul.Tensor(convolution_1, 0.5) -> float32[3, 2, 2]  # ")
    assert "test_core_graph.py:" in lines[2]
    assert lines[3].startswith("add_3: aten.add.Tensor(mul_2, float32[2]=[1.0, 2.0]) ->")
    assert "# 'head' " in lines[-1]
    graph, _ = recorded(everything(), example())
    assert len(str(graph).splitlines()) == len(graph.nodes)
    assert "-> float32[3, 6], int64[3, 6]  #" in str(graph)


@pytest.mark.filterwarnings("ignore")
def test_a_graph_in_a_file(tmp_path: Path) -> None:
    model, path = everything(), tmp_path / "graph.pt"
    graph, outputs = recorded(model, example())
    graph.save(path)
    torch.load(path, weights_only=True)
    loaded = Graph.load(path)
    assert str(loaded) == str(graph)
    for field in dataclasses.fields(Graph):
        if field.name != "nodes":
            assert getattr(loaded, field.name) == getattr(graph, field.name), field.name
    for node, other in zip(graph.nodes, loaded.nodes, strict=True):
        for field in dataclasses.fields(Node):
            assert same(getattr(node, field.name), getattr(other, field.name)), (node.name, field.name)
    assert len(loaded.constants) == len(graph.constants)
    x = example(1)
    expected, found = (one.run([x], outputs, ()) for one in (graph, loaded))
    for output in outputs:
        assert torch.equal(found[output], expected[output])
    with torch.no_grad():
        torch.testing.assert_close(found[outputs[0]], model(x)[0])


def test_a_file_with_an_unknown_operation_names_it(tmp_path: Path) -> None:
    path = tmp_path / "graph.pt"
    library = torch.library.Library("passing", "FRAGMENT")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")
    graph, _ = recorded(Net(lambda s, x: torch.ops.passing.twice(x)), example())
    graph.save(path)
    assert [node.called for node in Graph.load(path).nodes] == ["input", "passing.twice.default"]
    content = torch.load(path, weights_only=True)
    content["nodes"][1]["op"] = "elsewhere::thrice.default"
    torch.save(content, path)
    with pytest.raises(
        OptionError, match=r"graph.pt holds operations .*registered: elsewhere::thrice.default;"
    ):
        Graph.load(path)
    for wrong in ({"weights": torch.ones(2)}, torch.ones(2)):
        torch.save(wrong, path)
        with pytest.raises(OptionError, match="holds no graph"):
            Graph.load(path)
    path.write_bytes(b"no file of torch's")
    with pytest.raises(OptionError, match="cannot be read as a graph"):
        Graph.load(path)


# ---- modules


def test_a_module_that_runs_twice_needs_its_call() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda s, x: s.out(s.act(s.d(s.act(s.d(x.flatten(1)))))),
        d=nn.Linear(40, 40), act=nn.Softplus(), out=nn.Linear(40, 2),
    )  # fmt: skip
    x = example()
    explainer = DeepLift(model, x, rule="rescale")
    with pytest.raises(
        TargetError, match="module 'act' runs 2 times: choose one of its calls, act:0 or act:1"
    ):
        explainer.attribute(x, x.flip(0), layer="act")
    with pytest.raises(TargetError, match="'d' runs 2 times"):
        explainer.attribute(x, x.flip(0), ("d", 3))
    with pytest.raises(
        TargetError, match="no call 2 of module 'act', which runs 2 times; calls count from 0"
    ):
        explainer.attribute(x, x.flip(0), layer="act:2")
    with torch.no_grad():
        first = model.act(model.d(x.flatten(1)))
        second = model.act(model.d(first))
    for which, values in (("act:0", first), ("act:1", second)):
        found = explainer.attribute(x, x.flip(0), layer=which, per_reference=True)
        assert found.completeness_error.abs().max() < 1e-4
        target = explainer.attribute(x, x.flip(0), (which, 3))
        torch.testing.assert_close(target.output, values[:, 3])
    assert explainer.attribute(x, x.flip(0), layer="out:0").contributions.shape == (K, 2)


@pytest.mark.filterwarnings("ignore")
def test_a_module_with_several_output_tensors_needs_its_output() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda s, x: s.head(s.lstm(x.transpose(1, 2))[0][:, -1]),
        lstm=nn.LSTM(4, 5, batch_first=True), head=nn.Linear(5, 2),
    )  # fmt: skip
    x = example()
    explainer = DeepLift(model, x, rule="rescale")
    message = r"the output of module 'lstm' has 3 tensors: choose one, lstm\[0\] or lstm\[1\] or lstm\[2\]"
    with pytest.raises(TargetError, match=message):
        explainer.attribute(x, x.flip(0), layer="lstm")
    with pytest.raises(TargetError, match=r"output 3 of module 'lstm' is no tensor that depends .*lstm\[0\]"):
        explainer.attribute(x, x.flip(0), layer="lstm[3]")
    for spelling in ("lstm[0]", "lstm:0[0]"):
        assert explainer.attribute(x, x.flip(0), layer=spelling).contributions.shape == (K, L, 5)
    with torch.no_grad():
        out, (hidden, cell) = model.lstm(x.transpose(1, 2))
    graph = explainer._explainer.recording.graph
    nodes = [layer_node(graph, f"lstm[{place}]") for place in range(3)]
    values = graph.run([x], nodes, ())
    for node, expected in zip(nodes, (out, hidden, cell), strict=True):
        torch.testing.assert_close(values[node], expected)
    with pytest.raises(TargetError, match=r"no module 'lst' with .*there are: head, lstm"):
        layer_node(graph, "lst")


def test_a_constant_output_is_not_offered() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones(3), x * 2

    graph, (output,) = recorded(Net(lambda s, x: s.both(x)[1], both=Both()), example())
    assert graph.module_calls["both"] == ((None, output),)
    assert layer_node(graph, "both[1]") == output
    with pytest.raises(TargetError, match=r"choose one, both\[1\]$"):
        layer_node(graph, "both")
    with pytest.raises(TargetError, match=r"output 0 .* choose both\[1\]$"):
        layer_node(graph, "both[0]")


def test_an_identity_that_runs_twice_on_one_value_leaves_nothing_to_choose() -> None:
    graph, _ = recorded(Net(lambda s, x: s.same(x) + s.same(x), same=nn.Identity()), example())
    assert layer_node(graph, "same") == 0


class Raises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        self.inner(x)
        raise ValueError("not this way")


def test_a_module_that_raises_does_not_name_what_comes_after() -> None:
    def run(s: Net, x: Tensor) -> Tensor:
        try:
            return s.first(x)
        except ValueError:
            return s.second(torch.tanh(x.flatten(1)))

    graph, _ = recorded(Net(run, first=Raises(), second=nn.Linear(4 * L, 2)), example())
    found = {node.op_name: node.module for node in graph.nodes}
    assert found["tanh"] == ""
    assert found["addmm"] == "second"
    assert found["relu"] == "first.inner"
    assert "first" not in graph.module_calls


# ---- torch.compile


def parts() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(4, 6, 3), nn.GELU(), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.Flatten())
    return body, nn.Linear(6 * (L - 4), 2)


def never(*_: Any) -> Any:
    raise AssertionError("a backend was asked to compile")


class CompilesItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body, self.head = parts()
        self.body = torch.compile(body, backend=never)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def decorated() -> nn.Module:
    body, head = parts()

    @torch.compile(backend=never)
    def whole(s: Net, x: Tensor) -> Tensor:
        return s.head(s.body(x))

    return Net(whole, body=body, head=head)


def in_place() -> nn.Module:
    body, head = parts()
    body.compile(backend=never)
    return Net(lambda s, x: s.head(s.body(x)), body=body, head=head)


def plain() -> nn.Module:
    body, head = parts()
    return Net(lambda s, x: s.head(s.body(x)), body=body, head=head)


COMPILED: dict[str, Callable[[], nn.Module]] = {
    "whole": lambda: torch.compile(plain(), backend=never),  # type: ignore[dict-item]
    "inside": CompilesItself,
    "decorated": decorated,
    "in place": in_place,
}


@pytest.mark.filterwarnings("error:Using `torch.compile")
@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_model_is_recorded_as_its_eager_code(name: str) -> None:
    """Nothing is compiled, which takes minutes under a recorder."""
    x = example()
    expected = DeepLift(plain(), x)
    found = DeepLift(COMPILED[name](), x)
    assert [(node.op, node.module) for node in found.nodes] == [
        (node.op, node.module) for node in expected.nodes
    ]
    assert "aten.gelu.default" in [node.op for node in found.nodes]
    for layer in (None, "body", "head"):
        scores = [one.attribute(x, x.flip(0), layer=layer).contributions for one in (found, expected)]
        torch.testing.assert_close(*scores, rtol=0, atol=0)
