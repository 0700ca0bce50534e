"""The report on a model's rules: every operation with its rule, and notes."""

from collections.abc import Mapping

from deeplift_core.assignment.assign import Assigned, assign
from deeplift_core.assignment.layer_rules import LayerRules
from deeplift_core.assignment.names import parse_rule
from deeplift_core.assignment.notes import notes
from deeplift_core.assignment.presets import preset
from deeplift_core.graph import Graph
from deeplift_core.results import NodeInfo


def described(graph: Graph, explained: int, rule: str, layer_rules: Mapping[str, str]) -> list[NodeInfo]:
    """Return the model's own nodes with their rules.

    Parameters
    ----------
    graph : Graph
    explained : int
        The node of the output that is explained.
    rule : str
        A preset, or "gradient" or "integrated-gradients", which take any operation.
    layer_rules : mapping of str to str

    Raises
    ------
    OptionError
        If a rule is not known.
    """
    name, steps = parse_rule(rule)
    used = set(graph.ancestors(explained))
    assigned = Assigned({}, {}, {})
    if not steps:
        assigned = assign(graph, [explained], preset(name), LayerRules(dict(layer_rules)))

    def rule_of(index: int) -> str:
        if steps:
            return name
        if index in assigned.problems:
            return "none"
        if index in assigned.rules:
            return assigned.rules[index].name
        return "part of another" if index in used else "not used"

    def problem_of(index: int) -> str:
        if index not in assigned.problems:
            return ""
        return assigned.problems[index] or "there is no rule for this operation"

    # A node that depends on none of the inputs is left of an input that became a constant.
    varying = set(graph.inputs)
    for node in graph.nodes:
        if not varying.isdisjoint(node.refs):
            varying.add(node.index)
    return [
        NodeInfo(node.name, node.called, node.module, rule_of(i), node.source, problem_of(i))
        for i, node in enumerate(graph.nodes[: graph.of_model])
        if i in varying
    ]


def noted(graph: Graph, explained: int, rule: str, layer_rules: Mapping[str, str]) -> list[str]:
    """Return the notes on the rules of a model; the parameters are those of `described`.

    Raises
    ------
    OptionError
        If a rule is not known.
    """
    name, steps = parse_rule(rule)
    if steps:
        return []
    return notes(graph, assign(graph, [explained], preset(name), LayerRules(dict(layer_rules))))
