"""Teaching the base: it learns, and a later sitting goes on from what an earlier one wrote."""

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, Qwen2Model

from portraitist import durable
from portraitist.families.mini import ids as ids_of
from portraitist.families.mini import tokenizer
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.mini import teach_base, teach_eyes, teach_text
from portraitist.mini.corpus import drawing, pair, scene, shares
from portraitist.mini.drawing import draw
from portraitist.mini.muon import Muon
from portraitist.mini.storing import store
from portraitist.mini.teach_autoencoder import keep, lost, opened
from portraitist.mini.teach_base import Album, Plan, Pupil, begin
from portraitist.mini.teach_text import a_caption
from portraitist.sight.dual import Dual


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A folder with an untaught autoencoder, tokenizer and text encoder, for a transformer of one layer."""
    monkeypatch.setitem(teach_base.TRANSFORMER, "num_layers", 1)
    monkeypatch.setattr(teach_base, "MIDDLE", 0)
    torch.manual_seed(0)
    words = teach_text.make_tokenizer()
    durable.write_text(tmp_path / "tokenizer.json", words.to_str())
    text = teach_text.text_model(words.get_vocab_size())
    store(tmp_path / "text_encoder", text.state_dict(), teach_text.text_config(words.get_vocab_size()))
    keep(tmp_path, Autoencoder(narrow=8, wide=8))
    return tmp_path


def drawn(numbers, folder):
    found = [(n, pair("test", n)) for n in numbers]
    tell = partial(teach_base.told, folder, "test")
    return [(n, draw(one).pixels, shares(draw(one).parts), tell(one, n)) for n, one in found]


def album(room, folder):
    return Album(room, opened(folder))


def test_an_encoder_that_goes_on_is_held_to_the_latents_it_began_with(start):
    model, first = opened(start).requires_grad_(True), opened(start)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(lost(model, pixels, first) * 0, lost(model, pixels, None) * 0)
    with torch.no_grad():
        model.linear_in.weight.mul_(1.5)
    for held, moves in ((None, False), (first, True)):
        torch.manual_seed(0)
        there = lost(model, pixels, held)
        torch.manual_seed(0)
        free = lost(model, pixels, None)
        assert (there > free * 1.001).item() == moves


@pytest.mark.parametrize(("seed", "referenced"), [(0, False), (2, True)])
def test_a_lesson_lowers_the_loss_of_what_it_is_shown(start, seed, referenced):
    torch.manual_seed(1)
    held, lesson = album(16, start), begin(start)
    held.put(drawn(range(8), start))
    batch = held.batch(8, np.random.default_rng(seed))
    assert (batch.references is not None) == referenced
    losses = []
    for _ in range(12):
        flow, part = lesson.pupil.loss(batch, torch.Generator().manual_seed(0))
        losses.append((flow + part).item())
        lesson.step(flow + part, 0.5, 0.0)
    assert losses[-1] < losses[0] * 0.9


def test_a_later_sitting_goes_on_from_the_very_weights(start):
    torch.manual_seed(2)
    lesson = begin(start)
    with torch.no_grad():
        for parameter in lesson.pupil.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    lesson.write(start, {"taught": 64, "minutes": 1.0, "drawn": 16})
    again = begin(start)
    assert again.taught == 64
    for (name, ours), theirs in zip(again.pupil.named_parameters(), lesson.pupil.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    for ours, theirs in zip(again.averages, lesson.averages, strict=True):
        assert torch.equal(ours, theirs)


def test_from_committed_weights_alone_it_goes_on_from_the_averages(start):
    lesson = begin(start)
    for average in lesson.averages:
        average.add_(0.25)
    lesson.write(start, {"taught": 64, "minutes": 1.0, "drawn": 16})
    durable.remove(start / "resume" / "lesson.safetensors")
    again = begin(start)
    assert again.taught == 64
    assert teach_base.course_so_far(start) == {"taught": 64, "minutes": 1.0, "drawn": 16}
    mean = lesson.averaged()
    for name, ours in again.pupil.named_parameters():
        if not name.startswith("teller"):
            assert torch.equal(ours, mean[name].bfloat16().float()), name


def test_an_album_lets_the_oldest_go(start):
    held = album(4, start)
    held.put(drawn(range(3), start))
    held.put(drawn(range(3, 7), start))
    assert sorted(held.numbers) == [3, 4, 5, 6]
    assert held.highest == 7


def test_a_reference_shows_the_same_character_in_another_picture(start):
    held = album(5, start)
    held.put(drawn(range(7), start))
    assert sorted(held.where) == [2, 3, 4, 5, 6]
    batches = (held.batch(32, np.random.default_rng(k)) for k in range(40))
    with_reference = [batch for batch in batches if batch.references is not None]
    assert 4 < len(with_reference) < 24
    kept = {number: held.latents[place].float() for number, place in held.where.items()}
    for batch in with_reference:
        for latents, reference in zip(batch.latents, batch.references, strict=True):
            number = next(n for n, found in kept.items() if torch.equal(found, latents))
            assert torch.equal(reference, kept[number ^ 1])
    for number in (2, 4):
        first, second = pair("test", number), pair("test", number + 1)
        assert first.character == second.character
        assert first.context != second.context


def test_muon_gets_block_matrices_and_adam_the_rest(start):
    pupil = Pupil(300)
    muon, adam = teach_base.groups(pupil)
    assert all(p.ndim == 2 for p in muon)
    assert {id(p) for p in pupil.parameters()} == {id(p) for p in [*muon, *adam]}
    assert len(muon) + len(adam) == len(list(pupil.parameters()))


def test_a_short_sitting_writes_a_base_that_can_be_drawn_with(start, tmp_path):
    out = tmp_path / "out"
    teach_base.teach(out, start, Plan(minutes=0.02, batch=4, purpose="test", room=64))
    assert {p.name for p in Path(out).iterdir()} == {
        "vae",
        "text_encoder",
        "transformer",
        "tokenizer.json",
        "teaching.json",
        "resume",
    }
    assert begin(out).taught >= 4
    assert isinstance(AutoModel.from_pretrained(out / "text_encoder"), Qwen2Model), "anyone's tools can tell what it is"


def test_a_worker_draws_the_pictures_that_its_numbers_name():
    with drawing("test", 5, ahead=2) as queue:
        found = [queue.get(timeout=60) for _ in range(3)]
    assert [number for number, _, _, _ in found] == [5, 6, 7]
    for number, pixels, _, _ in found:
        assert (pixels == draw(scene("test", number)).pixels).all()


def test_several_drawers_share_the_numbers_among_them_in_pairs():
    with drawing("test", 5, ahead=2, which=pair, drawers=2) as queue:
        found = {number: pixels for number, pixels, _, _ in (queue.get(timeout=60) for _ in range(6))}
    assert len(found) == 6, "none is drawn twice"
    first = [n for n in found if n // 2 % 2 == 0]
    second = [n for n in found if n // 2 % 2 == 1]
    assert sorted(first) == [5, 8, 9, 12, 13, 16][: len(first)]
    assert sorted(second) == [6, 7, 10, 11, 14, 15][: len(second)]
    for number, pixels in found.items():
        assert (pixels == draw(pair("test", number)).pixels).all()


def test_eyes_learn_to_tell_and_to_read_what_a_lesson_shows(monkeypatch):
    monkeypatch.setattr(teach_eyes, "CAST", 6)
    monkeypatch.setattr(teach_eyes, "DOUBLES", 1)
    torch.manual_seed(0)
    words = teach_text.make_tokenizer()
    one = teach_eyes.lesson([teach_eyes.group(i) for i in range(6)], random.Random(1), np.random.default_rng(1))
    assert one.pixels.shape == (18, 128, 128, 3)
    assert 0 < one.told <= 12
    assert len(one.texts) == one.told * (1 + teach_eyes.WRONG)
    model = Dual(words.get_vocab_size())
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        loss = teach_eyes.loss_of(model, words, one)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.8


def test_a_batch_has_the_captions_that_were_told_of_its_pictures(start):
    held, words = album(4, start), tokenizer(start)
    given = drawn(range(6), start)
    held.put(given[:3])
    held.put(given[3:])
    kinds = set()
    for k in range(12):
        batch = held.batch(6, np.random.default_rng(k))
        kinds.add(batch.references is None)
        assert batch.tokens.shape[1] % teach_base.TIMES == 0
        for latents, ids, mask in zip(batch.latents, batch.tokens, batch.mask, strict=True):
            number = next(n for n, at in held.where.items() if torch.equal(held.latents[at].float(), latents))
            made, lengths = given[number][3]
            kind = 0 if batch.references is None else 1
            told = [row[:count].tolist() for row, count in zip(made[kind], lengths[kind], strict=True)]
            assert ids[mask].tolist() in told
            assert not ids[~mask].any()
    assert kinds == {True, False}
    chance = random.Random("test captions 3")
    assert given[3][3][0][0, 0][: given[3][3][1][0, 0]].tolist() == ids_of(words, a_caption(pair("test", 3), chance))


def test_muon_of_many_takes_the_steps_that_torchs_takes_of_one():
    torch.manual_seed(0)
    shapes = [(8, 8), (16, 8), (8, 8), (8, 16), (16, 8)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.01, "ns_steps": 4}
    optimisers = Muon(ours, **settings), torch.optim.Muon(theirs, **settings, adjust_lr_fn="original")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-3)  # both round to bfloat16 on the way
        assert (a - b).norm() < 0.01 * (a - a.detach().mean()).norm()
