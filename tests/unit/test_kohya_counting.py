"""The effective run of sd-scripts and musubi-tuner, held to arithmetic by hand and to properties of their rules."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.interop.kohya import counting
from tests.doctoring import command, diagnosed, pictures
from tests.kohya_cases import CLEAN

SIDES = st.integers(200, 3000)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Five portraits and two landscapes, so that two buckets are filled."""
    folder = tmp_path_factory.mktemp("counting")
    pictures(folder / "tall", 5, (64, 96))
    pictures(folder / "wide", 2, (96, 64))
    pictures(folder / "reg", 3, (64, 64))
    return folder


def run(world, subsets, own, **options):
    """The effective run of a dataset of these subsets."""
    text = "".join(f"[[datasets.subsets]]\nimage_dir = '{name}'\n{more}\n" for name, more in subsets)
    general = '[general]\ncaption_extension = ".txt"\nenable_bucket = true\nresolution = 512\n'
    (world / "data.toml").write_text(f"{general}[[datasets]]\n{own}\n{text}")
    return diagnosed(command("sdxl_train_network", CLEAN | options), "x.sh", world).effective


@pytest.mark.parametrize(
    ("batch", "accumulate", "epochs", "updates"),
    [
        (1, 1, 1, 7 * 3),  # seven pictures three times
        (4, 1, 2, 2 * (math.ceil(15 / 4) + math.ceil(6 / 4))),  # 4 batches of portraits, 2 of landscapes
        (4, 4, 2, 2 * math.ceil(6 / 4)),  # an epoch of 6 batches ends with a smaller update
        (100, 8, 5, 5),  # a batch for each bucket, both in one update
    ],
)
def test_updates_of_epochs_round_up_by_bucket_and_by_accumulation(batch, accumulate, epochs, updates, world):
    sets = [("tall", "num_repeats = 3"), ("wide", "num_repeats = 3")]
    options = {"max_train_steps": None, "max_train_epochs": epochs, "gradient_accumulation_steps": accumulate}
    found = run(world, sets, f"batch_size = {batch}", **options)
    assert found.updates == updates
    assert found.pictures_per_update == batch * accumulate


def test_without_buckets_all_pictures_share_batches(world):
    sets, own = [("tall", ""), ("wide", "")], "batch_size = 4\nenable_bucket = false"
    assert run(world, sets, own, max_train_steps=None, max_train_epochs=1).updates == math.ceil(7 / 4)


def test_a_validation_split_leaves_what_is_rounded_up_to_train(world):
    own = "validation_split = 0.3\nvalidation_seed = 1"
    found = run(world, [("tall", "")], own, max_train_steps=None, max_train_epochs=2)
    assert found.sets[0].pictures == math.ceil(5 * 0.7)
    assert found.updates == 2 * 4


def test_regularisation_pictures_fill_up_to_as_many_as_are_trained(world):
    sets = [("tall", "num_repeats = 4"), ("reg", "is_reg = true")]
    assert run(world, sets, "", max_train_steps=None, max_train_epochs=1).updates == 20 + 20


def test_devices_share_the_batches_of_an_epoch(world):
    launcher = "accelerate launch --multi_gpu --num_processes 2"
    run(world, [("tall", "num_repeats = 3")], "")
    text = command("sdxl_train_network", CLEAN | {"max_train_steps": None, "max_train_epochs": 1}, launcher)
    found = diagnosed(text, "x.sh", world).effective
    assert found.updates == math.ceil(15 / 2)
    assert found.pictures_per_update == 2


@pytest.mark.parametrize(
    ("options", "saves", "kept"),
    [
        ({"save_every_n_steps": 30}, 4, 4),  # 30, 60, 90 and the end
        ({"save_every_n_steps": 10, "save_last_n_steps": 30}, 11, 5),  # at 100, what is older than 70 is gone
        ({"save_every_n_steps": None, "save_every_n_epochs": 2}, 10, 10),  # 20 epochs of 5: after 2, 4 ... 18, the end
        ({"save_every_n_steps": None, "save_every_n_epochs": 2, "save_last_n_epochs": 3}, 10, 4),
    ],
)
def test_checkpoints_are_counted_as_they_are_written_and_removed(options, saves, kept, world):
    found = run(world, [("tall", "")], "", **options)
    assert (found.saves, found.kept) == (saves, kept)


def test_a_folder_that_is_not_to_be_seen_leaves_epochs_unknown(world):
    found = run(world, [("nowhere", "")], "", max_train_steps=None, max_train_epochs=3)
    assert found.updates == -1
    assert found.sets[0].pictures == -1


@given(side=st.integers(4, 24).map(lambda n: 64 * n), width=SIDES, height=SIDES)
def test_a_picture_goes_to_the_bucket_of_the_nearest_ratio_within_the_area(side, width, height):
    buckets = counting.bucket_sides((side, side), 256, 2048, 64)
    assert all(w * h <= side * side and w % 64 == h % 64 == 0 for w, h in buckets)
    assert {(h, w) for w, h in buckets} == set(buckets)
    (chosen,) = counting.bucketed([(width, height)], buckets)
    distance = abs(chosen[0] / chosen[1] - width / height)
    assert chosen == (width, height) or all(distance <= abs(w / h - width / height) for w, h in buckets)


@given(width=SIDES, height=SIDES, side=st.integers(512, 1536))
def test_a_picture_that_is_not_enlarged_keeps_within_itself(width, height, side):
    wide, tall = counting.shrunk((width, height), side * side, 64)
    assert wide % 64 == tall % 64 == 0
    assert wide <= width
    assert tall <= height


@given(count=st.integers(1, 400), every=st.integers(1, 60), last=st.integers(0, 200))
def test_saving_and_removing_step_by_step_leaves_what_is_counted(count, every, last):
    left = set()
    for step in range(every, count + 1, every):
        left.add(step)
        gone = step - last - 1
        if last and gone >= 0:
            left.discard(gone - gone % every)
    assert counting.saved(count, every, last) == (count // every, len(left))


def test_a_folder_that_stands_twice_is_counted_once(world):
    found = run(world, [("tall", "num_repeats = 2"), ("tall", "num_repeats = 9")], "")
    assert [(one.pictures, one.repeats) for one in found.sets] == [(5, 2)]
