"""What tests ask about plans: which passes change them, and what their forward passes compute."""

from collections.abc import Sequence

import torch
from torch import Tensor

from deeplift_core import DeepLift
from deeplift_core.assignment.plan import Plan
from deeplift_core.capture.other_rows import other_rows
from deeplift_core.engine.forward import ForwardPass
from deeplift_core.engine.reads import with_kept
from deeplift_core.passes.registry import all_passes, applied, reads_kept


def plan_of(explainer: DeepLift) -> Plan:
    """The plan for the first target."""
    return explainer._explainer.program([0], None).scorer.executable.plan


def changing(plain: DeepLift) -> list[tuple[str, ...]]:
    """Each pass that changes something in the plan of an explainer without passes.

    A pass that builds on what an earlier one made is given with all passes before it.
    """
    plan = plan_of(plain)
    found: list[tuple[str, ...]] = []
    before: list[str] = []
    for name in all_passes():
        if reads_kept(name):
            continue
        if differ(plan, applied(plan, [name])):
            found.append((name,))
        elif differ(so_far := applied(plan, before), applied(so_far, [name])):
            found.append((*before, name))
        before.append(name)
    kept = with_kept(applied(plan, before))
    last = [name for name in all_passes() if reads_kept(name)]
    return found + [(name,) for name in last if differ(kept, applied(kept, [name], read_kept=True))]


def differ(before: Plan, after: Plan) -> bool:
    """Whether a pass has replaced a rule or a call."""
    rules = any(before.rules[index] is not rule for index, rule in after.rules.items())
    return rules or any(before.calls.get(index) is not call for index, call in after.calls.items())


def forward_values(plan: Plan, inputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """What a forward pass returns, as numbers; of an operation with several results, the first one."""
    values = ForwardPass(plan)(inputs)
    assert values.keys() == {*plan.kept, *plan.wanted}
    firsts = {index: value[0] if isinstance(value, tuple) else value for index, value in values.items()}
    return {index: value if value.is_complex() else value.double() for index, value in firsts.items()}


def assert_same_forward_pass(
    plain: Plan, rewritten: Plan, example: Sequence[Tensor], tolerance: float
) -> None:
    """Compare all that both plans keep, on other rows than the example's."""
    with torch.no_grad():
        rows = other_rows(example).first
        expected, found = (forward_values(plan, rows) for plan in (plain, rewritten))
    common = sorted(expected.keys() & found.keys())
    assert set(plain.wanted) <= set(common)
    for index in common:
        known, node = expected[index], plain.graph.nodes[index]
        scale = known[known.isfinite()].abs().amax() if known.isfinite().any() else 0
        torch.testing.assert_close(
            found[index], known, rtol=0, atol=tolerance * max(float(scale), 1e-3), msg=node.describe()
        )
