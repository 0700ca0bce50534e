"""`deeplift export`: what each format holds, lengths of chromosomes, refusals, and runs that are stopped."""

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyBigWig
import pytest
from Bio.bgzf import BgzfReader
from score_files import open_score_file
from small_models import deeplift, random_letters, score, torchscript, write_fasta
from test_outputs_bigwig import brute_force, contributions, read_all
from test_resume import runs

from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.sequences import Region, one_hot

LENGTH = 20
SIZES = {"chr2": 300, "chr10": 200, "chr1": 250, "other": 7}
WINDOWS = [("chr10", 30), ("chr1", 5), ("chr1", 18), ("chr2", 280), ("chr10", 0), ("chr1", 200), ("chr1", 5)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_scores(
    name: str = "s.h5",
    windows: list[tuple[str, int]] = WINDOWS,
    sizes: dict[str, int] | None = SIZES,
    dtype: str = "float32",
) -> Path:
    n = len(windows)
    regions = [Region(c, s, s + LENGTH, f"peak é{i}", "+-."[i % 3], i) for i, (c, s) in enumerate(windows)]
    letters = [random_letters(i, LENGTH - 2).encode() + b"NN" for i in range(n)]
    scores = np.random.default_rng(1).standard_normal((n, 4, LENGTH)).astype(dtype)
    zeros, table = np.zeros(n), np.zeros((n, 1))
    with open_score_file(Path(name), ScoreLayout(LENGTH, 1, 4, dtype), chrom_sizes=sizes) as file:
        for low in range(0, n, 4):
            rows = slice(low, low + 4)
            file.add(
                ScoredBatch(
                    regions[rows], one_hot(letters[rows]), scores[rows], zeros[rows], zeros[rows],
                    table[rows], table[rows], np.zeros(n, int)[rows],
                )
            )  # fmt: skip
    return Path(name)


def export(*arguments: object) -> str:
    done = deeplift("export", *arguments)
    assert done.code == 0, done.err
    return done.out


def refused(*arguments: object, code: int = 1) -> str:
    before = sorted(Path().rglob("*"))
    done = deeplift("export", *arguments)
    assert done.code == code, done.err
    assert sorted(Path().rglob("*")) == before
    assert "Traceback" not in done.err
    return done.err


def bedgraph(path: str) -> list[tuple[str, int, int, float]]:
    content = Path(path).read_bytes()
    text = (gzip.decompress(content) if path.endswith(".gz") else content).decode()
    rows = [line.split("\t") for line in text.splitlines()]
    assert all(len(row) == 4 for row in rows)
    return [(chrom, int(start), int(end), float(value)) for chrom, start, end, value in rows]


def per_base(rows: list[tuple[str, int, int, float]], chrom: str) -> np.ndarray:
    found = np.full(SIZES[chrom], np.nan)
    for name, start, end, value in rows:
        if name == chrom:
            found[start:end] = value
    return found


# ---- what is written


@pytest.mark.parametrize("rule", ["nearest-centre", "mean"])
def test_bigwig_and_bedgraph_against_brute_force(rule: str) -> None:
    values = contributions(write_scores())
    export("s.h5", "--bigwig", "s.bw", "--bedgraph", "s.bedGraph", "--overlap", rule)
    rows = bedgraph("s.bedGraph")
    for chrom in ("chr1", "chr10", "chr2"):
        mine = [row for row, window in enumerate(WINDOWS) if window[0] == chrom]
        expected = brute_force([WINDOWS[row][1] for row in mine], values[mine], rule, SIZES[chrom])
        found = per_base(rows, chrom)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(found.astype(np.float32), read_all(Path("s.bw"), chrom, SIZES[chrom]))


def test_bedgraph_is_sorted_disjoint_and_exact() -> None:
    """Neighbours with one value are one line; the two N at the end of each window have none."""
    write_scores()
    export("s.h5", "--bedgraph", "s.bedGraph")
    rows = bedgraph("s.bedGraph")
    assert rows == sorted(rows)
    for (chrom, _, end, value), (after, start, _, following) in pairwise(rows):
        assert chrom != after or end < start or (end == start and value != following)
    assert max(end for chrom, _, end, _ in rows if chrom == "chr2") == 298
    kept = contributions(Path("s.h5"))[3]
    assert np.array_equal(per_base(rows, "chr2")[280:298].astype(np.float32), kept[:18])


def test_bedgraph_is_packed_where_its_name_says_so() -> None:
    """In the blocks of bgzip, so that tabix can index the file; the same bytes at each run."""
    write_scores()
    export("s.h5", "--bedgraph", "a.bedGraph", "-q")
    for name in ("b.bedGraph.gz", "c.GZ"):
        export("s.h5", "--bedgraph", name)
        assert gzip.decompress(Path(name).read_bytes()) == Path("a.bedGraph").read_bytes()
    assert Path("b.bedGraph.gz").read_bytes() == Path("c.GZ").read_bytes()
    with BgzfReader("b.bedGraph.gz") as file:
        assert file.readline().startswith("chr1\t5\t6\t")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_npz_holds_what_the_score_file_holds(dtype: str) -> None:
    write_scores(dtype=dtype)
    export("s.h5", "--npz", "s.npz")
    with np.load("s.npz", allow_pickle=False) as found, h5py.File("s.h5") as file:
        assert sorted(found) == sorted(
            ["raw_seq", "shap_seq", "projected_shap_seq", "chrom", "start", "end", "name", "strand"]
        )
        for key in ("raw_seq", "shap_seq", "projected_shap_seq"):
            expected = file[key.replace("_seq", "/seq")][:]
            assert found[key].dtype == expected.dtype
            np.testing.assert_array_equal(found[key], expected)
        for key in ("start", "end"):
            np.testing.assert_array_equal(found[key], file[f"regions/{key}"][:])
        for key in ("chrom", "name", "strand"):
            assert found[key].tolist() == [text.decode() for text in file[f"regions/{key}"][:]]


def test_what_score_and_merge_write_is_what_export_writes() -> None:
    write_fasta(Path("g.fa"), {"chr1": random_letters(1, 400), "chr2": random_letters(2, 300)})
    Path("r.bed").write_text("".join(f"chr{1 + i % 2}\t{9 * i}\t{9 * i + 24}\n" for i in range(20)))
    given = ["-m", torchscript("Net"), "-g", "g.fa", "-r", "r.bed", "--n-references", 2, "--batch-size", 4]
    score(*given, "-o", "s.h5", "--bigwig", "s.bw")
    for number in (1, 2):
        score(*given, "-o", "part{shard}.h5", "--shard", f"{number}/2")
    parts = ["part1-of-2.h5", "part2-of-2.h5"]
    assert deeplift("merge", *parts, "-o", "m.h5", "--bigwig", "m.bw").code == 0
    assert deeplift("merge", *parts, "-o", "n.h5", "--bigwig", "n.bw", "-g", "g.fa").code == 0
    assert Path("n.bw").read_bytes() == Path("m.bw").read_bytes()
    for name in ("s", "m"):
        with h5py.File(f"{name}.h5") as file:
            assert file["chromosomes/name"][:].tolist() == [b"chr1", b"chr2"]
            assert file["chromosomes/length"][:].tolist() == [400, 300]
        assert deeplift("verify", f"{name}.h5").code == 0
        export(f"{name}.h5", "--bigwig", f"again-{name}.bw")
        assert Path(f"again-{name}.bw").read_bytes() == Path("s.bw").read_bytes()
    assert Path("m.bw").read_bytes() == Path("s.bw").read_bytes()


def test_a_fasta_with_sizes_keeps_them() -> None:
    write_fasta(Path("in.fa"), {f"chr1:{i}-{i + 24}": random_letters(i) for i in (0, 50)})
    Path("sizes").write_text("chr1\t100\nchr9\t5\n")
    given = ["-m", torchscript("Net"), "-f", "in.fa", "--n-references", 2]
    score(*given, "-o", "a.h5", "--bigwig", "a.bw", "-c", "sizes")
    export("a.h5", "--bigwig", "b.bw")
    assert Path("a.bw").read_bytes() == Path("b.bw").read_bytes()
    score(*given, "-o", "c.h5")
    assert "--bigwig needs; give --chrom-sizes or --genome" in refused("c.h5", "--bigwig", "c.bw")


# ---- lengths of chromosomes


def test_lengths_come_from_the_file_a_table_or_the_genome() -> None:
    write_scores()
    write_scores("without.h5", sizes=None)
    Path("sizes").write_text("".join(f"{name}\t{size + 1}\n" for name, size in SIZES.items()))
    write_fasta(Path("g.fa"), {name: random_letters(size, size + 2) for name, size in SIZES.items()})
    export("s.h5", "--bigwig", "kept.bw")
    for number, given in enumerate((["-c", "sizes"], ["-g", "g.fa"]), start=1):
        for scores in ("s.h5", "without.h5"):
            export(scores, "--bigwig", f"{number}{scores}.bw", *given)
            with pyBigWig.open(f"{number}{scores}.bw") as file, pyBigWig.open("kept.bw") as kept:
                assert file.chroms()["chr1"] == SIZES["chr1"] + number == kept.chroms()["chr1"] + number
                assert file.intervals("chr10") == kept.intervals("chr10")
    Path("sizes").write_text("chr1\t10\nchr2\t300\nchr10\t200\n")
    assert "lies outside its chromosome" in refused("s.h5", "--bedgraph", "x.bedGraph", "-c", "sizes")


def test_a_bedgraph_needs_no_lengths() -> None:
    """Sequences of no known genome are chromosomes of their own."""
    write_fasta(Path("in.fa"), {"b": random_letters(1), "a": random_letters(2)})
    score("-m", torchscript("Net"), "-f", "in.fa", "--n-references", 2, "-o", "s.h5")
    export("s.h5", "--bedgraph", "s.bedGraph")
    assert {row[0] for row in bedgraph("s.bedGraph")} == {"a", "b"}
    write_fasta(Path("in.fa"), {"first one": random_letters(1)})
    score("-m", torchscript("Net"), "-f", "in.fa", "--n-references", 2, "-o", "s.h5", "--overwrite")
    with h5py.File("s.h5") as file:
        is_cut = file["regions/chrom"][0] == b"first"
    assert is_cut or "has a space in its name" in refused("s.h5", "--bedgraph", "x.bedGraph")


def test_many_chromosomes() -> None:
    """More than the 64 kB that HDF5 takes for an attribute."""
    sizes = {f"scaffold_with_a_long_name_{number}": 1000 + number for number in range(10_000)}
    write_scores(windows=[("scaffold_with_a_long_name_77", 1057)], sizes=sizes)
    export("s.h5", "--bigwig", "s.bw")
    with pyBigWig.open("s.bw") as file:
        assert file.chroms() == {"scaffold_with_a_long_name_77": 1077}


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--bedgraph FILE or --bigwig FILE or --npz FILE"),
        (["--npz", "x.npz", "--overlap", "mean"], "--overlap goes with --bedgraph or --bigwig"),
        (["--npz", "x.npz", "-c", "sizes"], "of no use to the formats"),
        (["--bigwig", "x.bw", "-c", "sizes", "-g", "g.fa"], "either --chrom-sizes or --genome"),
        (["--bigwig", "x/"], "is a folder"),
        (["--wig", "x.wig"], "No such option"),
    ],
)
def test_options_that_cannot_be_meant(arguments: list[str], words: str) -> None:
    assert words in refused("s.h5", *arguments, code=2)


def test_outputs_that_cannot_be_written() -> None:
    write_scores()
    Path("there.bw").write_text("old")
    assert "there.bw exists; give --overwrite" in refused("s.h5", "--npz", "a.npz", "--bigwig", "there.bw")
    export("s.h5", "--npz", "a.npz", "--bigwig", "there.bw", "--overwrite")
    assert "also an input" in refused("s.h5", "--npz", "s.h5", "--overwrite")
    assert "two outputs" in refused("s.h5", "--npz", "x", "--bedgraph", "x")
    assert "does not exist" in refused("s.h5", "--npz", "no/x.npz")
    assert "does not exist" in refused("missing.h5", "--npz", "x.npz")
    write_scores("empty.h5", windows=[])
    assert "has no rows" in refused("empty.h5", "--bedgraph", "x.bedGraph")
    export("empty.h5", "--npz", "empty.npz")
    with np.load("empty.npz") as found:
        assert found["shap_seq"].shape == (0, 4, LENGTH)


def changed(name: str, dataset: str, value: Any) -> None:
    with h5py.File(name, "r+") as file:
        file[dataset][0] = value


@pytest.mark.parametrize(
    ("dataset", "value", "words"),
    [
        ("projected_shap/seq", 7.0, "projected_shap/seq, rows 1 to 7: the values are not those"),
        ("regions/start", 6, "regions/start, rows 1 to 7: the values are not those"),
        ("chromosomes/length", 301, "chromosomes/length: the values are not those"),
        ("chromosomes/length", -1, "a length of -1 bp"),
        ("chromosomes/name", "chr1", "a second time"),
    ],
)
@pytest.mark.parametrize("kind", ["bigwig", "bedgraph", "npz"])
def test_a_damaged_file_is_not_passed_on(kind: str, dataset: str, value: Any, words: str) -> None:
    write_scores()
    changed("s.h5", dataset, value)
    found = refused("s.h5", f"--{kind}", "x")
    assert "score file s.h5 is damaged" in found
    assert words in found
    assert deeplift("verify", "s.h5").code == 1


def test_chromosomes_that_are_a_link_are_not_followed() -> None:
    write_scores()
    with h5py.File("s.h5", "r+") as file:
        del file["chromosomes"]
        file["chromosomes"] = h5py.ExternalLink("elsewhere.h5", "/")
    assert "chromosomes/name is a link" in refused("s.h5", "--npz", "x.npz")


# ---- stopped


def words(number: int) -> list[str]:
    outputs = ("--bigwig", f"{number}.bw", "--bedgraph", f"{number}.gz", "--npz", f"{number}.npz")
    return ["export", "s.h5", *outputs]


def test_an_export_that_is_stopped_leaves_nothing_or_all() -> None:
    """The same command then writes everything, as if nothing had happened."""
    write_scores()
    export(*words(99)[1:])
    endings = (".bw", ".gz", ".npz")
    expected = [Path(f"99{end}").read_bytes() for end in endings]
    # Renames: of three notes that outputs begin to appear, of three outputs, of three notes that all are
    # there.
    moments: list[dict[str, Any]] = [
        *({"at": "exporting", "call": call, "before": True} for call in (1, 2, 3)),
        {"at": "exporting", "call": 3, "before": False},
        *({"at": "rename", "call": call, "before": False} for call in (1, 3, 4, 5, 6, 7, 8, 9)),
        *({"at": "exporting", "call": call, "before": True, "signal": "SIGTERM"} for call in (1, 3)),
        {"at": "exporting", "call": 2, "before": False, "signal": "SIGINT"},
        {"at": "rename", "call": 2, "before": False, "signal": "SIGTERM"},
        *({"after": 0.05, "signal": signal} for signal in ("SIGKILL", "SIGTERM")),
    ]
    killed = runs(*((words(number), moment) for number, moment in enumerate(moments)))
    there = [[Path(f"{number}{end}").exists() for end in endings] for number in range(len(moments))]
    again = runs(*((words(number), None) for number in range(len(moments))))
    codes = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9}
    for number, moment in enumerate(moments):
        status, *_ = killed[number]
        late = moment.get("at") == "rename" and "signal" in moment  # nothing is left to stop
        assert status == codes[moment.get("signal", "SIGKILL")] or (
            status == 0 and (late or "after" in moment)
        )
        if moment.get("at") != "rename":
            assert len(set(there[number])) == 1, moment
        second, _, err = again[number]
        done = status == 0 or moment.get("call") == 9
        assert second == done, (moment, err)
        assert not second or "exists; give --overwrite" in err
        assert [Path(f"{number}{end}").read_bytes() for end in endings] == expected, moment
    assert not list(Path().glob(".*"))
