"""What can the embedded base and its eyes do, beyond what `portraitist.mini.evaluate` says? The figures of mini.md.

python -m benchmarks.mini guidance trigger reference autoencoder eyes

Each part writes one line of JSON. All scenes and characters are held out of every teaching.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.families.mini import MiniEncoder
from portraitist.mini import probe, truth
from portraitist.mini.characters import unseen
from portraitist.mini.corpus import scene, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.evaluate import WEIGHTS, drawn, encoder, sampler, to_bytes
from portraitist.mini.scenes import KINDS, NOBODY, VIEWS, Scene, a_context, caption, faces
from portraitist.mini.teach_autoencoder import held_out, opened, quality
from portraitist.mini.teach_eyes import LOOKS, area, other
from portraitist.sight import dual

COUNT = 96
WORDS = ("zorblax", "ohwx", "mira_kelt", "a qwv character")
"""Words that no caption of the teaching has."""

TOP = ("hair", "hairstyle", "skin", "outfit", "cloth")


def guidance(weights: Path) -> dict[str, Any]:
    """What the probe reads right of the same captions and noise, by guidance; 1 is none."""
    reader, scenes = probe.load(WEIGHTS / "probe"), [scene("evaluation", i) for i in range(COUNT)]
    encoding, found = encoder(weights), {}
    for strength in (1.0, 2.0, 3.0, 5.0):
        by = sampler(weights, guidance=strength)
        pixels = drawn(by, encoding, [caption(one) for one in scenes], 0)
        right = probe.right(reader, scenes, pixels)
        found[f"{strength:g}"] = {"mean": mean(list(right.values())), **right}
    return found


def trigger(weights: Path) -> dict[str, Any]:
    """Does a word that the base never saw change what it draws? By word, in place of "a cartoon character".

    right   what the probe reads right of whole captions, mean over kinds
    moved   Lab distance to the picture with "a cartoon character" on the same noise; `noise` is that to other noise
    alike   with nothing told of the looks: how alike pictures of other contexts are to the eyes (mean cosine of pairs)
    """
    by, encoding = sampler(weights), encoder(weights)
    reader, eyes = probe.load(WEIGHTS / "probe"), dual.load(WEIGHTS / "eyes")
    scenes = [scene("evaluation", i) for i in range(COUNT)]

    def one(word: str, seed: int = 0) -> tuple[Tensor, Tensor]:
        return (
            drawn(by, encoding, [caption(s, word) for s in scenes], seed),
            drawn(by, encoding, [caption(s, word, look=False) for s in scenes], seed, "mute"),
        )

    plain, mute = one(NOBODY)
    again, _ = one(NOBODY, 1)
    found: dict[str, Any] = {"noise": apart(plain, again)}
    for word in (NOBODY, *WORDS):
        whole, silent = (plain, mute) if word == NOBODY else one(word)
        right = probe.right(reader, scenes, whole)
        found[word] = {"right": mean(list(right.values())), "moved": apart(plain, whole), "alike": alike(eyes, silent)}
    return found


def reference(weights: Path) -> dict[str, Any]:
    """Does one reference picture make the base draw who is in it, where words say only the context?

    Plain characters by what the probe reads of their looks; marked ones by likeness to the truth, where 0 is
    strangers' drawings and 1 true drawings. `own` is a picture of the same character in another context, `other` one of
    somebody else, `none` no reference; `context` is what the probe reads of what words asked.
    """
    by, encoding, reader = sampler(weights), encoder(weights), probe.load(WEIGHTS / "probe")
    scenes = [scene("evaluation", 700 + i) for i in range(COUNT)]
    texts = [caption(one, look=False) for one in scenes]
    own = pictures([Scene(one.character, a_context(random.Random(i)), 40 + i) for i, one in enumerate(scenes)])
    given = {"none": None, "own": latents(encoding, own), "other": latents(encoding, own.roll(1, 0))}
    found: dict[str, Any] = {}
    for name, beside in given.items():
        right = probe.right(reader, scenes, drawn(by, encoding, texts, 0, "reference", beside))
        context = [value for kind, value in right.items() if kind not in LOOKS]
        found[name] = {"looks": mean([right[k] for k in TOP]), "context": mean(context)} | {k: right[k] for k in TOP}
    right = probe.right(reader, scenes, pictures(scenes))
    found["drawings"] = {"looks": mean([right[k] for k in TOP])} | {k: right[k] for k in TOP}
    return found | {"likeness": reference_likeness(weights, range(6100, 6112))}


def reference_likeness(weights: Path, numbers: Sequence[int]) -> dict[str, float]:
    """Mean likeness to the truth of held-out characters with marks, with a reference of each kind."""
    by, encoding = sampler(weights), encoder(weights)
    found: dict[str, list[float]] = {"none": [], "own": [], "other": []}
    for number in numbers:
        who, stranger = unseen(number), unseen(number + 1000)
        asked = truth.prompts(who, NOBODY)
        scale = truth.scale(asked, encoding)
        for name in found:
            shown = who if name == "own" else stranger
            source = replace(asked[0].scene, character=shown, seed=5)  # a close-up from the front
            beside = None if name == "none" else latents(encoding, pictures([source])).expand(len(asked), -1, -1, -1)
            pixels = drawn(by, encoding, [p.text for p in asked], 0, "likeness", beside)
            inside = [truth.distance(p, picture) for p, picture in zip(asked, to_bytes(pixels), strict=True)]
            found[name].append(scale(float(np.mean(inside))))
    return {name: mean(values) for name, values in found.items()}


def autoencoder(weights: Path) -> dict[str, Any]:
    """Peak signal to noise on 64 renders and 64 scribbles, and what it leaves of the marks of true drawings.

    `signature` and `placed` by kind; `bare` is `placed` where the character has no marks at all.
    """
    vae, encoding = opened(weights), encoder(weights)
    plain, scribbled = held_out()
    found: dict[str, Any] = {"renders_db": quality(vae, plain), "scribbles_db": quality(vae, scribbled)}
    sums: dict[str, dict[str, list[float]]] = {"signature": {}, "placed": {}, "bare": {}}
    for number in range(6000, 6020):
        who = unseen(number)
        for prompt in truth.prompts(who, "zorblax"):
            scene_ = replace(prompt.scene, seed=prompt.scene.seed + 50)
            bare = replace(scene_, character=replace(who, marks=type(who.marks)()))
            drawings = pictures([scene_, bare])
            with_marks, without = to_bytes(encoding.pixels(latents(encoding, drawings)))
            add(sums["signature"], truth.signature(prompt, with_marks, who.marks.colours()))
            add(sums["placed"], truth.placed(prompt, with_marks))
            add(sums["bare"], truth.placed(prompt, without))
    found |= {name: {kind: mean(v) for kind, v in sorted(kinds.items())} for name, kinds in sums.items()}
    found["signature_mean"] = mean([float(np.mean(v)) for v in sums["signature"].values()])
    return found


def eyes(_weights: Path) -> dict[str, Any]:
    """How well the eyes tell 40 held-out characters with marks apart, by framing and by the angle between two views,
    and how often they prefer the right caption, by framing and view."""
    seeing, framings = dual.load(WEIGHTS / "eyes"), KINDS["framing"]
    scenes = []
    for number in range(6200, 6240):
        draw_, who = random.Random(f"angles {number}"), unseen(number)
        for framing in framings:
            for view in VIEWS:
                how = replace(a_context(draw_), framing=framing, view=view)
                scenes.append(Scene(who, how, draw_.randrange(1 << 31)))
    rows = torch.cat([seeing.pictures(pictures(scenes[i : i + 64])) for i in range(0, len(scenes), 64)]).numpy()
    upper = np.triu_indices(len(rows), 1)
    cosines, (first, second) = (rows @ rows.T)[upper], upper
    who_, framed, turned = (np.array(v) for v in zip(*map(told_of, scenes), strict=True))
    same = who_[first] == who_[second]
    angle = np.abs((turned[first] - turned[second] + 180) % 360 - 180)
    found: dict[str, Any] = {"all": area(cosines, same)}
    for i, framing in enumerate(framings):
        for other_, name in enumerate(framings[i:], i):
            here = np.sort([framed[first], framed[second]], 0)
            of = (here[0] == min(i, other_)) & (here[1] == max(i, other_))
            found[f"{framing}, {name}"] = area(cosines[of], same[of])
    for low, high in ((0, 30), (30, 60), (60, 100), (100, 181)):
        of = (angle >= low) & (angle < high)
        found[f"turned by {low} to {min(high, 180)} degrees"] = area(cosines[of], same[of])
    return found | {"agreement": captions_read(seeing)}


def captions_read(seeing: dual.DualEyes, count: int = 400) -> dict[str, Any]:
    """By framing, and with the face and without, and by kind: how often a held-out drawing's own caption fits best."""
    scenes = [scene("evaluation", 5000 + i) for i in range(count)]
    seen = torch.cat([seeing.content(pictures(scenes[i : i + 64])) for i in range(0, count, 64)])
    sums: dict[str, dict[str, list[float]]] = {}
    for i, one in enumerate(scenes):
        groups = (one.context.framing, "face seen" if faces(one.context.view) else "from behind")
        for kind, value in one.attributes().items():
            best = int((seeing.texts([caption(other(one, kind, v)) for v in KINDS[kind]]) @ seen[i]).argmax())
            for name in ("all", *groups):
                sums.setdefault(name, {}).setdefault(kind, []).append(float(KINDS[kind][best] == value))
    return {name: {kind: mean(v) for kind, v in kinds.items()} for name, kinds in sums.items()}


def told_of(one: Scene) -> tuple[int, int, int]:
    """A scene's character, framing and angle as numbers."""
    return hash(one.character), KINDS["framing"].index(one.context.framing), VIEWS[one.context.view]


def pictures(scenes: Sequence[Scene]) -> Tensor:
    """Drawings (B, 3, 128, 128) in [-1, 1]."""
    return to_pixels([draw(one).pixels for one in scenes])


def latents(encoding: MiniEncoder, pixels: Tensor) -> Tensor:
    """Pictures through the encoder, (B, 16, 16, 16)."""
    return torch.cat([encoding.latents(part) for part in torch.split(pixels, 32)])


def apart(first: Tensor, second: Tensor) -> float:
    """Mean Lab distance of pictures (B, 3, S, S), pixel by pixel at 64 x 64."""
    from portraitist.judge.colour import lab, small

    pairs = zip(to_bytes(first), to_bytes(second), strict=True)
    return round(float(np.mean([np.linalg.norm(lab(small(a, 64)) - lab(small(b, 64)), axis=-1) for a, b in pairs])), 2)


def alike(seeing: dual.DualEyes, pixels: Tensor) -> float:
    """Mean cosine of different pictures to the eyes."""
    rows = seeing.pictures(pixels).numpy()
    return round(float((rows @ rows.T)[np.triu_indices(len(rows), 1)].mean()), 4)


def add(sums: dict[str, list[float]], values: dict[str, Any]) -> None:
    """Take values in, by kind."""
    for kind, value in values.items():
        sums.setdefault(kind, []).append(float(value))


def mean(values: Sequence[float]) -> float:
    """Mean, to four places."""
    return round(float(np.mean(values)), 4)


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "guidance": guidance, "trigger": trigger, "reference": reference, "autoencoder": autoencoder, "eyes": eyes,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are named; all without a name."""
    parser = argparse.ArgumentParser(prog="benchmarks.mini", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "mini")
    options = parser.parse_args(arguments)
    for name in options.parts or PARTS:
        began = time.monotonic()
        found = PARTS[name](options.weights)
        sys.stdout.write(
            json.dumps({"part": name, "minutes": round((time.monotonic() - began) / 60, 1)} | found) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
