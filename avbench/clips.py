"""Clips as the model sees them: patches of frames and of a spectrogram, and where they sit.

A `ClipBatch` is the one thing the loaders, the rehearsal memory, the strategies and the backbone speak.
It holds patches from the start, so that masking, selecting patches, rehearsing halves of clips and
reconstruction targets are all one operation: a gather along the patch axis.

Order of tokens (STELLA's published code, models/cav.py): video frame by frame, then rows, then columns;
audio time step by time step, then frequency. Order of values within a patch: row, column, channel
(which is how images are decoded and how masked autoencoders order their targets).

Shapes: B clips, T frames, L patches of the whole clip, K <= L patches present, P values a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

Modality = Literal["audio", "video"]
MODALITIES: tuple[Modality, Modality] = ("audio", "video")

# ImageNet statistics of RGB values in 0..1, as the published pipeline normalises frames.
FRAME_MEAN = (0.485, 0.456, 0.406)
FRAME_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ClipGeometry:
    """The sizes from which every other size follows: token counts, grids, parameter shapes."""

    frames: int = 4
    frame_size: int = 224
    mel_frames: int = 1024
    mel_bins: int = 128
    patch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("frame_size", "mel_frames", "mel_bins"):
            value = getattr(self, name)
            if value <= 0 or value % self.patch_size:
                raise ValueError(f"{name}={value} is not a positive multiple of patch_size={self.patch_size}")
        if self.frames <= 0:
            raise ValueError(f"frames={self.frames} is not positive")

    @property
    def video_grid(self) -> tuple[int, int, int]:
        """Frames, rows and columns of video tokens."""
        side = self.frame_size // self.patch_size
        return self.frames, side, side

    @property
    def audio_grid(self) -> tuple[int, int]:
        """Time steps and frequency bands of audio tokens."""
        return self.mel_frames // self.patch_size, self.mel_bins // self.patch_size

    @property
    def video_patches(self) -> int:
        """Number of video tokens of a whole clip."""
        frames, rows, columns = self.video_grid
        return frames * rows * columns

    @property
    def audio_patches(self) -> int:
        """Number of audio tokens of a whole clip."""
        steps, bands = self.audio_grid
        return steps * bands

    @property
    def video_patch_values(self) -> int:
        """Values of one video patch: rows x columns x 3 channels."""
        return self.patch_size**2 * 3

    @property
    def audio_patch_values(self) -> int:
        """Values of one audio patch: time x frequency."""
        return self.patch_size**2

    def patches(self, modality: Modality) -> int:
        """Number of tokens of a whole clip in `modality`."""
        return self.video_patches if modality == "video" else self.audio_patches


def patchify_video(frames: Tensor, patch_size: int = 16) -> Tensor:
    """Cut frames (B, T, H, W, 3) into patches (B, T*rows*columns, patch_size**2 * 3)."""
    batch, times, height, width, channels = frames.shape
    rows, columns = height // patch_size, width // patch_size
    cut = frames.reshape(batch, times, rows, patch_size, columns, patch_size, channels)
    values = patch_size**2 * channels
    return cut.permute(0, 1, 2, 4, 3, 5, 6).reshape(batch, times * rows * columns, values)


def patchify_audio(spectrogram: Tensor, patch_size: int = 16) -> Tensor:
    """Cut spectrograms (B, time, mel bins) into patches (B, steps*bands, patch_size**2)."""
    batch, time, bins = spectrogram.shape
    steps, bands = time // patch_size, bins // patch_size
    cut = spectrogram.reshape(batch, steps, patch_size, bands, patch_size)
    return cut.permute(0, 1, 3, 2, 4).reshape(batch, steps * bands, patch_size**2)


def unpatchify_video(patches: Tensor, geometry: ClipGeometry) -> Tensor:
    """Undo `patchify_video`: patches (B, L, P) of whole clips to frames (B, T, H, W, 3)."""
    frames, rows, columns = geometry.video_grid
    size = geometry.patch_size
    cut = patches.reshape(len(patches), frames, rows, columns, size, size, 3)
    return cut.permute(0, 1, 2, 4, 3, 5, 6).reshape(len(patches), frames, rows * size, columns * size, 3)


def unpatchify_audio(patches: Tensor, geometry: ClipGeometry) -> Tensor:
    """Undo `patchify_audio`: patches (B, L, P) of whole clips to spectrograms (B, time, mel bins)."""
    steps, bands = geometry.audio_grid
    size = geometry.patch_size
    cut = patches.reshape(len(patches), steps, bands, size, size)
    return cut.permute(0, 1, 3, 2, 4).reshape(len(patches), steps * size, bands * size)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather tokens (B, L, ...) at positions `index` (B, K) of each clip: (B, K, ...)."""
    shape = index.shape + (1,) * (tokens.dim() - 2)
    return tokens.gather(1, index.reshape(shape).expand(*index.shape, *tokens.shape[2:]))


@dataclass
class ClipBatch:
    """A batch of clips as patches; complete, or with the patches a strategy selected.

    Attributes:
        video: (B, Kv, 768) patches, uint8 as decoded (the backbone normalises them with ImageNet's
            mean and deviation) or floating point if already normalised.
        audio: (B, Ka, 256) patches of the normalised log-mel spectrogram, float16 or float32.
        clip: (B,) int64, the clip's number in its store. Not a label: training never sees labels.
        geometry: the sizes of the whole clip.
        video_positions, audio_positions: (B, K) int64 places in the whole clip's token order, or None
            where all patches are present in order.
        extras: tensors (B, ...) that travel with the clips, such as features a method stored with them.
    """

    video: Tensor
    audio: Tensor
    clip: Tensor
    geometry: ClipGeometry
    video_positions: Tensor | None = None
    audio_positions: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def device(self) -> torch.device:
        """Where the patches are."""
        return self.video.device

    def patches(self, modality: Modality) -> Tensor:
        """The patches (B, K, P) of `modality`."""
        return self.video if modality == "video" else self.audio

    def positions(self, modality: Modality) -> Tensor | None:
        """The places (B, K) of `modality`'s patches, None where all are present in order."""
        return self.video_positions if modality == "video" else self.audio_positions

    def to(self, device: torch.device | str) -> ClipBatch:
        """Return the batch on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def __getitem__(self, clips: Tensor | slice) -> ClipBatch:
        """Return the clips at `clips`: an index or mask (B,), or a slice."""
        return self._map(lambda tensor: tensor[clips])

    def __add__(self, other: ClipBatch) -> ClipBatch:
        """Return both batches joined, `self` first, with the extras that both have.

        Where the frames of only one are normalised, those of the other are normalised too.
        """
        if self.geometry != other.geometry:
            raise ValueError(
                f"clips of unlike geometry cannot be joined: {self.geometry} and {other.geometry}"
            )
        first, second = self, other
        if first.video.is_floating_point() != second.video.is_floating_point():
            first, second = first.normalised(), second.normalised()
        for modality in MODALITIES:
            if (first.positions(modality) is None) != (second.positions(modality) is None):
                first, second = first.with_positions(), second.with_positions()
        return ClipBatch(
            video=torch.cat([first.video, second.video.to(first.video)]),
            audio=torch.cat([first.audio, second.audio.to(first.audio)]),
            clip=torch.cat([first.clip, second.clip]),
            geometry=first.geometry,
            video_positions=_join(first.video_positions, second.video_positions),
            audio_positions=_join(first.audio_positions, second.audio_positions),
            extras={
                name: torch.cat([value, second.extras[name]])
                for name, value in first.extras.items()
                if name in second.extras
            },
        )

    def with_positions(self) -> ClipBatch:
        """Return the batch with its positions written out, also where all patches are present."""
        video, audio = self.video_positions, self.audio_positions
        if video is None:
            video = torch.arange(self.video.shape[1], device=self.device).expand(len(self), -1)
        if audio is None:
            audio = torch.arange(self.audio.shape[1], device=self.device).expand(len(self), -1)
        return replace(self, video_positions=video, audio_positions=audio)

    def normalised(self) -> ClipBatch:
        """Return the batch with floating-point frames, ImageNet's mean and deviation taken out."""
        return replace(self, video=normalise_frames(self.video, self.geometry.patch_size))

    def with_extras(self, **extras: Tensor) -> ClipBatch:
        """Return the batch with `extras` (each (B, ...)) added to what travels with its clips."""
        return replace(self, extras={**self.extras, **extras})

    def select(self, *, video: Tensor, audio: Tensor) -> ClipBatch:
        """Return the batch with only the patches at `video` (B, Kv) and `audio` (B, Ka).

        The indices count the patches present; the result's positions name their places in the whole clip.
        """
        whole = self.with_positions()
        assert whole.video_positions is not None
        assert whole.audio_positions is not None
        return replace(
            self,
            video=take(self.video, video),
            audio=take(self.audio, audio),
            video_positions=take(whole.video_positions, video),
            audio_positions=take(whole.audio_positions, audio),
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> ClipBatch:
        return ClipBatch(
            video=change(self.video),
            audio=change(self.audio),
            clip=change(self.clip),
            geometry=self.geometry,
            video_positions=None if self.video_positions is None else change(self.video_positions),
            audio_positions=None if self.audio_positions is None else change(self.audio_positions),
            extras={name: change(value) for name, value in self.extras.items()},
        )


def _join(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])


def normalise_frames(patches: Tensor, patch_size: int = 16) -> Tensor:
    """Return uint8 video patches (..., P) as floats with ImageNet's mean and deviation taken out.

    Floating-point patches are taken as normalised already and returned as they are.
    """
    if patches.is_floating_point():
        return patches
    mean = torch.tensor(FRAME_MEAN, device=patches.device).repeat(patch_size**2)
    std = torch.tensor(FRAME_STD, device=patches.device).repeat(patch_size**2)
    return (patches.float() / 255 - mean) / std
