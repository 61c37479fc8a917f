"""Defaults of a run's settings that hold on every machine; needs no torch.

`avbench.configuration` adds what depends on the machine (device, threads), `avbench.settings` has those of
training, by backbone, and a plugin's signature those of its options.
"""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "strategy": "avcl",
    "scenario": "vggsound-stream",
    "seed": 0,
    "backbone": "tiny",
    "memory": None,
    "data": None,
    "start": "shipped",
    "frames": 4,
    "frame_size": None,
    "window": None,
    "augment": None,
    "workers": 0,
    "plugins": [],
    "strategy_options": {},
    "scenario_options": {},
}

PUBLISHED_WINDOW = 0.4
"""Share of a real clip from which frames and sound are taken, 4 of 10 seconds in STELLA."""
PUBLISHED_FRAME_SIZE = 224
"""Pixels of a frame's side, as published; less where stored frames are smaller."""
RENDERED_FRAME_SIZE = 64
"""Pixels of a rendered frame's side."""


def clips_shown(*, rendered: bool) -> dict[str, Any]:
    """Return the settings of how clips are shown that are filled in where they are None.

    Rendered clips are shown whole and not augmented; real ones as published. Frames of real clips are
    smaller than this where the stored ones are.
    """
    if rendered:
        return {"augment": False, "window": 1.0, "frame_size": RENDERED_FRAME_SIZE}
    return {"augment": True, "window": PUBLISHED_WINDOW, "frame_size": PUBLISHED_FRAME_SIZE}
