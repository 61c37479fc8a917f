import json

import pytest
import typer
from typer.testing import CliRunner

from avbench.cli.bench import _at_defaults, bench
from avbench.errors import InputError
from avbench.registry import catalogue


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(bench)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_measures_everything_at_its_smallest(run, tmp_path):
    out = tmp_path / "bench.json"
    result = run("--quick", "--strategy", "avcl,finetune", "--out", out)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert [each["strategy"] for each in found["training"]] == ["avcl", "finetune"]
    assert all(each["ratio"] > 0 and each["peak_step"] > 0 for each in found["training"])
    assert [each["backbone"] for each in found["selection"]] == ["tiny"]
    assert found["selection"][0]["milliseconds"] > 0
    assert all(found["store"][name] > 0 for name in ("bare_decoding", "preparing", "reading"))
    (saved,) = found["checkpoints"]
    # Backbone, Adam's two moments, and a rehearsal memory of 200 clips.
    assert 25 < saved["bytes"] / 2**20 < 40
    assert saved["save_seconds"] > 0
    assert saved["read_seconds"] > 0
    # The default stream of rendered clips, two checkpoints a task at least.
    assert (saved["stream"], saved["tasks"]) == ("vggsound-stream", 8)
    assert saved["checkpoints"] >= 16
    # 400 clips a task, in 13 batches of 32 at most, six epochs.
    assert saved["training_seconds"] == pytest.approx(8 * 13 * 6 * saved["step_seconds"])
    spent = saved["checkpoints"] * saved["save_seconds"]
    assert saved["share"] == pytest.approx(spent / saved["training_seconds"])
    assert f"{100 * saved['share']:.2f}% of its training's time" in " ".join(result.output.split())
    assert [each.name for each in tmp_path.iterdir()] == ["bench.json"]
    assert found["environment"]["hardware"]


def test_methods_are_made_as_runs_with_the_backbone_make_them():
    cassle = catalogue("strategy").get("cassle").cls
    assert [_at_defaults(cassle, backbone)().hidden for backbone in ("tiny", "base")] == [341, 2048]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--backbone", "tny"), "did you mean tiny"),
        (("--strategy", "finetun"), "did you mean finetune"),
        (("--video", "nowhere.mp4"), "there is no nowhere.mp4"),
        (("--device", "gpu"), "device"),
    ],
)
def test_mistakes_are_said(run, arguments, meant):
    result = run("--quick", *arguments)
    assert isinstance(result.exception, InputError)
    assert meant in str(result.exception)
