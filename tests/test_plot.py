"""`deeplift plot`: the picture shows what the score files hold, and a mistake is one line."""

import re
import shlex
import shutil
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pybigtools
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from score_files import open_score_file
from small_models import BASES, deeplift, encode, random_letters, score, torchscript, write_fasta
from torch import Tensor, nn

from deeplift_cli.figures import logo
from deeplift_cli.figures import plot as figures_plot
from deeplift_cli.figures.colours import COLOUR_BLIND
from deeplift_cli.outputs.datasets import ScoreLayout
from deeplift_cli.process.watched_child import LostError

LETTERS = random_letters(11, 400)
REGIONS = (
    "chr1\t100\t124\tone\t0\t+\nchr1\t112\t136\ttwo\t0\t-\nchr1\t300\t324\tthree\t0\t.\nchr1\t100\t124\ttwo\n"
)
OPTIONS = ("--n-references", 3, "--batch-size", 4, "--compile", "off")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome, four regions, their scores for two targets, and scores of records without coordinates."""
    folder = tmp_path_factory.mktemp("plot")
    write_fasta(folder / "g.fa", {"chr1": LETTERS, "chr2": LETTERS})
    (folder / "r.bed").write_text(REGIONS)
    model = torchscript("Net")
    genome = ("-m", model, "-g", folder / "g.fa", "-r", folder / "r.bed", *OPTIONS)
    score(*genome, "-o", folder / "s_{target}.h5", "--target", "0,1", "--standard-errors")
    score(*genome, "-o", folder / "plain.h5")
    records = {"rec": "NN" + random_letters(3, 22), "$x_1$<&>": random_letters(4)}
    score("-m", model, "-f", write_fasta(folder / "in.fa", records), *OPTIONS, "-o", folder / "fasta.h5")
    (folder / "hits.bed").write_text(
        "chr1\t95\t105\tGATA\t0\t+\nchr1\t110\t116\tTAL1\t0\t-\nchr2\t0\t9\tno\n"
    )
    (folder / "genes.bed").write_text("chr1\t0\t390\tgene\t0\t+\n")
    values = [("chr1", place, place + 1, place / 7) for place in range(90, 118)]
    pybigtools.open(str(folder / "v.bw"), "w").write({"chr1": 400}, iter(values))
    return folder


@pytest.fixture(autouse=True)
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in made.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page(*words: object, out: str = "out.png") -> Figure:
    """The figure that the command draws."""
    drawn: list[Figure] = []
    original = figures_plot.draw_page

    def draw(*given: Any) -> Figure:
        drawn.append(original(*given))
        return drawn[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures_plot, "draw_page", draw)
        done = deeplift("plot", *words, "-o", out, "--overwrite")
    assert (done.code, done.err) == (0, ""), done.err
    assert done.out == f"written  {out}\n"
    return drawn[0]


def refused(*words: object, code: int = 1) -> str:
    done = deeplift("plot", *words, *([] if "-o" in words else ["-o", "no.png"]))
    assert done.code == code, done.err
    assert not Path("no.png").exists()
    if code == 1:
        assert done.err.count("\n") == 1
        assert "unexpected" not in done.err
    return done.err


def letters(axes: Axes) -> dict[int, tuple[str, float]]:
    """{left edge: (base, height)} of the letters of a logo."""
    found = {}
    letters_of = [each for each in axes.collections if isinstance(each, PathCollection)]
    for base, collection in zip(BASES, letters_of, strict=True):
        for path in collection.get_paths():
            box = path.get_extents()
            found[int(box.x0)] = (base, float(box.y1 if box.y1 > 1e-12 else box.y0))
    return found


def stored(file: str, row: int) -> dict[int, tuple[str, float]]:
    """The same from a score file, by h5py."""
    with h5py.File(file) as scores:
        start = int(scores["regions/start"][row])
        sequence, values = scores["raw/seq"][row], scores["projected_shap/seq"][row]
    return {
        start + place: (BASES[base], float(values[base, place]))
        for place in range(sequence.shape[1])
        for base in range(4)
        if sequence[base, place] and values[base, place] != 0
    }


def check(axes: Axes, expected: dict[int, tuple[str, float]]) -> None:
    found = letters(axes)
    assert {place: base for place, (base, _) in found.items()} == {
        p: base for p, (base, _) in expected.items()
    }
    for place, (_, height) in expected.items():
        assert found[place][1] == pytest.approx(height, rel=1e-5)


# ---- which row


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["--name", "one"], 0),
        (["--index", 1], 1),
        (["--index", 3], 3),
        (["--region", "chr1:300-324"], 2),
        (["--region", "chr1:112-136"], 1),
    ],
)
def test_the_letters_are_the_contributions_of_the_row(words: list[object], row: int) -> None:
    (axes,) = page("s_0.h5", *words).axes
    expected = stored("s_0.h5", row)
    check(axes, expected)
    start = (100, 112, 300, 100)[row]
    assert axes.get_xlim() == (start, start + 24)
    assert axes.get_xlabel() == "chr1 (bp, counted from 0)"


def test_a_region_draws_that_part_of_the_window_that_covers_it() -> None:
    figure = page("s_0.h5", "--region", "chr1:126-1,30")
    check(figure.axes[0], {place: each for place, each in stored("s_0.h5", 1).items() if 126 <= place < 130})
    assert figure.axes[0].get_xlim() == (126, 130)
    assert [text.get_text() for text in figure.texts] == ["two", "chr1:126-130 (-)"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--name One",
            "named 'One'; its 4 regions are one, two, three, ...; similar names are one",
        ),
        ("--name thre", "similar names are three"),
        ("--name two", "2 rows of score file s_0.h5 fit the name 'two': 1 (two, window chr1:112-136), 3 "),
        ("--index 4", "has no row 4: its 4 rows are numbered from 0 to 3"),
        (
            "--region chr1:115-120",
            "3 rows of score file s_0.h5 fit chr1:115-120: 0 (one, window chr1:100-124), 1",
        ),
        (
            "--region chr1:100-124",
            "2 rows of score file s_0.h5 fit chr1:100-124: 0 (one, window chr1:100-124), 3",
        ),
        ("--region chr1:280-299", "all of chr1:280-299; the nearest on chr1 is three, window chr1:300-324"),
        (
            "--region chr1:280-340",
            "in three, window chr1:300-324: give --region chr1:300-324 for the part, or --index 2 for",
        ),
        (
            "--region chr1:108-126",
            "is in one, window chr1:100-124: give --region chr1:108-124 for the part, or",
        ),
        ("--region 1:300-310", "covers 1:300-310: there is none on '1', its regions are on 'chr1'"),
    ],
)
def test_a_region_that_is_not_clear_is_refused(words: str, said: str) -> None:
    assert said in refused("s_0.h5", *words.split())


@pytest.mark.parametrize("words", [["--name", "a"], ["--index", 0], ["--region", "chr1:1-2"]])
def test_a_file_without_regions_is_refused(words: list[object]) -> None:
    with open_score_file(Path("empty.h5"), ScoreLayout(24, 1, 4)):
        pass
    assert re.search(r"empty\.h5.* has no regions at all", refused("empty.h5", *words))


# ---- coordinates


def test_records_without_coordinates_have_positions_and_gaps_at_n() -> None:
    figure = page("fasta.h5", "--name", "rec")
    (axes,) = figure.axes
    expected = stored("fasta.h5", 0)
    check(axes, expected)
    assert axes.get_xlim() == (0, 24)
    assert not {0, 1} & set(letters(axes))
    assert axes.get_xlabel() == "position in rec (bp, from 0)"
    assert [text.get_text() for text in figure.texts] == ["rec", "0-24"]


def test_names_are_no_markup() -> None:
    figure = page("fasta.h5", "--index", 1, out="a.svg")
    assert figure.texts[0].get_text() == "$x_1$<&>"
    assert ET.parse("a.svg").getroot().tag.endswith("svg")


def test_zoom_is_in_the_coordinates_of_the_axis() -> None:
    (axes,) = page("s_0.h5", "--name", "three", "--zoom", "305-3,15").axes
    check(axes, {place: each for place, each in stored("s_0.h5", 2).items() if 305 <= place < 315})
    assert axes.get_xlim() == (305, 315)
    heights = [height for _, height in letters(axes).values()]
    low, high = axes.get_ylim()
    assert (low < min(0, *heights), high > max(0, *heights)) == (True, True)
    assert high - low < 1.2 * (max(0, *heights) - min(0, *heights))
    said = refused("s_0.h5", "--name", "three", "--zoom", "5-15")
    assert "--zoom 5-15 is not inside of what is drawn, chr1:300-324" in said


# ---- several files


def test_files_are_stacked_with_one_y_axis_unless_each_has_its_own() -> None:
    figure = page("s_0.h5", "s_1.h5", "--name", "one")
    for target, axes in enumerate(figure.axes):
        check(axes, stored(f"s_{target}.h5", 0))
        assert axes.get_title(loc="left") == f"target {target}   s_{target}.h5"
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    apart = page("s_0.h5", "s_1.h5", "--name", "one", "--own-scale")
    assert len({axes.get_ylim() for axes in apart.axes}) == 2


def test_files_of_one_name_are_told_apart() -> None:
    Path("a").mkdir()
    shutil.copy("s_0.h5", "a/s_0.h5")
    figure = page("s_0.h5", "a/s_0.h5", "--name", "three")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "target 0   s_0.h5",
        "target 0   a/s_0.h5",
    ]


def test_regions_at_different_places_are_not_stacked() -> None:
    said = refused("s_0.h5", "fasta.h5", "--index", 1)
    assert "not at one place: two in s_0.h5, and $x_1$<&> at $x_1$<&>:0-24 in fasta.h5" in said


def test_windows_of_different_ends_share_an_axis() -> None:
    write_fasta(Path("other.fa"), {"chr1": LETTERS})
    Path("shifted.bed").write_text("chr1\t104\t128\tone\n")
    score("-m", torchscript("Net"), "-g", "other.fa", "-r", "shifted.bed", *OPTIONS, "-o", "other.h5")
    upper, lower = page("s_0.h5", "other.h5", "--name", "one").axes
    assert upper.get_xlim() == lower.get_xlim() == (100, 128)
    check(lower, stored("other.h5", 0))


# ---- tracks


def test_the_heat_map_holds_the_hypothetical_contributions() -> None:
    figure = page("fasta.h5", "--name", "rec", "--hypothetical")
    heat = next(axes for axes in figure.axes if axes.images)
    (image,) = heat.images
    with h5py.File("fasta.h5") as scores:
        expected = scores["shap/seq"][0]
    found = np.ma.getdata(image.get_array())
    np.testing.assert_array_equal(found[:, 2:], expected[:, 2:])
    assert np.isnan(found[:, :2]).all()  # N
    assert image.get_extent() == [0, 24, 4, 0]
    assert image.get_clim() == pytest.approx((-np.abs(expected).max(), np.abs(expected).max()))
    assert [text.get_text() for text in heat.get_yticklabels()] == list("ACGT")
    (dots,) = heat.get_lines()
    observed = {(int(x), BASES[int(y)]) for x, y in dots.get_xydata()}
    record = Path("in.fa").read_text().split()[1]
    assert observed == {(place, base) for place, base in enumerate(record) if base != "N"}


def test_the_band_is_the_standard_error_around_each_contribution() -> None:
    (axes,) = page("s_0.h5", "--name", "three", "--standard-errors").axes
    (band,) = (each for each in axes.collections if isinstance(each, PolyCollection))
    with h5py.File("s_0.h5") as scores:
        values, errors = scores["projected_shap/seq"][2].sum(0), scores["standard_error/seq"][2]
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    for place in range(24):
        here = corners[(corners[:, 0] > 300 + place - 0.1) & (corners[:, 0] < 301 + place + 0.1), 1]
        for end in (values[place] - errors[place], values[place] + errors[place]):
            assert np.isclose(here, end, rtol=1e-5, atol=1e-9).any()
    low, high = axes.get_ylim()
    assert low < (values - errors).min()
    assert high > (values + errors).max()


def test_standard_errors_that_are_not_stored_are_not_drawn() -> None:
    said = refused("plain.h5", "--name", "one", "--standard-errors")
    assert (
        "plain.h5 does not hold the standard error of each base; score again with --standard-errors" in said
    )


def test_hits_and_annotations_are_boxes_at_their_places() -> None:
    figure = page("s_0.h5", "--name", "one", "--hits", "hits.bed", "--bed", "genes.bed")
    hits, logo, genes = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["hits.bed", "target 0", "genes.bed"]
    ends = [np.asarray(patch.get_path().vertices)[:, 0] for patch in hits.patches]
    assert [(each.min(), each.max()) for each in ends] == [(95, 105), (110, 116)]
    assert [text.get_text() for text in hits.texts] == ["GATA", "TAL1"]
    assert [text.get_text() for text in genes.texts] == ["gene"]
    assert len({patch.get_facecolor() for patch in hits.patches}) == 2
    shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in logo.patches]
    assert shaded == [(95, 105), (110, 116)]
    check(logo, stored("s_0.h5", 0))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--bed", "none.bed"], "none.bed does not exist"),
        (
            ["--hits", "other.bed"],
            "the score file has 'chr1', other.bed has 'Chr1'; write other.bed with the names",
        ),
        (["--hits", "broken.bed"], "broken.bed, line 1"),
        (["--hits", "many.bed"], "more than 12 boxes of many.bed overlap"),
        (["--track", "none.bw"], "none.bw does not exist"),
        (["--track", "broken.bw"], "bigWig broken.bw cannot be read"),
        (["--track", "hits.bed"], "its name must end in .bw or .bigwig"),
        (["--track", "other.bw"], "the score file has 'chr1', other.bw has '1'"),
    ],
)
def test_tracks_that_cannot_be_used_are_refused(option: list[str], said: str) -> None:
    Path("other.bed").write_text("Chr1\t1\t5\n")
    Path("broken.bed").write_text("chr1\tx\t5\n")
    Path("many.bed").write_text("chr1\t100\t120\tx\n" * 20)
    Path("broken.bw").write_bytes(b"no bigWig" * 50)
    pybigtools.open("other.bw", "w").write({"1": 400}, iter([("1", 1, 2, 3.0)]))
    assert said in refused("s_0.h5", "--name", "one", *option)


def test_a_bigwig_is_drawn_base_by_base_with_gaps() -> None:
    track, logo = page("s_0.h5", "--name", "one", "--track", "v.bw").axes
    corners = np.concatenate([path.vertices for each in track.collections for path in each.get_paths()])
    for place in range(100, 118):
        assert np.isclose(corners, (place, place / 7), rtol=1e-6).all(axis=1).any()
    assert corners[:, 0].max() == 118
    assert track.get_xlim() == logo.get_xlim() == (100, 124)
    assert track.get_title(loc="left") == "v.bw"


def test_colours_are_those_of_the_set() -> None:
    (axes,) = page("s_0.h5", "--name", "one", "--colours", "colour-blind").axes
    found = [each.get_facecolor()[0] for each in axes.collections if isinstance(each, PathCollection)]
    expected = [[int(COLOUR_BLIND[base][at : at + 2], 16) / 255 for at in (1, 3, 5)] for base in "ACGT"]
    np.testing.assert_allclose(np.array(found)[:, :3], expected, atol=1e-9)


def test_pictures_that_can_be_enlarged_have_letters_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logo, "_NARROW", 1e9)  # pixels, so that every base is narrow
    for most, kind in ((24, PathCollection), (23, PolyCollection)):
        monkeypatch.setattr(figures_plot, "_MOST_LETTERS", most)
        (axes,) = page("s_0.h5", "--name", "one", out="a.svg").axes
        assert {type(each) for each in axes.collections} == {kind}


# ---- the model's profile


class WithCounts(nn.Module):
    """A profile of two tracks and 16 positions, and the logarithm of its counts, as BPNet has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first = nn.Conv1d(4, 5, 3)
        self.profile = nn.Conv1d(5, 2, 7)
        self.counts = nn.Linear(5, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.first(x))
        return 9 * self.profile(hidden), self.counts(hidden.mean(-1))


class Tracks(nn.Module):
    """Eight bins of three bases for six tracks, channels last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.conv = nn.Conv1d(4, 6, 3, stride=3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(self.conv(x)).transpose(1, 2)


def scored_by(model: nn.Module, target: str, *options: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces TorchScript's end
        torch.jit.script(model.eval()).save("m.pt")
    score(
        "-m", "m.pt", *(options or ("-g", "g.fa", "-r", "r.bed")), *OPTIONS, "--target", target, "-o", "m.h5"
    )


def lines(axes: Axes) -> np.ndarray:
    """The steps of each line [T, B]."""
    return np.array([line.get_ydata()[::2] for line in axes.get_lines()])


@pytest.mark.parametrize(("row", "strand"), [(0, "+"), (1, "-")])
def test_the_profile_is_the_models_share_of_each_position(row: int, strand: str) -> None:
    scored_by(WithCounts(), "counts", "-g", "g.fa", "-r", "r.bed", "--strand-aware")
    profile, _ = page("m.h5", "--index", row, "--model", "m.pt").axes
    start = (100, 112)[row]
    x = torch.from_numpy(encode(LETTERS[start : start + 24]).astype(np.float32))
    with torch.no_grad():
        logits, _ = WithCounts().eval()((x.flip(0, 1) if strand == "-" else x)[None])
    expected = torch.softmax(logits.double().flatten(), 0).reshape(2, 16).numpy()
    expected = expected[:, ::-1] if strand == "-" else expected
    np.testing.assert_allclose(lines(profile), expected, rtol=1e-5)
    edges = profile.get_lines()[0].get_xdata()
    assert (edges[0], edges[-1]) == (start + 4, start + 20)  # the middle of the window
    assert [text.get_text() for text in profile.get_legend().get_texts()] == ["track 0", "track 1"]
    assert profile.get_title(loc="left") == "predicted profile"


def test_bins_of_chosen_tracks_are_drawn_as_they_are() -> None:
    scored_by(Tracks(), "(3,1)")
    words = ("m.h5", "--name", "one", "-m", "m.pt")
    said = refused(*words)
    assert "has 6 tracks; choose at most 4 with --profile-track" in said
    profile, _ = page(*words, "--profile-track", 1, "--profile-track", 4, "--profile-bin", 3).axes
    x = torch.from_numpy(encode(LETTERS[100:124]).astype(np.float32))
    with torch.no_grad():
        expected = Tracks().eval()(x[None])[0].T[[1, 4]].numpy()
    np.testing.assert_allclose(lines(profile), expected, rtol=1e-5)
    np.testing.assert_array_equal(profile.get_lines()[0].get_xdata()[::2], np.arange(100, 124, 3))
    (one, _) = page(*words, "--profile-track", 2, "--profile-bin", 3).axes
    assert (len(one.get_lines()), len(one.collections)) == (0, 1)
    assert "no track 6: its tracks are 0 to 5" in refused(*words, "--profile-track", 6)
    assert "at 4 bp each exceed the sequence of 24 bp" in refused(
        *words, "--profile-track", 1, "--profile-bin", 4
    )


def test_profiles_that_are_not_clear_are_refused() -> None:
    words = ("s_0.h5", "--name", "one")
    assert "another model than the one" in refused(*words, "-m", torchscript("Sigmoid"))
    said = refused(*words, "-m", torchscript("Net"), "--output", 3)
    assert "has no output 3: its outputs are 0 to 0" in said
    assert "has 2 bins for 24 bp; say how many bp a bin has with --profile-bin" in refused(
        *words, "-m", torchscript("Net")
    )
    score("-m", torchscript("TwoOutputs"), "-f", "in.fa", *OPTIONS, "-o", "two.h5")
    said = refused("two.h5", "--index", 0, "-m", torchscript("TwoOutputs"))
    assert "no single output is a profile, [N, k, L] or [N, L]; the outputs are 0" in said
    assert "--profile-bin goes with --model" in refused(*words, "--profile-bin", 2, code=2)
    assert "--output goes with --model" in refused(*words, "--output", 2, code=2)


# ---- variants


Maker = Callable[..., Path]


@pytest.fixture
def variants() -> Maker:
    """Makes a file as `deeplift variants` writes it: scores of both alleles, and the variants."""

    def make(given: list[tuple[int, str, str, str]], fill: str = "right") -> Path:
        """given: (0-based place, reference, alternative, ID)."""
        windows: dict[str, list[str]] = {"ref": [], "alt": []}
        for at, ref, alt, _ in given:
            start = at - 12
            assert LETTERS[at : at + len(ref)] == ref
            changed = LETTERS[:at] + alt + LETTERS[at + len(ref) :]
            windows["ref"].append(LETTERS[start : start + 24])
            moved = start if fill == "right" else start + len(alt) - len(ref)
            windows["alt"].append(changed[moved : moved + 24])
        with h5py.File("v.h5", "w") as file:
            for kind, sequences in windows.items():
                named = {f"v{number}": text for number, text in enumerate(sequences)}
                score("-m", torchscript("Net"), "-f", write_fasta(Path("w.fa"), named), *OPTIONS,
                      "--standard-errors", "-o", f"{kind}.h5", "--overwrite")  # fmt: skip
                with h5py.File(f"{kind}.h5") as scores:
                    for name in ("raw", "shap", "projected_shap", "standard_error", "regions", "qc"):
                        scores.copy(name, file.create_group(kind) if kind not in file else file[kind])
                group = file[f"{kind}/regions"]
                del group["chrom"], group["start"]
                group["chrom"] = ["chr1"] * len(given)
                group["start"] = [at - 12 for at, *_ in given]
            file["variants/chrom"] = ["chr1"] * len(given)
            file["variants/pos"] = [at + 1 for at, *_ in given]
            for key, place in (("ref", 1), ("alt", 2), ("id", 3)):
                file[f"variants/{key}"] = [each[place] for each in given]
        return Path("v.h5")

    return make


def other(base: str) -> str:
    return BASES[(BASES.index(base) + 1) % 4]


def values_of(kind: str, row: int) -> list[tuple[str, float]]:
    with h5py.File("v.h5") as file:
        sequence, values = file[f"{kind}/raw/seq"][row], file[f"{kind}/projected_shap/seq"][row]
    return [(BASES[sequence[:, i].argmax()], float(values[:, i].sum())) for i in range(24)]


def test_both_alleles_of_a_substitution_lie_above_each_other(variants: Maker) -> None:
    variants([(60, LETTERS[60], other(LETTERS[60]), "."), (100, LETTERS[100], other(LETTERS[100]), "rs5")])
    figure = page("v.h5", "--variant", "rs5", "--standard-errors")
    for axes, kind in zip(figure.axes, ("ref", "alt"), strict=True):
        check(axes, {88 + i: each for i, each in enumerate(values_of(kind, 1)) if each[1] != 0})
        (mark,) = axes.patches
        assert (mark.get_x(), mark.get_width()) == (100, 1)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"reference allele {LETTERS[100]}", f"alternative allele {other(LETTERS[100])}",
    ]  # fmt: skip
    named = f"chr1:101:{LETTERS[100]}:{other(LETTERS[100])}"
    assert figure.texts[0].get_text() == f"rs5   {named}"
    assert [letters(axes) for axes in page("v.h5", "--variant", named).axes] == [
        letters(axes) for axes in figure.axes
    ]
    assert page("v.h5", "--variant", "0").texts[0].get_text().startswith("chr1:61:")


@pytest.mark.parametrize("fill", ["right", "left"])
@pytest.mark.parametrize("kind", ["insertion", "deletion"])
def test_bases_beside_an_indel_lie_above_each_other(variants: Maker, kind: str, fill: str) -> None:
    long, short = LETTERS[100:104], LETTERS[100]
    ref, alt = (long, short) if kind == "deletion" else (short, short + "ACG")
    variants([(100, ref, alt, "indel")], fill)
    upper, lower = page("v.h5", "--variant", "indel").axes
    above, below = letters(upper), letters(lower)
    # Beside the variant, both alleles have the genome's bases, and the longer allele has three more columns.
    shown = range(*map(int, upper.get_xlim()))
    beside = [place for place in shown if not 100 <= place < 104 and place in above and place in below]
    assert len(beside) >= 15
    assert all(above[place][0] == below[place][0] for place in beside)
    shorter = below if kind == "deletion" else above
    assert not {101, 102, 103} & set(shorter)
    assert {mark.get_x() + mark.get_width() for axes in (upper, lower) for mark in axes.patches} == {104}
    heights = values_of("ref", 0)
    gap = 3 if kind == "insertion" else 0
    for i, (base, height) in enumerate(heights):
        place = 88 + i + (gap if i > 12 else 0)
        if height != 0 and place in shown:
            assert above[place] == (base, pytest.approx(height, rel=1e-5))
    texts = [text.get_text() for text in lower.get_xticklabels()]
    assert dict(zip(texts, lower.get_xticks().tolist(), strict=True))["105"] == 105 + gap


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("rs9", "v.h5 has no variant 'rs9'; its 3 variants are 0 (chr1:61:"),
        ("7", "has no variant '7'"),
        ("twice", "2 variants of v.h5 are 'twice': 1 (chr1:101:"),
    ],
)
def test_a_variant_that_is_not_clear_is_refused(variants: Maker, wanted: str, said: str) -> None:
    places = [(60, "a"), (100, "twice"), (120, "twice")]
    variants([(at, LETTERS[at], other(LETTERS[at]), name) for at, name in places])
    assert said in refused("v.h5", "--variant", wanted)


def test_files_without_variants_are_refused(variants: Maker) -> None:
    assert "s_0.h5 has no group variants, so it is no file of `deeplift variants`" in refused(
        "s_0.h5", "--variant", "1"
    )
    assert "does not exist" in refused("none.h5", "--variant", "1")
    Path("text.h5").write_text("no HDF5")
    assert "text.h5 cannot be read" in refused("text.h5", "--variant", "1")
    variants([(100, LETTERS[100], other(LETTERS[100]), "x")])
    with h5py.File("v.h5", "a") as file:
        file["alt/raw/seq"][:] = 0
    assert "the sequences of variant 0 do not hold its alleles" in refused("v.h5", "--variant", "x")


# ---- the strongest regions


def strongest(file: str) -> list[int]:
    """The rows, the largest difference between output and mean reference output first."""
    with h5py.File(file) as scores:
        difference = scores["qc/output"][:] - scores["qc/reference_output"][:].mean(axis=1)
    return [int(row) for row in np.argsort(-np.abs(difference), kind="stable")]


def table(folder: str) -> list[dict[str, str]]:
    heading, *lines = (Path(folder) / "regions.tsv").read_text().splitlines()
    return [dict(zip(heading.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_the_strongest_regions_are_pictures_in_a_folder() -> None:
    done = deeplift("plot", "s_0.h5", "--top", 3, "--hits", "hits.bed", "-o", "logos/")
    assert (done.code, done.err) == (0, "")
    assert done.out == "written  3 picture(s) and regions.tsv in logos\n"
    rows = strongest("s_0.h5")[:3]
    names = [("one", "two", "three", "two")[row] for row in rows]
    pictures = [f"{rank}_{name}.png" for rank, name in enumerate(names, 1)]
    assert sorted(path.name for path in Path("logos").iterdir()) == [*pictures, "regions.tsv"]
    found = table("logos")
    assert [(each["picture"], each["row"], each["name"]) for each in found] == [
        (picture, str(row), name) for picture, row, name in zip(pictures, rows, names, strict=True)
    ]
    for picture, row in zip(pictures, rows, strict=True):
        assert deeplift("plot", "s_0.h5", "--index", row, "--hits", "hits.bed", "-o", picture).code == 0
        assert Path(picture).read_bytes() == (Path("logos") / picture).read_bytes()
    with h5py.File("s_0.h5") as scores:
        for each in found:
            row = int(each["row"])
            assert int(each["start"]) == scores["regions/start"][row]
            difference = scores["qc/output"][row] - scores["qc/reference_output"][row].mean()
            assert float(each["difference"]) == pytest.approx(difference, rel=1e-4)


def test_a_file_with_fewer_regions_has_all_drawn_in_the_wanted_format() -> None:
    done = deeplift("plot", "fasta.h5", "s_0.h5", "--top", 9, "--format", "svg", "-o", "a", "-q")
    assert "not at one place" in done.err  # files of other regions
    assert not Path("a").exists()
    assert deeplift("plot", "s_1.h5", "s_0.h5", "--top", 9, "--format", "svg", "-o", "a", "-q").out == ""
    assert [int(each["row"]) for each in table("a")] == strongest("s_1.h5")
    assert deeplift("plot", "fasta.h5", "--top", 9, "--format", "svg", "-o", "b", "-q").code == 0
    names = {path.name for path in Path("b").glob("*.svg")}
    assert {name[2:] for name in names} == {"rec.svg", "x_1_.svg"}  # letters that need no quotes
    assert all(ET.parse(Path("b") / name).getroot().tag.endswith("svg") for name in names)


def test_the_pictures_of_a_folder_are_those_of_one_call() -> None:
    Path("a").mkdir()
    Path("a/notes.txt").write_text("mine")
    assert "output folder a holds other files, such as notes.txt" in refused(
        "s_0.h5", "--top", 1, "-o", "a", "--overwrite"
    )
    assert deeplift("plot", "s_0.h5", "--top", 4, "-o", "b", "-q").code == 0
    Path("b/.hidden").write_text("of a file manager")
    before = {path.name: path.read_bytes() for path in Path("b").iterdir()}
    assert "regions.tsv exists; give --overwrite" in refused("fasta.h5", "--top", 1, "-o", "b")
    said = refused("fasta.h5", "--top", 1, "--standard-errors", "-o", "b", "--overwrite")
    assert "does not hold the standard error" in said
    assert {path.name: path.read_bytes() for path in Path("b").iterdir()} == before
    assert deeplift("plot", "fasta.h5", "--top", 1, "-o", "b", "-q", "--overwrite").code == 0
    (only,) = table("b")
    assert {path.name for path in Path("b").iterdir()} == {only["picture"], "regions.tsv", ".hidden"}
    Path("file").write_text("mine")
    assert "output file exists and is not a folder" in refused("s_0.h5", "--top", 1, "-o", "file")
    assert "folder none does not exist" in refused("s_0.h5", "--top", 1, "-o", "none/a")
    with open_score_file(Path("empty.h5"), ScoreLayout(24, 1, 4)):
        pass
    assert "has no regions at all" in refused("empty.h5", "--top", 1, "-o", "c")
    assert not Path("c").exists()


def test_hits_on_other_chromosomes_of_the_scores_are_no_mistake() -> None:
    """The names of the chromosomes agree; an empty file has no names that could disagree."""
    Path("of_both.bed").write_text("chr1\t100\t124\tone\nchr2\t100\t124\ttwo\n")
    score("-m", torchscript("Net"), "-g", "g.fa", "-r", "of_both.bed", *OPTIONS, "-o", "both.h5")
    Path("second.bed").write_text("chr2\t102\t105\tGATA\n")
    Path("none.bed").write_text("#chrom\tstart\tend\n")
    figure = page("both.h5", "--name", "one", "--hits", "second.bed", "--bed", "none.bed")
    for axes in (figure.axes[0], figure.axes[2]):
        assert [text.get_text() for text in axes.texts] == ["none here"]
    assert "the score file has 'chr1', second.bed has 'chr2'" in refused(
        "s_0.h5", "--name", "one", "--hits", "second.bed"
    )


# ---- files


def test_each_ending_is_its_format_and_the_same_bytes_each_time() -> None:
    words = (
        "s_0.h5",
        "--name",
        "one",
        "--hypothetical",
        "--standard-errors",
        "--hits",
        "hits.bed",
        "--track",
        "v.bw",
    )
    for ending in ("png", "svg", "pdf"):
        for name in ("a", "b"):
            assert deeplift("plot", *words, "-o", f"{name}.{ending}", "-q").out == ""
        assert Path(f"a.{ending}").read_bytes() == Path(f"b.{ending}").read_bytes()
    assert Path("a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert Path("a.pdf").read_bytes()[:5] == b"%PDF-"
    assert b"/FontFile2" in Path("a.pdf").read_bytes()  # TrueType outlines in the file
    root = ET.parse("a.svg").getroot()
    assert not [each for each in root.iter() if each.tag.endswith("}text")]  # letters are outlines
    width, height = (int.from_bytes(Path("a.png").read_bytes()[at : at + 4]) for at in (16, 20))
    assert (1000 < width < 1400, 400 < height < 900) == (True, True)


def test_the_users_own_style_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    assert deeplift("plot", "s_0.h5", "--name", "one", "-o", "a.svg").code == 0
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert deeplift("plot", "s_0.h5", "--name", "one", "-o", "b.svg").code == 0
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    assert mpl.rcParams["font.size"] == 30


def test_pictures_that_exist_are_not_replaced() -> None:
    Path("a.png").write_text("mine")
    said = refused("s_0.h5", "--name", "one", "-o", "a.png")
    assert "output a.png exists; give --overwrite" in said
    assert Path("a.png").read_text() == "mine"
    assert deeplift("plot", "s_0.h5", "--name", "one", "-o", "a.png", "--overwrite").code == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert "folder none does not exist" in refused("s_0.h5", "--name", "one", "-o", "none/a.png")
    shutil.copy("s_0.h5", "c.png")
    assert "output c.png is also an input" in refused("c.png", "--name", "one", "-o", "c.png", "--overwrite")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["s_0.h5"], "--name, --region, --index, --variant and --top"),
        (["s_0.h5", "--name", "one", "--index", 0], "--name, --region, --index, --variant and --top"),
        (["s_0.h5", "--name", "one", "--top", 3], "--name, --region, --index, --variant and --top"),
        (["s_0.h5", "--top", 0], "--top"),
        (["s_0.h5", "--top", 2, "-o", "a.png"], "'a.png' is the name of a picture, and --top makes a folder"),
        (["s_0.h5", "--top", 2, "--zoom", "5-9", "-o", "a"], "--zoom and --model go with one region"),
        (["s_0.h5", "--top", 2, "-m", "m.pt", "-o", "a"], "--zoom and --model go with one region"),
        (["s_0.h5", "--name", "one", "--format", "svg"], "--format goes with --top"),
        (["s_0.h5", "--name", "one", "-o", "a.docx"], "is the name of no picture: it must end in .png"),
        (["s_0.h5", "--region", "chr1"], "'chr1' is not a region such as chr1:100-300"),
        (["s_0.h5", "--region", "chr1:9-5"], "is empty"),
        (["s_0.h5", "--name", "one", "--zoom", "9"], "is not START-END"),
        (["s_0.h5", "s_1.h5", "--variant", "1"], "--variant takes one file"),
        (["s_0.h5", "--variant", "1", "-m", "m.pt"], "--model goes with --name, --region or --index"),
        (["--name", "one"], "SCORES.h5"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(words: list[object], said: str) -> None:
    assert said in refused(*words, code=2)


def test_without_matplotlib_the_message_is_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "`pip install 'deeplift-genomics[plot]'`" in refused("s_0.h5", "--name", "one")


def test_damaged_files_are_one_line(monkeypatch: pytest.MonkeyPatch, variants: Maker) -> None:
    assert "score file none.h5 does not exist" in refused("none.h5", "--name", "one")
    Path("text.h5").write_text("no HDF5")
    assert "text.h5 is not an HDF5 file" in refused("text.h5", "--name", "one")
    variants([(100, LETTERS[100], other(LETTERS[100]), "x")])

    def crash(*_: object) -> None:
        raise LostError("crashed (SIGSEGV)")

    from deeplift_cli.figures import alleles
    from deeplift_cli.outputs import row_lookup

    monkeypatch.setattr(row_lookup, "watched", crash)
    monkeypatch.setattr(alleles, "watched", crash)
    assert "reading it, HDF5 crashed (SIGSEGV)" in refused("s_0.h5", "--name", "one")
    assert "reading it, HDF5 crashed (SIGSEGV)" in refused("v.h5", "--variant", "x")


# ---- docs/plot.md


def test_the_page_of_the_documentation_works(tmp_path: Path) -> None:
    """Its commands and its Python, on the embedded example, as it stands in the repository."""
    root = Path(__file__).parents[1]
    text = (root / "docs" / "plot.md").read_text()
    (tmp_path / "examples").symlink_to(root / "examples")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    blocks = re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)
    commands = [
        shlex.split(line)[1:] for kind, block in blocks if kind == "sh" for line in block.splitlines()
    ]
    assert [words[0] for words in commands] == [
        "score", "plot", "plot", "plot", "plot", "variants", "plot",
    ]  # fmt: skip
    for words in commands:
        scores = words[0] in ("score", "variants")
        fewer = ["--n-references", "2", "--threads", "1", "--quiet"] if scores else []
        done = deeplift(*words, *fewer)
        assert (done.code, done.err) == (0, "")
    (python,) = (block for kind, block in blocks if kind == "python")
    exec(python, {})
    pictures = {"example.png", "images/zoom.png", "images/targets.png", "images/variant.png"}
    for picture in ("logo.png", *(f"docs/{name}" for name in pictures)):
        assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert len(list(Path("logos").glob("*.png"))) == 5
    linked = set(re.findall(r"!\[.*?\]\((.*?)\)", text))
    assert linked == pictures
    assert all((root / "docs" / name).is_file() for name in linked)
