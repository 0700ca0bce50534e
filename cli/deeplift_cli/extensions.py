"""Registries of extensions: other packages bring subcommands, output formats and so on by entry points.

The name of an entry point is the name that the user types. An extension is loaded when it is needed; a
package that cannot be loaded is reported in one line then, and does not disturb any other command.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from deeplift_cli.errors import UserError

if TYPE_CHECKING:  # the import takes a tenth of the time of `deeplift --help`
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Extensions of one kind by name: the program's own, and those of other packages.

    Parameters
    ----------
    group : str
        The group of entry points, such as "deeplift.outputs".
    what : str
        The word for one extension in messages, such as "output format".
    kind : type
        The type to which an entry point must lead. If the type has an attribute ``name``, its value must be
        the name of the entry point.
    own : callable
        Returns the program's own extensions by name; called when they are first needed.
    """

    def __init__(self, group: str, what: str, kind: type[T], own: Callable[[], Mapping[str, T]]) -> None:
        self._group, self._what, self._kind = group, what, kind
        self._own = own
        self._loaded: dict[str, T] = {}

    def own(self) -> Mapping[str, T]:
        """Return the program's own extensions by name."""
        return self._own()

    def of_other_packages(self) -> dict[str, str]:
        """Return the names that other packages bring, each with the package; nothing is loaded."""
        return {point.name: _package(point) for point in _points(self._group)}

    def names(self) -> tuple[str, ...]:
        """Return all names, the program's own first; nothing is loaded."""
        return tuple(dict.fromkeys([*self._own(), *self.of_other_packages()]))

    def get(self, name: str) -> T:
        """Return the extension of this name.

        Raises
        ------
        UserError
            If there is no such extension (with all known names), if two packages use the name, or if the
            package that brings the name cannot be loaded.
        """
        own = self._own()
        points = [point for point in _points(self._group) if point.name == name]
        if name in own and points:
            raise UserError(
                f"the package {_package(points[0])} brings the {self._what} {name!r}, but deeplift has one "
                f"of this name itself; rename that entry point ({self._group}) or uninstall the package"
            )
        if len(points) > 1:
            packages = " and ".join(sorted(map(_package, points)))
            raise UserError(
                f"the packages {packages} both bring the {self._what} {name!r}; uninstall one of them"
            )
        if name in own:
            return own[name]
        if not points:
            raise UserError(f"there is no {self._what} {name!r}; choose from {', '.join(self.names())}")
        if name not in self._loaded:
            self._loaded[name] = self._load(points[0])
        return self._loaded[name]

    def further(self) -> tuple[list[T], list[str]]:
        """Load all extensions of other packages.

        Returns
        -------
        things : list
            The extensions in the order of their names.
        problems : list of str
            One line for each extension that cannot be used.
        """
        things, problems = list[T](), list[str]()
        for name in self.of_other_packages():
            try:
                things.append(self.get(name))
            except UserError as error:
                problems.append(str(error))
        return things, problems

    def loaded(self) -> list[T]:
        """Return the extensions of other packages that have been loaded so far."""
        return list(self._loaded.values())

    def _load(self, point: "EntryPoint") -> T:
        about = f"the {self._what} {point.name!r} of the package {_package(point)}"
        try:
            thing = point.load()
        except (Exception, SystemExit) as error:  # the code of other packages can raise any exception
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise UserError(
                f"{about} ({point.value}) cannot be loaded: {reason}; repair or uninstall that package"
            ) from error
        if not isinstance(thing, self._kind):
            raise UserError(
                f"{about} is of the type {type(thing).__name__}, not {self._kind.__name__}: its entry point "
                f"({self._group}) leads to {point.value}; repair or uninstall that package"
            )
        if (own_name := getattr(thing, "name", point.name)) != point.name:
            raise UserError(
                f"{about} calls itself {own_name!r}; give its entry point ({self._group}) the same name"
            )
        return thing


def versions(*groups: str) -> dict[str, str]:
    """Return the packages that bring anything of these groups, each with its version; nothing is loaded."""
    points = [point for group in groups for point in _points(group)]
    return {point.dist.name: point.dist.version for point in points if point.dist is not None}


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else point.value.partition(".")[0]


@cache
def _points(group: str) -> "tuple[EntryPoint, ...]":
    """Return the entry points of a group in the order of their names, which takes some 20 ms."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))
