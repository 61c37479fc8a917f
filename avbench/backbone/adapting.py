"""Published weights of other models, rearranged to the names and shapes of this backbone.

Each function takes a checkpoint's tensors by name and returns what it makes of them; what it cannot
place it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from avbench.backbone.positions import stretch
from avbench.backbone.sizes import BackboneSize
from avbench.clips import ClipGeometry

BLOCK = re.compile(r"(blocks|blocks_a|blocks_v|blocks_u|decoder_blocks)\.(\d+)\.(.+)")
NORM_OF_ONE_MODALITY = re.compile(r"norm[12]_[av]\.")
CAV_MAE_BANDS = 8  # frequency patches of a time step in CAV-MAE's releases: 128 mel bins in patches of 16


@dataclass
class Adapted:
    """What a checkpoint's tensors become.

    Attributes:
        tensors: under our parameter names.
        origin: for each of them the checkpoint's name, and what was done with it.
        used: the checkpoint's names that were used.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def take(
        self,
        state: Mapping[str, Tensor],
        source: str,
        *names: str,
        change: Callable[[Tensor], Tensor] | None = None,
        how: str = "",
    ) -> None:
        """Give our `names` the tensor called `source`, if there is one, changed by `change` as `how` says."""
        if source not in state:
            return
        for name in names or (source,):
            self.tensors[name] = state[source] if change is None else change(state[source])
            self.origin[name] = f"{source}, {how}" if how else source
        self.used.add(source)


def from_cav_mae(state: Mapping[str, Tensor], size: BackboneSize, geometry: ClipGeometry) -> Adapted:
    """Adapt a release of CAV-MAE (github.com/YuanGongND/cav-mae, src/models/cav_mae.py).

    Its audio is frequency-major, in the order of tokens and within a patch, and is turned to time-major.
    It has one frame, so video positions repeat per frame; one mask token for both modalities; and no
    position embedding between encoders and joint blocks, so ours becomes zero. Blocks are placed by
    depth: of its 11 + 1, a backbone of 10 + 2 can use the last as its last, but has no place for the
    11th (one for each modality there, one for both here). `unimodal_blocks=11, joint_blocks=1` takes all.
    """
    adapted = Adapted()
    blocks = list(_blocks(state))
    encoders = 1 + max((number for kind, number, _ in blocks if kind in {"blocks_a", "blocks_v"}), default=-1)
    for kind, number, rest in blocks:
        source = f"{kind}.{number}.{rest}"
        if kind == "blocks_u":
            joint = number + encoders - size.unimodal_blocks
            if joint >= 0:
                adapted.take(state, source, f"blocks_u.{joint}.{rest}")
        # Its other blocks carry norms of both modalities, too, which never run.
        elif not NORM_OF_ONE_MODALITY.match(rest) and (
            kind == "decoder_blocks" or number < size.unimodal_blocks
        ):
            adapted.take(state, source)

    def by_time(values: Tensor) -> Tensor:
        side = geometry.patch_size
        return values.reshape(side, side, *values.shape[1:]).transpose(0, 1).reshape(values.shape)

    def audio_table(table: Tensor) -> Tensor:
        steps = table.shape[1] // CAV_MAE_BANDS
        turned = table.reshape(CAV_MAE_BANDS, steps, -1).transpose(0, 1).reshape(table.shape)
        return stretch(turned, (steps, CAV_MAE_BANDS), geometry.audio_grid)

    def video_table(table: Tensor) -> Tensor:
        return repeat_positions(table, geometry)

    for part in ("weight", "bias"):
        for module in ("norm", "norm_a", "norm_v", "patch_embed_v.proj", "decoder_embed", "decoder_norm"):
            adapted.take(state, f"{module}.{part}")
        adapted.take(state, f"decoder_pred_v.{part}", f"mae_score_video.decoder.{part}")
        ours = f"mae_score_audio.decoder.{part}"
        adapted.take(state, f"decoder_pred_a.{part}", ours, change=by_time, how="turned to time-major")
    adapted.take(
        state,
        "patch_embed_a.proj.weight",
        change=lambda kernel: kernel.transpose(2, 3),
        how="turned to time-major",
    )
    adapted.take(state, "patch_embed_a.proj.bias")
    adapted.take(state, "mask_token", "mask_token_a", "mask_token_v")
    for name in ("modality_a", "modality_v", "decoder_modality_a", "decoder_modality_v"):
        adapted.take(state, name)
    for letter, table, how in (
        ("a", audio_table, "turned to time-major"),
        ("v", video_table, "repeated per frame"),
    ):
        source = f"pos_embed_{letter}"
        adapted.take(state, source, change=table, how=how)
        adapted.take(state, f"decoder_{source}", change=table, how=how)
        if source in adapted.tensors:
            zero = torch.zeros_like(adapted.tensors[source])
            adapted.tensors[f"inter_{source}"] = zero
            adapted.origin[f"inter_{source}"] = "zero, for CAV-MAE adds none there"
    return adapted


def from_image_mae(state: Mapping[str, Tensor], size: BackboneSize, geometry: ClipGeometry) -> Adapted:
    """Adapt an image MAE (github.com/facebookresearch/mae) as STELLA starts its backbone from one.

    Both modalities start from the same first blocks, and the joint blocks and their norms from the
    last. Audio's patch embedding is the sum over RGB, and its decoder's last layer the first rows of the
    image's. The class token is dropped. Video positions repeat per frame, the intermediate ones
    included; audio positions and modality embeddings keep what they have. Source: STELLA's
    tools/adapt_imae_weights_to_vamae.py.
    """
    adapted = Adapted()
    for kind, number, rest in _blocks(state):
        joint = number - size.unimodal_blocks
        if kind == "decoder_blocks":
            adapted.take(state, f"{kind}.{number}.{rest}")
        elif joint < 0:
            adapted.take(state, f"{kind}.{number}.{rest}", *(f"blocks_{m}.{number}.{rest}" for m in "av"))
        elif joint < size.joint_blocks:
            norm, _, part = rest.partition(".")
            modules = (norm, f"{norm}_a", f"{norm}_v") if norm in {"norm1", "norm2"} else (norm,)
            names = (f"blocks_u.{joint}.{module}.{part}" for module in modules)
            adapted.take(state, f"{kind}.{number}.{rest}", *names)

    def video_table(table: Tensor) -> Tensor:
        return repeat_positions(table[:, 1:], geometry)

    rows = geometry.audio_patch_values
    for part in ("weight", "bias"):
        adapted.take(state, f"norm.{part}", f"norm.{part}", f"norm_a.{part}", f"norm_v.{part}")
        adapted.take(state, f"decoder_embed.{part}")
        adapted.take(state, f"decoder_norm.{part}")
        source = f"decoder_pred.{part}"
        adapted.take(state, source, f"mae_score_video.decoder.{part}")
        # As published. (A row is one channel of a pixel, so these predict the upper third of a patch.)
        ours, how = f"mae_score_audio.decoder.{part}", f"its first {rows} rows"
        adapted.take(state, source, ours, change=lambda values: values[:rows], how=how)
    source = "patch_embed.proj.weight"
    adapted.take(state, source, "patch_embed_v.proj.weight")
    adapted.take(
        state,
        source,
        "patch_embed_a.proj.weight",
        change=lambda kernel: kernel.sum(dim=1, keepdim=True),
        how="summed over RGB",
    )
    adapted.take(state, "patch_embed.proj.bias", "patch_embed_v.proj.bias", "patch_embed_a.proj.bias")
    adapted.take(state, "mask_token", "mask_token_a", "mask_token_v")
    how = "class token dropped, repeated per frame"
    adapted.take(state, "pos_embed", "pos_embed_v", "inter_pos_embed_v", change=video_table, how=how)
    adapted.take(state, "decoder_pos_embed", "decoder_pos_embed_v", change=video_table, how=how)
    return adapted


def repeat_positions(table: Tensor, geometry: ClipGeometry) -> Tensor:
    """Return an image's square position table (1, L, D), stretched to the frame, for every frame."""
    side = round(table.shape[1] ** 0.5)
    frames, rows, columns = geometry.video_grid
    return stretch(table, (side, side), (rows, columns)).repeat(1, frames, 1)


def _blocks(state: Mapping[str, Tensor]) -> Iterator[tuple[str, int, str]]:
    """Kind, number and the rest of the name of each block's tensor."""
    for name in state:
        match = BLOCK.fullmatch(name)
        if match:
            yield match[1], int(match[2]), match[3]
