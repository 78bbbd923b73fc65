"""What is published says what was measured, shows what was drawn, and nothing else; and some things never go out."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import c2pa
import numpy as np
import pytest
from huggingface_hub import ModelCard, constants
from PIL import Image, PngImagePlugin

from portraitist import cli, provenance, runs
from portraitist.dataset.taking import Stated
from portraitist.deploy import packages
from portraitist.deploy.packages import Piece
from portraitist.deploy.permits import RATINGS, Terms
from portraitist.deploy.programs import A1111
from portraitist.errors import PortraitistError
from portraitist.project import Project
from portraitist.verbs.add import add
from portraitist.verbs.export import export
from portraitist.verbs.publish import publish
from portraitist.verbs.report import report
from tests.credentials import certificate
from tests.judged import judged_in, trained_in
from tests.published import BY, drawn, real, told
from tests.repositories import taking

BASE, XL = "stabilityai/stable-diffusion-xl-base-1.0", "SDXL 1.0"
RDF, IPTC = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
FREE = Terms(licence="cc-by-nc-4.0")


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """An SDXL's LoRA, tiny, judged, chosen and exported."""
    made, _ = judged_in(trained_in(tmp_path_factory.mktemp("chosen")))
    export(made.project)
    return made.project


@pytest.fixture
def project(chosen, tmp_path):
    """A copy of it to be changed."""
    shutil.copytree(chosen.folder, tmp_path / "p", copy_function=shutil.copy2)
    return Project.open(tmp_path / "p")


def refused(says, project, to="huggingface", **given):
    """A publication that is refused in these words, with nothing left behind."""
    before = sorted(project.exports.rglob("*"))
    with pytest.raises(PortraitistError, match=says) as caught:
        publish(project, to, **given)
    assert sorted(project.exports.rglob("*")) == before
    return caught.value


def test_a_repositorys_card_is_one_by_the_hubs_own_reader_and_says_what_the_report_says(chosen):
    result = publish(chosen, "huggingface", terms=FREE, base=BASE)
    folder, summary = Path(result.place), json.loads(report(chosen).facts.read_text())
    card = ModelCard.load(folder / "README.md")
    assert (card.data.base_model, card.data.license, card.data.library_name) == (BASE, "cc-by-nc-4.0", "diffusers")
    assert card.data.base_model_relation == "adapter"
    assert card.data.instance_prompt == "zorblax"
    assert {"lora", "text-to-image"} <= set(card.data.tags)
    assert "not-for-all-audiences" not in card.data.tags
    assert [one["output"]["url"] for one in card.data.widget] == [f"images/{name}" for name in result.pictures]
    assert all("zorblax" in one["text"] for one in card.data.widget)
    likeness = summary["scores"]["likeness"]
    row = next(line for line in card.text.splitlines() if line.startswith("| Likeness |"))
    assert f"{likeness['low']:.2f} to {likeness['high']:.2f}" in row
    for said in summary["open"]:
        assert said in card.text, said
    assert f"at strength {summary['strength']:g}" in card.text
    assert "An invented character" in card.text
    assert (folder / "zorblax.safetensors").read_bytes() == next(
        chosen.exports.glob("*/zorblax.safetensors")
    ).read_bytes()
    assert len([path for path in folder.rglob("*") if path.is_file()]) == result.files == 2 + len(result.pictures)


def test_what_the_card_tells_people_to_write_loads_the_lora_at_its_strength(chosen):
    place = Path(publish(chosen, "huggingface", terms=FREE, base=BASE).place)
    code = re.search(r"```python\n(.*?)image = ", (place / "README.md").read_text(), re.DOTALL)[1]
    base = runs.find(chosen).recipe().model.base
    for said, here in ((BASE, base), ("PATH/OF/THIS/FOLDER", str(place)), ("bfloat16", "float32"), ('"cuda"', '"cpu"')):
        assert said in code
        code = code.replace(said, here)
    names = {}
    exec(code, names)
    layers = [module for module in names["pipeline"].unet.modules() if hasattr(module, "lora_A")]
    assert len(layers) == export(chosen).modules
    assert {round(layer.scaling["character"], 4) for layer in layers} == {runs.find(chosen).chosen().strength}


def test_no_caption_no_path_no_training_picture_and_nothing_of_a_pictures_metadata_goes_out(project):
    for path in drawn(project).values():
        facts = PngImagePlugin.PngInfo()
        facts.add_text("workflow", "a secret workflow")
        facts.add_text("prompt", "a secret prompt")
        Image.open(path).save(path, "PNG", pnginfo=facts)
    captions = [path.read_text().strip() for path in project.pictures.glob("*.txt")]
    theirs = {hashlib.sha256(path.read_bytes()).hexdigest() for path in project.pictures.glob("*.png")}
    assert len(captions) == len(theirs) == 10
    place = Path(publish(project, "huggingface", terms=FREE, base=BASE).place)
    archive = Path(publish(project, "civitai", terms=Terms(rating="PG"), base=XL).place)
    with zipfile.ZipFile(archive) as packed:
        inside = [packed.read(name) for name in packed.namelist()]
    for data in [*inside, *(path.read_bytes() for path in place.rglob("*") if path.is_file())]:
        assert hashlib.sha256(data).hexdigest() not in theirs
        for word in ("a secret", str(project.folder), *captions):
            assert word.encode() not in data, word


def test_pictures_are_the_judged_ones_and_say_that_a_model_made_them(chosen):
    place = Path(publish(chosen, "huggingface", terms=FREE, base=BASE).place)
    for path in sorted((place / "images").iterdir()):
        with Image.open(path) as shown, Image.open(drawn(chosen)[path.name]) as judged:
            assert np.array_equal(np.asarray(shown), np.asarray(judged.convert("RGB")))
            assert set(shown.text) == {"XML:com.adobe.xmp"}
            (described,) = ElementTree.fromstring(shown.text["XML:com.adobe.xmp"]).iter(f"{{{RDF}}}Description")
            assert described.get(f"{{{IPTC}}}DigitalSourceType").endswith("/trainedAlgorithmicMedia")


def test_signed_pictures_hold_content_credentials_that_a_changed_pixel_breaks(chosen, tmp_path):
    chain, key = (tmp_path / name for name in ("chain.pem", "key.pem"))
    for path, data in zip((chain, key), certificate(), strict=True):
        path.write_bytes(data)
    result = publish(chosen, "huggingface", terms=FREE, base=BASE, sign=(chain, key))
    assert result.signed
    data = (Path(result.place) / "images" / result.pictures[0]).read_bytes()
    context = c2pa.Context(c2pa.Settings.from_dict({"verify": {"verify_trust": False}}))

    def state(data):
        with c2pa.Reader("image/png", io.BytesIO(data), context=context) as reader:
            return str(reader.get_validation_state()), reader.json()

    found, manifest = state(data)
    assert found != "Invalid"
    assert "digitalsourcetype/trainedAlgorithmicMedia" in manifest
    assert "zorblax" not in manifest
    place = data.index(b"IDAT") + 200
    assert state(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])[0] == "Invalid"
    refused("is not the key", chosen, terms=FREE, base=BASE, sign=(chain, other_key(tmp_path)))
    refused("no certificate chain", chosen, terms=FREE, base=BASE, sign=(key, key))
    refused("no private key", chosen, terms=FREE, base=BASE, sign=(chain, chain))
    refused("Cannot read the key", chosen, terms=FREE, base=BASE, sign=(chain, tmp_path / "none.pem"))


def other_key(folder):
    """A key of nobody's certificate."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    kept = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "other.pem").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(*kept))
    return folder / "other.pem"


PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""How A1111 takes the last line of what made a picture apart."""


def test_civitais_zip_unpacks_names_every_file_and_its_pictures_say_their_prompts(chosen, tmp_path):
    terms = Terms(rating="PG-13")
    result = publish(chosen, "civitai", terms=terms, base=XL)
    data = Path(result.place).read_bytes()
    assert Path(publish(chosen, "civitai", terms=terms, base=XL).place).read_bytes() == data
    with zipfile.ZipFile(result.place) as packed:
        assert {one.date_time for one in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert not subprocess.run(["unzip", "-q", result.place, "-d", str(tmp_path)], capture_output=True).returncode
    form = json.loads((tmp_path / "model.json").read_text())
    assert (form["type"], form["baseModel"], form["rating"], form["poi"]) == ("LORA", XL, "PG-13", False)
    assert form["trainedWords"] == ["zorblax"]
    (file,) = form["files"]
    assert hashlib.sha256((tmp_path / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert {one["rating"] for one in form["images"]} == {"PG-13"}
    for one in form["images"]:
        with Image.open(tmp_path / one["name"]) as image:
            words, last = image.text["parameters"].split("\n")
        assert words == f"{one['prompt']} <lora:zorblax:{form['strength']:g}>"
        found = dict(PARAMETER.findall(last))
        assert found["Seed"] == "1001"
        assert found["CFG scale"] == f"{runs.find(chosen).chosen().guidance or 3:g}"
        assert found["Steps"] == "2"


@pytest.mark.parametrize(("to", "terms", "says"), [
    ("civitai", Terms(), "nobody guesses"),
    ("civitai", Terms(rating="PG14"), "no content rating"),
    ("civitai", Terms(rating="PG", licence="mit"), "takes no licence"),
    ("huggingface", Terms(), "none was given"),
    ("huggingface", Terms(licence="My licence"), "no name of a licence"),
    ("huggingface", Terms(licence="flux-1-dev-non-commercial-license"), "does not know the licence"),
    ("huggingface", Terms(licence="mit", link="https://example.com"), "knows mit itself"),
])  # fmt: skip
def test_what_a_site_has_to_be_told_is_asked_for(chosen, to, terms, says):
    refused(says, chosen, to, terms=terms, base=BASE if to == "huggingface" else XL)


def test_a_licence_of_another_name_and_a_rating_for_adults_stand_in_the_head(chosen):
    link = "https://example.com/terms"
    terms = Terms(rating="R", licence="flux-1-dev-non-commercial-license", link=link)
    head = ModelCard.load(Path(publish(chosen, "huggingface", terms=terms, base=BASE).place) / "README.md").data
    assert (head.license, head.license_name, head.license_link) == ("other", terms.licence, link)
    assert "not-for-all-audiences" in head.tags


def test_the_base_is_named_as_the_site_names_it_or_asked_for(chosen):
    refused("names a base by a place", chosen, terms=FREE)
    refused("no model on the Hub", chosen, terms=FREE, base="SDXL")
    refused("asks which base", chosen, "civitai", terms=Terms(rating="PG"))
    refused("no base 'SD 1.5'", chosen, "civitai", terms=Terms(rating="PG"), base="SD 1.5")
    refused("are of the Hugging Face Hub", chosen, "civitai", terms=Terms(rating="PG"), base=XL, push="a/b")


def test_words_of_people_stay_words_on_the_page(project):
    project = told(project, name="A <script>alert(1)</script> | `x` *y*\n---\n[z](http://z)")
    card = Path(export(project).card).read_text()
    assert "<script" not in card
    assert "](http://z)" not in card
    assert card.splitlines()[0].startswith("# A &#60;script&#62;alert(1)")


def test_of_a_real_person_only_what_their_consent_covers_goes_out(project):
    made = real(project, ())
    refused("takes no likeness", made, "civitai", terms=Terms(rating="PG"), base=XL)
    refused("does not cover publication", made, terms=Terms("PG", "cc-by-nc-4.0"), base=BASE)


def test_of_a_real_person_pictures_go_out_by_name_alone_and_nothing_for_adults(project):
    made = real(project, ("publication",))
    terms = Terms("PG", "cc-by-nc-4.0")
    refused("allows commercial use", made, terms=Terms("PG", "mit"), base=BASE)
    for rating in ("", *RATINGS[2:]):
        refused("is published as PG or PG-13", made, terms=Terms(rating, "cc-by-nc-4.0"), base=BASE)
    result = publish(made, "huggingface", terms=terms, base=BASE)
    assert result.pictures == ()
    assert not (Path(result.place) / "images").exists()
    text = (Path(result.place) / "README.md").read_text()
    assert "A real adult, who consented in writing to images, training, generation, publication" in text
    assert BY not in text
    refused("no drawn picture 'mine.png'", made, terms=terms, base=BASE, pictures=["mine.png"])
    name = sorted(drawn(made))[0]
    shown = publish(made, "huggingface", terms=terms, base=BASE, pictures=[name])
    assert shown.pictures == (name,)
    assert "picked by hand" in (Path(shown.place) / "README.md").read_text()
    assert export(made, to=A1111()).beside == ("zorblax.json",)
    assert not list(made.exports.glob("*/*.png"))


def test_the_name_of_who_consented_is_kept_out_of_all_that_strangers_read(project):
    add(project, [project.pictures], Stated(source=f"a photograph of {BY.upper()}"))
    made = real(project, ("publication", "commercial"))
    problem = refused("names the person who consented", made, terms=Terms("PG", "mit"), base=BASE)
    assert BY in problem.problem
    assert publish(told(made, name=BY), "huggingface", terms=Terms("PG", "mit"), base=BASE).place


def test_what_is_rated_for_adults_says_nothing_of_minors(project):
    made = told(project, noun="schoolgirl")
    export(made)
    for rating in RATINGS[2:]:
        refused(f"What is rated {rating}", made, "civitai", terms=Terms(rating=rating), base=XL)
    assert publish(made, "civitai", terms=Terms(rating="PG"), base=XL).rating == "PG"


def test_an_export_of_another_choice_none_and_consent_that_was_withdrawn_are_refused(project):
    choice = runs.find(project).choice
    before = choice.read_text()
    choice.write_text(before.replace("strength = 0.5", "strength = 0.7", 1))
    refused("is not what is chosen now", project, terms=FREE, base=BASE)
    choice.write_text(before)
    shutil.rmtree(project.exports)
    project.exports.mkdir()
    refused("has been exported", project, terms=FREE, base=BASE)
    made = real(project, ("publication",))
    provenance.append(made.ledger, "withdrawn", {"by": BY, "date": "2026-03-01", "sha256": made.facts.consent.sha256})
    refused("withdrawn their consent", made, terms=Terms("PG", "cc-by-nc-4.0"), base=BASE)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with taking() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


def test_a_push_is_private_until_a_person_says_public_and_holds_every_byte(chosen, hub):
    result = publish(chosen, "huggingface", terms=FREE, base=BASE, push="maker/zorblax")
    assert hub.private == {"maker/zorblax": True}
    assert result.visible == "to its owners"
    assert result.uploaded.startswith(f"{hub.url}/maker/zorblax/commit/")
    place = Path(result.place)
    here = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert hub.files["maker/zorblax"] == here
    assert b'load_lora_weights("maker/zorblax"' in here["README.md"]
    assert hub.token not in "".join(hub.asked)
    assert not any(hub.token.encode() in data for data in here.values())
    result = publish(chosen, "huggingface", terms=FREE, base=BASE, push="maker/shown", public=True)
    assert (hub.private["maker/shown"], result.visible) == (False, "to everybody")


def test_a_repository_that_everybody_sees_gets_nothing_unless_that_is_said(chosen, hub):
    hub.private["maker/seen"], hub.files["maker/seen"] = False, {}
    with pytest.raises(PortraitistError, match="Everybody can see maker/seen"):
        publish(chosen, "huggingface", terms=FREE, base=BASE, push="maker/seen")
    assert not hub.objects
    assert not hub.files["maker/seen"]
    assert (
        publish(chosen, "huggingface", terms=FREE, base=BASE, push="maker/seen", public=True).visible == "to everybody"
    )


def test_what_the_hub_refuses_is_told_in_a_line_and_the_package_stays(chosen, hub, monkeypatch):
    def pushed(says, repository="maker/zorblax"):
        with pytest.raises(PortraitistError, match=says) as caught:
            publish(chosen, "huggingface", terms=FREE, base=BASE, push=repository)
        assert "\n" not in caught.value.problem + caught.value.remedy
        assert hub.token not in str(caught.value)

    pushed("does not let this token write to other/zorblax", "other/zorblax")
    pushed("is no repository", "zorblax")
    pushed("an access token, not a repository", "hf_abcdefghijklmnopqrstuvwxyz/x")
    hub.refuses = 507, "storage quota exceeded"
    pushed("it answers 507")
    hub.refuses = None
    monkeypatch.setenv("HF_TOKEN", "hf_reads")
    pushed("does not let this token write", "maker/another")
    monkeypatch.delenv("HF_TOKEN")
    pushed("no access token")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    pushed("HF_HUB_OFFLINE forbids")
    assert (next(chosen.exports.iterdir()) / "huggingface" / "README.md").is_file()


def test_by_command_line(project, capsys):
    def obey(*words, verb="publish", code=0):
        with pytest.raises(SystemExit) as left:
            cli.main([verb, str(project.folder), *words, "--json"])
        said = capsys.readouterr()
        assert left.value.code == code, said
        return json.loads(said.out)

    made = obey("--to", "civitai", "--rating", "PG", "--base", XL)
    assert made["place"].endswith("zorblax-civitai.zip")
    assert obey("--to", "a1111", verb="export")["beside"] == ["zorblax.json", "zorblax.png"]
    picture = sorted(drawn(project))[1]
    made = obey("--to", "huggingface", "--licence", "mit", "--base", BASE, "--picture", picture)
    assert made["pictures"] == [picture]
    assert "go together" in obey("--to", "civitai", "--rating", "PG", "--sign", "a.pem", code=2)["problem"]
    assert "rated" in obey("--to", "civitai", code=2)["problem"]


def test_what_is_no_lora_that_others_can_load_is_refused(project):
    lock = runs.find(project).lock
    before = lock.read_text()
    for said, here, says in (
        ('family = "sdxl"', 'family = "mini"', "embedded base"),
        ('kind = "lora"', 'kind = "full"', "whole denoiser"),
    ):
        assert said in before
        lock.write_text(before.replace(said, here, 1))
        refused(says, project, terms=FREE, base=BASE)


def test_a_package_that_cannot_be_made_leaves_the_one_before(tmp_path):
    place = tmp_path / "huggingface"
    packages.folder(place, [Piece("a.txt", b"one"), Piece("old/b.txt", b"one")])
    with pytest.raises(PortraitistError):
        packages.folder(place, [Piece("a.txt", b"two"), Piece("gone", tmp_path / "gone")])
    assert {path.name: path.read_bytes() for path in place.rglob("*.txt")} == {"a.txt": b"one", "b.txt": b"one"}
    assert [path.name for path in tmp_path.iterdir()] == ["huggingface"]
    assert packages.folder(place, [Piece("a.txt", b"two")]) == [place / "a.txt"]
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {"a.txt": b"two"}
