"""The decision whether to compile a model's scoring, and a fallback if the compilation fails."""

import logging
import shutil
import time
from collections.abc import Sequence
from os import environ

import torch

from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.process.screen import Screen
from deeplift_core import CompileError, DeepLift
from deeplift_core.engine.targets import Target

# Seconds that a compilation takes, and seconds for each operation: generous values, measured on two cores.
_SECONDS = 15.0
_SECONDS_PER_OPERATION = 0.15
# The fraction of the scoring time that compiled code saves, as a cautious value (docs/performance.md).
_SAVES = 0.1
_COMPILERS = ("c++", "g++", "clang++")


def compiled_if_worth_it(
    explainer: DeepLift, options: ScoreOptions, targets: Sequence[Target], pairs: int, screen: Screen
) -> DeepLift:
    """Compile as `--compile` says: always, never, or if the job is long enough.

    Parameters
    ----------
    explainer : DeepLift
        A recorded model that is not compiled.
    options : ScoreOptions
    targets : sequence of Target
    pairs : int
        Number of pairs of a sequence and a reference in the whole job; each strand counts.
    screen : Screen
        Shows that the model was compiled, or why not although the job is long enough.

    Returns
    -------
    DeepLift
        The compiled explainer, or the given one.
    """
    if not _is_wanted(explainer, options, targets, pairs, screen):
        return explainer
    # torch.compile prints that there is no CUDA.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    started = time.perf_counter()
    try:
        compiled = explainer.compiled(targets)
    except CompileError as error:
        screen.note(f"the model's scoring is not compiled: {error}")
        return explainer
    seconds = time.perf_counter() - started
    screen.note(
        f"the model's scoring was compiled in {seconds:.0f} s; --compile off scores without compiling"
    )
    return compiled


def _is_wanted(
    explainer: DeepLift, options: ScoreOptions, targets: Sequence[Target], pairs: int, screen: Screen
) -> bool:
    """Return whether to compile: with `auto`, no shard is, since shards must be alike on all machines.

    The first shard notes this if the shards are long; the others do not measure how long they are.
    """
    if options.compile != "auto":
        return options.compile == "on"
    if options.shard and options.shard.number > 1:
        return False
    shards = options.shard.count if options.shard else 1
    if not _worth_it(explainer, targets, pairs / shards):
        return False
    if shards > 1:
        screen.note(
            "the model's scoring is not compiled, although this shard is long enough: give --compile on to "
            "all shards or to none"
        )
    return shards == 1


def _worth_it(explainer: DeepLift, targets: Sequence[Target], pairs: float) -> bool:
    if explainer.device.type == "cpu" and not _has_compiler():
        return False
    cost = _SECONDS + _SECONDS_PER_OPERATION * len(explainer.nodes) * len(targets)
    return _SAVES * pairs * _seconds_per_pair(explainer, targets) > cost


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (environ.get("CXX"), *_COMPILERS) if name)


def _seconds_per_pair(explainer: DeepLift, targets: Sequence[Target]) -> float:
    """Return the seconds per pair, measured on the second of two batches with two references each."""
    x, references = explainer.example_batch(2)
    for _ in range(2):
        started = time.perf_counter()
        explainer.attribute_targets(x, references, targets)
        if explainer.device.type == "cuda":
            torch.cuda.synchronize(explainer.device)
        seconds = time.perf_counter() - started
    return seconds / (2 * explainer.batch_size)
