"""Rules from outside the package: by the decorator, as docs/rules.md shows it, and by entry points."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deeplift_core import DeepLift, OptionError, UnsupportedOpsError
from deeplift_core.rules import registry

DOCUMENTED = Path(__file__).parents[1] / "docs" / "rules.md"


@torch.library.custom_op("deeplift_tests::soften", mutates_args=())
def soften(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + x.abs())


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv1d(4, 3, 3), nn.Linear(18, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(torch.ops.deeplift_tests.soften(self.conv(x)).flatten(1))


@pytest.fixture
def _rules_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))


@pytest.mark.usefixtures("_rules_as_they_were")
def test_the_documented_example_makes_an_unknown_operation_exact() -> None:
    x = torch.eye(4)[torch.randint(4, (3, 8), generator=torch.Generator().manual_seed(1))].mT.double()
    with pytest.raises(UnsupportedOpsError, match="soften"):
        DeepLift(Model().double(), x)
    found = re.search(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    assert found
    exec(compile(found[1], "docs/rules.md", "exec"), {})
    explainer = DeepLift(Model().double(), x)
    assert "soften" in {node.rule for node in explainer.nodes}
    result = explainer.attribute(x, x.flip(2)[:, None])
    assert result.contributions.abs().max() > 1e-3
    assert result.completeness_error.abs().max() < 1e-12


@pytest.mark.usefixtures("_rules_as_they_were")
def test_an_operation_has_one_rule() -> None:
    with pytest.raises(ValueError, match="convolution already has a rule"):
        registry.rule_for("convolution")(registry._RULES["mm"])


def test_an_entry_point_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("mine", "no_such_package_of_rules", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    registry.load_rules_of_other_packages.cache_clear()
    with pytest.raises(OptionError, match="no_such_package_of_rules"):
        registry.load_rules_of_other_packages()
    registry.load_rules_of_other_packages.cache_clear()
