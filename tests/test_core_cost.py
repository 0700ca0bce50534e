"""What scoring costs: forward passes and reverse walks are counted, not assumed."""

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deeplift_core import DeepLift
from deeplift_core.engine import shared_references
from deeplift_core.passes.convolutions import sequence

FORWARD, BACKWARD = "convolution", "convolution_backward"
CONVOLUTIONS = 3
K = 4


@pytest.fixture(autouse=True)
def _walks_are_told_from_forward_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel they call: the adjoint to few channels would call the kernel of forward passes."""
    monkeypatch.setattr(sequence, "BLOCK_CHANNELS", 0)


class Count(TorchDispatchMode):
    """Counts ATen calls by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func._schema.name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv1d(3, 3, 3, padding=1), nn.BatchNorm1d(3), nn.ReLU(),
        nn.Conv1d(3, 2, 3), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2),
    )  # fmt: skip


def data(n: int, r: int, shared: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (r, 4, 10) if shared else (n, r, 4, 10)
    return torch.randn(n, 4, 10, generator=generator), torch.randn(*shape, generator=generator)


def counted(work: Callable[[], Any]) -> tuple[float, float]:
    """Forward passes and reverse walks through all convolutions."""
    with Count() as count:
        work()
    return count.calls[FORWARD] / CONVOLUTIONS, count.calls[BACKWARD] / CONVOLUTIONS


@pytest.mark.parametrize("rule", ["rescale", "genomics-default"])
@pytest.mark.parametrize("references", [1, 2, 5])
def test_one_forward_pass_more_than_references_and_a_walk_for_each(references: int, rule: str) -> None:
    x, refs = data(K, references)
    explainer = DeepLift(model(), x, rule=rule)
    for target in (0, 1, 0):
        explainer.check_target(target)  # makes the plan, for which a backward pass runs on zeros
        assert counted(lambda t=target: explainer.attribute(x, refs, t)) == (1 + references, references)
    result = counted(lambda: explainer.attribute(x, refs, per_reference=True))
    assert result == (1 + references, references)


@pytest.mark.parametrize(("rows", "batches"), [(1, 1), (K, 1), (K + 1, 2), (3 * K - 1, 3)])
def test_batches_are_counted_whole(rows: int, batches: int) -> None:
    """The last batch is padded to K rows."""
    x, refs = data(rows, 3)
    explainer = DeepLift(model(), x[:1].expand(K, -1, -1))
    explainer.check_target(0)
    assert explainer.batch_size == K
    assert counted(lambda: explainer.attribute(x, refs)) == (4 * batches, 3 * batches)


def test_shared_references_run_once_over_all_batches_and_calls() -> None:
    x, refs = data(3 * K, 2, shared=True)
    explainer = DeepLift(model(), x[:K])
    explainer.check_target(0)
    assert counted(lambda: explainer.attribute(x, refs)) == (3 + 2, 3 * 2)
    assert counted(lambda: explainer.attribute(x.flip(0), refs)) == (3, 3 * 2)
    assert counted(lambda: explainer.attribute(x, refs.clone())) == (3, 3 * 2)
    assert counted(lambda: explainer.attribute(x, refs * 2)) == (3 + 2, 3 * 2)


def test_shared_references_that_take_turns_run_once_each() -> None:
    """As those of both strands do, and those of one target and another."""
    x, refs = data(K, 3, shared=True)
    explainer = DeepLift(model(), x)
    counts = [
        counted(lambda r=r, t=t: explainer.attribute(x, r, t))[0]
        for _ in range(3)
        for r, t in ((refs, 0), (refs.flip(1, 2), 0), (refs, 1))
    ]
    assert counts == [4, 4, 4, *[1] * 6]


def test_shared_references_that_are_not_used_any_more_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    x, refs = data(K, 4, shared=True)
    explainer = DeepLift(model(), x)
    explainer.attribute(x, refs[:1])
    (cached,) = explainer._explainer.shared._cached
    monkeypatch.setattr(shared_references, "_BYTES", 3 * cached.nbytes)

    def passes(references: torch.Tensor) -> float:
        return counted(lambda: explainer.attribute(x, references))[0]

    assert passes(refs) == 1 + 3  # the first is there already
    assert passes(refs) == 1 + 1  # and the last has found no room
    assert passes(refs * 2) == 1 + 4  # no room, for others were used in the batch before
    assert passes(refs * 2) == 1 + 4  # which now make room
    assert passes(refs * 2) == 1 + 1


def test_two_products_for_a_convolution_before_a_revealcancel_activation() -> None:
    """Where m+ and m- differ a convolution is walked through twice, and only there."""
    x, refs = data(K, 1)
    explainer = DeepLift(model(), x, rule="revealcancel")
    explainer.check_target(0)
    with Count() as count:
        explainer.attribute(x, refs)
    # two of the three stand before an activation whose m+ and m- differ
    assert count.calls[BACKWARD] == 2 + 2 + 1
    # and their parts take four products with signed weights each
    assert count.calls[FORWARD] == 2 * CONVOLUTIONS + 2 * 4


def test_four_products_for_a_dense_layer_before_a_revealcancel_activation() -> None:
    """Its weights are what takes the time: twice for both parts at once, twice for the walk back."""
    x, refs = data(K, 1)
    explainer = DeepLift(model(), x)
    explainer.check_target(0)
    with Count() as count:
        explainer.attribute(x, refs)
    assert count.calls["mm"] == 2 + 2 + 1  # the last layer is walked through once
    assert count.calls["addmm"] == 2 * 2


@pytest.mark.parametrize("rule", ["rescale", "genomics-default", "revealcancel"])
def test_targets_share_what_does_not_depend_on_them(rule: str) -> None:
    """Quotients, responses to parts and the ways through maxima are worked out once for each pair."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model()
            self.inner[6] = nn.MaxPool1d(2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x)

    x, refs = data(K, 2)
    explainer = DeepLift(Pooled(), x, rule=rule)
    alone = [explainer.attribute(x, refs, target) for target in (0, 1)]
    explainer.attribute_targets(x, refs, [0, 1])  # makes the plan
    with Count() as one:
        explainer.attribute(x, refs, 0)
    with Count() as both:
        together = explainer.attribute_targets(x, refs, [0, 1])
    for name in ("clamp_min", "minimum", "relu", "gather", "le", "convolution"):
        assert both.calls[name] == one.calls[name], name
    for first, second in zip(alone, together, strict=True):
        assert torch.equal(first.contributions, second.contributions)
        assert torch.equal(first.hypothetical, second.hypothetical)


def test_inputs_of_linear_layers_are_kept_only_for_multipliers_that_differ() -> None:
    """Five convolutions in a row keep nothing under `rescale`, which needs the inputs of activations only."""
    x, _ = data(K, 1)
    layers = [layer for _ in range(5) for layer in (nn.Conv1d(4, 4, 3, padding=1), nn.AvgPool1d(1))]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(40, 5), nn.ReLU(), nn.Linear(5, 1))
    each = x[0].numel()
    kept = {rule: DeepLift(net, x, rule=rule).bytes_per_row // 8 for rule in ("rescale", "genomics-default")}
    assert kept["rescale"] == each + 5  # the input, and what goes into ReLU
    # RevealCancel reads ReLU's output, the dense layer's input, and the output's input for the sign of it
    assert kept["genomics-default"] == each + 5 + 5 + 40


def test_values_of_the_reference_go_as_the_last_walk_passes_them() -> None:
    x, refs = data(K, 1)
    explainer = DeepLift(model(), x, rule="rescale")
    explainer.attribute_targets(x, refs, [0, 1])
    executable = explainer._explainer.program([0, 1], None).scorer.executable
    at_x, at_reference = executable.forward([x]), executable.forward([refs[:, 0].contiguous()])
    ends = {*executable.plan.wanted, *executable.plan.graph.inputs}
    held = [weakref.ref(value) for index, value in at_reference.items() if index not in ends]
    passes = executable.scores(at_x, at_reference)
    next(passes)
    assert not at_reference
    assert any(value() is not None for value in held)
    next(passes)
    assert [value() for value in held if value() is not None] == []


def test_an_activation_costs_one_call_in_each_pass() -> None:
    """Rescale divides kept values; it does not run the activation again."""
    x, refs = data(K, 3)
    explainer = DeepLift(model(), x, rule="rescale")
    explainer.check_target(0)
    with Count() as count:
        explainer.attribute(x, refs)
    assert count.calls["relu"] == 3 * (1 + 3)


def test_every_call_has_the_rows_of_the_example() -> None:
    class Rows(Count):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._schema.name == "aten::convolution":
                seen.add(args[0].shape[0])
            return super().__torch_dispatch__(func, types, args, kwargs)

    seen: set[int] = set()
    x, refs = data(2 * K + 1, 2)
    explainer = DeepLift(model(), x[:K])
    with Rows():
        explainer.attribute(x, refs)
    assert seen == {K}


def test_padding_changes_no_score() -> None:
    x, refs = data(2 * K + 1, 2)
    whole = DeepLift(model(), x).attribute(x, refs)
    split = DeepLift(model(), x[:K]).attribute(x, refs)
    assert split.contributions.shape == whole.contributions.shape
    assert split.completeness_error.shape == (2 * K + 1, 2)
    torch.testing.assert_close(split.contributions, whole.contributions, rtol=1e-4, atol=1e-6)
    again = DeepLift(model(), x[:K]).attribute(x[2 * K :], refs[2 * K :])
    assert torch.equal(again.contributions[0], split.contributions[-1])
