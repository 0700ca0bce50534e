"""The results of an inspection as plain data; this module runs no model."""

from dataclasses import dataclass, field

from deeplift_cli.models import Layout, ModelFile, TensorSpec
from deeplift_cli.options.targets import Stored


@dataclass(frozen=True)
class InputForm:
    """The layout and length of the model's input, and how they were found.

    Attributes
    ----------
    layout : Layout
    layout_reason : str
    length : int
        L, the length of the sequences in all further steps of the inspection.
    length_reason : str
    takes_any_length : bool
        True if the model takes other lengths, too.
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
        The values of `deeplift_core.NodeInfo`.
    rules : dict of str to str
        The rule of the operation under each preset.
    problem : str
        The reason why the operation has no rule; "" if it has one.
    """

    name: str
    op: str
    module: str
    source: str
    rules: dict[str, str]
    problem: str


@dataclass(frozen=True)
class Recording:
    """The model's operations, and the output that is explained.

    Attributes
    ----------
    operations : list of Operation
        The operations in the order in which they ran, without the inputs.
    output : int or str
        The place of the explained output, or its name where the model returns a mapping.
    output_shape : tuple of int
        The shape of the explained output for one sequence.
    explains_logit : bool
        True if the output before a final sigmoid or softmax is explained.
    notes : list of str
        Notes for the user about the rules under the default preset.
    """

    operations: list[Operation]
    output: int | str
    output_shape: tuple[int, ...]
    explains_logit: bool
    notes: list[str]

    @property
    def unsupported(self) -> list[Operation]:
        """Operations that have no rule under some preset.

        A "getitem", which takes one of several results, is left out if the operation with the results is in
        the list.
        """
        missing = [item for item in self.operations if item.problem]
        blamed = {(item.module, item.source) for item in missing if item.op != "getitem"}
        return [item for item in missing if item.op != "getitem" or (item.module, item.source) not in blamed]


@dataclass(frozen=True)
class Classes:
    """The names of the explained output's classes or tracks.

    Attributes
    ----------
    names : tuple of str
        The names in order; "" for a class without a name.
    source : str
        The file that gave the names.
    axes : tuple of int
        The axes of the explained output, counted from 0 without the batch, that have as many elements as
        there are names. `--target` takes the names if there is one such axis.
    """

    names: tuple[str, ...]
    source: str
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """Time and memory, measured on random sequences; numbers for DeepLIFT are None if it cannot run.

    Attributes
    ----------
    batch_size : int
        K, the number of rows of every batch.
    forward_seconds : float
        Seconds of the model's forward pass for one sequence.
    fixed_seconds, reference_seconds : float or None
        Scoring one sequence takes fixed_seconds + n * reference_seconds with n references.
    bytes_per_sequence : int or None
        Bytes of the forward values that one sequence and its reference keep for the backward pass.
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
        """Return the seconds for one sequence with this number of references; None if not known."""
        if self.fixed_seconds is None or self.reference_seconds is None:
            return None
        return self.fixed_seconds + references * self.reference_seconds

    def mutagenesis_seconds(self, length: int) -> float:
        """Return the seconds for one sequence of this length under `ism`.

        These are the forward passes of the sequence and of the three mutants of each position.
        """
        return (1 + 3 * length) * self.forward_seconds


@dataclass(frozen=True)
class SelfCheck:
    """Summation-to-delta on random sequences against their shuffles, under one rule.

    Attributes
    ----------
    target : int, tuple of int, or str
        The target as a score file holds it.
    worst_relative_error : float
        The error as `deeplift_core.accuracy.completeness` defines it; NaN if a score is NaN.
    largest_difference : float
        The largest absolute difference between the outputs of a sequence and of its reference; 0 if the model
        returns the same for all sequences.
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
        """True if the error is within the tolerance, which NaN never is."""
        return self.worst_relative_error <= self.tolerance


@dataclass
class Inspection:
    """All results of an inspection; a result that is missing is None, and `problems` says why.

    Attributes
    ----------
    model : ModelFile
    parameters : int
    inputs, outputs : list of TensorSpec
        The tensors that the file declares, or that a run of the model shows.
    classes : Classes or None
        The value is None if neither the model's file nor the user names the classes.
    heads : dict of str to str
        The heads of a BPNet-like model that `--target` takes, each with the name of its output; empty for
        other models.
    problems : list of str
        The reasons why the model cannot be scored, one line each.
    command : str
        A `deeplift score` command that fits the model; "" where the model cannot be scored.
    """

    model: ModelFile
    parameters: int
    inputs: list[TensorSpec] = field(default_factory=list)
    outputs: list[TensorSpec] = field(default_factory=list)
    form: InputForm | None = None
    recording: Recording | None = None
    classes: Classes | None = None
    heads: dict[str, str] = field(default_factory=dict)
    cost: Cost | None = None
    checks: list[SelfCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    command: str = ""

    @property
    def can_be_scored(self) -> bool:
        """True if `deeplift score` takes the model and the self-check holds."""
        return not self.problems
