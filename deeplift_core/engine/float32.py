"""Settings of the process that keep float32 as precise as it claims to be."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute float32 convolutions and matrix products in float32 within the context.

    By default cuDNN rounds the factors of convolutions to 10 bits (TF32), and a user's setting may allow the
    same, or bfloat16, for matrix products; summation-to-delta would then hold to 1e-3 only. A user who wants
    that speed asks for bfloat16. All settings of the process are restored afterwards.
    """
    _enter(device)
    try:
        yield
    finally:
        _leave()


# The settings belong to the process, while threads score at the same time: the first thread that comes makes
# the settings, and the last one that leaves restores what was there before.
_LOCK = threading.Lock()
_inside = 0
_restore = ExitStack()


def _enter(device: torch.device) -> None:
    global _inside
    with _LOCK:
        if _inside == 0:
            matmul = torch.get_float32_matmul_precision()
            if matmul != "highest":
                torch.set_float32_matmul_precision("highest")
                _restore.callback(torch.set_float32_matmul_precision, matmul)
            if device.type == "cuda":
                enabled = torch.backends.cudnn.enabled
                flags = torch.backends.cudnn.flags(enabled=enabled, deterministic=True, allow_tf32=False)
                _restore.enter_context(flags)
        _inside += 1


def _leave() -> None:
    global _inside
    with _LOCK:
        _inside -= 1
        if _inside == 0:
            _restore.close()
