"""`deeplift verify`: what was written passes, and no change of a file does, unless nobody can read it."""

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from score_files import datasets, open_score_file
from small_models import deeplift, pickled, random_letters, score, torchscript, write_fasta
from test_outputs_score_file import LENGTH, REFERENCES, make_batch
from test_resume import runs

from deeplift_cli.errors import UserError
from deeplift_cli.models.explainer import Explained
from deeplift_cli.outputs.checksums import attributes_digest
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.process import watched_child
from deeplift_cli.sequences import Skipped
from deeplift_cli.verify.checks import verify

RECORDS = 11
FLIPPED_EVERY = 2503  # bytes, of some 100,000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scored(out: str, *options: object, model: Any = None) -> str:
    """Records on both strands, with N, and one that is skipped."""
    letters = [random_letters(i, 24 - (i == 4)) for i in range(RECORDS)]
    letters[2] = "NN" + letters[2][2:]
    write_fasta(
        Path("in.fa"), {f"chr1:{99 * i}-{99 * i + 24}({'+-'[i % 2]})": x for i, x in enumerate(letters)}
    )
    score("-m", model or torchscript("Net"), "-f", "in.fa", "-o", out, "--n-references", 3, *options)
    return out


def consistent(name: str = "a.h5", **changes: Any) -> Path:
    """A file whose numbers agree, with its companions, but for what is changed after all is written."""
    batch = make_batch(9)
    batch.hypothetical[:] = np.where(batch.sequences.any(1, keepdims=True), batch.hypothetical, 0)
    total = np.where(batch.sequences != 0, batch.hypothetical, 0).sum((1, 2), dtype=np.float64)
    batch.completeness_error[:] = 0
    batch.output[:] = total + batch.reference_output.mean(1)
    write(name, batch)
    for dataset, change in changes.items():
        changed(name, dataset.replace("__", "/"), change)
    return Path(name)


def write(name: str, batch: ScoredBatch, worst: float = 0.0) -> None:
    attrs = {
        "shard": None, "batch_size": 4, "fingerprint": {}, "target": 0, "model_sha256": "x", "n_skipped": 1,
        "worst_relative_completeness_error": worst,
    }  # fmt: skip
    skipped = (Skipped(3, "bad", 17, "is 5 bp long"),)
    with open_score_file(
        Path(name), ScoreLayout(LENGTH, REFERENCES, 4), attrs=attrs, skipped=skipped
    ) as file:
        for first in range(0, len(batch.regions), 4):
            rows = slice(first, first + 4)
            parts = (None if values is None else values[rows] for values in vars(batch).values())
            file.add(ScoredBatch(*parts))


def changed(name: str, dataset: str, change: Callable[[Any], object]) -> None:
    """Change values and their checksum, so that nothing but sense can tell."""
    with h5py.File(name, "a") as file:
        values = file[dataset][:]
        change(values)
        file[dataset][:] = values
        content = b"".join(text + b"\0" for text in values) if values.dtype == object else values.tobytes()
        file[dataset].attrs["sha256"] = sha256(content).hexdigest()


def attribute(name: str, key: str, value: Any) -> None:
    with h5py.File(name, "a") as file:
        file.attrs[key] = value
        attrs = {k: v.item() if isinstance(v, np.generic) else v for k, v in file.attrs.items()}
        file.attrs["attributes_sha256"] = attributes_digest(attrs)


# ---- what is right


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--dtype", "float16", "--rc-average"],
        ["--reference", "frequency", "--n-references", 1],
        ["--reference", "background:background.fa", "--target", 1, "--rule", "revealcancel"],
        [
            "--precision",
            "float64",
            "--reference",
            "mononucleotide",
            "--seed",
            5,
            "--layer-rule",
            "*=rescale",
        ],
    ],
)
def test_what_was_written_passes_and_is_computed_again(options: list[object]) -> None:
    write_fasta(Path("background.fa"), [random_letters(i + 50) for i in range(6)])
    if "frequency" in options:
        options = options[:2]
        letters = [random_letters(i) for i in range(RECORDS)]
        write_fasta(Path("in.fa"), letters)
        score("-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", *options)
    else:
        scored("a.h5", *options)
    outcome = deeplift("verify", "a.h5", "-m", torchscript("Net"), "-n", 6)
    assert (outcome.code, outcome.err) == (0, "")
    assert "6 rows computed again, largest difference" in outcome.out
    with h5py.File("a.h5") as file:
        count = 3 + len(file["regions"]) + len(file["qc"]) + 2 * ("chromosomes" in file)
    assert f"all {count} datasets, and the attributes" in outcome.out


def test_windows_of_a_genome_on_both_strands() -> None:
    write_fasta(Path("genome.fa"), {"chr1": random_letters(0, 500)})
    Path("in.bed").write_text(
        "".join(f"chr1\t{40 * i}\t{40 * i + 24}\tw\t0\t{'+-'[i % 2]}\n" for i in range(9))
    )
    given = ["-m", torchscript("Net"), "-g", "genome.fa", "-r", "in.bed", "-o", "a.h5", "--n-references", 2]
    score(*given, "--strand-aware")
    outcome = deeplift("verify", "a.h5", "-m", torchscript("Net"))
    assert (outcome.code, outcome.err) == (0, "")


def test_several_files_merged_averaged_and_old_ones() -> None:
    for number in (1, 2):
        scored("part{shard}.h5", "--shard", f"{number}/2", "--batch-size", 4)
    assert deeplift("merge", "part1-of-2.h5", "part2-of-2.h5", "-o", "merged.h5").code == 0
    scored("one.h5")
    scored("two.h5", model=torchscript("ChannelsTGCA"))
    assert deeplift("merge", "--average", "one.h5", "two.h5", "-o", "mean.h5").code == 0
    names = ["part1-of-2.h5", "part2-of-2.h5", "merged.h5", "mean.h5", "one.h5"]
    with h5py.File("one.h5", "a") as file:
        del file.attrs["attributes_sha256"]
        file.visititems(lambda _, item: item.attrs.pop("sha256", None) and None)
    outcome = deeplift("verify", *names)
    assert (outcome.code, outcome.err) == (0, "")
    assert all(name in outcome.out for name in names)
    assert outcome.out.count("none: an early version wrote the file") == 1
    one_model = deeplift("verify", "mean.h5", "-m", torchscript("Net"))
    assert "mean.h5 holds the mean of 2 models; give each of its models by --model" in one_model.err


def test_the_checksums_of_a_run_that_went_on_are_those_of_one_that_did_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first are found by inflating what was kept, the others while values are compressed."""
    scored("whole.h5", "--batch-size", 3)
    calls = [0]
    original = Explained.score

    def stop(self: Explained, *given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise MemoryError("none left")
        return original(self, *given)

    given = ["-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", "--n-references", 3, "--batch-size", 3]
    with monkeypatch.context() as patched:
        patched.setattr(Explained, "score", stop)
        assert deeplift("score", *given).code == 1
    assert "resumed" in score(*given).out
    assert deeplift("verify", "a.h5", "whole.h5").code == 0
    with h5py.File("a.h5") as ours, h5py.File("whole.h5") as theirs:
        for name in datasets("whole.h5"):
            assert ours[name].attrs["sha256"] == theirs[name].attrs["sha256"]


# ---- what is wrong


def test_another_model_and_other_scores_are_told() -> None:
    scored("a.h5")
    outcome = deeplift("verify", "a.h5", "-m", torchscript("ChannelsTGCA"))
    assert outcome.code == 1
    assert "is another model" in outcome.err
    changed("a.h5", "shap/seq", lambda values: values.__setitem__(3, values[3] * 1.01))
    changed("a.h5", "projected_shap/seq", lambda values: values.__setitem__(3, values[3] * 1.01))
    attribute("a.h5", "precision", "bfloat16")  # so that the sums of rows do not tell
    attribute("a.h5", "precision", "float32")
    outcome = deeplift("verify", "a.h5", "-m", torchscript("Net"), "-n", RECORDS)
    assert outcome.code == 1
    assert "row 4" in outcome.err


def put(dataset: str, place: Any, value: Any) -> dict[str, Callable[[Any], object]]:
    return {dataset.replace("/", "__"): lambda values: values.__setitem__(place, value)}


ALL = slice(None)
SENSE = [
    (put("shap/seq", (5, 1, 2), np.nan), "shap/seq, row 6, holds a value that is not a finite number"),
    (put("qc/output", 7, np.inf), "qc/output, row 8, holds a value that is not a finite number"),
    (put("raw/seq", (0, ALL, 3), 1), "raw/seq, row 1, is not one-hot"),
    (put("raw/seq", (4, 0, 3), 2), "raw/seq, row 5, is not one-hot"),
    (put("projected_shap/seq", (8, ALL, 3), 9), "row 9, is not shap/seq at the observed bases"),
    (put("regions/start", 2, 5), "regions/end, row 3, is not regions/start"),
    (put("regions/strand", 2, b"x"), "regions/strand, row 3, is not one of + - ."),
    (put("regions/index", 4, 0), "regions/index, row 5, does not ascend"),
    (put("regions/name", 4, b"other"), "a.bed, line 5, is not row 5 of the file"),
    (put("qc/output", 1, 99), "projected_shap/seq, row 2, does not sum to"),
    (put("qc/completeness_error", (6, 1), 0.5), "projected_shap/seq, row 7, does not sum to"),
]


@pytest.mark.parametrize(("changes", "words"), SENSE)
def test_values_that_make_no_sense(changes: dict[str, Any], words: str) -> None:
    path = consistent(**changes)
    outcome = deeplift("verify", path)
    assert outcome.code == 1
    assert words in outcome.err
    assert "wrong, see below" in outcome.out


def test_completeness_beyond_what_the_attributes_say() -> None:
    scored("a.h5")
    with h5py.File("a.h5") as file:
        worst = float(file.attrs["worst_relative_completeness_error"])
    attribute("a.h5", "worst_relative_completeness_error", worst / 2)
    outcome = deeplift("verify", "a.h5")
    assert outcome.code == 1
    assert "is beyond worst_relative_completeness_error" in outcome.err


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("a.bed", None, "a.bed, which belongs to the file, cannot be read: No such file"),
        ("a.bed", lambda text: text + text, "a.bed has more lines than the file has rows"),
        ("a.bed", lambda text: text[:-9], "a.bed, line 9, is not row 9"),
        ("a.skipped.tsv", None, "a.skipped.tsv, which belongs to the file, cannot be read"),
        (
            "a.skipped.tsv",
            lambda text: text + "x\n",
            "lists 2 records, but the file says that 1 were skipped",
        ),
        ("a.skipped.tsv", lambda text: "x" + text, "does not begin with the heading index line name reason"),
    ],
)
def test_companions_of_another_file(name: str, change: Callable[[str], str] | None, words: str) -> None:
    path = consistent()
    assert deeplift("verify", path).code == 0
    if change is None:
        Path(name).unlink()
    else:
        Path(name).write_text(change(Path(name).read_text()))
    outcome = deeplift("verify", path)
    assert outcome.code == 1
    assert words in outcome.err


def test_what_is_no_score_file() -> None:
    Path("text.h5").write_text("text")
    with h5py.File("other.h5", "w") as file:
        file.attrs["format"] = "another"
    outcome = deeplift("verify", "text.h5", "other.h5", consistent(), "-q")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "deeplift: score file text.h5 is not an HDF5 file, or damaged",
        "deeplift: other.h5 is not a score file of version 1 (deeplift score)",
    ]
    assert deeplift("verify").code == 2


def test_a_pickled_model_needs_the_users_word() -> None:
    scored("a.h5", "--allow-pickle", model=pickled())
    assert "--allow-pickle" in deeplift("verify", "a.h5", "-m", pickled()).err
    assert deeplift("verify", "a.h5", "-m", pickled(), "--allow-pickle").code == 0


# ---- any byte


def everything(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        attrs = {name: repr(value) for name, value in file.attrs.items()}
    return datasets(path) | attrs


def test_any_changed_byte_is_found_or_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a change does to HDF5's own structures, of which some keep HDF5 in a loop."""
    monkeypatch.setattr(watched_child, "PATIENCE", 1.0)
    path = consistent()
    content, expected = path.read_bytes(), everything(path)
    found = harmless = 0
    draw = np.random.default_rng(0)
    for place in range(0, len(content), FLIPPED_EVERY):
        place += int(draw.integers(min(FLIPPED_EVERY, len(content) - place)))
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged)
        if verify(path).problems:
            found += 1
        else:
            assert everything(path) == expected, f"byte {place}"
            harmless += 1
    assert found > 2
    assert harmless > 0  # a file has bytes that nobody reads


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short(share: float) -> None:
    path = consistent()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    outcome = deeplift("verify", path)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)


# ---- killed


def test_verify_writes_nothing_and_stops_at_once() -> None:
    path = consistent()
    before = {name.name: name.read_bytes() for name in Path().iterdir()}
    words = ["verify", str(path)]
    moments = [
        {"at": "listening", "call": 1, "before": True, "signal": signal} for signal in ("SIGKILL", "SIGTERM")
    ]
    (killed, *_), (stopped, _, err), (again, *_) = runs(*((words, moment) for moment in [*moments, None]))
    assert (killed, stopped, again) == (-9, 143, 0)
    assert err == "deeplift: stopped by SIGTERM\n"
    after = {name.name: name.read_bytes() for name in Path().iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"batches.log", "err.txt"}  # of the test


# ---- work in a child process


def test_the_result_of_a_child_and_what_it_raises() -> None:
    def refuse(alive: Callable[[], None]) -> None:
        alive()
        raise UserError("no \udc80")

    def much(alive: Callable[[], None]) -> list[bytes]:
        for _ in range(1000):
            alive()
        return [b"x" * 300_000]

    assert watched_child.watched(much) == [b"x" * 300_000]
    assert watched_child.watched(lambda alive: os.getpid()) != os.getpid()
    with pytest.raises(UserError, match="no \udc80"):
        watched_child.watched(refuse)


def test_a_child_that_crashes_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(watched_child.LostError, match=r"crashed \(SIGKILL\)"):
        watched_child.watched(lambda alive: os.kill(os.getpid(), 9))
    with pytest.raises(watched_child.LostError, match="ended early"):
        watched_child.watched(lambda alive: os._exit(0))
    monkeypatch.setattr(watched_child, "PATIENCE", 0.2)
    with pytest.raises(watched_child.LostError, match="gave no sign of life for 0 s"):
        watched_child.watched(lambda alive: time.sleep(60))
