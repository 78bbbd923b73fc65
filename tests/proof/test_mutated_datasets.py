"""Two thousand damaged pictures and as many captions: every one is used or has a reason, and none is fatal."""

import io
import random
import resource

import pytest
from PIL import Image

from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.sections import Work
from portraitist.verbs.audit import audit
from portraitist.verbs.caption import caption

pytestmark = pytest.mark.proof

COUNT = 2000
FORMATS = (("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("GIF", ".gif"), ("TIFF", ".tif"))
SIGNS = "abc ,.\n\t\u00e9\u4e2d\U0001f600\u0301\u200b\ufeff\x00\x1b[()]{}\\\"'`$%<>|&;*?!#~^=+-_/:"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bytes with some turned, taken out, put in, doubled, or the end cut off."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        at, how = chance.randrange(max(1, len(found))), chance.randrange(5)
        if how == 0 and found:
            found[at] = chance.randrange(256)
        elif how == 1:
            del found[at : at + chance.randrange(1, 40)]
        elif how == 2:
            found[at:at] = chance.randbytes(chance.randrange(1, 40))
        elif how == 3:
            found[at:at] = found[at : at + chance.randrange(1, 200)]
        else:
            del found[chance.randrange(max(1, len(found))) :]
    return bytes(found)


def mutated_text(text: str, chance: random.Random) -> bytes:
    """A caption after a bad day: signs, cuts, repetitions, floods, and bytes that are no UTF-8."""
    found = list(text)
    for _ in range(chance.choice((1, 2, 8, 40))):
        at, how = chance.randrange(max(1, len(found))), chance.randrange(4)
        if how == 0:
            found[at:at] = chance.choice(SIGNS) * chance.choice((1, 1, 3, 2000))
        elif how == 1:
            del found[at : at + chance.randrange(1, 30)]
        elif how == 2:
            found[at:at] = found[at : at + 60] * chance.choice((1, 5, 50))
        else:
            chance.shuffle(found)
    data = "".join(found).encode("utf-8", "surrogatepass")
    return data + b"\xff\xfe" if chance.random() < 0.05 else data


def made(folder, chance):
    """A project of so many damaged pictures, each with a damaged caption."""
    facts = Facts(name="mutant", trigger="zorblax", subject="fictional", noun="a cartoon character")
    project = Project.create(folder / "maya", facts)
    scenes = album(unseen(9000), 12, 9000)
    images = [Image.fromarray(draw(one).pixels) for one in scenes]
    for number in range(COUNT):
        (kind, suffix), which = FORMATS[number % len(FORMATS)], number % len(scenes)
        data = io.BytesIO()
        images[which].save(data, kind)
        (project.pictures / f"{number:04d}{suffix}").write_bytes(damaged(data.getvalue(), chance))
        words = mutated_text(told(scenes[which], "zorblax"), chance)
        (project.pictures / f"{number:04d}.txt").write_bytes(words)
    return project


def test_damaged_pictures_and_captions_are_used_or_told_with_a_reason(tmp_path):
    project = made(tmp_path, random.Random(20))
    recipe = Recipe(work=Work(processes=1))
    result = audit(project, recipe)
    assert result.pictures + result.unreadable == COUNT
    assert result.unreadable > COUNT // 10, "the damage is real"
    assert result.pictures > COUNT // 10, "and not total"
    told_of = {name for f in result.findings if f.check == "unreadable" for name in f.pictures}
    assert len(told_of) == result.unreadable
    assert all(f.says and f.remedy for f in result.findings if f.severity != "note")
    caption(project, recipe, preview=True, rules=True, everyone=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert peak < 1.5, f"{peak:.2f} GB"


def test_several_processes_and_a_cluster_come_to_the_same_manifest(tmp_path):
    project = made(tmp_path, random.Random(21))
    for path in sorted(project.pictures.iterdir())[400:]:
        path.unlink()
    manifests = []
    for work in (Work(processes=1), Work(processes=2), Work(ray="local")):
        project.manifest.unlink(missing_ok=True)
        audit(project, Recipe(work=work))
        manifests.append(project.manifest.read_bytes())
    assert manifests[0] == manifests[1] == manifests[2]
    assert manifests[0].count(b"\n") > 30
