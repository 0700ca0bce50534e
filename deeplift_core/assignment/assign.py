"""Assign a rule to every node that a backward pass reaches, in one sweep from the targets to the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from deeplift_core.advice import advice_on
from deeplift_core.assignment.activations import ElementwiseParents
from deeplift_core.assignment.layer_rules import LayerRules
from deeplift_core.assignment.mixing import Mixing, is_gate
from deeplift_core.assignment.presets import Composite, Site
from deeplift_core.errors import UnsupportedOpsError
from deeplift_core.graph import Graph, Node
from deeplift_core.rule_names import MAXIMUM_RULES
from deeplift_core.rules.activation import VARIANTS, Activation
from deeplift_core.rules.aumann_shapley import AumannShapleyOfTwo
from deeplift_core.rules.complex_numbers import ComplexPiece
from deeplift_core.rules.elementwise import Affine, affine_terms, is_elementwise
from deeplift_core.rules.formula import Formula
from deeplift_core.rules.input import Input
from deeplift_core.rules.interaction import Interaction
from deeplift_core.rules.larger_of_two import larger_of_two
from deeplift_core.rules.maxima import AUMANN_SHAPLEY
from deeplift_core.rules.products import Product
from deeplift_core.rules.registry import kernel_of, make_rule, variants_of
from deeplift_core.rules.rule import NoRuleError, Rule, recast
from deeplift_core.rules.softmax import LogAddExp


@dataclass(frozen=True)
class Assigned:
    """Rules by node, and for each node without a rule the reason.

    Attributes
    ----------
    rules : dict of int to Rule
    problems : dict of int to str
    sites : dict of int to Site
        The choice of rules at every node that has one.
    """

    rules: dict[int, Rule]
    problems: dict[int, str]
    sites: dict[int, Site]

    def check(self, graph: Graph) -> None:
        """Refuse a graph in which a node has no rule.

        Raises
        ------
        UnsupportedOpsError
            Listing every such node.
        """
        if not self.problems:
            return
        nodes = [graph.nodes[index] for index in sorted(self.problems)]
        places = [node.describe() + _after_colon(self.problems[node.index]) for node in nodes]
        raise UnsupportedOpsError(list(dict.fromkeys(places)), advice_on(node.op_name for node in nodes))


def _after_colon(reason: str) -> str:
    return f": {reason}" if reason else ""


def assign(
    graph: Graph,
    targets: Sequence[int],
    preset: Composite,
    layer_rules: LayerRules,
    *,
    layer: int | None = None,
    known: Mapping[int, Rule] | None = None,
) -> Assigned:
    """Assign rules to all nodes that backward passes from ``targets`` reach.

    Parameters
    ----------
    graph : Graph
    targets : sequence of int
    preset : Composite
    layer_rules : LayerRules
    layer : int, optional
        A node that gets scores itself. The backward pass ends there, and no activation reaches back past the
        node.
    known : mapping of int to Rule, optional
        Rules that were assigned to the same nodes before, under the same preset and without a layer. They are
        shared, because rules memoise what follows from their weights.
    """
    sites: dict[int, Site] = {}
    known_rules = dict(known or {})
    to_inputs = _Assigner(graph, preset, layer_rules, None, known_rules, sites)
    # No activation after the layer may begin before the layer. Rules up to the layer are the usual ones.
    after_layer = to_inputs if layer is None else _Assigner(graph, preset, layer_rules, layer, {}, sites)
    assigned = Assigned({}, {}, sites)
    pending = set(targets)
    for index in range(max(targets), -1, -1):
        if index not in pending:
            continue
        before_layer = layer is not None and index <= layer
        try:
            rule = (to_inputs if before_layer else after_layer).rule(graph.nodes[index])
        except NoRuleError as problem:
            assigned.problems[index] = str(problem)
            pending.update(() if before_layer else graph.nodes[index].refs)
        else:
            assigned.rules[index] = rule
            # P and Q of the layer may follow from those of the nodes before the layer.
            if rule.passes_parts or not before_layer:
                pending.update(rule.sources)
    return assigned


class _Assigner:
    def __init__(
        self,
        graph: Graph,
        preset: Composite,
        layer_rules: LayerRules,
        layer: int | None,
        known: dict[int, Rule],
        sites: dict[int, Site],
    ) -> None:
        self._graph = graph
        self._preset = preset
        self._layer_rules = layer_rules
        self._known = known
        self._parents = ElementwiseParents(graph, layer)
        self._mixing = Mixing(graph, self._parents)
        self._sites = sites

    def rule(self, node: Node) -> Rule:
        """Return the rule of one node.

        Raises
        ------
        NoRuleError
            If there is none.
        """
        if node.index not in self._known:
            self._known[node.index] = self._make(node)
        return self._known[node.index]

    def _make(self, node: Node) -> Rule:
        if node.op is None:
            return Input(self._graph, node)
        if not node.dtype.is_complex and any(self._graph.nodes[i].dtype.is_complex for i in node.refs):
            return ComplexPiece(self._graph, node)
        variants = variants_of(kernel_of(self._graph, node).op)
        if variants:
            variant = self._choose(node, variants, [node.index], node.index)
            rule = make_rule(self._graph, node, variant)
            assert rule is not None
            return rule
        if is_elementwise(node.op):
            return self._make_elementwise(node)
        raise NoRuleError("")

    def _make_elementwise(self, node: Node) -> Rule:
        parent = self._parents.parent(node.index)
        terms = affine_terms(node)
        if terms is not None and (parent is None or len(terms) == 1):
            return Affine(self._graph, node)
        if parent is not None and self._parents.affine(node.index):
            # x - x / 2 is x / 2. With one term for each x, P and Q would hold parts that cancel.
            formula = Formula(self._graph, parent, node.index, self._parents.between(parent, node.index))
            zeros = torch.zeros(self._graph.nodes[parent].shape, dtype=node.dtype, device=self._graph.device)
            return Affine(self._graph, node, [(parent, formula.derivative(zeros))])
        if parent is None:
            return self._make_combination(node)
        source = self._parents.source(node.index)
        body = self._parents.between(source, node.index)
        return Activation(self._graph, node, source, body, self._choose(node, VARIANTS, body, source))

    def _make_combination(self, node: Node) -> Rule:
        """Return the rule of an elementwise function of several quantities."""
        larger = larger_of_two(self._graph, node)
        if larger is not None:
            rule = self._choose(node, MAXIMUM_RULES, [node.index], node.index)
            return recast(larger, AumannShapleyOfTwo) if rule == AUMANN_SHAPLEY else larger
        if node.op_name == "logaddexp":
            return LogAddExp(self._graph, node)
        is_product = node.op_name == "mul" and node.dtype.is_floating_point
        return Product(self._graph, node) if is_product else Interaction(self._graph, node)

    def _choose(self, node: Node, variants: tuple[str, ...], body: Sequence[int], source: int) -> str:
        """Return the variant that the layer rules, or else the preset, choose."""
        site = Site(
            variants,
            frozenset(self._graph.nodes[index].module for index in body),
            lambda: self._mixing.before(source),
            lambda: is_gate(self._graph, node.index),
        )
        if len(variants) > 1:
            self._sites[node.index] = site
        return self._layer_rules.choose(site) or self._preset.choose(site)
