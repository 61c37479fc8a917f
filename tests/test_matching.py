import pytest
import torch
import torch.nn.functional as F

from avbench.backbone import CAVMAE, BackboneSize, Positions, Tokens
from avbench.clips import ClipBatch, ClipGeometry
from avbench.matching import AudioVideoMatching, exchange_videos, matching_loss

SIZE = BackboneSize(24, 4, 1, 1, decoder_width=16, decoder_heads=2, decoder_blocks=1)
GEOMETRY = ClipGeometry(frames=2, frame_size=32, mel_frames=64, mel_bins=32)  # 8 video, 8 audio patches


@pytest.fixture
def backbone():
    return CAVMAE(SIZE, GEOMETRY)


@pytest.fixture
def matching():
    made = AudioVideoMatching(24, heads=4)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return made


def clips(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ClipBatch(
        torch.randn(count, 8, 768, generator=generator),
        torch.randn(count, 8, 256, generator=generator),
        torch.arange(count),
        GEOMETRY,
    )


def tokens(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Tokens(
        torch.randn(count, 5, 24, generator=generator), torch.randn(count, 6, 24, generator=generator)
    )


@pytest.mark.parametrize("count", [3, 4, 7, 48])
def test_half_of_the_clips_exchange_videos_and_none_of_them_keeps_its_own(count):
    generator = torch.Generator().manual_seed(count)
    for _ in range(50):
        video, matched = exchange_videos(count, generator)
        assert sorted(video.tolist()) == list(range(count))
        assert matched.sum() == count // 2
        assert torch.equal(video == torch.arange(count), matched)


@pytest.mark.parametrize("count", [1, 2])
def test_one_clip_has_none_to_exchange_with(count):
    video, matched = exchange_videos(count, torch.Generator())
    assert matched.all()
    assert video.tolist() == list(range(count))


def test_heads_attend_separately_and_are_laid_side_by_side(matching):
    given = tokens()
    audio, video = matching.norm_a(given.audio), matching.norm_v(given.video)
    seen, heard = [], []
    for head in range(4):
        part = slice(6 * head, 6 * head + 6)
        to_video = (
            matching.to_a_q(audio)[..., part] @ matching.to_v_k(video)[..., part].mT / 6**0.5
        ).softmax(2)
        to_audio = (
            matching.to_v_q(video)[..., part] @ matching.to_a_k(audio)[..., part].mT / 6**0.5
        ).softmax(2)
        seen.append(to_video @ matching.to_v_v(video)[..., part])
        heard.append(to_audio @ matching.to_a_v(audio)[..., part])
    features = torch.cat([torch.cat(heard, 2).mean(1), torch.cat(seen, 2).mean(1)], dim=1)
    head = matching.matching_score
    expected = head.fc(torch.tanh(head.pooler["dense"](features)))[:, 0]
    torch.testing.assert_close(matching(given), expected, atol=1e-5, rtol=1e-5)


def test_raw_scores_are_the_scaled_products_of_queries_and_keys(matching):
    relation = matching.relate(tokens())
    assert relation.scores_av.shape == (2, 4, 5, 6)
    assert relation.scores_va.shape == (2, 4, 6, 5)
    product = relation.audio_queries[1, 2, 3] @ relation.video_keys[1, 2, 4] / 6**0.5
    torch.testing.assert_close(relation.scores_av[1, 2, 3, 4], product)
    product = relation.video_queries[1, 2, 3] @ relation.audio_keys[1, 2, 4] / 6**0.5
    torch.testing.assert_close(relation.scores_va[1, 2, 3, 4], product)


def test_the_loss_is_that_of_pairs_and_exchanged_videos(backbone, matching):
    unimodal = backbone.unimodal(clips(5))
    video, matched = exchange_videos(5, torch.Generator().manual_seed(1))
    logits = matching(backbone.joint(Tokens(unimodal.audio, unimodal.video[video])))
    expected = F.binary_cross_entropy_with_logits(logits, matched.float())
    loss = matching_loss(matching, backbone, unimodal, torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss, expected)
    given = matching_loss(
        matching, backbone, unimodal, torch.Generator().manual_seed(1), joint=backbone.joint(unimodal)
    )
    torch.testing.assert_close(given, expected)


def test_exchanged_videos_take_their_positions_along(backbone, matching):
    whole = clips(4)
    order = torch.rand(4, 8, generator=torch.Generator().manual_seed(3)).argsort(1)
    shuffled = whole.select(video=order, audio=order.flip(0))
    generator = torch.Generator()
    expected = matching_loss(matching, backbone, backbone.unimodal(whole), generator.manual_seed(2))
    loss = matching_loss(
        matching,
        backbone,
        backbone.unimodal(shuffled),
        generator.manual_seed(2),
        positions=Positions.of(shuffled),
    )
    torch.testing.assert_close(loss, expected)


def test_the_backbone_gets_no_gradient_and_the_module_does(backbone, matching):
    matching_loss(matching, backbone, backbone.unimodal(clips(4)), torch.Generator()).backward()
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert all(parameter.grad is not None for parameter in matching.parameters())


def test_it_learns_to_tell_pairs_from_strangers(matching):
    """On tokens that name their clip in both modalities, the loss falls well below chance, 0.69."""
    backbone = CAVMAE(SIZE, GEOMETRY)
    names = torch.randn(8, 1, 24, generator=torch.Generator().manual_seed(0)) * 3
    given = Tokens(names.expand(-1, 8, -1), names.expand(-1, 8, -1))
    optimiser = torch.optim.Adam(matching.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        optimiser.zero_grad()
        loss = matching_loss(matching, backbone, given, generator)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.35


def test_a_width_the_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of heads"):
        AudioVideoMatching(32, heads=12)


def test_scores_are_not_rounded_under_autocast(matching):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        relation = matching.relate(tokens())
    exact = relation.audio_queries @ relation.video_keys.transpose(2, 3) * 6**-0.5
    assert torch.allclose(relation.scores_av, exact, atol=1e-6, rtol=1e-5)
