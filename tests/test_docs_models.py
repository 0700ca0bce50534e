"""docs/models.md: every command is run, on small models in the formats of the field."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from small_models import Net, deeplift, onnx_file, random_letters, torchscript, write_fasta
from torch import nn

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
LENGTH = 24  # of the small models


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(title: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", section(title), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def python(title: str) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", section(title), re.DOTALL)
    return str(block)


def titles() -> list[str]:
    return [title for title in re.findall(r"^## (.*)$", PAGE, re.MULTILINE) if commands(title)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with the page's own network; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "network.py").write_text(python("Weights without the network"))
    yield tmp_path
    for name in ("network", "architecture_in_network"):
        sys.modules.pop(name, None)


def sequences(length: int = LENGTH) -> None:
    """Peaks as sequences, and in a genome."""
    write_fasta(Path("peaks.fa"), [random_letters(seed, length) for seed in range(2)])
    write_fasta(Path("hg38.fa"), {"chr1": random_letters(9, 5 * length)})
    Path("peaks.narrowPeak").write_text(
        "".join(
            f"chr1\t{place}\t{place + 10}\tp{place}\t0\t.\t0\t0\t0\t5\n" for place in (length, 2 * length)
        )
    )


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    scope: dict[str, Any] = {}
    exec(python("Weights without the network"), scope)
    return dict(scope["Net"](8).state_dict())


def needs(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def make_onnx() -> None:
    sequences()
    shutil.copyfile(onnx_file(), "model.onnx")
    Path("model_folder").mkdir()
    import onnx

    onnx.save(
        onnx.load("model.onnx"), "model_folder/net.onnx", save_as_external_data=True, location="net.data",
        size_threshold=0,
    )  # fmt: skip
    assert Path("model_folder/net.data").stat().st_size


def make_torch() -> None:
    sequences()
    shutil.copyfile(torchscript("Net"), "scripted.pt")
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(2, 4, LENGTH),)), "exported.pt2")


def make_weights() -> None:
    sequences()
    torch.save(state(), "weights.pt")
    safetensors.torch.save_file(state(), "weights.safetensors")


def make_checkpoint() -> None:
    needs("cherimoya")
    from cherimoya import Cherimoya

    sequences(400)
    torch.manual_seed(0)
    Cherimoya(8, 2, signal_groups=[1], verbose=False, compile=False).save("cherimoya.torch")
    weights = {f"model.{name}": value for name, value in state().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"filters": 8, "lr": 0.1}}, "last.ckpt")


def make_hub() -> None:
    needs("borzoi_pytorch", "enformer_pytorch")
    from borzoi_pytorch import Borzoi
    from published import ARCHITECTURES

    sequences(1024)
    torch.manual_seed(0)
    Borzoi.from_hparams(
        dim=24, depth=1, heads=2, attn_dim_key=8, attn_dim_value=12, return_center_bins_only=True,
        bins_to_return=16,
    ).save_pretrained("borzoi")  # fmt: skip
    enformer: Any = ARCHITECTURES["enformer"].make()
    enformer.config.save_pretrained("enformer")
    torch.save(enformer.state_dict(), "enformer/pytorch_model.bin")


def bpnet(controls: int = 0) -> nn.Module:
    from bpnetlite import BPNet

    made: nn.Module = BPNet(4, 2, n_outputs=1, n_control_tracks=controls, verbose=False)
    return made


def make_bpnet_lite() -> None:
    needs("bpnetlite")
    from bpnetlite import ChromBPNet

    sequences(240)
    torch.manual_seed(0)
    torch.save(bpnet(), "bpnet.torch")
    torch.save(ChromBPNet(bpnet(), bpnet()), "chrombpnet.torch")
    torch.save(bpnet(2), "with_controls.torch")
    exec(python("Whole modules, bpnet-lite"), {})


def make_chrombpnet() -> None:
    needs("keras")
    from test_models_keras import IN, write_tensorflow
    from test_models_keras import bpnet as chrombpnet

    sequences(IN)
    write_tensorflow(Path("chrombpnet_nobias.h5"), *chrombpnet("wo_bias_", "model_wo_bias"))


def make_keras() -> None:
    needs("keras")
    from published.keras_models import keras_on_torch

    sequences(60)
    keras = keras_on_torch()
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((60, 4)),
            layers.Conv1D(4, 7, activation="relu", name="conv1d"),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    network.compile(loss="mse")
    for name in ("model.keras", "model.h5"):
        network.save(name)


def make_savedmodel() -> None:
    sequences()
    shutil.copyfile(onnx_file(), "saved_model.onnx")  # what tf2onnx would write
    Path("saved_model").mkdir()
    Path("saved_model/saved_model.pb").write_bytes(b"\x08\x01")


MAKE: dict[str, Callable[[], None]] = {
    "ONNX": make_onnx,
    "TorchScript and torch.export": make_torch,
    "Weights without the network": make_weights,
    "Checkpoints": make_checkpoint,
    "The Hugging Face hub": make_hub,
    "Whole modules, bpnet-lite": make_bpnet_lite,
    "ChromBPNet": make_chrombpnet,
    "Keras": make_keras,
    "SavedModel": make_savedmodel,
}


def test_every_section_with_commands_is_run() -> None:
    assert titles() == list(MAKE)


@pytest.mark.parametrize("title", MAKE)
def test_the_commands(title: str, folder: Path) -> None:
    """Each `deeplift` command gives scores whose sum is the difference of outputs, with few references."""
    MAKE[title]()
    ran = 0
    for line in commands(title):
        words = shlex.split(line)
        if words[0] != "deeplift":
            assert line.startswith(("pip install ", "python -m tf2onnx.convert ")), line
            continue
        length = 128 if "enformer" in line else None
        if length:
            sequences(length)
        outcome = deeplift(*words[1:], "--n-references", 2, "--overwrite")
        assert outcome.code == 0, (line, outcome.err)
        with h5py.File(words[words.index("-o") + 1]) as file:
            total = file["projected_shap/seq"][:].sum((1, 2))
            delta = file["qc/output"][:] - file["qc/reference_output"][:].mean(1)
            assert len(total) == 2
            np.testing.assert_allclose(total, delta, atol=1e-4 * max(1, np.abs(file["qc/output"][:]).max()))
        ran += 1
    assert ran


def test_the_command_for_a_savedmodel_is_what_deeplift_says(folder: Path) -> None:
    make_savedmodel()
    (line,) = (line for line in commands("SavedModel") if line.startswith("python"))
    assert line in deeplift("inspect", "-m", "saved_model").err


def test_from_python(folder: Path) -> None:
    make_weights()
    make_bpnet_lite()
    names: dict[str, Any] = {}
    exec(python("From Python"), names)
    with torch.no_grad():
        assert names["model"](torch.zeros(1, 4, LENGTH)).shape == (1, 2)
        assert names["bpnet"](torch.zeros(1, 4, 240))[1].shape == (1, 1)
