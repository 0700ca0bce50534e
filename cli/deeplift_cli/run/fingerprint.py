"""What makes two runs the same job, so that one can resume the other, or be merged with it."""

from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import deeplift_references
from deeplift_cli.distribution import deeplift_version
from deeplift_cli.options.chromosome_styles import STYLES
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.file_digest import file_digest

MODEL = "the model"  # what folds of a cross-validation may differ in


def fingerprint(options: ScoreOptions, model_sha256: str, device: str) -> dict[str, Any]:
    """Everything that a score depends on, each by a name that the user knows.

    Files count by their content, a genome by its size: its sequences are compared as they are read. An option
    counts by its value where its field in `ScoreOptions` does not say otherwise, so that a new one counts.
    Threads do not count: they change scores by rounding only.

    Parameters
    ----------
    options : ScoreOptions
    model_sha256 : str
    device : str
        The kind that is computed on, such as "cpu".
    """
    told = options.as_attributes()
    found: dict[str, Any] = {}
    for item in fields(options):
        counts = item.metadata.get("counts", "value")
        path = getattr(options, item.name)
        if counts == "value":
            found[_flag(item.name)] = told[item.name]
        elif counts == "content" and path is not None:
            found[item.metadata["what"]] = _digest(path)
    found |= {"the kind of device": device, MODEL: f"sha256:{model_sha256}"}
    kind, argument = deeplift_references.parse_spec(options.reference)
    found["--reference"] = told["reference"]
    if kind.takes_argument and argument:
        found["--reference"] = kind.name
        found["the file of references"] = _digest(Path(argument))
    renaming = options.rename_chroms
    found["--rename-chroms"] = renaming
    if renaming is not None and renaming not in STYLES:
        found["--rename-chroms"] = "FILE"
        found["the file of chromosome names"] = _digest(Path(renaming))
    found |= {_flag(name): value for name, value in options.format_options}
    if options.genome is not None:
        found["the size of the genome"] = options.genome.stat().st_size
    return found | {"the version of deeplift": deeplift_version(), "the version of torch": version("torch")}


def _flag(key: str) -> str:
    """An option's name on the command line."""
    singular = {"targets": "target", "layer_rules": "layer_rule"}.get(key, key)
    return f"--{singular.replace('_', '-')}"


def _digest(path: Path) -> str:
    """Of a file that may be missing: who reads it says so better."""
    return f"sha256:{file_digest(path)}" if path.is_file() else "missing"
