"""The options of `deeplift variants`, checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deeplift_cli.options.settings import (
    CHANGES_NO_SCORE,
    COUNTS_IN_ITS_OWN_WAY,
    ScoreOptions,
    content_of,
)


@dataclass(frozen=True, kw_only=True)
class VariantOptions(ScoreOptions):
    """Options of `deeplift variants`: those of `score` that it shares, and its own.

    The options of `score` that `variants` does not offer keep their defaults. `model` is the first of
    `models`.
    """

    vcf: Path = field(metadata=content_of("the VCF file"))
    # Several are the folds of a cross-validation; the digests of all count as the digest of the model.
    models: tuple[Path, ...] = field(metadata=COUNTS_IN_ITS_OWN_WAY)
    tsv: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    indel_fill: str = "right"
    background: Path | None = field(default=None, metadata=content_of("the VCF file of --background"))
    motifs: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)

    @property
    def records(self) -> Path:
        """The file that lists what is scored: the VCF."""
        return self.vcf

    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        given = (*self.models[1:], self.vcf, self.background, self.motifs)
        return super().inputs() + [path for path in given if path is not None]

    def as_attributes(self) -> dict[str, Any]:
        """Return the options as attributes of the file, which hold plain values only."""
        return super().as_attributes() | {"models": [str(path) for path in self.models]}
