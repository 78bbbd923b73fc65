"""Numbers of pictures beside those of their set, to findings: tones, colour, a mark that all have, which way is up.

Sets of the role `prior` show others and are left out.
"""

from collections import defaultdict
from collections.abc import Iterator

import cv2
import numpy as np

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.edges import GRID
from portraitist.dataset.split import looks, mirrored, turned
from portraitist.pictures import Picture

MAD = 1.4826
"""A normal distribution's deviation over its median absolute one."""

RIDGE = 10.0
CHUNK = 500


def own(seen: Seen) -> list[Picture]:
    """The pictures of the character's own sets."""
    return [picture for picture in seen.pictures if picture.role != "prior"]


def tone_apart(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures whose overall tone is far from the set's: developed otherwise, or in other light."""
    pictures = [p for p in own(seen) if not colourless(p, rules)]
    if len(pictures) < max(1, rules.marked_least):
        return
    tones = np.array([p.measures["tone"] for p in pictures])
    middle = np.median(tones, axis=0)
    apart = tones - middle
    spread = MAD * np.median(np.abs(apart), axis=0)
    for picture, off in zip(pictures, apart, strict=True):
        far = np.hypot(off[1], off[2])
        deviations = np.abs(off) / np.maximum(spread, 1.0)
        word = ""
        if max(deviations[1:]) > rules.tone and far > rules.tone_least:
            word = f"its middle colour is {far:.0f} (CIELAB) from the set's, {max(deviations[1:]):.1f} deviations"
        elif deviations[0] > rules.tone and abs(off[0]) > 2 * rules.tone_least:
            side = "lighter" if off[0] > 0 else "darker"
            word = f"it is {side} than the set by {abs(off[0]):.0f} of 100, {deviations[0]:.1f} deviations"
        if word:
            says = f"{picture.name}: {word}; expected {rules.tone:g} at most"
            remedy = "If it was developed otherwise, match its colours to the others; if that is its light, caption it."
            yield Finding("tone_apart", picture.name, "note", says, remedy, 0, (picture.name,))


def colourless(picture: Picture, rules: Rules) -> bool:
    """Whether a picture is grey, or grey toned in one colour; one too dark or too light to tell is not."""
    chroma, hues, low, high = (picture.measures[name] for name in ("chroma", "hues", "low", "high"))
    return bool((chroma < rules.colourless or hues < rules.colourless / 2) and high >= rules.dim and low <= rules.pale)


def greyscale(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Grey or toned pictures among coloured ones: colours of skin, hair and clothes are unlearnt by them."""
    pictures = own(seen)
    grey = [p for p in pictures if colourless(p, rules)]
    if len(grey) > len(pictures) / 2:
        return
    for picture in grey:
        says = (
            f"{picture.name}: without colour (chroma {picture.measures['chroma']:.0f}, spread of hue"
            f" {picture.measures['hues']:.1f}) among {len(pictures) - len(grey)} in colour"
        )
        remedy = "Replace it by one in colour, or write `black and white` into its caption."
        yield Finding("greyscale", picture.name, "warn", says, remedy, 0, (picture.name,))


def repeated_mark(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """A mark at one place of nearly all pictures of a size: a watermark or logo, learnt at once."""
    sizes: dict[tuple[int, int], list[Picture]] = defaultdict(list)
    for picture in own(seen):
        sizes[picture.width, picture.height].append(picture)
    for (width, height), pictures in sorted(sizes.items()):
        if len(pictures) < rules.marked_least:
            continue
        bits = np.stack([np.frombuffer(bytes.fromhex(p.measures["edges"]), np.uint8) for p in pictures])
        often = np.unpackbits(bits, axis=1).reshape(-1, GRID, GRID).mean(axis=0)
        count, _, boxes, _ = cv2.connectedComponentsWithStats((often >= rules.marked).astype(np.uint8))
        for left, top, wide, tall, cells in boxes[1:count].tolist():
            around = often[max(0, top - 2) : top + tall + 2, max(0, left - 2) : left + wide + 2].copy()
            around[min(2, top) : min(2, top) + tall, min(2, left) : min(2, left) + wide] = np.nan
            if cells >= 4 and max(wide, tall) < GRID * 0.6 and float(np.nanmean(around)) < 0.5 * rules.marked:
                x, y = (left + wide / 2) / GRID, (top + tall / 2) / GRID
                names = tuple(sorted(p.name for p in pictures))
                says = (
                    f"Nearly all {len(pictures)} pictures of {width} x {height} have edges at one place, {x:.0%} from"
                    f" the left and {y:.0%} from above: a watermark or logo?"
                )
                remedy = "Look there; crop or paint it out in all of them, or take pictures without it."
                yield Finding("repeated_mark", f"{width}x{height} {x:.0%} {y:.0%}", "warn", says, remedy, 0, names)


def lying(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that look like the others only when turned: lying on a side, or upside down."""
    pictures = [p for p in own(seen) if max(p.width, p.height) <= 2 * min(p.width, p.height)]
    if len(pictures) < max(1, rules.turned_least):
        return
    scores = uprightness(looks(pictures))
    if float(np.median(scores[:, 0])) < rules.upright:  # such a set has no up of its own
        return
    for picture, score in zip(pictures, scores, strict=True):
        quarters = int(score.argmax())
        if score[quarters] - score[0] > rules.upright_better and score[quarters] > rules.upright_least:
            way = {1: "a quarter to the left", 2: "by half", 3: "a quarter to the right"}[quarters]
            says = (
                f"{picture.name}: looks like the others only when turned {way}"
                f" ({score[quarters]:.2f} against {score[0]:.2f} as it is)"
            )
            remedy = "Look at it; if it lies wrong, turn it in an image editor and add it again."
            yield Finding("lying", picture.name, "warn", says, remedy, 0, (picture.name,))


def uprightness(look: np.ndarray) -> np.ndarray:
    """How upright each picture looks beside the others, as it is and turned to the left by 1, 2 and 3 quarters: (N, 4).

    look  (N, 176) descriptors

    A ridge regression tells upright (1) from turned (-1/3) over all pictures, their turned and their mirrored forms;
    each is judged by the one fitted without it (leaving out all eight of its forms, in closed form: Cook & Weisberg
    1982). No weights come from elsewhere: what is up is what most of the set has up, and a set without a common up
    scores near 0.
    """
    forms = np.stack([turned(side, k) for side in (look, mirrored(look)) for k in range(4)], axis=1).astype(np.float64)
    count, many, size = forms.shape
    forms -= forms.mean(axis=(0, 1))
    truth = np.tile([1, -1 / 3, -1 / 3, -1 / 3], 2)
    flat = forms.reshape(-1, size)
    inverse = np.linalg.inv(flat.T @ flat + RIDGE * len(flat) / size * np.eye(size))
    weights = inverse @ (forms.sum(axis=0).T @ truth)
    found = []
    for start in range(0, count, CHUNK):
        some = forms[start : start + CHUNK]
        leverage = some @ inverse @ some.transpose(0, 2, 1)
        without = np.linalg.solve(np.eye(many) - leverage, (truth - some @ weights)[..., None])[..., 0]
        found.append((truth - without)[:, :4])
    return np.concatenate(found)
