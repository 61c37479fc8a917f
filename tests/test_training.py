"""The training loop: what a step computes, in which order, and that it can be trusted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from avbench.backbone import BACKBONES, CAVMAE
from avbench.errors import InputError, RunError
from avbench.method import STEP_HOOKS, Method
from avbench.objectives import training_loss
from avbench.randomness import Randomness
from avbench.registry import catalogue
from avbench.settings import TrainingSettings
from avbench.steps import LOSSES
from avbench.training import ContinualPretraining

METHODS = sorted(catalogue("strategy").plugins)


def method_called(name: str) -> Method:
    cls = catalogue("strategy").get(name).cls
    method = cls(capacity=6) if "capacity" in {option.name for option in cls.options()} else cls()
    assert isinstance(method, Method)
    return method


def losses_of(strategy: Any) -> list[float]:
    return [report.loss for report in strategy.reports]


def test_a_step_is_that_of_a_bare_loop(pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy = pretraining(Method(), learning_rate=1e-3, contrastive_weight=0.3)
    batches = [clips(4, seed) for seed in range(3)]
    losses = [strategy.step(batch).item() for batch in batches]

    backbone, generator = CAVMAE(BACKBONES["tiny"], geometry), Randomness(0).torch("masking")
    optimiser = torch.optim.Adam(backbone.parameters(), lr=1e-3, betas=(0.95, 0.999), weight_decay=5e-7)
    expected = []
    for batch in batches:
        loss = training_loss(backbone(batch, backbone.draw_noise(batch, generator)), 0.3)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        expected.append(loss.item())

    assert losses == expected
    for ours, theirs in zip(strategy.model.parameters(), backbone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_micro_batches_accumulate_the_gradient_of_their_mean(
    pretraining: Any, clips: Any, geometry: Any
) -> None:
    """Five clips two at a time: the last pass has one clip, and counts as one of five."""
    strategy, batch = pretraining(Method(), batch_size=5, micro_batch_size=2), clips(5)
    loss = strategy.step(batch).item()

    backbone, generator = CAVMAE(BACKBONES["tiny"], geometry), Randomness(0).torch("masking")
    total = torch.zeros(())
    for part in (batch[:2], batch[2:4], batch[4:]):
        output = backbone(part, backbone.draw_noise(part, generator))
        total = total + training_loss(output) * len(part) / 5
    total.backward()  # type: ignore[no-untyped-call]
    assert loss == pytest.approx(total.item(), abs=1e-6)
    for ours, theirs in zip(strategy.model.parameters(), backbone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("added", [0.0, 0.25])
def test_a_step_tells_the_parts_of_its_loss(
    added: float, pretraining: Any, clips: Any, geometry: Any, task: Any
) -> None:
    """Of five clips two at a time: the last pass counts as one of five."""

    class Adding(Method):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            strategy.loss = strategy.loss + added

    settings = {"batch_size": 5, "micro_batch_size": 2, "epochs": 1, "contrastive_weight": 0.3}
    strategy, batch = pretraining(Adding(), **settings), clips(5)
    strategy.train(task([batch]))

    backbone, generator = CAVMAE(BACKBONES["tiny"], geometry), Randomness(0).torch("masking")
    outputs = [
        backbone(part, backbone.draw_noise(part, generator)) for part in (batch[:2], batch[2:4], batch[4:])
    ]
    audio, video, contrast = (
        torch.cat([getattr(output, name) for output in outputs]).mean().item()
        for name in ("audio_reconstruction", "video_reconstruction", "contrastive")
    )
    (report,) = strategy.reports
    loss = audio + video + 0.3 * contrast + added
    assert list(report.losses) == list(LOSSES)
    assert list(report.losses.values()) == pytest.approx([loss, audio, video, contrast, added], rel=1e-5)
    assert report.loss == report.losses["loss"]
    # Not a rounding error, where nothing is added.
    assert (report.losses["added by the method"] == 0) == (added == 0)


def test_hooks_come_in_order_and_once_per_micro_batch(pretraining: Any, clips: Any, task: Any) -> None:
    called: list[str] = []

    def hook(name: str) -> Any:
        return lambda self, strategy, **kwargs: called.append(name)

    method = type("Recording", (Method,), {name: hook(name) for name in STEP_HOOKS})()
    pretraining(method, epochs=1, micro_batch_size=2).train(task([clips(4)]))
    forward = ["before_forward", "after_forward", "before_backward", "after_backward"]
    update = ["before_update", "after_update", "after_training_iteration"]
    assert called == ["before_training_iteration", *forward, *forward, *update]


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_losses(name: str, pretraining: Any, clips: Any, task: Any) -> None:
    """Over two tasks with one-clip and last short batches, starting with an empty memory."""
    batches = [[clips(1, 1), clips(4, 2), clips(3, 3)], [clips(4, 4), clips(4, 5), clips(1, 6)]]
    runs = []
    for seed in (0, 0, 1):
        strategy = pretraining(method_called(name), seed=seed)
        for stream in batches:
            strategy.train(task(stream))
        runs.append(losses_of(strategy))
    first, again, other = runs
    assert len(first) == 12
    assert all(math.isfinite(loss) for loss in first)
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_learns_under_bfloat16_and_stays_float32(
    name: str, pretraining: Any, clips: Any
) -> None:
    """A method's pass without gradient must not cut the weights off from theirs (autocast's cache)."""
    precise, mixed = (
        pretraining(method_called(name), precision=precision) for precision in ("float32", "bfloat16")
    )
    for strategy in (precise, mixed):
        strategy.first_loss = strategy.step(clips(4, 0)).item()
        strategy.step(clips(4, 1))
    assert mixed.first_loss == pytest.approx(precise.first_loss, rel=0.02)
    for (path, ours), theirs in zip(mixed.model.named_parameters(), precise.model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert (ours.grad is None) == (theirs.grad is None), path
    trained = list(mixed.matching.parameters()) if mixed.method.uses_matching else []
    assert all(parameter.grad is not None for parameter in trained)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", METHODS)
def test_runs_on_a_gpu(name: str, pretraining: Any, clips: Any, task: Any) -> None:
    strategies = [pretraining(method_called(name), device=device) for device in ("cpu", "cuda")]
    for strategy in strategies:
        strategy.train(task([clips(1, 1), clips(4, 2), clips(3, 3)]))
    assert losses_of(strategies[1])[:2] == pytest.approx(losses_of(strategies[0])[:2], rel=1e-3)


def test_one_optimiser_sees_the_whole_stream(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(Method(), epochs=3)
    optimiser = strategy.optimizer
    for _ in range(2):
        strategy.train(task([clips(2), clips(2)]))
    assert strategy.optimizer is optimiser
    assert {int(state["step"]) for state in optimiser.state.values()} == {12}


def test_the_matching_module_is_trained_for_methods_that_use_it_alone(
    pretraining: Any, geometry: Any
) -> None:
    class Matches(Method):
        uses_matching = True

    for method in (Method(), Matches()):
        strategy = pretraining(method)
        (group,) = strategy.optimizer.param_groups
        optimised = {id(parameter) for parameter in group["params"]}
        assert all(
            (id(value) in optimised) == method.uses_matching for value in strategy.matching.parameters()
        )
        assert all(id(value) in optimised for value in strategy.model.parameters())

    def without_matching(method: Method) -> ContinualPretraining:
        return ContinualPretraining(
            backbone=CAVMAE(BACKBONES["tiny"], geometry),
            matching=None,
            method=method,
            settings=TrainingSettings(),
            randomness=Randomness(0),
            make_loader=lambda experience: [],
        )

    with pytest.raises(InputError, match="Matches trains the audio-video matching module"):
        without_matching(Matches())
    with pytest.raises(RunError, match="no audio-video matching module"):
        without_matching(Method()).matching  # noqa: B018


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(
    value: float, pretraining: Any, clips: Any, task: Any
) -> None:
    class Breaking(Method):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            if strategy.clock.train_iterations == 7:
                strategy.loss = strategy.loss + value

    strategy = pretraining(Breaking())
    strategy.train(task([clips(2), clips(2)]))
    with pytest.raises(RunError, match=f"the loss is {value} at task 2, epoch 2, step 2"):
        strategy.train(task([clips(2), clips(2)]))


def test_a_part_of_the_loss_that_is_not_finite_stops_the_run_too(
    pretraining: Any, clips: Any, task: Any
) -> None:
    class Overlooking(Method):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            strategy.mb_output.contrastive = strategy.mb_output.contrastive * math.nan

    with pytest.raises(RunError, match="the loss's part 'contrast' is nan at task 1, epoch 1, step 1"):
        pretraining(Overlooking()).train(task([clips(2)]))


def test_the_observer_is_told_of_every_step(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(method_called("er"))
    for _ in range(2):
        strategy.train(task([clips(4), clips(3)]))
    where = [(report.task, report.epoch, report.step, report.clips) for report in strategy.reports]
    assert where == [
        (task_number, epoch, step, (4, 3)[step])
        for task_number in range(2)
        for epoch in range(2)
        for step in range(2)
    ]
    assert {(report.epochs, report.steps) for report in strategy.reports} == {(2, 2)}
    assert strategy.time.clips == 28
    spent = sum(report.seconds for report in strategy.reports)
    assert strategy.time.loading + strategy.time.computing == pytest.approx(spent)
    assert strategy.time.clips_per_second == pytest.approx(28 / spent)


def test_retrieval_is_not_measured_here(pretraining: Any) -> None:
    with pytest.raises(RunError, match=r"avbench\.evaluation"):
        pretraining(Method()).eval([])
