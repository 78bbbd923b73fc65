"""How much of the figure a picture shows, and from where: from captions, from faces measured, from a family's eyes.

What a caption says goes first, since a person wrote or passed it. Where it is silent, what was measured stands in, with
how sure that is. Pure functions over the manifest; thresholds may change without measuring again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist.pictures import Picture, framing_word

SHOTS = (
    (1.25, "close-up"), (2.1, "portrait"), (3.7, "upper body"), (5.5, "cowboy shot"), (7.2, "knee-up"),
    (float("inf"), "full body"),
)  # fmt: skip
"""By heads visible from the crown down, of a grown person of 7.5 heads: chin 1, armpits 1.8, navel 2.9, crotch 3.9, the
middle of the thigh 4.7, knee 5.6, sole 7.5. Danbooru's words, but for the cut below the knee, which has none there."""

WIDE = 0.08
"""Head over the picture's height below which a figure is small in its surroundings."""

BUCKETS = {
    "close-up": "close-up", "portrait": "close-up", "upper body": "mid", "cowboy shot": "mid", "knee-up": "full",
    "full body": "full", "wide shot": "full",
}  # fmt: skip
"""The guides' three framings by shot."""

JOINTS = {"neck": 1.1, "knee": 5.6, "ankle": 7.1}
"""Joints at which a lower edge looks like a mistake, in heads below the crown."""

NEAR = 0.15
"""How near to a joint, in heads, counts as at it."""

FRONTAL, TURNED = 20.0, 60.0
"""Degrees of a head's turn up to which it is frontal, and up to which three-quarter; beyond is profile. Judged."""

MARGIN = 0.05
"""By how much the family's eyes must prefer a framing to be believed: they are then right in 94 of 100 drawings."""

VIEWS: Mapping[str, tuple[str, ...]] = {
    "back": ("back view", "back left", "back right", "from behind", "rear view", "from the back", "facing away"),
    "profile": ("profile", "side view", "facing left", "facing right", "from the side"),
    "three-quarter": ("three-quarter", "three quarter", "3/4 view"),
    "frontal": ("front view", "frontal", "from the front", "facing the camera", "facing viewer"),
}
"""Words that captions have for views, by view; the first that stands in a caption counts."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one picture shows, as far as is known; "" is unknown.

    framing  close-up | mid | full; shot: one of `SHOTS`' words, only where a face was measured
    view     frontal | three-quarter | profile | back
    by       what told the framing: caption | face | eyes
    sure     whether that may be relied on for one picture, not only for counts
    heads    visible from the crown down, 0 where no face was measured
    """

    framing: str = ""
    shot: str = ""
    view: str = ""
    by: str = ""
    sure: bool = False
    heads: float = 0.0


def heads_visible(top: float, box: float, head: float, height: float) -> tuple[float, float]:
    """Heads from the crown down to the picture's lower edge, and the head's share of the picture's height.

    top, box  upper edge and height of a face's box, and height of the picture, in pixels
    head      the box's height over the head's

    Chin and lower edge of the box are taken to be level. Both are the same for the same picture at any size, and the
    first grows with what is shown below.
    """
    tall = box / head
    crown = top + box - tall
    return (height - crown) / tall, tall / height


def shot(heads: float, share: float) -> str:
    """The word for a lower edge so many heads below the crown; share: the head's of the picture's height."""
    if share < WIDE:
        return "wide shot"
    return next(name for most, name in SHOTS if heads < most)


def seen_faces(picture: Picture) -> Sequence[Mapping[str, Any]]:
    """The faces measured in a picture, the largest first."""
    return tuple(content(picture).get("faces", ()))


def content(picture: Picture) -> Mapping[str, Any]:
    """What was measured of a picture's content; empty where nothing was."""
    found: Mapping[str, Any] = picture.measures.get("content", {})
    return found


def shown(picture: Picture) -> Shown:
    """What a picture shows, from its caption where that tells, else from what was measured."""
    measured, told = measured_in(picture), framing_word(picture.caption)
    view = view_word(picture.caption) or measured.view
    if told:
        agrees = measured.framing == told
        return Shown(told, measured.shot if agrees else "", view, "caption", True, measured.heads)
    return Shown(measured.framing, measured.shot, view, measured.by, measured.sure, measured.heads)


def measured_in(picture: Picture) -> Shown:
    """What was measured in a picture, whatever its caption says."""
    faces, eyes = seen_faces(picture), content(picture).get("framing", {})
    best = sorted(eyes, key=lambda name: -eyes[name])
    seen = best[0] if best and eyes[best[0]] - eyes[best[1]] >= MARGIN else ""
    if not faces:
        return Shown(framing=seen, by="eyes" if seen else "")
    first = faces[0]
    _, top, _, box = first["box"]
    heads, share = heads_visible(top, box, first["head"], picture.height)
    word, view = shot(heads, share), view_of(first)
    if seen:
        return Shown(seen, "", view, "eyes", BUCKETS[word] == seen, heads)
    whole = top + box - box / first["head"] >= -0.1 * box  # the crown is in the picture
    alone = len(faces) == 1 or faces[1]["box"][3] < 0.5 * box
    return Shown(BUCKETS[word], word, view, "face", whole and alone and view != "profile", heads)


def view_of(face: Mapping[str, Any]) -> str:
    """The view that a face gives: by its turn where that is known, else by the cascade that found it."""
    if face.get("yaw") is None:
        return str(face.get("view", ""))
    turn = abs(face["yaw"])
    return "frontal" if turn < FRONTAL else "three-quarter" if turn < TURNED else "profile"


def view_word(text: str) -> str:
    """The view that a caption tells, or ""."""
    low = text.lower()
    return next((view for view, words in VIEWS.items() if any(word in low for word in words)), "")


def joint(heads: float) -> str:
    """The joint that a lower edge so many heads below the crown lies at, or ""."""
    return next((name for name, place in JOINTS.items() if abs(heads - place) <= NEAR), "")
