"""The training loop of continual pre-training, on Avalanche's template.

One step, in order: the method may change the batch (`before_forward`); masked forward pass with noise from
the run's generator "masking"; the method adds to the loss (`before_backward`); gradients; one optimiser for
the whole stream steps. With `micro_batch_size`, all but the optimiser's part happens per micro-batch.

Several processes (`avbench.processes`) take a step together: each has its share of the batch and of every
micro-batch, the contrast is over the clips of all, and gradients are summed before the optimiser steps, so
that they are those of one process with the whole batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from avalanche.core import BasePlugin, BaseSGDPlugin
from avalanche.training.templates.base_sgd import BaseSGDTemplate
from torch import Tensor

from avbench import processes
from avbench.backbone.model import CAVMAE
from avbench.backbone.tokens import MaskNoise
from avbench.clips import ClipBatch
from avbench.errors import InputError, RunError
from avbench.matching import AudioVideoMatching
from avbench.method import Method, check_hooks
from avbench.objectives import MaskedOutput, contrast_without_clips, loss_parts, training_loss
from avbench.randomness import Randomness
from avbench.settings import TrainingSettings
from avbench.steps import LOSSES, StepReport, TrainingObserver, TrainingTime
from avbench.task_free import TaskFree


class Loader(Protocol):
    """Gives a task's clips in batches, in a new order at each iteration, as torch's DataLoader does."""

    def __iter__(self) -> Any: ...

    def __len__(self) -> int: ...

    def after(self, batches: int) -> Any:
        """Iterate without the first `batches`. Asked for by `ContinualPretraining.resume` alone."""


class _NoMetrics(BaseSGDPlugin, supports_distributed=True):  # type: ignore[call-arg]
    """Stands where Avalanche wants an evaluator: its per-experience metrics do not apply to retrieval."""

    def get_last_metrics(self) -> dict[str, float]:
        return {}


class ContinualPretraining(BaseSGDTemplate):
    """Pre-trains a backbone on a stream of tasks with a method: `train(experience)` for each task.

    Args:
        backbone: the model at its start; trained in place.
        matching: the audio-video matching module at its start, or None. Trained in place, and by the same
            optimiser, if the method says `uses_matching`.
        method: the continual learning method.
        settings: of the training.
        randomness: the run's generators.
        make_loader: gives the loader of an experience's clips, in batches of `settings.batch_size`.
        device: where backbone and matching module are moved.
        observer: told of every step when it is over and `avbench.resume.training_state` holds; or None.
        plugins: further Avalanche plugins, which see everything.

    Attributes beside Avalanche's are listed in `avbench.method.Strategy`; `time` holds the totals, and
    `pass_began` the generators' states when the pass over the task's clips began, from which its order
    follows.
    """

    # Avalanche clears both between tasks.
    mbatch: ClipBatch | None
    mb_output: MaskedOutput | None
    mb_noise: MaskNoise | None = None

    def __init__(
        self,
        *,
        backbone: CAVMAE,
        matching: AudioVideoMatching | None,
        method: Method,
        settings: TrainingSettings,
        randomness: Randomness,
        make_loader: Callable[[Any], Loader],
        device: torch.device | str = "cpu",
        observer: TrainingObserver | None = None,
        plugins: Sequence[BasePlugin] = (),
    ) -> None:
        check_hooks(type(method))
        backbone.to(device)
        parameters = list(backbone.parameters())
        if method.uses_matching:
            if matching is None:
                raise InputError(
                    f"{type(method).__name__} trains the audio-video matching module, but there is none: "
                    "start from a checkpoint that has one (avbench pretrain makes it)"
                )
            matching.to(device)
            matching.train()
            parameters += list(matching.parameters())
        super().__init__(
            model=backbone,
            optimizer=torch.optim.Adam(
                parameters,
                lr=settings.learning_rate,
                betas=settings.betas,
                weight_decay=settings.weight_decay,
            ),
            train_mb_size=settings.batch_size,
            train_epochs=settings.epochs,
            device=device,
            plugins=list(plugins),
            evaluator=_NoMetrics(),
        )
        self.settings = settings
        self.randomness = randomness
        self.method = method
        self.observer = observer
        self.time = TrainingTime()
        self.pass_began = randomness.state_dict()
        self._matching = matching
        self._make_loader = make_loader
        self._incoming = 0
        # Clips of all processes in the step and in the micro-batch; this one's share of the step's.
        self._clips = self._clips_of_part = 0
        self._share = 1.0
        # What `criterion` weighs the mean over this process's clips by.
        self._weight = 1.0
        # The clock stays last: it counts a step when all other plugins are done with it.
        plugin = method if method.needs_boundaries else TaskFree(method, self)
        self.plugins.insert(0, plugin)
        self._as_the_method_sees_it: Any = self if isinstance(plugin, Method) else plugin.view
        method.attach(self._as_the_method_sees_it)

    @property
    def matching(self) -> AudioVideoMatching:
        """The audio-video matching module. Raises RunError where the run has none."""
        if self._matching is None:
            raise RunError("this run has no audio-video matching module: its start has none")
        return self._matching

    @property
    def incoming(self) -> int:
        """How many clips of `mbatch`, its first, came from the stream."""
        return self._incoming

    def train(self, experiences: Any, eval_streams: Any = (), **kwargs: Any) -> None:
        """Train on one task, or on several in turn. Retrieval is measured outside: see avbench.evaluation."""
        super().train(experiences, list(eval_streams), **kwargs)

    def resume(self, experience: Any) -> None:
        """Go on in the midst of a task, from the state that `load_training_state` gave.

        Hooks that were called before the state was saved are not called again.
        """
        self.is_training, self._stop_training = True, False
        self.model.train()
        self.experience = experience
        self.train_dataset_adaptation()
        self.make_train_dataloader()
        # The order of the pass is drawn again from where it began; what was drawn in the pass is done.
        now = self.randomness.state_dict()
        self.randomness.load_state_dict(self.pass_began)
        done = self.clock.train_epoch_iterations
        rest = self.dataloader.after(done)
        self.randomness.load_state_dict(now)
        self._train_on(rest, done)
        self._after_training_epoch()
        self._train_exp(experience)
        self._after_training_exp()
        self._after_training()
        self._train_cleanup()

    def step(self, batch: ClipBatch) -> Tensor:
        """Take one optimiser step and return what was minimised, detached (scalar): see `step_losses`."""
        return self.step_losses(batch)[0]

    def step_losses(self, batch: ClipBatch) -> Tensor:
        """Take one optimiser step on clips of the stream and return its losses, detached: those of `LOSSES`.

        Nothing here reads a value back from the device, so that it also runs on fake tensors; of several
        processes each reads which parameters have gradients.

        Args:
            batch: of several processes, this one's share, as `avbench.processes.share` deals it: perhaps
                none. The losses are those of all clips.
        """
        self._before_training_iteration()
        self.optimizer.zero_grad(set_to_none=True)
        self._clips = processes.total(len(batch))
        size = self.settings.micro_batch_size or self._clips
        # One value until there are losses to add it to: what is held meanwhile counts in a step's peak.
        losses = torch.zeros((), device=self.device)
        for start in range(0, self._clips, size):
            end = min(start + size, self._clips)
            part = batch if size >= self._clips else batch[processes.part(start) : processes.part(end)]
            self._clips_of_part, self._share = end - start, len(part) / self._clips
            if len(part):
                losses = losses + self._accumulate_gradients(part) * self._share
            else:
                self._stand_by(part)
        losses = processes.summed(losses.expand(len(LOSSES)))
        processes.sum_gradients(each for group in self.optimizer.param_groups for each in group["params"])
        self._before_update()
        self.optimizer_step()
        self._after_update()
        return losses

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradient of `loss`, weighted by the share of the micro-batch, and free its graph."""
        (loss * self._share).backward()  # type: ignore[no-untyped-call]

    def autocast(self) -> torch.autocast:
        """Return the context in which passes of the model run, a method's own too: the run's precision.

        Nothing else runs in it: joining float16 clips under the CPU's autocast, for one, is an error.
        """
        # The cache of cast weights is off: filled in a pass without gradient, it would hand the weights cut
        # off from their gradient to a pass with it in the same context.
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.settings.precision == "bfloat16",
            cache_enabled=False,
        )

    def training_epoch(self, **kwargs: Any) -> None:
        """Train on every batch of the loader once. Raises RunError at a loss that is not finite."""
        self.pass_began = self.randomness.state_dict()
        self._train_on(iter(self.dataloader), 0)

    def _train_exp(self, experience: Any, eval_streams: Any = (), **kwargs: Any) -> None:
        """Train on the epochs of a task that are not done."""
        for _ in range(self.clock.train_exp_epochs, self.train_epochs):
            self._before_training_epoch(**kwargs)
            if self._stop_training:
                self._stop_training = False
                break
            self.training_epoch(**kwargs)
            self._after_training_epoch(**kwargs)

    def _train_on(self, batches: Iterator[ClipBatch], done: int) -> None:
        """Train on `batches`, the rest of a pass of which `done` are done."""
        before = time.perf_counter()
        for number, batch in enumerate(batches, start=done):
            if self._stop_training:
                break
            loaded = time.perf_counter()
            # Reading the losses waits for the device, so the time below is that of the work.
            values = self.step_losses(batch.to(self.device)).tolist()
            finished = time.perf_counter()
            losses = dict(zip(LOSSES, values, strict=True))
            self._check_finite(losses, number)
            self.time.loading += loaded - before
            self.time.computing += finished - loaded
            self.time.clips += self._clips
            report = StepReport(
                task=self.clock.train_exp_counter,
                epoch=self.clock.train_exp_epochs,
                epochs=self.settings.epochs,
                step=number,
                steps=len(self.dataloader),
                losses=losses,
                clips=self._clips,
                seconds=finished - before,
            )
            self._after_training_iteration()
            self.mbatch, self.mb_output, self.mb_noise = None, None, None
            if self.observer is not None:
                self.observer.on_step(report)
            before = time.perf_counter()

    def forward(self) -> MaskedOutput:
        """Run the masked forward pass on the batch."""
        self.mb_noise = self.model.draw_noise(self.mbatch, self.randomness.torch("masking"))
        with self.autocast():
            output: MaskedOutput = self.model(self.mbatch, self.mb_noise)
        return output

    def criterion(self) -> Tensor:
        """Return reconstruction and weighted contrastive loss of the batch (scalar)."""
        assert self.mb_output is not None
        self._weight = 1.0
        loss = training_loss(self.mb_output, self.settings.contrastive_weight)
        if processes.count() > 1:
            # `accumulate` weighs it by the clips that came in; a method may have joined more in one process.
            clips = len(self.mb_output.contrastive)
            self._weight = clips / processes.total(clips) * self._clips_of_part / self._incoming
            loss = loss * self._weight
        return loss

    def backward(self) -> None:
        """Add the gradient of the batch's loss."""
        self.accumulate(self.loss)

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        """Take the experience's clips as they are."""
        self.adapted_dataset = self.experience.dataset

    def make_train_dataloader(self, **kwargs: Any) -> None:
        """Make the loader of the experience's clips."""
        self.dataloader = self._make_loader(self.experience)

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        """Leave both alone: one model and one optimiser see the whole stream."""

    def model_adaptation(self, model: Any = None) -> Any:
        """Leave the model alone."""
        return self.model if model is None else model

    def eval(self, exp_list: Any, **kwargs: Any) -> None:
        """Raise RunError: a retrieval gallery spans tasks, which Avalanche's evaluation loop cannot."""
        raise RunError("ContinualPretraining does not evaluate: measure retrieval with avbench.evaluation")

    def _make_empty_loss(self) -> Tensor:
        return torch.zeros((), device=self.device)

    def _accumulate_gradients(self, clips: ClipBatch) -> Tensor:
        self.mbatch, self._incoming, self.mb_output, self.mb_noise = clips, len(clips), None, None
        self.loss = self._make_empty_loss()
        self._before_forward()
        self.mb_output = self.forward()
        self._after_forward()
        self.loss = self.loss + self.criterion()
        self._before_backward()
        self.backward()
        loss, output = self.loss.detach(), self.mb_output
        self._after_backward()
        return self._losses(loss, output)

    def _losses(self, loss: Tensor, output: MaskedOutput) -> Tensor:
        """Return the losses of a pass, those of `LOSSES`: after it, when its activations are gone."""
        with torch.no_grad():
            # Computed once more, not from the parts: then it is exactly what a method added to.
            trained = training_loss(output, self.settings.contrastive_weight) * self._weight
            parts = loss_parts(output) * self._weight
        return torch.stack([loss.float(), *parts, (loss - trained).float()])

    def _stand_by(self, clips: ClipBatch) -> None:
        """Without a clip in this micro-batch, take part in what the other processes exchange for theirs.

        In the order of `_accumulate_gradients`.
        """
        self.mbatch, self._incoming, self.mb_output, self.mb_noise = clips, 0, None, None
        self.method.stand_by_forward(self._as_the_method_sees_it)
        self.loss = contrast_without_clips(self.model.size.width, self.device).sum()
        processes.total(0)
        self.method.stand_by_backward(self._as_the_method_sees_it)
        self.loss.backward()  # type: ignore[no-untyped-call]

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        for name, value in losses.items():
            if math.isfinite(value):
                continue
            what = name if name == "loss" else f"loss's part '{name}'"
            raise RunError(
                f"the {what} is {value} at task {self.clock.train_exp_counter + 1}, epoch "
                f"{self.clock.train_exp_epochs + 1}, step {step + 1}: try a smaller learning rate"
                + (", or precision float32" if self.settings.precision == "bfloat16" else "")
            )
