"""The commands that README and the pages of docs/ show, as lists of words."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / folder / "README.md" for folder in ("benchmarks", "config", "examples", "packaging")),
    )
    if path.name != "CHANGELOG.md"  # the commands of former versions may have had other options
)
_FENCED = re.compile(r"^```(?P<kind>\w*)\n(?P<block>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
_SPAN = re.compile(r"`(deeplift [a-z][^`]*)`")
# A block without a language is of commands where it begins with one of these.
_PROGRAMS = {
    "deeplift", "python", "make", "pip", "bedtools", "samtools", "snakemake", "modisco", "finemo", "git",
    "docker", "apptainer", "sbatch", "srun", "export", "cd", "for", "sudo", ".", ".venv/bin/python",
    ".venv/bin/pytest",
}  # fmt: skip
_SHELLS = {"sh", "bash", "shell", "console"}
_BETWEEN = {";", "|", "||", "&&", "&", ">", ">>", "<", "(", ")", "do", "then", "done"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def shell_blocks(text: str) -> Iterator[str]:
    """Blocks of shell commands: between fences of the shell, and others that begin with a known program.

    Other blocks without a language, and other indented ones, hold formulas and what programs print.
    """
    fenced = [(found["kind"], found["block"]) for found in _FENCED.finditer(text)]
    indented = [("", block) for block in _INDENTED.findall(_FENCED.sub("", text))]
    for kind, block in (*fenced, *indented):
        if kind in _SHELLS or (not kind and block.lstrip().partition(" ")[0] in _PROGRAMS):
            yield block


def lines_of(block: str) -> list[str]:
    """The lines of a block, each with those that continue it after a backslash; without comments."""
    joined = block.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line: of loops, pipes and commands inside quotes of another, too."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    found: list[str] = []
    for word in words:
        if word in _BETWEEN:
            yield found
            found = []
        elif word.startswith("deeplift ") and found:  # sbatch --wrap "deeplift merge ..."
            yield from simple_commands(word)
        else:
            found.append(word)
    yield found


def program(words: list[str]) -> bool:
    return bool(words) and words[0].rsplit("/", 1)[-1] == "deeplift"


def deeplift_commands(page: str) -> list[list[str]]:
    """The arguments of each `deeplift` command in the blocks of a page."""
    return [
        words[1:]
        for block in shell_blocks(text_of(page))
        for line in lines_of(block)
        if "deeplift" in line
        for words in simple_commands(line)
        if program(words)
    ]


def mentioned(page: str) -> list[list[str]]:
    """The arguments of `deeplift ...` inside sentences, which may leave out required ones."""
    text = _FENCED.sub("", text_of(page))
    return [span.split()[1:] for span in _SPAN.findall(text)]
