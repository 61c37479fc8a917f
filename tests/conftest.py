"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import io
import os

# Two threads on a core that is shared are many times slower than one; tensors are small here. Set before
# torch is imported, in this process and those that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from avbench.backbone import BACKBONES, CAVMAE
from avbench.clips import ClipBatch, ClipGeometry
from avbench.configuration import Layer
from avbench.exhibits.file import Exhibits, GalleryPicture, PatchMaps, SelectedClips
from avbench.exhibits.projection import principal_plane
from avbench.experiment import Outcome, run_experiment
from avbench.forgetting import summarise
from avbench.loggers import Kind
from avbench.matching import AudioVideoMatching
from avbench.media import jpeg
from avbench.method import Method
from avbench.randomness import Randomness
from avbench.record_files import read_records
from avbench.records import (
    DIRECTIONS,
    METRICS,
    Ending,
    Environment,
    KindOfMemory,
    Memory,
    RunRecord,
    Summary,
    Timing,
    identity_of,
)
from avbench.resolving import resolve
from avbench.settings import TrainingSettings
from avbench.steps import StepReport
from avbench.store.reading import ClipEntry, ClipFormat, ClipStore
from avbench.store.shard_writer import EncodedClip
from avbench.store.writer import StoreWriter
from avbench.training import ContinualPretraining

FIXTURES = Path(__file__).parent / "fixtures"
# A package of its own, whose tests run where it is installed: see test_example_plugin.py.
collect_ignore = ["example_plugin"]


@pytest.fixture
def wandb_mode(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`wandb_mode("offline")` is how Weights & Biases works for the length of a test."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'avbench[wandb]'")
    # It reads its settings once a process, until it is torn down.
    wandb.teardown()
    yield lambda mode: monkeypatch.setenv("WANDB_MODE", mode)
    wandb.teardown()


@pytest.fixture(scope="session")
def published_file(tmp_path_factory):
    """A reference file of the published figures, as fixtures/make_published_cavmae.py says."""
    tensors, config = {}, ""
    with np.load(FIXTURES / "published_cavmae.npz") as arrays:
        for key, values in arrays.items():
            if key == "config":
                config = str(values)
            elif f"{key} range" in arrays:
                least, greatest = arrays[f"{key} range"]
                tensors[key] = torch.from_numpy(values.astype(np.float32) / 255 * (greatest - least) + least)
            elif not key.endswith(" range"):
                tensors[key] = torch.from_numpy(values)
    width = len(tensors["avmatching.norm_a.weight"])
    # No recorded figure depends on these.
    tensors["avmatching.to_a_v.weight"] = torch.zeros(width, width)
    tensors["avmatching.to_v_v.weight"] = torch.zeros(width, width)
    tensors["avmatching.matching_score.pooler.dense.weight"] = torch.zeros(2 * width, 2 * width)
    tensors["avmatching.matching_score.pooler.dense.bias"] = torch.zeros(2 * width)
    tensors["avmatching.matching_score.fc.weight"] = torch.zeros(1, 2 * width)
    tensors["avmatching.matching_score.fc.bias"] = torch.zeros(1)
    path = tmp_path_factory.mktemp("published") / "cavmae.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata={"config": config})
    return path


@pytest.fixture
def geometry() -> ClipGeometry:
    """Two frames of 2 x 2 patches, and a spectrogram of 8 x 2."""
    return ClipGeometry(frames=2, frame_size=32, mel_frames=128, mel_bins=32)


@pytest.fixture
def clips(geometry: ClipGeometry) -> Callable[..., ClipBatch]:
    """`clips(count, seed)` makes clips of noise, numbered from 1000 * seed."""

    def make(count: int, seed: int = 0) -> ClipBatch:
        generator = torch.Generator().manual_seed(seed)
        video = (count, geometry.video_patches, geometry.video_patch_values)
        audio = (count, geometry.audio_patches, geometry.audio_patch_values)
        return ClipBatch(
            video=torch.randint(0, 256, video, dtype=torch.uint8, generator=generator),
            audio=torch.randn(audio, generator=generator).half(),
            clip=torch.arange(count) + 1000 * seed,
            geometry=geometry,
        )

    return make


@pytest.fixture
def pretraining(geometry: ClipGeometry) -> Callable[..., ContinualPretraining]:
    """`pretraining(method, **settings)` is a training ready for `step(batch)` and `train(task(batches))`.

    Its `reports` hold what an observer was told.
    """

    def make(method: Method, seed: int = 0, device: str = "cpu", **settings: Any) -> ContinualPretraining:
        reports: list[StepReport] = []
        size = BACKBONES["tiny"]
        strategy = ContinualPretraining(
            backbone=CAVMAE(size, geometry),
            matching=AudioVideoMatching(size.width, size.heads),
            method=method,
            settings=TrainingSettings(**{"epochs": 2, "batch_size": 4, "learning_rate": 1e-3} | settings),
            randomness=Randomness(seed),
            make_loader=lambda experience: experience.dataset,
            device=device,
            observer=SimpleNamespace(on_step=reports.append),
        )
        strategy.reports = reports
        return strategy

    return make


@pytest.fixture
def task() -> Callable[[list[ClipBatch]], Any]:
    """`task(batches)` is an experience whose loader gives these batches."""
    return lambda batches: SimpleNamespace(dataset=batches)


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`make_video(path, ...)` writes a small video whose grey level tells the time, with a tone.

    Frames are flat, and the level grows by `slope` a second from 16 on, so every frame says when it is shown.
    """

    def make(
        path: Path,
        *,
        times: Sequence[float] | None = None,
        seconds: float = 10.0,
        rate: float = 10.0,
        slope: float = 20.0,
        size: tuple[int, int] = (64, 48),
        sound: tuple[float, float] | None = (0.0, 10.0),
        amplitude: float = 0.3,
        video: bool = True,
        codec_options: dict[str, str] | None = None,
        container: str = "mp4",
        start: float = 0.0,
    ) -> Path:
        if times is None:
            times = [number / rate for number in range(round(seconds * rate))]
        tick = Fraction(1, 12800)
        with av.open(str(path), "w", format=container) as output:
            pictures = tones = None
            if video:
                pictures = output.add_stream("libx264", rate=Fraction(rate))
                pictures.width, pictures.height = size
                pictures.pix_fmt = "yuv420p"
                pictures.codec_context.time_base = tick
                pictures.codec_context.thread_count = 1
                pictures.options = {"preset": "ultrafast", "crf": "10", "g": "25"} | (codec_options or {})
            if sound is not None:
                tones = output.add_stream("aac", rate=44100, layout="stereo")
            if pictures is not None:
                for time in times:
                    pixels = np.full((size[1], size[0], 3), 16 + round(slope * time), dtype=np.uint8)
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame.pts, frame.time_base = round((start + time) / tick), tick
                    output.mux(pictures.encode(frame))
                output.mux(pictures.encode(None))
            if tones is not None and sound is not None:
                begin, end = sound
                at = np.arange(round(begin * 44100), round(end * 44100))
                wave = (amplitude * np.sin(2 * np.pi * 440 * at / 44100)).astype(np.float32)
                for place in range(0, len(wave), 1024):
                    piece = np.tile(wave[place : place + 1024], (2, 1))
                    part = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
                    part.sample_rate, part.time_base = 44100, Fraction(1, 44100)
                    part.pts = int(at[0]) + place + round(start * 44100)
                    output.mux(tones.encode(part))
                output.mux(tones.encode(None))
        return path

    return make


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """`make_record(strategy, seed, options=..., settings=..., ...)` is a made-up finished run of 8 tasks.

    Its numbers follow from strategy and seed; `level` is about where its recall lies.
    """
    tasks = ["sports", "music", "vehicle", "people", "animals", "home_nature", "others_part1", "others_part2"]

    def make(
        strategy: str = "er",
        seed: int = 0,
        *,
        level: float = 20.0,
        options: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        joint: bool = False,
        **changes: Any,
    ) -> RunRecord:
        draws = np.random.Generator(np.random.PCG64(seed + sum(map(ord, strategy))))
        stages = ["all tasks"] if joint else tasks
        learned = np.tril(np.ones((8, 8))) if not joint else np.ones((1, 8))
        matrix = (2 + learned * level * draws.uniform(0.5, 1.0, learned.shape)).tolist()
        ahead = [0.0 if joint else max(matrix[t][i] for t in range(i, 7)) - matrix[7][i] for i in range(7)]
        forgetting = None if joint else float(np.mean(ahead))
        score = Summary(
            average=float(np.mean(matrix[-1])),
            forgetting=forgetting,
            forgetting_published=None if forgetting is None else forgetting + 1,
        )
        configuration = {
            "strategy": strategy, "scenario": "vggsound-stream", "seed": seed, "backbone": "tiny",
            "device": "cpu", "epochs": 4, "start": "shipped", "strategy_options": options or {},
        } | (settings or {})  # fmt: skip
        source = changes.get("source", "rendered")
        values: dict[str, Any] = {
            "scenario": "vggsound-stream",
            "strategy": strategy,
            "seed": seed,
            "configuration": configuration,
            "identity": identity_of(configuration, store=source, start="0123456789abcdef"),
            "source": source,
            "store": source,
            "start": "0123456789abcdef",
            "needs_boundaries": False,
            "tasks": tasks,
            "stages": stages,
            "gallery": 800,
            "queries": [100] * 8,
            "recall_at_start": {way: {metric: [1.0] * 8 for metric in METRICS} for way in DIRECTIONS},
            "recall": {way: dict.fromkeys(METRICS, matrix) for way in DIRECTIONS},
            "modality_gap": [[0.5] * 8] * len(stages),
            "summary": {way: dict.fromkeys(METRICS, score) for way in DIRECTIONS},
            "memory": Memory(
                kinds=[
                    KindOfMemory(kind=kind, bytes=size * 2**20)
                    for kind, size in {
                        "rehearsal memory": 0 if strategy == "finetune" else 30,
                        "other state": 5 if strategy == "cls-er" else 0,
                        "parameters": 5,
                        "gradients": 5,
                        "optimiser state": 10,
                    }.items()
                ],
                peak_step=int((60 + level) * 2**20),
                peak_measured_by="live tensors",
            ),
            "losses": [],
            "ending": Ending(how="finished"),
            "environment": Environment(
                versions={}, hardware={"processor": "made up"}, device="cpu", commit=None, dirty=None
            ),
            "timing": Timing(
                started="2026-01-01T00:00:00Z", finished="2026-01-01T00:01:00Z", clips_per_second=90 - level
            ),
        }
        return RunRecord(**{**values, **changes})

    return make


@pytest.fixture
def make_exhibits() -> Callable[..., Exhibits]:
    """`make_exhibits(record, selects=True)` makes up what a run leaves for its pictures: 3 queries a task.

    Two clips are shown, of tasks 0 and 1: 2 frames of 32 x 48, and a spectrogram of 64 x 32. Only the second
    has scores that are not all alike.
    """

    def make(record: RunRecord, *, selects: bool = True) -> Exhibits:
        draws = np.random.Generator(np.random.PCG64(record.seed))
        task = np.repeat(np.arange(len(record.tasks)), 3)
        pictures = [
            GalleryPicture(principal_plane(*draws.normal(size=(2, len(task), 5))), np.array(gap))
            for gap in ([1.0] * len(record.tasks), record.modality_gap[-1])
        ]

        def maps(*grid: int) -> PatchMaps:
            importance = np.ones((2, *grid), dtype=np.float32)
            importance[1] = draws.random(grid)
            pruning = np.zeros((2, *grid), dtype=np.float32)
            pruning[1] = draws.random(grid) / 2
            return PatchMaps(draws.random((2, *grid)) < 0.5, importance, pruning)

        selected = SelectedClips(
            clip=np.array([7, 11]),
            task=np.array([0, 1]),
            frames=draws.integers(0, 256, (2, 2, 32, 48, 3), dtype=np.uint8),
            spectrogram=draws.normal(size=(2, 64, 32)).astype(np.float16),
            video=maps(2, 2, 3),
            audio=maps(4, 2),
            importance_is="attention",
        )
        return Exhibits(
            scenario=record.scenario,
            strategy=record.strategy,
            seed=record.seed,
            identity=record.identity,
            source=record.source,
            backbone=record.backbone,
            tasks=record.tasks,
            task_of_query=task,
            at_start=pictures[0],
            at_end=pictures[1],
            selected=selected if selects else None,
        )

    return make


@pytest.fixture(scope="session")
def measured() -> list[RunRecord]:
    """Our own records of the VGGSound stream: methods at their defaults, and AVCL+ with more bytes."""
    records = read_records(Path(__file__).parents[1] / "results" / "measured", scenario="vggsound-stream")
    return [
        each
        for each in records
        if each.configuration["memory"] in (None, 200, "16.2MiB")
        and each.configuration["strategy_options"].get("selection", "avcl") == "avcl"
    ]


@pytest.fixture
def scored(make_record: Callable[..., RunRecord]) -> Callable[..., RunRecord]:
    """`scored(strategy, seed, scores)` is a finished run that keeps these recalls of its tasks.

    A is their mean, F is 0; `drops` are what each task but the last has lost since it was learned. Both
    directions and all metrics are alike.
    """

    def make(
        strategy: str, seed: int, scores: Sequence[float], *, drops: Sequence[float] = (), **changes: Any
    ) -> RunRecord:
        tasks = [f"task {number}" for number in range(len(scores))]
        matrix = np.tile(np.asarray(scores, dtype=float), (len(scores), 1))
        matrix[:-1] += np.append(np.asarray(drops or [0.0] * (len(scores) - 1)), 0.0)
        summary = summarise(matrix)
        values: dict[str, Any] = {
            "tasks": tasks,
            "stages": tasks,
            "queries": [100] * len(tasks),
            "recall": {way: dict.fromkeys(METRICS, matrix.tolist()) for way in DIRECTIONS},
            "modality_gap": [[0.5] * len(tasks)] * len(tasks),
            "summary": {way: dict.fromkeys(METRICS, summary) for way in DIRECTIONS},
        }
        return make_record(strategy, seed, **(values | changes))

    return make


@pytest.fixture(scope="session")
def store_format() -> ClipFormat:
    """A third of a second: 4 frames, and a spectrogram of 32 x 128."""
    return ClipFormat(seconds=0.32, frames=4, short_side=32, mel_frames=32)


@pytest.fixture(scope="session")
def encoded_clip(store_format: ClipFormat) -> Callable[[str], EncodedClip]:
    """`encoded_clip(key)` makes a clip of noise that depends on its key."""

    def make(key: str) -> EncodedClip:
        generator = Randomness(0).numpy(key)
        frames = generator.integers(0, 256, (store_format.frames, 4, 5, 3), dtype=np.uint8)
        return EncodedClip(
            jpegs=[jpeg.encode(frame.repeat(8, axis=0).repeat(8, axis=1)) for frame in frames],
            waveform=generator.integers(-9000, 9000, store_format.samples, dtype=np.int16),
            spectrogram=generator.normal(size=(store_format.mel_frames, 128)).astype(np.float16),
        )

    return make


@pytest.fixture
def make_store(store_format, encoded_clip) -> Callable[..., ClipStore]:
    """`make_store(path, count, classes=2)` writes a store of clips of noise, "class 0" and on in turn."""

    def make(path: Path, count: int, classes: int = 2) -> ClipStore:
        with StoreWriter(path, store_format, "noise", {"seed": 0}) as writer:
            for number in range(count):
                clip = encoded_clip(f"clip{number}")
                entry = ClipEntry(f"clip{number}", f"class {number % classes}", "train")
                writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
            writer.finish()
        return ClipStore(path)

    return make


SCENARIO = '''"""Two tasks of two classes."""
from avbench.scenario import Scenario, Task

class TinyStream(Scenario):
    """Two tasks of two classes each."""

    paper = "none"

    def tasks(self):
        """Return both."""
        return (Task("first", ("class 0", "class 1")), Task("second", ("class 2", "class 3"), ("class 4",)))
'''


@pytest.fixture(scope="session")
def tiny_stream(tmp_path_factory, store_format, encoded_clip) -> dict[str, Any]:
    """Settings of a stream of 4 trained classes and one that is only in the gallery: 4 + 2 clips of each."""
    folder = tmp_path_factory.mktemp("stream")
    scenario = folder / "tiny_stream.py"
    scenario.write_text(SCENARIO)
    with StoreWriter(folder / "store", store_format, "noise", {}) as writer:
        for label in range(5):
            for number in range(6):
                key = f"clip{label}_{number}"
                clip = encoded_clip(key)
                entry = ClipEntry(key, f"class {label}", "train" if number < 4 else "test")
                writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
        writer.finish()
    return {
        "scenario": "tiny-stream",
        "plugins": [str(scenario)],
        "data": str(folder / "store"),
        "start": "random",
        "device": "cpu",
        "frames": 2,
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
    }


@pytest.fixture
def go(tiny_stream, tmp_path):
    """`go(strategy, **settings)` makes a run into a folder of results."""

    def run(
        strategy: str = "finetune",
        *,
        again: bool = False,
        results: Path = tmp_path,
        log: Sequence[Kind] = (),
        said: io.StringIO | None = None,
        **settings,
    ) -> Outcome:
        config = resolve([Layer("test", {**tiny_stream, "strategy": strategy, **settings})])
        console = Console(file=said or io.StringIO())
        return run_experiment(config, results=results, again=again, log=log, console=console)

    return run
