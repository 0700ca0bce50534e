"""ChromBPNet's profile score: logits weighted by the probabilities that the sequence itself has.

ChromBPNet's published code takes sum(p z), where z are the logits of the profile less their mean and p is
softmax(z) behind `stop_gradient`. For a sequence x and a reference r that is p(x) (z(x) - z(r)), summed: the
weights are those of the sequence for both. Here the weights are a second input of the model, which is the
same for a sequence and its references. Its difference is 0, so that all of the output's difference goes
through the logits, and contributions sum to it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deeplift_cli.models.probing import called, tensors_in
from deeplift_core.capture import borrowed


class WithHeldWeights(nn.Module):
    """A model of a sequence and of the weights of its profile's logits, [K, positions and tracks].

    Parameters
    ----------
    model : torch.nn.Module
    output : int
        The place of the profile among the model's outputs.
    """

    def __init__(self, model: nn.Module, output: int) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return the logits less their mean, each with its weight: [K, positions and tracks].

        Their sum is the target's work: it can be so much smaller than they are that, as the model's output,
        it could not be told from rounding when the recording is proved.
        """
        return weights * self.logits(self.model(x))

    def logits(self, outputs: object) -> Tensor:
        """Return the logits [K, positions and tracks] of the profile less their mean, from all outputs."""
        logits = tensors_in(outputs)[self.output].flatten(1)
        return logits - logits.mean(1, keepdim=True)


@dataclass(frozen=True)
class HeldWeights:
    """The weights of sequences, computed where and in the precision in which the model is scored."""

    model: WithHeldWeights
    dtype: torch.dtype
    device: torch.device

    def __call__(self, x: Tensor) -> Tensor:
        """Return the probabilities [K, positions and tracks] of the model's profile for x [K, ...]."""
        with borrowed(self.model, self.dtype, self.device), torch.no_grad():
            logits = self.model.logits(called(self.model.model, x.to(self.device, self.dtype)))
            return torch.softmax(logits, 1).to(x.device)
