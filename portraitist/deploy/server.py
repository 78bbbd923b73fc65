"""A running ComfyUI: what it has, what is put there, a graph drawn to its end, and what its log says.

A job is watched by asking after it, and not over the server's websocket: see docs/decisions/024-a-server-is-asked.md.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from portraitist.deploy import exchange
from portraitist.deploy.exchange import Body, of_form, of_json, read_json
from portraitist.errors import Interrupted
from portraitist.sight.endpoint import Endpoint, EndpointError
from portraitist.stopping import Stop, never

POLL = 0.2
"""Seconds between two looks at a job; a stop is asked for as often."""

ANSWER = 15.0
"""Seconds for one answer, of which up to three are asked for."""

UNSEEN = 3
"""Looks in a row at which a job may be neither in the queue nor whole in the history: it goes from one to the other."""

LOST_KEY = re.compile(r"lora key not loaded: (\S+)")

Graph = dict[str, dict[str, Any]]
"""A graph in API format: nodes by id, each with class_type, inputs and most often _meta."""

Outputs = dict[str, Any]


@dataclass(slots=True)
class Server:
    """A ComfyUI and how patiently it is asked.

    endpoint  its address; timeout: seconds of one answer
    patience  seconds for one picture, waiting in the queue included
    absence   seconds for which a server may be gone, or answer nonsense, while a job is watched
    stop      asked while waiting: the job is taken back, and Interrupted raised
    """

    endpoint: Endpoint
    patience: float = 900.0
    absence: float = 30.0
    stop: Stop = never
    client: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def at(cls, url: str, key_variable: str = "", patience: float = 900.0, stop: Stop = never) -> "Server":
        """The one at an address, asked so that none of its silences lasts longer than a minute."""
        return cls(Endpoint(url, key_variable, timeout=ANSWER, tries=3, pause=0.5), patience, stop=stop)

    @property
    def url(self) -> str:
        """Its address."""
        return self.endpoint.url

    def ask(self, path: str, body: Body | None = None, query: Mapping[str, str] | None = None) -> bytes:
        """The bytes that it answers. Raises EndpointError, in words that fit a ComfyUI."""
        try:
            return exchange.ask(self.endpoint, path, body, query=query)
        except EndpointError as error:
            raise self.told(error, path) from error

    def told(self, error: EndpointError, path: str) -> EndpointError:
        """A refusal with the remedy that fits: those of the endpoint are for models behind an API."""
        address = "Give the address that the ComfyUI has in the browser, such as http://127.0.0.1:8188."
        there = path.partition("/")[0] in ("object_info", "upload", "prompt")
        remedies = {
            401: "It wants a key: name the environment variable that holds it.",
            403: "Something before the ComfyUI forbids it: allow this machine there, or name the key it wants.",
            404: address if there else "Run again; look at the server's log.",
            405: address,
            413: "Start the ComfyUI with a larger --max-upload-size.",
        }
        remedy = remedies.get(error.status, error.remedy)
        if not error.status and "no whole answer" in error.problem:
            remedy = "See whether the ComfyUI is stuck; the same command goes on from there."
        asked = f" (asked for /{path.partition('?')[0]})" if error.status in remedies else ""
        return EndpointError(
            error.problem + asked, remedy, error.status, error.says, final=error.final, body=error.body
        )

    def json(self, path: str, body: Body | None = None) -> dict[str, Any]:
        """The JSON object that it answers. Raises EndpointError for anything else."""
        return read_json(self.ask(path, body), self.url)

    def once(self, most: float = ANSWER) -> "Server":
        """The same, asked but once for each thing, and not longer than so many seconds."""
        return replace(self, endpoint=replace(self.endpoint, tries=1, timeout=min(most, self.endpoint.timeout)))

    def version(self) -> str:
        """Of its ComfyUI; "" where it does not say."""
        try:
            told = self.once().json("system_stats")
        except EndpointError:
            return ""
        return str(table(told.get("system")).get("comfyui_version") or "")

    def nodes(self, name: str = "") -> dict[str, Any]:
        """What it says of its nodes, by class: all, or one."""
        return self.json(f"object_info/{name}" if name else "object_info")

    def upload(self, name: str, data: bytes, kind: str, folder: str = "input", below: str = "") -> str:
        """Put a file into the server's folder `input` or `output`, over one of its name; returns its name there."""
        fields = {"type": folder, "subfolder": below, "overwrite": "true"}
        got = self.json("upload/image", of_form(fields, {"image": (name, data, kind)}))
        stored, where = str(got.get("name") or ""), str(got.get("subfolder") or "")
        if not stored:
            raise EndpointError(f"The ComfyUI at {self.url} does not say where it put {name}", "Look at its log.")
        return f"{where}/{stored}" if where and folder == "input" else stored

    def largest(self) -> int:
        """Bytes of the largest upload that it takes; 0 where it does not say."""
        try:
            found = self.once().json("features").get("max_upload_size", 0)
        except EndpointError:  # an older one has no such page
            return 0
        return found if isinstance(found, int) and not isinstance(found, bool) else 0

    def run(self, graph: Graph) -> Outputs:
        """Have a graph executed; returns the outputs of its nodes.

        Raises EndpointError for a graph that is refused, a job that fails, a server that is lost or too slow, and
        Interrupted when a stop is asked for: the job is then taken out of the queue, or interrupted.
        """
        job = str(uuid.uuid4())
        try:
            job = self.queued(graph, job)
            return self.finished(job)
        except BaseException:
            self.cancel(job)
            raise

    def queued(self, graph: Graph, job: str) -> str:
        """Queue a graph; returns the name that the server gives the job, which is ours unless it is an older one."""
        body = of_json({"prompt": graph, "client_id": self.client, "prompt_id": job})
        try:
            answer = self.json("prompt", body)
        except EndpointError as error:
            if error.status == 400:
                raise refused(error) from error
            if error.status or error.final or not self.known(job):
                raise
            return job  # the connection broke after the job had come through
        if answer.get("node_errors"):
            raise EndpointError(
                f"ComfyUI refuses the workflow: {complaint(answer['node_errors'])}",
                "Open it in ComfyUI and run it there.",
            )
        if not answer.get("prompt_id"):
            raise EndpointError(
                f"The ComfyUI at {self.url} gives the job no name", "Is it a ComfyUI? Check the address."
            )
        return str(answer["prompt_id"])

    def known(self, job: str) -> bool:
        """Whether the server has a job, waiting, running or done."""
        brief = self.once(5.0)
        try:
            return bool(brief.waiting(job) or job in brief.json(f"history/{job}"))
        except EndpointError:
            return False

    def waiting(self, job: str) -> str:
        """`queue_running` or `queue_pending`, where a job is; "" where it is in neither."""
        queue = self.json("queue")
        for part in ("queue_running", "queue_pending"):
            rows = queue.get(part)
            if any(isinstance(row, list) and job in row[:2] for row in (rows if isinstance(rows, list) else ())):
                return part
        return ""

    def finished(self, job: str) -> Outputs:
        """The outputs of a job, once it is done."""
        end, unseen, seen = time.monotonic() + self.patience, 0, time.monotonic()
        while time.monotonic() < end:
            self.heed()
            try:
                entry, queued = self.look(job)
            except EndpointError as error:
                if error.status in (401, 402, 403, 404, 405):
                    raise
                if time.monotonic() - seen > self.absence:
                    raise EndpointError(
                        f"{error.problem}; the ComfyUI has been lost for {self.absence:g} s",
                        "Start it again, then run this again: it goes on from there.",
                    ) from error
            else:
                if (outputs := done(entry)) is not None:
                    return outputs
                unseen, seen = 0 if queued else unseen + 1, time.monotonic()
                if unseen > UNSEEN:
                    says = "no longer knows the job" if entry is None else "tells of the job by halves"
                    raise EndpointError(f"The ComfyUI at {self.url} {says}", "Was it started anew? Run again.")
            time.sleep(POLL)
        raise EndpointError(
            f"ComfyUI drew nothing in {self.patience:g} s", "Allow more time, or look at what the server does."
        )

    def look(self, job: str) -> tuple[Any, bool]:
        """A job's entry in the history, None without one, and whether it is still queued; asked for once."""
        once = self.once()
        entry = once.json(f"history/{job}").get(job)
        return entry, entry is None and bool(once.waiting(job))

    def heed(self) -> None:
        """Leave when a stop is asked for."""
        if self.stop():
            raise Interrupted("Stopped while ComfyUI was drawing; the same command goes on from there.")

    def cancel(self, job: str) -> None:
        """Take a job back: out of the queue, or interrupted where it is the one that runs; a lost server has none."""
        brief = self.once(5.0)
        with suppress(EndpointError):
            where = brief.waiting(job)
            if where == "queue_pending":
                brief.ask("queue", of_json({"delete": [job]}))
                where = brief.waiting(job)  # it may have begun meanwhile
            if where == "queue_running":  # only then: an older ComfyUI interrupts whatever runs
                brief.ask("interrupt", of_json({"prompt_id": job}))

    def picture(self, outputs: Outputs) -> bytes:
        """The file of the first picture among a job's outputs, one that was saved before one that was only shown."""
        images = [row for node in outputs.values() for row in rows(table(node).get("images"))]
        kept = [image for image in images if image.get("type") == "output"] or images
        if not kept:
            raise EndpointError("The workflow saves no picture", "End it in a SaveImage node.")
        return self.ask("view", query={name: str(kept[0].get(name, "")) for name in ("filename", "subfolder", "type")})

    def log(self) -> list[tuple[str, str]] | None:
        """When and what, of the newest entries of its log; None where it does not show them."""
        try:
            entries = self.once().json("internal/logs/raw").get("entries")
        except EndpointError:
            return None
        if not isinstance(entries, list):
            return None
        return [(str(entry.get("t", "")), str(entry.get("m", ""))) for entry in rows(entries)]

    def lost_keys(self, since: list[tuple[str, str]] | None) -> list[str] | None:
        """Keys of LoRAs that its log calls not loaded since then; None where the log cannot tell."""
        now = self.log()
        if since is None or now is None:
            return None
        last = since[-1][0] if since else ""
        return [key for at, says in now if at > last for key in LOST_KEY.findall(says)]


def done(entry: Any) -> Outputs | None:
    """The outputs of a job's entry in the history; None where that is not whole yet.

    Raises EndpointError for a job that failed.
    """
    status, outputs = (table(entry).get(name) for name in ("status", "outputs"))
    word = table(status).get("status_str")
    if word == "error":
        why = failure(table(status))
        remedy = "Look at the server's log." if why != STOPPED else "The same command goes on from there."
        raise EndpointError(f"ComfyUI could not draw: {why}", remedy)
    if not isinstance(outputs, dict):
        return None
    if word == "success":
        return outputs
    # the oldest servers have no status, and an entry that is being written has none yet
    return outputs if word is None and any(rows(table(node).get("images")) for node in outputs.values()) else None


def table(value: Any) -> dict[str, Any]:
    """An object of an answer, where there is one; else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[dict[str, Any]]:
    """The objects in a list of an answer, where there are any."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


STOPPED = "someone stopped it at the server"


def failure(status: Mapping[str, Any]) -> str:
    """Why a job failed, by the messages in its history."""
    messages = status.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, list) and len(message) == 2:
            kind, facts = message[0], table(message[1])
            if kind == "execution_error":
                return f"{facts.get('node_type', '')}: {facts.get('exception_message', '')}".strip()[:200]
            if kind == "execution_interrupted":
                return STOPPED
    return "no reason given"


def complaint(errors: Any) -> str:
    """The first of a graph's errors in words."""
    for node, error in table(errors).items():
        for one in rows(table(error).get("errors")):
            what = f"{one.get('message', '')} {one.get('details', '')}"
            return f"node {node} ({error.get('class_type', '')}): {what}"[:200]
    return str(errors)[:200]


def refused(error: EndpointError) -> EndpointError:
    """What a graph that is answered by 400 comes to, in words of the first node that is at fault."""
    try:
        says = complaint(json.loads(error.body)["node_errors"])
    except (ValueError, RecursionError, KeyError, TypeError):
        says = ""
    says = says if says not in ("", "{}") else error.says or error.problem
    return EndpointError(f"ComfyUI refuses the workflow: {says}", "Open it in ComfyUI and run it there.", 400)
