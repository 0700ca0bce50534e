"""The Snakemake workflow: what it refuses, its jobs, scores equal to one run's, going on after a failure."""

import copy
import html
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pyBigWig
import pytest
from small_models import score

from deeplift_cli.commands.check import command as check_command
from deeplift_cli.commands.further_options import options_of_own_model_formats
from deeplift_cli.commands.score import command as score_command
from deeplift_cli.commands.variants import command as variants_command
from deeplift_cli.distribution import DISTRIBUTION
from deeplift_cli.options.target_grammar import parse_targets

if importlib.util.find_spec("snakemake") is None:
    pytest.skip("snakemake is not installed: pip install 'snakemake>=9'", allow_module_level=True)

import psutil  # these two come with snakemake
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
from settings import (
    NOT_FOR_VARIANTS,
    ConfigurationError,
    check_options,
    read_samples,
    score_options,
    target_label,
    variant_options,
)

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
SETTINGS = SCHEMA["$defs"]["settings"]["properties"]
MODEL = "examples/tal1_gata.onnx"
BATCHES = ".*.pieces/*.npz"  # that an unfinished job keeps
SAMPLE = {"model": MODEL, "fasta": "examples/sequences.fa", "bigwig": False}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the workflow reads, to run it in: nothing is written to the checkout."""
    for name in ("config", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(
        ROOT / ".test", tmp_path / ".test", ignore=shutil.ignore_patterns("results", ".snakemake")
    )
    return tmp_path


def snakemake_command(folder: Path, *options: object) -> list[str]:
    words = ["-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, *options]
    return [sys.executable, *map(str, words)]


def environment() -> dict[str, str]:
    """With this checkout's `deeplift` before any other."""
    return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def snakemake(folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        snakemake_command(folder, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # a dry run's messages go to stdout, others to stderr
        text=True,
        env=environment(),
    )


def expected(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule a dry run lists."""
    assert done.returncode == 0, done.stdout
    table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", done.stdout, re.DOTALL | re.MULTILINE)
    assert table, done.stdout
    return {name: int(count) for name, count in map(str.split, table[1].splitlines())}


# ---- the configuration


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_samples(copy.deepcopy(config), SCHEMA)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peak": "x.bed"}, "samples.s: unknown key 'peak' (did you mean 'peaks'?); allowed: model, fasta,"),
        ({"score": {"n_references": 3}}, "samples.s.score: unknown key 'n_references' (did you mean 'n-ref"),
        ({"shards": "two"}, "samples.s.shards: 'two' should be a whole number"),
        ({"shards": 0}, "samples.s.shards: 0 should be 1 or more"),
        ({"gpu": "maybe"}, "samples.s.gpu: 'maybe' should be true or false"),
        ({"overlap": "sum"}, "samples.s.overlap: 'sum' should be one of nearest-centre, mean"),
        ({"score": {"compile": True}}, 'true should be one of auto, on, off (in quotes: "on")'),
        ({"model": []}, "samples.s.model: is empty"),
        ({"model": None}, "samples.s.model: nothing should be text or a list"),
        ({"targets": ["GATA"]}, "samples.s.targets.0: 'GATA' should be a number, or \"(50,1)\""),
        ({"targets": [1, 1]}, "samples.s.targets: names something twice"),
        ({"model": "none.onnx"}, "samples.s.model: none.onnx: no such file (looked for from "),
        ({"fasta": "examples"}, "samples.s.fasta: examples: is a folder, not a file"),
        ({"score": {"reference": "background:no.fa"}}, "samples.s.score.reference: no.fa: no such file"),
        ({"score": {"rename-chroms": "no.tsv"}}, "samples.s.score.rename-chroms: no.tsv: no such file"),
        ({"motifs": "no.meme"}, "samples.s.motifs: no.meme: no such file"),
        ({"check": -1}, "samples.s.check: -1 should be 0 or more"),
        ({"logos": True}, "samples.s.logos: true should be a whole number"),
        ({"check_observed": MODEL}, "samples.s: check_observed goes with check"),
        ({"check": 9, "check_observed": "no.bw"}, "samples.s.check_observed: no.bw: no such file"),
        (
            {"check": 9, "score": {"rule": "ism"}},
            "samples.s: check compares scores with in-silico mutagenesis",
        ),
        ({"score": {"max-n": 2}}, "samples.s.score.max-n: 2 should be 1 or less"),
        ({"score": {"max-n": "half"}}, "samples.s.score.max-n: 'half' should be a number"),
        ({"genome": MODEL}, "samples.s: give either fasta, or genome with peaks"),
        ({"bigwig": True}, "samples.s: a bigWig from fasta needs chrom_sizes, or else say bigwig: false"),
        ({"browser": True}, "samples.s: a browser page needs genome with peaks, or else say browser: false"),
    ],
)
def test_the_message_says_which_key_and_what_is_allowed(
    change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    refused = refusal({"samples": {"s": SAMPLE | change}})
    assert message in refused
    assert refused.count("\n") == 1  # one thing is wrong, and one line says so


def test_what_is_missing_or_wrong_at_the_top() -> None:
    assert "at the top: missing samples" in refusal({})
    assert "samples: is empty" in refusal({"samples": {}})
    assert "samples: 'a b' is no name" in refusal({"samples": {"a b": SAMPLE}})
    assert "unknown key 'default' (did you mean 'defaults'?)" in refusal({"default": {}, "samples": {}})
    assert "missing model" in refusal({"samples": {"s": {"genome": "g.fa"}}})
    assert "missing peaks" in refusal({"samples": {"s": {"genome": "g.fa"}}})
    assert "... and 3 more" in refusal({"samples": {f"s{i}": {"shards": 0} for i in range(13)}})


def test_settings_of_a_sample_come_before_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    defaults = {"model": MODEL, "genome": "none.fa", "shards": 7, "score": {"seed": 1, "rule": "rescale"}}
    given = {"fasta": "examples/sequences.fa", "bigwig": False, "score": {"seed": 2}}
    settings = read_samples({"defaults": defaults, "samples": {"s": given}}, SCHEMA)["s"]
    assert (settings["model"], settings["shards"]) == ([MODEL], 7)
    assert settings["score"] == {"seed": 2, "rule": "rescale"}
    assert "genome" not in settings  # not together with the sample's own fasta
    assert settings["batch_size"] == SETTINGS["batch_size"]["default"]


# Those of model formats are found when they are needed.
PARAMETERS = (*score_command.params, *options_of_own_model_formats())


def choices_of(name: str) -> list[str] | None:
    """What an option of `deeplift score` may be; None where that is no list."""
    (kind,) = (option.type for option in PARAMETERS if f"--{name}" in option.opts)
    return list(kind.choices) if isinstance(kind, click.Choice) else None


def test_choices_are_those_of_the_command() -> None:
    offered = SETTINGS["score"]["properties"] | {"overlap": SETTINGS["overlap"]}
    assert {name for name in offered if choices_of(name)} == {
        "compile", "dtype", "edge", "encode-n", "layout", "overlap", "precision",
    }  # fmt: skip
    for name, entry in offered.items():
        assert entry.get("enum") == choices_of(name), name


def test_score_options_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    named = {name.removeprefix("--") for option in PARAMETERS for name in option.opts}
    assert SETTINGS["score"]["properties"].keys() <= named

    options = {
        "layer-rule": ["a*=rescale", "b=rescale"], "centre": False, "rc-average": True, "seed": 3,
        "max-n": 0.25, "length": 200,
    }  # fmt: skip
    sample = SAMPLE | {"targets": [3, "(50, 1)"], "score": options}
    settings = read_samples({"samples": {"s": sample}}, SCHEMA)["s"]
    words = [*shlex.split(score_options(settings)), "--model", MODEL, "--out", "scores_{target}.h5"]
    with click.Context(score_command) as context:
        given = score_command.make_context("score", words, parent=context).params
    assert [spec.label for spec in given["targets"]] == ["3", "50-1"]
    assert [target_label(target) for target in settings["targets"]] == ["3", "50-1"]
    assert given["layer_rules"] == (("a*", "rescale"), ("b", "rescale"))
    assert (given["centre"], given["rc_average"], given["seed"]) == (False, True, 3)
    assert (given["max_n"], given["length"]) == (0.25, 200)


def test_variant_options_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    own = {name.removeprefix("--") for option in variants_command.params for name in option.opts}
    formats = {name.removeprefix("--") for option in options_of_own_model_formats() for name in option.opts}
    assert SETTINGS["score"]["properties"].keys() - own - formats == set(NOT_FOR_VARIANTS)

    genome = {"genome": "examples/sequences.fa", "peaks": "examples/planted_motifs.bed"}
    vcf = {"variants": "examples/variants.vcf", "variants_motifs": "examples/tal1_gata.jaspar"}
    options = {"strand-aware": True, "rc-average": True, "seed": 3, "edge": "pad"}
    sample = {"model": [MODEL], "targets": [1, "3-1"], "score": options} | genome | vcf
    settings = read_samples({"samples": {"s": sample}}, SCHEMA)["s"]
    words = [*shlex.split(variant_options(settings)), "--model", MODEL, "--out", "a_{target}.h5"]
    with click.Context(variants_command) as context:
        given = variants_command.make_context("variants", words, parent=context).params
    assert (given["vcf"], given["motifs"]) == (Path(vcf["variants"]), Path(vcf["variants_motifs"]))
    assert (given["rc_average"], given["seed"], given["edge"]) == (True, 3, "pad")
    assert given["indel_fill"] == "right"
    assert "variants need the genome" in refusal({"samples": {"s": SAMPLE | {"variants": MODEL}}})
    assert "goes with variants" in refusal({"samples": {"s": SAMPLE | {"variants_motifs": MODEL}}})


def test_check_options_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    given = {"model": [MODEL, ".test/data/fold2.onnx"], "check": 7, "check_observed": MODEL}
    settings = read_samples({"samples": {"s": SAMPLE | given | {"score": {"allow-pickle": True}}}}, SCHEMA)[
        "s"
    ]
    with click.Context(check_command) as context:
        words = ["s.h5", *shlex.split(check_options(settings))]
        found = check_command.make_context("check", words, parent=context).params
    assert found["models"] == tuple(map(Path, given["model"]))
    assert (found["rows"], found["observed"], found["allow_pickle"]) == (7, Path(MODEL), True)


def test_variants_of_a_sample_with_folds(checkout: Path) -> None:
    """Two jobs share the variants, with both models; p-values are those of the background of both jobs."""
    own = checkout / "own.yaml"
    sample = {
        "model": [MODEL, ".test/data/fold2.onnx"], "genome": "examples/sequences.fa",
        "peaks": "examples/planted_motifs.bed", "variants": "examples/variants.vcf", "targets": [1, 2],
        "variants_shards": 2, "variants_background": "examples/variants.vcf", "batch_size": 2,
        "score": {"n-references": 2, "edge": "pad", "compile": "off"}, "threads": 1, "bigwig": False,
    }  # fmt: skip
    own.write_text(yaml.safe_dump({"report": False, "samples": {"s": sample}}))
    planned = expected(snakemake(checkout, "-n", "--configfile", own))
    assert (planned["variants_shard"], planned["variants"]) == (2, 1)
    done = snakemake(checkout, "results/s/variants", "--cores", 1, "--configfile", own)
    assert done.returncode == 0, done.stdout
    folder = checkout / "results/s/variants"
    assert {path.name for path in folder.glob("variants_*")} == {
        f"variants_{target}{suffix}" for target in (1, 2) for suffix in (".h5", ".tsv", ".skipped.tsv")
    }
    heading, first, *rest = (folder / "variants_1.tsv").read_text().splitlines()
    row = dict(zip(heading.split("\t"), first.split("\t"), strict=True))
    assert (row["id"], len(rest)) == ("breaks_gata", 4)
    assert 0 < float(row["background_p"]) <= 1
    assert float(row["effect"]) < 0 < float(row["effect_fold_sd"])


@pytest.mark.parametrize(
    "target",
    [
        "0", "12", "(50,1)", "(0,1,2)", "mean(:,0:2)", "sum", "max(3:5)", "3-1", "mean(:,1)-(4,1)", "counts",
        "profile-per-track", "profile-fixed-weights",
    ],
)  # fmt: skip
def test_labels_in_names_of_files_are_those_of_the_command(target: str) -> None:
    assert target_label(target) == parse_targets(target)[0].label
    read_samples({"samples": {"s": SAMPLE | {"targets": [target]}}}, SCHEMA)


def test_every_setting_is_documented() -> None:
    example = (ROOT / "config/config.yaml").read_text()
    page = (ROOT / "config/README.md").read_text()
    for name in [*SCHEMA["properties"], *SETTINGS]:
        assert f"`{name}`" in page, name
        assert name == "chrom_sizes" or f"{name}:" in example, name


# ---- environments that Snakemake makes

ENVIRONMENTS = ROOT / "workflow/envs"


def pins(name: str) -> list[str]:
    """The requirements that pip is given for an environment."""
    packages = yaml.safe_load((ENVIRONMENTS / name).read_text())["dependencies"]
    assert all(re.fullmatch(r"\w+=\d+\.\d+(\.\d+)?", package) for package in packages[:-1])
    found: list[str] = packages[-1]["pip"]
    return found


@pytest.mark.parametrize("name", ["deeplift.yaml", "modisco.yaml"])
def test_every_package_of_an_environment_is_pinned(name: str) -> None:
    assert len(pins(name)) > 20
    assert all(re.match(r"[a-z0-9-]+==[\w.]+( ; .+)?$", pin) for pin in pins(name))


def test_the_pins_are_those_that_were_tested() -> None:
    tested = (ROOT / "constraints.txt").read_text().splitlines()
    assert set(pins("deeplift.yaml")) <= set(tested)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in needed}
    assert names <= {pin.partition("==")[0] for pin in pins("deeplift.yaml")}


def stub(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_installed_version_is_part_of_what_snakemake_hashes(tmp_path: Path) -> None:
    """Snakemake's hash is made of the texts of both files, and the script refuses another version."""
    stub(tmp_path / "python", 'echo "$@" > installed')
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    def deploy(installed: str, **variables: str) -> subprocess.CompletedProcess[str]:
        stub(tmp_path / "deeplift", f"echo 'deeplift, version {installed}'")
        return subprocess.run(
            ["bash", ENVIRONMENTS / "deeplift.post-deploy.sh"],
            cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"} | variables,
            capture_output=True, text=True,
        )  # fmt: skip

    assert deploy(version, DEEPLIFT_CHECKOUT="/some where").returncode == 0
    assert (tmp_path / "installed").read_text() == "-m pip install --no-deps /some where\n"
    assert deploy(version).returncode == 0
    assert (tmp_path / "installed").read_text() == f"-m pip install --no-deps {DISTRIBUTION}=={version}\n"
    other = deploy("0.0.9", DEEPLIFT_CHECKOUT="/some where")
    assert other.returncode == 1
    assert f"but this environment is for version {version}" in other.stderr


# ---- the workflow


def test_no_rule_runs_in_snakemakes_own_python() -> None:
    rules = (ROOT / "workflow/Snakefile").read_text()
    assert not re.search(r"^ *(script|run|notebook|wrapper):", rules, re.MULTILINE)


def test_jobs_fit_a_queue_of_four_hours() -> None:
    runtimes = {name: entry["default"] for name, entry in SETTINGS.items() if "runtime" in name}
    assert runtimes.keys() == {"runtime", "merge_runtime", "modisco_runtime"}
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert max(*runtimes.values(), profile["default-resources"]["runtime"]) <= 4 * 60
    assert profile["retries"] >= 5  # so that a shard may take a day


def test_what_the_workflow_catalog_asks_for() -> None:
    """https://snakemake.github.io/snakemake-workflow-catalog: these files, and which flags are needed."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_both_snakefiles_are_the_workflow(checkout: Path, snakefile: str) -> None:
    done = snakemake(checkout / ".test", "-n", "--snakefile", ROOT / snakefile, "--cores", 1)
    assert expected(done)["all"] == 1


def test_lint_is_clean(checkout: Path) -> None:
    done = snakemake(checkout, "--lint")
    assert done.returncode == 0, done.stdout


def test_a_wrong_configuration_gives_one_message_and_no_traceback(checkout: Path) -> None:
    wrong = checkout / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"samples": {"s": SAMPLE | {"peak": "x", "model": "none.onnx"}}}))
    done = snakemake(checkout, "-n", "--configfile", wrong)
    assert done.returncode == 1
    assert "samples.s: unknown key 'peak' (did you mean 'peaks'?)" in done.stdout
    assert "Traceback" not in done.stdout


def test_jobs_of_the_small_run(checkout: Path) -> None:
    assert expected(snakemake(checkout / ".test", "-n", "--profile", ROOT / "profiles/local")) == {
        "score_shard": 2 * 2 + 3,
        "merge_fold": 2,
        "average_folds": 1,
        "bigwig": 1,
        "browser": 1,
        "merge_shards": 2,
        "check": 1,
        "logos": 1,
        "html_report": 3,
        "report": 1,
        "all": 1,
        "total": 21,
    }


def test_jobs_of_a_configuration_file_of_ones_own(checkout: Path) -> None:
    """The example's sample of config/config.yaml is not among them."""
    own = checkout / "own.yaml"
    peaks = {"genome": ".test/data/genome.fa", "peaks": ".test/data/peaks.narrowPeak"}
    further = {"modisco": True, "seqlets": True, "html_report": True, "check": 9, "logos": 3}
    samples = {"one": {"model": MODEL} | further | peaks, "two": SAMPLE | {"model": [MODEL] * 3}}
    own.write_text(yaml.safe_dump({"report": False, "defaults": {"shards": 5}, "samples": samples}))
    profile = ["--profile", ROOT / "profiles/slurm"]
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        profile = []
    assert expected(snakemake(checkout, "-n", "--configfile", own, *profile)) == {
        "score_shard": 5 + 3 * 5,
        "merge_shards": 1,
        "bigwig": 1,
        "merge_fold": 3,
        "average_folds": 1,
        "modisco": 1,
        "seqlets": 1,
        "check": 1,
        "html_report": 1,
        "logos": 1,
        "all": 1,
        "total": 32,
    }


def planned(checkout: Path, **sample: Any) -> str:
    """The commands of a dry run of one sample."""
    own = checkout / "own.yaml"
    own.write_text(yaml.safe_dump({"samples": {"s": sample}}))
    done = snakemake(checkout, "-n", "--printshellcmds", "--configfile", own)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_pages_and_pictures_show_what_the_sample_has(checkout: Path) -> None:
    peaks = {"genome": ".test/data/genome.fa", "peaks": ".test/data/peaks.narrowPeak", "targets": [0, 1]}
    pages = {"browser": True, "html_report": True, "logos": 4}
    for wanted in (True, False):
        further = {"seqlets": wanted, "check": 9 if wanted else 0}
        commands = planned(checkout, model=MODEL, **peaks, **pages, **further)
        (browser,) = re.findall("deeplift browser .*", commands)
        reports = sorted(re.findall("deeplift report .*", commands))
        pictures = sorted(re.findall("deeplift plot .*", commands))
        assert browser.count(".bw ") == len(reports) == len(pictures) == 2
        for target, (report, logos) in enumerate(zip(reports, pictures, strict=True)):
            seqlets = f"results/s/seqlets_{target}.bed"
            assert (f"--bed {seqlets} " in browser) == wanted
            assert (f"--seqlets {seqlets} " in report) == wanted
            assert (f"--hits {seqlets} " in logos) == wanted
            assert (f"--check results/s/check_{target}.json " in report) == wanted
            assert f"scores_{target}.h5 --top 4 " in logos


def test_a_check_has_all_folds_and_a_gpu_where_scoring_has_one(checkout: Path) -> None:
    folds = [MODEL, ".test/data/fold2.onnx"]
    for gpu, hidden in ((False, "CUDA_VISIBLE_DEVICES= "), (True, "")):
        sample = SAMPLE | {"model": folds, "check": 9, "gpu": gpu}
        (command,) = re.findall("Shell command: (.*deeplift check .*)", planned(checkout, **sample))
        assert command.startswith(f"{hidden}OMP_NUM_THREADS=")
        assert f"scores_0.h5 --rows 9 --model {folds[0]} --model {folds[1]} --json > " in command


def test_every_kind_of_target_has_its_files(checkout: Path) -> None:
    """Labels have other letters than digits, too."""
    targets = [1, "mean(0:2)", "2-0", "sum", "counts"]
    commands = planned(checkout, **SAMPLE | {"targets": targets, "logos": 1})
    assert set(re.findall(r"deeplift plot results/s/scores_(\S+)\.h5", commands)) == {
        "1", "mean_0..2", "2_minus_0", "sum", "counts",
    }  # fmt: skip


def assert_equal_files(ours: Path, single: Path) -> None:
    """Every dataset bit for bit, and the texts beside."""
    with h5py.File(ours) as found, h5py.File(single) as wanted:
        names: list[str] = []
        wanted.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert "projected_shap/seq" in names
        for name in names:
            assert found[name].dtype == wanted[name].dtype, name
            np.testing.assert_array_equal(found[name][()], wanted[name][()], err_msg=name)
    for suffix in (".bed", ".skipped.tsv"):
        assert ours.with_suffix(suffix).read_text() == single.with_suffix(suffix).read_text()


def test_small_run_equals_single_runs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout / ".test"
    done = snakemake(folder, "--profile", ROOT / "profiles/local")
    assert done.returncode == 0, done.stdout
    results = folder / "results"

    monkeypatch.chdir(folder)
    common = ["-m", "../" + MODEL, "--batch-size", 4, "--n-references", 5, "--compile", "off"]
    peaks = ["-g", "data/genome.fa", "-r", "data/peaks.narrowPeak", "--strand-aware"]
    score(*common, *peaks, "-o", "single.h5", "--bigwig", "single.bw")
    assert_equal_files(results / "folds/folds/1/scores_0.h5", Path("single.h5"))
    with h5py.File("single.h5") as single:
        for name, factor in (("folds/2/scores_0.h5", 2), ("scores_0.h5", 1.5)):  # the mean of once and twice
            with h5py.File(results / "folds" / name) as found:
                for dataset in ("shap/seq", "projected_shap/seq", "qc/output"):
                    expected = factor * single[dataset][:]
                    np.testing.assert_allclose(found[dataset][:], expected, rtol=1e-6, atol=1e-7)
    with pyBigWig.open("single.bw") as wanted, pyBigWig.open(str(results / "folds/scores_0.bw")) as found:
        assert found.chroms() == wanted.chroms()
        for name in wanted.chroms():
            ours, theirs = (np.array(file.intervals(name)) for file in (found, wanted))
            np.testing.assert_allclose(ours, theirs * [1, 1, 1.5], rtol=1e-6, atol=1e-7)

    score(*common, "-f", "data/sequences.fa", "--target", "1,2", "-o", "single_{target}.h5")
    for target in (1, 2):
        assert_equal_files(results / f"targets/scores_{target}.h5", Path(f"single_{target}.h5"))

    header, *rows = (results / "report.tsv").read_text().splitlines()
    assert header.startswith("sample\ttarget\tsequences\tskipped\t")
    assert [row.split("\t")[:4] for row in rows] == [
        ["folds", "0", "16", "1"],
        ["targets", "1", "20", "0"],
        ["targets", "2", "20", "0"],
    ]
    assert "target 0" in (results / "folds/browser/igv_session.xml").read_text()
    assert (results / "folds/browser/scores_0.bw").samefile(results / "folds/scores_0.bw")
    assert "<h1>targets, target 2</h1>" in (results / "targets/report_2.html").read_text()
    check = json.loads((results / "folds/check_0.json").read_text())
    assert check["sequences"] == 3
    assert 0.5 < check["measures"]["mutagenesis"]["pearson"]["median"] <= 1
    page = (results / "folds/report_0.html").read_text()
    assert "Measured on 3 sequences" in page
    assert html.escape(check["table"][0][1]) in page
    logos = results / "folds/logos_0"
    with h5py.File(results / "folds/scores_0.h5") as scores:
        difference = scores["qc/output"][:] - scores["qc/reference_output"][:].mean(axis=1)
    rows = [line.split("\t")[:2] for line in (logos / "regions.tsv").read_text().splitlines()[1:]]
    assert [int(row) for _, row in rows] == np.argsort(-np.abs(difference), kind="stable")[:2].tolist()
    assert {path.name for path in logos.glob("[!.]*")} == {"regions.tsv", *(picture for picture, _ in rows)}
    assert not list(results.glob("*/shards/*/*"))  # shards are deleted once they are merged
    assert "Nothing to be done" in snakemake(folder, "-n").stdout


def environment_without(folder: Path, *names: str) -> Path:
    """The Python of a new environment with all packages of this one, but for those whose names begin so."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(names) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    return folder / "bin/python"


def imports(python: Path, name: str) -> bool:
    return subprocess.run([python, "-I", "-c", f"import {name}"], capture_output=True).returncode == 0


@pytest.fixture
def snakemakes_python(tmp_path: Path) -> Path:
    python = environment_without(tmp_path / "snakemakes", "deeplift", "_deeplift")
    assert imports(python, "snakemake")
    assert not imports(python, "deeplift_cli")
    return python


@pytest.fixture
def deeplifts_bin(tmp_path: Path) -> Path:
    """The folder with the command `deeplift` of an environment without Snakemake."""
    python = environment_without(tmp_path / "deeplifts", "snakemake")
    (packages,) = (tmp_path / "deeplifts").glob("lib/python*/site-packages")
    (packages / "checkout.pth").write_text("".join(f"{ROOT / part}\n" for part in ("", "cli", "references")))
    found = Path(str(distribution(DISTRIBUTION).locate_file("")))
    for entry in found.glob(f"{DISTRIBUTION.replace('-', '_')}-*.dist-info"):
        if not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    script = python.with_name("deeplift")
    script.write_text(f"#!{python}\nfrom deeplift_cli.main import main\nmain()\n")
    script.chmod(0o755)
    assert imports(python, "deeplift_cli")
    assert not imports(python, "snakemake")
    return python.parent


def test_deeplift_and_snakemake_need_not_be_in_one_environment(
    checkout: Path, snakemakes_python: Path, deeplifts_bin: Path
) -> None:
    """Most rules, scores in float16, and folds that are deleted once they are averaged."""
    peaks = {"genome": ".test/data/genome.fa", "peaks": ".test/data/peaks.narrowPeak"}
    options = {"n-references": 2, "compile": "off", "dtype": "float16"}
    seqlets = {"seqlets": True, "motifs": "known motifs.jaspar", "html_report": True, "logos": 1}
    samples = {
        "folds": {"model": [MODEL, ".test/data/fold2.onnx"], **peaks},
        "single": {"model": MODEL, **peaks, "bigwig": False, **seqlets},
    }
    (checkout / "known motifs.jaspar").write_text(
        ">GATA\nA [0 9 0 9 9]\nC [0 0 0 0 0]\nG [9 0 0 0 0]\nT [0 0 9 0 0]\n"
    )
    settings = {"score": options, "batch_size": 8, "threads": 1, "mem_mb": 1500}
    own = {"keep_folds": False, "defaults": settings, "samples": samples}
    (checkout / "own.yaml").write_text(yaml.safe_dump(own))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # bash, rm and the like are those of the system; no other environment is in the PATH.
    variables |= {"PATH": os.pathsep.join([str(deeplifts_bin), "/usr/local/bin", "/usr/bin", "/bin"])}
    words = [*snakemake_command(checkout)[1:], "--configfile", "own.yaml", "--cores", "2"]
    done = subprocess.run(
        [snakemakes_python, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=checkout,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    results = checkout / "results"
    for sample in ("folds", "single"):
        with h5py.File(results / sample / "scores_0.h5") as scores:
            assert scores["shap/seq"].dtype == np.float16
    assert not list(results.glob("folds/folds/*/scores*"))
    header, *lines = (results / "single/seqlets_0.bed").read_text().splitlines()
    assert header.startswith("#chrom\tstart\tend")
    assert lines
    assert {line.split("\t")[3] for line in lines} == {"GATA"}
    page = (results / "single/report_0.html").read_text()
    assert f"seqlets_0.bed has {len(lines)} seqlets" in page
    (logo,) = results.glob("single/logos_0/*.png")
    assert logo.read_bytes().startswith(b"\x89PNG")
    assert len((results / "report.tsv").read_text().splitlines()) == 3
    with pyBigWig.open(str(results / "folds/scores_0.bw")) as file:
        assert file.header()["nBasesCovered"] > 0


def test_a_job_that_was_killed_goes_on_where_it_was(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fasta, options = ".test/data/sequences.fa", {"n-references": 60, "compile": "off"}
    sample = SAMPLE | {"fasta": fasta, "batch_size": 1, "threads": 1, "score": options}
    (checkout / "own.yaml").write_text(yaml.safe_dump({"samples": {"s": sample}}))
    command = snakemake_command(checkout, "--configfile", checkout / "own.yaml", "--cores", "1")
    unfinished = checkout / "results/s/shards/1/1-of-1.unfinished"
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment()) as running:
        while not list(unfinished.glob(BATCHES)):
            assert running.poll() is None, "the workflow ended before a batch was seen"
            time.sleep(0.02)
        for process in psutil.Process(running.pid).children(recursive=True):
            if "--shard" in process.cmdline():
                process.send_signal(signal.SIGTERM)
        assert running.wait() == 1
    assert list(unfinished.glob(BATCHES))  # Snakemake has left them alone
    assert not (checkout / "results/s/scores_0.h5").exists()

    done = snakemake(checkout, "--configfile", checkout / "own.yaml", "--cores", "1")
    assert done.returncode == 0, done.stdout
    log = (checkout / "results/s/logs/score_fold1_1-of-1.log").read_text()
    assert re.search(r"resumed +from \d+ sequences", log)
    monkeypatch.chdir(checkout)
    common = ["-m", MODEL, "-f", fasta, "--batch-size", 1, "--n-references", 60, "--compile", "off"]
    score(*common, "-o", "single.h5")
    assert_equal_files(checkout / "results/s/scores_0.h5", Path("single.h5"))
