"""What a configuration runs, named before it is run: its settled configuration, identity and record's place.

Nothing is rendered or trained for it, so that a sweep can be planned, and what is finished be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avbench.clips import ClipGeometry
from avbench.configuration import RunConfig
from avbench.loading import geometry_of
from avbench.method import Method
from avbench.randomness import Randomness
from avbench.record_files import record_path
from avbench.records import identity_of
from avbench.registry import catalogue
from avbench.scenario import Scenario
from avbench.start import RANDOM, make_modules
from avbench.streaming import ClipsAhead, clips_ahead, settle_clips


@dataclass(frozen=True)
class PlannedRun:
    """A run that may be made, or was.

    Attributes:
        config: with every setting filled in, those that depend on the clips too.
        method: the strategy's class.
        scenario: picks the clips.
        clips: that are trained on and retrieved.
        geometry: of a batch of them.
        start: fingerprint of the start, "random" where there is none.
        identity: names it, whatever the seed and the place.
        plugin_code: of strategy and scenario, where they are not built in.
    """

    config: RunConfig
    method: type[Method]
    scenario: Scenario
    clips: ClipsAhead
    geometry: ClipGeometry
    start: str
    identity: str
    plugin_code: dict[str, str]

    def record_path(self, results: Path) -> Path:
        """Return where its record is, or will be, below the folder `results`."""
        return record_path(results, self.config.recorded(), source=self.clips.source, identity=self.identity)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"{self.config.strategy} on {self.config.scenario}, seed {self.config.seed}"


def plan_run(config: RunConfig) -> PlannedRun:
    """Return the run that `config` describes.

    Raises:
        InputError, DataError: its clips or its start cannot be had.
    """
    used = {
        "scenario": catalogue("scenario", config.plugins).get(config.scenario),
        "strategy": catalogue("strategy", config.plugins).get(config.strategy),
    }
    plugin_code = {kind: plugin.code for kind, plugin in used.items() if plugin.code}
    scenario: Scenario = used["scenario"].cls(**config.scenario_options)
    clips = clips_ahead(config, scenario)
    config = settle_clips(config, clips)
    assert config.frame_size is not None
    geometry = geometry_of(clips.format, frames=config.frames, frame_size=config.frame_size)
    # A random start differs by seed, as the order of clips does; runs over seeds are still one experiment.
    start = RANDOM if config.start == RANDOM else _fingerprint(config.start, config.backbone, geometry)
    return PlannedRun(
        config=config,
        method=used["strategy"].cls,
        scenario=scenario,
        clips=clips,
        geometry=geometry,
        start=start,
        identity=identity_of(config.recorded(), store=clips.name, start=start, plugin_code=plugin_code),
        plugin_code=plugin_code,
    )


@cache
def _fingerprint(start: str, backbone: str, geometry: ClipGeometry) -> str:
    # The share that is masked is no parameter.
    _, _, made = make_modules(start, backbone, geometry, mask_ratio=0.8, randomness=Randomness(0))
    return made.fingerprint
