"""A bash session for the commands of a page of the documentation, with `deeplift` run in the test's process.

bash itself expands variables, globs, loops, pipes and quotes. A process of `deeplift` would take seconds to
load torch for each command; the `deeplift` on the session's PATH is therefore a client of a few lines, which
sends its arguments, folder, environment and standard input to the test and prints the test's answer.
"""

import argparse
import contextlib
import io
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click
from documented import ROOT
from packaging.requirements import Requirement
from small_models import Outcome, deeplift

from deeplift_cli.command_line import cli

# So that scoring takes little time.
_FEWER_REFERENCES = ("--n-references", "2")

_CLIENT = """\
#!{python} -SE
import json, os, socket, sys
words = sys.argv[1:]
given = sys.stdin.buffer.read().decode("latin-1") if "-" in words else ""
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    with server.makefile("rw") as stream:
        request = dict(
            program="{name}", words=words, folder=os.getcwd(), environment=dict(os.environ), given=given
        )
        print(json.dumps(request), file=stream, flush=True)
        code, out, err = json.loads(stream.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""

# The tasks of an array run one after the other, with the variables that Slurm sets.
_SBATCH = """\
#!/usr/bin/env bash
set -eu
tasks=1
while [ $# -gt 0 ]; do
  case $1 in
    --array=1-*) tasks=${1#--array=1-} ;;
    --wrap) bash -c "$2"; shift ;;
    --parsable | --dependency=* | --kill-on-invalid-dep=* | --time=* | --mem=*) ;;
    -*) echo "sbatch: no option $1" >&2; exit 1 ;;
    *)
      for task in $(seq "$tasks"); do
        SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_MAX=$tasks SLURM_ARRAY_TASK_MIN=1 \\
          SLURM_ARRAY_TASK_COUNT=$tasks SLURM_CPUS_PER_TASK=1 bash "$1" >&2
      done
      ;;
  esac
  shift
done
echo 17
"""

# make says what it would do, which fails where there is no such target.
FAKES = {
    "make": f'#!/bin/sh\nexec /usr/bin/make --dry-run --directory "{ROOT}" "$@"\n',
    "sbatch": _SBATCH,
    "nvidia-smi": "#!/bin/sh\nprintf 'GPU 0: a card\\nGPU 1: another card\\n'\n",
    "bedtools": '#!/bin/sh\n[ "$1 $2" = "sort -i" ] || exit 1\nsort -k1,1 -k2,2n "$3"\n',
}


@dataclass(frozen=True)
class Ran:
    """A command of a session, with what became of it."""

    words: list[str]
    outcome: Outcome


@dataclass
class Session:
    """A folder in which the commands of a page run, and the commands that ran.

    Attributes
    ----------
    folder : Path
        The working folder, with the files that the commands read.
    ran : list of Ran
        The commands of deeplift and Python, in order.
    """

    folder: Path
    ran: list[Ran] = field(default_factory=list)

    def run(self, script: str) -> None:
        """Run a script of bash.

        Raises
        ------
        AssertionError
            A command failed, or the script itself did.
        """
        # The path of a socket has at most 107 characters, and pytest's folders have long names.
        with tempfile.TemporaryDirectory(prefix="docs-") as name, socket.socket(socket.AF_UNIX) as server:
            address = f"{name}/socket"
            server.bind(address)
            server.listen(64)
            server.settimeout(0.05)
            programs = {
                program: _CLIENT.format(python=sys.executable, address=address, name=program)
                for program in PROGRAMS
            }
            for program, text in (programs | FAKES).items():
                (Path(name) / program).write_text(text)
                (Path(name) / program).chmod(0o755)
            self._serve(script, server, os.environ | {"PATH": f"{name}:/usr/bin:/bin"})

    def _serve(self, script: str, server: socket.socket, environment: Mapping[str, str]) -> None:
        with tempfile.TemporaryFile("w+") as output:
            bash = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
            try:
                while bash.poll() is None:
                    with contextlib.suppress(TimeoutError):
                        self._answer(server.accept()[0])
            finally:
                bash.kill()
                bash.wait()
            output.seek(0)
            failed = [(ran.words, ran.outcome.err) for ran in self.ran if ran.outcome.code]
            assert not failed, failed
            assert bash.returncode == 0, output.read()

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(None)
        with client, client.makefile("rw") as stream:
            request = json.loads(stream.readline())
            stdin = io.TextIOWrapper(io.BytesIO(request["given"].encode("latin-1")))
            with (
                contextlib.chdir(request["folder"]),
                mock.patch.dict(os.environ, request["environment"], clear=True),
                mock.patch.object(sys, "stdin", stdin),
            ):
                outcome = PROGRAMS[request["program"]](request["words"])
            self.ran.append(Ran([request["program"], *request["words"]], outcome))
            print(json.dumps([outcome.code, outcome.out, outcome.err]), file=stream, flush=True)


def run_deeplift(words: Sequence[str]) -> Outcome:
    """Run a command with two references, where it makes some; control variates need more.

    The command may overwrite, since the examples of a page are often alternatives that name one output.
    """
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"there is no subcommand {words[0]}"
    known = {option for parameter in command.params for option in parameter.opts}
    more = [option for option in ("--overwrite",) if option in known and option not in words]
    if "--n-references" in known and not {"--n-references", "--control-variate"} & {*words}:
        more += _FEWER_REFERENCES
    return deeplift(*words, *more)


class _ParsedError(Exception):
    """The options of a benchmark were accepted."""


@contextlib.contextmanager
def _until_parsed() -> Iterator[None]:
    """Let a program end once argparse has accepted its options."""
    with contextlib.ExitStack() as stack:
        for name in ("parse_args", "parse_intermixed_args"):
            stack.enter_context(mock.patch.object(argparse.ArgumentParser, name, _ending(name)))
        stack.enter_context(contextlib.suppress(_ParsedError))
        yield
        raise AssertionError("the program parsed no options")


def _ending(name: str) -> Callable[..., Any]:
    parse: Callable[..., Any] = getattr(argparse.ArgumentParser, name)

    def parse_and_end(parser: argparse.ArgumentParser, *given: Any) -> None:
        parse(parser, *given)
        raise _ParsedError

    return parse_and_end


def run_python(words: Sequence[str]) -> Outcome:
    """Run a program of the repository; benchmarks, which take minutes to hours, only parse their options."""
    program = ROOT / words[0]
    out, err = io.StringIO(), io.StringIO()
    folder = str(program.parent)
    with (
        mock.patch.object(sys, "argv", [str(program), *words[1:]]),
        mock.patch.object(sys, "path", [folder, *sys.path]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _until_parsed() if words[0].startswith("benchmarks/") else contextlib.nullcontext(),
    ):
        try:
            runpy.run_path(str(program), run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                code = ended.code if isinstance(ended.code, int) else 1
                return Outcome(code, out.getvalue(), f"{err.getvalue()}{ended.code}")
    return Outcome(0, out.getvalue(), err.getvalue())


def check_pip(words: Sequence[str]) -> Outcome:
    """Check what pip would install: requirements in pip's notation, and extras that this package has."""
    assert words[0] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words[1:]:
        own = word.startswith(".")
        requirement = Requirement(f"{project['name']}{word[1:]}" if own else word)
        if requirement.name == project["name"]:
            assert requirement.extras <= set(project["optional-dependencies"]), word
    return Outcome(0, "", "")


PROGRAMS: dict[str, Callable[[Sequence[str]], Outcome]] = {
    "deeplift": run_deeplift,
    "python": run_python,
    "pip": check_pip,
}
