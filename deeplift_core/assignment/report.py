"""Every operation of a model with the rule it got, as `DeepLift.nodes` shows them."""

from deeplift_core.assignment.plan import Plan
from deeplift_core.graph import Graph
from deeplift_core.results import NodeInfo
from deeplift_core.rules.base import NoRuleError


def described(graph: Graph, explained: int, plan: Plan | None, rule: str) -> list[NodeInfo]:
    """The model's own nodes.

    Parameters
    ----------
    graph : Graph
    explained : int
        The node of the output that is explained.
    plan : Plan or None
        Where rules come from; None for a rule that takes any operation.
    rule : str
        Its name.
    """
    rules, problems = ({}, {}) if plan is None else _rules_met(plan, explained)
    used = set(graph.ancestors(explained))

    def rule_of(index: int) -> str:
        if plan is None:
            return rule
        return rules.get(index, "part of another" if index in used else "not used")

    return [
        NodeInfo(
            node.name,
            node.called,
            node.module,
            rule_of(node.index),
            node.source,
            problems.get(node.index, ""),
        )
        for node in graph.nodes[: graph.of_model]
    ]


def _rules_met(plan: Plan, output: int) -> tuple[dict[int, str], dict[int, str]]:
    """Names of the rules that a walk from ``output`` meets, and why it finds none where it does not."""
    rules, problems = {}, {}
    pending = {output}
    while pending:
        index = max(pending)
        pending.remove(index)
        try:
            rule = plan.rule(index)
        except NoRuleError as problem:
            rules[index] = "none"
            problems[index] = str(problem) or "there is no rule for this operation"
            pending.update(plan.graph.nodes[index].refs)
        else:
            rules[index] = rule.name
            rules |= {passed: plan.rule(passed).name for passed in rule.passed}
            pending.update(rule.sources)
    return rules, problems
