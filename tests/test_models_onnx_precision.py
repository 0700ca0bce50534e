"""ONNX files in half precision, with NaN, and ill-conditioned: what is a difference from onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_hostile import model, node, value, weights
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models import ModelFile, find_layout, read
from deeplift_cli.models.formats import onnx as onnx_format
from deeplift_cli.models.onnx import check
from deeplift_cli.models.onnx.graph import uniquely_named
from deeplift_cli.models.probing import largest_difference, one_hot
from deeplift_core import DeepLift, ForwardError

NAN, INF = float("nan"), float("inf")
LENGTH = 64


def network(kind: type, path: Path) -> Path:
    """Write a network whose weights are rounded to float16, in float16 or float32."""
    number = TensorProto.FLOAT16 if kind is np.float16 else TensorProto.FLOAT
    arrays = {"w": weights(16, 4, 9), "v": weights(16, 16, 5) / 4, "h": weights(16, 2)}
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b v", "c"),
        node("Relu", "c", "d"),
        node("ReduceMean", "d", "e", axes=[2], keepdims=0),
        node("MatMul", "e h"),
    ]
    rounded = {name: array.astype(np.float16).astype(kind) for name, array in arrays.items()}
    made = model(nodes, rounded, ("n", 4, LENGTH), number, outputs=[value("y", ("n", 2), number)])
    onnx.save(made, str(path))
    return path


@pytest.fixture
def half_and_single(tmp_path: Path) -> list[ModelFile]:
    files = [network(kind, tmp_path / f"{kind.__name__}.onnx") for kind in (np.float16, np.float32)]
    return [read(path) for path in files]


def test_float16_gives_what_its_weights_give_in_float32(half_and_single) -> None:
    half, single = (found.module for found in half_and_single)
    assert not any(found.notes for found in half_and_single)  # compared with onnxruntime
    x = one_hot(3, LENGTH)
    assert half(x).dtype == torch.float32
    assert torch.equal(half(x), single(x))


def test_float16_wrongly_converted_is_still_refused(tmp_path: Path, monkeypatch) -> None:
    path = network(np.float16, tmp_path / "half.onnx")
    outputs = check._outputs
    monkeypatch.setattr(check, "_outputs", lambda *given: tuple(1.1 * y for y in outputs(*given)))
    with pytest.raises(UserError, match="was not converted rightly"):
        read(path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_is_seen_in_casts_too(kind: int) -> None:
    nodes = [node("Cast", "x", "a", to=kind), node("Cast", "a", "y", to=TensorProto.FLOAT)]
    assert check.half_precision(model(nodes)) == kind
    assert check.half_precision(model([node("Relu", "x")])) is None


@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_weights_that_are_no_numbers_are_converted_rightly(number: float, tmp_path: Path) -> None:
    bias = np.float32([0, number])
    nodes = [
        node("Conv", "x w", "a"),
        node("ReduceMax", "a", "b", axes=[2], keepdims=0),
        node("Gemm", "b v c"),
    ]
    arrays = {"w": weights(3, 4, 3), "v": weights(3, 2), "c": bias}
    onnx.save(model(nodes, arrays, outputs=[value("y", ("n", 2))]), str(path := tmp_path / "m.onnx"))
    found = read(path)
    assert found.batch_size is None  # the batch is free although outputs are compared
    assert found.notes == ()
    assert find_layout(found, length=None)[1] == 12


def test_rounding_of_large_numbers_is_no_wrong_conversion(tmp_path: Path) -> None:
    """(1e6 + y) - 1e6, of which float32 leaves two digits, in another order of operations."""
    nodes = [
        node("Conv", "x w", "a"),
        node("ReduceSum", "a two", "b", keepdims=0),
        node("Softplus", "b", "c"),
        node("Pow", "c three", "d"),
        node("Add", "d large", "e"),
        node("Sub", "e large"),
    ]
    arrays = {
        "w": weights(3, 4, 3), "two": np.array([2]), "three": np.float32(3), "large": np.float32([3e9]),
    }  # fmt: skip
    onnx.save(model(nodes, arrays), str(path := tmp_path / "m.onnx"))
    assert read(path).notes == ()


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([INF, -INF, 2.0], [INF, -INF, 2.0], 0.0),
        ([NAN, 1.0], [NAN, 2.0], 0.5),
        ([INF, 1.0], [INF, 2.0], 0.5),
        ([NAN, 1.0], [1.0, 1.0], INF),
        ([1.0, 1.0], [NAN, 1.0], INF),
        ([INF], [-INF], INF),
        ([INF], [1.0], INF),
        ([0.0], [0.0], 0.0),
    ],
)
def test_largest_difference(found: list[float], expected: list[float], difference: float) -> None:
    assert largest_difference([torch.tensor(found)], [torch.tensor(expected)]) == difference


def test_largest_difference_of_shapes_and_other_types() -> None:
    assert largest_difference([torch.zeros(2)], [torch.zeros(3)]) == INF
    assert largest_difference([], [torch.zeros(3)]) == INF
    assert largest_difference([torch.tensor([True])], [torch.tensor([False])]) > 1
    assert largest_difference([torch.tensor([3])], [torch.tensor([4])]) == 0.25


class Half(nn.Module):
    """Casts to half precision, whatever precision its weights have been given."""

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.plain = nn.Conv1d(4, 6, 5), nn.Linear(6, 2), plain

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.plain else x.half() + torch.zeros(1, dtype=torch.float16)
        y = self.head(torch.relu(self.conv(x)).mean(-1))
        return y if self.plain else y.float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scripted", [False, True])
def test_casts_to_half_inside_a_model_follow_the_precision_asked_for(dtype, scripted: bool) -> None:
    module = torch.jit.script(Half()) if scripted else Half()
    x, references = one_hot(3, 40).to(dtype), one_hot(6, 40, seed=1).reshape(3, 2, 4, 40).to(dtype)
    found = DeepLift(module, dtype=dtype).attribute(x, references, 1)
    expected = DeepLift(Half(plain=True), dtype=dtype).attribute(x, references, 1)
    assert found.contributions.dtype == dtype
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=1e-5, atol=1e-7)
    assert found.completeness_error.abs().max() < 1e-6


def test_a_model_that_fails_in_any_precision_says_its_own_error() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError(f"it fails in {x.half().dtype}")

    with pytest.raises(ForwardError, match=r"it fails in torch\.float16"):
        DeepLift(Fails(), one_hot(2, 40))


def test_thousands_of_nodes_without_names() -> None:
    """Names are found in linear time: tried one after the other, they would take minutes."""
    count = 40_000
    nodes = [helper.make_node("Relu", [f"a{i}"], [f"a{i + 1}"]) for i in range(count)]
    nodes[7].name = "Relu_9"
    assert len({item.name for item in uniquely_named(nodes)}) == count


def test_a_chain_of_a_thousand_operations(tmp_path: Path) -> None:
    count = 1000
    nodes = [helper.make_node("Relu", [f"a{i}"], [f"a{i + 1}"]) for i in range(count)]
    nodes = [node("Conv", "x w", "a0"), *nodes, node("ReduceMax", f"a{count}", "y", axes=[2], keepdims=0)]
    onnx.save(model(nodes, {"w": weights(3, 4, 3)}), str(path := tmp_path / "deep.onnx"))
    module = read(path).module
    x = one_hot(2, 12)
    first = torch.from_numpy(weights(3, 4, 3))
    torch.testing.assert_close(module(x), torch.conv1d(x, first).relu().amax(-1))


def test_large_batches_are_not_run_on_loading(tmp_path: Path, monkeypatch) -> None:
    nodes = [node("Conv", "x w", "a"), node("ReduceMax", "a", "y", axes=[2], keepdims=0)]
    made = model(nodes, {"w": weights(64, 4, 3)}, (200_000, 4, 12))
    onnx.save(made, str(path := tmp_path / "m.onnx"))
    monkeypatch.setattr(onnx_format, "_settled", lambda *_: pytest.fail("it runs"))
    found = read(path)
    assert found.batch_size == 200_000
    assert found.notes == ("not tried out on loading, as one batch takes 550 MB",)


def test_operators_behind_one_that_onnx_does_not_have_are_not_blamed(tmp_path: Path) -> None:
    nodes = [helper.make_node("Twist", ["x"], ["a"], domain="com.example", name="twist"), node("Relu", "a")]
    made = model(nodes)
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(made, str(path := tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=r"com\.example\.Twist: twist$"):
        read(path)


def test_external_weights_are_read(tmp_path: Path) -> None:
    made = model([node("Conv", "x w", "a"), node("ReduceMax", "a", "y", axes=[2], keepdims=0)])
    made.graph.initializer.append(numpy_helper.from_array(weights(3, 4, 3), "w"))
    path = tmp_path / "m.onnx"
    onnx.save(made, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    x = one_hot(2, 12)
    torch.testing.assert_close(
        read(path).module(x), torch.conv1d(x, torch.from_numpy(weights(3, 4, 3))).amax(-1)
    )
