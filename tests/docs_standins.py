"""Small models and files with the names that the pages of the documentation give to a user's own."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from documented import ROOT
from small_models import LENGTH, Net, TwoOutputs, deeplift, random_letters, torchscript, write_fasta
from torch import Tensor, nn

CHROMOSOMES = {name: random_letters(seed, 6000) for seed, name in enumerate(("chr1", "chr8", "chr9"))}
PLACES = (("chr1", 2000), ("chr1", 3000), ("chr8", 2500), ("chr9", 2000))
EXAMPLE = "examples/tal1_gata.onnx"


# ---- models


class Heads(nn.Module):
    """A profile of two tracks and their log counts, with control tracks where these are given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.profile = nn.Conv1d(6, 2, 3, padding=1)
        self.counts = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.conv(x))
        return self.profile(h), self.counts(h.mean(-1))


class Controlled(Heads):
    """The same with control tracks, under bpnet-lite's names."""

    def forward(self, X: Tensor, X_ctl: Tensor) -> tuple[Tensor, Tensor]:
        profile, counts = super().forward(X)
        return profile + X_ctl, counts + torch.log1p(X_ctl.sum(-1))


class Bins(nn.Module):
    """As many bins and tracks as the target of Borzoi's example names."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv1d(4, 6, 5)
        self.bins, self.tracks = nn.Linear(6, 3101), nn.Linear(6, 1281)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(x)).mean(-1)
        return self.bins(h).unsqueeze(2) + self.tracks(h).unsqueeze(1)


class FourInputs(nn.Module):
    """Three sequences and a number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv1d(12, 6, 5)
        self.last = nn.Linear(6, 1)

    def forward(self, s1: Tensor, s2: Tensor, s3: Tensor, count: Tensor) -> Tensor:
        h = torch.relu(self.conv(torch.cat([s1, s2, s3], 1))).mean(-1)
        return self.last(h) * count


class TokenIds(nn.Module):
    """Token ids of HyenaDNA's twelve."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.embedding = nn.Embedding(12, 6)
        self.conv = nn.Conv1d(6, 6, 5)
        self.last = nn.Linear(6, 1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(torch.relu(self.conv(self.embedding(ids).mT)).mean(-1))


def scripted(model: nn.Module, *names: str) -> None:
    """Save a model, as TorchScript, which deeplift recognises under any name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces TorchScript's end
        saved = torch.jit.script(model.eval())
    for name in names:
        saved.save(name)


# ---- files


def ordinary() -> None:
    """A checkout with a model, folds, a genome, peaks and motifs, all small."""
    Path("examples").symlink_to(ROOT / "examples")
    Path(".test").symlink_to(ROOT / ".test")
    for name in ("model", "m"):
        shutil.copy(torchscript("Net"), f"{name}.onnx")
    for name in ("hg38.fa", "genome.fa"):
        write_fasta(Path(name), CHROMOSOMES)
    rows = [
        f"{chrom}\t{start}\t{start + LENGTH}\tpeak_{number}\t0\t+"
        for number, (chrom, start) in enumerate(PLACES, 1)
    ]
    Path("peaks.bed").write_text("\n".join(rows) + "\n")
    Path("peaks.narrowPeak").write_text("".join(f"{row}\t0\t0\t0\t{LENGTH // 2}\n" for row in rows))
    records = {f"peak_{seed}": random_letters(seed, LENGTH) for seed in (1, 2, 17)}
    write_fasta(Path("peaks.fa"), records)
    shutil.copy(ROOT / "examples/tal1_gata.jaspar", "jaspar.meme")


def scored(name: str = "scores.h5", *options: object) -> None:
    """The score file of `model.onnx` and the peaks."""
    done = deeplift(
        "score", "-m", "model.onnx", "-g", "hg38.fa", "-r", "peaks.narrowPeak", "-o", name, "-q",
        "--n-references", 2, *options,
    )  # fmt: skip
    assert done.code == 0, done.err


def spans(*names: str) -> None:
    """BED files of spans on the genome."""
    for name in names:
        Path(name).write_text("chr1\t2005\t2012\tGATA\t500\t+\nchr8\t2505\t2513\tTAL1\t800\t-\n")


def readme() -> None:
    """The embedded model, so that motifs are found, and three folds of different weights."""
    ordinary()
    shutil.copy(ROOT / ".test/data/genome.fa", "hg38.fa")
    shutil.copy(ROOT / ".test/data/peaks.narrowPeak", "peaks.narrowPeak")
    shutil.copy(ROOT / ".test/data/peaks.narrowPeak", "peaks.bed")
    letters = [line for line in Path("examples/sequences.fa").read_text().splitlines() if line[0] != ">"]
    write_fasta(Path("peaks.fa"), {f"peak_{i}": one for i, one in enumerate(letters[:3])})
    network = onnx.load(EXAMPLE)
    for name in ("model", "m", "fold1", "fold2", "fold3"):
        onnx.save(network, f"{name}.onnx")
        bias = next(one for one in network.graph.initializer if list(one.dims) == [3])
        values = onnx.numpy_helper.to_array(bias)
        bias.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(0.1), bias.name))
    for fold in (1, 2, 3):
        done = deeplift(
            "score", "-m", f"fold{fold}.onnx", "-f", "peaks.fa", "-o", f"fold{fold}.h5", "--n-references", 2
        )
        assert done.code == 0, done.err


def browser() -> None:
    ordinary()
    scored("k562.h5", "--bigwig", "k562.bw")
    shutil.copy("k562.bw", "hepg2.bw")
    spans("seqlets.bed", "motif_hits.bed")


def hpc() -> None:
    ordinary()
    for fold in range(5):
        model = Net()
        model.last.weight.data *= 1 + fold
        scripted(model, f"fold{fold}.onnx")
    shutil.copy(ROOT / "docs/slurm_array.sbatch", "slurm_array.sbatch")
    Path("scores").mkdir()
    scored()


def inputs() -> None:
    ordinary()
    torch.save(Controlled().eval(), "bpnet.torch")
    torch.save(TokenIds().eval(), "hyenadna.pt")
    sequence, names = torch.zeros(2, 4, LENGTH), ["s1", "s2", "s3", "count"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of this exporter
        torch.onnx.export(
            FourInputs().eval(), (sequence, sequence, sequence, torch.ones(2, 1)), "four.onnx",
            input_names=names, dynamic_axes={name: {0: "N"} for name in names}, dynamo=False,
        )  # fmt: skip
    np.save("exon.npy", np.eye(4, dtype=np.float32)[:, np.arange(LENGTH) % 4])


def report() -> None:
    ordinary()
    scored()
    done = deeplift("seqlets", "scores.h5", "-o", "seqlets.bed")
    assert done.code == 0, done.err


def scores_of_the_model() -> None:
    ordinary()
    scored()


def targets() -> None:
    ordinary()
    scripted(Net(outputs=6), "model.onnx")
    Path("tracks.txt").write_text("DNase\nH3K4me3\nH3K27ac\nCTCF\nRAD21\nYY1\n")
    scripted(Bins(), "borzoi.onnx")
    write_fasta(Path("tss.fa"), [random_letters(1)])
    scripted(Heads(), "bpnet.onnx")


def trust() -> None:
    """The placeholders of the page, and the names of published models and sequences."""
    ordinary()
    for model in ("janggu_oct4_mafk", "mmsplice_acceptor", "mmsplice_donor", "deepkingnet_200bp"):
        shutil.copy("model.onnx", f"{model}.onnx")
    for fasta in ("janggu_mafk_test", "splice_windows_mmsplice_acceptor", "splice_windows_mmsplice_donor"):
        shutil.copy("peaks.fa", f"{fasta}.fa")
    shutil.copy("peaks.fa", "Gm12878.CTCF.top500.w200.fa")
    shutil.copy("model.onnx", "MODEL")
    scored("SCORES.h5", "--bigwig", "SIGNAL.bw")
    done = deeplift("check", "SCORES.h5", "-m", "model.onnx", "--json")
    assert done.code == 0, done.err
    Path("check.json").write_text(done.out)


# Pages that need more than the ordinary files.
MAKE: dict[str, Callable[[], None]] = {
    "README.md": readme,
    "docs/browser.md": browser,
    "docs/hpc.md": hpc,
    "docs/inputs.md": inputs,
    "docs/report.md": report,
    "docs/score-file.md": scores_of_the_model,
    "docs/seqlets.md": scores_of_the_model,
    "docs/targets.md": targets,
    "docs/trust.md": trust,
}


# ---- names of Python


def session_names() -> dict[str, Any]:
    """A model, sequences x [N, 4, L] and references [N, R, 4, L], as a reader of a page has them."""
    letters = torch.randint(4, (4, 3, LENGTH), generator=torch.Generator().manual_seed(0))
    one_hot = nn.functional.one_hot(letters, 4).mT.float()
    model = TwoOutputs(outputs=12).eval()
    return {"model": model, "x": one_hot[:, 0], "references": one_hot[:, 1:]}
