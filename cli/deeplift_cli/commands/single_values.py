"""Subcommands that refuse an option of one value that is given several times."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click


class OnceCommand(click.Command):
    """A subcommand that refuses a repeated option, where click by itself silently takes the last value.

    Options that collect values (`multiple`) or are counted may be repeated, and so may flags without an
    opposite, such as ``--quiet``, which say the same twice.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; afterwards refuse repeated options (exit code 2).

        Raises
        ------
        click.UsageError
        """
        given = list(args)  # click empties its list
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(given)
            _refuse_repeated(order, ctx)
        return rest


def _refuse_repeated(order: Sequence[Any], ctx: click.Context) -> None:
    """Refuse options that the parser met several times; `order` has an entry for each time."""
    for option, count in Counter(order).items():
        if count == 1 or not isinstance(option, click.Option) or option.multiple or option.count:
            continue
        if option.secondary_opts:
            names = " or ".join((max(option.opts, key=len), max(option.secondary_opts, key=len)))
            raise click.UsageError(f"{names} is given {count} times; give one of them, once", ctx)
        if not option.is_flag:
            name = max(option.opts, key=len)
            raise click.UsageError(
                f"{name} is given {count} times, but takes one value; leave out all but one", ctx
            )
