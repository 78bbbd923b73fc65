"""The stream is a pure function of seed and step: nothing is lost, nothing doubled, nothing to save."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from portraitist.dataset import stream
from portraitist.dataset.stream import Stream, course, order
from portraitist.errors import PortraitistError
from portraitist.family import Sample
from portraitist.recipe import Recipe
from portraitist.sections import Stage


def sample(i, size=(2, 2), weight=1, captions=1, **facts):
    given = tuple({"tokens": torch.full((j + 1, 1), float(10 * i + j))} for j in range(captions))
    empty = {"tokens": torch.full((1, 1), -1.0)}
    return Sample(f"key-{i}", torch.full((1, *size), float(i)), given, empty, weight=weight, **facts)


samples = st.lists(st.tuples(st.sampled_from([(2, 2), (2, 4), (4, 2)]), st.integers(1, 4)), min_size=1, max_size=9).map(
    lambda drawn: [sample(i, size, weight) for i, (size, weight) in enumerate(drawn)]
)


@given(samples, st.integers(0, 99), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_a_pass_shows_every_picture_exactly_as_often_as_its_weight_says(among, seed, batch, accumulate, first):
    made = Stream(among, seed, batch, batch * accumulate, first=first)
    steps = -(-3 * made.exposures // made.per_step)
    seen = [number for step in range(first, first + steps) for number in made.numbers(step)]
    for turn in range(3):
        shown = Counter(seen[turn * made.exposures : (turn + 1) * made.exposures])
        assert shown == {i: s.weight for i, s in enumerate(among)}


@given(samples, st.integers(0, 99), st.integers(1, 4), st.integers(1, 3), st.integers(0, 40))
def test_a_step_depends_on_its_number_alone(among, seed, batch, accumulate, step):
    one = Stream(among, seed, batch, batch * accumulate)
    for earlier in range(step):
        one.numbers(earlier)
    got = one.step(step)
    order.cache_clear()
    fresh = Stream(among, seed, batch, batch * accumulate).step(step)
    assert [b.index for b in got] == [b.index for b in fresh]
    assert [b.keys for b in got] == [b.keys for b in fresh]
    for mine, theirs in zip(got, fresh, strict=True):
        assert all(torch.equal(mine.given[name], theirs.given[name]) for name in mine.given)


@given(samples, st.integers(0, 99), st.integers(1, 4), st.integers(1, 3), st.integers(0, 20))
def test_micro_batches_are_of_one_shape_and_together_the_whole_step(among, seed, batch, accumulate, step):
    made = Stream(among, seed, batch, batch * accumulate)
    batches = made.step(step)
    assert all(1 <= len(b.index) <= batch for b in batches)
    assert sorted(i for b in batches for i in b.index) == list(range(step * made.per_step, (step + 1) * made.per_step))
    by_index = {i: among[int(b.latents[row].flatten()[0])] for b in batches for row, i in enumerate(b.index)}
    assert [by_index[i].key for i in sorted(by_index)] == [among[n].key for n in made.numbers(step)]


@given(samples, st.integers(0, 99), st.integers(1, 6))
def test_a_step_mixes_shapes_only_where_no_whole_step_is_left(among, seed, per_step):
    """Of S shapes at most S - 1 whole steps a pass, and two at its ends, can be mixed."""
    made = Stream(among, seed, per_step, per_step)
    shapes = len({stream.shape(s) for s in among})
    passes = 4
    steps = -(-passes * made.exposures // per_step)
    mixed = sum(len({stream.shape(among[n]) for n in made.numbers(step)}) > 1 for step in range(steps))
    assert mixed <= passes * (shapes + 1)


def test_passes_and_seeds_are_shuffled_differently():
    among = [sample(i) for i in range(12)]
    orders = {tuple(order(Stream(among, seed, 1, 1), turn)) for seed in range(3) for turn in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_caption_dropout_takes_the_empty_caption_at_its_share(share):
    made = Stream([sample(i, captions=3) for i in range(10)], 0, 10, 10, dropout=share)
    batches = [b for step in range(300) for b in made.step(step)]
    dropped = torch.cat([(b.given["tokens"][:, 0, 0] == -1).float() for b in batches])
    assert len(dropped) == 3000
    error = 4 * (share * (1 - share) / 3000) ** 0.5  # four standard deviations
    assert abs(float(dropped.mean()) - share) <= error


def test_caption_variants_are_seen_alike():
    made = Stream([sample(0, captions=3)], 0, 10, 10)
    seen = Counter(float(v) for step in range(300) for b in made.step(step) for v in b.given["tokens"][:, 0, 0])
    assert set(seen) == {0.0, 1.0, 2.0}
    assert all(abs(count - 1000) < 4 * (3000 * 2 / 9) ** 0.5 for count in seen.values())


def test_captions_of_unequal_length_are_padded_and_masks_are_ones_by_default():
    batch = stream.stack([(0, sample(1), sample(1).captions[0]), (1, sample(2), {"tokens": torch.ones(3, 1)})])
    assert batch.given["tokens"].tolist() == [[[10.0], [0.0], [0.0]], [[1.0], [1.0], [1.0]]]
    assert torch.equal(batch.mask, torch.ones(2, 1, 2, 2))
    assert batch.index == (0, 1)
    assert batch.keys == ("key-1", "key-2")


def test_references_join_the_conditions_and_their_sizes_the_shape():
    one, two = (sample(i, references=(torch.full((1, 2, side), 5.0),)) for i, side in enumerate((2, 4)))
    assert stream.shape(one) != stream.shape(two)
    batch = stream.stack([(0, one, one.empty), (1, one, one.empty)])
    assert batch.given["reference_0"].shape == (2, 1, 2, 2)
    assert [len(b.index) for b in Stream([one, two], 0, 4, 4).step(0)] == [2, 2]


def recipe(*stages, **data):
    return Recipe(stages=stages, training={"batch": 2, "accumulate": 2}, data=data)


def test_stages_follow_each_other_with_their_own_sets_and_rates():
    among = [sample(i, set="40_face") for i in range(4)] + [sample(i, set="body") for i in range(4, 8)]
    stages = Stage(name="face", steps=3, sets=("face",)), Stage(name="all", steps=2, rate=0.5)
    made = course(among, recipe(*stages))
    assert [made.stage(step) for step in range(7)] == [0, 0, 0, 1, 1, 1, 1]
    assert [made.factor(step) for step in (2, 3, 9)] == [1.0, 0.5, 0.5]
    keys = [{key for b in made.step(step) for key in b.keys} for step in range(5)]
    assert set().union(*keys[:3]) == {f"key-{i}" for i in range(4)}
    assert keys[3] | keys[4] == {f"key-{i}" for i in range(8)}, "the second stage begins a pass of its own"


def test_global_indices_go_on_through_the_stages():
    among = [sample(i) for i in range(3)]
    made = course(among, recipe(Stage(steps=2), Stage(steps=2)))
    indices = [i for step in range(4) for b in made.step(step) for i in b.index]
    assert sorted(indices) == list(range(16))


def test_a_longer_last_stage_leaves_the_steps_before_as_they_were():
    among = [sample(i, weight=1 + i % 3) for i in range(5)]
    short, long = course(among, recipe(Stage(steps=4))), course(among, recipe(Stage(steps=40)))
    for step in range(4):
        assert [b.keys for b in short.step(step)] == [b.keys for b in long.step(step)]


def test_no_picture_and_no_picture_of_a_set_are_refused():
    with pytest.raises(PortraitistError, match="no picture to train on"):
        course([], recipe(Stage(steps=1)))
    with pytest.raises(PortraitistError, match="no training picture is of it") as caught:
        course([sample(0, set="2_face")], recipe(Stage(steps=1, sets=("body",))))
    assert "'face'" in caught.value.remedy


def test_the_digest_is_of_all_that_a_stream_depends_on():
    plain = [sample(i) for i in range(3)]
    changed = [
        plain[:2],
        plain[::-1],
        [*plain[:2], sample(2, weight=2)],
        [*plain[:2], sample(2, loss_weight=0.5)],
        [*plain[:2], sample(2, set="body")],
        [*plain[:2], sample(3)],
    ]
    digests = {stream.digest(among) for among in [plain, *changed]}
    assert len(digests) == 7
    assert stream.digest([sample(0, set="40_face")]) == stream.digest([sample(0, set="face")])
