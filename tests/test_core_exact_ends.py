"""The last small operations of a forward pass in float64: what they change, and what they do not."""

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift
from deeplift_core.graph import Graph
from deeplift_core.passes.exact_ends import with_exact_ends
from deeplift_core.results import Attribution


class CountHead(nn.Module):
    """A mean over positions and a dense layer, whose outputs hardly differ from sequence to sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(4, 32, 9, padding=4), nn.ReLU(), nn.Conv1d(32, 32, 1), nn.ReLU()
        )
        self.dense = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.dense(self.layers(x).mean(-1)) + 30)


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    x, references = (nn.functional.one_hot(torch.randint(4, (*s, 700)), 4).mT.float() for s in ((6,), (6, 3)))
    return CountHead(), x, references


def without_exact_ends(graph: Graph, *given: object) -> Graph:
    del given
    return graph


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.compiles)])
def test_differences_of_outputs_are_exact_and_contributions_the_same(
    case: tuple[nn.Module, Tensor, Tensor], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, references = case

    def scored(dtype: torch.dtype) -> Attribution:
        explainer = DeepLift(model, x, rule="rescale", dtype=dtype, compile=compiled)
        return explainer.attribute(x, references, 1, per_reference=True)

    found, exact = scored(torch.float32), scored(torch.float64)
    with monkeypatch.context() as patch:
        patch.setattr("deeplift_core.engine.steps.with_exact_ends", without_exact_ends)
        plain = scored(torch.float32)
    assert torch.equal(found.contributions, plain.contributions)
    for result in (found, plain):
        kinds = (result.output, result.reference_output, result.prediction, result.completeness_error)
        assert {value.dtype for value in kinds} == {torch.float32}
    for name in ("output", "reference_output", "prediction"):
        torch.testing.assert_close(getattr(found, name), getattr(exact, name).float(), rtol=1e-7, atol=0)
    assert found.completeness_error.abs().max() < plain.completeness_error.abs().max() / 10


def test_only_what_no_walk_reads_and_is_small_is_in_float64(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, _ = case
    explainer = DeepLift(model, x)
    target = explainer._task(1, None).target
    graph = explainer._recorded().graph
    names = [node.op_name for node in graph.nodes]
    mean, dense = names.index("mean"), names.index("addmm")

    def dtypes(*keep: int) -> dict[int, torch.dtype]:
        graph_to_run = with_exact_ends(graph, [target], keep)
        values = graph_to_run.run([x], [target], range(len(graph.nodes)))
        return {index: values[index].dtype for index in (mean, dense, target)}

    assert dtypes() == dict.fromkeys((mean, dense, target), torch.float64)
    assert dtypes(mean) == {mean: torch.float32, dense: torch.float64, target: torch.float64}
    assert dtypes(dense) == {mean: torch.float32, dense: torch.float32, target: torch.float64}
    assert with_exact_ends(graph, [target], [target]).nodes == graph.nodes
