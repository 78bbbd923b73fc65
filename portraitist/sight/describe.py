"""What a vision-language model says of a picture, in fields, over any endpoint that speaks OpenAI's protocol.

Fields rather than a text: a caption is then put together here, in any style, and what names the character is left
out by its kind. Whatever comes back is held to the fields; what cannot be is an error of that one picture.
"""

import base64
import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from portraitist.errors import PortraitistError
from portraitist.pictures import fit, resize
from portraitist.sight.endpoint import Endpoint, EndpointError

LONGEST_SIDE = 1024
"""Pixels of the longer side that is sent: what these models look at, and a bound on what it costs."""

LONGEST, MOST = 120, 12
"""Signs of one phrase, and phrases of one field, that are taken: more is a model that runs on."""

AGAIN = 4
"""Times as many tokens are granted where an answer ran out of them."""

TOKENS_ASKED, TOKENS_ANSWERED = 1700, 220
"""Tokens that one picture costs, about, before any answer has told: a picture of 1024 x 1024 and the question."""

NOTHING = re.compile(
    r"(none|no|n/?a|null|nil|unknown|unclear|empty|not (?:visible|applicable|specified|shown)|undefined|[-.\s]*)",
    re.IGNORECASE,
)


AGES = {
    "child": ("child", "kid", "toddler", "infant", "baby"),
    "teenager": ("teen", "adolescent"),
    "adult": ("adult",),
}
NUDITY = {"full": ("full",), "partial": ("partial",)}
"""Words that models answer where they do not keep to those they were asked for; looked for in this order."""


class Description(BaseModel):
    """A picture in fields: phrases by kind, and what is never captioned but looked at.

    text  that can be read in the picture
    age   of the main figure as it looks, and nudity of anybody: for the screen against sexualised minors alone
    """

    model_config = ConfigDict(extra="ignore")
    framing: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    pose: tuple[str, ...] = ()
    expression: tuple[str, ...] = ()
    lighting: tuple[str, ...] = ()
    clothing: tuple[str, ...] = ()
    hair: tuple[str, ...] = ()
    face: tuple[str, ...] = ()
    object: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    text: str = ""
    age: Literal["adult", "teenager", "child", "unclear"] = "unclear"
    nudity: Literal["none", "partial", "full"] = "none"

    @field_validator(
        "framing", "view", "pose", "expression", "lighting", "clothing", "hair", "face", "object", "background",
        "style", mode="before",
    )  # fmt: skip
    @classmethod
    def phrases(cls, value: Any) -> tuple[str, ...]:
        """A text or a list of texts as phrases; what says that nothing is there, and what runs on, is left out."""
        if isinstance(value, Mapping):
            value = list(value.values())
        texts = value if isinstance(value, list | tuple) else [value]
        found = [" ".join(one.split()) for one in texts if isinstance(one, str)]
        return tuple(one for one in found if one and len(one) <= LONGEST and not NOTHING.fullmatch(one))[:MOST]

    @field_validator("text", mode="before")
    @classmethod
    def one_text(cls, value: Any) -> str:
        """Text, or nothing."""
        return value[:LONGEST] if isinstance(value, str) and not NOTHING.fullmatch(value) else ""

    @field_validator("age", "nudity", mode="before")
    @classmethod
    def a_word(cls, value: Any, info: Any) -> str:
        """One of the words, the youngest age and the most nudity that is said; of none the one that says least."""
        known, none = (AGES, "unclear") if info.field_name == "age" else (NUDITY, "none")
        low = str(value).lower()
        return next((name for name, words in known.items() if any(word in low for word in words)), none)

    def values(self) -> list[tuple[str, str]]:
        """Pairs of kind and phrase, in the order of the fields."""
        return [(name, text) for name in PHRASES for text in getattr(self, name)]


PHRASES = tuple(name for name, info in Description.model_fields.items() if info.annotation == tuple[str, ...])

MEANS = {
    "framing": "close-up, upper body, cowboy shot, full body or wide shot",
    "view": "from which side and height: front view, side view, back view, from above, ...",
    "pose": "what the body does: standing, sitting on a chair, arms crossed, ...",
    "expression": "expression and gaze: smiling, looking at viewer, closed eyes, ...",
    "lighting": "soft light, window light, backlit, neon light, ...",
    "clothing": "each garment and accessory with its colour: red dress, straw hat, ...",
    "hair": "hair style and makeup",
    "face": "features of the face and body",
    "object": "what the figure does with things: holding a cup, ...",
    "background": "where it is, and what is behind: forest, plain gray background, ...",
    "style": "photograph, watercolor, film grain, shallow depth of field, ... only where it is unusual",
    "text": "words that can be read in the picture",
    "age": "how old the main figure looks: adult, teenager, child or unclear",
    "nudity": "none, partial or full",
}

QUESTION = (
    "Describe this picture in short phrases for a training caption. The main figure is {noun}.\n"
    "Answer with one JSON object and nothing else. Its fields:\n"
    + "\n".join(f"- {name}: {means}" for name, means in MEANS.items())
    + "\nUse a list of phrases for each of: " + ", ".join(PHRASES) + ". A phrase has one to five words, in small"
    " letters, no sentence. Say only what can be seen; leave a field empty where nothing can. Do not guess who it is,"
    " do not judge beauty or quality, and do not say that this is a picture."
)  # fmt: skip

PLAINER = "\nYour last answer could not be read. Answer with the JSON object alone."

REFUSALS = re.compile(
    r"\b(?:i(?:.m| am) (?:sorry|unable|not able)|i (?:can.t|cannot|won.t|will not)|"
    r"unable to (?:assist|help|comply|describe|process)|as an ai|against (?:my|our) (?:policy|guidelines)|"
    r"content policy)\b",
    re.IGNORECASE,
)


def schema() -> dict[str, Any]:
    """The fields as JSON schema, in the strict form that structured output asks for."""
    fields: dict[str, Any] = {name: {"type": "array", "items": {"type": "string"}} for name in PHRASES}
    fields |= {"text": {"type": "string"}}
    fields |= {
        "age": {"type": "string", "enum": ["adult", "teenager", "child", "unclear"]},
        "nudity": {"type": "string", "enum": ["none", "partial", "full"]},
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


@dataclass(slots=True)
class Usage:
    """Tokens that were asked and answered, by what the answers say, and answers that do not say."""

    asked: int = 0
    answered: int = 0
    untold: int = 0

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer."""
        said = answer.get("usage")
        told = said if isinstance(said, dict) else {}
        asked, answered = told.get("prompt_tokens"), told.get("completion_tokens")
        if isinstance(asked, int) and isinstance(answered, int) and asked >= 0 and answered >= 0:
            self.asked, self.answered = self.asked + asked, self.answered + answered
        else:
            self.untold += 1

    def cost(self, price_in: float, price_out: float) -> float:
        """What that comes to, at prices of a million tokens."""
        return (self.asked * price_in + self.answered * price_out) / 1e6


@dataclass(slots=True)
class Describer:
    """A model that can be asked. What the endpoint does not understand is left out from then on.

    noun     what the main figure is, in plain words
    tokens   of an answer at most
    without  parameters that the endpoint has refused
    """

    endpoint: Endpoint
    model: str
    noun: str
    tokens: int = 1024
    usage: Usage = field(default_factory=Usage)
    without: set[str] = field(default_factory=set)
    lock: Any = field(default_factory=threading.Lock)

    @property
    def question(self) -> str:
        """SHA-256 of all that is asked about a picture."""
        return hashlib.sha256(json.dumps([QUESTION.format(noun=self.noun), schema(), 1]).encode()).hexdigest()

    def describe(self, pixels: np.ndarray) -> Description:
        """What the model says of a picture (H, W, 3) uint8.

        Raises PortraitistError, with the model's own words as far as there are any, for a refusal, for an answer
        that is empty or no use at the second time of asking too, and for an endpoint that does not answer.
        """
        url, tokens, hint = data_url(pixels), self.tokens, ""
        for turn in (1, 2):
            message, finish = self.ask(url, tokens, hint)
            text = unthought(content(message))
            if refused := message.get("refusal") or (finish == "content_filter" and "it was filtered"):
                raise unwilling(str(refused))
            found = read(text) or (read(thoughts(message)) if not text else None)
            if found is not None and (finish != "length" or turn == 2):
                return found
            if turn == 1:
                tokens, hint = (tokens * AGAIN, "") if finish == "length" else (tokens, PLAINER if text else "")
        if finish == "length":
            spent = "on thoughts, and answered nothing" if not text else "and its answer was not at an end"
            raise PortraitistError(
                f"{self.model} used up {tokens} tokens {spent}",
                "Raise captioning.endpoint.tokens, or ask a model that does not reason first.",
            )
        if REFUSALS.search(text):
            raise unwilling(text)
        says = f"what cannot be used: {' '.join(text.split())[:100]!r}" if text else "nothing"
        raise PortraitistError(f"{self.model} answered {says}", "Caption this picture by hand, or ask another model.")

    def ask(self, url: str, tokens: int, hint: str) -> tuple[dict[str, Any], str]:
        """One question about a picture: the message that comes back, and why it ended."""
        while True:
            payload = self.payload(url, tokens, hint)
            try:
                answer = self.endpoint.post("chat/completions", payload)
            except EndpointError as error:
                if error.status in (400, 422) and (known := not_understood(error.says, payload)):
                    self.without.add(known)
                    continue
                raise
            with self.lock:
                self.usage.add(answer)
            choices = answer.get("choices")
            first = choices[0] if isinstance(choices, list) and choices else None
            if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
                says = answer.get("error") or answer
                raise PortraitistError(
                    f"{self.endpoint.url} answered no message: {json.dumps(says)[:120]}",
                    "Check that the address is of an API like OpenAI's.",
                )
            return first["message"], str(first.get("finish_reason"))

    def payload(self, url: str, tokens: int, hint: str) -> dict[str, Any]:
        """The request about one picture, without what the endpoint has refused."""
        asked = [{"type": "text", "text": QUESTION.format(noun=self.noun) + hint},
                 {"type": "image_url", "image_url": {"url": url}}]  # fmt: skip
        wanted = {"name": "picture", "strict": True, "schema": schema()}
        limit = "max_completion_tokens" if "max_tokens" in self.without else "max_tokens"
        given: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": asked}],
            "temperature": 0,
            limit: tokens,
            "response_format": {"type": "json_schema", "json_schema": wanted},
        }
        return {name: value for name, value in given.items() if name not in self.without}


def not_understood(says: str, payload: Mapping[str, Any]) -> str:
    """The parameter of a request that an endpoint complains of; "" where it is another thing."""
    low = says.lower()
    names = {"response_format": ("response_format", "json_schema", "schema", "structured", "grammar"),
             "max_tokens": ("max_tokens", "max_completion_tokens"), "temperature": ("temperature",)}  # fmt: skip
    return next((n for n, words in names.items() if n in payload and any(word in low for word in words)), "")


def data_url(pixels: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a JPEG in a data URL, its longer side at most `LONGEST_SIDE`."""
    buffer = io.BytesIO()
    Image.fromarray(shrunk(pixels)).save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with its longer side at most `LONGEST_SIDE` pixels, aspect kept."""
    return resize(pixels, *fit(pixels.shape[1], pixels.shape[0], LONGEST_SIDE))


def content(message: Mapping[str, Any]) -> str:
    """The text of a message; some servers give it in parts."""
    said = message.get("content")
    if isinstance(said, list):
        said = "".join(str(part.get("text") or "") for part in said if isinstance(part, dict))
    return said if isinstance(said, str) else ""


def thoughts(message: Mapping[str, Any]) -> str:
    """What a reasoning model thought aloud: some servers put the whole answer there."""
    return next((v for name in ("reasoning_content", "reasoning") if isinstance(v := message.get(name), str)), "")


def unthought(text: str) -> str:
    """A text without the thoughts before it, also where their beginning or their end is missing."""
    text = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", "", text, flags=re.DOTALL)
    text = re.sub(r"^.*</think(?:ing)?>", "", text, flags=re.DOTALL)
    return re.sub(r"<think(?:ing)?>.*$", "", text, flags=re.DOTALL).strip()


def read(text: str) -> Description | None:
    """The description in an answer: the first JSON object that has any phrase, else lines of "field: phrases"."""
    for value in [*objects(text), dict(lines(text))]:
        named = {str(name).strip().lower(): inner for name, inner in value.items()}
        inner = next((v for v in named.values() if isinstance(v, dict) and set(v) & set(PHRASES)), named)
        try:
            found = Description.model_validate(inner)
        except ValidationError:
            continue
        if found.values():
            return found
    return None


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, with whatever stands around them; at most a few."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(8):
        if (at := text.find("{", at)) < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if isinstance(value, dict):
            yield value


def lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """Fields of an answer that is no JSON, from lines such as "- **Framing:** close-up, front view"."""
    for match in re.finditer(r"^[\s\-*#>\d.]*(\w+)[\s*_]*:[\s*_]*(.+)$", text, re.MULTILINE):
        if match[1].lower() in MEANS:
            yield match[1].lower(), re.split(r"[,;]", match[2].strip(" *_\"'"))


def unwilling(says: str) -> PortraitistError:
    """The complaint about a model that will not look."""
    return PortraitistError(
        f"The model refused: {' '.join(says.split())[:100]}", "Caption this picture by hand, or ask another model."
    )
