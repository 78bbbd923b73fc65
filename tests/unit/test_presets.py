"""Presets: every value has a source, and each card's is the best that the forecast lets it be."""

import itertools
import re
from pathlib import Path

import pytest

from docs.make_presets import settings
from portraitist import families, recipe
from portraitist.errors import PortraitistError
from portraitist.forecast import memory
from portraitist.verbs.new import new

NOWHERE = Path("nowhere.toml")
GB = (12, 16, 24, 48, 80)
WITH_CARDS = ("sdxl", "flux", "qwen-image", "qwen-image-edit", "z-image", "z-image-turbo")
PER_STEP = 4
NAMES = ("format", "preset", "model.family", "stages.name")
"""Keys that say what a preset is, not how it trains."""


def preset(name, *changes):
    return recipe.load(NOWHERE, [f"preset={name}", *changes])


def test_there_is_one_for_each_family_and_for_each_card():
    assert {one for name in families.FAMILIES for one in recipe.presets(name)} == set(recipe.presets())
    assert set(families.FAMILIES) <= set(recipe.presets())
    assert {name for name in recipe.presets() if name.endswith("gb")} == {
        f"{f}-{gb}gb" for f in WITH_CARDS for gb in GB
    }


@pytest.mark.parametrize("name", recipe.presets())
def test_every_value_that_a_preset_sets_has_a_standing_and_nothing_else_has(name):
    own = recipe.written(name)
    assert {key for key, _ in settings(own)} - set(NAMES) == set(own.get("standing", {}))
    made = preset(name)
    assert set(made.standing) == {key for key, _ in settings(recipe.shipped(name))} - set(NAMES)
    assert made.preset == name


@pytest.mark.parametrize("name", [name for name in recipe.presets() if "preset" in recipe.written(name)])
def test_a_preset_that_starts_from_another_sets_nothing_as_it_is_there(name):
    own = recipe.written(name)
    below = dict(settings(recipe.shipped(own["preset"])))
    assert not [key for key, value in settings(own) if key not in NAMES and below.get(key) == value]


def test_a_card_changes_nothing_but_what_memory_asks_for():
    for family in WITH_CARDS:
        plain = preset(family)
        for gb in GB:
            one = preset(f"{family}-{gb}gb")
            assert one.pictures_per_step == plain.pictures_per_step == PER_STEP
            changed = {key for key, _ in settings(recipe.written(f"{family}-{gb}gb"))} - set(NAMES)
            assert changed <= {
                "model.quantised", "model.offload", "training.batch", "training.accumulate", "training.recompute"
            }  # fmt: skip


def ways(family):
    """Ways to hold a base and to divide a step: quantised, offload, recompute, batch; what is better first.

    Fewer bits are worse than all else, 4 of them worse than copies. Then what is copied in a step, and blocks that lie
    away. Then a transformer, whose products one picture fills, would rather compute nothing twice; SDXL rather have
    more pictures in a pass.
    """
    whole = [("", 0.0), ("int8", 0.0)]
    away = {way: [(way, share) for share in (0.25, 0.5, 0.75, 1.0)] for way in ("int8", "nf4")}
    for group in (*([one] for one in whole), away["int8"], [("nf4", 0.0)], away["nf4"]):
        some = []
        for way, share in group:
            for batch in (4, 2, 1):
                for again in ("family",) if share else ("off", "family"):
                    passes, twice = PER_STEP // batch, again == "family"
                    speed = (passes, twice) if family == "sdxl" else (twice, passes)
                    some.append(((share * passes, share, *speed), (way, share, again, batch)))
        yield from (way for _, way in sorted(some))


def fits(one, gb):
    """Training with room to spare, and judging, alone."""
    base, side = memory.known(one.model.family), one.data.resolution or 1024
    parts = memory.training(base, one, side)
    return (
        memory.total(parts) <= gb
        and not memory.closely(parts, gb)
        and memory.total(memory.judging(base, one, side)) <= gb
    )


@pytest.mark.parametrize("family", WITH_CARDS)
def test_each_fits_its_card_at_1024_pixels_and_nothing_better_does(family):
    assert families.get(family).profile.resolution == 1024
    for gb in GB:
        one = preset(f"{family}-{gb}gb")
        assert one.data.resolution == 0  # the base's own
        assert fits(one, gb), gb
        own = (one.model.quantised, one.model.offload, one.training.recompute, one.training.batch)
        for way, share, again, batch in ways(family):
            if (way, share, again, batch) == own:
                break
            model = one.model.model_copy(update={"quantised": way, "offload": share})
            how = {"recompute": again, "batch": batch, "accumulate": PER_STEP // batch}
            better = one.model_copy(update={"model": model, "training": one.training.model_copy(update=how)})
            assert not fits(better, gb), (gb, way, share, again, batch)
        else:
            pytest.fail(f"{own} is not among the ways")


def test_the_word_of_a_preset_goes_when_one_over_it_changes_the_value():
    plain, turbo = preset("z-image"), preset("z-image-turbo")
    assert "times the root" in plain.standing["training.rate"]
    assert "half of Z-Image's" in turbo.standing["training.rate"]
    below = {
        "training": {"rate": 1e-4, "batch": 1},
        "standing": {"training.rate": "paper: x", "training.batch": "custom: y"},
    }
    changed = recipe.over(below, {"training": {"rate": 2e-4}})
    assert changed["standing"] == {"training.batch": "custom: y"}
    assert recipe.over(changed, {"training": {"batch": 1}})["standing"] == {"training.batch": "custom: y"}
    assert below["standing"].keys() == {"training.rate", "training.batch"}


def test_a_family_with_another_ones_preset_is_told_which_fit(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[model]\nfamily = "flux"\n')
    with pytest.raises(PortraitistError, match=r"does not go with preset = .mini., made for mini") as caught:
        recipe.load(path)
    assert caught.value.remedy == ("Set preset to one of: flux, flux-12gb, flux-16gb, flux-24gb, flux-48gb, flux-80gb.")
    assert recipe.load(path, ["preset=flux"]).training.rate == 2e-4
    assert recipe.load(path, ["model.family=elsewhere"]).model.family == "elsewhere"  # a package's: none is for it
    with pytest.raises(PortraitistError, match="made for qwen-image"):
        recipe.load(path, ["preset=qwen-image-24gb", "model.family=qwen-image-edit"])


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({}, "mini"),
        ({"family": "flux"}, "flux"),
        ({"family": "flux", "card": "24"}, "flux-24gb"),
        ({"family": "qwen-image", "card": "40"}, "qwen-image-24gb"),
        ({"family": "sdxl", "card": "RTX 5090"}, "sdxl-24gb"),
        ({"family": "qwen-image-edit", "card": "h100"}, "qwen-image-edit-80gb"),
        ({"family": "z-image-turbo"}, "z-image-turbo"),
        ({"preset": "sdxl-full"}, "sdxl-full"),
    ],
)
def test_new_takes_the_preset_for_a_family_and_a_card(asked, taken, tmp_path):
    made = new(tmp_path / "maya", trigger="maya_char", subject="fictional", base="/models/x", **asked)
    found = recipe.load(made.recipe)
    assert found.preset == taken
    assert found.model.base == "/models/x"
    assert ("family" in made.recipe.read_text()) == ("family" in asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"card": "24"}, "among the presets of a family"),
        ({"family": "flx"}, "no such family"),
        ({"family": "flux", "card": "8"}, "the smallest is for 12"),
        ({"family": "flux", "card": "3dfx"}, "no such card is known"),
        ({"family": "mini", "card": "24"}, "the same for every card"),
        ({"family": "flux", "preset": "flux-24gb"}, "says already"),
    ],
)
def test_what_no_preset_is_for_is_refused_and_nothing_is_made(asked, says, tmp_path):
    with pytest.raises(PortraitistError, match=says) as caught:
        new(tmp_path / "maya", trigger="maya_char", subject="fictional", **asked)
    assert caught.value.remedy
    assert not (tmp_path / "maya").exists()


def test_alpha_is_the_rank_and_guidance_the_base_s_own():
    """Rates above are for a scale of 1, and drawing is as the base's publisher has it."""
    for name in set(recipe.presets()) - {"mini"}:
        one = preset(name)
        assert (one.adapter.alpha, one.judging.guidance, one.judging.sampling_steps) == (0, 0, 0)
    assert families.get("flux").guidance == 1.0


def test_the_full_fine_tune_is_what_its_page_says():
    text = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text()
    one = preset("sdxl-full")
    assert (one.adapter.kind, one.training.optimiser, one.training.rate, one.data.masks) == (
        "full",
        "adafactor",
        4e-6,
        0.1,
    )
    assert re.search(r'preset = "sdxl-full"', text)


def test_with_a_reference_picture_the_edit_preset_of_the_next_smaller_card_fits():
    for smaller, gb in itertools.pairwise(GB):
        one = preset(f"qwen-image-edit-{smaller}gb")
        shown = one.model_copy(update={"data": one.data.model_copy(update={"references": ("sheet.png",)})})
        base = memory.known("qwen-image-edit")
        parts = memory.training(base, shown, 1024)
        assert fits(shown, gb), (gb, memory.total(parts), memory.total(memory.judging(base, shown, 1024)))
