"""The node of a module's output, by the module's name."""

import re
from collections.abc import Iterable

from deeplift_core.errors import TargetError
from deeplift_core.graph.graph import Graph, ModuleCall

_SPELLING = re.compile(r"(?P<name>.*?)(:(?P<call>\d+))?(\[(?P<output>\d+)\])?", re.DOTALL)


def layer_node(graph: Graph, layer: str) -> int:
    """Return the node of a module's output.

    Parameters
    ----------
    graph : Graph
        A recording.
    layer : str
        The module's qualified name; followed by ":1" for the second call of a module that runs several times,
        and by "[0]" for the first tensor of an output that has several ("lstm:0[1]").

    Returns
    -------
    int
        Index of the node.

    Raises
    ------
    TargetError
        If there is no such output, or several outputs fit the name.
    """
    name, call, output = _parsed(graph, layer)
    calls = _distinct(graph.module_calls.get(name, ()))
    if not calls:
        known = ", ".join(sorted(filter(None, graph.module_calls))) or "none"
        raise TargetError(f"no module {name!r} with an output that depends on the input; there are: {known}")
    if call is None and len(calls) > 1:
        choices = _listed(f"{name}:{place}" for place in range(len(calls)))
        raise TargetError(f"module {name!r} runs {len(calls)} times: choose one of its calls, {choices}")
    place = call or 0
    if place >= len(calls):
        times = "once" if len(calls) == 1 else f"{len(calls)} times"
        raise TargetError(
            f"there is no call {place} of module {name!r}, which runs {times}; calls count from 0"
        )
    nodes = calls[place]
    which = name if call is None else f"{name}:{call}"
    choices = _listed(f"{which}[{at}]" for at, node in enumerate(nodes) if node is not None)
    if output is None and len(nodes) > 1:
        raise TargetError(f"the output of module {name!r} has {len(nodes)} tensors: choose one, {choices}")
    found: int | None = nodes[output or 0] if (output or 0) < len(nodes) else None
    if found is None:
        raise TargetError(
            f"output {output} of module {name!r} is no tensor that depends on the input: choose {choices}"
        )
    return found


def _parsed(graph: Graph, layer: str) -> tuple[str, int | None, int | None]:
    """Return name, call and output; a module whose name is the whole spelling comes first."""
    if layer in graph.module_calls:
        return layer, None, None
    found = _SPELLING.fullmatch(layer)
    assert found is not None
    call, output = (None if found[part] is None else int(found[part]) for part in ("call", "output"))
    return found["name"], call, output


def _distinct(calls: tuple[ModuleCall, ...]) -> tuple[ModuleCall, ...]:
    """Return the calls with different output nodes: two calls with the same outputs leave no choice."""
    return tuple(dict.fromkeys(calls))


def _listed(choices: Iterable[str]) -> str:
    return " or ".join(choices)
