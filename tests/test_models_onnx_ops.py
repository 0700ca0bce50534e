"""Single ONNX ops in the spellings that other exporters than torch's use, against onnxruntime."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from deeplift_cli.models import read

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@dataclass
class Case:
    """A node on x [n, 4, 12] (or as given) with constant further inputs (None: left out)."""

    op: str
    constants: list[Any] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    shape: tuple[int | str, ...] = ("n", 4, 12)
    outputs: int = 1

    def __str__(self) -> str:
        attrs = "-".join(f"{k}={v}" for k, v in self.attrs.items() if k != "kernel_shape")
        return f"{self.op}{self.opset}-{attrs}".replace(" ", "")


K3 = {"kernel_shape": [3]}
CASES = [
    Case("Conv", [normal(5, 4, 4)], {"auto_pad": "SAME_UPPER", "strides": [3]}),
    Case("Conv", [normal(5, 4, 4), normal(5)], {"auto_pad": "SAME_LOWER"}),
    Case("Conv", [normal(5, 4, 3)], {"auto_pad": "VALID"}),
    Case("Conv", [normal(5, 4, 3)], {"pads": [3, 1]}),
    Case("Conv", [normal(5, 4, 4)], {"auto_pad": "SAME_UPPER", "strides": [2]}, shape=("n", 4, "length")),
    Case("Conv", [normal(5, 4, 4)], {"auto_pad": "SAME_UPPER"}, opset=22, shape=("n", 4, "length")),
    Case("MaxPool", [], {**K3, "auto_pad": "SAME_UPPER", "strides": [2]}),
    Case("MaxPool", [], {"kernel_shape": [2], "auto_pad": "SAME_LOWER"}, opset=11),
    Case("MaxPool", [], {**K3, "pads": [0, 2], "strides": [2]}),
    Case("MaxPool", [], {**K3, "pads": [1, 1], "dilations": [2]}, opset=22),
    Case("MaxPool", [], {"kernel_shape": [5], "strides": [5], "ceil_mode": 1}),
    Case("AveragePool", [], {**K3, "auto_pad": "SAME_UPPER", "strides": [2]}),
    Case("AveragePool", [], {**K3, "auto_pad": "SAME_LOWER", "count_include_pad": 1, "strides": [2]}),
    Case("AveragePool", [], {**K3, "pads": [0, 2]}, opset=11),
    Case("AveragePool", [], {**K3, "pads": [1, 1], "count_include_pad": 1}, opset=19),
    Case("AveragePool", [], {**K3, "dilations": [1]}, opset=19),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
    Case("ReduceMax", [], {"axes": [-2, -1], "keepdims": 0}),
    Case("ReduceMax", [ints(-1)], {"keepdims": 1}, opset=18),
    Case("ReduceMean", [ints(-2)], {"keepdims": 0}, opset=18),
    Case("ReduceSum", [ints(1)], {"keepdims": 0}),
    Case("ReduceSum", [ints()], {"noop_with_empty_axes": 1}),
    Case("ReduceProd", [], {"axes": [1, -1], "keepdims": 0}),
    Case("ReduceL1", [], {"axes": [1], "keepdims": 0}),
    Case("ReduceL2", [], {"axes": [1]}),
    Case("ReduceLogSumExp", [ints(1, 2)], {"keepdims": 0}, opset=18),
    Case("ReduceSumSquare", [], {"axes": [-1]}, opset=11),
    Case("Squeeze", [ints(-1)], shape=("n", 4, 1)),
    Case("Squeeze", [], {"axes": [2]}, opset=11, shape=("n", 4, 1)),
    Case("Unsqueeze", [ints(-1, -3)]),
    Case("Unsqueeze", [], {"axes": [1, 0]}, opset=11),
    Case("Reshape", [ints(0, -1, 3)]),
    Case("Reshape", [ints(-1, 48)], {"allowzero": 1}),
    Case("Flatten", [], {"axis": 2}),
    Case("Expand", [ints(1, 1, 3, 12)], shape=("n", 4, 1, 12)),
    Case("Tile", [ints(1, 2, 3)]),
    Case("Slice", [ints(-1), ints(-100), ints(2), ints(-2)]),
    Case("Slice", [ints(10, 1), ints(2, 3), ints(2, 1), ints(-3, 1)]),
    Case("Slice", [], {"starts": [1], "ends": [-1], "axes": [2]}, opset=9),
    Case("Gather", [np.array(-1)], {"axis": 1}),
    Case("Gather", [ints(3, -2, 0)], {"axis": 2}),
    Case("Gather", [np.array([[0, 1], [2, -1]])], {"axis": 2}),
    Case("Split", [], {"axis": 2, "num_outputs": 5}, opset=18, outputs=5),
    Case("Split", [], {"axis": 2, "num_outputs": 5}, opset=18, outputs=5, shape=("n", 4, 13)),
    Case("Split", [ints(1, 3)], {"axis": 1}, outputs=2),
    Case("Split", [], {"axis": -1, "split": [5, 7]}, opset=11, outputs=2),
    Case("Pad", [ints(0, 0, 2, 0, 1, 0), np.float32(0.5)]),
    Case("Pad", [ints(2, 1), None, ints(-1)], {"mode": "reflect"}, opset=18),
    Case("Pad", [], {"pads": [0, 0, 2, 0, 0, 1], "mode": "edge"}, opset=9),
    Case("Clip", [None, np.float32(0.2)]),
    Case("Clip", [np.float32(0)]),
    Case("Clip", [], {"min": -0.1, "max": 0.4}, opset=9),
    Case("Max", [np.float32(0)]),
    Case("Min", [np.float32(0.1)]),
    Case("Max", [normal(4, 1)]),
    Case("Sum", [normal(4, 1), normal(12)]),
    Case("PRelu", [normal(4, 1)]),
    Case("PRelu", [normal(1)]),
    Case("PRelu", [normal(12)]),
    Case("PRelu", [normal(4, 12)]),
    Case("PRelu", [normal(12)], shape=("n", 12)),
    Case("Gemm", [normal(12, 3), normal(1, 3)], {"alpha": 0.5, "beta": 2.0}, shape=("n", 12)),
    Case("Gemm", [normal(3, 12), np.float32(2)], {"transB": 1}, shape=("n", 12)),
    Case("Gemm", [normal(12, 3)], opset=11, shape=("n", 12)),
    Case("Gelu", [], {"approximate": "tanh"}, opset=20),
    Case("Mish", opset=18),
    Case("ThresholdedRelu", [], {"alpha": 0.3}),
    Case("Selu", [], {"alpha": 1.2, "gamma": 0.8}),
    Case("Selu"),
    Case("Softplus", opset=22),
    Case("HardSigmoid", [], {"alpha": 0.3}, opset=22),
    Case("Softmax", [], {"axis": 1}, opset=11),
    Case("Softmax", [], {"axis": 1}),
    Case("LayerNormalization", [normal(12)]),
    Case("LayerNormalization", [normal(4, 12), normal(4, 12)], {"axis": 1, "epsilon": 1e-2}),
    Case("GroupNormalization", [normal(4), normal(4)], {"num_groups": 2}, opset=21),
    Case("InstanceNormalization", [normal(4), normal(4)]),
    Case("BatchNormalization", [normal(4), normal(4), normal(4), abs(normal(4))], {"epsilon": 1e-2}, opset=9),
    Case("BatchNormalization", [normal(12), normal(12), normal(12), abs(normal(12))], shape=("n", 12)),
    Case("Dropout", [np.float32(0.5)], {"seed": 3}),
    Case("Dropout", [], {"ratio": 0.5}, opset=10),
    Case("Identity"),
    Case("Resize", [None, np.array([1, 1, 2], np.float32)], {"mode": "nearest", "antialias": 0}, opset=19),
    Case("Transpose", [], {"perm": [0, 2, 1]}, opset=24),
]


def write(case: Case, path: Path) -> None:
    constants = [(f"c{i}", np.asarray(c)) for i, c in enumerate(case.constants) if c is not None]
    names = [f"c{i}" if c is not None else "" for i, c in enumerate(case.constants)]
    results = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, ["x", *names], results, name="the.node", **case.attrs)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, case.shape)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants]
    graph = helper.make_graph([node], "graph", [x], values, tensors)
    opsets = [helper.make_opsetid("", case.opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@pytest.mark.filterwarnings("ignore:Pytorch's nearest")  # onnx2torch's
@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(case, path)
    module = read(path).module
    session = onnxruntime.InferenceSession(str(path))
    for length in (12, 17) if "length" in case.shape else (12,):
        sizes = [n if isinstance(n, int) else length for n in case.shape[1:]]
        x = normal(3, *sizes)
        expected = session.run(None, {"x": x})
        with torch.no_grad():
            found = module(torch.from_numpy(x))
        for f, e in zip([found] if case.outputs == 1 else found, expected, strict=True):
            np.testing.assert_allclose(f.numpy(), e, rtol=1e-5, atol=1e-5)


def test_padding_that_onnxruntime_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # torch's older exporter writes it for dilated convolutions with padding="same"
    weight, path = normal(5, 4, 4), tmp_path / "model.onnx"
    write(Case("Conv", [weight], {"auto_pad": "SAME_UPPER", "dilations": [3]}), path)
    model, x = read(path), torch.from_numpy(normal(2, 4, 12))
    assert "not checked against onnxruntime" in model.notes[0]
    expected = F.conv1d(x, torch.from_numpy(weight), dilation=3, padding="same")
    torch.testing.assert_close(model.module(x), expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:Pytorch's nearest")
def test_no_op_works_in_place(tmp_path: Path) -> None:
    for case in CASES:
        path = tmp_path / "model.onnx"
        write(case, path)
        x = torch.from_numpy(normal(2, *(n if isinstance(n, int) else 12 for n in case.shape[1:])))
        before = x.clone()
        with torch.no_grad():
            read(path).module(x)
        assert torch.equal(x, before), case


def test_padding_worked_out_from_the_length(tmp_path: Path) -> None:
    # torch's exporters write it for a length that is padded to an even one
    text = """<ir_version: 8, opset_import: ["" : 17]> graph (float[n,4,length] x) => (float[n,4,m] y) {
        s = Shape<start=2, end=3>(x) two = Constant<value_ints=[2]>() rest = Mod(s, two)
        none = Constant<value_ints=[0, 0, 0, 0, 0]>() pads = Concat<axis=0>(none, rest) y = Pad(x, pads)
    }"""
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    module = read(path).module
    for length in (12, 17):
        x = normal(2, 4, length)
        expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
        np.testing.assert_array_equal(module(torch.from_numpy(x)).numpy(), expected)


def test_erfc_as_tf2onnx_leaves_it(tmp_path: Path) -> None:
    # no ONNX op: tf2onnx writes it into files of Keras models with GELU, which onnxruntime refuses
    path = tmp_path / "model.onnx"
    write(Case("Erfc"), path)
    model = read(path)
    assert "not checked against onnxruntime" in model.notes[0]
    x = torch.from_numpy(normal(2, 4, 12))
    torch.testing.assert_close(model.module(x), torch.erfc(x))


def test_keras_head_with_an_uneven_pool_stays_finite(tmp_path: Path) -> None:
    # padding with -inf would make differences from a reference NaN
    path = tmp_path / "model.onnx"
    write(Case("MaxPool", [], {**K3, "auto_pad": "SAME_UPPER", "strides": [2]}), path)
    seen: list[torch.Tensor] = []
    real = F.pad
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "pad", lambda *a, **k: seen.append(real(*a, **k)) or seen[-1])
        read(path)
    assert seen
    assert all(torch.isfinite(padded).all() for padded in seen)
