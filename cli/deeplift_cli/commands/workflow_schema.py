"""The options of `deeplift score` as the workflow's configuration takes them, as JSON schema.

`workflow/schemas/config.schema.yaml` holds them, because Snakemake may run where deeplift is not installed. A
test compares both, so that a new option or choice is in the schema, too.
"""

from typing import Any

import click

import deeplift_references
from deeplift_cli.commands.further_options import options_of_own_model_formats
from deeplift_cli.commands.score import command
from deeplift_cli.outputs import overlaps
from deeplift_core import RULES

# Options that the workflow gives itself: what is scored, where files go, how jobs are shared and run.
_BY_THE_WORKFLOW = frozenset(
    {
        "model", "fasta", "genome", "regions", "out", "bigwig", "chrom_sizes", "targets", "overlap",
        "save_references", "max_completeness_error", "batch_size", "device", "threads", "shard", "resume",
        "overwrite", "quiet", "verbose",
    }
)  # fmt: skip


def score_settings() -> dict[str, dict[str, Any]]:
    """Return what may stand under ``score`` in the configuration: a JSON schema for each long option.

    Names of rules and of kinds of reference are given as examples: further ones are those of other packages,
    which `deeplift score` checks.
    """
    examples = {
        "rule": list(RULES),
        "reference": [
            kind.usage
            for kind in deeplift_references.kinds().values()
            if kind.factory.__module__.startswith("deeplift_")
        ],
    }
    found = {}
    for option in (*command.params, *options_of_own_model_formats()):
        if isinstance(option, click.Option) and option.name not in _BY_THE_WORKFLOW:
            name = next(flag for flag in option.opts if flag.startswith("--")).removeprefix("--")
            found[name] = _schema(option) | ({"examples": examples[name]} if name in examples else {})
    return found


def overlap_setting() -> list[str]:
    """Return the choices of ``overlap`` in the configuration."""
    return list(overlaps.RULES)


def _schema(option: click.Option) -> dict[str, Any]:
    if option.multiple:
        return {"type": ["string", "array"], "items": {"type": "string"}}
    if option.is_flag:
        return {"type": "boolean"}
    if isinstance(option.type, click.Choice):
        return {"enum": list(option.type.choices)}
    if isinstance(option.type, click.IntRange):
        limits = {"minimum": option.type.min, "maximum": option.type.max}
        return {"type": "integer"} | {key: limit for key, limit in limits.items() if limit is not None}
    # A text whose default is a number can be a number, which YAML reads as one.
    return {"type": ["string", "integer"] if str(option.default).isdecimal() else "string"}
