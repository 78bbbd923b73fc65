"""Agreement: whether a picture shows what its prompt asks for, as far as eyes that read can tell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from portraitist.dataset.captions import by_noun
from portraitist.dataset.captions_render import article
from portraitist.family import PromptSpec
from portraitist.judge.measuring.definition import Case, Measure, Pictures, content, embedded
from portraitist.judge.prompts import alternatives, specified
from portraitist.sight.eyes import Eyes

FEW = 5
"""Captioned pictures that a kind must be told by before its reading is judged."""

SKILL = 0.4
"""Least skill at which a kind is asked about: eyes that mostly guess would only add noise to the measure. Judged."""


UNREAD = "Prompt agreement does not look at"
"""What the note of kinds that are not read begins with."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Prompt agreement by the eyes' picture-caption space.

    kinds    known values of each kind of attribute: what an asked one is held against
    trigger  the word no eye knows; noun: what is said to the eyes in its place
    shares   by kind, how often it is read right in the character's own captioned pictures; kinds not judged are absent
    """

    eyes: Eyes
    kinds: Mapping[str, Sequence[str]]
    trigger: str
    noun: str
    known: dict[str, np.ndarray] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, prompts: Sequence[PromptSpec], content: np.ndarray) -> np.ndarray:
        """Agreement of pictures with their prompts, by the pictures' content embeddings (N, d): (N,).

        Within one call either all prompts are held against alternatives (those that ask for nothing that has any give
        nan), or, where none has any, all by the cosine with the caption.
        """
        found = self.right(prompts, content)
        if any(found):
            return np.asarray([np.mean(list(one.values())) if one else np.nan for one in found])
        self.learn([self.told(prompt.text) for prompt in prompts])
        captions = np.stack([self.known[self.told(prompt.text)] for prompt in prompts])
        return np.asarray((captions * content).sum(1))

    def right(self, prompts: Sequence[PromptSpec], content: np.ndarray) -> list[dict[str, bool]]:
        """Per picture and asked kind: whether the caption as asked fits better than with any alternative."""
        contrasts = [self.contrasts(prompt) for prompt in prompts]
        self.learn([text for found in contrasts for texts in found.values() for text in texts])
        return [
            {kind: int(np.argmax([self.known[t] @ row for t in texts])) == 0 for kind, texts in found.items()}
            for found, row in zip(contrasts, content, strict=True)
        ]

    def readable(self, prompts: Sequence[PromptSpec]) -> np.ndarray:
        """The agreement that pictures of the prompts would have if they were read as the character's own are: (N,).

        A picture that is as like as these can hope for no more. nan where a prompt asks for no kind that was judged.
        """
        asked = [[self.shares[kind] for kind in self.contrasts(p) if kind in self.shares] for p in prompts]
        return np.asarray([np.mean(shares) if shares else np.nan for shares in asked])

    def reading(self, prompts: Sequence[PromptSpec], content: np.ndarray) -> dict[str, tuple[float, float]]:
        """By kind, how often it is read right in pictures that show what their captions say, and how often by chance.

        Kinds that fewer than FEW of them tell are left out.
        """
        found: dict[str, list[tuple[bool, float]]] = {}
        for prompt, right in zip(prompts, self.right(prompts, content), strict=True):
            for kind, hit in right.items():
                count = len(alternatives(self.kinds, kind, prompt.asks[kind]))
                found.setdefault(kind, []).append((hit, 1 / (1 + count)))
        means = {kind: np.mean(rows, axis=0) for kind, rows in found.items() if len(rows) >= FEW}
        return {kind: (float(share), float(chance)) for kind, (share, chance) in means.items()}

    def skill(self, prompts: Sequence[PromptSpec], content: np.ndarray) -> dict[str, float]:
        """How well each kind is read in such pictures: 0 is guessing, 1 always."""
        found = self.reading(prompts, content)
        return {kind: (share - chance) / (1 - chance) for kind, (share, chance) in found.items()}

    def trusted(self, prompts: Sequence[PromptSpec], content: np.ndarray) -> tuple["Reader | None", tuple[str, ...]]:
        """The measure without the kinds that these eyes cannot read in the character's own captioned pictures, and
        those kinds; None when nothing is left to ask for."""
        skill = self.skill(prompts, content)
        poor = tuple(sorted(kind for kind, got in skill.items() if got < SKILL))
        left = {kind: values for kind, values in self.kinds.items() if kind not in poor}
        shares = {kind: share for kind, (share, _) in self.reading(prompts, content).items() if kind in left}
        kept = Reader(self.eyes, left, self.trigger, self.noun, self.known, shares)
        return (kept if left or not poor else None), poor

    def told(self, text: str) -> str:
        """A prompt as the eyes get it: who is in it is said by the noun, with its article."""
        return by_noun(text, self.trigger, article(self.noun)) or text

    def contrasts(self, prompt: PromptSpec) -> dict[str, list[str]]:
        """Per asked kind the caption as asked, then with each other value of its kind in the asked one's place."""
        text, found = self.told(prompt.text), {}
        for kind, value in prompt.asks.items():
            word = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
            others = [word.sub(lambda _, o=other: o, text, count=1) for other in alternatives(self.kinds, kind, value)]  # type: ignore[misc]
            if others and word.search(text):
                found[kind] = [text, *others]
        return found

    def learn(self, texts: Sequence[str]) -> None:
        """Embed the texts that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        for at in range(0, len(new), 64):
            part = new[at : at + 64]
            rows = self.eyes.texts(part).float().cpu().numpy()
            self.known.update(zip(part, rows, strict=True))


READABLE = "readable"
"""Beside a picture's agreement: what it would be, were the picture read as the character's own are. A gate uses it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A reader of the kinds that can be read on this character."""

    about: ClassVar[Measure] = Measure(
        "agreement",
        "Prompt agreement",
        "Share of the attributes asked for in the prompt that the eyes find: the caption with the asked attribute "
        "must fit the picture better than the same caption with any other of its kind. Where no other is known, "
        "the cosine of picture and caption.",
        (0, 1),
        "high",
        "Learned. Guessing already gives one over the number of alternatives, so read it against the base; the "
        "gate holds it to what is read of the character's own pictures where that is less. "
        "Attributes that no caption and no brief name are not asked about, nor kinds that the eyes cannot read in "
        "the character's own captioned pictures.",
        "Ours; the cosine is CLIPScore's (arXiv 2104.08718), the contrast of captions zero-shot classification by "
        "CLIP (arXiv 2103.00020).",
    )
    reader: Reader

    @classmethod
    def of(cls, case: Case) -> "Agreement | None":
        """None for eyes that do not read, and where they read nothing of this character's captioned pictures."""
        if not isinstance(case.looks, Eyes):
            return None
        told = [specified("", text, case.kinds) for text in case.references.captions]
        content = embedded(case.looks.content, case.references.shown[: len(told)])
        reader, unread = Reader(case.looks, case.kinds, case.trigger, case.noun).trusted(told, content)
        if unread:
            kinds, them = ", ".join(unread), "them" if len(unread) > 1 else "it"
            case.notes.append(f"{UNREAD} {kinds}: the eyes cannot tell {them} on these pictures")
        return cls(reader) if reader else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [0, 1]; nan for prompts that ask for nothing that can be read."""
        return self.reader(drawn.prompts, content(self.reader.eyes, drawn))


@dataclass(frozen=True, slots=True)
class Readable:
    """What a picture's agreement can reach on this character: no score of its own, but what a gate goes by."""

    about: ClassVar[Measure] = Measure(
        READABLE,
        "Readable",
        "The agreement that a picture of the prompt would have if it were read as often as the character's own are.",
        (0, 1),
        "high",
        "It is the same for every picture of a prompt.",
        "Ours.",
    )
    reader: Reader

    @classmethod
    def of(cls, case: Case) -> "Readable | None":
        """Where agreement can be taken."""
        found = case.taken(Agreement)
        return cls(found.reader) if found else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [0, 1]."""
        return self.reader.readable(drawn.prompts)
