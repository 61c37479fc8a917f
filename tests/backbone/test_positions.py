import math

import torch

from avbench.backbone.positions import audio_positions, sine_cosine, stretch, video_positions
from avbench.clips import ClipGeometry

GEOMETRY = ClipGeometry(frames=2, frame_size=48, mel_frames=64, mel_bins=32)  # video 2x3x3, audio 4x2


def test_sine_cosine_by_hand():
    table = sine_cosine(8, rows=2, columns=3)
    # Place 5 is row 1, column 2; frequencies are 1 and 1/100; the column's half comes first.
    column = [math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]
    row = [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]
    torch.testing.assert_close(table[5], torch.tensor(column + row))
    torch.testing.assert_close(table[0], torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1]))


def test_video_positions_repeat_per_frame():
    table = video_positions(8, GEOMETRY)
    assert table.shape == (1, 18, 8)
    torch.testing.assert_close(table[:, :9], table[:, 9:])


def test_audio_positions_are_time_major_with_time_in_the_first_half():
    table = audio_positions(8, GEOMETRY)[0]
    assert table.shape == (8, 8)
    torch.testing.assert_close(table[2, :4], table[3, :4])  # the same time step
    torch.testing.assert_close(table[2, 4:], table[4, 4:])  # the same frequency band
    assert not torch.allclose(table[2], table[3])


def test_stretch_keeps_a_table_of_the_same_grid_and_interpolates_another():
    table = sine_cosine(8, 4, 4)[None]
    assert stretch(table, (4, 4), (4, 4)) is table
    constant = torch.full((1, 16, 3), 2.5)
    torch.testing.assert_close(stretch(constant, (4, 4), (6, 2)), torch.full((1, 12, 3), 2.5))
