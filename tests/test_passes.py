"""Passes beside the training's own: with other weights, of other clips, without a trace."""

from __future__ import annotations

from typing import Any

import torch

from avbench.method import Method
from avbench.objectives import clip_losses, training_loss
from avbench.passes import masked_losses, masked_pass, parameter_gradients, trained_parameters


def test_a_pass_is_the_training_s_own(pretraining: Any, clips: Any) -> None:
    seen: list[Any] = []

    class Watching(Method):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            output = masked_pass(strategy, strategy.mbatch, strategy.mb_noise)
            seen.append((output, masked_losses(strategy, strategy.mbatch, strategy.mb_noise)))

    strategy = pretraining(Watching(), contrastive_weight=0.3)
    loss = strategy.step(clips(4)).item()
    output, losses = seen[0]
    assert torch.equal(output.audio_pooled, strategy.mb_output.audio_pooled)
    assert torch.equal(losses, clip_losses(strategy.mb_output, 0.3))
    assert losses.mean().item() == loss == training_loss(strategy.mb_output, 0.3).item()


def test_a_pass_with_other_weights(pretraining: Any, clips: Any) -> None:
    strategy, other = pretraining(Method()), pretraining(Method())
    other.step(clips(4, 1))
    batch = clips(3, 2)
    noise = strategy.model.draw_noise(batch, torch.Generator().manual_seed(0))
    weights = {name: value.detach() for name, value in trained_parameters(other.model).items()}
    with torch.no_grad():
        borrowed = masked_losses(strategy, batch, noise, parameters=weights)
        wanted = masked_losses(strategy, batch, noise, model=other.model)
        own = masked_losses(strategy, batch, noise)
    assert torch.equal(borrowed, wanted)
    assert not torch.equal(borrowed, own)


def test_gradients_are_returned_and_not_added(pretraining: Any, clips: Any) -> None:
    strategy, batch = pretraining(Method()), clips(3)
    noise = strategy.model.draw_noise(batch, torch.Generator().manual_seed(0))
    parameters = trained_parameters(strategy.model)
    loss = masked_losses(strategy, batch, noise).mean()
    kept = parameter_gradients(loss, parameters, retain=True)
    assert all(value.grad is None for value in parameters.values())
    loss.backward()
    for value, gradient in zip(parameters.values(), kept, strict=True):
        torch.testing.assert_close(gradient, torch.zeros_like(value) if value.grad is None else value.grad)


def test_pooled_features_are_those_of_the_whole_pass(pretraining: Any, clips: Any) -> None:
    strategy, batch = pretraining(Method()), clips(3)
    noise = strategy.model.draw_noise(batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, pooled = strategy.model(batch, noise), strategy.model.pooled(batch, noise)
        part = strategy.model.pooled(batch[1:], noise.of(slice(1, None)))
    assert torch.equal(pooled.audio, whole.audio_pooled)
    assert torch.equal(pooled.video, whole.video_pooled)
    torch.testing.assert_close(part.audio, pooled.audio[1:])
