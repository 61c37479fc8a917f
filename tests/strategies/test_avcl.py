"""AVCL: which patches are trained on, what is stored, what learns from what."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from avbench.errors import InputError
from avbench.kept_state import kept_tensors
from avbench.matching import matching_loss
from avbench.objectives import training_loss
from avbench.randomness import Randomness
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("avcl")
AVCL = PLUGIN.cls
IMPORTANCE = importlib.import_module(PLUGIN.origin.rpartition(".")[0] + ".importance")
SELECTIONS = ("avcl", "lpis", "rca", "none")


def avcl(**options: Any) -> Any:
    return AVCL(**{"capacity": 50, "chunk": 2} | options)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_trains_on_half_of_every_clip(selection: str, pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy = pretraining(avcl(selection=selection))
    for seed, count in ((1, 2), (2, 4), (3, 1)):
        strategy.step(clips(count, seed))
        for modality in ("audio", "video"):
            whole, positions = geometry.patches(modality), strategy.mbatch.positions(modality)
            if selection == "none":
                assert positions is None
                continue
            assert positions.shape == (len(strategy.mbatch), whole // 2)
            assert all(len(set(places)) == whole // 2 for places in positions.tolist())
            held = clips(count, seed).patches(modality)
            trained = strategy.mbatch.patches(modality)[:count]
            assert torch.equal(trained[0], held[0, positions[0]].to(trained))


@pytest.mark.parametrize("selection", ["avcl", "lpis"])
def test_with_an_empty_memory_the_core_half_is_taken_as_it_is(
    selection: str, pretraining: Any, clips: Any
) -> None:
    strategy, batch = pretraining(avcl(selection=selection, temperature=0.1)), clips(4)
    with torch.no_grad():
        joint = strategy.model.joint(strategy.model.unimodal(batch))
        scores = IMPORTANCE.importance(strategy.matching.relate(joint), temperature=0.1)
    strategy.step(batch)
    assert torch.equal(strategy.mbatch.audio_positions, IMPORTANCE.core_half(scores.audio))
    assert torch.equal(strategy.mbatch.video_positions, IMPORTANCE.core_half(scores.video))
    held = strategy.method.memory.contents
    if selection == "avcl":
        assert not held["extra/audio_pruning"].any()
        assert not held["extra/video_pruning"].any()


def test_stores_whole_clips_with_what_was_found_of_them(pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy, method = pretraining(avcl()), None
    strategy.step(clips(4, 1))
    features = strategy.mb_output.audio_pooled
    strategy.step(clips(4, 2))
    method = strategy.method
    held = method.memory.contents
    width, audio, video = 128, geometry.audio_patches, geometry.video_patches
    assert torch.equal(held["video"], torch.cat([clips(4, 1).video, clips(4, 2).video]))
    assert torch.equal(held["extra/audio_features"][:4], features)
    shapes = {name: tuple(value.shape[1:]) for name, value in held.items() if name.startswith("extra/")}
    assert shapes == {
        "extra/audio_features": (width,),
        "extra/video_features": (width,),
        "extra/audio_queries": (4, 32),
        "extra/video_queries": (4, 32),
        "extra/audio_importance": (audio,),
        "extra/video_importance": (video,),
        "extra/audio_pruning": (audio,),
        "extra/video_pruning": (video,),
    }
    for modality in ("audio", "video"):
        probability, importance = (held[f"extra/{modality}_{part}"] for part in ("pruning", "importance"))
        torch.testing.assert_close(importance.sum(dim=1), torch.ones(8))
        # Of clips that came when there was a past: probabilities in the core half, 0 elsewhere.
        assert (probability[4:] > 0).sum(dim=1).tolist() == [geometry.patches(modality) // 2] * 4
        assert probability.max() < 1
    assert {entry.kind for entry in kept_tensors(method)} == {"rehearsal memory"}


def test_rehearsed_clips_are_selected_by_their_stored_scores(
    pretraining: Any, clips: Any, geometry: Any
) -> None:
    """All importance on some patches, and certain pruning of one of them."""
    strategy = pretraining(avcl())
    strategy.step(clips(4, 1))
    held, half = strategy.method.memory.contents, geometry.video_patches // 2
    held["extra/video_importance"].zero_()[:, : half + 1] = 1.0
    held["extra/video_pruning"].zero_()[:, 0] = 1.0
    held["extra/audio_pruning"].zero_()[:, : geometry.audio_patches // 2] = 1.0
    strategy.step(clips(4, 2))
    positions = strategy.mbatch.video_positions[4:].sort(dim=1).values
    assert positions.tolist() == [list(range(1, half + 1))] * 4
    positions = strategy.mbatch.audio_positions[4:].sort(dim=1).values
    assert positions.tolist() == [list(range(geometry.audio_patches // 2, geometry.audio_patches))] * 4


def test_patches_that_the_past_claims_are_pruned(pretraining: Any, clips: Any, geometry: Any) -> None:
    """A past query far along a key's direction claims that patch with a probability of nearly 1."""
    strategy = pretraining(avcl())
    strategy.step(clips(4, 1))
    batch = clips(4, 2)
    with torch.no_grad():
        joint = strategy.model.joint(strategy.model.unimodal(batch))
        relation = strategy.matching.relate(joint)
    held = strategy.method.memory.contents
    # The claim grows along the mean key of all clips, so that every core patch is claimed.
    held["extra/audio_queries"][:] = 1e6 * relation.video_keys.mean(dim=(0, 2))
    strategy.step(batch)
    probability = strategy.method.memory.contents["extra/video_pruning"][4:]
    core = IMPORTANCE.core_half(IMPORTANCE.importance(relation, 0.4).video)
    claimed = torch.zeros_like(probability).scatter(1, core, 1.0)
    torch.testing.assert_close(probability, claimed)
    chosen = strategy.mbatch.video_positions[:4]
    assert not claimed.gather(1, chosen).any()


def test_fewer_clips_held_than_came_in(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(avcl())
    strategy.step(clips(1, 1))
    strategy.step(clips(4, 2))
    assert len(strategy.mbatch) == 5
    assert len(strategy.method.memory) == 5


def test_the_backbone_learns_nothing_from_matching(pretraining: Any, clips: Any) -> None:
    strategy, batch = pretraining(avcl()), clips(4)
    model, matching = strategy.model, strategy.matching
    tokens = model.unimodal(batch)
    generator = Randomness(0).torch("method/matching")
    expected = torch.autograd.grad(
        matching_loss(matching, model, tokens, generator), list(matching.parameters()), allow_unused=True
    )
    strategy.mbatch = batch
    strategy.method.before_forward(strategy)
    assert all(parameter.grad is None for parameter in model.parameters())
    for parameter, gradient in zip(matching.parameters(), expected, strict=True):
        assert gradient is not None
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_matching_module_learns_along_the_way(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(avcl())
    before = [parameter.clone() for parameter in strategy.matching.parameters()]
    loss = strategy.step(clips(4)).item()
    changed = [
        not torch.equal(old, new) for old, new in zip(before, strategy.matching.parameters(), strict=True)
    ]
    assert all(changed)
    # The first step has no penalty: what is beside the shared loss is the cross entropy, near log 2.
    assert loss - training_loss(strategy.mb_output).item() == pytest.approx(0.69, abs=0.1)


def test_without_selection_it_is_der_pp(pretraining: Any, clips: Any) -> None:
    der_pp = catalogue("strategy").get("der-pp").cls(capacity=6)
    ablated = avcl(selection="none", capacity=6)
    strategies = pretraining(der_pp), pretraining(ablated)
    for seed in range(4):
        losses = [strategy.step(clips(3, seed)).item() for strategy in strategies]
        assert losses[0] == losses[1]


def test_ablations_store_what_they_use_and_no_more(pretraining: Any, clips: Any) -> None:
    parts = {}
    for selection in SELECTIONS:
        strategy = pretraining(avcl(selection=selection))
        strategy.step(clips(3))
        found = {name.rpartition("_")[2] for name in strategy.method.memory.contents if "extra/" in name}
        parts[selection] = (strategy.method.uses_matching, found - {"features"})
    assert parts == {
        "avcl": (True, {"importance", "queries", "pruning"}),
        "lpis": (True, {"importance"}),
        "rca": (True, {"queries", "pruning"}),
        "none": (False, set()),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"core_ratio": 0.0},
        {"core_ratio": 1.5},
        {"chunk": 0},
        {"temperature": 0},
        {"penalty": float("nan")},
    ],
)
def test_options_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        AVCL(**wrong)


def test_a_selection_that_leaves_nothing_to_reconstruct_is_refused(pretraining: Any) -> None:
    with pytest.raises(InputError, match=r"core_ratio=0\.1 selects .* larger core_ratio"):
        pretraining(AVCL(core_ratio=0.1))
    pretraining(AVCL(core_ratio=0.1, selection="none"))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_it_explains_what_a_step_would_select(selection: str, pretraining: Any, clips: Any) -> None:
    strategy = pretraining(avcl(selection=selection), learning_rate=1e-12)
    for number in range(3):
        with torch.no_grad(), strategy.randomness.rewound():
            explanation = strategy.method.explain(strategy, clips(4, number))
        strategy.step(clips(4, number))
        if selection == "none":
            assert explanation is None
            continue
        # A step draws for rehearsed clips as well, so that only what it does not draw is the same.
        held = strategy.method.memory.contents
        for modality in ("audio", "video"):
            choice, newest = getattr(explanation, modality), slice(-4, None)
            if number == 0:
                assert selection == "rca" or torch.equal(choice.kept, strategy.mbatch.positions(modality))
            for name, scored in (("importance", selection != "rca"), ("pruning", selection != "lpis")):
                scores = getattr(choice, name)
                assert (scores is not None) == scored
                if scored:
                    assert torch.allclose(scores, held[f"extra/{modality}_{name}"][newest], atol=1e-6)
        assert explanation.importance_is == (
            "" if selection == "rca" else "attention from the other modality"
        )
