"""The profile that a model predicts for one scored sequence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deeplift_cli.errors import OptionsError, UserError
from deeplift_cli.figures.tracks.signal import Signal
from deeplift_cli.models import find_layout
from deeplift_cli.models.explainer import model_errors, read_model
from deeplift_cli.models.heads import output_of_head
from deeplift_cli.models.input_layout import find_batch_size
from deeplift_cli.models.model_file import ModelFile, TensorSpec
from deeplift_cli.models.output_shapes import output_specs
from deeplift_cli.models.probing import called, tensors_in
from deeplift_cli.models.targets import place_in_file
from deeplift_cli.options.settings import ScoreOptions
from deeplift_cli.options.targets import PROFILE
from deeplift_cli.outputs.row_lookup import ScoreRow
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.process.screen import Screen
from deeplift_cli.sequences.encode import reverse_complement

_MOST_TRACKS = 4  # lines that a row of a picture shows
_ROUNDING = 1e-4  # by which shares may miss 1 in sum
_MOST_CROPPED = 8  # a profile with fewer bins than one for so many bases has bins of several bases


@dataclass(frozen=True)
class ProfileOptions:
    """How the profile is predicted.

    Attributes
    ----------
    model : Path
    output : int, str or None
        The model's output; None for the one that is a profile.
    tracks : tuple of int
        The tracks to draw; empty for all.
    bin_size : int or None
        Bases in a bin of the output; None for 1, unless the output is far shorter than the sequence.
    allow_pickle : bool
    """

    model: Path
    output: int | str | None = None
    tracks: tuple[int, ...] = ()
    bin_size: int | None = None
    allow_pickle: bool = False


def predict_profile(options: ProfileOptions, reader: ScoreReader, row: ScoreRow, screen: Screen) -> Signal:
    """Run the model on the sequence of a row, as it was scored, and return the profile in coordinates.

    The profile of a model with a head of counts, as BPNet has, is the share of each position, which is the
    softmax over positions and tracks. Profiles of other models are drawn as they are. A profile that is
    shorter than the sequence belongs to the middle of the sequence.

    Raises
    ------
    UserError
        If the model is not the one of the scores, cannot be run, or its profile is not clear.
    """
    try:
        scored = ScoreOptions.from_attributes(
            reader.attrs, model=options.model, allow_pickle=options.allow_pickle, batch_size=None,
            device="cpu", threads=None, shard=None, output=options.output,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{reader.path} does not hold the options of its run: {error}") from error
    model = read_model(scored, screen)
    known = reader.model if isinstance(reader.model, list) else [reader.model]
    if model.sha256 not in known:
        raise UserError(
            f"{options.model} is another model than the one that {reader.path} was scored with: its SHA-256 "
            "is not the attribute model_sha256"
        )
    turned = row.region.strand == "-" and (scored.fasta is not None or scored.strand_aware)
    sequence = reverse_complement(row.sequence) if turned else row.sequence
    with model_errors(scored):
        outputs, tensors = _run(scored, model, sequence)
    place = _output(scored, model, outputs)
    if not tensors[place].size:
        raise UserError(f"output {outputs[place].name} of {options.model} has no positions")
    values = _as_drawn(tensors[place], has_counts=_has_counts(outputs, place))
    signal = _placed(options, outputs[place], values, row.region.start, row.sequence.shape[1])
    if turned:  # the profile is that of the other strand, from its start
        edges = (2 * row.region.start + row.sequence.shape[1]) - signal.edges[::-1]
        return replace(signal, edges=edges, values=signal.values[:, ::-1])
    return signal


def _run(
    options: ScoreOptions, model: ModelFile, sequence: npt.NDArray[Any]
) -> tuple[list[TensorSpec], list[npt.NDArray[Any]]]:
    """Return all outputs, and their values for the one sequence."""
    length = sequence.shape[1]
    layout, _ = find_layout(model, layout=options.layout, alphabet=options.alphabet, length=length)
    rows = find_batch_size(model, layout, length) or 1
    x = layout.to_model(torch.from_numpy(sequence.astype(np.float32)).expand(rows, 4, length).contiguous())
    outputs = output_specs(model, (x,))
    return outputs, [tensor[0].double().numpy() for tensor in tensors_in(called(model.module, x))]


def _output(options: ScoreOptions, model: ModelFile, outputs: Sequence[TensorSpec]) -> int:
    """Return the place of the output that is drawn."""
    given = place_in_file(options.output, model)
    names = [spec.name for spec in outputs]
    if isinstance(given, str):
        if given not in names:
            raise UserError(f"{model.path} has no output {given!r}; it has {', '.join(names)}")
        given = names.index(given)
    if given is not None and given >= len(outputs):
        raise UserError(f"{model.path} has no output {given}: its outputs are 0 to {len(outputs) - 1}")
    try:
        return output_of_head(PROFILE, outputs, given)
    except OptionsError as error:
        listed = ", ".join(map(str, outputs))
        raise UserError(
            f"{model.path}: no single output is a profile, [N, k, L] or [N, L]; the outputs are {listed}: "
            "say which with --output, or leave --model out if the model predicts no profile"
        ) from error


def _has_counts(outputs: Sequence[TensorSpec], profile: int) -> bool:
    """Return whether an output beside the profile is the logarithm of its counts."""
    others = [spec for place, spec in enumerate(outputs) if place != profile]
    return len(others) == 1 and len(others[0].shape or ()) <= 2


def _as_drawn(values: npt.NDArray[Any], *, has_counts: bool) -> npt.NDArray[Any]:
    """Return the profile as tracks [T, B]."""
    tracks = values[None] if values.ndim == 1 else values
    if tracks.shape[0] > tracks.shape[1]:  # the longer axis is that of positions
        tracks = tracks.T
    are_shares = bool(tracks.min() >= 0 and abs(tracks.sum() - 1) < _ROUNDING)
    if are_shares or not has_counts:
        return tracks
    powers = np.exp(tracks - tracks.max())
    shares: npt.NDArray[Any] = powers / powers.sum()
    return shares


def _placed(
    options: ProfileOptions, output: TensorSpec, values: npt.NDArray[Any], start: int, length: int
) -> Signal:
    """Choose tracks, and place the bins in the middle of the sequence."""
    what = f"output {output.name} of {options.model}"
    n_tracks, bins = values.shape
    chosen = options.tracks or tuple(range(n_tracks))
    if max(chosen) >= n_tracks:
        raise UserError(f"{what} has no track {max(chosen)}: its tracks are 0 to {n_tracks - 1}")
    if len(chosen) > _MOST_TRACKS:
        raise UserError(f"{what} has {n_tracks:,} tracks; choose at most {_MOST_TRACKS} with --profile-track")
    size = options.bin_size or 1
    if options.bin_size is None and bins * _MOST_CROPPED < length:
        raise UserError(
            f"{what} has {bins:,} bins for {length:,} bp; say how many bp a bin has with --profile-bin"
        )
    if bins * size > length:
        raise UserError(
            f"{what} has {bins:,} bins, which at {size:,} bp each exceed the sequence of {length:,} bp"
        )
    first = start + (length - bins * size) // 2
    return Signal(
        "predicted profile",
        first + size * np.arange(bins + 1),
        values[list(chosen)],
        tuple(f"track {track}" for track in chosen),
    )
