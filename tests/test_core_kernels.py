"""A precision whose kernels are wrong on this processor is refused, once and by name."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from deeplift_core import DeepLift, OptionError
from deeplift_core.capture import kernels


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Other tests compare this processor's kernels anew."""
    yield
    kernels.largest_error.cache_clear()


def explainer(dtype: torch.dtype) -> DeepLift:
    model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    return DeepLift(model, torch.rand(2, 4, 20), dtype=dtype)


def test_wrong_convolutions_in_bfloat16_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.F.conv2d

    def wrong(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found = right(x, weight)
        return found.flip(-1) if x.dtype == torch.bfloat16 and weight.shape[-1] == 24 else found

    monkeypatch.setattr(kernels.F, "conv2d", wrong)
    kernels.largest_error.cache_clear()
    with pytest.raises(OptionError, match="ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16"):
        explainer(torch.bfloat16)
    assert explainer(torch.float32).dtype == torch.float32


def test_rounding_is_not_refused() -> None:
    kernels.largest_error.cache_clear()
    assert 0 < kernels.largest_error(torch.bfloat16) < 0.02
    assert explainer(torch.bfloat16).dtype == torch.bfloat16


def test_the_command_avoids_wrong_kernels() -> None:
    script = (
        "import os, sys; from deeplift_cli import main; sys.argv = ['deeplift', '--version']\n"
        "os.environ.pop('ONEDNN_MAX_CPU_ISA', None)\n"
        "try:\n    main.main()\n"
        "except SystemExit:\n    print(os.environ['ONEDNN_MAX_CPU_ISA'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "AVX512_CORE_BF16"
