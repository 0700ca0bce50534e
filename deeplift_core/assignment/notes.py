"""Notes for the user about the rules that a model got."""

from collections.abc import Iterable

from deeplift_core.assignment.assign import Assigned
from deeplift_core.graph import Graph
from deeplift_core.rules.activation import Activation
from deeplift_core.rules.input import Input
from deeplift_core.rules.rule import Rule


def notes(graph: Graph, assigned: Assigned) -> list[str]:
    """Return the notes on a model under its rules.

    Parameters
    ----------
    graph : Graph
    assigned : Assigned
        A rule for every node that the explained output depends on.

    Returns
    -------
    list of str
        Notes of one or two sentences; empty for most models.
    """
    return [*_dense_from_end_to_end(graph, assigned), *_detached(graph, assigned)]


def _dense_from_end_to_end(graph: Graph, assigned: Assigned) -> list[str]:
    """Return a note if RevealCancel follows a dense layer that reads the input itself.

    Such a layer mixes all positions at once. Its activations then see sums of many small differences, and
    multipliers of RevealCancel are further from exact Shapley values than those of Rescale.
    """
    layers = _dense_layers_on_input(assigned)
    found: dict[int, None] = {}
    for rule in assigned.rules.values():
        if isinstance(rule, Activation) and rule.rule.startswith("revealcancel"):
            found |= dict.fromkeys(layers.get(rule.source, ()))
    if not found:
        return []
    where = _places(graph, sorted(found))
    return [
        f"RevealCancel follows a dense layer that reads the input itself ({where}); for such a network "
        "Rescale is nearer to exact Shapley values: compare with the rule rescale"
    ]


def _dense_layers_on_input(assigned: Assigned) -> dict[int, frozenset[int]]:
    """Return for each node the dense layers on the input that are its nearest mixing layers."""
    layers: dict[int, frozenset[int]] = {}
    moved_input = set[int]()  # nodes that hold the input, perhaps moved or scaled
    for index, rule in sorted(assigned.rules.items()):
        if rule.mixing is None:
            if _only_moves(rule) and moved_input.issuperset(rule.sources):
                moved_input.add(index)
            layers[index] = frozenset[int]().union(*(layers.get(source, ()) for source in rule.sources))
        elif rule.mixing == "dense" and not moved_input.isdisjoint(rule.sources):
            layers[index] = frozenset({index})
    return layers


def _only_moves(rule: Rule) -> bool:
    return isinstance(rule, Input) or (rule.passes_parts and not isinstance(rule, Activation))


def _detached(graph: Graph, assigned: Assigned) -> list[str]:
    """Return a note if the model cuts gradients off, which contribution scores ignore."""
    detached = [index for index in sorted(assigned.rules) if graph.nodes[index].op_name == "detach"]
    if not detached:
        return []
    where = _places(graph, detached)
    return [f"detach() ({where}) is passed through, so that contributions sum to the difference in output"]


def _places(graph: Graph, indices: Iterable[int]) -> str:
    """Return modules, or source lines in the model's own forward, without repetitions."""
    nodes = (graph.nodes[index] for index in indices)
    return ", ".join(dict.fromkeys(node.module or node.source for node in nodes))
