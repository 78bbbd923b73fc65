"""The dialects of adapter files: how each program names a module and the parts of its change, and what ComfyUI loads.

A name is `<prefix><module in some layout><suffix>`; a prefix that ends in `_` is followed by a module written with
`_` for `.`. A dialect is a row of `DIALECTS`; reading is its names turned round over the modules of a family. Loads no
torch. What ComfyUI (0.33) loads was measured there on whole module trees; what it does not, it drops with a line in
its log. Held to diffusers' converters by tests/integration/test_dialects.py.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from portraitist import registry
from portraitist.adapters.layouts import Layout, Place, as_is, black_forest, processors, stability
from portraitist.errors import PortraitistError

DOWN, UP, MID, ALPHA, DORA, MAGNITUDE = "down", "up", "mid", "alpha", "dora_scale", "magnitude"
LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t1", "lokr_t2")
DIFFERENCES = ("diff", "diff_b", "w_norm", "b_norm")
OTHERS = ("oft_blocks", "oft_diag", "rescale", "a1.weight", "a2.weight", "b1.weight", "b2.weight", "bm.weight")

_SAME = {role: f".{role}" for role in (ALPHA, DORA, *LOHA, *LOKR, *DIFFERENCES, *OTHERS)}
KOHYA = {DOWN: ".lora_down.weight", UP: ".lora_up.weight", MID: ".lora_mid.weight", **_SAME}
PEFT = {
    DOWN: ".lora_A.weight",
    UP: ".lora_B.weight",
    ALPHA: ".alpha",
    MAGNITUDE: ".lora_magnitude_vector",
}
PEFT_NAMED = {DOWN: ".lora_A.default.weight", UP: ".lora_B.default.weight", ALPHA: ".alpha"}
AI_TOOLKIT = {DOWN: ".lora_A.weight", UP: ".lora_B.weight", ALPHA: ".alpha", **{role: f".{role}" for role in LOKR}}
LORA_DOTTED = {DOWN: ".lora.down.weight", UP: ".lora.up.weight", ALPHA: ".alpha"}

SUFFIXES: dict[str, str] = {
    **{suffix: role for style in (KOHYA, PEFT, PEFT_NAMED, LORA_DOTTED) for role, suffix in style.items()},
    ".lora_A": DOWN,
    ".lora_B": UP,
    "_lora.down.weight": DOWN,
    "_lora.up.weight": UP,
    ".lora_linear_layer.down.weight": DOWN,
    ".lora_linear_layer.up.weight": UP,
    ".lora_magnitude_vector.weight": MAGNITUDE,
    ".lora_magnitude_vector.default.weight": MAGNITUDE,
}
"""What a name may end in, and the part that it is then."""

ENCODERS = ("clip_l", "clip_g", "t5")
"""Text encoders, as canonical names begin with them. They are carried, never trained."""

CLIP = "text_model."
ATTENTION = r"\.to_(q|k|v|out\.0)$"
ALL = ""  # found in every module's name


@dataclass(frozen=True)
class Dialect:
    """How one program names a family's modules in adapter files.

    prefix    before a module of the denoiser; None: it has no names for those
    layout    whose module names follow
    suffixes  of the parts that it has names for
    encoders  prefix before a module of each text encoder that it has names for
    clip      what stands between that prefix and CLIP's modules
    lost      modules that ComfyUI does not load by these names, as a regular expression; None: it loads all
    written   whether `portraitist convert` writes it; the others are only read
    """

    name: str
    family: str
    prefix: str | None
    layout: Layout = as_is
    suffixes: Mapping[str, str] = field(default_factory=lambda: KOHYA)
    encoders: Mapping[str, str] = field(default_factory=dict)
    clip: str = CLIP
    lost: str | None = None
    written: bool = True

    def place(self, module: str) -> Place | None:
        """Where a module is in a file of this dialect, its name without a suffix; None when it has no name there.

        module  of the denoiser as diffusers names it, or `clip_l.`, `clip_g.` or `t5.` and a text encoder's
        """
        encoder, _, inside = module.partition(".")
        try:
            if encoder in ENCODERS:
                prefix, place = self.encoders.get(encoder), Place(inside.replace(CLIP, self.clip, 1))
            else:
                prefix, place = self.prefix, self.layout(module)
        except PortraitistError:
            return None
        if prefix is None:
            return None
        name = place.name.replace(".", "_") if prefix.endswith("_") else place.name
        return Place(prefix + name, place.part, place.parts, place.swapped)

    def loads(self, module: str) -> bool:
        """Whether ComfyUI loads a module by its name here."""
        return self.lost is None or re.search(self.lost, module) is None


_TE = {"clip_l": "lora_te1_", "clip_g": "lora_te2_"}
_TE_DOTTED = {"clip_l": "text_encoder.", "clip_g": "text_encoder_2."}
_T5 = {"clip_l": "lora_te1_", "t5": "lora_te3_"}
_T5_DOTTED = {"clip_l": "text_encoder.", "t5": "text_encoder_2."}
_STATE = {
    name: f"text_encoders.{part}.transformer."
    for name, part in zip(ENCODERS, ("clip_l", "clip_g", "t5xxl"), strict=True)
}


def _qwen(family: str, first: str) -> tuple[Dialect, ...]:
    """Qwen-Image's tree has one layout, so its dialects differ in prefix and suffixes only.

    diffusers 0.42 does not load `transformer.` names with an alpha beside them, and does `diffusion_model.` ones.
    """
    rows = (
        Dialect("ai-toolkit", family, "diffusion_model.", suffixes=AI_TOOLKIT),
        Dialect("diffusers", family, "transformer.", suffixes=PEFT),
        Dialect("musubi", family, "lora_unet_"),
        Dialect("comfyui", family, "diffusion_model."),
        Dialect("diffsynth", family, "", suffixes=PEFT_NAMED),
        Dialect("lycoris", family, "lycoris_"),
        Dialect("onetrainer", family, "lora_transformer_", lost=ALL),
        Dialect("peft", family, "base_model.model.", suffixes=PEFT, lost=ALL),
    )
    return tuple(sorted(rows, key=lambda row: row.name != first))


DIALECTS: tuple[Dialect, ...] = (
    Dialect("kohya", "sdxl", "lora_unet_", stability, encoders=_TE),
    Dialect("kohya-diffusers", "sdxl", "lora_unet_", encoders=_TE),
    Dialect("ai-toolkit", "sdxl", "lora_unet_", encoders=_TE),
    Dialect("comfyui", "sdxl", "diffusion_model.", stability, encoders=_STATE),
    Dialect("diffusers", "sdxl", "unet.", suffixes=PEFT, encoders=_TE_DOTTED, lost=ATTENTION),
    Dialect("diffusers-old", "sdxl", "unet.", suffixes=LORA_DOTTED, encoders=_TE_DOTTED, lost=ATTENTION),
    Dialect("lycoris", "sdxl", "lycoris_"),
    Dialect("peft", "sdxl", "base_model.model.", suffixes=PEFT, lost=ALL),
    Dialect("diffusers-processors", "sdxl", "unet.", processors, LORA_DOTTED, _TE_DOTTED, written=False),
    Dialect("transformers-5", "sdxl", None, encoders=_TE_DOTTED, clip="", lost=ALL, written=False),
    Dialect("diffusers", "flux", "transformer.", suffixes=PEFT, encoders=_T5_DOTTED, lost=r"^t5\."),
    Dialect("kohya", "flux", "lora_unet_", black_forest, encoders=_T5),
    Dialect("ai-toolkit", "flux", "transformer.", suffixes=AI_TOOLKIT),
    Dialect("comfyui", "flux", "diffusion_model.", black_forest, encoders=_STATE),
    Dialect("onetrainer", "flux", "lora_transformer_", encoders={"clip_l": "lora_te1_", "t5": "lora_te2_"}),
    Dialect("diffsynth", "flux", "", suffixes=PEFT_NAMED),
    Dialect("lycoris", "flux", "lycoris_"),
    Dialect("peft", "flux", "base_model.model.", suffixes=PEFT, lost=ALL),
    Dialect("kohya-diffusers", "flux", "lora_unet_", lost=ALL, written=False),
    Dialect("comfyui-diffusers", "flux", "diffusion_model.", lost=ALL, written=False),
    Dialect("transformers-5", "flux", None, encoders=_T5_DOTTED, clip="", lost=ALL, written=False),
    *_qwen("qwen-image", "ai-toolkit"),
    *_qwen("mini", "diffusers"),
)
"""The first of each family is what `portraitist export` writes: the safest of those that ComfyUI loads completely."""

TREE_OF = {"qwen-image-edit": "qwen-image"}
"""Families whose denoiser is another's, layer by layer: their files are that one's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one name in a file means: modules whose rows it holds, in order, and the dialects that write it so."""

    modules: tuple[str, ...]
    swapped: bool
    dialects: tuple[Dialect, ...]

    @property
    def loads(self) -> bool:
        """Whether ComfyUI loads it: by the rule of any dialect that has this name."""
        return any(all(row.loads(module) for module in self.modules) for row in self.dialects)


def tree_of(family: str) -> str:
    """The family whose files a family's are: its own, or that of its denoiser."""
    found: str = TREE_OF.get(family) or registry.said(family, "tree_of", family)
    return found


def families() -> tuple[str, ...]:
    """The families whose files are known, each denoiser once."""
    bringing = (name for name in registry.saying("dialects") if tree_of(name) == name)
    return tuple(dict.fromkeys((*(row.family for row in DIALECTS), *bringing)))


def of(family: str) -> tuple[Dialect, ...]:
    """The dialects of a family, the safest first."""
    found: tuple[Dialect, ...] = tuple(row for row in DIALECTS if row.family == family)
    return found or tuple(registry.said(family, "dialects", ()))


def get(family: str, name: str = "") -> Dialect:
    """A dialect that is written for a family; without a name its safest. Refuses others, with what there is."""
    known = {row.name: row for row in of(family) if row.written}
    if not name:
        return next(iter(known.values()))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise PortraitistError(
            f"There is no dialect {name!r} to write {family} in", f"{meant}Choose one of: {', '.join(known)}."
        )
    return known[name]


@cache
def lexicon(family: str, modules: tuple[str, ...]) -> Mapping[str, Entry]:
    """Every name that a family's modules have in any dialect, without suffixes."""
    found: dict[str, Entry] = {}
    for row in of(family):
        together: dict[str, dict[int, tuple[str, bool]]] = {}
        for module in modules:
            if place := row.place(module):
                together.setdefault(place.name, {})[place.part] = module, place.swapped
        for name, parts in together.items():
            before = found[name].dialects if name in found else ()
            meant = tuple(parts[part][0] for part in sorted(parts))
            found[name] = Entry(meant, parts[min(parts)][1], (*before, row))
    return found


def cut(name: str) -> tuple[str, str, str]:
    """A tensor's name as module, part and suffix; part and suffix are "" when it is none of an adapter's."""
    fits = [suffix for suffix in SUFFIXES if name.endswith(suffix)]
    suffix = max(fits, key=len, default="")
    return name.removesuffix(suffix), SUFFIXES.get(suffix, ""), suffix


def speakers(names: Iterable[str], words: Mapping[str, Entry]) -> list[str]:
    """The dialects that these tensors' names are in, of those that most of them are in; by the order of the table."""
    counts: dict[str, int] = {}
    for name in names:
        module, role, suffix = cut(name)
        for row in words[module].dialects if module in words else ():
            alike = suffix == row.suffixes.get(role) or (role == MAGNITUDE and MAGNITUDE in row.suffixes)
            counts[row.name] = counts.get(row.name, 0) + (2 if alike else 1)
    most = max(counts.values(), default=0)
    return [name for name, count in counts.items() if count == most]
