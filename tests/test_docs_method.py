"""docs/method.md: links lead to the functions that the page names, and examples have the values it says."""

import ast
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

PAGE = Path(__file__).parents[1] / "docs" / "method.md"
LINKS = re.findall(r"\[`([\w.]+)`\]\(([^)#]+\.py)\)", PAGE.read_text())


def defined(source: Path) -> set[str]:
    """The functions and classes of a file, and the methods of the classes as ``Class.method``."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = set()
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, kinds):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, kinds)}
    return names


def test_there_are_links() -> None:
    assert len(LINKS) > 20


@pytest.mark.parametrize(("name", "path"), sorted(set(LINKS)))
def test_a_formula_leads_to_the_function_that_computes_it(name: str, path: str) -> None:
    assert name in defined((PAGE.parent / path).resolve())


def test_methods_without_a_link_of_their_own_exist() -> None:
    source = PAGE.parents[1] / "deeplift_core/rules/activation.py"
    named = set(re.findall(r"method `(\w+)`", PAGE.read_text()))
    assert named == {"_rescale", "_revealcancel"}
    assert {f"Activation.{name}" for name in named} <= defined(source)


class Saturation(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 - torch.relu(1 - x[:, :1] - x[:, 1:])


class Threshold(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x - 10)


class Minimum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] - torch.relu(x[:, :1] - x[:, 1:])


class Sigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("model", "rule", "x", "logits", "expected"),
    [
        (Saturation(), "rescale", [1.0, 1.0], True, [0.5, 0.5]),
        (Saturation(), "gradient", [1.0, 1.0], True, [0.0, 0.0]),
        (Threshold(), "rescale", [10.25], True, [0.25]),
        (Threshold(), "gradient", [10.25], True, [10.25]),
        (Minimum(), "rescale", [3.0, 1.0], True, [0.0, 1.0]),
        (Minimum(), "gradient", [3.0, 1.0], True, [0.0, 1.0]),
        (Minimum(), "integrated-gradients", [3.0, 1.0], True, [0.0, 1.0]),
        (Minimum(), "revealcancel", [3.0, 1.0], True, [0.5, 0.5]),
        (Sigmoid(), "rescale", [50.0, 0.0], False, [0.5, 0.0]),
        (Sigmoid(), "rescale", [100.0, 100.0], False, [0.25, 0.25]),
        (Sigmoid(), "rescale", [50.0, 0.0], True, [50.0, 0.0]),
        (Sigmoid(), "rescale", [100.0, 100.0], True, [100.0, 100.0]),
    ],
)
def test_the_examples_of_the_page(
    model: nn.Module, rule: str, x: list[float], logits: bool, expected: list[float]
) -> None:
    given = torch.tensor([x] * 2)
    result = DeepLift(model, given, rule=rule, logits=logits).attribute(given, torch.zeros(1, len(x)))
    assert isinstance(result.contributions, Tensor)
    torch.testing.assert_close(result.contributions[0], torch.tensor(expected))
