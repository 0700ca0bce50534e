"""The command that scores sequences with an inspected model."""

import shlex
from dataclasses import fields

from deeplift_cli.options.further_inputs import as_options
from deeplift_cli.options.settings import InspectOptions
from deeplift_cli.options.token_ids import token_ids_in_words

# Options that `inspect` and `score` share and that the model's file does not determine. The batch size, the
# device and the number of threads depend on the machine that scores the sequences.
_KEPT = ("output", "labels", "layout", "alphabet", "encode_n", "logits", "precision", "allow_pickle")


def score_command(options: InspectOptions, output_shape: tuple[int, ...]) -> str:
    """Return a `deeplift score` command that fits the model, with names in capitals for missing values.

    Parameters
    ----------
    options : InspectOptions
        The options that the user gave to `deeplift inspect`.
    output_shape : tuple of int
        The shape of the explained output for one sequence; the command has a target if there are several
        values.
    """
    words = ["deeplift", "score", "-m", str(options.model), "-f", "SEQUENCES.fa", "-o", "SCORES.h5"]
    targets = ",".join(str(spec) for spec in options.targets)
    first = ",".join("0" for _ in output_shape)
    if targets or any(size > 1 for size in output_shape):
        words += ["--target", targets or (f"({first})" if len(output_shape) > 1 else first)]
    defaults = {item.name: item.default for item in fields(InspectOptions)}
    for name in _KEPT:
        value, flag = getattr(options, name), name.replace("_", "-")
        if value == defaults[name]:
            continue
        words += (
            [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
        )
    if options.token_ids:
        words += ["--token-ids", token_ids_in_words(options.token_ids)]
    for pattern, rule in options.layer_rules:
        words += ["--layer-rule", f"{pattern}={rule}"]
    words += as_options(options.further_inputs)
    for name, value in options.format_options:
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
