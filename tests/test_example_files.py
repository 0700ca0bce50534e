"""The committed example: reproduced from its seed, good enough to explain, measured by its own scripts."""

import importlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch

from deeplift_cli.main import run as deeplift

ort = pytest.importorskip("onnxruntime")
onnx2torch = pytest.importorskip("onnx2torch")

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))
auroc = importlib.import_module("auroc").auroc
scored = importlib.import_module("scored")
share = importlib.import_module("share")
simulation = importlib.import_module("simulation")
train = importlib.import_module("train")

MODEL, FASTA, BED = (EXAMPLES / name for name in ("tal1_gata.onnx", "sequences.fa", "planted_motifs.bed"))
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def sequences():
    """{name: letters} of the committed FASTA, read without the example's own code."""
    lines = FASTA.read_text().splitlines()
    return {name.removeprefix(">"): letters for name, letters in zip(lines[::2], lines[1::2], strict=True)}


@pytest.fixture(scope="module")
def motifs():
    """[(name, start, end, motif, strand)] of the committed BED, read without the example's own code."""
    rows = [line.split("\t") for line in BED.read_text().splitlines()]
    assert {len(row) for row in rows} == {6}
    assert {row[4] for row in rows} == {"0"}
    return [(row[0], int(row[1]), int(row[2]), row[3], row[5]) for row in rows]


@pytest.fixture(scope="module")
def one_hot(sequences):
    eye = np.eye(4, dtype=np.float32)
    return np.stack([eye[["ACGT".index(base) for base in letters]].T for letters in sequences.values()])


@pytest.fixture(scope="module")
def predict():
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["probability"], {"sequence": x.astype(np.float32)})[0]


def logits(probability):
    probability = probability.astype(np.float64).clip(1e-7, 1 - 1e-7)
    return np.log(probability / (1 - probability))


# --- the simulation ---


def test_the_committed_sequences_and_motifs_come_from_the_seed(tmp_path):
    again = simulation.simulate(train.EXAMPLE, train.EXAMPLE_SEED)
    simulation.write_fasta(again, tmp_path / "sequences.fa")
    simulation.write_bed(again, tmp_path / "planted_motifs.bed")
    assert (tmp_path / "sequences.fa").read_bytes() == FASTA.read_bytes()
    assert (tmp_path / "planted_motifs.bed").read_bytes() == BED.read_bytes()


def test_draws_follow_the_raw_bits_of_pcg64():
    """The integer arithmetic, done again with Python's integers, which no platform or numpy can change."""
    raw = [int(bits) for bits in np.random.PCG64(9).random_raw(1000)]
    expected = []
    for bits in raw:
        point = ((bits >> 32) * 10) >> 32
        expected.append(0 if point < 3 else 1 if point < 5 else 2 if point < 7 else 3)
    assert simulation.Stream(9).choices((3, 2, 2, 3), 1000).tolist() == expected


def test_records_are_what_their_names_say(sequences, motifs):
    assert len(sequences) == 100
    assert all(len(letters) == 200 and set(letters) == set("ACGT") for letters in sequences.values())
    wanted = {"both": {"GATA", "TAL1"}, "gata": {"GATA"}, "tal1": {"TAL1"}, "none": set()}
    names = list(sequences)
    assert [name.split("_")[0] for name in names] == [f"seq{i:03d}" for i in range(1, 101)]
    for name in names:
        here = [motif for motif in motifs if motif[0] == name]
        counts = {kind: sum(motif[3] == kind for motif in here) for kind in ("GATA", "TAL1")}
        assert {kind for kind, count in counts.items() if count} == wanted[name.split("_")[1]]
        assert max(counts.values()) <= 3
        assert all(left[2] <= right[1] for left, right in pairwise(here)), f"{name} overlaps or is unsorted"
    assert {motif[0] for motif in motifs} <= set(names)


def test_planted_positions_hold_the_motifs(sequences, motifs):
    """The bases that the matrices leave no choice about: GATA at 3 to 7, the A and T of the E-box CANNTG."""
    for name, start, end, motif, strand in motifs:
        letters = sequences[name][start:end]
        if strand == "-":
            letters = letters.translate(COMPLEMENT)[::-1]
        if motif == "GATA":
            assert end - start == 11
            assert letters[3:7] == "GATA"
        else:
            assert end - start == 12
            assert letters[5] + letters[8] == "AT"


def test_the_simulation_has_the_stated_frequencies():
    many = simulation.simulate(2000, 12)
    background = np.concatenate([s.bases for s in many if not s.planted])
    frequencies = np.bincount(background, minlength=4) / background.size
    np.testing.assert_allclose(frequencies, [0.3, 0.2, 0.2, 0.3], atol=0.005)
    instances = [len(s.planted) for s in many if len({p.motif for p in s.planted}) == 1]
    np.testing.assert_allclose(np.bincount(instances)[1:] / len(instances), [3 / 8, 3 / 8, 2 / 8], atol=0.04)
    planted = [p for s in many for p in s.planted]
    assert abs(np.mean([p.strand == "+" for p in planted]) - 0.5) < 0.03
    assert abs(np.mean([(p.start + p.end) / 2 for p in planted]) - 100) < 3
    counts = np.zeros((11, 4))
    for sequence in many:
        for p in sequence.planted:
            if p.motif == "GATA":
                bases = sequence.bases[p.start : p.end]
                counts[np.arange(11), bases if p.strand == "+" else 3 - bases[::-1]] += 1
    matrix = simulation.MOTIFS["GATA"]
    np.testing.assert_allclose(counts / counts[0].sum(), matrix / matrix[0].sum(), atol=0.04)


def test_labels_are_both_gata_tal1():
    both, gata, tal1, none = simulation.simulate(4, 1)
    assert [s.labels for s in (both, gata, tal1, none)] == [
        [True, True, True],
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]


# --- the model ---


def test_the_model_file_is_small_and_stands_alone():
    assert MODEL.stat().st_size <= 300_000
    content = MODEL.read_bytes()
    for trace in (str(ROOT), str(Path.home()), sys.prefix, ".py", "site-packages"):
        assert trace.encode() not in content
    model = onnx.load(MODEL, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert model.graph.node[-1].op_type == "Sigmoid"


def test_the_model_takes_any_batch_of_200_bp():
    graph = onnx.load(MODEL).graph
    (x,), (y,) = graph.input, graph.output
    assert (x.name, y.name) == ("sequence", "probability")
    x_dims, y_dims = ([d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (x, y))
    assert x_dims == ["N", 4, 200]
    assert y_dims == ["N", 3]


def test_onnx2torch_reads_the_model_as_it_is(predict, one_hot):
    converted = onnx2torch.convert(str(MODEL)).eval()
    for rows in (1, 7):
        with torch.no_grad():
            found = converted(torch.from_numpy(one_hot[:rows])).numpy()
        np.testing.assert_allclose(found, predict(one_hot[:rows]), atol=1e-6)


def test_the_training_script_exports_the_same_graph(tmp_path):
    train.export(train.Net().eval(), tmp_path / "fresh.onnx")
    fresh, committed = onnx.load(tmp_path / "fresh.onnx").graph, onnx.load(MODEL).graph
    assert [node.op_type for node in fresh.node] == [node.op_type for node in committed.node]
    shapes = [[(t.name, list(t.dims)) for t in graph.initializer] for graph in (fresh, committed)]
    assert shapes[0] == shapes[1]


def test_the_model_is_good_on_every_task(predict, sequences, one_hot):
    probability = predict(one_hot)
    kinds = np.array([name.split("_")[1] for name in sequences])
    for task, positive in enumerate(
        (kinds == "both", np.isin(kinds, ("both", "gata")), np.isin(kinds, ("both", "tal1")))
    ):
        assert auroc(probability[:, task], positive) > 0.9


@pytest.fixture(scope="module")
def mutagenesis(predict, sequences, one_hot, tmp_path_factory):
    """In-silico mutagenesis of the first task in the layout of a scores.h5, for the first 12 sequences."""
    x = one_hot[:12]
    effects = np.zeros((12, 200))
    for row, observed in enumerate(x):
        mutants = np.tile(observed, (200, 4, 1, 1))
        for position in range(200):
            mutants[position, :, :, position] = np.eye(4)
        values = logits(predict(mutants.reshape(800, 4, 200))[:, 0]).reshape(200, 4)
        effects[row] = (values * observed.T).sum(1) - (values * (1 - observed.T)).sum(1) / 3
    path = tmp_path_factory.mktemp("scores") / "scores.h5"
    write_scores(path, x, effects, list(sequences)[:12])
    return path


def write_scores(path, one_hot, contributions, names, chroms=None, starts=None):
    with h5py.File(path, "w") as file:
        file["raw/seq"] = one_hot.astype(np.int8)
        file["projected_shap/seq"] = (one_hot * contributions[:, None]).astype(np.float32)
        text = h5py.string_dtype()
        file.create_dataset("regions/name", data=names, dtype=text)
        file.create_dataset("regions/chrom", data=chroms or names, dtype=text)
        file["regions/start"] = np.array(starts or [0] * len(names), dtype=np.int64)


def test_mutagenesis_of_the_model_sits_on_the_motifs(mutagenesis):
    """What any attribution method should find: it is in the model."""
    scores = scored.read_scores(mutagenesis)
    mask, groups = share.planted_positions(scores, scored.read_planted(BED))
    both = groups == "GATA+TAL1"
    effects = scores.contributions[both]
    assert both.sum() == 3
    assert np.abs(effects)[mask[both]].sum() > 0.8 * np.abs(effects).sum()
    assert auroc(np.abs(effects).ravel(), mask[both].ravel()) > 0.85


# --- share.py ---


def test_auroc_counts_pairs():
    random = np.random.default_rng(3)
    scores, positive = random.integers(0, 6, 60), random.random(60) < 0.4
    pairs = [np.sign(p - n) / 2 + 0.5 for p in scores[positive] for n in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(auroc(scores, np.ones(60, dtype=bool)))


@pytest.fixture
def small(tmp_path):
    """Three windows of 10 bp on a chromosome, two with motifs, one of which begins before its window."""
    one_hot = np.tile(np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]].T, (3, 1, 1))
    contributions = np.zeros((3, 10))
    contributions[0] = [4, 2, -2, 0, 0, 0, 0, 0, 1, -1]
    contributions[1, 5] = 3
    contributions[2, 0] = 7
    names = ["first", "second", "third"]
    write_scores(tmp_path / "s.h5", one_hot, contributions, names, ["chr1"] * 3, [100, 200, 300])
    bed = "track name=x\nchr1\t95\t103\tX\t0\t+\nchr1\t205\t207\tY\n\nchr2\t300\t305\tX\n"
    (tmp_path / "m.bed").write_text(bed)
    return tmp_path / "s.h5", tmp_path / "m.bed"


def test_shares_of_a_hand_made_file(small):
    lines = share.share_table(*small).splitlines()
    rows = {line.split("  ")[0]: line.split()[-7:] for line in lines[1:]}
    # first: 3 of 10 positions; |4|+|2|+|-2| of 10 in all; 4 + 2 of 7; the three beat 8 others but for one tie
    assert rows["X"] == ["1", "30.0%", "80.0%", "2.7x", "85.7%", "2.9x", "1.000"]
    assert rows["Y"] == ["1", "20.0%", "100.0%", "5.0x", "100.0%", "5.0x", "0.750"]
    assert rows["none"] == ["1", "0.0%", "-", "-", "-", "-", "-"]
    assert rows["all with motifs"][:3] == ["2", "25.0%", f"{11 / 13:.1%}"]


def run(script, *arguments):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)


def test_share_runs_from_the_command_line(small):
    done = run("share.py", *small)
    assert done.returncode == 0
    assert done.stdout.rstrip("\n") == share.share_table(*small)
    assert done.stderr == ""


def assert_one_line(error, *words):
    assert isinstance(error.code, str), "a text: the interpreter prints it and exits with 1"
    assert "\n" not in error.code
    for word in words:
        assert word in error.code


@pytest.mark.parametrize(
    ("h5", "bed", "words"),
    [
        ("none.h5", "m.bed", ["no such file", "none.h5"]),
        ("s.h5", "none.bed", ["no such file", "none.bed"]),
        ("m.bed", "m.bed", ["not a readable HDF5 file"]),
        ("other.h5", "m.bed", ["not a file of scores"]),
        ("s.h5", "empty.bed", ["empty.bed", "no planted motifs"]),
        ("s.h5", "broken.bed", ["broken.bed, line 2", "not a BED line"]),
        ("s.h5", "backwards.bed", ["backwards.bed, line 1"]),
        ("s.h5", "elsewhere.bed", ["no planted motif lies in a scored window", "chr9", "chr1"]),
    ],
)
def test_share_says_in_one_line_what_is_wrong(small, monkeypatch, h5, bed, words):
    folder = small[0].parent
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = [1]
    (folder / "empty.bed").write_text("")
    (folder / "broken.bed").write_text("chr1\t1\t2\nchr1 5 7\n")
    (folder / "backwards.bed").write_text("chr1\t7\t5\n")
    (folder / "elsewhere.bed").write_text("chr9\t1\t5\n")
    monkeypatch.setattr(sys, "argv", ["share.py", str(folder / h5), str(folder / bed)])
    with pytest.raises(SystemExit) as caught:
        share.main()
    assert_one_line(caught.value, "share.py: ", *words)


def test_bfloat16_scores_correlate_with_those_in_float32(tmp_path):
    """Contributions of the observed bases, sequence by sequence, on a trained model."""
    found = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / f"{precision}.h5"
        files = ["-m", str(MODEL), "-f", str(FASTA), "-o", str(out)]
        assert deeplift(["score", *files, "--precision", precision, "--compile", "off", "--quiet"]) == 0
        with h5py.File(out) as file:
            found[precision] = file["projected_shap/seq"][:].sum(1)
    correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(*found.values(), strict=True)]
    assert min(correlations) >= 0.999
    assert np.median(correlations) >= 0.9999
