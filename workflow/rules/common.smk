# What the rules share: the checked configuration, and functions of wildcards.
import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

SETTINGS = Path(workflow.source_path("../settings.py"))
SCHEMA = Path(workflow.source_path("../schemas/config.schema.yaml"))
sys.path.insert(0, str(SETTINGS.parent))
from settings import (
    VARIANT_FILES,
    ConfigurationError,
    check_options,
    input_files,
    read_samples,
    score_options,
    target_label,
    variant_options,
)

# `deeplift` may be installed beside Snakemake in an environment that nobody activated. Last in line, so that
# an activated environment, or conda's, goes before.
os.environ.update(
    PATH=os.pathsep.join(
        [os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)]
    )
)
# workflow/envs/deeplift.post-deploy.sh installs this checkout, or a release where the workflow is used without one.
if (SETTINGS.parents[1] / "pyproject.toml").is_file():
    os.environ.update(DEEPLIFT_CHECKOUT=str(SETTINGS.parents[1]))

try:
    SAMPLES = read_samples(config, yaml.safe_load(SCHEMA.read_text()))
except ConfigurationError as error:
    raise WorkflowError(str(error)) from None

TARGETS = {
    target_label(target)
    for settings in SAMPLES.values()
    for target in settings["targets"]
}
FOLDED = [name for name, settings in SAMPLES.items() if len(settings["model"]) > 1]
SINGLE = [name for name in SAMPLES if name not in FOLDED]
WITH_BIGWIG = [name for name, settings in SAMPLES.items() if settings["bigwig"]]
WITH_SEQLETS = [name for name, settings in SAMPLES.items() if settings["seqlets"]]
WITH_HTML_REPORT = [
    name for name, settings in SAMPLES.items() if settings["html_report"]
]
WITH_CHECK = [name for name, settings in SAMPLES.items() if settings["check"]]
WITH_LOGOS = [name for name, settings in SAMPLES.items() if settings["logos"]]
WITH_MODISCO = [name for name, settings in SAMPLES.items() if settings["modisco"]]
WITH_VARIANTS = [name for name, settings in SAMPLES.items() if "variants" in settings]
WITH_BROWSER = [name for name, settings in SAMPLES.items() if settings["browser"]]


def pattern(names):
    """For wildcard_constraints: one of the names; none of any where there are none."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def setting(wildcards, key):
    return SAMPLES[wildcards.sample][key]


def memory(key):
    """A job that is tried again gets more memory, at most three times as much: it may have lacked time instead."""
    return lambda wildcards, attempt: min(attempt, 3) * setting(wildcards, key)


def results(name, samples):
    """A file for each target of each of the samples."""
    return [
        f"results/{sample}/{name}".format(target=target_label(target))
        for sample in samples
        for target in SAMPLES[sample]["targets"]
    ]


def model(wildcards):
    return setting(wildcards, "model")[int(wildcards.fold) - 1]


def sequences(wildcards):
    """Sequences, and files of references and of chromosome names where there are any."""
    files = input_files(SAMPLES[wildcards.sample])
    others = ("model", *VARIANT_FILES)
    return [file for key, named in files.items() if key not in others for file in named]


def options(wildcards):
    return score_options(SAMPLES[wildcards.sample])


def variant_inputs(wildcards):
    """The VCF, and the other files that the effects of its variants depend on."""
    files = input_files(SAMPLES[wildcards.sample])
    return [
        file
        for key, named in files.items()
        if key not in ("model", "fasta", "peaks")
        for file in named
    ]


def shards(wildcards):
    """The shards of one model; a sample's only model is fold 1."""
    count = setting(wildcards, "shards")
    folder = f"results/{wildcards.sample}/shards/{wildcards.get('fold', 1)}"
    return [f"{folder}/{shard}-of-{count}" for shard in range(1, count + 1)]


def variant_shards(wildcards):
    """The shards of a sample's variants."""
    count = setting(wildcards, "variants_shards")
    folder = f"results/{wildcards.sample}/shards/variants"
    return [f"{folder}/{shard}-of-{count}" for shard in range(1, count + 1)]


def of_fold(name):
    """A file of a fold, which Snakemake deletes when the folds are averaged unless it is to be kept."""
    file = f"results/{{sample}}/folds/{{fold}}/{name}"
    return file if config["keep_folds"] else temp(file)


def of_folds(wildcards, name):
    """The same file of all folds."""
    numbers = range(1, len(setting(wildcards, "model")) + 1)
    name = name.format(target=wildcards.target)
    return [f"results/{wildcards.sample}/folds/{fold}/{name}" for fold in numbers]


def chrom_sizes(wildcards):
    """Where the lengths of the chromosomes are: a table, or the genome itself."""
    settings = SAMPLES[wildcards.sample]
    return {key: settings[key] for key in ("chrom_sizes", "genome") if key in settings}


def track_names(wildcards):
    """Options of `deeplift browser` that name the track of each target."""
    labels = map(target_label, setting(wildcards, "targets"))
    return " ".join(f"--name {shlex.quote(f'target {label}')}" for label in labels)


def sizes_option(files):
    """The same as an option of `deeplift export`."""
    if "chrom_sizes" in files.keys():
        return f"--chrom-sizes {shlex.quote(str(files.chrom_sizes))}"
    return f"--genome {shlex.quote(str(files.genome))}"


def known_motifs(wildcards):
    """The file of motifs with which seqlets are compared, if there is one."""
    settings = SAMPLES[wildcards.sample]
    return {"motifs": settings["motifs"]} if "motifs" in settings else {}


def seqlets_of_target(wildcards):
    """The seqlets of a target, where the sample has them made."""
    if wildcards.sample not in WITH_SEQLETS:
        return {}
    return {"seqlets": f"results/{wildcards.sample}/seqlets_{wildcards.target}.bed"}


def check_of_target(wildcards):
    """The check of a target's scores, where the sample has it made."""
    if wildcards.sample not in WITH_CHECK:
        return {}
    return {"check": f"results/{wildcards.sample}/check_{wildcards.target}.json"}


def file_option(option, name, files):
    """An option with the input of this name, if there is such an input."""
    if name not in files.keys():
        return ""
    return f"{option} {shlex.quote(str(files.get(name)))}"


def check_inputs(wildcards):
    """The files beside the model and the scores that a check reads."""
    settings = SAMPLES[wildcards.sample]
    observed = [settings["check_observed"]] if "check_observed" in settings else []
    return input_files(settings).get("score.reference", []) + observed
