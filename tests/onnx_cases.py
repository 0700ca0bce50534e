"""Small ONNX graphs for each operator, with inputs and what they give: ONNX's own, and further ones.

ONNX's package comes with test cases of each operator at its newest version, with outputs worked out apart
from any runtime. What they leave out (sequences, forms of older operator sets, recurrent layers with further
attributes) is in onnx_forms.txt and below, with onnxruntime's outputs; and leftovers of training.
"""

import fnmatch
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, inliner, numpy_helper, parser

from deeplift_cli.models.onnx import registry

Array = np.ndarray
FLOATS = ("float32", "float64", "float16", "bfloat16")
# Of what torch computes with; not of strings, complex numbers, and whole numbers that it can only store.
TYPES = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "bool")
# Cases of what deeplift does differently on purpose: it explains a model as it is at inference.
TRAINING = ("batchnorm_*training_mode", "training_dropout", "training_dropout_[dm]*", "bernoulli*")


@dataclass(frozen=True)
class Case:
    """A graph, its inputs in order (None where they are no tensors that torch computes with), its outputs."""

    name: str
    operator: str
    model: Any
    inputs: tuple[Array, ...] | None
    outputs: tuple[Array, ...]
    relative: float = 1e-4
    is_official: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it is about tensors of types that torch computes with, at inference."""
        if self.inputs is None or any(fnmatch.fnmatch(self.name, pattern) for pattern in TRAINING):
            return False
        return all(array.dtype.name in TYPES for array in (*self.inputs, *self.outputs))


@cache
def schemas() -> dict[str, Any]:
    """The newest version of each operator of ONNX's default domain."""
    every = [schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""]
    return {schema.name: schema for schema in sorted(every, key=lambda schema: schema.name)}


def official() -> Iterator[Case]:
    """ONNX's own cases of its default domain, but those where it writes the operators out by simpler ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    known = schemas()
    for case in cases:
        operators = [node.op_type for node in case.model.graph.node if not node.domain]
        operator = next((name for name in operators if name != "Constant"), "Constant")
        if "_expanded" in case.name or case.model.graph.node[0].domain or operator not in known:
            continue
        inputs, outputs = (_arrays(values) for values in case.data_sets[0])
        name = case.name.removeprefix("test_")
        usable = inputs is not None and outputs is not None
        given, expected = (inputs, outputs) if usable else (None, ())
        relative = _tolerance(given, expected)
        yield Case(name, operator, case.model, given, expected or (), relative, is_official=True)


# Of these onnxruntime and ONNX's reference think differently, at any version: what indices count in, and
# whether scores that are shown have minus infinity where a mask is.
_DISPUTED = (
    "maxunpool_export_with_output_shape",
    "attention_4d_with_past_and_present_qk_matmul_bias_?d_mask_causal",
)


def older(cases: Iterable[Case]) -> Iterator[tuple[int, Case]]:
    """The cases again in each older form of their operator that says the same, and its operator set.

    What an older form means may differ (softmax did until 13): onnxruntime gives the outputs.
    """
    for case in cases:
        disputed = any(fnmatch.fnmatch(case.name, pattern) for pattern in _DISPUTED)
        if not case.is_usable or disputed or case.inputs is None:
            continue
        if any(array.dtype.name in ("float16", "bfloat16") for array in case.inputs):
            continue  # older forms came with fewer types
        for form, opset in _older_forms(case):
            model = onnx.ModelProto()
            model.CopyFrom(case.model)
            model.opset_import[0].version, model.ir_version = opset, 8
            try:
                outputs = by_onnxruntime(model, case.inputs)
            except Exception:  # noqa: BLE001 - its exceptions have no common class, and it lacks old forms
                continue
            yield form, replace(case, model=model, outputs=outputs)


def _older_forms(case: Case) -> Iterator[tuple[int, int]]:
    """Operator sets in which the case's nodes have another form that takes the same inputs and attributes.

    Each with the set that the operator's form is of.
    """
    nodes, seen = case.model.graph.node, {schemas()[case.operator].since_version}
    for opset in range(7, onnx.defs.onnx_opset_version()):
        try:
            forms = {node.op_type: onnx.defs.get_schema(node.op_type, opset, "") for node in nodes}
        except onnx.defs.SchemaError:
            continue
        form = forms[case.operator].since_version
        if form not in seen and all(_takes(forms[node.op_type], node) for node in nodes):
            seen.add(form)
            yield form, opset


def _takes(schema: Any, node: Any) -> bool:
    known = all(item.name in schema.attributes for item in node.attribute)
    return known and len(node.input) <= schema.max_input and not schema.deprecated


def _arrays(values: Any) -> tuple[Array, ...] | None:
    arrays = [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in values]
    if any(value is None or isinstance(value, list) for value in arrays):
        return None  # sequences and optional values
    return tuple(np.asarray(value) for value in arrays)


def _tolerance(*groups: tuple[Array, ...] | None) -> float:
    """The relative error that the types of a case's arrays allow."""
    kinds = {array.dtype.name for arrays in groups if arrays for array in arrays}
    return 3e-2 if "bfloat16" in kinds else 2e-3 if "float16" in kinds else 1e-4


def further() -> Iterator[Case]:
    """Cases of operators and forms that ONNX's own leave out."""
    layers = [(layer[0], 14, _recurrent(*layer)) for layer in _RECURRENT]
    for number, (operator, opset, text) in enumerate([*_forms(), *layers]):
        model, inputs = parsed(opset, text, number)
        yield Case(f"{operator}-{opset}-{number}", operator, model, inputs, by_onnxruntime(model, inputs))
    for operator, body in _LEFTOVERS:
        model, inputs = parsed(17, f"(float[2,4,6] x) => (y) {{ {body} }}", 0)
        yield Case(f"{operator}-leftover", operator, model, inputs, inputs)


def _forms() -> Iterator[tuple[str, int, str]]:
    for line in Path(__file__).with_name("onnx_forms.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            which, body = line.split(": ", 1)
            operator, opset = which.split()
            yield operator, int(opset), f"(float[2,4,6] x) => (y) {{ {body} }}"


def parsed(opset: int, text: str, seed: int = 0) -> tuple[Any, tuple[Array, ...]]:
    """The model of a graph in the text form of onnx.parser, and random inputs."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> graph {text}')
    for value in model.graph.output:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    random = np.random.default_rng(seed)
    return model, tuple(_drawn(value, random) for value in model.graph.input)


def _drawn(value: Any, random: np.random.Generator) -> Array:
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return random.normal(size=[dim.dim_value for dim in value.type.tensor_type.shape.dim]).astype(kind)


def by_onnxruntime(model: Any, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """What onnxruntime computes."""
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in model.graph.input]
    return tuple(session.run(None, dict(zip(names, inputs, strict=True))))


# Recurrent layers on x [7, 2, 4]: operator, number of directions, attributes, inputs after the weights.
_OTHERS = 'activations=["HardSigmoid", "Softsign", "Relu"], activation_alpha=[0.3]'
_RECURRENT = [
    ("LSTM", 2, 'direction="bidirectional", clip=0.4', "b, l, h, c, p"),
    ("LSTM", 1, f'direction="reverse", {_OTHERS}', "b"),
    ("LSTM", 1, "input_forget=1", ", , h, c"),
    ("LSTM", 1, "clip=0.3", "b, l"),
    ("GRU", 2, 'direction="bidirectional", linear_before_reset=1', "b, l, h"),
    ("GRU", 1, "linear_before_reset=0, clip=0.5", "b, , h"),
    ("GRU", 1, 'direction="reverse", linear_before_reset=1', "b"),
    ("RNN", 2, 'direction="bidirectional", activations=["Relu", "Tanh"]', "b, l, h"),
    ("RNN", 1, 'activations=["Affine"], activation_alpha=[0.5], activation_beta=[0.1]', "b"),
]


def _recurrent(kind: str, directions: int, attributes: str, more: str) -> str:
    """A layer with 5 hidden units; l: lengths, h and c: first states, p: peepholes."""
    rows, d = 5 * {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], directions
    weights = f"float[{d},{rows},4] w, float[{d},{rows},5] r, float[{d},{2 * rows}] b"
    states = f"float[{d},2,5] h, float[{d},2,5] c, float[{d},15] p"
    last = "y, z, e" if kind == "LSTM" else "y, z"
    layer = f"{last} = {kind}<hidden_size=5, {attributes}>(x, w, r, {more})"
    lengths = "l = Constant<value=int32[2] {7, 4}>()"
    return f"(float[7,2,4] x, {weights}, {states}) => (y, z) {{ {lengths} {layer} }}"


# Leftovers of training, after which x is as it was.
_LEFTOVERS = [
    ("Dropout", "t = Constant<value=bool {1}>() r = Constant<value_float=0.4>() y = Dropout(x, r, t)"),
    (
        "RandomUniformLike",
        "r = RandomUniformLike(x) k = Constant<value_float=0.8>() b = Less(r, k) f = Cast<to=1>(b) "
        "d = Mul(x, f) y = Div(d, k)",
    ),
    (
        "RandomUniform",
        "r = RandomUniform<shape=[2, 1, 6]>() k = Constant<value_float=0.5>() a = Add(r, k) f = Floor(a) "
        "d = Div(x, k) y = Mul(d, f)",
    ),
    ("RandomNormalLike", "n = RandomNormalLike<scale=0.1>(x) y = Add(x, n)"),
    ("RandomNormal", "n = RandomNormal<mean=1.0, scale=0.2, shape=[2, 4, 1]>() y = Mul(x, n)"),
    (
        "Bernoulli",
        "s = Shape(x) p = ConstantOfShape<value=float[1] {0.25}>(s) b = Bernoulli(p) "
        "k = Constant<value_float=0.25>() d = Mul(x, b) y = Div(d, k)",
    ),
]


def rare_operators(path: Path) -> set[str]:
    """Operators in a file that are kept apart because no model is known to have them."""
    registry.load()
    apart = {
        name
        for (_, name), versions in registry._OPERATORS.items()
        if any(".operators.rare." in found.function.__module__ for found in versions.values())
    }
    assert len(apart) > 40
    model = inliner.inline_local_functions(onnx.load(path))
    nodes, found = list(model.graph.node), set()
    for node in nodes:
        found.add(node.op_type)
        nodes.extend(inner for item in node.attribute for inner in item.g.node)
    return found & apart
