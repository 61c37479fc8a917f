"""The sentences below a table of runs, without which its numbers cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from avbench.comparison import Comparison, on_one_machine
from avbench.statistics.estimates import interval_words

Forgetting = Literal["standard", "published"]
FORGETTING: dict[str, Forgetting] = {"standard": "standard", "published": "published"}
"""Definitions of F, by the names a person gives."""


@dataclass(frozen=True)
class Notes:
    """Sentences that a reader needs to read the numbers: about clips, scores, marks at names, and costs."""

    clips: tuple[str, ...]
    scores: tuple[str, ...]
    marks: tuple[str, ...]
    costs: tuple[str, ...]


def table_notes(
    comparison: Comparison, forgetting: Forgetting, left_out: Sequence[str] | None = None
) -> Notes:
    """Return what must be said of the table of `comparison`, with this definition of F.

    Args:
        comparison: of the table.
        forgetting: the definition.
        left_out: where only methods at their defaults are wanted, labels of the entries that are not.
    """
    example, entries = comparison.example, comparison.entries
    chance = ", ".join(f"{metric} {value:.2f}" for metric, value in example.chance.items())
    intervals = interval_words(len(entry.runs) for entry in entries)
    rendered = (
        "The clips are rendered: these are not results on VGGSound or AudioSet, nor comparable with any."
    )
    scores = [
        f"Zero-shot retrieval over a gallery of {example.gallery} clips after {len(example.tasks)} tasks, "
        f"percent; chance: {chance}.",
        "A: average accuracy; F: average forgetting"
        + (", as the published script computes it" if forgetting == "published" else "")
        + f". Mean ± {intervals}. Best in bold, second underlined.",
    ]
    if any(entry.missing or entry.unfinished for entry in entries):
        scores.append("Methods that lack seeds are not ranked.")
    if left_out is not None:
        others = [entry.label for entry in entries if not entry.at_defaults]
        scores.append(
            "Methods are at the defaults of their options"
            + (f", but for those that were not run so: {', '.join(others)}" if others else "")
            + (f"; left out: {', '.join(left_out)}." if left_out else ".")
        )
    marks = {
        "‡ trains on all tasks at once: an upper bound, not ranked, without forgetting.": [
            entry.joint for entry in entries
        ],
        "† is told where tasks begin and end.": [entry.needs_boundaries for entry in entries],
        "§ retrieval is measured with a slow copy of the model that the method keeps.": [
            entry.evaluates_copy for entry in entries
        ],
    }
    where = "" if on_one_machine(comparison) else ", measured on different machines"
    costs = (
        "Memory: rehearsal memory and other state kept between steps; the peak of a training step counts "
        "parameters, gradients, optimiser state, other state, batch and activations. Clips/s: clips of the "
        f"stream per second of training{where}."
    )
    return Notes(
        clips=(rendered,) if example.rendered else (),
        scores=tuple(scores),
        marks=tuple(note for note, holds in marks.items() if any(holds)),
        costs=(costs,),
    )
