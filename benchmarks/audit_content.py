"""Does the audit see framings, backgrounds and strangers in drawings whose truth is known? What does a look cost?

    python -m benchmarks.audit_content [characters] [drawings of each]

Held-out characters of the drawn world, which the eyes never saw. Its answer is kept in audit_content.md.
"""

import random
import sys
import time

import numpy as np

from portraitist.audit import Rules
from portraitist.audit.content import Sights, look
from portraitist.audit.framing import measured_in
from portraitist.audit.variety import nearness, strange_below
from portraitist.mini.characters import album, unseen
from portraitist.mini.drawing import draw
from portraitist.pictures import Opened, Picture
from portraitist.sight import faces
from portraitist.sight.embed import restored

WORDS = {"close-up": "close-up", "half body": "mid", "full body": "full"}
TRIALS = 400


def main(characters: int = 20, each: int = 16) -> None:
    """Print every figure of the page."""
    rules, by = Rules(), Sights(eyes="mini")
    scenes = [(n, scene) for n in range(characters) for scene in album(unseen(n), each, n)]
    looks = [look(Opened(draw(scene).pixels, None), b"", by) for _, scene in scenes]

    told = [measured_in(Picture("", "", 128, 128, measures={"content": one})).framing for one in looks]
    best = [max(one["framing"], key=one["framing"].get) for one in looks]
    truth = [WORDS[scene.context.framing] for _, scene in scenes]
    clear = [a == b for a, b in zip(told, truth, strict=True) if a]
    said(f"framing right: {np.mean(np.array(best) == np.array(truth)):.3f} of all {len(best)} drawings")
    said(f"framing right: {np.mean(clear):.3f} of the {len(clear) / len(best):.3f} that the eyes tell clearly")

    colours = np.stack([np.frombuffer(bytes.fromhex(one["backdrop"]), np.uint8) for one in looks]).astype(float)
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    near, apart = colours @ colours.T >= rules.same_place, ~np.eye(len(looks), dtype=bool)
    place = np.array([scene.context.background for _, scene in scenes])
    lit = np.array([f"{scene.context.background}, {scene.context.light}" for _, scene in scenes])
    said(f"one background and light called the same: {near[(lit[:, None] == lit) & apart].mean():.3f}")
    said(f"different backgrounds called the same: {near[place[:, None] != place].mean():.4f}")

    vectors, who = np.stack([restored(one["who"]) for one in looks]), np.array([n for n, _ in scenes])
    chance, found, wrong, planted, own = random.Random(1), 0, 0, 0, 0
    for _ in range(TRIALS):
        first, second = chance.sample(range(characters), 2)
        strangers = chance.sample(list(np.flatnonzero(who == second)), chance.randint(1, 3))
        values = nearness(np.concatenate([vectors[who == first], vectors[strangers]]))
        strange = values < strange_below(values, rules)
        found, wrong = found + strange[each:].sum(), wrong + strange[:each].sum()
        planted, own = planted + len(strangers), own + each
    said(f"strangers found: {found / planted:.3f} of {planted}; own called strange: {wrong / own:.4f} of {own}")
    cost()


def cost() -> None:
    """CPU seconds of a look with OpenCV's cascades, of a photograph's spectrum without any face: the slowest case."""
    draws = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(1024), np.fft.fftfreq(1024)))
    frequency[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(draws.standard_normal((1024, 1024))) / frequency**1.1).real
    pixels = np.repeat(np.clip(plane / plane.std() * 50 + 128, 0, 255)[..., None], 3, -1).astype(np.uint8)
    by = Sights(faces=faces.BUILT_IN)
    look(Opened(pixels, None), b"", by)
    began = time.process_time()
    for _ in range(5):
        look(Opened(pixels, None), b"", by)
    said(f"a look at 1024 x 1024 without a face, by cascades: {(time.process_time() - began) / 5:.3f} CPU-s")


def said(line: str) -> None:
    """One figure on a line."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
