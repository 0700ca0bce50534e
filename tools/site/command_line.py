"""A hook of mkdocs: the help texts of all subcommands, in place of a line ``{{ help texts }}`` of a page."""

from typing import Any

import click

from deeplift_cli.command_line import COMMANDS, cli

_HERE = "{{ help texts }}"
_WIDTH = 100


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put a section for each subcommand in place of the line."""
    if _HERE not in markdown:
        return markdown
    parent = click.Context(cli, info_name="deeplift", terminal_width=_WIDTH, max_content_width=_WIDTH)
    sections = []
    for name in COMMANDS:
        command = cli.get_command(parent, name)
        assert command is not None
        context = click.Context(command, parent=parent, info_name=name)
        sections.append(f"## deeplift {name}\n\n```text\n{command.get_help(context)}\n```")
    return markdown.replace(_HERE, "\n\n".join(sections))
