"""Likeness read off all cells at once: exact where there is no noise, nearer to the truth where there is."""

from dataclasses import replace

import numpy as np
import pytest

from portraitist.judge import measures, surface
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.judge.surface import Surface, ascending, filled, place

STEPS, STRENGTHS, SHOTS = (50, 100, 150, 200, 250, 300), (0.7, 0.85, 1.0), 16


def card(step, strength, values, guidance=0.0):
    """A card with one likeness a shot; nan is a shot that was not drawn."""
    drawn = tuple(
        Drawn(f"p{i}", f"text {i}", 1, "", {"likeness": float(v)}) for i, v in enumerate(values) if not np.isnan(v)
    )
    scores = measures.scores([one.scores for one in drawn])
    return Scorecard(step, strength, "grid", scores, "g", "e", drawn, guidance)


def cards(truth, noise, seed=0, hard=0.2):
    """A card for each cell: its truth, how hard each shot is, and noise."""
    chance = np.random.default_rng(seed)
    shots = chance.normal(0, hard, SHOTS)
    return [
        card(step, strength, truth(step, strength) + shots + chance.normal(0, noise, SHOTS))
        for step in STEPS
        for strength in STRENGTHS
    ]


def slope(step, strength):
    """Likeness that rises with doublings of the step, and with strength."""
    return 0.5 + 0.08 * np.log2(step / 50) + 0.4 * (strength - 0.7)


@pytest.mark.parametrize("fit", ["plain", "unimodal", "smooth"])
def test_without_noise_every_fit_gives_back_what_is_there(fit):
    found = cards(slope, 0.0)
    made = Surface.of(found, "likeness", fit)
    for one in found:
        assert made.mean(place(one)) == pytest.approx(one.scores["likeness"].mean, abs=1e-6)


def test_what_is_peaked_beyond_its_noise_stays_peaked():
    """Overfitting: likeness falls after step 150, by far more than chance."""

    def peaked(step, strength):
        return 0.8 - 0.15 * np.log2(step / 150) ** 2 + 0.2 * (strength - 1)

    made = Surface.of(cards(peaked, 0.05), "likeness")
    assert max(made.places, key=made.mean)[:2] in ((150, 1.0), (200, 1.0))
    assert made.mean((300, 1.0, 0.0)) < made.mean((150, 1.0, 0.0)) - 0.08


def test_neighbours_take_most_of_the_noise_away():
    """Over thirty draws: the error of the surface is less than two thirds of that of the cells' own means."""
    errors = {"plain": [], "smooth": []}
    for seed in range(30):
        found = cards(slope, 0.1, seed, hard=0.0)
        for fit, kept in errors.items():
            made = Surface.of(found, "likeness", fit)
            kept += [(made.mean(at) - slope(*at[:2])) ** 2 for at in made.places]
    assert np.mean(errors["smooth"]) < 0.45 * np.mean(errors["plain"])


def test_a_shot_that_is_lacking_is_told_from_the_others():
    """Cell levels 0.5 and 0.7, shots 0, 0.1 and 0.3 above: the gap is 0.7 + 0.3 exactly."""
    table = np.array([[0.5, 0.6, 0.8], [0.7, 0.8, np.nan]])
    assert filled(table)[1, 2] == pytest.approx(1.0)
    screened = [card(50, 1.0, [0.5, 0.6, 0.8]), card(100, 1.0, [0.7, 0.8, np.nan])]
    made = Surface.of(screened, "likeness")
    assert made.mean((100, 1.0, 0.0)) - made.mean((50, 1.0, 0.0)) == pytest.approx(0.2), "and not 0.117 of the means"


def test_pools_of_adjacent_violators_are_means():
    assert ascending(np.array([1.0, 3.0, 2.0]), np.ones(3)) @ [1, 3, 2] == pytest.approx([1, 2.5, 2.5])
    assert ascending(np.array([3.0, 0.0]), np.array([1.0, 2.0])) @ [3, 0] == pytest.approx([1, 1])


def test_unimodal_levels_a_dip_before_the_peak():
    values = np.zeros(16)
    levels = {50: 0.5, 100: 0.7, 150: 0.6, 200: 0.9, 300: 0.4}
    made = Surface.of([card(step, 1.0, values + at) for step, at in levels.items()], "likeness", "unimodal")
    means = [made.mean((step, 1.0, 0.0)) for step in levels]
    assert means == pytest.approx([0.5, 0.65, 0.65, 0.9, 0.4])


@pytest.mark.parametrize("fit", ["unimodal", "smooth"])
def test_weights_sum_to_one_so_that_nothing_is_shrunk_to_nought(fit):
    found = cards(slope, 0.1, 3)
    places = tuple(place(one) for one in found)
    table = np.array([[drawn.scores["likeness"] for drawn in one.pictures] for one in found])
    weights = {"unimodal": surface.unimodal, "smooth": surface.smoothing}[fit](places, table)
    assert weights.sum(1) == pytest.approx(np.ones(len(found)), abs=1e-6)


def test_a_measure_that_no_card_has_is_nought_everywhere():
    made = Surface.of([card(50, 1.0, [0.5, 0.6])], "signature")
    assert made.mean((50, 1.0, 0.0)) == 0


def test_a_curve_is_kept_where_shots_rise_each_at_a_rate_of_its_own():
    """Likeness peaks in the middle of three strengths; half of the shots rise with strength and half fall, steeply.

    Taken for noise, their rates hide the peak; fitted, they leave it.
    """
    rates = np.where(np.arange(SHOTS) % 2, 0.9, -0.9)
    found = [
        card(step, strength, 0.8 - 3 * (strength - 0.85) ** 2 + rates * strength)
        for step in STEPS
        for strength in STRENGTHS
    ]
    flat, kept = (Surface.of(found, "likeness", slopes=slopes) for slopes in (False, True))

    def bend(made):
        """By how much the middle lies above its neighbours' mean."""
        low, middle, high = (made.mean((300, strength, 0.0)) for strength in STRENGTHS)
        return middle - (low + high) / 2

    assert bend(Surface.of(found, "likeness", "plain")) == pytest.approx(3 * 0.15**2)
    assert bend(flat) < 0.1 * bend(kept)
    assert bend(kept) == pytest.approx(3 * 0.15**2, rel=0.2)


@pytest.mark.parametrize("rate", [0.1, -0.1])
def test_the_grids_own_guidance_lies_where_its_number_is(rate):
    """Cells at guidance 3 and 4 and at the grid's own, 3.5, of likeness that is linear in guidance: without its number
    it would lie at 0, far below both."""
    errors = {"own": [], "unknown": []}
    for seed in range(40):
        chance = np.random.default_rng(seed)
        shots, found, truth = chance.normal(0, 0.2, SHOTS), [], {}
        for step, guidance in ((100, 0.0), (200, 0.0), (300, 0.0), (300, 3.0), (300, 4.0), (200, 3.0), (200, 4.0)):
            level = 0.5 + 0.05 * np.log2(step / 50) + rate * ((guidance or 3.5) - 3.5)
            found.append(card(step, 1.0, level + shots + chance.normal(0, 0.12, SHOTS), guidance))
            truth[step, 1.0, guidance] = level + shots.mean()
        for name, usual in (("own", 3.5), ("unknown", 0.0)):
            made = Surface.of([replace(one, usual=usual) for one in found], "likeness", slopes=True)
            errors[name] += [made.mean(at) - level for at, level in truth.items()]
            if not usual:
                own = [made.mean(place(one)) - one.scores["likeness"].mean for one in found]
                assert np.allclose(own, 0, atol=1e-6), "each by itself, where it is not known how they lie"
    spread = {name: float(np.sqrt(np.mean(np.square(found)))) for name, found in errors.items()}
    assert spread["own"] < 0.85 * spread["unknown"]
