"""Published checkpoints: the kinds there are, the prefixes they come with, and files to refuse."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from avbench.backbone import CAVMAE, BackboneSize, load_published
from avbench.clips import ClipGeometry, patchify_audio
from avbench.errors import DataError, InputError
from avbench.matching import AudioVideoMatching

SIZE = BackboneSize(16, 4, 2, 1, decoder_width=8, decoder_heads=2, decoder_blocks=1)
GEOMETRY = ClipGeometry(frames=2, frame_size=32, mel_frames=64, mel_bins=128)  # video 2x2x2, audio 4x8


def random_like(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) for name, value in module.state_dict().items()
    }


def image_mae(depth=3, width=16, thin=8, side=2):
    """A state dict with the names of github.com/facebookresearch/mae, its decoder included."""
    block = torch.nn.ModuleDict(
        {
            "norm1": torch.nn.LayerNorm(width),
            "attn": torch.nn.ModuleDict(
                {"qkv": torch.nn.Linear(width, 3 * width), "proj": torch.nn.Linear(width, width)}
            ),
            "norm2": torch.nn.LayerNorm(width),
            "mlp": torch.nn.ModuleDict(
                {"fc1": torch.nn.Linear(width, 4 * width), "fc2": torch.nn.Linear(4 * width, width)}
            ),
        }
    )
    state = {"cls_token": torch.randn(1, 1, width), "pos_embed": torch.randn(1, 1 + side**2, width)}
    state |= {
        "patch_embed.proj.weight": torch.randn(width, 3, 16, 16),
        "patch_embed.proj.bias": torch.randn(width),
    }
    for number in range(depth):
        state |= {f"blocks.{number}.{name}": value for name, value in random_like(block, number).items()}
    state |= {"norm.weight": torch.randn(width), "norm.bias": torch.randn(width)}
    state |= {"mask_token": torch.randn(1, 1, thin), "decoder_pos_embed": torch.randn(1, 1 + side**2, thin)}
    state |= {"decoder_embed.weight": torch.randn(thin, width), "decoder_embed.bias": torch.randn(thin)}
    state |= {"decoder_pred.weight": torch.randn(768, thin), "decoder_pred.bias": torch.randn(768)}
    return state


def cav_mae(size=SIZE, bands=8, steps=4, side=2):
    """A state dict with the names of github.com/YuanGongND/cav-mae: no intermediate positions, one frame."""
    state = random_like(CAVMAE(size, GEOMETRY), seed=3)
    for letter in ("a", "v"):
        del state[f"inter_pos_embed_{letter}"]
        del state[f"mask_token_{letter}"]
    state["mask_token"] = torch.randn(1, 1, size.decoder_width)
    for prefix, width in (("", size.width), ("decoder_", size.decoder_width)):
        state[f"{prefix}pos_embed_a"] = torch.randn(1, bands * steps, width)
        state[f"{prefix}pos_embed_v"] = torch.randn(1, side * side, width)
    for modality, letter in (("audio", "a"), ("video", "v")):
        for part in ("weight", "bias"):
            state[f"decoder_pred_{letter}.{part}"] = state.pop(f"mae_score_{modality}.decoder.{part}")
    for norm in ("norm1_a", "norm2_v"):
        state[f"blocks_a.0.{norm}.weight"] = torch.randn(size.width)
        state[f"decoder_blocks.0.{norm}.bias"] = torch.randn(size.decoder_width)
    return state


@pytest.mark.parametrize(
    "prefixes",
    [
        ("", None),
        ("module.", None),
        ("backbone.", "avmatching."),
        ("module.backbone.transformer.", "module.avmatching_module."),
        ("backbone.transformer.", "avmatching_module."),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_names_are_found_under_their_prefixes(prefixes, suffix, tmp_path):
    backbone, matching = CAVMAE(SIZE, GEOMETRY), AudioVideoMatching(16, 4)
    of_backbone, of_matching = random_like(backbone, 1), random_like(matching, 2)
    state = {prefixes[0] + name: value for name, value in of_backbone.items()}
    if prefixes[1]:
        state |= {prefixes[1] + name: value for name, value in of_matching.items()}
    path = tmp_path / f"checkpoint{suffix}"
    if suffix == ".pth":
        torch.save({"epoch": 3, "model": state}, path)
    else:
        save_file(state, path)

    report = load_published(path, backbone, matching if prefixes[1] else None)
    assert report.complete
    assert report.unexpected == []
    assert report.adapted == {}
    assert len(report.matched) == len(state)
    assert all(torch.equal(value, of_backbone[name]) for name, value in backbone.state_dict().items())
    if prefixes[1]:
        assert all(torch.equal(value, of_matching[name]) for name, value in matching.state_dict().items())


def test_the_report_says_what_did_not_match():
    backbone, matching = CAVMAE(SIZE, GEOMETRY), AudioVideoMatching(16, 4)
    state = random_like(backbone)
    before = backbone.norm_a.weight.clone()
    del state["norm_a.weight"]
    state["pos_embed_v"] = torch.zeros(1, 3, 16)
    state["head.weight"] = torch.zeros(2)
    state["module.avmatching_module.other"] = torch.zeros(2)
    report = load_published(state, backbone, matching)
    assert not report.complete
    assert "norm_a.weight" in report.missing
    assert "avmatching.to_a_q.weight" in report.missing
    assert report.mismatched == {"pos_embed_v": "(1, 3, 16) there, (1, 8, 16) here"}
    assert report.unexpected == ["head.weight", "avmatching.other"]
    assert torch.equal(backbone.norm_a.weight, before)
    text = str(report)
    assert "pos_embed_v: (1, 3, 16) there, (1, 8, 16) here" in text
    assert "head.weight" in text


def test_a_matching_module_nobody_asked_for_is_reported():
    backbone = CAVMAE(SIZE, GEOMETRY)
    state = random_like(backbone) | {"avmatching.norm_a.weight": torch.zeros(16)}
    assert load_published(state, backbone).unexpected == ["avmatching.norm_a.weight"]


def test_a_release_of_cav_mae_embeds_its_own_spectrogram_as_it_did():
    backbone, state = CAVMAE(SIZE, GEOMETRY), cav_mae()
    report = load_published({f"module.{name}": value for name, value in state.items()}, backbone)
    assert report.source == "CAV-MAE release"
    assert report.complete, str(report)
    # Norms of one modality in blocks that never used them.
    assert len(report.unexpected) == 4

    sound = torch.randn(2, 64, 128)
    # As released: time and frequency exchanged, then convolved; tokens go by frequency, then time.
    theirs = torch.conv2d(
        sound[:, None].transpose(2, 3),
        state["patch_embed_a.proj.weight"],
        state["patch_embed_a.proj.bias"],
        stride=16,
    )
    theirs = theirs.flatten(2).transpose(1, 2) + state["pos_embed_a"] + state["modality_a"]
    ours = backbone.patch_embed_a(patchify_audio(sound)) + backbone.pos_embed_a + backbone.modality_a
    time_major = theirs.reshape(2, 8, 4, 16).transpose(1, 2).reshape(2, 32, 16)
    torch.testing.assert_close(ours, time_major, atol=1e-4, rtol=0)
    assert not backbone.inter_pos_embed_a.any()
    assert not backbone.inter_pos_embed_v.any()

    # A decoded patch: theirs by frequency, then time; ours the other way.
    token = torch.randn(8)
    theirs = (state["decoder_pred_a.weight"] @ token + state["decoder_pred_a.bias"]).reshape(16, 16)
    torch.testing.assert_close(backbone.mae_score_audio(token).reshape(16, 16), theirs.T)
    torch.testing.assert_close(backbone.pos_embed_v[:, :4], state["pos_embed_v"])
    torch.testing.assert_close(backbone.pos_embed_v[:, 4:], state["pos_embed_v"])
    torch.testing.assert_close(backbone.mask_token_a, backbone.mask_token_v)


def test_blocks_of_cav_mae_are_placed_by_depth():
    """3 + 1 blocks there, 2 + 2 here: the last is the last, and the third of each modality has no place."""
    state = cav_mae(BackboneSize(16, 4, 3, 1, decoder_width=8, decoder_heads=2, decoder_blocks=1))
    backbone = CAVMAE(BackboneSize(16, 4, 2, 2, decoder_width=8, decoder_heads=2, decoder_blocks=1), GEOMETRY)
    report = load_published(state, backbone)
    assert torch.equal(backbone.blocks_u[1].attn.qkv.weight, state["blocks_u.0.attn.qkv.weight"])
    assert all(name.startswith("blocks_u.0.") for name in report.missing)
    assert "blocks_a.2.attn.qkv.weight" in report.unexpected
    assert "blocks_u.0.*  (20 tensors)" in str(report)


def test_positions_of_another_grid_are_stretched():
    geometry = ClipGeometry(frames=1, frame_size=48, mel_frames=128, mel_bins=128)
    backbone = CAVMAE(SIZE, geometry)
    state = cav_mae()
    state["pos_embed_v"] = torch.full((1, 4, 16), 2.0)
    state["pos_embed_a"] = torch.arange(8.0).repeat_interleave(4)[None, :, None].repeat(1, 1, 16)  # its band
    report = load_published(state, backbone)
    assert report.complete, str(report)
    torch.testing.assert_close(backbone.pos_embed_v, torch.full((1, 9, 16), 2.0))
    bands = backbone.pos_embed_a.reshape(8, 8, 16)[:, :, 0]
    torch.testing.assert_close(bands, torch.arange(8.0).expand(8, 8), atol=1e-5, rtol=0)


def test_an_image_mae_starts_both_modalities():
    backbone, state = CAVMAE(SIZE, GEOMETRY), image_mae()
    audio_positions = backbone.pos_embed_a.clone()
    report = load_published(state, backbone)
    assert report.source == "image MAE"
    assert report.unexpected == ["cls_token"]
    for blocks in (backbone.blocks_a, backbone.blocks_v):
        assert torch.equal(blocks[1].mlp.fc1.weight, state["blocks.1.mlp.fc1.weight"])
    joint = backbone.blocks_u[0]
    assert torch.equal(joint.attn.proj.bias, state["blocks.2.attn.proj.bias"])
    for norm in (joint.norm1, joint.norm1_a, joint.norm1_v):
        assert torch.equal(norm.weight, state["blocks.2.norm1.weight"])
    for norm in (backbone.norm, backbone.norm_a, backbone.norm_v):
        assert torch.equal(norm.bias, state["norm.bias"])
    kernel = state["patch_embed.proj.weight"]
    assert torch.equal(backbone.patch_embed_v.proj.weight, kernel)
    torch.testing.assert_close(
        backbone.patch_embed_a.proj.weight[:, 0], kernel[:, 0] + kernel[:, 1] + kernel[:, 2]
    )
    for table in (backbone.pos_embed_v, backbone.inter_pos_embed_v):
        assert torch.equal(table, state["pos_embed"][:, 1:].repeat(1, 2, 1))
    assert torch.equal(backbone.pos_embed_a, audio_positions)
    assert torch.equal(backbone.mae_score_audio.decoder.weight, state["decoder_pred.weight"][:256])
    assert {"pos_embed_a", "modality_a", "modality_v", "decoder_pos_embed_a"} <= set(report.missing)
    assert "summed over RGB" in str(report)


class RunsCode:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"model": RunsCode()}, path)
    with pytest.raises(DataError, match="could run code, so it is refused"):
        load_published(path, CAVMAE(SIZE, GEOMETRY))
    path.write_bytes(pickle.dumps(RunsCode()))
    with pytest.raises(DataError, match=r"evil\.pth"):
        load_published(path, CAVMAE(SIZE, GEOMETRY))
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_file_is_refused_by_name(suffix, share, tmp_path):
    path = tmp_path / f"damaged{suffix}"
    state = {"norm.weight": torch.zeros(16)}
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match="damaged"):
        load_published(path, CAVMAE(SIZE, GEOMETRY))


def test_a_missing_file_is_the_users_mistake(tmp_path):
    with pytest.raises(InputError, match="no checkpoint at"):
        load_published(tmp_path / "none.pth", CAVMAE(SIZE, GEOMETRY))


def test_a_file_in_which_nothing_fits_is_refused(tmp_path):
    torch.save({"model": {"conv1.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"nothing in .*other\.pth fits this backbone"):
        load_published(tmp_path / "other.pth", CAVMAE(SIZE, GEOMETRY))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DataError, match="no tensors by name"):
        load_published(tmp_path / "list.pth", CAVMAE(SIZE, GEOMETRY))


def test_weights_of_another_width_are_refused():
    with pytest.raises(DataError, match="nothing in the checkpoint fits"):
        load_published(image_mae(width=32, thin=4), CAVMAE(SIZE, GEOMETRY))
