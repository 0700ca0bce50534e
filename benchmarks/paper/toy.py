"""The toy networks of figures 1 to 3, and the sigmoid of section 3.6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deeplift_core import DeepLift

RULES = {"gradient x input": "gradient", "Rescale": "rescale", "RevealCancel": "revealcancel"}
GRADIENT, BIAS = "gradient", "the bias"
POINTS = 241


class Saturating(nn.Module):
    """Figure 1: o = 1 - ReLU(1 - (i1 + i2)), which does not change once i1 + i2 exceeds 1.

    With a single input, 1 - ReLU(1 - x). Input [N, inputs], output [N, 1].
    """

    def forward(self, x: Tensor) -> Tensor:
        return 1 - torch.relu(1 - x.sum(dim=1, keepdim=True))


class Thresholded(nn.Module):
    """Figure 2: y = ReLU(x - 10)."""

    bias = -10.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.bias)


class Minimum(nn.Module):
    """Figure 3: o = i1 - ReLU(i1 - i2) = min(i1, i2)."""

    def __init__(self) -> None:
        super().__init__()
        self.difference = nn.Linear(2, 1, bias=False)
        self.total = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.difference.weight.copy_(torch.tensor([[1.0, -1.0]]))
            self.total.weight.copy_(torch.tensor([[1.0, -1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        o: Tensor = self.total(torch.cat([x[:, :1], torch.relu(self.difference(x))], dim=1))
        return o


class SigmoidOfSum(nn.Module):
    """Section 3.6: the sigmoid of x1 + x2."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.sum(dim=1, keepdim=True))


@dataclass(frozen=True)
class Curves:
    """Importance as a function of an input.

    Attributes
    ----------
    title : str
    varied : str
        Name of the input on the horizontal axis.
    at : list of float
        Its values; the reference of every input is 0.
    output : list of float
    importance : mapping of str to mapping of str to list of float
        The importance, by the input's name and by method.
    """

    title: str
    varied: str
    at: list[float]
    output: list[float]
    importance: dict[str, dict[str, list[float]]]


def curves() -> dict[str, Curves]:
    """Compute the curves of figures 1 to 3."""
    line = torch.linspace(0, 2, POINTS, dtype=torch.float64)[:, None]
    half, one = torch.full_like(line, 0.5), torch.ones_like(line)
    return {
        "saturation in one input": _curves("y = 1 - ReLU(1 - x)", Saturating(), line, ["x"]),
        "saturation": _curves(
            "figure 1: o = 1 - ReLU(1 - i1 - i2), i2 = 0.5",
            Saturating(),
            torch.cat([line, half], 1),
            ["i1", "i2"],
        ),
        "thresholding": _curves("figure 2: y = ReLU(x - 10)", Thresholded(), 10 * line, ["x"]),
        "minimum": _curves(
            "figure 3: o = min(i1, i2), i2 = 1", Minimum(), torch.cat([line, one], 1), ["i1", "i2"]
        ),
    }


# For the table: in each network, a value of the varied input.
_AT = {
    "saturation in one input": (0.5, 1.5),
    "saturation": (0.25, 1.5),
    "thresholding": (9.5, 10.5, 15.0),
    "minimum": (0.5, 1.5),
}


def at_points(curves: Mapping[str, Curves]) -> list[dict[str, float | str]]:
    """Return the importance at a few points of each curve, one row for each input."""
    methods = [GRADIENT, *RULES]
    rows: list[dict[str, float | str]] = []
    for name, points in _AT.items():
        found = curves[name]
        for point in points:
            place = min(range(len(found.at)), key=lambda i: abs(found.at[i] - point))
            for quantity, lines in found.importance.items():
                row: dict[str, float | str] = {
                    "network": found.title,
                    "at": f"{found.varied} = {point:g}",
                    "output": found.output[place],
                    "importance of": quantity,
                }
                for method in methods:
                    row[method] = lines[method][place] if method in lines else ""
                rows.append(row)
    return rows


def _curves(title: str, network: nn.Module, x: Tensor, names: Sequence[str]) -> Curves:
    network = network.double()
    reference = torch.zeros(1, len(names), dtype=torch.float64)
    importance: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    output: list[float] = []
    for method, rule in RULES.items():
        found = DeepLift(network, x, rule=rule).attribute(x, reference)
        output = found.output.tolist()
        for column, name in enumerate(names):
            if rule == "gradient":
                importance[name][GRADIENT] = found.multipliers[:, column].tolist()
            importance[name][method] = found.contributions[:, column].tolist()
    if isinstance(network, Thresholded):
        # The gradient with respect to the bias is the gradient with respect to x.
        gradients = importance[names[0]][GRADIENT]
        importance[BIAS] = {"gradient x input": [network.bias * gradient for gradient in gradients]}
    return Curves(title, names[0], x[:, 0].tolist(), output, importance)


def sigmoid_example() -> list[dict[str, float | str]]:
    """Contributions of x1 and x2 to sigmoid(x1 + x2) and to its logit, reference 0 (section 3.6)."""
    x = torch.tensor([[50.0, 0.0], [100.0, 100.0]], dtype=torch.float64)
    reference = torch.zeros(1, 2, dtype=torch.float64)
    rows: list[dict[str, float | str]] = []
    for logits in (False, True):
        found = DeepLift(SigmoidOfSum().double(), x, rule="rescale", logits=logits).attribute(x, reference)
        for given, scores in zip(x.tolist(), found.contributions.tolist(), strict=True):
            rows.append(
                {
                    "explained": "logit" if logits else "sigmoid",
                    "x1": given[0],
                    "x2": given[1],
                    "contribution of x1": scores[0],
                    "contribution of x2": scores[1],
                }
            )
    return rows
