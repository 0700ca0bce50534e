"""Recording: what models may be made of, what is refused, and that the user's model stays as it was."""

import copy
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from deeplift_core import CaptureError, DeepLift, ForwardError, OptionError, TargetError, UnsupportedOpsError

D = torch.float64
L = 10


class Net(nn.Module):
    """Modules by keyword, and what to do with them."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *x: torch.Tensor) -> Any:
        return self.run(self, *x)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.MaxPool1d(2),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(30, 8), nn.ELU(), nn.Linear(8, 2),
    )  # fmt: skip


def batch(n: int = 3, r: int = 2, dtype: torch.dtype = D) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return (
        torch.randn(n, 4, L, generator=generator, dtype=dtype),
        torch.randn(n, r, 4, L, generator=generator, dtype=dtype),
    )


def assert_replays(model: nn.Module, tolerance: float = 1e-12, **options: Any) -> None:
    """Recorded on one batch, the graph gives the model's own output on another, and sums to it."""
    x, references = batch()
    explainer = DeepLift(model, x.flip(0) * 3, rule="rescale", logits=False, **options)
    result = explainer.attribute(x, references)
    with torch.no_grad():
        for module in model.modules():
            module.training = False
        expected = model(x.clone())
    torch.testing.assert_close(result.prediction, expected.flatten(1)[:, 0], rtol=0, atol=tolerance)
    assert result.completeness_error.abs().max() < 1e-9


# ---- the user's model


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that recording might change, with the tensors' own storage and bits."""
    return {
        name: (
            module.training,
            sorted(vars(module)),
            dict(module._forward_hooks),
            dict(module._forward_pre_hooks),
            {
                key: (
                    id(p),
                    p.dtype,
                    p.device,
                    p.requires_grad,
                    p.data_ptr(),
                    p.detach().clone().numpy().tobytes(),
                )
                for key, p in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            },
        )
        for name, module in model.named_modules()
    }


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training: bool, dtype: torch.dtype | None) -> None:
    model = small().train(training)
    model[4].eval()  # modes of single modules come back, too
    model[0].register_forward_hook(lambda *_: None)
    for parameter in model[6].parameters():
        parameter.requires_grad_(False)
    before = state(model)
    x, references = batch(dtype=torch.float32)
    explainer = DeepLift(model, dtype=dtype)
    explainer.attribute(x, references, 1)
    assert state(model) == before
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks
    assert torch.is_grad_enabled()
    assert torch._C._get_mkldnn_enabled()
    assert torch._C._get_nnpack_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_model_is_left_as_it_was_after_an_error() -> None:
    for run in (
        lambda s, x: s.body(x) * float(x.sum()),
        lambda s, x: s.body(torch.linalg.pinv(x).mT),
        _fails,
    ):
        model = Net(run, body=small()).train()
        before = state(model)
        with pytest.raises((CaptureError, UnsupportedOpsError, ZeroDivisionError)):
            DeepLift(model, batch()[0], dtype=D)
        assert state(model) == before
        assert not nn.modules.module._global_forward_hooks
        assert torch._C._get_mkldnn_enabled()
        assert torch._C._get_nnpack_enabled()


def _fails(s: Net, x: torch.Tensor) -> torch.Tensor:
    s.body(x)
    raise ZeroDivisionError


def test_a_model_in_training_mode_is_explained_in_eval_mode() -> None:
    x, references = batch(dtype=torch.float32)
    model = small()
    expected = DeepLift(model.eval()).attribute(x, references)
    found = DeepLift(model.train()).attribute(x, references)
    assert model.training
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=0)


class AlwaysDrops(nn.Dropout):
    """Dropout that stays on after eval(), as for samples of a model's uncertainty."""

    def train(self, mode: bool = True) -> "AlwaysDrops":
        return super().train(True)


def test_what_a_train_of_the_users_own_keeps_on_is_a_part_of_the_model() -> None:
    model = nn.Sequential(nn.Flatten(), AlwaysDrops(), nn.Linear(4 * L, 2)).double()
    with pytest.raises(CaptureError, match=r"random numbers that the model draws .*module '1'"):
        DeepLift(model.eval(), batch()[0])
    assert [module.training for module in model] == [False, True, False]


def test_parameters_changed_later_do_not_change_scores() -> None:
    """What was recorded is a snapshot, of parameters, buffers and constants alike."""
    x, references = batch()
    model = Net(lambda s, x: s.body(x) * s.factor, body=small(), factor=torch.ones(2, dtype=D)).double()
    explainer = DeepLift(model, x)
    before = explainer.attribute(x, references).contributions
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers(), model.factor):
            if tensor.is_floating_point():
                tensor.mul_(-3)
    after = explainer.attribute(x, references).contributions
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_threads_record_one_at_a_time_and_others_run_their_models_undisturbed() -> None:
    x, references = batch(dtype=torch.float32)
    expected = DeepLift(small(), x).attribute(x, references).contributions
    names = [node.module for node in DeepLift(small(), x).nodes]
    models = [small().eval() for _ in range(4)]
    stop = threading.Event()

    def run_one_of_them() -> None:
        with torch.no_grad():
            while not stop.is_set():
                models[0](x)

    def explain(model: nn.Module) -> None:
        for _ in range(5):
            explainer = DeepLift(model, x)
            assert [node.module for node in explainer.nodes] == names
            found = explainer.attribute(x, references).contributions
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    between = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor() as pool:
            runner = pool.submit(run_one_of_them)
            explaining = [pool.submit(explain, model) for model in (*models, models[1])]
            wait(explaining)
            stop.set()
    finally:
        sys.setswitchinterval(between)
    for done in (runner, *explaining):
        done.result()
    assert torch._C._get_mkldnn_enabled()
    assert torch._C._get_nnpack_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_convolution_that_runs_often_has_its_weights_once() -> None:
    conv = nn.Conv1d(4, 4, 9, padding=4)
    model = Net(lambda s, x: s.body(s.body(s.body(x))).flatten(1).sum(1, keepdim=True), body=conv)
    once = Net(lambda s, x: s.body(x).flatten(1).sum(1, keepdim=True), body=conv)
    x, _ = batch(dtype=torch.float32)
    assert DeepLift(model, x).weight_bytes == DeepLift(once, x).weight_bytes


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory as Linux tells it")
def test_a_recording_keeps_no_memory_that_a_library_worked_in() -> None:
    """NNPACK keeps what it works in, here a hundred MiB; the weights and their copies are three."""
    script = """
import os, torch
from torch import nn
from deeplift_core import DeepLift

def resident():
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

body = nn.Conv1d(4, 256, 3), nn.ReLU(), nn.Conv1d(256, 256, 8)
model = nn.Sequential(*body, nn.Flatten(), nn.Linear(91 * 256, 1))
DeepLift(model, torch.randn(1, 4, 100))
before = resident()
explainer = DeepLift(model, torch.randn(64, 4, 100))
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40


def test_no_copy_of_a_weight_outlives_the_recording_but_the_one_in_it() -> None:
    """Without waiting for Python's collector: of large models, each copy is hundreds of MiB."""
    x, _ = batch(dtype=torch.float32)
    model = small()
    weight = model[0].weight
    gc.collect()
    gc.disable()
    try:
        explainer = DeepLift(model, x)
        tensors = [item for item in gc.get_objects() if type(item) is torch.Tensor]
    finally:
        gc.enable()
    recorded = {constant.data_ptr() for constant in explainer.graph.constants}
    copies = [
        t for t in tensors if t.numel() == weight.numel() and torch.equal(t.reshape(weight.shape), weight)
    ]
    assert [t for t in copies if t.data_ptr() not in recorded] == []


def test_a_shared_reference_changed_in_place_is_not_taken_for_the_old_one() -> None:
    x, references = batch()
    shared = references[0].clone()
    explainer = DeepLift(small().double(), x, rule="rescale")
    explainer.attribute(x, shared)
    shared.mul_(2)
    found = explainer.attribute(x, shared)
    expected = DeepLift(small().double(), x, rule="rescale").attribute(x, shared)
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=0)


def test_the_inputs_are_left_as_they_were() -> None:
    x, references = batch()
    before = x.clone(), references.clone()
    assert_replays(Net(lambda s, x: x.mul_(2).add_(1).flatten(1).sum(1, keepdim=True)))
    DeepLift(Net(lambda s, x: x.mul_(0.5).flatten(1)[:, :1]), x, logits=False)
    assert torch.equal(x, before[0])
    assert torch.equal(references, before[1])


# ---- what is refused


class Gate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.mean() > 0:
            return x * 2
        return x


def test_a_branch_on_values_names_the_module() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 3), nn.Sequential(nn.ReLU(), Gate()))
    with pytest.raises(CaptureError, match=r"module '2\.1'.*test_core_capture\.py:\d+.*must not depend"):
        DeepLift(model, batch(dtype=torch.float32)[0])


@pytest.mark.parametrize(
    "leak",
    [
        lambda x: float(x.sum()),
        lambda x: x.sum().item(),
        lambda x: sum(x.flatten().tolist()),
        lambda x: torch.from_numpy(x.numpy()).sum(),
        lambda x: torch.as_tensor(x.detach().cpu().numpy().max()),
        lambda x: len(x.nonzero()),
        lambda x: int(x.argmax()),
        lambda x: x.masked_select(x > 0).sum(),
        lambda x: 1.0 if torch.equal(x, x * 2) else 2.0,
        lambda x: 1.0 if (x > 0).all() else 2.0,
        lambda x: torch.unique(x).sum(),
        lambda x: 1.0 if torch.allclose(x, x * 2) else 2.0,
        lambda x: len(torch.unique_consecutive(x > 100)),
        lambda x: torch.unique(x > 100, dim=1).shape[1],
        lambda x: len(torch.repeat_interleave((x[0, 0] > 100).long())),
        lambda x: len(torch.bincount((x > 100).flatten().long())),
        lambda x: torch.tensor([[x[0, 0, 0]], [x[1, 1, 1]]]).sum(),
        lambda x: torch.as_tensor([x[0, 0, 0] + 1.0]).sum(),
    ],
)
def test_values_do_not_leave_the_recording(leak: Callable[[torch.Tensor], Any]) -> None:
    """A number read from the input would be a constant of the graph, and its share silently lost."""
    model = Net(lambda s, x: x.flatten(1).sum(1, keepdim=True) * leak(x))
    with pytest.raises(CaptureError, match="reads a value computed from the input"):
        DeepLift(model, batch()[0], logits=False)


def test_modules_inside_vmap_are_recorded() -> None:
    torch.manual_seed(0)
    members = [nn.Sequential(nn.Linear(4 * L, 5), nn.ReLU(), nn.Linear(5, 2)).double() for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(members)  # type: ignore[arg-type]

    def member(own: Any, kept: Any, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(members[0], (own, kept), (x,))
        return result

    def together(_: Net, x: torch.Tensor) -> torch.Tensor:
        return torch.vmap(member, (0, 0, None))(parameters, buffers, x.flatten(1)).mean(0)

    x, references = batch()[0], batch()[0].flip(2)[:, None]
    apart = Net(lambda s, x: sum(m(x.flatten(1)) for m in s.members) / 3, members=nn.ModuleList(members))
    found, expected = (
        DeepLift(model, x, rule="rescale").attribute(x, references) for model in (Net(together), apart)
    )
    torch.testing.assert_close(found.contributions, expected.contributions)


@pytest.mark.parametrize(
    "sparse",
    [
        lambda h: torch.sparse.mm(torch.eye(h.shape[1], dtype=h.dtype).to_sparse(), h.T).T,
        lambda h: torch.sparse.mm(h.to_sparse(), torch.eye(h.shape[1], dtype=h.dtype)),
    ],
)
def test_sparse_tensors_are_refused_by_name(sparse: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(CaptureError, match=r"computes with a sparse tensor \(aten\._.*use a dense one"):
        DeepLift(Net(lambda s, x: sparse(x.flatten(1))), batch()[0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused_by_name(layout: torch.layout) -> None:
    def padded(_: Net, x: torch.Tensor) -> torch.Tensor:
        rows = torch.nested.as_nested_tensor(list(x.transpose(1, 2)), layout=layout)
        return torch.nested.to_padded_tensor(rows, 0.0).flatten(1)

    with pytest.raises(CaptureError, match=r"computes with a nested tensor \(aten\._nested.*with a mask"):
        DeepLift(Net(padded), batch()[0])


def test_operations_that_take_functions_are_recorded_as_their_eager_code() -> None:
    from torch._higher_order_ops.while_loop import while_loop

    def thrice(_: Net, x: torch.Tensor) -> torch.Tensor:
        _, h = while_loop(
            lambda step, h: step < 3, lambda step, h: (step + 1, torch.tanh(h)), (torch.tensor(0), x)
        )
        long = torch.tensor(x.shape[2] > 3)
        return torch.cond(long, lambda h: h * 2, lambda h: h * 3, (h,)).flatten(1)

    x, references = batch()[0], batch()[0].flip(2)[:, None]
    found, expected = (
        DeepLift(Net(run), x, rule="rescale").attribute(x, references)
        for run in (thrice, lambda s, x: x.tanh().tanh().tanh().mul(2).flatten(1))
    )
    torch.testing.assert_close(found.contributions, expected.contributions)
    branch = Net(lambda s, x: torch.cond(x.sum() > 3, lambda h: h * 2, lambda h: h * 3, (x,)).flatten(1))
    with pytest.raises(CaptureError, match=r"the model's forward .*reads a value computed from the input"):
        DeepLift(branch, x)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_is_recorded_as_its_eager_code() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    def flexible(_: Net, x: torch.Tensor) -> torch.Tensor:
        h = x.mT[:, None]
        return flex_attention(h, h, h).flatten(1)  # type: ignore[union-attr]

    def plain(_: Net, x: torch.Tensor) -> torch.Tensor:
        return ((x.mT @ x / 2).softmax(2) @ x.mT).flatten(1)

    x, references = (tensor.float() for tensor in batch(r=1))
    found, expected = (
        DeepLift(Net(run), x, logits=False).attribute(x, references) for run in (flexible, plain)
    )
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=1e-4, atol=1e-6)


def test_a_forward_that_imports_torchs_compiler_is_recorded_without_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch._dynamo as compiler

    monkeypatch.delitem(sys.modules, "torch._dynamo")

    def imports(_: Net, x: torch.Tensor) -> torch.Tensor:
        if "torch._dynamo" not in sys.modules:
            sys.modules["torch._dynamo"] = compiler
            raise RuntimeError("this code cannot be compiled while it is recorded")
        return x.flatten(1)

    assert DeepLift(Net(imports), batch()[0]).batch_size == len(batch()[0])


def test_quantised_layers_are_refused_by_name() -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), {nn.Linear})
    # The scale of the activations is that of the whole batch.
    with pytest.raises(CaptureError, match=r"rows of one batch mix in quantized\.linear_dynamic"):
        DeepLift(model, torch.rand(3, 4, 1))


def test_a_branch_in_torchscript_is_refused_alike() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Flatten(), torch.jit.script(Gate()))
    with pytest.raises(CaptureError, match="reads a value"):
        DeepLift(model, batch(dtype=torch.float32)[0])


def test_all_operations_without_a_rule_are_listed() -> None:
    inverse = Net(lambda s, x: torch.linalg.pinv(x))
    model = Net(
        lambda s, x: torch.relu(torch.logcumsumexp(torch.relu(s.inverse(s.conv(x))), 2)).flatten(1),
        conv=nn.Conv1d(4, 3, 3), inverse=inverse,
    )  # fmt: skip
    with pytest.raises(UnsupportedOpsError) as raised:
        DeepLift(model, batch(dtype=torch.float32)[0])
    message = str(raised.value)
    assert "aten.linalg_pinv" in message
    assert "module 'inverse'" in message
    assert "aten.logcumsumexp" in message
    assert "model's own forward" in message
    assert "test_core_capture.py:" in message
    assert "relu" not in message  # what comes after is not to blame
    assert len(raised.value.places) == len(set(raised.value.places)) >= 2


def test_operations_that_do_not_matter_need_no_rule() -> None:
    """Another output's operations, and constant ones."""
    model = Net(lambda s, x: (x.flatten(1) @ torch.arange(40.0).logcumsumexp(0), x.logcumsumexp(2)))
    assert DeepLift(model, batch(dtype=torch.float32)[0]).output_shape == ()
    with pytest.raises(UnsupportedOpsError, match="logcumsumexp"):
        DeepLift(model, batch(dtype=torch.float32)[0], output=1)


@pytest.mark.parametrize(
    "result", [lambda x: torch.ones(3), lambda x: None, lambda x: x.shape[0], lambda x: {}, lambda x: "done"]
)
def test_an_output_that_does_not_depend_on_the_input(result: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(
        CaptureError, match=r"Net returned \w+ with no tensor .*must return a tensor, or a tuple"
    ):
        DeepLift(Net(lambda s, x: result(x)), batch()[0])


def test_of_several_outputs_one_that_is_none_is_refused_with_the_others() -> None:
    model = Net(lambda s, x: (None, {"profile": x.sum(1), "counts": x.sum((1, 2))}))
    with pytest.raises(TargetError, match="output 0 does not depend on the input; choose from 1, 2"):
        DeepLift(model, batch()[0])
    assert DeepLift(model, batch()[0], output=2).output_shape == ()


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_token_ids_are_refused_with_the_way_out(dtype: torch.dtype) -> None:
    """And the way out, one-hot rows times the table, scores."""
    table = nn.Embedding(4, 3)
    model = Net(lambda s, x: s.head(s.tokens(x)).sum((1, 2)), tokens=table, head=nn.Linear(3, 1))
    with pytest.raises(CaptureError, match=r"module 'tokens' \(.*\) looks up token ids .*one-hot"):
        DeepLift(model, torch.randint(4, (2, 10)).to(dtype))
    x = batch(dtype=torch.float32)[0]
    with pytest.raises(UnsupportedOpsError, match=r"aten.argmax(.|\n)*'inner.tokens'(.|\n)*one-hot"):
        DeepLift(Net(lambda s, x: s.inner(x.argmax(1)), inner=model), x)
    one_hot = Net(lambda s, x: s.head(x.transpose(1, 2) @ s.tokens.weight).sum((1, 2)), **model._modules)
    assert DeepLift(one_hot, x).attribute(x, x.flip(2)).completeness_error.abs().max() < 1e-4


DRAWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "aten.randn_like": lambda x: x + torch.randn_like(x),
    "aten.native_dropout": lambda x: nn.functional.dropout(x, 0.5, training=True),
    "aten.bernoulli": lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
    "aten.rand": lambda x: x * torch.rand(1),
    "aten.exponential_": lambda x: nn.functional.gumbel_softmax(x, dim=1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_that_matter_are_refused(name: str) -> None:
    noise = Net(lambda s, x: DRAWS[name](x))
    model = Net(lambda s, x: s.head(s.noise(x).flatten(1)), noise=noise, head=nn.Linear(40, 1))
    with pytest.raises(
        CaptureError, match=rf"random numbers (.|\n)*{name}.* module 'noise'(.|\n)*self.training"
    ):
        DeepLift(model, batch(dtype=torch.float32)[0])
    again = Net(lambda s, x: (s.noise(x), s.head(x.flatten(1)) + 0 * torch.rand(1)), **model._modules)
    x = batch(dtype=torch.float32)[0]
    assert DeepLift(again, x, output=1).attribute(x, x.flip(2)).completeness_error.abs().max() < 1e-4


def test_a_model_that_fails_is_told_by_its_module() -> None:
    model = Net(lambda s, x: s.inner(x[:, :2]), inner=nn.Sequential(nn.Conv1d(4, 3, 3)))
    with pytest.raises(
        ForwardError, match=r"module 'inner.0' \(.*test_core_capture.py:\d+\) failed .*\[3, 4, 10\]"
    ):
        DeepLift(model, batch(dtype=torch.float32)[0])


def test_positions_that_depend_on_the_input_are_refused_not_guessed() -> None:
    for run in (
        lambda s, x: x.max(2).indices.double(),
        lambda s, x: x * x.argmax(2, keepdim=True),
        lambda s, x: x.gather(2, x.sort(2).indices),
        lambda s, x: x.flip(2).gather(2, x.argmax(2, keepdim=True)),
        lambda s, x: x.gather(2, torch.floor(x.mean(2, keepdim=True)).long().remainder(L)),
    ):
        with pytest.raises(UnsupportedOpsError):
            DeepLift(Net(lambda s, x, run=run: run(s, x).flatten(1)), batch()[0], logits=False)


def test_shapes_that_depend_on_the_input_are_refused() -> None:
    for run in (lambda x: x * x[x > 0].sum(), lambda x: x.flatten(1) + x[x > 0].reshape(1, -1).sum(1)):
        with pytest.raises(
            CaptureError, match=r"(rows .* mix|runs on the example, but not) .*test_core_capture"
        ):
            DeepLift(Net(lambda s, x, run=run: run(x).flatten(1)), batch()[0], logits=False)


# ---- in-place code and views


def _slices(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    h += 1
    h[:, 0].mul_(2)
    h[:, 1] = h[:, 2] * 3
    return F.relu_(h)


def _filled_row_by_row(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    out = torch.zeros(x.shape[0], 5, dtype=x.dtype)
    for i in range(5):
        out[:, i] = h[:, i % 3, i] * (i + 1)
    return out


def _a_view_made_before_the_write(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    left, turned = h[:, :, :4], h.transpose(1, 2)
    left.sigmoid_()
    turned[:, 5] += 5
    h.view(-1)[::3] = 0
    return turned


def _an_expanded_view_sees_the_write(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    wide = h.unsqueeze(1).expand(-1, 2, -1, -1)
    h.mul_(2)
    return wide


def _constants_into_a_view(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    every_other = h[:, ::2]
    every_other.zero_()
    every_other.add_(1.5)
    h[:, 1].fill_(2)
    h[:, 1, 3:].neg_()
    return torch.tanh_(h)


def _rewritten(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    kept = h.clone()
    h.zero_()
    h.add_(kept[:, :, :1])
    return h * kept


def _pieces(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    h.chunk(2, 2)[0].add_(1)
    h.unbind(1)[1].neg_()
    return h.permute(2, 0, 1).mul_(2).permute(1, 2, 0)


def _shape_in_place(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    h.unsqueeze_(1).squeeze_(1)
    h.transpose_(1, 2)
    return h.mul_(2)


def _arithmetic_in_place(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x).clamp_(-1, 1).pow_(2).sub_(0.5).div_(3)
    h.addcmul_(h, torch.full_like(h, 2)).lerp_(torch.ones_like(h), 0.3)
    return F.hardtanh_(F.elu_(F.leaky_relu_(h, 0.2)), -2, 2)


def _copied(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = torch.empty_like(x)
    h.copy_(x)
    h[..., 0].fill_(2)
    h[:, :, 3:5] = 0
    h[torch.arange(3), 1] = 7
    return h


def _masked(s: Net, x: torch.Tensor) -> torch.Tensor:
    h = s.c(x)
    h[h < 0] = 0.1
    return h.masked_fill_(h > 1, 1)


def _a_constant_changed_between_two_uses(s: Net, x: torch.Tensor) -> torch.Tensor:
    weight = torch.ones(L, dtype=x.dtype)
    weight[3] = 5
    first = x * weight
    weight[3] = 7
    return first + x * weight


def _a_buffer_of_other_strides(s: Net, x: torch.Tensor) -> torch.Tensor:
    buffer = torch.empty(3, L, 4, dtype=x.dtype).transpose(1, 2)
    buffer.copy_(x)
    buffer[:, 1:3, ::2] *= 3
    return buffer.contiguous()


def _padded_circularly(s: Net, x: torch.Tensor) -> torch.Tensor:
    return F.pad(F.pad(s.c(x), (2, 3), mode="circular"), (1, 1), mode="replicate")


IN_PLACE = [
    _slices, _filled_row_by_row, _constants_into_a_view, _a_view_made_before_the_write,
    _an_expanded_view_sees_the_write, _rewritten,
    _pieces, _shape_in_place, _arithmetic_in_place, _copied, _masked, _a_constant_changed_between_two_uses,
    _a_buffer_of_other_strides, _padded_circularly,
]  # fmt: skip


@pytest.mark.parametrize("run", IN_PLACE, ids=lambda run: run.__name__.strip("_"))
def test_in_place_code_and_views(run: Callable[[Net, torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(3)

    def whole(s: Net, x: torch.Tensor) -> torch.Tensor:
        out = run(s, x).flatten(1)
        return (out * torch.linspace(-1, 2, out.shape[1], dtype=out.dtype)).sum(1, keepdim=True)

    assert_replays(Net(whole, c=nn.Conv1d(4, 3, 3)).double())


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.transpose(1, 2).contiguous().transpose(1, 2),
        lambda t: t.flip(0).contiguous().flip(0),
        lambda t: t,
    ],
)
def test_views_in_the_model_do_not_mind_the_strides_of_a_batch(change: Callable[..., torch.Tensor]) -> None:
    model = Net(lambda s, x: s.d(x.view(-1, L)).view(-1, 12).sum(1, keepdim=True), d=nn.Linear(L, 3)).double()
    x, references = batch()
    expected = DeepLift(model, x).attribute(x, references).contributions
    for given in (references, references.transpose(1, 2).contiguous().transpose(1, 2)):
        found = DeepLift(model, change(x)).attribute(change(x), given).contributions
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert DeepLift(model, x).attribute(x, references[0]).completeness_error.abs().max() < 1e-9


@pytest.mark.parametrize("rule", ["rescale", "revealcancel"])
def test_what_is_cut_off_from_training_counts(rule: str) -> None:
    """Detached terms are a part of the function, in affine pieces and in derivatives alike."""
    x, references = batch()
    references[0, 0] = x[0]
    scores = []
    for cut in (torch.Tensor.detach, torch.Tensor.clone, lambda t: t.data):
        torch.manual_seed(0)

        def run(s: Net, x: torch.Tensor, cut: Callable[..., Any] = cut) -> torch.Tensor:
            h = s.d(x.flatten(1))
            h = h + 0.5 * cut(h)
            return s.e(torch.tanh(torch.stack([h, h], 1).mean(1)) * cut(h))

        model = Net(run, d=nn.Linear(40, 3), e=nn.Linear(3, 1)).double()
        scores.append(DeepLift(model, x, rule=rule).attribute(x, references, per_reference=True))
        assert scores[-1].completeness_error.abs().max() < 1e-9
    for found in scores[1:]:
        torch.testing.assert_close(found.multipliers, scores[0].multipliers, rtol=0, atol=1e-12)


def test_channels_last_models() -> None:
    """Their global pooling restrides its result in place."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(2, (1, L)), nn.Conv2d(4, 3, (1, 3)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(3, 1),
    )  # fmt: skip
    assert_replays(model.double().to(memory_format=torch.channels_last))
    strided = Net(
        lambda s, x: torch.as_strided(s.c(x), (3, 8, 3), (24, 1, 8)).flatten(1)[:, :5], c=nn.Conv1d(4, 3, 3)
    )
    assert_replays(strided.double())
    pooled = Net(
        lambda s, x: F.adaptive_avg_pool1d(s.c(x).transpose(1, 2).contiguous().transpose(1, 2), 1),
        c=nn.Conv1d(4, 3, 3),
    )
    assert_replays(pooled.double())


def test_calls_in_place_belong_to_an_activation_like_others() -> None:
    """exp in place, then SiLU: one activation, however it is written."""
    x, references = batch()
    scores = []
    for run in (
        lambda h: F.silu(torch.exp(h)),
        lambda h: F.silu(h.exp_()),
        lambda h: F.silu(h.exp_(), inplace=True),
    ):
        torch.manual_seed(0)
        model = Net(
            lambda s, x, run=run: s.e(run(s.d(x.flatten(1)))), d=nn.Linear(40, 3), e=nn.Linear(3, 1)
        ).double()
        explainer = DeepLift(model, x, rule="revealcancel")
        assert [node.rule for node in explainer.nodes].count("rescale") == 1
        scores.append(explainer.attribute(x, references).contributions)
    for found in scores[1:]:
        torch.testing.assert_close(found, scores[0], rtol=0, atol=1e-12)


def test_equal_values_in_other_strides_differ_nowhere() -> None:
    """x against itself laid out otherwise: the same kernels on the same shapes, so exactly nothing."""
    model = Net(lambda s, x: s.b(x).flatten(1).sum(1, keepdim=True), b=small()[:3])
    x, _ = batch(dtype=torch.float32)
    same = x.transpose(1, 2).contiguous().transpose(1, 2)
    result = DeepLift(model, x).attribute(x, same[:, None])
    assert torch.equal(result.contributions, torch.zeros_like(x))
    assert torch.equal(result.output, result.reference_output[:, 0])


# ---- where models come from


def _exported(model: nn.Module, x: torch.Tensor) -> nn.Module:
    return torch.export.export(model, (x,)).module()


SOURCES: dict[str, Callable[[nn.Module, torch.Tensor], nn.Module]] = {
    "traced": torch.jit.trace,
    "scripted": lambda model, x: torch.jit.script(model),
    "scripted in training mode": lambda model, x: torch.jit.script(model.train()),
    "frozen": lambda model, x: torch.jit.freeze(torch.jit.script(model)),
    "traced and frozen": lambda model, x: torch.jit.freeze(torch.jit.trace(model, x)),
    "exported": _exported,
    "fx": lambda model, x: torch.fx.symbolic_trace(model),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", SOURCES)
def test_models_from_elsewhere_replay_and_score_alike(source: str) -> None:
    x, references = batch()
    model = small().double().eval()
    other = SOURCES[source](copy.deepcopy(model), x)
    expected = DeepLift(model, x).attribute(x, references, 1)
    found = DeepLift(other, x).attribute(x, references, 1)
    torch.testing.assert_close(found.output, expected.output, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.contributions, expected.contributions, rtol=0, atol=1e-12)
    assert_replays(other)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_replay(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = Net(
        lambda s, x: s.d(s.n(x.transpose(1, 2))[0][:, -1]), n=kind(4, 5, batch_first=True), d=nn.Linear(5, 1)
    )
    assert_replays(model.double())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "normalise",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
)
def test_weight_and_spectral_norm(normalise: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(normalise(nn.Conv1d(4, 3, 3)), nn.ReLU(), nn.Flatten(), normalise(nn.Linear(24, 1)))
    model = model.double().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, references = batch()
    assert DeepLift(model).attribute(x, references).completeness_error.abs().max() < 1e-9
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert_replays(model.eval())


def test_a_reused_module() -> None:
    """Every use has its own node; the module's rule holds for all of them."""
    torch.manual_seed(0)
    model = Net(
        lambda s, x: s.out(s.act(s.d(s.act(s.d(x.flatten(1)))))),
        d=nn.Linear(40, 40), act=nn.Softplus(), out=nn.Linear(40, 1),
    ).double()  # fmt: skip
    assert_replays(model)
    x, references = batch()
    explainer = DeepLift(model, x, rule="rescale", layer_rules={"act": "revealcancel"})
    assert [node.rule for node in explainer.nodes if node.module == "act"] == ["revealcancel"] * 2
    inner = explainer.attribute(x, references, layer="act:1")
    assert inner.contributions.shape == (3, 40)
    assert inner.completeness_error.abs().max() < 1e-9


class Both(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


def test_models_with_several_outputs() -> None:
    x, references = batch()
    parts = {"a": nn.Linear(40, 3).double(), "b": nn.Linear(40, 2).double()}
    expected = {
        name: DeepLift(nn.Sequential(nn.Flatten(), part), x).attribute(x, references, 1).contributions
        for name, part in parts.items()
    }

    def check(run: Callable[..., Any], which: dict[int | str, str]) -> None:
        model = Net(lambda s, x: run(s.a(x.flatten(1)), s.b(x.flatten(1))), **parts)
        for output, part in which.items():
            found = DeepLift(model, x, output=output).attribute(x, references, 1).contributions
            torch.testing.assert_close(found, expected[part], rtol=0, atol=0)

    check(lambda a, b: (a, b), {0: "a", 1: "b"})
    check(lambda a, b: [a, {"deep": b}], {0: "a", 1: "b"})
    check(lambda a, b: Both(a, b), {0: "a", 1: "b"})
    check(lambda a, b: {"profile": a, "counts": b}, {"profile": "a", "counts": "b", 0: "a", 1: "b"})
    check(lambda a, b: {"profile": a, "constant": torch.ones(3), "counts": b}, {"counts": "b"})
    model = Net(lambda s, x: {"y": s.a(x.flatten(1)), "c": torch.ones(3)}, **parts)
    with pytest.raises(TargetError, match=r"no output named 'z' \(y, c\)"):
        DeepLift(model, x, output="z")
    with pytest.raises(TargetError, match="'c' does not depend on the input; choose from y"):
        DeepLift(model, x, output="c")
    with pytest.raises(TargetError, match=r"no output 2: it has 2 \(0 to 1\)"):
        DeepLift(model, x, output=2)
    with pytest.raises(TargetError, match="none are named"):
        DeepLift(parts["a"], x.flatten(1), output="y")


# ---- dtypes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rule", ["rescale", "revealcancel", "genomics-default"])
def test_half_precision(dtype: torch.dtype, rule: str) -> None:
    """Scores in 16 bits stay near those in 32, for models and for inputs in them."""
    x, references = batch(dtype=torch.float32)
    expected = DeepLift(small(), rule=rule).attribute(x, references).contributions
    for model in (small().to(dtype), small()):
        found = DeepLift(model, rule=rule, dtype=dtype).attribute(x.to(dtype), references.to(dtype))
        assert found.contributions.dtype == found.output.dtype == torch.float32
        assert found.contributions.isfinite().all()
        assert found.completeness_error.abs().max() < 0.1 * found.output.abs().max()
        both = torch.stack([found.contributions.float().flatten(), expected.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.95


def test_inputs_of_any_dtype_are_computed_in_the_models() -> None:
    x = F.one_hot(torch.randint(4, (3, L)), 4).transpose(1, 2)
    references = torch.full((1, 4, L), 0.25, dtype=D)
    for given in (x, x.to(torch.int8), x.bool(), x.half(), x.double()):
        found = DeepLift(small()).attribute(given, references)
        assert found.contributions.dtype == torch.float32
    assert DeepLift(small(), dtype=D).attribute(x, references).contributions.dtype == D
    plain = Net(lambda s, x: x.flatten(1).sum(1))
    assert DeepLift(plain).attribute(x.double(), references).contributions.dtype == D
    assert DeepLift(plain).attribute(x, references).contributions.dtype == torch.float32


def test_nothing_is_recorded_before_an_example() -> None:
    for ask in ("nodes", "batch_size", "output_shape"):
        with pytest.raises(OptionError, match="nothing is recorded yet"):
            getattr(DeepLift(small()), ask)
