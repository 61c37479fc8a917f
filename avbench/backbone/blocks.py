"""The transformer blocks of the backbone, made of timm's attention and MLP (fused attention)."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from avbench.clips import Modality

INITIAL_DEVIATION = 0.02  # of linear layers and learned tokens, as published
LAYER_NORM_EPSILON = 1e-5  # torch's default, which the published code uses; timm's vision models use 1e-6


def layer_norm(width: int) -> nn.LayerNorm:
    """Return the normalisation the whole backbone uses."""
    return nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP with exact GELU, each added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = Attention(width, num_heads=heads, qkv_bias=True)
        self.norm2 = layer_norm(width)
        self.mlp = Mlp(width, hidden_features=int(width * mlp_ratio), act_layer=nn.GELU)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, K, D) to tokens (B, K, D)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]


class JointBlock(Block):
    """A block whose attention and MLP serve audio, video and both joined, each way with its own norms."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__(width, heads, mlp_ratio)
        self.norm1_a, self.norm1_v = layer_norm(width), layer_norm(width)
        self.norm2_a, self.norm2_v = layer_norm(width), layer_norm(width)

    def alone(self, tokens: Tensor, modality: Modality) -> Tensor:
        """Map tokens (B, K, D) of one modality alone, with that modality's norms."""
        before_attention = self.norm1_a if modality == "audio" else self.norm1_v
        before_mlp = self.norm2_a if modality == "audio" else self.norm2_v
        tokens = tokens + self.attn(before_attention(tokens))
        return tokens + self.mlp(before_mlp(tokens))  # type: ignore[no-any-return]


class PatchEmbedding(nn.Module):
    """The linear map of patches to tokens, kept as the convolution it is in published checkpoints."""

    def __init__(self, channels: int, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches (B, K, P), values by row, column, channel, to tokens (B, K, D)."""
        # The kernel is (D, channel, row, column); a patch is (row, column, channel).
        weight = self.proj.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches.to(weight.dtype), weight, self.proj.bias)


class PatchDecoder(nn.Module):
    """The last layer of reconstruction: decoder tokens to patch values."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(width, values)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map decoder tokens (B, M, width) to patches (B, M, P)."""
        return self.decoder(tokens)  # type: ignore[no-any-return]
