"""Files that are given to the wrong option: messages say what they look like, and what takes them."""

import gzip
from pathlib import Path

import numpy as np
import onnx
import pybigtools
import pytest
from small_models import deeplift, onnx_file, random_letters, torchscript, write_fasta

from deeplift_cli.file_kinds import look_alike

NET, ANY = ("-m", torchscript("Net")), ("-m", torchscript("AnyLength"))
OUT = ("-o", "out.h5")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    write_fasta(Path("good.fa"), [random_letters(i) for i in range(3)])
    Path("good.fa.gz").write_bytes(gzip.compress(Path("good.fa").read_bytes()))
    write_fasta(Path("genome.fa"), {"chr1": random_letters(5, 400)})
    Path("peaks.bed").write_text("track name=x\n# peaks\nchr1\t100\t150\n")
    Path("peaks.csv").write_text("chrom,start,end\nchr1,100,150\n")
    Path("places.txt").write_text("chr1:1,00-150\n")
    Path("rows.vcf").write_text("##fileformat=VCFv4.2\n")
    Path("m.meme").write_text("MEME version 4\n")
    pybigtools.open("s.bw", "w").write({"chr1": 400}, iter([("chr1", 1, 2, 3.0)]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", *NET, "-f", "peaks.bed", *OUT], "like BED, which --regions takes together with --genome"),
        (["score", *NET, "-f", onnx_file(), *OUT], "like an ONNX model, which --model takes"),
        (["score", *NET, "-f", torchscript("Net"), *OUT], "like a zip archive, such as a model of PyTorch"),
        (["score", *NET, "-f", "s.bw", *OUT], "like a bigWig"),
        (["score", *ANY, "-g", "peaks.bed", "-r", "peaks.bed", *OUT], "like BED"),
        (["score", *ANY, "-g", "genome.fa", "-r", "good.fa.gz", *OUT], "like FASTA, which --fasta takes"),
        (["score", *ANY, "-g", "genome.fa", "-r", "peaks.csv", *OUT], "like a table with commas"),
        (["score", *ANY, "-g", "genome.fa", "-r", "places.txt", *OUT], "like a list of places"),
        (["score", *ANY, "-g", "genome.fa", "-r", "m.meme", *OUT], "like motifs, which `deeplift seqlets"),
        (["score", "-m", "good.fa.gz", "-f", "good.fa", *OUT], "like FASTA"),
        (["score", "-m", "s.bw", "-f", "good.fa", *OUT], "like a bigWig"),
        (["show", "s.bw"], "like a bigWig, which `deeplift browser`"),
        (["plot", "peaks.bed", "--index", 0, "-o", "a.png"], "like BED"),
        (["report", onnx_file(), "-o", "a.html"], "like an ONNX model"),
    ],
)
def test_a_file_given_to_the_wrong_option_is_told_what_it_looks_like(words: list[object], said: str) -> None:
    done = deeplift(*words)
    assert done.code == 1
    assert f"; the file looks {said}" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_score_file_given_as_a_bigwig_is_told_what_it_looks_like() -> None:
    assert deeplift("score", *NET, "-f", "good.fa", "-q", *OUT).code == 0
    done = deeplift("browser", "out.h5", "-g", "genome.fa", "-o", "page")
    assert "out.h5 cannot be read as a bigWig" in done.err
    assert "; the file looks like an HDF5 file, such as a score file" in done.err


def test_every_file_of_the_onnx_package_looks_like_onnx(tmp_path: Path) -> None:
    """Models by other writers: the program's name, or the graph itself, follows the version."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    for number, producer in enumerate(("", "pytorch")):
        for version in (3, 8, 13):
            path = tmp_path / f"{number}-{version}"
            path.write_bytes(
                onnx.helper.make_model(graph, producer_name=producer, ir_version=version).SerializeToString()
            )
            assert look_alike(path) == "; the file looks like an ONNX model, which --model takes"


@pytest.mark.parametrize("content", [b"", b"words of a text\n", b"\0" * 50, b"\x1f\x8bcut", b"chr1\tx\ty\n"])
def test_nothing_is_said_of_other_files(content: bytes) -> None:
    Path("file").write_bytes(content)
    assert look_alike(Path("file")) == ""


def test_nothing_is_said_of_files_that_cannot_be_read() -> None:
    Path("folder").mkdir()
    assert look_alike(Path("folder")) == look_alike(Path("absent")) == ""


def test_random_bytes_rarely_look_like_anything() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        Path("file").write_bytes(rng.bytes(300))
        assert look_alike(Path("file")) == ""
