"""The options of `deeplift variants`, checked."""

from dataclasses import dataclass, field
from pathlib import Path

from deeplift_cli.options.settings import (
    CHANGES_NO_SCORE,
    ScoreOptions,
    content_of,
)


@dataclass(frozen=True, kw_only=True)
class VariantOptions(ScoreOptions):
    """Options of `deeplift variants`: those of `score` that it shares, and its own.

    The options of `score` that `variants` does not offer keep their defaults.
    """

    vcf: Path = field(metadata=content_of("the VCF file"))
    tsv: Path | None = field(default=None, metadata=CHANGES_NO_SCORE)
    indel_fill: str = "right"
    background: Path | None = field(default=None, metadata=content_of("the VCF file of --background"))
    motifs: Path | None = field(default=None, metadata=content_of("the file of motifs"))

    @property
    def records(self) -> Path:
        """The file that lists what is scored: the VCF."""
        return self.vcf

    def inputs(self) -> list[Path]:
        """The files that the run reads."""
        given = (self.vcf, self.background, self.motifs)
        return super().inputs() + [path for path in given if path is not None]
