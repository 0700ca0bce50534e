"""The page of `deeplift report` in a real Chromium: sort, search, logos, keyboard, dark mode, no request."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from chromium import Page, chromium
from report_pages import HOSTILE, batch_of, make, write_scores
from small_models import random_letters, score, torchscript, write_fasta
from test_report import ranked, write_seqlets

N, LENGTH = 130, 300
ROWS = 50  # of a page of the table
READY = "document.body && document.body.dataset.state === 'ready'"
# Keeps a picture of each page, to look at, where this names a folder.
PICTURES = os.environ.get("DEEPLIFT_PICTURES")
# Where a logo has its letters and axes, in its own units: see drawLetters in page/report.js.
LEFT, RIGHT, TOP, BOTTOM = 58, 992, 8, 260 - 22


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scores, two seqlets and the page."""
    folder = tmp_path_factory.mktemp("report")
    names = [f"peak_{i}" for i in range(N)]
    names[17], names[18] = HOSTILE, "Ω peak"
    scores = write_scores(folder / "s.h5", batch_of(N, LENGTH, names))
    seqlets = [(7, 100, 112, 3.0), (40, 20, 30, -2.0), (7, 120, 126, 0.5), (7, 280, 290, 0.4)]
    motifs = [("GATA", 0.01), (HOSTILE, 0.02), (".", "."), (".", ".")]
    write_seqlets(folder / "q.bed", scores, seqlets, motifs)
    make(scores, "-o", folder / "r.html", "--seqlets", folder / "q.bed")
    return folder


@pytest.fixture
def page(tab: Page, made: Path) -> Iterator[Page]:
    """The page, opened anew; it must neither complain nor ask for anything but itself."""
    url = (made / "r.html").as_uri()
    tab.open(url, READY)
    yield tab
    assert tab.problems() == []
    assert set(tab.requests()) == {url}
    assert not tab.run("return window.hacked")


@pytest.fixture(scope="module")
def file(made: Path) -> dict[str, Any]:
    """What the score file holds, by h5py."""
    with h5py.File(made / "s.h5") as scores:
        return {
            "name": scores["regions/name"].asstr()[:],
            "chrom": scores["regions/chrom"].asstr()[:],
            "start": scores["regions/start"][:],
            "prediction": scores["qc/prediction"][:],
            "difference": scores["qc/output"][:] - scores["qc/reference_output"][:].mean(axis=1),
            "error": np.abs(scores["qc/completeness_error"][:]).max(axis=1),
            "contributions": scores["projected_shap/seq"][:].sum(axis=1),
            "sequence": scores["raw/seq"][:],
        }


def keep(tab: Page, name: str) -> None:
    if PICTURES:
        tab.driver.save_screenshot(str(Path(PICTURES, f"report_{name}.png")))


def shown(tab: Page, column: int = 1) -> list[str]:
    """The cells of one column of the table; the whole row where there are no cells."""
    found: list[str] = tab.run(
        "return [...document.querySelectorAll('#region-table tbody tr')]"
        f".map((row) => (row.cells[{column}] ?? row).textContent)"
    )
    return found


def text(tab: Page, selector: str) -> str:
    found: str = tab.run(f"return document.querySelector({json.dumps(selector)}).textContent")
    return found


def click(tab: Page, selector: str) -> None:
    tab.driver.find_element("css selector", selector).click()


def search(tab: Page, words: str) -> list[str]:
    field = tab.driver.find_element("id", "search")
    field.clear()
    field.send_keys(words or " ")
    return shown(tab)


def open_region(tab: Page, name: str) -> None:
    search(tab, name)
    tab.driver.find_element("xpath", f"//table[@id='region-table']//tbody//button[text()='{name}']").click()
    tab.wait("document.querySelector('dialog[open] #letters path.axis')")


# ---- the table


def test_the_table_begins_with_the_best_and_turns_pages(page: Page, made: Path, file: dict[str, Any]) -> None:
    names = file["name"][ranked(made / "s.h5")].tolist()
    assert shown(page) == names[:ROWS]
    assert text(page, "#page") == f"1–{ROWS} of {N}"
    keep(page, "top")
    click(page, "#next-page")
    assert shown(page) == names[ROWS : 2 * ROWS]
    click(page, "#last-page")
    assert shown(page) == names[2 * ROWS :]
    assert text(page, "#page") == f"101–{N} of {N}"
    assert page.run("return document.getElementById('next-page').disabled")
    click(page, "#previous-page")
    click(page, "#first-page")
    assert shown(page) == names[:ROWS]


@pytest.mark.parametrize("key", ["prediction", "difference", "error"])
def test_columns_of_numbers_sort_both_ways(page: Page, file: dict[str, Any], key: str) -> None:
    order = np.argsort(file[key], kind="stable")
    for expected, direction in ((order[::-1], "descending"), (order, "ascending")):
        click(page, f"[data-sort={key}]")
        assert shown(page) == file["name"][expected[:ROWS]].tolist()
        sorts = page.run("return [...document.querySelectorAll('th[aria-sort]')].map((th) => th.ariaSort)")
        assert sorted(sorts) == sorted([direction, *["none"] * (len(sorts) - 1)])
        assert (
            page.run(f"return document.querySelector('[data-sort={key}]').closest('th').ariaSort")
            == direction
        )


def test_names_and_places_sort_as_people_do(page: Page, file: dict[str, Any]) -> None:
    search(page, "peak_")
    click(page, "[data-sort=name]")
    numbers = [int(name.removeprefix("peak_")) for name in shown(page)]
    assert numbers == sorted(numbers)
    assert numbers[:3] == [0, 1, 2]
    click(page, "[data-sort=place]")
    places = [re.fullmatch(r"chr(\d+):(\d+)-(\d+)( \([+-]\))?", cell) for cell in shown(page, 2)]
    found = [(int(place[1]), int(place[2])) for place in places if place]
    assert len(found) == ROWS
    assert found == sorted(found)


def test_headings_are_reached_by_the_keyboard(page: Page) -> None:
    page.run("document.querySelector('[data-sort=output]').focus()")
    page.driver.switch_to.active_element.send_keys("\ue007")  # Enter
    assert (
        page.run("return document.querySelector('[data-sort=output]').closest('th').ariaSort") == "descending"
    )
    heads = page.run("return [...document.querySelectorAll('thead th')].every((th) => th.scope === 'col')")
    rows = page.run("return [...document.querySelectorAll('tbody th')].every((th) => th.scope === 'row')")
    assert heads
    assert rows


def test_search_finds_names_and_places(page: Page, file: dict[str, Any]) -> None:
    assert sorted(search(page, "PEAK_12")) == sorted(["peak_12", *(f"peak_12{i}" for i in range(10))])
    assert text(page, "#count") == f"11 of {N} regions"
    assert search(page, "no such") == ["No region fits."]
    # Regions that overlap a place, which is 0-based and half-open.
    start = int(file["start"][30])
    assert search(page, f"{file['chrom'][30]}:{start + LENGTH - 1:,}-{start + LENGTH}") == ["peak_30"]
    assert text(page, "#page") == "1–1 of 1"
    assert search(page, f"{file['chrom'][30]}:{start + LENGTH}-{start + LENGTH + 5}") == ["No region fits."]
    assert len(search(page, "")) == ROWS


# ---- logos


def letters_of(tab: Page) -> dict[str, list[list[tuple[float, float]]]]:
    """The corners of all letters of the opened logo, by base."""
    paths = tab.run(
        "return Object.fromEntries([...document.querySelectorAll('#letters path')].filter((path) =>"
        " 'ACGT'.includes(path.classList[0])).map((path) => [path.classList[0], path.getAttribute('d')]))"
    )
    n_moves = {"A": 2, "C": 1, "G": 1, "T": 1}  # an A has a hole
    found = {}
    for base, path in paths.items():
        moves = path.split("M")[1:]
        outlines = ["M".join(moves[i : i + n_moves[base]]) for i in range(0, len(moves), n_moves[base])]
        found[base] = [
            [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", outline)]
            for outline in outlines
        ]
    return found


@pytest.mark.parametrize("row", [0, 5, 129])
def test_a_click_shows_the_letters_of_the_region(page: Page, file: dict[str, Any], row: int) -> None:
    open_region(page, f"peak_{row}")
    assert text(page, "#region-name") == f"peak_{row}"
    assert f"deeplift plot s.h5 --index {row} " in text(page, "#command")
    keep(page, f"open_{row}")
    values = file["contributions"][row]
    sums = np.convolve(np.abs(values), np.ones(100), "valid")
    first = int(sums.argmax())
    assert int(page.run("return document.getElementById('position').value")) == first

    view = values[first : first + 100]
    low, high = min(0, view.min()), max(0, view.max())
    width = (RIGHT - LEFT) / 100
    zero = TOP + high / (high - low) * (BOTTOM - TOP)
    seen = 0
    for base, corners in letters_of(page).items():
        channel = "ACGT".index(base)
        for outline in corners:
            xs, ys = np.array(outline).T
            place = int((xs.mean() - LEFT) / width)
            assert file["sequence"][row][channel, first + place] == 1
            expected = zero - view[place] / (high - low) * (BOTTOM - TOP)
            tip = ys.min() if view[place] > 0 else ys.max()
            foot = ys.max() if view[place] > 0 else ys.min()
            # Heights are rounded to 1/127 of the largest contribution.
            np.testing.assert_allclose([tip, foot], [expected, zero], atol=2.0)
            np.testing.assert_allclose(
                [xs.min(), xs.max()], LEFT + width * (place + np.array([0.03, 0.97])), atol=0.02
            )
            seen += 1
    large = np.abs(view) > 0.01 * np.abs(values).max()
    assert seen >= large.sum()


def test_an_opened_logo_is_moved_and_zoomed(page: Page, file: dict[str, Any]) -> None:
    open_region(page, "peak_5")
    state = "const {max, value} = document.getElementById('position'); return [max, value].map(Number)"
    most, _ = page.run(state)
    assert most == LENGTH - 100
    click(page, "#zoom-in")
    assert page.run(state)[0] == LENGTH - 63
    for _ in range(4):
        if page.run("return !document.getElementById('zoom-out').disabled"):
            click(page, "#zoom-out")
    assert page.run(state) == [0, 0]
    click(page, "#zoom-in")
    page.run("document.getElementById('position').focus()")
    page.driver.switch_to.active_element.send_keys("\ue010")  # End
    most, value = page.run(state)
    assert most == value > 0
    # The pointer tells position, base and contribution; here of the middle of the logo.
    page.driver.execute_script("document.getElementById('letters').scrollIntoView()")
    from selenium.webdriver import ActionChains

    ActionChains(page.driver).move_to_element(page.driver.find_element("id", "letters")).perform()
    place, base, number = re.fullmatch(r"chr\d:(\d+)  ([ACGTN])  (\S+)", text(page, "#readout")).groups()
    position = int(place) - int(file["start"][5])
    column = file["sequence"][5][:, position]
    assert base == ("ACGT"[column.argmax()] if column.any() else "N")
    values = file["contributions"][5]
    assert float(number) == pytest.approx(values[position], abs=float(np.abs(values).max()) / 250)


def test_the_keyboard_opens_walks_and_closes(page: Page, made: Path, file: dict[str, Any]) -> None:
    names = file["name"][ranked(made / "s.h5")].tolist()
    page.run("document.querySelector('#region-table tbody button').focus()")
    page.driver.switch_to.active_element.send_keys("\ue007")
    page.wait("document.querySelector('dialog[open]')")
    assert text(page, "#region-name") == names[0]
    assert page.run("return document.getElementById('previous-region').disabled")
    click(page, "#next-region")
    page.wait(f"document.getElementById('region-name').textContent === {json.dumps(names[1])}")
    page.driver.switch_to.active_element.send_keys("\ue00c")  # Escape
    page.wait("!document.querySelector('dialog[open]')")


def test_the_best_sequences_are_drawn_at_once(page: Page, made: Path, file: dict[str, Any]) -> None:
    names = page.run("return [...document.querySelectorAll('.card h3 button')].map((one) => one.textContent)")
    assert names == file["name"][ranked(made / "s.h5")[:8]].tolist()
    counts = page.run(
        "return [...document.querySelectorAll('.card')].map((card) =>"
        " ['strip', 'logo'].map((kind) => card.querySelectorAll(`svg.${kind} path`).length))"
    )
    assert all(strip == 2 and logo > 8 for strip, logo in counts)


def test_a_seqlet_opens_its_region_at_its_place(page: Page, file: dict[str, Any]) -> None:
    assert page.run("return document.querySelectorAll('.mini svg path').length") > 8
    links = "document.querySelectorAll('table.seqlets .link')"
    cells = page.run(f"return [...{links}].map((link) => link.textContent)")
    assert cells == ["peak_7", "peak_40", "peak_7", "peak_7"]
    page.run(
        "document.querySelector('table.seqlets .mini').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    keep(page, "seqlets")
    click(page, "table.seqlets tbody tr .mini")
    page.wait("document.querySelector('dialog[open] #letters rect.chosen')")
    keep(page, "opened_seqlet")
    assert text(page, "#region-name") == "peak_7"
    first = int(page.run("return document.getElementById('position').value"))
    width = (RIGHT - LEFT) / 100
    places = [[LEFT + (start - first) * width, size * width] for start, size in ((100, 12), (120, 6))]
    np.testing.assert_allclose(marked(page, "rect.mark:not(.chosen)"), places, atol=0.01)
    np.testing.assert_allclose(marked(page, "rect.chosen"), places[:1], atol=0.01)
    fills = page.run(
        "return ['rect.mark:not(.chosen)', 'rect.chosen'].map((one) =>"
        " getComputedStyle(document.querySelector(`#letters ${one}`)).fill)"
    )
    assert fills[0] != fills[1]


def test_a_region_that_is_opened_by_its_name_has_the_marks_of_its_seqlets(page: Page) -> None:
    open_region(page, "peak_7")
    while page.run("return !document.getElementById('zoom-out').disabled"):
        click(page, "#zoom-out")
    width = (RIGHT - LEFT) / LENGTH
    places = [[LEFT + start * width, size * width] for start, size in ((100, 12), (120, 6), (280, 10))]
    np.testing.assert_allclose(marked(page, "rect.mark"), places, atol=0.01)
    assert marked(page, "rect.chosen") == []


def marked(tab: Page, rectangles: str) -> list[list[float]]:
    """The left edge and the width of the marks in the opened logo."""
    found: list[list[float]] = tab.run(
        f"return [...document.querySelectorAll('#letters {rectangles}')].map((rect) =>"
        " ['x', 'width'].map((name) => Number(rect.getAttribute(name))))"
    )
    return found


def test_a_page_of_mutagenesis_shows_outputs_in_place_of_differences(tab: Page, tmp_path: Path) -> None:
    write_fasta(tmp_path / "in.fa", [random_letters(seed) for seed in range(6)])
    score("-m", torchscript("Net"), "-f", tmp_path / "in.fa", "-o", tmp_path / "s.h5", "--rule", "ism")
    make(tmp_path / "s.h5", "-o", tmp_path / "r.html")
    tab.open((tmp_path / "r.html").as_uri(), READY)
    with h5py.File(tmp_path / "s.h5") as scores:
        output = scores["qc/output"][:]
    assert shown(tab, 0) == ["1", "2", "3", "4", "5", "6"]
    size = [abs(float(cell)) for cell in shown(tab, 4)]
    np.testing.assert_allclose(size, sorted(np.abs(output), reverse=True), rtol=1e-3)
    assert "output" in text(tab, ".card h3 span")
    keep(tab, "mutagenesis")
    click(tab, "#region-table tbody button")
    tab.wait("document.querySelector('dialog[open] #letters path.axis')")
    keep(tab, "mutagenesis_opened")
    assert "output" in text(tab, "#region-facts")
    assert all("difference" not in text(tab, part) for part in ("#region-facts", "#best-logos", "#regions"))
    assert tab.problems() == []


# ---- names, colours, size


def test_a_hostile_name_is_shown_as_it_is(page: Page) -> None:
    assert search(page, "<img src=x") == [HOSTILE]
    click(page, "#region-table tbody button")
    page.wait("document.querySelector('dialog[open]')")
    assert text(page, "#region-name") == HOSTILE
    assert HOSTILE in text(page, "table.motifs")
    assert page.run("return document.images.length") == 0


def background(tab: Page) -> list[int]:
    found: str = tab.run("return getComputedStyle(document.body).backgroundColor")
    return [int(number) for number in re.findall(r"\d+", found)[:3]]


def test_dark_and_light_follow_the_system_or_the_reader(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    for wanted in ("dark", "light"):
        media = {"features": [{"name": "prefers-color-scheme", "value": wanted}]}
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        assert (max(background(page)) < 60) == (wanted == "dark")
    for chosen in ("dark", "light"):
        Select(page.driver.find_element("id", "theme")).select_by_value(chosen)
        assert (max(background(page)) < 60) == (chosen == "dark")
        keep(page, chosen)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_colours_for_the_colour_blind(page: Page) -> None:
    from selenium.webdriver.support.ui import Select

    fill = "return getComputedStyle(document.querySelector('.card svg.logo path.T')).fill"
    assert page.run(fill) == "rgb(214, 40, 57)"
    Select(page.driver.find_element("id", "colours")).select_by_value("colour-blind")
    assert page.run(fill) == "rgb(0, 0, 0)"


def test_a_page_without_all_logos_says_so(
    tab: Page, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deeplift_cli.report import build

    make(made / "s.h5", "-o", tmp_path / "all.html")
    monkeypatch.setattr(build, "_SPARE", 40)
    monkeypatch.setattr(build, "LARGEST_PAGE", (tmp_path / "all.html").stat().st_size - 20_000)
    make(made / "s.h5", "-o", tmp_path / "some.html")
    tab.open((tmp_path / "some.html").as_uri(), READY)
    click(tab, "#last-page")
    click(tab, "#region-table tbody tr:last-child button")
    tab.wait("document.querySelector('dialog[open]')")
    assert tab.run("return document.getElementById('no-logo').checkVisibility()")
    assert not tab.run("return document.getElementById('region-logo').checkVisibility()")
    assert tab.problems() == []


def test_a_narrow_window_scrolls_down_only(page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 420, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    time.sleep(0.1)
    keep(page, "narrow")
    wide = page.run("return document.documentElement.scrollWidth")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 420
