"""Symptoms of what was learnt: nothing, too little, or the training pictures by heart. Pure."""

from portraitist.judge.advising.evidence import CARDS, LOSSES, NONE, Fact, Seen, Symptom
from portraitist.judge.gates import Gate, gates
from portraitist.judge.measures import difference
from portraitist.judge.scorecard import Score, Scorecard

ALIVE = 0.15
"""Identity beyond the base's, of 1, below which nothing of the character has come. Judged."""

LEARNT = 0.997
"""Loss on training pictures over the base's, on the same noise, above which nothing was learnt. Judged: mini's preset
reaches 0.83 after 50 steps and 0.64 after 300 (benchmarks/mini.md), and a weak run is to be told from a dead one."""

REACHED = 0.75
"""Identity below which a character is not yet itself, of 1. Judged."""

RISES = 0.03
"""Likeness that the last third of a run must bring before it counts as still rising. Where pictures are held out their
loss must still fall as well: a healthy run of 300 steps rose by 0.05 while it had long begun to learn by heart."""

FALLS = 0.995
"""Held-out loss at the end over that of two thirds of the run, below which it is still falling: a healthy run has
passed its least by then (1.05 in benchmarks/mini.md)."""

BY_HEART = 1.3
"""Held-out loss over the base's from which on pictures are learnt by heart: 8 pictures of mini reach it after 100 steps
and end at 1.77, 36 of them end at 0.99 to 1.03 (benchmarks/mini.md)."""

STIRS = 0.05
"""Identity surely gained from which an adapter does something, if little. Judged."""

FEWEST = 6
"""Pictures on which agreement may be surely lost: on three that all lose it the interval knows of no chance. Judged."""

RECITED = 0.4
"""Loss on training pictures over the base's, below which they are known by heart, where none was held out: 8 pictures
end at 0.21, 36 at 0.64 (benchmarks/mini.md)."""


def dead(seen: Seen) -> Symptom | None:
    """The adapter does nothing: the pictures are the base's, and training pictures are drawn no better."""
    gained, learnt = seen.gained("identity"), last(seen, "train_each")
    if not gained.count and not learnt.count:
        return None
    if (gained.count and gained.high > ALIVE) or (learnt.count and not LEARNT <= learnt.mean <= 2 - LEARNT):
        return None
    if not learnt.count and gained.low > STIRS:
        return None  # `underfit` tells of that
    facts = []
    if gained.count:
        facts.append(Fact.of_score("identity", gained, ALIVE, "the last checkpoint less the base", CARDS))
    if learnt.count:
        facts.append(Fact.of_score("loss on training pictures", learnt, LEARNT, "over the base's", LOSSES))
    says = "The adapter does next to nothing: " + " and ".join(
        [f"in identity its pictures are {gained.mean:.2f} ahead of the base's"] * bool(gained.count)
        + [f"its loss on training pictures is {learnt.mean:.3f} of the base's"] * bool(learnt.count)
    )
    return Symptom("dead", says, 1.0, bool(gained.count and learnt.count), tuple(facts))


def underfit(seen: Seen) -> Symptom | None:
    """The run ended before it had learnt the character: likeness is low or rising, or held-out loss still falls."""
    pair, early = seen.last(), seen.earlier()
    if pair is None:
        return None
    card = pair[0]
    identity = card.scores.get("identity", NONE)
    _, whole = seen.whole()
    rise = difference(whole[-1], early, "likeness") if early else NONE
    held = falling(seen)
    fresh = held.count > 0 and held.mean < FALLS and (held.count == 1 or held.high < 1)
    rising = rise.count > 0 and rise.low > 0 and rise.mean > RISES and (fresh or not held.count)
    short = identity.count > 0 and identity.mean < REACHED
    if rise.count and rise.high < 0:
        return None  # it was better before: that is no want of training
    if not (short or rising or fresh) or by_heart(seen):
        return None
    facts = []
    words = []
    if identity.count:
        facts.append(Fact.of_score("identity", identity, REACHED, f"step {card.step}", CARDS))
        if short:
            words.append(f"its identity is {identity.mean:.0%}")
    if rising and early:
        facts.append(Fact.of_score("likeness", rise, RISES, f"step {card.step} less step {early.step}", CARDS))
        words.append(f"its likeness still rises, by {rise.mean:.2f} since step {early.step}")
    if fresh:
        facts.append(Fact.of_score("held_out", held, FALLS, "the end over two thirds of the run", LOSSES))
        words.append(f"its loss on held-out pictures still falls, to {held.mean:.3f} of what it was")
    certain = (short and identity.high < REACHED) or rising
    severity = 0.8 if short else 0.6
    return Symptom("underfit", f"The run ended early: {', and '.join(words)}", severity, certain, tuple(facts))


def overfit(seen: Seen) -> Symptom | None:
    """Training pictures are learnt by heart: by losses, or by copied layouts."""
    facts, words, sure = [], [], False
    held, train = last(seen, "held_each"), last(seen, "train_each")
    if by_heart(seen):
        if held.count:
            facts.append(Fact.of_score("held_out", held, BY_HEART, "the last checkpoint over the base", LOSSES))
            words.append(f"its loss on held-out pictures is {held.mean:.2f} times the base's")
            recited = train.count > 0 and train.mean < RECITED
            sure = recited or (held.count > 2 and held.low > BY_HEART)
        else:
            facts.append(Fact.of_score("loss on training pictures", train, RECITED, "over the base's", LOSSES))
            words.append(f"its loss on training pictures is {train.mean:.2f} of the base's, and none was held out")
            sure = train.count > 2 and train.high < RECITED
    copying = gate(seen.last(), seen, "copying")
    if copying and not copying.passed:
        facts.append(Fact("copying", copying.value, copying.low, copying.high, copying.limit, "all pictures", CARDS))
        words.append(f"it copies training pictures ({copying.value:.2f})")
        sure = sure or copying.low > copying.limit
    spread = seen.taken("diversity") if words else None
    if spread:  # no sign by itself: a healthy run of mini falls to 0.13 of the base's, one of 8 pictures to 0.04
        facts.append(Fact.of_score("diversity", spread[1], 1.0, "over seeds, as a share of the base's", CARDS))
    lost = gate(seen.last(), seen, "agreement")
    if words and lost and not lost.passed:
        facts.append(Fact("agreement", lost.value, lost.low, lost.high, lost.limit, "lost against the base", CARDS))
        words.append(lost.says)
    if not words:
        return None
    severity = 0.75 if len(words) > 1 else 0.65
    return Symptom("overfit", f"It has learnt pictures by heart: {', and '.join(words)}", severity, sure, tuple(facts))


def deaf(seen: Seen) -> Symptom | None:
    """It no longer draws what is asked, beyond the recipe's limit, and surely."""
    pair = seen.fullest()
    lost = gate(pair, seen, "agreement")
    if pair is None or lost is None or lost.low <= lost.limit or difference(*pair, "agreement").count < FEWEST:
        return None
    fact = Fact("agreement", lost.value, lost.low, lost.high, lost.limit, "lost against the base", CARDS)
    return Symptom("deaf", f"It does less of what prompts ask: {lost.says}", 0.55, True, (fact,))


def gate(pair: tuple[Scorecard, Scorecard] | None, seen: Seen, name: str) -> Gate | None:
    """One of the choice's own conditions, on a card beside the base's."""
    found = gates(*pair, seen.recipe.judging.max_drop) if pair else ()
    return next((one for one in found if one.name == name), None)


def by_heart(seen: Seen) -> bool:
    """Whether losses say that training pictures are known by heart."""
    held, train = last(seen, "held_each"), last(seen, "train_each")
    if held.count:
        return held.mean > BY_HEART and held.low > 1
    return train.count > 0 and train.mean < RECITED


def last(seen: Seen, split: str) -> Score:
    """Losses of the last checkpoint over the base's."""
    course = seen.course(split)
    return course[-1][1] if course else NONE


def falling(seen: Seen) -> Score:
    """Held-out losses at the end over those at two thirds of the run."""
    steps = [step for step, _ in seen.course("held_each")]
    before = [step for step in steps if step <= 2 / 3 * steps[-1]] if steps else []
    return seen.between("held_each", steps[-1], before[-1]) if before else NONE
