"""Compiled scoring gives the scores of scoring step by step; targets scored together those of each alone."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import ENTRIES, Entry

from deeplift_core import CompileError, DeepLift
from deeplift_core.compile.tracing import traced

# Split multipliers, products of both factors, and several inputs. The other ways in which steps are traced
# (kernels with several results, autograd, values in another order) take a minute more: `make zoo`.
BY_DEFAULT = {"residual_inplace", "attention_written_out", "control_track"}
ALL = [pytest.param(name, marks=() if name in BY_DEFAULT else (pytest.mark.zoo,)) for name in ENTRIES]

# What is written as the difference of two large logarithms loses digits, compiled or not.
TOLERANCE = {"thermodynamic": 3e-5}


def unpacked(values: tuple[Tensor, ...]) -> Any:
    return values if len(values) > 1 else values[0]


def scored(entry: Entry, dtype: torch.dtype, *, compiled: bool) -> list[Tensor]:
    """Contributions to each input, three rows in batches of two."""
    x = entry.inputs(3)
    output = "expression" if entry.name == "several_outputs" else 0
    example = unpacked(tuple(value[:2] for value in x))
    explainer = DeepLift(entry.make(), example, dtype=dtype, compile=compiled, output=output)
    found = explainer.attribute(
        unpacked(x), unpacked(entry.references(x, 2)), per_reference=True
    ).contributions
    return list(found) if isinstance(found, tuple | list) else [found]


@pytest.mark.compiles
@pytest.mark.parametrize("name", ALL)
def test_compiled_scores_equal_those_of_single_steps(name: str) -> None:
    entry = ENTRIES[name]
    both = (scored(entry, torch.float32, compiled=compiled) for compiled in (False, True))
    for plain, compiled in zip(*both, strict=True):
        scale = max(1e-6, float(plain.abs().max()))
        torch.testing.assert_close(compiled, plain, rtol=0, atol=TOLERANCE.get(name, 1e-5) * scale)


@pytest.mark.compiles
def test_parts_of_an_expanded_value_can_be_viewed() -> None:
    """As the first states of a recurrent layer are, which have no memory for each row."""

    def step(x: Tensor) -> Tensor:
        first, second = x.expand(7, 2, 8).split(4, -1)
        return first.view(7, 2, 2, 2) + second.view(7, 2, 2, 2)

    x = torch.randn(1, 2, 8)
    assert torch.equal(torch.compile(traced(step, x), dynamic=False)(x), step(x))


@pytest.mark.compiles
def test_bfloat16_compiled_correlates_with_float32() -> None:
    entry = ENTRIES["residual_inplace"]
    (exact,) = scored(entry, torch.float32, compiled=False)
    (found,) = scored(entry, torch.bfloat16, compiled=True)
    assert found.dtype == torch.float32
    for pair in zip(exact.flatten(0, 1), found.flatten(0, 1), strict=True):
        assert torch.corrcoef(torch.stack([value.flatten() for value in pair]))[0, 1] > 0.97


@pytest.mark.compiles
def test_a_batch_equal_to_its_references_gets_exactly_nothing_in_bfloat16() -> None:
    """Both forward passes are one function: compiled apart they would round differently."""
    entry = ENTRIES["residual_inplace"]
    (x,) = entry.inputs(2)
    explainer = DeepLift(entry.make(), x, dtype=torch.bfloat16, compile=True)
    result = explainer.attribute(x, x[:, None])
    assert result.contributions.count_nonzero() == 0
    assert result.completeness_error.count_nonzero() == 0


@pytest.mark.compiles
def test_compiled_code_neither_transposes_nor_fills_nor_searches_what_it_need_not() -> None:
    """Left to itself the compiler writes all this for the layers here, and it costs more than they do."""
    from torch._inductor.utils import run_and_get_code  # takes seconds, also where no test compiles

    with torch.random.fork_rng():
        torch.manual_seed(0)
        pooled = nn.Sequential(
            nn.Conv1d(4, 16, 5), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(16, 16, 3), nn.GELU(), nn.MaxPool1d(2)
        )
        network = nn.Sequential(pooled, nn.Softmax(2), nn.Flatten(), nn.LazyLinear(1)).eval()
        x, references = torch.randn(2, 4, 132), torch.randn(2, 1, 4, 132)
        network(x)
    with torch._inductor.config.patch(force_disable_caches=True):
        explainer = DeepLift(network, x, compile=True)
        found, written = run_and_get_code(explainer.attribute, x, references)
    assert len(written) == 2
    for code in written:
        for wasteful in ("quiet_NaN", "isnan", "aten.gather", "scatter_reduce"):
            assert wasteful not in code
        for loop in code.split("#pragma omp for"):
            reads, writes = (
                re.search(rf"transpose_mxn<[^;]*>\({of}", loop) for of in ("in_", "tmp.*out_ptr")
            )
            assert not (reads and writes) or "(4L)" in loop  # but for the one-hot rows
    plain = DeepLift(network, x).attribute(x, references)
    torch.testing.assert_close(found.contributions, plain.contributions, rtol=1e-4, atol=1e-6)


@pytest.mark.compiles
def test_kernels_kept_in_compiled_code_give_what_torch_gives() -> None:
    """In place, with several results, and with arguments by name, as models may pass them on."""
    aten = torch.ops.aten

    def step(x: Tensor) -> tuple[Tensor, ...]:
        largest, at = aten.max_pool2d_with_indices(x, [1, 3], [1, 3], ceil_mode=True)
        found = aten.gather(x.flatten(2), 2, at.flatten(2), sparse_grad=False)
        total = torch.zeros_like(x).flatten(2).scatter_add_(2, at.flatten(2), src=found)
        return largest, aten.erf(found), total

    x = torch.randn(2, 3, 1, 10, generator=torch.Generator().manual_seed(0))
    graph = traced(step, x)
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    names = "max_pool2d_with_indices", "gather", "scatter_add_", "erf"
    assert {f"deeplift.{name}.default" for name in names} <= called
    for found, expected in zip(torch.compile(graph)(x), step(x), strict=True):
        assert torch.equal(found, expected)


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv1d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(60, 8), nn.ReLU(), nn.Linear(8, 5)
        ).eval()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 4, 12, generator=generator), torch.randn(5, 3, 4, 12, generator=generator)


TARGETS = [0, lambda y: y[:, 1] - y[:, 2], 3, ("1", (2, 3))]


@pytest.mark.parametrize(
    ("compiled", "targets"),
    [
        pytest.param(False, TARGETS, id="step by step"),
        pytest.param(True, TARGETS[:2], id="compiled", marks=pytest.mark.compiles),
        pytest.param(True, TARGETS, id="all compiled", marks=[pytest.mark.compiles, pytest.mark.zoo]),
    ],
)
def test_targets_together_are_targets_by_themselves(compiled: bool, targets: list[Any]) -> None:
    x, references = data()
    together = DeepLift(model(), x[:2], compile=compiled).attribute_targets(x, references, targets)
    single = DeepLift(model(), x[:2])
    for target, found in zip(targets, together, strict=True):
        alone = single.attribute(x, references, target)
        for name in (
            "contributions",
            "hypothetical",
            "multipliers",
            "output",
            "reference_output",
            "prediction",
        ):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), rtol=1e-5, atol=1e-6)


@pytest.mark.compiles
def test_compiled_of_a_recording_leaves_the_recording_as_it_was() -> None:
    x, references = data()
    plain = DeepLift(model(), x[:2])
    compiled = plain.compiled([1])
    assert compiled is not plain
    assert compiled.nodes == plain.nodes
    found, expected = (one.attribute(x, references, 1).contributions for one in (compiled, plain))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_what_cannot_be_compiled_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    x, references = data()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no working C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(CompileError, match="cannot compile the scoring of this model: no working C"):
        DeepLift(model(), x[:2], compile=True).attribute(x, references)
    with pytest.raises(CompileError):
        DeepLift(model(), x[:2]).compiled()
    assert DeepLift(model(), x[:2], rule="gradient", compile=True).attribute(x, references) is not None
