"""Teach the transformer, and the text encoder with it, on pictures that are drawn meanwhile.

Rectified flow with levels moved towards noise, where words decide what becomes of a picture. Block matrices go by
Muon, everything else by AdamW. A small head on the middle layer has to tell which part of the body each token shows:
a truth that only a drawn world has. Pictures come in pairs of one character, so that each can be the other's
reference, as for Qwen-Image-Edit; captions are then mostly silent on looks. What is written are the averaged weights;
`resume/` holds what a later sitting goes on from, and `teaching.json` counts.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from diffusers import QwenImageTransformer2DModel
from torch import Tensor, distributed, nn
from transformers import Qwen2Model

from portraitist import durable
from portraitist.arithmetic import AUTO
from portraitist.families import part
from portraitist.families.mini import TOKENS, Mini, all_ids, place, tokenizer
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.family import Base
from portraitist.learn import memory
from portraitist.mini.corpus import Drawing, drawing, pair, to_pixels
from portraitist.mini.muon import Muon
from portraitist.mini.pen import PARTS
from portraitist.mini.scenes import Scene
from portraitist.mini.storing import DIFFUSERS, store
from portraitist.mini.teach_autoencoder import keep, opened
from portraitist.mini.teach_text import WIDTH, a_caption, text_config, text_model

SHIFT, EMA = 3.0, 0.999
MUON, ADAM = 0.02, 1e-3
PART_LOSS = 0.05
REFERENCED, SILENT = 0.3, 0.7
"""Share of batches that have references, and how often captions then tell nothing of the looks."""

TOLD = 50
"""Steps of which one line tells the means."""

CAPTIONS, TIMES = 8, 8
"""Captions that are made of each picture, of either sort; and what their lengths are rounded up to a multiple of."""

MIDDLE = 3

TRANSFORMER: dict[str, Any] = {
    "patch_size": 2, "in_channels": 80, "out_channels": 16, "num_layers": 6, "attention_head_dim": 48,
    "num_attention_heads": 4, "joint_attention_dim": WIDTH, "axes_dims_rope": [16, 16, 16],
}  # fmt: skip


class Album:
    """The newest `room` drawn pictures, where they are learnt from; the oldest go when it is full.

    latents  (room, 16, 16, 16) float16
    parts    (room, 64, P) uint8
    tokens   (room, 2, CAPTIONS, TOKENS) ids of captions, first those that tell looks, then those mostly silent on them
    lengths  of the captions, (room, 2, CAPTIONS)
    """

    def __init__(self, room: int, vae: Autoencoder) -> None:
        self.vae, self.room, device = vae, room, place(vae)
        self.latents = torch.zeros(room, 16, 16, 16, dtype=torch.float16, device=device)
        self.parts = torch.zeros(room, 64, len(PARTS), dtype=torch.uint8, device=device)
        self.tokens = torch.zeros(room, 2, CAPTIONS, TOKENS, dtype=torch.int16, device=device)
        self.lengths = np.zeros((room, 2, CAPTIONS), np.int64)
        self.numbers: list[int] = []
        self.where: dict[int, int] = {}
        self.next = self.highest = 0

    def put(self, drawn: list[Drawing]) -> None:
        """Encode pictures and take them in, with their captions."""
        device, places = self.latents.device, []
        for number, _, _, _ in drawn:
            self.highest = max(self.highest, number + 1)
            if len(self.numbers) < self.room:
                self.numbers.append(number)
            else:
                del self.where[self.numbers[self.next]]
                self.numbers[self.next] = number
            self.where[number] = self.next
            places.append(self.next)
            self.next = (self.next + 1) % self.room
        with torch.no_grad(), memory.autocast(device, AUTO):
            pixels = to_pixels([d[1] for d in drawn]).to(device).contiguous(memory_format=torch.channels_last)
            found = self.vae.encode(pixels)
        at = torch.tensor(places, device=device)
        self.latents[at] = found.half()
        self.parts[at] = torch.from_numpy(np.stack([d[2] for d in drawn])).flatten(1, 2).to(device)
        self.tokens[at] = torch.from_numpy(np.stack([d[3][0] for d in drawn])).to(device)
        self.lengths[places] = np.stack([d[3][1] for d in drawn])

    def batch(self, count: int, chance: np.random.Generator) -> "Batch":
        """A batch of `count` pictures; now and then with the other of its pair as reference."""
        referenced = bool(chance.random() < REFERENCED)
        whole = np.arange(len(self.numbers))
        if referenced:
            whole = np.array([at for number, at in self.where.items() if number ^ 1 in self.where])
        chosen, which = chance.choice(whole, count), chance.integers(0, CAPTIONS, count)
        longest = -(-int(self.lengths[chosen, int(referenced), which].max()) // TIMES) * TIMES
        device = self.latents.device
        at, row = torch.from_numpy(chosen).to(device), torch.from_numpy(which).to(device)
        lengths = torch.from_numpy(self.lengths[chosen, int(referenced), which]).to(device)
        tokens = self.tokens[at, int(referenced), row, :longest].long()
        mask = torch.arange(longest, device=device) < lengths[:, None]
        references = None
        if referenced:
            others = [self.where[self.numbers[i] ^ 1] for i in chosen]
            references = self.latents[torch.tensor(others, device=device)].float()
        return Batch(self.latents[at].float(), self.parts[at].float() / 255, tokens, mask, references)


def told(folder: Path, purpose: str, scene: Scene, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Captions of a scene as `Album` holds them: token ids (2, CAPTIONS, TOKENS) int16, and lengths (2, CAPTIONS)."""
    chance, words = random.Random(f"{purpose} captions {number}"), tokenizer(folder)
    texts = [a_caption(scene, chance, **silent) for silent in ({}, {"silent": SILENT}) for _ in range(CAPTIONS)]
    rows = all_ids(words, texts)
    ids, lengths = np.zeros((2 * CAPTIONS, TOKENS), np.int16), np.array([len(row) for row in rows])
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids.reshape(2, CAPTIONS, TOKENS), lengths.reshape(2, CAPTIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Latents (B, 16, 16, 16), parts (B, 64, P), token ids and their mask (B, T), and latents of references or None."""

    latents: Tensor
    parts: Tensor
    tokens: Tensor
    mask: Tensor
    references: Tensor | None = None


class Pupil(nn.Module):
    """What is taught: text encoder, transformer, and the head that tells parts."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text = text_model(vocabulary)
        self.transformer = QwenImageTransformer2DModel(**TRANSFORMER)
        self.teller = nn.Linear(WIDTH, len(PARTS))
        self.middle: list[Tensor] = []
        self.transformer.transformer_blocks[MIDDLE].register_forward_hook(self.remember)

    def remember(self, _module: nn.Module, _given: Any, found: Any) -> None:
        """Keep the picture tokens' states of the middle block: (B, 64, d), or 128 with a reference."""
        self.middle = [found[1]]

    def loss(self, batch: Batch, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Flow loss and part loss of a batch."""
        latents, parts, device = batch.latents, batch.parts, batch.latents.device
        uniform = torch.rand(len(latents), generator=chance, device=device)
        level = SHIFT * uniform / (1 + (SHIFT - 1) * uniform)
        noise = torch.randn(latents.shape, generator=chance, device=device)
        noisy = latents + level[:, None, None, None] * (noise - latents)
        with memory.autocast(device, AUTO):
            states = self.text(input_ids=batch.tokens, attention_mask=batch.mask.long()).last_hidden_state
            given = {"tokens": states, "tokens_mask": batch.mask}
            given |= {} if batch.references is None else {"reference_0": batch.references}
            found = Mini().predict(self.transformer, noisy, level, given)
            told = self.teller(self.middle[0][:, : parts.shape[1]])
        flow = (found.float() - (noise - latents)).square().mean()
        part = -(parts * told.float().log_softmax(-1)).sum(-1).mean()
        return flow, part


def groups(pupil: Pupil) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters for Muon (matrices inside blocks, modulation excepted) and for AdamW."""
    muon: list[nn.Parameter] = []
    adam: list[nn.Parameter] = []
    for name, parameter in pupil.named_parameters():
        inside = "transformer_blocks" in name and "_mod" not in name and parameter.ndim == 2
        (muon if inside else adam).append(parameter)
    return muon, adam


@dataclass
class Lesson:
    """A pupil, its optimisers and its averaged weights; `taught` samples so far, also in sittings before."""

    pupil: Pupil
    taught: int = 0

    def __post_init__(self) -> None:
        muon, adam = groups(self.pupil)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(adam, lr=ADAM, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
            Muon(muon, lr=MUON, momentum=0.95, weight_decay=0.01, ns_steps=4),
        ]
        self.averages = [p.detach().clone() for p in self.pupil.parameters()]
        self.steps = 0

    def step(self, loss: Tensor, factor: float, spent: float) -> float:
        """One step at `factor` times the full rates; several processes share gradients, and agree on the time spent."""
        for optimiser, height in zip(self.optimisers, (ADAM, MUON), strict=True):
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = height * factor
        torch.autograd.backward(loss)
        spent = shared(self.pupil, spent)
        torch.nn.utils.clip_grad_norm_(self.pupil.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.steps += 1
        keep = min(EMA, (1 + self.steps) / (10 + self.steps)) if self.taught < 50_000 else EMA
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, [p.data for p in self.pupil.parameters()], 1 - keep)
        return spent

    def averaged(self) -> dict[str, Tensor]:
        """The averaged weights by name."""
        return dict(zip((n for n, _ in self.pupil.named_parameters()), self.averages, strict=True))

    def write(self, out: Path, record: dict[str, Any]) -> None:
        """Write the averaged weights in a base's layout, and what a later sitting goes on from."""
        mean = self.averaged()
        below = {part: {n.removeprefix(f"{part}."): t for n, t in mean.items() if n.startswith(f"{part}.")}
                 for part in ("text", "transformer", "teller")}  # fmt: skip
        config = {"_class_name": "QwenImageTransformer2DModel", **TRANSFORMER}
        store(out / "transformer", below["transformer"], config, DIFFUSERS)
        store(out / "text_encoder", below["text"], text_config(below["text"]["embed_tokens.weight"].shape[0]))
        raw = {n: p.detach().clone() for n, p in self.pupil.named_parameters()}
        held = {f"raw/{n}": t for n, t in raw.items()} | {f"mean/{n}": t.clone() for n, t in mean.items()}
        durable.write_bytes(out / "resume" / "lesson.safetensors", safetensors.torch.save(held))
        durable.write_json(out / "teaching.json", record)


def shared(pupil: nn.Module, spent: float) -> float:
    """Average the gradients over all processes; returns their mean of `spent`."""
    if not distributed.is_initialized():
        return spent
    gradients = [p.grad for p in pupil.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([spent])])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()
    return float(flat[-1])


def begin(start: Path, device: str = "cpu") -> Lesson:
    """A lesson that goes on from a folder: its resume files, else its averaged weights, else its text encoder alone."""
    tokens = tokenizer(start)
    pupil = Pupil(tokens.get_vocab_size())
    base = Base(start, "")
    pupil.text.load_state_dict(part(base, Qwen2Model, "text_encoder", dtype=torch.float32).state_dict())
    if (start / "transformer").is_dir():
        taught = part(base, QwenImageTransformer2DModel, "transformer", torch_dtype=torch.float32)
        pupil.transformer.load_state_dict(taught.state_dict())
    lesson = Lesson(pupil.to(device))
    if (start / "resume" / "lesson.safetensors").is_file():
        held = safetensors.torch.load_file(start / "resume" / "lesson.safetensors")
        pupil.load_state_dict({n.removeprefix("raw/"): t for n, t in held.items() if n.startswith("raw/")})
        names = [n for n, _ in pupil.named_parameters()]
        lesson.averages = [held[f"mean/{n}"].to(device) for n in names]
    lesson.taught = course_so_far(start)["taught"]
    return lesson


def course_so_far(start: Path) -> dict[str, Any]:
    """Samples taught, minutes and pictures drawn (about), in all sittings before."""
    path = start / "teaching.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {"taught": 0, "minutes": 0.0, "drawn": 0} | before


def fresh(queue: "Queue[Drawing]", count: int) -> Iterator[Drawing]:
    """The next pictures of the queue."""
    for _ in range(count):
        yield queue.get()


@dataclass(frozen=True, slots=True)
class Plan:
    """A sitting: for how many minutes, pictures a step in each process, a factor on the rates, which pictures.

    room      pictures that are held at a time
    reuse     how often each is learnt from, about
    drawers   processes that draw, for each that teaches
    device    where it is taught
    """

    minutes: float
    batch: int = 64
    rate: float = 1.0
    purpose: str = "teaching"
    room: int = 40_000
    reuse: int = 5
    drawers: int = 1
    device: str = "cpu"


def together(rank: int, world: int, out: Path, start: Path, plan: Plan, port: int) -> None:
    """One of `world` processes that teach the same pupil, a thread each."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    teach(out, start, plan, rank, world)
    distributed.destroy_process_group()


def teach(out: Path, start: Path, plan: Plan, rank: int = 0, world: int = 1) -> None:
    """Teach, writing `out` every five minutes; the rates fall over the last fifth of the time."""
    torch.manual_seed(2)
    vae = opened(start)
    lesson, record = begin(start, plan.device), course_so_far(start)
    if out != start and rank == 0:
        keep(out, vae)
        durable.write_text(out / "tokenizer.json", (start / "tokenizer.json").read_text())
    purpose = f"{plan.purpose} {lesson.taught} {rank}"  # no sitting and no process draws what another did
    album, chance = Album(plan.room, vae.to(plan.device)), np.random.default_rng([lesson.taught, rank])
    tell = partial(told, start, purpose)
    draws = torch.Generator(plan.device).manual_seed(lesson.taught + 7 + rank * 1_000_003)
    began, spent, saved, recent = time.monotonic(), 0.0, 0.0, torch.zeros(2, device=plan.device)
    with drawing(purpose, 0, which=pair, drawers=plan.drawers, tell=tell) as queue:
        album.put(list(fresh(queue, min(768, plan.room))))
        while spent < plan.minutes:
            album.put(list(fresh(queue, max(1, plan.batch // plan.reuse))))
            flow, part = lesson.pupil.loss(album.batch(plan.batch, chance), draws)
            height = plan.rate * min(1.0, (lesson.steps + 1) / 200)
            height *= min(1.0, max(0.02, (1 - spent / plan.minutes) / 0.2))
            spent = lesson.step(flow + PART_LOSS * part, height, (time.monotonic() - began) / 60)
            lesson.taught += plan.batch * world
            recent += torch.stack([flow.detach(), part.detach()])
            if lesson.steps % TOLD == 0:
                mean = (recent / TOLD).tolist()
                line = {"taught": lesson.taught, "minutes": round(spent, 1), "flow": round(mean[0], 4),
                        "parts": round(mean[1], 4), "drawn": album.highest}  # fmt: skip
                if rank == 0:
                    sys.stdout.write(json.dumps(line) + "\n")
                    sys.stdout.flush()
                recent.zero_()
            if rank == 0 and (spent - saved > 5 or spent >= plan.minutes):
                saved, whole = spent, round(float(record["minutes"]) + spent, 1)
                whole_drawn = int(record["drawn"]) + album.highest * world
                lesson.write(out, {"taught": lesson.taught, "minutes": whole, "drawn": whole_drawn})
