"""Whatever JSON a server answers, it ends in what was asked for or in a clear line."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from portraitist.deploy import server as servers
from portraitist.deploy.graphs import facts
from portraitist.deploy.server import Server
from portraitist.errors import PortraitistError
from tests.comfy_scripted import NODES, WORKFLOW

WORDS = (
    "status", "status_str", "success", "error", "messages", "execution_error", "outputs", "images", "filename", "type",
    "output", "input", "required", "optional", "COMBO", "options", "text", "errors", "message", "node_errors", "t",
    "input_order", "min", "template", "prefix", "COMFY_AUTOGROW_V3", "INT", "output_name", "system",
)  # fmt: skip
KEYS = st.sampled_from([*WORDS, *NODES, *WORKFLOW])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | KEYS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


@given(OBJECTS)
def test_histories_queues_logs_and_pictures(value):
    class Answering(Server):
        """A server that answers this to everything."""

        def ask(self, path, body=None, query=None):
            return json.dumps(value).encode()

    server = Answering.at("http://127.0.0.1:9", patience=0.0)
    for asked in (
        lambda: servers.done(value),
        lambda: servers.done(value.get("status")),
        lambda: server.picture(value),
        lambda: server.queued({}, "x"),
        lambda: server.waiting("x"),
        lambda: server.upload("x", b"", "x"),
        server.largest,
        server.version,
        server.log,
        lambda: server.lost_keys([]),
        lambda: servers.complaint(value),
        lambda: servers.failure(value),
    ):
        with contextlib.suppress(PortraitistError):
            asked()


@given(st.dictionaries(st.sampled_from(list(NODES)), VALUES, min_size=len(NODES)))
def test_what_it_says_of_its_nodes(known):
    told = facts.Facts("", facts.read(known), "there")
    with contextlib.suppress(PortraitistError):
        facts.suited(WORKFLOW, told)
    assert all(isinstance(line, str) for line in facts.complaints(WORKFLOW, told))
    for node in told.nodes.values():
        assert all(isinstance(choice, str) for one in node.inputs for choice in one.choices)
        assert all(node.input(one.name) is not None for one in node.inputs)
