"""`deeplift variants` with what the model gets for N, token ids, and inputs beside the sequence."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_models import LENGTH, Net, Outcome, deeplift, encode, random_letters, torchscript
from torch import Tensor, nn

import deeplift_references
from deeplift_core import DeepLift

R = 3
LETTERS = random_letters(5, 200)
GENOME = LETTERS[:108] + "NN" + LETTERS[110:]
AT = 100
HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"


class FiveChannels(Net):
    """A channel for N beside the bases, in the order NTGCA."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv1d(5, 6, 5)


class OfIds(Net):
    """`Net` whose bases come from an embedding, in which they are one-hot and N is a quarter of each."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 4)
        with torch.no_grad():
            self.table.weight[7:11] = torch.eye(4)
            self.table.weight[11] = 0.25

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits(self.table(ids).transpose(1, 2))


class WithTracks(nn.Module):
    """A sequence and two tracks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv1d(4, 6, 5)
        self.other = nn.Conv1d(2, 6, 5)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor, tracks: Tensor) -> Tensor:
        return self.last(torch.relu(self.conv(x) + self.other(tracks)).mean(-1))


class Holding(nn.Module):
    """The same with the tracks inside."""

    def __init__(self, tracks: Tensor) -> None:
        super().__init__()
        self.model, self.tracks = WithTracks(), tracks

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, self.tracks.expand(len(x), *self.tracks.shape))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an insertion that moves the genome's N, and a substitution that does not."""
    monkeypatch.chdir(tmp_path)
    Path("g.fa").write_text(f">chr1\n{GENOME}\n")
    base = GENOME[AT]
    rows = [(base, base + "ACG"), (base, "A" if base != "A" else "C")]
    Path("v.vcf").write_text(HEAD + "".join(f"chr1\t{AT + 1}\t.\t{ref}\t{alt}\n" for ref, alt in rows))
    return tmp_path


def windows() -> tuple[str, list[str]]:
    """The window of REF, and those of ALT."""
    start = AT - LENGTH // 2
    alts = [line.split("\t")[4].strip() for line in Path("v.vcf").read_text().splitlines()[2:]]
    changed = [GENOME[:AT] + alt + GENOME[AT + 1 :] for alt in alts]
    return GENOME[start : start + LENGTH], [text[start : start + LENGTH] for text in changed]


def saved(module: nn.Module) -> Path:
    torch.save(module.eval(), "m.pt")
    return Path("m.pt")


def run(model: Path, *options: object, out: str = "v.h5") -> Outcome:
    words = ["-m", model, "--allow-pickle", "-g", "g.fa", "--vcf", "v.vcf", "-o", out, "--n-references", R]
    return deeplift("variants", *words, "--threads", 1, *options)


def done(model: Path, *options: object, out: str = "v.h5") -> h5py.File:
    outcome = run(model, *options, out=out)
    assert outcome.code == 0, outcome.err
    return h5py.File(out)


def alike(found: h5py.File, expected: h5py.File) -> None:
    names = ("ref/shap/seq", "alt/shap/seq", "difference/seq", "difference/standard_error", "variants/effect")
    for name in names:
        np.testing.assert_allclose(found[name][:], expected[name][:], atol=2e-6, err_msg=name)


def with_n(one_hot: np.ndarray, unknown: np.ndarray, encoding: str) -> np.ndarray:
    """One-hot [..., 4, L] as the model gets it, with what stands for N where `unknown` [L] says so."""
    found = one_hot.astype(np.float32) * ~unknown
    if encoding == "uniform":
        return found + unknown * np.float32(0.25)
    channel = np.broadcast_to(unknown, found[..., :1, :].shape)
    return np.concatenate([found, channel], -2)[..., [4, 3, 2, 1, 0], :].astype(np.float32)


@pytest.mark.parametrize("strands", [1, 2])
@pytest.mark.parametrize("encoding", ["uniform", "channel"])
def test_both_alleles_have_the_same_references_with_what_stands_for_n(encoding: str, strands: int) -> None:
    """References have an N where either allele has one; a base there is compared with N."""
    options = ["--encode-n", "uniform"] if encoding == "uniform" else ["--alphabet", "NTGCA"]
    module = (Net if encoding == "uniform" else FiveChannels)().eval()
    file = done(saved(module), *options, *["--rc-average"] * (strands == 2))
    order = [0, 1, 2, 3] if encoding == "uniform" else [4, 3, 2, 1]

    def each(letters: str, references: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, float]:
        """The contributions [R, L] of the observed bases, and the output."""
        observed = encode(letters)
        total, output = np.zeros((R, LENGTH)), 0.0
        for turn in range(strands):
            step = -1 if turn else 1
            own, refs, at = (
                np.ascontiguousarray(item)
                for item in (observed[::step, ::step], references[:, ::step, ::step], gaps[::step])
            )
            x = torch.from_numpy(with_n(own, ~own.any(0), encoding)[None])
            against = torch.from_numpy(with_n(refs, at, encoding))
            result = DeepLift(module, x, channel_axis=1).attribute(x, against, per_reference=True)
            bases = result.hypothetical[0][:, order].numpy()
            total += (bases * own).sum(1)[:, ::step] / strands
            output += result.output.item() / strands
        return total, output

    ref, alts = windows()
    shuffled = deeplift_references.make("dinucleotide", n_references=R, seed=0)(encode(ref)[None])[0]
    for row, alt in enumerate(alts):
        gaps = np.array(["N" in pair for pair in zip(ref, alt, strict=True)])
        assert gaps.sum() == (3 if row == 0 else 2)
        (before, low), (after, high) = (each(text, shuffled, gaps) for text in (ref, alt))
        assert file["variants/effect"][row] == pytest.approx(high - low, abs=1e-5)
        for group, expected in (("ref", before), ("alt", after)):
            stored = file[f"{group}/projected_shap/seq"][row].sum(0)
            np.testing.assert_allclose(stored, expected.mean(0), atol=3e-6)
            assert np.abs(file[f"{group}/qc/completeness_error"][row]).max() < 2e-5
        np.testing.assert_allclose(
            file["ref/qc/reference_output"][row], file["alt/qc/reference_output"][row], atol=1e-6
        )
        if row == 1:
            difference = after - before
            np.testing.assert_allclose(file["difference/seq"][row], difference.mean(0), atol=3e-6)
            error = difference.std(0, ddof=1) / np.sqrt(R)
            np.testing.assert_allclose(file["difference/standard_error"][row], error, atol=3e-6)


def test_token_ids_give_what_their_embedding_gives() -> None:
    """The effects of the background, which need no references, are those of the one-hot model, too."""
    Path("b.vcf").write_text(HEAD + f"chr1\t52\t.\t{GENOME[51]}\t{'A' if GENOME[51] != 'A' else 'C'}\n")
    more = ("--background", "b.vcf", "--tsv")
    ids = ("--token-ids", "A=7,C=8,G=9,T=10,N=11")
    alike(
        done(saved(OfIds()), *ids, *more, "ids.tsv"),
        done(torchscript("Net"), "--encode-n", "uniform", *more, "plain.tsv", out="plain.h5"),
    )
    tables = [
        [line.split("\t") for line in Path(f"{name}.tsv").read_text().splitlines()]
        for name in ("ids", "plain")
    ]
    place = tables[0][0].index("background_p")
    assert [row[place] for row in tables[0]] == [row[place] for row in tables[1]]


@pytest.mark.parametrize("value", ["zeros", "3", "one.npy"])
def test_inputs_that_all_variants_share(value: str) -> None:
    tracks = np.random.default_rng(0).poisson(2, (2, LENGTH)).astype(np.float32)
    np.save("one.npy", tracks)
    inside = {"zeros": torch.zeros(2, LENGTH), "3": torch.full((2, LENGTH), 3.0)}
    found = done(saved(WithTracks()), "--input", f"tracks={value}", "--length", LENGTH)
    module = Holding(inside.get(value, torch.from_numpy(tracks)))
    alike(found, done(saved(module), "--length", LENGTH, out="inside.h5"))
    assert f"tracks={value}" in run(saved(WithTracks()), "--input", f"tracks={value}", "--length", LENGTH,
                                    out="again.h5").out  # fmt: skip


def test_what_is_wrong_with_inputs_is_told_in_one_line() -> None:
    model = saved(WithTracks())
    np.save("rows.npy", np.zeros((2, 2, LENGTH), np.float32))
    for options, message in (
        ((), "several sequences are explained together from Python"),
        (("--input", "tracks=zeros"), "give the length of its sequences with --length L"),
        (("--input", "tracks=rows.npy", "--length", LENGTH), "tracks"),
        (("--input", "other=zeros", "--length", LENGTH), "has no input of this name"),
    ):
        outcome = run(model, *options)
        assert outcome.code == 1, options
        assert message in outcome.err
        assert "Traceback" not in outcome.err
