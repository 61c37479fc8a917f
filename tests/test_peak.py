"""The peak of live bytes: cases that can be counted by hand, and the allocator's own count."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from avbench.accounting import model_tensors, optimiser_tensors
from avbench.peak import LiveBytes, peak_of_step

FLOAT = 4


def test_storages_count_once_and_until_their_last_view_dies():
    start = torch.zeros(10)
    with LiveBytes() as live:
        made = start + 1
        view = made[2:].reshape(4, 2)
        assert live.now == 10 * FLOAT
        del made
        assert live.now == 10 * FLOAT
        del view
        assert live.now == 0
    assert live.peak == 10 * FLOAT


def test_resident_tensors_count_from_the_start_and_ignored_ones_never():
    weights, memory = torch.zeros(8), torch.zeros(1000)

    def step() -> None:
        memory[:4] = weights[:4] + 1  # 16 bytes for the sum
        memory.mul_(2)

    assert peak_of_step(step, resident=[weights, weights[2:]], ignored=[memory]) == 8 * FLOAT + 4 * FLOAT


@pytest.mark.parametrize("fake", [False, True])
def test_forward_and_backward_of_two_linear_maps(fake):
    batch, inputs, hidden = 5, 7, 11
    with FakeTensorMode() if fake else contextlib.nullcontext():
        first, second = nn.Linear(inputs, hidden, bias=False), nn.Linear(hidden, 1, bias=False)
        clips = torch.zeros(batch, inputs)
        resident = [first.weight, second.weight, clips]

        def step() -> None:
            second(first(clips)).sum().backward()

        peak = peak_of_step(step, resident=resident)
    held = inputs * hidden + hidden + batch * inputs
    # At the last product: gradients of both weights, of the hidden activations (these themselves are gone),
    # and the loss and its gradient 1, which `backward` holds until it returns.
    assert peak == FLOAT * (held + inputs * hidden + hidden + batch * hidden + 1 + 1)


def test_agrees_with_the_allocator_to_the_byte():
    """Over the same step, torch's profiler reports every allocation and release of the CPU allocator."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True, dropout=0.0)
    model = nn.Sequential(layer, nn.Linear(32, 10))
    optimiser = torch.optim.Adam(model.parameters())
    clips = torch.randn(4, 20, 32)

    def step() -> None:
        optimiser.zero_grad()
        model(clips).square().mean().backward()
        optimiser.step()

    step()
    gradients = [parameter.grad for parameter in model.parameters()]
    resident = [*model_tensors([model]), *optimiser_tensors(optimiser), *gradients, clips]
    # Only the change is compared: the allocator does not tell what was there before.
    held = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in resident}
    peak = peak_of_step(step, resident=resident) - sum(held.values())

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    now = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    assert peak == most


def test_a_tensor_that_is_not_strided_is_refused():
    with LiveBytes(), pytest.raises(NotImplementedError, match="sparse"):
        torch.eye(3).to_sparse()
