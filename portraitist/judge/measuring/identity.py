"""Identity: how near a picture is to the character's own, by every eye that can be shown to tell it. Learned."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures, known_mean
from portraitist.judge.measuring.references import framing
from portraitist.judge.measuring.seeing import Eye, alone, eyes, own

NEAREST = 5
"""References that a picture is compared with: a mean over the best few, so that one odd reference decides nothing."""

FEW = 3
"""References of a framing from which pictures of that framing are held against them alone."""

SKILL = 0.7
"""Least skill at which an eye is used: see `skill`. Judged."""

SPOKEN = {"": "on these pictures", "close-up": "in close-ups", "mid": "in half bodies", "full": "in full bodies",
          "back": "from behind"}  # fmt: skip


def closeness(found: np.ndarray, references: np.ndarray, *, themselves: bool = False) -> np.ndarray:
    """Mean cosine of each unit vector (N, d) with its nearest references (M, d); (N,).

    themselves  `found` are the references: none is compared with itself
    """
    cosines = found @ references.T
    if themselves:
        np.fill_diagonal(cosines, -np.inf)
    count = min(NEAREST, len(references) - themselves)
    return np.sort(cosines, axis=1)[:, -count:].mean(1) if count > 0 else np.ones(len(found))


def skill(references: np.ndarray, base: np.ndarray) -> float:
    """Chance that a reference is closer to the others than a picture of the base is: 0 to 1, and 0.5 is guessing.

    The area under the curve (Hanley and McNeil 1982) of unit vectors (M, d) and (N, d); 0 where there are too few.
    """
    if len(references) < 2 or not len(base):
        return 0.0
    mine, others = closeness(references, references, themselves=True)[:, None], closeness(base, references)[None]
    return float(((mine > others) + 0.5 * (mine == others)).mean())


@dataclass(frozen=True, slots=True)
class Scale:
    """The identity scale of one character: 0 is the base on the same prompts, 1 the references among themselves."""

    references: np.ndarray
    floor: float
    ceiling: float

    @classmethod
    def of(cls, references: np.ndarray, base: np.ndarray) -> "Scale":
        """From unit embeddings of the references (M, d) and of the base's pictures (N, d).

        Where the base is as close as the references are to each other there is no scale; the eyes then see no
        difference, and one hundredth of a cosine is taken for the whole range.
        """
        floor = float(closeness(base, references).mean())
        ceiling = float(closeness(references, references, themselves=True).mean())
        return cls(references, floor, max(ceiling, floor + 0.01))

    def __call__(self, found: np.ndarray) -> np.ndarray:
        """Identity of pictures by their embeddings (N, d): (N,), usually in [0, 1]."""
        return np.asarray((closeness(found, self.references) - self.floor) / (self.ceiling - self.floor))


@dataclass(frozen=True, slots=True)
class Sight:
    """One eye on one character.

    scales  by framing, those to be trusted; "" is of pictures of any framing
    skills  by framing, see `skill`: also of those that are not to be trusted
    """

    eye: Eye
    scales: Mapping[str, Scale]
    skills: Mapping[str, float]

    @classmethod
    def of(cls, eye: Eye, case: Case) -> "Sight":
        """By what it sees in the references and in the base's pictures; a framing apart where it has FEW references."""
        shown = eye.see(alone(case) if eye.alone else case.references.shown)
        base = eye.see(alone(case, case.base) if eye.alone else case.base.pictures)
        told = np.asarray(case.references.framings or [""] * len(shown))
        there = told[np.isfinite(shown).all(1)].tolist()
        apart = sorted(name for name in {*there} - {""} if there.count(name) >= FEW)
        used = held_against(case.base, apart)
        scales, skills = {}, {}
        for name in ("", *apart):
            mine = seen(shown if name == "" else shown[told == name])
            zero = seen(base[used == name])
            skills[name] = round(skill(mine, zero if len(zero) >= FEW else seen(base)), 4)
            if skills[name] >= SKILL:
                scales[name] = Scale.of(mine, zero if len(zero) else seen(base))
        return cls(eye, scales, skills)

    def __call__(self, case: Case, drawn: Pictures) -> np.ndarray:
        """(N,): nan where it sees nobody, and at framings where it is not to be trusted."""
        found = self.eye.see(alone(case, drawn) if self.eye.alone else drawn.pictures)
        used = held_against(drawn, self.skills)
        values, there = np.full(len(found), np.nan), np.isfinite(found).all(1)
        for name, scale in self.scales.items():
            those = there & (used == name)
            if those.any():
                values[those] = scale(found[those])
        return values


def held_against(drawn: Pictures, apart: Collection[str]) -> np.ndarray:
    """The framing whose references each picture is held against: its prompt's where that is apart, else ""; (N,)."""
    told = [framing(prompt.text) for prompt in drawn.prompts]
    return np.asarray([name if name in apart else "" for name in told])


def seen(rows: np.ndarray) -> np.ndarray:
    """The rows (N, d) in which somebody was seen."""
    return np.asarray(rows[np.isfinite(rows).all(1)])


@dataclass(frozen=True, slots=True)
class Identity:
    """The eyes that can tell this character."""

    about: ClassVar[Measure] = Measure(
        "identity",
        "Identity",
        "Closeness of a picture to the five nearest reference pictures in an eye's identity space, on a scale "
        "where 0 is what the base draws for the same prompts and 1 is what the references have to each other; the mean "
        "over the eyes there are: the family's own, a model of whole pictures (on the subject alone), a model of faces "
        "(where it finds one). Pictures whose prompt tells a framing (close-up, mid, full, or from behind) are held "
        "against references of that framing where there are three.",
        (0, 1),
        "high",
        "It is learned: it sees only what its eyes were taught, and a copy of a training picture scores highest "
        "(copying is there for that). It says nothing about the rest of the picture. An eye is used only at framings "
        "where it tells the references from the base's pictures in seven of ten pairs; what it tells them by may be "
        "their style, and references that are nearly the same picture make it look better than it is.",
        "Ours; cosines to references as DINO-I and CLIP-I (DreamBooth, arXiv 2208.12242).",
    )
    case: Case
    sights: tuple[Sight, ...]

    @classmethod
    def of(cls, case: Case) -> "Identity":
        """By every eye that there is; the notes tell where one is not used.

        Where none can be shown to tell the character, the family's own stands in, and the notes say so.
        """
        sights = tuple(Sight.of(eye, case) for eye in eyes(case))
        if any(sight.scales for sight in sights):
            for sight in sights:
                used = dict.fromkeys(held_against(case.base, sight.skills).tolist())
                if blind := ", ".join(SPOKEN[name] for name in used if name not in sight.scales):
                    case.notes.append(f"{sight.eye.name} cannot tell this character {blind}: it is not used there")
            return cls(case, tuple(sight for sight in sights if sight.scales))
        case.notes.append("No eye can be shown to tell this character from what the base draws: look for yourself")
        eye = own(case)
        scale = Scale.of(eye.see(case.references.shown), eye.see(case.base.pictures))
        return cls(case, (Sight(eye, {"": scale}, {}),))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]; nan where no eye is to be trusted or sees anybody."""
        return known_mean(np.stack([sight(self.case, drawn) for sight in self.sights]))
