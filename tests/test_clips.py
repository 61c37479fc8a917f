"""Clips as patches: the order of tokens and values, and that everything is a gather along them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from avbench.clips import (
    FRAME_MEAN,
    FRAME_STD,
    ClipBatch,
    ClipGeometry,
    normalise_frames,
    patchify_audio,
    patchify_video,
    take,
    unpatchify_audio,
    unpatchify_video,
)

BASE = ClipGeometry()


def numbered_frames(batch: int, frames: int, height: int, width: int) -> torch.Tensor:
    return torch.arange(batch * frames * height * width * 3).reshape(batch, frames, height, width, 3)


def selected(batch: ClipBatch, video: list[int], audio: list[int]) -> ClipBatch:
    """The same patches of every clip."""
    return batch.select(
        video=torch.tensor(video).expand(len(batch), -1), audio=torch.tensor(audio).expand(len(batch), -1)
    )


def test_sizes_of_the_published_clip():
    # STELLA: 4 frames of 224 and 1024 x 128 of sound in patches of 16.
    assert (BASE.video_patches, BASE.audio_patches) == (784, 512)
    assert (BASE.video_grid, BASE.audio_grid) == ((4, 14, 14), (64, 8))
    assert (BASE.video_patch_values, BASE.audio_patch_values) == (768, 256)
    assert [BASE.patches(modality) for modality in ("audio", "video")] == [512, 784]


@pytest.mark.parametrize(
    ("changed", "meant"),
    [({"frame_size": 230}, "frame_size=230"), ({"mel_bins": 0}, "mel_bins=0"), ({"frames": 0}, "frames=0")],
)
def test_sizes_that_patches_do_not_fill_are_refused(changed, meant):
    with pytest.raises(ValueError, match=meant):
        ClipGeometry(**changed)


def test_video_tokens_go_frame_by_frame_then_rows_then_columns():
    frames, patches = numbered_frames(2, 3, 8, 12), patchify_video(numbered_frames(2, 3, 8, 12), 4)
    assert patches.shape == (2, 3 * 2 * 3, 4 * 4 * 3)
    for frame, row, column in ((0, 0, 0), (0, 0, 2), (0, 1, 0), (2, 1, 1)):
        token = (frame * 2 + row) * 3 + column
        square = frames[1, frame, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        # Within a patch: row, column, channel.
        assert torch.equal(patches[1, token], square.flatten())


def test_audio_tokens_go_step_by_step_then_frequency():
    spectrogram = torch.arange(2 * 12 * 8).reshape(2, 12, 8)
    patches = patchify_audio(spectrogram, 4)
    assert patches.shape == (2, 3 * 2, 16)
    for step, band in ((0, 1), (1, 0), (2, 1)):
        square = spectrogram[1, 4 * step : 4 * step + 4, 4 * band : 4 * band + 4]
        assert torch.equal(patches[1, step * 2 + band], square.flatten())


def test_unpatchifying_undoes_patchifying(geometry):
    frames = numbered_frames(2, geometry.frames, geometry.frame_size, geometry.frame_size)
    assert torch.equal(unpatchify_video(patchify_video(frames), geometry), frames)
    spectrogram = torch.randn(2, geometry.mel_frames, geometry.mel_bins)
    assert torch.equal(unpatchify_audio(patchify_audio(spectrogram), geometry), spectrogram)


def test_taking_tokens_of_any_rank():
    tokens = torch.arange(2 * 5 * 3).reshape(2, 5, 3)
    index = torch.tensor([[4, 0], [1, 1]])
    assert torch.equal(take(tokens, index), torch.stack([tokens[0, [4, 0]], tokens[1, [1, 1]]]))
    assert torch.equal(take(tokens[..., 0], index), take(tokens, index)[..., 0])


def test_selecting_names_places_in_the_whole_clip(clips):
    whole = clips(3)
    assert whole.positions("video") is None
    part = selected(whole, [6, 1, 4], [15, 0])
    assert torch.equal(part.video, whole.video[:, [6, 1, 4]])
    assert torch.equal(part.audio, whole.audio[:, [15, 0]])
    assert part.positions("video").tolist() == [[6, 1, 4]] * 3
    # A selection of a selection still says where its patches sit in the whole clip.
    again = selected(part, [2, 0], [0])
    assert again.positions("video").tolist() == [[4, 6]] * 3
    assert again.positions("audio").tolist() == [[15]] * 3
    assert torch.equal(again.patches("video"), whole.video[:, [4, 6]])


def test_clips_may_have_selections_of_their_own(clips):
    whole = clips(2)
    part = whole.select(video=torch.tensor([[0, 3], [7, 2]]), audio=torch.tensor([[1], [2]]))
    assert torch.equal(part.video[1], whole.video[1, [7, 2]])
    assert torch.equal(part.audio[1], whole.audio[1, [2]])


def test_written_out_positions_are_all_places_in_order(clips, geometry):
    batch = clips(2).with_positions()
    assert torch.equal(batch.positions("video")[1], torch.arange(geometry.video_patches))
    assert torch.equal(batch.positions("audio")[1], torch.arange(geometry.audio_patches))
    part = selected(clips(2), [3], [1])
    assert torch.equal(part.with_positions().video_positions, part.video_positions)


def test_joining_whole_clips_stays_whole(clips):
    joined = clips(2) + clips(3, seed=1)
    assert len(joined) == 5
    assert joined.clip.tolist() == [0, 1, 1000, 1001, 1002]
    assert joined.positions("video") is None
    assert torch.equal(joined.video[2:], clips(3, seed=1).video)


def test_joining_whole_clips_with_selected_ones_writes_positions_out(clips, geometry):
    everything = list(range(geometry.video_patches))
    turned = selected(clips(2, seed=1), everything[::-1], list(range(geometry.audio_patches)))
    for joined, whole, part in (
        (clips(2) + turned, slice(0, 2), slice(2, 4)),
        (turned + clips(2), slice(2, 4), slice(0, 2)),
    ):
        assert joined.positions("video")[whole].tolist() == [everything] * 2
        assert joined.positions("video")[part].tolist() == [everything[::-1]] * 2
        assert torch.equal(joined.video[part], turned.video)


def test_joining_selected_clips(clips):
    joined = selected(clips(1), [3, 4], [1]) + selected(clips(1, seed=1), [5, 0], [2])
    assert joined.positions("video").tolist() == [[3, 4], [5, 0]]
    assert joined.positions("audio").tolist() == [[1], [2]]


def test_joined_patches_have_the_type_of_the_first(clips):
    stored = clips(1, seed=1)
    stored.audio = stored.audio.float()
    joined = clips(1) + stored
    assert (joined.video.dtype, joined.audio.dtype) == (torch.uint8, torch.float16)


def test_clips_of_unlike_geometry_cannot_be_joined(clips, geometry):
    other = clips(1)
    other.geometry = ClipGeometry(geometry.frames, geometry.frame_size, geometry.mel_frames * 2, 16)
    with pytest.raises(ValueError, match="unlike geometry"):
        clips(1) + other


def test_extras_travel_with_their_clips(clips):
    batch = clips(4).with_extras(score=torch.arange(4.0), feature=torch.randn(4, 2))
    assert batch[torch.tensor([2, 0])].extras["score"].tolist() == [2.0, 0.0]
    assert batch[batch.extras["score"] > 1].clip.tolist() == [2, 3]
    assert batch[1:].extras["feature"].shape == (3, 2)
    assert selected(batch, [1], [1]).extras["score"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert batch.to("cpu").with_extras(more=torch.zeros(4)).extras.keys() == {"score", "feature", "more"}


def test_joined_clips_keep_the_extras_that_both_have(clips):
    first = clips(1).with_extras(both=torch.tensor([1]), mine=torch.tensor([2]))
    second = clips(2, seed=1).with_extras(both=torch.tensor([3, 4]), theirs=torch.tensor([5, 6]))
    joined = first + second
    assert joined.extras.keys() == {"both"}
    assert joined.extras["both"].tolist() == [1, 3, 4]
    assert not (clips(1) + first).extras


def test_picked_clips_keep_their_positions(clips):
    part = clips(3).select(video=torch.tensor([[0], [1], [2]]), audio=torch.tensor([[3], [4], [5]]))
    picked = part[torch.tensor([2, 1])]
    assert picked.positions("video").tolist() == [[2], [1]]
    assert picked.positions("audio").tolist() == [[5], [4]]
    assert picked.clip.tolist() == [2, 1]


def test_frames_are_normalised_channel_by_channel():
    colour = torch.tensor([255, 0, 128], dtype=torch.uint8)
    normal = normalise_frames(colour.repeat(256).reshape(1, 1, 768))
    wanted = [
        (value / 255 - mean) / std
        for value, mean, std in zip((255, 0, 128), FRAME_MEAN, FRAME_STD, strict=True)
    ]
    assert torch.allclose(normal.reshape(256, 3), torch.tensor(wanted).expand(256, 3), atol=1e-6)


def test_frames_that_are_normalised_already_stay():
    patches = torch.randn(2, 3, 768)
    assert normalise_frames(patches) is patches


def test_normalised_frames_join_others_by_normalising_them(clips: Any) -> None:
    plain, normalised = clips(2, 1), clips(3, 2).normalised()
    assert normalised.video.is_floating_point()
    for joined in (plain + normalised, plain.normalised() + clips(3, 2)):
        torch.testing.assert_close(joined.video, (plain + clips(3, 2)).normalised().video)
    torch.testing.assert_close((normalised + plain).video[3:], plain.normalised().video)
