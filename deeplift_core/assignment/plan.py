"""Which rule each recorded operation gets: activations found, presets and overrides applied."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property

import torch

from deeplift_core.advice import advice_on
from deeplift_core.assignment.names import PRESETS, ActivationRule, check_activation_rule
from deeplift_core.errors import OptionError, UnsupportedOpsError
from deeplift_core.graph.graph import Graph, Node
from deeplift_core.rules.activation import Activation
from deeplift_core.rules.aumann_shapley import AumannShapley, by_aumann_shapley
from deeplift_core.rules.base import Multipliers, NoRuleError, Rule, Sent, Walk
from deeplift_core.rules.complex_numbers import ComplexPiece
from deeplift_core.rules.elementwise import Affine, affine_terms, is_elementwise
from deeplift_core.rules.fast_max_pools import FastMaxPool
from deeplift_core.rules.formula import Formula
from deeplift_core.rules.interaction import Interaction
from deeplift_core.rules.larger_of_two import larger_of_two
from deeplift_core.rules.linear import LinearRule
from deeplift_core.rules.maxima import Maximum, Switch
from deeplift_core.rules.products import Product
from deeplift_core.rules.registry import make_rule, registered_as
from deeplift_core.rules.softmax import LogAddExp
from deeplift_core.rules.structural import Structural

# The rules of maxima; the first one is the default.
MAXIMUM_RULES = (Switch.label, AumannShapley.label)


class Input(Rule):
    """An input of the model: where multipliers arrive, and where P and Q begin."""

    label = "input"

    def splits(self, given: bool) -> bool:
        """Nothing lies before it."""
        del given
        return False

    def backward(self, walk: Walk, m: Multipliers) -> Sent:
        """Nothing lies before an input."""
        return ()


class Elementwise:
    """Elementwise dominators: for each node the nearest node of which it is an elementwise function.

    Following parents from a node leads through everything that an activation ending there could take
    as its single source. None leads past ``root``, a node that is itself to be scored.
    """

    def __init__(self, graph: Graph, root: int | None = None) -> None:
        self._graph = graph
        self.root = root
        self._parent: list[int | None] = []
        self._depth: list[int] = []
        self._affine: list[bool] = []  # whether the node is an affine function of its parent

    def _extend(self, until: int) -> None:
        for node in self._graph.nodes[len(self._parent) : until + 1]:
            inner = is_elementwise(node.op) and node.index != self.root
            parent = self._common(node.refs) if inner else None
            self._parent.append(parent)
            self._depth.append(0 if parent is None else self._depth[parent] + 1)
            straight = parent is not None and affine_terms(node) is not None
            self._affine.append(straight and all(self._affine_down(ref, parent) for ref in node.refs))

    def _common(self, refs: Sequence[int]) -> int | None:
        """Nearest node that all of ``refs`` are elementwise functions of (themselves included)."""
        nearest: int | None = refs[0]
        for ref in refs[1:]:
            other: int | None = ref
            while nearest != other and nearest is not None and other is not None:
                if self._depth[nearest] >= self._depth[other]:
                    nearest = self._parent[nearest]
                else:
                    other = self._parent[other]
            if nearest is None or other is None:
                return None
        return nearest

    def _affine_down(self, index: int, ancestor: int | None) -> bool:
        while index != ancestor:
            above = self._parent[index]
            if above is None or not self._affine[index]:
                return False
            index = above
        return True

    def parent(self, index: int) -> int | None:
        """Nearest node that this one is an elementwise function of."""
        self._extend(index)
        return self._parent[index]

    def affine(self, index: int) -> bool:
        """Whether the node is an affine function of its parent."""
        self._extend(index)
        return self._affine[index]

    def source(self, index: int) -> int:
        """Source of the activation that ends at ``index``: the farthest, less an affine beginning.

        What is affine at its beginning (batch norm before ReLU) acts on P and Q by itself, with the same
        result and less work.
        """
        path = [index]
        while (above := self.parent(path[-1])) is not None:
            path.append(above)
        while len(path) > 2 and self.affine(path[-2]):
            path.pop()
        return path[-1]


class Plan:
    """The rule of every node, made when first asked for.

    Parameters
    ----------
    graph : Graph
        May grow; rules that were made stay.
    preset : str
        One of `PRESETS`.
    layer_rules : mapping of str to str
        fnmatch patterns of module names, each with a rule of activations or of maxima; the last match counts.

    Raises
    ------
    OptionError
        If the preset, a pattern or a rule is not known.
    """

    def __init__(self, graph: Graph, preset: str, layer_rules: Mapping[str, str] | None = None) -> None:
        if preset not in PRESETS:
            raise OptionError(f"unknown rule {preset!r}; choose from {', '.join(PRESETS)}")
        self.graph = graph
        self.preset = preset
        self.layer_rules = dict(layer_rules or {})
        self._maximum_rules = {k: v for k, v in self.layer_rules.items() if v in MAXIMUM_RULES}
        self._activation_rules = {
            k: check_activation_rule(v) for k, v in self.layer_rules.items() if v not in MAXIMUM_RULES
        }
        self.elementwise = Elementwise(graph)
        self._rules: dict[int, Rule] = {}

    def scoring(self, layer: int) -> "Plan":
        """The same plan for scores of a layer inside: no activation reaches back past it.

        Raises
        ------
        NoRuleError
            If the layer's own operation has no rule.
        """
        plan = Plan(self.graph, self.preset, self.layer_rules)
        plan.elementwise = Elementwise(self.graph, root=layer)
        plan._rules = {
            i: rule
            for i, rule in self._rules.items()
            if not isinstance(rule, (Affine, Activation)) and not rule.passed
        }
        plan._rules[layer] = self.rule(layer)
        return plan

    def rule(self, index: int) -> Rule:
        """The rule of one node.

        Raises
        ------
        NoRuleError
            If there is none.
        """
        if index not in self._rules:
            self._rules[index] = self._make(self.graph.nodes[index])
        return self._rules[index]

    def _make(self, node: Node) -> Rule:
        if node.op is None:
            return Input(self.graph, node)
        if not node.dtype.is_complex and any(self.graph.nodes[i].dtype.is_complex for i in node.refs):
            return ComplexPiece(self.graph, node)
        if is_elementwise(node.op):
            return self._make_elementwise(node)
        rule = make_rule(self.graph, node)
        if rule is None:
            raise NoRuleError("")
        if isinstance(rule, Maximum):
            rule = self._chosen_of_maxima(node, rule)
        return self._past_relu(rule) if isinstance(rule, FastMaxPool) else rule

    def _chosen_of_maxima(self, node: Node, rule: Maximum) -> Maximum:
        """The rule of a maximum that the layer rules choose."""
        for pattern, name in reversed(self._maximum_rules.items()):
            if fnmatchcase(node.module, pattern):
                return by_aumann_shapley(rule) if name == AumannShapley.label else rule
        return rule

    def _past_relu(self, pool: FastMaxPool) -> FastMaxPool:
        """With the ReLU right before the pool, where there is one that Rescale explains."""
        passed = [pool.source]
        while (node := self.graph.nodes[passed[-1]]).op_name == "unsqueeze":
            passed.append(node.refs[0])
        if self.elementwise.root in passed or node.op is None or not is_elementwise(node.op):
            return pool
        rule = self.rule(node.index)
        if not isinstance(rule, Activation) or rule.rule != "rescale" or not rule.formula.is_relu:
            return pool
        return pool.past_relu(rule.source, passed)

    def to_run(self) -> Graph:
        """The graph that forward passes run: with the calls that rules put in place of the model's."""
        nodes = list(self.graph.nodes)
        for call in (rule.call for rule in self._rules.values()):
            if call is not None:
                nodes[call.index] = call
        return replace(self.graph, nodes=nodes)

    def _make_elementwise(self, node: Node) -> Rule:
        parent = self.elementwise.parent(node.index)
        terms = affine_terms(node)
        if terms is not None and (parent is None or len(terms) == 1):
            return Affine(self.graph, node)
        if parent is not None and self.elementwise.affine(node.index):
            # x - x / 2 is x / 2: with a term for each x, parts that cancel would be kept.
            formula = Formula(self.graph, parent, node.index, self._between(parent, node.index))
            zeros = torch.zeros(self.graph.nodes[parent].shape, dtype=node.dtype, device=self.graph.device)
            return Affine(self.graph, node, [(parent, formula.derivative(zeros))])
        if parent is None:
            return self._make_combination(node)
        source = self.elementwise.source(node.index)
        body = self._between(source, node.index)
        return Activation(self.graph, node, source, body, self._choose(source, body, node.index))

    def _make_combination(self, node: Node) -> Rule:
        """The rule of an elementwise function of several quantities."""
        larger = larger_of_two(self.graph, node)
        if larger is not None:
            return self._chosen_of_maxima(node, larger)
        if node.op_name == "logaddexp":
            return LogAddExp(self.graph, node)
        floating = node.dtype.is_floating_point
        return (
            Product(self.graph, node) if node.op_name == "mul" and floating else Interaction(self.graph, node)
        )

    def _between(self, source: int, output: int) -> list[int]:
        seen = {source}
        stack, body = [output], []
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                body.append(index)
                stack.extend(self.graph.nodes[index].refs)
        return sorted(body)

    def _choose(self, source: int, body: list[int], output: int) -> ActivationRule:
        modules = {self.graph.nodes[index].module for index in body}
        for pattern, rule in reversed(self._activation_rules.items()):
            if any(fnmatchcase(module, pattern) for module in modules):
                return rule
        if self.preset != "genomics-default":
            return check_activation_rule(self.preset)
        dense = self._mixing_before(source) == {"dense"}
        return "revealcancel" if dense and not self._is_gate(output) else "rescale"

    def _is_gate(self, output: int) -> bool:
        """Whether the activation is multiplied with something else that depends on the input.

        It is, as it stands, moved or scaled (1 - z), a factor of a product whose other factor does not come
        from it: LSTM's gates and squeeze-excite's, but not what a norm divides by its own length.
        """
        stack, seen = [output], {output}
        while stack:
            index = stack.pop()
            for node in self.graph.consumers.get(index, ()):
                refs = node.refs
                if len(refs) == 1 and self._passes_on(node) and node.index not in seen:
                    seen.add(node.index)
                    stack.append(node.index)
                others = [ref for ref in refs if ref != index]
                if node.op_name == "mul" and any(output not in self.graph.ancestors(ref) for ref in others):
                    return True
        return False

    @staticmethod
    def _passes_on(node: Node) -> bool:
        return registered_as(node, Structural) or affine_terms(node) is not None

    def _mixing_before(self, source: int) -> set[str]:
        """Kinds of the nearest mixing layers before ``source``: "dense", "convolution", "other"."""
        found: set[str] = set()
        seen: set[int] = set()
        stack = [source]
        while stack:
            index = stack.pop()
            if index in seen:
                continue
            seen.add(index)
            try:
                rule = self.rule(index)
            except NoRuleError:  # listed with the other operations that have none, not blamed on this one
                found.add("other")
                continue
            if isinstance(rule, LinearRule):
                found.add("dense" if rule.dense else "convolution")
            elif isinstance(rule, ComplexPiece):
                found.add("convolution")
            elif isinstance(rule, (Affine, Structural, Maximum, Activation)):
                stack.extend(rule.sources)
            elif not isinstance(rule, Input):
                found.add("other")
        return found

    def reached(self, *outputs: int) -> list[int]:
        """Nodes that a reverse walk from ``outputs`` visits, last first; all have a rule.

        Raises
        ------
        UnsupportedOpsError
            Listing every node of the walk that has none.
        """
        pending, visited, lacking = set(outputs), [], {}
        while pending:
            index = max(pending)
            pending.remove(index)
            visited.append(index)
            try:
                pending.update(self.rule(index).sources)
            except NoRuleError as problem:
                node = self.graph.nodes[index]
                lacking[node.describe() + (f": {problem}" if str(problem) else "")] = node.op_name
                pending.update(node.refs)
        if lacking:
            places, names = zip(*reversed(lacking.items()), strict=True)
            raise UnsupportedOpsError(list(places), advice_on(names))
        return visited

    def check_patterns(self) -> None:
        """Refuse a layer pattern that matches no module with what its rule is for.

        Raises
        ------
        OptionError
            Naming the pattern and the modules that have activations or maxima.
        """
        kinds = (
            (self._activation_rules, self._activation_modules, "activation", "activations"),
            (self._maximum_rules, self._maximum_modules, "maximum", "maxima"),
        )
        for patterns, modules, one, several in kinds:
            for pattern in patterns:
                if not any(fnmatchcase(module, pattern) for module in modules):
                    known = ", ".join(sorted(map(repr, modules))) or "none"
                    raise OptionError(
                        f"no {one} is in a module that matches {pattern!r}; {several} are in: {known}"
                    )

    @cached_property
    def _activation_modules(self) -> set[str]:
        rules = [rule for rule in self._rules.values() if isinstance(rule, Activation)]
        return {self.graph.nodes[index].module for rule in rules for index in rule.body}

    @cached_property
    def _maximum_modules(self) -> set[str]:
        return {rule.node.module for rule in self._rules.values() if isinstance(rule, Maximum)}
