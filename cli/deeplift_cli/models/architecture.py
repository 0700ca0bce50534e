"""`--architecture`: the code that builds a network for weights, and the arguments that the code gets."""

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeplift_cli.errors import UserError
from deeplift_cli.models.foreign import errors_in_one_line, search_working_folder

if TYPE_CHECKING:
    from torch import nn

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _architecture(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    place, _, factory = (value or "").rpartition(":")
    if value is not None and not (place and all(part.isidentifier() for part in factory.split("."))):
        raise click.BadParameter(
            f"{value!r} is neither MODULE:FACTORY nor FILE.py:FACTORY", context, parameter
        )
    return value


def _model_args(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the arguments in one spelling, so that blanks do not make another job."""
    if value is None:
        return None
    try:
        return json.dumps(_arguments(value), sort_keys=True)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{text[:60]!r} is not JSON, as '{{\"n_filters\": 64}}' is: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"{text[:60]!r} is no JSON object of names and values, as '{{\"n_filters\": 64}}' is"
        )
    return found


def _by_name(given: str | Mapping[str, Any] | None) -> dict[str, Any]:
    return _arguments(given) if isinstance(given, str) else dict(given or {})


# The options of each format that holds weights without their network.
OPTIONS = (
    click.Option(
        ["--architecture"],
        callback=_architecture,
        metavar="MODULE:FACTORY|FILE.py:FACTORY",
        help="Weights and checkpoints: the class or function that builds their network. Its code is run.",
    ),
    click.Option(
        ["--model-args"],
        callback=_model_args,
        metavar="JSON",
        help="Weights and checkpoints: arguments for --architecture, before those in the file.",
    ),
)


class _Whole(dict[str, Any]):
    """Hyperparameters for code that takes all of them as one argument: by key, or as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


@dataclass(frozen=True)
class Hyperparameters:
    """What lies with weights and says how their network is built.

    Attributes
    ----------
    values : mapping of str to anything
    names : sequence of str
        Names of all hyperparameters together, each for a factory that takes them as one argument.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Architecture:
    """The code that builds a network.

    Attributes
    ----------
    spec : str
        The text that the user wrote.
    factory : callable
    file : pathlib.Path or None
        The file that was named; None for an importable module.
    """

    spec: str
    factory: Callable[..., Any]
    file: Path | None

    @classmethod
    def find(cls, spec: str) -> "Architecture":
        """Import the code.

        Parameters
        ----------
        spec : str
            ``module:factory``, or ``path/file.py:factory``. The working folder is searched for modules after
            all other places, and so is a file's own folder.

        Raises
        ------
        UserError
            Where there is no such file, module or factory, or its import fails.
        """
        place, _, name = spec.rpartition(":")
        file = Path(place) if place.endswith(".py") else None
        found: Any = _imported(spec, place) if file is None else _of_file(spec, file)
        for part in name.split("."):
            if not hasattr(found, part):
                raise UserError(f"--architecture {spec}: {place} has no {name}")
            found = getattr(found, part)
        if not callable(found):
            raise UserError(f"--architecture {spec}: {name} is a {type(found).__name__}, nothing to call")
        return cls(spec, found, file)

    def build(
        self, stored: Hyperparameters, given: str | Mapping[str, Any] | None
    ) -> "tuple[nn.Module, tuple[str, ...]]":
        """Call the factory.

        Parameters
        ----------
        stored : Hyperparameters
            The factory gets those that its signature takes. A class with an attribute ``config_class``, as
            transformers' models have, gets such a configuration.
        given : str, mapping or None
            Arguments of `--model-args`, a JSON object, or by name; they come first.

        Returns
        -------
        module : torch.nn.Module
        notes : tuple of str
            Which stored hyperparameters it does not take.

        Raises
        ------
        UserError
            Where the arguments do not fit, the code fails, or what it returns is no module.
        """
        from torch import nn

        with errors_in_one_line(f"--architecture {self.spec} cannot build the network"):
            options, unused = self._options(stored, _by_name(given))
            built = self.factory(**options)
        if not isinstance(built, nn.Module):
            raise UserError(
                f"--architecture {self.spec} returns a {type(built).__name__}, not a torch module: name a "
                "class of modules, or a function that returns one"
            )
        listed = ", ".join(unused)
        return built, (
            (f"hyperparameters that {self.spec} does not take are not used: {listed}",) if unused else ()
        )

    def _options(
        self, hyperparameters: Hyperparameters, given: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the factory's keyword arguments, and the names of stored ones that it does not take."""
        parameters = inspect.signature(self.factory).parameters.values()
        named = {item.name: item for item in parameters if item.kind in _NAMED}
        stored = dict(hyperparameters.values)
        configuration = getattr(self.factory, "config_class", None)
        if callable(configuration) and "config" in named and "config" not in given:
            return {"config": configuration(**stored | given)}, []
        whole = next((name for name in hyperparameters.names if name in named and name not in stored), None)
        if whole is not None and stored:
            stored = {whole: _Whole(stored)}
        takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters)
        unknown = [name for name in given if name not in named and not takes_any]
        if unknown:
            raise UserError(
                f"--model-args has {', '.join(unknown)}, which --architecture {self.spec} does not take; it "
                f"takes {', '.join(named) or 'no argument'}"
            )
        unused = [name for name in stored if name not in named and not takes_any]
        options = {name: value for name, value in stored.items() if name not in unused} | given
        missing = [
            item.name for item in named.values() if item.default is item.empty and item.name not in options
        ]
        if missing:
            example = ", ".join(f'"{name}": ...' for name in missing)
            raise UserError(
                f"--architecture {self.spec} needs {', '.join(missing)}, which the file does not say; give "
                f"--model-args '{{{example}}}'"
            )
        return options, unused


def _imported(spec: str, module: str) -> Any:
    search_working_folder()
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # the package around it is not there, or is no package
        found = None
    if found is None:
        raise UserError(
            f"--architecture {spec}: there is no module {module!r}; install its package, run in its folder, "
            "put that on PYTHONPATH, or name the file, as in path/model.py:Model"
        )
    with errors_in_one_line(f"--architecture {spec}: {module} cannot be imported"):
        return importlib.import_module(module)


def _of_file(spec: str, file: Path) -> Any:
    if not file.is_file():
        raise UserError(f"--architecture {spec}: there is no file {file}")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = f"architecture_in_{file.stem}"  # a file may be called as a module that others import
    described = importlib.util.spec_from_file_location(name, file)
    assert described is not None  # the name ends with .py
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module  # where classes look for their module
    with errors_in_one_line(f"--architecture {spec}: {file} cannot be run"):
        described.loader.exec_module(module)
    return module
