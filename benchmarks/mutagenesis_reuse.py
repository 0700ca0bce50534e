"""What in-silico mutagenesis could save if it kept what a convolutional model computes of unchanged bases.

    python benchmarks/mutagenesis_reuse.py [--mutants 8]

A substitution changes only the positions of each layer that its base can reach. The script takes BPNet-64 on
2,114 bp (64 filters, 8 dilated layers, of bpnet-lite), finds these positions by comparing all layers of a
sequence and of its mutants, and times every convolution twice: over the whole sequence, and over a window
just wide enough for the changed positions. Mutants are spread over the sequence. Times are processor times.
"""

import argparse
import statistics
import time

import torch
from bpnetlite import BPNet
from torch import Tensor, nn

LENGTH, REPEATS = 2114, 9


def seconds(layer: nn.Conv1d, x: Tensor) -> float:
    """Median processor time of one convolution."""
    found = []
    for _ in range(REPEATS):
        started = time.process_time()
        layer(x)
        found.append(time.process_time() - started)
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = BPNet(64, 8, 2, 0, trimming=(LENGTH - 1000) // 2, verbose=False).eval()
    layers = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv1d)}
    bases = torch.randint(4, (LENGTH,))
    rows = bases.repeat(1 + given.mutants, 1)
    for row in range(given.mutants):
        place = LENGTH * (2 * row + 1) // (2 * given.mutants)
        rows[1 + row, place] = (bases[place] + 1) % 4
    x = nn.functional.one_hot(rows, 4).movedim(2, 1).float()
    taken = dict[str, tuple[Tensor, Tensor]]()
    for name, layer in layers.items():
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: taken.update({name: (*inputs, output)})
        )
    whole = part = 0.0
    with torch.no_grad():
        model(x)
        for name, layer in layers.items():
            into, out = taken.pop(name)
            changed = (out[1:] != out[:1]).any(1).sum(1).max().item()
            halo = (layer.kernel_size[0] - 1) * layer.dilation[0]
            # The layers pad themselves, so that a window of this width gives at least the changed positions.
            width = min(LENGTH, changed + halo)
            times = seconds(layer, into[1:]), seconds(layer, into[1:, :, :width].contiguous())
            whole, part = whole + times[0], part + times[1]
            shown = f"{times[0]:.4f} s whole, {times[1]:.4f} s in part"
            print(f"{name}: {changed} of {LENGTH} positions change; {shown}")
    print(f"all convolutions: {whole:.3f} s whole, {part:.3f} s in part, {part / whole:.0%}")


if __name__ == "__main__":
    main()
