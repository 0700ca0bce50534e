"""The documentation as a site: it builds without a warning, offline, and has every page and command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deeplift_cli.command_line import COMMANDS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        assert (site / ("" if name.name == "index" else name) / "index.html").exists(), name


def test_the_reference_has_every_command(site: Path) -> None:
    page = (site / "reference/command-line/index.html").read_text()
    for name in COMMANDS:
        assert f'id="deeplift-{name}"' in page, name
        assert f"Usage: deeplift {name}" in page, name


def test_links_to_sources_lead_to_files_of_the_site(site: Path) -> None:
    page = site / "method/index.html"
    links = re.findall(r'href="(\.\./repository/[^"]+)"', page.read_text())
    assert len(links) > 20
    assert all((page.parent / link).is_file() for link in links)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link rel="(?:stylesheet|preload)")[^>]*(?:src|href)="(https?:[^"]+)"',
            page.read_text(),
        )
        assert not loaded, page
