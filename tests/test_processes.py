"""A run that several processes make: the same training, the same gallery, and it goes on after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avbench import processes
from avbench.errors import InputError
from avbench.randomness import Randomness
from avbench.record_files import read_records
from avbench.records import RunRecord, comparable
from avbench.registry import catalogue
from avbench.rehearsal import RehearsalMemory

# Whole runs: methods that exchange most, in steps, without clips, and at the ends of tasks. What all methods
# must keep to is checked with threads in the place of processes: `several_processes` of avbench.testing.
RUN = ("er", "gmed", "cassle", "ewc", "multitask", "avcl-plus")

# Imports once, then forks the processes: imports are most of a small run's time. The parent never computes,
# so that its children may. Each piece of work is made by `count` processes, which find each other as those of
# torchrun do.
_FORKING = """
import io, json, os, signal, socket, sys, traceback, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from rich.console import Console
from avbench import processes, streaming
from avbench.configuration import Layer
from avbench.errors import AvbenchError
from avbench.experiment import run_experiment
from avbench.resolving import resolve

def fork(count, work):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }
            code = 1
            try:
                with processes.joined():
                    work()
                code = 0
            except AvbenchError as error:
                print(f"{type(error).__name__} of process {rank}: {error}", file=sys.stderr)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


def forked(code: str, *told: Any) -> str:
    """What `code` prints, which forks processes by `fork(count, work)`; `told` is there for it."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKING + "told = json.loads(sys.argv[1])\n" + code, json.dumps(told)],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


_STEPS = """
from avbench.backbone import BACKBONES, CAVMAE, MaskNoise
from avbench.clips import ClipGeometry
from avbench.evaluation import embed
from avbench.loading import ClipLoader, clip_loader
from avbench.model_copies import frozen_copy
from avbench.passes import trained_parameters
from avbench.randomness import Randomness
from avbench.registry import catalogue
from avbench.settings import TrainingSettings
from avbench.step_memory import made_up_clips
from avbench.training import ContinualPretraining

geometry = ClipGeometry(frames=2, frame_size=32, mel_frames=128, mel_bins=32)
clips = made_up_clips(geometry, 14)

def noise_of_clips(model, batch, generator):
    # What masks a clip follows from the clip alone, so that every division of a batch is masked alike.
    drawn = [torch.Generator().manual_seed(int(number)) for number in batch.clip]
    shapes = (batch.audio.shape[1:2], batch.video.shape[1:2])
    return MaskNoise(*(
        torch.stack([torch.rand(shape, generator=each) for each in drawn]) for shape in shapes
    ))

CAVMAE.draw_noise = noise_of_clips

def differ(models, factor):
    with torch.no_grad():
        for number, value in enumerate(value for each in models for value in each.parameters()):
            value.mul_(factor if number % 2 else 1.0)

def gradients(name, batches, **settings):
    backbone = CAVMAE(BACKBONES["tiny"], geometry)
    backbone.initialise(torch.Generator().manual_seed(0))
    method = catalogue("strategy").get(name).cls()
    module = sys.modules[type(method).__module__]
    strategy = ContinualPretraining(
        backbone=backbone, matching=None, method=method, randomness=Randomness(0),
        settings=TrainingSettings(
            batch_size=7, **({"learning_rate": 1e-9, "contrastive_weight": 1.0} | settings)
        ),
        make_loader=None,
    )
    values = trained_parameters(backbone)
    if name in ("lwf", "cassle", "mod-x"):
        method.teacher = frozen_copy(backbone)
        differ([method.teacher], 1.1)
    if name == "cls-er":
        # Far from one another, so that one copy is better at some clips and the other at others.
        differ([method.plastic], 1.5)
        differ([method.stable], 0.7)
    if name == "esmer":
        differ([method.slow], 1.1)
        method.usual_loss = torch.tensor(1.02)
        method.margin = 1.0
    if name == "ewc":
        method.fisher = {key: torch.ones_like(value) for key, value in values.items()}
        method.anchor = {key: value.detach() + 0.01 for key, value in values.items()}
    if name == "gmed":
        method.stride = 50.0
    if name == "si":
        method.importance = {key: torch.ones_like(value) for key, value in values.items()}
        method.anchor = {key: value.detach() + 0.01 for key, value in values.items()}
    found = {}
    for number, batch in enumerate(batches):
        found[f"losses {number}"] = strategy.step_losses(batch)
        found |= {f"{number} {key}": value.grad.clone() for key, value in values.items()}
    if name == "si":
        # Movements this small are rounded; only that all processes keep the same is looked at.
        found |= {f"kept {key}": value for key, value in method.share.items()}
    if name == "ewc":
        # Of clips alone, so that their losses do not depend on which are read along.
        module.FISHER_BATCH = 1
        strategy.dataloader = batches
        method.generator("masking")
        method.after_training_exp(strategy)
        found |= {f"fisher {key}": value for key, value in method.fisher.items()}
    if name == "cassle":
        found |= {
            f"predictor {key}": value.grad.clone() for key, value in method.predictors[0].named_parameters()
        }
    if name == "esmer":
        found["usual loss"] = method.usual_loss
    if name in ("cls-er", "esmer"):
        copied = method.plastic if name == "cls-er" else method.slow
        found |= {f"copy {key}": value.detach() for key, value in copied.named_parameters()}
    return found

def compare():
    for name, settings, lengths in told:
        batches, start = [], 0
        for length in lengths:
            batches.append(clips[start : start + length])
            start += length
        own = [batch[processes.rank() :: processes.count()] for batch in batches]
        ours = gradients(name, own, **settings)
        with processes.alone():
            whole = gradients(name, batches, **settings)
        assert ours.keys() == whole.keys()
        for key in [key for key in whole if not key.startswith("kept")]:
            bound = 2e-5 * float(whole[key].abs().max()) + 1e-7
            assert torch.allclose(ours[key], whole[key], rtol=1e-4, atol=bound), f"{name} {settings}: {key}"
        bits = {key: value.numpy().tobytes() for key, value in ours.items()}
        assert all(each == bits for each in processes.gathered(bits)), f"{name}: not alike in all processes"

def gallery():
    class Clips:
        def __len__(self):
            return 11
        def __getitem__(self, pick):
            return clips[pick[0] : pick[0] + 1]
    backbone = CAVMAE(BACKBONES["tiny"], geometry)
    backbone.initialise(torch.Generator().manual_seed(0))
    loader = clip_loader(Clips(), 4, shuffle=None, dealt="batches")
    ours = embed(backbone, loader, "cpu")
    with processes.alone():
        whole = embed(backbone, loader, "cpu")
    assert len(whole[0]) == 11
    assert [each.tobytes() for each in ours] == [each.tobytes() for each in whole]

def work():
    gallery()
    compare()

assert fork(2, work) == [0, 0]
"""


def test_a_step_of_two_processes_has_the_gradients_of_one_with_the_joined_batch() -> None:
    forked(
        _STEPS,
        ["finetune", {}, [7, 5]],
        # Divided 2 + 2 and 2 + 1; a last batch of one clip, of which one process has none.
        ["finetune", {"micro_batch_size": 4}, [7, 1]],
        ["finetune", {"micro_batch_size": 1}, [3]],
        # As many are rehearsed as are held.
        ["er", {}, [7, 7]],
        ["der", {}, [7, 7]],
        ["der-pp", {}, [7, 7]],
        # One process rehearses and the other has nothing to.
        ["er", {}, [1, 2]],
        ["lwf", {"micro_batch_size": 3}, [7]],
        ["si", {}, [5]],
        ["cls-er", {}, [7, 7]],
        ["cassle", {}, [7]],
        ["cassle", {"micro_batch_size": 4}, [5]],
        ["mod-x", {}, [7]],
        ["mod-x", {"micro_batch_size": 4}, [5]],
        # The rest make passes in which each process has its own contrast, so that there is none here.
        ["ewc", {"contrastive_weight": 0.0}, [7, 4]],
        ["esmer", {"contrastive_weight": 0.0}, [7, 7]],
        ["agem", {"contrastive_weight": 0.0}, [7, 7]],
        ["agem", {"contrastive_weight": 0.0}, [1, 2]],
        # A step that is large enough for what is made of it to show.
        ["mir", {"contrastive_weight": 0.0, "learning_rate": 1e-3}, [7, 7]],
        ["mir", {"contrastive_weight": 0.0}, [1, 2]],
        ["gmed", {"contrastive_weight": 0.0, "learning_rate": 1e-3}, [7, 7]],
        ["gmed", {"contrastive_weight": 0.0}, [1, 2]],
    )


_RUNS = """
settings, results, strategies, plugin = told
streaming._GALLERY_BATCH = 4

def run(folder, **changes):
    run_experiment(
        resolve([Layer("test", settings | changes)]), results=Path(results) / folder,
        checkpoint_minutes=0, console=Console(file=sys.stderr, width=200),
    )

ER = {"strategy": "er", "memory": 7, "epochs": 2}

def both():
    for name in strategies:
        run("two", **(ER if name == "er" else {"strategy": name}))

def refused():
    run("refused", strategy="theirs", plugins=[*settings["plugins"], plugin])

def struck(number, after):
    # One of the two gets a signal in the midst of a step.
    from avbench.training import ContinualPretraining
    untouched, steps = ContinualPretraining.step_losses, []
    def step(self, batch):
        if processes.rank() == 1:  # steps that measure memory are taken alone
            steps.append(batch)
            if len(steps) == after:
                os.kill(os.getpid(), number)
        return untouched(self, batch)
    ContinualPretraining.step_losses = step
    run("killed", **ER)

assert fork(1, lambda: run("one", **ER)) == [0]
assert fork(2, both) == [0, 0]
assert fork(2, refused) == [1, 1]
assert fork(2, lambda: struck(signal.SIGTERM, 2)) == [1, 1]
assert fork(2, lambda: struck(signal.SIGKILL, 3)) == [1, -signal.SIGKILL]
assert fork(1, lambda: run("killed", **ER)) == [1]
assert fork(2, lambda: run("killed", **ER)) == [0, 0]
"""


def only(folder: Path, strategy: str) -> RunRecord:
    (record,) = (each for each in read_records(folder) if each.strategy == strategy)
    return record


def test_runs_of_two_processes(tmp_path: Path, tiny_stream) -> None:
    # Batches of 7 and of 1 clip; 3 batches of the gallery.
    settings = {**tiny_stream, "threads": 1, "batch_size": 7, "epochs": 1}
    plugin = tmp_path / "theirs.py"
    plugin.write_text(
        'from avbench.method import Method\n\n\nclass Theirs(Method):\n    """Train."""\n', encoding="utf-8"
    )
    said = forked(_RUNS, settings, str(tmp_path), RUN, str(plugin))
    one, two, killed = (only(tmp_path / folder, "er") for folder in ("one", "two", "killed"))
    assert two.finished
    assert two.environment.hardware["processes"] == "2"
    assert "processes" not in one.environment.hardware
    # The same run, clips, gallery and definitions: the untrained model scores the same to the bit.
    assert (two.identity, two.tasks, two.gallery, two.queries) == (
        one.identity, one.tasks, one.gallery, one.queries,
    )  # fmt: skip
    assert two.recall_at_start == one.recall_at_start
    assert {kind.kind: kind.bytes for kind in two.memory.kinds} == {
        kind.kind: kind.bytes for kind in one.memory.kinds
    }
    losses = {(each.stage, each.epoch): each.losses["loss"] for each in two.losses}
    expected = {(each.stage, each.epoch): each.losses["loss"] for each in one.losses}
    assert losses == pytest.approx(expected, rel=0.2)
    # Stopped, killed, and continued by two: to the bit.
    assert comparable(killed) == comparable(two)
    assert len(killed.timing.resumed) == 2
    assert "RunInterruptedError of process 0" in said
    assert "RunError of process 0: process 0 of 2 lost the others" in said
    assert "is of 2 process(es), and here are 1" in said
    assert {each.strategy for each in read_records(tmp_path / "two")} == set(RUN)
    assert "theirs is not made for several processes" in said
    assert not list((tmp_path / "refused").glob("**/*.json"))


def test_torchrun(tmp_path: Path, tiny_stream) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({**tiny_stream, "strategy": "er", "memory": 6, "epochs": 1}))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "avbench", "run", "--config", str(settings), "--results", str(tmp_path), "--no-report",
        ],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert only(tmp_path, "er").finished
    # One of the two tells.
    assert done.stdout.count("record  ") == 1
    assert done.stderr.count("task 2/2 second, epoch 1/1") == 1


def test_one_process_has_everything() -> None:
    assert (processes.rank(), processes.count(), processes.local_rank()) == (0, 1, 0)
    assert processes.share([3, 1, 2]) == [3, 1, 2]
    assert processes.part(7) == 7
    assert processes.gathered("own") == ["own"]


@pytest.fixture
def one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process believes to be the last of three."""
    monkeypatch.setattr(processes, "rank", lambda: 2)
    monkeypatch.setattr(processes, "count", lambda: 3)


@pytest.mark.usefixtures("one_of_three")
def test_capacity_is_divided() -> None:
    assert processes.part(8) == 2
    assert RehearsalMemory(8).capacity == 2
    assert RehearsalMemory("8kB")._budget == 2666
    with pytest.raises(InputError, match="2 cannot be divided among 3 processes"):
        RehearsalMemory(2)


def test_every_method_here_is_made_for_several_processes() -> None:
    assert [
        name for name, found in catalogue("strategy").plugins.items() if not found.cls.over_processes
    ] == []


def test_a_method_says_for_itself_that_it_is_right_over_processes() -> None:
    er = catalogue("strategy").get("er").cls
    assert er.over_processes
    assert not type("Mine", (er,), {}).over_processes  # type: ignore[attr-defined]


def test_processes_shuffle_alike_and_draw_their_own_masks() -> None:
    def first(name: str, process: int) -> int:
        return Randomness(5, process=process).torch(name).initial_seed()

    assert first("shuffle", 1) == first("shuffle", 0)
    assert first("start/backbone", 1) == first("start/backbone", 0)
    assert len({first("masking", process) for process in range(3)}) == 3
    assert first("masking", 0) == Randomness(5).torch("masking").initial_seed()


def test_an_environment_that_is_not_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RANK", "0")
    monkeypatch.delitem(os.environ, "WORLD_SIZE", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE"), processes.joined():
        pass
