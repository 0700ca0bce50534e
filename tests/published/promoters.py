"""Promoters and transcription start sites: PromoterAI, and TETSS2 with the weights of its authors."""

from torch import nn

from published.architecture import Head, published


@published(
    "promoterai", (160, 4), paper="Jaganathan et al. 2025, Science 389:eads7373",
    source="promoterai-torch, PromoterAI (8 blocks)", package="promoterai-torch",
    heads=(Head("human", 0, (20, 2)), Head("mouse", 1, (30, 1))),
)  # fmt: skip
def promoterai() -> nn.Module:
    """Depthwise dilated convolutions in MetaFormer blocks; a head is the mean of ReLUs of several blocks."""
    from promoterai_torch.architecture import PromoterAI

    return PromoterAI(8, 12, [3, 2], output_crop=80)


@published(
    "tetss2", (4, 201), paper="TETSS2 2026 (package; no paper yet)",
    source="tetss2, TETSSClassifier with its trained weights", package="tetss2",
    heads=(Head("active", 0, ()),), trained=True,
)  # fmt: skip
def tetss2() -> nn.Module:
    """Four convolutions and a global maximum, loaded from the weight file inside the package."""
    from tetss2 import TETSS2Predictor

    return TETSS2Predictor(device="cpu").model
