"""What `deeplift score` writes, against scores computed by hand from the same references."""

import json
from collections import Counter
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pybigtools
import pytest
import torch
from small_models import (
    LENGTH,
    MODELS,
    Net,
    Sigmoid,
    deeplift,
    encode,
    onnx_file,
    pickled,
    random_letters,
    reverse_complement,
    score,
    torchscript,
    write_fasta,
)

from deeplift_core import DeepLift
from deeplift_core.accuracy.completeness import TOLERANCE

LETTERS = [random_letters(seed) for seed in range(5)]
FEW = ("--n-references", 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLIFT_CACHE", str(tmp_path / "cache"))
    write_fasta(Path("in.fa"), LETTERS)
    return tmp_path


def read(path: str | Path = "out.h5") -> dict[str, np.ndarray]:
    """Every dataset of a score file, and its attributes as "@name"."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {})
        )
        found |= {f"@{name}": value for name, value in file.attrs.items()}
    return found


def hypothetical(*options: object, model: Path | None = None, fasta: str = "in.fa") -> np.ndarray:
    few = () if {"--n-references", "--n-shuffles"} & {*options} else FEW
    score("-m", model or torchscript("Net"), "-f", fasta, "-o", "out.h5", "--overwrite", *few, *options)
    return read()["shap/seq"]


def saved_references(path: str = "refs.h5") -> np.ndarray:
    with h5py.File(path) as file:
        return file["references"][()]


def by_hand(module, letters, references, target=0, **options):
    """The library on plain tensors, in batches of other sizes than the command's."""
    x = torch.tensor(np.stack([encode(text) for text in letters])).float()
    refs = torch.tensor(np.asarray(references)).float()
    return DeepLift(module.eval(), x, **options).attribute(x, refs, target)


def close(found: np.ndarray, expected: object, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(found, np.asarray(expected), rtol=0, atol=tolerance)


# ---- the file


def test_the_file_holds_what_the_library_computes_from_the_saved_references() -> None:
    score("-m", torchscript("Sigmoid"), "-f", "in.fa", "-o", "out.h5", "--target", 1, *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    found, references = read(), saved_references()
    expected = by_hand(Sigmoid(), LETTERS, references, target=1)
    observed = np.stack([encode(text) for text in LETTERS])
    assert references.shape == (5, 3, 4, LENGTH)
    close(found["shap/seq"], expected.hypothetical)
    close(found["projected_shap/seq"].sum(1), expected.contributions.sum(1))
    close(found["qc/output"], expected.output)
    close(found["qc/reference_output"], expected.reference_output)
    close(found["qc/prediction"], torch.sigmoid(expected.output))
    np.testing.assert_array_equal(found["raw/seq"], observed)
    np.testing.assert_array_equal(found["projected_shap/seq"], found["shap/seq"] * observed)
    assert (found["qc/identical_references"] == 0).all()


def test_sums_agree_with_the_quality_columns() -> None:
    hypothetical("--save-references", "refs.h5")
    found = read()
    explained = found["qc/output"] - found["qc/reference_output"].mean(1)
    close(found["projected_shap/seq"].sum((1, 2)) - explained, found["qc/completeness_error"].mean(1), 2e-6)
    assert np.abs(found["qc/completeness_error"]).max() < 1e-5


def test_layout_version_1_as_modisco_and_finemo_read_it() -> None:
    hypothetical()
    with h5py.File("out.h5") as file:
        for name, kind in (("raw/seq", "i1"), ("shap/seq", "f4"), ("projected_shap/seq", "f4")):
            dataset = file[name]
            assert dataset.shape == (5, 4, LENGTH)
            assert dataset.dtype == np.dtype(kind)
            assert (dataset.compression, dataset.shuffle) == ("gzip", True)
        # modisco-lite cuts windows of the last axis and turns to [N, L, 4].
        middle = file["shap"]["seq"][:, :, 4:20].transpose(0, 2, 1)
        assert middle.shape == (5, 16, 4)
        assert set(file["regions"]) == {"chrom", "start", "end", "name", "strand", "index"}
        columns = {"prediction", "output", "reference_output", "completeness_error", "identical_references"}
        assert set(file["qc"]) == columns | {"rescored", "standard_error"}
        assert file["qc/reference_output"].shape == (5, 3)


def test_attributes_tell_the_run() -> None:
    hypothetical("--seed", 11, "--target", 1)
    found = read()
    assert found["@format"] == "deeplift-scores"
    assert found["@format_version"] == 1
    assert found["@seed"] == 11
    assert found["@target"] == 1
    assert found["@n_references"] == 3
    assert found["@reference"] == "dinucleotide"
    assert found["@model"] == str(torchscript("Net"))
    assert len(found["@model_sha256"]) == 64
    assert json.loads(found["@versions"])["torch"] == version("torch")


def test_regions_bed_and_skipped_of_a_genome() -> None:
    genome = random_letters(3, 300)
    write_fasta(Path("g.fa"), {"chr1": genome})
    Path("r.narrowPeak").write_text(
        "chr1\t100\t150\tpeak a\t9\t-\t1.5\t-1\t-1\t20\n"  # summit at 120
        "chr1\t290\t300\tend\t9\t+\t1.5\t-1\t-1\t-1\n"
        "chr7\t10\t50\tother\t9\t+\t1.5\t-1\t-1\t-1\n"
        "chr1\t40\t61\tmiddle\t9\t.\t1.5\t-1\t-1\t-1\n"  # midpoint 50
    )
    score("-m", onnx_file(), "-g", "g.fa", "--peaks", "r.narrowPeak", "-o", "out.h5", *FEW)
    found = read()
    assert found["regions/chrom"].tolist() == [b"chr1", b"chr1"]
    assert found["regions/start"].tolist() == [108, 38]
    assert found["regions/end"].tolist() == [132, 62]
    assert found["regions/name"].tolist() == [b"peak a", b"middle"]
    assert found["regions/strand"].tolist() == [b"-", b"."]
    assert found["regions/index"].tolist() == [0, 3]
    for row, start in enumerate((108, 38)):
        np.testing.assert_array_equal(found["raw/seq"][row], encode(genome[start : start + LENGTH]))
    bed = [line.split("\t") for line in Path("out.bed").read_text().splitlines()]
    assert [line[:4] + line[5:6] + line[9:] for line in bed] == [
        ["chr1", "108", "132", "peak a", "-", "12"], ["chr1", "38", "62", "middle", ".", "12"],
    ]  # fmt: skip
    close([float(line[6]) for line in bed], found["qc/output"], 1e-5)
    skipped = [line.split("\t") for line in Path("out.skipped.tsv").read_text().splitlines()]
    assert [line[:3] for line in skipped] == [
        ["index", "line", "name"],
        ["1", "2", "end"],
        ["2", "3", "other"],
    ]
    assert "300 bp" in skipped[1][3]
    assert "chr7" in skipped[2][3]


# ---- rules and targets


@pytest.mark.parametrize(
    "rule", ["genomics-default", "rescale", "revealcancel", "revealcancel-positive-first", "gradient",
             "integrated-gradients", "integrated-gradients:3"],
)  # fmt: skip
def test_each_rule_is_the_one_that_is_asked_for(rule: str) -> None:
    found = hypothetical("--rule", rule, "--save-references", "refs.h5")
    close(found, by_hand(Net(), LETTERS, saved_references(), rule=rule).hypothetical)


def test_rules_differ() -> None:
    rules = ["genomics-default", "rescale", "revealcancel", "gradient", "integrated-gradients:3"]
    all_scores = [hypothetical("--rule", rule) for rule in rules]
    for i, one in enumerate(all_scores):
        assert all(np.abs(one - other).max() > 1e-4 for other in all_scores[i + 1 :])


def test_layer_rules_go_to_the_layers_that_they_name() -> None:
    options = ("--allow-pickle", "--layer-rule", "sec*=rescale", "--layer-rule", "first=revealcancel")
    found = hypothetical(*options, "--save-references", "refs.h5", model=pickled())
    rules = {"sec*": "rescale", "first": "revealcancel"}
    close(found, by_hand(Net(), LETTERS, saved_references(), layer_rules=rules).hypothetical)
    assert np.abs(found - hypothetical()).max() > 1e-4


def test_several_targets_make_one_file_each() -> None:
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "t{target}.h5", "--target", "1,0", *FEW)
    for target in (0, 1):
        np.testing.assert_array_equal(read(f"t{target}.h5")["shap/seq"], hypothetical("--target", target))
        assert Path(f"t{target}.bed").exists()
        assert Path(f"t{target}.skipped.tsv").exists()


def test_elements_of_an_output_with_more_axes() -> None:
    options = ("--target", "(2,1),(0,0)", "-o", "p_{target}.h5", *FEW, "--save-references", "refs.h5")
    score("-m", torchscript("Profile"), "-f", "in.fa", *options)
    for target in ((2, 1), (0, 0)):
        expected = by_hand(MODELS["Profile"](), LETTERS, saved_references(), target).hypothetical
        close(read(f"p_{target[0]}-{target[1]}.h5")["shap/seq"], expected)


def test_a_single_target_fills_in_its_name_too() -> None:
    score("-m", torchscript("Scalar"), "-f", "in.fa", "-o", "{target}.h5", *FEW)
    np.testing.assert_array_equal(read("0.h5")["shap/seq"], hypothetical())


def test_an_output_by_place_and_by_name() -> None:
    """The second of TwoOutputs is 2 * first + 1; the small ONNX model names its outputs."""
    close(hypothetical("--output", 1, model=torchscript("TwoOutputs")), 2 * hypothetical(), 3e-6)
    logit, probability = (
        hypothetical("--output", name, model=onnx_file()) for name in ("logit", "probability")
    )
    close(logit, hypothetical(model=torchscript("Sigmoid")), 2e-6)
    close(probability, logit)  # explained is its logit
    assert np.abs(read()["qc/prediction"] - read()["qc/output"]).max() > 1e-3


def test_no_logits_explains_the_probability() -> None:
    found = hypothetical("--no-logits", "--save-references", "refs.h5", model=torchscript("Sigmoid"))
    close(found, by_hand(Sigmoid(), LETTERS, saved_references(), logits=False).hypothetical)
    np.testing.assert_array_equal(read()["qc/output"], read()["qc/prediction"])


def test_no_centre_leaves_softmax_logits_as_they_are() -> None:
    softmax = MODELS["Softmax"]()
    for option, centre in (("--centre", True), ("--no-centre", False)):
        found = hypothetical(option, "--save-references", "refs.h5", model=torchscript("Softmax"))
        close(found, by_hand(softmax, LETTERS, saved_references(), centre=centre).hypothetical)
    three = [hypothetical("--target", k, model=torchscript("Softmax")) for k in range(3)]
    close(sum(three), np.zeros_like(three[0]), 3e-6)


# ---- references


def rows_of(array: np.ndarray) -> list[str]:
    """One-hot [R, 4, L] as letters."""
    return ["".join("ACGTN"[np.append(column, 0.5).argmax()] for column in one.T) for one in array]


def test_dinucleotide_shuffles_keep_dinucleotides_and_ends() -> None:
    hypothetical("--save-references", "refs.h5")
    for letters, references in zip(LETTERS, saved_references(), strict=True):
        for shuffled in rows_of(references):
            assert Counter(pairwise(shuffled)) == Counter(pairwise(letters))
            assert (shuffled[0], shuffled[-1]) == (letters[0], letters[-1])


def test_mononucleotide_shuffles_keep_bases() -> None:
    hypothetical("--reference", "mononucleotide", "--save-references", "refs.h5")
    for letters, references in zip(LETTERS, saved_references(), strict=True):
        shuffles = rows_of(references)
        assert all(Counter(shuffled) == Counter(letters) for shuffled in shuffles)
        assert any(Counter(pairwise(shuffled)) != Counter(pairwise(letters)) for shuffled in shuffles)


def without_count(*options: object, model: str = "Net") -> np.ndarray:
    """As `hypothetical`, for references that decide by themselves how many they are."""
    score("-m", torchscript(model), "-f", "in.fa", "-o", "out.h5", "--overwrite", *options,
          "--save-references", "refs.h5")  # fmt: skip
    return read()["shap/seq"]


def test_frequencies_found_and_given() -> None:
    counts = Counter("".join(LETTERS))
    for options, expected in (
        ((), [counts[base] / (5 * LENGTH) for base in "ACGT"]),
        (("--frequencies", "auto"), [counts[base] / (5 * LENGTH) for base in "ACGT"]),
        (("--frequencies", "0.3,0.2,0.1,0.4"), [0.3, 0.2, 0.1, 0.4]),
    ):
        found = without_count("--reference", "frequency", *options)
        references = saved_references()
        assert references.shape == (1, 4, LENGTH)
        close(references[0], np.repeat([expected], LENGTH, axis=0).T, 1e-7)
        close(found, by_hand(Net(), LETTERS, references).hypothetical)
        assert read()["qc/reference_output"].shape == (5, 1)


def test_mean_and_zeros() -> None:
    found = without_count("--reference", "mean")
    close(saved_references()[0], np.mean([encode(text) for text in LETTERS], axis=0), 1e-7)
    close(found, by_hand(Net(), LETTERS, saved_references()).hypothetical)
    found = without_count("--reference", "zeros")
    assert not saved_references().any()
    close(found, by_hand(Net(), LETTERS, np.zeros((1, 4, LENGTH))).hypothetical)


def test_background_is_one_set_for_all() -> None:
    background = [random_letters(seed) for seed in range(50, 60)]
    write_fasta(
        Path("bg.fa"), [*background, "ACGT", "N" * LENGTH, background[0].lower(), background[0][:-1] + "N"]
    )
    found = hypothetical("--reference", "background:bg.fa", "--save-references", "refs.h5")
    references = saved_references()
    assert references.shape == (3, 4, LENGTH)
    assert set(rows_of(references)) <= set(background)
    close(found, by_hand(Net(), LETTERS, references).hypothetical)
    hypothetical("--reference", "background:bg.fa", "--save-references", "refs.h5", "--seed", 1)
    assert set(rows_of(saved_references())) != set(rows_of(references))
    hypothetical("--reference", "background:bg.fa", "--save-references", "refs.h5", "--n-references", 99)
    assert sorted(rows_of(saved_references())) == sorted([*background, background[0]])


@pytest.mark.parametrize("kind", ["dinucleotide", "mononucleotide", "background:in.fa", "frequency", "mean"])
def test_saved_references_give_the_same_bits(kind: str) -> None:
    first = without_count("--reference", kind)
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "again.h5", "--reference", "file:refs.h5")
    again = read("again.h5")
    np.testing.assert_array_equal(again["shap/seq"], first)
    np.testing.assert_array_equal(again["qc/reference_output"], read()["qc/reference_output"])


def test_saved_references_are_found_by_sequence() -> None:
    first = hypothetical("--save-references", "refs.h5")
    write_fasta(Path("turned.fa"), LETTERS[::-1])
    score("-m", torchscript("Net"), "-f", "turned.fa", "-o", "again.h5", "--reference", "file:refs.h5")
    close(read("again.h5")["shap/seq"][::-1], first)
    write_fasta(Path("more.fa"), [*LETTERS, random_letters(99)])
    outcome = deeplift("score", "-m", torchscript("Net"), "-f", "more.fa", "-o", "more.h5", "--reference",
                       "file:refs.h5")  # fmt: skip
    assert outcome.code == 0
    (line,) = Path("more.skipped.tsv").read_text().splitlines()[1:]
    assert line.startswith("5\t11\ts5\thas no references in refs.h5")
    assert len(read("more.h5")["shap/seq"]) == len(LETTERS)


def test_references_of_another_tool_go_with_records_in_order() -> None:
    """Plain [N, R, 4, L] of float64; record 2 is skipped, and keeps its place."""
    references = np.random.default_rng(0).dirichlet(np.ones(4), (6, 2, LENGTH)).swapaxes(2, 3)
    with h5py.File("theirs.h5", "w") as file:
        file["references"] = references
    write_fasta(Path("six.fa"), [LETTERS[0], "ACGT", *LETTERS[1:]])
    score("-m", torchscript("Net"), "-f", "six.fa", "-o", "out.h5", "--reference", "file:theirs.h5")
    expected = by_hand(Net(), LETTERS, references[[0, 2, 3, 4, 5]].astype(np.float32))
    close(read()["shap/seq"], expected.hypothetical)


def test_seed_and_number_of_references() -> None:
    again, other = hypothetical(), hypothetical("--seed", 1)
    np.testing.assert_array_equal(hypothetical(), again)
    assert np.abs(other - again).max() > 1e-4
    assert hypothetical("--n-shuffles", 1).shape == again.shape
    assert read()["qc/completeness_error"].shape == (5, 1)


def test_neither_order_nor_company_changes_a_score() -> None:
    alone = hypothetical()
    write_fasta(Path("other.fa"), [random_letters(77), *LETTERS[::-1], random_letters(78)])
    close(hypothetical(fasta="other.fa")[1:-1][::-1], alone)


def test_n_contributes_nothing_and_has_no_reference() -> None:
    holes = [f"NN{text[2:9]}NRN{text[12:]}" for text in LETTERS]
    write_fasta(Path("n.fa"), holes)
    absent = np.array([[letter not in "ACGT" for letter in text] for text in holes])
    for kind in ("dinucleotide", "mononucleotide", "frequency", "mean", "zeros", "background:in.fa"):
        score("-m", torchscript("Net"), "-f", "n.fa", "-o", "out.h5", "--overwrite", "--reference", kind)
        found = read()
        for name in ("raw/seq", "shap/seq", "projected_shap/seq"):
            assert not found[name].transpose(0, 2, 1)[absent].any(), (kind, name)
        assert np.abs(found["qc/completeness_error"]).max() < 1e-5
    score(
        "-m", torchscript("Net"), "-f", "n.fa", "-o", "out.h5", "--overwrite", "--save-references", "refs.h5"
    )
    assert not saved_references().transpose(0, 3, 1, 2)[absent].any()
    close(read()["shap/seq"], by_hand(Net(), holes, saved_references()).hypothetical)


def test_references_equal_to_their_sequence_are_counted() -> None:
    write_fasta(Path("same.fa"), ["A" * LENGTH, LETTERS[0], "C" * (LENGTH - 3) + "NNN"])
    outcome = score("-m", torchscript("Net"), "-f", "same.fa", "-o", "out.h5", *FEW)
    assert read()["qc/identical_references"].tolist() == [3, 0, 3]
    assert not read()["projected_shap/seq"][[0, 2]].any()
    assert "2 with references equal to themselves" in outcome.out


# ---- layouts


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("ChannelsTGCA", ("--alphabet", "TGCA")),
        ("ChannelsTGCA", ("--alphabet", "ugca", "--layout", "ncl")),
        ("ChannelsLast", ()),
        ("ChannelsLast", ("--layout", "nlc")),
        ("UnitThird", ("--layout", "nc1l")),
        ("UnitLast", ("--layout", "ncl1")),
        ("UnitLast", ()),
    ],
)
def test_the_same_network_in_another_layout_gives_the_same_scores(
    model: str, options: tuple[str, ...]
) -> None:
    close(hypothetical(*options, model=torchscript(model)), hypothetical())


def test_another_alphabet_is_not_ignored() -> None:
    assert np.abs(hypothetical("--alphabet", "TGCA") - hypothetical()).max() > 1e-3


# ---- strands


def test_rc_average_is_the_mean_of_both_strands() -> None:
    found = hypothetical("--rc-average", "--save-references", "refs.h5", model=torchscript("Sigmoid"))
    quality = read()
    references = saved_references()
    plus = by_hand(Sigmoid(), LETTERS, references)
    minus = by_hand(
        Sigmoid(), [reverse_complement(text) for text in LETTERS], references[..., ::-1, ::-1].copy()
    )
    close(found, (plus.hypothetical + minus.hypothetical.flip(1, 2)) / 2)
    close(quality["qc/output"], (plus.output + minus.output) / 2)
    close(quality["qc/prediction"], (torch.sigmoid(plus.output) + torch.sigmoid(minus.output)) / 2)
    close(quality["qc/reference_output"], (plus.reference_output + minus.reference_output) / 2)
    np.testing.assert_array_equal(quality["raw/seq"], [encode(text) for text in LETTERS])
    assert np.abs(quality["qc/completeness_error"]).max() < 1e-5


def sequences() -> torch.Tensor:
    return torch.from_numpy(np.stack([encode(letters) for letters in LETTERS])).float()


def expected_standard_errors(model: type[torch.nn.Module]) -> np.ndarray:
    """Of each observed base's contribution [N, L], written out from the pairs."""
    x, references = sequences(), torch.as_tensor(saved_references())
    pairs = DeepLift(model().eval(), x[:2]).attribute(x, references, per_reference=True)
    contributions = pairs.contributions.sum(2).double().numpy()
    return contributions.std(axis=1, ddof=1) / np.sqrt(contributions.shape[1])


def test_standard_errors_over_references() -> None:
    hypothetical("--standard-errors", "--save-references", "refs.h5")
    expected = expected_standard_errors(Net)
    found = read()
    assert found["standard_error/seq"].dtype == np.float32
    np.testing.assert_allclose(found["standard_error/seq"], expected, rtol=1e-4, atol=1e-7)
    rms = np.sqrt((expected**2).mean(1))
    np.testing.assert_allclose(found["qc/standard_error"], rms, rtol=1e-4)
    hypothetical()
    found = read()
    assert "standard_error/seq" not in found
    np.testing.assert_allclose(found["qc/standard_error"], rms, rtol=1e-4)
    hypothetical("--standard-errors", "--n-references", 1)
    assert not {"standard_error/seq", "qc/standard_error"} & set(read())


def test_standard_errors_of_both_strands_are_turned_back() -> None:
    """A model that reads one end only: the errors of the reverse complement are at the other end."""
    hypothetical("--standard-errors")
    forward = read()["standard_error/seq"]
    hypothetical("--standard-errors", "--rc-average", "--save-references", "refs.h5", "--overwrite")
    both = read()["standard_error/seq"]
    turned, behind = sequences().flip(-1, -2), torch.as_tensor(saved_references()).flip(-1, -2)
    pairs = DeepLift(Net().eval(), turned[:2]).attribute(turned, behind, per_reference=True)
    values = pairs.contributions.sum(2).double().numpy()
    backward = (values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]))[:, ::-1]
    np.testing.assert_allclose(both, (forward + backward) / 2, rtol=1e-4, atol=1e-7)


def test_pairs_that_were_scored_again_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    hypothetical()
    assert read()["qc/rescored"].tolist() == [0] * len(LETTERS)
    monkeypatch.setitem(TOLERANCE, torch.float32, 1e-8)  # float64 keeps it, float32 does not
    hypothetical()
    found = read()
    assert found["qc/rescored"].max() > 0
    assert found["qc/rescored"].dtype == np.int32
    assert (found["qc/rescored"] <= 3).all()


def test_rc_average_of_a_palindrome_is_symmetric() -> None:
    half = random_letters(3, LENGTH // 2)
    write_fasta(Path("palindrome.fa"), [half + reverse_complement(half)])
    options = ("--rc-average", "--reference", "frequency", "--frequencies", "0.3,0.2,0.2,0.3")
    score("-m", torchscript("Net"), "-f", "palindrome.fa", "-o", "out.h5", *options)
    found = read()["shap/seq"]
    close(found, found[:, ::-1, ::-1])


def genome_with_strands() -> str:
    genome = random_letters(4, 200)
    write_fasta(Path("g.fa"), {"chr1": genome})
    Path("r.bed").write_text("chr1\t20\t44\ta\t0\t+\nchr1\t100\t124\tb\t0\t-\nchr1\t60\t84\tc\t0\t.\n")
    return genome


def test_strand_aware_scores_the_minus_strand_and_turns_it_back() -> None:
    genome = genome_with_strands()
    score("-m", torchscript("AnyLength"), "-g", "g.fa", "-r", "r.bed", "-o", "out.h5", "--strand-aware", *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    found = read()
    windows = [genome[20:44], reverse_complement(genome[100:124]), genome[60:84]]
    expected = by_hand(MODELS["AnyLength"](), windows, saved_references()).hypothetical
    expected[1] = expected[1].flip(0, 1)
    close(found["shap/seq"], expected)
    np.testing.assert_array_equal(found["raw/seq"][1], encode(genome[100:124]))
    np.testing.assert_array_equal(found["projected_shap/seq"], found["shap/seq"] * found["raw/seq"])
    assert found["regions/strand"].tolist() == [b"+", b"-", b"."]


def test_without_strand_aware_the_genome_is_read_along() -> None:
    genome = genome_with_strands()
    score("-m", torchscript("AnyLength"), "-g", "g.fa", "-r", "r.bed", "-o", "out.h5", *FEW,
          "--save-references", "refs.h5")  # fmt: skip
    windows = [genome[20:44], genome[100:124], genome[60:84]]
    close(read()["shap/seq"], by_hand(MODELS["AnyLength"](), windows, saved_references()).hypothetical)


def test_a_fasta_name_that_says_minus_holds_the_reverse_complement() -> None:
    """As bedtools getfasta -s writes it: the rows run along the genome again."""
    names = {f"chr1:100-{100 + LENGTH}(-)": LETTERS[0], f"chr1:200-{200 + LENGTH}(+)": LETTERS[1]}
    write_fasta(Path("s.fa"), names)
    found = hypothetical("--save-references", "refs.h5", fasta="s.fa")
    expected = by_hand(Net(), LETTERS[:2], saved_references()).hypothetical
    close(found[0], expected[0].flip(0, 1))
    close(found[1], expected[1])
    np.testing.assert_array_equal(read()["raw/seq"][0], encode(reverse_complement(LETTERS[0])))
    assert read()["regions/start"].tolist() == [100, 200]
    assert read()["regions/strand"].tolist() == [b"-", b"+"]


# ---- bigWig


def bigwig_values(path: str, chrom: str, start: int, end: int) -> np.ndarray:
    with pybigtools.open(path) as file:
        return np.asarray(file.values(chrom, start, end, fillna=None))


@pytest.mark.parametrize("overlap", ["nearest-centre", "mean"])
def test_bigwig_of_overlapping_windows(overlap: str) -> None:
    write_fasta(Path("g.fa"), {"chr1": random_letters(4, 200)})
    Path("r.bed").write_text("chr1\t50\t74\nchr1\t60\t84\n")
    score("-m", torchscript("AnyLength"), "-g", "g.fa", "-r", "r.bed", "-o", "out.h5", "--bigwig", "out.bw",
          "--overlap", overlap, *FEW)  # fmt: skip
    first, second = read()["projected_shap/seq"].sum(1)
    if overlap == "mean":
        shared = (first[10:] + second[:14]) / 2
    else:  # centres 62 and 72, so from 67 on the second
        shared = np.concatenate([first[10:17], second[7:14]])
    close(bigwig_values("out.bw", "chr1", 50, 84), np.concatenate([first[:10], shared, second[14:]]), 1e-7)
    assert np.isnan(bigwig_values("out.bw", "chr1", 40, 50)).all()


def test_bigwig_of_fasta_records_for_several_targets() -> None:
    write_fasta(
        Path("c.fa"), {f"chr2:10-{10 + LENGTH}": LETTERS[0], f"chr2:100-{100 + LENGTH}(-)": LETTERS[1]}
    )
    Path("sizes").write_text("chr2\t150\n")
    score("-m", torchscript("Net"), "-f", "c.fa", "-o", "o{target}.h5", "--bigwig", "o{target}.bw", "-c",
          "sizes", "--target", "0,1", *FEW)  # fmt: skip
    for target in (0, 1):
        for row, start in enumerate((10, 100)):
            values = bigwig_values(f"o{target}.bw", "chr2", start, start + LENGTH)
            close(values, read(f"o{target}.h5")["projected_shap/seq"][row].sum(0), 1e-7)


# ---- how it is computed


def test_batch_size_changes_no_score() -> None:
    whole = hypothetical()
    for size in (1, 2, 4, 5, 6):
        found = hypothetical("--batch-size", size)
        close(found, whole)
        np.testing.assert_array_equal(hypothetical("--batch-size", size), found)
        assert read()["@batch_size"] == size
    hypothetical("--batch-size", "auto")
    assert read()["@batch_size"] >= 1


def test_models_that_need_batches_of_one() -> None:
    close(hypothetical(model=torchscript("BatchOfOne")), hypothetical())
    hypothetical(model=torchscript("DependsOnBatch"))
    assert read()["@batch_size"] == 1


def test_float64_is_more_exact() -> None:
    single = hypothetical()
    double = hypothetical("--precision", "float64")
    assert np.abs(read()["qc/completeness_error"]).max() < 1e-12
    close(double, single, 1e-5)
    assert read()["shap/seq"].dtype == np.float32


def test_threads_are_set() -> None:
    one, before = hypothetical("--threads", 1), torch.get_num_threads()
    assert before == 1
    two = hypothetical("--threads", 2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    close(two, one)


def test_one_sequence_and_one_reference() -> None:
    write_fasta(Path("one.fa"), LETTERS[:1])
    close(hypothetical(fasta="one.fa"), hypothetical()[:1])
    hypothetical("--n-references", 1, fasta="one.fa")
    assert read()["shap/seq"].shape == (1, 4, LENGTH)


def test_a_model_of_any_length_takes_that_of_the_records() -> None:
    model = torchscript("AnyLength")
    write_fasta(Path("longer.fa"), [letters + "A" for letters in LETTERS])
    for name, length in (("in", LENGTH), ("longer", LENGTH + 1)):
        outcome = score("-m", model, "-f", f"{name}.fa", "-o", "out.h5", "--save-references", "refs.h5",
                        "--overwrite")  # fmt: skip
        assert f"window              {length} bp\n" in outcome.out
        letters = [text + "A" * (length - LENGTH) for text in LETTERS]
        close(read()["shap/seq"], by_hand(MODELS["AnyLength"](), letters, saved_references()).hypothetical)


def test_an_output_that_does_not_change_has_scores_of_zero() -> None:
    assert not hypothetical(model=torchscript("Indifferent")).any()
    assert not read()["qc/completeness_error"].any()


# ---- what the user sees


def test_summary_on_stdout_and_notes_on_stderr() -> None:
    write_fasta(Path("mixed.fa"), [*LETTERS, "ACGT"])
    outcome = score("-m", torchscript("Net"), "-f", "mixed.fa", "-o", "out.h5", *FEW)
    assert outcome.err == ""
    assert "sequences scored    5\n" in outcome.out
    assert "skipped             1\n" in outcome.out
    assert f"s5 (line 11) is 4 bp long; the model takes {LENGTH} bp" in outcome.out
    assert "all within 1e-04" in outcome.out
    assert "sequences per second" in outcome.out
    assert {"out.h5", "out.bed", "out.skipped.tsv"} <= set(outcome.out.split())


def test_quiet_says_nothing_and_verbose_says_more() -> None:
    arguments = ("-m", torchscript("Net"), "-f", "in.fa", "-o", "out.h5", "--overwrite", *FEW)
    quiet = score(*arguments, "-q")
    assert quiet.out + quiet.err == ""
    verbose = score(*arguments, "-v")
    for word in ("torchscript", "layout ncl", f"{LENGTH} bp", "batches of", "revealcancel 1"):
        assert word in verbose.err


def test_max_completeness_error_is_exit_code_3_with_the_files_written() -> None:
    arguments = ("-m", torchscript("Net"), "-f", "in.fa", "--rule", "gradient", *FEW)
    outcome = deeplift("score", *arguments, "-o", "out.h5", "--max-completeness-error", 1e-3)
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert "in 5 of 5 sequences" in outcome.err
    assert read()["shap/seq"].shape == (5, 4, LENGTH)
    assert Path("out.bed").exists()
    assert deeplift("score", *arguments, "-o", "b.h5", "--max-completeness-error", 1e9).code == 0
    # A warning only where the user set no limit; none where the rule does not promise the sum.
    assert score(*arguments, "-o", "c.h5").err == ""


def test_overwrite_replaces_all_three_files() -> None:
    hypothetical()
    write_fasta(Path("two.fa"), LETTERS[:2])
    score("-m", torchscript("Net"), "-f", "two.fa", "-o", "out.h5", "--overwrite")
    assert read()["raw/seq"].shape[0] == len(Path("out.bed").read_text().splitlines()) == 2


def test_allow_pickle_reads_what_is_else_refused() -> None:
    close(hypothetical("--allow-pickle", model=pickled()), hypothetical())


def test_paths_of_any_kind() -> None:
    Path("a b/ünï [red]").mkdir(parents=True)
    out = Path("a b/ünï [red]/:smile: {x} " + "y" * 120 + ".h5")
    write_fasta(Path("a b/sé quence.fa"), LETTERS)
    outcome = score("-m", torchscript("Net"), "-f", "a b/sé quence.fa", "-o", out)
    assert str(out) in outcome.out
    assert read(out)["@fasta"] == "a b/sé quence.fa"
    Path("link.h5").symlink_to("target.h5")
    score("-m", torchscript("Net"), "-f", "in.fa", "-o", "link.h5")
    np.testing.assert_array_equal(read("link.h5")["raw/seq"], read(out)["raw/seq"])


def test_bytes_that_are_no_text_in_a_path_do_no_harm() -> None:
    name = b"s\xff.fa".decode(errors="surrogateescape")
    write_fasta(Path(name), LETTERS)
    score("-m", torchscript("Net"), "-f", name, "-o", "out.h5")
    assert read()["@fasta"] == "s\\udcff.fa"
