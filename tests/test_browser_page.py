"""The page of `deeplift browser` in a real Chromium: letters of the right bases and heights, and no request.

`pytest -m viewers` runs these; they need Chromium, and one of them npm.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_inputs import SIZES, WINDOW, WINDOWS, Inputs, serving, write_inputs
from chromium import Page, chromium
from numpy.typing import NDArray

from deeplift_cli.browser import page as page_module

pytestmark = pytest.mark.viewers
READY = "document.body.dataset.state === 'ready'"
# The colours in which igv.js draws the bases.
COLOURS = {"A": (0, 200, 0), "C": (0, 0, 200), "G": (209, 113, 5), "T": (255, 0, 0)}
VENDORED = Path(page_module.__file__).with_name("vendored")
HOSTILE = '</script><img src=x onerror="window.hacked = 1">'
# Keeps a picture of each page, to look at, where this names a folder.
PICTURES = os.environ.get("DEEPLIFT_PICTURES")


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.chdir(tmp_path)
    return write_inputs(tmp_path)


@pytest.fixture
def served(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a page that reads the files beside it."""
    monkeypatch.setattr(page_module, "LARGEST_EMBEDDED", 0)
    inputs.browse("out")
    with serving("out") as port:
        yield f"http://127.0.0.1:{port}/"


def keep(tab: Page, name: str) -> None:
    if PICTURES:
        tab.driver.save_screenshot(str(Path(PICTURES, f"{name}.png")))


def settle(tab: Page) -> None:
    """Wait until igv.js has drawn all that it is going to draw."""
    tab.wait("browser.trackViews.every((v) => v.viewports.every((p) => !p.loading))")
    tab.run("await new Promise((r) => setTimeout(r, 400))")


def box(tab: Page, track: str) -> dict[str, float]:
    """The place of a track on the screen, and of its view on the chromosome."""
    found: dict[str, float] = tab.run(
        f"const view = browser.trackViews.find((v) => v.track.name === {json.dumps(track)});"
        "const place = view.viewports[0].viewportElement.getBoundingClientRect();"
        "const {start, bpPerPixel} = browser.referenceFrameList[0];"
        "const {left, top, width, height} = place;"
        "const range = view.track.dataRange ?? {max: 0, min: 0};"
        "return {left, top, width, height, start, bpPerPixel, range: range.max - range.min}"
    )
    return found


def assert_letters(tab: Page, inputs: Inputs, chrom: str, track: str = "scores") -> None:
    """Every base that is tall enough has its colour and the height of its value, and is drawn as a glyph."""
    place, picture = box(tab, track), tab.picture()
    rows = slice(round(place["top"]), round(place["top"] + place["height"]))
    values = inputs.values[chrom]
    first = round(place["start"])
    last = min(round(place["start"] + place["width"] * place["bpPerPixel"]), len(values))
    tallest = np.nanmax(np.abs(values[first:last]))
    drawn, wanted, filled = list[float](), list[float](), list[float]()
    for position in range(first, last):
        edges = [
            place["left"] + (edge - place["start"]) / place["bpPerPixel"] for edge in (position, position + 1)
        ]
        value = abs(values[position])
        if (
            not value > 0.3 * tallest or edges[0] < place["left"] + 120
        ):  # none, small, or below the track's label
            continue
        column = picture[rows, round(edges[0]) : round(edges[1])]
        masks = {base: near(column, colour) for base, colour in COLOURS.items()}
        letter = inputs.letters[chrom][position]
        counts = {base: int(mask.sum()) for base, mask in masks.items()}
        assert max(counts, key=counts.__getitem__) == letter, (position, value, counts)
        ys = np.flatnonzero(masks[letter].any(axis=1))
        drawn.append(ys[-1] - ys[0] + 1)
        wanted.append(value / place["range"] * place["height"])
        if letter == "T":
            filled.append(masks[letter][ys[0] : ys[-1] + 1].mean())
    assert len(drawn) > 20
    np.testing.assert_allclose(drawn, wanted, atol=4)
    assert np.mean(filled) < 0.6  # a T leaves most of its box white, a bar would fill the box


def near(pixels: NDArray[np.float32], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.abs(pixels - np.array(colour)).max(axis=-1) < 60


def test_a_page_from_disk_draws_letters_and_asks_for_nothing(tab: Page, inputs: Inputs) -> None:
    Path("more.bed").write_text(f"chr1\t1550\t1570\t{HOSTILE}\t0\t+\n")
    inputs.browse("out", "--bed", "more.bed")
    url = (Path("out") / "index.html").resolve().as_uri()
    tab.open(url, READY)
    settle(tab)
    keep(tab, "from_disk")
    assert_letters(tab, inputs, "chr1")
    assert [request for request in tab.requests() if request != url] == []
    assert tab.problems() == []


def test_a_served_page_draws_the_same_letters(tab: Page, inputs: Inputs, served: str) -> None:
    tab.open(served, READY)
    settle(tab)
    keep(tab, "served")
    assert_letters(tab, inputs, "chr1")
    requests = tab.requests()
    assert {request.removeprefix(served) for request in requests} == {
        "", "scores.bw", "windows.bed", "sequence.fa.gz", "sequence.fa.gz.fai", "sequence.fa.gz.gzi",
    }  # fmt: skip
    assert tab.problems() == []


def test_the_regions_of_the_list_are_shown(tab: Page, inputs: Inputs) -> None:
    inputs.browse("out")
    tab.open((Path("out") / "index.html").resolve().as_uri(), READY)
    tab.requests()
    for number, (chrom, _, name) in enumerate([*WINDOWS[1:], WINDOWS[0]], 2):
        tab.driver.find_element("id", "next").click()
        settle(tab)
        assert tab.run("return document.getElementById('region').value") == name
        assert_letters(tab, inputs, chrom)
        text = tab.driver.find_element("id", "place").text
        assert text == f"{(number - 1) % len(WINDOWS) + 1} of {len(WINDOWS)}"
    field = tab.driver.find_element("id", "region")
    field.click()
    field.send_keys("colon\n")
    settle(tab)
    keep(tab, "colon")
    assert_letters(tab, inputs, "HLA-A*01:01")
    tab.driver.find_element("id", "previous").click()
    settle(tab)
    assert tab.run("return document.getElementById('region').value") == "at the end"
    assert tab.requests() == []
    assert tab.problems() == []


@pytest.mark.parametrize("where", ["disk", "server"])
def test_letters_between_regions_are_joined(
    tab: Page, inputs: Inputs, where: str, request: pytest.FixtureRequest
) -> None:
    """igv.js itself would answer from the first of two stretches only."""
    if where == "disk":
        inputs.browse("disk")
        tab.open((Path("disk") / "index.html").resolve().as_uri(), READY)
    else:
        tab.open(request.getfixturevalue("served"), READY)
    for chrom, size in SIZES.items():
        if where == "disk" and chrom == "chr3":
            continue  # no window is on it
        for start, end in ((0, size), (2_650, 2_850), (10, 20), (size - 5, size)):
            found = tab.run(f"return await browser.genome.getSequence({chrom!r}, {start}, {end})")
            known = set(range(size)) if ":" in chrom and where == "disk" else shown(chrom)
            letters = inputs.letters[chrom]
            assert found == "".join(letters[i] if i in known else "N" for i in range(start, min(end, size)))


def shown(chrom: str) -> set[int]:
    """The positions of a chromosome whose letters a page has."""
    spans = [range(max(s - 1000, 0), s + WINDOW + 1000) for name, s, _ in WINDOWS if name == chrom]
    return {position for span in spans for position in span if position < SIZES[chrom]}


def test_a_whole_chromosome_needs_few_requests(tab: Page, tmp_path: Path) -> None:
    """igv.js itself would fetch the letters of each value, 100,000 at a time, and then draw bars."""
    windows = [("chr1", start, str(start)) for start in range(10_000, 2_990_000, 60_000)]
    inputs = write_inputs(tmp_path, SIZES | {"chr1": 3_000_000}, windows)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setattr(page_module, "LARGEST_EMBEDDED", 0)
        inputs.browse("out")
    with serving(tmp_path / "out") as port:
        tab.open(f"http://127.0.0.1:{port}/", READY)
        settle(tab)
        tab.requests()
        tab.run("await browser.search('chr1')")
        settle(tab)
        keep(tab, "chromosome")
        assert len([url for url in tab.requests() if url.endswith(".fa.gz")]) <= 2
        assert tab.problems() == []


def test_hostile_names_run_nothing(tab: Page, inputs: Inputs) -> None:
    inputs.windows.write_text(f"chr1\t1500\t1700\t{HOSTILE}\n")
    inputs.browse("out", "--name", HOSTILE)
    tab.open((Path("out") / "index.html").resolve().as_uri(), READY)
    settle(tab)
    assert tab.run("return document.getElementById('region').value") == HOSTILE
    # The menu of the track, and the text about a region that a click shows.
    for element in tab.driver.find_elements("css selector", ".igv-gear-menu-column svg")[:4]:
        element.click()
    place = box(tab, "scored windows")
    tab.run(
        f"const at = {{bubbles: true, clientX: {place['left'] + 200}, clientY: {place['top'] + 20}}};"
        "const target = document.elementFromPoint(at.clientX, at.clientY);"
        "for (const kind of ['mousedown', 'mouseup', 'click'])"
        " target.dispatchEvent(new MouseEvent(kind, at));"
        "await new Promise((r) => setTimeout(r, 800))"
    )
    keep(tab, "hostile")
    assert tab.run("return window.hacked") is None


def test_nothing_is_sent_when_a_gene_is_searched(tab: Page, inputs: Inputs) -> None:
    inputs.browse("out")
    url = (Path("out") / "index.html").resolve().as_uri()
    tab.open(url, READY)
    tab.run("await browser.search('GATA1')")
    settle(tab)
    assert [request for request in tab.requests() if request != url] == []


def test_a_large_page_from_disk_says_how_to_serve_it(
    tab: Page, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "LARGEST_EMBEDDED", 0)
    inputs.browse("out")
    url = (Path("out") / "index.html").resolve().as_uri()
    tab.open(url, "!document.getElementById('message').hidden")
    assert "deeplift browser -o out --serve 8000" in tab.driver.find_element("id", "message").text
    assert tab.problems() == []


def test_the_library_is_the_registrys(tmp_path: Path) -> None:
    """`make vendor` fetches it; the committed copy is that of the package, byte for byte."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    about: dict[str, Any] = json.loads((VENDORED / "package.json").read_text())
    command = ["npm", "pack", f"igv@{about['version']}", "--silent"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"igv.js cannot be fetched: {done.stderr}")
    with tarfile.open(tmp_path / done.stdout.strip()) as archive:
        for name in ("dist/igv.min.js", "LICENSE", "package.json"):
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            ours = hashlib.sha256((VENDORED / Path(name).name).read_bytes()).hexdigest()
            assert ours == hashlib.sha256(member.read()).hexdigest(), name
