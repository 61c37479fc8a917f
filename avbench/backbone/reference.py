"""Repeating the check against the published implementation, on a file of its figures.

Such a file (safetensors) holds a small model's weights, `backbone.*` and `avmatching.*`, under the
published names; inputs, `input.video` (B, T, 3, H, W) and `input.audio` (B, 1, time, mel bins), both
normalised; the noise of a masked pass, `mask.noise_*`; and what the published code computes from them.
Its header's `config` is a JSON object of sizes, named as the published code names them. Anyone can
repeat the check:

    from avbench.backbone import compare_with_reference
    for quantity, difference in compare_with_reference("reference.safetensors").items():
        print(f"{quantity:24} {difference:.1e}")

`load_reference` returns the model itself, to be used like any other. The figures of the proposed
method's own functions (`avm.importance_*`, `avm.query_*`, `correlation.*`) are compared by
`compare_with_reference` in strategies/reference.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from avbench.backbone.importing import load_published
from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BackboneSize
from avbench.backbone.tokens import MaskNoise
from avbench.clips import ClipBatch, ClipGeometry, patchify_audio, patchify_video
from avbench.errors import DataError, InputError
from avbench.objectives import CONTRASTIVE_WEIGHT

if TYPE_CHECKING:
    from avbench.matching import AudioVideoMatching

MATCHING_HEADS = 12  # the published module has as many at any width


class Reference(NamedTuple):
    """A model of the published implementation, and what was recorded of it."""

    backbone: CAVMAE
    matching: AudioVideoMatching
    batch: ClipBatch  # the recorded inputs
    noise: MaskNoise  # the recorded noise of the masked pass
    figures: dict[str, Tensor]  # everything else in the file, by its key


def load_reference(path: Path | str) -> Reference:
    """Build the backbone and matching module of a reference file, of the sizes its header gives.

    Raises:
        InputError: where there is no such file.
        DataError: where it is no reference file, or its weights do not fill the model.
    """
    from avbench.matching import AudioVideoMatching  # here, for that module builds on this package

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no reference file at {path}")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(header["config"])
        size, geometry, mask_ratio = _sizes(config)
        batch = ClipBatch(
            video=patchify_video(tensors["input.video"].permute(0, 1, 3, 4, 2), geometry.patch_size),
            audio=patchify_audio(tensors["input.audio"].squeeze(1), geometry.patch_size),
            clip=torch.arange(len(tensors["input.video"])),
            geometry=geometry,
        )
        noise = MaskNoise(tensors["mask.noise_audio"], tensors["mask.noise_video"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is no reference file as avbench.backbone.reference describes: {error!r}"
        ) from error

    backbone = CAVMAE(size, geometry, mask_ratio=mask_ratio)
    matching = AudioVideoMatching(size.width, MATCHING_HEADS)
    weights = {key: value for key, value in tensors.items() if key.startswith(("backbone.", "avmatching."))}
    report = load_published(weights, backbone, matching)
    if not report.complete or report.unexpected:
        raise DataError(f"the weights in {path} do not fill the model its header describes.\n{report}")
    figures = {key: value for key, value in tensors.items() if key not in weights}
    return Reference(backbone.eval(), matching.eval(), batch, noise, figures)


@torch.no_grad()
def compare_with_reference(path: Path | str) -> dict[str, float]:
    """Return the largest absolute difference from each recorded quantity, by its key in the file.

    Agreement to 1e-4 is expected of float32. The matching logits are not compared: the published module
    merges attention heads without transposing first, ours does not.
    """
    backbone, matching, batch, noise, figures = load_reference(path)
    unimodal = backbone.unimodal(batch)
    joint, latent, retrieval = backbone.joint(unimodal), backbone.latent(unimodal), backbone.embed(batch)
    masked = backbone(batch, noise)
    relation = matching.relate(joint)
    computed = {
        "unimodal.audio": unimodal.audio,
        "unimodal.video": unimodal.video,
        "joint.audio": joint.audio,
        "joint.video": joint.video,
        "latent.audio": latent.audio,
        "latent.video": latent.video,
        "retrieval.audio": retrieval.audio,
        "retrieval.video": retrieval.video,
        "loss.mae_audio_loss": masked.audio_reconstruction.mean(),
        "loss.mae_frame_loss": masked.video_reconstruction.mean(),
        "loss.contrastive_loss": CONTRASTIVE_WEIGHT * masked.contrastive.mean(),
        "masked.audio_pooled": masked.audio_pooled,
        "masked.video_pooled": masked.video_pooled,
        "avm.attention_av": relation.scores_av,
        "avm.attention_va": relation.scores_va,
    }
    return {key: _largest_difference(value, figures[key]) for key, value in computed.items()}


def _largest_difference(computed: Tensor, recorded: Tensor) -> float:
    return float((computed.reshape(recorded.shape) - recorded).abs().max())


def _sizes(config: dict[str, float]) -> tuple[BackboneSize, ClipGeometry, float]:
    """Sizes by the published code's names; `encoder_depth` counts joint blocks in."""
    if config["mask_ratio_a"] != config["mask_ratio_v"]:
        raise ValueError("mask_ratio_a and mask_ratio_v differ")
    size = BackboneSize(
        width=int(config["encoder_embed_dim"]),
        heads=int(config["encoder_num_heads"]),
        unimodal_blocks=int(config["mid_fusion_depth"]),
        joint_blocks=int(config["encoder_depth"] - config["mid_fusion_depth"]),
        decoder_width=int(config["decoder_embed_dim"]),
        decoder_heads=int(config["decoder_num_heads"]),
        decoder_blocks=int(config["decoder_depth"]),
    )
    geometry = ClipGeometry(
        frames=int(config["num_frames"]),
        frame_size=int(config["img_size"]),
        mel_frames=int(config["audio_size"]),
        mel_bins=int(config["frequency_size"]),
        patch_size=int(config["patch_size"]),
    )
    return size, geometry, float(config["mask_ratio_a"])
