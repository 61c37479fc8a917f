"""What a run finds: losses of an epoch, over a stop too."""

from __future__ import annotations

from avbench.findings import Findings
from avbench.steps import StepReport


def step(findings: Findings, epoch: int, **losses: float) -> None:
    findings.on_step(StepReport(0, epoch, 2, 0, 3, losses, clips=4, seconds=1.0))


def test_losses_are_means_over_the_steps_of_an_epoch_over_a_stop_too() -> None:
    begun, resumed = Findings(), Findings()
    step(begun, 0, loss=5.0, contrast=1.0)
    step(begun, 1, loss=1.0, contrast=4.0)
    resumed.go_on_from(begun.state())
    step(resumed, 1, loss=3.0, contrast=8.0)
    assert resumed.mean_losses(0, 0) == {"loss": 5, "contrast": 1}
    assert resumed.mean_losses(0, 1) == {"loss": 2, "contrast": 6}


def test_a_checkpoint_of_before_there_were_parts_is_gone_on_from() -> None:
    old = Findings().state() | {"losses": {(0, 0): (6.0, 3), (0, 1): (1.0, 1)}}
    findings = Findings()
    findings.go_on_from(old)
    step(findings, 1, loss=3.0, contrast=8.0)
    step(findings, 2, loss=7.0, contrast=9.0)
    assert findings.mean_losses(0, 0) == {"loss": 2}
    # A mean over part of the epoch would be none.
    assert findings.mean_losses(0, 1) == {"loss": 2}
    assert findings.mean_losses(0, 2) == {"loss": 7, "contrast": 9}
