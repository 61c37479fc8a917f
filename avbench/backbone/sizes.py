"""How wide and how deep a backbone is: the presets by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneSize:
    """Widths and depths of a CAV-MAE backbone; everything else follows from the clips' geometry.

    Attributes:
        width: features of a token in the encoder, a multiple of 4 (position embeddings) and of `heads`.
        heads: attention heads of the encoder; the matching module of the presets has as many.
        unimodal_blocks: transformer blocks each modality has to itself.
        joint_blocks: transformer blocks after them, whose attention and MLP both modalities share.
        decoder_width, decoder_heads, decoder_blocks: the same of the one decoder that reconstructs both.
        mlp_ratio: hidden features of an MLP over its width.
    """

    width: int
    heads: int
    unimodal_blocks: int
    joint_blocks: int
    decoder_width: int
    decoder_heads: int
    decoder_blocks: int
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
            features, parts = getattr(self, width), getattr(self, heads)
            if features <= 0 or parts <= 0 or features % parts or features % 4:
                raise ValueError(f"{width}={features} must be a multiple of 4 and of {heads}={parts}")
        if self.joint_blocks < 1:
            raise ValueError("joint_blocks must be at least 1: contrast and reconstruction read them")


BACKBONES: dict[str, BackboneSize] = {
    # The embedded default: minutes on two CPU cores.
    "tiny": BackboneSize(128, 4, 2, 1, decoder_width=64, decoder_heads=4, decoder_blocks=1),
    # Between the two: an afternoon on one GPU.
    "small": BackboneSize(384, 6, 6, 2, decoder_width=256, decoder_heads=8, decoder_blocks=4),
    # The paper's (STELLA, ICML 2024, section 5): ViT-B split in 10 + 2, CAV-MAE's decoder.
    "base": BackboneSize(768, 12, 10, 2, decoder_width=512, decoder_heads=16, decoder_blocks=8),
}
