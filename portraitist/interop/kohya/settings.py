"""Settings as argparse gathers them: words of command lines, TOML files that fill its namespace, their checks."""

import re
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from portraitist.interop.diagnosis import Remark, Rules
from portraitist.interop.document import TOP, Document, Path, Place
from portraitist.interop.nearest import meant

CONTINUED = re.compile(r"[\\^`][ \t\r]*\n")
COMMENT = re.compile(r"^[ \t]*(?:#|rem\b|::)[^\n]*", re.MULTILINE | re.IGNORECASE)
WORD = re.compile(r"""(?:\$\((?:[^()\n]|\([^()\n]*\))*\)|[^\s"';&|]|"[^"\n]*"|'[^'\n]*')+|\n|[;&|]+""")
QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
APART = re.compile(r"\n(?=\s*--\w)")
ELLIPSIS = re.compile(r"(?<!\S)(?:\.\.\.|…|\[[^\]\n]*\s[^\]\n]*\]|\(\.\.\.[^)\n]*\))(?!\S)")
ANCHORS = frozenset({"config_file", "dataset_config", "train_data_dir", "pretrained_model_name_or_path", "dit",
                     "network_module", "output_dir"})  # fmt: skip
"""What a call has at least one of that is more than an excerpt."""
SCRIPT = re.compile(r"(?:^|[/\\.])([\w{}<>$]+)\.py$")
LEFT_OPEN = re.compile(r"[$%<>{}]")
"""A variable or a placeholder: what stands there is not known."""


@dataclass(frozen=True, slots=True)
class Given:
    """One setting: its value, and where it stands."""

    value: Any
    path: Path
    place: Place


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a trainer's script.

    script    its name without `.py`; "" for options that stand alone
    place     of its name
    options   as written, without `--`: the words that follow
    launcher  options before the script, such as those of `accelerate launch`
    excerpt   whether dots or a placeholder stand for more
    apart     the first of its options on a line that the one before does not continue to; None where there is none
    """

    script: str
    place: Place
    options: tuple[tuple[str, Given], ...]
    launcher: Mapping[str, Given] = field(default_factory=dict)
    excerpt: bool = False
    apart: Place | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """What a script's parser knows.

    kinds    by option: flag, int, float, number, word, words, floats
    choices  of options that take one of several words
    foreign  options of another trainer that people bring along, each with what to know of it
    """

    kinds: Mapping[str, str]
    choices: Mapping[str, Sequence[str]]
    foreign: Mapping[str, str]

    def named(self, name: str) -> str:
        """The option that argparse takes a name for, a beginning that only one has included; "" for none."""
        if name in self.kinds:
            return name
        begun = [known for known in self.kinds if known.startswith(name)]
        return begun[0] if len(begun) == 1 else ""

    def nearest(self, name: str) -> str:
        """A question after the option that was perhaps meant, or what to know of another trainer's; "" for neither."""
        return f" {self.foreign[name]}." if name in self.foreign else meant(name, self.kinds)


def table(rules: Rules, script: str) -> Table:
    """The options of a script by a tool's rules; of one that is not listed, no kinds, so that nothing is checked."""
    groups = rules.keys["scripts"].get(script, [])
    kinds = {name: kind for group in groups for kind, names in rules.keys["options"][group].items() for name in names}
    return Table(kinds, rules.keys["choices"], rules.keys.get("foreign", {}))


def commands(text: str) -> tuple[Command, ...]:
    """The calls of Python scripts in a shell, batch or PowerShell file, in order.

    Lines go on after a backslash, a caret or a backtick; a line that begins with an option is taken with the one before
    it all the same. Options without any script are one call of none.
    """
    plain = COMMENT.sub(blank, text)
    plain = CONTINUED.sub(blank, plain)
    apart = [found.end() for found in APART.finditer(plain)]
    plain = APART.sub(blank, plain)
    dots = [found.start() for found in ELLIPSIS.finditer(plain)]
    plain = ELLIPSIS.sub(blank, plain)
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    calls: list[list[tuple[str, Place]]] = [[]]
    for found in WORD.finditer(plain):
        if found[0] == "\n" or not found[0].strip(";&|"):
            calls.append([])
            continue
        line = bisect_right(lines, found.start())
        place = Place(line, found.start() - lines[line - 1] + 1, len(found[0]))
        calls[-1].append((QUOTED.sub(lambda part: part[1] or part[2] or "", found[0]), place))
    found_calls = tuple(called(calls)) or tuple(alone(calls))
    loose = {bisect_right(lines, at) for at in apart}
    return tuple(replace(call, excerpt=bool(dots) or lone(call), apart=first(call, loose)) for call in found_calls)


def lone(call: Command) -> bool:
    """Whether a call names neither a model, nor data, nor where to write."""
    return not ANCHORS & {name for name, _ in call.options}


def blank(found: re.Match[str]) -> str:
    """As many spaces, so that places stay."""
    return " " * len(found[0])


def first(call: Command, lines: set[int]) -> Place | None:
    """The first option of a script's call on one of these lines, past the script's own."""
    places = [given.place for _, given in call.options if given.place.line in lines | {n + 1 for n in lines}]
    return next((place for place in places if call.script and place.line > call.place.line), None)


def called(calls: Sequence[Sequence[tuple[str, Place]]]) -> Iterator[Command]:
    """Calls that name a script, by file or as a module after `-m`; a placeholder's name is left out."""
    for words in calls:
        for index, (word, place) in enumerate(words):
            name = SCRIPT.search(word)
            module = index > 0 and words[index - 1][0] == "-m" and re.fullmatch(r"[\w.]+\.(\w+)", word)
            if name or module:
                script = name[1] if name else word.rpartition(".")[2]
                script = "" if LEFT_OPEN.search(script) else script
                yield Command(script, place, tuple(pairs(words[index + 1 :])), dict(pairs(words[:index])))
                break


def alone(calls: Sequence[Sequence[tuple[str, Place]]]) -> Iterator[Command]:
    """Options without any script."""
    options = tuple(pairs([word for words in calls for word in words]))
    if options:
        yield Command("", options[0][1].place, options)


def pairs(words: Sequence[tuple[str, Place]]) -> Iterator[tuple[str, Given]]:
    """Options with the words after them; words before the first option are passed over."""
    name, place = "", TOP
    following: list[str] = []
    for word, where in [*words, ("--", TOP)]:
        if word.startswith("--"):
            if name:
                yield name, Given(tuple(following), (name,), place)
            name, equals, said = word[2:].partition("=")
            following, place = ([said] if equals else []), where
        else:
            following.append(word)


def parsed(command: Command, known: Table, rules: Rules) -> tuple[dict[str, Given], list[Remark]]:
    """The values of a call's options, and what argparse would refuse of them."""
    options: dict[str, Given] = {}
    remarks: list[Remark] = []
    if command.apart is not None:
        remarks.append(rules["lines-apart"].at((), command.apart))
    for written, given in command.options:
        name = known.named(written) if known.kinds else written.replace("-", "_")
        if not name:
            near = known.nearest(written)
            remarks.append(rules["unknown-key-on-command"].at(given.path, given.place, name=written, near=near))
            continue
        if name in options:
            remarks.append(rules["given-twice"].at(given.path, given.place, name=name))
        value, fault = worded(given.value, known.kinds.get(name, ""), known.choices.get(name, ()))
        options[name] = Given(value, (name,), given.place)
        if fault and not (command.excerpt and fault in ("one-value", "flag-with-value")):
            listed = ", ".join(known.choices.get(name, ()))
            said = shlex.join(given.value)
            remarks.append(rules[fault].at((name,), given.place, name=name, value=said, choices=listed))
    return options, remarks


def worded(words: tuple[str, ...], kind: str, choices: Sequence[str]) -> tuple[Any, str]:
    """The value that words spell for an option of a kind, and the rule that they break ("" when none)."""
    if kind not in ("words", "floats", ""):  # a shell's variable after a value may be an option, or nothing
        kept = 0 if kind == "flag" else 1
        words = tuple(word for index, word in enumerate(words) if index < kept or not word.startswith("$"))
    if kind == "flag" or (not kind and not words):
        return True, "flag-with-value" if words else ""
    if kind in ("words", "floats") or (not kind and len(words) > 1):
        values = [number(word) for word in words] if kind == "floats" else list(words)
        wrong = kind == "floats" and any(isinstance(value, str) and not LEFT_OPEN.search(value) for value in values)
        return values, "not-a-number" if wrong else ""
    if len(words) != 1:
        return (words[0] if words else None), "one-value"
    word = words[0]
    if LEFT_OPEN.search(word) or not kind:
        return number(word) if not kind else word, ""
    if kind in ("int", "float", "number"):
        value = number(word)
        if isinstance(value, str) or (kind == "int" and isinstance(value, float)):
            return word, "not-a-number"
        if choices and word not in choices:
            return value, "not-a-choice"
        return float(value) if kind == "float" else value, ""
    return word, "not-a-choice" if choices and word not in choices else ""


def number(word: str) -> Any:
    """The number that a word spells, else the word."""
    for kind in (int, float):
        try:
            return kind(word)
        except (ValueError, OverflowError):
            continue
    return word


def flattened(document: Document, known: Table, rules: Rules) -> tuple[dict[str, Given], list[Remark]]:
    """The settings of a TOML file that fills argparse's namespace: sections are joined, nothing is checked by it.

    What is said here is what comes of that: unknown keys are dropped, text stays text.
    """
    options: dict[str, Given] = {}
    remarks: list[Remark] = []
    for path, value in opened(document.value):
        name, given = str(path[-1]), Given(value, path, document.place(path))
        if name in options:
            remarks.append(rules["given-twice"].at(path, given.place, name=name))
        options[name] = given
        kind = known.kinds.get(name, "")
        rule = filed(name, value, kind, known.choices.get(name, ())) if kind else "unknown-key"
        if rule:
            near, listed = known.nearest(name), ", ".join(known.choices.get(name, ()))
            remarks.append(rules[rule].at(path, given.place, name=name, value=value, near=near, choices=listed))
    return options, remarks


def opened(value: Any) -> Iterator[tuple[Path, Any]]:
    """Keys at the top and one section below."""
    for key, inner in (value if isinstance(value, Mapping) else {}).items():
        if isinstance(inner, Mapping):
            yield from (((key, name), below) for name, below in inner.items())
        else:
            yield (key,), inner


def filed(name: str, value: Any, kind: str, choices: Sequence[str]) -> str:
    """The rule that a value in a file breaks, "" when none."""
    if name == "resolution" and not isinstance(value, str):
        return "resolution-number"
    if kind in ("int", "float", "number") and isinstance(value, str):
        return "text-number"
    if kind in ("words", "floats") and isinstance(value, str) and value:
        return "text-list"
    if kind == "flag" and isinstance(value, str) and value.strip().lower() in ("false", "no", "off", "0"):
        return "text-flag"
    if isinstance(value, str) and choices and value and value not in choices:
        return "choice-in-file"
    return ""
