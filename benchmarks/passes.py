"""Measure what each pass of deeplift_core/passes buys, on the models of benchmarks/speed.py.

    python benchmarks/passes.py [MODEL ...] [--rules rescale] [--compiled] [--references 2] [--repeats 5]
        [--markdown docs/passes.md] [--json passes.json]

All passes take turns with all but one of them, in one process. The tables have the seconds with all passes
divided by the seconds with all passes but the named one: 0.80 says that the pass takes a fifth off, and 1.00
that the pass buys nothing. Each entry is the median of that ratio over the repeats. Seconds are CPU seconds
of the process, which other processes on the machine disturb less than they disturb a clock. A dash stands for
a pass that changes nothing in the plan of a model. Without max_pools there is no relu_before_pool either.

A second table has the sizes of the forward values that one row keeps for its backward pass, as ratios, too.
Only ratios other than 1 are listed there.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pages import insert, table
from speed import Bench, reveals
from speed_models import CASES

from deeplift_cli.process.memory import keep_freed_memory
from deeplift_core import DeepLift
from deeplift_core.assignment.plan import Plan
from deeplift_core.engine.reads import with_kept
from deeplift_core.passes import all_passes
from deeplift_core.passes.registry import applied

Run = Callable[[], Any]
RULES = ("rescale", "genomics-default")


def changing(explainer: DeepLift) -> list[str]:
    """Return the names of the passes that change something in the plan of the first target."""
    plan = explainer._with(passes=())._explainer.program([0], None).scorer.executable.plan
    found = []
    for read_kept in (False, True):
        for name in all_passes():
            after = applied(plan, [name], read_kept=read_kept)
            if _differ(plan, after):
                found.append(name)
            plan = after
        plan = with_kept(plan)
    return found


def _differ(before: Plan, after: Plan) -> bool:
    rules = any(before.rules[index] is not rule for index, rule in after.rules.items())
    return rules or any(before.calls.get(index) is not call for index, call in after.calls.items())


def cpu_seconds(run: Run) -> float:
    """Return what one run takes."""
    started = time.process_time()
    run()
    return time.process_time() - started


def ratio(with_all: Run, without: Run, repeats: int) -> float:
    """Return the median ratio of the seconds of two runs that take turns, after one run each to warm up."""
    found = []
    for turn in range(repeats + 1):
        first, second = cpu_seconds(with_all), cpu_seconds(without)
        if turn:
            found.append(first / second)
    return median(found)


def measured(
    model: str, rules: Sequence[str], compiled: bool, references: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """Return ratios of seconds and of sizes for one model, for each rule that gives it other scores."""
    bench = Bench(CASES[model])
    chosen = bench.references[:, :references]
    found = {}
    for rule in rules:
        explainer = bench.explainer("float32", rule)
        if rule != "rescale" and not reveals(explainer):
            continue
        ready = explainer.compiled() if compiled else explainer
        seconds, sizes = {}, {}
        for name in changing(explainer):
            # Only two variants are there at a time: each one prepares weights of its own.
            others = [other for other in all_passes() if other != name]
            without = explainer._with(passes=others)
            sizes[name] = explainer.bytes_per_row / without.bytes_per_row
            without = without.compiled() if compiled else without
            runs = (partial(each.attribute, bench.x, chosen) for each in (ready, without))
            seconds[name] = ratio(*runs, repeats)
        how = "compiled" if compiled else "eager"
        found[f"{model}|{rule}|{how}"] = {"seconds": seconds, "sizes": sizes}
        torch._dynamo.reset()
    return found


def report(found: dict[str, dict[str, Any]]) -> str:
    """Return the tables as text."""
    names = all_passes()
    header = "|".join(("model", "rule", "mode", *names))
    seconds = [
        [*key.split("|"), *(_ratio(each["seconds"], name) for name in names)] for key, each in found.items()
    ]
    sizes = {tuple(key.split("|")[:2]): each["sizes"] for key, each in found.items()}
    kept = [
        [model, name, rule, f"{ratio:.2f}"]
        for (model, rule), each in sizes.items()
        for name, ratio in each.items()
        if f"{ratio:.2f}" != "1.00"
    ]
    return "\n\n".join(
        [
            "### CPU seconds with all passes over those without one",
            table(header, seconds),
            "### Kept forward values with all passes over those without one",
            table("model|pass|rule|ratio", kept),
        ]
    )


def _ratio(found: dict[str, float], name: str) -> str:
    return f"{found[name]:.2f}" if name in found else "–"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(CASES)}")
    parser.add_argument(
        "--compiled", action="store_true", help="measure compiled steps instead of eager ones"
    )
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--references", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keeps what was measured, also of earlier runs"
    )
    given = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    found: dict[str, dict[str, Any]] = {}
    if given.json and given.json.exists():
        found = json.loads(given.json.read_text())
    for model in given.models or CASES:
        new = measured(model, given.rules, given.compiled, given.references, given.repeats)
        found |= new
        for key, each in new.items():
            seconds = (f"{name} {ratio:.2f}" for name, ratio in each["seconds"].items())
            print(key.replace("|", ", "), *seconds, sep=" | ", flush=True)
        if given.json:
            given.json.write_text(json.dumps(found, indent=1))
    order = {key: place for place, key in enumerate(CASES)}
    text = report(dict(sorted(found.items(), key=lambda item: order[item[0].partition("|")[0]])))
    print(text)
    if given.markdown:
        insert(given.markdown, text)


if __name__ == "__main__":
    main()
