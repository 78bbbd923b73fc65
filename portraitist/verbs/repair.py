"""repair: better copies of pictures, prepared and shown first; originals are set aside, never altered."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ImageColor

from portraitist import durable
from portraitist.audit import cropping, harmony, previews
from portraitist.audit import repair as staging
from portraitist.dataset import captions, intake, masks, recording
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Measured, Started, Warned, ignore
from portraitist.pictures import Opened, framing_word, open_upright, png
from portraitist.project import Project
from portraitist.sight import masks as seeing
from portraitist.sight.faces import boxes

Action = Literal["harmonise", "crop", "background", "mask", "upscale"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a repair is done; each action reads its own.

    strength  harmonise: 0 leaves colours, 1 gives the reference's
    method    harmonise: mkl or reinhard
    like      harmonise: reference pictures, as files or names below `pictures/`; without any, the one whose colours are
              nearest to all others'
    to        crop: trim (bars at the edges), close-up, mid, full, or headless
    colour    background: what it is painted with, such as #dddddd; "" makes it transparent
    model     background, mask: a matting model's ONNX file; "" is GrabCut
    kind      of that model: birefnet, rmbg, isnet, u2net
    masks     mask: a folder of masks of the pictures' own names, as kohya's trainers have them
    """

    strength: float = 0.5
    method: harmony.Method = "mkl"
    like: tuple[str, ...] = ()
    to: cropping.Cut = "trim"
    colour: str = ""
    model: str = ""
    kind: seeing.Kind | Literal[""] = ""
    masks: str = ""


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What came of a repair: pictures by name below `pictures/`.

    prepared  shown in `preview`, and lying in `folder`; nothing in `pictures/` has changed
    skipped   with the reason
    applied   put in their originals' place; undone: originals put back
    """

    prepared: tuple[str, ...] = ()
    skipped: dict[str, str] | None = None
    preview: str = ""
    folder: str = ""
    next: str = ""
    applied: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()


class Skip(Exception):  # noqa: N818 - no error: this picture needs no repair, or cannot have it
    """Why a picture is passed over."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture to be repaired: as it is, and with its mask in the place of its alpha."""

    name: str
    opened: Opened
    masked: Opened


Repaired = tuple[dict[str, bytes], list[str], np.ndarray]
"""Files by name, names of what they stand for, and pixels to show."""

Do = Callable[[Seen], Repaired]


def repair(
    project: Project,
    action: Action,
    names: Sequence[str] = (),
    settings: Settings | None = None,
    *,
    apply: bool = False,
    undo: bool = False,
    emit: Emit = ignore,
) -> RepairResult:
    """Prepare a repair of pictures; or apply what was prepared; or take the newest applied one of this action back.

    names  of pictures or of sets below `pictures/`; none are all
    What cannot be repaired is skipped with its reason. Raises PortraitistError for names that nothing has, for settings
    that do not go together, when no picture can be repaired, and as `audit.repair` does.
    """
    if action == "upscale":
        raise PortraitistError(
            "Pictures are not enlarged: that invents detail, and a LoRA learns the invention as the character",
            "Use a larger original, or train with a smaller data.resolution; a small picture is scaled when encoded.",
        )
    if apply and undo:
        raise PortraitistError("--apply and --undo are opposites", "Give one.")
    if names and (apply or undo):
        raise PortraitistError(
            f"--{'apply' if apply else 'undo'} is for all that was prepared together, and {names[0]} is named",
            "Leave the names out; to repair fewer pictures, prepare those alone.",
        )
    began = time.monotonic()
    emit(Started(verb="repair"))
    with durable.lock(project.folder):
        if apply or undo:
            done = tuple(put(project, action, undo=undo))
            result = RepairResult(applied=done) if apply else RepairResult(undone=done)
        else:
            result = prepared(project, action, names, settings or Settings(), emit)
    emit(Finished(verb="repair", seconds=time.monotonic() - began, facts={"pictures": len(result.prepared)}))
    return result


def put(project: Project, action: str, *, undo: bool) -> Iterator[str]:
    """Apply what was prepared, or take it back; each picture gets its line in the ledger before the next is moved."""
    for change in staging.undo(project, action) if undo else staging.apply(project, action):
        files = change.retires if undo else change.makes
        recording.repaired(project, f"{action} undone" if undo else action, change.of, [file.name for file in files])
        yield change.of


def prepared(project: Project, action: Action, names: Sequence[str], settings: Settings, emit: Emit) -> RepairResult:
    """Prepare a repair: write its files, its preview and its record."""
    sources = chosen(project, names)
    do = doing(project, action, sources, settings, emit)
    changes: list[staging.Change] = []
    skipped, made = dict[str, str](), set[str]()
    pairs: list[previews.Pair] = []
    for done, source in enumerate(sources, start=1):
        try:
            seen = Seen(source.name, open_upright(source.path), masks.open_masked(source.path))
            makes, retires, shown = do(seen)
            refuse_twins(source, makes, made)
        except Skip as reason:
            skipped[source.name] = str(reason)
        except PortraitistError as error:
            skipped[source.name] = error.problem
        else:
            made |= makes.keys()
            if not changes:
                staging.begin(project, action)
            changes.append(staging.write(project, action, staging.Made(source.name, makes, retires)))
            if len(pairs) < previews.MOST:
                pairs.append((source.name, previews.fitted(seen.opened.pixels), previews.fitted(shown)))
        emit(Measured(picture=source.name, done=done, total=len(sources)))
    if not changes:
        first, why = next(iter(skipped.items()))
        raise PortraitistError(
            f"None of {len(skipped)} pictures can be repaired so; {first}: {why}", "Choose others, or another repair."
        )
    recording.met(project, [change.of for change in changes])
    staging.finish(project, action, asdict(settings), changes, previews.before_after(pairs, len(changes)))
    return RepairResult(
        prepared=tuple(change.of for change in changes),
        skipped=skipped,
        preview=str(staging.preview(project, action)),
        folder=str(staging.folder(project, action)),
        next=f"look at the preview, then: portraitist repair {project.folder} {action} --apply",
    )


def chosen(project: Project, names: Sequence[str]) -> list[intake.Source]:
    """The pictures of these names, or of the sets of these names; all without any."""
    there = intake.listed(project.pictures).pictures
    if not there:
        raise PortraitistError(
            f"{project.pictures} holds no pictures", f"Add some: portraitist add {project.folder} FOLDER_OR_PICTURES"
        )
    for name in names:
        if not any(name in (source.name, source.set, intake.bare(source.set)) for source in there):
            raise PortraitistError(
                f"There is neither a picture nor a set {name!r} in {project.pictures}",
                "Name pictures as the audit does, such as face/001.png, or a set's folder.",
            )
    wanted = {*names}
    return [s for s in there if not names or wanted & {s.name, s.set or s.name, intake.bare(s.set) or s.name}]


def refuse_twins(source: intake.Source, makes: dict[str, bytes], made: set[str]) -> None:
    """Skip a picture whose repaired file, a PNG of its name, would take the place of another, or of one `made` now."""
    for name in makes:
        other = source.path.with_name(Path(name).name)
        if name in made or (name != source.name and not masks.is_mask(other) and other.exists()):
            raise Skip(f"{name} is another picture, and the repaired one would take its name")


def doing(project: Project, action: Action, sources: Sequence[intake.Source], settings: Settings, emit: Emit) -> Do:
    """What an action does to a picture, set up for these settings."""
    if action == "harmonise":
        return harmonising(project, sources, settings, emit)
    if action == "crop":
        return lambda seen: cropped(seen, settings.to, captions_of(project, seen), emit)
    if action == "mask" and settings.masks:
        if settings.model:
            raise PortraitistError("--masks and --model both say where masks come from", "Give one.")
        return lambda seen: brought(seen, project, Path(settings.masks))
    find = finder(settings, emit)
    if action == "mask":
        return lambda seen: masked(seen, project, find)
    if settings.colour:
        try:
            colour = ImageColor.getrgb(settings.colour)[:3]
        except ValueError as error:
            raise PortraitistError(f"--colour {settings.colour!r} is no colour", "Such as #dddddd or gray.") from error
        return lambda seen: freed(seen, find, np.array(colour, np.float32))
    return lambda seen: freed(seen, find, None)


def harmonising(project: Project, sources: Sequence[intake.Source], settings: Settings, emit: Emit) -> Do:
    """Bring colours towards those of the references, or of the picture nearest to all others."""
    if not 0 < settings.strength <= 1:
        raise PortraitistError(f"--strength {settings.strength:g}", "Above 0, and at most 1.")
    limits = harmony.NARROW, harmony.WIDE
    named = [project.pictures / n if (project.pictures / n).is_file() else Path(n) for n in settings.like]
    if not named:
        everything = intake.listed(
            project.pictures
        ).pictures  # what is odd is repaired, and tells nothing of what is usual
        found = [(s.path, one) for s in everything if (one := colours(s.path)) is not None]
        if len(found) < 3:
            raise PortraitistError(
                f"{len(found)} pictures are too few to tell a usual one from", "Name a reference: --like PICTURE"
            )
        named = [found[harmony.medoid([one for _, one in found])][0]]
        says = f"Colours are brought towards those of {named[0].name}, the nearest to all others"
        emit(Warned(says=says, remedy="Name another with --like, if that one is not as it should be."))
    references = [masks.open_masked(path) for path in named]
    own = np.concatenate([harmony.sampled(one.pixels, one.alpha) for one in references])
    bare = [s.name for s in sources if not masks.beside(s.path).is_file()]
    if bare:
        says = f"{len(bare)} pictures have no mask file ({bare[0]}): the colours of their backgrounds count as well"
        emit(Warned(says=says, remedy=f"Make masks first: portraitist repair {project.folder} mask"))
    target = harmony.gaussian(own)
    kept = {path.resolve() for path in named}

    def do(seen: Seen) -> Repaired:
        if (project.pictures / seen.name).resolve() in kept:
            raise Skip("it is the reference")
        samples = harmony.sampled(seen.masked.pixels, seen.masked.alpha)
        plain = uncovered(seen.opened)
        if settings.method == "reinhard":
            moved = harmony.reinhard(plain, samples, own, settings.strength, limits)
        else:
            moved = harmony.harmonised(plain, harmony.gaussian(samples), target, settings.strength, limits)
        whole = moved if seen.opened.alpha is None else np.dstack([moved, seen.opened.alpha])
        return {png_name(seen.name): png(whole)}, [seen.name], whole

    return do


def colours(path: Path) -> np.ndarray | None:
    """Six numbers of the colours of a picture's subject; None where it cannot be read."""
    try:
        opened = masks.open_masked(path)
    except PortraitistError:
        return None
    return harmony.summary(harmony.sampled(opened.pixels, opened.alpha))


def uncovered(opened: Opened) -> np.ndarray:
    """A picture's own colours (H, W, 3) uint8 where it is transparent: the white that it lies over is taken out."""
    if opened.alpha is None:
        return opened.pixels
    share = opened.alpha[..., None].astype(np.float32) / 255
    bare = (opened.pixels.astype(np.float32) - 255 * (1 - share)) / np.maximum(share, 1 / 255)
    return np.asarray(np.where(share > 0, bare.clip(0, 255), 255).round().astype(np.uint8))


def cropped(seen: Seen, to: cropping.Cut, told: str, emit: Emit) -> Repaired:
    """Cut a picture, and its mask file with it."""
    opened = seen.opened
    if to == "trim":
        box = cropping.trimmed(opened.pixels)
        why = "it has no bars of one colour at its edges"
    elif to == "headless":
        box = cropping.headless(opened.width, opened.height, found := boxes(opened.pixels))
        why = "too little is left below the head" if found else "no face was found"
    else:
        found = boxes(opened.pixels)
        face = cropping.subject_face(found)
        box = None if face is None else cropping.framed(opened.width, opened.height, face, to)
        why = (
            "no face was found" if not found else "it shows several faces" if face is None else f"it is no {to} picture"
        )
    if box is None:
        raise Skip(why)
    left, top, width, height = box
    if (width, height) == (opened.width, opened.height):
        raise Skip("it is cut so already")
    part = slice(top, top + height), slice(left, left + width)
    bare = uncovered(opened)[part]
    whole = bare if opened.alpha is None else np.dstack([bare, opened.alpha[part]])
    makes, retires = {png_name(seen.name): png(np.ascontiguousarray(whole))}, [seen.name]
    if seen.masked.alpha is not None and seen.masked.digest != opened.digest:
        beside = mask_name(seen.name)
        makes[beside] = png(np.ascontiguousarray(seen.masked.alpha[part]))
        retires.append(beside)
    if to in cropping.BELOW and framing_word(told) not in ("", to):
        says = f"{seen.name}: its caption tells another framing than {to}: {told[:60]}"
        emit(Warned(says=says, remedy="Correct it when the crop has been applied; captions are left alone."))
    return makes, retires, whole


def finder(settings: Settings, emit: Emit) -> Callable[[Opened], np.ndarray]:
    """What tells the subject of a picture: a matting model, or GrabCut."""
    if not settings.model:
        if settings.kind:
            raise PortraitistError(f"--kind {settings.kind} is of a model, and none is named", "Give --model FILE.")
        return lambda opened: seeing.subject(opened.pixels, boxes(opened.pixels))
    if not settings.kind:
        raise PortraitistError(f"How is {settings.model} to be fed?", f"Say its kind: --kind {', '.join(seeing.KINDS)}")
    if settings.kind in seeing.LICENCES:
        emit(Warned(says=seeing.LICENCES[settings.kind], remedy="BiRefNet's are under the MIT licence."))
    model = seeing.Matting.load(durable.expanded(settings.model), settings.kind)
    return lambda opened: model(opened.pixels)


def masked(seen: Seen, project: Project, find: Callable[[Opened], np.ndarray]) -> Repaired:
    """A mask beside a picture that has none, made larger and faded for a loss."""
    if masks.beside(project.pictures / seen.name).exists():
        raise Skip("it has a mask already")
    found = seeing.grown(find(seen.opened))
    refuse_useless(found)
    return {mask_name(seen.name): png(found)}, [], previews.weighed(seen.opened.pixels, found)


def brought(seen: Seen, project: Project, folder: Path) -> Repaired:
    """The mask of a picture's own name in a folder of masks, put beside it."""
    if not folder.is_dir():
        raise PortraitistError(f"There is no folder {folder}", "Name the folder of masks.")
    if masks.beside(project.pictures / seen.name).exists():
        raise Skip("it has a mask already")
    stem = Path(seen.name).stem
    path = next((p for p in intake.entries(folder) if p.stem == stem and intake.is_picture(p)), None)
    if path is None:
        raise Skip(f"{folder} has no mask of this name")
    found = masks.read(path, seen.opened.width, seen.opened.height)
    return {mask_name(seen.name): png(found)}, [], previews.weighed(seen.opened.pixels, found)


def freed(seen: Seen, find: Callable[[Opened], np.ndarray], colour: np.ndarray | None) -> Repaired:
    """A picture without its background: transparent, or of one colour. A mask or alpha that is there is taken."""
    alpha = seen.masked.alpha if seen.masked.alpha is not None else find(seen.opened)
    refuse_useless(alpha)
    bare = uncovered(seen.opened)
    if colour is None:
        whole = np.dstack([bare, alpha])
    else:
        share = alpha[..., None].astype(np.float32) / 255
        whole = (bare * share + colour * (1 - share)).round().clip(0, 255).astype(np.uint8)
    return {png_name(seen.name): png(whole)}, [seen.name], whole


def refuse_useless(mask: np.ndarray) -> None:
    """Skip a picture in which no subject was found, or nothing else."""
    share = float(mask.mean()) / 255
    if not 0.01 < share < 0.98:
        raise Skip(f"the subject that was found covers {share:.0%} of it")


def captions_of(project: Project, seen: Seen) -> str:
    """The caption beside a picture, "" without a readable one."""
    beside = captions.sidecar(project.pictures / seen.name)
    try:
        return captions.read(beside)[0] if beside is not None else ""
    except PortraitistError:
        return ""


def png_name(name: str) -> str:
    """The repaired picture's name: its own, as PNG."""
    return re.sub(r"\.[^./]*$", ".png", name)


def mask_name(name: str) -> str:
    """The name of a picture's mask below `pictures/`."""
    return masks.beside(Path(name)).as_posix()
