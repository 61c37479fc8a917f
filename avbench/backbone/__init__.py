"""The backbone every strategy shares: CAV-MAE, its sizes, and reading published checkpoints."""

from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BACKBONES, BackboneSize
from avbench.backbone.tokens import MaskNoise, Positions, Tokens

__all__ = ["BACKBONES", "CAVMAE", "BackboneSize", "MaskNoise", "Positions", "Tokens"]
