"""From a clip store to batches of patches.

A pass over a dataset has a seed, drawn from the generator that shuffles it; what is drawn for a clip in a
pass depends on that seed and the clip alone, so the same run sees the same batches with any number of
loader processes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from avbench import processes
from avbench.clips import ClipBatch, ClipGeometry, patchify_audio, patchify_video
from avbench.defaults import PUBLISHED_WINDOW
from avbench.errors import DataError, InputError
from avbench.media import jpeg
from avbench.media.augmentation import crop_and_resize, draw_crop, noise_and_roll, resize
from avbench.randomness import derive_seed
from avbench.store.reading import ClipFormat, ClipStore

# A clip's place in its dataset, and the seed of the pass in which it is asked for.
Pick = tuple[int, int]

Dealt = Literal["clips", "batches"]


def geometry_of(format: ClipFormat, *, frames: int, frame_size: int) -> ClipGeometry:
    """Return the geometry of batches of `frames` frames of `frame_size` pixels from clips of a format."""
    return ClipGeometry(
        frames=frames, frame_size=frame_size, mel_frames=format.mel_frames, mel_bins=format.mel_bins
    )


def frame_numbers(
    format: ClipFormat, frames: int, window: float, generator: np.random.Generator | None
) -> list[int]:
    """Choose `frames` evenly spaced frames of a window of the clip.

    Args:
        format: of the clip, which has `format.frames` frames.
        frames: how many to choose.
        window: the window's share of the clip, 0 < window <= 1.
        generator: draws where the window starts (as published: its last possible start is never drawn), or,
            where the window is the whole clip, by how much the frames are late within their spacing. None
            takes the middle window, or no lateness.
    """
    length = max(frames, round(window * format.frames))
    if generator is None:
        start = (format.frames - length) // 2
    elif length < format.frames:
        start = int(generator.integers(format.frames - length))
    else:
        start = int(generator.integers(max(1, length // frames)))
    return [start + int(place * length / frames) for place in range(frames)]


class ClipDataset(Dataset[ClipBatch]):
    """Some clips of a store as batches of patches.

    Indexed by a place among `clips`, or by a pick: (place, seed of the pass). A plain place is seen as in the
    pass of seed 0.

    Attributes:
        store: where the clips are.
        clips: their numbers in the store.
        geometry: frames per clip and their size; the spectrogram's size must be the store's.
        training: draw the window of frames at random; else take the middle one.
        augment: multi-scale crop, noise and roll, in training.
        window: the share of the clip from which frames are taken.

    Raises:
        InputError: the geometry does not fit the store's clips, or augmentation without training.
    """

    def __init__(
        self,
        store: ClipStore,
        clips: Sequence[int],
        geometry: ClipGeometry,
        *,
        training: bool,
        augment: bool,
        window: float = PUBLISHED_WINDOW,
    ) -> None:
        stored = store.format
        if (geometry.mel_frames, geometry.mel_bins) != (stored.mel_frames, stored.mel_bins):
            raise InputError(
                f"{store.path} has spectrograms of {stored.mel_frames} x {stored.mel_bins}, "
                f"not {geometry.mel_frames} x {geometry.mel_bins}: derive the geometry with geometry_of"
            )
        if geometry.frames > stored.frames:
            raise InputError(f"{store.path} has {stored.frames} frames a clip, fewer than {geometry.frames}")
        if not 0 < window <= 1:
            raise InputError(f"window={window} is not a share of the clip: above 0, at most 1")
        if augment and not training:
            raise InputError("clips are augmented in training only")
        self.store = store
        self.clips = np.asarray(clips, dtype=np.int64)
        self.geometry = geometry
        self.training = training
        self.augment = augment
        self.window = window

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, pick: int | Pick) -> ClipBatch:
        return self.__getitems__([pick])

    def __getitems__(self, picks: Sequence[int | Pick]) -> ClipBatch:
        """Return the clips picked, as one batch: uint8 video patches, float16 audio patches."""
        sizes = self.geometry
        shape = (len(picks), sizes.frames, sizes.frame_size, sizes.frame_size, 3)
        video = torch.empty(shape, dtype=torch.uint8)
        audio = np.empty((len(picks), sizes.mel_frames, sizes.mel_bins), dtype=np.float16)
        clips = torch.empty(len(picks), dtype=torch.int64)
        for row, pick in enumerate(picks):
            place, seed = pick if isinstance(pick, tuple) else (pick, 0)
            clip = int(self.clips[place])
            clips[row] = clip
            self._fill(clip, seed, video[row], audio[row])
        return ClipBatch(
            video=patchify_video(video, sizes.patch_size),
            audio=patchify_audio(torch.from_numpy(audio), sizes.patch_size),
            clip=clips,
            geometry=sizes,
        )

    def _fill(self, clip: int, seed: int, video: Tensor, audio: np.ndarray) -> None:
        """Write a clip's frames and spectrogram into its row of a batch."""
        stored, size = self.store.format, self.geometry.frame_size
        generator = None
        if self.training:
            generator = np.random.Generator(np.random.PCG64(derive_seed(seed, "view", clip)))
        numbers = frame_numbers(stored, self.geometry.frames, self.window, generator)
        *jpegs, spectrogram = self.store.read_members(clip, [*numbers, stored.frames + 1])
        try:
            frames = np.stack([jpeg.decode(data) for data in jpegs])
        except DataError as error:
            raise DataError(f"clip {self.store.entries[clip].key}: {error}") from error
        mel = self.store.spectrogram_of(spectrogram)
        if generator is not None and self.augment:
            height, width = frames.shape[1:3]
            video.copy_(crop_and_resize(frames, draw_crop(width, height, size, generator), size))
            audio[:] = noise_and_roll(mel.astype(np.float32), generator)
        else:
            video.copy_(resize(frames, size))
            audio[:] = mel


def collate(batches: ClipBatch | Sequence[ClipBatch]) -> ClipBatch:
    """Join what a loader fetched: batches of a clip each, or the one batch it fetched at once."""
    if isinstance(batches, ClipBatch):
        return batches
    joined = batches[0]
    for batch in batches[1:]:
        joined = joined + batch
    return joined


class ClipLoader(DataLoader[ClipBatch]):
    """Gives a dataset's clips in batches, a pass at each iteration."""

    def after(self, batches: int) -> Iterator[ClipBatch]:
        """Return the next pass without its first `batches`, which are not loaded.

        Its order is drawn before this returns.
        """
        assert isinstance(self.batch_sampler, _PickSampler)
        self.batch_sampler.left_out = batches
        rest = iter(self)
        # A sampler draws when it is asked for its first batch.
        return chain(list(islice(rest, 1)), rest)


def clip_loader(
    dataset: Dataset[ClipBatch],
    batch_size: int,
    *,
    shuffle: torch.Generator | None,
    workers: int = 0,
    drop_last: bool = False,
    dealt: Dealt | None = None,
) -> ClipLoader:
    """Return a loader of batches of a `ClipDataset`, or of anything indexed by picks as it is.

    Args:
        dataset: the clips.
        batch_size: clips a batch; the last one may be smaller.
        shuffle: draws order and seed of every pass; None takes the clips in order, with seed 0.
        workers: processes that load; 0 loads in this one. Batches do not depend on it.
        drop_last: leave out a last batch that is smaller.
        dealt: what the processes of a run deal out among them: the clips of each batch, so that each gets
            its share of it, which may be none; or whole batches. None gives every process everything.
    """
    return ClipLoader(
        dataset,
        batch_sampler=_PickSampler(dataset, batch_size, shuffle, drop_last, dealt),
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_interrupts_to_the_run,
        # The loader draws a seed that nothing here uses; without this it would be from the global generator.
        generator=torch.Generator().manual_seed(0),
    )


def _leave_interrupts_to_the_run(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal; the run ends its loaders when it has saved its state.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _PickSampler(Sampler[list[Pick]]):
    """Lists of picks, a list a batch; every pass draws a new order and a new seed."""

    def __init__(
        self,
        dataset: Dataset[ClipBatch],
        batch_size: int,
        shuffle: torch.Generator | None,
        drop_last: bool,
        dealt: Dealt | None,
    ) -> None:
        self.length = len(dataset)  # type: ignore[arg-type]
        self.batch_size, self.shuffle, self.drop_last, self.dealt = batch_size, shuffle, drop_last, dealt
        self.left_out = 0  # batches at the beginning of the next pass

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        batches = whole + (rest > 0 and not self.drop_last)
        return processes.part(batches) if self.dealt == "batches" else batches

    def __iter__(self) -> Iterator[list[Pick]]:
        order, seed = list(range(self.length)), 0
        if self.shuffle is not None:
            order = torch.randperm(self.length, generator=self.shuffle).tolist()
            seed = int(torch.randint(2**62, (), generator=self.shuffle))
        first, self.left_out = self.left_out, 0
        for number in range(first, len(self)):
            batch = number * processes.count() + processes.rank() if self.dealt == "batches" else number
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            if self.dealt == "clips":
                chosen = list(processes.share(chosen))
            yield [(place, seed) for place in chosen]
