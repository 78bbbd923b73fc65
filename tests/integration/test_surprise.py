"""Strain: the base as a judge of pictures of framings that the character's own pictures lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus
from PIL import Image

from portraitist import recipe as recipes
from portraitist.dataset.draws import generator
from portraitist.demo import BRIEF
from portraitist.family import PromptSpec
from portraitist.judge import choosing
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.references import References, framing
from portraitist.judge.measuring.strain import LEVELS, Strain, lacking
from portraitist.judge.scorecard import BASE
from portraitist.judge.shot import Shot
from portraitist.judge.surprise import Surprised
from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.project import Facts, Project
from portraitist.sight.eyes import Plain
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train
from tests.judged import Trained, sat
from tests.pictures import saved, scenery
from tests.tiny import tiny

SHORT = (
    "stages.0.steps=2", "training.batch=2", "training.warmup=0", "training.rate=3e-2", "training.ema=0",
    "training.save_every=2", "model.threads=1", "judging.sampling_steps=6", "judging.budget=0", "judging.seeds=1",
    "judging.unnamed=2", "judging.paraphrases=2", "judging.restyled=3", 'model.precision="float32"',
)  # fmt: skip


def drawn(folder, **context):
    """A character of the drawn world on ten pictures, trained for two steps at far too high a rate."""
    who = unseen(777)
    (folder / "in").mkdir(parents=True)
    for i, scene in enumerate(album(who, 10, 5)):
        one = replace(scene, context=replace(scene.context, **context))
        Image.fromarray(draw(one).pixels).save(folder / "in" / f"{i}.png")
        (folder / "in" / f"{i}.txt").write_text(told(one, "zorblax"))
    facts = Facts(name="Z", trigger="zorblax", subject="fictional", noun="a cartoon character", brief=BRIEF)
    project = Project.create(folder / "p", facts)
    add(project, [folder / "in"])
    recipe = recipes.load(project.recipe, ['preset="mini"', *SHORT])
    audit(project, recipe)
    encode(project, recipe)
    train(project, recipe)
    return Trained(project, recipe)


@pytest.fixture(scope="module")
def close(tmp_path_factory):
    """Close-ups alone."""
    return drawn(tmp_path_factory.mktemp("close"), framing="close-up")


@pytest.fixture(scope="module")
def sitting(close):
    made = sat(close)
    made.judge(BASE, 0.0, "grid")
    return made


def far(shots):
    """Places of the shots that ask for what no picture is."""
    return [i for i, s in enumerate(shots) if framing(s.prompt.text) in ("mid", "full") and s.purpose != "unnamed"]


def test_strain_is_taken_where_a_prompt_asks_for_a_framing_that_no_picture_has_and_there_alone(sitting):
    (step,) = sitting.run.steps()
    for stage in ("grid", "probe"):
        card, shots = sitting.judge(step, 1.0, stage), sitting.grid.shots(stage)
        assert [i for i, one in enumerate(card.pictures) if "strain" in one.scores] == far(shots) != []
        base = sitting.card(BASE, 0.0, "grid")
    assert base.scores["strain"].mean == 0, "its own pictures are as usual to it"
    _, cards = choosing.latest(list(sitting.cards.values()), "grid")
    count = sum("strain" in one.scores for one in cards[0].pictures)
    assert cards[0].scores["strain"].count == count == sum(len(far(sitting.grid.shots(s))) for s in ("grid", "probe"))


def test_it_is_the_log_of_the_bases_own_loss_over_that_on_its_own_picture(sitting):
    """Flow matching by hand (arXiv 2210.02747): x = (1 - t) z + t n, and n - z is asked for; no adapter is on."""
    (step,) = sitting.run.steps()
    card, shots = sitting.judge(step, 1.0, "grid"), sitting.grid.choosing
    place = far(shots)[0]
    sampler, encoder = sitting.bench().sampler(), sitting.bench().encoder()
    given = {name: value[None] for name, value in sitting.bench().prompts()(shots[place].prompt.text).items()}

    def loss(pixels):
        """Log of the mean squared error, on the mean of the levels."""
        found = []
        with torch.no_grad():
            z = encoder.latents(torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)
            for k in range(LEVELS):
                key = f"held-out {shots[place].noise} {shots[place].seed}"
                n, t = torch.randn(z.shape[1:], generator=generator(0, key, k))[None], (k + 0.5) / LEVELS
                asked = sampler.family.predict(sampler.denoiser, (1 - t) * z + t * n, torch.tensor([t]), given)
                found.append(float((asked - (n - z)).square().mean().log()))
        return np.mean(found)

    both = (card, sitting.card(BASE, 0.0, "grid"))
    ours, base = (np.asarray(Image.open(sitting.run.path / one.pictures[place].path)) for one in both)
    expected = loss(ours) - loss(base)
    assert card.pictures[place].scores["strain"] == pytest.approx(expected, abs=1e-3)


def test_a_figure_in_pieces_is_stranger_than_a_whole_one(sitting):
    """True drawings of full bodies, and the same with their middle's tiles in another order: every one."""
    surprised = Surprised(sitting.bench(), sitting.artist())
    shots = [shot for shot in sitting.grid.choosing if framing(shot.prompt.text) == "full"]
    for seed in range(6):
        scene = next(s for s in album(unseen(900 + seed), 40, seed) if s.context.framing == "full body")
        whole = draw(scene).pixels
        tiles = [whole[y : y + 16, x : x + 16] for y in range(16, 112, 16) for x in range(32, 96, 16)]
        broken, order = whole.copy(), np.random.default_rng(seed).permutation(len(tiles))
        for at, k in enumerate(order):
            y, x = 16 + at // 4 * 16, 32 + at % 4 * 16
            broken[y : y + 16, x : x + 16] = tiles[k]
        assert surprised(shots[0], broken) > surprised(shots[0], whole) + 0.05


def test_what_lacks_is_what_is_asked_for_and_no_picture_has():
    asked = ["full body of zorblax", "portrait of zorblax", "zorblax, dancing", "zorblax from behind"]
    assert lacking(["close-up", "mid"], asked) == ("full",), "whether one is from behind no caption need tell"
    assert lacking(["close-up", "mid", "full", "back"], asked) == ()
    assert lacking(["close-up", ""], asked) == (), "one may be a full body"
    assert lacking([], asked) == ()


def test_beside_a_second_lora_it_is_not_taken(sitting):
    """What the base draws for a second LoRA is no picture of its own."""
    base, shots = sitting.of_base("grid"), sitting.grid.choosing
    taken = next(one for one in sitting.panel().taken if isinstance(one, Strain))
    alone = Pictures(shots, base, base)
    assert np.isfinite(taken(alone)).any()
    assert np.isnan(taken(Pictures(shots, base, base, alone))).all()


def test_what_another_program_draws_no_base_looks_at_and_that_is_told():
    grey = np.zeros((8, 8, 3), np.uint8)
    full = [Shot(PromptSpec("x", "full body of zorblax", {}), 1)]
    case = Case(References((), (), (grey,)), Pictures(full, [grey], [grey]), Plain(), {}, "zorblax", "x")
    assert Strain.of(case) is None
    assert case.notes == [], "nothing lacks"
    assert Strain.of(replace(case, lacking=("full",))) is None
    assert len(case.notes) == 1
    assert Strain.of(replace(case, lacking=("full",), surprise=lambda shot, pixels: 0.0)) is not None


@pytest.mark.parametrize("name", ["sdxl", "flux", "qwen-image-edit", "z-image"])
def test_every_family_looks_at_its_own_pictures(tmp_path, monkeypatch, name):
    """Tiny models of the real classes, that which edits with the reference that it drew with. What was taught nothing
    finds nothing strange: that numbers come, and of two pictures not the same, is all that can be asked."""
    for size in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):  # of references: less than a megapixel
        monkeypatch.setattr(plus, size, 64 * 64)
    base = tiny(name, tmp_path / "base")
    project = Project.create(tmp_path / "p", Facts(name="Z", trigger="zorblax", subject="fictional", noun="robot"))
    for i in range(3):
        saved(tmp_path / "in" / f"{i}.png", scenery(i, 64, 64))
        (tmp_path / "in" / f"{i}.txt").write_text(f"close-up of zorblax, scene {i}")
    changes = [
        f'preset="{name}"', f'model.base="{base.folder}"', "model.quantised=", "model.offload=0", "data.resolution=64",
        *SHORT, "judging.sampling_steps=2", 'judging.prompts=["full body of {trigger}", "close-up of {trigger}"]',
        "judging.side=64",
    ]  # fmt: skip
    if name == "qwen-image-edit":
        saved(project.folder / "references" / "sheet.png", scenery(9, 64, 64))
        changes.append('data.references=["references/sheet.png"]')
    add(project, [tmp_path / "in"])
    recipe = recipes.load(project.recipe, changes)
    audit(project, recipe)
    encode(project, recipe)
    train(project, recipe)
    sitting = sat(Trained(project, recipe))
    (step,) = sitting.run.steps()
    card = sitting.judge(step, 1.0, "grid")
    assert sitting.grid.lacking == ("full",)
    assert ["strain" in one.scores for one in card.pictures] == [True, False]
    assert np.isfinite(card.scores["strain"].mean)
    surprised, shot = Surprised(sitting.bench(), sitting.artist()), sitting.grid.choosing[0]
    one, other = (surprised(shot, scenery(seed, 64, 64)) for seed in (1, 2))
    assert np.isfinite([one, other]).all()
    assert one != other
