"""However a config of the kohya family is damaged, it is judged, or refused in one line; never a traceback."""

import random
from pathlib import Path

import pytest

from portraitist import interop
from portraitist.errors import PortraitistError
from portraitist.interop import opening, telling
from tests import kohya_cases, kohya_data_cases, musubi_cases

SEEDS = (
    ("x.sh", kohya_cases.sdxl(optimizer_args=["weight_decay=0.1", "betas=.9,.99"], network_args=["conv_dim=4"])),
    ("x.sh", kohya_cases.flux(blocks_to_swap=8)),
    ("x.toml", kohya_cases.toml("[a]\nlearning_rate = 1e-4\nresolution = '512'\nnetwork_args = ['conv_dim=4']")),
    ("x.toml", kohya_data_cases.dataset(own=kohya_data_cases.SPLIT)),
    ("x.sh", musubi_cases.qwen(model_version="edit-2509")),
    ("x.toml", musubi_cases.dataset(musubi_cases.CONTROLS)),
    ("x.json", musubi_cases.preset(train_data_dir=".", caption_extension=".txt", optimizer_args="a=1 b")),
)
VALUES = (
    "-1", "0", "1e309", "99999999999999999999", "nan", "''", '"text"', "[]", "{}", "[[1], 2]", "true", "null",
    "[1024, 'x']", "\U0001f600", '"\\u0000"', "1e-400", "0x10", "-0.5", "a=b=c", "[{}]", "0.0", "3.7",
    '["=", "preset="]', "\x00",
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> str:
    """A text with one to four small damages: of lines, of values, of letters."""
    for _ in range(draw.randint(1, 4)):
        lines = text.split("\n")
        where = draw.randrange(len(lines))
        kind = draw.randrange(6)
        if kind == 0:
            del lines[where]
        elif kind == 1:
            lines.insert(where, lines[draw.randrange(len(lines))])
        elif kind == 2:
            for sign in ("=", ":", " "):
                if sign in lines[where].strip():
                    lines[where] = lines[where].partition(sign)[0] + sign + " " + draw.choice(VALUES)
                    break
        elif kind == 3 and lines[where]:
            at = draw.randrange(len(lines[where]))
            lines[where] = lines[where][:at] + draw.choice("[]{}\"'=,.-_ 0a\\") + lines[where][at + draw.randrange(2) :]
        elif kind == 4:
            lines[where] = lines[where].replace('"', draw.choice(["", "'", '""']))
        else:
            other = draw.randrange(len(lines))
            lines[where], lines[other] = lines[other], lines[where]
        text = "\n".join(lines) or "\n"
    return text


def judged_or_refused(folder: Path, count: int, seed: int) -> int:
    """How many of `count` damaged configs could be judged; the others were refused in words."""
    draw, judged = random.Random(seed), 0
    for index in range(count):
        name, text = SEEDS[index % len(SEEDS)]
        path = folder / name
        path.write_text(mutated(text, draw), encoding="utf-8")
        try:
            document = opening.opened(path)
        except PortraitistError:
            continue
        if whose := interop.whose(document):
            tool = interop.tool(whose)
            telling.told(document, tool.diagnose(document), {})
            tool.carried(document)
            judged += 1
    return judged


@pytest.fixture
def world(tmp_path):
    """Files that the configs name."""
    return musubi_cases.made(kohya_data_cases.made(tmp_path))


def test_damaged_configs_are_judged_or_refused(world):
    assert judged_or_refused(world, 350, seed=1) > 100


@pytest.mark.proof
def test_ten_thousand_damaged_configs_are_judged_or_refused(world):
    assert judged_or_refused(world, 10_000, seed=2) > 3_000
