"""`deeplift report`: the page holds what the score file holds, and nothing of a file becomes code."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from report_pages import (
    HOSTILE,
    REFERENCES,
    SKIPPED,
    batch_of,
    make,
    read_page,
    unpacked,
    write_scores,
)
from small_models import deeplift, random_letters, score, torchscript, write_fasta
from test_verify import changed

from deeplift_cli.figures.colours import COLOUR_BLIND, STANDARD
from deeplift_cli.figures.letters import outline
from deeplift_cli.report import build, charts, listing
from deeplift_cli.report.packing import BestRows, PackedRow, pack
from deeplift_cli.report.page_files import page_file
from deeplift_cli.report.seqlets import CERTAIN, EXAMPLES, MOTIFS, TOP
from deeplift_cli.sequences import one_hot

ROOT = Path(__file__).resolve().parents[1]
N, LENGTH = 11, 150


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scores() -> Path:
    return write_scores(Path("s.h5"), batch_of(N, LENGTH))


def ranked(path: Path) -> list[int]:
    """The rows by absolute difference."""
    with h5py.File(path) as file:
        difference = file["qc/output"][:] - file["qc/reference_output"][:].mean(axis=1)
    return sorted(range(len(difference)), key=lambda row: (-abs(difference[row]), row))


# ---- packing


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-30, 1e30, 0.0]))
def test_packed_rows_have_all_letters_and_rounded_contributions(length: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    letters = "".join(rng.choice(list("ACGTN"), length))
    known = np.array([letter != "N" for letter in letters])
    values = (rng.standard_normal(length) * size * known).astype(np.float32)
    row = pack(one_hot([letters.encode()])[0], values)
    assert row.largest == np.abs(values).max()
    assert len(row.padded) == row.size == -(-len(row.content) // 3) * 3
    found, contributions = unpacked(row.content, length, row.largest)
    assert found == letters
    np.testing.assert_allclose(contributions, values, rtol=0, atol=row.largest / 254 * 1.0001)


def test_the_best_rows_that_fit_are_kept_whatever_their_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        rows = [PackedRow(bytes(int(size)), 1.0) for size in rng.integers(1, 40, 12)]
        limit, smaller = sorted(rng.integers(0, 250, 2).tolist(), reverse=True)
        best = BestRows(limit)
        for rank in rng.permutation(12).tolist():
            best.add(rank, rows[rank])
        for most in (limit, smaller):
            best.shrink(most)
            fitting = [rank for rank in range(13) if sum(row.size for row in rows[:rank]) <= most]
            assert list(best.rows()) == list(range(max(fitting)))


# ---- letters and colours are those of `deeplift plot`


def svg_path(letter: Outline) -> str:
    """The outline as the page has it; write what this returns into page/letters.json where it differs."""
    commands = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CLOSEPOLY: "Z"}
    parts = []
    for numbers, code in letter.iter_segments(simplify=False):
        numbers = [] if code == Outline.CLOSEPOLY else numbers
        parts.append(commands[code] + " ".join(f"{number:.4f}".rstrip("0").rstrip(".") for number in numbers))
    return "".join(parts)


def test_letters_have_the_outlines_of_pictures() -> None:
    assert json.loads(page_file("letters.json")) == {base: svg_path(outline(base)) for base in "ACGT"}


@pytest.mark.parametrize(("block", "colours"), [(":root", STANDARD), ("colour-blind", COLOUR_BLIND)])
def test_letters_have_the_colours_of_pictures(block: str, colours: dict[str, str]) -> None:
    style = page_file("report.css")
    blocks = {head.strip(): body for head, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style)}
    (body,) = (body for head, body in blocks.items() if head in (block, f':root[data-colours="{block}"]'))
    assert dict(re.findall(r"--([ACGT]): light-dark\((#\w+),", body)) == dict(colours)


# ---- the content


def test_the_table_has_the_numbers_of_the_file_by_rank(scores: Path) -> None:
    assert make(scores, "-o", "r.html").splitlines() == [
        f"regions             {N} of {N} in the table, {N} with a logo",
        "written             r.html, 0.1 MB",
    ]
    table, order = read_page(Path("r.html")).table, ranked(scores)
    assert table["row"] == order
    assert table["rank"] == list(range(1, N + 1))
    with h5py.File(scores) as file:
        names, chroms = (file[f"regions/{key}"].asstr()[:] for key in ("name", "chrom"))
        strands = file["regions/strand"].asstr()[:]
        difference = file["qc/output"][:] - file["qc/reference_output"][:].mean(axis=1)
        contributions = file["projected_shap/seq"][:].sum(axis=1)
        noise = file["qc/standard_error"][:] / np.sqrt((contributions.astype(float) ** 2).mean(axis=1))
        expected = {
            "prediction": file["qc/prediction"][:],
            "output": file["qc/output"][:],
            "difference": difference,
            "error": np.abs(file["qc/completeness_error"][:]).max(axis=1),
            "noise": noise,
            "largest": np.abs(contributions).max(axis=1),
            "start": file["regions/start"][:],
        }
    assert table["name"] == names[order].tolist()
    assert [table["chroms"][place] for place in table["chrom"]] == chroms[order].tolist()
    assert table["strand"] == "".join(strands[order])
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values[order], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_logo_has_the_letters_and_contributions_of_its_row(dtype: str) -> None:
    path = write_scores(Path("s.h5"), batch_of(N, LENGTH), dtype=dtype)
    make(path, "-o", "r.html")
    logos = read_page(Path("r.html")).logos()
    assert set(logos) == set(range(N))
    with h5py.File(path) as file:
        sequences, contributions = file["raw/seq"][:], file["projected_shap/seq"][:].sum(axis=1)
    for row, (letters, values) in logos.items():
        assert letters == "".join("ACGT"[c.argmax()] if c.any() else "N" for c in sequences[row].T)
        np.testing.assert_allclose(values, contributions[row], atol=np.abs(contributions[row]).max() / 250)


def test_the_page_says_how_the_scores_were_made_and_how_good_they_are() -> None:
    records = {f"r{i}": random_letters(i, 24 - (i == 4)) for i in range(8)} | {"A's": "A" * 24}
    options = ["--target", 1, "--n-references", REFERENCES, "--seed", 5, "--rule", "rescale"]
    score("-m", torchscript("Net"), "-f", write_fasta(Path("in.fa"), records), "-o", "s.h5", *options)
    make("s.h5", "-o", "r.html", "--title", "Net & <others>")
    words = read_page(Path("r.html")).words
    for text in (
        "Net & <others>", "sequences 8 of 24 bp; 1 skipped", f"dinucleotide, {REFERENCES} each, seed 5",
        "target 1", "rule rescale", "Net.pt (SHA-256", "scored from in.fa", "page made by deeplift",
        "skipped records 1", "is 23 bp long; the model takes 24 bp", "r4",
    ):  # fmt: skip
        assert text in words, text
    with h5py.File("s.h5") as file:
        worst = f"worst relative error {file.attrs['worst_relative_completeness_error']:.1e}"
        identical = file["qc/identical_references"][:]
        rescored = file["qc/rescored"][:].sum()
    assert worst in words
    assert f"{rescored if rescored else 'none'} of {8 * REFERENCES} pairs" in words
    share = f"{identical.sum()} of {8 * REFERENCES} ({identical.sum() / 8 / REFERENCES:.2%})"
    assert identical[-1] == REFERENCES
    assert share in words


def test_skipped_records_are_counted_by_reason(scores: Path) -> None:
    make(scores, "-o", "r.html")
    words = read_page(Path("r.html")).words
    # Reasons that differ in numbers are one.
    assert "2 is 5 bp long; the model takes 24 bp short one" in words
    assert "1 has the letter '<' & more <b>bad</b>" in words
    Path("s.skipped.tsv").unlink()
    make(scores, "-o", "r.html", "--overwrite")
    assert (
        "3; s.skipped.tsv, which has the reasons, is not beside the score file"
        in read_page(Path("r.html")).words
    )


def test_noise_is_told_as_quantiles_and_left_out_for_one_reference(scores: Path) -> None:
    make(scores, "-o", "r.html")
    page = read_page(Path("r.html"))
    middle, high = np.quantile(page.table["noise"], (0.5, 0.9))
    assert (
        f"is {middle:.1%} of the contributions in the median sequence, and at most {high:.1%}" in page.words
    )
    batch = batch_of(N, LENGTH)
    batch.standard_error = None
    batch.rescored = None
    make(write_scores(Path("one.h5"), batch), "-o", "one.html")
    page = read_page(Path("one.html"))
    assert page.table["noise"] is None
    assert ("data-sort", "noise") not in page.attributes
    assert "computed again in float64 not recorded" in page.words
    assert "noise of references unknown" in page.words


@pytest.mark.parametrize("rule", ["gradient", "integrated-gradients:20"])
def test_rules_that_do_not_promise_sums_are_said_not_to(rule: str) -> None:
    make(write_scores(Path("s.h5"), batch_of(3, 30), rule=rule), "-o", "r.html")
    assert f"summation-to-delta not promised by the rule {rule}; worst" in read_page(Path("r.html")).words


def test_base_composition_counts_the_letters(scores: Path) -> None:
    make(scores, "-o", "r.html")
    with h5py.File(scores) as file:
        counts = file["raw/seq"][:].sum(axis=(0, 2), dtype=int)
    text = ", ".join(f"{b} {count / counts.sum():.1%}" for b, count in zip("ACGT", counts, strict=True))
    unknown = 1 - counts.sum() / (N * LENGTH)
    assert (
        f"In all {text}, without the {unknown:.2%} of positions that have no base"
        in read_page(Path("r.html")).words
    )


def line_of(html: str, kind: str) -> np.ndarray:
    """The values of a line, from the path and the ticks of its chart."""
    (chart,) = (svg for svg in re.findall(r"<svg .*?</svg>", html, re.S) if f'class="line {kind}"' in svg)
    points = re.search(rf'class="line {kind}" d="M(.*?)"', chart)[1].split("L")
    texts = re.findall(r'<text class="end" x="[\d.]+" y="([\d.]+)" dy="0.32em">(.*?)</text>', chart)
    places = [float(y) for y, _ in texts]
    ticks = [float(text.replace("\N{MINUS SIGN}", "-").replace(",", "")) for _, text in texts]
    slope, shift = np.polyfit(places, ticks, 1)
    return np.array([float(point.split()[1]) * slope + shift for point in points])


@pytest.mark.parametrize("length", [LENGTH, 1201])
def test_lines_along_the_window_are_means_over_sequences(length: int) -> None:
    path = write_scores(Path("s.h5"), batch_of(5, length))
    make(path, "-o", "r.html")
    html = Path("r.html").read_text()
    with h5py.File(path) as file:
        contributions = file["projected_shap/seq"][:].sum(axis=1)
        sequences = file["raw/seq"][:]
    expected = {
        "mean": contributions.mean(axis=0),
        "size": np.abs(contributions).mean(axis=0),
        **{base: sequences[:, place].mean(axis=0) for place, base in enumerate("acgt")},
    }
    step = -(-length // 500)
    for kind, values in expected.items():
        binned = [values[first : first + step].mean() for first in range(0, length, step)]
        found = line_of(html, kind)
        np.testing.assert_allclose(found, binned, atol=0.004 * np.ptp(found), err_msg=kind)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(100.0),
        np.array([3.0]),
        np.array([1e-9, 2e-9]),
        np.array([-1e6, np.nan, 1e6]),
        np.full(3, 1e20),
    ],
)
def test_bars_of_histograms_have_the_heights_of_counts(values: np.ndarray) -> None:
    drawn = charts.histogram(values, "x")
    bars = re.findall(
        r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V[\d.]+Z", re.search(r'class="bar" d="(.*?)"', drawn)[1]
    )
    finite = values[np.isfinite(values)]
    middle, half = finite[0], max(0.5, abs(finite[0]) / 1000)
    ends = (finite.min(), finite.max()) if np.ptp(finite) else (middle - half, middle + half)
    counts = np.histogram(finite, 40, ends)[0]
    heights = [float(base) - float(top) for _, base, top, _ in bars]
    np.testing.assert_allclose(heights, counts[counts > 0] / counts.max() * 160, atol=0.11)
    assert charts.histogram(np.array([np.nan]), "x") == "<p>There are no values to show.</p>"


# ---- limits


def test_a_page_below_its_limit_has_the_logos_of_the_best(
    scores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(scores, "-o", "r.html")
    size = Path("r.html").stat().st_size
    monkeypatch.setattr(build, "_SPARE", 40)
    monkeypatch.setattr(build, "LARGEST_PAGE", size - 600)
    said = make(scores, "-o", "r.html", "--overwrite")
    page = read_page(Path("r.html"))
    logos = page.logos()
    assert size - 1600 < Path("r.html").stat().st_size <= size - 600
    assert 0 < len(logos) < N
    assert list(logos) == ranked(scores)[: len(logos)]
    assert f"{N} of {N} in the table, {len(logos)} with a logo" in said
    assert f"The page has all regions, and logos of the best {len(logos)} of {N}." in page.words
    monkeypatch.setattr(build, "LARGEST_PAGE", 1000)
    make(scores, "-o", "r.html", "--overwrite")
    assert read_page(Path("r.html")).logos() == {}


def test_the_table_has_the_best_of_many_regions(scores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LISTED", 5)
    seqlets = [(ranked(scores)[8], 20, 30, 2.0), (ranked(scores)[0], 5, 9, 1.0)]
    write_seqlets(Path("q.bed"), scores, seqlets)
    make(scores, "-o", "r.html")
    page = read_page(Path("r.html"))
    assert page.table["row"] == ranked(scores)[:5]
    assert f"The page has the best 5 of {N} regions, with the logo of each." in page.words
    make(scores, "-o", "r.html", "--overwrite", "--seqlets", "q.bed")
    table = read_page(Path("r.html")).table
    assert table["row"] == [*ranked(scores)[:5], ranked(scores)[8]]  # that of a seqlet is always there
    assert table["rank"] == [1, 2, 3, 4, 5, 9]
    assert all(table["size"])
    monkeypatch.setattr(listing, "LARGEST_TABLE", 0)
    make(scores, "-o", "r.html", "--overwrite", "--seqlets", "q.bed")
    assert read_page(Path("r.html")).table["row"] == [ranked(scores)[0], ranked(scores)[8]]


def test_a_file_without_regions_has_a_page() -> None:
    make(write_scores(Path("s.h5"), batch_of(0, LENGTH)), "-o", "r.html")
    page = read_page(Path("r.html"))
    assert page.table["row"] == []
    assert "none of 0" in page.words


# ---- seqlets

COLUMNS = (
    "#chrom\tstart\tend\tname\tscore\tstrand\tsequence\trecord\trow\trecord_strand\tcontribution\tmean\tp_value\t"
    "motif\tmotif_p_value\tmotif_q_value"
)


def write_seqlets(
    path: Path,
    scores: Path,
    seqlets: list[tuple[int, int, int, float]],
    motifs: Sequence[tuple[str, float | str]] = (),
) -> None:
    """Write seqlets (row, start and end in the window, contribution), each with a motif and its q-value."""
    with h5py.File(scores) as file:
        chroms, starts = file["regions/chrom"].asstr()[:], file["regions/start"][:]
    lines = [COLUMNS]
    for place, (row, start, end, contribution) in enumerate(seqlets):
        motif, q_value = motifs[place] if motifs else (".", ".")
        span = (chroms[row], starts[row] + start, starts[row] + end)
        rest = ("ACGT", "rec", row, ".", contribution, contribution / 4, 0.001, motif, 0.01, q_value)
        lines.append("\t".join(map(str, (*span, "name", 30, "-", *rest))))
    content = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


def rows_of(html: str, kind: str) -> list[list[str]]:
    """The plain text of the cells of a table."""
    (table,) = re.findall(rf'<table class="{kind}">.*?<tbody>(.*?)</tbody>', html, re.S)
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", table)
    ]


@pytest.mark.parametrize("name", ["q.bed", "q.bed.gz"])
def test_the_strongest_seqlets_and_their_motifs(scores: Path, name: str) -> None:
    rng = np.random.default_rng(3)
    n = 60
    starts = rng.integers(0, LENGTH - 12, n)
    values = np.round(rng.standard_normal(n) * 3, 3)
    rows = rng.integers(0, N, n)
    seqlets = [(int(r), int(s), int(s) + 10, float(v)) for r, s, v in zip(rows, starts, values, strict=True)]
    motifs = [(f"M{rng.integers(0, 25)}", float(round(rng.random() / 5, 3))) for _ in range(n)]
    write_seqlets(Path(name), scores, seqlets, motifs)
    make(scores, "-o", "r.html", "--seqlets", name)
    html, words = Path("r.html").read_text(), read_page(Path("r.html")).words

    certain: dict[str, list[float]] = {}
    for (_, _, _, value), (motif, q_value) in zip(seqlets, motifs, strict=True):
        if q_value <= CERTAIN:
            certain.setdefault(motif, []).append(value)
    matched = sum(map(len, certain.values()))
    negative = f"({(values < 0).sum()} of negative ones)"
    assert f"{name} has {n} seqlets, short spans of large contributions {negative}." in words
    assert f"{matched} match a known motif at a false discovery rate of 0.1." in words
    order = sorted(certain, key=lambda motif: -sum(map(abs, certain[motif])))[:MOTIFS]
    found = rows_of(html, "motifs")
    assert [cells[:3] for cells in found] == [
        [motif, str(len(certain[motif])), charts.shown(float(np.mean(certain[motif])))] for motif in order
    ]
    assert [cells[3].count("ACGT") for cells in found] == [min(EXAMPLES, len(certain[m])) for m in order]

    best = sorted(range(n), key=lambda i: (-abs(values[i]), i))[:TOP]
    assert [cells[1:3] for cells in rows_of(html, "seqlets")] == [
        [f"row {rows[i]}", charts.shown(values[i])] for i in best
    ]
    assert [cells[4] for cells in rows_of(html, "seqlets")] == [f"{motifs[i][0]} (-)" for i in best]


def test_opened_logos_mark_all_seqlets_of_their_region(scores: Path) -> None:
    rng = np.random.default_rng(5)
    starts, rows = rng.integers(0, LENGTH - 12, 70), rng.integers(0, N - 1, 70)
    seqlets = [
        (int(row), int(s), int(s) + 4 + i % 8, 1.0)
        for i, (row, s) in enumerate(zip(rows, starts, strict=True))
    ]
    write_seqlets(Path("q.bed"), scores, seqlets)
    make(scores, "-o", "r.html", "--seqlets", "q.bed")
    found = read_page(Path("r.html")).marks()
    assert found == {
        row: [(start, end) for other, start, end, _ in seqlets if other == row] for row in set(rows.tolist())
    }
    make(scores, "-o", "without.html")
    assert read_page(Path("without.html")).marks() == {}


def test_a_seqlet_outside_its_window_is_refused_also_if_it_is_not_listed(scores: Path) -> None:
    inside = [(2, 10, 20, 5.0)] * (TOP + 2)
    write_seqlets(Path("q.bed"), scores, [*inside, (3, LENGTH - 5, LENGTH + 1, 0.1)])
    assert f"line {len(inside) + 2} does not fit row 3" in refused(
        scores, "-o", "r.html", "--seqlets", "q.bed"
    )
    assert not Path("r.html").exists()


def test_seqlets_without_motifs_have_no_table_of_motifs(scores: Path) -> None:
    write_seqlets(Path("q.bed"), scores, [(2, 10, 20, 1.5)])
    make(scores, "-o", "r.html", "--seqlets", "q.bed")
    html = Path("r.html").read_text()
    assert 'class="motifs"' not in html
    assert [cells[1:] for cells in rows_of(html, "seqlets")] == [["row 2", "1.5", "0.001"]]
    make(scores, "-o", "without.html")
    assert 'id="seqlets"' not in Path("without.html").read_text()


def line(**changes: object) -> str:
    cells = dict(
        zip(
            COLUMNS.lstrip("#").split("\t"),
            ("chr3", 2010, 2020, "n", 3, ".", "ACGT", "r", 2, ".", 1, 1, 0.1, ".", ".", "."),
            strict=True,
        )
    )
    return "\t".join(map(str, (cells | changes).values()))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["chr1\t1\t5"], "does not begin with the columns of deeplift seqlets (missing: chrom, strand"),
        ([COLUMNS, "chr1\t1"], "line 2 has 2 column(s); the first line has 16"),
        ([COLUMNS, line(row="x")], "line 2: row is 'x', not a whole number"),
        ([COLUMNS, line(start=-3)], "line 2: start is '-3', not a whole number"),
        ([COLUMNS, line(row="9" * 5000)], "not a whole number"),
        ([COLUMNS, line(contribution="nan")], "line 2: contribution is 'nan', not a finite number"),
        ([COLUMNS, line(motif="M", motif_q_value="?")], "line 2: motif_q_value is '?', not a finite number"),
        ([COLUMNS, line(), line(row=N)], f"line 3 does not fit row {N} of the score file; give the seqlets"),
        ([COLUMNS, line(row=1)], "line 2 does not fit row 1"),
        ([COLUMNS, line(end=2151)], "line 2 does not fit row 2"),
        ([COLUMNS, line(start=2020)], "line 2 does not fit row 2"),
    ],
)
def test_seqlets_that_cannot_be_used_are_one_line(scores: Path, lines: list[str], message: str) -> None:
    Path("q.bed").write_text("\n".join(lines) + "\n")
    assert message in refused(scores, "-o", "r.html", "--seqlets", "q.bed")


# ---- texts of other people


def test_names_are_text_and_never_markup() -> None:
    names = [HOSTILE, "tab\tand\nline", "\u2028<script>", "é" * 70_000, "", "x"]
    path = write_scores(Path("s.h5"), batch_of(6, LENGTH, names))

    def no_utf8(values: Any) -> None:
        values[5] = b"\xff<script>"

    changed("s.h5", "regions/name", no_utf8)
    write_seqlets(
        Path("q.bed"), path, [(0, 10, 20, 5.0), (1, 10, 20, 4.0)], [(HOSTILE, 0.01), ("nul\0", 0.01)]
    )
    Path("s.skipped.tsv").write_text(
        "index\tline\tname\treason\n"
        + "".join(f"1\t2\t{HOSTILE}\tis{i * 'x'} {HOSTILE}\0\n" for i in range(3))
    )
    make(path, "-o", "r.html", "--seqlets", "q.bed", "--title", HOSTILE)
    page = read_page(Path("r.html"))
    plain = write_scores(Path("t.h5"), batch_of(6, LENGTH))
    write_seqlets(Path("t.bed"), plain, [(0, 10, 20, 5.0), (1, 10, 20, 4.0)], [("one", 0.01), ("two", 0.01)])
    make(plain, "-o", "t.html", "--seqlets", "t.bed")
    expected = read_page(Path("t.html"))
    rows = {tag: page.tags.count(tag) - expected.tags.count(tag) for tag in {*page.tags, *expected.tags}}
    # The first page has one reason more, and its rows may have other ranks.
    assert {tag: more for tag, more in rows.items() if more} == {"tr": 1, "th": 1, "td": 2}
    assert list(page.scripts) == ["style", "settings", "table-data", "script", "logo-data", "mark-data"]
    assert "\0" not in page.text
    by_row = dict(zip(page.table["row"], page.table["name"], strict=True))
    assert by_row[0] == HOSTILE
    assert by_row[1] == "tab\\tand\\nline"
    assert by_row[2] == "\\u2028<script>"
    assert by_row[3] == "é" * 200 + "..."
    assert by_row[5] == "\\udcff<script>"
    assert HOSTILE in page.said


def test_a_hostile_name_of_the_file_is_text() -> None:
    make(write_scores(Path("<script>'&amp;.h5"), batch_of(2, 30), ()), "-o", "r.html")
    page = read_page(Path("r.html"))
    assert page.settings["file"] == "<script>'&amp;.h5"
    assert page.tags.count("script") == 5
    assert page.words.count("<script>'&amp;.h5") == 3  # title, head, run


def test_the_policy_names_the_pages_own_script_and_style(scores: Path) -> None:
    make(scores, "-o", "r.html")
    page = read_page(Path("r.html"))
    (policy,) = (value for _, value in page.attributes if value and value.startswith("default-src"))

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert (
        f"script-src {source(page.scripts['script'])}; style-src {source(page.scripts['style'])};" in policy
    )
    assert policy.startswith("default-src 'none'; ")
    # Neither links nor style attributes nor handlers, which the policy would refuse.
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} | ({"style", "src"} & names)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.text)


def test_records_without_coordinates_have_no_place() -> None:
    make(write_scores(Path("s.h5"), batch_of(4, LENGTH, coordinates=False)), "-o", "r.html")
    table = read_page(Path("r.html")).table
    assert (table["chroms"], table["chrom"]) == ([], [-1] * 4)
    batch = batch_of(6, LENGTH)
    batch.regions[1] = replace(batch.regions[1], chrom="peak_1")
    make(write_scores(Path("mixed.h5"), batch), "-o", "mixed.html")
    table = read_page(Path("mixed.html")).table
    found = [table["chroms"][place] if place >= 0 else None for place in table["chrom"]]
    assert dict(zip(table["row"], found, strict=True)) == {
        0: "chr1", 1: None, 2: "chr3", 3: "chr1", 4: "chr2", 5: "chr3",
    }  # fmt: skip


# ---- what cannot be done


def refused(*words: object) -> str:
    done = deeplift("report", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert not Path("r.html").exists()
    return done.err


def test_a_page_that_exists_is_kept(scores: Path) -> None:
    Path("r.html").write_text("mine")
    done = deeplift("report", scores, "-o", "r.html")
    assert (done.code, Path("r.html").read_text()) == (1, "mine")
    assert "output r.html exists; give --overwrite" in done.err
    make(scores, "-o", "r.html", "--overwrite", "-q")
    assert Path("r.html").read_text().startswith("<!DOCTYPE html>")


def test_the_same_scores_give_the_same_page(scores: Path) -> None:
    make(scores, "-o", "a.html")
    make(scores, "-o", "b.html")
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


@pytest.mark.parametrize("out", ["r.pdf", "r", "folder/"])
def test_only_pages_are_written(scores: Path, out: str) -> None:
    assert deeplift("report", scores, "-o", out).code == 2


def test_a_damaged_file_is_one_line(scores: Path) -> None:
    with h5py.File(scores) as file:
        info = file["projected_shap/seq"].id.get_chunk_info(0)
    with scores.open("r+b") as file:
        file.seek(info.byte_offset + info.size // 2)
        file.write(b"\xff\xff\xff")
    assert "projected_shap/seq, rows 1 to " in refused(scores, "-o", "r.html")
    assert "does not exist" in refused("none.h5", "-o", "r.html")


def test_another_table_of_skipped_records_is_refused(scores: Path) -> None:
    table = Path("s.skipped.tsv")
    table.write_text(table.read_text() + "9\t9\tx\ty\n")
    assert f"lists 4 records, but s.h5 says that {len(SKIPPED)} were skipped" in refused(
        scores, "-o", "r.html"
    )
    table.write_text("hello\n")
    assert "s.skipped.tsv is not the table of skipped records of s.h5" in refused(scores, "-o", "r.html")


def test_the_table_of_a_check_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(5)])
    model = torchscript("Net")
    score("-m", model, "-f", "in.fa", "-o", "a.h5", "--n-references", 5)
    printed = deeplift("check", "a.h5", "-m", model, "--json")
    Path("check.json").write_text(printed.out)
    assert deeplift("report", "a.h5", "-o", "a.html", "--check", "check.json").code == 0
    page = Path("a.html").read_text()
    for row in json.loads(printed.out)["table"]:
        assert all(html.escape(cell) in page for cell in row)
    assert "Measured on 5 sequences" in page


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"sequences": 3}', '{"sequences": 3, "table": [["a", 1, "b"]]}', "\0", "[" * 9**6],
)
def test_what_is_no_check_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), [random_letters(1)])
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "a.h5", "--n-references", 2)
    Path("check.json").write_text(content)
    outcome = deeplift("report", "a.h5", "-o", "a.html", "--check", "check.json")
    assert outcome.code == 1
    assert "check.json" in outcome.err
    assert not Path("a.html").exists()


def test_a_page_of_mutagenesis_leaves_out_what_is_about_references() -> None:
    write_fasta(Path("in.fa"), [random_letters(seed) for seed in range(6)])
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "ism.h5", "--rule", "ism")
    make("ism.h5", "-o", "r.html")
    page = read_page(Path("r.html"))
    with h5py.File("ism.h5") as file:
        output, contributions = file["qc/output"][:], file["projected_shap/seq"][:].sum(axis=1)
    order = sorted(range(6), key=lambda row: (-abs(output[row]), row))
    assert page.table["row"] == order
    np.testing.assert_allclose(page.table["output"], output[order], rtol=1e-5)
    assert {key for key, column in page.table.items() if column is None} == {"difference", "error", "noise"}
    for row, (_, values) in page.logos().items():
        np.testing.assert_allclose(values, contributions[row], atol=np.abs(contributions[row]).max() / 250)
    sorts = [value for name, value in page.attributes if name == "data-sort"]
    assert sorts == ["rank", "name", "place", "prediction", "output"]
    (sentence,) = re.findall(r"In-silico mutagenesis compares [^.]*\.", page.words)
    assert "there are no references, and contributions need not sum to a difference in output" in sentence
    assert page.words.count("The sequences whose output is farthest from 0.") == 1
    for words in ("summation-to-delta", "error of sum", "noise of references", "dinucleotide", "DeepLIFT"):
        assert words not in page.words
    assert "references none in-silico mutagenesis" in page.words
