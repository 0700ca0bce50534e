"""Scores of a small dense network by this package, and by captum for the methods that captum has, too."""

import warnings

import torch
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import GuidedBackprop, IntegratedGradients, Saliency
from torch import Tensor, nn

from deeplift_core import DeepLift
from paper.methods import gradients

STEPS = 50


class SmallNet(nn.Module):
    """Three inputs, five hidden units with ReLU, one output: the size of a tutorial's network."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 5)
        self.relu = nn.ReLU()
        self.out = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.relu(self.hidden(x)))
        return output

    def logits(self, x: Tensor) -> Tensor:
        """Return the output, which is no probability."""
        output: Tensor = self(x)
        return output


def compare(rows: int = 100) -> list[dict[str, float | str]]:
    """Compare the methods on random inputs with a random reference each, in float64.

    Returns
    -------
    list of dict
        For each method, the contributions of the first input by this package and by captum, and the largest
        difference over all inputs.
    """
    torch.manual_seed(0)
    network = SmallNet().double()
    x, references = torch.randn(2, rows, 3, dtype=torch.float64)
    ours = DeepLift(network, x)

    def by_rule(rule: str) -> Tensor:
        contributions: Tensor = ours.with_rule(rule).attribute(x, references[:, None]).contributions
        return contributions

    theirs = _captum(network, x, references)
    pairs = {
        "gradient x difference": by_rule("gradient"),
        f"integrated gradients {STEPS}": by_rule(f"integrated-gradients:{STEPS}"),
        "guided backprop": gradients(network, x, [0], guided=True)[0],
        "Rescale": by_rule("rescale"),
        "RevealCancel": by_rule("revealcancel"),
    }
    found: list[dict[str, float | str]] = []
    for method, own in pairs.items():
        row: dict[str, float | str] = {"method": method, "this package": _written(own)}
        if method in theirs:
            row["captum"] = _written(theirs[method])
            row["largest difference"] = float((own - theirs[method]).abs().max())
        else:
            row |= {"captum": "not available", "largest difference": ""}
        found.append(row)
    return found


def _captum(network: SmallNet, x: Tensor, references: Tensor) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        # captum announces its hooks, and that it lets the inputs require gradients.
        warnings.simplefilter("ignore", UserWarning)
        gradient = Saliency(network).attribute(x, target=0, abs=False)
        integrated = IntegratedGradients(network).attribute(
            x, references, target=0, n_steps=STEPS, method="riemann_middle"
        )
        guided = GuidedBackprop(network).attribute(x, target=0)
        rescale = CaptumDeepLift(network).attribute(x, references, target=0)
    found = {
        "gradient x difference": gradient * (x - references),
        f"integrated gradients {STEPS}": integrated,
        "guided backprop": guided,
        "Rescale": rescale,
    }
    return {method: scores.detach() for method, scores in found.items()}


def _written(scores: Tensor) -> str:
    return ", ".join(f"{value:+.4f}" for value in scores[0].tolist())
