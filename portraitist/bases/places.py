"""Where a base lies and where its parts lie: a folder, a publisher's file, a cached model. Loads no torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from portraitist import durable, registry
from portraitist.bases import headers, layouts
from portraitist.bases.headers import PICKLES, WEIGHTS
from portraitist.bases.layouts import Layout
from portraitist.errors import PortraitistError
from portraitist.sections import Model

KEPT = (WEIGHTS, ".json", ".txt", ".model")
"""Suffixes of what a base is made of: weights, configurations, vocabularies. Pickles are neither hashed nor read."""

COMFY = ("diffusion_models", "text_encoders", "vae")
"""Folders of ComfyUI's layout: each part of a model in a file below one of them."""

TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")
NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class Places(NamedTuple):
    """Where a base lies, and the parts of it that lie elsewhere than in a folder of their name below.

    published  whether `folder` is a publisher's file or a folder of such: nothing else in it is of the base
    """

    folder: Path
    elsewhere: Mapping[str, Path]
    published: bool = False


def find(model: Model, embedded: Path) -> Places:
    """Where the recipe's base and its parts lie; `embedded` is where it is looked for when it has no name.

    Raises PortraitistError when something named is not there or cannot be read, and when publishers' files leave a
    part out that nothing else gives.
    """
    refuse_tokens(model)
    layout = layouts.of(model.family)
    folder = place(model.base) if model.base else embedded
    if folder is None or not folder.exists():
        what = f"model.base = {model.base!r}" if model.base else f"No base of {model.family} comes with portraitist"
        where = f" ({folder})" if folder else ", and the Hugging Face cache has no such model"
        fetch = "" if folder else f"portraitist encode downloads it, and so does hf download {model.base}. Or "
        raise PortraitistError(
            f"{what}: there is no such folder{where}",
            f"{fetch}{'G' if folder else 'g'}ive the folder that holds model_index.json and the parts, or a file: "
            "--set model.base=FOLDER",
        )
    if (folder / "split_files").is_dir():  # as Comfy-Org publishes them
        folder = folder / "split_files"
    files = folder.is_file()
    refuse_others(folder, model.family)
    comfy = not files and not (folder / "model_index.json").is_file() and (folder / COMFY[0]).is_dir()
    given = {part: path for part, path in model.parts.model_dump().items() if path}
    if layout is None:
        if files or comfy or given or model.tokenizers:
            raise PortraitistError(
                f"A base of {model.family} is read from one folder in diffusers' layout alone",
                "Give that folder as model.base, and leave out model.parts and model.tokenizers.",
            )
        return Places(folder, {})
    elsewhere = inside(folder, model.family, layout) if files else {}
    if comfy:
        elsewhere = collected(folder, layout, tuple(given))
    for part, text in given.items():
        elsewhere[part] = part_place(part, text, model.family, layout)
    if model.tokenizers:
        elsewhere |= words(model.tokenizers, layout)
    if files or comfy:
        require(folder, model.family, layout, elsewhere)
    return Places(folder, elsewhere, files or comfy)


def refuse_others(folder: Path, family: str) -> None:
    """Refuse a folder that says it is for another pipeline than the family's: it may have the same parts, and read."""
    kind = str(headers.table(folder / "model_index.json").get("_class_name", ""))
    own = registry.said(family, "pipeline", "")
    if kind and own and kind != own:
        meant = [name for name in registry.saying("pipeline") if registry.said(name, "pipeline", "") == kind]
        raise PortraitistError(
            f"{folder} is a base for {kind}, not one of {family} ({own})",
            f"Set model.family to {' or '.join(meant)}." if meant else "Name the folder of a base for this one.",
        )


def place(text: str) -> Path | None:
    """The path a recipe names, or the folder of a cached model of that name (owner/name); None without either.

    Nothing is asked of the network here (bases.fetching does): a model that is not cached is not there.
    """
    path = durable.expanded(text)
    if path.exists() or not NAME.fullmatch(text):
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # by no pattern of ours: what of it is whole is looked at part by part, and the client knows all or nothing
        return Path(snapshot_download(text, local_files_only=True, allow_patterns=["model_index.json.none"]))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    except OSError as error:
        raise durable.refusal(error, path, "look in the Hugging Face cache for") from error


def hub_id(text: str) -> str:
    """The id by which a recipe names a base of the Hub; "" for what lies here, and for no name."""
    return text if NAME.fullmatch(text) and not durable.expanded(text).exists() else ""


def refuse_tokens(model: Model) -> None:
    """Refuse an access token in a recipe, where everyone who gets the recipe or its run would get it too."""
    for key, text in {"base": model.base, "tokenizers": model.tokenizers, **model.parts.model_dump()}.items():
        if TOKEN.search(text):
            raise PortraitistError(
                f"model.{key} holds an access token of the Hub",
                "Take it out, and renew it if the recipe went anywhere. hf auth login keeps one for you, or HF_TOKEN.",
            )


def inside(file: Path, family: str, layout: Layout) -> dict[str, Path]:
    """The parts in a publisher's file. Raises PortraitistError when there is none."""
    header = headers.read(file)
    found = layout.found(header)
    if not found:
        first = f", but such as {min(header.shapes)}" if header.shapes else ""
        raise PortraitistError(
            f"{file} holds no part of a base of {family} ({', '.join(layout.weights)}){first}",
            "Is it a base of another family, or an adapter? Then set model.family, or give the base it belongs to.",
        )
    headers.refuse_rounded(header)
    return dict.fromkeys(found, file)


def collected(folder: Path, layout: Layout, given: tuple[str, ...]) -> dict[str, Path]:
    """The parts in a folder of ComfyUI's layout, but for those given otherwise.

    Raises PortraitistError when several files hold the same part: which is meant, only a person knows.
    """
    held: dict[str, list[Path]] = {}
    for path in sorted(path for name in COMFY for path in (folder / name).rglob(f"*{WEIGHTS}")):
        for part in layout.found(headers.read(path)):
            held.setdefault(part, []).append(path)
    elsewhere = {}
    for part, paths in held.items():
        if part in given:
            continue
        if len(paths) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in paths)
            raise PortraitistError(
                f"{folder} holds {len(paths)} files that can be the {part}: {names}",
                f'Say which: --set model.parts.{part}="{paths[0]}"',
            )
        headers.refuse_rounded(headers.read(paths[0]))
        elsewhere[part] = paths[0]
    return elsewhere


def part_place(part: str, text: str, family: str, layout: Layout) -> Path:
    """Where a part given by itself lies. Raises PortraitistError when the family has none, or it is not there."""
    if part not in layout.weights:
        raise PortraitistError(
            f"model.parts.{part}: a base of {family} has no such part", f"Its parts: {', '.join(layout.weights)}."
        )
    path = durable.expanded(text)
    if not path.exists():
        raise PortraitistError(f"model.parts.{part} = {text!r}: there is no such file or folder", "Correct the path.")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise PortraitistError(
                f"model.parts.{part} = {text!r} is a folder without config.json",
                f"Give the {part} folder of a base in diffusers' layout, or a {WEIGHTS} file.",
            )
        return path
    header = headers.read(path)
    found = layout.found(header)
    if found and part not in found:
        raise PortraitistError(
            f"model.parts.{part} = {text!r} holds another part: {', '.join(found)}", "Give it under its own name."
        )
    headers.refuse_rounded(header)
    return path


def words(text: str, layout: Layout) -> dict[str, Path]:
    """The tokenizers of a folder, by part. Raises PortraitistError when it lacks one."""
    folder = place(text)
    lacking = [name for name in layout.words if folder is None or not (folder / name).is_dir()]
    if folder is None or lacking:
        why = f"has no folder {lacking[0]}" if folder is not None and folder.is_dir() else "there is no such folder"
        raise PortraitistError(
            f"model.tokenizers = {text!r}: {why}",
            f"Give a folder in diffusers' layout, or a cached model's name, that has: {', '.join(layout.words)}.",
        )
    return {name: folder / name for name in layout.words}


def require(folder: Path, family: str, layout: Layout, elsewhere: Mapping[str, Path]) -> None:
    """Refuse publishers' files that lack a part which nothing else gives, all of them in one line."""
    parts = {part: f"{part} ({how.file})" for part, how in layout.weights.items() if part not in elsewhere}
    lacking = [name for name in layout.words if name not in elsewhere]
    if not parts and not lacking:
        return
    remedies = []
    if parts:
        first = next(iter(parts))
        remedies.append(f'Give files, or folders in diffusers\' layout: --set model.parts.{first}="..."')
    if lacking:
        remedies.append(
            "Give a folder in diffusers' layout, or a cached model's name, that has tokenizers: "
            '--set model.tokenizers="..."'
        )
    raise PortraitistError(
        f"{folder} lacks parts of a base of {family}: {', '.join([*parts.values(), *lacking])}", "; ".join(remedies)
    )


def files(places: Places) -> list[tuple[str, Path]]:
    """The files a base is made of, each under the name that its digest knows it by, in order.

    A folder's file goes by its path in it, a publisher's file by the parts that are read from it: what it is called on
    one machine or another makes no other base.
    """
    named = {path.relative_to(places.folder).as_posix(): path for path in within(places)}
    held: dict[Path, list[str]] = {}
    for part, path in places.elsewhere.items():
        if path.is_dir():
            named |= {f"{part}/{file.relative_to(path).as_posix()}": file for file in kept(path, path)}
        else:
            held.setdefault(path, []).append(part)
    named |= {",".join(sorted(parts)) + WEIGHTS: path for path, parts in held.items()}
    return sorted(named.items())


def within(places: Places) -> list[Path]:
    """The files of the parts that lie in the base's own folder: those its model_index.json names, or all there are.

    Whole-model files that publishers lay beside the parts are not of it.
    """
    folder = places.folder
    if places.published:
        return []
    inside = [folder]
    if (folder / "model_index.json").is_file():
        named = headers.table(folder / "model_index.json")
        plain = [name for name in named if name == Path(name).name]  # not ../ or /
        inside = [folder / name for name in plain if name and (folder / name).is_dir()]
    found = {path for place in inside for path in kept(place, folder)}
    return sorted(path for path in found if path.relative_to(folder).parts[0] not in places.elsewhere)


def kept(place: Path, folder: Path) -> list[Path]:
    """The files below a place that a base is made of; nothing hidden, as seen from `folder`."""
    found = [path for path in place.rglob("*") if path.suffix in KEPT and path.is_file()]
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


def refuse_empty(places: Places, named: list[tuple[str, Path]]) -> None:
    """Refuse a base without weights, and say so when they are there as pickles."""
    if any(path.suffix == WEIGHTS for _, path in named):
        return
    folder = places.folder
    pickles = sorted(path for path in folder.rglob("*") if path.suffix in PICKLES) if folder.is_dir() else []
    if pickles:
        headers.read(pickles[0])
    raise PortraitistError(
        f"{folder} holds no weights (*{WEIGHTS})", "Copy the base there again, in diffusers' layout."
    )
