"""Choosing among planted cells whose truth is known: spikes, plateaus, overfitting, and fronts."""

from dataclasses import replace

import numpy as np
import pytest

from portraitist.judge import alike, choosing, measures
from portraitist.judge.choosing import Rule
from portraitist.judge.front import freedom, front
from portraitist.judge.scorecard import Drawn, Losses, Score, Scorecard
from portraitist.judge.surface import Surface

STEPS, SHOTS = (50, 100, 150, 200, 250, 300), 16


def card(step, likeness, strength=1.0, guidance=0.0, stage="grid", sets=(), **more):
    """A card whose pictures have these values (arrays of a value a shot, or one for all), and scores of sets."""
    columns = {"likeness": likeness, "identity": 0.5, "agreement": 0.8, "copying": 0.0, "saturation": 0.0} | more
    count = next((len(one) for one in columns.values() if np.ndim(one)), SHOTS)
    pictures = tuple(
        Drawn(f"p{i}", f"t{i}", 1, "", {n: float(np.broadcast_to(v, count)[i]) for n, v in columns.items()})
        for i in range(count)
    )
    scores = measures.scores([one.scores for one in pictures]) | {n: Score(v, v, v, 4) for n, v in dict(sets).items()}
    return Scorecard(step, strength, stage, scores, "g", "e", pictures, guidance)


BASE = card(0, 0.1, 0.0, identity=0.0)


def noisy(level, chance, spread=0.12):
    """Likeness of each shot: a level, and what chance adds."""
    return level + chance.normal(0, spread, SHOTS)


def place(cards, prefer="likeness", losses=(), **rule):
    return choosing.choose(BASE, cards, losses, prefer, 0.05, Rule(**rule)).chosen.place


def rising(step, strength=1.0):
    """As the shipped base's LoRAs rise: quickly, then by ever less."""
    return 0.8 + 0.02 * np.log2(step / 50) + 0.15 * (strength - 1)


def bare(step, strength, likeness):
    """A card of likeness alone."""
    pictures = tuple(Drawn("p", f"t{i}", 1, "", {"likeness": float(value)}) for i, value in enumerate(likeness))
    score = Score(float(likeness.mean()), 0.0, 1.0, len(likeness))
    return Scorecard(step, strength, "grid", {"likeness": score}, "g", "e", pictures)


def test_a_spike_at_an_early_checkpoint_is_rarely_taken_for_the_best():
    """Over forty draws the surface loses less than half of what the highest mean of eighteen loses."""
    lost = {"plain": [], "smooth": []}
    for seed in range(40):
        chance = np.random.default_rng(seed)
        every = [(step, strength) for step in STEPS for strength in (0.7, 0.85, 1.0)]
        cards = [bare(step, strength, noisy(rising(step, strength), chance)) for step, strength in every]
        for fit, kept in lost.items():
            surface = Surface.of(cards, "likeness", fit)
            kept.append(rising(300) - rising(*max(surface.places, key=surface.mean)[:2]))
    assert np.mean(lost["smooth"]) < 0.5 * np.mean(lost["plain"])


def test_a_plateau_goes_to_its_beginning():
    """All level from step 100 on but for what chance adds to single pictures: nothing is gained by training longer."""
    chance, level = np.random.default_rng(1), {50: 0.5}
    cards = [card(step, level.get(step, 0.8) + chance.normal(0, 1e-3, SHOTS)) for step in STEPS]
    verdict = choosing.choose(BASE, cards, (), "likeness", 0.05)
    assert verdict.chosen.card.step == 100
    assert {c.card.step for c in verdict.ties} <= {150, 200, 250, 300}
    assert {c.card.step for c in verdict.unsure} >= {c.card.step for c in verdict.ties}


def test_overfitting_that_shows_in_likeness_is_left_for_the_peak():
    chance = np.random.default_rng(2)
    peaked = {50: 0.4, 100: 0.7, 150: 0.8, 200: 0.7, 250: 0.5, 300: 0.3}
    assert place([card(step, noisy(level, chance, 0.05)) for step, level in peaked.items()])[0] == 150


def losses(**by_step):
    """Held-out losses of five samples by step, and 1 of the base's."""
    told = {"s0": 1.0} | by_step
    return [
        Losses(int(step[1:]), [0.5], [1.0], [1.0], (), [value * (1 + i / 10) for i in range(5)], "y")
        for step, value in told.items()
    ]


def test_a_tie_goes_to_no_step_before_held_out_losses_have_ended_falling():
    level = [card(step, np.linspace(0.7, 0.9, SHOTS)) for step in STEPS]
    assert place(level)[0] == 50
    assert place(level, losses=losses(s50=0.9, s100=0.8, s150=0.6, s200=0.6, s250=0.8, s300=0.9))[0] == 150
    assert place(level, losses=losses(s50=0.6, s100=0.6, s150=0.9, s200=1.1, s250=1.2, s300=1.3))[0] == 50
    assert place(level, losses=losses(s50=0.9, s300=0.5), ripe=False)[0] == 50


def test_ripe_is_the_first_step_that_is_not_surely_above_the_lowest_loss():
    assert choosing.ripeness(losses(s50=0.9, s100=0.7, s150=0.6)) == 150
    assert choosing.ripeness(losses(s50=0.6, s100=0.6, s150=0.9)) == 50
    assert choosing.ripeness([]) == choosing.ripeness(losses()) == 0


def test_where_all_fail_what_is_not_told_apart_is_empty_and_the_least_fault_is_taken():
    cards = [card(step, 0.8, copying=0.5 + step / 1000) for step in STEPS]
    verdict = choosing.choose(BASE, cards, (), "likeness", 0.05)
    assert (verdict.chosen.card.step, verdict.chosen.passed) == (50, False)
    assert verdict.front == verdict.unsure == ()


def test_the_front_is_what_nothing_beats_in_both():
    """By hand: b is beaten by c, e by d; equal points keep the earlier alone."""
    both = {
        (1, 1.0, 0.0): (0.2, 1.0), (2, 1.0, 0.0): (0.5, 0.7), (3, 1.0, 0.0): (0.6, 0.8), (4, 1.0, 0.0): (0.9, 0.4),
        (5, 1.0, 0.0): (0.8, 0.4), (6, 1.0, 0.0): (0.9, 0.4),
    }  # fmt: skip
    assert [step for step, *_ in front(both, both)] == [4, 3, 1]
    assert [step for step, *_ in front(both, [(5, 1.0, 0.0), (2, 1.0, 0.0)])] == [5, 2]


def test_freedom_is_one_less_what_is_lost_of_each_part():
    """Agreement 0.8 to 0.7 of [0, 1] loses 0.1, copying 0 to 0.3 of [0, 1] loses 0.3: 1 less the mean of 0.2."""
    found = freedom(BASE, [card(50, 0.5, agreement=0.7, copying=0.3)], "plain")
    assert found == {(50, 1.0, 0.0): pytest.approx(0.8)}


def test_what_was_probed_at_full_strength_counts_for_the_weaker_and_unknown_parts_do_not_count():
    cards = [card(50, 0.5, sets={"leak": 0.6}), card(50, 0.5, 0.7), card(100, 0.5, sets={"leak": 0.0})]
    base = card(0, 0.1, 0.0, sets={"leak": 0.0})
    found = freedom(base, cards, "plain")
    assert found[50, 0.7, 0.0] == found[50, 1.0, 0.0] == pytest.approx(1 - 0.6 / 3)
    assert found[100, 1.0, 0.0] == pytest.approx(1)
    unknown = freedom(base, [*cards, card(150, 0.5)], "plain")
    assert unknown[50, 1.0, 0.0] == pytest.approx(1), "of step 150 no leak is known: it would seem freer unasked"


def test_the_freest_of_what_is_like_enough_is_taken_for_freedom_and_the_other_end_is_told():
    ends = [card(100, 0.78, agreement=0.8), card(300, 0.8, agreement=0.76)]
    free = choosing.choose(BASE, ends, (), "freedom", 0.05)
    like = choosing.choose(BASE, ends, (), "likeness", 0.05)
    assert (free.chosen.card.step, like.chosen.card.step) == (100, 300)
    assert [c.card.step for c in like.front] == [300, 100]
    assert "step 100 at strength 1 is the freest (0.78 and 1.00 against 0.80 and 0.98)" in like.why
    assert "step 300 at strength 1 is the likest" in free.why


def test_what_these_pictures_cannot_tell_apart_is_named():
    chance = np.random.default_rng(5)
    cards = [card(50, 0.3), card(200, noisy(0.78, chance, 0.2)), card(300, noisy(0.8, chance, 0.01))]
    verdict = choosing.choose(BASE, cards, (), "likeness", 0.05, Rule(fit="plain"))
    assert [c.card.step for c in verdict.unsure] == [200]
    assert "Nor can these pictures tell it from step 200 at strength 1" in verdict.why


def test_another_guidance_is_another_cell():
    verdict = choosing.choose(BASE, [card(100, 0.5), card(100, 0.6, guidance=2.5)], (), "likeness", 0.05)
    assert verdict.chosen.place == (100, 1.0, 2.5)
    assert verdict.why.startswith("Step 100 at strength 1 and guidance 2.5 is")


def test_what_probes_found_stands_among_a_cells_scores():
    grid, probe = card(50, 0.5), card(50, 0.5, stage="probe", sets={"leak": 0.4})
    other = Scorecard(50, 1.0, "probe", {"leak": Score(0.9, 0.9, 0.9, 4)}, "older", "e")
    _, cards = choosing.latest([BASE, grid, other, probe], "grid")
    assert [one.scores["leak"].mean for one in cards] == [0.4]


def test_who_has_no_chance_left_gets_no_more_pictures():
    """Surely behind by more than is worth a picture; behind within chance, and behind by next to nothing, go on."""
    chance = np.random.default_rng(3)
    shots = chance.normal(0, 0.1, SHOTS)
    cards = [
        card(50, 0.5 + shots), card(100, 0.795 + shots), card(150, 0.75 + shots + chance.normal(0, 0.2, SHOTS)),
        card(200, 0.8 + shots),
    ]  # fmt: skip
    assert [one.step for one in choosing.alive(cards)] == [100, 150, 200]


def test_a_plateau_is_certain_or_there_is_hope():
    """Three later checkpoints that are no better: certain when pictures agree on it, not when they differ widely."""
    level = [card(step, 0.8) for step in (50, 100, 150, 200)]
    assert choosing.plateau(level, 3) == 50
    assert choosing.plateau(level, 4) == 0, "none was before them"
    chance = np.random.default_rng(4)
    wide = [card(step, noisy(0.8, chance, 0.3)) for step in (50, 100, 150, 200)]
    assert choosing.plateau(wide, 3) == 0
    assert choosing.plateau([card(50, 0.7), *level[1:]], 3) == 0, "they are better"


def test_a_strength_above_full_is_taken_on_evidence_of_portrayal_alone():
    """Likeness that rises beyond full strength is no evidence; portrayal is, where it surely rises."""
    shots = np.linspace(-0.1, 0.1, SHOTS)
    levels = {0.7: 0.5, 1.0: 0.6, 1.25: 0.7}
    liker = [card(step, at + shots, strength) for step in (100, 200) for strength, at in levels.items()]
    assert place(liker)[1] == 1.0
    driven = [card(one.step, 0.6, one.strength, portrayal=one.scores["likeness"].mean + shots) for one in liker]
    assert place(driven)[1] == 1.25
    falls = {0.7: 0.5, 1.0: 0.6, 1.25: 0.55}
    worn = [
        card(step, 0.6 + strength, strength, portrayal=at + shots)
        for step in (100, 200)
        for strength, at in falls.items()
    ]
    assert place(worn)[1] == 1.0


def test_strain_is_taken_off_likeness_where_every_cell_has_four_pictures_of_it():
    """Portrayal rises from 0.7 to 1 by a little, strain on other pictures by a lot; one cell without it, and none
    counts."""
    apart = np.arange(SHOTS) % 2 == 0

    def cell(strength, portrayal, strain):
        made = card(100, 0.5, strength, portrayal=portrayal + np.linspace(-0.1, 0.1, SHOTS), strain=strain)
        halves = [{n: v for n, v in d.scores.items() if n != ("strain" if a else "portrayal")}
                  for d, a in zip(made.pictures, apart, strict=True)]  # fmt: skip
        pictures = tuple(replace(d, scores=s) for d, s in zip(made.pictures, halves, strict=True))
        return replace(made, pictures=pictures, scores=measures.scores(halves))

    weak, strong = cell(0.7, 0.80, 0.0), cell(1.0, 0.85, 0.5)
    assert place([weak, strong])[1] == 0.7
    said = "it strains the base more (0.50 against 0.00), as figures do that fall apart"
    assert said in choosing.choose(BASE, [weak, strong], (), "likeness", 0.05).why
    calm = cell(1.0, 0.85, 0.0)
    assert "strains" not in choosing.choose(BASE, [weak, calm], (), "likeness", 0.05).why, (
        "it is the likest, and chosen"
    )
    like = {c.place[1]: c.likeness for c in choosing.weighed(BASE, [weak, strong], 0.05)}
    assert like[0.7] - like[1.0] == pytest.approx(0.80 - 0.85 + alike.PRICE * 0.5)
    assert alike.apart(strong, weak, "portrayal", True).mean == pytest.approx(0.05 - alike.PRICE * 0.5)
    bare = replace(weak, scores={n: s for n, s in weak.scores.items() if n != "strain"})
    assert place([bare, strong])[1] == 1.0, "of one it was not taken"


def test_a_strength_above_full_is_not_taken_where_strain_eats_what_it_gains():
    shots, levels = np.linspace(-0.01, 0.01, SHOTS), {1.0: (0.6, 0.1), 1.25: (0.65, 0.9)}

    def cells(*strengths, priced):
        more = {s: {"strain": levels[s][1]} if priced else {} for s in strengths}
        return [card(n, 0.5, s, portrayal=levels[s][0] + shots, **more[s]) for n in (100, 200) for s in strengths]

    assert place(cells(1.0, 1.25, priced=False))[1] == 1.25
    for priced in (False, True):
        candidates = choosing.weighed(BASE, cells(1.0, 1.25, priced=priced), 0.05)
        assert [choosing.borne_out(one, candidates) for one in candidates] == [True, not priced] * 2


def test_portrayal_tells_likeness_where_each_cell_has_four_pictures_of_it():
    few, more = card(100, 0.9, portrayal=0.3), card(200, 0.5, portrayal=0.8)
    assert place([few, more])[0] == 200
    assert place([few, card(200, 0.5)])[0] == 100, "of one it was not taken"


def test_a_loss_far_beyond_the_limit_is_out_however_unevenly_prompts_lose():
    """A mean loss of 0.14 whose interval reaches below 0, beside one of 0.07."""
    uneven = np.array([0.9, -0.62] * 8)
    cards = [card(100, 0.9, agreement=0.8 - 0.14 + uneven - uneven.mean()), card(200, 0.5, agreement=0.73 + uneven / 2)]
    verdict = choosing.choose(BASE, cards, (), "likeness", 0.05)
    assert verdict.chosen.passed
    assert verdict.chosen.card.step == 200
    assert "step 100 at strength 1 would be liker" in verdict.why.lower()
