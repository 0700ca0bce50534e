"""Everything that a subcommand can be told, checked and in one place."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import deeplift_references
from deeplift_cli.shards import Shard
from deeplift_cli.target_specs import TargetSpec


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options about the model and how it is run; names are those of the command line."""

    model: Path
    output: int | str = 0
    targets: tuple[TargetSpec, ...] = (TargetSpec(0),)
    layer_rules: tuple[tuple[str, str], ...] = ()
    layout: str = "auto"
    alphabet: str = "ACGT"
    logits: bool = True
    centre: bool = True
    batch_size: int | None = None
    device: str = "auto"
    threads: int | None = None
    precision: str = "float32"
    allow_pickle: bool = False


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

    out: Path
    fasta: Path | None = None
    genome: Path | None = None
    regions: Path | None = None
    bigwig: Path | None = None
    chrom_sizes: Path | None = None
    rule: str = "genomics-default"
    reference: str = "dinucleotide"
    save_references: Path | None = None
    frequencies: tuple[float, ...] | None = None
    n_references: int = 20
    seed: int = 0
    rc_average: bool = False
    strand_aware: bool = False
    overlap: str = "nearest-centre"
    max_completeness_error: float | None = None
    compile: str = "auto"
    dtype: str = "float32"
    shard: Shard | None = None
    resume: bool = True
    overwrite: bool = False

    def named(self, path: Path, target: TargetSpec | None = None) -> Path:
        """``{target}`` in an output's name stands for the target, ``{shard}`` for the share of the job."""
        name = path.name.replace("{target}", target.label) if target else path.name
        return path.with_name(name.replace("{shard}", self.shard.label) if self.shard else name)

    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        given = (self.model, self.fasta, self.genome, self.regions, self.chrom_sizes)
        kind, argument = deeplift_references.parse_spec(self.reference)
        named = [Path(argument)] if kind.takes_argument and argument else []  # background:FASTA, file:REFS.h5
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
