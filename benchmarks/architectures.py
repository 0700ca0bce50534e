"""Score published architectures and print what comes out as markdown tables.

    python benchmarks/architectures.py [--markdown docs/architectures.md] [NAME ...]

The architectures are those of `tests/published`: small, with random weights (except the trained TETSS2), each
after its paper or made by its package. Every head is explained in float32 and float64 under both presets, on
one thread so that times can be compared. tangermeme gets the same models, sequences and references.
`--markdown` puts the tables into that page, between its two marks.
"""

import argparse
import contextlib
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pages import insert, table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from published import ARCHITECTURES, Architecture, Head

from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import relative_error

RULES = ("rescale", "genomics-default")
SEQUENCES, REFERENCES, BATCH = 8, 10, 4
NOT_RULES = {"input", "part of another", "not used"}


@dataclass(frozen=True)
class Case:
    """An architecture's model, sequences and references; one tensor for each input."""

    architecture: Architecture
    model: nn.Module
    x: tuple[Tensor, ...]
    references: tuple[Tensor, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> "Case":
        """Made with fixed seeds."""
        x = architecture.inputs(SEQUENCES)
        return cls(architecture, architecture.make(), x, architecture.references(x, REFERENCES))

    def explainer(self, head: Head, dtype: torch.dtype = torch.float32) -> DeepLift:
        """Recorded once; `with_rule` gives the other presets."""
        example = tuple(value[:BATCH] for value in self.x)
        return DeepLift(self.model, _one(example), output=head.output, dtype=dtype)


def _one(values: tuple[Tensor, ...]) -> Any:
    return values if len(values) > 1 else values[0]


# ---- this package


def describe(case: Case) -> list[str]:
    """Row of the first table."""
    found = case.explainer(case.architecture.heads[0])
    rules = Counter(rule for node in found.nodes for rule in node.rule.split(", ") if rule not in NOT_RULES)
    parameters = sum(parameter.numel() for parameter in case.model.parameters())
    shapes = " and ".join("x".join(map(str, shape)) for shape in case.architecture.shapes)
    return [
        *(case.architecture.name, case.architecture.paper, case.architecture.source, shapes),
        *(f"{parameters:,}", f"{len(found.nodes):,}", ", ".join(rule for rule, _ in rules.most_common())),
    ]


def measure(case: Case, head: Head) -> list[str]:
    """Row of the second table: one head."""
    print(f"{case.architecture.name}, {head.name}", file=sys.stderr)
    errors, seconds = [], 0.0
    for dtype in (torch.float32, torch.float64):
        explainer = case.explainer(head, dtype)
        for rule in RULES:
            found = explainer.with_rule(rule)
            start = time.perf_counter()
            result = found.attribute(_one(case.x), _one(case.references), head.target, per_reference=True)
            errors.append(f"{_worst(result):.1e}")
            if (dtype, rule) == (torch.float32, RULES[1]):
                seconds = time.perf_counter() - start
    pair = f"{1000 * seconds / (SEQUENCES * REFERENCES):.1f}"
    return [case.architecture.name, head.name, *errors, pair, by_tangermeme(case, head)]


def _worst(result: Any) -> float:
    """Largest relative error of the sums of the contributions that were returned."""
    given = result.contributions
    flat = [values.flatten(2) for values in (given if isinstance(given, tuple) else (given,))]
    total = sum(values.sum(2, dtype=torch.float64) for values in flat)
    delta = result.output.double()[:, None] - result.reference_output.double()
    return float(relative_error(total - delta, result.output, result.reference_output).max())


# ---- tangermeme


class Scalar(nn.Module):
    """The explained element of one output, from sequences [N, 4, L]: what tangermeme takes."""

    def __init__(self, case: Case, head: Head) -> None:
        super().__init__()
        self.model, self.head = case.model, head
        self.shape = case.architecture.shapes[0]

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """The head's element of each row, [N, 1]."""
        axis = 1 + self.shape.index(4)
        rest = [size for size in self.shape if size != 4]
        value = self.model(x.unflatten(2, rest).movedim(1, axis), *others)
        if not isinstance(value, Tensor):
            value = value[self.head.output]
        place = self.head.target if isinstance(self.head.target, tuple) else (self.head.target,)
        return value[(slice(None), *place)][:, None]


def by_tangermeme(case: Case, head: Head) -> str:
    """Its worst relative error in float32, or why there is none."""
    axis = 1 + case.architecture.shapes[0].index(4)
    x = case.x[0].movedim(axis, 1).flatten(2)
    references = case.references[0].movedim(axis + 1, 2).flatten(3)
    model = Scalar(case, head).eval()
    others = case.x[1:]
    # Compiled code does not run the hooks of tangermeme: the authors of cherimoya ask for an eager model.
    with torch.compiler.set_stance("force_eager"):
        try:
            multipliers = _tangermeme_multipliers(case.architecture, model, x, references, others)
        except Exception as error:  # noqa: BLE001 - whatever a model makes it raise is what is reported
            return f"{type(error).__name__}"
        with torch.no_grad():
            output = model(x, *others)[:, 0]
            reference_output = torch.stack([model(r, *others)[:, 0] for r in references.unbind(1)], 1)
    total = ((x[:, None] - references) * multipliers).flatten(2).sum(2, dtype=torch.float64)
    delta = output.double()[:, None] - reference_output.double()
    return f"{float(relative_error(total - delta, output, reference_output).max()):.1e}"


def _tangermeme_multipliers(
    architecture: Architecture, model: nn.Module, x: Tensor, references: Tensor, others: tuple[Tensor, ...]
) -> Tensor:
    from tangermeme.deep_lift_shap import deep_lift_shap

    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        found: Tensor = deep_lift_shap(
            model,
            x,
            args=others or None,
            references=references,
            additional_nonlinear_ops=_nonlinear_of_package(architecture.package),
            raw_outputs=True,
            device="cpu",
        )
    return found


def _nonlinear_of_package(package: str | None) -> dict[type[nn.Module], Callable[..., Any]] | None:
    """The nonlinear modules that bpnet-lite and cherimoya pass to tangermeme with their models."""
    if package == "cherimoya":
        from cherimoya.deep_lift_shap import attribution_ops

        found: dict[type[nn.Module], Callable[..., Any]] = attribution_ops()
        return found
    if package != "bpnet-lite":
        return None
    from bpnetlite.bpnet import _ProfileLogitScaling
    from bpnetlite.chrombpnet import _Exp, _Log
    from tangermeme.deep_lift_shap import _nonlinear

    return dict.fromkeys((_ProfileLogitScaling, _Log, _Exp), _nonlinear)


# ---- the page


def report(names: list[str]) -> str:
    """Everything, as markdown."""
    missing = {name: ARCHITECTURES[name].missing for name in names if ARCHITECTURES[name].missing}
    cases = [Case.of(ARCHITECTURES[name]) for name in names if name not in missing]
    what = "architecture|paper|layers after|inputs|parameters|operations|rules"
    errors = (
        "architecture|explained|float32, rescale|float32, genomics-default|float64, rescale|"
        "float64, genomics-default|ms a pair|tangermeme, float32"
    )
    parts = [
        "### Architectures",
        table(what, map(describe, cases)),
        "### Summation-to-delta, worst relative error",
        table(errors, (measure(case, head) for case in cases for head in case.architecture.heads)),
        *(f"{name}: {reason}." for name, reason in missing.items()),
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Score published architectures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="architectures; all if none is named")
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = report(options.names or list(ARCHITECTURES))
    print(text)
    if options.markdown:
        insert(options.markdown, text)


if __name__ == "__main__":
    main()
