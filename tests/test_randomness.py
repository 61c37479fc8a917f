"""Named generators: independent of one another, and continued where they stood."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from avbench.errors import RunError
from avbench.randomness import Randomness, derive_seed


def draws(randomness: Randomness, name: str) -> list[float]:
    return [
        *torch.rand(3, generator=randomness.torch(name)).tolist(),
        *randomness.numpy(name).random(3).tolist(),
    ]


def test_the_same_seed_draws_the_same():
    assert draws(Randomness(5), "masking") == draws(Randomness(5), "masking")


def test_seeds_and_names_and_kinds_draw_differently():
    drawn = [
        value for seed in (0, 1) for name in ("masking", "shuffle") for value in draws(Randomness(seed), name)
    ]
    assert len(set(drawn)) == len(drawn)


def test_a_name_continues_its_stream():
    randomness = Randomness(0)
    first, second = draws(randomness, "masking"), draws(randomness, "masking")
    assert first != second
    whole = Randomness(0)
    assert torch.rand(6, generator=whole.torch("masking")).tolist() == first[:3] + second[:3]


def test_a_new_name_changes_no_other():
    disturbed = Randomness(0)
    before = draws(disturbed, "masking")
    draws(disturbed, "new")
    draws(disturbed, "masking/new")
    plain = Randomness(0)
    assert before == draws(plain, "masking")
    assert draws(disturbed, "masking") == draws(plain, "masking")


def test_nothing_is_drawn_from_the_global_generators():
    torch.manual_seed(0)
    np.random.seed(0)
    global_torch, global_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    draws(Randomness(0), "masking")
    assert torch.equal(torch.get_rng_state(), global_torch)
    assert np.array_equal(np.random.get_state()[1], global_numpy)


def test_a_saved_state_continues_all_streams():
    randomness = Randomness(3)
    for name in ("masking", "shuffle"):
        draws(randomness, name)
    file = io.BytesIO()
    torch.save(randomness.state_dict(), file)
    file.seek(0)
    # Plain data alone: it is read without running code.
    state = torch.load(file, weights_only=True)
    wanted = {name: draws(randomness, name) for name in ("masking", "shuffle", "not used before")}

    continued = Randomness(99)
    draws(continued, "masking")
    draws(continued, "of the other run")
    continued.load_state_dict(state)
    assert continued.seed == 3
    assert {name: draws(continued, name) for name in wanted} == wanted
    assert draws(continued, "of the other run") == draws(Randomness(3), "of the other run")


def test_a_state_is_a_copy():
    randomness = Randomness(0)
    draws(randomness, "masking")
    state = randomness.state_dict()
    wanted = draws(randomness, "masking")
    randomness.load_state_dict(state)
    assert draws(randomness, "masking") == wanted


def test_derived_seeds_are_the_same_everywhere():
    # Pinned: a store or record made elsewhere was drawn with these.
    assert derive_seed(0, "torch", "masking") == 1563387186702405531
    assert derive_seed(1, "view", 17) == 270128435434597821


@pytest.mark.parametrize("names", [("a",), ("a", 1), ("b", "a")])
def test_derived_seeds_suit_every_generator(names):
    seed = derive_seed(7, *names)
    assert 0 <= seed < 2**63
    assert seed != derive_seed(8, *names)
    assert seed != derive_seed(7, *names, "more")


def test_a_state_is_taken_up_by_generators_that_others_hold():
    randomness = Randomness(1)
    held = randomness.torch("shuffle")
    state = randomness.state_dict()
    wanted = torch.rand(3, generator=held).tolist()
    randomness.load_state_dict(state)
    assert randomness.torch("shuffle") is held
    assert torch.rand(3, generator=held).tolist() == wanted


def test_draws_can_be_undone():
    randomness = Randomness(1)
    wanted = draws(Randomness(1), "shuffle")
    with randomness.undisturbed("shuffle"):
        torch.rand(5, generator=randomness.torch("shuffle"))
    assert draws(randomness, "shuffle") == wanted


def test_all_generators_can_be_given_back():
    randomness = Randomness(0)
    draws(randomness, "masking")
    held = randomness.torch("masking"), randomness.numpy("masking")
    before = randomness.state_dict()
    with randomness.rewound():
        looked_at = draws(randomness, "masking")
        draws(randomness, "first used within")
    assert randomness.state_dict().keys() == before.keys()
    assert randomness.state_dict()["torch"].keys() == {"masking"}
    assert randomness.state_dict()["numpy"] == before["numpy"]
    # In place: who holds a generator goes on with it.
    assert (randomness.torch("masking"), randomness.numpy("masking")) == held
    assert draws(randomness, "masking") == looked_at


def test_what_is_common_is_drawn_alike_by_all_processes_and_may_be_loaded() -> None:
    first, second = Randomness(3), Randomness(3, process=1)
    for each in (first, second):
        each.common("moves")
    begun = draws(first, "moves")
    assert draws(second, "moves") == begun
    assert draws(first, "masking") != draws(second, "masking")
    again = Randomness(3, process=1)
    again.load_state_dict(second.state_dict())
    again.common("moves")
    assert draws(again, "moves") == draws(first, "moves") != begun
    assert draws(again, "masking") == draws(second, "masking")


def test_what_each_process_drew_for_itself_cannot_become_common() -> None:
    for process in (0, 1):
        randomness = Randomness(3, process=process)
        randomness.numpy("moves")
        with pytest.raises(RunError, match="'moves' was used before it was declared common"):
            randomness.common("moves")
