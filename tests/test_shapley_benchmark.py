"""The Shapley values of `benchmarks/shapley.py`, against the brute force of tests/test_core_shapley.py."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_core_shapley import shapley as by_all_orders
from torch import nn

pytest.importorskip("scipy")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
values = importlib.import_module("shapley_values")
benchmark = importlib.import_module("shapley")
networks = importlib.import_module("shapley_networks")

pytestmark = pytest.mark.usefixtures("one_thread")


def tiny_network() -> nn.Module:
    """A convolution, a max pool and two dense layers, from [N, 4, 8] to [N, 1]."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv1d(4, 5, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(),
        nn.Linear(15, 6), nn.Tanh(), nn.Linear(6, 1),
    )  # fmt: skip
    for parameter in net.parameters():
        parameter.data *= 3  # so that players interact
    return net.eval()


def two_sequences() -> tuple[np.ndarray, np.ndarray]:
    """A sequence and a reference that differ at six of eight positions, int8 [4, 8] each."""
    letters = np.eye(4, dtype=np.int8)
    return letters[[0, 1, 2, 3, 3, 0, 1, 2]].T, letters[[1, 0, 0, 3, 2, 2, 3, 2]].T


def of_hybrids(model: nn.Module, sequence: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shapley values of all positions from all orders of them; no code of the benchmark takes part."""

    def value(coalition: frozenset[int]) -> float:
        mixed = torch.from_numpy(reference).float()
        for position in coalition:
            mixed[:, position] = torch.from_numpy(sequence[:, position]).float()
        with torch.no_grad():
            return float(model(mixed[None])[0, 0])

    return np.array(by_all_orders(sequence.shape[1], value))


@pytest.mark.parametrize("channels_last", [False, True])
def test_exact_values_are_those_of_all_orders(channels_last: bool) -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return inner(x.transpose(1, 2))

    inner = tiny_network()
    sequence, reference = two_sequences()
    subject = networks.Subject(Last() if channels_last else inner, sequence[None], channels_last)
    found = benchmark.shapley_values(benchmark.Hybrids(subject), sequence, reference, 0)
    expected = of_hybrids(inner, sequence, reference)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-6)
    assert not found.values[[3, 7]].any()  # where both sequences have the same base
    assert np.abs(found.values).max() > 0.1


def test_sampled_values_are_within_their_standard_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = networks.Subject(tiny_network(), two_sequences()[0][None])
    hybrids = benchmark.Hybrids(subject)
    expected = benchmark.shapley_values(hybrids, *two_sequences(), 0).values
    few, many = (benchmark.shapley_values(hybrids, *two_sequences(), orders) for orders in (40, 640))
    for found in (few, many):
        players = found.differ
        distance = (found.values - expected)[players] / found.standard_error[players]
        assert np.abs(distance).max() < 4
    ratio = np.sqrt((few.standard_error**2).sum() / (many.standard_error**2).sum())
    assert 2.5 < ratio < 6  # the root of 16 is 4
    monkeypatch.setattr(values, "ROWS", 12)  # few coalitions at a time: the same numbers
    np.testing.assert_allclose(
        benchmark.shapley_values(hybrids, *two_sequences(), 40).values, few.values, rtol=0, atol=1e-6
    )


def test_orders_and_their_reverses_are_exact_for_interactions_of_two() -> None:
    """Of two players, one comes second in an order and first in the reverse."""
    generator = np.random.default_rng(0)
    single, double = generator.normal(size=9), np.triu(generator.normal(size=(9, 9)), 1)

    def game(coalitions: np.ndarray) -> np.ndarray:
        return coalitions @ single + ((coalitions @ double) * coalitions).sum(axis=1)

    expected = single + (double + double.T).sum(axis=1) / 2
    np.testing.assert_allclose(values.exact(game, 9), expected, rtol=0, atol=1e-12)
    found, errors = values.sampled(game, 9, 4, seed=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert errors.max() < 1e-12


def test_weights_of_many_players() -> None:
    """Of 18 players that need one another, each gets the same share."""
    found = values.exact(lambda coalitions: coalitions.all(axis=1).astype(float), values.MOST_PLAYERS)
    np.testing.assert_allclose(found, 1 / 18, rtol=1e-12)
    with pytest.raises(ValueError, match="not of 19"):
        values.exact(lambda coalitions: coalitions.sum(axis=1), 19)


def test_quick_run_fills_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- shapley: begin -->\nold\n<!-- shapley: end -->\nafter\n")
    command = ["shapley.py", "--quick", "--markdown", str(page), "dense", "global-maximum"]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    text = page.read_text()
    assert "old" not in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| global-maximum | 200 bp")]
    assert [len(row) - 2 for row in rows] == 3 * [len(benchmark.RULES)] + [3]  # three measures, and maxima
    assert "nan" not in text


def test_networks_of_the_page_are_those_of_the_benchmark() -> None:
    text = (ROOT / "docs" / "rules.md").read_text()
    _, begun, rest = text.partition("<!-- shapley: begin -->")
    table, ended, _ = rest.partition("<!-- shapley: end -->")
    assert begun
    assert ended
    for network in networks.NETWORKS.values():
        assert f"| {network.name} | {network.kind} | {network.what} |" in table
