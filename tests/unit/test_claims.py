"""What pictures say of themselves: by the real signing library, and by metadata as other programs write it."""

import io
import random
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from portraitist.dataset.claims import Claims, read
from tests.credentials import TRAINED, signed
from tests.pictures import scenery

PIXELS = scenery(1, 32, 32)

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def picture(kind, **how):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **how)
    return buffer.getvalue()


def with_xmp(kind, attributes="", elements=""):
    """A picture with an XMP packet, put there by Pillow; in PNG as the text chunk that the standard names."""
    packet = XMP.format(attributes=attributes, elements=elements)
    if kind == "TIFF":
        return picture(kind, tiffinfo={700: packet.encode()})
    if kind != "PNG":
        return picture(kind, xmp=packet.encode())
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", packet)
    return picture(kind, pnginfo=texts)


def vocabulary(word):
    return f'plus:DataMining="http://ns.useplus.org/ldf/vocab/{word}"'


KINDS = ("JPEG", "PNG", "WEBP", "TIFF")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("DMI-UNSPECIFIED", ""),
        ("DMI-ALLOWED", "allowed"),
        ("DMI-PROHIBITED", "refused"),
        ("DMI-PROHIBITED-AIMLTRAINING", "refused"),
        ("DMI-PROHIBITED-GENAIMLTRAINING", "refused"),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", "refused"),
        ("DMI-PROHIBITED-SEECONSTRAINT", "constrained"),
        ("DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR", "constrained"),
    ],
)
def test_each_value_of_plus_data_mining_is_understood_in_every_container(kind, word, means):
    assert read(with_xmp(kind, attributes=vocabulary(word))).training == means
    element = f"<plus:DataMining>http://ns.useplus.org/ldf/vocab/{word}</plus:DataMining>"
    found = read(with_xmp(kind, elements=element))
    assert found.training == means
    assert found.because == ((f"PLUS Data Mining: {word}",) if means else ())


@pytest.mark.parametrize("kind", KINDS)
def test_whose_it_is_and_how_it_was_made_is_kept(kind):
    elements = (
        "<dc:creator><rdf:Seq><rdf:li>Ana Éxample</rdf:li></rdf:Seq></dc:creator>"
        '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Ana, CC-BY</rdf:li></rdf:Alt></dc:rights>'
    )
    found = read(with_xmp(kind, f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"', elements))
    assert found == Claims(source_type="trainedAlgorithmicMedia", author="Ana Éxample", rights="(c) Ana, CC-BY")


def noai_pictures():
    exif = Image.Exif()
    exif[270] = "a fox; noai, noimageai"
    windows = Image.Exif()
    windows[40094] = "fox;NoAI".encode("utf-16-le")
    comment = Image.Exif()
    comment.get_ifd(34665)[37510] = b"ASCII\0\0\0noai"
    yield picture("JPEG", exif=exif)
    yield picture("WEBP", exif=exif)
    yield picture("PNG", exif=exif)
    yield picture("JPEG", exif=windows)
    yield picture("JPEG", exif=comment)
    yield picture("JPEG", comment=b"noimageai")
    for way, packed in (("add_text", False), ("add_text", True), ("add_itxt", False), ("add_itxt", True)):
        texts = PngImagePlugin.PngInfo()
        getattr(texts, way)("Comment", "please: noai", zip=packed)
        yield picture("PNG", pnginfo=texts)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("noai", "1")
    yield picture("PNG", pnginfo=texts)
    yield with_xmp("JPEG", elements="<dc:subject><rdf:Bag><rdf:li>noai</rdf:li></rdf:Bag></dc:subject>")
    whole = picture("PNG", pnginfo=texts)
    place = whole.index(b"tEXt") - 4
    chunk = whole[place : place + 12 + int.from_bytes(whole[place : place + 4], "big")]
    bare = whole.replace(chunk, b"")
    yield bare.replace(whole[-12:], chunk + whole[-12:])  # after the pixels, where Pillow reads it only with them


@pytest.mark.parametrize("data", list(noai_pictures()), ids=range(13))
def test_noai_is_found_wherever_programs_write_it(data):
    assert read(data).training == "refused"


def test_words_that_only_look_like_it_say_nothing():
    for text in ("noain, anoai, noai.example", "DMI-EXAMPLE", "no ai"):
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", text)
        assert read(picture("PNG", pnginfo=texts)) == Claims()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("entries", "means"),
    [
        ({"c2pa__ai_generative_training": "notAllowed"}, "refused"),
        ({"cawg__ai_training": "notAllowed"}, "refused"),
        ({"cawg__ai_generative_training": "constrained"}, "constrained"),
        ({"cawg__ai_generative_training": "allowed", "cawg__data_mining": "allowed"}, "allowed"),
        ({"cawg__ai_generative_training": "allowed", "cawg__ai_training": "notAllowed"}, "refused"),
        ({"cawg__data_mining": "notAllowed"}, "constrained"),
        ({"cawg__ai_inference": "notAllowed"}, ""),
        ({}, ""),
    ],
)
def test_signed_credentials_are_read(kind, entries, means):
    found = read(signed(PIXELS, kind, **entries))
    assert (found.training, found.manifest, found.source_type) == (means, "read", "digitalCapture")
    assert bool(found.because) == bool(means)


def test_credentials_are_gone_once_a_picture_is_saved_anew_so_they_are_read_before():
    data, buffer = signed(PIXELS, cawg__ai_training="notAllowed"), io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "JPEG")
    assert read(data).training == "refused"
    assert read(buffer.getvalue()) == Claims()


def test_what_was_changed_after_it_was_signed_is_told_and_its_refusal_stands():
    data = bytearray(signed(scenery(2, 64, 64), cawg__ai_training="notAllowed"))
    data[-200] ^= 1
    found = read(bytes(data))
    assert (found.manifest, found.training) == ("invalid", "refused")


def test_without_the_library_a_manifest_is_seen_and_said_to_be_unread(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert read(signed(PIXELS, cawg__ai_training="notAllowed")) == Claims(manifest="unread")
    assert read(picture("JPEG")) == Claims()


def test_facts_are_what_is_said_and_nothing_else():
    assert Claims().as_facts() == {}
    assert Claims("refused", ("a", "b")).as_facts() == {"training": "refused", "because": ["a", "b"]}


def test_hostile_metadata_says_nothing_and_ends():
    draw = random.Random(5)
    seeds = [
        signed(PIXELS, cawg__ai_training="notAllowed"),
        with_xmp("PNG", vocabulary("DMI-PROHIBITED")),
        *noai_pictures(),
    ]
    for _ in range(400):
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(1, 12)):
            place = draw.randrange(len(data))
            data[place : place + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        assert isinstance(read(bytes(data)), Claims)
    for piece in (b"<rdf:RDF", b"<dc:creator> <rdf:Seq> ", b"noai", b"jumdc2pa", b"\x89PNG\r\n\x1a\n\0\0\0\1tEXt"):
        read(piece * (2_000_000 // len(piece)))


def test_a_picture_that_says_nothing_says_nothing():
    for kind in KINDS:
        assert read(picture(kind)) == Claims()
    assert read(np.zeros(0, np.uint8).tobytes()) == Claims()
