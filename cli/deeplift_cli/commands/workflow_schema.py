"""The options of `deeplift score` in the workflow's configuration, as a JSON schema.

`workflow/schemas/config.schema.yaml` holds a copy of the schema, since Snakemake may run in an environment
without deeplift. A test compares both, so that a new option or choice is in the copy, too.
"""

from typing import Any

import click

import deeplift_references
from deeplift_cli.commands.further_options import options_of_own_model_formats
from deeplift_cli.commands.score import command
from deeplift_cli.options.rules import SCORE_RULES
from deeplift_cli.outputs import overlaps

# Options that the workflow itself sets: the inputs and outputs, and how jobs are divided and run. Labels are
# left out, since targets of the workflow, which become parts of file names, are indices, not names.
_BY_THE_WORKFLOW = frozenset(
    {
        "model", "fasta", "genome", "regions", "out", "bigwig", "chrom_sizes", "targets", "labels", "overlap",
        "save_references", "max_completeness_error", "batch_size", "device", "threads", "shard", "resume",
        "overwrite", "quiet", "verbose",
    }
)  # fmt: skip


def score_settings() -> dict[str, dict[str, Any]]:
    """Return the entries of ``score`` in the configuration: a JSON schema for each long option.

    The names of rules and of kinds of reference are examples only: other packages may bring further names,
    which `deeplift score` checks.
    """
    examples = {
        "rule": list(SCORE_RULES),
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
    if isinstance(option.type, click.IntRange | click.FloatRange):
        kind = "integer" if isinstance(option.type, click.IntRange) else "number"
        limits = {"minimum": option.type.min, "maximum": option.type.max}
        return {"type": kind} | {key: limit for key, limit in limits.items() if limit is not None}
    # Text that may be a number, such as NAME|INDEX, is a number in YAML where it is one.
    may_be_number = "INDEX" in (option.metavar or "")
    return {"type": ["string", "integer"] if may_be_number else "string"}
