"""Methods side by side by what a training step needs, and by what the paper measured.

The paper's figures are one V100's whole memory in use, with attention that writes out its token x token
matrices. Ratios between methods are what can be compared, and those with materialised attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from avbench.backbone.sizes import BACKBONES
from avbench.clips import ClipGeometry
from avbench.method import Method
from avbench.published import PUBLISHED_NAMES, published_costs
from avbench.settings import TrainingSettings
from avbench.step_memory import Attention, StepMemory, step_memory

REFERENCE = "er"
ATTENTIONS: tuple[Attention, ...] = ("fused", "materialised")
_PUBLISHED_BACKBONE = "base"


@dataclass(frozen=True)
class MethodMemory:
    """One method's needs.

    Attributes:
        strategy: its name.
        steps: what a step needs, by kind of attention.
        published_gigabytes: peak memory in the paper; None where the paper has no figure for this method
            at this backbone, geometry and batch.
    """

    strategy: str
    steps: Mapping[Attention, StepMemory]
    published_gigabytes: float | None


def method_memory(
    strategy: str,
    make_method: Callable[[], Method],
    *,
    backbone: str,
    geometry: ClipGeometry,
    settings: TrainingSettings,
    attentions: Sequence[Attention] = ATTENTIONS,
) -> MethodMemory:
    """Measure one method without running it.

    Raises:
        RunError: it cannot be measured that way; the message names it and why.
    """
    steps = {
        attention: step_memory(
            make_method, size=BACKBONES[backbone], geometry=geometry, settings=settings, attention=attention
        )
        for attention in attentions
    }
    return MethodMemory(strategy, steps, _published(strategy, backbone, geometry, settings))


def _published(
    strategy: str, backbone: str, geometry: ClipGeometry, settings: TrainingSettings
) -> float | None:
    cost = published_costs().get(PUBLISHED_NAMES.get(strategy, ""))
    alike = (
        backbone == _PUBLISHED_BACKBONE
        and geometry == ClipGeometry()
        and settings.micro_batch_size is None
        and settings.precision == "float32"
    )
    return cost.gigabytes if cost and alike and cost.batch_size == settings.batch_size else None
