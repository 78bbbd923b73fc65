"""encode: samples are a function of content, done once, mended when damaged, refused when out of date."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist import families
from portraitist.dataset import cache as caching
from portraitist.dataset.cache import Cache, load_index, load_samples
from portraitist.errors import PortraitistError
from portraitist.events import Encoded, Read, Started
from portraitist.project import Project
from portraitist.sections import Data, Set
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.caption import caption
from portraitist.verbs.encode import encode
from portraitist.verbs.new import new
from tests.encoding import BASE, TinyEncoder
from tests.pictures import saved, scenery


def tree(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".json")}


def test_everything_is_encoded_once_and_a_second_time_costs_nothing(project, recipe, family):
    heard = []
    first = encode(project, recipe, heard.append)
    assert (first.encoded, first.cached, first.train, first.held_out) == (10, 0, 9, 1)
    started, *told = heard[:-1]
    assert (started.total, [(type(e), e.done, e.total) for e in told]) == (
        10, [(kind, done, 10) for kind in (Read, Encoded) for done in range(1, 11)]
    ), "words first, then pixels, each picture once"  # fmt: skip
    before = tree(first.folder)
    second = encode(project, recipe)
    assert (second.encoded, second.cached) == (0, 10)
    assert tree(second.folder) == before
    assert [needs for needs, _ in family.loaded] == ["words", "pictures"], "an encoder was loaded for nothing"


@pytest.mark.parametrize("what", ["latents", "conditions"])
def test_what_encoders_make_that_is_not_finite_is_told_by_its_picture_and_not_kept(what, project, recipe, monkeypatch):
    whole = getattr(TinyEncoder, what)

    def broken(self, given):
        found = whole(self, given)
        return found * float("nan") if what == "latents" else {**found, "tokens": found["tokens"] * float("inf")}

    monkeypatch.setattr(TinyEncoder, what, broken)
    says = {"latents": r"^0\.png: the base's VAE gives NaN", "conditions": "The text encoder finds numbers"}
    with pytest.raises(PortraitistError, match=says[what]) as told:
        encode(project, recipe)
    assert "float32" in told.value.remedy or BASE.dtype == "float32"
    assert not list(project.cache.rglob("*.safetensors"))


def test_encoding_again_from_nothing_gives_the_same_bytes(project, recipe):
    from portraitist import durable

    before = tree(encode(project, recipe).folder)
    durable.remove(project.cache)
    assert tree(encode(project, recipe).folder) == before


def test_samples_are_what_the_vae_says_of_the_cut_picture(project, recipe, family):
    encode(project, recipe)
    samples = {s.picture: s for s in load_samples(project, family, BASE, recipe, "train")}
    encoder = family.load_encoder(BASE)
    for name, sample in samples.items():
        pixels = np.asarray(Image.open(project.pictures / name).convert("RGB"))
        height, width = sample.latents.shape[1] * 4, sample.latents.shape[2] * 4
        assert height * width <= 32 * 32
        if pixels.shape[0] == pixels.shape[1]:
            small = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
            tensor = torch.tensor(small / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]
            torch.testing.assert_close(encoder.latents(tensor)[0], sample.latents)
        assert (
            bytes(sample.captions[0]["tokens"][:, 0].to(torch.uint8).tolist()) == f"zorblax, scene {name[0]}".encode()
        )
        assert len(sample.captions) == (2 if name == "1.png" else 1)
        assert sample.empty["tokens"].tolist() == [[0, 0, 0, 0]]
        assert sample.empty["sizes"].tolist() == sample.captions[0]["sizes"].tolist()


def test_the_split_is_kept_and_two_bases_see_the_same_order(project, recipe, family, monkeypatch):
    encode(project, recipe)
    train, held = (load_samples(project, family, BASE, recipe, s) for s in ("train", "held-out"))
    split = {p.name: p.split for p in project.read_manifest()}
    assert {s.picture for s in train} == {name for name, side in split.items() if side == "train"}
    assert {s.picture for s in held} == {name for name, side in split.items() if side == "held-out"}
    other = replace(BASE, digest="cd" * 32)
    monkeypatch.setattr(families, "resolve", lambda _model: other)
    encode(project, recipe)
    again = load_samples(project, family, other, recipe, "train")
    assert [s.picture for s in again] == [s.picture for s in train]
    assert not {s.key for s in again} & {s.key for s in train}


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"", lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:]])
def test_a_damaged_sample_is_told_to_training_and_mended_by_encode(damage, project, recipe, family):
    folder = encode(project, recipe).folder
    before = tree(folder)
    victim = next(folder.glob("*.safetensors"))
    victim.write_bytes(damage(victim.read_bytes()))
    with pytest.raises(PortraitistError, match="missing or damaged"):
        [load_samples(project, family, BASE, recipe, split) for split in ("train", "held-out")]
    assert encode(project, recipe).encoded == 1
    assert tree(folder) == before


def test_only_what_changed_is_encoded_again(project, recipe):
    encode(project, recipe)
    (project.pictures / "3.txt").write_text("zorblax, now in the rain")
    with pytest.raises(PortraitistError, match=r"3\.png changed since the audit"):
        encode(project, recipe)
    audit(project, recipe)
    heard = []
    result = encode(project, recipe, heard.append)
    assert (result.encoded, result.cached) == (1, 9)
    assert [(e.name, e.done, e.total) for e in heard if isinstance(e, Read)] == [("3.png", 1, 1)]
    told = [e for e in heard if isinstance(e, Encoded)]
    assert [e.done for e in told] == list(range(1, 11))
    assert {e.total for e in (*told, *(e for e in heard if isinstance(e, Started)))} == {10}
    assert [e.name for e in told if not e.cached] == ["3.png"]


def test_a_picture_that_changes_while_others_are_encoded_is_refused(project, recipe):
    def change(event):
        if isinstance(event, Encoded) and event.done == 1:
            saved(project.pictures / "4.png", scenery(77, 64, 40))

    with pytest.raises(PortraitistError, match=r"4\.png changed since the audit"):
        encode(project, recipe, change)


def test_training_refuses_samples_of_yesterdays_pictures(project, recipe, family, tmp_path):
    encode(project, recipe)
    add(project, [saved(tmp_path / "new.png", scenery(99))])
    audit(project, recipe)
    with pytest.raises(PortraitistError, match="changed since they were encoded"):
        load_samples(project, family, BASE, recipe, "train")


def test_a_trigger_that_captions_hold_by_name_is_part_of_what_was_encoded(project, recipe, family):
    """One that stands in no caption is not."""
    encode(project, recipe)
    renamed = Project(project.folder, project.facts.model_copy(update={"trigger": "quuxil"}))
    assert len(load_index(renamed, recipe, BASE)) == 10
    (project.pictures / "0.txt").write_text("{trigger}, waving")
    audit(project, recipe)
    encode(project, recipe)
    assert len(load_index(project, recipe, BASE)) == 10
    with pytest.raises(PortraitistError, match="their trigger") as told:
        load_index(renamed, recipe, BASE)
    assert "portraitist encode" in told.value.remedy


def test_what_training_refuses_of_noise_is_refused_before_anything_is_encoded(project, recipe, family):
    training = recipe.training.model_copy(update={"snr_gamma": 5.0})
    with pytest.raises(PortraitistError, match="snr_gamma is of denoising diffusion"):
        encode(project, recipe.model_copy(update={"training": training}))
    assert not family.loaded


def test_a_removed_picture_is_out_of_the_listing_and_a_touched_one_needs_an_audit(project, recipe, family):
    encode(project, recipe)
    (project.pictures / "5.png").unlink()
    with pytest.raises(PortraitistError, match=r"5\.png changed"):
        encode(project, recipe)
    audit(project, recipe)
    assert encode(project, recipe).cached == 9
    assert "5.png" not in {e.picture for e in load_index(project, recipe, BASE)}


def test_nothing_is_encoded_before_an_audit_or_with_a_recipe_it_did_not_see(project, recipe):
    with pytest.raises(PortraitistError, match="recipe's resolution, split or sets"):
        encode(project, recipe.model_copy(update={"data": Data(resolution=64)}))
    project.findings.unlink()
    with pytest.raises(PortraitistError, match="has not been audited"):
        encode(project, recipe)


def test_a_blocking_finding_stops_encode_until_it_is_waived_by_name(project, recipe):
    for path in project.pictures.glob("*.txt"):
        path.write_text("a fox")
    assert audit(project, recipe).blocked
    with pytest.raises(PortraitistError, match="No caption holds the trigger") as caught:
        encode(project, recipe)
    assert "trigger_missing" in caught.value.remedy
    waived = replace(project, facts=project.facts.model_copy(update={"waived": {"trigger_missing": "style only"}}))
    assert not audit(waived, recipe).blocked
    assert encode(waived, recipe).train == 9


def test_a_real_person_without_consent_is_not_encoded(project, recipe):
    real = replace(project, facts=project.facts.model_copy(update={"subject": "real"}))
    with pytest.raises(PortraitistError, match="no consent"):
        encode(real, recipe)


def test_transparency_becomes_the_mask_and_the_recipe_says_how_much_the_background_counts(
    project, recipe, family, tmp_path
):
    alpha = np.zeros((48, 48), np.uint8)
    alpha[:, 24:] = 255
    picture = Image.fromarray(scenery(50, 48, 48)).convert("RGBA")
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "cut out.png")
    (tmp_path / "cut out.txt").write_text("zorblax, cut out")
    add(project, [tmp_path / "cut out.png"])
    audit(project, recipe)
    encode(project, recipe)

    def masks(background):
        chosen = recipe.model_copy(update={"data": Data(resolution=32, masks=background)})
        both = [s for split in ("train", "held-out") for s in load_samples(project, family, BASE, chosen, split)]
        return {s.picture: s.mask for s in both}

    assert set(map(type, masks(1.0).values())) == {type(None)}
    weights = masks(0.25)
    assert weights["1.png"] is None
    mask = weights["cut out.png"]
    assert mask is not None
    assert mask.shape == (1, 8, 8)
    assert torch.equal(mask[0, :, :4], torch.full((8, 4), 0.25))
    assert torch.equal(mask[0, :, 4:], torch.ones(8, 4))


def test_weights_roles_and_loss_weights_come_from_folders_and_sets_without_encoding_again(tmp_path, family, recipe):
    for i in range(4):
        saved(tmp_path / "p" / "40_face" / f"{i}.png", scenery(i, 48, 48))
        saved(tmp_path / "p" / "body" / f"{i}.png", scenery(i + 10, 64, 40))
    made = new(tmp_path / "maya", trigger="zorblax", subject="fictional", preset="mini")
    add(made, [tmp_path / "p"])
    assert len(caption(made, recipe).written) == 8
    audit(made, recipe)
    encode(made, recipe)
    found = {e.picture: (e.weight, e.loss_weight, e.role) for e in load_index(made, recipe, BASE)}
    assert found["40_face/0.png"] == (40, 1.0, "identity")
    assert found["body/0.png"] == (1, 1.0, "identity")
    sets = (Set(name="body", role="realism", weight=20, loss_weight=0.5), Set(name="face", weight=3))
    chosen = recipe.model_copy(update={"data": Data(resolution=32, sets=sets)})
    found = {e.picture: (e.weight, e.loss_weight, e.role) for e in load_index(made, chosen, BASE)}
    assert found["40_face/0.png"] == (3, 1.0, "identity")
    assert found["body/0.png"] == (20, 0.5, "realism")


def test_several_crops_are_several_samples_and_every_picture_keeps_its_share(project, recipe, family):
    three, heard = recipe.model_copy(update={"data": Data(resolution=32, crops=3)}), []
    result = encode(project, three, heard.append)
    told = [e for e in heard if isinstance(e, Encoded)]
    assert [(e.done, e.total) for e in told] == [(i + 1, result.encoded) for i in range(result.encoded)]
    shares = {}
    for entry in load_index(project, three, BASE):
        shares[entry.picture] = shares.get(entry.picture, 0) + entry.weight
    assert set(shares.values()) == {3}
    assert len(load_index(project, three, BASE)) > 10


def test_every_parameter_that_changes_the_numbers_changes_the_key():
    from portraitist.dataset.buckets import buckets, crops

    crop = crops(64, 48, buckets(32, 8, 2.0))[0]
    plain = {"picture": "p", "family": "f", "base": BASE, "crop": crop, "captions": ["a"], "references": ["r"]}
    other = [
        {"picture": "q"}, {"family": "g"}, {"base": replace(BASE, digest="cd" * 32)},
        {"base": replace(BASE, precision="bfloat16")}, {"crop": replace(crop, left=1)}, {"captions": ["b"]},
        {"captions": ["a", ""]}, {"captions": ["", "a"]}, {"references": []}, {"references": ["r", "r"]},
    ]  # fmt: skip
    keys = [caching.sample_key(**{**plain, **change}) for change in [{}, *other]]
    assert len(set(keys)) == len(keys)
    assert caching.sample_key(**plain) == keys[0]


def test_conditions_of_any_type_come_back_bit_for_bit(tmp_path):
    cache = Cache(tmp_path / "cache")
    shared = torch.randn(6, 4)
    given = {
        "tokens": shared[:3].to(torch.bfloat16),
        "again": shared,
        "part": shared[2:],
        "tokens_mask": torch.tensor([True, False, True]),
        "one": torch.tensor(3.5),
        "none": torch.zeros(0, 4),
    }
    key = caching.prompt_key("tiny", BASE, "zorblax")
    assert not cache.has(key)
    cache.write_prompt(key, given)
    found = cache.read(key)
    assert found is not None
    assert {n: (t.dtype, t.tolist()) for n, t in found.items()} == {n: (t.dtype, t.tolist()) for n, t in given.items()}


def test_a_sample_under_another_key_is_no_sample(project, recipe):
    folder = encode(project, recipe).folder
    one, other, *_ = sorted(folder.glob("*.safetensors"))
    one.write_bytes(other.read_bytes())
    assert not Cache(folder).has(one.stem)


def test_the_listing_names_no_weight_so_that_a_recipe_may_change_them(project, recipe):
    folder = encode(project, recipe).folder
    (listing,) = folder.glob("samples-*.json")
    assert set(json.loads(listing.read_text())["samples"][0]) == {"key", "picture", "width", "height"}


def test_audit_measures_only_what_is_new(project, recipe):
    heard = []
    before = project.manifest.read_bytes()
    audit(project, recipe, heard.append)
    assert project.manifest.read_bytes() == before
    digest = hashlib.sha256(before).hexdigest()
    assert json.loads(project.findings.read_text())["manifest"] == digest


def test_broken_pictures_among_good_ones_are_named_and_the_rest_is_encoded(project, recipe):
    (project.pictures / "empty.png").touch()
    (project.pictures / "text.jpg").write_text("no picture")
    whole = (project.pictures / "0.png").read_bytes()
    (project.pictures / "half.png").write_bytes(whole[: len(whole) // 2])
    result = audit(project, recipe)
    named = {f.about for f in result.findings if f.check == "unreadable"}
    assert named == {"empty.png", "text.jpg", "half.png"}
    assert result.unreadable == 3
    assert encode(project, recipe).train == 9


def test_a_folder_with_nothing_readable_is_refused(tmp_path, family, recipe):
    made = new(tmp_path / "maya", trigger="zorblax", subject="fictional", preset="mini")
    with pytest.raises(PortraitistError, match="holds no readable picture"):
        audit(made, recipe)
    (made.pictures / "a.png").touch()
    with pytest.raises(PortraitistError, match="0 bytes"):
        audit(made, recipe)
    assert not made.manifest.exists()


def test_caption_never_touches_a_persons_words_and_renews_its_own(project, recipe):
    (project.pictures / "0.txt").unlink()
    (project.pictures / "1.txt").write_text("a person's own words")
    (project.pictures / "2.txt").write_bytes(b"caf\xe9")
    result = caption(project, recipe)
    assert result.written == ("0.png",)
    assert set(result.without_trigger) == {"1.png", "2.png"}
    assert (project.pictures / "0.txt").read_text() == "zorblax, character\n"
    assert (project.pictures / "1.txt").read_text() == "a person's own words"
    assert (project.pictures / "2.txt").read_bytes() == b"caf\xe9"

    renamed = Project(project.folder, project.facts.model_copy(update={"noun": "robot"}))
    assert caption(renamed, recipe).written == ("0.png",)
    assert (project.pictures / "0.txt").read_text() == "zorblax, robot\n"
    assert caption(renamed, recipe).written == ()

    (project.pictures / "0.txt").write_text("zorblax, robot, by hand\n")
    assert caption(project, recipe).written == ()
