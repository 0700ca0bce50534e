"""Logos on matplotlib's axes: letters have the heights of contributions, their places and their colours."""

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from deeplift_cli.figures import draw_logo
from deeplift_cli.figures.colours import COLOUR_BLIND, SETS, STANDARD, colours_by_name
from deeplift_cli.figures.coordinates import Coordinates
from deeplift_cli.figures.letters import outline
from deeplift_cli.figures.page import draw_page, page_style
from deeplift_cli.figures.picture import save
from deeplift_cli.figures.tracks.base import Sheet, short_number
from deeplift_cli.figures.tracks.intervals import Interval, Intervals
from deeplift_cli.figures.tracks.signal import Signal
from deeplift_cli.options.pictures import check_ending
from deeplift_cli.options.rows import Locus, parse_locus, parse_span

VALUES = np.array([4, 2, -2, 0, 0.5, -1])
LETTERS = "ACGTNC"


def axes(width: float = 12) -> Axes:
    return Figure(figsize=(width, 2)).add_axes((0, 0, 1, 1))


def boxes(drawn: list[Any]) -> list[tuple[str, float, float, float, float]]:
    """(base, left, bottom, right, top) of every letter or bar, by place and then by height."""
    found = []
    for base, collection in zip("ACGT", drawn, strict=True):
        for path in collection.get_paths():
            box = path.get_extents()
            found.append((base, *(round(float(value), 6) for value in (box.x0, box.y0, box.x1, box.y1))))
    return sorted(found, key=lambda box: (box[1], box[2]))


def test_letters_are_as_high_as_their_contributions() -> None:
    on = axes()
    found = boxes(draw_logo(on, VALUES, LETTERS, start=100))
    assert [(base, round(left), low, high) for base, left, low, _, high in found] == [
        ("A", 100, 0, 4), ("C", 101, 0, 2), ("G", 102, -2, 0), ("C", 105, -1, 0),
    ]  # fmt: skip
    assert all(0 < left - round(left) < 0.1 and 0.8 < right - left < 1 for _, left, _, right, _ in found)
    low, high = on.get_ylim()
    assert (low < -2, high > 4, on.get_xlim()) == (True, True, (100, 106))


def test_one_hot_sequences_and_letters_mean_the_same() -> None:
    one_hot = np.array([[letter == base for letter in LETTERS] for base in "ACGT"], np.int8)
    expected = boxes(draw_logo(axes(), VALUES, LETTERS))
    assert boxes(draw_logo(axes(), VALUES, one_hot)) == expected
    assert boxes(draw_logo(axes(), VALUES * one_hot)) == expected
    other = np.random.default_rng(0).normal(size=(4, 6))
    values = np.where(one_hot, VALUES, other)  # hypothetical contributions hold those of the observed bases
    assert boxes(draw_logo(axes(), values, one_hot)) == expected


def test_letters_below_the_axis_are_upside_down() -> None:
    drawn = draw_logo(axes(), [3.0, -3.0], "AA")
    above, below = (np.asarray(path.vertices) for path in drawn[0].get_paths())
    np.testing.assert_allclose(below, above * (1, -1) + (1, 0), atol=1e-9)
    np.testing.assert_allclose(above[:, 1] / 3, np.asarray(outline("A").vertices)[:, 1], atol=1e-9)


def test_letters_of_one_position_are_stacked_with_the_smallest_at_the_axis() -> None:
    values = np.random.default_rng(1).normal(size=(4, 20))
    values[values > 1.5] = 0
    found = boxes(draw_logo(axes(), values))
    expected = []
    for place in range(20):
        for sign in (1, -1):
            at = 0.0
            for channel in sorted(range(4), key=lambda channel: abs(values[channel, place])):
                height = values[channel, place]
                if height * sign > 0:
                    expected.append(("ACGT"[channel], place, *sorted((at, at + height))))
                    at += height
    assert len(found) == len(expected)
    expected.sort(key=lambda box: (box[1], box[2]))
    assert [(base, round(left)) for base, left, *_ in found] == [box[:2] for box in expected]
    ends = [(low, high) for _, _, low, _, high in found]
    np.testing.assert_allclose(ends, [box[2:] for box in expected], atol=1e-5)


@pytest.mark.parametrize("colours", [*SETS, {"A": "red", "C": "blue", "G": "black", "T": "#00ff00"}])
def test_each_base_has_its_colour(colours: Any) -> None:
    wanted = SETS[colours] if isinstance(colours, str) else colours
    for base, collection in zip("ACGT", draw_logo(axes(), np.ones(4), "ACGT", colours=colours), strict=True):
        assert to_hex(collection.get_facecolor()[0]) == to_hex(wanted[base])


def test_narrow_letters_become_bars_of_the_same_heights() -> None:
    rng = np.random.default_rng(2)
    values, letters = rng.normal(size=600), "".join(rng.choice(list("ACGT"), 600))
    narrow = draw_logo(axes(8), values, letters)
    wide = draw_logo(axes(8), values, letters, bars=False)
    assert {len(path.vertices) for collection in narrow for path in collection.get_paths()} == {5}
    assert [(base, low, high) for base, _, low, _, high in boxes(narrow)] == [
        (base, low, high) for base, _, low, _, high in boxes(wide)
    ]
    assert boxes(draw_logo(axes(40), values, letters)) == boxes(wide)
    assert boxes(draw_logo(axes(40), values, letters, bars=True)) == boxes(narrow)


@pytest.mark.parametrize(
    ("values", "sequence", "options", "words"),
    [
        (np.ones(4), None, {}, "need the sequence"),
        (np.ones((3, 4)), None, {}, "(3, 4)"),
        (np.ones(0), "", {}, "(0,)"),
        (np.ones(4), "ACG", {}, "(4, 3)"),
        ([1, np.nan], "AC", {}, "NaN"),
        (np.ones(2), "AC", {"colours": "gray"}, "standard, colour-blind"),
        (np.ones(2), "AC", {"colours": {"A": "red"}}, "C, G, T"),
        (np.ones(2), "AC", {"places": [1]}, "places"),
    ],
)
def test_values_that_cannot_be_drawn_are_refused(
    values: Any, sequence: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        draw_logo(axes(), values, sequence, **options)


def test_a_logo_of_zeros_is_an_empty_axis() -> None:
    on = axes()
    assert boxes(draw_logo(on, np.zeros(5), "ACGTA")) == []
    assert on.get_ylim() == (-1, 1)


# ---- colours

# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
MISSING = {
    "red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def least_distance(colours: Any, cones: str) -> float:
    """The least distance of two colours in CIELAB, as people see them who lack these cones."""
    seen = []
    for colour in colours:
        rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(np.array(MISSING[cones]) @ linear, 0, 1)
        xyz = np.array(TO_XYZ) @ linear / (0.95047, 1, 1.08883)
        x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
        seen.append(np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)]))
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


def test_colour_blind_people_can_tell_the_bases_apart() -> None:
    """The numbers in colours.py, and that no other set of the palette with these A, C and G is better."""
    assert [int(least_distance(COLOUR_BLIND.values(), cones)) for cones in MISSING] == [51, 55]
    assert [int(least_distance(STANDARD.values(), cones)) for cones in MISSING] == [27, 13]
    for other in ("#56b4e9", "#d55e00", "#cc79a7", "#f0e442"):
        assert min(least_distance(["#009e73", "#0072b2", "#e69f00", other], cones) for cones in MISSING) < 30


def test_names_have_the_same_colours_in_every_order() -> None:
    assert colours_by_name({"b", "a", "c"}) == colours_by_name({"c", "b", "a"})
    assert len(set(colours_by_name({"a", "b", "c"}).values())) == 3


# ---- coordinates, texts


def test_the_x_axis_has_coordinates_with_separators() -> None:
    on = axes()
    Coordinates(Locus("chr7", 5_530_600, 5_530_800), True).put_on(on, with_text=True)
    on.figure.draw_without_rendering()
    texts = [text.get_text() for text in on.get_xticklabels()]
    assert "5,530,650" in texts
    assert all(text == f"{tick:,.0f}" for text, tick in zip(texts, on.get_xticks(), strict=True))
    assert on.get_xlabel() == "chr7 (bp, counted from 0)"


def test_an_insertion_is_a_gap_in_the_coordinates() -> None:
    found = Coordinates(Locus("chr1", 100, 120), True, gap_at=110, gap=3)
    assert found.x([100, 109, 110, 119]).tolist() == [100, 109, 113, 122]
    assert (found.limits, found.width) == ((100, 123), 23)
    on = axes()
    found.put_on(on, with_text=True)
    texts = [text.get_text() for text in on.get_xticklabels()]
    assert dict(zip(texts, on.get_xticks().tolist(), strict=True)) == {
        "100": 100, "105": 105, "110": 113, "115": 118, "120": 123,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (-0.5, "−0.5"), (12000, "12,000"), (2e-4, "2e−4"), (-2.5e-7, "−2.5e−7")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert short_number(value) == text


def test_regions_are_read_as_people_write_them() -> None:
    assert parse_locus("chr1:1,000-2,000") == Locus("chr1", 1000, 2000)
    assert parse_locus("HLA-A*01:01:5-9") == Locus("HLA-A*01:01", 5, 9)
    assert parse_span("5-1,009") == (5, 1009)
    assert parse_span("-5-10") == (-5, 10)
    for text in ("chr1", "chr1:5", "chr1:9-5", "chr1:5-5", ":1-2", "chr1:1-2-3", f"chr1:1-{'9' * 30}"):
        with pytest.raises(ValueError, match=r"is no|is empty|not a region|digits"):
            parse_locus(text)
    for text in ("5", "9-5", "a-b"):
        with pytest.raises(ValueError, match=r"is empty|is not"):
            parse_span(text)


def test_only_endings_of_pictures_are_taken() -> None:
    assert check_ending(Path("a.PNG")) == Path("a.PNG")
    for name in ("a.docx", "a", "png"):
        with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
            check_ending(Path(name))


# ---- tracks


def placed(intervals: list[Interval], width: int = 200, inches: float = 10) -> list[Any]:
    sheet = Sheet(Coordinates(Locus("chr1", 0, width), True), inches)
    track = Intervals("hits.bed", tuple(intervals), {})
    on = axes(inches)
    on.set_xlim(0, width)
    track.draw(on, sheet)
    assert track.height(sheet) > 0
    texts = [(text.get_text(), text.get_position()) for text in on.texts]
    return [[np.asarray(patch.get_path().vertices) for patch in on.patches], texts, on.get_ylim()]


def test_boxes_have_their_coordinates_their_strand_and_a_lane() -> None:
    outlines, texts, (lowest, _) = placed(
        [Interval(10, 30, "GATA", "+"), Interval(20, 60, "TAL1", "-"), Interval(70, 90, "SP1", ".")]
    )
    assert [(corners[:, 0].min(), corners[:, 0].max()) for corners in outlines] == [
        (10, 30),
        (20, 60),
        (70, 90),
    ]
    right, left, plain = outlines
    assert [len(corners) for corners in outlines] == [6, 6, 5]
    # The point of an arrow is one corner at half the height; the flat end has two corners.
    assert ((right[:-1, 0] == 30).sum(), (left[:-1, 0] == 20).sum(), (plain[:-1, 0] == 70).sum()) == (1, 1, 2)
    assert [name for name, _ in texts] == ["GATA", "TAL1", "SP1"]
    assert [int(at[1]) for _, at in texts] == [0, 1, 0]
    assert lowest == 2


def test_a_name_that_does_not_fit_into_its_box_stands_beside_it() -> None:
    _, texts, _ = placed([Interval(10, 12, "a_long_name", "+"), Interval(195, 200, "another_name", "+")])
    (_, (first, _)), (_, (second, _)) = texts
    assert (first > 12, second < 195) == (True, True)


def test_no_box_is_said() -> None:
    outlines, texts, _ = placed([])
    assert (outlines, [text for text, _ in texts]) == ([], ["none here"])


def test_boxes_of_one_lane_do_not_overlap() -> None:
    rng = np.random.default_rng(4)
    starts = rng.integers(0, 190, 30)
    outlines, _, _ = placed([Interval(int(s), int(s) + int(rng.integers(1, 9)), "x", "+") for s in starts])
    by_lane: dict[int, list[tuple[float, float]]] = {}
    for corners in outlines:
        by_lane.setdefault(int(corners[:, 1].min()), []).append((corners[:, 0].min(), corners[:, 0].max()))
    assert sum(map(len, by_lane.values())) == 30
    for ends in by_lane.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(ends)))


def test_signals_keep_gaps_and_bins() -> None:
    sheet = Sheet(Coordinates(Locus("chr1", 0, 40), True), 10)
    on = axes()
    Signal(
        "x", np.array([0, 10, 20, 30, 40]), np.array([[1, np.nan, 3, 2.0], [0, 1, 1, 1]]), ("a", "b")
    ).draw(on, sheet)
    first, second = on.get_lines()
    np.testing.assert_array_equal(first.get_xdata(), [0, 10, 10, 20, 20, 30, 30, 40])
    np.testing.assert_array_equal(first.get_ydata(), [1, 1, np.nan, np.nan, 3, 3, 2, 2])
    assert [line.get_label() for line in (first, second)] == ["a", "b"]
    assert on.get_ylim()[1] > 3


# ---- pages


def test_tracks_do_not_overlap_and_titles_are_cut_to_the_page(tmp_path: Path) -> None:
    edges, values = np.arange(101), np.ones((1, 100))
    tracks = [Signal("s" * 300, edges, values), Intervals("i", (), {}), Signal("", edges, values)]
    with page_style():
        page = draw_page(tracks, Coordinates(Locus("chr1", 0, 100), True), "$t$" * 100, "chr1:0-100")
        save(page, tmp_path / "page.png")
        renderer = FigureCanvasAgg(page).get_renderer()
        ends = [each.get_tightbbox(renderer) for each in page.axes]
        assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(ends))
        whole = page.bbox
        for text in page.texts:
            box = text.get_window_extent(renderer)
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        title, place = (text.get_window_extent(renderer) for text in page.texts)
        assert title.x1 < place.x0
        assert ends[0].x1 <= whole.x1
    assert [each.xaxis.get_visible() for each in page.axes] == [False, False, True]


def test_drawing_does_not_import_pyplot() -> None:
    script = (
        "import sys, deeplift_cli.figures.plot as p; "
        "print([name for name in ('matplotlib.pyplot', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
