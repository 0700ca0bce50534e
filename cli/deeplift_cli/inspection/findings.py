"""What is found out about a model, as plain data: nothing here runs it."""

from dataclasses import dataclass, field

from deeplift_cli.models import Layout, ModelFile, TensorSpec
from deeplift_cli.options.targets import Stored


@dataclass(frozen=True)
class InputForm:
    """How sequences go into the model, and how that was found.

    Attributes
    ----------
    layout : Layout
    layout_reason : str
    length : int
        L of the sequences that everything else was found with.
    length_reason : str
    takes_any_length : bool
        Whether the model takes other lengths, too.
    """

    layout: Layout
    layout_reason: str
    length: int
    length_reason: str
    takes_any_length: bool


@dataclass(frozen=True)
class Operation:
    """One recorded operation.

    Attributes
    ----------
    name, op, module, source : str
        As in `deeplift_core.NodeInfo`.
    rules : dict of str to str
        The rule that it gets under each preset.
    problem : str
        Why there is none; "" where there is one.
    """

    name: str
    op: str
    module: str
    source: str
    rules: dict[str, str]
    problem: str


@dataclass(frozen=True)
class Recording:
    """The model's operations, and what of it is explained.

    Attributes
    ----------
    operations : list of Operation
        In the order in which they ran, without the inputs.
    output : int or str
        The place of the explained output, or its name where the model returns a mapping.
    output_shape : tuple of int
        Of the explained output for one sequence.
    explains_logit : bool
        Whether a final sigmoid or softmax is left out.
    notes : list of str
        What a user should know about the rules, under the default preset.
    """

    operations: list[Operation]
    output: int | str
    output_shape: tuple[int, ...]
    explains_logit: bool
    notes: list[str]

    @property
    def unsupported(self) -> list[Operation]:
        """Operations that have no rule under some preset.

        Taking one of several results ("getitem") is not blamed beside the operation that gave them.
        """
        missing = [item for item in self.operations if item.problem]
        blamed = {(item.module, item.source) for item in missing if item.op != "getitem"}
        return [item for item in missing if item.op != "getitem" or (item.module, item.source) not in blamed]


@dataclass(frozen=True)
class Cost:
    """Time and memory, measured on random sequences; what DeepLIFT takes is None where it cannot run.

    Attributes
    ----------
    batch_size : int
        K, the number of rows of every batch.
    forward_seconds : float
        For one sequence, the model alone.
    fixed_seconds, reference_seconds : float or None
        Scoring one sequence takes fixed_seconds + n * reference_seconds with n references.
    bytes_per_sequence : int or None
        Of the values that one sequence keeps for the reverse walk, its reference's included.
    """

    device: str
    precision: str
    threads: int
    batch_size: int
    forward_seconds: float
    fixed_seconds: float | None = None
    reference_seconds: float | None = None
    bytes_per_sequence: int | None = None

    def scoring_seconds(self, references: int) -> float | None:
        """For one sequence against so many references."""
        if self.fixed_seconds is None or self.reference_seconds is None:
            return None
        return self.fixed_seconds + references * self.reference_seconds


@dataclass(frozen=True)
class SelfCheck:
    """Summation-to-delta on random sequences against their shuffles, under one rule.

    Attributes
    ----------
    target : int, tuple of int, or str
        As a score file holds it.
    worst_relative_error : float
        As `deeplift_core.accuracy.completeness` defines it; NaN where a score is.
    largest_difference : float
        Of an output from a reference's, in size; 0 where the model says the same of all of them.
    """

    rule: str
    target: Stored
    sequences: int
    references: int
    worst_relative_error: float
    tolerance: float
    largest_difference: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.worst_relative_error <= self.tolerance


@dataclass
class Inspection:
    """All that was found out; what could not be is None, and `problems` says why.

    Attributes
    ----------
    model : ModelFile
    parameters : int
    inputs, outputs : list of TensorSpec
        As far as the file declares them or running the model shows them.
    problems : list of str
        What keeps the model from being scored, one line each.
    """

    model: ModelFile
    parameters: int
    inputs: list[TensorSpec] = field(default_factory=list)
    outputs: list[TensorSpec] = field(default_factory=list)
    form: InputForm | None = None
    recording: Recording | None = None
    cost: Cost | None = None
    checks: list[SelfCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def can_be_scored(self) -> bool:
        """Whether `deeplift score` takes the model and the self-check holds."""
        return not self.problems
