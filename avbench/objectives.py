"""The losses every strategy trains with: masked reconstruction of each modality, and contrast of both.

Shapes: B clips, M masked patches, P values of a patch, D features. Everything here is float32, also under
mixed precision. Source: CAV-MAE (Gong et al., ICLR 2023, arXiv 2210.07839) with STELLA's settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from avbench.processes import gather_rows

CONTRASTIVE_WEIGHT = 0.1
CONTRASTIVE_TEMPERATURE = 0.05
PATCH_VARIANCE_FLOOR = 1e-6


@dataclass
class MaskedOutput:
    """What a masked pass of the backbone yields for each clip.

    Attributes:
        audio_reconstruction, video_reconstruction: (B,) mean squared error over the masked patches.
        contrastive: (B,) the contrastive loss of each clip, not yet weighted.
        audio_pooled, video_pooled: (B, D) mean over the kept tokens of each modality alone, not
            normalised: the features that rehearsal methods keep and pull towards.
    """

    audio_reconstruction: Tensor
    video_reconstruction: Tensor
    contrastive: Tensor
    audio_pooled: Tensor
    video_pooled: Tensor


def clip_losses(output: MaskedOutput, contrastive_weight: float = CONTRASTIVE_WEIGHT) -> Tensor:
    """Return the training loss (B,) of each clip; its mean is `training_loss`."""
    return output.audio_reconstruction + output.video_reconstruction + contrastive_weight * output.contrastive


def training_loss(output: MaskedOutput, contrastive_weight: float = CONTRASTIVE_WEIGHT) -> Tensor:
    """Return the training loss of the batch, a scalar: both reconstructions + weight x contrast."""
    return clip_losses(output, contrastive_weight).mean()


def loss_parts(output: MaskedOutput) -> Tensor:
    """Return the parts (3,) of the batch's loss, detached: reconstruction of audio, of video, and contrast.

    Contrast is not weighted.
    """
    parts = (output.audio_reconstruction, output.video_reconstruction, output.contrastive)
    return torch.stack([part.detach().mean() for part in parts])


def normalise_patches(patches: Tensor) -> Tensor:
    """Return patches (..., P) with each patch's own mean and deviation (unbiased) taken out."""
    patches = patches.float()
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / (variance + PATCH_VARIANCE_FLOOR).sqrt()


def reconstruction_losses(predicted: Tensor, patches: Tensor) -> Tensor:
    """Return the mean squared error (B,) of predicted patches (B, M, P) against the normalised ones."""
    return (predicted.float() - normalise_patches(patches)).square().mean(dim=(1, 2))


def contrastive_losses(audio: Tensor, video: Tensor, temperature: float = CONTRASTIVE_TEMPERATURE) -> Tensor:
    """Return the contrastive loss (B,) of each clip: cross entropy of finding its other half in the batch.

    Cosine similarity over `temperature`, audio to video and video to audio averaged. In a distributed
    run the candidates are the clips of all processes, with gradient to all of them: see
    `avbench.processes.gather_rows`.

    Args:
        audio, video: (B, D) pooled features, of any length.
    """
    with torch.autocast(audio.device.type, enabled=False):
        audio, video = F.normalize(audio.float(), dim=1), F.normalize(video.float(), dim=1)
        all_audio, first = gather_rows(audio)
        all_video, _ = gather_rows(video)
        own = torch.arange(first, first + len(audio), device=audio.device)
        to_video = F.cross_entropy(audio @ all_video.T / temperature, own, reduction="none")
        to_audio = F.cross_entropy(video @ all_audio.T / temperature, own, reduction="none")
    return (to_video + to_audio) / 2


def contrast_without_clips(features: int, device: torch.device | str) -> Tensor:
    """Return the contrastive loss (0,) of no clips, for a process that has none while others have.

    What must be exchanged with those is, there and in the backward pass through it.
    """
    none = torch.zeros(0, features, device=device, requires_grad=True)
    return contrastive_losses(none, none)
