"""The examples in docs/ of a preset, a pass and a kind of reference, run as the pages have them.

tests/test_core_own_rules.py runs the example of a rule.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import deeplift_core.passes
import deeplift_references
from deeplift_core import DeepLift, OptionError
from deeplift_core.assignment import presets
from deeplift_references import generators
from deeplift_references import registry as references

DOCS = Path(__file__).parents[1] / "docs"
D = torch.float64


def block(page: str, section: str) -> str:
    """The first Python block of a section."""
    text = (DOCS / page).read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def one_hot(rows: int, length: int, seed: int) -> Tensor:
    letters = torch.randint(4, (rows, length), generator=torch.Generator().manual_seed(seed))
    return nn.functional.one_hot(letters, 4).mT.to(D)


class Model(nn.Module):
    """A convolution, ``function`` of its result [N, 6, 10], and a head that reads so many features."""

    def __init__(self, function: Callable[[Tensor], Tensor], features: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv1d(4, 6, 3), function
        self.head, self.head_act, self.last = nn.Linear(features, 5), nn.ReLU(), nn.Linear(5, 1)
        self.double()

    def forward(self, x: Tensor) -> Any:
        return self.last(self.head_act(self.head(self.function(self.conv(x)).flatten(1))))


def test_the_documented_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """It chooses what the same choice by layer rules chooses; before registration its name is refused."""
    monkeypatch.setattr(presets, "_PRESETS", dict(presets._PRESETS))
    x = one_hot(3, 12, 0)
    model = Model(lambda h: nn.functional.max_pool1d(torch.relu(h), 5), features=12)
    name = "revealcancel-in-the-head"
    with pytest.raises(OptionError, match=f"unknown rule '{name}'"):
        DeepLift(model, x, rule=name)
    exec(compile(block("rules.md", "Adding a preset"), "docs/rules.md", "exec"), {})
    explainer = DeepLift(model, x, rule=name)
    rules = [node.rule for node in explainer.nodes]
    assert (rules.count("rescale"), rules.count("revealcancel")) == (1, 1)
    assert "aumann-shapley" in rules
    by_layer = explainer.with_rule("rescale", {"head*": "revealcancel", "": "aumann-shapley"})
    found, expected = (one.attribute(x, x.flip(2)[:, None]) for one in (explainer, by_layer))
    assert torch.equal(found.contributions, expected.contributions)
    assert found.completeness_error.abs().max() < 1e-12


def test_the_documented_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It changes no score, and the values of the argument are no longer kept."""
    (tmp_path / "reciprocals.py").write_text(block("rules.md", "Adding a pass"))
    monkeypatch.setattr(deeplift_core.passes, "__path__", [*deeplift_core.passes.__path__, str(tmp_path)])
    x = one_hot(3, 12, 0)
    model = Model(lambda h: (h.square().mean(2) + 1).reciprocal(), features=6)
    plain, closed = (DeepLift(model, x, "rescale", passes=names) for names in ((), ("reciprocals",)))
    one, other = (explainer.attribute(x, x.flip(2)[:, None]) for explainer in (plain, closed))
    torch.testing.assert_close(one.contributions, other.contributions, rtol=1e-10, atol=1e-14)
    assert one.contributions.abs().max() > 1e-3
    assert closed.bytes_per_row < plain.bytes_per_row
    everything = DeepLift(model, x, "rescale").attribute(x, x.flip(2)[:, None])
    torch.testing.assert_close(one.contributions, everything.contributions, rtol=1e-10, atol=1e-14)


def test_the_documented_kind_of_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rotated.py").write_text(block("references.md", "Adding a kind"))
    monkeypatch.setattr(generators, "__path__", [*generators.__path__, str(tmp_path)])
    monkeypatch.setattr(references, "_KINDS", dict(references._KINDS))
    references.import_generators()
    assert deeplift_references.kinds()["rotated"].usage == "rotated:STEP"
    sequences = one_hot(2, 10, 0).to(torch.int8).numpy()
    sequences[0, :, 3] = 0
    made = deeplift_references.make("rotated:2", n_references=3)(sequences)
    assert made.shape == (2, 3, 4, 10)
    assert made.dtype == np.float32
    for place in range(10):
        there = (place - 2 * 3) % 10
        assert np.array_equal(made[1, 2, :, place], sequences[1, :, there])
    assert not made[0, :, :, 3].any()
    with pytest.raises(deeplift_references.ReferenceSpecError, match="rotated:far"):
        deeplift_references.make("rotated:far")


def test_the_documented_use_of_references() -> None:
    page = (DOCS / "references.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(compile(found[1], "docs/references.md", "exec"), names)
    assert names["references"].shape == (1, 20, 4, 8)
    assert (names["references"].sum(2) == 1).all()
