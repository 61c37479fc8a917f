"""Training settings: the published ones, and all mistakes said at once."""

from __future__ import annotations

import pytest

from avbench.backbone import BACKBONES
from avbench.errors import InputError
from avbench.settings import SETTINGS, TrainingSettings


def test_base_is_as_published() -> None:
    base = SETTINGS["base"]
    assert (base.epochs, base.batch_size) == (10, 48)
    assert (base.learning_rate, base.betas, base.weight_decay) == (1e-4, (0.95, 0.999), 5e-7)
    assert base.contrastive_weight == 0.1


def test_every_backbone_has_settings() -> None:
    assert SETTINGS.keys() == BACKBONES.keys()


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        TrainingSettings(
            epochs=0, batch_size=4, micro_batch_size=5, learning_rate=float("nan"), betas=(0.9, 1.0)
        )
    for name in ("epochs=0", "micro_batch_size=5", "learning_rate=nan", "betas=(0.9, 1.0)"):
        assert name in str(caught.value)
