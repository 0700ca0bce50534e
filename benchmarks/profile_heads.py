"""Compare the heads of `deeplift score --target` with bpnet-lite's and ChromBPNet's own contributions.

    python benchmarks/profile_heads.py [--steps 400] [--markdown docs/targets.md]

A small BPNet of bpnet-lite is trained here, for a minute, on sequences with two planted motifs whose
footprints are in the profiles. The command scores other such sequences under `rescale`, and the functions of
the other packages score them against the same references: bpnet-lite's `deep_lift_shap` on its CountWrapper
and ProfileWrapper, and on ChromBPNet's `get_weightedsum_meannormed_logits` in torch. The correlation is
Pearson's, of one sequence's contributions of observed bases; `--markdown` puts the table into that page,
between its marks.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import torch
from bpnetlite import BPNet
from bpnetlite.attribute import deep_lift_shap
from bpnetlite.bpnet import CountWrapper, ProfileWrapper
from pages import insert, table
from torch import Tensor, nn

from deeplift_cli.main import run as deeplift

LENGTH, LAYERS, SEQUENCES, REFERENCES = 400, 3, 32, 20
MOTIFS = ("TGACTCATC", "GGGCGTGGTC")
BASES = "ACGT"


class ChromBpnetProfile(nn.Module):
    """ChromBPNet's scalar of the profile; `stop_gradient` is detach()."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sum [N, 1]."""
        logits = self.model(x)[0].flatten(1)
        centred = logits - logits.mean(1, keepdim=True)
        return (torch.softmax(centred.detach(), 1) * centred).sum(1, keepdim=True)


def simulated(rows: int, seed: int) -> tuple[Tensor, Tensor, list[str]]:
    """Sequences [N, 4, L] with up to two copies of each motif, the rates [N, 2, L] there, and the letters."""
    draw = np.random.default_rng(seed)
    texts, rates = [], np.full((rows, 2, LENGTH), 0.02, np.float32)
    at = np.arange(LENGTH)
    for row in range(rows):
        letters = draw.choice(list(BASES), LENGTH)
        for track, motif in enumerate(MOTIFS):
            for _ in range(draw.integers(0, 3)):
                start = int(draw.integers(80, LENGTH - 80))
                letters[start : start + len(motif)] = list(motif)
                # The second motif's footprint is narrower, and lies on its left.
                centre, width = (start + 4, 12) if track == 0 else (start - 6, 5)
                shape = np.exp(-(((at - centre) / width) ** 2))
                rates[row, track] += shape
                rates[row, 1 - track] += 0.3 * shape
        texts.append("".join(letters))
    one_hot = np.stack([[[letter == base for letter in text] for base in BASES] for text in texts])
    return torch.tensor(one_hot).float(), torch.tensor(rates), texts


def trained(tracks: int, steps: int) -> nn.Module:
    """A BPNet with bpnet-lite's loss: multinomial for profiles, squared error for log counts."""
    torch.manual_seed(0)
    model = BPNet(16, LAYERS, tracks, 0, verbose=False)
    cut = model.trimming
    x, rates, _ = simulated(2048, seed=1)
    rates = rates[:, :tracks, cut : LENGTH - cut]
    counts = rates.flatten(1).sum(1).log()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        rows = torch.randint(len(x), (64,), generator=torch.Generator().manual_seed(step))
        profile, log_counts = model(x[rows])
        target = rates[rows].flatten(1)
        loss = -(target * torch.log_softmax(profile.flatten(1), 1)).sum(1).mean()
        loss = loss + 10 * nn.functional.mse_loss(log_counts[:, 0], counts[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def correlations(ours: np.ndarray, theirs: np.ndarray, x: Tensor) -> np.ndarray:
    """Of each sequence's observed bases [N]."""
    pairs = zip((ours * x.numpy()).sum(1), (theirs * x.numpy()).sum(1), strict=True)
    return np.array([np.corrcoef(one, other)[0, 1] for one, other in pairs])


def measured(tracks: int, steps: int, folder: Path) -> list[list[str]]:
    """Rows of the table for a model with so many tracks."""
    model = trained(tracks, steps)
    torch.save(model, folder / "bpnet.torch")
    x, _, texts = simulated(SEQUENCES, seed=2)
    (folder / "in.fa").write_text("".join(f">s{row}\n{text}\n" for row, text in enumerate(texts)))
    rows = []
    for target, wrapper, whose in (
        ("counts", CountWrapper(model), "bpnet-lite, CountWrapper"),
        ("profile", ProfileWrapper(model), "bpnet-lite, ProfileWrapper"),
        ("profile", ChromBpnetProfile(model), "ChromBPNet's formula"),
        ("profile-per-track", ProfileWrapper(model), "bpnet-lite, ProfileWrapper"),
        ("profile-fixed-weights", ProfileWrapper(model), "bpnet-lite, ProfileWrapper"),
        ("profile-fixed-weights", ChromBpnetProfile(model), "ChromBPNet's formula"),
    ):
        words = ["score", "-m", folder / "bpnet.torch", "--allow-pickle", "-f", folder / "in.fa", "-o",
                 folder / "a.h5", "--overwrite", "--target", target, "--rule", "rescale", "--n-references",
                 REFERENCES, "--save-references", folder / "refs.h5", "-q"]  # fmt: skip
        if deeplift(list(map(str, words))):
            raise SystemExit(f"{target} was not scored")
        with h5py.File(folder / "a.h5") as scores, h5py.File(folder / "refs.h5") as saved:
            ours, references = scores["shap/seq"][()], torch.tensor(saved["references"][()]).float()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sums that do not hold
            theirs = deep_lift_shap(
                wrapper, x, references=references, hypothetical=True, device="cpu"
            ).numpy()
        found = correlations(ours, theirs, x)
        largest = np.abs(ours - theirs).max() / np.abs(theirs).max()
        rows.append([f"`{target}`", str(tracks), whose, f"{np.median(found):.4f}", f"{found.min():.4f}",
                     f"{largest:.1e}"])  # fmt: skip
    return rows


def main() -> None:
    """Measure, print, and put the table into a page if one is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for tracks in (1, 2) for row in measured(tracks, given.steps, Path(folder))]
    text = table(
        "target | tracks | compared with | correlation, median | least "
        "| largest difference, of the largest score",
        rows,
    )
    print(text)
    if given.markdown is not None:
        insert(given.markdown, text)


if __name__ == "__main__":
    main()
