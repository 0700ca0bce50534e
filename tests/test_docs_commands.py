"""Every `deeplift` command of README and docs can be parsed; tests/test_docs_run.py runs them."""

import click
import pytest
from documented import PAGES, deeplift_commands, mentioned, simple_commands

from deeplift_cli.command_line import COMMANDS, cli


def context_of(name: str) -> tuple[click.Command, click.Context]:
    parent = click.Context(cli, info_name="deeplift")
    command = cli.get_command(parent, name)
    assert command is not None, f"there is no subcommand {name}"
    return command, click.Context(command, parent=parent, info_name=name)


@pytest.mark.parametrize("page", PAGES)
def test_commands_can_be_parsed(page: str) -> None:
    """No option is unknown or lacks its value, no required one is missing, and no value is refused."""
    for words in deeplift_commands(page):
        if words[0].startswith("-"):  # deeplift --help
            continue
        command, context = context_of(words[0])
        with context:
            command.parse_args(context, list(words[1:]))


@pytest.mark.parametrize("page", PAGES)
def test_options_in_sentences_exist(page: str) -> None:
    for words in mentioned(page):
        command, context = context_of(words[0].rstrip(",.;"))
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
        known |= {option for parameter in command.get_params(context) for option in parameter.secondary_opts}
        used = {word.split("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
        assert used <= known, words


def test_commands_are_found() -> None:
    everywhere = [words for page in PAGES for words in deeplift_commands(page)]
    assert len(everywhere) > 60
    assert {words[0] for words in everywhere} >= set(COMMANDS)
    loop = 'for k in 0 1; do deeplift merge f$k.*.h5 -o f$k.h5; done | sbatch --wrap "deeplift show a.h5" # x'
    found = [words for words in simple_commands(loop) if words[:1] == ["deeplift"]]
    assert found == [["deeplift", "merge", "f$k.*.h5", "-o", "f$k.h5"], ["deeplift", "show", "a.h5"]]


def test_a_wrong_command_is_noticed() -> None:
    command, context = context_of("score")
    with context, pytest.raises(click.NoSuchOption):
        command.parse_args(context, ["-m", "m.onnx", "-f", "x.fa", "-o", "s.h5", "--refrence", "zeros"])
    command, context = context_of("score")
    with context, pytest.raises(click.UsageError):
        command.parse_args(context, ["-m", "m.onnx", "-f", "x.fa"])
