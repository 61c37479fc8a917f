import pytest
import typer
from typer.testing import CliRunner

from avbench.cli.memory import memory
from avbench.clips import ClipGeometry
from avbench.errors import InputError, RunError
from avbench.method_memory import method_memory
from avbench.registry import catalogue
from avbench.settings import TrainingSettings

SMALLEST = ("--backbone", "tiny", "--batch-size", 2, "--frames", 2, "--frame-size", 32, "--mel-frames", 32)


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(memory)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_methods_stand_beside_experience_replay(run):
    result = run(*SMALLEST, "--strategy", "er,finetune")
    assert result.exit_code == 0, result.output
    er, finetune = (
        next(line for line in result.output.splitlines() if line.strip().startswith(name))
        for name in ("er ", "finetune ")
    )
    assert er.count("1.000") == 2
    assert 0 < float(finetune.split()[2]) <= 1
    assert "The paper has figures for" in result.output


def test_a_method_that_cannot_be_measured_is_named_after_the_others(run, tmp_path):
    plugin = tmp_path / "peeking.py"
    plugin.write_text(
        "from avbench.method import Method\n"
        "class Peeking(Method):\n"
        '    """Reads a value."""\n'
        "    def before_forward(self, strategy, **kwargs):\n"
        "        strategy.mbatch.audio.sum().item()\n"
    )
    result = run(*SMALLEST, "--strategy", "peeking,finetune", "--plugin", plugin)
    assert isinstance(result.exception, RunError)
    assert "peeking: Peeking cannot be measured" in str(result.exception)
    assert "finetune" in result.output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--backbone", "bse"), "did you mean base"),
        (("--strategy", "finetun"), "did you mean finetune"),
        (("--precision", "float23"), "did you mean float32"),
        (("--frame-size", 225), "multiple of patch_size"),
        (("--frames", 1, "--frame-size", 32), "4 patches of video are too few"),
    ],
)
def test_mistakes_are_said(run, arguments, meant):
    result = run(*arguments)
    assert isinstance(result.exception, InputError)
    assert meant in str(result.exception)


def test_published_figures_are_for_the_papers_geometry_alone():
    found = catalogue("strategy").get("finetune").cls
    small = ClipGeometry(frames=2, frame_size=32, mel_frames=32)
    measured = method_memory(
        "finetune",
        found,
        backbone="tiny",
        geometry=small,
        settings=TrainingSettings(batch_size=9),
        attentions=["fused"],
    )
    assert measured.published_gigabytes is None
