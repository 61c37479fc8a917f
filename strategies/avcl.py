"""AVCL: continual audio-video pre-training on the patches that matter (STELLA, ICML 2024, arXiv 2310.08204).

What a training step does, as in the published code (models/cl_methods/stella.py):

1. An unmasked pass without gradient gives the joint tokens of the incoming clips. The audio-video matching
   module (AVM) relates them, which scores each patch's importance (LPIS), and learns from them.
2. As many clips are rehearsed. The queries stored with them tell which patches of the incoming clips
   belong rather with the past than with their own other modality; these are pruned with that
   probability (RCA).
3. Of every clip, incoming and rehearsed, half of the patches is drawn. The backbone trains on those alone.
4. Pooled features of rehearsed clips are pulled to the stored ones. Incoming clips are offered to the memory
   whole, with pooled features, queries, importance and pruning probabilities.

Where the published code is silent or cannot be followed: it pairs the n-th incoming clip with the n-th
rehearsed one, and where fewer are held than came in it fails; here the rehearsed are then gone through again.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from avbench.backbone import Tokens
from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.explanation import Choice, Explanation
from avbench.matching import CrossAttention, matching_loss
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance, stored_features, with_features

from .correlation import correlation, draw_pruned
from .importance import CoreQueries, check_core_ratio, core_half, core_queries, importance
from .selection import select_audio, select_video

Selection = Literal["avcl", "lpis", "rca", "none"]


class AVCL(Method):
    """Train on the half of each clip's patches that sound and sight share and that the past does not claim.

    Selections other than "avcl" are the ablation:

    - "lpis": drawn by importance, nothing pruned (RCA off).
    - "rca": pruned, but every other patch is as likely to be drawn (LPIS off). The core half and the
      queries that the correlation is about still come from the attention.
    - "none": all patches; what is left is DER++.

    The ablation's other two, random patches and those that move, are the methods `random` and `mats`.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        core_ratio: share of a clip's patches that is selected, and size of the core half.
        chunk: time steps of audio that are drawn together.
        temperature: of the attention that scores importance.
        penalty: weight of the squared distance to the stored features, in each modality.
        selection: which patches the backbone trains with.
    """

    paper = "STELLA: Continual Audio-Video Pre-training, ICML 2024, arXiv 2310.08204"
    over_processes = True

    def __init__(
        self,
        *,
        capacity: Capacity = 2000,
        core_ratio: float = 0.5,
        chunk: int = 4,
        temperature: float = 0.4,
        penalty: float = 0.5,
        selection: Selection = "avcl",
    ) -> None:
        super().__init__()
        check_core_ratio(core_ratio)
        if chunk < 1:
            raise InputError(f"chunk={chunk} time steps cannot be drawn: give 1 or more")
        if not 0 < temperature < float("inf"):
            raise InputError(f"temperature={temperature} is not positive: give more than 0")
        if not 0 <= penalty < float("inf"):
            raise InputError(f"penalty={penalty} is not a weight: give 0 or more")
        self.core_ratio = core_ratio
        self.chunk = chunk
        self.temperature = temperature
        self.penalty = penalty
        self.selection = selection
        self.scores_importance = selection in ("avcl", "lpis")
        self.prunes = selection in ("avcl", "rca")
        self.uses_matching = self.scores_importance or self.prunes
        self.memory = RehearsalMemory(capacity)
        # Of the current step; None between steps.
        self.incoming: ClipBatch | None = None
        self.stored: Tokens | None = None

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train. Raises InputError where the selected half leaves nothing to reconstruct."""
        super().attach(strategy)
        if self.selection != "none":
            check_core_ratio(self.core_ratio, strategy.model)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones, and leave of both only the selected patches."""
        incoming = strategy.mbatch
        rehearsed = self.memory.sample(len(incoming)) if self.memory else None
        if self.uses_matching:
            incoming = self._assess(strategy, incoming, rehearsed)
        self.incoming = incoming
        if rehearsed is None:
            strategy.mbatch = self._select_first(incoming)
        else:
            self.stored = stored_features(rehearsed)
            strategy.mbatch = self._select(incoming + rehearsed)

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of the rehearsed clips, then offer the incoming ones to the memory."""
        assert self.incoming is not None
        output, count = strategy.mb_output, strategy.incoming
        if self.stored is not None:
            features = pooled_features(output, slice(count, None))
            strategy.loss = strategy.loss + self.penalty * squared_distance(features, self.stored)
        self.memory.add(with_features(self.incoming, pooled_features(output, slice(count))))
        self.incoming = self.stored = None

    def explain(self, strategy: Strategy, clips: ClipBatch) -> Explanation | None:
        """Return what a training step on `clips` would select, with the scores that it draws by.

        As there, every clip is set against one that is drawn from the memory.
        """
        if self.selection == "none":
            return None
        rehearsed = self.memory.sample(len(clips)) if self.memory else None
        assessed, _, _ = self._look(strategy, clips, rehearsed)
        selected = self._select_first(assessed) if rehearsed is None else self._select(assessed)
        assert selected.audio_positions is not None
        assert selected.video_positions is not None
        scores = selected.extras
        return Explanation(
            audio=Choice(
                selected.audio_positions, scores.get("audio_importance"), scores.get("audio_pruning")
            ),
            video=Choice(
                selected.video_positions, scores.get("video_importance"), scores.get("video_pruning")
            ),
            importance_is="attention from the other modality" if self.scores_importance else "",
        )

    def _assess(self, strategy: Strategy, incoming: ClipBatch, rehearsed: ClipBatch | None) -> ClipBatch:
        """Train the matching module, and return the incoming clips with what it tells of their patches.

        Its loss is backpropagated at once: its parameters are not the backbone's, so the gradients are the
        same as those of the summed loss, and its graph does not wait in memory for the masked pass.
        """
        assessed, tokens, joint = self._look(strategy, incoming, rehearsed)
        self._learn_matching(strategy, tokens, joint)
        return assessed

    def _look(
        self, strategy: Strategy, incoming: ClipBatch, rehearsed: ClipBatch | None
    ) -> tuple[ClipBatch, Tokens, Tokens]:
        """Return the incoming clips with what the matching module tells, and the tokens it looked at."""
        with torch.no_grad(), strategy.autocast():
            tokens = strategy.model.unimodal(incoming)
            joint = strategy.model.joint(tokens)
            assessed = self._read_attention(strategy.matching.relate(joint), incoming, rehearsed)
        return assessed, tokens, joint

    def _learn_matching(self, strategy: Strategy, tokens: Tokens, joint: Tokens) -> None:
        with strategy.autocast():
            loss = matching_loss(
                strategy.matching, strategy.model, tokens, self.generator("matching"), joint=joint
            )
        strategy.accumulate(loss)
        # Its gradient is there already; what is added shows it, and stops the run if it is not finite.
        strategy.loss = strategy.loss + loss.detach()

    def _read_attention(
        self, relation: CrossAttention, incoming: ClipBatch, rehearsed: ClipBatch | None
    ) -> ClipBatch:
        """Return the incoming clips with importance, queries and pruning probabilities, as far as used."""
        scores = importance(relation, self.temperature)
        if self.scores_importance:
            incoming = incoming.with_extras(audio_importance=scores.audio, video_importance=scores.video)
        if not self.prunes:
            return incoming
        queries = core_queries(relation, scores, self.core_ratio)
        if rehearsed is None:
            audio, video = torch.zeros_like(scores.audio), torch.zeros_like(scores.video)
        else:
            partner = torch.arange(len(incoming), device=incoming.device) % len(rehearsed)
            past = CoreQueries(
                audio=rehearsed.extras["audio_queries"][partner],
                video=rehearsed.extras["video_queries"][partner],
            )
            found = correlation(relation, scores, queries, past, self.core_ratio)
            audio, video = found.audio, found.video
        return incoming.with_extras(
            audio_queries=queries.audio,
            video_queries=queries.video,
            audio_pruning=audio,
            video_pruning=video,
        )

    def _select_first(self, clips: ClipBatch) -> ClipBatch:
        """Select while the memory is empty: where importance is scored, the core half as it is."""
        if not self.scores_importance:
            return self._select(clips)
        return clips.select(
            audio=core_half(clips.extras["audio_importance"], self.core_ratio),
            video=core_half(clips.extras["video_importance"], self.core_ratio),
        )

    def _select(self, clips: ClipBatch) -> ClipBatch:
        """Return whole clips with the selected patches alone."""
        if self.selection == "none":
            return clips
        generator = self.generator("selection")
        every_audio = torch.ones(clips.audio.shape[:2], device=clips.device)
        every_video = torch.ones(clips.video.shape[:2], device=clips.device)
        extras = clips.extras
        audio_pruning = extras.get("audio_pruning", torch.zeros_like(every_audio))
        video_pruning = extras.get("video_pruning", torch.zeros_like(every_video))
        return clips.select(
            audio=select_audio(
                extras.get("audio_importance", every_audio),
                draw_pruned(audio_pruning, generator),
                generator,
                bands=clips.geometry.audio_grid[1],
                chunk_steps=self.chunk,
                core_ratio=self.core_ratio,
            ),
            video=select_video(
                extras.get("video_importance", every_video),
                draw_pruned(video_pruning, generator),
                generator,
                self.core_ratio,
            ),
        )
