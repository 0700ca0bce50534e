"""Every file that a run writes, named once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.targets import TargetSpec, same_label
from deeplift_cli.outputs.other_divisions import other_division
from deeplift_cli.outputs.publish import check_writable
from deeplift_cli.outputs.score_file import companions
from deeplift_cli.outputs.workspace import begun_outputs
from deeplift_cli.process.steps import step


@dataclass(frozen=True)
class OutputPaths:
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

    def check_division(self, options: ScoreOptions) -> None:
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

    def check(self, options: ScoreOptions) -> None:
        """Refuse outputs that cannot be written; outputs of an interrupted publication may be replaced.

        Raises
        ------
        UserError
            With the first output that cannot be written, and the reason.
        """
        check_outputs(options, self.all, self.scores.values())


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


def check_outputs(options: ScoreOptions, outputs: Sequence[Path], scores: Iterable[Path]) -> None:
    """Refuse outputs that cannot be written.

    Parameters
    ----------
    options : ScoreOptions
    outputs : sequence of Path
    scores : iterable of Path
        The outputs beside which workspaces are. A resumed run may replace the outputs of an interrupted
        publication, which a workspace lists.

    Raises
    ------
    UserError
        With the first output that cannot be written, and the reason.
    """
    scores = list(scores)
    beside = {path: out for out in scores for path in companions(out)}
    try:
        check_writable(outputs, True, options.inputs(), beside)
        begun = {path for out in scores for path in begun_outputs(out)} if options.resume else set()
        others = [path for path in outputs if path.absolute() not in begun]
        check_writable(others, options.overwrite, beside=beside)
    except OSError as error:  # a name that is too long
        raise UserError(f"output {options.out} cannot be written: {error}; give another name") from error
