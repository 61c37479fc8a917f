"""What the backbone does with patches; agreement with the published figures is in test_reference.py."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from avbench.backbone import BACKBONES, CAVMAE, BackboneSize, MaskNoise, Positions
from avbench.clips import ClipBatch, ClipGeometry, normalise_frames, patchify_audio, patchify_video, take
from avbench.objectives import training_loss

SIZE = BackboneSize(32, 4, 2, 2, decoder_width=16, decoder_heads=2, decoder_blocks=2)
GEOMETRY = ClipGeometry(frames=2, frame_size=64, mel_frames=64, mel_bins=128)  # 32 video, 32 audio patches


@pytest.fixture(scope="module")
def backbone():
    # Larger weights than it starts with, so that everything shows in the features.
    made = CAVMAE(SIZE, GEOMETRY)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return made


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (3, 2, 64, 64, 3), generator=generator, dtype=torch.uint8)
    sound = torch.randn(3, 64, 128, generator=generator)
    return ClipBatch(patchify_video(frames), patchify_audio(sound), torch.arange(3), GEOMETRY)


def half(batch, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return batch.select(
        video=torch.rand(3, 32, generator=generator).argsort(1)[:, :16],
        audio=torch.rand(3, 32, generator=generator).argsort(1)[:, :16],
    )


def noise_for(batch, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return MaskNoise(
        torch.rand(batch.audio.shape[:2], generator=generator),
        torch.rand(batch.video.shape[:2], generator=generator),
    )


def test_presets_have_the_papers_sizes():
    base = BACKBONES["base"]
    assert (base.width, base.heads, base.unimodal_blocks, base.joint_blocks) == (768, 12, 10, 2)
    assert (base.decoder_width, base.decoder_heads, base.decoder_blocks, base.mlp_ratio) == (512, 16, 8, 4)


def test_a_size_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="heads"):
        replace(SIZE, heads=5)
    with pytest.raises(ValueError, match="joint_blocks"):
        replace(SIZE, joint_blocks=0)


def test_the_papers_geometry_keeps_a_fifth():
    with torch.device("meta"):
        model = CAVMAE(SIZE, ClipGeometry())
    assert model.kept_patches("video") == 156
    assert model.kept_patches("audio") == 102


def test_patch_embedding_is_the_convolution_of_the_checkpoint(backbone):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 1, 32, 48, 3, generator=generator)
    convolved = backbone.patch_embed_v.proj(frames[:, 0].permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(backbone.patch_embed_v(patchify_video(frames)), convolved, atol=1e-5, rtol=0)
    sound = torch.randn(2, 32, 64, generator=generator)
    convolved = backbone.patch_embed_a.proj(sound[:, None]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(backbone.patch_embed_a(patchify_audio(sound)), convolved, atol=1e-5, rtol=0)


@torch.no_grad()
def test_uint8_frames_give_what_normalised_frames_give(backbone, batch):
    normalised = replace(batch, video=normalise_frames(batch.video))
    torch.testing.assert_close(backbone.embed(batch), backbone.embed(normalised))
    noise = noise_for(batch)
    torch.testing.assert_close(vars(backbone(batch, noise)), vars(backbone(normalised, noise)))


@torch.no_grad()
def test_the_order_of_patches_does_not_matter_their_positions_do(backbone, batch):
    order = torch.rand(3, 32, generator=torch.Generator().manual_seed(4)).argsort(1)
    shuffled = batch.select(video=order, audio=order)
    torch.testing.assert_close(backbone.embed(shuffled), backbone.embed(batch), atol=1e-5, rtol=0)
    joint = backbone.joint(backbone.unimodal(shuffled), Positions.of(shuffled))
    expected = take(backbone.joint(backbone.unimodal(batch)).video, order)
    torch.testing.assert_close(joint.video, expected, atol=1e-4, rtol=0)

    noise = noise_for(batch)
    alike = MaskNoise(take(noise.audio, order), take(noise.video, order))
    torch.testing.assert_close(
        vars(backbone(shuffled, alike)), vars(backbone(batch, noise)), atol=1e-5, rtol=0
    )
    displaced = replace(shuffled, video_positions=None, audio_positions=None)
    assert not torch.allclose(backbone.embed(displaced).video, backbone.embed(batch).video, atol=1e-3)


@torch.no_grad()
def test_a_masked_pass_keeps_as_many_patches_of_a_half_as_of_the_whole(backbone, batch):
    chosen = half(batch)
    noise = noise_for(chosen)
    output = backbone(chosen, noise)
    kept = noise.video.argsort(1)[:, :6]  # int(32 * 0.2)
    tokens = backbone.latent(
        backbone.unimodal(chosen.select(video=kept, audio=noise.audio.argsort(1)[:, :6])),
        Positions.of(chosen.select(video=kept, audio=noise.audio.argsort(1)[:, :6])),
    )
    torch.testing.assert_close(output.video_pooled, tokens.video.mean(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.audio_pooled, tokens.audio.mean(1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_reconstruction_agrees_with_one_clip_written_out(backbone, batch):
    """The decoder on one clip with tokens put back in place, as the published code has it."""
    noise = noise_for(batch)
    output = backbone(batch, noise)
    clip = 1
    order = {"audio": noise.audio[clip].argsort(), "video": noise.video[clip].argsort()}
    kept = batch[clip : clip + 1].select(audio=order["audio"][None, :6], video=order["video"][None, :6])
    fused = torch.cat(backbone.joint(backbone.unimodal(kept), Positions.of(kept)), dim=1)
    fused = backbone.decoder_embed(backbone.norm(fused))[0]
    for letter, modality, part in (("a", "audio", fused[:6]), ("v", "video", fused[6:])):
        tokens = getattr(backbone, f"mask_token_{letter}")[0].repeat(32, 1)
        tokens[order[modality][:6]] = part
        tokens = tokens + getattr(backbone, f"decoder_pos_embed_{letter}")[0]
        tokens = (tokens + getattr(backbone, f"decoder_modality_{letter}")[0])[None]
        for block in backbone.decoder_blocks:
            tokens = block(tokens)
        predicted = getattr(backbone, f"mae_score_{modality}")(backbone.decoder_norm(tokens))[0]
        patches = batch.audio[clip] if letter == "a" else normalise_frames(batch.video[clip])
        target = (patches - patches.mean(1, keepdim=True)) / (patches.var(1, keepdim=True) + 1e-6).sqrt()
        expected = (predicted - target)[order[modality][6:]].square().mean()
        torch.testing.assert_close(
            getattr(output, f"{modality}_reconstruction")[clip], expected, atol=1e-4, rtol=0
        )


@torch.no_grad()
def test_features_do_not_see_masked_patches(backbone, batch):
    noise = noise_for(batch)
    changed = batch.video.clone()
    changed.scatter_(1, noise.video.argsort(1)[:, 6:, None].expand(-1, -1, 768), 7)
    before, after = backbone(batch, noise), backbone(replace(batch, video=changed), noise)
    torch.testing.assert_close(before.video_pooled, after.video_pooled)
    torch.testing.assert_close(before.contrastive, after.contrastive)
    assert not torch.allclose(before.video_reconstruction, after.video_reconstruction)


def test_every_parameter_learns(batch):
    model = CAVMAE(SIZE, GEOMETRY)
    training_loss(model(batch, noise_for(batch))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_mixed_precision_gives_nearly_the_same_loss_in_float32(backbone, batch):
    noise = noise_for(batch)
    with torch.autocast("cpu", torch.bfloat16):
        output = backbone(batch, noise)
        training_loss(output).backward()
        assert all(value.dtype == torch.float32 for value in vars(output).values())
    torch.testing.assert_close(
        training_loss(output), training_loss(backbone(batch, noise)), rtol=0.02, atol=0
    )
    backbone.zero_grad()


def test_gradients_reach_the_patches(backbone, batch):
    patches = replace(batch, video=normalise_frames(batch.video).requires_grad_())
    training_loss(backbone(patches, noise_for(batch))).backward()
    assert patches.video.grad.abs().sum(dim=2).gt(0).all()
    backbone.zero_grad()


def test_too_few_patches_are_refused(backbone, batch):
    few = batch.select(video=torch.arange(6).expand(3, -1), audio=torch.arange(16).expand(3, -1))
    with pytest.raises(ValueError, match="keeps 6 of 32 video patches"):
        backbone(few, noise_for(few))


def test_noise_is_the_generators(backbone, batch):
    first = backbone.draw_noise(batch, torch.Generator().manual_seed(9))
    again = backbone.draw_noise(batch, torch.Generator().manual_seed(9))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.audio.shape == first.video.shape == (3, 32)


def test_a_new_backbone_is_always_the_same_until_initialised_anew():
    torch.manual_seed(1)
    one = CAVMAE(SIZE, GEOMETRY)
    torch.manual_seed(2)
    other = CAVMAE(SIZE, GEOMETRY)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    other.initialise(torch.Generator().manual_seed(3))
    assert not torch.equal(one.blocks_a[0].mlp.fc1.weight, other.blocks_a[0].mlp.fc1.weight)
    assert one.blocks_a[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)


@torch.no_grad()
def test_retrieval_embeddings_have_unit_length(backbone, batch):
    embedded = backbone.embed(batch)
    torch.testing.assert_close(embedded.audio.norm(dim=1), torch.ones(3))
    latent = backbone.latent(backbone.unimodal(batch))
    torch.testing.assert_close(embedded.video, F.normalize(latent.video.mean(1), dim=1))
