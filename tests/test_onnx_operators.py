"""The table of ONNX operators in docs/ is what converting, running and scoring their cases gives."""

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_operators as operators
import pytest
import torch
import torch.nn.functional as F
from onnx_cases import Case, further, official, parsed, schemas
from onnx_operators import INEXACT, LIMITS, NOT_COVERED, Row
from onnx_survey import with_constants

from deeplift_cli.errors import UserError
from deeplift_cli.models import read

PAGE = Path(__file__).parents[1] / "docs" / "onnx-operators.md"
# A case is wrong where it converts and gives something else: none but these, which no rule lets through.
WRONG = {"nonmaxsuppression_flipped_coordinates"}
# Graphs of operators that are refused and of which ONNX's cases have no node with a name of its own.
REFUSED = {
    "MaxRoiPool": (
        "(float[1,4,6,6] x) => (y) { b = Constant<value=float[1,5] {0,0,0,3,3}>() "
        "y = MaxRoiPool<pooled_shape=[2, 2]>(x, b) }"
    ),
    "SequenceMap": (
        "(float[2,4] x) => (y) { s = SplitToSequence(x) "
        "t = SequenceMap<body = b (float[1,4] a) => (float[1,4] c) { c = Neg(a) }>(s) "
        "y = ConcatFromSequence<axis=0>(t) }"
    ),
    "Multinomial": "(float[2,4] x) => (y) { i = Multinomial(x) y = Cast<to=1>(i) }",
}


@pytest.fixture(scope="module")
def by_name() -> dict[str, Case]:
    return {case.name: case for case in official()}


@pytest.fixture(scope="module")
def table(by_name: dict[str, Case]) -> Iterator[list[Row]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny ops: threads would wait for each other most of the time
    yield operators.rows([*by_name.values(), *further()])
    torch.set_num_threads(threads)


def stated_version() -> str:
    """The version of the onnx package that the page was made with."""
    found = re.search(r"^with onnx (\S+), whose operator set", PAGE.read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_page_is_up_to_date(table: list[Row]) -> None:
    if onnx.__version__ != stated_version():
        pytest.skip(f"{PAGE.name} is made with onnx {stated_version()}, and {onnx.__version__} is installed")
    assert PAGE.read_text() == operators.page(table), f"out of date: make it anew by {operators.COMMAND}"


def test_what_the_page_says_is_covered_and_scored_is(table: list[Row]) -> None:
    # with any version of onnx: newer cases may be about newer forms, but some must still hold
    said = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines()]
    said = [cells for cells in said if len(cells) == 8]
    found = {row.operator: row for row in table}
    known = [cells for cells in said if cells[0].split()[0] in found]
    assert len(known) > 150
    for name, _, covered, _, _, _, scored, _ in known:
        row = found[name.split()[0]]
        if covered in ("yes", "with limits"):
            assert row.passed, name
        if scored == "yes":
            assert row.verdicts["exact"], name


def test_no_case_converts_into_something_else(table: list[Row]) -> None:
    wrong = {}
    for finding in (finding for row in table for finding in row.findings):
        for conversion in (finding.first, finding.constant, finding.several):
            if conversion is not None and conversion.problem.startswith("differs"):
                wrong[finding.case.name] = conversion.problem
    assert wrong.keys() <= WRONG, wrong


def test_older_forms_give_what_onnxruntime_says(table: list[Row]) -> None:
    tried = [
        (row.operator, form, case) for row in table for form, n in row.older.items() for case in n.items()
    ]
    assert len(tried) > 1000
    assert [one for one in tried if operators.unexpected(one[2])] == []


def test_contributions_add_up_wherever_there_are_any(table: list[Row]) -> None:
    scores = {finding.case.name: finding.score for row in table for finding in row.findings if finding.score}
    inexact = {name: score.reason for name, score in scores.items() if score.verdict == "inexact"}
    assert inexact.keys() == INEXACT.keys(), inexact
    assert sum(score.verdict == "exact" for score in scores.values()) > 800


def test_reasons_are_given_for_what_is_not_covered_and_nothing_else(table: list[Row]) -> None:
    assert {row.operator for row in table if not row.passed} == NOT_COVERED.keys() & {*schemas()}
    failing = [f.case.name for row in table if row.passed for f in row.findings if not f.converts]
    assert [name for name in failing if operators.limit(name) is None] == []
    assert [pattern for pattern in LIMITS if not fnmatch.filter(failing, pattern)] == []


@pytest.mark.parametrize(
    "name",
    [
        "batchnorm_example_training_mode",
        "batchnorm_epsilon_training_mode",
        "training_dropout",
        "training_dropout_default",
        "training_dropout_default_mask",
        "training_dropout_mask",
    ],
)
def test_training_is_treated_as_inference_with_a_note(
    name: str, by_name: dict[str, Case], tmp_path: Path
) -> None:
    case, path = by_name[name], tmp_path / "model.onnx"
    assert not case.is_usable
    onnx.save(with_constants(case, [0]), path)
    model = read(path)
    node = next(node for node in case.model.graph.node if node.op_type != "Constant")
    assert any("inference" in note or "running statistics" in note for note in model.notes)
    x, *parameters = (torch.from_numpy(array) for array in case.inputs)
    found = model.module(x)
    found = [found] if isinstance(found, torch.Tensor) else list(found)
    if node.op_type == "Dropout":
        expected = [x, torch.ones_like(x, dtype=torch.bool)][: len(case.outputs)]
    else:
        scale, bias, mean, variance = parameters
        epsilon = next((item.f for item in node.attribute if item.name == "epsilon"), 1e-5)
        expected = [F.batch_norm(x, mean, variance, scale, bias, eps=epsilon), mean, variance]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("operator", sorted(NOT_COVERED))
def test_refused_by_name(operator: str, by_name: dict[str, Case], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if operator in REFUSED:
        model, _ = parsed(17, REFUSED[operator])
    else:
        model = next(case.model for case in by_name.values() if case.operator == operator)
    for node in model.graph.node:
        node.name = f"at/{node.op_type}"
    onnx.save(model, path)
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert str(path) in message
    assert operator in message
    assert f"at/{operator}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("graph", "named"),
    [
        ("(float[2,4] x) => (seq(float[]) parts) { parts = SplitToSequence(x) }", "output parts"),
        ("(seq(float[]) parts) => (float[] y) { y = ConcatFromSequence<axis=0>(parts) }", "input parts"),
    ],
)
def test_sequences_into_and_out_of_a_model_are_refused(graph: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    header = '<ir_version: 8, opset_import: ["" : 17]>'
    onnx.save(onnx.parser.parse_model(f"{header} graph {graph}"), path)
    with pytest.raises(UserError, match=f"{named} is no tensor"):
        read(path)


def test_operators_of_other_domains_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    header = '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>'
    graph = "graph (float[2,4] x) => (float[2,4] y) { [at] y = com.example.Widen(x) }"
    onnx.save(onnx.parser.parse_model(f"{header} {graph}"), path)
    with pytest.raises(UserError, match=r"com\.example\.Widen: at$"):
        read(path)
