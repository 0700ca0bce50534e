"""ChromBPNet's profile score: logits weighted by the probabilities of the sequence itself.

ChromBPNet's published code explains sum(p z), where z are the logits of the profile minus their mean and p is
softmax(z) inside `stop_gradient`. For a sequence x and a reference r, the difference is the sum of
p(x) (z(x) - z(r)): both have the weights of the sequence. Here the weights are a second input of the model,
which is the same for a sequence and its references. The difference of this input is 0, so that the logits
explain the whole difference in output, and the contributions of the bases sum to it.
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

    def forward(self, x: Tensor, weights: Tensor, *further: Tensor) -> Tensor:
        """Return the logits minus their mean, times their weights: [K, positions and tracks].

        The target computes the sum of these products. The sum may be so much smaller than the products that,
        as the model's output, it could not be distinguished from rounding in the proof of the recording.
        """
        return weights * self.logits(self.model(x, *further))

    def logits(self, outputs: object) -> Tensor:
        """Return the logits [K, positions and tracks] of the profile minus their mean, from all outputs."""
        logits = tensors_in(outputs)[self.output].flatten(1)
        return logits - logits.mean(1, keepdim=True)


@dataclass(frozen=True)
class HeldWeights:
    """The weights of sequences, computed on the device and in the precision of the scores.

    Attributes
    ----------
    model : WithHeldWeights
    dtype : torch.dtype
    device : torch.device
    rows : int
        K, the exact number of sequences on which the model runs at a time.
    """

    model: WithHeldWeights
    dtype: torch.dtype
    device: torch.device
    rows: int

    def __call__(self, x: Tensor, *further: Tensor) -> Tensor:
        """Return the probabilities [N, positions and tracks] of the model's profile.

        Parameters
        ----------
        x, *further : Tensor [N, ...]
            The sequences, and inputs whose values differ by sequence.
        """
        places = torch.arange(-(-len(x) // self.rows) * self.rows) % len(x)
        with borrowed(self.model, self.dtype, self.device), torch.no_grad():
            filled = (tensor[places].to(self.device, self.dtype) for tensor in (x, *further))
            batches = zip(*(torch.split(tensor, self.rows) for tensor in filled), strict=True)
            parts = [self._of_batch(*batch) for batch in batches]
            return torch.cat(parts)[: len(x)].to(x.device)

    def _of_batch(self, *inputs: Tensor) -> Tensor:
        return torch.softmax(self.model.logits(called(self.model.model, *inputs)), 1)
