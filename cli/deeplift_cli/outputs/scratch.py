"""The hidden folder beside an output for unfinished files, and the files that a killed run left in it."""

from pathlib import Path
from types import TracebackType
from typing import Self

from deeplift_cli.outputs import own_folder
from deeplift_cli.outputs.locked_folder import LockedFolder, begun_in
from deeplift_cli.outputs.own_folder import LOCK, PUBLISHED
from deeplift_cli.outputs.publish import short_name


class Scratch(LockedFolder):
    """The folder ``.NAME.SUFFIX`` beside an output NAME; a context manager.

    The folder is locked while it is used. Files of a killed run are removed on entry, and the folder is
    removed on exit. Files of other programs stay, and the folder with them.

    Parameters
    ----------
    out : Path
        The output.
    suffix : str
        The suffix of the subcommand.

    Attributes
    ----------
    folder : Path
    begun : set of Path
        Absolute paths of the outputs that a killed run had begun to publish, and that may be replaced.

    Raises
    ------
    UserError
        On entry: if another process uses the folder, or the name belongs to something else.
    """

    def __init__(self, out: Path, suffix: str) -> None:
        super().__init__(out, out.with_name(f".{short_name(out.name)}.{suffix}"))
        self.begun = set[Path]()

    def __enter__(self) -> Self:
        self._lock = self._lock_it("wait for it")
        try:
            own_folder.require_files(self.folder)
            self.begun = set() if (self.folder / PUBLISHED).exists() else begun_in(self.folder)
            own_folder.remove_files(self.folder, lambda name: name != LOCK)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        own_folder.remove(self.folder)
        self._lock.release()
