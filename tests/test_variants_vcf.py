"""The reader of VCF: what is split, what is skipped and why, and files that are no VCF."""

import gzip
from pathlib import Path

import pytest
from Bio import bgzf
from hypothesis import given
from hypothesis import strategies as st

from deeplift_cli.errors import UserError
from deeplift_cli.variants.vcf import Variant, allele_fault, read_vcf

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
REST = "\t.\tPASS\t.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> list[Variant]:
    Path("v.vcf").write_text(text, newline="")
    return list(read_vcf(Path("v.vcf")))


def lines(*rows: str) -> str:
    return HEAD + "".join(row.replace(" ", "\t") + REST for row in rows)


def test_columns_and_alleles() -> None:
    found = read(lines("chr1 10 rs1 A G", "chr2 20 . at A,ATT,C"))
    assert [(v.index, v.line, v.chrom, v.pos, v.id, v.ref, v.alt, v.fault) for v in found] == [
        (0, 3, "chr1", 10, "rs1", "A", "G", None),
        (1, 4, "chr2", 20, ".", "at", "A", None),
        (2, 4, "chr2", 20, ".", "at", "ATT", None),
        (3, 4, "chr2", 20, ".", "at", "C", None),
    ]
    assert [v.name for v in found][:2] == ["chr1:10:A>G", "chr2:20:at>A"]


def test_the_genome_has_other_names() -> None:
    Path("v.vcf").write_text(lines("1 10 . A G"))
    (found,) = read_vcf(Path("v.vcf"), lambda name: f"chr{name}")
    assert (found.chrom, found.place) == ("1", "chr1")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_and_no_last_one(ends: str) -> None:
    text = lines("chr1 10 rs1 A G", "chr1 11 . C T").rstrip("\n")
    assert [v.alt for v in read(text.replace("\n", ends))] == ["G", "T"]


@pytest.mark.parametrize("pack", [gzip.compress, None])
def test_gzip_and_bgzip(pack: object) -> None:
    content = lines("chr1 10 rs1 A G").encode()
    if pack is None:
        with bgzf.open("v.vcf.gz", "wb") as file:
            file.write(content)
    else:
        Path("v.vcf.gz").write_bytes(gzip.compress(content))
    assert [v.id for v in read_vcf(Path("v.vcf.gz"))] == ["rs1"]


def test_only_the_first_columns_of_a_long_line_are_kept() -> None:
    genotypes = "\t0|1" * 400_000
    found = read(HEAD + f"chr1\t10\trs1\tA\tG\t.\t.\t.\tGT{genotypes}\nchr1\t11\trs2\tC\tT\n")
    assert [(v.id, v.line, v.fault) for v in found] == [("rs1", 3, None), ("rs2", 4, None)]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("chr1 10 . A *", "stands for a deletion"),
        ("chr1 10 . A <DEL>", "symbolic ALT allele '<DEL>'"),
        ("chr1 10 . A <NON_REF>", "symbolic"),
        ("chr1 10 . A G[chr2:30[", "is a breakend"),
        ("chr1 10 . A ]chr2:30]G", "is a breakend"),
        ("chr1 10 . A .G", "is a breakend"),
        ("chr1 10 . A .", "has no ALT allele"),
        ("chr1 10 . A GN", "ALT allele 'GN', which is not made of"),
        ("chr1 10 . N G", "REF allele 'N', which is not made of"),
        ("chr1 10 . R G", "REF allele 'R'"),
        ("chr1 10 . A a", "equal REF and ALT"),
        ("chr1 0 . A G", "position 0"),
        ("chr1 99999999999999999999 . A G", "64 bits"),
        ("chr\x071 10 . A G", "control character"),
    ],
)
def test_rows_that_are_skipped(row: str, fault: str) -> None:
    (found,) = read(lines(row))
    assert found.fault is not None
    assert fault in found.fault
    assert "\x07" not in found.name


def test_alleles_that_are_longer_than_a_line_is_read() -> None:
    first, second = read(HEAD + f"chr1\t10\t.\tA\t{'C' * 300_000}\t.\t.\t.\nchr1\t11\t.\tA\tC{REST}")
    assert "has alleles of more than 65,536 letters" in (first.fault or "")
    assert (second.line, second.fault) == (4, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "holds no variants"),
        ("", "is empty"),
        ("chr1\t10\t.\tA\tG\n", "line 1: no line '#CHROM POS ID REF ALT ...' comes before"),
        ("##fileformat=VCFv4.2\nchr1\t10\t.\tA\tG\n", "line 2: no line '#CHROM"),
        ("#CHROM\tPOS\tREF\tALT\n", "line 1: the heading does not begin with the columns"),
        (HEAD + "chr1\t10\t.\tA\n", "line 3 has 4 column(s), separated by tabs"),
        (HEAD + "chr1 10 . A G\n", "line 3 has 1 column(s), separated by tabs"),
        (HEAD + "chr1\tten\t.\tA\tG\n", "line 3 has 'ten' where the position belongs"),
        (HEAD + "chr1\t-5\t.\tA\tG\n", "where the position belongs"),
        (HEAD + "chr1\t1.5\t.\tA\tG\n", "where the position belongs"),
    ],
)
def test_files_that_are_no_vcf(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(text)
    assert message in str(error.value)
    assert "v.vcf" in str(error.value)


def test_bcf_is_told() -> None:
    with bgzf.open("v.bcf", "wb") as file:
        file.write(b"BCF\x02\x02" + bytes(50))
    with pytest.raises(UserError, match="is a BCF; convert it first: bcftools view"):
        list(read_vcf(Path("v.bcf")))


def test_a_gzip_that_is_cut_short() -> None:
    content = gzip.compress("".join(lines(f"chr1 {i + 1} . A G") for i in range(2000)).encode())
    Path("v.vcf.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cut short"):
        list(read_vcf(Path("v.vcf.gz")))


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_variants_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, headed: bool
) -> None:
    path = tmp_path_factory.mktemp("vcf") / "v.vcf"
    path.write_bytes(HEAD.encode() * headed + content)
    message = ""
    try:
        for variant in read_vcf(path):
            assert variant.pos >= 0
            assert variant.fault or allele_fault(variant.ref, variant.alt) is None
    except UserError as error:
        message = str(error)
    assert "\n" not in message
