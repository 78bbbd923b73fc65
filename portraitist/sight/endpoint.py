"""A model behind HTTP: JSON posted to it, with retries, a deadline, a limit on the answer, and plain complaints.

By the standard library's urllib and not by httpx2, which is there only because huggingface_hub brings it: what is
needed is one POST at a time, and a client of our own keeps the rules that matter here: no redirect is followed (a
POST would turn into a GET, and the key would go to another host), the whole try has one deadline rather than each of
its reads, and no more than so many bytes are taken. A server on this machine is never asked through a proxy.
"""

import http.client
import ipaddress
import json
import os
import random
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from portraitist.errors import PortraitistError

PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Answers that a later try may not give again."""

LONGEST_PAUSE = 60.0
"""Seconds that are waited between two tries at most, whatever the server asks for."""

SHOWN = 200
"""Signs of a server's own complaint that are shown."""


class EndpointError(PortraitistError):
    """An endpoint that gave no usable answer.

    status  of HTTP, 0 where there was none (no connection, no answer in time)
    says    the server's own words, as far as there are any
    final   whether any other request would fare the same: nobody there, wrong key, wrong address, wrong model
    body    of a refusal, its first 64 KB
    """

    def __init__(
        self, problem: str, remedy: str, status: int = 0, says: str = "", *, final: bool = False, body: bytes = b""
    ) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.says = says
        self.body = body
        self.final = final or status in (401, 402, 403, 404, 405) or 300 <= status < 400


class Passing(Exception):  # noqa: N818 - no error yet: the next try may do
    """A try that failed in a way that the next one may not; `wait` is what the server asked for, in seconds."""

    def __init__(self, error: EndpointError, wait: float = 0.0) -> None:
        super().__init__(error.problem)
        self.error = error
        self.wait = wait


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer: whoever moved must be named anew by a person."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nowhere."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked.

    url           of the API, such as http://localhost:11434/v1
    key_variable  the environment variable that holds the key; "" sends none
    timeout       seconds of one try, from connecting to the last byte
    tries         how often a request is sent at most
    pause         seconds before the second try; doubled before each further one
    largest       bytes of an answer at most
    """

    url: str
    key_variable: str = ""
    timeout: float = 120.0
    tries: int = 4
    pause: float = 1.0
    largest: int = 64 << 20

    def post(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the endpoint answers to `payload` at `path`, such as "chat/completions".

        Overload, answers of 5xx, broken connections and damaged JSON are tried again. Raises EndpointError when no
        try did, and PortraitistError for an address that is none and a key that is not set.
        """
        address, key = self.address(path), self.key()
        body = json.dumps(payload).encode()
        for turn in range(1, self.tries + 1):
            try:
                return self.once(address, key, body)
            except Passing as passing:
                if turn == self.tries:
                    raise tried(passing.error, turn) from passing
                wait = passing.wait or self.pause * 2 ** (turn - 1) * random.uniform(1, 1.25)  # not all at once
                time.sleep(min(LONGEST_PAUSE, wait))
        raise PortraitistError(f"An endpoint is tried {self.tries} times", "Let it be tried once at least.")

    def once(self, address: SplitResult, key: str, body: bytes) -> dict[str, Any]:
        """One try. Raises Passing for what may pass, EndpointError for what will not."""
        where = f"{address.scheme}://{address.netloc}"
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "portraitist"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(urlunsplit(address), body, headers, method="POST")
        handlers: list[Any] = [NoRedirect()]
        if nearby(address.hostname or "") == "here":
            handlers.append(urllib.request.ProxyHandler({}))
        end = time.monotonic() + self.timeout
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=self.timeout) as response:
                data = self.taken(response, end, where)
        except urllib.error.HTTPError as error:
            with error:
                raise self.refused(error, where, key) from error
        except (OSError, http.client.HTTPException) as error:
            raise broken(error, where, self.timeout) from error
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            begin = " ".join(data[:SHOWN].decode("utf-8", "replace").split())
            raise Passing(
                EndpointError(
                    f"{where} answered no JSON: {begin!r}",
                    "Check that the address is that of an API; those of local servers end in /v1.",
                )
            ) from error
        if not isinstance(value, dict):
            raise EndpointError(
                f"{where} answered a JSON {type(value).__name__}, not an object", "Check the address of the API."
            )
        return value

    def taken(self, response: Any, end: float, where: str) -> bytes:
        """The bytes of an answer, until `end` (monotonic seconds) and no more than `largest`."""
        pieces, size = [], 0
        while piece := response.read1(1 << 16):
            size += len(piece)
            if size > self.largest:
                raise EndpointError(
                    f"{where} answered more than {self.largest >> 20} MB", "Check that this is the right service."
                )
            if time.monotonic() > end:
                raise TimeoutError
            pieces.append(piece)
        if response.length:  # read1 takes a connection that ended early for the end of the answer
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(pieces)

    def refused(self, error: urllib.error.HTTPError, where: str, key: str) -> Exception:
        """What an answer other than 2xx comes to, in the server's own words where it has any."""
        try:
            body = error.read(1 << 16)
        except (OSError, http.client.HTTPException):
            body = b""
        says = words(body)
        says = says.replace(key, "***") if key else says
        told = f"{where} answered {error.code}" + (f": {says}" if says else "")
        if error.code in (401, 403):
            holds = f"the key in {self.key_variable}" if self.key_variable else "whether it wants a key, and name the"
            remedy = f"Check {holds}." if self.key_variable else f"Check {holds} environment variable that holds it."
        elif error.code in (404, 405):
            remedy = "Check the address and the model's name; addresses of local servers end in /v1."
        elif 300 <= error.code < 400:
            told += f" (moved to {str(error.headers.get('Location', 'nowhere'))[:SHOWN]})"
            remedy = "Name the new address, if it is the right one."
        elif error.code == 413:
            remedy = "The picture is too large for this service: choose another."
        elif error.code in PASSING:
            remedy = "The service is overloaded or broken: run again later, with fewer requests at a time."
            return Passing(EndpointError(told, remedy, error.code, says), seconds(error.headers.get("Retry-After")))
        else:
            remedy = "Check what it complains of: the model's name and what that model can do."
        return EndpointError(told, remedy, error.code, says, body=body)

    def address(self, path: str) -> SplitResult:
        """The whole address of `path`. Raises PortraitistError for what is no address, and for one with a password."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise PortraitistError(
                f"{self.url!r} is no address of a service", "Write it whole, like http://localhost:11434/v1."
            )
        if parts.username or parts.password:
            raise PortraitistError(
                "The address of the service holds a password",
                "Put the key into an environment variable, and name that variable in the recipe.",
            )
        return parts._replace(path=f"{parts.path.rstrip('/')}/{path.lstrip('/')}", fragment="")

    def key(self) -> str:
        """The key from the environment, "" without one. Refuses to send it unencrypted through the internet."""
        if not self.key_variable:
            return ""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise PortraitistError(
                f"The environment variable {self.key_variable} is not set, and should hold the key of {self.url}",
                f"Set it: export {self.key_variable}=...",
            )
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not nearby(parts.hostname or ""):
            raise PortraitistError(
                f"The key in {self.key_variable} would go to {parts.hostname} unencrypted",
                "Write the address with https://.",
            )
        if not key.isascii() or not key.isprintable():
            raise PortraitistError(f"The key in {self.key_variable} holds signs that no key has", "Set it again.")
        return key


def nearby(host: str) -> str:
    """`here` for this machine, `near` for a host of the local network, "" for any other."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if host == "localhost" or host.endswith(".localhost"):
            return "here"
        return "near" if "." not in host or host.endswith((".local", ".lan", ".internal")) else ""
    return "here" if address.is_loopback else "near" if address.is_private else ""


def broken(error: Exception, where: str, timeout: float) -> Exception:
    """What a connection that failed comes to."""
    cause: Any = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        says, remedy = f"{where} gave no whole answer in {timeout:g} s", "Allow more time, or ask a faster model."
    elif isinstance(cause, ConnectionRefusedError):
        return EndpointError(f"Nothing answers at {where}", "Start the server, or correct the address.", final=True)
    elif isinstance(cause, socket.gaierror):
        return EndpointError(f"There is no host {where}", "Correct the address, or check the network.", final=True)
    elif isinstance(cause, ssl.SSLError):
        says = f"{where} cannot be trusted: {cause.reason or cause}"
        return EndpointError(says, "Check the address and its certificate.", final=True)
    else:
        says, remedy = f"{where} broke off: {type(cause).__name__}", "Run again; look at the server's log."
    return Passing(EndpointError(says, remedy))


def tried(error: EndpointError, times: int) -> EndpointError:
    """The complaint after the last try, with how many there were."""
    if times == 1:
        return error
    return EndpointError(f"{error.problem} ({times} tries)", error.remedy, error.status, error.says, body=error.body)


def words(body: bytes) -> str:
    """What a server says in the body of a refusal: the message in its JSON, else the text; one line, cut."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, list) and value:  # Gemini wraps its error so
        value = value[0]
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    line = " ".join(str(value).split())
    return line[:SHOWN] + ("..." if len(line) > SHOWN else "")


def seconds(header: str | None) -> float:
    """Seconds that a Retry-After header asks for; 0 where it names a date or nothing."""
    try:
        wait = float(header or 0)
    except ValueError:
        return 0.0
    return wait if 0 < wait < 1e6 else 0.0
