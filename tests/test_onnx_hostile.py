"""Bad ONNX files are refused with one line, soon, and without filling the memory."""

import resource
import time
from pathlib import Path

import pytest
from onnx_hostile import BAD, Bad

from deeplift_cli.errors import UserError
from deeplift_cli.models import read

SECONDS, BYTES = 20, 1 << 30


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_refused(bad: Bad, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    bad.write(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with pytest.raises(UserError) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text
    assert bad.says in text
    assert "\n" not in text
    assert len(text) < 1000
    assert time.perf_counter() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < BYTES
