"""What sites want to be told of a LoRA: the Hub's model card and its head, Civitai's package. Loads no torch.

The Hub's fields are those of its page on model cards, written by huggingface_hub's own `ModelCardData`. Civitai has no
format for uploads: the package holds what its form asks for, in words it knows, and pictures that say their prompts in
the way of A1111, which it reads.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portraitist import __version__
from portraitist.bases.places import NAME, hub_id
from portraitist.deploy.packages import Piece
from portraitist.deploy.permits import Terms
from portraitist.errors import PortraitistError

KNOWN = {
    "stabilityai/stable-diffusion-xl-base-1.0": "SDXL 1.0",
    "black-forest-labs/FLUX.1-dev": "Flux.1 D",
    "black-forest-labs/FLUX.1-schnell": "Flux.1 S",
    "black-forest-labs/FLUX.1-Krea-dev": "Flux.1 Krea",
}
"""Civitai's names of bases that the Hub has, where a family has several."""

CIVITAI: Mapping[str, tuple[str, ...]] = {
    "sdxl": ("SDXL 1.0", "Pony", "Illustrious", "NoobAI", "SDXL Lightning", "SDXL Hyper"),
    "flux": ("Flux.1 D", "Flux.1 S", "Flux.1 Krea"),
    "qwen-image": ("Qwen",),
    "qwen-image-edit": ("Qwen",),
    "z-image": ("ZImageBase",),
    "z-image-turbo": ("ZImageTurbo",),
}
"""Its names of the bases of a family, of those that its form offers (civitai/civitai, base-model.constants.ts)."""

KINDS = {"lora": "LORA", "loha": "LoCon", "lokr": "LoCon"}
"""Its types of models: every kind of LyCORIS goes as LoCon."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A LoRA and what is said of it.

    file       its name on the site
    base       as the site names it
    kind       lora, loha or lokr
    edits      whether its base changes pictures, rather than drawing from words alone
    """

    name: str
    trigger: str
    strength: float
    guidance: float
    base: str
    kind: str
    file: str
    edits: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that is shown: its name below the package, the prompt, the seed, the file's bytes."""

    name: str
    text: str
    seed: int
    data: bytes


def hub_base(named: str, given: str) -> str:
    """The base's id on the Hub: as the recipe names it, else as it is given.

    Raises PortraitistError where nobody says it, for what is no id, and where the two differ.
    """
    own = hub_id(named)
    if given and not NAME.fullmatch(given):
        raise PortraitistError(f"{given!r} is no model on the Hub", "Give its id, such as Qwen/Qwen-Image.")
    if own and given and own != given:
        raise PortraitistError(f"The LoRA was trained on {own}, not on {given}", "Leave --base out.")
    if not own and not given:
        raise PortraitistError(
            "The Hub lists a LoRA below its base, and the recipe names a base by a place on this disk",
            "Say which it is there: --base with its id, such as stabilityai/stable-diffusion-xl-base-1.0.",
        )
    return own or given


def civitai_base(family: str, named: str, given: str) -> str:
    """Civitai's name of the base: of a family with one, or of a base that is known; else as it is given.

    Raises PortraitistError for a family that is not there, and where nobody says which of several it is.
    """
    known = CIVITAI.get(family, ())
    if not known:
        raise PortraitistError(f"Civitai has no base of the family {family}", "It cannot be offered there.")
    found = given or KNOWN.get(named, "") or (known[0] if len(known) == 1 else "")
    if found not in known:
        what = f"Civitai has no base {found!r} of this family" if found else "Civitai asks which base it is for"
        raise PortraitistError(what, f"Say it: --base with one of {', '.join(known)}.")
    return found


def head(offer: Offer, terms: Terms, pictures: Sequence[Shown]) -> str:
    """The head of the Hub's README.md, in YAML."""
    from huggingface_hub import ModelCardData

    known = offer.kind == "lora"
    task = "image-to-image" if offer.edits else "text-to-image"
    own = terms.link == ""
    facts = ModelCardData(
        base_model=offer.base,
        library_name="diffusers" if known else None,
        license=terms.licence if own else "other",
        license_name=None if own else terms.licence,
        license_link=None if own else terms.link,
        pipeline_tag=task,
        tags=[
            task,
            "lora" if known else "lycoris",
            *(["diffusers", "template:diffusion-lora"] if known else []),
            "character",
            "portraitist",
            *(["not-for-all-audiences"] if terms.adult else []),
        ],
        base_model_relation="adapter",
        instance_prompt=offer.trigger,
        widget=[{"text": one.text, "output": {"url": one.name}} for one in pictures] or None,
    )
    return f"---\n{facts.to_yaml()}\n---\n\n"


def huggingface(card: str, offer: Offer, lora: Piece, terms: Terms, pictures: Sequence[Shown]) -> list[Piece]:
    """A repository's files: card, LoRA, pictures."""
    readme = head(offer, terms, pictures) + card
    return [Piece("README.md", readme.encode()), lora, *(Piece(one.name, one.data) for one in pictures)]


def civitai(card: str, offer: Offer, lora: Piece, terms: Terms, pictures: Sequence[Shown]) -> list[Piece]:
    """A package's files: what the form asks for, card, LoRA, pictures. The rating is that of each picture as well."""
    digest = hashlib.sha256()
    for part in lora.chunks():
        digest.update(part)
    form = {
        "format": 1,
        "name": offer.name,
        "type": KINDS[offer.kind],
        "baseModel": offer.base,
        "trainedWords": [offer.trigger],
        "strength": offer.strength,
        "tags": ["character"],
        "rating": terms.rating,
        "nsfw": terms.adult,
        "poi": False,
        "files": [{"name": lora.name, "sha256": digest.hexdigest()}],
        "images": [{"name": one.name, "prompt": one.text, "rating": terms.rating} for one in pictures],
        "madeWith": f"portraitist {__version__}",
    }
    text = json.dumps(form, indent=2, ensure_ascii=False) + "\n"
    pieces = [Piece("model.json", text.encode()), Piece("card.md", card.encode()), lora]
    return [*pieces, *(Piece(one.name, one.data) for one in pictures)]


def parameters(offer: Offer, text: str, seed: int, steps: int) -> str:
    """What made a picture, as A1111 writes it into a PNG; steps: of the sampler, 0 where they are not known."""
    stem = offer.file.removesuffix(".safetensors")
    known = {
        "Steps": str(steps) if steps else "",
        "CFG scale": f"{offer.guidance:g}" if offer.guidance else "",
        "Seed": str(seed),
        "Version": f"portraitist {__version__}",
    }
    words = " ".join(text.split())
    return f"{words} <lora:{stem}:{offer.strength:g}>\n" + ", ".join(f"{k}: {v}" for k, v in known.items() if v)
