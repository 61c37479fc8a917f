"""The log-mel spectrogram, as STELLA's published pipeline computes it (data/transforms/audio.py there).

It is CAV-MAE's: Kaldi filter banks as in HTK, Hanning windows of 25 ms every 10 ms, 128 bins, no dither,
no energy; the waveform's mean is taken out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchaudio.compliance import kaldi

if TYPE_CHECKING:
    from avbench.store.reading import ClipFormat

# Mean and deviation of log-mel values, as published for AudioSet. Silence that pads a spectrogram is 0
# before they are taken out, so it is 1.133 after.
LOG_MEL_MEAN = -5.081
LOG_MEL_STD = 4.4849


def log_mel(waveform: Tensor, format: ClipFormat) -> Tensor:
    """Return the normalised log-mel spectrogram of a clip's sound.

    Args:
        waveform: (samples,) floats in -1..1 at `format.sample_rate`; at least one window of 25 ms.
        format: gives the sample rate, the bins and the number of frames; a spectrogram that is shorter
            is padded with zeros before it is normalised, a longer one is cut.

    Returns:
        float32 (format.mel_frames, format.mel_bins).
    """
    centred = waveform.float() - waveform.float().mean()
    banks = kaldi.fbank(
        centred[None],
        htk_compat=True,
        sample_frequency=float(format.sample_rate),
        use_energy=False,
        window_type="hanning",
        num_mel_bins=format.mel_bins,
        dither=0.0,
        frame_length=25.0,
        frame_shift=10.0,
    )
    spectrogram = torch.zeros(format.mel_frames, format.mel_bins)
    kept = min(len(banks), format.mel_frames)
    spectrogram[:kept] = banks[:kept]
    return (spectrogram - LOG_MEL_MEAN) / LOG_MEL_STD


def waveform_to_int16(waveform: Tensor) -> Tensor:
    """Return floats in -1..1 as 16-bit samples, clipped at full scale; `/ 32768` undoes it."""
    return (waveform.float() * 32768).round().clamp(-32768, 32767).to(torch.int16)
