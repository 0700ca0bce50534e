"""The fingerprint of a job: two runs with equal fingerprints can resume each other, or be merged."""

from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import deeplift_references
from deeplift_cli.distribution import deeplift_version
from deeplift_cli.extensions import versions
from deeplift_cli.options.chromosome_styles import STYLES
from deeplift_cli.options.further_inputs import file_in, number_in
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.file_digest import file_digest

MODEL = "the model"  # the only entry in which folds of a cross-validation may differ
# Extensions of these kinds, from other packages, can change any score.
_CHANGING_SCORES = ("deeplift.rules", "deeplift.references", "deeplift.models")


def fingerprint(options: ScoreOptions, models: Sequence[str], device: str) -> dict[str, Any]:
    """Return everything that a score depends on, by names that the user knows.

    A file counts by its content. A genome counts by its size, since its sequences are compared when they are
    read. An option counts by its value unless its field in `ScoreOptions` says otherwise, so that every new
    option counts. The number of threads does not count, since it changes scores by rounding only.

    Parameters
    ----------
    options : ScoreOptions
    models : sequence of str
        The SHA-256 of the model, or of each fold in the order in which they are averaged.
    device : str
        The kind of device that computes the scores, such as "cpu".
    """
    attributes = options.as_attributes()
    counted: dict[str, Any] = {}
    for item in fields(options):
        counts = item.metadata.get("counts", "value")
        path = getattr(options, item.name)
        if counts == "value":
            counted[_flag(item.name)] = attributes[item.name]
        elif counts == "content" and path is not None:
            counted[item.metadata["what"]] = _digest(path)
    digests = [f"sha256:{digest}" for digest in models]
    counted |= {"the kind of device": device, MODEL: digests if len(digests) > 1 else digests[0]}
    counted["--reference"] = attributes["reference"]
    if options.reference is not None:
        kind, argument = deeplift_references.parse_spec(options.reference)
        if kind.takes_argument and argument:
            counted["--reference"] = kind.name
            counted["the file of references"] = _digest(Path(argument))
    renaming = options.rename_chroms
    counted["--rename-chroms"] = renaming
    if renaming is not None and renaming not in STYLES:
        counted["--rename-chroms"] = "FILE"
        counted["the file of chromosome names"] = _digest(Path(renaming))
    counted |= {_flag(name): value for name, value in options.format_options}
    inputs = sorted(options.further_inputs)
    numbers = ((name, number_in(value)) for name, value in inputs)
    counted["--input"] = [f"{name}={'FILE.npy' if value is None else value}" for name, value in numbers]
    files = ((name, file_in(value)) for name, value in inputs)
    counted |= {values_of_input(name): _digest(path) for name, path in files if path is not None}
    if options.genome is not None:
        counted["the size of the genome"] = options.genome.stat().st_size
    packages = {"deeplift": deeplift_version(), "torch": version("torch")} | versions(*_CHANGING_SCORES)
    return counted | {f"the version of {name}": release for name, release in packages.items()}


def values_of_input(name: str) -> str:
    """Return the name under which the content of a further input's file counts."""
    return f"the values of input {name}"


def _flag(key: str) -> str:
    """Return an option's name on the command line."""
    singular = {"targets": "target", "layer_rules": "layer_rule"}.get(key, key)
    return f"--{singular.replace('_', '-')}"


def _digest(path: Path) -> str:
    """Return the digest of a file, or "missing"; the code that reads the file reports a missing file."""
    return f"sha256:{file_digest(path)}" if path.is_file() else "missing"
