"""TEMPORARY until the capture branch is merged."""
from dataclasses import dataclass

from torch.utils._pytree import tree_leaves

from deeplift_core.capture.few_rows import with_constants_of
from deeplift_core.capture.precision import in_precision
from deeplift_core.capture.randomness import check_repeatable
from deeplift_core.capture.recorder import borrowed, record_model
from deeplift_core.errors import CaptureError
from deeplift_core.graph.graph import Graph


@dataclass(frozen=True)
class Recording:
    graph: Graph
    prediction: int
    few_rows: Graph | None


def record(model, example, output, own_dtype, device):
    from deeplift_core.engine import targets

    def run(example):
        with borrowed(model, example[0].dtype, device):
            graph, outputs, structure = record_model(model, example)
            place = targets.choose_output(structure, output)
            check_repeatable(model, example, tree_leaves(structure).index(place), graph.draws)
        return graph, outputs[place]

    graph, prediction = in_precision(run, example, own_dtype)
    few = None
    if graph.batch_size > 4:
        try:
            f, p = in_precision(run, tuple(t[:4] for t in example), own_dtype)
            few = with_constants_of(graph, f) if p == prediction else None
        except CaptureError:
            pass
    return Recording(graph, prediction, few)
