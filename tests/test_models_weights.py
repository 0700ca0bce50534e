"""Weights without their network: state dicts, safetensors and checkpoints, with --architecture."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pytest
import safetensors.torch
import torch
from small_models import deeplift, encode, random_letters, score, write_fasta
from torch import Tensor, nn

from deeplift_cli.errors import UserError
from deeplift_cli.models import read

CODE = '''
"""A network, as a lab has it in a file."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, filters, width=5, dropout=0.1):
        super().__init__()
        self.conv = nn.Conv1d(4, filters, width)
        self.norm = nn.BatchNorm1d(filters)
        self.head = nn.Linear(filters, 2)

    def forward(self, x, scale=None):
        return self.head(torch.relu(self.norm(self.conv(x))).mean(2))


def make(**options):
    return Net(**options)


def configured(config):
    return Net(config.filters, config["width"])


def number():
    return 3


def fails():
    raise KeyError("of its own")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x.mean(2)))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 5)

    def forward(self, x):
        return self.conv(x).mean(2)
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with the code of a network; what is imported there is forgotten afterwards."""
    (tmp_path / "network_of_the_lab.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if "network_of_the_lab" in name:
            del sys.modules[name]


FILE, MODULE = "network_of_the_lab.py", "network_of_the_lab"
ARGUMENTS = '{"filters": 6}'


def names(filters: int = 6, width: int = 5) -> dict[str, Any]:
    torch.manual_seed(0)
    scope: dict[str, Any] = {}
    exec(CODE, scope)
    net = scope["Net"](filters, width)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return {"state": net.state_dict(), "net": net.eval()}


def message(path: Path, architecture: str | None = None, model_args: str | None = None, **given: Any) -> str:
    options = {"architecture": architecture, "model_args": model_args}
    with pytest.raises(UserError) as error:
        read(path, options={key: value for key, value in options.items() if value is not None}, **given)
    text = str(error.value)
    assert "\n" not in text
    return text


def assert_same(module: nn.Module, net: nn.Module) -> None:
    x = torch.randn(3, 4, 20)
    with torch.no_grad():
        torch.testing.assert_close(module(x), net(x))
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def save_torch(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def save_old(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_safe(state: dict[str, Tensor], path: Path) -> None:
    safetensors.torch.save_file(dict(state), path)


@pytest.mark.parametrize("save", [save_torch, save_old, save_safe])
@pytest.mark.parametrize("place", [FILE, MODULE])
def test_weights_of_each_kind(lab: Path, save: Callable[..., None], place: str) -> None:
    made, path = names(), lab / "weights.bin"
    save(made["state"], path)
    model = read(path, options={"architecture": f"{place}:Net", "model_args": ARGUMENTS})
    assert_same(model.module, made["net"])
    assert model.format == ("safetensors" if save is save_safe else "pickled")
    assert [spec.name for spec in model.inputs] == ["x"]
    assert model.notes == ()


def test_score_inspect_and_verify_from_weights_alone(lab: Path) -> None:
    made = names()
    torch.save(made["state"], "weights.pt")
    letters = [random_letters(seed) for seed in range(3)]
    write_fasta(lab / "in.fa", letters)
    options = ["-m", "weights.pt", "--architecture", f"{FILE}:Net", "--model-args", ARGUMENTS]
    score(*options, "-f", "in.fa", "-o", "s.h5", "--n-references", 2)
    with h5py.File("s.h5") as file, torch.no_grad():
        expected = made["net"](torch.stack([torch.from_numpy(encode(text)).float() for text in letters]))
        torch.testing.assert_close(torch.from_numpy(file["qc/output"][:]).float(), expected[:, 0])
        kept = json.loads(file.attrs["fingerprint"])
        assert kept["--architecture"] == f"{FILE}:Net"
        assert kept["--model-args"] == ARGUMENTS
    assert deeplift("verify", "s.h5", "-m", "weights.pt").code == 0
    inspected = deeplift("inspect", *options)
    assert inspected.code == 0, inspected.err
    code = Path(FILE)
    code.write_text(code.read_text().replace("torch.relu(", "torch.tanh("))
    for name in [name for name in sys.modules if MODULE in name]:
        del sys.modules[name]
    changed = deeplift("verify", "s.h5", "-m", "weights.pt")
    assert changed.code == 1, "the code of the network counts"


def test_arguments_count_by_their_values(lab: Path) -> None:
    save_torch(names()["state"], lab / "weights.pt")
    write_fasta(lab / "in.fa", [random_letters(1)])
    spelled = []
    for place, text in enumerate(('{"width": 5, "filters": 6}', '{"filters":6,"width":5}')):
        score("-m", "weights.pt", "--architecture", f"{FILE}:Net", "--model-args", text, "-f", "in.fa",
              "-o", f"{place}.h5", "--n-references", 2)  # fmt: skip
        with h5py.File(f"{place}.h5") as file:
            spelled.append(file.attrs["fingerprint"])
    assert spelled[0] == spelled[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--architecture", "Net"], "neither MODULE:FACTORY nor FILE.py:FACTORY"),
        (["--architecture", "a:b c"], "neither MODULE:FACTORY nor FILE.py:FACTORY"),
        (["--architecture", "a:b", "--model-args", "{filters: 6}"], "is not JSON"),
        (["--architecture", "a:b", "--model-args", "[6]"], "no JSON object"),
    ],
)
def test_options_that_cannot_be_parsed(lab: Path, options: list[str], says: str) -> None:
    outcome = deeplift("inspect", "-m", "weights.pt", *options)
    assert outcome.code == 2
    assert says in outcome.err


# ---- checkpoints


@pytest.mark.parametrize(
    "checkpoint",
    [
        lambda state: {"state_dict": state, "hyper_parameters": {"filters": 6, "lr": 0.1}},
        lambda state: {"state_dict": state, "hyper_parameters": argparse.Namespace(filters=6, lr=0.1)},
        lambda state: {"state_dict": state, "hparams": SimpleNamespace(filters=6, lr=0.1)},
        lambda state: {"model_state_dict": state, "config": {"filters": 6, "lr": 0.1}, "epoch": 3},
    ],
)
def test_hyperparameters_of_a_checkpoint(lab: Path, checkpoint: Callable[..., Any]) -> None:
    made, path = names(), lab / "last.ckpt"
    torch.save(checkpoint(made["state"]), path)
    model = read(path, options={"architecture": f"{FILE}:Net"})
    assert_same(model.module, made["net"])
    assert model.notes == (f"hyperparameters that {FILE}:Net does not take are not used: lr",)


def test_model_args_come_before_hyperparameters(lab: Path) -> None:
    made, path = names(width=7), lab / "last.ckpt"
    torch.save({"state_dict": made["state"], "hyper_parameters": {"filters": 6, "width": 3}}, path)
    model = read(path, options={"architecture": f"{FILE}:Net", "model_args": '{"width": 7}'})
    assert_same(model.module, made["net"])


def test_a_factory_that_takes_all_hyperparameters(lab: Path) -> None:
    made, path = names(), lab / "last.ckpt"
    torch.save({"state_dict": made["state"], "hyper_parameters": {"filters": 6}}, path)
    assert_same(read(path, options={"architecture": f"{FILE}:make"}).module, made["net"])
    torch.save({"state_dict": made["state"], "config": {"filters": 6, "width": 5}}, path)
    assert_same(read(path, options={"architecture": f"{FILE}:configured"}).module, made["net"])
    stored = {"hyper_parameters": {"filters": 6, "width": 5}, "hparams_name": "config"}  # Lightning's
    torch.save({"state_dict": made["state"], **stored}, path)
    assert_same(read(path, options={"architecture": f"{FILE}:configured"}).module, made["net"])


@pytest.mark.parametrize("prefix", ["model.", "module.", "model.net.", "_orig_mod."])
def test_a_common_prefix_is_left_out(lab: Path, prefix: str) -> None:
    made, path = names(), lab / "last.ckpt"
    torch.save({"state_dict": {prefix + name: value for name, value in made["state"].items()}}, path)
    model = read(path, options={"architecture": f"{FILE}:Net", "model_args": ARGUMENTS})
    assert_same(model.module, made["net"])
    assert f"begin with {prefix!r}" in model.notes[0]
    assert len(model.notes) == 1


def test_weights_outside_the_prefix_are_named(lab: Path) -> None:
    made, path = names(), lab / "last.ckpt"
    state = {f"model.{name}": value for name, value in made["state"].items()}
    torch.save({"state_dict": state | {"loss.pos_weight": torch.ones(2)}}, path)
    model = read(path, options={"architecture": f"{FILE}:Net", "model_args": ARGUMENTS})
    assert_same(model.module, made["net"])
    assert "loss.pos_weight" in model.notes[1]


def test_two_networks_in_one_file_are_refused(lab: Path) -> None:
    path = lab / "last.ckpt"
    state = names()["state"]
    both = {f"{place}.{name}": value for place in ("model", "ema") for name, value in state.items()}
    torch.save({"state_dict": both}, path)
    text = message(path, f"{FILE}:Net", ARGUMENTS)
    assert "several networks" in text
    assert "model., ema." in text


def test_weights_that_do_not_fit_are_all_named(lab: Path) -> None:
    path = lab / "weights.pt"
    state = dict(names(width=7)["state"])
    del state["head.bias"]
    torch.save(state | {"other.weight": torch.ones(2)}, path)
    text = message(path, f"{FILE}:Net", ARGUMENTS)
    assert "missing: head.bias" in text
    assert "not in the network: other.weight" in text
    assert "conv.weight [6, 4, 7] (in the network [6, 4, 5])" in text
    assert "--model-args" in text
    torch.save({f"model.{name}": value for name, value in state.items()}, path)
    assert "missing: head.bias" in message(path, f"{FILE}:Net", ARGUMENTS)


def test_one_of_two_names_of_a_tensor_is_enough(lab: Path) -> None:
    torch.manual_seed(0)
    state = {"one.weight": torch.randn(4, 4), "one.bias": torch.randn(4), "two.bias": torch.randn(4)}
    save_safe(state, lab / "model.safetensors")
    module = read(lab / "model.safetensors", options={"architecture": f"{FILE}:Tied"}).module
    x = torch.randn(2, 4, 9)
    expected = (x.mean(2) @ state["one.weight"].T + state["one.bias"]) @ state["one.weight"].T
    torch.testing.assert_close(module(x), expected + state["two.bias"])


def test_batch_norm_without_its_counter(lab: Path) -> None:
    made, path = names(), lab / "weights.safetensors"
    save_safe({name: value for name, value in made["state"].items() if "tracked" not in name}, path)
    model = read(path, options={"architecture": f"{FILE}:Net", "model_args": ARGUMENTS})
    assert_same(model.module, made["net"])


# ---- the hub's files


CONFIGURED = '''
from torch import nn
from network_of_the_lab import Net


class Config:
    def __init__(self, filters=1, **rest):
        self.filters = filters


class Hub(Net):
    """As models of transformers are built."""

    config_class = Config

    def __init__(self, config):
        super().__init__(config.filters)
'''


def test_a_configuration_beside_safetensors(lab: Path) -> None:
    made = names()
    folder = lab / "hub"
    folder.mkdir()
    save_safe(made["state"], folder / "model.safetensors")
    (folder / "config.json").write_text('{"filters": 6, "model_type": "net"}')
    (lab / "of_the_hub.py").write_text(CONFIGURED)
    for architecture in ("of_the_hub.py:Hub", f"{FILE}:Net"):
        model = read(folder / "model.safetensors", options={"architecture": architecture})
        assert_same(model.module, made["net"])
    assert model.notes[0].endswith("hub/config.json")
    assert model.notes[1] == f"hyperparameters that {FILE}:Net does not take are not used: model_type"
    before = model.sha256
    (folder / "config.json").write_text('{"filters": 6}')
    assert read(folder / "model.safetensors", options={"architecture": f"{FILE}:Net"}).sha256 != before
    for text, says in (("[6]", "no JSON object"), ("{6", "cannot be read")):
        (folder / "config.json").write_text(text)
        assert says in message(folder / "model.safetensors", f"{FILE}:Net")


def test_enformer_from_the_hub(tmp_path: Path) -> None:
    """The package's own class, built small, from the two files that the hub has."""
    from published import ARCHITECTURES

    enformer = ARCHITECTURES["enformer"]
    if enformer.missing:
        pytest.skip(enformer.missing)
    net: Any = enformer.make()
    net.config.save_pretrained(tmp_path)
    torch.save(net.state_dict(), tmp_path / "pytorch_model.bin")
    model = read(tmp_path / "pytorch_model.bin", options={"architecture": "enformer_pytorch:Enformer"})
    (x,) = enformer.inputs(1)
    with torch.no_grad():
        for found, expected in zip(model.module(x).values(), net(x).values(), strict=True):
            torch.testing.assert_close(found, expected)


# ---- what cannot be used


@pytest.mark.parametrize("save", [save_torch, save_safe])
@pytest.mark.parametrize(
    ("architecture", "arguments", "says"),
    [
        (None, None, "--architecture FILE.py:CLASS or MODULE:CLASS"),
        ("absent.py:Net", None, "there is no file absent.py"),
        ("absent_module:Net", None, "there is no module 'absent_module'"),
        ("absent.module:Net", None, "there is no module 'absent.module'"),
        (f"{FILE}:Nut", None, "has no Nut"),
        (f"{FILE}:nn.Nut", None, "has no nn.Nut"),
        (f"{FILE}:CODE", None, "has no CODE"),
        (f"{MODULE}:__name__", None, "nothing to call"),
        (f"{FILE}:Net", None, "needs filters"),
        (f"{FILE}:Net", '{"filters": 6, "depth": 3}', "has depth, which"),
        (f"{FILE}:Net", '{"filters": "six"}', "cannot build the network"),
        (f"{FILE}:number", None, "returns a int, not a torch module"),
        (f"{FILE}:fails", None, "of its own"),
        ("broken.py:Net", None, "broken.py cannot be run"),
        ("broken:Net", None, "broken cannot be imported"),
        (f"{FILE}:Pair", None, "are not those of"),
    ],
)
def test_refusals(
    lab: Path, save: Callable[..., None], architecture: str | None, arguments: str | None, says: str
) -> None:
    (lab / "broken.py").write_text("import nothing_of_this_name\n")
    save(names()["state"], lab / "weights.bin")
    text = message(lab / "weights.bin", architecture, arguments)
    assert says in text
    assert "weights.bin" in text or "--architecture" in text
    sys.modules.pop("broken", None)


def test_truncated_safetensors(lab: Path) -> None:
    path = lab / "weights.safetensors"
    save_safe(names()["state"], path)
    content = path.read_bytes()
    for size in (4, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert "damaged or truncated" in message(path, f"{FILE}:Net", ARGUMENTS)


def test_a_dict_without_weights(lab: Path) -> None:
    path = lab / "last.ckpt"
    torch.save({"epoch": 3, "state_dict": {}}, path)
    assert "a dict without weights (it has epoch, state_dict)" in message(path, f"{FILE}:Net", ARGUMENTS)


def test_options_that_do_not_go_with_the_file(lab: Path) -> None:
    torch.jit.script(nn.Conv1d(4, 2, 3)).save("model.pt")
    text = message(lab / "model.pt", f"{FILE}:Net")
    assert "--architecture is no option for" in text
    torch.save(nn.Conv1d(4, 2, 3), "model.pt")
    text = message(lab / "model.pt", f"{FILE}:Net", allow_pickle=True)
    assert "holds a whole module; leave out --architecture" in text


def test_code_in_a_checkpoint_does_not_run(lab: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (lab / "ran",))

    for content in (
        {**names()["state"], "trap": Trap()},
        {"state_dict": names()["state"], "hyper_parameters": {"filters": Trap()}},
    ):
        torch.save(content, lab / "last.ckpt")
        text = message(lab / "last.ckpt", f"{FILE}:Net", ARGUMENTS)
        assert "--allow-pickle" in text
        assert not (lab / "ran").exists()


# ---- whole modules


def run(lab: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-P", *words], cwd=lab, env=environment, capture_output=True, text=True, check=False
    )


def test_the_working_folder_is_searched_for_a_module_s_class(lab: Path) -> None:
    """As a lab does it: a script imports the class beside it and saves the model."""
    script = (
        f"import sys; sys.path.append('.')\nimport torch, {MODULE} as m\ntorch.save(m.Net(6), 'model.pt')"
    )
    done = run(lab, "-c", script)
    assert done.returncode == 0, done.stderr
    command = "from deeplift_cli.main import main; main()"
    done = run(lab, "-c", command, "inspect", "-m", "model.pt", "--allow-pickle")
    assert done.returncode == 0, done.stderr
    (lab / "elsewhere").mkdir()
    done = run(lab / "elsewhere", "-c", command, "inspect", "-m", "../model.pt", "--allow-pickle")
    assert done.returncode == 1
    assert "run where the code lies" in done.stderr


def test_a_class_of_a_script(lab: Path) -> None:
    script = "import torch\nclass Net(torch.nn.Linear): pass\ntorch.save(Net(2, 2), 'model.pt')"
    assert run(lab, "-c", script).returncode == 0
    text = message(lab / "model.pt", allow_pickle=True)
    assert "--architecture SCRIPT.py:CLASS" in text


# ---- bpnet-lite


def test_models_of_bpnet_lite(tmp_path: Path) -> None:
    """As its own command saves them: BPNet, ChromBPNet, and BPNet with control tracks."""
    pytest.importorskip("bpnetlite", reason="bpnet-lite is not installed")
    from bpnetlite import BPNet, ChromBPNet
    from bpnetlite.bpnet import ControlWrapper

    torch.manual_seed(0)

    def bpnet(controls: int = 0) -> nn.Module:
        return BPNet(4, 2, n_outputs=1, n_control_tracks=controls, verbose=False).eval()  # type: ignore[no-any-return]

    fasta = write_fasta(tmp_path / "in.fa", [random_letters(seed, 240) for seed in range(2)])
    x = torch.stack([torch.from_numpy(encode(random_letters(seed, 240))).float() for seed in range(2)])
    for name, net in (
        ("bpnet", bpnet()),
        ("chrombpnet", ChromBPNet(bpnet(), bpnet())),
        ("with zeros", ControlWrapper(bpnet(2))),
    ):
        path = tmp_path / f"{name}.torch"
        torch.save(net, path)
        assert "--allow-pickle" in message(path)
        given = ["-m", path, "--allow-pickle", "--output", "1", "--n-references", 1]
        score(*given, "-f", fasta, "-o", tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5") as file, torch.no_grad():
            expected = net(x)[1][:, 0]
            torch.testing.assert_close(torch.from_numpy(file["qc/output"][:]).float(), expected)
    torch.save(bpnet(2), tmp_path / "controls.torch")
    model = read(tmp_path / "controls.torch", allow_pickle=True)
    assert [str(spec) for spec in model.inputs] == ["X (?)", "X_ctl (?, 2, ?)"]
    given = ["-m", tmp_path / "controls.torch", "--allow-pickle", "--output", "1", "--n-references", 1]
    outcome = deeplift("score", *given, "-f", fasta, "-o", tmp_path / "no.h5")
    assert outcome.code == 1
    assert "X (shape not declared) and X_ctl [N, 2, any]" in outcome.err
    assert "to explain X, add --input X_ctl=zeros" in outcome.err
    score(*given, "-f", fasta, "-o", tmp_path / "controls.h5", "--input", "X_ctl=zeros")
    with h5py.File(tmp_path / "controls.h5") as file, torch.no_grad():
        expected = ControlWrapper(torch.load(tmp_path / "controls.torch", weights_only=False))(x)[1][:, 0]
        torch.testing.assert_close(torch.from_numpy(file["qc/output"][:]).float(), expected)
