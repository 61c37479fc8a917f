"""CAV-MAE with late fusion: the backbone every strategy trains.

Each modality has its own encoder; a second position embedding is added to what comes out; then joint
blocks run three ways with shared attention and MLP weights: on audio alone and on video alone, each with
that modality's norms (contrast, retrieval), and on both joined with common norms (reconstruction,
matching). Source: STELLA (ICML 2024, arXiv 2310.08204) on CAV-MAE (arXiv 2210.07839). Parameters carry
the published names, so that a published state dict loads as it is.

Shapes: B clips, L patches of the whole clip, K <= L present, n kept by masking, D width. The encoder
sees kept patches alone and the decoder those that are present: patches that a strategy left out cost
nothing anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avbench.backbone.blocks import (
    INITIAL_DEVIATION,
    Block,
    JointBlock,
    PatchDecoder,
    PatchEmbedding,
    layer_norm,
)
from avbench.backbone.positions import audio_positions, video_positions
from avbench.backbone.sizes import BackboneSize
from avbench.backbone.tokens import COMPLETE, MaskNoise, Positions, Tokens
from avbench.clips import ClipBatch, ClipGeometry, Modality, normalise_frames, take
from avbench.objectives import MaskedOutput, contrastive_losses, reconstruction_losses


@dataclass(frozen=True)
class _Encoded:
    """One modality of a masked pass: its kept tokens, and which present patches were masked."""

    tokens: Tensor  # (B, n, D), the intermediate position embedding added
    kept_positions: Tensor  # (B, n) in the whole clip
    masked: Tensor  # (B, K - n) among the present patches
    masked_positions: Tensor  # (B, K - n) in the whole clip


class CAVMAE(nn.Module):
    """The backbone: encoders, joint blocks, decoder, and the losses of a masked pass.

    Starts from fixed weights (drawn with seed 0); `initialise` draws others.

    Args:
        size: widths and depths, such as `BACKBONES["base"]`.
        geometry: of the clips it will see; gives token counts and patch sizes.
        mask_ratio: share of a whole clip's patches that is not encoded in a masked pass.
    """

    def __init__(self, size: BackboneSize, geometry: ClipGeometry, *, mask_ratio: float = 0.8) -> None:
        super().__init__()
        self.size, self.geometry, self.mask_ratio = size, geometry, mask_ratio
        width, thin = size.width, size.decoder_width

        self.patch_embed_a = PatchEmbedding(1, width, geometry.patch_size)
        self.patch_embed_v = PatchEmbedding(3, width, geometry.patch_size)
        self.modality_a, self.modality_v = _parameter(1, 1, width), _parameter(1, 1, width)
        self.pos_embed_a = _parameter(1, geometry.audio_patches, width)
        self.pos_embed_v = _parameter(1, geometry.video_patches, width)
        self.inter_pos_embed_a = _parameter(1, geometry.audio_patches, width)
        self.inter_pos_embed_v = _parameter(1, geometry.video_patches, width)

        encoder = (width, size.heads, size.mlp_ratio)
        self.blocks_a = nn.ModuleList(Block(*encoder) for _ in range(size.unimodal_blocks))
        self.blocks_v = nn.ModuleList(Block(*encoder) for _ in range(size.unimodal_blocks))
        self.blocks_u = nn.ModuleList(JointBlock(*encoder) for _ in range(size.joint_blocks))
        self.norm_a, self.norm_v, self.norm = layer_norm(width), layer_norm(width), layer_norm(width)

        self.decoder_embed = nn.Linear(width, thin)
        self.mask_token_a, self.mask_token_v = _parameter(1, 1, thin), _parameter(1, 1, thin)
        self.decoder_modality_a, self.decoder_modality_v = _parameter(1, 1, thin), _parameter(1, 1, thin)
        self.decoder_pos_embed_a = _parameter(1, geometry.audio_patches, thin)
        self.decoder_pos_embed_v = _parameter(1, geometry.video_patches, thin)
        decoder = (thin, size.decoder_heads, size.mlp_ratio)
        self.decoder_blocks = nn.ModuleList(Block(*decoder) for _ in range(size.decoder_blocks))
        self.decoder_norm = layer_norm(thin)
        self.mae_score_audio = PatchDecoder(thin, geometry.audio_patch_values)
        self.mae_score_video = PatchDecoder(thin, geometry.video_patch_values)

        self.initialise(torch.Generator().manual_seed(0))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew, as the published code does: N(0, 0.02) linears, sine-cosine positions."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=INITIAL_DEVIATION, generator=generator)
                module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
                module.bias.zero_()
            elif isinstance(module, PatchEmbedding):
                # Xavier as if it were the linear map it is; its bias as a convolution's.
                outputs, inputs = module.proj.weight.flatten(1).shape
                bound = math.sqrt(6 / (inputs + outputs))
                module.proj.weight.uniform_(-bound, bound, generator=generator)
                assert module.proj.bias is not None
                module.proj.bias.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        for name in ("modality", "mask_token", "decoder_modality"):
            for letter in ("a", "v"):
                getattr(self, f"{name}_{letter}").normal_(std=INITIAL_DEVIATION, generator=generator)
        for name, width in (
            ("pos_embed", self.size.width),
            ("inter_pos_embed", self.size.width),
            ("decoder_pos_embed", self.size.decoder_width),
        ):
            getattr(self, f"{name}_a").copy_(audio_positions(width, self.geometry))
            getattr(self, f"{name}_v").copy_(video_positions(width, self.geometry))

    def kept_patches(self, modality: Modality) -> int:
        """Number of patches a masked pass keeps: a share of the whole clip's, whatever is present."""
        # The small addition lets 0.2 * 5 be 1: in floating point 1 - 0.8 is a little less than 0.2.
        return int(self.geometry.patches(modality) * (1 - self.mask_ratio) + 1e-9)

    def draw_noise(self, batch: ClipBatch, generator: torch.Generator) -> MaskNoise:
        """Draw the noise of a masked pass on the CPU, so that every device masks alike."""
        audio = torch.rand(batch.audio.shape[:2], generator=generator)
        video = torch.rand(batch.video.shape[:2], generator=generator)
        return MaskNoise(audio.to(batch.device), video.to(batch.device))

    def unimodal(self, batch: ClipBatch) -> Tokens:
        """Encode all present patches, each modality by itself: the unmasked pass up to fusion."""
        return Tokens(
            self._encode("audio", batch.audio, batch.audio_positions),
            self._encode("video", batch.video, batch.video_positions),
        )

    def joint(self, tokens: Tokens, positions: Positions = COMPLETE) -> Tokens:
        """Run the joint blocks on both modalities' `unimodal` tokens joined; before the final norm."""
        fused = self._fuse(
            self._place("audio", tokens.audio, positions.audio),
            self._place("video", tokens.video, positions.video),
        )
        audio = tokens.audio.shape[1]
        return Tokens(fused[:, :audio], fused[:, audio:])

    def latent(self, tokens: Tokens, positions: Positions = COMPLETE) -> Tokens:
        """Run the joint blocks on each modality's `unimodal` tokens alone, its final norm included."""
        return Tokens(
            self._alone("audio", self._place("audio", tokens.audio, positions.audio)),
            self._alone("video", self._place("video", tokens.video, positions.video)),
        )

    def embed(self, batch: ClipBatch) -> Tokens:
        """Return what retrieval compares, (B, D) for each modality: mean latent token, unit length."""
        latent = self.latent(self.unimodal(batch), Positions.of(batch))
        return Tokens(
            F.normalize(latent.audio.float().mean(dim=1), dim=1),
            F.normalize(latent.video.float().mean(dim=1), dim=1),
        )

    def forward(self, batch: ClipBatch, noise: MaskNoise) -> MaskedOutput:
        """Run a masked pass: encode the kept patches, reconstruct the other present ones, contrast.

        Args:
            batch: clips, complete or with the patches a strategy selected.
            noise: uniform noise for each present patch, as `draw_noise` returns it.

        Raises:
            ValueError: where fewer patches are present than a masked pass keeps and reconstructs.
        """
        audio = self._encode_kept("audio", batch, noise.audio)
        video = self._encode_kept("video", batch, noise.video)
        audio_pooled, video_pooled = self._pool(audio, video)

        fused = self.decoder_embed(self.norm(self._fuse(audio.tokens, video.tokens)))
        audio_part, video_part = fused[:, : audio.tokens.shape[1]], fused[:, audio.tokens.shape[1] :]
        audio_patches = take(batch.audio, audio.masked)
        video_patches = normalise_frames(take(batch.video, video.masked), self.geometry.patch_size)
        return MaskedOutput(
            audio_reconstruction=reconstruction_losses(
                self.mae_score_audio(self._decode("audio", audio_part, audio)), audio_patches
            ),
            video_reconstruction=reconstruction_losses(
                self.mae_score_video(self._decode("video", video_part, video)), video_patches
            ),
            contrastive=contrastive_losses(audio_pooled, video_pooled),
            audio_pooled=audio_pooled,
            video_pooled=video_pooled,
        )

    def pooled(self, batch: ClipBatch, noise: MaskNoise) -> Tokens:
        """Return the pooled features (B, D) of a masked pass, without the part that reconstructs.

        Same arguments and errors as `forward`, whose `audio_pooled` and `video_pooled` these are.
        """
        return self._pool(
            self._encode_kept("audio", batch, noise.audio), self._encode_kept("video", batch, noise.video)
        )

    def _pool(self, audio: _Encoded, video: _Encoded) -> Tokens:
        return Tokens(
            self._alone("audio", audio.tokens).float().mean(dim=1),
            self._alone("video", video.tokens).float().mean(dim=1),
        )

    def _encode(self, modality: Modality, patches: Tensor, positions: Tensor | None) -> Tensor:
        """Patches (B, K, P) to tokens (B, K, D) by that modality's own blocks."""
        tokens: Tensor
        if modality == "audio":
            tokens = self.patch_embed_a(patches) + self.modality_a + _look_up(self.pos_embed_a, positions)
        else:
            pixels = normalise_frames(patches, self.geometry.patch_size)
            tokens = self.patch_embed_v(pixels) + self.modality_v + _look_up(self.pos_embed_v, positions)
        for block in self.blocks_a if modality == "audio" else self.blocks_v:
            tokens = block(tokens)
        return tokens

    def _encode_kept(self, modality: Modality, batch: ClipBatch, noise: Tensor) -> _Encoded:
        """Split the present patches by `noise` and encode those that are kept."""
        patches, positions = batch.patches(modality), batch.positions(modality)
        kept, present = self.kept_patches(modality), patches.shape[1]
        if not 0 < kept < present:
            raise ValueError(
                f"a masked pass keeps {kept} of {self.geometry.patches(modality)} {modality} patches and "
                f"reconstructs the rest, but {present} are present: change the mask ratio or select more"
            )
        order = noise.argsort(dim=1, stable=True)
        where = order if positions is None else take(positions, order)
        tokens = self._encode(modality, take(patches, order[:, :kept]), where[:, :kept])
        tokens = self._place(modality, tokens, where[:, :kept])
        return _Encoded(tokens, where[:, :kept], order[:, kept:], where[:, kept:])

    def _place(self, modality: Modality, tokens: Tensor, positions: Tensor | None) -> Tensor:
        """Add the intermediate position embedding to tokens (B, K, D)."""
        table = self.inter_pos_embed_a if modality == "audio" else self.inter_pos_embed_v
        return tokens + _look_up(table, positions)

    def _alone(self, modality: Modality, tokens: Tensor) -> Tensor:
        """Joint blocks on the placed tokens (B, K, D) of one modality, and its final norm."""
        for block in self.blocks_u:
            assert isinstance(block, JointBlock)
            tokens = block.alone(tokens, modality)
        return self.norm_a(tokens) if modality == "audio" else self.norm_v(tokens)  # type: ignore[no-any-return]

    def _fuse(self, audio: Tensor, video: Tensor) -> Tensor:
        """Joint blocks on placed tokens of both, audio first: (B, Ka + Kv, D)."""
        tokens = torch.cat([audio, video], dim=1)
        for block in self.blocks_u:
            tokens = block(tokens)
        return tokens

    def _decode(self, modality: Modality, kept: Tensor, encoded: _Encoded) -> Tensor:
        """Decode one modality from its kept tokens (B, n, thin); return its masked tokens (B, M, thin).

        Kept tokens come first and masked ones after: attention does not mind the order.
        """
        audio = modality == "audio"
        mask_token = self.mask_token_a if audio else self.mask_token_v
        table = self.decoder_pos_embed_a if audio else self.decoder_pos_embed_v
        kept = kept + _look_up(table, encoded.kept_positions)
        masked = mask_token + _look_up(table, encoded.masked_positions)
        tokens = torch.cat([kept, masked], dim=1)
        tokens = tokens + (self.decoder_modality_a if audio else self.decoder_modality_v)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_norm(tokens[:, kept.shape[1] :])  # type: ignore[no-any-return]


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape))


def _look_up(table: Tensor, positions: Tensor | None) -> Tensor:
    """Rows of a position table (1, L, D): all of them, or those at `positions` (B, K)."""
    # An embedding look-up, for its gradient is deterministic on a GPU; that of a gather is not.
    return table if positions is None else F.embedding(positions, table[0])
