"""The list of checks, and all of them on one method."""

from __future__ import annotations

from collections.abc import Callable

from avbench.method import Method
from avbench.testing import declaration, in_training, what_is_kept
from avbench.testing.finding import Check, Finding
from avbench.testing.hands_off import hands_off
from avbench.testing.several_processes import several_processes

# Where one of these fails, those after it could only fail for the same reason.
_FIRST: list[Callable[[type[Method]], None]] = [
    declaration.hooks,
    declaration.constructs,
    in_training.trains,
]
CHECKS: list[Check] = [
    Check(function)
    for function in (
        *_FIRST,
        declaration.described,
        declaration.refuses_nonsense,
        in_training.same_seed,
        in_training.no_global_generator,
        in_training.task_free,
        in_training.one_clip,
        in_training.short_batch,
        in_training.micro_batches,
        in_training.bfloat16,
        in_training.gpu,
        in_training.measured_without_running,
        in_training.evaluated,
        hands_off,
        several_processes,
        what_is_kept.clips_within_capacity,
        what_is_kept.bytes_within_capacity,
        what_is_kept.nothing_left_of_a_step,
        what_is_kept.every_tensor_counted,
        what_is_kept.model_copies,
        what_is_kept.explains,
        what_is_kept.state_in_mid_task,
        what_is_kept.state_between_tasks,
    )
]
"""Every check, in the order in which they are reported; each can be called with a method's class."""


def check_strategy(method: type[Method]) -> list[Finding]:
    """Return what every check finds about a method's class, made with its defaults at tiny sizes.

    Where hooks, construction or training fail, the checks after that are not tried, and say so.
    """
    findings: list[Finding] = []
    failed: Finding | None = None
    for check in CHECKS:
        if failed is not None:
            reason = f"not tried, as {failed.check} failed"
            findings.append(Finding(check.name, check.sentence, "not applicable", reason))
            continue
        found = check.find(method)
        findings.append(found)
        if found.outcome == "failed" and check.function in _FIRST:
            failed = found
    return findings
