"""What makes two runs the same job: every option counts unless its field says that it changes no score."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from deeplift_cli import reference_kinds  # noqa: F401 - registers its kinds
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.shards import Shard
from deeplift_cli.options.targets import Element
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.run.fingerprint import fingerprint

# Another value for every option that `deeplift score` has; a new one needs a line here.
OTHER: dict[str, Any] = {
    "model": Path("other.pt"), "models": (Path("other.pt"), Path("third.pt")), "output": 1,
    "labels": Path("other.fa"), "targets": (Element((1,)),),
    "default_target": True,
    "layer_rules": (("a", "rescale"),),
    "layout": "nlc", "alphabet": "TGCA", "encode_n": "uniform",
    "token_ids": (("A", 7), ("C", 8), ("G", 9), ("T", 10)), "logits": False, "centre": False, "batch_size": 8,
    "device": "cuda", "threads": 7, "precision": "float64", "allow_pickle": True, "out": Path("other.h5"),
    "fasta": Path("other.fa"), "genome": Path("g.fa"), "regions": Path("r.bed"), "bigwig": Path("a.bw"),
    "chrom_sizes": Path("sizes"), "rule": "rescale", "reference": "zeros", "save_references": Path("r.h5"),
    "frequencies": (0.1, 0.2, 0.3, 0.4), "n_references": 3, "seed": 9, "rc_average": True,
    "strand_aware": True, "overlap": "mean", "max_completeness_error": 0.5, "compile": "on",
    "dtype": "float16", "standard_errors": True, "shard": Shard(1, 2), "resume": False, "overwrite": True,
    "format_options": (("pseudocount", 2.0),), "length": 30, "edge": "pad", "max_n": 0.5,
    "sample": 5, "control_variate": True,
    "chroms": ("chr1",), "rename_chroms": "ucsc",
    "further_inputs": (("count", "3"),),
}  # fmt: skip
CHANGES_NO_SCORE = {
    "default_target",  # the targets that are found count
    "threads", "allow_pickle", "out", "bigwig", "chrom_sizes", "save_references", "overlap",
    "max_completeness_error", "standard_errors", "shard", "resume", "overwrite",
}  # fmt: skip
# Models count by the digests and the device by the kind that are handed on.
APART = {"model", "models", "device"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in.fa", "other.fa", "g.fa", "r.bed", "background.fa", "names.tsv", "values.npy"):
        Path(name).write_text(f"content of {name}")
    return tmp_path


def options(**changes: Any) -> ScoreOptions:
    return replace(ScoreOptions(model=Path("m.pt"), out=Path("a.h5"), fasta=Path("in.fa")), **changes)


def found(given: ScoreOptions, *models: str, device: str = "cpu") -> dict[str, Any]:
    return fingerprint(given, models or ["abc"], device)


@pytest.mark.parametrize("name", [item.name for item in fields(ScoreOptions)])
def test_every_option_that_changes_scores_counts(name: str) -> None:
    changed = options(**{name: OTHER[name]})
    assert getattr(changed, name) != getattr(options(), name)
    same = found(changed) == found(options())
    assert same == (name in CHANGES_NO_SCORE | APART), name


@pytest.mark.parametrize(
    ("name", "value", "counts"),
    [
        ("vcf", Path("other.fa"), True), ("background", Path("other.fa"), True), ("indel_fill", "both", True),
        ("tsv", Path("a.tsv"), False), ("motifs", Path("other.fa"), True),
    ],
)  # fmt: skip
def test_the_options_of_variants_count_where_they_change_scores(name: str, value: Any, counts: bool) -> None:
    own = {"vcf": Path("in.fa"), "genome": Path("g.fa")}
    given = VariantOptions(model=Path("m.pt"), out=Path("a.h5"), **own)
    names = {item.name for item in fields(VariantOptions)} - {item.name for item in fields(ScoreOptions)}
    assert names == {"vcf", "tsv", "indel_fill", "background", "motifs"}
    assert (found(replace(given, **{name: value})) != found(given)) == counts


def test_models_in_order_and_the_kind_of_device_count() -> None:
    assert found(options(), "abd") != found(options(), "abc") == found(options())
    folds = found(options(), "abc", "abd")
    assert folds not in (found(options()), found(options(), "abd", "abc"))
    assert folds["the model"] == ["sha256:abc", "sha256:abd"]
    assert found(options(), device="cuda") != found(options())


@pytest.mark.parametrize(
    ("changes", "file"),
    [
        ({}, "in.fa"),
        ({"fasta": None, "genome": Path("g.fa"), "regions": Path("r.bed")}, "r.bed"),
        ({"fasta": None, "genome": Path("g.fa"), "regions": Path("r.bed")}, "g.fa"),
        ({"reference": "background:background.fa"}, "background.fa"),
        ({"reference": "file:background.fa"}, "background.fa"),
        ({"rename_chroms": "names.tsv"}, "names.tsv"),
        ({"further_inputs": (("tracks", "values.npy"),)}, "values.npy"),
    ],
)
def test_the_content_of_files_counts_and_their_names_do_not(changes: dict[str, Any], file: str) -> None:
    before = found(options(**changes))
    Path("moved").mkdir()
    Path("moved", file).write_bytes(Path(file).read_bytes())

    def moved(value: Any) -> Any:
        if value == Path(file):
            return Path("moved", file)
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        return value.replace(file, f"moved/{file}") if isinstance(value, str) else value

    there = {name: moved(value) for name, value in {"fasta": Path("in.fa"), **changes}.items()}
    assert found(options(**there)) == before
    Path(file).write_text("another content, of another size")
    assert found(options(**changes)) != before


def test_a_number_counts_by_its_value() -> None:
    """So "3" is "3.0", and zeros are 0."""
    same = [found(options(further_inputs=(("count", text),))) for text in ("3", "3.0", "3e0")]
    assert same[0] == same[1] == same[2]
    assert found(options(further_inputs=(("count", "zeros"),))) == found(
        options(further_inputs=(("count", "0"),))
    )
    assert found(options(further_inputs=(("length", "3"),))) != same[0]
