"""Repeating the check of the method's own functions against the published implementation's figures.

Works on the same files as `avbench.backbone.compare_with_reference`, which describes them.
"""

from __future__ import annotations

from pathlib import Path

import torch

from avbench.backbone.reference import load_reference

from .correlation import correlation
from .importance import CoreQueries, core_queries, importance


@torch.no_grad()
def compare_with_reference(path: Path | str) -> dict[str, float]:
    """Return the largest absolute difference of importance, core queries and correlation, by key.

    Agreement to 1e-4 is expected of float32.

    Raises:
        InputError, DataError: as `avbench.backbone.load_reference`.
    """
    backbone, matching, batch, _, figures = load_reference(path)
    relation = matching.relate(backbone.joint(backbone.unimodal(batch)))
    scores = importance(relation)
    queries = core_queries(relation, scores)
    past = CoreQueries(figures["input.past_query_audio"], figures["input.past_query_video"])
    probability = correlation(relation, scores, queries, past)
    computed = {
        "avm.importance_audio": scores.audio,
        "avm.importance_video": scores.video,
        "avm.query_audio": queries.audio,
        "avm.query_video": queries.video,
        "correlation.audio": probability.audio,
        "correlation.video": probability.video,
    }
    return {key: float((value - figures[key]).abs().max()) for key, value in computed.items()}
