"""Requests to a server that draws: JSON, forms with files, and pictures back, by the rules of `sight.endpoint`.

What may have been paid for is not sent twice: a request that ended without an answer is told, not repeated.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlunsplit

from portraitist.errors import PortraitistError
from portraitist.sight.endpoint import (
    LONGEST_PAUSE,
    Endpoint,
    EndpointError,
    NoRedirect,
    Passing,
    broken,
    nearby,
    tried,
)

BUSY = (429, 503)
"""Answers by which a server says that it has not begun: the same request may be sent again."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: bytes and their media type."""

    data: bytes
    kind: str


def of_json(value: Any) -> Body:
    """A JSON body."""
    return Body(json.dumps(value, ensure_ascii=False).encode(), "application/json")


def of_form(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> Body:
    """A form (multipart/form-data): fields by name; files by name, each a file name, bytes and media type."""
    edge = f"portraitist-{uuid.uuid4().hex}"
    start = f"--{edge}\r\nContent-Disposition: form-data; "
    parts = [f'{start}name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    for name, (file, data, kind) in files.items():
        parts.append(f'{start}name="{name}"; filename="{file}"\r\nContent-Type: {kind}\r\n\r\n'.encode())
        parts += [data, b"\r\n"]
    return Body(b"".join([*parts, f"--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}")


def ask(
    endpoint: Endpoint,
    path: str,
    body: Body | None = None,
    *,
    query: Mapping[str, str] | None = None,
    key_header: str = "",
) -> bytes:
    """The bytes that a server answers: to a GET, or with a body to a POST.

    key_header  the header that holds the bare key; "" sends it as a bearer's
    A GET is tried as often as the endpoint says; a POST again only where the server said that it was busy. Raises
    EndpointError when no try brought an answer.
    """
    address, key = endpoint.address(path), endpoint.key()
    if query:
        address = address._replace(query=urlencode(query))
    where = f"{address.scheme}://{address.netloc}"
    headers = {"User-Agent": "portraitist"} | ({"Content-Type": body.kind} if body else {})
    if key:
        headers |= {key_header: key} if key_header else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(urlunsplit(address), body.data if body else None, headers)
    handlers: list[Any] = [NoRedirect()]
    if nearby(address.hostname or "") == "here":
        handlers.append(urllib.request.ProxyHandler({}))
    for turn in range(1, endpoint.tries + 1):
        end = time.monotonic() + endpoint.timeout
        try:
            try:
                with urllib.request.build_opener(*handlers).open(request, timeout=endpoint.timeout) as response:
                    if body:  # what is sent may be large and the way slow: the time is that of the answer
                        end = time.monotonic() + endpoint.timeout
                    return endpoint.taken(response, end, where)
            except urllib.error.HTTPError as error:
                with error:
                    raise endpoint.refused(error, where, key) from error
            except (OSError, http.client.HTTPException) as error:
                raise broken(error, where, endpoint.timeout) from error
        except Passing as passing:
            begun = body is not None and passing.error.status not in BUSY
            if turn == endpoint.tries or begun:
                raise tried(passing.error, turn) from passing
            time.sleep(min(LONGEST_PAUSE, passing.wait or endpoint.pause * 2 ** (turn - 1)))
    raise PortraitistError(f"A server is tried {endpoint.tries} times", "Let it be tried once at least.")


def read_json(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises EndpointError for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        begin = " ".join(data[:120].decode("utf-8", "replace").split())
        raise EndpointError(
            f"{where} answered no JSON: {begin!r}", "Check that the address is the right one."
        ) from error
    if not isinstance(value, dict):
        raise EndpointError(f"{where} answered a JSON {type(value).__name__}, not an object", "Check the address.")
    return value
