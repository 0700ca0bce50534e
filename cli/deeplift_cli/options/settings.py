"""The options of the subcommands, checked, in one place.

The fingerprint of a job (`run.fingerprint`) is made from the fields: each option of `score` counts by its
value unless its field says otherwise.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import deeplift_references
from deeplift_cli.options.chromosome_styles import STYLES
from deeplift_cli.options.further_inputs import FurtherInput, file_in
from deeplift_cli.options.rules import ISM
from deeplift_cli.options.shards import Shard
from deeplift_cli.options.target_grammar import parse_targets
from deeplift_cli.options.targets import FIRST, Element, TargetSpec, indices_of
from deeplift_cli.options.token_ids import TokenIds

# Metadata of a field that says how the option counts in the fingerprint.
# The option changes no score: it says where files go, how fast the run is, or what is printed.
CHANGES_NO_SCORE = {"counts": "not"}
# `fingerprint` has code of its own for the option.
COUNTS_IN_ITS_OWN_WAY = {"counts": "apart"}


def content_of(what: str) -> dict[str, str]:
    """Return metadata of a path whose file counts by its content, under the name `what`, which users read."""
    return {"counts": "content", "what": what}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of the model and of how it runs, named as on the command line."""

    model: Path = field(metadata=COUNTS_IN_ITS_OWN_WAY)  # counts by the digest of the model file
    output: int | str | None = (
        None  # None: the first, or the one that a head of BPNet-like models is taken of
    )
    targets: tuple[TargetSpec, ...] = (FIRST,)
    # True if the user gave no target, so that the model's outputs may decide. The fingerprint has the targets
    # instead.
    default_target: bool = field(default=False, metadata=CHANGES_NO_SCORE)
    labels: Path | None = field(default=None, metadata=content_of("the file of labels"))
    layer_rules: tuple[tuple[str, str], ...] = ()
    layout: str = "auto"
    alphabet: str = "ACGT"
    encode_n: str = "zeros"
    token_ids: TokenIds = ()  # of the letters A, C, G, T and perhaps N, where the model takes token ids
    logits: bool = True
    centre: bool = True
    batch_size: int | None = None
    device: str = field(default="auto", metadata=COUNTS_IN_ITS_OWN_WAY)  # counts by its kind
    threads: int | None = field(default=None, metadata=CHANGES_NO_SCORE)  # except by rounding
    precision: str = "float32"
    allow_pickle: bool = field(default=False, metadata=CHANGES_NO_SCORE)
    # Options of the model's format that the user gave, by their names in Python; each counts by its name.
    format_options: tuple[tuple[str, Any], ...] = field(default=(), metadata=COUNTS_IN_ITS_OWN_WAY)
    # Each counts by the name of its input, and by its number or the content of its file.
    further_inputs: tuple[FurtherInput, ...] = field(default=(), metadata=COUNTS_IN_ITS_OWN_WAY)

    @property
    def layout_options(self) -> dict[str, str]:
        """The options of the input's layout, as `models.find_layout` takes them."""
        return {"layout": self.layout, "alphabet": self.alphabet, "encode_n": self.encode_n}


@dataclass(frozen=True, kw_only=True)
class InspectOptions(ModelOptions):
    """Options of `deeplift inspect`; without targets, the first element of the output is explained."""

    targets: tuple[TargetSpec, ...] = ()
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(ModelOptions):
    """Options of `deeplift score`.

    Exactly one of `fasta`, and `genome` with `regions`, is given.
    """

    # The folds of a cross-validation, the first of which is `model`; empty for one model. They count as
    # `model` does.
    models: tuple[Path, ...] = field(default=(), metadata=COUNTS_IN_ITS_OWN_WAY)
    out: Path = field(metadata=CHANGES_NO_SCORE)
    fasta: Path | None = field(default=None, metadata=content_of("the FASTA file"))
    # The genome counts by its size: a checksum would take a minute, and the sequences are compared when they
    # are read.
    genome: Path | None = field(default=None, metadata=COUNTS_IN_ITS_OWN_WAY)
    regions: Path | None = field(default=None, metadata=content_of("the file of regions"))
    length: int | None = None
    edge: str = "skip"
    max_n: float | None = None
    sample: int | None = None  # is drawn with `seed`
    chroms: tuple[str, ...] | None = None
    # The option counts by the name of a style, or by the content of a file.
    rename_chroms: str | None = field(default=None, metadata=COUNTS_IN_ITS_OWN_WAY)
    bigwig: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    chrom_sizes: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    rule: str = "genomics-default"
    # The option counts by its kind, and by the content of its file. It is None with the rule "ism", which has
    # no references at all.
    reference: str | None = field(default="dinucleotide", metadata=COUNTS_IN_ITS_OWN_WAY)
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
    control_variate: bool = False
    # All shards have the fingerprint of the whole job; each shard has a workspace of its own.
    shard: Shard | None = field(default=None, metadata=CHANGES_NO_SCORE)
    resume: bool = field(default=True, metadata=CHANGES_NO_SCORE)
    overwrite: bool = field(default=False, metadata=CHANGES_NO_SCORE)

    def named(self, path: Path, target: TargetSpec | None = None) -> Path:
        """Return an output's path with ``{target}`` and ``{shard}`` in the file name filled in."""
        name = path.name.replace("{target}", target.label) if target else path.name
        return path.with_name(name.replace("{shard}", self.shard.label) if self.shard else name)

    @property
    def records(self) -> Path:
        """The file that lists the records to score: the FASTA file, or the regions."""
        given = self.fasta or self.regions
        assert given is not None
        return given

    @property
    def is_mutagenesis(self) -> bool:
        """True for in-silico mutagenesis, which runs forward passes only and takes no references."""
        return self.rule == ISM

    @property
    def all_models(self) -> tuple[Path, ...]:
        """The models whose mean is scored, or the one model."""
        return self.models or (self.model,)

    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        given = (
            *self.all_models, self.fasta, self.genome, self.regions, self.chrom_sizes, self.labels,
        )  # fmt: skip
        named = []
        if self.reference is not None:
            kind, argument = deeplift_references.parse_spec(self.reference)
            if kind.takes_argument and argument:  # background:FASTA, file:REFS.h5
                named.append(Path(argument))
        if self.rename_chroms is not None and self.rename_chroms not in STYLES:
            named.append(Path(self.rename_chroms))
        named += [path for _, value in self.further_inputs if (path := file_in(value)) is not None]
        return [path for path in given if path is not None] + named

    def as_attributes(self) -> dict[str, Any]:
        """Return the options as attributes of the score file, which hold plain values only."""
        plain = asdict(self) | {"targets": [spec.stored for spec in self.targets]}
        plain["shard"] = None if self.shard is None else str(self.shard)
        del plain["default_target"]
        models = plain.pop("models")
        if models:
            plain["model"] = [_text(path) for path in models]
        return {key: _text(value) if isinstance(value, str | Path) else value for key, value in plain.items()}

    @classmethod
    def from_attributes(cls, attrs: Mapping[str, Any], **given: Any) -> Self:
        """Return the options from the attributes of a score file, for its one target.

        Keyword arguments replace the options of the same name.

        Raises
        ------
        ValueError
            If an attribute is not a value that `as_attributes` returns.
        """
        kinds = get_type_hints(cls)
        names = [field.name for field in fields(cls) if field.name in attrs]
        stored = {
            name: _option(attrs[name], kinds[name]) for name in names if name not in {"targets", *given}
        }
        return cls(**stored | {"targets": _stored_target(attrs["target"])} | given)


def _stored_target(stored: int | str) -> tuple[TargetSpec]:
    """Return the one target of a score file: an index, several as JSON, or a text of the grammar."""
    if isinstance(stored, str):
        indices = indices_of(stored)
        if indices is None:
            (target,) = parse_targets(stored, ())
            return (target,)
    else:
        indices = (stored,)
    return (Element(indices),)


def _option(value: Any, kind: Any) -> Any:
    """Return an option's value from an attribute, in which lists and None are JSON."""
    choices = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value == "null" and NoneType in choices:
        return None
    if any(get_origin(choice) is tuple for choice in choices):
        return tuple(tuple(item) if isinstance(item, list) else item for item in json.loads(value))
    return Path(value) if Path in choices else value


def _text(value: str | Path) -> str:
    """Return a text that UTF-8 can hold, as attributes must: file names can hold any bytes."""
    return str(value).encode("utf-8", "backslashreplace").decode()
