"""Plans for the targets of one recording: rules assigned, optimised by passes, and shared by all targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deeplift_core.assignment.assign import assign
from deeplift_core.assignment.layer_rules import LayerRules
from deeplift_core.assignment.plan import Plan
from deeplift_core.assignment.presets import Composite
from deeplift_core.engine.reads import values_read, with_kept
from deeplift_core.graph import Graph
from deeplift_core.passes.registry import applied


@dataclass(frozen=True)
class Ends:
    """A target's node, where a backward pass begins, and the same element of the model's own output."""

    target: int
    prediction: int


class Planner:
    """Makes plans for one recording under one preset.

    The rules of the model's own nodes are made when the planner is made, and shared by the plans of all
    targets, with everything that rules and passes prepare of the model's weights.

    Parameters
    ----------
    graph : Graph
        The recording, with the nodes of the explained output.
    explained : int
        The node [K, ...] that targets choose from.
    preset : Composite
    layer_rules : LayerRules
    passes : sequence of str
        Names of the passes to apply.

    Attributes
    ----------
    base : Plan
        The plan whose target is the explained output.
    sites : dict of int to Site
        Every operation that has a choice of rules, by its node.

    Raises
    ------
    UnsupportedOpsError
        If operations have no rule: all of them are listed.
    """

    def __init__(
        self, graph: Graph, explained: int, preset: Composite, layer_rules: LayerRules, passes: Sequence[str]
    ) -> None:
        self.graph = graph
        self.explained = explained
        self._preset = preset
        self._layer_rules = layer_rules
        self._passes = tuple(passes)
        assigned = assign(graph, [explained], preset, layer_rules)
        assigned.check(graph)
        self._rules = assigned.rules
        self.sites = assigned.sites
        plan = Plan(graph, assigned.rules, (explained,), (explained,), tuple(graph.inputs))
        self.base = applied(plan, self._passes)

    def plan(self, graph: Graph, ends: Sequence[Ends], layer: int | None = None) -> Plan:
        """Return the plan for some targets.

        Parameters
        ----------
        graph : Graph
            The planner's own graph, with further nodes for the targets.
        ends : sequence of Ends
        layer : int, optional
            A node that gets the scores in place of the inputs.

        Raises
        ------
        UnsupportedOpsError
            If an operation has no rule.
        """
        targets = tuple(end.target for end in ends)
        known = None if layer is not None else self._rules
        assigned = assign(graph, targets, self._preset, self._layer_rules, layer=layer, known=known)
        assigned.check(graph)
        layers = tuple(graph.inputs) if layer is None else (layer,)
        predictions = tuple(end.prediction for end in ends)
        new = {i: rule for i, rule in assigned.rules.items() if self._rules.get(i) is not rule}
        own = applied(Plan(graph, new, targets, predictions, layers), self._passes)
        shared = assigned.rules.keys() - new.keys()
        rules = {index: self.base.rules[index] for index in shared}
        calls = self.base.calls if layer is None else {}
        # The model's own calls are those of the base plan: what passes prepared of the weights is shared.
        plan = replace(own, rules={**rules, **own.rules}, calls={**own.calls, **calls})
        return applied(with_kept(plan), self._passes, read_kept=True)

    def bytes_kept(self) -> int:
        """Return the size of the forward values that a backward pass from the explained output reads."""
        read = values_read(self.base, self.explained, self.base.layers)
        nodes = (self.graph.nodes[index] for index in read)
        return sum(node.shape.numel() * node.dtype.itemsize for node in nodes)
