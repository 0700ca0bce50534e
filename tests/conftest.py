"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, real DNA and golden vectors, kept beside the repository."""
    here = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DEEPLIFT_SHARED", here))
    if not (folder / "oracle" / "manifest.json").is_file():
        pytest.skip(f"no shared test data at {folder} (set DEEPLIFT_SHARED to its folder)")
    return folder
