"""Averages with a control variate: the formula, and its expectations over all draws of references."""

from itertools import product

import numpy as np
import pytest
import torch
from test_core_contract import Net as Larger
from test_core_contract import one_hot
from test_references_shuffles import encode, enumerate_shuffles
from torch import Tensor, nn

import deeplift_references
from deeplift_core import DeepLift, OptionError

D = torch.float64
N, K, R = 5, 2, 6
RULES = ["genomics-default", "revealcancel", "gradient", "integrated-gradients:3"]


class Small(nn.Module):
    """A convolution and two dense layers for short sequences."""

    def __init__(self, length: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.first = nn.Conv1d(4, 5, 3), nn.ReLU()
        self.hidden, self.second, self.last = nn.Linear(5 * (length - 2), 4), nn.ReLU(), nn.Linear(4, 2)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.hidden(self.first(self.conv(x)).flatten(1))))


def by_hand(multipliers: Tensor, x: Tensor, references: Tensor, expected: Tensor) -> Tensor:
    """The corrected contributions of each pair [N, R, ...], pair by pair with the mean of the others."""
    pairs = []
    for i in range(references.shape[1]):
        others = [multipliers[:, j] for j in range(references.shape[1]) if j != i]
        mean = sum(others) / len(others)
        own = multipliers[:, i] * (x - references[:, i])
        pairs.append(own + mean * (references[:, i] - expected))
    return torch.stack(pairs, 1)


def by_hand_error(values: Tensor, multipliers: Tensor, references: Tensor, *, summed: bool) -> Tensor:
    """The standard error of the mean of corrected contributions, written out."""
    count = values.shape[1]
    centred = multipliers - multipliers.mean(1, keepdim=True)
    covariance = (centred * (references - references.mean(1, keepdim=True))).sum(1) / (count - 1)
    if summed:
        values, covariance = values.sum(2), covariance.sum(1)
    return (values.var(1) / count + (covariance / (count - 1)) ** 2).sqrt()


# ---- the formula


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shared", [False, True])
def test_results_are_those_of_the_pairs_written_out(rule: str, shared: bool) -> None:
    """Over batches of K rows, the last of which is padded."""
    x, references = one_hot(N), one_hot(R, seed=1) if shared else one_hot(N, R, seed=1)
    expected = torch.rand(N, 4, 20, dtype=D, generator=torch.Generator().manual_seed(2))
    explainer = DeepLift(Larger(), x[:K], rule=rule)
    pairs = explainer.attribute(x, references, 1, per_reference=True)
    every = references.expand(N, *references.shape) if shared else references
    values = by_hand(pairs.multipliers, x, every, expected)
    terms = values - pairs.contributions
    found = explainer.attribute(x, references, 1, expected_reference=expected.numpy())
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found.contributions, values.mean(1), **close)
    torch.testing.assert_close(
        found.hypothetical, (pairs.hypothetical + terms.sum(2, keepdim=True)).mean(1), **close
    )
    torch.testing.assert_close(found.multipliers, pairs.multipliers.mean(1), **close)
    torch.testing.assert_close(found.reference_correction, terms.mean(1).sum((1, 2)), **close)
    for error, summed in ((found.standard_error, False), (found.position_standard_error, True)):
        wanted = by_hand_error(values, pairs.multipliers, every, summed=summed)
        torch.testing.assert_close(error, wanted, **close)
    plain = explainer.attribute(x, references, 1)
    assert plain.reference_correction is None
    for name in ("output", "reference_output", "completeness_error", "prediction"):
        assert torch.equal(getattr(found, name), getattr(plain, name))


def test_sums_are_corrected_by_what_is_reported() -> None:
    x, references = one_hot(N).float(), one_hot(N, R, seed=1).float()
    expected = references.mean(1).roll(1, 2)
    found = DeepLift(Larger().float(), x[:K]).attribute(x, references, expected_reference=expected)
    explained = found.output - found.reference_output.mean(1) + found.completeness_error.mean(1)
    sums = found.contributions.sum((1, 2))
    torch.testing.assert_close(sums, explained + found.reference_correction, rtol=1e-4, atol=1e-6)
    assert (found.reference_correction.abs() > 1e-3).all()
    observed = (found.hypothetical * x).sum(1)
    torch.testing.assert_close(observed, found.contributions.sum(1), rtol=1e-4, atol=1e-6)


def test_several_targets_and_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.mix = Larger(), nn.Linear(7, 3).double()

        def forward(self, x: Tensor, signal: Tensor) -> Tensor:
            return torch.tanh(self.net(x) * self.mix(signal))

    generator = torch.Generator().manual_seed(4)
    x = one_hot(N), torch.randn(N, 7, dtype=D, generator=generator)
    references = one_hot(N, R, seed=1), torch.randn(N, R, 7, dtype=D, generator=generator)
    expected = references[0].mean(1), torch.zeros(N, 7, dtype=D)
    explainer = DeepLift(Two(), tuple(part[:K] for part in x))
    found = explainer.attribute_targets(x, references, [0, 2], expected_reference=expected)
    for target, result in zip((0, 2), found, strict=True):
        pairs = explainer.attribute(x, references, target, per_reference=True)
        total = torch.zeros(N, dtype=D)
        for place in range(2):
            values = by_hand(pairs.multipliers[place], x[place], references[place], expected[place])
            torch.testing.assert_close(result.contributions[place], values.mean(1))
            total += (values - pairs.contributions[place]).mean(1).flatten(1).sum(1)
        torch.testing.assert_close(result.reference_correction, total)
        assert result.position_standard_error[1] is None


def test_in_bfloat16_the_expectation_is_not_rounded() -> None:
    """A step of bfloat16 beside 0.25 is 0.001, which is no noise: it would be the same for all references."""
    x, references = one_hot(N), one_hot(N, R, seed=1)
    expected = torch.full((N, 4, 20), 0.2505)
    explainer = DeepLift(Larger(), x[:K], dtype=torch.bfloat16)
    pairs = explainer.attribute(x, references, per_reference=True)
    found = explainer.attribute(x, references, expected_reference=expected)
    assert found.contributions.dtype == found.standard_error.dtype == pairs.contributions.dtype
    values = by_hand(pairs.multipliers.float(), x.float(), references.float(), expected).mean(1)
    torch.testing.assert_close(found.contributions, values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": one_hot(N, 1, seed=1)}, "needs two references or more"),
        ({"expected_reference": torch.zeros(4, 20)}, r"has shape \(4, 20\); it must be that of x, \(5, 4, 2"),
        ({"per_reference": True}, "leave out per_reference="),
        ({"layer": "conv"}, "leave out layer="),
    ],
)
def test_options_that_contradict_each_other_are_refused(change: dict[str, object], message: str) -> None:
    given = {"references": one_hot(N, R, seed=1), "expected_reference": torch.zeros(N, 4, 20)} | change
    with pytest.raises(OptionError, match=message):
        DeepLift(Larger(), one_hot(K)).attribute(one_hot(N), **given)


# ---- expectations over all draws: a shuffle is drawn from the list of all, R times with replacement


def every_draw(text: str, kind: str, rule: str) -> tuple[Tensor, Tensor, Tensor]:
    """x [1, 4, L], all shuffles [S, 4, L] and the multipliers of the pairs [S, 4, L] of a small network."""
    x = torch.from_numpy(encode(text)).double()
    shuffles = torch.from_numpy(encode(*sorted(enumerate_shuffles(kind, text)))).double()
    explainer = DeepLift(Small(len(text)), x.expand(K, -1, -1), rule=rule)
    pairs = explainer.attribute(x, shuffles[None], 1, per_reference=True)
    return x, shuffles, pairs.multipliers[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("text", "kind", "count"),
    [("ACAGATACCA", "dinucleotide", 2), ("AACGTTACGAT", "dinucleotide", 2), ("AACG", "mononucleotide", 3)],
)
def test_the_mean_over_all_draws_is_that_of_all_shuffles(text: str, kind: str, count: int, rule: str) -> None:
    """Brute force: no bias, the variance that the docstring derives, and standard errors that cover it."""
    x, shuffles, multipliers = every_draw(text, kind, rule)
    draws = torch.tensor(list(product(range(len(shuffles)), repeat=count)))
    references, expected = shuffles[draws], shuffles.mean(0, keepdim=True)
    explainer = DeepLift(Small(len(text)), x.expand(64, -1, -1), rule=rule)
    everywhere = x.expand(len(draws), -1, -1), references
    found = explainer.attribute(*everywhere, 1, expected_reference=expected.expand(len(draws), -1, -1))
    plain = explainer.attribute(*everywhere, 1)
    exact = (multipliers * (x - shuffles)).mean(0)
    torch.testing.assert_close(found.contributions.mean(0), exact, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.hypothetical.mean(0), plain.hypothetical.mean(0), rtol=1e-9, atol=1e-12)
    delta = plain.output[0] - plain.reference_output.mean() + plain.completeness_error.mean()
    torch.testing.assert_close(found.contributions.sum((1, 2)).mean(), delta, rtol=1e-9, atol=1e-12)

    values = by_hand(multipliers[draws], x.expand(len(draws), -1, -1), references, expected)
    covariance = ((multipliers - multipliers.mean(0)) * (shuffles - expected[0])).mean(0)
    spread = values.var(1).mean(0) / count
    variance = found.contributions.var(0, correction=0)
    derived = spread + (covariance / (count - 1)) ** 2
    torch.testing.assert_close(variance, derived, rtol=1e-9, atol=1e-12)
    stated = (found.standard_error**2).mean(0)
    assert (stated >= variance * (1 - 1e-9) - 1e-12).all()


# ---- many seeds


LETTERS = "ACGTTGCAAGCATTACGGATCCATAGCA"
SEEDS = 400


@pytest.fixture(scope="module")
def over_seeds() -> dict[tuple[str, int], tuple[Tensor, Tensor, Tensor]]:
    """Contributions of positions, plain and corrected, and standard errors, [seeds, L], by kind and R."""
    x = torch.from_numpy(encode(LETTERS)).double()
    explainer = DeepLift(Small(len(LETTERS)), x.expand(50, -1, -1))
    found = {}
    for kind, count in (("dinucleotide", 5), ("dinucleotide", 20), ("mononucleotide", 10)):
        makers = [deeplift_references.make(kind, n_references=count, seed=seed) for seed in range(SEEDS)]
        rows = x.expand(SEEDS, -1, -1)
        references = np.concatenate([make(encode(LETTERS)) for make in makers])
        expected = np.concatenate([make.expected(encode(LETTERS)) for make in makers])
        plain = explainer.attribute(rows, references, 1)
        better = explainer.attribute(rows, references, 1, expected_reference=expected)
        found[kind, count] = (
            plain.contributions.sum(1),
            better.contributions.sum(1),
            better.position_standard_error,
        )
    return found


@pytest.mark.parametrize("case", [("dinucleotide", 5), ("dinucleotide", 20), ("mononucleotide", 10)])
def test_over_many_seeds(
    over_seeds: dict[tuple[str, int], tuple[Tensor, Tensor, Tensor]], case: tuple[str, int]
) -> None:
    """The same mean as without the control variate, less variance, and standard errors within 10 %."""
    plain, better, errors = over_seeds[case]
    difference = better - plain
    noise = difference.std(0) / SEEDS**0.5
    assert (difference.mean(0).abs() <= 4.5 * noise + 1e-12).all()
    total = difference.sum(1)
    assert total.mean().abs() <= 4 * total.std() / SEEDS**0.5
    assert better.var(0).sum() < plain.var(0).sum() / 1.2
    stated, true = (errors**2).mean(0).sum().sqrt(), better.var(0).sum().sqrt()
    assert 0.9 < float(stated / true) < 1.1
