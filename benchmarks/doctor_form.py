"""The configs that ai-toolkit's web form makes: its default job with what it sets for each model, read from its source.

Of TypeScript no more is understood than object literals with plain values, and names of other literals.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

JOB, MODELS, SAMPLES = (
    "ui/src/app/jobs/new/jobConfig.ts",
    "ui/src/app/jobs/new/options.tsx",
    "ui/src/helpers/defaultSamples.ts",
)
TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/|(?P<sign>[{}\[\]:,])|(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)"""
    r"""|(?P<number>-?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_$][\w$.]*)""",
    re.DOTALL,
)


MODEL = re.compile(r"name: '([^']+)',\s+label: '[^']*',\s+group: '[^']*',(?:.(?!name: '))*?defaults: (?=\{)", re.DOTALL)
"""A model that the form offers, up to what is set when it is chosen, and when another one is."""


class Literal:
    """One pass over an object literal."""

    def __init__(self, text: str, at: int, names: dict[str, Any]) -> None:
        self.text, self.at, self.names = text, at, names

    def token(self) -> tuple[str, str]:
        """The next token that is one: its kind and text."""
        while True:
            found = TOKEN.match(self.text, self.at)
            if not found:
                raise ValueError(f"not a plain literal at {self.text[self.at : self.at + 40]!r}")
            self.at = found.end()
            if found.lastgroup:
                return found.lastgroup, found[0]

    def value(self) -> Any:
        """The value that stands here."""
        kind, word = self.token()
        if word == "{":
            return self.mapping()
        if word == "[":
            return self.items()
        return self.scalar(kind, word)

    def scalar(self, kind: str, word: str) -> Any:
        """A plain value, or what a name stands for."""
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", word[1:-1])
        if kind == "number":
            return json.loads(word.replace("_", ""))
        return {"true": True, "false": False, "null": None, "undefined": None}.get(word, self.names.get(word))

    def mapping(self) -> dict[str, Any]:
        """An object whose brace was read."""
        found = {}
        while (first := self.token())[1] != "}":
            if first[1] == ",":
                continue
            self.token()  # the colon
            found[self.scalar("text", first[1]) if first[0] == "text" else first[1]] = self.value()
        return found

    def items(self) -> list[Any]:
        """An array whose bracket was read."""
        found: list[Any] = []
        while True:
            before = self.at
            sign = self.token()[1]
            if sign == "]":
                return found
            if sign != ",":
                self.at = before
                found.append(self.value())


def configs(source: Path) -> Iterator[tuple[str, bytes]]:
    """A job for each model that the form offers, as JSON; none where the source has no form.

    The form begins with one model; choosing another undoes what that one set.
    """
    texts = [read(source, name) for name in (SAMPLES, JOB, MODELS)]
    if not all(texts):
        return
    names: dict[str, Any] = {}
    for text in texts[:2]:
        for found in re.finditer(r"export const (\w+)(?:: \w+)? = (?=\{)", text):
            names[found[1]] = Literal(text, found.end(), names).value()
    names |= {"defaultNameOrPath": "", "defaultLinearRank": 32}
    models: dict[str, dict[str, Any]] = {}
    for found in re.finditer(MODEL, texts[2]):
        try:
            models[found[1]] = Literal(texts[2], found.end(), names).value()
        except ValueError:
            continue  # a model with code in its defaults
    first = names["defaultJobConfig"]["config"]["process"][0]["model"]["arch"]
    for name, defaults in models.items():
        job = json.loads(json.dumps(names["defaultJobConfig"]))
        put(job, "config.process[0].model.arch", name)
        for number, chosen in ((1, models.get(first, {}) if name != first else {}), (0, defaults)):
            for key, pair in chosen.items():
                if isinstance(pair, list) and len(pair) == 2 and pair[number] is not None:
                    put(job, key, pair[number])
        yield f"form/{re.sub('[^a-z0-9]+', '_', name)}.json", json.dumps(job).encode()


def put(value: Any, path: str, new: Any) -> None:
    """Set what stands at a path like `config.process[0].model.arch`; `datasets.x` is the only dataset there is."""
    parts = [int(part) if part.isdigit() else 0 if part == "x" else part for part in re.findall(r"[\w-]+", path)]
    for part in parts[:-1]:
        if not (isinstance(value, list) or part in value):
            value[part] = {}
        value = value[part]
    value[parts[-1]] = new


def read(source: Path, name: str) -> str:
    """A file of a git directory's HEAD, or of a folder; "" where there is none."""
    if (source / "HEAD").is_file():
        return run(
            ["git", f"--git-dir={source}", "show", f"HEAD:{name}"], capture_output=True, text=True, check=False
        ).stdout
    path = source / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""
