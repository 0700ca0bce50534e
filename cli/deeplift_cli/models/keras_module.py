"""A Keras network as a torch module: its layers by their names, on the device of its input."""

from typing import Any

from torch import Tensor, nn


class KerasModule(nn.Module):
    """A network of Keras 3 on torch.

    Keras keeps layers where torch does not look for modules. Here they are submodules, by Keras's own names:
    "conv1d", or "model_wo_bias.conv1d" for a layer of a network inside the network.

    Parameters
    ----------
    network : keras.Model
        The network, with torch as Keras's backend.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network: list[Any] = [network]  # in a list, so that torch does not call it a submodule
        _take_layers(self, network, set())
        covered = {id(parameter) for parameter in self.parameters()}
        if any(id(parameter) not in covered for parameter in network.parameters()):
            self.add_module("network", network)  # a class of its own may have weights beside its layers

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network; several outputs are a list, or a mapping by name."""
        import keras

        (network,) = self._network
        device = inputs[0].device
        place = device.type if device.index is None else f"{device.type}:{device.index}"
        with keras.device(place):  # Keras moves what it is given to this device
            return network(inputs[0] if len(inputs) == 1 else list(inputs))


def _take_layers(module: nn.Module, layer: Any, seen: set[int]) -> None:
    """Make the layers inside a layer submodules of a module."""
    import keras

    for inner in getattr(layer, "_layers", []):
        if (
            id(inner) in seen
            or not isinstance(inner, nn.Module)
            or isinstance(inner, keras.layers.InputLayer)
        ):
            continue
        seen.add(id(inner))
        name = str(inner.name).replace(".", "_")
        module._modules[name if name not in module._modules else f"{name}_{len(module._modules)}"] = inner
        _take_layers(inner, inner, seen)
