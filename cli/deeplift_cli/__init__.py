"""The command `deeplift`, and from Python `load_scores`, which reads the score files of the command.

`deeplift_cli.models.load` gives the torch module of a model file. docs/python.md shows both.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplift_cli.scores.region_scores import RegionScores
    from deeplift_cli.scores.score_table import Scores, load_scores

__all__ = ["RegionScores", "Scores", "load_scores"]


def __getattr__(name: str) -> Any:
    """Import the reader of score files, which needs h5py, when it is first asked for."""
    if name in ("Scores", "load_scores"):
        from deeplift_cli.scores import score_table

        return getattr(score_table, name)
    if name == "RegionScores":
        from deeplift_cli.scores.region_scores import RegionScores

        return RegionScores
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return all names, those that are imported when they are asked for included, for `help` and Tab."""
    return sorted({*globals(), *__all__})
