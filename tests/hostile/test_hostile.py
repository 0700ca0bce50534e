"""Every case of the corpus, run by the real command in a process that is watched."""

import importlib
import importlib.util
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import encode

from hostile import CASES, tidy
from hostile.cases import Case
from hostile.running import (
    MOST_BYTES,
    MOST_SECONDS,
    Outcome,
    Place,
    contents,
    payload_of,
    plain_scores,
    prepare,
    run,
    run_together,
    server,
)

# What no message may hold: what Python prints of its own accord, and advice to report what a file caused.
_NEVER = (
    "Exception ignored",
    "please report",
    "terminate called",
    "Segmentation",
    "core dumped",
)


# What a run keeps beside its outputs while it goes on.
_SCRATCH = re.compile(r"\..*(\.(pieces|gone|merge)$|\.part)")
# `make hostile` runs all cases. With all other tests go those of the classes and examples that have gone
# wrong once, of each pattern so many, and of the rest of each kind every so many'th, good and bad ones apart.
_ALWAYS = {
    r"exported_files-code in (sample inputs|a weight marked|an opaque constant|legacy weights)$": 9,
    r"exported_files-code in (a weight marked|a size's|the guards'|legacy weights of m.onnx)": 4,
    r"exported_files-compiled code": 1,
    r"exported_files-(a weight with sizes|a cast to half|weights of NaN)": 4,
    r"torchscript_files-(inspect: )?writes a file in (forward|another thread)": 3,
    r"torchscript_files-(raises|gives another|counts its calls in a buffer|is NaN)": 4,
    r"torchscript_files-(needs 1.6 GB|casts to half)": 2,
    r"pickled_files-(code alone|code in a bare pickle named m.pt2|a checkpoint with a Namespace)": 3,
    r"pickled_files-(allowed: exits|allowed: counts calls|allowed: half precision)": 3,
    r"keras_files-(m.keras: a Lambda|m.h5: a (Lambda|layer that unpickles|class of))": 4,
    r"keras_files-(a link to another|values of 4|m.keras: 2)": 3,
    r"weights_files-code (among|in a Namespace)": 3,
    r"weights_files-(larger than the memory|a header of 2|cut at 0.3)": 3,
    r"onnx_files-.*of 8 GB": 2,
    r"onnx_files-(a baked-in batch of a million|a chain of 500|random numbers$)": 3,
    r"onnx_files-.*NaN": 3,
    r"onnx_files-.*([Ff]loat16|half prec)": 3,
    r"onnx_files-weights (beside it cut|in /etc|at an offset)": 3,
    r"genomes-an index (with offsets one|with swapped|of another heading)": 4,
    r"genomes-(another heading|protein|a chromosome of protein|bgzip$|gzip$)": 5,
    r"fasta-(protein$|NUL in|a heading of|a record of 10 Mb|a pipe)": 9,
    r"fasta-the letter": 1,
    r"fasta-records of many lengths": 2,
    r"fasta-(only )?a record with an escape code": 2,
    r"bed-(NUL in a name|an end of (20|5,000)|a region of 1e20|at both ends|every region outside)": 6,
    r"merging-(a part (cut at 30|in which shap/seq holds 7|whose attributes)|a part with a group)": 4,
    r"merging-(a part with a byte flipped at [27]/|(a part with|average:) a byte of shap)": 4,
    r"merging-average: (another (rule|mono|target)|the same file twice|a copy|NaN in one fold|two folds)": 7,
    r"work_folders-(links to a folder$|merge's links|holds a foreign|job.json holds (7|null))": 6,
    r"work_folders-complete holds (null|\{\})": 2,
    r"work_folders-(lock is|published is|skipped.tsv is|00000000.npz is|goes on)": 9,
    r"environment-(no HOME and|ulimit -v, 64|Ctrl-C|no thread can|inspect: closed stdout|help: a full)": 6,
    r"environment-(merge: files of|files of 3,000|a full disc behind|a cache of blanks)": 4,
    r"options-(a device of|a target of 1e30|a target's index|1e11 steps|two billion rows|help$)": 6,
    r"options-inspect: (sixteen|a length)": 2,
    r"outputs-(in /proc|exists|the FASTA$|its BED file exists|a pipe)": 5,
    r"verifying-(a byte of shap|qc/output holds|regions/start holds|without its BED|a tidy)": 5,
    r"references-(NaN|a set that says|digests of other|a pipe|saved and used)": 5,
}
_EVERY_OF_BAD, _EVERY_OF_ODD = 15, 7


def _names() -> dict[str, Case]:
    return {f"{case.kind}-{case.name}": case for case in CASES}


def _long() -> set[str]:
    """Names of the cases that are not run every day."""
    found, seen = set(), Counter[object]()
    for name, case in _names().items():
        pattern = next((pattern for pattern in _ALWAYS if re.match(pattern, name)), None)
        place: object = pattern or (case.kind, case.is_odd)
        if pattern is not None:
            wanted = seen[place] < _ALWAYS[pattern]
        else:
            wanted = seen[place] % (_EVERY_OF_ODD if case.is_odd else _EVERY_OF_BAD) == 0
        if not case.long:
            seen[place] += 1
        if case.long or not wanted:
            found.add(name)
    return found


_LONG = _long()


def _parameters() -> list[object]:
    return [
        pytest.param(case, id=name, marks=[pytest.mark.hostile_long] if name in _LONG else [])
        for name, case in _names().items()
    ]


def _require(case: Case) -> None:
    if case.needs and not _is_there(case.needs):
        pytest.skip(f"there is no deeplift {case.needs} yet")
    if "user" in case.setting and os.getuid() != 0:
        pytest.skip("only root can become another user")


def _is_there(what: str) -> bool:
    name, _, option = what.partition(" ")
    if importlib.util.find_spec(f"deeplift_cli.commands.{name}") is None:
        return False
    command = importlib.import_module(f"deeplift_cli.commands.{name}").command
    return not option or any(option in parameter.opts for parameter in command.params)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="deeplift-case-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("case", _parameters())
def test_case(case: Case, root: Path) -> None:
    _require(case)
    place = Place(root)
    words = prepare(case, place)
    before = contents(place.work)
    outcome = run(place, words, case)
    try:
        _check_run(case, place, outcome)
        if case.safe is not None:
            case.safe(place.work)
        if outcome.code == 0:
            _check_success(case, place, before, outcome)
        else:
            _check_refusal(case, place, words, before, outcome)
    finally:
        _make_removable(place)


def _check_run(case: Case, place: Place, outcome: Outcome) -> None:
    """Check what every run must keep to, whatever its exit code."""
    said = outcome.out + outcome.err
    assert not payload_of(place.work).exists(), f"code of a file was run\n{said}"
    assert outcome.killed is None, f"ended by the watch: too much {outcome.killed}\n{said[-2000:]}"
    assert outcome.cpu < MOST_SECONDS, f"{outcome.cpu:.0f} s of CPU time"
    assert outcome.peak < MOST_BYTES, f"{outcome.peak / 2**30:.1f} GiB"
    assert "Traceback" not in said, f"a traceback that ends in {said.strip().splitlines()[-1][:300]!r}"
    assert outcome.code in case.codes, f"exit code {outcome.code}, not {case.code}\n{said[-2000:]}"
    for pattern in (*_NEVER, *case.never):
        assert not re.search(pattern, said, re.IGNORECASE), said[-2000:]
    assert not [path for path in place.cache.rglob("*") if ".part" in path.name], "unfinished in the cache"
    assert not [path for path in place.scratch.rglob("*") if path.is_file()], "left in TMPDIR"


def _check_refusal(
    case: Case, place: Place, words: list[str], before: dict[str, str], outcome: Outcome
) -> None:
    lines = outcome.err.splitlines()
    if outcome.code == 2:
        assert lines[-1].startswith("Error: "), outcome.err
    elif case.setting.get("stderr") is None:
        # `verify` is asked for everything that is wrong, and begins with the checksum.
        assert len(lines) == 1 or (words[0] == "verify" and lines), outcome.err[-2000:]
        assert all(line.startswith("deeplift: ") for line in lines), outcome.err[-2000:]
        longest = 2000 + 2 * sum(map(len, words))  # it may say what it was told
        assert len(max(lines, key=len)) < longest, f"a message of {len(max(lines, key=len)):,} letters"
    if outcome.code != 3 and case.setting.get("stderr") is None:
        line = lines[0] if words[0] == "verify" else lines[-1]
        for pattern in case.says:
            assert re.search(pattern, line, re.IGNORECASE), f"{pattern!r} is not in {line[:2000]!r}"
    before = {name: content for name, content in before.items() if not _is_kept(case, name)}
    after = {name: content for name, content in contents(place.work).items() if not _is_kept(case, name)}
    left = sorted(set(after) - set(before))
    if outcome.code != 3:
        assert not left, f"left behind: {left}"
    assert {name: after.get(name) for name in before} == before, "inputs were changed"


def _is_kept(case: Case, name: str) -> bool:
    return any(Path(part).match(pattern) for pattern in case.keeps for part in Path(name).parts)


def _check_success(case: Case, place: Place, before: dict[str, str], outcome: Outcome) -> None:
    for line in outcome.err.splitlines():
        assert any(re.search(pattern, line, re.IGNORECASE) for pattern in case.notes), outcome.err[-2000:]
    after = contents(place.work)
    changed = {name for name, content in before.items() if after.get(name) != content}
    outputs = {"out.h5", "out.bed", "out.skipped.tsv"}
    hidden = {name for name in before if name.startswith(".out.h5.")}
    assert not changed - outputs - hidden, f"inputs were changed: {changed}"
    hidden_left = [name for name in set(after) - set(before) if _SCRATCH.match(Path(name).name)]
    assert not hidden_left, f"left behind: {hidden_left}"
    scores = place.work / "out.h5"
    table = place.work / "out.skipped.tsv"
    if table.is_file() and len(case.codes) == 1 and "out.h5" in after:
        listed = table.read_bytes().decode(errors="replace").split("\n")[1:-1]
        assert len(listed) == case.skipped, listed
    if case.names is not None:
        with h5py.File(scores) as file:
            found = [name.decode(errors="replace") for name in file["regions/name"][:]]
        assert found == list(case.names)
    if case.plain is not None:
        with h5py.File(scores) as file, h5py.File(plain_scores(case.plain)) as expected:
            sequences = np.stack([encode(text.replace("U", "T")) for text in case.plain.letters])
            np.testing.assert_array_equal(file["raw/seq"][:], sequences)
            for name in ("shap/seq", "projected_shap/seq", "qc/output"):
                values = expected[name][:]
                np.testing.assert_allclose(file[name][:], values, rtol=1e-4, atol=1e-5 * np.abs(values).max())
    if case.check is not None:
        case.check(place.work)


def _make_removable(place: Place) -> None:
    """Folders that a case made read-only."""
    for folder, names, _ in os.walk(place.root):
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755)


def test_the_program_that_forks_has_one_thread_of_python() -> None:
    """Another thread's locks would stay locked in its children."""
    assert server().threads == 1


def test_every_pattern_has_its_cases() -> None:
    """A case that is renamed must not drop out of the daily tests unseen."""
    names = [name for name in _names() if name not in _LONG]
    assert not [pattern for pattern in _ALWAYS if not any(re.match(pattern, name) for name in names)]


def test_the_corpus_is_as_large_as_promised() -> None:
    daily = [case for name, case in _names().items() if name not in _LONG]
    odd = sum(case.is_odd for case in daily)
    assert odd >= 80
    assert len(daily) - odd >= 150


def test_tasks_of_an_array_share_one_unpacked_genome(tmp_path: Path) -> None:
    """A genome in plain gzip is unpacked to the cache; tasks that start together wait for the first."""
    import gzip

    place = Place(tmp_path)
    tidy.fill(place.work)
    letters = tidy.CHR1 * 5_000
    packed = gzip.compress(f">chr1\n{letters}\n>chr2\n{tidy.CHR2}\n".encode(), 1)
    (place.work / "genome.fa.gz").write_bytes(packed)
    commands = [
        f"score -m net.onnx -g genome.fa.gz -r in.bed -o out{task}.h5 --n-references 2".split()
        for task in range(5)
    ]
    outcomes = run_together(place, commands)
    assert [outcome.code for outcome in outcomes] == [0] * 5, [outcome.err for outcome in outcomes]
    unpacked = [path for path in place.cache.rglob("*") if path.is_file() and path.stat().st_size > 10**6]
    assert len(unpacked) == 1
    said = "".join(outcome.err for outcome in outcomes)
    assert said.count("unpack") <= 5
    assert len(re.findall(r"writing an unpacked copy", said)) <= 1, said
