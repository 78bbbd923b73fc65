"""inspect: what an adapter file is - family, dialect, layers, ranks, health - and what ComfyUI will do with it.

Of a base's file: which parts of which base it holds, as far as names, sizes and metadata tell.
"""

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

from portraitist import durable
from portraitist.adapters.remarks import Remark, printable, some, told
from portraitist.bases import telling
from portraitist.bases.telling import BaseInspection

if TYPE_CHECKING:
    from torch import Tensor

    from portraitist.adapters.content import Content
    from portraitist.adapters.facts import Facts


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an adapter file is.

    megabytes      of the file, 1e6 bytes
    family         the tree that its names and shapes fit; "" for none that is known
    dialects       whose names it has; several when they write alike
    kinds          layers of the file by kind
    layers, of     the denoiser's layers that it changes, of all that it could
    text_encoders  their layers in it, by encoder
    rank, alpha    least, median and largest, and how many layers differ from the median; alphas only as stated
    types          tensors by type
    dead           layers that change nothing, but those that no training can move
    comfyui        layers that ComfyUI loads, of how many, those it drops with a line in its log, and a dialect in which
                   it would load all
    unmatched      tensors that belong to no layer of the family
    metadata       trigger, base and steps wherever they stand, and everything of ours
    acting         where it was asked for: the share of the change's energy by block, in how many directions the median
                   layer acts, the layers that use nearly all their ranks, and the page that shows each
    """

    file: str
    megabytes: float
    family: str
    dialects: tuple[str, ...]
    kinds: dict[str, int]
    layers: int
    of: int
    text_encoders: dict[str, int]
    rank: dict[str, float]
    alpha: dict[str, float]
    types: dict[str, int]
    dead: tuple[str, ...]
    comfyui: dict[str, Any]
    unmatched: tuple[str, ...]
    metadata: dict[str, str]
    findings: tuple[Remark, ...] = field(default=())
    acting: dict[str, Any] = field(default_factory=dict)

    @property
    def blocked(self) -> bool:
        """Whether something forbids its use."""
        return any(remark.severity == "block" for remark in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Every field, that it is an adapter, and whether its use is forbidden."""
        return {name: getattr(self, name) for name in self.__slots__} | {"what": "adapter", "blocked": self.blocked}

    def table(self) -> list[tuple[str, str]]:
        """One fact a row."""
        loads, of = self.comfyui["loads"], self.comfyui["of"]
        encoders = ", ".join(f"{name} {count}" for name, count in self.text_encoders.items())
        rows = [
            ("file", f"{self.file}, {self.megabytes:g} MB"),
            ("family", self.family or "unknown"),
            ("dialect", " or ".join(self.dialects) or "unknown"),
            ("kind", ", ".join(f"{count} {name}" for name, count in self.kinds.items()) or "none"),
            ("layers", f"{self.layers} of {self.of}" if self.of else "none known"),
            ("text encoders", encoders or "none"),
            ("rank", spread_words(self.rank) or "none"),
            ("alpha", spread_words(self.alpha) or "not stated, so the rank: a scale of 1"),
            ("type", ", ".join(f"{count} {name}" for name, count in self.types.items())),
            ("dead layers", some(self.dead) or "none"),
            ("unmatched", some(self.unmatched) or "none"),
            ("ComfyUI", f"loads {loads} of {of} layers by these names" if self.family else "unknown"),
        ]
        if self.acting:
            rows += [(f"acts in {block}", f"{share:6.1%} {'#' * round(40 * share)}") for block, share in self.acts()]
            rows += [
                ("directions", f"{self.acting['directions']:g} of the median layer"),
                ("no rank left", some(self.acting["full"]) or "in no layer"),
                ("page", self.acting["page"]),
            ]
        return rows + [(name, value) for name, value in self.metadata.items()]

    def acts(self) -> list[tuple[str, float]]:
        """The share of the change's energy by block."""
        return list(self.acting["shares"].items())


def inspect(file: Path, family: str = "", page: Path | None = None) -> Inspection | BaseInspection:
    """Look at an adapter file in any dialect, the base is not needed; or at a base's file.

    family  what it is of, where its names and shapes leave that open
    page    where to write a page that shows how much it adds to each layer; every layer's values are then looked at
    Raises PortraitistError for what is neither: not safetensors, damaged, of impossible types.
    """
    from portraitist.forecast.published import PUBLISHED

    wanted = {name: base for name, base in PUBLISHED.items() if family in ("", name)}
    kinds = {name: {part: facts.kind for part, facts in base.parts.items()} for name, base in wanted.items()}
    said = telling.inspect(file, kinds)
    if said is not None:
        return said
    found = inspect_adapter(file, family)
    return found if page is None or found.blocked else replace(found, acting=acting(file, family, page))


def acting(file: Path, family: str, page: Path) -> dict[str, Any]:
    """Where an adapter acts, as a page and in figures."""
    from portraitist.adapters import anatomy, anatomy_page
    from portraitist.adapters.understanding import understood

    layers = anatomy.acting(understood(file, family))
    durable.write_text(page, anatomy_page.page(printable(file.name), layers))
    used = sorted(one.effective for one in layers if one.norm)
    return {
        "shares": {block: round(share, 6) for block, share in anatomy.shares(layers).items()},
        "directions": round(median_low(used), 2) if used else 0.0,
        "full": [one.module for one in layers if one.full],
        "page": str(page),
    }


def inspect_adapter(file: Path, family: str = "") -> Inspection:
    """What an adapter file is."""
    from portraitist.adapters import content, dialects, facts, files, trees

    tensors, metadata = files.load(file, files.FOREIGN)
    known = facts.recognise(tensors, metadata, family)
    family, said = known.family, known.content
    tree = trees.shapes(family) if family else {}
    found = {layer.name: facts.facts(layer.tensors, facts.fits(layer, tree)) for layer in said.layers}
    if not family:
        found = {printable(name): facts.facts(parts) for name, parts in facts.layers(tensors).items()}
    still = {layer.name for layer in said.layers if trees.idle(family).issuperset(layer.entry.modules)}
    inner = {module for layer in said.layers for module in layer.entry.modules}
    encoders = Counter(module.partition(".")[0] for module in inner if trees.is_encoder(module))
    words = dialects.lexicon(family, tuple(tree)) if family else {}
    strangers = tuple(map(printable, said.strangers))
    comfyui = {**loading(said), "better": better(family, inner)}
    stated = sum(a is not b for a, b in zip(said.layers, content.explicit(said, metadata).layers, strict=True))
    return Inspection(
        file=str(file),
        megabytes=round(file.stat().st_size / 1e6, 3),
        family=family,
        dialects=tuple(dialects.speakers(tensors, words)),
        kinds=dict(Counter(fact.kind for fact in found.values())),
        layers=sum(not trees.is_encoder(module) for module in inner),
        of=len(trees.layers(family)) if family else 0,
        text_encoders=dict(encoders),
        rank=spread([fact.rank for fact in found.values() if fact.rank]),
        alpha=spread([fact.alpha for fact in found.values() if fact.alpha is not None and math.isfinite(fact.alpha)]),
        types=dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())),
        dead=tuple(name for name, fact in found.items() if fact.dead and name not in still),
        comfyui=comfyui,
        unmatched=strangers,
        metadata=told(metadata),
        findings=(
            *health(tensors, found, family, known.alike),
            *(use(found, still, strangers, comfyui, stated) if family else ()),
        ),
    )


def loading(said: "Content") -> dict[str, Any]:
    """What ComfyUI does with each layer of a file."""
    from portraitist.adapters.dialects import MAGNITUDE

    dropped = [layer.name for layer in said.layers if not layer.entry.loads or layer.tensors.keys() <= {MAGNITUDE}]
    strangers = sorted({name.rpartition(".lora")[0] or name for name in said.strangers})
    drops = [*dropped, *(printable(name) for name in strangers)]
    return {"loads": len(said.layers) - len(dropped), "of": len(said.layers) + len(strangers), "drops": drops}


def better(family: str, modules: Iterable[str]) -> str:
    """The safest dialect in which ComfyUI loads all of some modules; "" when there is none."""
    from portraitist.adapters import dialects

    rows = (row for row in dialects.of(family) if row.written and all(row.place(m) and row.loads(m) for m in modules))
    return next((row.name for row in rows), "")


def health(
    tensors: "Mapping[str, Tensor]", found: "Mapping[str, Facts]", family: str, alike: Sequence[str]
) -> Iterable[Remark]:
    """What forbids the use of a file; `alike` are the families that it could be of, if it is open which."""
    if alike:
        yield Remark("family", "block", f"It fits {' and '.join(alike)} alike", f"Say which: --family {alike[0]}")
    elif not family:
        says = f"It fits no family that is known here: {some([printable(name) for name in tensors])}"
        yield Remark("family", "block", says, "Use it with the program and the base it was made for.")
    known = found if family else ()  # of what is no adapter nothing is read
    wild = [printable(name) for name, tensor in tensors.items() if known and not bool(tensor.float().isfinite().all())]
    if wild:
        yield Remark("not_finite", "block", f"Not finite: {some(wild)}", "Take another checkpoint of the training.")
    for check, says, names in (
        ("missing", "Halves are missing", [f"{n} lacks {f.lacks}" for n, f in found.items() if f.lacks]),
        ("shape", f"Shapes are not {family}'s", [name for name, fact in found.items() if not fact.fits]),
    ):
        if names:
            yield Remark(check, "block", f"{says}: {some(names)}", "Get the file again, whole, for this base.")
    if found and all(fact.dead for fact in found.values()):
        yield Remark("nothing", "block", "It changes nothing: every layer is zero", "Take a trained checkpoint.")


def use(
    found: "Mapping[str, Facts]",
    still: Container[str],
    strangers: Sequence[str],
    comfyui: Mapping[str, Any],
    stated: int,
) -> list[Remark]:
    """What a user should know of a file before it is used.

    still   layers that no training can move
    stated  layers whose scale stands only in diffusers' header
    """
    remarks, dropped = [], [name for name in comfyui["drops"] if name in found]
    better = comfyui["better"] or "DIALECT"
    again = f"Write it anew by names that ComfyUI loads: portraitist convert FILE --to {better} --out NEW"
    dead = [name for name, fact in found.items() if fact.dead and name not in still]
    if dead and not all(fact.dead for fact in found.values()):
        says = f"Layers that change nothing: {some(dead)}"
        remarks.append(Remark("dead", "warn", says, "Was the training long enough?"))
    if strangers:
        says = f"Tensors that belong to no layer: {some(strangers)}"
        remarks.append(Remark("unmatched", "warn", says, "Ask where the file comes from; convert refuses them."))
    if dropped:
        says = f"ComfyUI drops {len(dropped)} of {len(found)} layers without an error: {some(dropped)}"
        remarks.append(Remark("comfyui", "warn", says, again))
    if stated:
        says = f"The scale of {stated} layers stands in diffusers' header alone; ComfyUI takes 1 instead"
        remarks.append(Remark("header_alpha", "warn", says, again))
    if misread := [name for name, fact in found.items() if fact.misread]:
        says = f"ComfyUI does not compute this DoRA as its trainers do: {some(misread)}"
        remarks.append(Remark("dora", "warn", says, "Compare pictures with those of the program that trained it."))
    return remarks


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, median and largest of some numbers, and how many differ from the median; {} of none."""
    if not values:
        return {}
    middle = median_low(values)
    differ = sum(value != middle for value in values)
    return {"least": min(values), "median": middle, "largest": max(values), "differ": differ}


def spread_words(values: Mapping[str, float]) -> str:
    """A spread in words."""
    if not values or not values["differ"]:
        return f"{values['median']:g}" if values else ""
    return "{least:g} to {largest:g}, median {median:g}, {differ:g} layers differ".format(**values)
