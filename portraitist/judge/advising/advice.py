"""What is advised against a symptom: a change of the recipe, of the pictures, or both, and what it should bring."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from portraitist.judge.advising.changes import Change
from portraitist.judge.advising.evidence import Symptom


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to the pictures or captions, which no recipe can do.

    count     of pictures to add; 0 where it is no number
    of        what kind: close-up, full body, realism, ...; "" is any
    pictures  names of those it is about; none: all
    along     keys of the recipe that change when it has been done, and not without it
    """

    kind: Literal["add", "caption", "remove", "look at"]
    says: str
    count: int = 0
    of: str = ""
    pictures: tuple[str, ...] = ()
    along: tuple[Change, ...] = ()

    @property
    def told(self) -> str:
        """In words."""
        along = ", ".join(f"{c.key}: {shown(c.before)} -> {shown(c.after)}" for c in self.along)
        return self.says + (f" With them change {along}." if along else "")


@dataclass(frozen=True, slots=True)
class Expected:
    """What should move: a measure, and which way."""

    measure: str
    moves: Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Advice:
    """A symptom, why it may be, and what to do next.

    recipe     keys that change, together: with all of them it is still a recipe. Empty where no recipe helps
    dataset    what to do to pictures and captions
    expects    measures that should move, the first one above all
    standing   "measured: benchmarks/...", "guide: G1" (docs/advice.md names them) or "judged"
    meanwhile  what can be done with this very LoRA
    """

    symptom: Symptom
    causes: tuple[str, ...]
    expects: tuple[Expected, ...]
    standing: str
    recipe: tuple[Change, ...] = ()
    dataset: tuple[Action, ...] = ()
    meanwhile: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's change as keys and values."""
        return {change.key: change.after for change in self.recipe}

    def as_json(self) -> Mapping[str, Any]:
        """As advice.json has it: the symptom's own fields beside the others."""
        values = asdict(self)
        found = values.pop("symptom")
        return {"symptom": found.pop("name"), **found, **values}

    def told(self) -> list[str]:
        """In lines of text."""
        found = self.symptom
        lines = [f"{found.says} ({'sure' if found.certain else 'likely'}) [{found.name}]"]
        lines += [f"    because: {cause}" for cause in self.causes]
        lines += [f"    change {c.key}: {shown(c.before)} -> {shown(c.after)}" for c in self.recipe]
        lines += [f"    do: {action.told}" for action in self.dataset]
        moves = ", ".join(f"{one.measure} {one.moves}" for one in self.expects)
        lines.append(f"    expect: {moves} ({self.standing})")
        return lines + [f"    meanwhile: {self.meanwhile}"] * bool(self.meanwhile)


def shown(value: Any) -> str:
    """A recipe's value as people write it."""
    if isinstance(value, float):
        return f"{value:g}"
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
