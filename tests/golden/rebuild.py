"""Rebuild a golden case as a torch model.

    case = load("conv_dense_rescale")
    explained = case.model, case.x, case.references, case.target

Run as a program (``python tests/golden/rebuild.py``), this module checks each case against the vectors
stored beside it: the forward pass, and the original's own error of summation-to-delta.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One network with its inputs and references.

    Attributes
    ----------
    model : torch.nn.Module
        In eval mode: an nn.Sequential with named children, or a `Branching`.
    x : Tensor [N, F] or [N, C, L]
    references : Tensor [N, R, ...]
        R references for each input.
    target : tuple of str and int
        The layer whose output is explained, and the index of that output. Layers after this one are not
        explained.
    """

    model: nn.Module
    x: Tensor
    references: Tensor
    target: tuple[str, int]


@cache
def _manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text())
    return found


def names(role: str) -> list[str]:
    """Names of the cases of one role: "golden", "convention" or "quirk"."""
    return [item["name"] for item in _manifest()["cases"] if item["role"] == role]


def entry(name: str) -> dict[str, Any]:
    """What the manifest says of a case."""
    found: dict[str, Any] = next(item for item in _manifest()["cases"] if item["name"] == name)
    return found


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    """Every stored array of a case: weights, inputs, references and the original's results."""
    with np.load(FOLDER / f"{name}.npz") as data:
        return {key: data[key] for key in data.files}


class Branching(nn.Module):
    """A network whose layers may read any earlier output; "Concat" joins several on axis 1.

    Parameters
    ----------
    plan : sequence of (str, sequence of str)
        Each layer's name with the names of the outputs that the layer reads.
    layers : dict of str to torch.nn.Module
        The layers that have weights or settings: all but "Concat".
    """

    def __init__(self, plan: Sequence[tuple[str, Sequence[str]]], layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.plan = plan
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        seen = {"input": x}
        for name, sources in self.plan:
            if hasattr(self, name):
                seen[name] = getattr(self, name)(seen[sources[0]])
            else:
                seen[name] = torch.cat([seen[source] for source in sources], dim=1)
        return seen[self.plan[-1][0]]


def _layer(node: dict[str, Any], data: dict[str, np.ndarray]) -> nn.Module:
    layer: nn.Module = getattr(nn, node["type"])(**node["args"])
    with torch.no_grad():
        for key, stored in node["params"].items():
            getattr(layer, key).copy_(torch.from_numpy(data[stored]))
    return layer


def _model(item: dict[str, Any], data: dict[str, np.ndarray]) -> nn.Module:
    nodes = item["nodes"]
    layers = OrderedDict((node["name"], _layer(node, data)) for node in nodes if node["type"] != "Concat")
    chain = ["input", *(node["name"] for node in nodes)]
    if all(node["inputs"] == [before] for node, before in zip(nodes, chain, strict=False)):
        return nn.Sequential(layers)
    return Branching([(node["name"], node["inputs"]) for node in nodes], layers)


def load(name: str, dtype: torch.dtype = torch.float64) -> Case:
    """A case with its model, inputs and references in one precision."""
    item, data = entry(name), arrays(name)
    x, references = (torch.tensor(data[key], dtype=dtype) for key in ("x", "ref"))
    target = item["target"]["layer"], item["target"]["index"]
    return Case(_model(item, data).to(dtype).eval(), x, references, target)


def _forward_to(model: nn.Module, x: Tensor, layer: str) -> Tensor:
    """The output of one layer."""
    caught: list[Tensor] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda module, args, out: caught.append(out))
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
    return caught[0]


def difference_of_forward_passes(name: str) -> float:
    """Largest difference of the model's forward pass from the original's, in float64 and in float32."""
    stored, worst = arrays(name), 0.0
    for dtype, suffix in ((torch.float64, ""), (torch.float32, "_f32")):
        case = load(name, dtype)
        leading, flat = case.references.shape[:2], case.references.flatten(0, 1)
        with torch.no_grad():
            found = {
                "target_x": _forward_to(case.model, case.x, case.target[0]),
                "target_ref": _forward_to(case.model, flat, case.target[0]).unflatten(0, leading),
                "output_x": case.model(case.x),
                "output_ref": case.model(flat).unflatten(0, leading),
            }
        for key, value in found.items():
            worst = max(worst, float(np.abs(value.numpy() - stored[key + suffix]).max()))
    return worst


def completeness_of_the_original(name: str) -> float:
    """By how much the original's contributions miss summation-to-delta, over all pairs."""
    stored, index = arrays(name), entry(name)["target"]["index"]
    delta = stored["target_x"][:, None, index] - stored["target_ref"][:, :, index]
    total = stored["contributions"].reshape(*delta.shape, -1).sum(-1)
    return float(np.abs(total - delta).max())


def main() -> None:
    """Print the two checks of every case, and fail if one of them does not hold."""
    failed = False
    for item in _manifest()["cases"]:
        forward = difference_of_forward_passes(item["name"])
        completeness = completeness_of_the_original(item["name"])
        right = forward < 1e-5 and abs(completeness - item["completeness"]["float64"]) < 1e-9
        failed |= not right
        print(f"{item['name']:<48} forward {forward:.1e}  completeness {completeness:.1e}  {right}")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
