"""A family and its base: where it lies, and how its parts are read. Loads no torch until asked for one."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist import durable
from portraitist.bases import headers, layouts
from portraitist.bases.fetching import fetch
from portraitist.bases.headers import WEIGHTS
from portraitist.bases.layouts import UNREAD
from portraitist.bases.places import Places, files, find, refuse_empty
from portraitist.errors import PortraitistError
from portraitist.events import Emit
from portraitist.family import Base, Family
from portraitist.registry import FAMILIES, get
from portraitist.sections import Model

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

__all__ = [
    "FAMILIES", "digest", "estimate", "fetch", "found", "get", "listed", "located", "pair", "part", "resolve",
    "token_counter", "weights_of", "word_counter",
]  # fmt: skip

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
"""diffusers imports it wherever it is installed, and it tells of kernels that nothing here calls."""

DENOISERS = ("transformer", "unet")  # parts that may be quantised

WORD = re.compile(r"[^\W\d_]+|\d|_|[^\w\s]+")
LETTERS = 4
"""Letters per token that `estimate` reckons with. Held to CLIP's real vocabulary on 410 English captions and lists of
rare names it counts 1.12 to 1.6 times too many; 5 letters would count too few for one list in a hundred."""


def pair(model: Model, emit: Emit | None = None) -> tuple[Family, Base]:
    """The family as it is for the recipe's base, and the base.

    emit  who is told while a base that the cache lacks is downloaded; without one nothing is downloaded
    Raises PortraitistError as `resolve` does, and when recipe and base say different things of what is predicted.
    """
    if emit is not None:
        fetch(model, emit)
    family, base = get(model.family), resolve(model)
    suited = getattr(family, "suited", None)
    if suited is not None:
        family = suited(base, model.prediction)
    else:
        refuse_declared(family.name, model.prediction)
    return family, base


def refuse_declared(family: str, prediction: str) -> None:
    """Refuse a prediction that is declared for bases that have no choice of it."""
    if prediction:
        raise PortraitistError(
            f"model.prediction = {prediction!r}: bases of {family} have no choice of it", "Leave it out."
        )


def resolve(model: Model) -> Base:
    """Where the recipe's base lies, and its digest. An empty `base` is the one that comes with the package.

    Raises PortraitistError when there is no such folder, file or cached model, no weights in it, or a part lacking.
    """
    places = found(model)
    named = listed(places)
    try:
        facts = tuple((name, path, path.stat().st_size, path.stat().st_mtime_ns) for name, path in named)
    except OSError as error:
        raise durable.refusal(error, places.folder, "read") from error
    elsewhere = tuple(sorted(places.elsewhere.items()))
    device = "cpu" if model.offload else model.device  # a base that lies away from the card is not made on it
    recovery = durable.expanded(model.recovery) if model.recovery else None
    return Base(
        places.folder,
        digest(facts),
        model.precision,
        elsewhere,
        model.family,
        quantised=model.quantised,
        device=device,
        recovery=recovery,
        recovered=durable.digest(recovery) if recovery and recovery.is_file() else "",
        away=model.offload > 0,
    )


def found(model: Model) -> Places:
    """Where the recipe's base and its parts lie. Raises PortraitistError when they do not."""
    return find(model, Path(str(resources.files("portraitist"))) / "weights" / model.family)


def located(model: Path, family: str, part: str) -> Path | None:
    """Where a part of a model lies, a folder or a publisher's file that need not hold the others; None without it."""
    if model.is_file():
        layout = layouts.of(family)
        return model if layout is not None and part in layout.found(headers.read(model)) else None
    places = found(Model(family=family, base=str(model)))
    place = places.elsewhere.get(part, places.folder / part)
    return place if place.exists() else None


def weights_of(model: Path | None, family: str) -> Callable[[str], Tensor | None]:
    """What tells the weight of a denoiser's layer by its path, read when it is asked for; None for other layers, and
    always where there is no model. Raises PortraitistError for a model without a denoiser of the family."""
    if model is None:
        return lambda module: None
    from portraitist.bases.stored import stored

    part = next((name for name in DENOISERS if located(model, family, name)), "")
    place = located(model, family, part) if part else None
    if place is None:
        raise PortraitistError(f"{model} has no denoiser of {family}", "Name the model's own file or folder.")
    held = stored(place, family, part)

    def weight(module: str) -> Tensor | None:
        name = f"{module}.weight"
        return held.take(name) if name in held.shapes else None

    return weight


def listed(places: Places) -> list[tuple[str, Path]]:
    """The files that are read of a base, by name. Raises PortraitistError when there are no weights among them."""
    named = files(places)
    refuse_empty(places, named)
    return named


@cache
def digest(files: tuple[tuple[str, Path, int, int], ...]) -> str:
    """SHA-256 over the names and the SHA-256 of files (name, path, bytes, time of change).

    Size and time only tell a long-lived process to look again; they are not in the digest.
    """
    with ThreadPoolExecutor(8) as pool:  # hashing leaves the interpreter free: parts of many GB go side by side
        digests = list(pool.map(durable.digest, [path for _, path, _, _ in files]))
    lines = [f"{name} {sha}" for (name, *_), sha in zip(files, digests, strict=True)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def part(base: Base, kind: Any, name: str, **how: Any) -> Any:
    """A part of a base, from its folder or a publisher's file: a model frozen and in evaluation mode, or a tokenizer.

    None for an encoder that is not what the base is needed for. A denoiser is held as the base says, and stands on its
    device when that is in fewer bits.

    kind  the class to read it with, of diffusers or transformers
    how   the type its weights are held in, by the name the class knows it: torch_dtype or dtype
    Raises PortraitistError when the part is missing, damaged, stored in 8 bits, or has other weights than its class.
    """
    import diffusers
    import transformers

    if how and base.needs and base.needs != ("pictures" if name == "vae" else "words"):
        return None
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    folder = base.place(name)
    if not folder.exists():
        raise PortraitistError(
            f"{base.folder} has no part {name!r}",
            "Copy this part there too. Is it a base of another family? Then set model.family to that one.",
        )
    if folder.is_file() or (base.quantised and name in DENOISERS):
        return by_tensors(base, kind, name, how)
    if how and not whole(folder):
        how["variant"] = "fp16"
    try:
        if not how:
            return kind.from_pretrained(folder, local_files_only=True)
        found, facts = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **how
        )
    except MemoryError:
        raise
    except Exception as error:  # the libraries raise whatever their parsers do
        why = " ".join(str(error).split())[:200]
        raise PortraitistError(f"{folder} cannot be read: {why}", "Copy this part of the base again.") from error
    refuse_misfits(folder, facts)
    return found.requires_grad_(False).eval()


def refuse_misfits(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse a part whose files lack weights of its class, or have some that it would not take."""
    over = [name for name in facts["unexpected_keys"] if not name.endswith(UNREAD)]
    for names, what in (
        (facts["missing_keys"], "lacks {} weights, such as {}"),
        (over, "has {} weights that its config.json has no place for, such as {}"),
    ):
        if names:
            raise PortraitistError(
                f"{folder} {what.format(len(names), min(names))}", "Copy this part of the base again."
            )


def refuse_more_inputs(denoiser: Any, base: Base, name: str) -> None:
    """Refuse a denoiser that takes more than the picture it gives back: a mask, or another picture beside it."""
    taken, given = denoiser.config.in_channels, denoiser.config.out_channels
    if given is not None and taken != given:
        raise PortraitistError(
            f"{base.place(name)} takes {taken} channels and gives {given}: it is for inpainting, or wants a picture",
            "Give a base that draws from words alone.",
        )


def whole(folder: Path) -> bool:
    """Whether a part's weights lie there under their plain names; the half ones else. Refuses weights of 8 bits."""
    half = [path for path in folder.glob(f"*{WEIGHTS}") if ".fp16." in path.name]
    plain = [path for path in folder.glob(f"*{WEIGHTS}") if ".fp16." not in path.name]
    for path in sorted(plain or half):
        headers.refuse_rounded(headers.read(path))
    return bool(plain)


def by_tensors(base: Base, kind: Any, name: str, how: dict[str, Any]) -> Any:
    """A part that is not read by its class: out of a publisher's file, or into fewer bits."""
    from portraitist.bases import reading, streaming

    if base.quantised and name in DENOISERS:
        return streaming.read(base, kind, name)
    return reading.read(base.place(name), kind, base.family, name, *how.values())


def to_latents(vae: Any, pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to (B, C, h, w) by an AutoencoderKL, centred and scaled by its own constants.

    The mode, not a sample: a cached latent is a function of its picture.
    """
    import torch

    with torch.no_grad():
        mode = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
    return (mode - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor  # type: ignore[no-any-return]


def to_pixels(vae: Any, latents: Tensor) -> Tensor:
    """(B, C, h, w) to (B, 3, H, W) in [-1, 1] by an AutoencoderKL."""
    import torch

    raw = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    with torch.no_grad():
        return vae.decode(raw, return_dict=False)[0].clamp(-1, 1)  # type: ignore[no-any-return]


def estimate(text: str) -> int:
    """Tokens of a text when no vocabulary is at hand: meant to err high, as a caption cut short is a silent loss.

    A word is a token per four letters begun (see LETTERS), a sign outside ASCII one per byte. English captions come
    out about a third too long. Words of other languages and coined ones may have more tokens than this says.
    """
    total = 0
    for word in WORD.findall(text):
        size = len(word.encode())
        total += (-(-size // LETTERS) if word[0].isalpha() else 1) if word.isascii() else size
    return total


def token_counter(model: Model) -> Callable[[str], int]:
    """How captions are counted: by the base's own vocabulary where it is at hand, else by the family's estimate.

    Raises PortraitistError when the vocabulary is damaged. What else is wrong with the base is told by what reads it.
    """
    family = get(model.family)
    own = own_vocabulary(model, getattr(family, "tokenizer", ""))
    return family.count_tokens if own is None else pieces_of(own)


def own_vocabulary(model: Model, name: str) -> Tokenizer | None:
    """The tokenizer of a base's part `name`, where base and part are at hand. Raises PortraitistError when damaged."""
    if not model.base or not name:
        return None
    try:
        places = found(model)
    except PortraitistError:
        return None
    return vocabulary(places.elsewhere.get(name, places.folder / name))


def pieces_of(own: Tokenizer) -> Callable[[str], int]:
    """How many tokens a vocabulary makes of a text, marks of begin and end left out."""
    return lambda text: len(own.encode(text, add_special_tokens=False).ids)


def word_counter(model: Model) -> Callable[[str], int] | None:
    """How many tokens the base's own vocabulary makes of a word; None where no vocabulary is at hand.

    An estimate would not do: it cannot tell a known word from an unknown one. Raises PortraitistError when damaged.
    """
    family = get(model.family)
    if not model.base and family.name == "mini":
        return family.count_tokens
    own = own_vocabulary(model, getattr(family, "tokenizer", "tokenizer"))
    return None if own is None else pieces_of(own)


def vocabulary(folder: Path) -> Tokenizer | None:
    """The tokenizer in a part's folder, as tokenizer.json or as vocab.json and merges.txt; None without.

    Of the latter, CLIP's has words that end in a mark of their end, and Qwen2's has none.
    """
    whole, words, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if whole.is_file():
            from tokenizers import Tokenizer

            return Tokenizer.from_file(str(whole))
        if words.is_file() and merges.is_file():
            lines = durable.read_text(merges).split("\n")
            pairs = [(a, b) for a, _, b in (line.partition(" ") for line in lines if not line.startswith("#version"))]
            known = durable.read_json(words)
            made = clip if any(word.endswith("</w>") for word in known) else qwen2
            return made(known, [pair for pair in pairs if all(pair)])
    except PortraitistError:
        raise
    except Exception as error:  # tokenizers raises Exception itself
        raise PortraitistError(f"{folder} cannot be read: {error}", "Copy this part of the base again.") from error
    return None


def clip(words: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """CLIP's tokenizer (github.com/openai/CLIP, simple_tokenizer.py) as transformers' CLIPTokenizer sets it up."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    bpe = models.BPE(
        vocab=words,
        merges=merges,
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        unk_token="<|endoftext|>",
    )
    made = Tokenizer(bpe)
    made.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


def qwen2(words: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Qwen2's tokenizer (byte-level BPE) as transformers' Qwen2Tokenizer sets it up."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    made = Tokenizer(models.BPE(vocab=words, merges=merges))
    made.normalizer = normalizers.NFC()
    split = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return made
