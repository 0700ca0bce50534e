"""Base-resolution profiles: BPNet, ChromBPNet and Cherimoya, with counts and profile heads and controls."""

from torch import nn

from published.architecture import Head, published

_BPNET = "Avsec et al. 2021, Nature Genetics 53:354"
_CHROMBPNET = "Pampari et al. 2024, bioRxiv 2024.12.25.630221"
_BASES = (4, 200)
_HEADS = (Head("profile", 0, (0, 20)), Head("counts", 1, 0))


def _bpnet(control_tracks: int, outputs: int, layers: int = 3) -> nn.Module:
    from bpnetlite import BPNet

    # No more of the ends is cut off than the receptive field needs: 47 for the wide convolutions.
    return BPNet(8, layers, outputs, control_tracks, verbose=False)


def _chrombpnet() -> nn.Module:
    from bpnetlite import ChromBPNet

    return ChromBPNet(_bpnet(0, 1, layers=2), _bpnet(0, 1))


@published(
    "bpnet", _BASES, (2, 200), paper=_BPNET, source="bpnet-lite, BPNet", package="bpnet-lite", heads=_HEADS
)
def bpnet() -> nn.Module:
    """Both strands' profiles and the counts, with control tracks as a second input."""
    return _bpnet(2, 2)


@published(
    "bpnet_profile", _BASES, paper=_BPNET, source="bpnet-lite, ProfileWrapper of ControlWrapper",
    package="bpnet-lite", heads=(Head("weighted profile", 0, 0),),
)  # fmt: skip
def bpnet_profile() -> nn.Module:
    """The profile logits weighted with their own softmax, and control tracks of zeros."""
    from bpnetlite.bpnet import ControlWrapper, ProfileWrapper

    return ProfileWrapper(ControlWrapper(_bpnet(2, 2)))


@published(
    "chrombpnet", _BASES, paper=_CHROMBPNET, source="bpnet-lite, ChromBPNet", package="bpnet-lite",
    heads=_HEADS,
)  # fmt: skip
def chrombpnet() -> nn.Module:
    """A model of the enzyme's bias beside one of accessibility; counts by log(exp + exp)."""
    return _chrombpnet()


@published(
    "chrombpnet_profile", _BASES, paper=_CHROMBPNET, source="bpnet-lite, ProfileWrapper of ChromBPNet",
    package="bpnet-lite", heads=(Head("weighted profile", 0, 0),),
)  # fmt: skip
def chrombpnet_profile() -> nn.Module:
    from bpnetlite.bpnet import ProfileWrapper

    return ProfileWrapper(_chrombpnet())


@published(
    "cherimoya", _BASES, (1, 200), paper="Schreiber 2026 (package; no paper yet)",
    source="cherimoya, Cherimoya", package="cherimoya", heads=_HEADS,
    not_in_onnx="torch's older exporter refuses what torch.compile has wrapped; the current one writes it",
)  # fmt: skip
def cherimoya() -> nn.Module:
    """Depthwise dilated convolutions, each normalised over all positions of a sequence, with a control track.

    The constructor wraps the forward pass in torch.compile, as it does for users of the package.
    """
    from cherimoya import Cherimoya

    return Cherimoya(8, 3, signal_groups=[2, 1], n_control_tracks=1)
