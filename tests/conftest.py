"""Fixtures that several test modules share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# The command sets this variable, too, and oneDNN reads it when torch first computes
# (deeplift_core/capture/kernels.py).
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

import pytest
import torch
from hypothesis import settings

settings.register_profile("quick", max_examples=5, deadline=None)

# Marks of tests that take too long for the quick set.
_LONG = ("compiles", "zoo", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of the core as quick unless a mark says otherwise, so that new tests need no list."""
    for item in items:
        if item.path.name.startswith("test_core_") and not any(map(item.get_closest_marker, _LONG)):
            item.add_marker("quick")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Genomes and inputs are indexed in a folder of the test's own, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPLIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _compiler(request: pytest.FixtureRequest) -> Iterator[None]:
    """What tests marked `compiles` need, and afterwards forgets what they compiled."""
    if request.node.get_closest_marker("compiles") is None:
        yield
        return
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("torch compiles with a C++ compiler, and there is none")
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tensors so small that a second thread only waits where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and real DNA, kept beside the repository."""
    here = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("DEEPLIFT_SHARED", here))
    if not (folder / "models").is_dir():
        pytest.skip(f"no shared test data at {folder} (set DEEPLIFT_SHARED to its folder)")
    return folder
