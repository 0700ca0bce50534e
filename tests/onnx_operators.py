"""Write the table of ONNX operators in docs/, from what converting, running and scoring small graphs gives.

python tests/onnx_operators.py > docs/onnx-operators.md
"""

import fnmatch
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from onnx_cases import Case, further, official, older, schemas
from onnx_survey import Finding, first_conversion, survey

COMMAND = ".venv/bin/python tests/onnx_operators.py > docs/onnx-operators.md"
# Why an operator is not covered, or on constants only. The test holds that these, and no others, are the ones
# without a case that converts otherwise.
NOT_COVERED = {
    "BitCast": "the bits of a number are no function that can be explained",
    "ConvInteger": "quantised arithmetic",
    "DeformConv": "for images: places that depend on the input",
    "DequantizeLinear": "quantised arithmetic",
    "Det": "determinants are not known in sequence models",
    "DynamicQuantizeLinear": "quantised arithmetic",
    "ImageDecoder": "for image files",
    "MatMulInteger": "quantised arithmetic",
    "MelWeightMatrix": "depends on constants only",
    "MaxRoiPool": "for images: regions that depend on the input",
    "Multinomial": "random samples have no one value to explain",
    "QLinearConv": "quantised arithmetic",
    "QLinearMatMul": "quantised arithmetic",
    "QuantizeLinear": "quantised arithmetic",
    "RegexFullMatch": "strings",
    "SequenceMap": "exporters do not write it",
    "StringConcat": "strings",
    "StringNormalizer": "strings",
    "StringSplit": "strings",
    "TfIdfVectorizer": "counts words",
    "Unique": "its output's length depends on the input's values",
}
# What the cases that do not convert, of operators that are covered, are about. The test holds that each such
# case is named here, and each name here is such a case.
LIMITS = {
    "if": "the condition must not depend on the sequence",
    "nonmaxsuppression_flipped_coordinates": "not with corners the wrong way round",
    "reduce_*_empty_set*": "not of empty tensors",
    "reshape_allowzero_reordered": "not of empty tensors",
    "roialign_mode_max": "not with mode `max`",
    "scan_sum": "not in the form of operator set 8",
}

# Cases of which the contributions do not add up, and why. There are none.
INEXACT: dict[str, str] = {}


@dataclass
class Row:
    """What the cases of one operator show."""

    operator: str
    schema: Any
    findings: list[Finding] = field(default_factory=list)
    # by the operator set of an older form: what is wrong with each case in that form
    older: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def passed(self) -> list[Finding]:
        """The cases that convert and give what they should."""
        return [finding for finding in self.findings if finding.converts]

    @property
    def covered(self) -> str:
        """Whether all, some or none of the cases convert."""
        if not self.passed:
            constants = any(finding.converts_constants for finding in self.findings)
            return "constants only" if constants else "no"
        return "yes" if len(self.passed) == len(self.findings) else "with limits"

    @property
    def converted_by(self) -> str:
        """Who converts it, in most cases first."""
        counts = Counter(finding.first.how for finding in self.passed)
        return ", ".join(name for name, _ in counts.most_common())

    @property
    def older_forms(self) -> list[int]:
        """Operator sets of older forms in which all cases give what they should, but for `LIMITS`."""
        return sorted(form for form, cases in self.older.items() if not any(map(unexpected, cases.items())))

    @property
    def verdicts(self) -> Counter[str]:
        """How many cases are scored exactly, and how many not."""
        return Counter(finding.score.verdict for finding in self.passed if finding.score)

    @property
    def scored(self) -> str:
        """Whether contributions go through it: in all, some or none of the cases that depend on the input."""
        exact, refused = self.verdicts["exact"], self.verdicts["refused"] + self.verdicts["inexact"]
        if not exact:
            return "no" if refused else "–"
        return f"in {exact} of {exact + refused}" if refused else "yes"

    def notes(self) -> Iterator[str]:
        """Limits, and reasons, in words."""
        if not self.passed:
            yield NOT_COVERED.get(self.operator, "?")
        failed = [finding.case.name for finding in self.findings if not finding.converts]
        if self.passed:
            yield from _unique(limit(name) or name for name in failed)
            yield from (f"not the form of {form}" for form in self.older if form not in self.older_forms)
            if any(finding.several and finding.several.problem for finding in self.passed):
                yield "weights must be constant"
        yield from _unique(reason for finding in self.passed for reason in refusals(finding))
        yield from _unique(INEXACT.get(f.case.name, "?") for f in self.passed if is_inexact(f))
        if any(finding.first.by_onnxruntime for finding in self.passed):
            yield "as onnxruntime where ONNX's reference differs"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def limit(case: str) -> str | None:
    """What a case that does not convert is about."""
    return next((text for pattern, text in LIMITS.items() if fnmatch.fnmatch(case, pattern)), None)


def unexpected(case: tuple[str, str]) -> bool:
    """Whether something is wrong with a case, by its name and what that is, and no limit says so."""
    name, problem = case
    return bool(problem) and limit(name) is None


def is_inexact(finding: Finding) -> bool:
    """Whether contributions do not add up."""
    return finding.score is not None and finding.score.verdict == "inexact"


def refusals(finding: Finding) -> list[str]:
    """Why a case is not scored, in short."""
    if finding.score is None or finding.score.verdict != "refused":
        return []
    ops = re.findall(r"^  (?:aten|torchvision)[.](\w+)", finding.score.reason, re.MULTILINE)
    if ops:
        return [f"no rule for `{name}`" for name in ops]
    return ["takes values that must be known beforehand"]


def rows(cases: Iterable[Case]) -> list[Row]:
    """Survey the cases, by operator."""
    cases = [case for case in cases if case.is_usable]
    found = {name: Row(name, schema) for name, schema in schemas().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx2torch's and the inliner's
        for case in cases:
            found[case.operator].findings.append(survey(case))
        covered = (case for case in cases if case.is_official and found[case.operator].passed)
        for form, case in older(covered):
            found[case.operator].older[form][case.name] = first_conversion(case).problem
    return list(found.values())


def page(table: list[Row]) -> str:
    """The page in docs/."""
    lines = [_HEAD.format(command=COMMAND, onnx=onnx.__version__, opset=onnx.defs.onnx_opset_version())]
    lines += [*summary(table), ""]
    lines += ["| operator | since | covered | cases | older forms | converted by | scored | notes |"]
    lines.append("| --- " * 8 + "|")
    for row in table:
        name = row.operator + (" (deprecated)" if row.schema.deprecated else "")
        cases = f"{len(row.passed)}/{len(row.findings)}" if row.findings else "–"
        forms = ", ".join(map(str, row.older_forms)) or "–"
        cells = (row.schema.since_version, row.covered, cases, forms, row.converted_by or "–", row.scored)
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + f" | {'; '.join(row.notes())} |")
    return "\n".join(lines) + "\n" + _TAIL


def summary(table: list[Row]) -> Iterator[str]:
    """Counts, as lines of a table."""
    covered = Counter(row.covered for row in table)
    scores = Counter(
        row.scored if row.scored in ("yes", "no", "–") else "partly" for row in table if row.passed
    )
    findings = [finding for row in table for finding in row.findings]
    official = [finding for finding in findings if finding.case.is_official]
    yield "| | |"
    yield "| --- | --- |"
    yield f"| operators | {len(table)} |"
    for name in ("yes", "with limits", "constants only", "no"):
        yield f"| covered: {name} | {covered[name]} |"
    for name in ("yes", "partly", "no", "–"):
        yield f"| of those covered, scored: {name} | {scores[name]} |"
    yield f"| cases that convert and give what they should | {_share(findings)} |"
    yield f"| of these, ONNX's own | {_share(official)} |"
    again = [problem for row in table for cases in row.older.values() for problem in cases.values()]
    yield f"| ONNX's own in older forms | {again.count('')} of {len(again)} |"


def _share(findings: list[Finding]) -> str:
    return f"{sum(finding.converts for finding in findings)} of {len(findings)}"


_HEAD = """# ONNX operators

This page is made by

```sh
{command}
```

with onnx {onnx}, whose operator set is {opset}; `tests/test_onnx_operators.py` fails where it is out of date.

The table has all operators of ONNX's default domain, with the operator set that changed each last. Every
entry is the result of a test: small graphs of each operator are converted, run, compared and scored. The
graphs are the test cases that come with the onnx package, with the outputs given there; cases in types that
torch does not compute with, such as strings, and cases of training are left out. Further cases are for
sequences, leftovers of training, recurrent layers and forms of older operator sets, with onnxruntime's
outputs.

- **covered** says whether all cases convert and give the right outputs, to 1e-4 (cases in half precision to
  2e-3, in bfloat16 to 3e-2: here all floating-point numbers are float32). *constants only* means that the
  operator may be used on constants, such as weights kept in few bits.
- **older forms** lists earlier operator sets that changed the operator. In each, the cases that can be
  written in that operator set give what onnxruntime gives, where onnxruntime runs them.
- **converted by** says what converts the operator: *deeplift* stands for the converters of this repository,
  *onnx2torch* for that package, and *its definition in ONNX* for simpler operators. *written out* is for
  branches, loops and sequences of which the course is known beforehand, and *worked out beforehand* for
  operators that do nothing at inference or are constant. Any operator on constants alone is worked out
  beforehand, and so are shapes.
- **scored** says whether contributions go through the operator: whether they add up to the difference of the
  outputs, under `genomics-default` in float32 (to 1e-4) and `rescale` in float64 (to 1e-9), with all
  floating-point inputs depending on the sequence, or else one. *no* means that the inputs of the operator
  must not depend on the sequence, as positions and masks do not. *–* means that there is nothing to score,
  as for shapes and whole numbers.

Operators of other domains are refused, but for the functions that a file defines itself. Every operator that
is not covered is refused, too, by a message with its name and the names of the nodes.
"""

_TAIL = '''
## To add an operator

An operator is one function under one decorator, in the module of its family in
`cli/deeplift_cli/models/onnx/operators/`, or in `operators/rare/` where no model of the tests' zoo and no
published model has it. Most are functions of tensors, which are called with the node's inputs and, by name,
its attributes:

```python
import torch
from torch import Tensor

from deeplift_cli.models.onnx.registry import operator


@operator("Repeat", domain="com.example")
def repeat(x: Tensor, times: int = 2) -> Tensor:
    """Repeat each position."""
    return x.repeat_interleave(times, -1)
```

A function whose first parameter is a `NodeProto` is called once, with the node and its graph. It returns a
module with the values that this takes (here one with weights), or ONNX nodes that take the node's place:

```python
from onnx import NodeProto, helper
from torch import nn

from deeplift_cli.models.onnx.graph import Graph
from deeplift_cli.models.onnx.registry import Conversion, operator


@operator("Scores", domain="com.example")
def scores(node: NodeProto, graph: Graph) -> Conversion:
    """A dense layer without a bias, on the last axis."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(graph.tensor(node.input[1]))
    return Conversion(layer, (node.input[0],))


@operator("Gate", domain="com.example")
def gate(node: NodeProto, graph: Graph) -> list[NodeProto]:
    """x sigmoid(x)."""
    inner = f"{node.name}:inner"
    return [
        helper.make_node("Sigmoid", node.input, [inner], name=f"{node.name}/sigmoid"),
        helper.make_node("Mul", [node.input[0], inner], node.output, name=node.name),
    ]
```

`since=13` says that a function holds from operator set 13 on. `written_out=True` is for operators such as
loops, whose nodes must be there before shapes are worked out. Write functions for any number of rows, and
with operations of torch that have [rules](rules.md). The table above is made again with every operator.
'''


def main() -> None:
    """Write the page to stdout."""
    torch.set_num_threads(1)
    print(page(rows([*official(), *further()])), end="")


if __name__ == "__main__":
    main()
