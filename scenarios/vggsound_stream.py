"""The VGGSound stream (Continual-VS) of STELLA: 8 tasks of 20 classes each.

Sports, music, vehicles, people, animals, home and nature, and two tasks of other sounds; at most 400
training clips a class, 5 test clips a class in the gallery. Of VGGSound's 309 classes 160 are trained; the
others stand in the gallery only. Classes are listed in `vggsound_classes.yaml` beside this file.

Sources: VGGSound (Chen et al., ICASSP 2020, arXiv 2004.14368); STELLA (ICML 2024, arXiv 2310.08204).
"""

from __future__ import annotations

from pathlib import Path

from avbench.scenario import Scenario, Task, listed_tasks


class VGGSoundStream(Scenario):
    """8 tasks of 20 VGGSound classes each, from sports to other sounds."""

    paper = "STELLA, ICML 2024, arXiv 2310.08204"

    def tasks(self) -> tuple[Task, ...]:
        """Return the 8 tasks in the published order."""
        return listed_tasks(Path(__file__).with_name("vggsound_classes.yaml"))
