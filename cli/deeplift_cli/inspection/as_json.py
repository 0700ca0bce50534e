"""An inspection as JSON; docs/inspect.md says what each key means."""

import json
import math
from dataclasses import asdict
from typing import Any

import torch

from deeplift_cli.distribution import deeplift_version
from deeplift_cli.inspection.findings import Cost, InputForm, Inspection
from deeplift_cli.models import TensorSpec

FORMAT_VERSION = 1
REFERENCES = 20  # the default of `deeplift score`


def as_json(found: Inspection) -> str:
    """Return the whole inspection as one JSON object."""
    return json.dumps(_plain(found), indent=2, allow_nan=False)


def _plain(found: Inspection) -> dict[str, Any]:
    recording = found.recording
    return {
        "format": "deeplift-inspection",
        "format_version": FORMAT_VERSION,
        "versions": {"deeplift": deeplift_version(), "torch": str(torch.__version__)},
        "can_be_scored": found.can_be_scored,
        "problems": found.problems,
        "command": found.command,
        "model": {
            "path": str(found.model.path),
            "format": found.model.format,
            "sha256": found.model.sha256,
            "parameters": found.parameters,
            "notes": list(found.model.notes),
        },
        "inputs": [_tensor(spec) for spec in found.inputs],
        "further_inputs": {} if found.model.further is None else dict(found.model.further.given),
        "outputs": [_tensor(spec) for spec in found.outputs],
        **_form(found),
        "explained": recording
        and {
            "output": recording.output,
            "shape": list(recording.output_shape),
            "is_logit": recording.explains_logit,
            "notes": recording.notes,
        },
        "classes": found.classes and asdict(found.classes),
        "heads": found.heads,
        "operations": recording and [asdict(operation) for operation in recording.operations],
        "unsupported": recording and [operation.name for operation in recording.unsupported],
        "cost": found.cost and _cost(found.cost, found.form),
        "self_check": [
            asdict(item)
            | {
                "holds": item.holds,
                "worst_relative_error": _finite(item.worst_relative_error),
                "largest_difference": _finite(item.largest_difference),
            }
            for item in found.checks
        ],
    }


def _form(found: Inspection) -> dict[str, Any]:
    form = found.form
    if form is None:
        return {"layout": None, "length": None}
    return {
        "layout": {
            "name": form.layout.name,
            "alphabet": form.layout.alphabet,
            "reason": form.layout_reason,
        },
        "length": {
            "used": form.length,
            "reason": form.length_reason,
            "takes_any_length": form.takes_any_length,
        },
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = None if spec.shape is None else list(spec.shape)
    return {"name": spec.name, "shape": shape, "dtype": spec.dtype}


def _cost(cost: Cost, form: InputForm | None) -> dict[str, Any]:
    return asdict(cost) | {
        "references": REFERENCES,
        "scoring_seconds": cost.scoring_seconds(REFERENCES),
        "mutagenesis_seconds": None if form is None else cost.mutagenesis_seconds(form.length),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
