"""Symptoms by planted numbers: each is seen where it was planted, and a healthy run is left in peace."""

import random
import re
from dataclasses import replace

import pytest

from portraitist.audit import Finding
from portraitist.events import Failed, Finished, Overflowed, Stepped
from portraitist.judge import gates, measures
from portraitist.judge.advising import cures, drawing, learning, signs, training
from portraitist.judge.advising.evidence import Need, Seen
from portraitist.judge.advising.signs import symptoms
from portraitist.judge.scorecard import Drawn, Losses, Score, Scorecard
from portraitist.pictures import Picture
from portraitist.recipe import Recipe
from tests.house.source import ROOT

STEPS = (50, 100, 150, 200, 250, 300)
FRAMINGS = ("close-up", "half body", "full body", "portrait")
HEALTHY = {"identity": 0.95, "signature": 0.45, "agreement": 0.85, "copying": 0.05, "saturation": 1.0, "contrast": 0.2}
PLAIN = {"identity": 0.0, "signature": 0.05, "agreement": 0.87, "copying": 0.0, "saturation": 0.8, "contrast": 0.1}
WOBBLE = (0.04, -0.03, 0.02, -0.03, 0.01, -0.01, 0.03, -0.03)


def card(step, stage="screen", noise=1.0, **means):
    """A card of eight pictures, two seeds of four framings, whose values lie closely around these means."""
    facts = {**(HEALTHY if step else PLAIN), **means}
    facts["likeness"] = (facts["identity"] + facts["signature"]) / 2
    pictures = [
        Drawn(f"p{i}", f"{FRAMINGS[i % 4]} of zorblax", i // 4 + 1, "",
              {name: value + noise * WOBBLE[(i + len(name)) % 8] for name, value in facts.items()})
        for i in range(8)
    ]  # fmt: skip
    scores = {name: measures.score([one.scores[name] for one in pictures]) for name in facts}
    return Scorecard(step, 1.0 if step else 0.0, stage, scores, "g", "e", pictures)


def of_set(step, **values):
    """A card with measures that are of sets of pictures: mean and interval."""
    return Scorecard(step, 1.0, "probe", {name: Score(*got, 8) for name, got in values.items()}, "g", "e")


def losses(train, held=(), count=4):
    """Losses of the base and of each step, as shares of the base's on `count` samples that differ a little."""
    base = [0.5 + 0.02 * i for i in range(count)]
    held = held or [None] * len(train)
    found = [Losses(0, [0.5], [0.5], [0.5], base, base if held[0] else (), "y")]
    for step, ours, theirs in zip(STEPS, train, held, strict=True):
        shares = [1 + WOBBLE[i] / 4 for i in range(count)]
        each = [b * ours * s for b, s in zip(base, shares, strict=True)]
        kept = [b * theirs * s for b, s in zip(base, shares, strict=True)] if theirs else ()
        found.append(Losses(step, [0.5], [0.5], [0.5], each, kept, "y"))
    return found


WELL = losses((0.9, 0.84, 0.8, 0.77, 0.73, 0.71), (0.99, 1.01, 1.04, 1.08, 1.12, 1.14))
"""Losses of a run of 40 pictures by the preset, as one was measured."""


def record(steps=300, jumps=(), by=9.0, seed=1):
    """A record of training whose losses and gradients are as uneven as mini's, with jumps."""
    draw = random.Random(seed)
    found = []
    for step in range(1, steps + 1):
        factor = by if step in jumps else 1.0
        loss, gradient = 0.24 * draw.lognormvariate(0, 0.15), 0.08 * draw.lognormvariate(0, 0.2)
        found.append(Stepped(step=step, loss=loss * factor, gradient=gradient * factor, rate=3e-3, seconds=0.4))
    return [*found, Finished(verb="train", seconds=1.0)]


def run(last=None, **course):
    """Cards of the base and of six checkpoints; `last` are the last one's means, `course` each step's by measure."""
    found = [card(0)]
    for i, step in enumerate(STEPS):
        means = {name: values[i] for name, values in course.items()}
        found.append(card(step, **(means | (last or {}) if step == STEPS[-1] else means)))
    return found


def names(cards=None, lost=WELL, events=None, **more):
    """Names of the symptoms found, the first first."""
    return [one.name for one in symptoms(None, run() if cards is None else cards, lost, events or record(), **more)]


def test_a_healthy_run_is_left_in_peace():
    assert names() == []
    assert names(run(identity=(0.8, 0.9, 0.93, 0.94, 0.95, 0.95), signature=(0.2, 0.3, 0.4, 0.44, 0.45, 0.46))) == []
    healthy = of_set(300, leak=(0.05, -0.05, 0.15), diversity=(0.95, 0.9, 1.0))
    assert names([*run(), healthy]) == []


@pytest.mark.parametrize("seed", range(20))
def test_an_uneven_but_even_tempered_record_has_no_spikes(seed):
    assert training.spikes(Seen(events=record(seed=seed))) is None


def test_what_was_not_measured_is_never_guessed():
    assert symptoms(None, []) == []
    assert set(signs.unknown(Seen())) == {sign.name for sign in signs.SIGNS} - {"partial"}, "nothing is known to lack"
    seen = Seen(cards=run(), losses=WELL, events=record())
    assert signs.unknown(seen) == ["memory", "leak", "bleed", "misshapen", "plastic"]


DEAD = {"identity": 0.01, "signature": 0.05, "agreement": 0.87, "saturation": 0.8, "contrast": 0.1}


@pytest.mark.parametrize(
    ("cards", "lost"),
    [
        (run(**{name: [value] * 6 for name, value in DEAD.items()}), losses([1.0] * 6, [1.0] * 6)),
        (run(**{name: [value] * 6 for name, value in DEAD.items()}), ()),
        ([], losses([1.0] * 6, [1.0] * 6)),
    ],
    ids=["both", "pictures alone", "losses alone"],
)
def test_a_dead_adapter_is_told_alone(cards, lost):
    found = symptoms(None, cards, lost, record())
    assert [one.name for one in found] == ["dead"]
    assert found[0].certain == bool(cards and lost)


def test_pictures_of_the_base_from_an_adapter_that_learnt_are_no_dead_one():
    """A strength of nothing, say: its losses moved."""
    assert "dead" not in names(run(**{name: [value] * 6 for name, value in DEAD.items()}))


def test_a_weak_run_that_learnt_a_little_is_underfit_and_not_dead():
    """At a tenth of the rate for a fifth of the steps, say: hardly to be seen, and there on the same noise."""
    lost = losses((0.999, 0.997, 0.995, 0.992, 0.989, 0.986), (0.999, 0.998, 0.996, 0.994, 0.992, 0.99))
    assert names(run(**{name: [value] * 6 for name, value in DEAD.items()}), lost=lost) == ["underfit"]


RISING = {"identity": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "signature": (0.1, 0.12, 0.14, 0.16, 0.2, 0.24)}
FALLING = losses((0.99, 0.97, 0.95, 0.93, 0.91, 0.89), (0.99, 0.98, 0.97, 0.96, 0.95, 0.94))


@pytest.mark.parametrize(
    ("cards", "lost", "certain"),
    [(run(**RISING), FALLING, True), (run(**RISING), (), True), (run(), FALLING, False)],
    ids=["by both", "by pictures", "by losses"],
)
def test_a_run_that_ended_early(cards, lost, certain):
    found = symptoms(None, cards, lost, record())
    assert [one.name for one in found] == ["underfit"]
    assert found[0].certain == certain


def test_a_likeness_that_still_rises_is_healthy_once_held_out_loss_has_passed_its_least():
    """As measured: likeness 0.69 to 0.74 over the last third, held-out loss 0.92 to 0.97 of the base's."""
    rises = run(signature=(0.2, 0.3, 0.33, 0.36, 0.4, 0.46))
    past = losses((0.88, 0.82, 0.75, 0.7, 0.67, 0.65), (0.88, 0.89, 0.9, 0.92, 0.94, 0.97))
    assert names(rises, lost=past) == []
    assert names(rises, lost=()) == ["underfit"]


def test_what_was_better_before_did_not_end_early():
    falls = run(identity=(0.9, 0.9, 0.9, 0.85, 0.7, 0.6), signature=(0.5, 0.5, 0.5, 0.4, 0.3, 0.2))
    assert "underfit" not in names(falls, lost=())


FEW = losses((0.64, 0.39, 0.29, 0.24, 0.22, 0.21), (0.93, 1.11, 1.31, 1.52, 1.67, 1.77))
"""Losses of a run of 8 pictures, as measured (benchmarks/mini.md)."""


def test_learnt_by_heart_by_losses():
    found = symptoms(None, run(), FEW, record())
    assert [(one.name, one.certain) for one in found] == [("overfit", True)]
    assert found[0].facts[0].value == pytest.approx(1.77, abs=0.01)
    assert "1.77 times the base's" in found[0].says


def test_one_held_out_picture_makes_it_likely_and_recited_ones_beside_it_certain():
    held = (0.93, 1.11, 1.31, 1.52, 1.67, 1.77)
    for train, certain in (((0.8, 0.75, 0.7, 0.65, 0.6, 0.55), False), ((0.64, 0.39, 0.29, 0.24, 0.22, 0.21), True)):
        found = symptoms(None, run(), losses(train, held, count=1), record())
        assert [(one.name, one.certain) for one in found] == [("overfit", certain)]


def test_without_held_out_pictures_the_trained_ones_tell():
    assert names(lost=losses((0.64, 0.39, 0.29, 0.24, 0.22, 0.21))) == ["overfit"]
    assert names(lost=losses((0.9, 0.84, 0.8, 0.77, 0.73, 0.71))) == []


def test_learnt_by_heart_by_copies():
    assert names(run(last={"copying": 0.8})) == ["overfit"]


def test_pictures_that_are_alike_are_told_beside_other_signs_alone():
    """A healthy run of 40 pictures had 0.13 of the base's diversity, as measured; one of 8 had 0.04."""
    same = of_set(300, diversity=(0.04, 0.02, 0.07))
    assert names([*run(), same]) == []
    found = symptoms(None, [*run(), same], FEW, record())
    assert [fact.measure for fact in found[0].facts] == ["held_out", "diversity"]


def test_prompts_that_are_no_longer_heard():
    assert names(run(last={"agreement": 0.6})) == ["deaf"]
    few = run(last={"agreement": 0.6})
    few = [replace(one, pictures=one.pictures[:4], scores=measures.scores([d.scores for d in one.pictures[:4]]))
           for one in few]  # fmt: skip
    assert names(few) == [], "on four pictures an interval knows of no chance"
    weak = [replace(card(at, "grid"), strength=0.7 * (at > 0)) for at in (0, 300)]
    assert names([*few, *weak]) == [], "what was drawn in full says otherwise"
    lost = [weak[0], replace(card(300, "grid", agreement=0.6), strength=0.7)]
    assert names([*few, *lost]) == ["deaf"]


@pytest.mark.parametrize(("leak", "seen"), [((0.9, 0.8, 1.0), ["leak"]), ((0.6, 0.4, 0.8), []), ((0.8, -0.1, 1.7), [])])
def test_a_character_that_comes_unasked(leak, seen):
    assert names([*run(), of_set(300, leak=leak)]) == seen


def test_a_trigger_that_calls_nobody():
    weak = run(last={"identity": 0.4, "signature": 0.2}, identity=[0.4] * 6, signature=[0.2] * 6)
    assert "nameless" in names([*weak, of_set(300, leak=(1.0, 0.9, 1.1))])
    missing = Finding("trigger_missing", "", "block", "no caption holds it", "Caption.", 0, ("a.png",))
    found = {one.name: one for one in symptoms(None, weak, WELL, record(), findings=[missing])}
    assert found["nameless"].pictures == ("a.png",)
    waived = Finding("trigger_missing", "", "block", "no caption holds it", "Caption.", 0, ("a.png",), "", "so it is")
    assert "nameless" not in names(weak, findings=[waived])
    assert names(findings=[missing]) == [], "it calls the character all the same"


@pytest.mark.parametrize("fault", [{"saturation": 20.0}, {"contrast": 9.0}])
def test_burnt_pictures(fault):
    assert names(run(last=fault)) == ["burnt"]


@pytest.mark.parametrize(("measure", "name"), [("bleed", "bleed"), ("proportions", "misshapen"), ("skin", "plastic")])
def test_what_goes_beyond_its_limit_and_beyond_the_base(measure, name):
    def with_base(own, ours):
        return [card(0, **{measure: own}), *(card(step, **{measure: ours}) for step in STEPS)]

    assert names(with_base(0.0, 3.0)) == [name]
    assert names(with_base(0.0, 0.1)) == []
    assert names(with_base(3.0, 3.0)) == [], "the base does so itself"


def test_figures_that_fall_apart_where_no_picture_shows_them_so():
    """Strain at full bodies, two in the grid and two among its probes; what lacks is asked for, and steps for it."""

    def strained(values, step=300, framing="full body"):
        """The base's grid and a checkpoint's, and the probes of both."""
        found = []
        for one in (0, step):
            drawn = [Drawn(f"p{i}", f"{framing} of zorblax, {i}", 1, "", {"strain": v * (one > 0)})
                     for i, v in enumerate(values)]  # fmt: skip
            for stage, part in (("grid", drawn[:2]), ("probe", drawn[2:])):
                scores = measures.scores([d.scores for d in part])
                found.append(Scorecard(one, 1.0 if one else 0.0, stage, scores, "g", "e", tuple(part)))
        return found

    def told(cards):
        return [one for one in symptoms(None, [*run(), *cards], WELL, record()) if one.name == "partial"]

    bad = strained((0.3, 0.2, 0.25, 0.35))
    (found,) = told(bad)
    assert found.certain
    assert "No picture shows full body" in found.says
    assert found.facts[0].value == pytest.approx(0.275)
    assert told(strained((0.05, 0.06, 0.04, 0.05))) == []
    assert told(strained((0.9, -0.5, 0.6, -0.4))) == [], "it may be chance"
    assert told(strained((0.3, 0.2, 0.3))) == [], "three pictures say too little"
    close = [Picture(f"{i}.png", f"{i:064d}", 128, 128, "close-up of {trigger}, smiling") for i in range(24)]
    seen = Seen(cards=bad, pictures=close)
    (add,) = cures.advise([found], seen)[0].dataset
    assert (add.kind, add.count, add.of) == ("add", 8, "full body")
    steps = {change.key: change.after for change in add.along}
    assert steps["stages.0.steps"] == round(seen.recipe.steps * (1 + 8 / 24))
    half = Seen(cards=strained((0.3, 0.2, 0.25, 0.35), framing="half body"), pictures=close)
    assert cures.advise(signs.look(half), half)[0].dataset[0].of == "half body", "whatever framing it is"


def test_what_was_not_looked_for_is_told_only_where_it_could_be_there():
    """Close-ups alone, and prompts for full bodies, of which no strain was taken: as where another program draws."""
    close = [Picture(f"{i}.png", f"{i:064d}", 128, 128, "close-up of {trigger}") for i in range(8)]
    whole = [Picture(f"{i}.png", f"{i:064d}", 128, 128, f"{FRAMINGS[i % 3]} of {{trigger}}") for i in range(8)]
    assert "partial" in signs.unknown(Seen(cards=run(), pictures=close))
    assert "partial" not in signs.unknown(Seen(cards=run(), pictures=whole))


def test_a_face_that_drifts_from_seed_to_seed_or_in_one_framing():
    assert "drift" in names([*run()[:-1], card(300, noise=30.0)])
    cards, last = run(), card(300)
    behind = [
        Drawn(d.prompt, d.text, d.seed, "", {**d.scores, "identity": d.scores["identity"] - 0.4 * ("full" in d.text)})
        for d in [*last.pictures, *(Drawn(d.prompt, d.text, d.seed + 2, "", d.scores) for d in last.pictures)]
    ]
    cards[-1] = Scorecard(300, 1.0, "screen", measures.scores([d.scores for d in behind]), "g", "e", behind)
    found = symptoms(None, cards, WELL, record())
    assert [one.name for one in found] == ["drift"]
    assert "in full body pictures" in found[0].says


def test_spread_over_seeds_alone_is_never_sure():
    (found,) = symptoms(None, [*run()[:-1], card(300, noise=30.0)], WELL, record())
    assert (found.name, found.certain) == ("drift", False)


def test_framings_are_told_however_a_prompt_begins():
    texts = ("zorblax, full body, dancing", "drawing of zorblax, full-body", "portrait of zorblax", "zorblax, close-up")
    shown = [
        Drawn("p", text, seed, "", {"identity": 0.5 if "full" in text else 0.9}) for text in texts for seed in range(3)
    ]
    found = drawing.framings(shown)
    assert set(found) == {"full body", "close-up"}
    assert found["full body"].mean == pytest.approx(0.4)


def test_spikes_are_seen_and_named():
    found = symptoms(None, run(), WELL, record(jumps=(120, 180, 181, 240)))
    assert [(one.name, one.certain) for one in found] == [("spikes", True)]
    assert "steps 120, 180, 181, 240" in found[0].facts[0].of
    assert names(events=record(jumps=(120,))) == [], "one is chance"
    overflows = [*record(), *(Overflowed(step=5, scale=2.0**i) for i in range(6))]
    assert names(events=overflows) == ["spikes"]


def test_a_stop_that_is_not_finite_goes_before_all_else():
    problem = "Step 137: loss nan, gradient norm 3.2; the weights were not touched"
    stopped = [*record(steps=136)[:-1], Failed(verb="train", problem=problem, remedy="")]
    found = symptoms(None, run(identity=[0.2] * 6), WELL, stopped)
    assert [one.name for one in found] == ["stopped"]
    assert found[0].facts[0].value == 137
    assert names(events=[*stopped, *record()]) == [], "it went on after"
    assert names(events=[*record(), Failed(verb="train", problem="No space", remedy="")]) == []


@pytest.mark.parametrize(
    ("train", "count", "found"),
    [
        ((0.9, 0.95, 1.0, 1.1, 1.2, 1.3), 4, ["diverged"]),
        ((0.8, 0.75, 0.78, 0.8, 0.82, 0.84), 4, ["unsteady"]),
        ((0.8, 0.75, 0.78, 0.8, 0.82, 0.84), 1, []),
    ],
)
def test_training_that_undoes_what_it_did(train, count, found):
    assert names(lost=losses(train, [1.0] * 6, count=count)) == found


def test_a_card_without_room():
    assert names(need=Need(30.0, 24.0)) == ["memory"]
    assert names(need=Need(20.0, 24.0)) == []
    assert symptoms(None, [], need=Need(30.0, 24.0))[0].severity == 1.0, "nothing was trained"


def test_the_worst_and_surest_comes_first():
    cards = [*run(last={"saturation": 20.0}), of_set(300, leak=(0.9, 0.8, 1.0))]
    assert names(cards, lost=FEW) == ["overfit", "burnt", "leak"]


def test_a_sure_symptom_goes_before_a_likely_one_that_is_worse():
    likely = losses((0.8, 0.75, 0.7, 0.65, 0.6, 0.55), (0.93, 1.11, 1.31, 1.52, 1.67, 1.77), count=1)
    assert names(run(last={"saturation": 20.0}), lost=likely) == ["burnt", "overfit"]


def test_held_out_losses_that_go_both_ways_are_chance():
    lost = losses((0.9, 0.84, 0.8, 0.77, 0.73, 0.71), [1.0] * 6)
    wide = [value * factor for value, factor in zip(lost[0].held_each, (3.5, 0.4, 0.7, 0.9), strict=True)]
    assert names(lost=[*lost[:-1], replace(lost[-1], held_each=wide)]) == []


def test_a_likeness_that_rises_while_pictures_are_learnt_by_heart_is_no_want_of_steps():
    assert names(run(**RISING), lost=FEW) == ["overfit"]


def test_the_recipes_own_limit_counts():
    lax = Recipe.model_validate({"judging": {"max_drop": 0.5}})
    assert names(run(last={"agreement": 0.6}), recipe=lax) == []


def test_the_page_tells_every_sign_and_every_limit():
    """Limits stand in the code, and people read them in docs/advice.md."""
    page = (ROOT / "docs" / "advice.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    assert set(rows) == {sign.name for sign in signs.SIGNS}
    for name, limits in {
        "diverged": (training.WORSE,),
        "unsteady": (training.RISEN,),
        "dead": (learning.ALIVE, learning.LEARNT),
        "underfit": (learning.REACHED, learning.RISES),
        "overfit": (learning.BY_HEART, learning.RECITED, cures.ENOUGH),
        "nameless": (learning.REACHED,),
        "drift": (drawing.WAVERS, drawing.APART, cures.PORTRAITS),
        "leak": (drawing.LEAKS,),
        "bleed": (drawing.BLEEDS,),
        "burnt": (drawing.HARD, gates.BURNS),
        "partial": (drawing.STRAINS,),
        "misshapen": (drawing.MISSHAPEN, cures.BODIES),
        "plastic": (drawing.PLASTIC, cures.REALISM),
    }.items():
        missing = [limit for limit in limits if not re.search(rf"(?<![\d.]){limit:g}(?![\d.]*\d)", rows[name])]
        assert not missing, (name, missing)
