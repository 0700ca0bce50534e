"""docs/variants.md: every command and script is run, and the numbers of its table are those of a run."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import h5py
import pytest
from small_models import deeplift, random_letters, torchscript

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "variants.md").read_text()
LENGTH = 400
GENOME = random_letters(3, LENGTH)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that the page names."""
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    Path("hg38.fa").write_text(f">chr1\n{GENOME}\n")
    for name, places in (("variants.vcf.gz", (100, 200, 300)), ("common.vcf.gz", (60, 120, 180, 240))):
        rows = [f"chr1\t{p + 1}\t.\t{GENOME[p]}\t{'A' if GENOME[p] != 'A' else 'C'}\n" for p in places]
        Path(name).write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n" + "".join(rows))
    for name, model in (("model", "Net"), ("fold_0", "Net"), ("fold_1", "ChannelsTGCA")):
        shutil.copy(torchscript(model), f"{name}.onnx")
    return tmp_path


def blocks() -> list[str]:
    """The commands of the page; those of one block belong together."""
    return re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks() for line in block.splitlines()]


def run(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "deeplift"
    threads = ["--threads", 1] if words[1] == "variants" else []
    done = deeplift(*words[1:], *threads)
    assert done.code == 0, f"{command}: {done.err}"


@pytest.mark.parametrize("block", blocks())
def test_every_command_runs(block: str) -> None:
    for command in block.splitlines():
        run(command)
    assert list(Path().glob("*.tsv"))


def test_the_numbers_of_the_example_are_those_of_a_run() -> None:
    (command,) = (line for line in commands() if "examples/" in line)
    run(command)
    with open("effects_1.tsv", newline="") as file:
        written = {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}
    heading, _, *rows = re.findall(r"^\|.*$", PAGE.split("Some columns of")[1].split("\n\n")[1], re.MULTILINE)
    names = [cell.strip() for cell in heading.strip("|").split("|")]
    assert len(rows) == len(written) == 5
    for line in rows:
        shown = dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        row = written[shown["id"]]
        for name, text in shown.items():
            if re.fullmatch(r"-?\d+\.\d\d", text):
                assert float(text) == pytest.approx(float(row[name]), abs=0.0051), (shown["id"], name)
            else:
                assert text == row[name]
    with open("effects_2.tsv", newline="") as file:
        (tal1,) = (row for row in csv.DictReader(file, delimiter="\t") if row["id"] == "breaks_tal1")
    before, after = re.findall(r"target 2: ([-\d.]+) to ([-\d.]+)\)", PAGE)[0]
    assert float(tal1["ref_output"]) == pytest.approx(float(before), abs=0.0051)
    assert float(tal1["alt_output"]) == pytest.approx(float(after), abs=0.0051)


def test_the_script_copies_a_group_to_a_score_file() -> None:
    run(commands()[0])
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(script, {})
    shown = deeplift("show", "alt.h5")
    assert shown.code == 0, shown.err
    with h5py.File("alt.h5") as scores:
        assert scores["shap/seq"].shape == (3, 4, 24)


def test_all_columns_of_the_table_are_described() -> None:
    run(f"{commands()[0]} -m fold_1.onnx --background common.vcf.gz --motifs examples/tal1_gata.jaspar")
    with open("variants.tsv") as file:
        columns = file.readline().split()
    described = re.findall(r"`(\w+)`", PAGE.split("## The table")[1].split("A large")[0].replace(", ", " "))
    assert set(columns) <= set(described)
