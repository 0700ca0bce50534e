"""MNIST (paper, section 4.1 and figure 4): erasing the pixels that speak for one digit and against another.

The digits are split into folds. A network trained on the other folds explains the digits of a fold, so that
every digit is explained by a network that has not seen it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paper.digits import CLASSES, SIDE
from paper.methods import (
    DEFAULT,
    GRADIENT,
    GUIDED,
    GUIDED_TIMES_INPUT,
    POSITIVE_FIRST,
    RESCALE,
    REVEAL_CANCEL,
    Method,
    Subject,
    integrated,
)

# (original class, target class), and how many pixels may be erased: a fifth of the image.
CONVERSIONS = ((8, 3), (8, 6), (9, 1), (9, 4))
PIXELS = SIDE * SIDE // 5 + 1
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 1e-2, 0.5

METHODS: tuple[Method, ...] = (
    GRADIENT,
    GUIDED,
    GUIDED_TIMES_INPUT,
    integrated(5),
    integrated(10),
    RESCALE,
    DEFAULT,
    REVEAL_CANCEL,
    POSITIVE_FIRST,
)


class DigitNet(nn.Module):
    """Two convolutions with stride 2 in place of pooling, a dense layer and softmax, as in the paper.

    Input [N, 1, 28, 28]; output [N, 10].
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.dense = nn.Linear(64 * 5 * 5, 128)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(128, CLASSES)

    def logits(self, x: Tensor) -> Tensor:
        """Return the outputs before softmax, which training works on."""
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.dense(torch.flatten(x, 1)))
        logits: Tensor = self.head(self.dropout(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.logits(x), dim=1)


@dataclass(frozen=True)
class Converted:
    """What erasing did to the digits of one conversion.

    Attributes
    ----------
    change : mapping of str to float array [N]
        The increase, for each method, of logit(target) - logit(original).
    erased : mapping of str to int array [N]
        The number of erased pixels that were not black before.
    """

    change: dict[str, NDArray[np.float64]]
    erased: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Example:
    """One digit, [28, 28], and what each method erases from it, by (method, target)."""

    image: NDArray[np.float32]
    erased: dict[tuple[str, int], NDArray[np.float32]]


@dataclass(frozen=True)
class Size:
    """How many digits of each class are used, at most, in how many folds, and the epochs of a training."""

    digits: int
    folds: int
    epochs: int


@dataclass(frozen=True)
class OfFold:
    """The results of one fold: accuracy, the conversions of its digits, an example, and its network."""

    accuracy: float
    converted: dict[tuple[int, int], Converted]
    example: Example
    net: DigitNet


def run_fold(images: NDArray[np.float32], classes: NDArray[np.int64], fold: int, size: Size) -> OfFold:
    """Train on all other folds and convert the digits of this one.

    Parameters
    ----------
    images : array [N, 28, 28]
    classes : array [N]
    fold : int
    size : Size
    """
    held_out = torch.from_numpy(fold_of(classes, size.folds) == fold)
    x, y = torch.from_numpy(images)[:, None], torch.from_numpy(classes)
    net = trained(x[~held_out], y[~held_out], epochs=size.epochs, seed=fold)
    converted, example = conversions(net, x[held_out], y[held_out])
    return OfFold(accuracy(net, x[held_out], y[held_out]), converted, example, net)


def fewer(
    images: NDArray[np.float32], classes: NDArray[np.int64], number: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Keep the first ``number`` digits of each class."""
    rows = np.concatenate([np.flatnonzero(classes == digit)[:number] for digit in range(CLASSES)])
    return images[rows], classes[rows]


def fold_of(classes: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Return the fold of each digit [N]; every class is spread evenly over the folds."""
    generator = np.random.default_rng(0)
    found = np.empty(len(classes), dtype=np.int64)
    for digit in range(CLASSES):
        rows = np.flatnonzero(classes == digit)
        found[generator.permutation(rows)] = np.arange(len(rows)) % folds
    return found


def trained(images: Tensor, classes: Tensor, *, epochs: int, seed: int) -> DigitNet:
    """Train a network on images [N, 1, 28, 28] of the given classes [N]."""
    torch.manual_seed(seed)
    net = DigitNet()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(net.logits(images[rows]), classes[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def accuracy(net: DigitNet, images: Tensor, classes: Tensor) -> float:
    """Return the share of images whose most likely class is theirs."""
    return float((_logits(net, images).argmax(dim=1) == classes).float().mean())


def conversions(
    net: DigitNet, images: Tensor, classes: Tensor
) -> tuple[dict[tuple[int, int], Converted], Example]:
    """Convert held-out digits with every method; the example is the first 8."""
    subject = Subject(net, images[:BATCH])
    reference = torch.zeros(1, *images.shape[1:])
    found = {conversion: Converted({}, {}) for conversion in CONVERSIONS}
    erased_from_first = {}
    for original in sorted({original for original, _ in CONVERSIONS}):
        targets = [target for start, target in CONVERSIONS if start == original]
        x = images[classes == original]
        before = _logits(net, x)
        for method in METHODS:
            scores = method.scores(subject, x, reference, [original, *targets])
            for target, of_target in zip(targets, scores[1:], strict=True):
                erased = erase(x, scores[0] - of_target)
                after = _logits(net, erased)
                change = (after - before)[:, target] - (after - before)[:, original]
                found[original, target].change[method.name] = change.double().numpy()
                found[original, target].erased[method.name] = (erased != x).flatten(1).sum(dim=1).numpy()
                if original == CONVERSIONS[0][0]:
                    erased_from_first[method.name, target] = erased[0, 0].numpy()
    first = images[classes == CONVERSIONS[0][0]][0, 0].numpy()
    return found, Example(first, erased_from_first)


def erase(x: Tensor, difference: Tensor) -> Tensor:
    """Set the pixels with the largest positive differences of scores to 0, at most `PIXELS` of each image.

    Parameters
    ----------
    x : Tensor [N, 1, 28, 28]
    difference : Tensor [N, 1, 28, 28]
        Score for the original class less score for the target class.
    """
    flat = difference.flatten(1)
    values, places = flat.topk(PIXELS, dim=1)
    keep = torch.ones_like(flat).scatter(1, places, (values <= 0).to(flat.dtype))
    return x * keep.view_as(x)


def _logits(net: DigitNet, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net.logits(rows) for rows in images.split(500)])


def summary(changes: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Return, for each method, mean and quartiles of the change, and how often RevealCancel does better.

    The share counts images on which two methods do equally well as half.
    """
    best = changes[REVEAL_CANCEL.name]
    found = {}
    for method, change in changes.items():
        low, middle, high = np.quantile(change, [0.25, 0.5, 0.75])
        found[method] = {
            "mean": float(change.mean()),
            "lower quartile": float(low),
            "median": float(middle),
            "upper quartile": float(high),
            "RevealCancel better": float((best > change).mean() + (best == change).mean() / 2),
        }
    return found
