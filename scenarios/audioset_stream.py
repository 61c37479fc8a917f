"""The AudioSet stream (Continual-AS) of STELLA: 7 tasks of 9 to 35 classes, 161 in all.

Human sounds, vehicles, nature, animals, other sounds, home and music. Every class is trained, so the gallery
holds no others. The stream has clips of one task only: of AudioSet's clips, which carry several labels each,
those with labels of two tasks are left out when a store is prepared. How many clips a class are trained on is
not published; the limits are those of the VGGSound stream. Classes are listed in `audioset_classes.yaml`
beside this file.

Sources: AudioSet (Gemmeke et al., ICASSP 2017); STELLA (ICML 2024, arXiv 2310.08204).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from avbench.scenario import Scenario, Task, listed_tasks


class AudioSetStream(Scenario):
    """7 tasks of 9 to 35 AudioSet classes each, from human sounds to music."""

    paper = "STELLA, ICML 2024, arXiv 2310.08204"
    published_training: ClassVar[dict[str, Any]] = {"epochs": 15, "batch_size": 36}

    def tasks(self) -> tuple[Task, ...]:
        """Return the 7 tasks in the published order."""
        return listed_tasks(Path(__file__).with_name("audioset_classes.yaml"))
