import importlib

import torch

from avbench.matching import CrossAttention
from avbench.registry import catalogue

MODULE = importlib.import_module(catalogue("strategy").get("avcl").origin.rpartition(".")[0] + ".importance")


def relation(*, clips=2, heads=3, audio=4, video=6, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return CrossAttention(
        scores_av=draw(clips, heads, audio, video),
        scores_va=draw(clips, heads, video, audio),
        audio_queries=draw(clips, heads, audio, width),
        audio_keys=draw(clips, heads, audio, width),
        video_queries=draw(clips, heads, video, width),
        video_keys=draw(clips, heads, video, width),
    )


def test_importance_is_the_attention_a_patch_gets():
    given = relation()
    scores = MODULE.importance(given, temperature=0.4)
    expected = torch.zeros(6)
    for head in range(3):
        for query in range(4):
            expected += torch.softmax(given.scores_av[1, head, query] / 0.4, dim=0) / 12
    torch.testing.assert_close(scores.video[1], expected)
    torch.testing.assert_close(scores.audio.sum(1), torch.ones(2))


def test_core_half_is_the_best_half_best_first():
    scores = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]])
    assert MODULE.core_half(scores).tolist() == [[1, 3], [0, 1]]
    assert MODULE.core_half(scores, core_ratio=0.3).tolist() == [[1], [0]]


def test_core_queries_are_weighted_means_over_the_core_half():
    given, scores = relation(), MODULE.importance(relation())
    queries = MODULE.core_queries(given, scores)
    assert queries.audio.shape == queries.video.shape == (2, 3, 5)
    best = scores.video[0].argsort(descending=True)[:3]
    weights = scores.video[0, best] / scores.video[0, best].sum()
    expected = sum(
        weight * given.video_queries[0, 2, place] for weight, place in zip(weights, best, strict=True)
    )
    torch.testing.assert_close(queries.video[0, 2], expected)
