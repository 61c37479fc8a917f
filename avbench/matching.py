"""Audio-video matching (AVM): a small module that learns whether a sound and a sight belong together.

It reads the joint tokens of an unmasked pass and sends no gradient back; what strategies want from it is
its cross attention, which tells the patches that the two modalities have in common. Source: STELLA
(ICML 2024, arXiv 2310.08204), models/avm_module.py. There the heads are merged without transposing
first, which mixes them; here they are merged as in any multi-head attention, so logits differ from the
published module's, attention scores do not.

Shapes: B clips, H heads, La and Lv tokens, D width, Dh = D / H features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avbench.backbone.blocks import INITIAL_DEVIATION, layer_norm
from avbench.backbone.model import CAVMAE
from avbench.backbone.tokens import COMPLETE, Positions, Tokens


@dataclass(frozen=True)
class CrossAttention:
    """The two-way cross attention of a batch, before any softmax.

    Attributes:
        scores_av: (B, H, La, Lv) scaled dot products of audio queries with video keys.
        scores_va: (B, H, Lv, La) scaled dot products of video queries with audio keys.
        audio_queries, audio_keys: (B, H, La, Dh), and video_queries, video_keys: (B, H, Lv, Dh).
    """

    scores_av: Tensor
    scores_va: Tensor
    audio_queries: Tensor
    audio_keys: Tensor
    video_queries: Tensor
    video_keys: Tensor


class AudioVideoMatching(nn.Module):
    """Cross attention both ways and a head that scores how well audio and video match.

    Starts from fixed weights (drawn with seed 0); `initialise` draws others.

    Args:
        width: features of the backbone's tokens.
        heads: attention heads; the published module has 12 at any width.
    """

    def __init__(self, width: int, heads: int = 12) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} must be a multiple of heads={heads}")
        self.width, self.heads = width, heads
        self.norm_a, self.norm_v = layer_norm(width), layer_norm(width)
        self.to_a_q, self.to_a_k, self.to_a_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.to_v_q, self.to_v_k, self.to_v_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.matching_score = MatchingHead(2 * width)
        self.initialise(torch.Generator().manual_seed(0))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights anew: N(0, 0.02) for the linear layers, as published."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=INITIAL_DEVIATION, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
                module.bias.zero_()

    def forward(self, tokens: Tokens) -> Tensor:
        """Return the matching logit (B,) of joint tokens (B, La, D) and (B, Lv, D)."""
        audio, video = self.norm_a(tokens.audio), self.norm_v(tokens.video)
        seen = F.scaled_dot_product_attention(
            self._heads(self.to_a_q(audio)), self._heads(self.to_v_k(video)), self._heads(self.to_v_v(video))
        )
        heard = F.scaled_dot_product_attention(
            self._heads(self.to_v_q(video)), self._heads(self.to_a_k(audio)), self._heads(self.to_a_v(audio))
        )
        # The mean over tokens (B, H, Dh) lays the heads side by side, as a merge of heads does.
        means = [heard.mean(dim=2).flatten(1), seen.mean(dim=2).flatten(1)]
        return self.matching_score(torch.cat(means, dim=1)).squeeze(1)  # type: ignore[no-any-return]

    def relate(self, tokens: Tokens) -> CrossAttention:
        """Return the cross attention of joint tokens in float32, raw: scaled, without softmax."""
        audio, video = self.norm_a(tokens.audio), self.norm_v(tokens.video)
        audio_queries = self._heads(self.to_a_q(audio)).float()
        audio_keys = self._heads(self.to_a_k(audio)).float()
        video_queries = self._heads(self.to_v_q(video)).float()
        video_keys = self._heads(self.to_v_k(video)).float()
        scale = (self.width // self.heads) ** -0.5
        # Autocast would round the products to bfloat16, and the temperature multiplies what is lost.
        with torch.autocast(audio_queries.device.type, enabled=False):
            scores_av = (audio_queries @ video_keys.transpose(2, 3)) * scale
            scores_va = (video_queries @ audio_keys.transpose(2, 3)) * scale
        return CrossAttention(
            scores_av=scores_av,
            scores_va=scores_va,
            audio_queries=audio_queries,
            audio_keys=audio_keys,
            video_queries=video_queries,
            video_keys=video_keys,
        )

    def _heads(self, tokens: Tensor) -> Tensor:
        """Split tokens (B, L, D) into heads (B, H, L, Dh)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class MatchingHead(nn.Module):
    """Linear, tanh, linear: features (B, F) to one logit (B, 1)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.pooler = nn.ModuleDict({"dense": nn.Linear(features, features)})
        self.fc = nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F) to a logit (B, 1)."""
        return self.fc(torch.tanh(self.pooler["dense"](features)))  # type: ignore[no-any-return]


def exchange_videos(clips: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw which video each clip gets, and whether it is its own.

    Half of the clips (rounded up) exchange their videos along a random cycle, so that none of these
    keeps its own; the others do. Where that half would be a single clip, nothing is exchanged.

    Returns:
        video (clips,) int64: the clip whose video each clip gets; matched (clips,) bool. On the CPU.
    """
    order = torch.randperm(clips, generator=generator)
    chosen = order[clips // 2 :]
    video, matched = torch.arange(clips), torch.ones(clips, dtype=torch.bool)
    if len(chosen) > 1:
        video[chosen] = chosen.roll(1)
        matched[chosen] = False
    return video, matched


def matching_loss(
    matching: AudioVideoMatching,
    backbone: CAVMAE,
    tokens: Tokens,
    generator: torch.Generator,
    *,
    positions: Positions = COMPLETE,
    joint: Tokens | None = None,
) -> Tensor:
    """Return the loss that trains the matching module: binary cross entropy of pairs and exchanged videos.

    The joint blocks run without gradient, so the backbone learns nothing from it.

    Args:
        tokens: `backbone.unimodal` of the clips, unmasked.
        generator: draws whose videos are exchanged.
        positions: where the tokens sit, if not all patches are present.
        joint: `backbone.joint` of the true pairs, where the caller has it already: then the joint
            blocks run for the exchanged half alone.
    """
    video, matched = exchange_videos(len(tokens.audio), generator)
    video, matched = video.to(tokens.audio.device), matched.to(tokens.audio.device)
    with torch.no_grad():
        if joint is None:
            joint = backbone.joint(tokens, positions)
        mixed = Tokens(joint.audio.clone(), joint.video.clone())
        # As nonzero(~matched), whose size would have to be read back from the device.
        half = len(matched) - len(matched) // 2
        exchanged = matched.byte().argsort(stable=True)[: half if half > 1 else 0]
        if len(exchanged):
            taken = video[exchanged]
            again = backbone.joint(
                Tokens(tokens.audio[exchanged], tokens.video[taken]),
                Positions(
                    None if positions.audio is None else positions.audio[exchanged],
                    None if positions.video is None else positions.video[taken],
                ),
            )
            mixed.audio[exchanged] = again.audio.to(mixed.audio.dtype)
            mixed.video[exchanged] = again.video.to(mixed.video.dtype)
    logits = matching(mixed).float()
    return F.binary_cross_entropy_with_logits(logits, matched.float())
