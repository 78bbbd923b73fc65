"""Hosted services that draw: OpenAI's image API and what speaks it, and Gemini's."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from portraitist.deploy.exchange import ask, of_form, of_json, read_json
from portraitist.sight.endpoint import Endpoint, EndpointError

Api = Literal["edits", "generations", "gemini"]


@dataclass(frozen=True, slots=True)
class Hosted:
    """A service, and how it is asked.

    api        edits: OpenAI's, with the reference; generations: OpenAI's, by words alone; gemini: generateContent
    reference  a PNG's bytes
    size       as the service knows sizes, such as 1024x1024; "" leaves it to the service
    """

    endpoint: Endpoint
    api: Api
    model_name: str
    reference: bytes
    size: str = ""

    @property
    def name(self) -> str:
        """As in the record."""
        return f"{self.api} {self.endpoint.url}"

    @property
    def model(self) -> str:
        """The name by which the service knows it: what stands behind it may change."""
        return self.model_name

    def prepare(self, prompts: list[str]) -> None:
        """See that the address is one and that there is a key, before anything is asked for."""
        self.endpoint.address("")
        self.endpoint.key()

    def draw(self, prompt: str, seed: int) -> bytes:
        """One picture's file; these services take no seed. Raises EndpointError where none comes."""
        if self.api == "gemini":
            return self.by_gemini(prompt)
        fields = {"model": self.model_name, "prompt": prompt, "n": "1"} | ({"size": self.size} if self.size else {})
        if self.api == "edits":
            body = of_form(fields, {"image": ("reference.png", self.reference, "image/png")})
        else:
            body = of_json(fields | {"n": 1})
        answer = read_json(ask(self.endpoint, f"images/{self.api}", body), self.endpoint.url)
        rows = answer.get("data")
        row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        if row.get("b64_json"):
            return decoded(row["b64_json"])
        if row.get("url"):
            return fetched(str(row["url"]), self.endpoint)
        raise EndpointError(f"{self.endpoint.url} answered without a picture: {str(answer)[:160]}", "Run again later.")

    def by_gemini(self, prompt: str) -> bytes:
        """One picture's file from a model's generateContent."""
        shown = {"inline_data": {"mime_type": "image/png", "data": base64.b64encode(self.reference).decode()}}
        asked = {
            "contents": [{"parts": [{"text": prompt}, shown]}],
            "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]},
        }
        path = f"models/{quote(self.model_name, safe='')}:generateContent"
        answer = read_json(ask(self.endpoint, path, of_json(asked), key_header="x-goog-api-key"), self.endpoint.url)
        words = ""
        for candidate in answer.get("candidates") or ():
            for part in (candidate.get("content") or {}).get("parts") or ():
                found = part.get("inlineData") or part.get("inline_data") or {}
                if found.get("data"):
                    return decoded(found["data"])
                words = words or str(part.get("text", ""))
            words = words or str(candidate.get("finishReason", ""))
        words = words or str((answer.get("promptFeedback") or {}).get("blockReason", "no reason given"))
        raise EndpointError(f"{self.endpoint.url} drew nothing: {words[:160]}", "Change what it complains of.")


def decoded(text: Any) -> bytes:
    """The bytes of base64. Raises EndpointError for what is none."""
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EndpointError("The service's picture is no base64", "Run again later.") from error


def fetched(url: str, endpoint: Endpoint) -> bytes:
    """The picture at an address that a service names: without the key, which is the service's alone.

    Raises EndpointError for an address that is neither encrypted nor the service's own.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.netloc != urlsplit(endpoint.url).netloc:
        raise EndpointError(f"{endpoint.url} names a picture at {parts.netloc or url[:40]}", "That is not fetched.")
    bare = Endpoint(f"{parts.scheme}://{parts.netloc}", "", endpoint.timeout, endpoint.tries, endpoint.pause)
    return ask(bare, parts.path, query=dict(parse_qsl(parts.query, keep_blank_values=True)))
