"""Gradient-based memory editing (GMED): rehearse clips edited to be forgotten sooner, and keep the edits.

Source: Jin et al., NeurIPS 2021, arXiv 2006.15294, equations 2 to 4; the authors' INK-USC/GMED,
ocl/ver_approx.py; published comparison G-JWLee/STELLA_code, models/cl_methods/gmed.py. A sampled clip x moves
along the gradient of

    loss(x; virtual step on the incoming clips) - loss(x) - regulariser x loss(x)

is written back, and rehearsed as it is now. Pixels and spectrogram values are both edited.

Where sources differ: the paper takes the regulariser's loss off, so that edited clips stay learnable; both
code bases add it (a sign lost by negating twice). We follow the paper. The gradient is that of the mean loss
of the sampled clips, as in both code bases, for which the stride was chosen. Stride shrinks by `edit_decay`
with each earlier edit of a clip; the published comparison never counts the edits, so its strides do not
shrink, which is what the default of 1 does. Of several processes each edits clips of its part of the memory;
the step they try is one of all, and so is the mean.

An edited pixel is no byte any more: frames are stored normalised, as float16, in twice the bytes.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avbench import processes
from avbench.backbone import MaskNoise
from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.passes import masked_losses, trained_parameters
from avbench.rehearsal import RehearsalMemory
from avbench.virtual_step import step_on_incoming


class GMED(Method):
    """Rehearse as ER does, but first edit the sampled clips towards what a step would make them lose.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        stride: length of an edit, in units of the gradient.
        regulariser: weight of the clip's own loss, which an edit lowers.
        edit_decay: factor on the stride for each earlier edit of a clip, above 0 and at most 1.
    """

    paper = "Gradient-based Editing of Memory Examples for Task-free CL, NeurIPS 2021, arXiv 2006.15294"
    over_processes = True

    def __init__(
        self,
        *,
        capacity: Capacity = 2000,
        stride: float = 0.1,
        regulariser: float = 0.05,
        edit_decay: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= stride < float("inf"):
            raise InputError(f"stride={stride} is not a length: give 0 or more")
        if not 0 <= regulariser < float("inf"):
            raise InputError(f"regulariser={regulariser} is not a weight: give 0 or more")
        if not 0 < edit_decay <= 1:
            raise InputError(
                f"edit_decay={edit_decay} is no factor that shrinks: give more than 0, at most 1"
            )
        self.stride, self.regulariser, self.edit_decay = stride, regulariser, edit_decay
        self.memory = RehearsalMemory(capacity)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join edited clips to the incoming ones, and offer those to the memory."""
        incoming = strategy.mbatch = strategy.mbatch.normalised()
        after_step = self._step_on_incoming(strategy)
        if after_step is not None:
            slots = self.memory.sample_slots(len(incoming)) if self.memory else torch.zeros(0).long()
            clips_of_all = processes.total(len(slots))
            if len(slots):
                rehearsed = self.edited(strategy, self.memory.read(slots), after_step, clips_of_all)
                self.memory.write(slots, rehearsed)
                strategy.mbatch = incoming + rehearsed
        edits = torch.zeros(len(incoming), dtype=torch.int32, device=incoming.device)
        self.memory.add(incoming.with_extras(edits=edits))

    def stand_by_forward(self, strategy: Strategy) -> None:
        """Take part in the step that the processes with clips try, and edit nothing."""
        if self._step_on_incoming(strategy) is not None:
            processes.total(0)

    def _step_on_incoming(self, strategy: Strategy) -> dict[str, Tensor] | None:
        generator = self.generator("virtual step")
        return step_on_incoming(strategy, generator, wanted=bool(self.memory))

    def edited(
        self, strategy: Strategy, rehearsed: ClipBatch, after_step: dict[str, Tensor], clips_of_all: int
    ) -> ClipBatch:
        """Return `rehearsed`, moved along the gradient of what a step costs them.

        Args:
            strategy: of the run.
            rehearsed: (n) sampled clips.
            after_step: the parameters, by name, that the step would leave.
            clips_of_all: that all processes rehearse, over which the loss is averaged; n of one.
        """
        noise = strategy.model.draw_noise(rehearsed, self.generator("rehearsed"))
        parameters = {name: value.detach() for name, value in trained_parameters(strategy.model).items()}
        share = len(rehearsed) / clips_of_all
        before = _input_gradient(strategy, rehearsed, noise, parameters, share)
        after = _input_gradient(strategy, rehearsed, noise, after_step, share)
        edits = rehearsed.extras["edits"]
        length = (self.stride * self.edit_decay ** edits.float())[:, None, None]
        video, audio = (
            clip.float() + length * (risen - (1 + self.regulariser) * own)
            for clip, risen, own in zip((rehearsed.video, rehearsed.audio), after, before, strict=True)
        )
        return replace(rehearsed, video=video, audio=audio).with_extras(edits=edits + 1)


def _input_gradient(
    strategy: Strategy, clips: ClipBatch, noise: MaskNoise, parameters: dict[str, Tensor], share: float
) -> tuple[Tensor, Tensor]:
    """The gradient of `share` x the clips' mean loss for their own video and audio patches, in float32."""
    # Detached first: a float32 tensor would be marked itself.
    video, audio = (patches.detach().float().requires_grad_() for patches in (clips.video, clips.audio))
    inputs = replace(clips, video=video, audio=audio)
    loss = masked_losses(strategy, inputs, noise, parameters=parameters).mean() * share
    video_gradient, audio_gradient = torch.autograd.grad(loss, [video, audio])
    return video_gradient, audio_gradient
