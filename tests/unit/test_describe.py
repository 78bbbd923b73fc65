"""Everything that vision endpoints have been seen to answer, from a real server on this machine."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from portraitist.dataset.taxonomy import KINDS
from portraitist.errors import PortraitistError
from portraitist.sight import describe
from portraitist.sight.answers import Answers
from portraitist.sight.describe import Describer, Description, read, schema, unthought
from portraitist.sight.endpoint import Endpoint
from tests.endpoints import Reply, chat, serving
from tests.pictures import scenery

GOOD = {
    "framing": ["close-up"], "view": "front view", "pose": [], "expression": ["smiling", "looking at viewer"],
    "lighting": ["soft light"], "clothing": ["red dress", "hat"], "hair": ["long hair"], "face": ["blue eyes"],
    "object": ["none"], "background": "forest", "style": [], "text": "n/a", "age": "adult",
    "nudity": "none",
}  # fmt: skip
TEXT = json.dumps(GOOD)
PIXELS = scenery(1, 80, 40)


def asked(*replies, tokens=256, tries=1):
    """The description that comes of a server's replies, and the server."""
    with serving(*replies) as server:
        model = Describer(Endpoint(server.url, timeout=3.0, tries=tries, pause=0.01), "looker", "a robot", tokens)
        try:
            return model.describe(PIXELS), server, model
        except PortraitistError as error:
            return error, server, model


def test_the_picture_and_the_question_arrive_as_openais_protocol_has_them():
    found, server, model = asked(chat(TEXT))
    assert found.clothing == ("red dress", "hat")
    (sent,) = server.asked
    assert server.paths == ["/v1/chat/completions"]
    assert sent["model"] == "looker"
    text, image = sent["messages"][0]["content"]
    assert "a robot" in text["text"]
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    arrived = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), np.float32)
    assert np.abs(arrived - PIXELS).mean() < 8
    assert sent["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    assert (model.usage.asked, model.usage.answered, model.usage.untold) == (1000, 100, 0)
    assert model.usage.cost(2.0, 10.0) == pytest.approx(0.003)


def test_large_pictures_are_sent_smaller_with_their_aspect():
    url = describe.data_url(np.zeros((3000, 1500, 3), np.uint8))
    assert Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size == (512, 1024)


def test_the_fields_are_the_kinds_of_captions():
    assert describe.PHRASES == KINDS
    assert set(schema()["required"]) == set(Description.model_fields) == set(describe.MEANS)


@pytest.mark.parametrize(
    "text",
    [TEXT, f"```json\n{TEXT}\n```", f"Here it is: {TEXT} I hope this helps {{}}!", f"<think>hm {{}}</think>\n{TEXT}",
     f"hm</think>{TEXT}", json.dumps({"picture": GOOD}), json.dumps({k.title(): v for k, v in GOOD.items()}),
     "**Framing:** close-up\n- View: front view\n* clothing: red dress, hat\n5. Background: forest"],
)  # fmt: skip
def test_what_can_be_read_is_read(text):
    found, _, _ = asked(chat(text))
    assert found.framing == ("close-up",)
    assert found.clothing == ("red dress", "hat")
    assert found.background == ("forest",)
    assert found.object == ()


def test_text_in_parts_is_read():
    reply = chat(None)
    body = json.loads(reply.body)
    body["choices"][0]["message"]["content"] = [{"type": "text", "text": TEXT}]
    assert asked(replace(reply, body=json.dumps(body).encode()))[0].view == ("front view",)


def test_a_reasoning_model_that_runs_out_is_granted_more_once():
    found, server, _ = asked(chat("", "length", reasoning="hm, let me see"), chat(TEXT))
    assert found.framing == ("close-up",)
    assert [one["max_tokens"] for one in server.asked] == [256, 1024]


@pytest.mark.parametrize("half", ["", "<think>hm, hm", TEXT[:60]])
def test_one_that_runs_out_again_is_told_so_and_says_nothing(half):
    error, server, _ = asked(chat(half, "length", reasoning="hm"))
    assert "used up 1024 tokens" in error.problem
    assert "captioning.endpoint.tokens" in error.remedy
    assert len(server.asked) == 2


def test_an_answer_among_the_thoughts_is_found():
    assert asked(chat("", reasoning_content=f"I shall answer {TEXT}"))[0].view == ("front view",)


@pytest.mark.parametrize(
    "reply",
    [chat("I'm sorry, but I can't help with that."), chat("I cannot describe people."), chat(None, refusal="no"),
     chat(None, "content_filter")],
)  # fmt: skip
def test_a_refusal_is_told_as_one(reply):
    assert "refused" in asked(reply)[0].problem


@pytest.mark.parametrize(
    "text", ["", "a a a a a a a", "{}", '{"framing": ["' + "very " * 99 + '"]}', '{"mood": 1}', "[1, 2]", "[" * 9999]
)
def test_nonsense_is_asked_again_in_plainer_words_and_then_told(text):
    error, server, _ = asked(chat(text))
    assert isinstance(error, PortraitistError)
    assert "answered" in error.problem
    assert len(server.asked) == 2
    words = server.asked[1]["messages"][0]["content"][0]["text"]
    assert ("could not be read" in words) == bool(text)


def test_nonsense_once_does_no_harm():
    assert asked(chat("la la la"), chat(TEXT))[0].framing == ("close-up",)


@pytest.mark.parametrize(
    ("complaint", "gone"),
    [("response_format is not supported", "response_format"), ("grammar: json schema too deep", "response_format"),
     ("temperature must be 1 for this model", "temperature"),
     ("Use max_completion_tokens instead of max_tokens", "max_tokens")],
)  # fmt: skip
def test_what_an_endpoint_does_not_understand_is_left_out_from_then_on(complaint, gone):
    refusal = Reply(json.dumps({"error": {"message": complaint}}).encode(), 400)
    found, server, model = asked(refusal, chat(TEXT))
    assert found.framing == ("close-up",)
    assert gone in server.asked[0]
    assert gone not in server.asked[1]
    assert model.without == {gone}
    assert ("max_completion_tokens" in server.asked[1]) == (gone == "max_tokens")


def test_another_complaint_is_a_persons():
    error, server, _ = asked(Reply(b'{"error": {"message": "model not loaded"}}', 400))
    assert "model not loaded" in error.problem
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b'{"choices": "x"}'])
def test_an_answer_without_a_message_is_told(body):
    assert "no message" in asked(Reply(body))[0].problem


@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(TEXT.encode()[:50]), Reply(b"{}", promised=9), Reply(after=5.0)]
)
def test_what_the_endpoint_does_wrong_is_an_error_of_this_picture(reply):
    with serving(reply) as server:
        model = Describer(Endpoint(server.url, timeout=0.3, tries=2, pause=0.01), "looker", "a robot")
        with pytest.raises(PortraitistError):
            model.describe(PIXELS)


def test_answers_that_tell_no_usage_are_counted_as_such():
    body = json.loads(chat(TEXT).body)
    del body["usage"]
    _, _, model = asked(Reply(json.dumps(body).encode()))
    assert model.usage.untold == 1


@given(text=st.text(max_size=300))
def test_any_text_is_read_without_a_crash(text):
    found = read(unthought(text))
    assert found is None or found.values()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(st.sampled_from(sorted(describe.MEANS)), json_values, max_size=8))
def test_any_json_in_the_fields_is_held_to_them(value):
    found = read(json.dumps(value))
    if found is not None:
        assert all(text and len(text) <= describe.LONGEST for _, text in found.values())
        assert found.age in ("adult", "teenager", "child", "unclear")


def test_an_answer_is_kept_by_picture_model_and_question(tmp_path):
    kept = Answers(tmp_path, ("looker", "question"))
    assert kept.known("picture") is None
    kept.keep("picture", {"a": 1})
    assert kept.known("picture") == {"a": 1}
    assert Answers(tmp_path, ("looker", "another question")).known("picture") is None
    assert Answers(tmp_path, ("another", "question")).known("picture") is None
    assert kept.known("another") is None
    for damage in (b"", b"{", b"[]", b'{"format": 2, "answer": {}}', b'{"format": 1}', b"\xff"):
        kept.path("picture").write_bytes(damage)
        assert kept.known("picture") is None


def test_another_noun_is_another_question():
    model = Describer(Endpoint("http://localhost/v1"), "looker", "a robot")
    assert model.question != replace(model, noun="a fox").question


@pytest.mark.parametrize(
    ("said", "age"),
    [("teen", "teenager"), ("Teenage girl", "teenager"), ("kid", "child"), ("toddler", "child"), (None, "unclear"),
     ("not an adult, a child", "child"), ("young adult", "adult")],
)  # fmt: skip
def test_the_youngest_age_that_is_said_counts(said, age):
    assert describe.Description(age=said).age == age
