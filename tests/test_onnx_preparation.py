"""How an ONNX file is prepared, and how operators are added."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import NodeProto, helper, numpy_helper
from onnx_cases import rare_operators
from onnx_hostile import model, node, small, value, weights
from test_onnx_fuzz import recurrent, shaped
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models import read
from deeplift_cli.models.onnx import graph as graph_module
from deeplift_cli.models.onnx import registry
from deeplift_cli.models.onnx.graph import Graph

PAGE = Path(__file__).parents[1] / "docs" / "onnx-operators.md"


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a graph is built, and its shapes are inferred."""
    found: Counter[str] = Counter()
    build, infer = Graph.from_model.__func__, Graph.infer_shapes

    def counted_build(cls: type[Graph], *args: Any) -> Graph:
        found["builds"] += 1
        return build(cls, *args)

    def counted_infer(graph: Graph) -> None:
        found["inferences"] += 1
        infer(graph)

    monkeypatch.setattr(Graph, "from_model", classmethod(counted_build))
    monkeypatch.setattr(Graph, "infer_shapes", counted_infer)
    return found


def of_one_row() -> onnx.ModelProto:
    """A model whose file is made for one row, which a reshape holds it to."""
    nodes = [node("Reshape", "x s", "a"), node("MatMul", "a w")]
    constants = {"s": numpy_helper.to_array(helper.make_tensor("s", 7, [2], [1, 48])), "w": weights(48, 2)}
    return model(nodes, constants, (1, 4, 12), outputs=[value("y", (1, 2))])


@pytest.mark.parametrize(
    ("make", "inferences"),
    [(small, 1), (recurrent, 1), (shaped, 2), (of_one_row, 2)],
    ids=["small", "recurrent", "shaped", "one row"],
)
def test_a_file_is_prepared_once(make: Any, inferences: int, counts: Counter[str], tmp_path: Path) -> None:
    # at first 2 builds and 5 inferences each, and 4 and 13 for a file for one row, which is prepared for any
    # number of rows, too
    path = tmp_path / "m.onnx"
    onnx.save(make(), path)
    assert read(path).batch_size is None
    assert counts == {"builds": 1, "inferences": inferences}


def test_who_makes_and_takes_a_value_is_looked_up_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, nodes = 300, [node("Conv", "x w", "a0")]
    for place in range(count):
        nodes += [
            node("RandomUniformLike", f"a{place}", f"r{place}"),
            node("Less", f"r{place} k", f"b{place}"),
            node("Cast", f"b{place}", f"f{place}", to=onnx.TensorProto.FLOAT),
            node("Mul", f"a{place} f{place}", f"d{place}"),
            node("Div", f"d{place} k", f"a{place + 1}"),
        ]
    nodes.append(node("ReduceMax", f"a{count}", "y", axes=[2], keepdims=0))
    onnx.save(model(nodes, {"w": weights(3, 4, 3), "k": 0 * weights(1) + 0.75}), tmp_path / "m.onnx")
    made: Counter[str] = Counter()
    index = graph_module._Index.of
    monkeypatch.setattr(graph_module._Index, "of", lambda *given: made.update(["index"]) or index(*given))
    assert "random operations" in read(tmp_path / "m.onnx").notes[0]
    assert 0 < made.total() < 20


# ---- operators


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry, whose new entries go away after the test."""
    registry.load()
    copied = {name: dict(versions) for name, versions in registry._OPERATORS.items()}
    monkeypatch.setattr(registry, "_OPERATORS", copied)


def saved(path: Path, nodes: list[NodeProto], constants: dict[str, Any] | None = None) -> Path:
    made = model(nodes, constants)
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(made, path)
    return path


@pytest.mark.usefixtures("operators")
def test_the_operators_that_the_page_shows(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Repeat", "a", "b", domain="com.example", times=3),
        node("Gate", "b", "c", domain="com.example"),
        node("Scores", "c v", "y", domain="com.example"),
    ]
    constants = {"w": weights(3, 4, 3), "v": weights(2, 30)}
    path = saved(tmp_path / "m.onnx", nodes, constants)
    with pytest.raises(UserError, match=r"com\.example\.Gate: .*; com\.example\.Repeat: .*\.Scores: "):
        read(path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec("\n".join(blocks), {})
    x = torch.rand(2, 4, 12)
    w, v = (torch.from_numpy(constants[name]) for name in "wv")
    h = torch.conv1d(x, w).repeat_interleave(3, -1)
    found = read(path)
    assert found.batch_size is None
    torch.testing.assert_close(found.module(x), (h * h.sigmoid()) @ v.T)


@pytest.mark.usefixtures("operators")
def test_functions_hold_from_their_operator_set_on(tmp_path: Path) -> None:
    @registry.operator("Twice", domain="com.example")
    def first(x: Tensor) -> Tensor:
        return 2 * x

    @registry.operator("Twice", domain="com.example", since=2)
    def second(x: Tensor) -> Tensor:
        return 3 * x

    x = torch.rand(2, 4, 12)
    for version, factor in ((1, 2), (2, 3), (9, 3)):
        made = model([node("Twice", "x", "y", domain="com.example")])
        made.opset_import.append(helper.make_opsetid("com.example", version))
        onnx.save(made, path := tmp_path / "m.onnx")
        torch.testing.assert_close(read(path).module(x), factor * x)
    with pytest.raises(ValueError, match="Twice since 2 is registered already"):
        registry.operator("Twice", domain="com.example", since=2)(first)


@pytest.mark.usefixtures("operators")
def test_what_is_written_out_are_nodes(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", [node("Odd", "x", "y", domain="com.example")])

    @registry.operator("Odd", domain="com.example", written_out=True)
    def odd(node: NodeProto, graph: Graph) -> registry.Conversion:
        return registry.Conversion(nn.ReLU(), (node.input[0],))

    with pytest.raises(UserError, match=r"operator Odd is registered as written out, .*\(Odd\)$"):
        read(path)


def test_names_that_modules_have_themselves_are_no_names_of_nodes(tmp_path: Path) -> None:
    names = ["training", "forward", "graph", "constants"]
    nodes = [helper.make_node("Relu", [f"a{i}"], [f"a{i + 1}"], name=name) for i, name in enumerate(names)]
    nodes = [node("Conv", "x w", "a0"), *nodes, node("Add", f"a{len(names)} k")]
    constants = {"w": weights(3, 4, 3), "k": weights(3, 1)}
    onnx.save(model(nodes, constants), path := tmp_path / "m.onnx")
    x = torch.rand(2, 4, 12)
    w, k = (torch.from_numpy(constants[name]) for name in "wk")
    torch.testing.assert_close(read(path).module(x), torch.conv1d(x, w).relu() + k)


def test_published_models_have_no_operators_that_are_kept_apart(shared: Path) -> None:
    files = sorted((shared / "models").glob("*.onnx"))
    assert len(files) >= 4
    assert {path.name: rare_operators(path) for path in files} == {path.name: set() for path in files}
