"""Everything that decides a run, frozen, in one file: preset < recipe.toml < --set section.key=value.

TOML has no null, so nothing here is optional: "off", "" or 0 say that a thing is not used.
"""

import copy
import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from portraitist import durable, rules
from portraitist.captioning import Captioning
from portraitist.errors import PortraitistError
from portraitist.sections import Adapter, Audit, Data, Judging, Model, Section, Sight, Stage, Training, Work
from portraitist.tables import apply, merge, parse, place, value_at

FORMAT = 1
TOOLS: dict[str, Any] = {
    "captioning": True,
    "audit": True,
    "sight": True,
    "work": True,
    "data": {"sets": {"__all__": {"tag", "template"}}},
}
"""What makes the material of a run and does not decide it, as pydantic leaves it out of a dump."""

GONE = dict.fromkeys(
    ("judging.contenders", "judging.finalists"), "judging.cells says how many are drawn in full (docs/choosing.md)."
)
"""Keys that there were, and what has taken their place."""

STANDINGS = ("custom", "paper", "measured")


class Recipe(Section):
    """Everything that decides a run.

    format      of this file; a newer one is refused
    preset      where the recipe starts from: what is not said here is taken from it
    why         what this run is to find out, in words
    parent      the run it forks from, by name; "" starts from the base
    model       the base that is trained on
    data        which pictures, how cut, how split
    captioning  how captions are made and judged
    adapter     what is trained
    stages      stretches of training, one after the other
    training    how it is trained
    judging     how checkpoints are judged and chosen
    audit       what is expected of the pictures
    sight       models that see what pictures show
    work        who measures pictures
    standing    where a value comes from, by key: "custom: ...", "paper: ..." or "measured: ...", for example
                "training.rate" = "paper: arXiv 2106.09685"; a preset's word on a value goes when the value is changed
    """

    format: int = FORMAT
    preset: str = "mini"
    why: str = ""
    parent: str = ""
    model: Model = Model()
    data: Data = Data()
    captioning: Captioning = Captioning()
    adapter: Adapter = Adapter()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage(steps=300),)
    training: Training = Training()
    judging: Judging = Judging()
    audit: Audit = Audit()
    sight: Sight = Sight()
    work: Work = Work()
    standing: dict[str, str] = Field({})

    @field_validator("standing")
    @classmethod
    def sourced(cls, value: dict[str, str]) -> dict[str, str]:
        """Refuse a standing of a key that does not exist, or of another kind than the three."""
        known = set(keys())
        for key, words in value.items():
            if key not in known:
                raise ValueError(f"there is no key {key}; docs/recipe.md lists every one")
            if words.partition(":")[0] not in STANDINGS:
                raise ValueError(f"the standing of {key} begins with none of: {', '.join(STANDINGS)}")
        return value

    @model_validator(mode="after")
    def together(self) -> "Recipe":
        """Refuse settings that do not go together."""
        rules.check(self)
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def pictures_per_step(self) -> int:
        """The global batch: what one step's loss is the mean over."""
        return self.training.batch * self.training.accumulate

    @property
    def references(self) -> int:
        """The most reference pictures that a picture is shown with."""
        return max(map(len, (self.data.references, *(one.references for one in self.data.sets))))

    def digest(self) -> str:
        """SHA-256 of every value that decides the result: words (why, standing) and tools left out."""
        values = self.model_dump(mode="json", exclude={"why": True, "standing": True, **TOOLS})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> str:
        """The recipe with every default spelled out: a lock."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def presets(family: str = "") -> list[str]:
    """Names of the presets that ship; with a family's name, of those for it."""
    folder = resources.files("portraitist") / "presets"
    names = sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))
    return [name for name in names if not family or shipped(name)["model"]["family"] == family]


@cache
def written(name: str) -> dict[str, Any]:
    """A preset's own file."""
    text = (resources.files("portraitist") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return parse(text, f"preset {name}")


def shipped(name: str) -> dict[str, Any]:
    """What a preset sets, over the preset that its own file names, and so on down."""
    own = copy.deepcopy(written(name))
    return over(shipped(own["preset"]), own) if "preset" in own else own


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`; of what it changes, the word of `below` on where the value comes from goes."""
    merged = merge(copy.deepcopy(below), {k: v for k, v in above.items() if not k.startswith("+")})
    late = [(k.removeprefix("+"), v) for k, v in above.items() if k.startswith("+")]
    for dotted, value in late:
        place(merged, dotted.split("."), value)
    said, kept = above.get("standing", {}), merged.get("standing", {})
    if isinstance(said, dict):
        stale = [k for k in below.get("standing", {}) if k not in said and value_at(merged, k) != value_at(below, k)]
        merged["standing"] = {key: words for key, words in kept.items() if key not in stale}
    return merged


def load(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a file over its preset, with `--set` changes (`section.key=value`, TOML values) over both.

    An absent file means the preset `mini` alone. Raises PortraitistError for unknown keys (with the nearest known
    one), values out of range, a preset that does not exist or is for another family, a newer format.
    """
    values = parse(durable.read_text(path), str(path)) if path.is_file() else {}
    for change in changes:
        apply(values, change)
    return made(values, str(path) if path.is_file() else "", str(path))


def made(values: dict[str, Any], source: str, place: str = "") -> Recipe:
    """The recipe of a file's values over the preset that they name; raises as `load` does.

    source  what complaints name; "" is the preset. place: what they name before the preset is known; "" is the source
    """
    path = place or source
    name = values.get("preset", "mini")
    if name not in presets():
        raise PortraitistError(f"{path}: there is no preset {name!r}", f"Choose one of: {', '.join(presets())}.")
    preset = shipped(name)
    merged = over(preset, values)
    merged["preset"] = name
    if isinstance(merged.get("format"), int) and merged["format"] > FORMAT:
        raise PortraitistError(
            f"{path} has format {merged['format']}; this version reads up to {FORMAT}", "Install a newer portraitist."
        )
    try:
        found = Recipe.model_validate(merged)
    except ValidationError as error:
        raise first_complaint(error, source or f"preset {name}", Recipe) from error
    if found.model.family != preset["model"]["family"]:
        rules.about_preset(found, preset["model"]["family"], presets(found.model.family))
    own = [key for key in rules.COUNTS if value_at(values, key) is not None and value_at(preset, key) is None]
    rules.refuse_idle(found, own)
    return found


def read_lock(path: Path) -> Recipe:
    """The recipe of a run's lock."""
    values = parse(durable.read_text(path), str(path))
    values.pop("lock", None)
    values |= {name: recorded(values.get(name, {}), at) for name, at in (("judging", "judging."), ("standing", ""))}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise first_complaint(error, str(path), Recipe) from error


def recorded(values: Any, section: str) -> Any:
    """A section as a run's records have it, without keys that are gone: what was done by them is done."""
    known = isinstance(values, dict)
    return {key: value for key, value in values.items() if section + key not in GONE} if known else values


def keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a model of settings, sections too; list items go by their section's name."""
    for name, info in model.model_fields.items():
        inner = next((t for t in nested(info.annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
        yield prefix + name
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}.")


def nested(annotation: Any) -> Iterator[Any]:
    """A type and the types inside its brackets."""
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from nested(inner)


def first_complaint(error: ValidationError, source: str, model: type[BaseModel]) -> PortraitistError:
    """The first thing pydantic complains of, as a problem and a remedy; an unknown key gets its nearest neighbour."""
    detail = error.errors()[0]
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        plain = ".".join(str(part) for part in detail["loc"] if not isinstance(part, int))
        if plain in GONE:
            return PortraitistError(f"{source}: there is no {path} any more", f"Take it out; {GONE[plain]}")
        known = list(keys(model))
        tail = plain.rsplit(".", 1)[-1]
        if "text_encoder" in plain or tail.startswith("train_te"):
            remedy = "Leave it out; docs/decisions/011-frozen-text-encoders.md says why."
            return PortraitistError(f"{source}: {path}: text encoders stay frozen here", remedy)
        near = [k for k in known if k.rsplit(".", 1)[-1] == tail][:1]  # the right key in the wrong section
        near = near or difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
        tails = {k.rsplit(".", 1)[-1]: k for k in known}
        near = near or [tails[t] for t in difflib.get_close_matches(tail, list(tails), n=1)]
        remedy = f"Did you mean {near[0]}?" if near else "Remove it; docs/recipe.md lists every key."
        return PortraitistError(f"{source}: unknown key {path}", remedy)
    if detail["type"] == "missing":
        return PortraitistError(f"{source}: {path} is missing", f"Add {path} = ... to it.")
    shown = json.dumps(detail.get("input"), default=str)
    return PortraitistError(
        f"{source}: {path} = {shown[:80]}: {detail['msg'].removeprefix('Value error, ')}", "Correct that value."
    )
