"""Drawing patches: the distribution, the budget, pruned ones last, and chunks cut on the right side."""

import importlib
import itertools

import pytest
import torch

from avbench.registry import catalogue

MODULE = importlib.import_module(catalogue("strategy").get("avcl").origin.rpartition(".")[0] + ".selection")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_order_has_the_distribution_of_draws_without_replacement():
    weights = torch.tensor([0.5, 0.3, 0.2])
    order = MODULE.draw_order(weights.expand(60000, -1), generator())
    for first, second, third in itertools.permutations(range(3)):
        expected = float(weights[first] * weights[second] / (1 - weights[first]))
        share = float((order == torch.tensor([first, second, third])).all(1).float().mean())
        assert share == pytest.approx(expected, abs=0.008)  # four standard deviations of 60000 draws


def test_columns_without_weight_come_last():
    weights = torch.tensor([[0.0, 1e-30, 0.0, 1.0]]).expand(200, -1)
    order = MODULE.draw_order(weights, generator())
    assert (order[:, 0] == 3).all()
    assert (order[:, 1] == 1).all()
    assert 50 < (order[:, 2] == 0).sum() < 150


def test_video_fills_its_budget_with_distinct_patches_pruned_ones_last():
    importance = torch.rand(40, 30, generator=generator(1)).softmax(1)
    pruned = torch.rand(40, 30, generator=generator(2)) < torch.linspace(0, 1, 40)[:, None]
    chosen = MODULE.select_video(importance, pruned, generator())
    assert chosen.shape == (40, 15)
    assert all(len(set(row)) == 15 for row in chosen.tolist())
    for row, places in zip(pruned, chosen, strict=True):
        taken = row[places]
        assert int((~taken).sum()) == min(15, int((~row).sum()))
        assert torch.equal(taken.byte().sort().values, taken.byte())
    assert torch.equal(chosen, MODULE.select_video(importance, pruned, generator()))


def test_video_follows_importance_among_the_unpruned():
    importance = torch.tensor([0.6, 0.2, 0.1, 0.1]).expand(20000, -1)
    pruned = torch.tensor([True, False, False, False]).expand(20000, -1)
    chosen = MODULE.select_video(importance, pruned, generator(), core_ratio=0.25)
    share = torch.bincount(chosen[:, 0], minlength=4) / 20000
    torch.testing.assert_close(share, torch.tensor([0.0, 0.5, 0.25, 0.25]), atol=0.015, rtol=0)


def take(order, pruned, chunk, budget, keep_start=True):
    found = MODULE.take_chunks(
        torch.tensor([order]),
        torch.tensor([pruned], dtype=torch.bool),
        torch.tensor([keep_start]),
        chunk,
        budget,
    )
    return found[0].tolist()


NOTHING_PRUNED = [0] * 12


@pytest.mark.parametrize(
    ("order", "keep_start", "expected"),
    [
        # Chunk 1 fills the budget of 6 after chunk 0: its start touches chunk 0.
        ([0, 1, 2], False, [0, 1, 2, 3, 4, 5]),
        # Chunk 1 after chunk 2: its end touches chunk 2.
        ([2, 1, 0], True, [8, 9, 10, 11, 6, 7]),
        # Chunk 2 after chunk 0: no neighbour was taken, so either side.
        ([0, 2, 1], True, [0, 1, 2, 3, 8, 9]),
        ([0, 2, 1], False, [0, 1, 2, 3, 10, 11]),
    ],
)
def test_the_last_chunk_is_cut_away_from_a_taken_neighbour(order, keep_start, expected):
    assert take(order, NOTHING_PRUNED, 4, 6, keep_start) == expected


@pytest.mark.parametrize(("keep_start", "expected"), [(True, [4]), (False, [7])])
def test_a_chunk_between_two_taken_ones_is_cut_on_either_side(keep_start, expected):
    chosen = take([0, 2, 1], NOTHING_PRUNED, 4, 9, keep_start)
    assert chosen == [0, 1, 2, 3, 8, 9, 10, 11, *expected]


def test_the_first_chunk_may_fill_the_budget_alone():
    assert take([1, 0, 2], NOTHING_PRUNED, 4, 3, keep_start=True) == [4, 5, 6]
    assert take([1, 0, 2], NOTHING_PRUNED, 4, 3, keep_start=False) == [5, 6, 7]


def test_a_budget_that_ends_with_a_chunk_cuts_none():
    assert take([2, 0, 1], NOTHING_PRUNED, 4, 8) == [8, 9, 10, 11, 0, 1, 2, 3]


def test_pruned_patches_do_not_count():
    pruned = [0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    # 2 of chunk 0, then 2 of the 3 unpruned in chunk 1 next to it.
    assert take([0, 1, 2], pruned, 4, 4) == [0, 3, 5, 6]
    # 4 of chunk 2, then the last of chunk 1 next to it.
    assert take([2, 1, 0], pruned, 4, 5) == [8, 9, 10, 11, 7]


def test_pruned_patches_fill_up_in_the_order_of_chunks():
    pruned = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1]
    assert take([1, 2, 0], pruned, 4, 6) == [6, 3, 4, 5, 7, 8]


def loop(order, pruned, keep_start, chunk, budget):
    """The same choice for one clip, one chunk after the other."""
    chosen, left, done = [], [], set()
    for number in order:
        places = range(number * chunk, min((number + 1) * chunk, len(pruned)))
        spared = [place for place in places if not pruned[place]]
        left += [place for place in places if pruned[place]]
        room = budget - len(chosen)
        if len(spared) > room:
            before, after = number - 1 in done, number + 1 in done
            start = before if before != after else keep_start
            spared = spared[:room] if start else spared[len(spared) - room :]
        chosen += spared
        done.add(number)
        if len(chosen) == budget:
            return chosen
    return chosen + left[: budget - len(chosen)]


@pytest.mark.parametrize(("length", "chunk"), [(48, 8), (64, 4), (20, 8), (512, 32)])
def test_whole_batches_give_what_a_loop_gives(length, chunk):
    clips, budget, draw = 60, length // 2, generator(length)
    chunks = -(-length // chunk)
    order = torch.rand(clips, chunks, generator=draw).argsort(1)
    pruned = torch.rand(clips, length, generator=draw) < torch.linspace(0, 1, clips)[:, None]
    keep_start = torch.rand(clips, generator=draw) < 0.5
    found = MODULE.take_chunks(order, pruned, keep_start, chunk, budget)
    for clip in range(clips):
        given = (order[clip].tolist(), pruned[clip].tolist(), bool(keep_start[clip]))
        assert found[clip].tolist() == loop(*given, chunk, budget)


@pytest.mark.parametrize(("steps", "chunk_steps"), [(16, 4), (10, 4)])
def test_audio_fills_its_budget_with_distinct_patches(steps, chunk_steps):
    importance = torch.rand(30, steps * 8, generator=generator(1)).softmax(1)
    pruned = torch.rand(30, steps * 8, generator=generator(2)) < torch.linspace(0, 1, 30)[:, None]
    chosen = MODULE.select_audio(importance, pruned, generator(), bands=8, chunk_steps=chunk_steps)
    assert chosen.shape == (30, steps * 4)
    assert all(len(set(row)) == steps * 4 for row in chosen.tolist())
    spared = (~pruned.gather(1, chosen)).sum(1)
    assert torch.equal(spared, (~pruned).sum(1).clamp_max(steps * 4))


def test_audio_draws_chunks_by_their_mean_importance():
    # Three steps in chunks of two: the last chunk is one step, and its mean counts as much as another's.
    importance = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.3, 0.1]).expand(20000, -1)  # chunk means 0.3, 0.4
    pruned = torch.zeros(20000, 6, dtype=torch.bool)
    chosen = MODULE.select_audio(importance, pruned, generator(), bands=2, chunk_steps=2, core_ratio=1 / 3)
    first_is_last_chunk = float((chosen[:, 0] >= 4).float().mean())
    assert first_is_last_chunk == pytest.approx(0.4 / 0.7, abs=0.015)


def test_audio_cuts_either_side_at_random_when_it_must():
    importance = torch.ones(2000, 8)
    pruned = torch.zeros(2000, 8, dtype=torch.bool)
    chosen = MODULE.select_audio(importance, pruned, generator(), bands=1, chunk_steps=8, core_ratio=0.5)
    starts = float((chosen[:, 0] == 0).float().mean())
    assert starts == pytest.approx(0.5, abs=0.045)
    assert set(chosen[:, 0].tolist()) == {0, 4}
