"""The same scores on a CUDA device; these tests need one."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from promised import PROMISED
from small_models import score
from torch import nn

from deeplift_core import DeepLift
from deeplift_core.engine.float32 import full_precision

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 64, 15, padding=7), nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(64, 64, 7), nn.GELU(), nn.Flatten(), nn.Linear(64 * 44, 32), nn.ReLU(), nn.Linear(32, 3),
    ).eval()  # fmt: skip


def one_hot(*shape: int) -> torch.Tensor:
    letters = torch.randint(0, 4, (*shape, 200), generator=torch.Generator().manual_seed(1))
    return nn.functional.one_hot(letters, 4).transpose(-1, -2).float()


@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_those_of_the_cpu(dtype: torch.dtype, compiled: bool) -> None:
    x, references = one_hot(8), one_hot(8, 3)
    expected = DeepLift(model(), x, dtype=torch.float64).attribute(x, references, 1)
    explainer = DeepLift(model(), x, dtype=dtype, device="cuda", compile=compiled)
    found = explainer.attribute(x, references, 1)
    tolerance = PROMISED[dtype]
    scale = float(expected.contributions.abs().max())
    for name in ("contributions", "hypothetical"):
        off = (getattr(found, name).double().cpu() - getattr(expected, name)).abs().max()
        assert off <= tolerance * scale
    delta = (found.output[:, None] - found.reference_output).abs()
    assert (found.completeness_error.abs() <= tolerance * delta.clamp(min=0.01)).all()


@needs_gpu
def test_scores_are_the_same_each_time() -> None:
    x, references = one_hot(8), one_hot(8, 3)
    explainer = DeepLift(model(), x, device="cuda")
    first, second = (explainer.attribute(x, references, 1).contributions for _ in range(2))
    assert torch.equal(first, second)


@needs_gpu
def test_bfloat16_follows_float32() -> None:
    x, references = one_hot(8), one_hot(8, 3)
    rows = [
        DeepLift(model(), x, device="cuda", dtype=dtype).attribute(x, references, 1).contributions
        for dtype in (torch.float32, torch.bfloat16)
    ]
    for exact, rounded in zip(*(row.float().cpu().flatten(1).numpy() for row in rows), strict=True):
        assert np.corrcoef(exact, rounded)[0, 1] > 0.99


@needs_gpu
def test_the_command_on_the_embedded_example(tmp_path: Path) -> None:
    found = []
    for device in ("cpu", "cuda:0"):
        out = tmp_path / f"{device[:3]}.h5"
        score(
            "-m", EXAMPLES / "tal1_gata.onnx", "-f", EXAMPLES / "sequences.fa", "-o", out, "--device", device
        )
        with h5py.File(out) as file:
            found.append(file["shap/seq"][:])
    np.testing.assert_allclose(found[1], found[0], atol=1e-4 * np.abs(found[0]).max())


def test_settings_of_the_process_are_as_before() -> None:
    """Needs no device: the settings are there without one."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    with full_precision(torch.device("cuda")):
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before
