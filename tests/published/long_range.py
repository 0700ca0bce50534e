"""Long sequences: Basenji, Enformer, Borzoi and AlphaGenome."""

import torch
from torch import Tensor, nn
from zoo.entry import Net

from published.architecture import Head, published


@published(
    "basenji2", (4, 512), paper="Kelley 2020, PLoS Computational Biology 16:e1008050",
    source="basenji, manuscripts/cross2020/params_human.json", heads=(Head("first track", 0, (0, 3)),),
)  # fmt: skip
def basenji2() -> nn.Module:
    return _Basenji(12, 3, (1, 2, 3, 5), 2, 4)


class _Basenji(nn.Module):
    """A tower of convolutions, dilated residual blocks, cropping, and a softplus head."""

    def __init__(self, width: int, tower: int, rates: tuple[int, ...], cropping: int, tracks: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            *_block(4, width, 15, pool=2), *(p for _ in range(tower) for p in _block(width, width, 5, pool=2))
        )
        self.residual = nn.ModuleList(
            nn.Sequential(*_block(width, width // 2, 3, dilation=rate), *_block(width // 2, width, 1))
            for rate in rates
        )
        self.cropping = cropping
        self.last = nn.Sequential(
            *_block(width, 2 * width, 1), _SigmoidGELU(), nn.Conv1d(2 * width, tracks, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.tower(x)
        for residual in self.residual:
            x = x + residual(x)
        return self.last(x[:, :, self.cropping : -self.cropping])


class _SigmoidGELU(nn.Module):
    """GELU as Basenji and Enformer approximate it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(1.702 * x) * x


def _block(before: int, after: int, width: int, dilation: int = 1, pool: int = 1) -> list[nn.Module]:
    """Activation first, then convolution, norm and pool, as the source's conv_block."""
    layers: list[nn.Module] = [] if before == 4 else [_SigmoidGELU()]
    layers += [
        nn.Conv1d(before, after, width, dilation=dilation, padding="same", bias=False),
        nn.BatchNorm1d(after),
    ]
    return [*layers, nn.MaxPool1d(pool)] if pool > 1 else layers


@published(
    "enformer", (128, 4), paper="Avsec et al. 2021, Nature Methods 18:1196",
    source="enformer-pytorch, Enformer", package="enformer-pytorch",
    heads=(Head("human", "human", (3, 2)), Head("mouse", "mouse", (3, 1))),
    not_in_onnx="torch's exporters write no xlogy and lgamma, of which the positions are made",
)  # fmt: skip
def enformer() -> nn.Module:
    """Attention pools, and attention with positions by exponentials, masks and gamma densities."""
    from enformer_pytorch import Enformer

    return Enformer.from_hparams(
        dim=24, depth=2, heads=2, output_heads={"human": 5, "mouse": 3}, target_length=8, attn_dim_key=8,
        num_downsamples=3, dim_divisible_by=4,
    )  # fmt: skip


@published(
    "borzoi", (4, 1024), paper="Linder et al. 2025, Nature Genetics 57:949",
    source="borzoi-pytorch, Borzoi", package="borzoi-pytorch", heads=(Head("first track", 0, (0, 8)),),
    not_in_onnx="torch's older exporter writes no vmap of as_strided; the current one does",
)  # fmt: skip
def borzoi() -> nn.Module:
    """A U-net around attention, whose shift of positions is a view by strides."""
    from borzoi_pytorch import Borzoi

    model = Borzoi.from_hparams(
        dim=24, depth=2, heads=2, attn_dim_key=8, attn_dim_value=12, return_center_bins_only=True,
        bins_to_return=16,
    )  # fmt: skip
    _narrow(model)
    return model


def _narrow(model: nn.Module, by: int = 32) -> None:
    """Divide the widths of convolutions and norms that the package has fixed; all are 512 or more."""

    def narrow(width: int) -> int:
        return width // by if width >= 512 else width

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv1d):
                sizes = narrow(child.in_channels), narrow(child.out_channels)
                new: nn.Module = nn.Conv1d(
                    *sizes, child.kernel_size, padding=child.padding, groups=narrow(child.groups),
                    bias=child.bias is not None,
                )  # fmt: skip
            elif isinstance(child, nn.BatchNorm1d):
                new = nn.BatchNorm1d(narrow(child.num_features), eps=child.eps)
            else:
                continue
            setattr(module, name, new)


@published(
    "alphagenome", (4096, 4), paper="Avsec et al. 2026, Nature 649:1206",
    source="alphagenome-pt, AlphaGenome", package="alphagenome-pt",
    heads=(
        Head("RNA-seq", "rna_seq", (15, 1)), Head("contact map", "contact_maps", (0, 1, 2)),
        Head("splice sites", "splice_sites", (2000, 1)),
    ),
    not_in_onnx="torch's older exporter fails at repeat_interleave; the current one does not",
)  # fmt: skip
def alphagenome() -> nn.Module:
    """A U-net around attention, whose logits are biased by features of pairs of 2,048 bases each.

    The shortest sequence that the package accepts has one such pair; 4,096 bases have four.
    """
    from alphagenome_pt import AlphaGenome, AlphaGenomeConfig, HeadName, synthetic_metadata

    heads = [HeadName.RNA_SEQ, HeadName.CONTACT_MAPS, HeadName.SPLICE_SITES_CLASSIFICATION]
    model = AlphaGenome(
        AlphaGenomeConfig(
            max_seq_len=4096, num_channels=8, channel_increment=1, transformer_layers=2, num_q_heads=2,
            qk_head_dim=4, v_head_dim=4, pair_channels=4, pair_heads=2, pos_channels=4,
            metadata=synthetic_metadata(heads, num_tracks=5), dtype_policy="float32",
        )
    )  # fmt: skip
    for name, value in model.named_buffers():
        if name.endswith("var_EMA"):
            value.uniform_(0.5, 2)

    def forward(s: Net, x: Tensor) -> dict[str, Tensor]:
        found = s.alphagenome(x)
        return {
            "rna_seq": found["rna_seq"]["predictions_128bp"],
            "contact_maps": found["contact_maps"]["predictions"],
            "splice_sites": found["splice_sites_classification"]["predictions"],
        }

    return Net(forward, alphagenome=model)
