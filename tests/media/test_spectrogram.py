import numpy as np
import pytest
import torch

from avbench.media.spectrogram import log_mel, waveform_to_int16
from avbench.store.reading import PUBLISHED_FORMAT, ClipFormat

FORMAT = ClipFormat(seconds=1.0, frames=8, short_side=32, mel_frames=112)


def kaldi_filter_banks(waveform, rate=16_000, bins=128):
    """Log mel filter banks by the definitions of Kaldi (feat/feature-fbank, mel-computations), in NumPy."""

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    length, shift, padded = 400, 160, 512
    frames = np.stack([waveform[at : at + length] for at in range(0, len(waveform) - length + 1, shift)])
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames - 0.97 * before
    frames = frames * np.hanning(length)
    power = np.abs(np.fft.rfft(frames, padded)) ** 2
    edges = np.linspace(mel(20), mel(rate / 2), bins + 2)
    at = mel(np.arange(padded // 2) * rate / padded)
    rising = (at[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at[None]) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    return np.log(np.maximum(power[:, :-1] @ weights.T, np.finfo(np.float32).eps))


def test_values_are_kaldis():
    generator = np.random.default_rng(0)
    waveform = generator.normal(0, 0.1, 16_000) + 0.2
    spectrogram = log_mel(torch.from_numpy(waveform), FORMAT)
    banks = kaldi_filter_banks(waveform - waveform.mean())
    assert spectrogram.shape == (112, 128)
    assert spectrogram[:98].numpy() == pytest.approx((banks + 5.081) / 4.4849, abs=1e-3)


def test_padding_is_zero_before_it_is_normalised():
    spectrogram = log_mel(torch.randn(16_000), FORMAT)
    assert torch.all(spectrogram[98:] == torch.tensor(5.081 / 4.4849))


def test_a_published_clip_has_998_frames_of_1024():
    spectrogram = log_mel(torch.randn(160_000), PUBLISHED_FORMAT)
    assert spectrogram.shape == (1024, 128)
    assert torch.all(spectrogram[998:] == spectrogram[-1, -1])
    assert not torch.all(spectrogram[997] == spectrogram[-1, -1])


def test_a_longer_sound_is_cut():
    waveform = torch.randn(32_000)
    spectrogram = log_mel(waveform - waveform.mean(), FORMAT)
    assert spectrogram.shape == (112, 128)
    assert not torch.any(spectrogram == torch.tensor(5.081 / 4.4849))


def test_the_waveforms_mean_does_not_matter():
    waveform = torch.randn(16_000) * 0.1
    assert torch.allclose(log_mel(waveform, FORMAT), log_mel(waveform + 0.5, FORMAT), atol=1e-2)


def test_silence_is_the_smallest_value():
    assert log_mel(torch.zeros(16_000), FORMAT).min() == pytest.approx((np.log(2**-23) + 5.081) / 4.4849)


def test_samples_become_16_bits_and_are_clipped():
    floats = torch.tensor([0.0, 0.5, -1.0, 1.0, 2.0, -2.0])
    assert waveform_to_int16(floats).tolist() == [0, 16384, -32768, 32767, 32767, -32768]
