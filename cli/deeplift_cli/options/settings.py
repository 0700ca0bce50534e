"""Everything that a subcommand can be told, checked and in one place.

What makes two runs the same job, see `fingerprint`, follows from the fields: each option of `score` counts by
its value unless its field says otherwise.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import deeplift_references
from deeplift_cli.options.chromosome_styles import STYLES
from deeplift_cli.options.shards import Shard
from deeplift_cli.options.targets import TargetSpec

# What a field says of its part in the fingerprint. It changes no score: where things go, how fast, and what
# is said about it.
CHANGES_NO_SCORE = {"counts": "not"}
# `fingerprint` takes what matters of it by code of its own.
COUNTS_IN_ITS_OWN_WAY = {"counts": "apart"}


def content_of(what: str) -> dict[str, str]:
    """For a field that is a path: the file's content counts, by this name in the user's words."""
    return {"counts": "content", "what": what}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options about the model and how it is run; names are those of the command line."""

    model: Path = field(metadata=COUNTS_IN_ITS_OWN_WAY)  # by the digest that its reader makes
    output: int | str = 0
    targets: tuple[TargetSpec, ...] = (TargetSpec(0),)
    layer_rules: tuple[tuple[str, str], ...] = ()
    layout: str = "auto"
    alphabet: str = "ACGT"
    logits: bool = True
    centre: bool = True
    batch_size: int | None = None
    device: str = field(default="auto", metadata=COUNTS_IN_ITS_OWN_WAY)  # by its kind
    threads: int | None = field(default=None, metadata=CHANGES_NO_SCORE)  # but for rounding
    precision: str = "float32"
    allow_pickle: bool = field(default=False, metadata=CHANGES_NO_SCORE)
    # Options of the model's format that the user gave, by their names in Python; each counts by its own.
    format_options: tuple[tuple[str, Any], ...] = field(default=(), metadata=COUNTS_IN_ITS_OWN_WAY)


@dataclass(frozen=True, kw_only=True)
class InspectOptions(ModelOptions):
    """Options of `deeplift inspect`; no target stands for the output's first element."""

    targets: tuple[TargetSpec, ...] = ()
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ModelOptions):
    """Options of `deeplift score`.

    Exactly one of `fasta`, and `genome` with `regions`, is given.
    """

    out: Path = field(metadata=CHANGES_NO_SCORE)
    fasta: Path | None = field(default=None, metadata=content_of("the FASTA file"))
    # By its size: hashing a genome takes a minute, and its sequences are compared as they are read.
    genome: Path | None = field(default=None, metadata=COUNTS_IN_ITS_OWN_WAY)
    regions: Path | None = field(default=None, metadata=content_of("the file of regions"))
    length: int | None = None
    edge: str = "skip"
    max_n: float | None = None
    chroms: tuple[str, ...] | None = None
    # By the name of a style, or by the content of a file.
    rename_chroms: str | None = field(default=None, metadata=COUNTS_IN_ITS_OWN_WAY)
    bigwig: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    chrom_sizes: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    rule: str = "genomics-default"
    # By its kind, and by the content of its file.
    reference: str = field(default="dinucleotide", metadata=COUNTS_IN_ITS_OWN_WAY)
    save_references: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    frequencies: tuple[float, ...] | None = None
    n_references: int = 20
    seed: int = 0
    rc_average: bool = False
    strand_aware: bool = False
    overlap: str = field(default="nearest-centre", metadata=CHANGES_NO_SCORE)
    max_completeness_error: float | None = field(default=None, metadata=CHANGES_NO_SCORE)
    compile: str = "auto"
    dtype: str = "float32"
    standard_errors: bool = field(default=False, metadata=CHANGES_NO_SCORE)
    # A share has the rows of the whole job; a workspace tells them apart.
    shard: Shard | None = field(default=None, metadata=CHANGES_NO_SCORE)
    resume: bool = field(default=True, metadata=CHANGES_NO_SCORE)
    overwrite: bool = field(default=False, metadata=CHANGES_NO_SCORE)

    def named(self, path: Path, target: TargetSpec | None = None) -> Path:
        """``{target}`` in an output's name stands for the target, ``{shard}`` for the share of the job."""
        name = path.name.replace("{target}", target.label) if target else path.name
        return path.with_name(name.replace("{shard}", self.shard.label) if self.shard else name)

    @property
    def records(self) -> Path:
        """The file that says what is scored: the FASTA file, or the regions."""
        given = self.fasta or self.regions
        assert given is not None
        return given

    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        given = (self.model, self.fasta, self.genome, self.regions, self.chrom_sizes)
        kind, argument = deeplift_references.parse_spec(self.reference)
        named = [Path(argument)] if kind.takes_argument and argument else []  # background:FASTA, file:REFS.h5
        if self.rename_chroms is not None and self.rename_chroms not in STYLES:
            named.append(Path(self.rename_chroms))
        return [path for path in given if path is not None] + named

    def as_attributes(self) -> dict[str, Any]:
        """For the score file: plain values only."""
        plain = asdict(self) | {"targets": [spec.index for spec in self.targets]}
        plain["shard"] = None if self.shard is None else str(self.shard)
        return {key: _text(value) if isinstance(value, str | Path) else value for key, value in plain.items()}

    @classmethod
    def from_attributes(cls, attrs: Mapping[str, Any], **given: Any) -> Self:
        """Options as a score file holds them, for its one target, but for what is given.

        Raises
        ------
        ValueError
            If an attribute is not what `as_attributes` gives.
        """
        kinds = get_type_hints(cls)
        names = [field.name for field in fields(cls) if field.name in attrs]
        stored = {
            name: _option(attrs[name], kinds[name]) for name in names if name not in {"targets", *given}
        }
        target = attrs["target"]
        index = tuple(json.loads(target)) if isinstance(target, str) else target
        return cls(**stored | {"targets": (TargetSpec(index),)} | given)


def _option(value: Any, kind: Any) -> Any:
    """An option's value from an attribute, where lists and None are JSON."""
    choices = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value == "null" and NoneType in choices:
        return None
    if any(get_origin(choice) is tuple for choice in choices):
        return tuple(tuple(item) if isinstance(item, list) else item for item in json.loads(value))
    return Path(value) if Path in choices else value


def _text(value: str | Path) -> str:
    """Names of files can be any bytes, attributes are UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode()
