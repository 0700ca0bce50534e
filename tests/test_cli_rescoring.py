"""`deeplift score` says when pairs beyond the tolerance are no longer computed again in float64."""

from pathlib import Path

import pytest
import torch
from small_models import onnx_file, random_letters, score, write_fasta

from deeplift_core.accuracy.completeness import TOLERANCE


def test_the_summary_says_why_rescoring_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fasta = write_fasta(tmp_path / "in.fa", [random_letters(seed) for seed in range(4)])
    told = score("-m", onnx_file(), "-f", fasta, "-o", tmp_path / "before.h5")
    assert "float64" not in told.err
    monkeypatch.setitem(TOLERANCE, torch.float32, -1.0)  # which no pair keeps, in float64 neither
    told = score("-m", onnx_file(), "-f", fasta, "-o", tmp_path / "after.h5")
    assert "warning: sequences are no longer scored again in float64" in told.err
    assert "did not bring any of" in told.err
