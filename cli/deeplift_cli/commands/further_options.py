"""Subcommands with options from a registry: those of the program's own formats, and of other packages."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from deeplift_cli.commands.single_values import OnceCommand
from deeplift_cli.models.registry import FORMATS

_LOADED = "deeplift_cli.further_options"

# The name of the format that brings options, for messages, and the options.
Brought = tuple[str, Sequence[click.Option]]


class ExtensibleCommand(OnceCommand):
    """A subcommand that loads options of other packages for its help text and at an unknown option.

    Parameters
    ----------
    own : callable
        Returns the options of the program's own formats.
    further : callable
        Loads the formats of other packages. Returns the options of each format, and one line for each format
        that cannot be used.
    """

    def __init__(
        self,
        *given: Any,
        own: Callable[[], Sequence[click.Option]],
        further: Callable[[], tuple[list[Brought], list[str]]],
        **options: Any,
    ) -> None:
        super().__init__(*given, **options)
        self._own = own
        self._further = further

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the subcommand's parameters, ``--help`` last."""
        *params, help_option = super().get_params(ctx)
        loaded: tuple[list[click.Option], list[str]] = ctx.meta.get(_LOADED, ([], []))
        return [*params, *self._own(), *loaded[0], help_option]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with the program's own options; at an unknown option, parse with those of other packages."""
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption:
            problems = self._load(ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not problems:
                raise
            raise click.UsageError("; ".join([error.format_message(), *problems]), ctx) from error

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help, and after it one line for each format that cannot be used."""
        problems = self._load(ctx)
        super().format_help(ctx, formatter)
        for problem in problems:
            formatter.write_paragraph()
            formatter.write_text(problem)

    def _load(self, ctx: click.Context) -> list[str]:
        """Load the options of other packages, and return one line for each format that cannot be used."""
        if _LOADED not in ctx.meta:
            things, problems = self._further()
            options = list[click.Option]()
            taken = {flag: option for option in self.get_params(ctx) for flag in _flags(option)}
            for about, brought in things:
                new = {flag: option for option in brought for flag in _flags(option)}
                clashes = [flag for flag, option in new.items() if taken.get(flag, option) is not option]
                if clashes:
                    problems.append(
                        f"{about} brings an option {clashes[0]}, which `deeplift {ctx.info_name}` has "
                        "already, so that it cannot be used before its authors give the option another name"
                    )
                    continue
                known = list(taken.values())
                options += [option for option in dict.fromkeys(new.values()) if option not in known]
                taken |= new
            ctx.meta[_LOADED] = (options, problems)
        found: list[str] = ctx.meta[_LOADED][1]
        return found


def _flags(option: click.Parameter) -> list[str]:
    """What tells an option from others: how the user writes it, and its name in Python."""
    return [*option.opts, *option.secondary_opts, *([option.name] if option.name else [])]


def options_of_own_model_formats() -> list[click.Option]:
    """Return the options that the program's own model formats bring; several formats may share one."""
    return list(dict.fromkeys(option for kind in FORMATS.own().values() for option in kind.options))


def options_of_further_model_formats() -> tuple[list[Brought], list[str]]:
    """Load the model formats of other packages, and return their options and problems."""
    kinds, problems = FORMATS.further()
    return [(f"the model format {kind.name!r}", kind.options) for kind in kinds], problems


def with_format_options(context: click.Context, given: dict[str, Any], options: type[Any]) -> dict[str, Any]:
    """Collect the options of model formats that the user gave under one name.

    Parameters
    ----------
    context : click.Context
    given : dict
        Values of all options.
    options : dataclass
        The options of the subcommand: an option that is not among its fields belongs to a model format.

    Returns
    -------
    dict
        Values for the fields of `options`, with ``format_options`` among them.
    """
    own = {field.name for field in fields(options)}
    further = sorted(name for name in set(given) - own if is_given(context, name))
    rest = {name: value for name, value in given.items() if name in own}
    return rest | {"format_options": tuple((name, _plain(given[name])) for name in further)}


def is_given(context: click.Context, name: str) -> bool:
    """Return whether the user gave the option that has this name in Python."""
    default = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return context.get_parameter_source(name) not in default


def _plain(value: Any) -> Any:
    """Return a value in a form that the attributes of a score file can hold."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
