"""Findings about whom pictures show and how much of them: faces, cuts, a realism set's faces and build."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from statistics import median

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.framing import content, joint, measured_in, seen_faces, shown
from portraitist.audit.phrasing import listed
from portraitist.audit.quality import Check
from portraitist.dataset.buckets import buckets, crops
from portraitist.pictures import Crop, Picture

OWN = ("identity", "outfit", "style")
"""Roles of sets that show the character."""


def own(seen: Seen) -> list[Picture]:
    """The pictures that show the character."""
    return [picture for picture in seen.pictures if picture.role in OWN]


@lru_cache(maxsize=4096)
def training_crop(width: int, height: int, side: int, multiple: int, aspect: float) -> Crop:
    """The window of a picture of width x height that is trained on; pictures of a set share their sizes."""
    return crops(width, height, buckets(side, multiple, aspect))[0]


def several_faces(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """More than one person large in a picture: which of them the trigger means is learnt by chance."""
    for picture in own(seen):
        faces = seen_faces(picture)
        count = sum(face["box"][3] >= rules.second_face * faces[0]["box"][3] for face in faces)
        if count > 1:
            learned = faces[0]["view"] == ""  # cascades take patterns for faces now and then
            says = f"{picture.name}: {count} faces of like size" + (
                "" if learned else " by OpenCV's cascades; is it so?"
            )
            remedy = "Cut the others off, or leave it out: which one the trigger means is learnt by chance."
            yield Finding(
                "several_faces", picture.name, "warn" if learned else "note", says, remedy, 0, (picture.name,)
            )


def no_face(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures of the character in which no face was found, and no caption tells why: unknown, not wrong."""
    looked = [p for p in own(seen) if content(p).get("looked")]
    names = tuple(p.name for p in looked if not seen_faces(p) and shown(p).view not in ("back", "profile"))
    if not names:
        return
    says = f"No face was found in {len(names)} of {len(looked)} pictures: {listed(names)}. That is unknown, not wrong"
    remedy = "Look whether the face is there; where it is turned away, say so in the caption (from behind, side view)."
    if len(names) > rules.faceless * len(looked):
        remedy = (
            "Most likely the finder is blind to these, as OpenCV's own is to drawings: set sight.faces to a model that"
            ' knows them, or to "off".'
        )
    yield Finding("no_face", "", "note", says, remedy, 0, names)


def cut_at_joint(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Lower edges at neck, knee or ankle: such cuts look like mistakes. A question, since it is an estimate."""
    at: dict[str, list[str]] = {}
    for picture in own(seen):
        found = measured_in(picture)
        where = joint(found.heads) if found.by == "face" and found.sure else ""
        if where:
            at.setdefault(where, []).append(picture.name)
    for where, names in at.items():
        says = (
            f"Does the lower edge cut at the {where}? By the face's size it would, of someone upright: {listed(names)}"
        )
        remedy = f"If so, crop a little above or below the {where}; if not, nothing."
        yield Finding("cut_at_joint", where, "note", says, remedy, 0, tuple(names))


def face_cut(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Faces that the training crop cuts: in the one comparison known, crops that kept them doubled the likeness."""
    for picture in own(seen):
        faces = seen_faces(picture)
        if not faces:
            continue
        crop = training_crop(picture.width, picture.height, seen.side, seen.multiple, seen.recipe.data.aspect)
        left, top, width, height = faces[0]["box"]
        across = min(left + width, crop.left + crop.width) - max(left, crop.left)
        down = min(top + height, crop.top + crop.height) - max(top, crop.top)
        lost = 1 - max(0.0, across) * max(0.0, down) / (width * height)
        if lost > rules.face_cut:
            size = f"{crop.to_width} x {crop.to_height}"
            says = f"{picture.name}: {lost:.0%} of the face is outside the training crop ({size}); expected none"
            remedy = "Crop the picture yourself, the whole head inside with some room, or raise data.aspect."
            yield Finding("face_cut", picture.name, "warn", says, remedy, 0, (picture.name,))


def face_in_realism(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Faces in a set of the role realism: they are other people's, and would mix into the character's."""
    names = tuple(p.name for p in seen.pictures if p.role == "realism" and seen_faces(p))
    if names:
        total = sum(p.role == "realism" for p in seen.pictures)
        says = f"{len(names)} of {total} pictures of the role realism show a face: {listed(names)}; expected none (G1)"
        remedy = "Cut the heads off, or take other pictures: these faces would mix into the character's."
        yield Finding("face_in_realism", "", "warn", says, remedy, -len(names), names)


def realism_build(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Whether the bodies of a realism set are built like the character: by outlines where there are any, else asked."""
    there = [p for p in seen.pictures if p.role == "realism"]
    ours = [p for p in seen.pictures if p.role in ("identity", "outfit")]
    if not there or not ours:
        return
    theirs, wide = widths(there), widths(ours)
    if len(theirs) < 3 or len(wide) < 3:
        says = (
            f"Is the build in the {len(there)} realism pictures the character's? No whole figures are cut out to tell"
        )
        remedy = (
            "Look at shoulders, waist and legs side by side; what differs is learnt. If it fits, waive this by name."
        )
        yield Finding("realism_build", "", "note", says, remedy, 0, tuple(p.name for p in there))
        return
    apart = median(theirs) / median(wide) - 1
    if abs(apart) > rules.build:
        more = "broader" if apart > 0 else "slighter"
        says = f"The realism set's figures are {abs(apart):.0%} {more} than the character's; expected {rules.build:.0%}"
        yield Finding(
            "realism_build", "", "warn", says, "Take bodies of the character's build.", 0, tuple(p.name for p in there)
        )


def widths(pictures: Sequence[Picture]) -> list[float]:
    """Mean width over height of every whole figure that was cut out: one that reaches neither upper nor lower edge."""
    figures = [content(p).get("figure", {}) for p in pictures]
    whole = [f for f in figures if f and not {"top", "bottom"} & set(f["touches"])]
    return [sum(f["widths"]) / len(f["widths"]) for f in whole]


CHECKS: tuple[Check, ...] = (several_faces, no_face, cut_at_joint, face_cut, face_in_realism, realism_build)
