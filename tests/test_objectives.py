import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from avbench.objectives import (
    MaskedOutput,
    clip_losses,
    contrastive_losses,
    normalise_patches,
    reconstruction_losses,
    training_loss,
)


def features(clips=5, width=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clips, width, generator=generator), torch.randn(clips, width, generator=generator)


def test_contrast_by_hand():
    # Two clips at right angles: every right answer beats the wrong one by 1 / temperature.
    losses = contrastive_losses(3 * torch.eye(2), 5 * torch.eye(2), temperature=0.5)
    torch.testing.assert_close(losses, torch.full((2,), math.log(1 + math.exp(-2))))


def test_contrast_is_both_directions_averaged():
    audio, video = features()
    similarity = F.normalize(video, dim=1) @ F.normalize(audio, dim=1).T / 0.05
    to_audio = -similarity.log_softmax(dim=1).diagonal()
    to_video = -similarity.log_softmax(dim=0).diagonal()
    torch.testing.assert_close(contrastive_losses(audio, video), (to_audio + to_video) / 2)
    torch.testing.assert_close(contrastive_losses(audio, video), contrastive_losses(video, audio))


def test_contrast_stays_in_float32_under_mixed_precision():
    audio, video = features()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = contrastive_losses(audio, video)
    torch.testing.assert_close(mixed, contrastive_losses(audio, video), rtol=0, atol=0)


def test_reconstruction_is_of_patches_with_their_own_mean_and_deviation():
    patches = torch.tensor([[[1.0, 2, 3, 4], [5, 5, 5, 5]]])
    normalised = normalise_patches(patches)
    deviation = math.sqrt(5 / 3 + 1e-6)  # unbiased
    torch.testing.assert_close(normalised[0, 0], torch.tensor([-1.5, -0.5, 0.5, 1.5]) / deviation)
    torch.testing.assert_close(normalised[0, 1], torch.zeros(4))
    torch.testing.assert_close(reconstruction_losses(normalised + 2, patches), torch.tensor([4.0]))


def test_training_loss_weighs_contrast():
    output = MaskedOutput(
        audio_reconstruction=torch.tensor([1.0, 2.0]),
        video_reconstruction=torch.tensor([3.0, 5.0]),
        contrastive=torch.tensor([10.0, 30.0]),
        audio_pooled=torch.zeros(2, 4),
        video_pooled=torch.zeros(2, 4),
    )
    torch.testing.assert_close(clip_losses(output), torch.tensor([5.0, 10.0]))
    assert training_loss(output).item() == pytest.approx(7.5)
    assert training_loss(output, contrastive_weight=0).item() == pytest.approx(5.5)


PROCESS = """
import sys, torch, torch.distributed as dist
from avbench.objectives import contrastive_losses
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}/meet", rank=rank, world_size=2)
audio, video = torch.load(f"{store}/features.pt")
audio, video = (whole[3 * rank : 3 * rank + 3].clone().requires_grad_() for whole in (audio, video))
losses = contrastive_losses(audio, video)
losses.sum().backward()
torch.save((losses.detach(), audio.grad, video.grad), f"{store}/{rank}.pt")
dist.barrier()  # one that leaves early aborts the other
dist.destroy_process_group()
"""


def test_contrast_over_two_processes_is_that_of_one_batch_gradient_included(tmp_path):
    audio, video = features(clips=6)
    torch.save((audio, video), tmp_path / "features.pt")
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), str(tmp_path)]) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]

    audio.requires_grad_()
    video.requires_grad_()
    losses = contrastive_losses(audio, video)
    losses.sum().backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for whole, part in zip((losses.detach(), audio.grad, video.grad), zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(part), whole)
