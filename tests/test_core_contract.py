"""What users are promised of results, links, targets, rules, passes and threads, by the public interface."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cancelling import nearly_equal_pairs
from promised import PROMISED
from small_models import LENGTH, deeplift, random_letters, write_fasta
from torch import Tensor, nn

from deeplift_core import DeepLift, OptionError

D = torch.float64
DEEPLIFT = ["genomics-default", "rescale", "revealcancel", "revealcancel-positive-first"]
RULES = [*DEEPLIFT, "gradient", "integrated-gradients:4"]
N, K, R, T = 5, 2, 4, 3


def one_hot(*shape: int, seed: int = 0) -> Tensor:
    letters = torch.randint(4, (*shape, 20), generator=torch.Generator().manual_seed(seed))
    return F.one_hot(letters, 4).mT.double()


class Net(nn.Module):
    """Convolution, batch norm, pooling and two dense layers; ``link`` is what follows the logits."""

    def __init__(self, link: Callable[[Tensor], Tensor] | None = None, outputs: int = T) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.norm, self.act = nn.Conv1d(4, 6, 5), nn.BatchNorm1d(6), nn.ReLU()
        self.pool = nn.MaxPool1d(2)
        self.hidden, self.second, self.last = nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, outputs)
        self.link = link
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(self.act(self.norm(self.conv(x)))).flatten(1)
        logits = self.last(self.second(self.hidden(features)))
        return logits if self.link is None else self.link(logits)


# ---- results


def test_rescored_says_which_pairs_float64_computed_again() -> None:
    model, x, references = nearly_equal_pairs(100)
    far = torch.randn(100, x.shape[1], generator=torch.Generator().manual_seed(1))
    both = torch.stack([references, far], 1)
    explainer = DeepLift(model, x[:40], rule="rescale")
    result = explainer.attribute(x, both, per_reference=True)
    assert result.rescored.dtype == torch.bool
    assert result.rescored.shape == result.completeness_error.shape == (100, 2)
    assert result.rescored[:, 0].float().mean() > 0.5
    exact = DeepLift(model, x[:40], rule="rescale", dtype=D).attribute(x, both, per_reference=True)
    again = result.rescored
    torch.testing.assert_close(
        result.contributions[again], exact.contributions[again].float(), rtol=2e-7, atol=1e-9
    )
    assert (result.contributions[~again] != exact.contributions[~again].float()).any()
    assert not exact.rescored.any()


def test_rescored_is_false_for_rules_that_promise_no_sum() -> None:
    model, x, references = nearly_equal_pairs(20)
    for rule in ("gradient", "integrated-gradients:4"):
        assert not DeepLift(model, x, rule=rule).attribute(x, references[:, None]).rescored.any()


def expected_standard_error(contributions: Tensor) -> np.ndarray:
    """Of contributions [N, R, ...], written out."""
    values = contributions.numpy()
    count = values.shape[1]
    deviation = np.sqrt(((values - values.mean(1, keepdims=True)) ** 2).sum(1) / (count - 1))
    return deviation / math.sqrt(count)


@pytest.mark.parametrize("layer", [None, "conv"])
@pytest.mark.parametrize("shared", [False, True])
def test_the_standard_error_is_that_of_the_mean_over_references(layer: str | None, shared: bool) -> None:
    x, references = one_hot(N), one_hot(R, seed=1) if shared else one_hot(N, R, seed=1)
    explainer = DeepLift(Net(), x[:K])
    pairs = explainer.attribute(x, references, 1, layer=layer, per_reference=True)
    expected = expected_standard_error(pairs.contributions)
    for per_reference in (False, True):
        result = explainer.attribute(x, references, 1, layer=layer, per_reference=per_reference)
        assert result.standard_error.shape == pairs.contributions.mean(1).shape
        np.testing.assert_allclose(result.standard_error.numpy(), expected, rtol=1e-9, atol=1e-12)
        by_position = expected_standard_error(pairs.contributions.sum(2))
        if layer is None:
            np.testing.assert_allclose(
                result.position_standard_error.numpy(), by_position, rtol=1e-9, atol=1e-12
            )
    single = explainer.attribute(x, references[:1] if shared else references[:, :1], 1, layer=layer)
    assert single.standard_error is None
    assert single.position_standard_error is None


def test_the_standard_error_in_float32_keeps_its_digits() -> None:
    """Contributions that hardly differ between references: a difference of squares would lose the digits."""
    x = one_hot(N).float() + 100
    references = torch.randn(N, R, 4, 20, generator=torch.Generator().manual_seed(2)) * 1e-3
    weights = torch.randn(80, generator=torch.Generator().manual_seed(3))
    model = nn.Sequential(nn.Flatten(), nn.Linear(80, 1))
    with torch.no_grad():
        model[1].weight.copy_(weights[None])
    explainer = DeepLift(model, x[:K])
    expected = expected_standard_error(
        explainer.attribute(x, references, per_reference=True).contributions.double()
    )
    result = explainer.attribute(x, references)
    np.testing.assert_allclose(result.standard_error.double().numpy(), expected, rtol=2e-2, atol=1e-6)


def test_the_standard_error_of_several_inputs_is_a_tuple() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.mix = Net(), nn.Linear(7, T).double()

        def forward(self, x: Tensor, signal: Tensor) -> Tensor:
            return torch.tanh(self.net(x) * self.mix(signal))

    generator = torch.Generator().manual_seed(4)
    x, signal = one_hot(N), torch.randn(N, 7, dtype=D, generator=generator)
    references = one_hot(N, R, seed=1), torch.randn(N, R, 7, dtype=D, generator=generator)
    explainer = DeepLift(Two(), (x[:K], signal[:K]))
    pairs = explainer.attribute((x, signal), references, per_reference=True)
    result = explainer.attribute((x, signal), references)
    assert isinstance(result.standard_error, tuple)
    for found, contributions in zip(result.standard_error, pairs.contributions, strict=True):
        np.testing.assert_allclose(
            found.numpy(), expected_standard_error(contributions), rtol=1e-9, atol=1e-12
        )


# ---- links

OF_ONE_LOGIT: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid module": nn.Sigmoid(),
    "torch.sigmoid": torch.sigmoid,
    "1 / (1 + exp(-z))": lambda z: 1 / (1 + torch.exp(-z)),
    "log-sigmoid module": nn.LogSigmoid(),
    "log-sigmoid": F.logsigmoid,
    "log(sigmoid(z))": lambda z: torch.log(torch.sigmoid(z)),
}
OF_CLASSES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax module": nn.Softmax(1),
    "softmax": lambda z: z.softmax(1),
    "log-softmax module": nn.LogSoftmax(1),
    "log-softmax": lambda z: z.log_softmax(1),
    "log(softmax(z))": lambda z: torch.log(z.softmax(1)),
}


@pytest.mark.parametrize("rule", ["genomics-default", "rescale"])
@pytest.mark.parametrize("name", [*OF_ONE_LOGIT, *OF_CLASSES])
def test_the_logit_is_explained_however_the_link_is_spelled(name: str, rule: str) -> None:
    x, references = one_hot(N), one_hot(N, R, seed=1)
    bare = DeepLift(Net(), x[:K], rule=rule)
    link = OF_ONE_LOGIT.get(name) or OF_CLASSES[name]
    explainer = DeepLift(Net(link), x[:K], rule=rule)
    for target in range(T):
        result = explainer.attribute(x, references, target)
        expected = bare.attribute(x, references, target)
        mean = 0.0
        if name in OF_CLASSES:  # the mean over the classes is subtracted (paper, equation 5)
            mean = sum(bare.attribute(x, references, k).contributions for k in range(T)) / T
        torch.testing.assert_close(result.contributions, expected.contributions - mean, rtol=0, atol=1e-9)
        with torch.no_grad():
            torch.testing.assert_close(result.prediction, Net(link)(x)[:, target], rtol=0, atol=1e-12)
    assert explainer.explains_logit
    kept = DeepLift(Net(link), x[:K], rule=rule, logits=False)
    assert not kept.explains_logit
    assert not torch.allclose(kept.attribute(x, references).output, bare.attribute(x, references).output)


@pytest.mark.parametrize("reduced", [lambda z: z.softmax(1).mean(1), lambda z: F.logsigmoid(z).sum(1)])
def test_a_link_before_a_reduction_is_not_left_out(reduced: Callable[[Tensor], Tensor]) -> None:
    x = one_hot(N)
    explainer = DeepLift(Net(reduced), x[:K], rule="rescale")
    assert not explainer.explains_logit


# ---- accuracy


class Associative(nn.Module):
    """(a b) c - a (b c), which is 0 but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv1d(4, 3, LENGTH)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.conv(x).squeeze(2).unbind(1)
        return ((a * b) * c - a * (b * c)).unsqueeze(1)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_relative_error_of_outputs_of_about_0_is_finite(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path))
    torch.jit.trace(Associative().eval(), torch.zeros(2, 4, LENGTH)).save("zero.pt")
    fasta = write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(40)])
    outcome = deeplift("score", "-m", "zero.pt", "-f", fasta, "-o", "out.h5", "--rule", "rescale",
                       "--n-references", 10, "--precision", precision)  # fmt: skip
    assert outcome.code == 0, outcome.err
    with h5py.File("out.h5") as file:
        exactly = (file["qc/output"][()][:, None] == 0) & (file["qc/reference_output"][()] == 0)
        assert math.isfinite(float(file.attrs["worst_relative_completeness_error"]))
        assert exactly.any()  # there were pairs with nothing to explain
    assert "inf" not in outcome.out.split("written")[0].replace("inference", "")


def test_float16_is_a_precision_with_a_tolerance_of_its_own() -> None:
    from deeplift_core.accuracy.completeness import TOLERANCE

    assert PROMISED[torch.float32] < TOLERANCE[torch.float16] <= 1
    x, references = one_hot(N), one_hot(N, R, seed=1)
    found, exact = (
        DeepLift(Net(), x[:K], dtype=dtype).attribute(x, references, 1) for dtype in (torch.float16, D)
    )
    assert found.contributions.isfinite().all()
    both = torch.stack([found.contributions.double().flatten(), exact.contributions.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.9999
    with torch.no_grad():
        torch.testing.assert_close(found.output.double(), exact.output, rtol=0.01, atol=0.01)


# ---- depth


class Blocks(nn.Module):
    """The activation comes after the sum, so that one activation is a source of the next."""

    def __init__(self, count: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(count))
        with torch.no_grad():
            for parameter in self.layers.parameters():
                parameter.mul_(0.05)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.leaky_relu(x + layer(x), 0.97)
        return self.last(x)


class Steps(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.mix, self.last = nn.Linear(1, 6), nn.Linear(6, 2)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        z = self.mix(x.unsqueeze(2))
        h = torch.zeros_like(z[:, 0])
        for step in range(self.count):
            h = torch.tanh(h + z[:, step])
        return self.last(h)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", [Blocks, Steps])
def test_deep_networks_need_no_recursion(kind: type[nn.Module], rule: str) -> None:
    """250 residual blocks, and 250 steps h = tanh(h + z_t)."""
    model = kind(250).double()
    size = 250 if kind is Steps else 6
    x, references = torch.randn(2, 2, size, dtype=D, generator=torch.Generator().manual_seed(3))
    result = DeepLift(model, x, rule=rule).attribute(x, references[:, None], 1)
    assert result.contributions.isfinite().all()
    if rule in DEEPLIFT:
        delta = (result.output[:, None] - result.reference_output).abs()
        assert delta.max() > 1e-3
        assert (result.completeness_error.abs() <= PROMISED[D] * delta.clamp(min=0.01)).all()


# ---- passes


@pytest.mark.parametrize("rule", RULES)
def test_passes_change_scores_by_rounding_only(rule: str) -> None:
    x, references = one_hot(N), one_hot(N, R, seed=1)
    found, plain = (
        DeepLift(Net(), x[:K], rule=rule, passes=passes).attribute(x, references, 1, per_reference=True)
        for passes in ("auto", ())
    )
    for name in ("contributions", "multipliers", "hypothetical", "output", "reference_output"):
        torch.testing.assert_close(getattr(found, name), getattr(plain, name), rtol=1e-11, atol=1e-11)


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(OptionError, match="no-such-pass"):
        DeepLift(Net(), one_hot(K), passes=("no-such-pass",))


# ---- targets


def test_a_function_whose_closure_changed_is_another_target() -> None:
    x, references = one_hot(N), one_hot(N, R, seed=1)
    explainer = DeepLift(Net(), x[:K])
    chosen = {"class": 0}

    def target(output: Tensor) -> Tensor:
        return output[:, chosen["class"]]

    for index in (0, 1, 0, 2):
        chosen["class"] = index
        found, expected = (explainer.attribute(x, references, t) for t in (target, index))
        torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=1e-12)


def test_fresh_functions_and_indices_do_not_let_the_graph_grow() -> None:
    x, references = one_hot(K), one_hot(K, 1, seed=1)
    explainer = DeepLift(Net(), x)
    before = len(explainer.graph.nodes)
    for call in range(300):
        explainer.attribute(x, references, lambda output, k=call % T: output[:, k] * 2)
    for index in range(T):
        explainer.attribute(x, references, index)
    assert len(explainer.graph.nodes) == before
    assert len(explainer.nodes) == len(DeepLift(Net(), x).nodes)


def test_threads_with_targets_of_their_own_get_the_scores_of_one_thread() -> None:
    x, references = one_hot(N), one_hot(N, R, seed=1)
    weights = torch.randn(24, T, dtype=D, generator=torch.Generator().manual_seed(6))
    targets: list[Any] = [k % T for k in range(24)]
    targets += [lambda output, w=w: output @ w for w in weights]
    targets += [("hidden", k % 8) for k in range(24)]
    alone = DeepLift(Net(), x[:K])
    expected = [alone.attribute(x, references, target).contributions for target in targets]
    explainer = DeepLift(Net(), x[:K])
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda target: explainer.attribute(x, references, target).contributions, targets)
        )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


# ---- the recorded graph


def test_the_printed_graph_shows_every_operation() -> None:
    explainer = DeepLift(Net(nn.Softmax(1)), one_hot(K))
    text = str(explainer.graph)
    for node in explainer.nodes:
        assert node.op in text, node.op
    operations = [node.op for node in explainer.nodes if node.op != "input"]
    assert len(text.splitlines()) >= len(explainer.nodes)
    assert all(text.count(op) >= operations.count(op) for op in operations)


# ---- rules for layers


def envelope(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Share of t in [0, 1] in which each element is the maximum of r + t (x - r), from all crossing times."""
    times = {0.0, 1.0}
    for i, j in combinations(range(len(x)), 2):
        slope = (x[i] - r[i]) - (x[j] - r[j])
        if slope:
            times.add(min(1.0, max(0.0, (r[j] - r[i]) / slope)))
    ordered = sorted(times)
    shares = np.zeros(len(x))
    for start, end in pairwise(ordered):
        shares[np.argmax(r + (start + end) / 2 * (x - r))] += end - start
    return shares


@pytest.mark.parametrize("name", ["max_pool", "global_max", "amax"])
def test_a_layer_rule_gives_maxima_the_rule_of_aumann_and_shapley(name: str) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.top: nn.Module = nn.MaxPool1d(4) if name == "max_pool" else nn.AdaptiveMaxPool1d(1)
            self.last = nn.Linear(5 if name == "max_pool" else 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            values = x.amax(1, keepdim=True) if name == "amax" else self.top(x.unsqueeze(1)).squeeze(1)
            return self.last(values)

    model = Pooled().double()
    x, r = torch.randn(2, 6, 20, dtype=D, generator=torch.Generator().manual_seed(7))
    patterns = "*" if name == "amax" else "top"
    result = DeepLift(model, layer_rules={patterns: "aumann-shapley"}).attribute(x, r[:, None])
    assert result.completeness_error.abs().max() < 1e-12
    width = 4 if name == "max_pool" else 20
    weights = model.last.weight.detach().numpy()[0]
    for row in range(len(x)):
        for window, weight in enumerate(weights):
            here = slice(window * width, (window + 1) * width)
            a, b = x[row, here].numpy(), r[row, here].numpy()
            expected = weight * envelope(a, b)
            np.testing.assert_allclose(result.multipliers[row, here].numpy(), expected, rtol=0, atol=1e-10)
    given = {node.rule for node in DeepLift(model, x, layer_rules={patterns: "aumann-shapley"}).nodes}
    assert "aumann-shapley" in given


@pytest.mark.parametrize("wrong", ["rescael", "deeplift", ""])
def test_an_unknown_rule_for_a_layer_is_refused_with_the_list(wrong: str) -> None:
    with pytest.raises(OptionError) as refused:
        DeepLift(Net(), one_hot(K), layer_rules={"act": wrong})
    for known in ("rescale", "revealcancel", "revealcancel-positive-first", "aumann-shapley"):
        assert known in str(refused.value)
    assert repr(wrong) in str(refused.value)
