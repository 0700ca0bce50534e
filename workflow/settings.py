"""The configuration: checked by its schema, one plain message for what is wrong, defaults filled in.

No Snakemake in here, so that it can be tested and used without.
"""

import difflib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema

LISTED = 10  # a configuration that is wrong all over gets this many lines
KINDS = {
    "object": "a block of 'key: value' lines",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message says which key, and what is allowed."""


def read_samples(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Check a configuration and give every sample all of its settings.

    Parameters
    ----------
    config : dict
        As read from YAML; gets the schema's defaults for what is left out at the top.
    schema : dict
        JSON schema.

    Returns
    -------
    dict
        The settings of each sample. "model" is always a list, "targets" are text.

    Raises
    ------
    ConfigurationError
        If a key is unknown or missing, a value is of the wrong kind, or a file does not exist.
    """
    _refuse(_misfits(config, schema))
    config.update(_defaults(schema) | config)
    usual = _defaults(schema["$defs"]["settings"]) | config.get("defaults", {})
    samples = {name: _filled_in(usual, given) for name, given in config["samples"].items()}
    _refuse(problem for name, settings in samples.items() for problem in _gaps(f"samples.{name}", settings))
    return samples


HEADS = ("counts", "profile", "profile-per-track", "profile-fixed-weights")


def target_label(target: str) -> str:
    """Return a target as `deeplift` writes it in a file's name.

    "3" stays as it is; "(50,1)" becomes "50-1", "mean(:,0:2)" becomes "mean_all-0..2", "3-1" becomes
    "3_minus_1", and heads of BPNet-like models stay as they are.
    """
    first, minus, second = ("", "", "") if target in HEADS else target.partition("-")
    if minus:
        return f"{target_label(first)}_minus_{target_label(second)}"
    function, bracket, places = target.rstrip(")").partition("(")
    names = ["all" if place == ":" else place.replace(":", "..") for place in places.split(",")]
    return "_".join(filter(None, (function, "-".join(names)))) if bracket else target


# Files of `deeplift variants`, and its option for each.
VARIANT_FILES = {"variants": "--vcf", "variants_background": "--background", "variants_motifs": "--motifs"}
# Options of `deeplift score` that `deeplift variants` does not have.
NOT_FOR_VARIANTS = ("sample", "strand-aware", "standard-errors", "control-variate")


def input_files(settings: dict[str, Any]) -> dict[str, list[str]]:
    """The files that scores are made from, by key."""
    files = {"model": settings.get("model", [])}
    files |= {key: [settings[key]] for key in ("fasta", "genome", "peaks") if key in settings}
    kind, _, name = settings["score"].get("reference", "").partition(":")
    if kind in ("background", "file") and name:
        files["score.reference"] = [name]
    files |= {key: [settings[key]] for key in VARIANT_FILES if key in settings}
    renaming = settings["score"].get("rename-chroms")
    if renaming not in (None, "ucsc", "ensembl"):
        files["score.rename-chroms"] = [renaming]
    return files


def score_options(settings: dict[str, Any]) -> str:
    """The options of `deeplift score` that scores depend on, for a shell."""
    sequences = [(f"--{key}", settings[key]) for key in ("fasta", "genome", "peaks") if key in settings]
    words = [word for pair in sequences for word in pair]
    return shlex.join([*words, *_common_options(settings, settings["score"])])


def variant_options(settings: dict[str, Any]) -> str:
    """The options of `deeplift variants` that its results depend on, for a shell."""
    words = ["--genome", settings["genome"], "--indel-fill", settings["variants_indel_fill"]]
    for key, option in VARIANT_FILES.items():
        words += [option, settings[key]] if key in settings else []
    given = {name: value for name, value in settings["score"].items() if name not in NOT_FOR_VARIANTS}
    return shlex.join([*words, *_common_options(settings, given)])


def check_options(settings: dict[str, Any]) -> str:
    """The options of `deeplift check` that its result depends on, for a shell."""
    words = ["--rows", str(settings["check"])]
    for model in settings["model"]:
        words += ["--model", model]
    if "check_observed" in settings:
        words += ["--observed", settings["check_observed"]]
    words += ["--allow-pickle"] * settings["score"].get("allow-pickle", False)
    return shlex.join(words)


def _common_options(settings: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """The options that `deeplift score` and `deeplift variants` share, as words."""
    words = ["--target", ",".join(settings["targets"]), "--batch-size", str(settings["batch_size"])]
    for name, value in given.items():
        if value is True:
            words.append(f"--{name}")
        elif value is False:
            words += [f"--no-{name}"] * (name in ("logits", "centre"))
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{name}", str(one)]
    return words


def _filled_in(usual: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    # A sample that names sequences means those, whatever the defaults say.
    ousted: set[str] = set()
    if "fasta" in given:
        ousted = {"genome", "peaks"} - given.keys()
    elif "peaks" in given:
        ousted = {"fasta"}
    settings = {key: value for key, value in usual.items() if key not in ousted} | given
    settings["score"] = usual["score"] | given.get("score", {})
    settings["targets"] = [str(target).replace(" ", "") for target in settings["targets"]]
    if isinstance(settings.get("model"), str):
        settings["model"] = [settings["model"]]
    return settings


def _defaults(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: entry["default"] for key, entry in schema["properties"].items() if "default" in entry}


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        more = [f"... and {len(found) - LISTED} more"] if len(found) > LISTED else []
        raise ConfigurationError("\n  ".join(["The configuration cannot be used:", *found[:LISTED], *more]))


def _misfits(config: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    for error in sorted(errors, key=lambda error: [str(key) for key in error.absolute_path]):
        place = ".".join(map(str, error.absolute_path)) or "at the top"
        yield f"{place}: {_complaint(error)}"


def _complaint(error: jsonschema.ValidationError) -> str:
    value, wanted = error.instance, error.validator_value
    shown = {None: "nothing", True: "true", False: "false"}[value] if _is_word(value) else repr(value)
    in_targets = "targets" in error.absolute_path
    match error.validator:
        case "additionalProperties":
            return _unknown_keys(value, list(error.schema["properties"]))
        case "required":
            return f"missing {', '.join(key for key in wanted if key not in value)}"
        case "type":
            kinds = [KINDS[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted)]
            return f"{shown} should be {' or '.join(kinds)}"
        case "enum":
            # YAML reads a bare on or off as true or false.
            quotes = ' (in quotes: "on")' if isinstance(value, bool) and "on" in wanted else ""
            return f"{shown} should be one of {', '.join(wanted)}{quotes}"
        case "minimum":
            return f"{shown} should be {wanted} or more"
        case "maximum":
            return f"{shown} should be {wanted} or less"
        case "minItems" | "minLength" | "minProperties":
            return "is empty"
        case "uniqueItems":
            return "names something twice"
        case "pattern" if in_targets:
            return f'{shown} should be a number, or "(50,1)" for an element of an output with more axes'
        case "pattern":
            return f"{shown} is no name: letters, digits, '_', and after the first also '.' and '-'"
    return error.message


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _unknown_keys(given: dict[str, Any], allowed: list[str]) -> str:
    complaints = []
    for key in given:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            complaints.append(f"unknown key {key!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))
    return f"{', '.join(complaints)}; allowed: {', '.join(allowed)}"


def _gaps(place: str, settings: dict[str, Any]) -> Iterator[str]:
    """What the schema cannot tell of one sample, as the defaults may have it, too."""
    if "model" not in settings:
        yield f"{place}: missing model, a file (or a list of files: folds)"
    if "fasta" in settings and ("genome" in settings or "peaks" in settings):
        yield f"{place}: give either fasta, or genome with peaks"
    elif "fasta" not in settings and not ("genome" in settings and "peaks" in settings):
        missing = [key for key in ("genome", "peaks") if key not in settings]
        instead = ", or fasta for sequences that are cut out already" if len(missing) == 2 else ""
        yield f"{place}: missing {' and '.join(missing)}{instead}"
    elif settings["bigwig"] and "fasta" in settings and "chrom_sizes" not in settings:
        yield f"{place}: a bigWig from fasta needs chrom_sizes, or else say bigwig: false"
    if settings["browser"] and "fasta" in settings:
        yield f"{place}: a browser page needs genome with peaks, or else say browser: false"
    elif settings["browser"] and not settings["bigwig"]:
        yield f"{place}: a browser page needs bigwig: true, or else say browser: false"
    if "variants" in settings and "genome" not in settings:
        yield f"{place}: variants need the genome"
    for key in ("variants_background", "variants_motifs"):
        if key in settings and "variants" not in settings:
            yield f"{place}: {key} goes with variants"
    if settings["check"] and settings["score"].get("rule") == "ism":
        yield f"{place}: check compares scores with in-silico mutagenesis, which rule: ism is; say check: 0"
    if "check_observed" in settings and not settings["check"]:
        yield f"{place}: check_observed goes with check"
    others = {key: [settings[key]] for key in ("chrom_sizes", "motifs", "check_observed") if key in settings}
    for key, files in (input_files(settings) | others).items():
        for file in files:
            if not Path(file).is_file():
                what = "is a folder, not a file" if Path(file).is_dir() else "no such file"
                yield f"{place}.{key}: {file}: {what} (looked for from {Path.cwd()})"
