"""Heads of BPNet-like models against bpnet-lite's own wrappers and attributions, and ChromBPNet's formula.

How far `profile` agrees with bpnet-lite's own attributions is measured by benchmarks/profile_heads.py.
"""

import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_models import encode, random_letters, score, write_fasta
from torch import Tensor, nn

from deeplift_core import DeepLift

bpnetlite = pytest.importorskip("bpnetlite", reason="bpnet-lite is not installed")
LENGTH, N = 220, 4
LETTERS = [random_letters(seed, LENGTH) for seed in range(N)]
X = torch.tensor(np.stack([encode(text) for text in LETTERS])).float()
GIVEN = ("-f", "in.fa", "--allow-pickle", "--n-references", 3, "--rule", "rescale", "--seed", 4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_fasta(Path("in.fa"), LETTERS)
    return tmp_path


def bpnet(tracks: int = 2) -> nn.Module:
    """BPNet without control tracks; its last layers are made larger, so that profiles are not flat."""
    torch.manual_seed(5)
    model = bpnetlite.BPNet(8, 3, tracks, 0, verbose=False).eval()
    with torch.no_grad():
        model.fconv.weight *= 6
    return model


class ChromBpnetProfile(nn.Module):
    """The scalar of ChromBPNet's `get_weightedsum_meannormed_logits`; `stop_gradient` is detach()."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)[0].flatten(1)
        centred = logits - logits.mean(1, keepdim=True)
        return (torch.softmax(centred.detach(), 1) * centred).sum(1, keepdim=True)


def scored(path: str) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["shap/seq"][()], file["qc/output"][()]


def references(path: str = "refs.h5") -> Tensor:
    with h5py.File(path) as file:
        return torch.tensor(file["references"][()]).float()


def their_own(model: nn.Module) -> np.ndarray:
    """Hypothetical contributions by bpnet-lite's function on the same references."""
    from bpnetlite.attribute import deep_lift_shap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sums that do not hold
        found = deep_lift_shap(model, X, references=references(), hypothetical=True, device="cpu")
    return found.numpy()


def test_counts_and_profile_are_those_of_bpnet_lites_wrappers() -> None:
    from bpnetlite.bpnet import CountWrapper, ProfileWrapper

    model = bpnet()
    torch.save(model, "bpnet.torch")
    score(
        "-m",
        "bpnet.torch",
        "-o",
        "{target}.h5",
        "--target",
        "counts,profile",
        "--save-references",
        "refs.h5",
        *GIVEN,
    )
    for name, wrapper in (("counts", CountWrapper(model)), ("profile", ProfileWrapper(model))):
        shap, output = scored(f"{name}.h5")
        with torch.no_grad():
            np.testing.assert_allclose(output, wrapper(X)[:, 0], rtol=1e-5)
        expected = DeepLift(wrapper, X, rule="rescale").attribute(X, references())
        scale = float(expected.hypothetical.abs().max())
        np.testing.assert_allclose(shap, expected.hypothetical, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(scored("counts.h5")[0], their_own(CountWrapper(model)), rtol=0, atol=1e-4)


def test_without_a_target_the_counts_of_a_bpnet_are_explained() -> None:
    """Element 0 is no scalar of a profile with tracks, which is the first output."""
    torch.save(bpnet(), "bpnet.torch")
    outcome = score("-m", "bpnet.torch", "-o", "scores_{target}.h5", *GIVEN)
    assert re.search(r"^target +counts", outcome.out, re.M)
    score("-m", "bpnet.torch", "-o", "given.h5", "--target", "counts", *GIVEN)
    for found, given in zip(scored("scores_counts.h5"), scored("given.h5"), strict=True):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("tracks", [1, 2])
def test_fixed_weights_are_chrombpnets_formula(tracks: int) -> None:
    model = bpnet(tracks)
    torch.save(model, "bpnet.torch")
    score(
        "-m",
        "bpnet.torch",
        "-o",
        "a.h5",
        "--target",
        "profile-fixed-weights",
        "--save-references",
        "refs.h5",
        *GIVEN,
    )
    shap, output = scored("a.h5")
    wrapper = ChromBpnetProfile(model)
    with torch.no_grad():
        np.testing.assert_allclose(output, wrapper(X)[:, 0], rtol=1e-5)
    theirs = their_own(wrapper)
    np.testing.assert_allclose(shap, theirs, rtol=0, atol=1e-4 * float(np.abs(theirs).max()))


def test_chrombpnet_has_heads_and_a_warning() -> None:
    from bpnetlite.bpnet import CountWrapper

    torch.manual_seed(6)
    model = bpnetlite.ChromBPNet(bpnetlite.BPNet(8, 2, 1, 0, verbose=False), bpnet(1)).eval()
    torch.save(model, "chrombpnet.torch")
    outcome = score(
        "-m", "chrombpnet.torch", "-o", "a.h5", "--target", "counts", "--save-references", "refs.h5", *GIVEN
    )
    assert "model.accessibility" in outcome.err
    with torch.no_grad():
        np.testing.assert_allclose(scored("a.h5")[1], CountWrapper(model)(X)[:, 0], rtol=1e-5)
    one = X[:1]
    torch.onnx.export(model, (one,), "a.onnx", dynamo=True, verbose=False, output_names=["profile", "counts"])
    assert "model.accessibility" in score("-m", "a.onnx", "-o", "c.h5", "--target", "counts", *GIVEN).err
    torch.save(model.accessibility, "nobias.torch")
    outcome = score("-m", "nobias.torch", "-o", "b.h5", "--target", "counts", *GIVEN)
    assert "warning" not in outcome.err
