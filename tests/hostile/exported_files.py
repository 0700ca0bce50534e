"""Programs of torch.export (.pt2): archives that torch itself unpickles, and evaluates text of."""

import functools
import io
import json
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_models import Net
from torch import Tensor, nn

from hostile import archives
from hostile.cases import Kind, of_model
from hostile.payloads import Command, Evaluate, Execute, expression, touch
from hostile.running import payload_of, session_place
from hostile.tidy import LENGTH, LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m m.pt2 -f in.fa -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
INSPECT = "inspect -m m.pt2"
FILE = r"m\.pt2"

SAMPLES, WEIGHTS, CONSTANTS = "data/sample_inputs/model.pt", "data/weights", "data/constants"
WEIGHTS_CONFIG, CONSTANTS_CONFIG = (
    f"{WEIGHTS}/model_weights_config.json",
    f"{CONSTANTS}/model_constants_config.json",
)
PROGRAM = "models/model.json"


class WithBuffer(Net):
    """Has a constant, too."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) + self.shift


class Halves(nn.Module):
    """Computes in half precision whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.half().float()).half().float()


KINDS: dict[str, type[nn.Module]] = {"Net": Net, "WithBuffer": WithBuffer, "Halves": Halves}


@functools.cache
def exported(name: str = "Net", any_batch: bool = False) -> Path:
    """A tidy .pt2 file."""
    path = session_place("exported").work / f"{name}-{any_batch}.pt2"
    shapes = ({0: torch.export.Dim("rows", min=1, max=4096)},) if any_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            KINDS[name]().eval(), (torch.zeros(3, 4, LENGTH),), dynamic_shapes=shapes
        )
        torch.export.save(program, path)
    return path


def saved(value: object) -> bytes:
    """As torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


Edit = Callable[[dict[str, bytes], Path], object]


def surgery(
    edit: Edit, base: str = "Net", any_batch: bool = False, name: str = "m.pt2"
) -> Callable[[Path], None]:
    """A tidy file with something done to what is in it."""

    def make(folder: Path) -> None:
        archives.changed(exported(base, any_batch), folder / name, lambda inner: edit(inner, folder))

    return make


def program(edit: Callable[[Any, Path], object]) -> Edit:
    """Something done to the program's JSON."""

    def change(inner: dict[str, bytes], folder: Path) -> None:
        found = json.loads(inner[PROGRAM])
        edit(found, folder)
        inner[PROGRAM] = json.dumps(found).encode()

    return change


def text(old: str, new: Callable[[Path], str] | str, count: int = 1) -> Edit:
    """Another text in the program's JSON."""

    def change(inner: dict[str, bytes], folder: Path) -> None:
        content = inner[PROGRAM].decode()
        assert old in content
        inner[PROGRAM] = content.replace(old, new if isinstance(new, str) else new(folder), count).encode()

    return change


# ---- code


def _sample_inputs(make: Callable[[Path], object]) -> Edit:
    return lambda inner, folder: inner.__setitem__(
        SAMPLES, saved(((torch.zeros(3, 4, LENGTH), make(folder)), {}))
    )


def _pickled_weight(inner: dict[str, bytes], folder: Path) -> None:
    config = json.loads(inner[WEIGHTS_CONFIG])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    inner[f"{WEIGHTS}/{first['path_name']}"] = saved(touch(folder))
    inner[WEIGHTS_CONFIG] = json.dumps(config).encode()


def _constant(name: str, content: Callable[[Path], bytes]) -> Edit:
    def change(inner: dict[str, bytes], folder: Path) -> None:
        config = json.loads(inner[CONSTANTS_CONFIG])
        meta = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        config["config"]["more"] = meta
        inner[CONSTANTS_CONFIG] = json.dumps(config).encode()
        inner[f"{CONSTANTS}/{name}"] = content(folder)

    return change


def _bare(folder: Path) -> bytes:
    return pickle.dumps(touch(folder))


def _legacy(where: str) -> Edit:
    return lambda inner, folder: inner.__setitem__(f"{where}/model.pt", saved({"conv.weight": touch(folder)}))


def _bare_samples(protocol: int) -> Edit:
    """Not in torch's own archive but as old versions of torch.save wrote it, or as a pickle alone."""
    return lambda inner, folder: inner.__setitem__(SAMPLES, pickle.dumps(touch(folder), protocol=protocol))


def _old_torch_save(inner: dict[str, bytes], folder: Path) -> None:
    buffer = io.BytesIO()
    torch.save(((touch(folder),), {}), buffer, _use_new_zipfile_serialization=False)
    inner[SAMPLES] = buffer.getvalue()


def _symbol(inner: dict[str, bytes], folder: Path) -> None:
    """The text of a size, which sympy evaluates as Python."""
    content = inner[PROGRAM].decode()
    found = json.loads(content)
    replaced = _replace_expressions(found, expression(payload_of(folder)))
    assert replaced
    inner[PROGRAM] = json.dumps(found).encode()


def _replace_expressions(value: Any, new: str) -> int:
    if isinstance(value, list):
        return sum(_replace_expressions(item, new) for item in value)
    if not isinstance(value, dict):
        return 0
    count = sum(_replace_expressions(item, new) for item in value.values())
    if isinstance(value.get("expr_str"), str):
        value["expr_str"] = new
        count += 1
    return count


def _guards(make: Callable[[Path], str]) -> Edit:
    return program(lambda found, folder: found.__setitem__("guards_code", [make(folder)]))


_CODE = {
    "sample inputs": (_sample_inputs(touch), "Net"),
    "sample inputs, by eval": (_sample_inputs(lambda folder: Evaluate(payload_of(folder))), "Net"),
    "sample inputs, by exec": (_sample_inputs(lambda folder: Execute(payload_of(folder))), "Net"),
    "sample inputs, by the shell": (_sample_inputs(lambda folder: Command(payload_of(folder))), "Net"),
    "sample inputs in a bare pickle": (_bare_samples(2), "Net"),
    "sample inputs in a bare pickle of text": (_bare_samples(0), "Net"),
    "sample inputs of an old torch.save": (_old_torch_save, "Net"),
    "a weight marked use_pickle": (_pickled_weight, "Net"),
    "a constant marked use_pickle": (
        _constant("tensor_9", lambda folder: saved(touch(folder))),
        "WithBuffer",
    ),
    "an opaque constant": (_constant("opaque_obj_0", _bare), "WithBuffer"),
    "an opaque constant of a program without constants": (_constant("opaque_obj_0", _bare), "Net"),
    "a custom object": (_constant("custom_obj_0", _bare), "WithBuffer"),
    "legacy weights": (_legacy(WEIGHTS), "Net"),
    "legacy constants": (_legacy(CONSTANTS), "Net"),
    "the guards' text": (_guards(lambda folder: expression(payload_of(folder)) + " is None"), "Net"),
    "the guards' text, with a line of its own": (
        _guards(lambda folder: f"True, '')\n  {expression(payload_of(folder))}\n  torch._assert(True"),
        "Net",
    ),
}
for _name, (_edit, _base) in _CODE.items():
    # Guards are not made without example inputs, which are left out: their text is never read.
    _codes = (0, 1) if "guards" in _name else 1
    bad(f"code in {_name}", QUIET, FILE, code=_codes, make=surgery(_edit, _base))
    bad(f"inspect: code in {_name}", INSPECT, FILE, code=_codes, make=surgery(_edit, _base))
bad("code in a size's text", QUIET, FILE, make=surgery(_symbol, any_batch=True))
bad("inspect: code in a size's text", INSPECT, FILE, make=surgery(_symbol, any_batch=True))
for _file in ("m.pt", "m.onnx", "m.pth", "m", "m.h5", "m.zip", "in.fa.pt2"):
    bad(
        f"code in sample inputs of {_file}",
        of_model(QUIET, _file),
        make=surgery(_sample_inputs(touch), name=_file),
    )
    bad(
        f"code in legacy weights of {_file}",
        of_model(QUIET, _file),
        make=surgery(_legacy(WEIGHTS), name=_file),
    )


def _version_2_7(part: str) -> Callable[[Path], None]:
    """The layout of torch 2.7 and before: other names, no top folder."""

    def make(folder: Path) -> None:
        inner = archives.members(exported())
        top = next(iter(inner)).partition("/")[0]
        version = [str(number) for number in torch._export.serde.schema.SCHEMA_VERSION]  # type: ignore[attr-defined]
        content = {
            "version": ".".join(version).encode(),
            "serialized_exported_program.json": inner[f"{top}/{PROGRAM}"],
            "serialized_state_dict.pt": saved(Net().state_dict()),
            "serialized_constants.pt": saved({}),
            "serialized_example_inputs.pt": saved(((torch.zeros(3, 4, LENGTH),), {})),
        }
        content[f"serialized_{part}.pt"] = saved({"conv.weight": touch(folder)})
        archives.write(folder / "m.pt2", content)

    return make


for _part in ("state_dict", "constants", "example_inputs"):
    bad(f"code in {_part} of torch 2.7's layout", QUIET, FILE, make=_version_2_7(_part))


def _compiled(name: str) -> Edit:
    return lambda inner, folder: inner.update({f"data/aotinductor/model/{name}": b"\x7fELF" + bytes(200)})


for _library in ("model.so", "model.wrapper.cpp", "model.wrapper.so", "model.cubin", "anything"):
    bad(f"compiled code: {_library}", QUIET, FILE, "compiled|code", make=surgery(_compiled(_library)))


def _two_of_one_name(folder: Path) -> None:
    """Two members of one name: readers differ in which they take."""
    inner = archives.members(exported())
    top = next(iter(inner)).partition("/")[0]
    hostile = saved(((torch.zeros(3, 4, LENGTH), touch(folder)), {}))
    for name, first in (("m.pt2", hostile), ("m2.pt2", inner[f"{top}/{SAMPLES}"])):
        with zipfile.ZipFile(folder / name, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(f"{top}/{SAMPLES}", first)
            for member, data in inner.items():
                archive.writestr(member, data)
            archive.writestr(f"{top}/{SAMPLES}", hostile)


bad("code in one of two members of one name", QUIET, FILE, code=(0, 1), make=_two_of_one_name)
bad(
    "code in the other of two members of one name",
    of_model(QUIET, "m2.pt2"),
    code=(0, 1),
    make=_two_of_one_name,
)


def _second_model(inner: dict[str, bytes], folder: Path) -> None:
    """torch loads all models of an archive."""
    for name in list(inner):
        for part in (
            "models/model.json",
            "sample_inputs/model.pt",
            "model_weights_config.json",
            "model_constants_config.json",
        ):
            if name.endswith(part):
                inner[name.replace("/model", "/other")] = inner[name]
    inner["data/sample_inputs/other.pt"] = saved(((touch(folder),), {}))


# Only the first model's members are given to torch.
bad("code in a second model's sample inputs", QUIET, FILE, code=(0, 1), make=surgery(_second_model))


def _program_reads(folder: Path) -> None:
    """A program whose graph writes to a file: torch.from_file makes it where it is not there."""

    class Writes(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.logits(x)

    program = torch.export.export(Writes().eval(), (torch.zeros(3, 4, LENGTH),))
    torch.export.save(program, folder / "m.pt2")
    archives.changed(folder / "m.pt2", folder / "m2.pt2", lambda inner: _call_from_file(inner, folder))
    shutil.move(folder / "m2.pt2", folder / "m.pt2")


def _call_from_file(inner: dict[str, bytes], folder: Path) -> None:
    """Put aten.from_file before everything else in the graph."""
    found = json.loads(inner[PROGRAM])
    graph = found["graph_module"]["graph"]
    first = graph["nodes"][0]
    output = json.loads(json.dumps(first["outputs"][0]))
    output["as_tensor"]["name"] = "of_file"
    call = json.loads(json.dumps(first))
    call |= {
        "target": "torch.ops.aten.from_file.default",
        "name": "of_file",
        "outputs": [output],
        "inputs": [
            {"name": "filename", "arg": {"as_string": str(payload_of(folder))}, "kind": 1},
            {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
            {"name": "size", "arg": {"as_int": 4}, "kind": 1},
        ],
    }
    graph["nodes"].insert(0, call)
    graph["tensor_values"]["of_file"] = next(iter(graph["tensor_values"].values()))
    inner[PROGRAM] = json.dumps(found).encode()


# Its result is not used: torch may leave the call out, and then the program is as good as any.
bad("a program that writes a file", QUIET, FILE, code=(0, 1), make=_program_reads)
for _target in (
    "torch.os.system",
    "torch.serialization.load",
    "builtins.eval",
    "_operator.call",
    "torch.ops.load_library",
    "math.__loader__",
    "torch.nn.Module",
    "torch.hub.load",
    "",
):
    bad(
        f"an operator called {_target!r}",
        QUIET,
        FILE,
        make=surgery(text("torch.ops.aten.relu.default", _target, count=9)),
    )


# ---- damage


bad(
    "cut in half",
    QUIET,
    FILE,
    "damaged|truncated",
    make=lambda folder: (folder / "m.pt2").write_bytes(
        exported().read_bytes()[: exported().stat().st_size // 2]
    ),
)
bad("an archive of nothing", QUIET, FILE, make=lambda folder: archives.write(folder / "m.pt2", {}))
bad(
    "an archive of something else",
    QUIET,
    FILE,
    make=lambda folder: archives.write(folder / "m.pt2", {"a/b.txt": b"hello"}),
)
for _name in (
    SAMPLES,
    WEIGHTS_CONFIG,
    PROGRAM,
    "archive_format",
    "version",
    "archive_version",
    f"{WEIGHTS}/weight_0",
):
    bad(
        f"without {_name}",
        QUIET,
        FILE,
        code=(0, 1),
        make=surgery(lambda inner, folder, name=_name: inner.pop(name, None)),
    )
for _name in (WEIGHTS_CONFIG, CONSTANTS_CONFIG, PROGRAM):
    for _what, _content in {
        "no JSON": b"{",
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "an empty object": b"{}",
        "no UTF-8": b"\xff\xfe",
        "brackets 100,000 deep": b"[" * 100_000,
    }.items():
        bad(
            f"{_what} in {_name}",
            QUIET,
            FILE,
            make=surgery(
                lambda inner, folder, name=_name, content=_content: inner.__setitem__(name, content)
            ),
        )


def _first_meta(edit: Callable[[Any], object]) -> Edit:
    def change(inner: dict[str, bytes], folder: Path) -> None:
        config = json.loads(inner[WEIGHTS_CONFIG])
        edit(next(iter(config["config"].values())))
        inner[WEIGHTS_CONFIG] = json.dumps(config).encode()

    return change


for _name, _change in {
    "sizes that are too large": lambda meta: meta["tensor_meta"].__setitem__(
        "sizes", [{"as_int": 10**6}, {"as_int": 10**6}]
    ),
    "sizes below 0": lambda meta: meta["tensor_meta"].__setitem__("sizes", [{"as_int": -3}]),
    "sizes that are words": lambda meta: meta["tensor_meta"].__setitem__("sizes", ["x"]),
    "an offset of 2**60": lambda meta: meta["tensor_meta"].__setitem__("storage_offset", {"as_int": 2**60}),
    "an offset below 0": lambda meta: meta["tensor_meta"].__setitem__("storage_offset", {"as_int": -4}),
    "a type of 99": lambda meta: meta["tensor_meta"].__setitem__("dtype", 99),
    "a path outside": lambda meta: meta.__setitem__("path_name", "../../../../../etc/passwd"),
    "an absolute path": lambda meta: meta.__setitem__("path_name", "/etc/passwd"),
    "no tensor": lambda meta: meta.__setitem__("tensor_meta", None),
    "a device that is not there": lambda meta: meta["tensor_meta"].__setitem__(
        "device", {"type": "cuda", "index": 99}
    ),
}.items():
    bad(
        f"a weight with {_name}",
        QUIET,
        FILE,
        code=(0, 1) if "device" in _name else 1,
        make=surgery(_first_meta(_change)),
    )
bad(
    "weights of NaN",
    QUIET,
    FILE,
    "nan",
    make=surgery(
        lambda inner, folder: inner.update(
            {
                name: b"\xff" * len(data)
                for name, data in inner.items()
                if name.startswith(f"{WEIGHTS}/weight_")
            }
        )
    ),
)
bad(
    "weights cut short",
    QUIET,
    FILE,
    make=surgery(
        lambda inner, folder: inner.update(
            {name: data[:5] for name, data in inner.items() if name.startswith(f"{WEIGHTS}/weight_")}
        )
    ),
)


def _deflated_zeros(folder: Path) -> None:
    """Members that say they are 4 GB long, of 4 MB each."""
    inner = archives.members(exported())
    top = next(iter(inner)).partition("/")[0]
    with zipfile.ZipFile(folder / "m.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in inner.items():
            archive.writestr(name, data)
        with archive.open(f"{top}/{WEIGHTS}/weight_99", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(64 << 20))


bad("a member of 4 GB of zeros, compressed", QUIET, FILE, code=(0, 1), make=_deflated_zeros, long=True)


# ---- odd and valid


def _copy(name: str, *, base: str = "Net", any_batch: bool = False) -> Callable[[Path], None]:
    return lambda folder: shutil.copyfile(exported(base, any_batch), folder / name)


odd("a fixed batch", SCORE, *LETTERS, make=_copy("m.pt2"), notes=("batch",))
odd("any batch", SCORE, *LETTERS, make=_copy("m.pt2", any_batch=True))
odd("inspect: any batch", INSPECT, make=_copy("m.pt2", any_batch=True))
for _file in ("m.pt", "m.zip", "m.onnx", "m"):
    odd(f"named {_file}", of_model(SCORE, _file), *LETTERS, make=_copy(_file), notes=("batch",))
odd("with a constant", SCORE, *LETTERS, make=_copy("m.pt2", base="WithBuffer"), notes=("batch",))
odd("a cast to half precision inside", SCORE, make=_copy("m.pt2", base="Halves"), notes=("batch",))
odd(
    "further members that say nothing",
    SCORE,
    *LETTERS,
    notes=("batch",),
    make=surgery(lambda inner, folder: inner.update({"extra/notes.txt": b"hello", "extra/é": b"x"})),
)
