"""Symptoms of what is drawn: who comes unasked, what comes along, and how it looks. Pure.

A measure that was not taken says nothing: its symptom is then not looked for, which is told (see signs.py).
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from portraitist.judge.advising.evidence import AUDIT, CARDS, NONE, Fact, Seen, Symptom
from portraitist.judge.advising.learning import REACHED, gate
from portraitist.judge.alike import STRAIN, known
from portraitist.judge.choosing import latest
from portraitist.judge.measures import interval
from portraitist.judge.measuring import strain
from portraitist.judge.measuring.references import BACK, framing, framing_of, showing
from portraitist.judge.scorecard import OWN, WHOLE, Drawn, Score, Scorecard
from portraitist.judge.surface import named, place

LEAKS = 0.7
"""Of the way from the base to the named pictures, from which on prompts without the trigger draw the character. By the
few pictures that it is taken on mini's plain runs go 0.88 to 1.06 of it, those with `training.preserve` -0.04 to 0.58,
which in truth is 0.05 to 0.27 (benchmarks/advice.md)."""

WAVERS = 0.25
"""Spread of identity over seeds of one prompt (standard deviation), from which on the face drifts. Judged."""

APART = 0.25
"""Identity by which one framing falls behind the others before that counts as drift. Judged."""

BLEEDS = 0.2
"""Closeness to backgrounds of training pictures where others are asked, beyond the base's own: healthy runs of mini had
0.02 to 0.10, those of a dozen pictures in one room 0.26 to 0.44."""

HARD = 3.0
"""Deviations of the references by which contrast, clipping or detail leave their range, beyond the base's own: a z of 3
is a usual alarm. Judged."""

MISSHAPEN = 2.5
"""How many times farther from the references' proportions than these lie themselves; healthy runs of mini had 1.1 and
1.8."""

PLASTIC = 2.0
"""Deviations of the realism set's skin by which texture lies below its range. Judged."""

STRAINS = 0.1
"""Strain at framings that no picture shows, from which on such pictures are asked for: at full strength eleven of the
twelve runs of mini on ten close-ups had 0.18 to 0.39, ten on forty 0.25 to 0.49, and pictures of what lacks made nearly
all liker (benchmarks/advice.md). True drawings have 0.2 to 0.5 as well: it says what was not taught, and no more."""

FEWEST = 3
"""Pictures of a framing below which it is not compared."""

CALLED = {"mid": "half body", "full": "full body", BACK: "back view"}
"""Framings as people call them, where that is another word."""


def leak(seen: Seen) -> Symptom | None:
    """Prompts that do not name the character draw it."""
    found = seen.taken("leak")
    if found is None or found[1].mean <= LEAKS or found[1].low <= 0:
        return None
    got = found[1]
    says = f"Prompts without the trigger draw the character, {got.mean:.0%} of the way from the base"
    fact = Fact.of_score("leak", got, LEAKS, f"step {found[0].step}, unnamed", CARDS)
    return Symptom("leak", says, 0.35, got.low > LEAKS, (fact,))


def nameless(seen: Seen) -> Symptom | None:
    """The trigger does not call the character: named pictures are hardly like it, and no liker than unnamed ones, or
    captions do not hold the trigger as they should."""
    pair, leaks = seen.last(), seen.taken("leak")
    identity = pair[0].scores.get("identity", NONE) if pair else NONE
    if not identity.count or identity.high >= REACHED:
        return None
    facts = [Fact.of_score("identity", identity, REACHED, "prompts with the trigger", CARDS)]
    found = list(seen.found("trigger_missing", "trigger_known", "trigger_late"))
    alike = leaks is not None and leaks[1].low > 0.7
    if leaks is not None and alike:
        facts.append(Fact.of_score("leak", leaks[1], 0.7, "prompts without it", CARDS))
    if not alike and not found:
        return None
    facts += [Fact.plain(one.check, len(one.pictures), 0, one.says, AUDIT) for one in found]
    why = found[0].says if found else "without it they come as like"
    names = tuple(dict.fromkeys(name for one in found for name in one.pictures))
    says = f"The trigger hardly calls the character ({identity.mean:.0%} in identity): {why}"
    return Symptom("nameless", says, 0.7, alike, tuple(facts), names)


def bleed(seen: Seen) -> Symptom | None:
    """Backgrounds of training pictures come along where others are asked."""
    says = "Backgrounds of training pictures come where others are asked"
    return beyond(seen, "bleed", "bleed", BLEEDS, 0.4, says)


def burnt(seen: Seen) -> Symptom | None:
    """Colours or contrast leave the references' range, beyond what the base's own do."""
    facts, words, sure = [], [], False
    colour = gate(seen.last(), seen, "saturation")
    if colour and not colour.passed:
        facts.append(Fact("saturation", colour.value, colour.low, colour.high, colour.limit, "less the base's", CARDS))
        words.append(colour.says)
        sure = colour.low > colour.limit
    hard = seen.gained("contrast")
    if hard.count and hard.mean > HARD and hard.low > 0:
        facts.append(Fact.of_score("contrast", hard, HARD, "less the base's", CARDS))
        words.append(f"contrast and edges leave the references' range by {hard.mean:.1f}")
        sure = sure or hard.low > HARD
    if not words:
        return None
    return Symptom("burnt", f"Pictures are overdone: {', and '.join(words)}", 0.5, sure, tuple(facts))


def plastic(seen: Seen) -> Symptom | None:
    """Skin has less of its fine detail than the realism set's."""
    return beyond(seen, "plastic", "skin", PLASTIC, 0.4, "Skin is smoother than in the realism set")


def misshapen(seen: Seen) -> Symptom | None:
    """Proportions leave those of the references."""
    says = "Proportions are not those of the references"
    return beyond(seen, "misshapen", "proportions", MISSHAPEN, 0.45, says)


def partial(seen: Seen) -> Symptom | None:
    """What is drawn in framings that no picture shows is strange to the base."""
    card = strained(seen)
    if card is None or (got := card.scores[STRAIN]).mean <= STRAINS or got.low <= 0:
        return None
    what = " or ".join(lacking(card).values())
    says = f"No picture shows {what}, and what is drawn so is as strange to the base as figures are that fall apart"
    fact = Fact.of_score(STRAIN, got, STRAINS, named(place(card)), CARDS)
    return Symptom("partial", f"{says} ({got.mean:.2f})", 0.45, got.low > STRAINS, (fact,))


def strained(seen: Seen) -> Scorecard | None:
    """The card, with its probes, that strain was taken on last: of the latest checkpoint, at its greatest strength to
    full."""
    _, cards = latest(seen.cards, "grid")
    there = [card for card in cards if card.strength <= WHOLE and card.guidance == OWN and known([card], STRAIN)]
    return max(there, key=lambda card: (card.step, card.strength), default=None)


def lacks(seen: Seen) -> bool:
    """Whether prompts ask for framings that no picture has."""
    framings = [framing_of(picture) for picture in showing(seen.pictures)]
    return bool(strain.lacking(framings, [drawn.text for card in seen.cards for drawn in card.pictures]))


def lacking(card: Scorecard) -> dict[str, str]:
    """Framings that strain was taken on, and what people call them."""
    told = dict.fromkeys(framing(drawn.text) for drawn in card.pictures if STRAIN in drawn.scores)
    return {name: CALLED.get(name, name) for name in told}


def beyond(seen: Seen, name: str, measure: str, limit: float, severity: float, says: str) -> Symptom | None:
    """A symptom by one measure that has its own zero: its mean beyond the limit, and worse than the base, surely."""
    pair, more = seen.last(), seen.gained(measure)
    got = pair[0].scores.get(measure, NONE) if pair else NONE
    if pair is None or not got.count or got.mean <= limit or (more.count and more.low <= 0):
        return None
    fact = Fact.of_score(measure, got, limit, f"step {pair[0].step} at full strength", CARDS)
    return Symptom(name, f"{says} ({got.mean:.2f})", severity, got.low > limit, (fact,))


def drift(seen: Seen) -> Symptom | None:
    """The character changes from seed to seed, or in one framing."""
    pair = seen.last()
    if pair is None:
        return None
    facts, words, sure = [], [], False
    wobble, groups = over_seeds(pair[0].pictures)
    if groups >= FEWEST and wobble > WAVERS:
        facts.append(Fact.plain("identity", wobble, WAVERS, f"spread over seeds of {groups} prompts", CARDS))
        words.append(f"its identity varies by {wobble:.2f} from seed to seed")
    for name, behind in sorted(framings(pair[0].pictures).items()):
        if behind.mean > APART and behind.low > 0:
            facts.append(Fact.of_score("identity", behind, APART, f"others less {name}", CARDS))
            sure = sure or behind.low > APART
            words.append(f"in {name} pictures it is less itself by {behind.mean:.2f}")
    if not words:
        return None
    return Symptom("drift", f"The character drifts: {', and '.join(words)}", 0.5, sure, tuple(facts))


def over_seeds(pictures: Sequence[Drawn]) -> tuple[float, int]:
    """Standard deviation of identity within prompts, and over how many prompts of two seeds or more."""
    by_text = defaultdict(list)
    for drawn in pictures:
        if "identity" in drawn.scores:
            by_text[drawn.text].append(drawn.scores["identity"])
    spreads = [np.var(values, ddof=1) for values in by_text.values() if len(values) > 1]
    return (float(np.sqrt(np.mean(spreads))), len(spreads)) if spreads else (0.0, 0)


def framings(pictures: Sequence[Drawn]) -> dict[str, Score]:
    """By framing, as prompts tell it, the identity of all other framings less its own."""
    by_framing = defaultdict(list)
    for drawn in pictures:
        told = framing(drawn.text)
        if told and "identity" in drawn.scores:
            by_framing[CALLED.get(told, told)].append(drawn.scores["identity"])
    enough = {name: values for name, values in by_framing.items() if len(values) >= FEWEST}
    found = {}
    for name, values in enough.items() if len(enough) > 1 else ():
        others = np.concatenate([other for another, other in enough.items() if another != name])
        apart = others.mean() - np.asarray(values)  # the others' mean is over more pictures: its own chance is left out
        low, high = interval(apart)
        found[name] = Score(float(apart.mean()), low, high, len(values))
    return found
