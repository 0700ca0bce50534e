"""Every file that a run writes, named once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.targets import TargetSpec, same_label
from deeplift_cli.outputs.other_divisions import other_division
from deeplift_cli.outputs.publish import check_writable
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.workspace import begun_outputs, clean_up
from deeplift_cli.process.steps import step


class Outputs(ABC):
    """The names of a run's outputs."""

    @property
    @abstractmethod
    def all(self) -> list[Path]:
        """All files that the run writes."""

    @property
    @abstractmethod
    def with_folders(self) -> list[Path]:
        """The outputs beside which the folders with finished batches are."""

    @property
    @abstractmethod
    def beside(self) -> Mapping[Path, Path]:
        """Outputs that the user has not named, each with the named output beside which it is written."""

    def check(self, options: ScoreOptions) -> None:
        """Refuse outputs that cannot be written.

        A resumed run may replace the outputs of an interrupted publication, which the folders list.

        Raises
        ------
        UserError
            With the first output that cannot be written, and the reason.
        """
        try:
            check_writable(self.all, True, options.inputs(), self.beside)
            begun = {path for out in self.with_folders for path in begun_outputs(out)}
            others = [path for path in self.all if not options.resume or path.absolute() not in begun]
            check_writable(others, options.overwrite, beside=self.beside)
        except OSError as error:  # a name that is too long
            reason = f"output {options.out} cannot be written: {error}; give another name"
            raise UserError(reason) from error


Options = TypeVar("Options", bound=ScoreOptions)
Named = TypeVar("Named", bound=Outputs)


@dataclass(frozen=True)
class OutputPaths(Outputs):
    """The names of a run's outputs, with ``{target}`` and ``{shard}`` filled in.

    Attributes
    ----------
    scores : dict of TargetSpec to Path
        The score file of each target.
    bigwigs : dict of TargetSpec to Path
        The bigWig of each target; empty if no bigWig is wanted.
    references : Path or None
        The file for the references, if they are to be saved.
    """

    scores: Mapping[TargetSpec, Path]
    bigwigs: Mapping[TargetSpec, Path]
    references: Path | None

    @classmethod
    def of(cls, options: ScoreOptions) -> Self:
        """Name the outputs of a run with these options.

        Raises
        ------
        OptionsError
            If several targets would be written to one file.
        """
        check_names_of_targets(options.targets, (options.out, options.bigwig))
        bigwig, saved = options.bigwig, options.save_references
        return cls(
            {spec: options.named(options.out, spec) for spec in options.targets},
            {} if bigwig is None else {spec: options.named(bigwig, spec) for spec in options.targets},
            None if saved is None else options.named(saved),
        )

    @property
    def all(self) -> list[Path]:
        """All files, target by target, with the tables beside each score file."""
        found = []
        for spec, scores in self.scores.items():
            found += [scores, *companions(scores)]
            found += [self.bigwigs[spec]] if spec in self.bigwigs else []
        return found if self.references is None else [*found, self.references]

    @property
    def beside(self) -> Mapping[Path, Path]:
        """The tables of each score file, with the score file."""
        return {table: scores for scores in self.scores.values() for table in companions(scores)}

    @property
    def with_folders(self) -> list[Path]:
        """The score files, each of which has a folder with finished batches beside it."""
        return list(self.scores.values())


def free_outputs(name: Callable[[Options], Named], options: Options) -> Named:
    """Return the names of all outputs, free of what an interrupted run left, and found writable.

    Raises
    ------
    UserError
        If an output cannot be written, or there are outputs of another number of shards than a guessed one.
    """
    outputs = name(options)
    _check_division(options)
    clean_up(outputs.with_folders)
    outputs.check(options)
    return outputs


def _check_division(options: ScoreOptions) -> None:
    """Refuse a guessed number of shards if outputs of another number of shards exist.

    Raises
    ------
    UserError
        If N of the shard is the size of the Slurm array, and there are outputs of another division.
    """
    shard = options.shard
    if shard is None or not shard.is_guess:
        return
    with step("looking for other shards", options.out):
        found = other_division(options.out, shard.count)
    if found is not None:
        path, count = found
        raise UserError(
            f"--shard auto takes this array for a whole job of {shard.count} shards, but {path} belongs "
            f"to a job of {count}: give --shard auto/{count} to run tasks of that job again, or "
            f"auto/{shard.count} to divide it anew"
        )


def check_names_of_targets(targets: Sequence[TargetSpec], outputs: Iterable[Path | None]) -> None:
    """Refuse names of outputs that give two targets the same file.

    Raises
    ------
    OptionsError
    """
    for out in outputs:
        if out is not None and len(targets) > 1 and "{target}" not in out.name:
            raise OptionsError(
                f"{out}: several targets need {{target}} in the output's name, one file for each"
            )
    if alike := same_label(targets):
        raise OptionsError(
            f"targets {alike[0]} and {alike[1]} have one name, {alike[0].label}, in the names of files; "
            "score them in runs of their own"
        )
