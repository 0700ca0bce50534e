"""Settings of the process while a model is recorded, or runs for a comparison with its recording."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# A recording changes settings of the process and of the model while it runs. One thread at a time may record.
RECORDING = threading.RLock()


@contextmanager
def plain_kernels(device: torch.device) -> Iterator[None]:
    """Switch off fused inference kernels, compiled code and gradients; one thread at a time.

    Fused kernels hide the operations inside them, and compiled code hides all operations. A module or
    function under ``torch.compile`` therefore runs as the eager code that it stands for.

    Parameters
    ----------
    device : torch.device
        The device that runs the model.
    """
    with RECORDING, ExitStack() as stack:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        stack.enter_context(torch.inference_mode(mode=False))  # its tensors could take part in no gradient
        stack.enter_context(torch.no_grad())
        # torch.backends.mkldnn.flags would warn about settings of other devices.
        stack.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
        torch._C._set_mkldnn_enabled(False)
        # Convolutions would go to NNPACK instead, and NNPACK keeps the hundreds of MiB that it works in.
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if device.type == "cuda":
            _with_all_digits(stack)
        # Nothing is compiled unless this module, which takes over a second to import, has been imported.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(warnings.catch_warnings())
            # Torch warns that hooks may miss its wrapper around a compiled module. The recorder's hooks
            # handle it.
            warnings.filterwarnings("ignore", message="Using `torch.compile")
        yield


def _with_all_digits(stack: ExitStack) -> None:
    """Switch TF32 off, because model and recording may round their factors to 10 bits at different places."""
    enabled = torch.backends.cudnn.enabled
    stack.enter_context(torch.backends.cudnn.flags(enabled=enabled, deterministic=True, allow_tf32=False))
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    stack.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", allowed)
