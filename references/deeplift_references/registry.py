"""The registry of the kinds of reference, which registers, lists and makes them by name.

A kind is one decorated factory::

    @register("thirds", help="a third each of A, C and G")
    def make_thirds(argument: str | None, settings: Settings) -> Reference: ...

All modules in ``generators/`` are imported. A kind of another package needs an entry point of the group
"deeplift.references", which has the kind's name and leads to the module or to the factory in it: when a user
asks for the kind, the module is imported and registers the kind.
"""

import importlib
import operator
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from deeplift_references import generators
from deeplift_references.base import Reference
from deeplift_references.errors import ReferenceSpecError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "deeplift.references"
# The packages whose kinds no other package may replace.
_OWN = ("deeplift_references", "deeplift_cli")


@dataclass(frozen=True)
class Settings:
    """The settings that a factory may use.

    Attributes
    ----------
    n_references : int
        Number of wanted references for each sequence, at least 1; some kinds always make one.
    seed : int
        Any integer.
    frequencies : tuple of float, optional
        Base frequencies in the order ACGT as the user gave them, unchecked; None for those of the input.
    context : mapping
        All further arguments of `make`, for kinds of other packages.
    """

    n_references: int = 20
    seed: int = 0
    frequencies: tuple[float, ...] | None = None
    context: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


Factory = Callable[[str | None, Settings], Reference]


@dataclass(frozen=True)
class Kind:
    """One registered kind: its name, one line of help, its factory and its syntax."""

    name: str
    help: str
    factory: Factory
    takes_argument: bool = False
    metavar: str = "ARGUMENT"
    takes_count: bool = False
    has_expectation: bool = False

    @property
    def usage(self) -> str:
        """The syntax of the kind, e.g. ``zeros`` or ``background:FASTA``."""
        return f"{self.name}:{self.metavar}" if self.takes_argument else self.name


_KINDS: dict[str, Kind] = {}


def register(
    name: str,
    *,
    help: str,  # noqa: A002 - reads as in click
    takes_argument: bool = False,
    metavar: str = "ARGUMENT",
    takes_count: bool = False,
    has_expectation: bool = False,
) -> Callable[[Factory], Factory]:
    """Return a decorator that registers a factory ``(argument, settings) -> Reference`` as a kind.

    Parameters
    ----------
    name : str
        The name that the user types, without a colon.
    help : str
        One line for the command line's help.
    takes_argument : bool
        True if the syntax is ``name:argument``, with a required argument. If false, the factory's first
        parameter is None.
    metavar : str
        The name of the argument in help texts, e.g. FASTA.
    takes_count : bool
        True if the user chooses the number of references.
    has_expectation : bool
        True if the references are independent draws whose expectation `Reference.expected` returns.

    Raises
    ------
    ValueError
        If the name is taken or contains a colon.
    """
    if name in _KINDS:
        raise ValueError(f"two kinds of reference are called {name!r}")
    if not name or ":" in name:
        raise ValueError(f"a kind of reference cannot be called {name!r}")

    def add(factory: Factory) -> Factory:
        _KINDS[name] = Kind(name, help, factory, takes_argument, metavar, takes_count, has_expectation)
        return factory

    return add


def import_generators() -> None:
    """Import every module of ``generators/``, each of which registers its kind."""
    for module in pkgutil.iter_modules(generators.__path__, f"{generators.__name__}."):
        importlib.import_module(module.name)


def kinds() -> Mapping[str, Kind]:
    """Return all kinds registered so far, by name: those of this package first."""
    return MappingProxyType(_KINDS)


def load_kinds_of_other_packages() -> list[str]:
    """Register all kinds that other packages bring by entry points.

    Returns
    -------
    list of str
        One line for each kind that cannot be used.
    """
    problems = []
    for name in dict.fromkeys(point.name for point in _entry_points()):
        try:
            _find(name)
        except ReferenceSpecError as error:
            problems.append(str(error))
    return problems


def _find(name: str) -> Kind | None:
    """Return the kind of this name, after loading the package that brings it; None if there is none.

    Raises
    ------
    ReferenceSpecError
        If two packages use the name, or the package cannot be loaded or does not register the kind.
    """
    points = [point for point in _entry_points() if point.name == name]
    kind = _KINDS.get(name)
    if kind is not None and kind.factory.__module__.partition(".")[0] in _OWN and points:
        raise ReferenceSpecError(
            f"the package {_package(points[0])} brings the kind of reference {name!r}, but deeplift has one "
            f"of this name itself; rename that entry point ({ENTRY_POINTS}) or uninstall the package"
        )
    if len(points) > 1:
        packages = " and ".join(sorted(map(_package, points)))
        raise ReferenceSpecError(
            f"the packages {packages} both bring the kind of reference {name!r}; uninstall one of them"
        )
    if kind is None and points:
        about = f"the kind of reference {name!r} of the package {_package(points[0])} ({points[0].value})"
        try:
            points[0].load()
        except (Exception, SystemExit) as error:  # the code of other packages can raise any exception
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise ReferenceSpecError(
                f"{about} cannot be loaded: {reason}; repair or uninstall that package"
            ) from error
        if name not in _KINDS:
            raise ReferenceSpecError(
                f"{about} registers no kind of this name; repair or uninstall that package"
            )
    return _KINDS.get(name)


@cache
def _entry_points() -> tuple["EntryPoint", ...]:
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name))


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else point.value.partition(".")[0]


def parse_spec(spec: str) -> tuple[Kind, str | None]:
    """Split ``kind`` or ``kind:argument`` and look the kind up.

    Raises
    ------
    ReferenceSpecError
        If the kind is unknown, its argument is missing or not allowed, or the package that brings the kind
        cannot be loaded.
    """
    if not isinstance(spec, str):
        raise ReferenceSpecError(f"a kind of reference is a text, such as 'dinucleotide', not {spec!r}")
    name, colon, argument = spec.partition(":")
    kind = _find(name)
    if kind is None:
        problems = load_kinds_of_other_packages()
        choices = ", ".join(known.usage for known in kinds().values())
        raise ReferenceSpecError(
            "; ".join([f"unknown kind of reference {name!r}; choose from {choices}", *problems])
        )
    if kind.takes_argument and not argument:
        raise ReferenceSpecError(f"reference {name!r} needs an argument: {kind.usage}")
    if colon and not kind.takes_argument:
        raise ReferenceSpecError(f"reference {name!r} takes no argument, but got {argument!r}")
    return kind, argument if colon else None


def make(
    spec: str,
    *,
    n_references: int = 20,
    seed: int = 0,
    frequencies: Sequence[float] | None = None,
    **context: Any,
) -> Reference:
    """Make a reference generator.

    Parameters
    ----------
    spec : str
        ``kind`` or ``kind:argument``; `kinds` lists all kinds.
    n_references : int
        Number of references for each sequence. The kinds frequency, mean and zeros always make one.
    seed : int
        Shuffles depend only on the seed and on the sequence.
    frequencies : sequence of 4 float, optional
        Base frequencies in the order ACGT for the kind ``frequency``; None for those of the observed input.
    **context
        Arguments for kinds of other packages, see `Settings.context`.

    Raises
    ------
    ReferenceSpecError
        If the kind is unknown, its argument is missing or not allowed, or a setting is not valid.
    """
    kind, argument = parse_spec(spec)
    if operator.index(n_references) < 1:
        raise ReferenceSpecError(f"the number of references must be at least 1, not {n_references}")
    settings = Settings(
        n_references=operator.index(n_references),
        seed=operator.index(seed),
        frequencies=None if frequencies is None else tuple(float(f) for f in frequencies),
        context=MappingProxyType(context),
    )
    return kind.factory(argument, settings)
