"""Motifs that variants make or break: against a slow scan, and on the planted motifs of the example."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from Bio import motifs
from small_models import BASES, Outcome, deeplift, encode, random_letters, reverse_complement

from deeplift_cli.errors import UserError
from deeplift_cli.variants.motif_changes import MATCH_P, MotifChanges, match_threshold
from deeplift_cli.variants.vcf import Variant

EXAMPLES = Path(__file__).parents[1] / "examples"
HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

"""
FIRST = np.array([[97, 1, 1, 1], [1, 97, 1, 1], [1, 1, 97, 1], [1, 1, 1, 97], [49, 49, 1, 1], [97, 1, 1, 1],
                  [1, 1, 97, 1], [1, 1, 97, 1]])  # fmt: skip
SECOND = np.array([[1, 97, 1, 1]] * 7)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def meme(**motifs: np.ndarray) -> Path:
    text = MEME
    for name, counts in motifs.items():
        text += f"MOTIF {name}\nletter-probability matrix: alength= 4 w= {len(counts)} nsites= 100 E= 0\n"
        text += "".join(" ".join(f"{count / 100:.2f}" for count in row) + "\n" for row in counts) + "\n"
    Path("m.meme").write_text(text)
    return Path("m.meme")


def jaspar(**motifs: np.ndarray) -> Path:
    text = ""
    for name, counts in motifs.items():
        text += f">MA0001.1 {name}\n"
        for base, column in zip(BASES, counts.T, strict=True):
            text += f"{base} [ {' '.join(map(str, column))} ]\n"
    Path("m.jaspar").write_text(text)
    return Path("m.jaspar")


def log_odds(counts: np.ndarray) -> np.ndarray:
    smoothed = 20 * counts / counts.sum(1, keepdims=True) + 0.025
    return np.log2(smoothed / smoothed.sum(1, keepdims=True) / 0.25)


def best(counts: np.ndarray, letters: str, at: int, size: int) -> float:
    """The best score of a motif that overlaps letters `at` to `at + size`, on either strand."""
    table, width = log_odds(counts), len(counts)
    found = [-np.inf]
    for start in range(max(at - width + 1, 0), min(at + size, len(letters) - width + 1)):
        for word in (letters[start : start + width], reverse_complement(letters[start : start + width])):
            found.append(sum(table[place, BASES.index(base)] for place, base in enumerate(word)))
    return max(found)


def threshold(counts: np.ndarray) -> float:
    """The least score that words of this length reach with a probability of no more than `MATCH_P`."""
    table = log_odds(counts)
    words = itertools.product(range(4), repeat=len(counts))
    scores = np.array([sum(table[place, index] for place, index in enumerate(word)) for word in words])
    values, numbers = np.unique(scores.round(6), return_counts=True)
    at_least = np.cumsum(numbers[::-1])[::-1] / len(scores)
    return float(min(values[at_least <= MATCH_P], default=values[-1]))


def cases() -> Iterator[tuple[str, str, str, str]]:
    """Windows of 40 bp of REF, alleles, and the windows of ALT."""
    rng = np.random.default_rng(3)
    words = {"first": "ACGTAAGG", "second": "CCCCCCC"}
    for number in range(60):
        letters = list(random_letters(number, 60))
        word = words["first" if number % 2 else "second"]
        if number % 3:
            start = 20 - int(rng.integers(0, len(word)))
            word = reverse_complement(word) if number % 4 == 1 else word
            letters[start : start + len(word)] = word
        text = "".join(letters)
        n_ref = int(rng.integers(1, 4))
        ref = text[20 : 20 + n_ref]
        alt = random_letters(number + 1000, int(rng.integers(1, 4)))
        if alt == ref:
            alt = "A" + ref
        changed = (text[:20] + alt + text[20 + n_ref :])[:40]
        if number % 5:
            yield text[:40], ref, alt, changed
        else:
            yield changed, alt, ref, text[:40]


def test_changes_are_those_of_a_slow_scan() -> None:
    changes = MotifChanges.read(meme(first=FIRST, second=SECOND))
    limits = {motif.name: motif.threshold for motif in changes._motifs}
    rows = list(cases())
    variants = [Variant(i, i, "c", "c", 1000, ".", ref, alt, None) for i, (_, ref, alt, _) in enumerate(rows)]
    before, after = (np.stack([encode(row[place]) for row in rows]) for place in (0, 3))
    found = changes.columns(variants, before, after, "right")
    seen = set()
    for place, (letters, ref, alt, changed) in enumerate(rows):
        expected = []
        for name, counts in (("first", FIRST), ("second", SECOND)):
            old, new = best(counts, letters, 20, len(ref)), best(counts, changed, 20, len(alt))
            if (old >= limits[name]) != (new >= limits[name]):
                expected.append((abs(new - old), name, "made" if new > old else "broken", old, new))
        _, name, kind, old, new = max(expected, default=(0, ".", ".", np.nan, np.nan))
        assert (found["motif"][place], found["motif_change"][place]) == (name, kind)
        seen.add((name, kind))
        if kind != ".":
            assert float(found["motif_ref_score"][place]) == pytest.approx(old, rel=1e-3)
            assert float(found["motif_alt_score"][place]) == pytest.approx(new, rel=1e-3)
        else:
            assert np.isnan(found["motif_ref_score"][place])
    kinds = {(name, kind) for name in ("first", "second") for kind in ("made", "broken")}
    assert seen == kinds | {(".", ".")}


def test_meme_and_jaspar_give_the_same_motifs() -> None:
    of_meme, of_jaspar = MotifChanges.read(meme(first=FIRST)), MotifChanges.read(jaspar(first=FIRST))
    (one,), (other,) = of_meme._motifs, of_jaspar._motifs
    np.testing.assert_allclose(one.log_odds, other.log_odds)
    np.testing.assert_allclose(one.log_odds.T, log_odds(FIRST), atol=1e-9)
    assert one.threshold == pytest.approx(threshold(FIRST), abs=0.05)
    assert (one.name, other.name) == ("first", "MA0001.1 first")


@pytest.mark.parametrize("width", range(4, 9))
def test_thresholds_are_those_of_all_words(width: int) -> None:
    """Up to six bases, even the best word is more frequent than the limit."""
    counts = np.random.default_rng(width).dirichlet([0.5] * 4, width) * 100
    found = match_threshold(log_odds(counts).T)
    assert found == pytest.approx(threshold(counts), abs=0.05)
    assert found <= log_odds(counts).max(1).sum()


def test_positions_without_a_base_match_nothing() -> None:
    changes = MotifChanges.read(meme(second=SECOND))
    variant = Variant(0, 1, "c", "c", 100, ".", "C", "A", None)
    letters = "A" * 17 + "NCCCCCC" + "A" * 16
    before, after = (encode(text)[None] for text in (letters, letters[:20] + "A" + letters[21:]))
    assert changes.columns([variant], before, after, "right")["motif_change"] == ["."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("hello\n", "is neither MEME"),
        (">MA1 x\nA [ 1 2 ]\n", "is damaged"),
        ("MEME version 4\n", "holds no motifs"),
        (MEME.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY"), "it has to be ACGT"),
        (MEME + "MOTIF x\nletter-probability matrix: alength= 4 w= 0\n\n", "m is damaged"),
        (">MA1 x\nA [ nan 1 ]\nC [ 1 1 ]\nG [ 1 1 ]\nT [ 1 1 ]\n", "are no frequencies"),
    ],
)
def test_files_that_hold_no_motifs(text: str, message: str) -> None:
    Path("m").write_text(text)
    with pytest.raises(UserError) as error:
        MotifChanges.read(Path("m"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# ---- the example


def planted() -> list[tuple[str, int, str, str, str]]:
    """A variant in the core of each planted motif: sequence, 0-based position, motif, REF and ALT."""
    letters = {}
    for line in (EXAMPLES / "sequences.fa").read_text().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
        else:
            letters[name] = line
    cores = {"GATA": "GATA", "TAL1": "CATCTG"}
    found = []
    for line in (EXAMPLES / "planted_motifs.bed").read_text().splitlines():
        chrom, start, end, motif, _, strand = line.split()
        core = cores[motif] if strand == "+" else reverse_complement(cores[motif])
        place = letters[chrom].find(core, int(start), int(end))
        if place >= 0:
            position = place + (1 if strand == "+" else len(core) - 2)
            ref = letters[chrom][position]
            found.append((chrom, position, motif, ref, "ACGT"["CATG".index(ref)]))
    Path("g.fa").write_text("".join(f">{name}\n{text}\n" for name, text in letters.items()))
    return found


def run(*options: object) -> Outcome:
    words = ["-m", EXAMPLES / "tal1_gata.onnx", "-g", "g.fa", "--vcf", "v.vcf", "--edge", "pad"]
    return deeplift("variants", *words, "-o", "v_{target}.h5", "--threads", 1, *options)


def test_the_motifs_of_the_example_are_those_of_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import simulation

    with (EXAMPLES / "tal1_gata.jaspar").open() as file:
        found = motifs.parse(file, "jaspar")
    assert [(motif.matrix_id, motif.name) for motif in found] == [("MA0035.3", "GATA"), ("MA0091.1", "TAL1")]
    for motif in found:
        counts = np.array([motif.counts[base] for base in BASES]).T
        np.testing.assert_array_equal(counts, simulation.MOTIFS[motif.name])


def test_a_variant_that_breaks_a_planted_motif_lowers_the_output_of_its_target() -> None:
    """Targets of the example: 1 GATA, 2 TAL1."""
    variants = planted()[::2]
    rows = ["\t".join([chrom, str(position + 1), *rest]) for chrom, position, *rest in variants]
    Path("v.vcf").write_text(HEAD + "".join(f"{row}\t.\t.\t.\n" for row in rows))
    outcome = run(
        "--target",
        "1,2",
        "--tsv",
        "v_{target}.tsv",
        "--n-references",
        2,
        "--motifs",
        EXAMPLES / "tal1_gata.jaspar",
    )
    assert outcome.code == 0, outcome.err
    tables = []
    for target in (1, 2):
        with open(f"v_{target}.tsv", newline="") as file:
            tables.append(list(csv.DictReader(file, delimiter="\t")))
    names = [motif for _, _, motif, _, _ in variants]
    assert min(names.count("GATA"), names.count("TAL1")) > 20
    for place, name in enumerate(names):
        own, other = (1, 0) if name == "TAL1" else (0, 1)
        effect = float(tables[own][place]["effect"])
        assert effect < 0
        assert float(tables[own][place]["nearby_difference"]) < 0
        assert abs(float(tables[other][place]["effect"])) < abs(effect)
    broken = [row["motif"].split()[-1] if row["motif_change"] == "broken" else "" for row in tables[0]]
    assert np.mean([found == name for found, name in zip(broken, names, strict=True)]) > 0.8
