"""Tokenizers of the real kinds over vocabularies of our own, trained on a few hundred made-up captions: nothing is
fetched."""

import itertools
import json
import re
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

from portraitist.families import qwen as qwen_family

WORDS = (
    ("close-up", "upper body", "full body"),
    ("a woman", "a man", "a robot", "a fox"),
    ("smiling", "waving", "sitting on a chair", "looking back"),
    ("red hair", "blue coat, long sleeves", "round glasses"),
    ("on a beach", "in a forest at night", "before a grey wall"),
)
CAPTIONS = [", ".join(words) for words in itertools.product(*WORDS)]
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = ("im_start", "im_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad")


@cache
def clip_tokenizer(padding: str) -> CLIPTokenizer:
    """CLIP's way of splitting, over a vocabulary of our own in which every byte has both its forms."""
    made = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Lowercase()
    split = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=[BEGIN, END],
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(CAPTIONS, trainer)
    model = json.loads(made.to_str())["model"]
    vocabulary = model["vocab"]
    for sign in [*alphabet, *(f"{letter}</w>" for letter in alphabet)]:
        vocabulary.setdefault(sign, len(vocabulary))
    merges = [tuple(pair) for pair in model["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=padding, model_max_length=77)


@cache
def qwen_tokenizer() -> Qwen2Tokenizer:
    """Qwen2's way of splitting, over a vocabulary of our own that has every word of the templates as the real one has.

    By it the templates are as many tokens as by the real one, which the pipelines take for granted.
    """
    special = [f"<|{name}|>" for name in SPECIAL]
    templates = re.sub(r"<\|\w+\|>|{}", "", qwen_family.TEMPLATE + qwen_family.EDIT_TEMPLATE)
    empty = Qwen2Tokenizer(vocab={}, merges=[])
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = empty.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=3000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([templates, *CAPTIONS], trainer)
    model = json.loads(made.to_str())["model"]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    return tokenizer


@cache
def t5_tokenizer() -> T5Tokenizer:
    """T5's way of splitting, over a vocabulary of our own."""
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator([*CAPTIONS, "zorblax abcdefghijklmnopqrstuvwxyz 0123456789"], trainer)
    pieces = json.loads(made.to_str())["model"]["vocab"]
    return T5Tokenizer(vocab=[tuple(piece) for piece in pieces], extra_ids=0, model_max_length=512)
