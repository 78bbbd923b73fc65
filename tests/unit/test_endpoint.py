"""What a service may do to a request, against a real one on this machine."""

import json
import time

import pytest

from portraitist.errors import PortraitistError
from portraitist.sight.endpoint import Endpoint, EndpointError, nearby
from tests.endpoints import Reply, serving

FINE = Reply(b'{"answer": 42}')


def at(url: str, **settings) -> Endpoint:
    return Endpoint(url, **{"timeout": 5.0, "tries": 3, "pause": 0.01, **settings})


def complaint(endpoint: Endpoint) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        endpoint.post("chat/completions", {})
    assert caught.value.remedy
    assert "\n" not in caught.value.problem
    return caught.value


def test_what_is_posted_arrives_and_the_answer_comes_back():
    with serving(FINE) as server:
        assert at(server.url + "/").post("/chat/completions", {"text": "ü"}) == {"answer": 42}
    assert server.asked == [{"text": "ü"}]
    assert server.paths == ["/v1/chat/completions"]
    assert "Authorization" not in server.headers[0]


def test_an_address_may_carry_a_query_as_some_services_want():
    with serving(FINE) as server:
        at(server.url + "?api-version=1").post("chat/completions", {})
    assert server.paths == ["/v1/chat/completions?api-version=1"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_overload_and_breakage_are_tried_again(status):
    with serving(Reply(b"busy", status), Reply(b"busy", status), FINE) as server:
        assert at(server.url).post("x", {}) == {"answer": 42}
    assert len(server.asked) == 3


def test_a_service_that_asks_to_wait_is_waited_for():
    with serving(Reply(b"", 429, headers={"Retry-After": "0.3"}), FINE) as server:
        began = time.monotonic()
        at(server.url).post("x", {})
    assert time.monotonic() - began >= 0.3


def test_after_the_last_try_the_complaint_says_how_many_there_were():
    body = json.dumps({"error": {"message": "model is loading", "type": "x"}}).encode()
    with serving(Reply(body, 503)) as server:
        error = complaint(at(server.url))
    assert "503: model is loading (3 tries)" in error.problem
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 302])
def test_what_will_not_change_is_not_asked_again(status):
    with serving(Reply(b"no", status, headers={"Location": "http://127.0.0.1:1/elsewhere"})) as server:
        assert complaint(at(server.url)).status == status
    assert len(server.asked) == 1


def test_a_key_comes_from_the_environment_and_is_never_shown(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with serving(FINE, Reply(b'{"error": "bad key sk-secret"}', 401)) as server:
        endpoint = at(server.url, key_variable="SOME_KEY")
        endpoint.post("x", {})
        assert server.headers[0]["Authorization"] == "Bearer sk-secret"
        error = complaint(endpoint)
    assert "sk-secret" not in str(error)
    assert "SOME_KEY" in error.remedy
    assert error.final


def test_a_key_that_is_not_set_or_would_go_unencrypted_is_refused(monkeypatch):
    with pytest.raises(PortraitistError, match="SOME_KEY is not set"):
        at("http://localhost:1/v1", key_variable="SOME_KEY").post("x", {})
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with pytest.raises(PortraitistError, match="unencrypted"):
        at("http://api.example.com/v1", key_variable="SOME_KEY").post("x", {})


@pytest.mark.parametrize(
    ("host", "place"),
    [("localhost", "here"), ("127.0.0.2", "here"), ("::1", "here"), ("192.168.1.5", "near"), ("gpu-box", "near"),
     ("8.8.8.8", ""), ("api.example.com", "")],
)  # fmt: skip
def test_what_is_near_is_told_from_the_internet(host, place):
    assert nearby(host) == place


def test_an_answer_that_does_not_come_or_only_drips_is_given_up_in_time():
    for slow in (Reply(after=2.0), Reply(b" " * 1000, drip=0.05)):
        with serving(slow) as server:
            error = complaint(at(server.url, timeout=0.3, tries=1))
        assert "0.3 s" in error.problem


def test_a_body_that_ends_early_is_tried_again():
    with serving(Reply(b'{"answer": 4}', promised=2), FINE) as server:
        assert at(server.url).post("x", {}) == {"answer": 42}


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"answer": 4', b"", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told_with_its_beginning(body):
    with serving(Reply(body)) as server:
        assert "no JSON" in complaint(at(server.url)).problem


def test_json_that_is_no_object_is_refused():
    with serving(Reply(b"[1]")) as server:
        assert "list" in complaint(at(server.url)).problem


def test_a_huge_answer_is_cut_off():
    with serving(Reply(b" " * (3 << 20))) as server:
        assert "more than 1 MB" in complaint(at(server.url, largest=1 << 20)).problem


def test_nobody_there_is_told_at_once():
    with serving(FINE) as server:
        url = server.url
    error = complaint(at(url, pause=30.0))
    assert error.final
    assert "Nothing answers" in error.problem


@pytest.mark.parametrize("url", ["", "localhost:11434", "ftp://x/v1", "http://", "http://[x", "http://a:b@host/v1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(PortraitistError, match="address"):
        at(url).post("x", {})


def test_a_server_on_this_machine_is_not_asked_through_a_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(FINE) as server:
        assert at(server.url).post("x", {}) == {"answer": 42}
