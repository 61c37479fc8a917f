"""Importance, queries and correlation against the published implementation's figures.

From the recorded tokens of the encoders on, where the fixture's weights are exact (see
fixtures/make_published_cavmae.py).
"""

import importlib

import pytest
import torch

from avbench.backbone import Tokens, load_reference
from avbench.registry import catalogue

PACKAGE = catalogue("strategy").get("avcl").origin.rpartition(".")[0]
importance = importlib.import_module(f"{PACKAGE}.importance")
correlation = importlib.import_module(f"{PACKAGE}.correlation")
compare_with_reference = importlib.import_module(f"{PACKAGE}.reference").compare_with_reference


@torch.no_grad()
def test_scores_queries_and_correlation_are_the_published_ones(published_file):
    backbone, matching, _, _, figures = load_reference(published_file)
    unimodal = Tokens(figures["unimodal.audio"], figures["unimodal.video"])
    relation = matching.relate(backbone.joint(unimodal))
    scores = importance.importance(relation)
    queries = importance.core_queries(relation, scores)
    past = importance.CoreQueries(figures["input.past_query_audio"], figures["input.past_query_video"])
    probability = correlation.correlation(relation, scores, queries, past)
    for key, value in {
        "avm.importance_audio": scores.audio,
        "avm.importance_video": scores.video,
        "avm.query_audio": queries.audio,
        "avm.query_video": queries.video,
        "correlation.audio": probability.audio,
        "correlation.video": probability.video,
    }.items():
        torch.testing.assert_close(
            value, figures[key], atol=1e-5, rtol=0, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_anyone_can_repeat_the_check(published_file):
    differences = compare_with_reference(published_file)
    assert sorted(differences) == [
        "avm.importance_audio",
        "avm.importance_video",
        "avm.query_audio",
        "avm.query_video",
        "correlation.audio",
        "correlation.video",
    ]
    # The encoders' weights are rounded in the fixture, so a patch may cross into or out of the core half.
    assert max(differences[f"avm.importance_{modality}"] for modality in ("audio", "video")) < 5e-3
    assert differences["avm.query_audio"] == pytest.approx(0, abs=0.1)
