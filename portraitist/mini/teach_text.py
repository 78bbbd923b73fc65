"""Make the tokenizer, and let the text encoder begin by telling attributes from captions.

Its states then hold what the captions say before the first picture is seen: the transformer need not learn to read and
to draw at once.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from portraitist import durable
from portraitist.families.mini import END, TOKENS, all_ids
from portraitist.mini.corpus import scene
from portraitist.mini.scenes import KINDS, NOBODY, Scene, Wording, caption, phrases
from portraitist.mini.storing import store

WIDTH = 192
SYLLABLES = tuple(a + b for a in "bdfgklmnprstvz" for b in "aeiou")


def make_tokenizer() -> Tokenizer:
    """Bytes, and above them every phrase of the drawn world as one token; commas only part phrases and are dropped."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    made.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"[,\s]+"), " "), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([END])
    made.add_tokens([AddedToken(p, single_word=True, lstrip=True, rstrip=True, normalized=True) for p in phrases()])
    return made


def text_config(vocabulary: int) -> dict[str, Any]:
    """A Qwen2 of two layers, as its config.json says it."""
    return {
        "architectures": ["Qwen2Model"], "model_type": "qwen2",
        "vocab_size": vocabulary, "hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 2 * TOKENS,
        "attn_implementation": "sdpa", "use_cache": False,
    }  # fmt: skip


def text_model(vocabulary: int) -> nn.Module:
    """The text encoder, untaught."""
    from transformers import Qwen2Config, Qwen2Model

    made: nn.Module = Qwen2Model(Qwen2Config(**text_config(vocabulary)))
    return made


def a_name(chance: random.Random) -> str:
    """A made-up word that means nothing: an unknown trigger must be neutral."""
    return "".join(chance.choice(SYLLABLES) for _ in range(chance.randrange(2, 4)))


def a_caption(of: Scene, chance: random.Random, silent: float = 0.06) -> str:
    """A caption as the base is taught on: phrases missing, order free, now and then a name, or nothing at all.

    silent  how often one without a name tells nothing of the looks
    """
    if chance.random() < 0.1:
        return ""
    name = a_name(chance) if chance.random() < 0.25 else NOBODY
    look = chance.random() >= (max(0.4, silent) if name != NOBODY else silent)
    return caption(of, name, look, Wording(0.06, chance.random() < 0.5, chance))


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids (B, T) padded with zeros, and their mask (B, T)."""
    longest = max(map(len, rows))
    tokens, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), True
    return tokens, mask


def answers(of: list[Scene], texts: list[str]) -> dict[str, Tensor]:
    """The number of each kind's value where the caption tells it, -100 elsewhere, (B,) by kind."""
    found = {kind: torch.full((len(of),), -100) for kind in KINDS}
    for i, (one, text) in enumerate(zip(of, texts, strict=True)):
        for kind, value in one.attributes().items():
            word = {"hair": f"{value} hair", "cloth": f"a {value} {one.character.outfit}", "skin": f"{value} skin",
                    "eyes": f"{value} eyes", "background": f"{value} background"}.get(kind, value)  # fmt: skip
            if word in text:
                found[kind][i] = KINDS[kind].index(value)
    return found


def teach(out: Path, minutes: float) -> None:
    """Write `out`/tokenizer.json and `out`/text_encoder."""
    torch.manual_seed(1)
    tokens = make_tokenizer()
    durable.write_text(out / "tokenizer.json", tokens.to_str())
    model = text_model(tokens.get_vocab_size())
    heads = nn.ModuleDict({kind: nn.Linear(WIDTH, len(values)) for kind, values in KINDS.items()})
    optimiser = torch.optim.AdamW([*model.parameters(), *heads.parameters()], lr=2e-3, weight_decay=0.01)
    chance, began, step = random.Random("words"), time.monotonic(), 0
    while (spent := (time.monotonic() - began) / 60) < minutes:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * max(0.05, 1 - spent / minutes)
        scenes = [scene("words", step * 128 + i) for i in range(128)]
        texts = [a_caption(one, chance) for one in scenes]
        rows = all_ids(tokens, texts)
        numbers, mask = padded(rows)
        states = model(input_ids=numbers, attention_mask=mask.long()).last_hidden_state
        last = states[torch.arange(len(rows)), mask.sum(1) - 1]
        wanted = answers(scenes, texts)
        right, asked, loss = 0, 0, torch.zeros(())
        for kind, head in heads.items():
            found = head(last)
            told = wanted[kind] >= 0
            if told.any():
                loss = loss + cross_entropy(found, wanted[kind])
                right, asked = right + int((found.argmax(1) == wanted[kind])[told].sum()), asked + int(told.sum())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            sys.stdout.write(
                json.dumps({"step": step, "loss": round(loss.item(), 3), "right": round(right / asked, 4)}) + "\n"
            )
            sys.stdout.flush()
    store(out / "text_encoder", model.state_dict(), text_config(tokens.get_vocab_size()))
