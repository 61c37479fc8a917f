"""The backbone every strategy shares: CAV-MAE, its sizes, and reading published checkpoints."""

from avbench.backbone.importing import ImportReport, load_published
from avbench.backbone.model import CAVMAE
from avbench.backbone.reference import Reference, compare_with_reference, load_reference
from avbench.backbone.sizes import BACKBONES, BackboneSize
from avbench.backbone.tokens import MaskNoise, Positions, Tokens

__all__ = [
    "BACKBONES",
    "CAVMAE",
    "BackboneSize",
    "ImportReport",
    "MaskNoise",
    "Positions",
    "Reference",
    "Tokens",
    "compare_with_reference",
    "load_published",
    "load_reference",
]
