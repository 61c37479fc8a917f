"""Avalanche's own plugins: each trains without labels, or is refused with the reason."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.core import BasePlugin, BaseSGDPlugin
from avalanche.training import plugins as avalanche_plugins
from avalanche.training.plugins import FromScratchTrainingPlugin, SynapticIntelligencePlugin

from avbench.avalanche_options import REQUIRED
from avbench.avalanche_plugins import AvalanchePlugin, method_of
from avbench.backbone import BACKBONES
from avbench.cli import main
from avbench.errors import InputError, RunError
from avbench.kept_state import kept_tensors
from avbench.method import Method
from avbench.plugin_loading import from_given
from avbench.record_files import read_records
from avbench.registry import catalogue
from avbench.settings import TrainingSettings
from avbench.step_memory import step_memory
from avbench.store.reading import ClipEntry
from avbench.store.writer import StoreWriter

PLUGINS = "avalanche.training.plugins"
# What must be given; everything else keeps Avalanche's default.
VALUES: dict[str, Any] = {
    "si_lambda": 0.1, "ewc_lambda": 1.0, "lambda_e": 0.5, "patterns_per_experience": 4, "sample_size": 4,
    "memory_strength": 0.5, "batch_size_mem": 4, "patience": 2, "val_stream_name": "test",
}  # fmt: skip
WITHOUT_LABELS = "a stream of audio-video clips without labels has none"
NO_EVALUATION = "takes part in Avalanche's evaluation"
NO_CLASSIFIER = 'assert hasattr.model, "eval_classifier".'
# Why those of Avalanche 0.6.0 are refused; what is not here must train.
REASONS = {
    "AGEMPlugin": "keeps a builtins.list_iterator at 'plugin.buffer_dliter'",
    "BaseSGDPlugin": "defines no hook",
    "BiCPlugin": NO_EVALUATION,
    "CWRStarPlugin": "its parameter 'model' has no default and wants an object",
    "Clock": NO_EVALUATION,
    "CoPEPlugin": NO_EVALUATION,
    "CurrentDataFeCAMUpdate": NO_CLASSIFIER,
    "CurrentDataNCMUpdate": NO_CLASSIFIER,
    "EWCPlugin": f"reads strategy._criterion.*{WITHOUT_LABELS}",
    "EarlyStoppingPlugin": "reads strategy.evaluator.*retrieval is measured outside of training",
    "FeCAMOracle": NO_CLASSIFIER,
    "FeatureDistillationPlugin": f"reads strategy.mb_x.*{WITHOUT_LABELS}",
    "GDumbPlugin": NO_EVALUATION,
    "GEMPlugin": f"reads strategy.experience.dataset.*{WITHOUT_LABELS}",
    "GSS_greedyPlugin": f"reads strategy.mb_x.*{WITHOUT_LABELS}",
    "GenerativeReplayPlugin": f"reads strategy.mbatch.*{WITHOUT_LABELS}",
    "LFLPlugin": "its before_training failed with NotImplementedError: BaseModel.get_features",
    "LRSchedulerPlugin": "its parameter 'scheduler' has no default and wants an object",
    "LwFPlugin": f"reads strategy.mb_x.*{WITHOUT_LABELS}",
    "MASPlugin": f"reads strategy.experience.dataset.*{WITHOUT_LABELS}",
    "MIRPlugin": f"reads strategy.experience.dataset.*{WITHOUT_LABELS}",
    "MemoryFeCAMUpdate": NO_CLASSIFIER,
    "MemoryNCMUpdate": NO_CLASSIFIER,
    "NCMOracle": NO_CLASSIFIER,
    "RARPlugin": f"reads strategy.experience.dataset.*{WITHOUT_LABELS}",
    "RWalkPlugin": f"reads strategy.mbatch.*{WITHOUT_LABELS}",
    "ReplayPlugin": f"reads strategy.experience.dataset.*{WITHOUT_LABELS}",
    "SupervisedPlugin": "defines no hook",
    "TrainGeneratorAfterExpPlugin": "reads strategy.plugins.*a run has one method",
}


def all_plugins() -> dict[str, type[Any]]:
    """Every plugin class that a module of avalanche.training.plugins defines or offers."""
    found = {}
    for module in pkgutil.iter_modules(avalanche_plugins.__path__):
        for name, value in vars(importlib.import_module(f"{PLUGINS}.{module.name}")).items():
            is_plugin = isinstance(value, type) and issubclass(value, BasePlugin)
            if is_plugin and value.__module__.startswith((PLUGINS, "avalanche.core")):
                found[name] = value
    return found


def options_for(method: type[Method]) -> dict[str, Any]:
    """Its defaults, and values where there are none."""
    return {
        option.name: VALUES[option.name] if option.default is REQUIRED else option.default
        for option in method.options()
    }


def make(plugin: type[Any], **options: Any) -> Method:
    method = method_of(plugin)
    return method(**{**options_for(method), **options})


@pytest.fixture
def train(pretraining: Any, clips: Any, task: Any) -> Any:
    """`train(method)` trains on two tasks of two steps, and returns the training."""

    def run(method: Method, *watching: Any, tasks: int = 2, **settings: Any) -> Any:
        strategy = pretraining(method, **{"epochs": 1, **settings})
        strategy.plugins[1:1] = watching
        for number in range(tasks):
            strategy.train(task([clips(4, 10 * number + each) for each in (1, 2)]))
        return strategy

    return run


def weights(strategy: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in strategy.model.parameters()])


def test_every_plugin_of_avalanche_is_looked_at() -> None:
    assert {"SynapticIntelligencePlugin", *REASONS} <= all_plugins().keys()
    offered = {value for value in vars(avalanche_plugins).values() if isinstance(value, type)}
    assert {each for each in offered if issubclass(each, BasePlugin)} <= set(all_plugins().values())


@pytest.mark.parametrize("name", sorted(all_plugins()))
def test_every_plugin_of_avalanche_trains_or_is_refused_with_the_reason(name: str, train: Any) -> None:
    plugin = all_plugins()[name]
    if name in REASONS:
        with pytest.raises(InputError, match=f"{name} cannot be used: .*{REASONS[name]}"):
            train(make(plugin))
    else:
        strategy = train(make(plugin))
        assert len(strategy.reports) == 4
        assert weights(strategy).isfinite().all()


@pytest.mark.parametrize("name", sorted(REASONS))
def test_refusals_come_when_the_memory_is_measured_before_a_run(name: str, geometry: Any) -> None:
    settings = TrainingSettings(batch_size=4)
    with pytest.raises(InputError, match=f"{name} cannot be used"):
        step_memory(
            lambda: make(all_plugins()[name]),
            size=BACKBONES["tiny"],
            geometry=geometry,
            settings=settings,
            fake=False,
        )


def test_synaptic_intelligence_without_weight_is_fine_tuning(train: Any) -> None:
    finetune = catalogue("strategy").get("finetune").cls
    expected = weights(train(finetune()))
    assert torch.equal(weights(train(make(SynapticIntelligencePlugin, si_lambda=0.0))), expected)


def test_synaptic_intelligence_holds_parameters_where_the_first_task_left_them(train: Any) -> None:
    after_one, moved = weights(train(make(SynapticIntelligencePlugin), tasks=1, epochs=4)), []
    for weight in (0.0, 1e6):
        method = make(SynapticIntelligencePlugin, si_lambda=weight)
        moved.append((weights(train(method, epochs=4)) - after_one).norm())
    assert moved[1] < moved[0]


def test_importances_are_those_of_synaptic_intelligence(train: Any) -> None:
    # Zenke et al., ICML 2017, equation 5, as Avalanche clips it: the loss that a parameter's way took away
    # over the squared way, at most 0.001.
    class Watch(BaseSGDPlugin, supports_distributed=True):  # type: ignore[call-arg]
        start = before = path = torch.zeros(())

        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            self.start = weights(strategy)

        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            self.before = weights(strategy)

        def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            gradient = torch.cat([each.grad.flatten() for each in strategy.model.parameters()])
            self.path = self.path + gradient * (weights(strategy) - self.before)

    watch, method = Watch(), make(SynapticIntelligencePlugin)
    way = weights(train(method, watch, tasks=1)) - watch.start
    kept = method.plugin.ewc_data[1].values()  # type: ignore[attr-defined]
    importance = torch.cat([each.data for each in kept])
    assert importance.max() > 0
    torch.testing.assert_close(importance, (-watch.path / (way**2 + 1e-7)).clamp(max=0.001))


def test_training_from_scratch_starts_every_task_at_the_start(train: Any, pretraining: Any) -> None:
    seen = []

    class Watch(BaseSGDPlugin, supports_distributed=True):  # type: ignore[call-arg]
        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            seen.append(weights(strategy))

    method = make(FromScratchTrainingPlugin)
    end = weights(train(method, Watch()))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], end)


def test_what_a_plugin_keeps_is_accounted_for(train: Any) -> None:
    strategy = train(make(SynapticIntelligencePlugin))
    kept = list(kept_tensors(strategy.method, not_counting=strategy.model.parameters()))
    assert any("plugin.syn_data.trajectory" in each.path for each in kept)
    model = sum(parameter.numel() * parameter.element_size() for parameter in strategy.model.parameters())
    assert sum(each.nbytes for each in kept) > 3 * model
    # Memory of others is measured before a run as well.
    method = make(SynapticIntelligencePlugin)
    with pytest.raises(RunError, match="SynapticIntelligencePlugin cannot be measured without running it"):
        step_memory(
            lambda: method,
            size=BACKBONES["tiny"],
            geometry=strategy.model.geometry,
            settings=TrainingSettings(batch_size=4),
        )


def test_a_method_says_what_it_is_and_where_from() -> None:
    method = method_of(SynapticIntelligencePlugin)
    assert method.needs_boundaries
    assert method.summary == "Synaptic Intelligence plugin."
    assert "https://arxiv.org/abs/1703.04200" in method.paper
    assert "Avalanche" in method.paper
    assert method_of(SynapticIntelligencePlugin) is method
    weight = method.options()[0]
    assert (weight.name, weight.default) == ("si_lambda", REQUIRED)
    assert weight.description.startswith("Synaptic Intelligence lambda term.")


def test_a_missing_value_is_named() -> None:
    method = method_of(all_plugins()["GEMPlugin"])
    defaults = {option.name: option.default for option in method.options()}
    with pytest.raises(InputError, match="--set patterns_per_experience=VALUE --set memory_strength=VALUE"):
        method(**defaults)
    with pytest.raises(InputError, match="needs a value for patterns_per_experience"):
        method()


def test_a_constructor_that_refuses_its_values_is_quoted() -> None:
    with pytest.raises(InputError, match=r"EWCPlugin cannot be made: AssertionError: You need to set"):
        make(all_plugins()["EWCPlugin"], mode="online")


class Draws(BaseSGDPlugin):
    """Draws from the global generators."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        self.drawn.append(float(torch.rand(())))


class Replaces(BaseSGDPlugin):
    """Puts another loader in place."""

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        strategy.dataloader = []


class Keeps(BaseSGDPlugin):
    """Keeps the training, as some do."""

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.strategy, self.experience = strategy, strategy.experience


def test_draws_from_global_generators_repeat_with_the_seed(train: Any) -> None:
    drawn = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        method = method_of(Draws)()
        train(method)
        drawn.append(method.plugin.drawn)  # type: ignore[attr-defined]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 4


def test_clips_model_and_optimiser_cannot_be_replaced(train: Any) -> None:
    with pytest.raises(InputError, match=r"Replaces cannot be used: it sets strategy\.dataloader"):
        train(method_of(Replaces)())


def test_a_kept_training_is_not_the_methods_memory(train: Any) -> None:
    strategy = train(method_of(Keeps)())
    assert list(kept_tensors(strategy.method)) == []


def test_what_no_training_calls_is_no_plugin() -> None:
    with pytest.raises(InputError, match=r"subclass neither of avbench\.method\.Method"):
        from_given(f"{PLUGINS}:EvaluationPlugin", "strategy")


def test_a_plugin_of_avalanche_by_its_name() -> None:
    plugin = catalogue("strategy", [f"{PLUGINS}:SynapticIntelligencePlugin"]).get("synaptic-intelligence")
    assert issubclass(plugin.cls, AvalanchePlugin)
    assert plugin.code.startswith("avalanche-lib 0.")
    assert from_given(f"{PLUGINS}:SynapticIntelligencePlugin", "scenario") is None


@pytest.fixture
def call(tmp_path: Path, store_format: Any, encoded_clip: Any, monkeypatch: Any, capsys: Any) -> Any:
    """`call(*arguments)` is `avbench run` on two tasks of four clips of noise: exit code and errors."""
    (tmp_path / "tiny_stream.py").write_text(
        "from avbench.scenario import Scenario, Task\n"
        "class TinyStream(Scenario):\n"
        '    """Two tasks of one class each."""\n'
        "    def tasks(self):\n"
        '        return (Task("first", ("class 0",)), Task("second", ("class 1",)))\n'
    )
    with StoreWriter(tmp_path / "store", store_format, "noise", {}) as writer:
        for number in range(12):
            clip = encoded_clip(f"clip{number}")
            entry = ClipEntry(f"clip{number}", f"class {number % 2}", "train" if number < 8 else "test")
            writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
        writer.finish()

    def run(*arguments: str) -> tuple[int, str]:
        settings = [
            "run", "--scenario", "tiny-stream", "--plugin", str(tmp_path / "tiny_stream.py"), "--results",
            str(tmp_path / "results"), "--data", str(tmp_path / "store"), "--start", "random", "--device",
            "cpu", "--epochs", "1", "--batch-size", "4", "--set", "frames=2", *arguments,
        ]  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["avbench", *settings])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_a_run_with_a_plugin_of_avalanche(call: Any, tmp_path: Path) -> None:
    plugin = f"{PLUGINS}:SynapticIntelligencePlugin"
    code, errors = call("-s", "synaptic-intelligence", "--plugin", plugin, "--set", "si_lambda=0.1")
    assert code == 0, errors
    (record,) = read_records(tmp_path / "results")
    assert record.finished
    assert record.plugin_code["strategy"].startswith("avalanche-lib ")
    assert record.configuration["strategy_options"]["si_lambda"] == 0.1
    assert plugin in record.configuration["plugins"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-s", "replay", "--plugin", f"{PLUGINS}:ReplayPlugin"], f"ReplayPlugin.*{WITHOUT_LABELS}"),
        (
            ["-s", "synaptic-intelligence", "--plugin", f"{PLUGINS}:SynapticIntelligencePlugin"],
            "--set si_lam",
        ),
        (["-s", "lr-scheduler", "--plugin", f"{PLUGINS}:LRSchedulerPlugin"], "parameter 'scheduler'"),
    ],
)
def test_a_refusal_reaches_the_user(call: Any, arguments: list[str], reason: str) -> None:
    code, errors = call(*arguments)
    assert code == 2
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert re.search(reason, line)
