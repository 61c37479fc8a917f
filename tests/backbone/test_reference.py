"""Against the published implementation's figures (see fixtures/make_published_cavmae.py)."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from avbench.backbone import Tokens, compare_with_reference, load_reference
from avbench.errors import DataError, InputError
from avbench.objectives import CONTRASTIVE_WEIGHT, contrastive_losses

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference(published_file):
    return load_reference(published_file)


@pytest.fixture(scope="module")
def recorded_unimodal(reference):
    return Tokens(reference.figures["unimodal.audio"], reference.figures["unimodal.video"])


def close(computed, recorded, tolerance=TOLERANCE):
    torch.testing.assert_close(computed, recorded, atol=tolerance, rtol=0)


@torch.no_grad()
def test_joint_blocks_give_the_published_features(reference, recorded_unimodal):
    joint = reference.backbone.joint(recorded_unimodal)
    latent = reference.backbone.latent(recorded_unimodal)
    close(joint.audio[:, ::7], reference.figures["joint.audio"])
    close(joint.video[:, ::7], reference.figures["joint.video"])
    close(latent.audio[:, ::7], reference.figures["latent.audio"])
    close(latent.video[:, ::7], reference.figures["latent.video"])
    close(F.normalize(latent.audio.mean(1), dim=1), reference.figures["retrieval.audio"])
    close(F.normalize(latent.video.mean(1), dim=1), reference.figures["retrieval.video"])


@torch.no_grad()
def test_matching_module_gives_the_published_attention(reference, recorded_unimodal):
    relation = reference.matching.relate(reference.backbone.joint(recorded_unimodal))
    close(relation.scores_av[:, ::5, ::9, ::7], reference.figures["avm.attention_av"])
    close(relation.scores_va[:, ::5, ::9, ::7], reference.figures["avm.attention_va"])


def test_contrast_of_the_published_pooled_features_is_the_published_loss(reference):
    figures = reference.figures
    losses = contrastive_losses(figures["masked.audio_pooled"], figures["masked.video_pooled"])
    close(CONTRASTIVE_WEIGHT * losses.mean()[None], figures["loss.contrastive_loss"], 1e-6)


@torch.no_grad()
def test_encoders_and_masked_pass_give_the_published_figures(reference):
    # Weights and inputs are rounded in the fixture, so agreement is as coarse (features reach 6.7);
    # from the exact ones it is 1e-5 for the features, and 1e-6 for the losses.
    backbone, _, batch, noise, figures = reference
    unimodal, masked, retrieval = backbone.unimodal(batch), backbone(batch, noise), backbone.embed(batch)
    close(unimodal.audio, figures["unimodal.audio"], 0.1)
    close(unimodal.video, figures["unimodal.video"], 0.1)
    close(retrieval.audio, figures["retrieval.audio"], 2e-3)
    close(retrieval.video, figures["retrieval.video"], 2e-3)
    close(masked.audio_pooled, figures["masked.audio_pooled"], 0.02)
    close(masked.video_pooled, figures["masked.video_pooled"], 0.02)
    close(masked.audio_reconstruction.mean()[None], figures["loss.mae_audio_loss"])
    close(masked.video_reconstruction.mean()[None], figures["loss.mae_frame_loss"])
    close(CONTRASTIVE_WEIGHT * masked.contrastive.mean()[None], figures["loss.contrastive_loss"], 3e-4)


@torch.no_grad()
def test_comparison_names_the_quantity_that_differs(reference, published_file, tmp_path):
    """A file whose figures are this model's own, but for one."""
    backbone, matching, batch, noise, _ = reference
    unimodal, masked, retrieval = backbone.unimodal(batch), backbone(batch, noise), backbone.embed(batch)
    joint, latent = backbone.joint(unimodal), backbone.latent(unimodal)
    relation = matching.relate(joint)
    own = {
        "unimodal": unimodal,
        "joint": joint,
        "latent": latent,
        "retrieval": retrieval,
        "masked": Tokens(masked.audio_pooled, masked.video_pooled),
        "avm.attention": Tokens(relation.scores_av, relation.scores_va),
    }
    names = {"masked": (".audio_pooled", ".video_pooled"), "avm.attention": ("_av", "_va")}
    with safe_open(published_file, "pt") as file:
        header = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for quantity, (audio, video) in own.items():
        audio_name, video_name = names.get(quantity, (".audio", ".video"))
        tensors[quantity + audio_name], tensors[quantity + video_name] = audio, video
    tensors["loss.mae_audio_loss"] = masked.audio_reconstruction.mean()[None]
    tensors["loss.mae_frame_loss"] = masked.video_reconstruction.mean()[None]
    tensors["loss.contrastive_loss"] = CONTRASTIVE_WEIGHT * masked.contrastive.mean()[None]
    tensors["latent.video"] = tensors["latent.video"] + 0.5
    save_file(
        {key: value.contiguous() for key, value in tensors.items()}, tmp_path / "own.safetensors", header
    )

    differences = compare_with_reference(tmp_path / "own.safetensors")
    assert differences.pop("latent.video") == pytest.approx(0.5, abs=1e-5)
    assert len(differences) == 14
    assert max(differences.values()) < 1e-5


def test_a_file_that_is_no_reference_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no reference file at"):
        load_reference(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="is no reference file"):
        load_reference(tmp_path / "other.safetensors")


def test_weights_that_do_not_fill_the_model_are_refused(published_file, tmp_path):
    with safe_open(published_file, "pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    config["decoder_depth"] += 1
    save_file(tensors, tmp_path / "deeper.safetensors", {"config": json.dumps(config)})
    with pytest.raises(DataError, match=r"decoder_blocks\.2\.\*"):
        load_reference(tmp_path / "deeper.safetensors")
