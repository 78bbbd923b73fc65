"""From symptoms to advice: one small function a symptom. Pure.

Where a benchmark of ours tried a guide's cure, what was measured is advised, and the guide's word is left out: masks
hardly stop a background from bleeding (measured on an early embedded base), varied and captioned backgrounds do.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portraitist.audit import framing
from portraitist.judge.advising import drawing, settings
from portraitist.judge.advising.advice import Action, Advice, Expected
from portraitist.judge.advising.changes import diff
from portraitist.judge.advising.evidence import Seen, Symptom

ENOUGH = 32
"""Pictures trained on, with which mini does not overfit in its preset's steps (benchmarks/mini.md); with 7 it does."""

PORTRAITS, BODIES, REALISM = 30, 40, 40
"""Close-ups (against drift, G1), full bodies (against wrong proportions, G2) and realism pictures (G1) to have."""

LEAST = 4
"""Fewest pictures of a framing that are asked for."""

MEASURED = "measured: benchmarks/"
ALIKE, FREE = Expected("likeness", "up"), Expected("agreement", "up")


def advise(symptoms: Iterable[Symptom], seen: Seen, run: str = "") -> list[Advice]:
    """What to do about symptoms, in their order.

    run  the name of the run, which an underfit one's successor starts from
    """
    return [CURES[symptom.name](symptom, seen, run) for symptom in symptoms]


def stopped(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Not finite at the first step: the base; later: the rate, or a precision with too short a range."""
    if symptom.facts[0].value <= 1:
        look = Action(
            "look at", "Copy the base's files again, or take another base, and encode anew: no step was taken."
        )
        return Advice(symptom, ("the base's weights or the encoded pictures are damaged",), (ALIKE,), "judged",
                      dataset=(look,))  # fmt: skip
    change = {**settings.slower(seen.recipe, 3), **settings.steadier(seen.recipe), **settings.wider(seen.recipe)}
    causes = ("the learning rate is too high", *(["float16 overflows"] if settings.wider(seen.recipe) else []))
    return Advice(symptom, causes, (ALIKE,), "guide: G2", recipe=diff(seen.recipe, change))


def diverged(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Losses that rise on the training pictures themselves have one cause."""
    change = {**settings.slower(seen.recipe, 3), **settings.steadier(seen.recipe)}
    return Advice(
        symptom, ("the learning rate is too high",), (Expected("loss on training pictures", "down"), ALIKE),
        "guide: G2", recipe=diff(seen.recipe, change),
    )  # fmt: skip


def unsteady(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """The same, less of it: half the rate."""
    change = {**settings.slower(seen.recipe, 2), **settings.steadier(seen.recipe)}
    return Advice(
        symptom, ("the learning rate is too high",), (Expected("loss on training pictures", "down"), ALIKE),
        "guide: G2", recipe=diff(seen.recipe, change),
    )  # fmt: skip


def dead(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """What is far weaker than in the preset goes back to it; where nothing is, the rate is tripled."""
    weak = settings.weak(seen.recipe)
    change = {key: value for key, (value, _) in weak.items()} or settings.faster(seen.recipe, 3)
    causes = settings.causes(weak) or ("the learning rate is too low for these pictures",)
    return Advice(symptom, causes, (ALIKE,), settings.source(seen.recipe, weak), diff(seen.recipe, change))


def underfit(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """What is weaker than in the preset goes back to it; where nothing is, training goes on from where it ended."""
    weak = settings.weak(seen.recipe)
    if weak:
        change = {key: value for key, (value, _) in weak.items()}
        causes = settings.causes(weak)
    else:
        change, causes = settings.longer(seen.recipe, run), ("too few steps for these pictures",)
    found = diff(seen.recipe, change) or diff(seen.recipe, settings.longer(seen.recipe, ""))
    return Advice(symptom, causes, (ALIKE,), settings.source(seen.recipe, weak), found,
                  meanwhile="take the last checkpoint at full strength")  # fmt: skip


def overfit(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """More pictures where they are few; settings stronger than the preset's go back to it, else half the rate."""
    strong = settings.strong(seen.recipe)
    change = {key: value for key, (value, _) in strong.items()} or settings.slower(seen.recipe, 2)
    causes = [*settings.causes(strong)]
    dataset, count = [], trained_on(seen)
    if 0 < count < ENOUGH:
        causes.insert(0, f"{count} pictures are few: each is seen very often")
        says = f"Add {ENOUGH - count} pictures that differ from these in pose, framing and background."
        dataset.append(Action("add", says, ENOUGH - count))
    twins = names(seen, "near_duplicates")
    if twins:
        dataset.append(Action("remove", f"Take out near-duplicates: {', '.join(twins[:5])}", pictures=twins))
    standing = f"{MEASURED}mini.md" if 0 < count < ENOUGH else "guide: G1"
    expects = (Expected("held_out", "down"), Expected("copying", "down"))
    return Advice(symptom, tuple(causes) or ("it was trained too long or too hard",), expects, standing,
                  diff(seen.recipe, change), tuple(dataset),
                  "take a checkpoint 2 to 4 epochs earlier (G4), or a strength of about 0.76 (G3)")  # fmt: skip


def nameless(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Captions first; where they are right, the name is kept apart from the noun."""
    says = "Let every caption of the character begin with the trigger, a word that the base does not know."
    mend = (Action("caption", says, pictures=symptom.pictures),) if symptom.pictures else ()
    apart = settings.apart(seen.recipe) if not mend else {}
    causes = ("captions do not hold the trigger as they should",) if mend else ("name and noun were learnt as one",)
    return Advice(symptom, causes, (ALIKE,), "judged", diff(seen.recipe, apart), mend or (
        Action("look at", "See that every caption holds the trigger, and that the base does not know the word."),
    ))  # fmt: skip


def deaf(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Captions that tell more of what changes; a softer training."""
    strong = settings.strong(seen.recipe)
    change = {key: value for key, (value, _) in strong.items()} or settings.slower(seen.recipe, 2)
    thin = names(seen, "caption_missing", "captions_alike", "variants_alike")
    says = "Tell framing, pose, expression, background and light in captions: what they leave out is learnt as the"
    dataset = (Action("caption", f"{says} character.", pictures=thin),)
    causes = settings.causes(strong) or ("captions tell too little of what changes, or it was driven",)
    return Advice(symptom, causes, (FREE,), "guide: G2", diff(seen.recipe, change), dataset,
                  "draw at a lower strength: about 0.76 (G3)")  # fmt: skip


def drift(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """More and more consistent portraits, without those of somebody else."""
    there = sum(framing.shown(picture).framing == "close-up" for picture in seen.pictures)
    add = max(0, PORTRAITS - there)
    dataset = [Action("add", f"Add {add} consistent close-ups of the face ({there} there).", add, "close-up")] * (
        add > 0
    )
    strange = names(seen, "identity_outliers", "several_faces", "time_spread")
    if strange:
        dataset.append(
            Action("remove", f"Take out who may be somebody else: {', '.join(strange[:5])}", pictures=strange)
        )
    strong = {key: value for key, (value, _) in settings.strong(seen.recipe).items() if key == "training.rate"}
    return Advice(symptom, ("too few, or unlike, portraits",), (ALIKE,), "guide: G1",
                  diff(seen.recipe, strong), tuple(dataset))  # fmt: skip


def burnt(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Guidance where it is above the preset's, as measured; else the rate."""
    driven = settings.guidance(seen.recipe)
    change = driven or settings.slower(seen.recipe, 2)
    cause = "guidance drives colours" if driven else "the learning rate is too high"
    standing = f"{MEASURED}tuning.md" if driven else "guide: G2"
    return Advice(symptom, (cause,), (Expected("saturation", "down"), Expected("contrast", "down")), standing,
                  diff(seen.recipe, change), meanwhile="draw at a lower strength, and at less guidance")  # fmt: skip


def leak(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Hold the noun to the base; where that is done already, longer: name and noun come apart in time."""
    expects = (Expected("leak", "down"),)
    change = settings.apart(seen.recipe)
    if change:
        found = diff(seen.recipe, change)
        cause = "nothing tells the character from others of its kind"
        if found:
            return Advice(symptom, (cause,), expects, f"{MEASURED}preservation.md", found)
        few = Action("add", "Add a set of others of its kind, with the role prior, captioned without the trigger.",
                     ENOUGH, "prior")  # fmt: skip
        return Advice(symptom, (cause,), expects, "judged", dataset=(few,))
    change = settings.longer(seen.recipe, run)
    cause = "name and noun have not come apart yet"
    return Advice(symptom, (cause,), expects, f"{MEASURED}preservation.md", diff(seen.recipe, change))


def bleed(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Varied and captioned backgrounds; steps with the pictures, for without them each is seen less and likeness falls.

    Neither masks nor a lower rank is advised: masks were seen not to help.
    """
    one = [finding for finding in seen.found("background_variety")]
    same = names(seen, "background_variety")
    count = one[0].change if one and one[0].change > 0 else max(1, trained_on(seen) // 3)
    steps = diff(seen.recipe, settings.as_often(seen.recipe, trained_on(seen), count))
    dataset = (
        Action("caption", "Name the background in every caption, as in: ..., forest background.", pictures=same),
        Action("add", f"Add {count} pictures before other backgrounds, or swap some of the others for such.", count,
               "other backgrounds", along=steps),
    )  # fmt: skip
    causes = ("backgrounds are alike, or captions do not tell them, so that they are learnt as the character",)
    return Advice(symptom, causes, (Expected("bleed", "down"), FREE), f"{MEASURED}advice.md", dataset=dataset)


def partial(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Pictures of each framing that lacks, a third as many as there are, and steps with them as against bleeding."""
    card = drawing.strained(seen)
    lacking = list(drawing.lacking(card).values()) if card else []
    each = max(LEAST, trained_on(seen) // 3)
    count = each * len(lacking)
    steps = diff(seen.recipe, settings.as_often(seen.recipe, trained_on(seen), count))
    both = " and ".join(lacking)
    says = f"Add {each} pictures of each framing that lacks: {both}." if len(lacking) > 1 else f"Add {each} of {both}."
    return Advice(symptom, ("no picture shows the character so",), (ALIKE,), f"{MEASURED}advice.md",
                  dataset=(Action("add", says, count, both, along=steps),),
                  meanwhile="draw at a lower strength, or only in framings that the pictures have")  # fmt: skip


def misshapen(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """More of the figure, and a realism set of the same build."""
    there = sum(framing.shown(picture).framing == "full" for picture in seen.pictures)
    add = max(0, BODIES - there)
    dataset = [Action("add", f"Add {add} full-body pictures ({there} there).", add, "full body")] * (add > 0)
    other = names(seen, "realism_build")
    if other:
        dataset.append(Action("remove", "Replace the realism set by one of the same build.", pictures=other))
    return Advice(symptom, ("too few full figures, or a realism set of another build",),
                  (Expected("proportions", "down"),), "guide: G2", dataset=tuple(dataset))  # fmt: skip


def plastic(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """More real photographs."""
    there = sum(picture.role == "realism" for picture in seen.pictures)
    add = max(10, REALISM - there)
    says = f"Add {add} photographs of matching build to the realism set ({there} there)."
    return Advice(symptom, ("too few photographs beside smooth pictures",), (Expected("skin", "down"),), "guide: G1",
                  dataset=(Action("add", says, add, "realism"),), meanwhile="draw at strength 0.7 (G1)")  # fmt: skip


def spikes(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """Clip, warm up, and halve the rate."""
    recipe = seen.recipe
    change = {**settings.slower(recipe, 2), **settings.steadier(recipe), **settings.wider(recipe)}
    return Advice(symptom, ("the learning rate is too high",), (Expected("spikes", "down"), ALIKE), "guide: G2",
                  diff(recipe, change))  # fmt: skip


def memory(symptom: Symptom, seen: Seen, run: str) -> Advice:
    """What the forecast says would fit, least change first."""
    change: Mapping[str, Any] = dict(seen.need.changes) if seen.need else {}
    return Advice(symptom, ("the recipe holds more on the card than it has",), (Expected("memory in GB", "down"),),
                  "judged: by the forecast (docs/plan.md)", diff(seen.recipe, change))  # fmt: skip


def trained_on(seen: Seen) -> int:
    """Pictures trained on; 0 where the manifest is not there."""
    return sum(picture.split == "train" for picture in seen.pictures)


def names(seen: Seen, *checks: str) -> tuple[str, ...]:
    """Pictures that the audit's findings of these names are about."""
    return tuple(dict.fromkeys(name for finding in seen.found(*checks) for name in finding.pictures))


CURES: dict[str, Callable[[Symptom, Seen, str], Advice]] = {
    cure.__name__: cure
    for cure in (
        stopped, diverged, unsteady, dead, underfit, overfit, nameless, deaf, drift, burnt, leak, bleed, partial,
        misshapen, plastic, spikes, memory,
    )
}  # fmt: skip
