"""`deeplift seqlets`: compared with the libraries and with planted motifs; files of motifs; refusals."""

import errno
import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from score_files import open_score_file
from small_models import deeplift, random_letters, score

from deeplift_cli.errors import UserError
from deeplift_cli.motifs import Seqlets, best_matches, find_seqlets, read_motifs, run
from deeplift_cli.motifs.bed_output import COLUMNS
from deeplift_cli.motifs.matches import best_of
from deeplift_cli.motifs.overlapping import reported_once
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.outputs.packed import ScoredBatch
from deeplift_cli.sequences import Region, one_hot

pytest.importorskip("tangermeme", reason="pip install '.[motifs]'")
pytest.importorskip("memelite", reason="pip install '.[motifs]'")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
from simulation import MOTIFS, Planted, simulate  # noqa: E402

KNOWN = {name: (counts / counts.sum(axis=1, keepdims=True)).T for name, counts in MOTIFS.items()}
LENGTH = 40


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Scores of the embedded example for the target "both"."""
    path = tmp_path_factory.mktemp("example") / "scores.h5"
    score("-m", EXAMPLES / "tal1_gata.onnx", "-f", EXAMPLES / "sequences.fa", "-o", path)
    return path


def write_meme(path: Path, motifs: dict[str, np.ndarray], head: str = "MEME version 4\n\n") -> Path:
    text = head
    for name, values in motifs.items():
        text += f"MOTIF {name}\nletter-probability matrix: alength= 4 w= {values.shape[1]} nsites= 20 E= 0\n"
        text += "".join(" ".join(f"{value:.6f}" for value in column) + "\n" for column in values.T) + "\n"
    path.write_text(text)
    return path


def database() -> dict[str, np.ndarray]:
    """The two motifs of the example among 98 others, so that Tomtom has a background."""
    rng = np.random.default_rng(0)
    others = {f"other{number}": rng.dirichlet([0.3] * 4, rng.integers(8, 14)).T for number in range(98)}
    return KNOWN | others


def seqlets_of(*arguments: object) -> list[dict[str, str]]:
    """The lines of the BED file that the command writes."""
    done = deeplift("seqlets", *arguments, "-o", "x.bed", "--overwrite")
    assert done.code == 0, done.err
    return read_bed(Path("x.bed").read_text())


def read_bed(text: str) -> list[dict[str, str]]:
    header, *lines = text.splitlines()
    assert header == "#" + "\t".join(COLUMNS)
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]


def refused(*arguments: object, code: int = 1) -> str:
    before = sorted(Path().rglob("*"))
    done = deeplift("seqlets", *arguments)
    assert done.code == code, done.err
    assert sorted(Path().rglob("*")) == before
    assert "Traceback" not in done.err
    return done.err


def write_scores(
    contributions: np.ndarray,
    regions: list[Region] | None = None,
    name: str = "s.h5",
    letters: list[str] | None = None,
    sizes: dict[str, int] | None = None,
    **attributes: Any,
) -> Path:
    """A score file with these contributions [N, L]; a position with N has none."""
    n, length = contributions.shape
    regions = regions or [Region(f"r{i}", 0, length, f"r{i}", ".", i) for i in range(n)]
    bases = one_hot([text.encode() for text in letters or [random_letters(i, length) for i in range(n)]])
    layout = ScoreLayout(length, 1, n)
    zeros, table = np.zeros(n), np.zeros((n, 1))
    hypothetical = np.repeat(contributions[:, None].astype(np.float32), 4, axis=1)
    with open_score_file(Path(name), layout, chrom_sizes=sizes) as file:
        batch = (regions, bases, hypothetical, zeros, zeros, table, table, np.zeros(n, int))
        file.add(ScoredBatch(*batch))
    return Path(name)


def peaked(n: int, length: int = LENGTH, seed: int = 0) -> np.ndarray:
    """Noise [n, length] with a span of large contributions in each row."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.05, (n, length))
    for row, start in enumerate(rng.integers(0, length - 8, n)):
        values[row, start : start + 8] += 1
    return values


# ---- compared with the libraries


@pytest.mark.parametrize("flanks", [0, 3])
def test_the_file_holds_what_tangermeme_finds(example: Path, flanks: int) -> None:
    from tangermeme.seqlet import recursive_seqlets

    with h5py.File(example) as file:
        contributions = file["projected_shap/seq"][:].sum(axis=1)
        names = file["regions/name"].asstr()[:]
        bases = file["raw/seq"][:]
    contributions.flags.writeable = False  # as in the command, so that numba compiles once
    expected = recursive_seqlets(contributions, threshold=0.005, additional_flanks=flanks)
    found = seqlets_of(example, "--p-value", "0.005", "--additional-flanks", flanks)
    assert len(found) == len(expected) > 100
    by_place = {(row["chrom"], int(row["start"]), int(row["end"])): row for row in found}
    for index, start, end, total, p_value in expected.itertuples(index=False):
        row = by_place[names[index], start, end]
        assert float(row["contribution"]) == pytest.approx(total, rel=1e-5)
        assert float(row["mean"]) == pytest.approx(total / (end - start), rel=1e-5)
        assert float(row["p_value"]) == pytest.approx(p_value, rel=1e-3)
        assert int(row["score"]) == round(-10 * np.log10(p_value))
        assert row["sequence"] == "".join("ACGT"[base] for base in bases[index, :, start:end].argmax(axis=0))
        assert (row["strand"], row["motif"], row["motif_p_value"]) == (".", ".", ".")
        assert row["name"] == row["record"] == names[index]
        assert (int(row["row"]), row["record_strand"]) == (index, ".")


def test_matches_are_those_of_tangermeme_and_q_values_those_of_the_definition(example: Path) -> None:
    import torch
    from tangermeme.annotate import annotate_seqlets
    from tangermeme.seqlet import recursive_seqlets

    motifs = database()
    with h5py.File(example) as file:
        contributions = file["projected_shap/seq"][:].sum(axis=1)
        names = file["regions/name"].asstr()[:]
        sequences = torch.from_numpy(file["raw/seq"][:].astype(np.float64))
    path = write_meme(Path("known.meme"), motifs)
    read = read_motifs(path)
    contributions.flags.writeable = False
    seqlets = recursive_seqlets(contributions)
    places, p_values = annotate_seqlets(sequences, seqlets, read)
    rows = seqlets_of(example, "--motifs", path)
    by_place = {(row["chrom"], int(row["start"])): row for row in rows}
    found = [by_place[names[index], start] for index, start in seqlets.iloc[:, :2].to_numpy()]
    assert [row["motif"] for row in found] == [list(read)[place] for place in places[:, 0]]
    assert [float(row["motif_p_value"]) for row in found] == pytest.approx(p_values[:, 0].tolist(), rel=1e-3)
    assert {row["strand"] for row in found} == {"+", "-"}

    def q_value(p_value: Decimal, all_of_them: list[Decimal]) -> float:
        """The least false discovery rate of all thresholds that let this p-value pass."""
        thresholds = [p for p in all_of_them if p >= p_value]
        rates = [p * len(all_of_them) / sum(q <= p for q in all_of_them) for p in thresholds]
        return float(min(1, *rates))

    corrected = [1 - (1 - Decimal(float(p))) ** len(read) for p in p_values[:, 0]]
    for row, p_value in zip(found, corrected, strict=True):
        assert float(row["motif_q_value"]) == pytest.approx(q_value(p_value, corrected), rel=1e-3)


def test_the_p_value_of_the_best_of_many_keeps_its_digits() -> None:
    p_values = np.array([0, 1e-300, 1e-17, 1e-9, 0.02, 0.7, 1, 1.0000001])
    exact = [float(1 - (1 - Decimal(min(1.0, p))) ** 500) for p in p_values.tolist()]
    exact[1:3] = 500e-300, 500e-17  # for which the decimals have too few digits
    np.testing.assert_allclose(best_of(p_values, 500), exact, rtol=1e-10)


def planted() -> dict[str, list[Planted]]:
    found: dict[str, list[Planted]] = {}
    for line in (EXAMPLES / "planted_motifs.bed").read_text().splitlines():
        name, start, end, motif, _, strand = line.split("\t")
        found.setdefault(name, []).append(Planted(int(start), int(end), motif, strand))
    return found


def test_seqlets_lie_on_planted_motifs_and_have_their_names(example: Path) -> None:
    there = planted()
    rows = seqlets_of(
        example, "--motifs", write_meme(Path("known.meme"), database()), "--additional-flanks", 2
    )
    counts = {"on": 0, "named": 0, "strand": 0}
    found = set()
    for row in rows:
        hit = [
            (row["chrom"], motif)
            for motif in there.get(row["chrom"], [])
            if motif.start < int(row["end"]) and int(row["start"]) < motif.end
        ]
        named = [(name, motif) for name, motif in hit if motif.motif == row["motif"]]
        counts["on"] += bool(hit)
        counts["named"] += bool(named)
        counts["strand"] += any(motif.strand == row["strand"] for _, motif in named)
        found |= set(named)
    assert counts["on"] > 0.85 * len(rows)
    assert counts["named"] > 0.95 * counts["on"]
    assert counts["strand"] > 0.85 * counts["named"]  # TAL1's CANNTG is nearly its own complement
    both = {(name, motif) for name in there if name.endswith("both") for motif in there[name]}
    assert len(found & both) > 0.75 * len(both)


def test_p_values_and_sums_do_not_depend_on_how_the_rows_are_stored(example: Path) -> None:
    """The command reads from a memory map, in blocks; all rows count at once."""
    with h5py.File(example) as file:
        contributions = file["projected_shap/seq"][:].sum(axis=1)
    whole, half = find_seqlets(contributions), find_seqlets(contributions[:50])
    rows = seqlets_of(example)
    assert sorted(float(row["p_value"]) for row in rows) == pytest.approx(sorted(whole.p_value), rel=1e-3)
    assert sorted(half.p_value) != pytest.approx(sorted(whole.p_value[whole.row < 50]), rel=1e-3)


# ---- negative contributions


def test_negative_seqlets_are_those_of_the_negated_scores() -> None:
    values = peaked(30)
    values[20:] *= -1
    write_scores(values)
    write_scores(-values, name="negated.h5")
    one, other = seqlets_of("s.h5", "--negative"), seqlets_of("negated.h5", "--negative")
    below = {row["chrom"] for row in one if float(row["contribution"]) < -4}
    assert below == {f"r{i}" for i in range(20, 30)}
    strong = [
        sorted(
            (row["chrom"], row["start"], row["end"]) for row in rows if abs(float(row["contribution"])) > 4
        )
        for rows in (one, other)
    ]
    assert strong[0] == strong[1]
    assert len(strong[0]) >= 25
    assert all(float(row["contribution"]) > 0 for row in seqlets_of("s.h5"))


def test_no_negative_seqlet_overlaps_a_positive_one() -> None:
    values = np.random.default_rng(3).normal(size=(50, 100)).astype(np.float32)
    found = find_seqlets(values, p_value=0.1, negative=True, additional_flanks=2)
    n_positive = len(find_seqlets(values, p_value=0.1, additional_flanks=2))
    assert 20 < n_positive < len(found) - 20
    spans = list(zip(found.row, found.start, found.end, np.arange(len(found)) < n_positive, strict=True))
    for row, start, end, positive in spans:
        for other, low, high, sign in spans:
            assert row != other or sign == positive or end <= low or high <= start


# ---- windows that overlap


def regions_at(starts: list[int], chrom: str = "chr1", length: int = LENGTH) -> list[Region]:
    return [Region(chrom, start, start + length, f"p{i}", ".", i) for i, start in enumerate(starts)]


def test_a_seqlet_in_two_windows_is_reported_once_from_the_nearer_centre() -> None:
    """The motif is at 30 to 38 of the first window and at 10 to 18 of the second, 4 to 12 of the third."""
    values = np.random.default_rng(0).normal(0, 0.01, (3, LENGTH))
    for row, place in ((0, 30), (1, 10), (2, 4)):
        values[row, place : place + 8] += 1
    write_scores(values, regions_at([100, 120, 126]))
    (row,) = (row for row in seqlets_of("s.h5") if float(row["contribution"]) > 4)
    assert (row["chrom"], row["record"]) == ("chr1", "p1")
    assert abs(int(row["start"]) - 130) <= 1
    write_scores(values, [*regions_at([100, 120])[:2], Region("chr2", 126, 166, "p2", ".", 2)], "t.h5")
    found = [row["record"] for row in seqlets_of("t.h5") if float(row["contribution"]) > 4]
    assert found == ["p1", "p2"]


def test_every_seqlet_is_reported_once_and_none_is_lost() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        regions = regions_at(rng.integers(0, 200, 20).tolist()) + regions_at([30, 30, 60], "chr2")
        n = int(rng.integers(1, 60))
        row, start = rng.integers(0, len(regions), n), rng.integers(0, LENGTH - 10, n)
        seqlets = Seqlets(row, start, start + rng.integers(4, 10, n), np.ones(n), np.ones(n))
        kept = reported_once(seqlets, regions)

        windows = [regions[row] for row in seqlets.row.tolist()]
        starts = [window.start + first for window, first in zip(windows, start.tolist(), strict=True)]
        ends = [window.start + last for window, last in zip(windows, seqlets.end.tolist(), strict=True)]
        distances = [
            abs(low + high - window.start - window.end)
            for low, high, window in zip(starts, ends, windows, strict=True)
        ]
        clashes = [
            [
                other
                for other in kept.tolist()
                if row[one] != row[other] and windows[one].chrom == windows[other].chrom
                and starts[one] < ends[other] and starts[other] < ends[one]
            ]
            for one in range(n)
        ]  # fmt: skip
        for one, clashing in enumerate(clashes):
            if one in kept:
                assert not clashing
            else:
                assert any(distances[other] <= distances[one] for other in clashing)


def test_lines_are_sorted_and_padding_is_cut_off() -> None:
    values = peaked(12)
    values[0, :12] = values[1, 28:] = 1.0
    regions = regions_at([-6, 170, 0, 40, 80, 120]) + regions_at([300, 0, 50, 7, 100, 200], "chr10")
    letters = [random_letters(i, LENGTH) for i in range(12)]
    letters[0] = "N" * 6 + letters[0][6:]
    letters[1] = letters[1][:30] + "N" * 10
    values[0, :6] = values[1, 30:] = 0
    write_scores(values, regions, letters=letters, sizes={"chr1": 200, "chr10": 500})
    rows = seqlets_of("s.h5", "--additional-flanks", 8)
    assert rows == sorted(rows, key=lambda row: (row["chrom"], int(row["start"]), int(row["end"])))
    on_first = [row for row in rows if row["chrom"] == "chr1"]
    assert (on_first[0]["start"], on_first[-1]["end"]) == ("0", "200")
    assert all(len(row["sequence"]) == int(row["end"]) - int(row["start"]) for row in rows)
    assert "N" not in on_first[0]["sequence"] + on_first[-1]["sequence"]
    if sort := shutil.which("sort"):
        body = Path("x.bed").read_text().split("\n", 1)[1]
        by_sort = subprocess.run(
            [sort, "-s", "-k1,1", "-k2,2n"], input=body, env={"LC_ALL": "C"}, text=True, capture_output=True
        )
        assert by_sort.stdout == body


def test_gzip_is_of_blocks_that_tabix_can_index() -> None:
    write_scores(peaked(20), regions_at(list(range(0, 1000, 50))))
    plain = seqlets_of("s.h5")
    done = deeplift("seqlets", "s.h5", "-o", "s.bed.gz")
    assert done.code == 0
    assert read_bed(gzip.decompress(Path("s.bed.gz").read_bytes()).decode()) == plain
    tabix = shutil.which("tabix")
    if tabix is None:
        pytest.skip("tabix is not installed")
    subprocess.run([tabix, "-p", "bed", "s.bed.gz"], check=True)
    some = subprocess.run([tabix, "s.bed.gz", "chr1:201-400"], check=True, capture_output=True, text=True)
    expected = [row for row in plain if int(row["end"]) > 200 and int(row["start"]) < 400]
    assert [line.split("\t")[1] for line in some.stdout.splitlines()] == [row["start"] for row in expected]


# ---- files of motifs

JASPAR = """>MA0035.3\tGata1
A  [  2035   506     0 ]
C  [  4321  6406 14869 ]
G  [  2530  2792   437 ]
T  [  9069  8251  2649 ]

>MA0091.1\tTAL1::TCF3
A [13 9]
C [14 10]
G [8 20]
T [9 5]
"""


def test_jaspar_and_meme_give_the_same_motifs() -> None:
    Path("m.jaspar").write_text(JASPAR)
    found = read_motifs(Path("m.jaspar"))
    assert list(found) == ["MA0035.3 Gata1", "MA0091.1 TAL1::TCF3"]
    expected = np.array([[2035, 506, 0], [4321, 6406, 14869], [2530, 2792, 437], [9069, 8251, 2649]])
    np.testing.assert_allclose(found["MA0035.3 Gata1"], expected / expected.sum(axis=0))
    whole = "MEME version 4.4\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies\nA 1\n\n"
    for head in ("MEME version 5\n", whole):
        same = read_motifs(write_meme(Path("m.meme"), found, head))
        assert list(same) == list(found)
        for name, values in same.items():
            np.testing.assert_allclose(values, found[name], atol=1e-6)


MEME, ONE = b"MEME version 4\n", b"MOTIF a\nletter-probability matrix: alength= 4 w= 1\n0 1 0 0\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"chr1\t1\t2\n", "is neither MEME"),
        (2 * ONE, "is neither MEME"),
        (MEME, "holds no motifs"),
        (MEME + b"ALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "has the alphabet 'ACDEFGHIKLMNPQRSTVWY'"),
        (MEME + b"MOTIF a\n", "motif 'a': it has no whole letter-probability matrix"),
        (MEME + ONE.replace(b"w= 1", b"w= 2"), "motif 'a': it has no whole letter-probability matrix"),
        (MEME + ONE.replace(b"w= 1", b"w= 0"), "memelite cannot read it"),
        (MEME + ONE.replace(b"0 1 0 0", b".1 .2 .3 .9"), "position 1 are no frequencies that sum to 1"),
        (MEME + ONE.replace(b"0 1 0 0", b".1 .2 x .9"), "memelite cannot read it"),
        (MEME + 2 * ONE, "two motifs of the name 'a'"),
        (b">a\nA [1 2]\nC [1 2]\nG [1 2]\n", "has 1 headings, but 0 motifs"),
        (b">a\nA [1 2]\nC [1 2]\nG [1 2]\nT [1]\n", "Biopython cannot read it"),
        (b">a\nA [1 0]\nC [1 0]\nG [1 0]\nT [0 0]\n", "position 2 are no frequencies"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_motif_files_that_cannot_be_used(text: bytes, words: str) -> None:
    Path("m.meme").write_bytes(text)
    with pytest.raises(UserError, match=r"motif file m\.meme") as caught:
        read_motifs(Path("m.meme"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_few_motifs_bring_a_note_and_a_match_is_reported_with_its_strand() -> None:
    gata = "".join("ACGT"[base] for base in KNOWN["GATA"].argmax(axis=0))
    turned = gata[::-1].translate(str.maketrans("ACGT", "TGCA"))
    letters = [random_letters(1, 60) + text + random_letters(2, 60) for text in (gata, turned)] * 10
    values = np.random.default_rng(0).normal(0, 0.01, (20, len(letters[0])))
    values[:, 60 : 60 + len(gata)] += 1
    write_scores(values, letters=letters)
    write_meme(Path("m.meme"), {"GATA one": KNOWN["GATA"], "TAL1": KNOWN["TAL1"]})
    done = deeplift("seqlets", "s.h5", "-o", "x.bed", "--motifs", "m.meme")
    assert done.code == 0
    assert "2 motifs" in done.err
    assert "reliable with 25" in done.err
    rows = [row for row in read_bed(Path("x.bed").read_text()) if float(row["contribution"]) > 5]
    assert len(rows) == 20
    assert {(row["name"], row["motif"]) for row in rows} == {("GATA_one", "GATA one")}
    assert {(int(row["record"][1:]) % 2, row["strand"]) for row in rows} == {(0, "+"), (1, "-")}


def test_python_takes_arrays() -> None:
    sequences = simulate(8, 1)
    bases = np.stack([sequence.bases for sequence in sequences])
    contributions = np.random.default_rng(0).normal(0, 0.01, bases.shape).astype(np.float32)
    for row, sequence in enumerate(sequences):
        for motif in sequence.planted:
            contributions[row, motif.start : motif.end] += 1
    seqlets = find_seqlets(contributions)
    matches = best_matches(bases, seqlets, database())
    for row, start, end, motif in zip(seqlets.row, seqlets.start, seqlets.end, matches.motif, strict=True):
        at = [one for one in sequences[row].planted if one.start < end and start < one.end]
        assert list(KNOWN)[motif] in {one.motif for one in at}
    assert len(find_seqlets(np.empty((0, 10)))) == 0
    with pytest.raises(ValueError, match="not a finite number"):
        find_seqlets(np.array([[0, np.nan]]))


def test_the_page_says_what_works() -> None:
    """The commands and the code of docs/seqlets.md."""
    page = (EXAMPLES.parent / "docs/seqlets.md").read_text()
    for column in COLUMNS:
        assert f"`{column}`" in page
    gata = "".join("ACGT"[base] for base in KNOWN["GATA"].argmax(axis=0))
    letters = [random_letters(i, 10) + gata + random_letters(i + 50, 60) for i in range(20)]
    values = np.random.default_rng(0).normal(0, 0.05, (20, len(letters[0]))).astype(np.float32)
    values[:10, 10 : 10 + len(gata)] += 1
    values[10:, 40:50] += 1
    write_scores(values, letters=letters, name="scores.h5")
    write_meme(Path("jaspar.meme"), database())
    commands = re.search(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert commands
    for command in commands[1].splitlines():
        assert deeplift(*command.split()[1:]).code == 0
    Path("seqlets.bed").write_bytes(gzip.decompress(Path("seqlets.bed.gz").read_bytes()))
    rows = read_bed(Path("seqlets.bed").read_text())
    awk = re.search(r"^`(awk .*)`", page, re.MULTILINE)
    assert awk
    done = subprocess.run(awk[1], shell=True, capture_output=True, text=True, check=True)
    certain = [row for row in rows if float(row["motif_q_value"]) <= 0.1]
    assert read_bed(done.stdout) == certain
    assert 0 < len(certain) < len(rows)

    bases = one_hot([text.encode() for text in letters]).argmax(axis=1).astype(np.int8)
    names: dict[str, Any] = {"contributions": values, "bases": bases}
    code = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code
    exec(compile(code[1], "docs/seqlets.md", "exec"), names)
    found = sorted(names["matches"].p_value.tolist())
    assert found == pytest.approx(sorted(float(row["motif_p_value"]) for row in rows), rel=1e-3)


# ---- refusals


def test_no_seqlets_are_a_file_with_its_header_alone() -> None:
    write_scores(np.zeros((3, LENGTH)))
    assert seqlets_of("s.h5") == seqlets_of("s.h5", "--motifs", write_meme(Path("m.meme"), KNOWN)) == []


def test_options_and_outputs_that_cannot_be_used() -> None:
    write_scores(peaked(3))
    assert "--min-length 9 is larger than" in refused(
        "s.h5", "-o", "x.bed", "--min-length", 9, "--max-length", 8, code=2
    )
    assert "--out" in refused("s.h5", code=2)
    assert "--p-value" in refused("s.h5", "-o", "x.bed", "--p-value", 0, code=2)
    Path("there.bed").write_text("old")
    assert "there.bed exists; give --overwrite" in refused("s.h5", "-o", "there.bed")
    assert "also an input" in refused("s.h5", "-o", "s.h5", "--overwrite")
    assert "no.meme does not exist" in refused("s.h5", "-o", "x.bed", "--motifs", "no.meme")
    assert "missing.h5 does not exist" in refused("missing.h5", "-o", "x.bed")
    with h5py.File("s.h5", "r+") as file:
        file["projected_shap/seq"][0, 0, 0] = 7.0
    assert "score file s.h5 is damaged" in refused("s.h5", "-o", "x.bed")


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_scores(peaked(3))
    monkeypatch.setitem(sys.modules, "tangermeme.seqlet", None)
    assert "`pip install 'deeplift-genomics[motifs]'`" in refused("s.h5", "-o", "x.bed")


def test_a_full_disc_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_scores(peaked(3))

    def full(*_: object) -> Iterator[str]:
        yield "chr1\n"
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(run, "bed_lines", full)
    assert "x.bed cannot be written: No space left" in refused("s.h5", "-o", "x.bed")
