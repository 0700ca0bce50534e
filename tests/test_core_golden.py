"""The golden vectors: contributions computed by the original implementation, and where it is wrong."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slow_rules
import torch
from golden import rebuild
from golden.rebuild import Case
from slow_rules import Layer
from torch import nn

from deeplift_core import Attribution, DeepLift

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
PRESETS = {"rescale": "rescale", "revealcancel": "revealcancel", "genomics_default": "genomics-default"}
PASSES = pytest.mark.parametrize("passes", ["auto", ()], ids=["passes", "plain"])

GOLDEN, CONVENTION, QUIRK = (rebuild.names(role) for role in ("golden", "convention", "quirk"))
COMPILED_BY_DEFAULT = {"conv_maxpool_dense_rescale_freqref", "deep_2conv_2dense_3out_genomics"}
IN_A_ROW = [name for name in GOLDEN if all(len(n["inputs"]) == 1 for n in rebuild.entry(name)["nodes"])]


def explain(
    case: Case,
    item: dict[str, Any],
    *,
    layer: str | None = None,
    dtype: torch.dtype | None = None,
    compiled: bool = False,
    passes: str | tuple[str, ...] = "auto",
) -> tuple[DeepLift, Attribution]:
    """Every (input, reference) pair of a case, by default in the dtype of its model."""
    preset = item["rule"]["preset"]
    rule = (
        {"rule": PRESETS[preset]}
        if preset in PRESETS
        else {"rule": "rescale", "layer_rules": item["rule"]["layers"]}
    )
    explainer = DeepLift(case.model, **rule, dtype=dtype, compile=compiled, passes=passes)
    return explainer, explainer.attribute(
        case.x, case.references, case.target, per_reference=True, layer=layer
    )


def assert_close(found: torch.Tensor, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=0, atol=tolerance)


def test_there_are_nineteen_golden_cases() -> None:
    assert len(GOLDEN) == 19
    assert len(CONVENTION) == 1
    assert len(QUIRK) == 3


@pytest.mark.parametrize("name", GOLDEN + CONVENTION + QUIRK)
def test_the_models_here_are_those_that_the_original_ran(name: str) -> None:
    assert rebuild.difference_of_forward_passes(name) < 1e-5


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=[pytest.mark.compiles, pytest.mark.zoo])]
)
def test_golden_in_bfloat16(name: str, compiled: bool) -> None:
    """By correlation over all pairs of a case: numbers of eight bits keep the contributions' proportions."""
    case, item, stored = rebuild.load(name, dtype=torch.float32), rebuild.entry(name), rebuild.arrays(name)
    _, result = explain(case, item, dtype=torch.bfloat16, compiled=compiled)
    both = [result.contributions.double().flatten(), torch.from_numpy(stored["contributions"]).flatten()]
    assert torch.corrcoef(torch.stack(both))[0, 1] >= 0.999


def _compiled(name: str) -> Any:
    """Two cases by default, `make zoo` has all."""
    marks = [pytest.mark.compiles] if name in COMPILED_BY_DEFAULT else [pytest.mark.compiles, pytest.mark.zoo]
    return pytest.param(name, torch.float32, True, "auto", marks=marks, id=f"{name}-compiled")


def _eager(name: str) -> Iterator[Any]:
    """In both precisions, with all passes and with none."""
    for dtype in (torch.float64, torch.float32):
        precision = str(dtype).removeprefix("torch.")
        yield pytest.param(name, dtype, False, "auto", id=f"{name}-{precision}")
        yield pytest.param(name, dtype, False, (), id=f"{name}-{precision}-plain")


@pytest.mark.parametrize(
    ("name", "dtype", "compiled", "passes"),
    [*(each for name in GOLDEN for each in _eager(name)), *map(_compiled, GOLDEN)],
)
def test_golden(name: str, dtype: torch.dtype, compiled: bool, passes: str | tuple[str, ...]) -> None:
    case, item, stored = rebuild.load(name, dtype=dtype), rebuild.entry(name), rebuild.arrays(name)
    _, result = explain(case, item, compiled=compiled, passes=passes)
    tolerance = TOLERANCE[dtype]
    assert_close(result.contributions, stored["contributions"], tolerance)
    mean = DeepLift(case.model, rule="rescale", layer_rules=item["rule"]["layers"], passes=passes).attribute(
        case.x, case.references, case.target
    )
    assert_close(mean.contributions, stored["contributions_mean"], tolerance)
    assert_close(result.contributions.mean(1), stored["contributions_mean"], tolerance)
    index = case.target[1]
    assert_close(result.output, stored["target_x"][:, index], tolerance)
    assert_close(result.reference_output, stored["target_ref"][:, :, index], tolerance)
    assert result.completeness_error.abs().max() < (1e-9 if dtype == torch.float64 else 1e-5)
    # with the limit for parts that are 0, all multipliers match in float64
    if dtype == torch.float64 or item["multipliers_insensitive_to_zero_part_convention"]:
        assert_close(result.multipliers, stored["multipliers"], tolerance)
        if "hypothetical" in stored:
            assert_close(result.hypothetical, stored["hypothetical"], tolerance)
            assert_close(mean.hypothetical, stored["hypothetical_mean"], tolerance)
    assert (result.hypothetical is not None) == (4 in case.x.shape[1:])


@pytest.mark.parametrize("name", CONVENTION)
@PASSES
def test_convention(name: str, passes: str | tuple[str, ...]) -> None:
    """The limit of a part that is exactly 0, in float64 (the original's float32 is noise there)."""
    case, item, stored = rebuild.load(name), rebuild.entry(name), rebuild.arrays(name)
    _, result = explain(case, item, passes=passes)
    assert_close(result.contributions, stored["contributions"], 1e-6)
    assert_close(result.multipliers, stored["multipliers"], 1e-6)
    assert result.completeness_error.abs().max() < 1e-9


@pytest.mark.parametrize("name", GOLDEN + CONVENTION + QUIRK)
def test_each_activation_gets_the_rule_of_the_manifest(name: str) -> None:
    case, item = rebuild.load(name), rebuild.entry(name)
    explainer, _ = explain(case, item)
    found = {node.module: node.rule for node in explainer.nodes}
    given = item["rule"]["layers"]
    assert {layer: found[layer] for layer in given} == given


@pytest.mark.parametrize("name", GOLDEN)
def test_the_default_path_leaves_the_last_sigmoid_or_softmax_out(name: str) -> None:
    """Without naming the layer: a plain index, and for softmax no centring."""
    case, item, stored = rebuild.load(name), rebuild.entry(name), rebuild.arrays(name)
    last = item["nodes"][-1]
    preset = item["rule"]["preset"]
    explainer = DeepLift(
        case.model,
        rule=PRESETS.get(preset, "rescale"),
        layer_rules=None if preset in PRESETS else item["rule"]["layers"],
        centre=False,
    )
    result = explainer.attribute(case.x, case.references, case.target[1], per_reference=True)
    assert_close(result.contributions, stored["contributions"], 1e-6)
    assert_close(result.prediction, stored["output_x"][:, case.target[1]], 1e-6)
    if last["type"] in ("Sigmoid", "Softmax"):
        assert not torch.allclose(result.prediction, result.output)


@pytest.mark.parametrize("name", [name for name in GOLDEN if "3out" in name])
def test_centring_subtracts_the_mean_over_the_classes(name: str) -> None:
    case, item = rebuild.load(name), rebuild.entry(name)
    classes = case.model(case.x).shape[1]
    plain = DeepLift(case.model, rule=PRESETS[item["rule"]["preset"]], centre=False)
    each = [plain.attribute(case.x, case.references, k) for k in range(classes)]
    mean = sum(result.contributions for result in each) / classes
    centred = DeepLift(case.model, rule=PRESETS[item["rule"]["preset"]])
    for k in range(classes):
        found = centred.attribute(case.x, case.references, k).contributions
        torch.testing.assert_close(found, each[k].contributions - mean, rtol=0, atol=1e-9)


def _cuts(case: Case, item: dict[str, Any]) -> Iterator[tuple[str, DeepLift, DeepLift, nn.Module]]:
    """Each place to cut a net in a row: the last layer's name, both halves explained, and the first half."""
    names = [node["name"] for node in item["nodes"]]
    for place in range(1, len(case.model)):
        halves = []
        for half, layers in ((case.model[:place], names[:place]), (case.model[place:], names[place:])):
            rules = {layer: rule for layer, rule in item["rule"]["layers"].items() if layer in layers}
            halves.append(DeepLift(half, rule="rescale", layer_rules=rules, logits=layers[-1] == names[-1]))
        yield names[place - 1], *halves, case.model[:place]


def _starts_afresh(item: dict[str, Any], layer: str) -> bool:
    """Whether what is behind a layer does not ask for parts of its difference: a model cut there has none."""
    types = [node["type"] for node in item["nodes"]]
    place = [node["name"] for node in item["nodes"]].index(layer) + 1
    following = next(kind for kind in types[place:] if kind != "Flatten")
    return following in ("Linear", "Conv1d") or set(item["rule"]["layers"].values()) == {"rescale"}


@pytest.mark.parametrize("name", IN_A_ROW)
def test_scores_of_every_layer_inside_are_those_of_the_model_cut_there(name: str) -> None:
    case, item = rebuild.load(name), rebuild.entry(name)
    n, r = case.references.shape[:2]
    for layer, _, behind, first in _cuts(case, item):
        if layer == item["target"]["layer"]:
            break
        if not _starts_afresh(item, layer):
            continue
        _, inner = explain(case, item, layer=layer)
        with torch.no_grad():
            hidden, references = first(case.x), first(case.references.flatten(0, 1)).unflatten(0, (n, r))
        cut = behind.attribute(hidden, references, case.target, per_reference=True)
        torch.testing.assert_close(inner.contributions, cut.contributions, rtol=0, atol=1e-9)
        torch.testing.assert_close(inner.multipliers, cut.multipliers, rtol=0, atol=1e-9)
        assert inner.hypothetical is None or cut.hypothetical is not None
        assert inner.completeness_error.abs().max() < 1e-9


@pytest.mark.parametrize("name", IN_A_ROW)
def test_scores_for_neurons_inside_are_those_of_the_model_cut_behind_them(name: str) -> None:
    case, item = rebuild.load(name), rebuild.entry(name)
    whole, _ = explain(case, item)
    for layer, front, _, first in _cuts(case, item):
        shape = first(case.x).shape[1:]
        for index in (tuple(0 for _ in shape), tuple(size // 2 for size in shape)):
            inner = whole.attribute(case.x, case.references, (layer, index), per_reference=True)
            cut = front.attribute(case.x, case.references, index, per_reference=True)
            torch.testing.assert_close(inner.contributions, cut.contributions, rtol=0, atol=1e-9)
            torch.testing.assert_close(inner.output, cut.output, rtol=0, atol=1e-12)


# ---- where the original is wrong


@PASSES
def test_quirk_the_fallback_derivative_is_at_the_reference_input(passes: str | tuple[str, ...]) -> None:
    case, item = rebuild.load("quirk_tanh_zero_delta"), rebuild.entry("quirk_tanh_zero_delta")
    _, result = explain(case, item, passes=passes)
    weight, bias = case.model.fc1.weight[0], case.model.fc1.bias[0]
    slope = (1 - torch.tanh(bias + case.references[0, 0] @ weight) ** 2).detach()
    assert float(slope) == pytest.approx(0.7864, abs=1e-4)
    for row in (0, 1):
        difference = case.x[row] - case.references[row, 0]
        expected = slope * weight * difference * case.model.fc2.weight[0, 0]
        torch.testing.assert_close(result.contributions[row, 0], expected.detach(), rtol=0, atol=1e-9)
        assert result.contributions[row, 0].abs().max() > 0.1
    assert result.completeness_error.abs().max() < 1e-9


@PASSES
def test_quirk_a_maximum_that_moves_keeps_the_sum(passes: str | tuple[str, ...]) -> None:
    """The original sends everything to the input's argmax; right is what the slow re-implementation says."""
    name = "conv_maxpool_dense_genomics_shufref"
    case, item, stored = rebuild.load(name), rebuild.entry(name), rebuild.arrays(name)
    _, result = explain(case, item, passes=passes)
    assert rebuild.completeness_of_the_original(name) > 1
    assert result.completeness_error.abs().max() < 1e-9
    layers, source = [], "input"
    for node in item["nodes"]:
        kind = {"Conv1d": "conv", "Linear": "dense", "ReLU": "act", "MaxPool1d": "max_pool"}.get(node["type"])
        constants = {key: stored[array] for key, array in node["params"].items()}
        settings = {
            "f": "relu",
            "kernel": node["args"].get("kernel_size"),
            "padding": node["args"].get("padding", 0),
        }
        layers.append(Layer(node["name"], kind or "flatten", [source], settings | constants))
        source = node["name"]
    for n, k in np.ndindex(*case.references.shape[:2]):
        x, r = case.x[n].numpy(), case.references[n, k].numpy()
        _, expected = slow_rules.scores(layers, x, r, case.target[1], item["rule"]["layers"])
        assert_close(result.contributions[n, k], expected, 1e-9)


@PASSES
def test_quirk_ties_of_a_global_maximum_count_once(passes: str | tuple[str, ...]) -> None:
    case, item = rebuild.load("quirk_global_maxpool_ties"), rebuild.entry("quirk_global_maxpool_ties")
    # The original misses summation-to-delta here.
    assert rebuild.completeness_of_the_original("quirk_global_maxpool_ties") > 1
    _, result = explain(case, item, passes=passes)
    assert result.completeness_error.abs().max() < 1e-9
    ones = (result.contributions != 0).flatten(2).sum(2)
    assert ones.max() == 1
