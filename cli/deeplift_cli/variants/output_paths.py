"""Every file that a run of `deeplift variants` writes, named once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deeplift_cli.options.targets import TargetSpec
from deeplift_cli.options.variant_settings import VariantOptions
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.run.output_paths import Outputs, check_names_of_targets


@dataclass(frozen=True)
class VariantPaths(Outputs):
    """The names of a run's outputs, with ``{target}`` filled in.

    Attributes
    ----------
    files, skipped : dict of TargetSpec to Path
        The HDF5 file of each target, and the table of skipped variants beside it.
    tables : dict of TargetSpec to Path
        The table of effects of each target; empty if none is wanted.
    references : Path or None
        The file for the references, if they are to be saved.
    """

    files: Mapping[TargetSpec, Path]
    skipped: Mapping[TargetSpec, Path]
    tables: Mapping[TargetSpec, Path]
    references: Path | None

    @classmethod
    def of(cls, options: VariantOptions) -> Self:
        """Name the outputs of a run with these options.

        Raises
        ------
        OptionsError
            If several targets would be written to one file.
        """
        check_names_of_targets(options.targets, (options.out, options.tsv))
        files = {spec: options.named(options.out, spec) for spec in options.targets}
        tsv, saved = options.tsv, options.save_references
        return cls(
            files,
            {spec: companions(path)[1] for spec, path in files.items()},
            {} if tsv is None else {spec: options.named(tsv, spec) for spec in options.targets},
            None if saved is None else options.named(saved),
        )

    @property
    def first(self) -> Path:
        """The HDF5 file of the first target, beside which the finished batches are kept."""
        return next(iter(self.files.values()))

    @property
    def all(self) -> list[Path]:
        """All files, target by target."""
        found = []
        for spec, path in self.files.items():
            found += [path, self.skipped[spec]]
            found += [self.tables[spec]] if spec in self.tables else []
        return found if self.references is None else [*found, self.references]

    @property
    def beside(self) -> Mapping[Path, Path]:
        """The table of skipped variants of each HDF5 file, with the HDF5 file."""
        return {self.skipped[spec]: path for spec, path in self.files.items()}

    @property
    def with_folders(self) -> list[Path]:
        """The HDF5 file of the first target."""
        return [self.first]
