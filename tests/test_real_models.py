"""The real command on real models and real DNA: the facts that `benchmarks/real_models.py` measures.

Floors stand a few percent below what was measured (docs/real-models.md).
"""

import importlib
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from promised import PROMISED

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
real = importlib.import_module("real_models")

# Those of the benchmark that take seconds; for the slower fewer references, whose scores are noisier.
CASES = {case.model: case for case in reversed(real.CASES) if case.perturb}
FEWER = {"deepkingnet_200bp": ("--n-references", "5"), "janggu_oct4_mafk": ("--n-references", "8")}
MODELS = list(CASES)
DONOR, ACCEPTOR, JANGGU = "mmsplice_donor", "mmsplice_acceptor", "janggu_oct4_mafk"


@pytest.fixture(scope="module")
def scored(shared, tmp_path_factory):
    """Function (model, rule, precision) -> scores; every run is made once."""

    @cache
    def run(model, rule, precision="float32"):
        folder = tmp_path_factory.mktemp("real")
        return real.score(CASES[model], shared, folder, rule, precision, FEWER.get(model, ()))

    before = torch.get_num_threads()
    yield run
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def logit(shared):
    """Function from a model's name to onnxruntime's logits of it."""
    return cache(lambda model: real.logit_function(real.model_path(CASES[model], shared)))


# ---- summation-to-delta


@pytest.mark.parametrize("rule", real.RULES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_contributions_sum_to_delta(scored, model, precision, rule):
    errors = real.relative_errors(scored(model, rule, precision))
    assert errors.size >= 200
    assert errors.max() <= PROMISED[getattr(torch, precision)]


@pytest.mark.parametrize("model", MODELS)
def test_stored_contributions_sum_to_the_delta_that_onnxruntime_sees(scored, logit, model):
    assert real.outside_errors(scored(model, real.RULES[0]), logit(model)).max() <= 1e-5


@pytest.mark.parametrize("model", MODELS)
def test_the_explained_output_is_the_logit(scored, logit, model):
    scores = scored(model, "rescale")
    np.testing.assert_allclose(scores.output, logit(model)(scores.sequences), rtol=1e-4, atol=1e-5)


def test_precisions_agree_and_rules_differ_where_a_dense_layer_is_hidden(scored):
    for model in MODELS:
        single, double, rescale = (
            scored(model, *run).hypothetical
            for run in ((real.RULES[0],), (real.RULES[0], "float64"), ("rescale",))
        )
        assert np.abs(single - double).max() <= 1e-4 * np.abs(double).max()
        # The acceptor model has no hidden dense layer: Rescale is its default everywhere.
        assert np.array_equal(single, rescale) == (model == ACCEPTOR)


def correlations_of_bfloat16(case, shared, folder):
    """With float32, of the contributions of the observed bases: one for each sequence."""
    found = [
        real.score(case, shared, folder, real.RULES[0], precision).observed
        for precision in ("float32", "bfloat16")
    ]
    return real.correlations(*found)


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_follows_float32(shared, tmp_path, model):
    found = correlations_of_bfloat16(CASES[model], shared, tmp_path)
    assert found.min() >= 0.999
    assert np.median(found) >= 0.9999


def test_bfloat16_is_noisier_on_other_sequences_than_a_model_is_for(shared, tmp_path):
    """A model of MafK on peaks of CTCF: what docs/performance.md says of them."""
    (case,) = (case for case in real.CASES if case.model == JANGGU and not case.perturb)
    found = correlations_of_bfloat16(case, shared, tmp_path)
    assert found.min() >= 0.98
    assert np.median(found) >= 0.998


# ---- the bases that matter


@pytest.fixture(scope="module")
def mutagenesis(scored, logit):
    """Function from a model's name to in-silico mutagenesis of its first 16 sequences."""
    return cache(lambda model: real.mutagenesis(logit(model), scored(model, "rescale").sequences[:16]))


@pytest.mark.parametrize(
    ("model", "rule", "floor", "first"),
    [
        (ACCEPTOR, "genomics-default", 0.999, 0.99),
        (ACCEPTOR, "rescale", 0.999, 0.99),
        (DONOR, "genomics-default", 0.83, 0.75),
        (DONOR, "rescale", 0.95, 0.94),
    ],
)
def test_the_splice_site_ranks_above_the_same_bases_elsewhere(scored, model, rule, floor, first):
    scores = scored(model, rule)
    ranks = real.rank_site(scores.sequences, scores.observed, CASES[model].site)
    assert ranks.windows == 128
    assert ranks.others > 100
    assert ranks.auroc >= floor
    assert ranks.first >= first


@pytest.mark.parametrize("rule", real.RULES)
@pytest.mark.parametrize(
    ("model", "floor"), [(DONOR, 0.85), (ACCEPTOR, 0.90), ("deepkingnet_200bp", 0.66), (JANGGU, 0.91)]
)
def test_contributions_follow_in_silico_mutagenesis(scored, mutagenesis, model, rule, floor):
    effects = mutagenesis(model)
    assert np.median(real.correlations(scored(model, rule).observed[: len(effects)], effects)) >= floor


def test_auroc_is_the_share_of_pairs_in_order():
    values = np.random.default_rng(0).integers(0, 9, (2, 40)).astype(float)
    pairs = np.sign(values[0][:, None] - values[1])
    assert real.auroc(values[0], values[1]) == pytest.approx((pairs + 1).mean() / 2)


# ---- other implementations


def test_rescale_agrees_with_tangermeme(shared, scored):
    pytest.importorskip("tangermeme")
    ours = scored(JANGGU, "rescale")
    found = real.agreement(ours, real.tangermeme_scores(real.janggu_network(shared), ours))
    assert min(found.hypothetical, found.observed) > 0.99999
    assert found.difference <= 1e-6 * found.largest


@pytest.mark.parametrize("rule", real.RULES)
def test_the_donor_model_agrees_with_the_formulas_written_out(shared, scored, rule):
    scores = scored(DONOR, rule, "float64")
    multipliers = DonorByHand(real.model_path(CASES[DONOR], shared)).multipliers
    some = slice(0, 32)
    rows = scores.sequences[some].swapaxes(1, 2).astype(float)
    total = np.zeros(rows.shape)
    for references in scores.references[some].swapaxes(0, 1).swapaxes(2, 3).astype(float):
        flat = references.reshape(len(rows), -1)
        m = multipliers(rows.reshape(flat.shape), flat, rule).reshape(rows.shape)
        total += m - (m * references).sum(axis=2, keepdims=True)
    mean = total.swapaxes(1, 2) / scores.references.shape[1]
    np.testing.assert_allclose(scores.hypothetical[some], mean, atol=1e-6 * np.abs(mean).max())


class DonorByHand:
    """Rescale and RevealCancel of dense -> ReLU -> dense -> ReLU -> dense, in numpy, from the paper."""

    def __init__(self, path):
        arrays = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
        self.layers = []
        for k in (1, 2):
            weight, bias = (
                arrays[f"model_1/dense{k}/{name}/ReadVariableOp:0"] for name in ("MatMul", "BiasAdd")
            )
            norm = f"model_1/batch_normalization_{k}/batchnorm/"
            factor, shift = (arrays[norm + name].astype(float) for name in ("mul:0", "sub:0"))
            self.layers.append((weight * factor, bias * factor + shift))
        self.last = arrays["model_1/dense_1/MatMul/ReadVariableOp:0"][:, 0].astype(float)

    def multipliers(self, x, r, rule):
        steps = []
        for weight, bias in self.layers:
            zx, zr = x @ weight + bias, r @ weight + bias
            steps.append((weight, x - r, self.relu(rule, zx, zr, x - r, weight)))
            x, r = np.maximum(zx, 0), np.maximum(zr, 0)
        up = down = self.last
        for weight, delta, (rise, fall) in reversed(steps):
            up, down = self.through(weight, delta, up * rise, down * fall)
        return up

    @staticmethod
    def relu(rule, x, r, delta, weight):
        """Multipliers of the positive and of the negative part of a ReLU's input."""

        def f(value):
            return np.maximum(value, 0)

        with np.errstate(divide="ignore", invalid="ignore"):
            if rule == "rescale":
                slope = np.where(np.abs(x - r) > 1e-14, (f(x) - f(r)) / (x - r), r > 0)
                return slope, slope
            gains, losses = f(weight), -f(-weight)
            rise = f(delta) @ gains - f(-delta) @ losses
            fall = f(delta) @ losses - f(-delta) @ gains
            gained = f(r + rise) - f(r) + f(x) - f(r + fall)
            lost = f(r + fall) - f(r) + f(x) - f(r + rise)
            flat_rise, flat_fall = (r >= 0) + 1.0 * (r + fall >= 0), (r >= 0) + 1.0 * (r + rise >= 0)
            return (
                np.where(rise > 0, gained / rise, flat_rise) / 2,
                np.where(fall < 0, lost / fall, flat_fall) / 2,
            )

    @staticmethod
    def through(weight, delta, up, down):
        """Multipliers of a dense layer's inputs, by the sign of their differences."""
        gains, losses = np.maximum(weight, 0).T, np.minimum(weight, 0).T
        risen, fallen = up @ gains + down @ losses, up @ losses + down @ gains
        found = np.where(delta > 0, risen, np.where(delta < 0, fallen, (risen + fallen) / 2))
        return found, found
