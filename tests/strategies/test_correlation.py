import importlib

import torch

from avbench.matching import CrossAttention
from avbench.registry import catalogue

PACKAGE = catalogue("strategy").get("avcl").origin.rpartition(".")[0]
importance = importlib.import_module(f"{PACKAGE}.importance")
correlation = importlib.import_module(f"{PACKAGE}.correlation")


def relation(*, clips=2, heads=3, audio=4, video=6, width=5, seed=0):
    """Cross attention whose scores are those of its queries and keys."""
    generator = torch.Generator().manual_seed(seed)
    audio_queries, audio_keys = torch.randn(2, clips, heads, audio, width, generator=generator)
    video_queries, video_keys = torch.randn(2, clips, heads, video, width, generator=generator)
    return CrossAttention(
        scores_av=audio_queries @ video_keys.mT / width**0.5,
        scores_va=video_queries @ audio_keys.mT / width**0.5,
        audio_queries=audio_queries,
        audio_keys=audio_keys,
        video_queries=video_queries,
        video_keys=video_keys,
    )


def past_queries(seed=7):
    generator = torch.Generator().manual_seed(seed)
    return importance.CoreQueries(*torch.randn(2, 2, 3, 5, generator=generator))


def test_probability_is_the_softmax_of_the_past_query_and_the_own_mean_score():
    given, past = relation(), past_queries()
    scores = importance.importance(given)
    found = correlation.correlation(given, scores, importance.core_queries(given, scores), past)
    core_audio = scores.audio[1].argsort(descending=True)[:2]
    weights = scores.audio[1, core_audio] / scores.audio[1, core_audio].sum()
    core_video = set(scores.video[1].argsort(descending=True)[:3].tolist())
    for patch in range(6):
        if patch not in core_video:
            assert found.video[1, patch] == 0
            continue
        over_heads = 0.0
        for head in range(3):
            of_past = given.video_keys[1, head, patch] @ past.audio[1, head] / 5**0.5
            own = (given.scores_av[1, head, core_audio, patch] * weights).sum()
            over_heads += torch.stack([of_past, own]).softmax(0)[0] / 3
        torch.testing.assert_close(found.video[1, patch], over_heads)


def test_a_past_like_the_present_leaves_it_open_and_half_of_the_patches_out():
    given = relation()
    scores = importance.importance(given)
    own = importance.core_queries(given, scores)
    found = correlation.correlation(given, scores, own, own)
    torch.testing.assert_close(found.audio.sort(1).values, torch.tensor([[0.0, 0, 0.5, 0.5]] * 2))
    torch.testing.assert_close(found.video.sort(1).values, torch.tensor([[0.0, 0, 0, 0.5, 0.5, 0.5]] * 2))


def test_patches_are_pruned_with_their_probability():
    probability = torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(20000, -1)
    pruned = correlation.draw_pruned(probability, torch.Generator().manual_seed(0))
    share = pruned.float().mean(0)
    assert share[0] == 0
    assert share[3] == 1
    torch.testing.assert_close(share, probability[0], atol=0.013, rtol=0)  # four standard deviations
    assert torch.equal(pruned, correlation.draw_pruned(probability, torch.Generator().manual_seed(0)))
