"""Track which module of the model runs."""

from typing import Any

from torch import nn


class RunningModules:
    """The stack of modules whose ``forward`` runs, by their qualified names.

    Parameters
    ----------
    model : nn.Module or None
        The model; None where a function without a model is recorded.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._names = {} if model is None else _names_by_user(model)
        self._stack: list[tuple[nn.Module | None, str]] = [(None, "")]

    @property
    def name(self) -> str:
        """Name of the innermost module that runs and has a name; "" for the model itself."""
        return self._stack[-1][1]

    def enter(self, module: nn.Module) -> None:
        """Note that the module's ``forward`` begins; a module without a name gets the name of its caller."""
        self._stack.append((module, self._names.get(module, self.name)))

    def leave(self, module: nn.Module) -> str | None:
        """Note that the module's ``forward`` has ended or raised; return its name, None where it has none.

        Modules above this one on the stack are removed, too: an exception has ended them.
        """
        for place in range(len(self._stack) - 1, 0, -1):
            if self._stack[place][0] is module:
                del self._stack[place:]
                return self._names.get(module)
        return None


def _names_by_user(model: nn.Module) -> dict[Any, str]:
    """Return names of modules, without wrappers of ``torch.compile`` and without their part of a name."""
    return {
        module: ".".join(part for part in name.split(".") if part != "_orig_mod")
        for name, module in model.named_modules()
        if "_orig_mod" not in module._modules
    }
