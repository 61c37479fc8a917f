"""Retrieval metrics against brute force, hand-worked cases and their stated conventions."""

from __future__ import annotations

import numpy as np
import pytest

from avbench.retrieval import modality_gap, ranks, recall_at, recalls, retrieval_scores, unit_rows

RANDOM = np.random.Generator(np.random.PCG64(7))


def brute_force_ranks(queries: np.ndarray, gallery: np.ndarray) -> list[int]:
    result = []
    for number, query in enumerate(queries):
        cosines = [
            float(query @ item) / float(np.linalg.norm(query) * np.linalg.norm(item)) for item in gallery
        ]
        result.append(sum(cosine >= cosines[number] for cosine in cosines))
    return result


def test_ranks_equal_brute_force() -> None:
    queries, gallery = RANDOM.normal(size=(40, 6)), RANDOM.normal(size=(40, 6))
    assert ranks(queries, gallery).tolist() == brute_force_ranks(queries, gallery)


def test_ranks_with_targets_in_a_larger_gallery() -> None:
    gallery = RANDOM.normal(size=(30, 5))
    targets = np.array([29, 0, 7])
    assert ranks(gallery[targets] * 3, gallery, targets).tolist() == [1, 1, 1]
    assert ranks(-gallery[targets], gallery, targets).tolist() == [30, 30, 30]


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_ranks_do_not_depend_on_the_chunk(chunk: int) -> None:
    queries, gallery = RANDOM.normal(size=(40, 64)), RANDOM.normal(size=(40, 64))
    gallery[20:] = gallery[:20]
    whole = ranks(queries, gallery, chunk=40)
    assert ranks(queries, gallery, chunk=chunk).tolist() == whole.tolist()


def test_hand_example() -> None:
    # Angles in degrees: sound 0 is nearest to video 1, sound 1 to video 1, sound 2 to video 2.
    audio = np.array([[np.cos(a), np.sin(a)] for a in np.deg2rad([0, 50, 100])])
    video = np.array([[np.cos(a), np.sin(a)] for a in np.deg2rad([40, 30, 90])])
    assert ranks(audio, video).tolist() == [2, 2, 1]
    # Video 0 is nearest to sound 1, videos 1 and 2 to their own.
    assert ranks(video, audio).tolist() == [2, 1, 1]


def test_ties_count_against_the_query() -> None:
    # Four clips with one and the same embedding: every rank is the last.
    same = np.tile(RANDOM.normal(size=(1, 64)), (4, 1))
    assert ranks(same, same).tolist() == [4, 4, 4, 4]
    assert ranks(same * np.array([[1], [2], [3], [5]]), same).tolist() == [4, 4, 4, 4]


def test_ties_count_in_every_place_of_a_large_gallery() -> None:
    # A copy of the match far away in the gallery may go through another block of the matrix product.
    gallery = RANDOM.normal(size=(1537, 768)).astype(np.float32)
    gallery[1536] = gallery[0]
    queries = RANDOM.normal(size=(1537, 768)).astype(np.float32)
    for query in range(0, 1537, 64):
        queries[query] = gallery[0]
    targets = np.zeros(1537, dtype=np.int64)
    found = ranks(queries, gallery, targets, chunk=100)
    assert (found[::64] == 2).all()


def test_differences_below_the_precision_of_float32_are_ties() -> None:
    gallery = np.array([[1, 0], [1, 1e-8], [1, 0.1]])
    assert ranks(gallery, gallery).tolist() == [2, 2, 1]


def test_collapsed_model_scores_nothing() -> None:
    same = np.ones((20, 8))
    assert recalls(ranks(same, same)) == {"R@1": 0, "R@5": 0, "R@10": 0, "mean": 0}


def test_lengths_do_not_matter() -> None:
    queries, gallery = RANDOM.normal(size=(12, 6)), RANDOM.normal(size=(12, 6))
    stretched = gallery * RANDOM.uniform(1e-30, 1e20, size=(12, 1))
    assert ranks(queries, stretched).tolist() == ranks(queries, gallery).tolist()


def test_recall_counts_ranks_up_to_k() -> None:
    ranked = [1, 2, 5, 6, 10, 11, 1, 100]
    assert recall_at(ranked, 1) == pytest.approx(25)
    assert recall_at(ranked, 5) == pytest.approx(50)
    assert recall_at(ranked, 10) == pytest.approx(75)
    assert recalls(ranked)["mean"] == pytest.approx(50)


def test_scores_are_per_task_over_the_whole_gallery() -> None:
    # Clips 0, 1 belong to task 0, clip 2 to task 1, clip 3 is in the gallery only.
    video = np.eye(4)
    audio = np.array([[1, 0, 0, 0], [0, 0.5, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    scores = retrieval_scores(audio, video, [0, 0, 1, -1], tasks=2)
    assert scores["A2V"]["R@1"] == [50, 100]
    assert scores["A2V"]["R@5"] == [100, 100]
    assert scores["A2V"]["mean"] == pytest.approx([250 / 3, 100])
    # Video 1 hears sound 1 best: nothing else has a part in that direction.
    assert scores["V2A"]["R@1"] == [100, 100]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embedding_that_is_not_finite_is_an_error(value: float) -> None:
    good, bad = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 3))
    bad[3, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        ranks(good, bad)
    with pytest.raises(ValueError, match=r"audio embeddings: 1 of 5 clips .*first: row 3"):
        retrieval_scores(bad, good, [0] * 5, tasks=1)
    with pytest.raises(ValueError, match="not finite"):
        modality_gap(good, bad)


def test_shapes_and_empty_tasks_are_refused() -> None:
    some = RANDOM.normal(size=(4, 3))
    with pytest.raises(ValueError, match="3 wide and the gallery 2"):
        ranks(some, some[:, :2])
    with pytest.raises(ValueError, match="outside the gallery"):
        ranks(some, some[:2])
    with pytest.raises(ValueError, match="no queries"):
        retrieval_scores(some, some, [0, 0, 0, 0], tasks=2)
    with pytest.raises(ValueError, match="differ"):
        retrieval_scores(some, some, [0, 0, 0], tasks=1)
    with pytest.raises(ValueError, match="all zeros"):
        unit_rows(np.zeros((2, 3)))


def test_modality_gap_by_hand() -> None:
    # Means of unit rows: audio (0.5, 0.5), video (-1, 0): distance sqrt(1.5^2 + 0.5^2).
    audio = np.array([[2.0, 0], [0, 5.0]])
    video = np.array([[-1.0, 0], [-7.0, 0]])
    assert modality_gap(audio, video) == pytest.approx(np.sqrt(2.5))
    assert modality_gap(audio, audio) == 0
