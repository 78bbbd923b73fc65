"""What do the judging eyes see, and where are they blind? True drawings of held-out characters, nothing trained.

python -m benchmarks.eyes

Identity: pictures of a character against pictures of others in the same contexts, by closeness to forty reference
drawings as judging has it; AUC is the chance that one of the character's own is the closer of the two. Attributes: the
chance that a true caption fits its drawing better than the same with another value of one kind. Doubles: drawings of
the same scene and seed without one mark of the character.
"""

import json
import random
import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np

from portraitist.judge.measuring.agreement import SKILL, Reader
from portraitist.judge.measuring.definition import embedded
from portraitist.judge.measuring.identity import closeness
from portraitist.judge.prompts import specified
from portraitist.mini import truth
from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.mini.evaluate import WEIGHTS
from portraitist.mini.scenes import FRAMINGS, KINDS, NOBODY, VIEWS, Scene, a_context
from portraitist.sight import dual

FIRST, CHARACTERS, OTHERS, REFERENCES, EACH = 6300, 24, 6, 40, 2


def identity() -> dict[str, dict[str, float]]:
    """AUC by framing and by view, with the number of pairs."""
    eyes = dual.load(WEIGHTS / "eyes")
    people = [unseen(FIRST + i) for i in range(CHARACTERS)]
    found: dict[str, list[float]] = defaultdict(list)
    for number, who in enumerate(people):
        references = embedded(eyes.pictures, [draw(one).pixels for one in album(who, REFERENCES, number)])
        contexts = [(framing, view) for framing in FRAMINGS for view in VIEWS for _ in range(EACH)]
        some = [a_context(random.Random(f"eyes {number} {i}")) for i in range(len(contexts))]
        how = [replace(one, framing=f, view=v) for one, (f, v) in zip(some, contexts, strict=True)]
        own = near(eyes, references, [Scene(who, one, 5_000_000 + i) for i, one in enumerate(how)])
        strangers = [people[(number + 1 + k) % CHARACTERS] for k in range(OTHERS)]
        for k, other in enumerate(strangers):
            theirs = near(eyes, references, [Scene(other, one, 6_000_000 + 100 * k + i) for i, one in enumerate(how)])
            for (framing, view), a, b in zip(contexts, own, theirs, strict=True):
                for name in ("all", framing, view):
                    found[name].append(float(a > b) + 0.5 * float(a == b))
    return {name: {"auc": round(float(np.mean(wins)), 3), "pairs": len(wins)} for name, wins in found.items()}


def doubles() -> dict[str, dict[str, float]]:
    """AUC against the same character without one of its marks, by mark: what only that mark tells apart."""
    eyes = dual.load(WEIGHTS / "eyes")
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(CHARACTERS):
        who = unseen(FIRST + number)
        references = embedded(eyes.pictures, [draw(one).pixels for one in album(who, REFERENCES, number)])
        how = [a_context(random.Random(f"doubles {number} {i}")) for i in range(12)]
        own = near(eyes, references, [Scene(who, one, 5_000_000 + i) for i, one in enumerate(how)])
        for kind in who.marks.kinds():
            bare = [Scene(truth.without(who, kind), one, 5_000_000 + i) for i, one in enumerate(how)]
            theirs = near(eyes, references, bare)
            found[kind] += [float(a > b) + 0.5 * float(a == b) for a, b in zip(own, theirs, strict=True)]
    return {name: {"auc": round(float(np.mean(wins)), 3), "pairs": len(wins)} for name, wins in sorted(found.items())}


def near(eyes: dual.DualEyes, references: np.ndarray, scenes: list[Scene]) -> np.ndarray:
    """Closeness of drawings to a character's references."""
    return closeness(embedded(eyes.pictures, [draw(one).pixels for one in scenes]), references)


def attributes() -> dict[str, dict[str, float]]:
    """By kind of attribute: AUC against single other values, the share read right of all, and the skill above chance;
    `asked` says whether agreement would ask about it, which it does from a skill of SKILL on."""
    draws = [random.Random(f"attribute {i}") for i in range(400)]
    scenes = [Scene(unseen(FIRST + i % CHARACTERS), a_context(one), i) for i, one in enumerate(draws)]
    kinds = {kind: KINDS[kind] for kind in ("framing", "view", "expression", "pose", "background", "light", "style")}
    reader = Reader(dual.load(WEIGHTS / "eyes"), kinds, "zorblax", NOBODY)
    prompts = [specified("", told(one, "zorblax"), kinds) for one in scenes]
    seen = embedded(reader.eyes.content, [draw(one).pixels for one in scenes])
    reader.right(prompts, seen)
    wins: dict[str, list[float]] = defaultdict(list)
    for prompt, row in zip(prompts, seen, strict=True):
        for kind, texts in reader.contrasts(prompt).items():
            true, *others = (float(reader.known[text] @ row) for text in texts)
            wins[kind] += [float(true > other) for other in others]
    shares, skill = reader.reading(prompts, seen), reader.skill(prompts, seen)
    return {
        kind: {
            "auc": round(float(np.mean(found)), 3),
            "right": round(shares[kind][0], 3),
            "by chance": round(shares[kind][1], 3),
            "skill": round(skill[kind], 3),
            "asked": skill[kind] >= SKILL,
        }
        for kind, found in sorted(wins.items())
    }


def main() -> None:
    """Write both tables as JSON."""
    sys.stdout.write(json.dumps({"identity": identity(), "doubles": doubles(), "attributes": attributes()}) + "\n")


if __name__ == "__main__":
    main()
