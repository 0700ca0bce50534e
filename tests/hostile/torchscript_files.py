"""TorchScript archives."""

import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from small_models import Net, torchscript
from torch import Tensor, nn

from hostile import archives
from hostile.cases import LITTLE_MEMORY, Kind
from hostile.payloads import hostile_pickle, touch
from hostile.running import payload_of
from hostile.tidy import LENGTH, LETTERS

kind = Kind(__name__)
bad, odd = kind.bad, kind.odd
SCORE = "score -m m.pt -f in.fa -o out.h5 --n-references 2"
QUIET = f"{SCORE} -q"
INSPECT = "inspect -m m.pt"
FILE = r"m\.pt"


class Saves(Net):
    """Writes a file whenever it is run."""

    path: str

    def __init__(self, path: str = "") -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        torch.save(y, self.path)
        return y


class SavesInAPart(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.inner = Saves(path)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * 2


class SavesWhereItIsNeverRun(Net):
    """Its forward does not come to it, on the sequences at hand."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        if bool(x.sum() > 1e9):
            torch.save(y, self.path)
        return y


class SavesInAMethod(Net):
    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def store(self, y: Tensor) -> Tensor:
        torch.save(y, self.path)
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.store(self.logits(x))


class SavesWhenLoaded(Net):
    """What a module does when it is loaded is code, too."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), self.path)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


class FromFile(Net):
    """torch.from_file makes the file where it is not there."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        more = torch.from_file(self.path, True, 4)
        return self.logits(x) + more.sum()


class InAnotherThread(Net):
    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def store(self, y: Tensor) -> Tensor:
        torch.save(y, self.path)
        return y

    def forward(self, x: Tensor) -> Tensor:
        future = torch.jit.fork(self.store, self.logits(x))
        return torch.jit.wait(future)


def script(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module.eval()).save(str(path))


def hostile_module(build: Callable[[str], nn.Module], name: str = "m.pt") -> Callable[[Path], None]:
    """A module that writes the payload's file, saved."""

    def make(folder: Path) -> None:
        payload = payload_of(folder)
        script(build(str(payload)), folder / name)
        payload.unlink(missing_ok=True)  # what torch.jit.script ran itself

    return make


for _name, _build in {
    "in forward": Saves,
    "in a part": SavesInAPart,
    "in a branch": SavesWhereItIsNeverRun,
    "in a method": SavesInAMethod,
    "when it is loaded": SavesWhenLoaded,
    "by from_file": FromFile,
    "in another thread": InAnotherThread,
}.items():
    _says = "save|from_file|file|must not depend on the sequence"
    bad(f"writes a file {_name}", QUIET, FILE, _says, make=hostile_module(_build))
    bad(f"inspect: writes a file {_name}", INSPECT, FILE, _says, make=hostile_module(_build))
for _file in ("m.pt2", "m.onnx", "m"):
    bad(f"writes a file, named {_file}", f"{QUIET} -m {_file}", make=hostile_module(Saves, _file))


def _traced_frozen(folder: Path) -> None:
    payload = payload_of(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(torch.jit.script(Saves(str(payload)).eval())).save(str(folder / "m.pt"))
    payload.unlink(missing_ok=True)


bad("writes a file, frozen", QUIET, FILE, make=_traced_frozen)


# ---- modules that fail


class Raises(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(0) > 0:
            raise RuntimeError("of its own")
        return self.logits(x)


class RaisesOnN(Net):
    """Fails at what no trial shows: a column without a base."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x.sum(1) == 0).any()):
            raise ValueError("no N, please")
        return self.logits(x)


class Asserts(Net):
    def forward(self, x: Tensor) -> Tensor:
        assert x.size(0) == 0, "none of it"
        return self.logits(x)


class MissingKey(Net):
    def forward(self, x: Tensor) -> Tensor:
        table = {"a": 1}
        return self.logits(x) * table["b"]


class BeyondTheList(Net):
    def forward(self, x: Tensor) -> Tensor:
        values = [1]
        return self.logits(x) * values[7]


class DividesByZero(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) * (1 // (x.size(0) - x.size(0)))


class NoForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    @torch.jit.export
    def predict(self, x: Tensor) -> Tensor:
        return x * self.weight.sum()


class ReturnsADictionary(Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.logits(x)}


class ReturnsText(Net):
    def forward(self, x: Tensor) -> str:
        return "hello"


class ReturnsNothing(Net):
    def forward(self, x: Tensor) -> None:
        self.logits(x)


class ReturnsANumber(Net):
    def forward(self, x: Tensor) -> float:
        return float(self.logits(x).sum())


class TakesNothing(Net):
    def forward(self) -> Tensor:
        return torch.ones(1)


class TakesText(Net):
    def forward(self, x: str) -> Tensor:
        return torch.ones(1)


class Random(Net):
    """Another output at each call."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        return y + torch.rand_like(y)


class SlightlyRandom(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        return y * (1 + 0.05 * torch.rand(1))


class Counts(Net):
    """Its output grows with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.logits(x) * self.calls


class CountsInAnAttribute(Net):
    calls: int

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.logits(x) * float(self.calls)


class ChangesAfterTenCalls(Net):
    calls: int

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.logits(x) if self.calls < 10 else -self.logits(x)


class ChangesItsInput(Net):
    """In place: whoever calls it finds another tensor."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        x.mul_(0)
        return y


class NeverEnds(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        while bool(y.sum() == y.sum()):
            y = y + 1e-3
        return y


class Mixes(Net):
    """A row's output depends on the others."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x - 0.5 * x.mean(0, keepdim=True))


class MakesTenGigabytes(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) + torch.ones(50_000, 50_000).mean()


class MakesMuchOfEachRow(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        return (y.unsqueeze(-1) * torch.ones(200_000_000)).mean(-1)


class Nan(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) * float("nan")


class Infinite(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) / 0.0


class Integers(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x).long()


class Booleans(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) > 0


class NoRows(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)[:0]


class NoColumns(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)[:, :0]


class Empty(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def module_case(build: Callable[[], nn.Module]) -> Callable[[Path], None]:
    return lambda folder: script(build(), folder / "m.pt")


for _name, _says, _kind in (
    ("raises an exception", "of its own", Raises),
    ("asserts", "", Asserts),
    ("looks up a key that is missing", "", MissingKey),
    ("goes beyond a list", "", BeyondTheList),
    ("divides by zero", "", DividesByZero),
    ("has no forward", "forward", NoForward),
    ("returns text", "", ReturnsText),
    ("returns nothing", "", ReturnsNothing),
    ("returns a number", "", ReturnsANumber),
    ("takes nothing", "input|argument", TakesNothing),
    ("takes text", "", TakesText),
    ("gives another output at each call", "random|call|same", Random),
    ("gives a slightly other output at each call", "random|call|same", SlightlyRandom),
    ("counts its calls in a buffer", "call|state|same|buffer", Counts),
    ("counts its calls in an attribute", "call|state|same", CountsInAnAttribute),
    ("is NaN", "nan", Nan),
    ("is infinite", "inf|nan", Infinite),
    ("gives integers", "", Integers),
    ("gives truth values", "", Booleans),
    ("gives no rows", "", NoRows),
    ("gives no columns", "target|output", NoColumns),
    ("needs 10 GB", r"memory", MakesTenGigabytes),
    ("needs 1.6 GB for each row", "memory", MakesMuchOfEachRow),
):
    # What a model's own code takes is known once it runs: the job's limit is what stops it.
    _setting = LITTLE_MEMORY if _name.startswith("needs") else {}
    bad(_name, QUIET, FILE, *([_says] if _says else []), make=module_case(_kind), setting=_setting)
    if _name != "takes nothing":
        _long = _name.startswith("needs")
        bad(f"inspect: {_name}", INSPECT, FILE, make=module_case(_kind), long=_long, setting=_setting)
# Scored one row at a time, or refused.
bad("mixes rows", QUIET, FILE, code=(0, 1), make=module_case(Mixes))
# Code that never returns runs no handler of a signal: the program ends all the same.
bad(
    "never ends, and Ctrl-C comes",
    QUIET,
    "stopped by SIGINT.*did not return",
    code=130,
    make=module_case(NeverEnds),
    setting={"signal": (signal.SIGINT, 3)},
    keeps=(".out.h5.*",),
    long=True,
)
bad("changes after ten calls", QUIET, FILE, code=(0, 1), make=module_case(ChangesAfterTenCalls))
bad("returns a dictionary", QUIET, FILE, code=(0, 1), make=module_case(ReturnsADictionary))
bad("changes its input", QUIET, FILE, code=(0, 1), make=module_case(ChangesItsInput))
bad("returns its input", QUIET, FILE, code=(0, 1), make=module_case(Empty))
bad("has a branch of its input", QUIET, FILE, "depend on the sequence|branch", make=module_case(RaisesOnN))


# ---- archives that are damaged, or hold something else


def _surgery(edit: Callable[[dict[str, bytes], Path], object], name: str = "m.pt") -> Callable[[Path], None]:
    return lambda folder: archives.changed(
        torchscript("Net"), folder / name, lambda inner: edit(inner, folder)
    )


for _member in ("data.pkl", "constants.pkl"):
    bad(
        f"a hostile pickle for {_member}",
        QUIET,
        FILE,
        code=(0, 1) if _member == "constants.pkl" else 1,
        make=_surgery(lambda inner, folder, name=_member: inner.__setitem__(name, hostile_pickle(folder))),
    )
    bad(
        f"{_member} of random bytes",
        QUIET,
        FILE,
        make=_surgery(lambda inner, folder, name=_member: inner.__setitem__(name, bytes(range(256)))),
    )
    bad(
        f"{_member} cut short",
        QUIET,
        FILE,
        make=_surgery(
            lambda inner, folder, name=_member: inner.__setitem__(name, inner[name][: len(inner[name]) // 2])
        ),
    )
    bad(f"without {_member}", QUIET, FILE, make=_surgery(lambda inner, folder, name=_member: inner.pop(name)))


def _code(edit: Callable[[str], str]) -> Callable[[Path], None]:
    """Another text of the module's code."""

    def change(inner: dict[str, bytes], folder: Path) -> None:
        for name in inner:
            if name.startswith("code/") and name.endswith(".py"):
                inner[name] = edit(inner[name].decode()).encode()

    return _surgery(change)


bad("code that does not parse", QUIET, FILE, make=_code(lambda text: text + "\n\n)(\n"))
bad("code that is empty", QUIET, FILE, make=_code(lambda text: ""))
bad(
    "code of no UTF-8",
    QUIET,
    FILE,
    make=_surgery(
        lambda inner, folder: inner.update({name: b"\xff\xfe" for name in inner if name.endswith(".py")})
    ),
)
bad("code that imports", QUIET, FILE, code=(0, 1), make=_code(lambda text: "import os\n" + text))
bad(
    "code nested 50,000 deep",
    QUIET,
    FILE,
    make=_code(lambda text: text.replace("return ", f"return {'(' * 50_000}", 1)),
)
bad(
    "code that calls an operator that is not there",
    QUIET,
    FILE,
    make=_code(
        lambda text: text.replace("torch.conv1d", "ops.mine.conv").replace("torch.relu", "ops.mine.relu")
    ),
)
bad(
    "code without its forward",
    QUIET,
    FILE,
    make=_code(lambda text: text.replace("def forward", "def backward")),
)
for _part in (0.2, 0.6, 0.95):
    bad(
        f"cut at {_part:.0%}",
        QUIET,
        FILE,
        "damaged|truncated",
        make=lambda folder, part=_part: (folder / "m.pt").write_bytes(
            torchscript("Net").read_bytes()[: int(torchscript("Net").stat().st_size * part)]
        ),
    )


def _flipped(folder: Path) -> None:
    """A byte of the weights."""
    data = bytearray(torchscript("Net").read_bytes())
    weight = Net().conv.weight.detach().numpy().tobytes()
    place = bytes(data).find(weight[:64])
    assert place > 0
    data[place + 3] ^= 0x40
    (folder / "m.pt").write_bytes(bytes(data))


bad("a byte of the weights flipped", QUIET, FILE, "damaged|crc|checksum|cannot be loaded", make=_flipped)
bad(
    "a zip archive of text",
    QUIET,
    FILE,
    make=lambda folder: archives.write(folder / "m.pt", {"a.txt": b"hello"}),
)
bad(
    "paths that lead outside",
    QUIET,
    FILE,
    code=(0, 1),
    make=_surgery(lambda inner, folder: inner.update({"../../payload-ran": b"x", "/etc/x": b"x"})),
)
bad(
    "a hostile pickle behind the archive",
    QUIET,
    FILE,
    code=(0, 1),
    make=lambda folder: (folder / "m.pt").write_bytes(
        torchscript("Net").read_bytes() + hostile_pickle(folder)
    ),
)
bad(
    "a hostile pickle before the archive",
    QUIET,
    FILE,
    code=(0, 1),
    make=lambda folder: (folder / "m.pt").write_bytes(
        hostile_pickle(folder) + torchscript("Net").read_bytes()
    ),
)
bad(
    "a pickled archive with a folder of code",
    QUIET,
    FILE,
    make=lambda folder: (
        (
            torch.save(touch(folder), folder / "p.pt"),
            archives.changed(
                folder / "p.pt", folder / "m.pt", lambda inner: inner.update({"code/x.py": b""})
            ),
        )
    ),
)


# ---- odd and valid


class Halves(Net):
    """Casts to half precision inside."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.half().float()).half().float()


class Prints(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


class HasOptions(Net):
    def forward(self, x: Tensor, scale: float = 1.0, more: Tensor | None = None) -> Tensor:
        return self.logits(x) * scale


class Keeps(Net):
    """Keeps its last output, of which nothing depends."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last_output", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.logits(x)
        self.last_output = y.mean().reshape(1)
        return y


def _in(dtype: torch.dtype) -> Callable[[Path], None]:
    return lambda folder: script(Net().to(dtype), folder / "m.pt")


def _rounded(dtype: torch.dtype) -> Callable[[Path], None]:
    return lambda folder: script(Net().to(dtype).float(), folder / "rounded.pt")


def _traced(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Net().eval(), torch.zeros(2, 4, LENGTH)).save(str(folder / "m.pt"))


def _trained(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Net().train()).save(str(folder / "m.pt"))


odd(
    "weights in half precision",
    SCORE,
    *LETTERS,
    make=_in(torch.float16),
    model="rounded.pt",
    plain_make=_rounded(torch.float16),
)
odd(
    "weights in bfloat16",
    SCORE,
    *LETTERS,
    make=_in(torch.bfloat16),
    model="rounded.pt",
    plain_make=_rounded(torch.bfloat16),
)
odd("weights in double precision", SCORE, *LETTERS, make=_in(torch.float64))
odd("casts to half precision inside", SCORE, make=module_case(Halves))
odd("traced", SCORE, *LETTERS, make=_traced)
odd("saved in training mode", SCORE, *LETTERS, make=_trained)
odd("inputs that have defaults", SCORE, *LETTERS, make=module_case(HasOptions))
odd("keeps its last output", SCORE, *LETTERS, make=module_case(Keeps))
odd(
    "fixed batch of 1",
    "score -m m.pt -f in.fa -o out.h5 --n-references 2",
    *LETTERS,
    notes=("batch",),
    make=lambda folder: shutil.copyfile(torchscript("BatchOfOne"), folder / "m.pt"),
)
odd(
    "named .onnx",
    f"{SCORE} -m m.onnx",
    *LETTERS,
    make=lambda folder: shutil.copyfile(folder / "net.pt", folder / "m.onnx"),
)
odd(
    "of no suffix",
    f"{SCORE} -m model",
    *LETTERS,
    make=lambda folder: shutil.copyfile(folder / "net.pt", folder / "model"),
)
odd("a folder of another name inside", SCORE, *LETTERS, make=lambda folder: _renamed_top(folder))
odd(
    "further members that say nothing",
    SCORE,
    *LETTERS,
    make=_surgery(lambda inner, folder: inner.update({"extra/notes": b"hello"})),
)


def _renamed_top(folder: Path) -> None:
    inner = archives.members(torchscript("Net"))
    archives.write(folder / "m.pt", {f"other/{name.partition('/')[2]}": data for name, data in inner.items()})


def _wild(folder: Path) -> list[str]:
    name = b"mo del\n\xff.pt"
    shutil.copyfile(folder / "net.pt", os.path.join(os.fsencode(folder), name))
    return ["score", "-m", os.fsdecode(name), "-f", "in.fa", "-o", "out.h5", "--n-references", "2"]


odd("a file name of blanks, a newline and no UTF-8", SCORE, *LETTERS, make=_wild)
