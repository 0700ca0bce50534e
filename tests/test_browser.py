"""`deeplift browser`: the letters, the page, the session and the hubs hold what the inputs hold."""

import base64
import functools
import gzip
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pybigtools
import pytest
from Bio import bgzf
from browser_inputs import SIZES, WINDOW, WINDOWS, Inputs, serving, write_inputs
from hypothesis import given
from hypothesis import strategies as st
from pyfaidx import Fasta
from small_models import deeplift

from deeplift_cli.browser import build, page
from deeplift_cli.browser.assemblies import recognise
from deeplift_cli.browser.letters import as_fasta, fasta_records, write_masked_genome
from deeplift_cli.browser.names import file_names
from deeplift_cli.browser.windows import Stretch, Window, first_view, stretches

FLANK = 1000
HOSTILE = '</script><img src=x onerror="alert(1)">&amp;'
VENDORED = Path(page.__file__).with_name("vendored")


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.chdir(tmp_path)
    return write_inputs(tmp_path)


# ---- letters


class Genome:
    """As the program's own, but from a dictionary."""

    def __init__(self, letters: dict[str, str]) -> None:
        self.letters = letters
        self.sizes = {name: len(text) for name, text in letters.items()}

    def fetch(self, chrom: str, start: int, end: int) -> bytes:
        return self.letters[chrom][start:end].encode()


def shown(sizes: dict[str, int], windows: list[Window]) -> dict[str, set[int]]:
    """The positions whose letters are shown, one by one."""
    found: dict[str, set[int]] = {name: set() for name in sizes}
    for window in windows:
        for position in range(window.start - FLANK, window.end + FLANK):
            if 0 <= position < sizes[window.chrom]:
                found[window.chrom].add(position)
    return found


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 7_900), st.integers(1, 100)), max_size=6))
def test_stretches_are_the_windows_with_their_flanks(drawn: list[tuple[str, int, int]]) -> None:
    sizes = {"b": 8_000, "a": 8_000}
    windows = [Window(chrom, start, start + width, "") for chrom, start, width in drawn]
    found = stretches(windows, sizes)
    positions = {name: [p for s in found if s.chrom == name for p in range(s.start, s.end)] for name in sizes}
    assert positions == {name: sorted(places) for name, places in shown(sizes, windows).items()}
    assert found == sorted(found, key=lambda s: ("ba".index(s.chrom), s.start))


def test_a_page_gets_each_stretch_at_its_place(inputs: Inputs) -> None:
    windows = [Window(c, s, s + WINDOW, name) for c, s, name in WINDOWS]
    text = as_fasta(Genome(inputs.letters), fasta_records(stretches(windows, SIZES), SIZES)).decode()
    found: dict[str, set[int]] = {name: set() for name in SIZES}
    for record in text.removeprefix(">").split("\n>"):
        heading, letters = record.rstrip("\n").split("\n")
        match = re.fullmatch(r"([^:]+):(\d+)-(\d+) @len=(\d+)", heading)
        if match is None:  # the name with a colon: all letters
            chrom, start = heading, 0
            assert letters == inputs.letters[chrom]
        else:
            chrom, start = match[1], int(match[2]) - 1
            assert int(match[4]) == SIZES[chrom]
            assert int(match[3]) == start + len(letters)
            assert ":" not in chrom
        assert letters == inputs.letters[chrom][start : start + len(letters)]
        found[chrom] |= set(range(start, start + len(letters)))
    wanted = shown(SIZES, windows)
    assert found == wanted | {"HLA-A*01:01": set(range(700))}
    assert not found["chr3"]


@pytest.mark.parametrize("size", [1, 65_279, 65_280, 300_000])
def test_the_masked_genome_has_its_letters_in_place(tmp_path: Path, size: int) -> None:
    rng = np.random.default_rng(size)
    letters = {name: "".join(rng.choice(list("ACGT"), size)) for name in ("a", "b")}
    parts = [Stretch("a", size // 3, size // 3 + 1), Stretch("a", size // 2 + 1, size), Stretch("b", 0, size)]
    parts = [part for part in parts if part.start < part.end]
    paths = [tmp_path / f"g.fa.gz{suffix}" for suffix in ("", ".fai", ".gzi")]
    write_masked_genome(Genome(letters), parts, *paths)

    wanted = {name: ["N"] * size for name in letters}
    for part in parts:
        wanted[part.chrom][part.start : part.end] = letters[part.chrom][part.start : part.end]
    text = "".join(f">{name}\n{''.join(masked)}\n" for name, masked in wanted.items())
    assert gzip.decompress(paths[0].read_bytes()).decode() == text
    for line in paths[1].read_text().splitlines():
        name, length, offset, bases, width = line.split("\t")
        assert (int(length), int(bases), int(width)) == (size, size, size + 1)
        assert text[int(offset) - len(name) - 2 :].startswith(f">{name}\n")
    with Fasta(str(paths[0]), rebuild=False) as fasta:  # another reader, by the same index
        for name, masked in wanted.items():
            assert str(fasta[name][size // 2 : size]) == "".join(masked[size // 2 :])
    with paths[0].open("rb") as file:
        blocks = [(start, unpacked) for start, _, unpacked, _ in bgzf.BgzfBlocks(file)]
    table = np.frombuffer(paths[2].read_bytes(), "<u8")
    assert table[0] == len(blocks) - 1
    assert list(map(tuple, table[1:].reshape(-1, 2).tolist())) == blocks[1:]


def test_a_genome_without_windows_takes_few_bytes(tmp_path: Path) -> None:
    genome = Genome({})
    genome.sizes = {"chr1": 20_000_000}
    paths = [tmp_path / name for name in ("g", "f", "z")]
    write_masked_genome(genome, [], *paths)
    assert sum(path.stat().st_size for path in paths) < 50_000


# ---- the page


class Elements(HTMLParser):
    """The scripts and the security policy of a page, as an HTML parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.policy = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag == "script"
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def read_page(folder: Path) -> tuple[Elements, dict[str, Any]]:
    elements = Elements((folder / "index.html").read_text())
    config = [text for attributes, text in elements.scripts if attributes.get("type") == "application/json"]
    assert len(config) == 1
    found: dict[str, Any] = json.loads(config[0])
    return elements, found


def decoded(url: str) -> bytes:
    head, _, content = url.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return base64.b64decode(content)


def test_a_small_page_holds_its_data(inputs: Inputs) -> None:
    Path("more.bed").write_text("track name=x\nchr1\t1600\t1610\tGATA\t7.5\t-\nchr1\t20\t30\nchr9\t1\t2\n")
    done: Any = inputs.browse("out", "--bed", "more.bed", "--name", "K562")
    assert "more.bed: 1 line(s) without a place on the genome are left out" in done.err
    Path("none.bed").write_text("#chrom\tstart\tend\n")  # such as seqlets where there are none
    assert inputs.browse("empty", "--bed", "none.bed", "--name", "K562").err == ""
    _, config = read_page(Path("out"))
    assert config["embedded"] is True
    signal, windows, more = config["tracks"]
    assert decoded(signal["url"]) == inputs.bigwig.read_bytes()
    assert (signal["graphType"], signal["name"]) == ("dynseq", "K562")
    assert more["name"] == "more"
    lines = "chr1\t20\t30\tchr1:20-30\t0\t.\nchr1\t1600\t1610\tGATA\t7.5\t-\n"
    assert decoded(more["url"]).decode() == Path("out/more.bed").read_text() == lines
    assert decoded(windows["url"]).decode().count("\n") == len(WINDOWS)
    letters = gzip.decompress(decoded(config["reference"]["fastaURL"])).decode()
    assert ">chr1:501-2700 @len=9000\n" in letters
    assert config["locus"] == "chr1:1501-1700"
    assert [name for name, _, _ in config["windows"]] == [name for _, _, name in WINDOWS]
    assert config["windows"][-1][1] == "HLA-A*01:01\t301\t500"  # as igv.js reads a name with a colon


def test_names_of_other_people_stay_data(inputs: Inputs) -> None:
    inputs.windows.write_text(f"chr1\t1500\t1700\t{HOSTILE}\n")
    inputs.browse("out", "--name", HOSTILE)
    elements, config = read_page(Path("out"))
    assert config["windows"][0][0] == HOSTILE
    assert "img" not in elements.tags
    assert len(elements.scripts) == 3
    assert config["tracks"][0]["name"].startswith("&lt;/script&gt;&lt;img")  # igv.js takes it for HTML
    session = ElementTree.parse("out/igv_session.xml")
    assert session.find("Panel/Track").attrib["name"] == HOSTILE  # type: ignore[union-attr]
    assert json.loads(Path("out/washu_hub.json").read_text())[0]["name"] == HOSTILE


def test_the_page_runs_its_two_scripts_and_nothing_else(inputs: Inputs) -> None:
    inputs.browse("out")
    elements, _ = read_page(Path("out"))
    rules = dict(rule.strip().split(" ", 1) for rule in elements.policy.split(";"))
    code = [text for attributes, text in elements.scripts if not attributes]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self' data: blob:"
    assert all("src" not in attributes for attributes, _ in elements.scripts)


def test_a_large_page_reads_files_beside_it(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs.browse("small")
    _, config = read_page(Path("small"))
    size = inputs.bigwig.stat().st_size + Path("small/windows.bed").stat().st_size
    letters = gzip.decompress(decoded(config["reference"]["fastaURL"])).decode()
    size += sum(len(line) for line in letters.splitlines() if not line.startswith(">"))
    monkeypatch.setattr(page, "LARGEST_EMBEDDED", size + 1)
    inputs.browse("as-large-as-may-be")
    assert read_page(Path("as-large-as-may-be"))[1]["embedded"] is True
    monkeypatch.setattr(page, "LARGEST_EMBEDDED", size)
    done: Any = inputs.browse("too large")
    _, config = read_page(Path("too large"))
    assert config["embedded"] is False
    assert "deeplift browser -o 'too large' --serve 8000" in done.out
    assert config["serve"] == "deeplift browser -o 'too large' --serve 8000"
    urls = [config["reference"][key] for key in ("fastaURL", "indexURL", "compressedIndexURL")]
    for url in [*urls, *(track["url"] for track in config["tracks"])]:
        assert Path("too large", url).is_file()


def test_the_limit_is_20_mb() -> None:
    assert page.LARGEST_EMBEDDED == 20_000_000


# ---- the library


def test_the_library_can_stand_in_a_page_and_has_its_licence(inputs: Inputs) -> None:
    text = (VENDORED / "igv.min.js").read_bytes()
    for ending in (b"</script", b"<!--", b"\r", b"\0"):  # what would end the script, or change its digest
        assert ending not in text.lower()
    about = json.loads((VENDORED / "package.json").read_text())
    assert (about["name"], about["license"]) == ("igv", "MIT")
    assert about["version"].encode() in text
    inputs.browse("out")
    assert Path("out/igv.js-LICENSE.txt").read_bytes() == (VENDORED / "LICENSE").read_bytes()
    assert "MIT" in (VENDORED / "LICENSE").read_text()


# ---- session and hubs


def test_the_session_names_files_beside_it(inputs: Inputs) -> None:
    Path("b.bw").write_bytes(inputs.bigwig.read_bytes())
    assert deeplift("browser", inputs.bigwig, "b.bw", "-g", inputs.genome, "-o", "out").code == 0
    session = ElementTree.parse("out/igv_session.xml").getroot()
    resources = [element.attrib["path"] for element in session.iter("Resource")]
    tracks = [element.attrib for element in session.iter("Track")]
    assert resources == [track["id"] for track in tracks] == ["scores.bw", "b.bw", "windows.bed"]
    assert [track.get("renderer") for track in tracks] == ["DYNSEQ", "DYNSEQ", None]
    assert session.attrib["genome"] == "sequence.fa.gz"
    assert session.attrib["locus"] == "chr1:1501-1700"
    for name in [*resources, "sequence.fa.gz.fai", "sequence.fa.gz.gzi"]:
        assert Path("out", name).is_file()
    assert not Path("out/hub.txt").exists()  # the assembly is not known


def stanzas(path: Path) -> list[dict[str, str]]:
    return [
        dict(line.split(" ", 1) for line in stanza.splitlines())
        for stanza in path.read_text().strip().split("\n\n")
    ]


def test_the_hub_keeps_to_ucscs_rules(inputs: Inputs) -> None:
    long = (
        "Ünïcode/ä name that is (far) longer than seventy-six characters, as file names sometimes are in life"
    )
    Path("b.bw").write_bytes(inputs.bigwig.read_bytes())
    words = ["-o", "out", "--assembly", "hg38", "--name", long, "--name", HOSTILE]
    assert deeplift("browser", inputs.bigwig, "b.bw", "-g", inputs.genome, *words).code == 0
    (hub,) = stanzas(Path("out/hub.txt"))
    assert {"hub", "shortLabel", "longLabel", "genomesFile", "email"} <= hub.keys()
    (genome,) = stanzas(Path("out", hub["genomesFile"]))
    assert genome["genome"] == "hg38"
    tracks = stanzas(Path("out", genome["trackDb"]))
    assert len(tracks) == len({track["track"] for track in tracks}) == 2
    for track in tracks:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", track["track"])
        assert 0 < len(track["shortLabel"]) <= 17
        assert 0 < len(track["longLabel"]) <= 76
        assert (track["type"], track["logo"], track["visibility"]) == ("bigWig", "on", "full")
        assert Path("out", track["bigDataUrl"]).read_bytes() == inputs.bigwig.read_bytes()
    washu = json.loads(Path("out/washu_hub.json").read_text())
    assert [(track["type"], track["name"]) for track in washu] == [("dynseq", long), ("dynseq", HOSTILE)]
    assert [track["url"] for track in washu] == [track["bigDataUrl"] for track in tracks]
    assert ElementTree.parse("out/igv_session.xml").getroot().attrib["genome"] == "hg38"


def test_assemblies_are_found_by_their_chromosomes() -> None:
    assert recognise({"chr2": 242_193_529, "chr1": 248_956_422}) == "hg38"
    assert recognise({"chr1": 249_250_621}) == "hg19"
    assert recognise({"chr1": 248_956_421}) is None
    assert recognise({"1": 248_956_422}) is None  # UCSC has other names


def test_file_names_differ_and_need_no_quotes() -> None:
    taken = {"index.html"}
    assert file_names(["a b", "a/b", "A b", "..", "ü"], ".bw", taken) == [
        "a_b.bw", "a_b_2.bw", "A_b_3.bw", "track.bw", "track_2.bw"
    ]  # fmt: skip
    assert len(file_names(["x" * 300], ".bw", taken)[0]) < 250


def test_the_first_view_is_narrow_enough_to_read() -> None:
    assert first_view(Window("c", 100, 350, "")) == Stretch("c", 100, 350)
    assert first_view(Window("c", 1000, 3114, "")) == Stretch("c", 1907, 2207)


# ---- the folder


def listing(folder: Path | str = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_files_that_exist_are_replaced_on_request_only(inputs: Inputs) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    Path("a.bed").write_text("chr1\t1\t2\n")
    inputs.browse("out", "--bed", "a.bed")
    first = listing("out")
    again = deeplift("browser", inputs.bigwig, "-g", inputs.genome, "-o", "out")
    assert (again.code, "out/index.html exists; give --overwrite" in again.err) == (1, True)
    inputs.browse("out", "--overwrite")
    assert listing("out") == first - {
        "a.bed"
    }  # what only the first run wrote is gone, the user's file is not
    assert Path("out/mine.txt").read_text() == "mine"
    assert not [name for name in listing() if name.startswith(".")]


def test_a_bigwig_takes_no_space_twice(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs.browse("out")
    assert Path("out/scores.bw").samefile(inputs.bigwig)
    inputs.browse("out", "--overwrite")
    assert Path("out/scores.bw").samefile(inputs.bigwig)

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    inputs.browse("copy")
    assert not Path("copy/scores.bw").samefile(inputs.bigwig)
    assert Path("copy/scores.bw").read_bytes() == inputs.bigwig.read_bytes()


def test_nothing_is_left_of_a_run_that_fails(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listing()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "write_masked_genome", full)
    done = deeplift("browser", "-q", inputs.bigwig, "-g", inputs.genome, "-o", "out")
    assert (done.code, done.err) == (
        1,
        "deeplift: output out cannot be written: No space left on device\n",
    )
    assert listing() == before


def test_problems_are_one_line(inputs: Inputs) -> None:
    Path("other.fa").write_text(">chr1\nACGT\n")
    Path("third.fa").write_text(">1\nACGT\n")
    Path("elsewhere.bed").write_text("chr9\t1\t2\n")
    Path("text.bw").write_text("no bigWig\n")
    bigbed = pybigtools.open("x.bb", "w")
    bigbed.write({"chr1": 9_000}, iter([("chr1", 1, 2, "")]))
    Path("unnamed.bw").write_bytes(inputs.bigwig.read_bytes())
    Path("file").write_text("")
    good = ["-g", "genome.fa", "-o", "out"]
    for words, code, message in (
        (["scores.bw", "-g", "other.fa", "-o", "out"], 1, "gives chr1 9,000 bp, and genome other.fa 4 bp"),
        (["scores.bw", "-g", "third.fa", "-o", "out"], 1, "the bigWig has 'HLA-A*01:01', the genome has '1'"),
        (["scores.bw", "-g", "no.fa", "-o", "out"], 1, "no.fa does not exist"),
        (["no.bw", "-r", "scores.bed", *good], 1, "bigWig no.bw does not exist"),
        (["text.bw", "-r", "scores.bed", *good], 1, "text.bw cannot be read as a bigWig"),
        (["x.bb", "-r", "scores.bed", *good], 1, "x.bb is a bigBed, not a bigWig"),
        (["unnamed.bw", *good], 1, "there is no unnamed.bed with the scored windows; give their BED file"),
        (["scores.bw", "-r", "elsewhere.bed", *good], 1, "the regions have 'chr9', the genome has 'chr1'"),
        (["scores.bw", "--locus", "chr9:1-2", *good], 1, "--locus is on 'chr9'"),
        (["scores.bw", "--locus", "chr1:1-9001", *good], 1, "behind the end of chr1 (9,000 bp)"),
        (["scores.bw", "-g", "genome.fa", "-o", "file"], 1, "output file exists and is not a folder"),
        (["scores.bw", "-g", "genome.fa", "-o", "no/out"], 1, "output folder no does not exist (for out)"),
        (["--serve", "0", "-o", "."], 1, "is not a folder that deeplift browser made"),
    ):
        done = deeplift("browser", "-q", *words)
        assert (done.code, done.err.count("\n")) == (code, 1), done.err
        assert message in done.err
    for words, message in (
        (["-o", "out"], "give bigWigs, or --serve PORT"),
        (["scores.bw", "-o", "out"], "give the genome by --genome"),
        (["--serve", "0", "-o", "out", "--bed", "x"], "give only --out and --serve"),
        (["scores.bw", "--name", "a", "--name", "b", *good], "give --name once for each of the 1 bigWigs"),
        (["scores.bw", "--name", "\x1b[31m", *good], "is no name for a track"),
        (["scores.bw", "--locus", "chr1:5-4", *good], "is not CHROMOSOME:START-END"),
        (["scores.bw", "--assembly", "a b", *good], "is no name of an assembly"),
        (["scores.bw", "--serve", "70000", *good], "70000 is not in the range"),
    ):
        done = deeplift("browser", *words)
        assert (done.code, message in done.err) == (2, True), done.err
    assert not Path("out").exists()


def test_an_input_in_the_folder_is_not_overwritten(inputs: Inputs) -> None:
    Path("out").mkdir()
    inputs.bigwig.rename("out/scores.bw")
    before = Path("out/scores.bw").read_bytes()
    words = ["-g", inputs.genome, "-r", inputs.windows, "-o", "out", "--overwrite"]
    done = deeplift("browser", "out/scores.bw", *words)
    assert (done.code, "output out/scores.bw is also an input" in done.err) == (1, True)
    assert Path("out/scores.bw").read_bytes() == before


# ---- the server


@pytest.fixture
def port(inputs: Inputs) -> Iterator[int]:
    inputs.browse("out")
    Path("out/secret.txt").write_text("not of the page")
    with serving("out") as port:
        yield port


def fetch(port: int, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def test_parts_of_files_are_those_that_were_asked_for(port: int) -> None:
    whole = Path("out/scores.bw").read_bytes()
    for asked, part in (
        ("bytes=0-0", whole[:1]),
        ("bytes=10-99", whole[10:100]),
        ("bytes=50-", whole[50:]),
        ("bytes=-20", whole[-20:]),
        (f"bytes=5-{len(whole) + 99}", whole[5:]),
        (f"bytes=-{len(whole) + 99}", whole),
    ):
        answer = fetch(port, "/scores.bw", Range=asked)
        assert (answer.status, answer.read()) == (206, part), asked
        first = len(whole) - len(part) if asked.startswith("bytes=-") else int(asked[6:].split("-")[0])
        wanted = f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
        assert answer.headers["Content-Range"] == wanted
    for asked in (f"bytes={len(whole)}-", "bytes=9-3", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=-0"):
        answer = fetch(port, "/scores.bw", Range=asked)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(whole)}"), asked
    assert fetch(port, "/scores.bw").read() == whole
    head = fetch(port, "/scores.bw", "HEAD")
    assert (head.status, head.headers["Content-Length"], head.read()) == (200, str(len(whole)), b"")
    assert fetch(port, "/").read() == Path("out/index.html").read_bytes()


def test_only_the_page_reads_only_its_files(port: int) -> None:
    Path("out/windows.bed").unlink()
    Path("out/windows.bed").symlink_to(Path("genome.fa").absolute())
    for path in (
        "/windows.bed",
        "/secret.txt",
        "/../genome.fa",
        "/%2e%2e/genome.fa",
        "//etc/passwd",
        "/etc/passwd",
        "/out/",
    ):
        assert fetch(port, path).status == 404, path
    for host in ("evil.example", f"evil.example:{port}", ""):
        assert fetch(port, "/index.html", Host=host).status == 403
    assert fetch(port, "/index.html", Host=f"localhost:{port}").status == 200
    assert fetch(port, "/index.html", "POST").status == 501


def test_the_server_listens_to_this_machine_only_and_a_port_in_use_is_one_line(port: int) -> None:
    done = deeplift("browser", "-o", "out", "--serve", port)
    assert done.code == 1
    reason = "Address already in use; give another to --serve"
    assert done.err == f"deeplift: port {port} of 127.0.0.1 cannot be used: {reason}\n"
    with pytest.raises(OSError, match="refused"):  # as any address of this machine but that one
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_a_list_of_files_that_leads_elsewhere_is_refused(inputs: Inputs) -> None:
    inputs.browse("out")
    for names in (["../genome.fa"], ["/etc/passwd"], [".."], [".bashrc"], [3], 3):
        Path("out/files.json").write_text(json.dumps({"format": "deeplift-browser", "files": names}))
        done = deeplift("browser", "-o", "out", "--serve", "0")
        assert (done.code, "is not a folder that deeplift browser made" in done.err) == (1, True)


def test_a_served_folder_is_there_until_ctrl_c(inputs: Inputs) -> None:
    inputs.browse("out")
    command = [sys.executable, "-c", "from deeplift_cli.main import main; main()"]
    words = ["browser", "-q", "-o", "out", "--serve", "0"]
    # A shell starts background jobs, such as a run of these tests, with SIGINT ignored.
    restore = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *words], stdout=pipe, stderr=pipe, text=True, preexec_fn=restore) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        match = re.fullmatch(r"served at +http://127\.0\.0\.1:(\d+)/ until Ctrl-C\n", run.stdout.readline())
        assert match is not None
        assert fetch(int(match[1]), "/").read() == Path("out/index.html").read_bytes()
        run.send_signal(signal.SIGINT)
        assert (run.wait(timeout=20), run.stderr.read()) == (130, "deeplift: stopped by SIGINT\n")
