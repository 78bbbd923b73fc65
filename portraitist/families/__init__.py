"""Which model families there are, where a base lies, and how its parts are read. Loads no torch until asked for one.

Families outside the package register under the entry point group `portraitist.families`, as "name = module:Class".
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module, resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.family import Base, Family
from portraitist.recipe import Model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FAMILIES = {
    "mini": "portraitist.families.mini:Mini",
    "sdxl": "portraitist.families.sdxl:Sdxl",
    "flux": "portraitist.families.flux:Flux",
    "qwen-image": "portraitist.families.qwen:QwenImage",
    "qwen-image-edit": "portraitist.families.qwen:QwenImageEdit",
}
GROUP = "portraitist.families"

WEIGHTS = ".safetensors"
KEPT = (WEIGHTS, ".json", ".txt", ".model")
"""Suffixes of what a base is made of: weights, configurations, vocabularies. Pickles are neither hashed nor read."""

WORD = re.compile(r"[^\W\d_]+|\d|_|[^\w\s]+")
LETTERS = 4
"""Letters per token that `estimate` reckons with. Held to CLIP's real vocabulary on 410 English captions and lists of
rare names it counts 1.12 to 1.6 times too many; 5 letters would count too few for one list in a hundred."""


def get(name: str) -> Family:
    """The family of a name. Raises PortraitistError for an unknown one, with the nearest that is known."""
    known = {entry.name: entry.value for entry in entry_points(group=GROUP)} | FAMILIES
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]}? " if near else ""
        raise PortraitistError(
            f"model.family = {name!r}: there is no such family", f"{remedy}Families: {', '.join(sorted(known))}."
        )
    module, _, kind = known[name].partition(":")
    family: Family = getattr(import_module(module), kind)()
    return family


def resolve(model: Model) -> Base:
    """Where the recipe's base lies, and its digest. An empty `base` is the one that comes with the package.

    Raises PortraitistError when there is no such folder, or no weights in it.
    """
    embedded = Path(str(resources.files("portraitist"))) / "weights" / model.family
    folder = Path(model.base).expanduser() if model.base else embedded
    if not folder.is_dir():
        what = f"model.base = {model.base!r}" if model.base else f"No base of {model.family} comes with portraitist"
        why = "a single file, not a folder in diffusers' layout" if folder.is_file() else "there is no such folder"
        raise PortraitistError(
            f"{what}: {why} ({folder})",
            "Nothing is downloaded: give the folder that holds model_index.json and the parts: --set model.base=FOLDER",
        )
    files = parts(folder)
    if not any(path.suffix == WEIGHTS for path in files):
        raise PortraitistError(
            f"{folder} holds no weights (*{WEIGHTS})", "Copy the base there again, in diffusers' layout."
        )
    try:
        facts = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    except OSError as error:
        raise durable.refusal(error, folder, "read") from error
    return Base(folder, digest(folder, facts), model.precision)


def parts(folder: Path) -> list[Path]:
    """The files a base is made of, in order: of the parts its model_index.json names, or all there are without one.

    Whole-model files that publishers lay beside the parts are not of it.
    """
    index, inside = folder / "model_index.json", [folder]
    if index.is_file():
        named = durable.read_json(index)
        inside = [folder / name for name in named if (folder / name).is_dir()] if isinstance(named, dict) else []
    found = {path for place in inside for path in place.rglob("*") if path.suffix in KEPT and path.is_file()}
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


@cache
def digest(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """SHA-256 over the names and the SHA-256 of files (path, bytes, time of change) below a folder.

    Size and time only tell a long-lived process to look again; they are not in the digest.
    """
    with ThreadPoolExecutor(8) as pool:  # hashing leaves the interpreter free: parts of many GB go side by side
        digests = list(pool.map(durable.digest, [path for path, _, _ in files]))
    lines = [f"{path.relative_to(folder).as_posix()} {sha}" for (path, _, _), sha in zip(files, digests, strict=True)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def part(base: Base, kind: Any, name: str, **how: Any) -> Any:
    """A part of a base, from its folder `name`: a model frozen and in evaluation mode, or a tokenizer.

    kind  the class to read it with, of diffusers or transformers
    how   the type its weights are held in, by the name the class knows it: torch_dtype or dtype
    Raises PortraitistError when the part is missing, damaged, or lacks weights of its class.
    """
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    folder, lacking = base.folder / name, []
    if not folder.is_dir():
        raise PortraitistError(
            f"{base.folder} has no part {name!r}", "Is it a base of another family? Then set model.family to that one."
        )
    try:
        if not how:
            return kind.from_pretrained(folder, local_files_only=True)
        if not any(".fp16." not in path.name for path in folder.glob(f"*{WEIGHTS}")):
            how["variant"] = "fp16"
        found, facts = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **how
        )
        lacking = sorted(facts["missing_keys"])
    except MemoryError:
        raise
    except Exception as error:  # the libraries raise whatever their parsers do
        why = " ".join(str(error).split())[:200]
        raise PortraitistError(f"{folder} cannot be read: {why}", "Copy this part of the base again.") from error
    if lacking:
        raise PortraitistError(
            f"{folder} lacks {len(lacking)} weights, such as {lacking[0]}", "Copy this part of the base again."
        )
    return found.requires_grad_(False).eval()


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
    """How captions are counted: by the base's own vocabulary where its folder has one, else by the family's estimate.

    Raises PortraitistError when the vocabulary is damaged.
    """
    family = get(model.family)
    name = getattr(family, "tokenizer", "")
    own = vocabulary(Path(model.base).expanduser() / name) if model.base and name else None
    if own is None:
        return family.count_tokens
    return lambda text: len(own.encode(text, add_special_tokens=False).ids)


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
