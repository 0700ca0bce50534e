"""What a case is, and the list of all."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Make = Callable[[Path], object]
Check = Callable[[Path], None]

SCORE = "score -m net.pt -f in.fa -o out.h5 --n-references 2"
# A job that may take one gigabyte more than what the imports take, wherever it runs.
LITTLE_MEMORY = {"limits": {"RLIMIT_AS": 1 << 30}}
QUIET_SCORE = f"{SCORE} -q"


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A tidy run whose scores those of an odd input have to equal.

    Attributes
    ----------
    letters : tuple of str
        The sequences, in the order of the score file's rows.
    model : str or callable
        A file of `tidy.FILES`, or what makes one of this name in a folder.
    options : str
        Further ones.
    """

    letters: tuple[str, ...]
    model: str = "net.pt"
    make: Callable[[Path], object] | None = None
    options: str = ""


def of_model(words: str, model: str) -> str:
    """Return the words of a command with another model; a second --model would be a further fold."""
    return re.sub(r"(?<= -m )\S+", lambda _: model, words, count=1)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input, and what has to come of it.

    Attributes
    ----------
    name : str
    kind : str
        The module that states it.
    words : sequence of str
        The command's arguments.
    files : mapping of str to str or bytes
        Written into the folder, beside or over those of `tidy.FILES`.
    make : callable, optional
        Writes further files into the folder. A list of str that it returns are the
        command's arguments instead.
    first : tuple of sequences of str
        Commands that are run before, and have to succeed.
    change : callable, optional
        A function that changes the folder after the first commands.
    code : int, or tuple of int
        The exit codes that the contract allows.
    says : tuple of str
        Regular expressions: each is found in the one message, whatever the case of its letters.
    never : tuple of str
        What must not be found in it.
    keeps : tuple of str
        Patterns of names that may be left behind where the exit code is not 0.
    skipped : int
        Where the exit code is 0: how many records are listed as skipped.
    plain : Plain, optional
        Where the exit code is 0: what the scores have to equal.
    names : tuple of str, optional
        Of the rows.
    notes : tuple of str
        Regular expressions: each line on stderr of a run with exit code 0 has to match one.
    check : callable, optional
        Gets the folder of a run with exit code 0.
    safe : callable, optional
        Gets the folder of a run, whatever its exit code.
    environment : mapping of str to str or None
    setting : mapping
        See `server.apply`.
    needs : str
        The subcommand, or the subcommand and its option, without which there is no such case yet.
    long : bool
        Whether the case takes too long for every day.
    """

    name: str
    kind: str
    words: Sequence[str]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    make: Make | None = None
    first: tuple[Sequence[str], ...] = ()
    change: Callable[[Path], object] | None = None
    code: int | tuple[int, ...] = 1
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    skipped: int = 0
    plain: Plain | None = None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    check: Check | None = None
    safe: Check | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    setting: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    long: bool = False

    @property
    def codes(self) -> tuple[int, ...]:
        """The exit codes that are allowed."""
        return self.code if isinstance(self.code, tuple) else (self.code,)

    @property
    def is_odd(self) -> bool:
        """Whether it is a valid input, however odd."""
        return self.codes == (0,)


CASES: list[Case] = []


def instead(command: str, option: str) -> str:
    """Return the command with another value of an option that the command has; `option` as "-g other.fa"."""
    name, value = option.split()
    before, found, after = f"{command} ".partition(f" {name} ")
    assert found, f"{command} has no {name}"
    return f"{before}{found}{value} {after.partition(' ')[2]}".strip()


def _words(words: str | Sequence[str]) -> list[str]:
    return shlex.split(words) if isinstance(words, str) else list(words)


def _add(module: str, name: str, words: str | Sequence[str], **rest: Any) -> None:
    first = tuple(_words(command) for command in rest.pop("first", ()))
    kind = module.rpartition(".")[2]
    if any((case.kind, case.name) == (kind, name) for case in CASES):
        raise ValueError(f"two cases of {kind} are called {name!r}")
    CASES.append(Case(name=name, kind=kind, words=_words(words), first=first, **rest))


class Kind:
    """Adds cases of one kind.

    Parameters
    ----------
    module : str
        The ``__name__`` of the module that states them.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def bad(self, name: str, words: str | Sequence[str] = QUIET_SCORE, *says: str, **rest: Any) -> None:
        """Add an input that cannot be used: exit code 1 unless told otherwise."""
        _add(self._module, name, words, says=says, **{"code": 1, **rest})

    def odd(self, name: str, words: str | Sequence[str] = SCORE, *scored: str, **rest: Any) -> None:
        """Add an input that is valid, however odd; `scored` are the sequences that its scores belong to."""
        if scored:
            options = rest.pop("options", "")
            model = rest.pop("model", "net.pt")
            make = rest.pop("plain_make", None)
            rest["plain"] = Plain(letters=scored, model=model, make=make, options=options)
        _add(self._module, name, words, **{"code": 0, **rest})
