"""Teach the eyes: the same character in other contexts is close, and a picture is close to the caption that fits.

Characters are without marks, as for the base. So that eyes can tell more characters than the words of the world allow,
the figure's colours are turned in colour space or spots of colour are put on it, alike in all pictures of one
character; captions are then not asked. Spots are only on parts that bear no mark of the demo and judging characters:
neck, arms, hands, legs and feet.
"""

import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy

from portraitist import durable
from portraitist.arithmetic import AUTO
from portraitist.families.mini import tokenizer
from portraitist.learn import memory
from portraitist.mini.characters import album, unseen
from portraitist.mini.corpus import made, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.pen import PARTS
from portraitist.mini.scenes import KINDS, NOBODY, Scene, a_character, a_context, caption
from portraitist.mini.storing import store
from portraitist.sight.dual import Dual, DualEyes, bags, load

EACH, CAST, WRONG, FRESH = 3, 24, 8, 4
DOUBLES, TURNED, READING = 6, 0.2, 2.0
"""Pairs of doubles in a lesson; share of the others whose colours are turned, and as many patched; what reading weighs
beside telling apart."""

PATCHED = ("neck", "arm", "hand", "leg", "foot")
"""Where spots may be: on no part that bears a mark of the demo and judging characters."""

CONTEXT = ("framing", "view", "background", "light", "style", "expression", "pose")
LOOKS = ("hair", "hairstyle", "eyes", "skin", "outfit", "cloth", "accessory")


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One character in `EACH` contexts: scenes, pixels (E, S, S, 3), masks and parts (E, S, S), all uint8."""

    scenes: list[Scene]
    pixels: np.ndarray
    masks: np.ndarray
    parts: np.ndarray


def group(number: int) -> Group:
    """The group of a number; a pure function of it."""
    chance = random.Random(f"eyes {number}")
    who = a_character(chance)
    scenes = [Scene(who, a_context(chance), chance.randrange(1 << 31)) for _ in range(EACH)]
    drawn = [draw(one) for one in scenes]
    return Group(scenes, *(np.stack([getattr(d, name) for d in drawn]) for name in ("pixels", "mask", "parts")))


def recoloured(one: Group, chance: np.random.Generator) -> np.ndarray:
    """The group's pixels with the figure's colours turned about grey by one rotation, alike in all its pictures."""
    axis = chance.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = chance.uniform(0.3, math.pi)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    share = (one.masks[..., None] / 255).astype(np.float32)
    moved = np.clip((one.pixels.astype(np.float32) - 128) @ turn.T.astype(np.float32) + 128, 0, 255)
    return np.asarray(one.pixels * (1 - share) + moved * share).astype(np.uint8)


def other(of: Scene, kind: str, value: str) -> Scene:
    """The scene with another value of one kind of attribute."""
    if kind in CONTEXT:
        return replace(of, context=replace(of.context, **{kind: value}))
    changes: dict[str, Any] = {kind: value}
    return replace(of, character=replace(of.character, **changes))


def swapped(of: Scene, chance: random.Random) -> str | None:
    """The caption of a picture with one attribute that it does not have; None when that one is not told."""
    kind = chance.choice([*CONTEXT, *LOOKS])
    value = of.attributes().get(kind)
    if value is None:
        return None
    return caption(other(of, kind, chance.choice([v for v in KINDS[kind] if v != value])))


def augmented(pixels: Tensor) -> Tensor:
    """What renders of a base have and drawings have not: blur, noise, a shift of tone."""
    count, on = len(pixels), pixels.device
    soft = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1)
    share, grain = torch.rand(count, 1, 1, 1, device=on), 0.08 * torch.rand(count, 1, 1, 1, device=on)
    noisy = pixels + share * (soft - pixels) + torch.randn_like(pixels) * grain
    contrast, shift = 0.1 * torch.randn(count, 1, 1, 1, device=on), 0.05 * torch.randn(count, 3, 1, 1, device=on)
    return (noisy * (1 + contrast) + shift).clamp(-1, 1)


def contrast(rows: Tensor, names: Tensor, sharpness: Tensor) -> Tensor:
    """Supervised contrastive loss (arXiv 2004.11362) of unit rows (N, d) with a name (N,) each."""
    logits = rows @ rows.T * sharpness.exp()
    itself = torch.eye(len(rows), device=rows.device)
    logits = logits - itself * 1e4
    same = (names[:, None] == names[None, :]).float() - itself
    return -((logits.log_softmax(1) * same).sum(1) / same.sum(1).clamp_min(1)).mean()


def readings(scenes: Sequence[Scene], chance: random.Random) -> list[str]:
    """The captions of scenes, then `WRONG` for each of them in which one attribute is wrong."""
    right = [caption(one, NOBODY) for one in scenes]
    wrong = [swapped(one, chance) or right[(i + 1) % len(right)] for i, one in enumerate(scenes) for _ in range(WRONG)]
    return right + wrong


def reading(model: Dual, features: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
    """Each picture against its caption, the others' captions, and its own with one attribute wrong.

    rows  token ids of what `readings` says of the pictures
    """
    count, on = len(features), features.device
    tokens, mask = bags(rows)
    read = model.read(tokens.to(on), mask.to(on))
    seen = model.content(features)
    among = seen @ read[:count].T
    against = (seen[:, None] * read[count:].view(count, WRONG, -1)).sum(-1)
    logits = torch.cat([among, against], 1) * model.sharpness.exp()
    return cross_entropy(logits, torch.arange(count, device=on))


@dataclass(frozen=True, slots=True)
class Patch:
    """A spot of colour that belongs to a character: on which part, where in that part's box, how large, as shares."""

    part: str
    x: float
    y: float
    wide: float
    tall: float
    colour: tuple[int, int, int]


def a_patch(chance: random.Random) -> Patch:
    """Any patch: a part, a place, a size and a colour by chance."""
    colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
    where = chance.uniform(0.1, 0.9), chance.uniform(0.1, 0.9)
    return Patch(chance.choice(PATCHED), *where, chance.uniform(0.1, 0.5), chance.uniform(0.1, 0.5), colour)


def patched(one: Group, chance: random.Random) -> np.ndarray:
    """The group's pixels with one to four patches, the same in all its pictures, wherever their part is seen."""
    patches, found = [a_patch(chance) for _ in range(chance.randint(1, 4))], []
    for pixels, parts in zip(one.pixels, one.parts, strict=True):
        image = Image.fromarray(pixels)
        for patch in patches:
            there = parts == PARTS.index(patch.part)
            rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
            if not len(rows):
                continue
            tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
            x, y = columns[0] + patch.x * wide, rows[0] + patch.y * tall
            a, b = patch.wide * wide / 2, patch.tall * tall / 2
            spot = Image.new("L", image.size, 0)
            ImageDraw.Draw(spot).ellipse([x - a, y - b, x + a, y + b], fill=255)
            image.paste(patch.colour, (0, 0), Image.fromarray(np.where(there, np.asarray(spot), 0).astype(np.uint8)))
        found.append(np.asarray(image))
    return np.stack(found)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Pictures of one step, (CAST * EACH, S, S, 3) uint8; what `readings` says of the last `told` of them.

    drawn  groups that had been drawn by then
    """

    pixels: np.ndarray
    texts: list[str]
    told: int
    drawn: int


def lesson(cast: Sequence[Group], chance: random.Random, noise: np.random.Generator) -> Lesson:
    """A lesson on `CAST` characters; the captions are of those that show what captions say.

    The first characters are doubles: the same drawings twice, with other patches, so that only these tell them apart.
    The honest ones come last.
    """
    doubles = chance.sample(cast, DOUBLES)
    pixels = [patched(g, chance) for g in doubles for _ in range(2)]
    honest: list[np.ndarray] = []
    scenes: list[Scene] = []
    for one in chance.sample(cast, CAST - 2 * DOUBLES):
        way = chance.random()
        if way < TURNED:
            pixels.append(recoloured(one, noise))
        elif way < 2 * TURNED:
            pixels.append(patched(one, chance))
        else:
            honest.append(one.pixels)
            scenes += one.scenes
    return Lesson(np.concatenate([*pixels, *honest]), readings(scenes, chance), len(scenes), len(cast))


def lessons(first: int, every: int, groups: int) -> Iterator[Lesson]:
    """Lessons without end, of groups first, first + every, ... that are drawn meanwhile, up to so many."""
    chance, noise = random.Random(f"reading {first}"), np.random.default_rng(first)
    cast = [group(first + i * every) for i in range(3 * CAST)]
    while True:
        if len(cast) < groups:
            cast += [group(first + (len(cast) + i) * every) for i in range(FRESH)]
        yield lesson(cast, chance, noise)


def loss_of(model: Dual, words: Tokenizer, one: Lesson) -> Tensor:
    """Telling apart over all pictures, and reading over the last ones, whose captions are told."""
    on = model.sharpness.device
    given = augmented(to_pixels(list(one.pixels)).to(on)).contiguous(memory_format=torch.channels_last)
    with memory.autocast(on, AUTO):
        features = model.trunk(given).float()
    names = torch.arange(CAST, device=on).repeat_interleave(EACH)
    loss = contrast(model.identity(features), names, model.sharpness)
    if one.told:
        rows = [found.ids for found in words.encode_batch(one.texts)]
        loss = loss + READING * reading(model, features[-one.told :], rows)
    return loss


def teach(out: Path, start: Path, minutes: float, device: str = "cpu", drawers: int = 1, groups: int = 5000) -> None:
    """Teach for so many minutes, drawing groups meanwhile, and write `out`/eyes with what they can do.

    drawers  processes that draw, with at most `groups` each, of 200 KB
    """
    torch.manual_seed(3)
    words, model = tokenizer(start), Dual(tokenizer(start).get_vocab_size())
    before = {"steps": 0, "minutes": 0.0, "next": 0}
    if (start / "eyes").is_dir():
        model.load_state_dict(load(start / "eyes").model.state_dict())
        before |= json.loads((start / "eyes" / "figures.json").read_text(encoding="utf-8"))
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, step, drawn = int(before["next"]), 0, 0
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.02)
    began = time.monotonic()
    given = [(first + mine, drawers, groups) for mine in range(drawers)]
    with made(lessons, given, 2 * drawers) as queue:
        while (spent := (time.monotonic() - began) / 60) < minutes:
            one: Lesson = queue.get()
            drawn = max(drawn, one.drawn)
            for setting in optimiser.param_groups:
                setting["lr"] = 1.5e-3 * min(1, (step + 1) / 100) * max(0.02, 1 - spent / minutes)
            loss = loss_of(model, words, one)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                model.sharpness.clamp_(1.0, 3.5)
            step += 1
            if step % 100 == 0:
                told = {"step": step, "minutes": round(spent, 1), "loss": round(loss.item(), 3), "groups": drawn}
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
    eyes = DualEyes(model.to("cpu").eval(), words, "")
    figures = {"identity": telling_apart(eyes), "agreement": agreeing(eyes)}
    sys.stdout.write(json.dumps(figures) + "\n")
    store(out / "eyes", model.state_dict(), model.config)
    durable.write_text(out / "eyes" / "tokenizer.json", words.to_str())
    whole = round(float(before["minutes"]) + minutes, 1)
    record = {"steps": before["steps"] + step, "minutes": whole, "next": first + drawers * drawn, **figures}
    durable.write_json(out / "eyes" / "figures.json", record)


@torch.no_grad()
def telling_apart(eyes: DualEyes, characters: int = 40, each: int = 6) -> dict[str, float]:
    """Of held-out characters with marks: how often two pictures of one are closer than of two (area under the curve).

    Over all pairs, and over pairs that differ in framing, which are the hard ones.
    """
    scenes = [one for k in range(characters) for one in album(unseen(1000 + k), each, 50 + k)]
    rows = eyes.pictures(to_pixels([draw(one).pixels for one in scenes])).numpy()
    names = np.repeat(np.arange(characters), each)
    framings = np.array([one.context.framing for one in scenes])
    cosines, upper = rows @ rows.T, np.triu_indices(len(rows), 1)
    values, same = cosines[upper], (names[:, None] == names[None, :])[upper]
    apart = (framings[:, None] != framings[None, :])[upper]
    return {"all": area(values, same), "across_framings": area(values[apart], same[apart])}


def area(values: np.ndarray, same: np.ndarray) -> float:
    """Area under the ROC curve, by ranks (Mann & Whitney 1947)."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values)] = np.arange(1, len(values) + 1)
    positive, negative = int(same.sum()), int((~same).sum())
    return round(float((ranks[same].sum() - positive * (positive + 1) / 2) / (positive * negative)), 4)


@torch.no_grad()
def agreeing(eyes: DualEyes, count: int = 200) -> dict[str, float]:
    """By kind: share of held-out drawings whose caption fits better than those with another value of that kind."""
    from portraitist.mini.corpus import scene

    scenes = [scene("evaluation", 5000 + i) for i in range(count)]
    seen = eyes.content(to_pixels([draw(one).pixels for one in scenes]))
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for i, one in enumerate(scenes):
        for kind, value in one.attributes().items():
            texts = [caption(other(one, kind, v)) for v in KINDS[kind]]
            best = int((eyes.texts(texts) @ seen[i]).argmax())
            found[kind].append(KINDS[kind][best] == value)
    return {kind: round(float(np.mean(hits)), 3) for kind, hits in found.items() if hits}
