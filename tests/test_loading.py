import numpy as np
import pytest
import torch

from avbench.clips import ClipGeometry, unpatchify_audio, unpatchify_video
from avbench.errors import DataError, InputError
from avbench.loading import ClipDataset, clip_loader, collate, frame_numbers, geometry_of
from avbench.media import jpeg
from avbench.store.reading import PUBLISHED_FORMAT, ClipFormat


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", 10)


@pytest.fixture
def sizes(store_format):
    return geometry_of(store_format, frames=2, frame_size=32)


def same(first, second):
    return (
        torch.equal(first.video, second.video)
        and torch.equal(first.audio, second.audio)
        and torch.equal(first.clip, second.clip)
    )


def test_geometry_comes_from_the_format():
    assert geometry_of(PUBLISHED_FORMAT, frames=4, frame_size=224) == ClipGeometry()


def test_published_windows():
    """4 s of 10 at 8 frames a second: starts at 0 .. 47 in training, at 3 s in evaluation."""
    generator = np.random.default_rng(0)
    drawn = [frame_numbers(PUBLISHED_FORMAT, 4, 0.4, generator) for _ in range(3000)]
    assert {numbers[0] for numbers in drawn} == set(range(48))
    assert all(np.diff(numbers).tolist() == [8, 8, 8] for numbers in drawn)
    assert frame_numbers(PUBLISHED_FORMAT, 4, 0.4, None) == [24, 32, 40, 48]


def test_a_window_of_the_whole_clip():
    eight = ClipFormat(seconds=1.28, frames=8, short_side=64, mel_frames=128)
    generator = np.random.default_rng(0)
    drawn = {tuple(frame_numbers(eight, 4, 1.0, generator)) for _ in range(50)}
    assert drawn == {(0, 2, 4, 6), (1, 3, 5, 7)}
    assert frame_numbers(eight, 4, 1.0, None) == [0, 2, 4, 6]
    assert frame_numbers(eight, 3, 1.0, None) == [0, 2, 5]
    assert frame_numbers(eight, 8, 1.0, generator) == list(range(8))
    assert frame_numbers(eight, 8, 0.1, None) == list(range(8))


def test_a_batch_holds_the_clips_as_stored(store, sizes, encoded_clip):
    dataset = ClipDataset(store, [7, 2], sizes, training=False, augment=False, window=1.0)
    batch = next(iter(clip_loader(dataset, 2, shuffle=None)))
    assert batch.clip.tolist() == [7, 2]
    assert (batch.video.dtype, batch.audio.dtype) == (torch.uint8, torch.float16)
    assert batch.geometry == sizes
    frames = unpatchify_video(batch.video, sizes)
    spectrograms = unpatchify_audio(batch.audio, sizes)
    for row, key in enumerate(["clip7", "clip2"]):
        written = encoded_clip(key)
        assert np.array_equal(spectrograms[row].numpy(), written.spectrogram)
        for frame, number in enumerate([0, 2]):
            picture = jpeg.decode(written.jpegs[number])  # 32 x 40, squeezed to a square
            assert frames[row, frame].float().mean() == pytest.approx(picture.mean(), abs=1)


def test_a_pass_takes_every_clip_once_and_no_two_passes_are_alike(store, sizes):
    dataset = ClipDataset(store, range(10), sizes, training=True, augment=True)
    loader = clip_loader(dataset, 4, shuffle=torch.Generator().manual_seed(0))
    assert len(loader) == 3
    passes = [list(loader) for _ in range(2)]
    orders = [torch.cat([batch.clip for batch in batches]).tolist() for batches in passes]
    assert [len(batch) for batch in passes[0]] == [4, 4, 2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    views = [
        dict(zip(order, torch.cat([b.audio for b in p]), strict=True))
        for order, p in zip(orders, passes, strict=True)
    ]
    assert not any(torch.equal(views[0][clip], views[1][clip]) for clip in range(10))
    assert len(list(clip_loader(dataset, 4, shuffle=None, drop_last=True))) == 2


def test_batches_depend_on_the_generator_and_on_nothing_else(store, sizes):
    dataset = ClipDataset(store, range(10), sizes, training=True, augment=True)

    def batches(workers, seed=0, batch_size=3):
        loader = clip_loader(
            dataset, batch_size, shuffle=torch.Generator().manual_seed(seed), workers=workers
        )
        return [batch for _ in range(2) for batch in loader]

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    expected = batches(workers=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    for workers in (0, 2):
        assert all(same(first, second) for first, second in zip(expected, batches(workers), strict=True))
    assert not same(expected[0], batches(0, seed=1)[0])
    # A clip looks the same in a batch of another size.
    wide = batches(0, batch_size=10)
    assert torch.equal(torch.cat([batch.audio for batch in expected[:4]]), wide[0].audio)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_pass_may_begin_after_its_first_batches(store, sizes, workers, done):
    dataset = ClipDataset(store, range(10), sizes, training=True, augment=True)
    shuffle = torch.Generator()
    loader = clip_loader(dataset, 4, shuffle=shuffle, workers=workers)
    whole = list(clip_loader(dataset, 4, shuffle=torch.Generator().manual_seed(3)))
    shuffle.manual_seed(3)
    rest = loader.after(done)
    # Its order is drawn: what the generator gives from now on changes nothing.
    shuffle.manual_seed(99)
    rest = list(rest)
    assert len(rest) == 3 - done
    assert all(same(one, other) for one, other in zip(rest, whole[done:], strict=True))
    assert len(list(loader)) == 3


def test_evaluation_draws_nothing(store, sizes):
    dataset = ClipDataset(store, range(10), sizes, training=False, augment=False)
    assert same(dataset[3], dataset[(3, 12345)])
    training = ClipDataset(store, range(10), sizes, training=True, augment=True)
    assert same(training[3], training[(3, 0)])
    assert not same(training[3], training[(3, 1)])


def test_items_are_joined_to_a_batch(store, sizes):
    dataset = ClipDataset(store, range(10), sizes, training=False, augment=False)
    assert same(collate([dataset[0], dataset[1], dataset[2]]), dataset.__getitems__([0, 1, 2]))


def test_frames_are_resized_to_the_geometry(store):
    sizes = geometry_of(store.format, frames=4, frame_size=16)
    for augment in (False, True):
        batch = ClipDataset(store, [0, 1], sizes, training=True, augment=augment)[1]
        assert batch.video.shape == (1, 4, 768)


def test_what_does_not_fit_the_store_is_refused(store, sizes):
    options = {"training": True, "augment": False}
    with pytest.raises(InputError, match="spectrograms of 32 x 128, not 1024 x 128"):
        ClipDataset(store, [0], ClipGeometry(), **options)
    with pytest.raises(InputError, match="4 frames a clip, fewer than 5"):
        ClipDataset(store, [0], geometry_of(store.format, frames=5, frame_size=32), **options)
    with pytest.raises(InputError, match="window=0"):
        ClipDataset(store, [0], sizes, window=0, **options)
    with pytest.raises(InputError, match="in training only"):
        ClipDataset(store, [0], sizes, training=False, augment=True)


def test_a_damaged_clip_is_an_error_that_names_it(store, sizes):
    offsets, _, _ = store.member_rows(4, [5])
    with store.shard_path(4).open("r+b") as shard:
        shard.seek(offsets[0] + 200)
        byte = shard.read(1)[0]
        shard.seek(offsets[0] + 200)
        shard.write(bytes([byte ^ 1]))
    dataset = ClipDataset(store, range(10), sizes, training=False, augment=False)
    for workers in (0, 1):
        with pytest.raises(DataError, match="clip clip4 is damaged"):
            list(clip_loader(dataset, 5, shuffle=None, workers=workers))
