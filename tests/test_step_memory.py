"""The peak of a method's training step: the same on fake and real tensors, and what it consists of."""

from __future__ import annotations

import pytest
import torch

from avbench.backbone import BackboneSize
from avbench.clips import ClipGeometry
from avbench.errors import RunError
from avbench.method import Method
from avbench.registry import catalogue
from avbench.settings import TrainingSettings
from avbench.step_memory import step_memory

METHODS = catalogue("strategy").plugins
# Narrow, so that activations weigh more than the optimiser's temporaries, as at the paper's size.
SIZE = BackboneSize(32, 2, 1, 1, decoder_width=16, decoder_heads=2, decoder_blocks=1)
GEOMETRY = ClipGeometry(frames=2, frame_size=64, mel_frames=128, mel_bins=64)
SETTINGS = TrainingSettings(batch_size=4)


def measure(method, **changes):
    given = {"size": SIZE, "geometry": GEOMETRY, "settings": SETTINGS} | changes
    return step_memory(method, **given)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_fake_tensors_need_what_real_ones_need(name):
    method = METHODS[name].cls
    assert measure(method, fake=True) == measure(method, fake=False)


def test_rehearsal_takes_as_much_as_a_batch_twice_as_large():
    rehearsing = measure(METHODS["er"].cls)
    larger = measure(METHODS["finetune"].cls, settings=TrainingSettings(batch_size=8))
    once = measure(METHODS["finetune"].cls)
    assert once.peak < larger.peak
    # The batch of the stream waits beside the joined one.
    assert 0 < rehearsing.peak - larger.peak < 0.1 * larger.peak


def test_a_step_needs_at_least_what_is_held():
    needed = measure(METHODS["er"].cls)
    held = needed.account
    assert needed.peak > held.parameters + held.gradients + held.optimiser_state
    assert needed.measured_by == "live tensors"


def test_the_rehearsal_memory_is_accounted_full_and_outside_the_step():
    er = METHODS["er"].cls
    small, large = (measure(lambda size=size: er(capacity=size)) for size in (10, 1000))
    assert large.account.rehearsal_memory == 100 * small.account.rehearsal_memory
    assert large.peak == small.peak


def test_materialised_attention_needs_more():
    method = METHODS["er"].cls
    assert measure(method, attention="materialised").peak > measure(method).peak


class ReadsValues(Method):
    """Reads a value out of a tensor."""

    def before_forward(self, strategy, **kwargs):
        if strategy.mbatch.audio.sum().item() > 0:
            strategy.mbatch = strategy.mbatch[:2]


def test_a_method_that_reads_values_is_refused_by_name_and_measured_for_real():
    with pytest.raises(RunError, match=r"ReadsValues cannot be measured without running it.*\.item\(\)"):
        measure(ReadsValues)
    assert measure(ReadsValues, fake=False).peak > 0


def test_measuring_leaves_torch_as_it_was():
    before = torch.nn.Module.to
    measure(METHODS["finetune"].cls)
    assert torch.nn.Module.to is before
    assert type(torch.zeros(1)) is torch.Tensor


def test_fake_tensors_are_on_the_cpu():
    with pytest.raises(ValueError, match="fake=False"):
        measure(METHODS["finetune"].cls, device="cuda")


class _Anchored(Method):
    """Pull the weights to those at the end of the task before, set aside between tasks."""

    needs_boundaries = True

    def before_training_exp(self, strategy, **kwargs):
        """Count tasks."""
        self.task = strategy.experience.current_experience

    def before_backward(self, strategy, **kwargs):
        """Add the distance to the anchor, from the second task on."""
        if self.task > 0:
            pairs = zip(strategy.model.parameters(), self.anchor, strict=True)
            strategy.loss = strategy.loss + sum((now - then).square().sum() for now, then in pairs)

    def after_training_exp(self, strategy, **kwargs):
        """Set the anchor."""
        self.anchor = [value.detach().clone() for value in strategy.model.parameters()]


def test_a_method_that_needs_boundaries_is_told_of_tasks():
    needed = measure(_Anchored, fake=True)
    assert needed == measure(_Anchored, fake=False)
    assert needed.account.other_state == needed.account.parameters
