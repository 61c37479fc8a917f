"""Pooled features stored with a rehearsed clip, and the penalty that pulls its features back to them.

What is stored are the features of the masked pass the clip came in with; later training does not change
them.
Source: DER and DER++ (Buzzega et al., NeurIPS 2020, arXiv 2004.07211, equation 6), which store logits.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from avbench.backbone.tokens import Tokens
from avbench.clips import ClipBatch
from avbench.objectives import MaskedOutput


def pooled_features(output: MaskedOutput, clips: slice) -> Tokens:
    """Return the pooled features of some of the clips of a masked pass, with their gradient."""
    return Tokens(output.audio_pooled[clips], output.video_pooled[clips])


def with_features(clips: ClipBatch, features: Tokens) -> ClipBatch:
    """Return `clips` with their pooled features (B, D) of each modality, detached, to be stored with them."""
    return clips.with_extras(audio_features=features.audio.detach(), video_features=features.video.detach())


def stored_features(rehearsed: ClipBatch) -> Tokens:
    """Return the features (B, D) that were stored with rehearsed clips by `with_features`."""
    return Tokens(rehearsed.extras["audio_features"], rehearsed.extras["video_features"])


def squared_distance(features: Tokens, wanted: Tokens) -> Tensor:
    """Return the mean squared difference of the features, that of audio and that of video added (scalar)."""
    return F.mse_loss(features.audio, wanted.audio) + F.mse_loss(features.video, wanted.video)
