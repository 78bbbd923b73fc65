"""YAML with places and traps: what PyYAML 1.1 makes of words and numbers is what most trainers get."""

import re
from typing import Any

import yaml

from portraitist.interop.document import Document, Path, Place, Trap

DEEPEST = 64
MOST_NODES = 100_000
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
MERGE = "tag:yaml.org,2002:merge"
WORDS = frozenset({"yes", "no", "on", "off", "y", "n"})


def read(text: str, name: str, folder: str) -> Document:
    """A YAML document. Raises ValueError with the place for what is no YAML, is too deep, or has too many nodes."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(complaint(error, text)) from error
    except (RecursionError, ValueError) as error:  # the latter for escapes of signs that there are none of
        raise ValueError("it is nested too deeply, or has a sign that is none") from error
    places: dict[Path, Place] = {(): Place(1, 1, 0)}
    traps: list[Trap] = []
    value = Building(places, traps).build(root, (), 0) if root is not None else None
    return Document(name, folder, "yaml", text, value, places, tuple(traps))


def complaint(error: yaml.YAMLError, text: str) -> str:
    """A parser's error in a line; a line that is indented by a tab is named, for that is what it mostly is."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    says = where + str(getattr(error, "problem", None) or error).splitlines()[0]
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip():
            return f"{says} (line {number} is indented by a tab, which YAML forbids)"
    return says


class Building:
    """Values out of nodes; aliases are followed as often as they are used, within a limit of nodes."""

    def __init__(self, places: dict[Path, Place], traps: list[Trap]) -> None:
        """Fills `places` and `traps`."""
        self.places, self.traps, self.count = places, traps, 0
        self.safe = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:
        """The value of a node at a path."""
        self.count += 1
        if depth > DEEPEST or self.count > MOST_NODES:
            raise ValueError("it is nested too deeply, or too large")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            found = []
            for index, item in enumerate(node.value):
                self.places[(*path, index)] = place(item)
                found.append(self.build(item, (*path, index), depth + 1))
            return found
        return self.scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        """A mapping; of a key that stands twice the later counts, as for PyYAML. What `<<` merges in goes below."""
        found: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for _, value_node in (pair for pair in node.value if pair[0].tag == MERGE):
            several = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for one in reversed(several):
                found |= self.merged(one, path, depth)
        for key_node, value_node in (pair for pair in node.value if pair[0].tag != MERGE):
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            here = (*path, key)
            self.places[here] = place(key_node)
            value = self.build(value_node, here, depth + 1)
            if key in own and own[key] != value:
                says = f"{key} stands twice; the later one counts"
                self.traps.append(Trap("duplicate", here, place(key_node), says))
            own[key] = value
        return found | own

    def merged(self, node: yaml.Node, path: Path, depth: int) -> dict[str, Any]:
        """What a `<<` takes from another mapping; its keys have the place where they are written."""
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(f"line {node.start_mark.line + 1}: << merges mappings alone")
        self.count += 1
        if depth > DEEPEST or self.count > MOST_NODES:
            raise ValueError("it is nested too deeply, or too large")
        return self.mapping(node, path, depth + 1)

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        """A plain value, as YAML 1.1 resolves it."""
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        text = str(node.value)
        try:
            value = self.safe.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, OverflowError, AttributeError, LookupError, TypeError):
            value = text
        if not isinstance(value, str | int | float | bool | type(None)):
            says = f"{text} is a date or bytes here; in quotes it would be a word"
            self.traps.append(Trap("date", path, place(node), says))
            value = text
        if plain and isinstance(value, str) and NUMBER.fullmatch(text):
            says = f"{text} is a string here: YAML 1.1 wants a point in it, as in {pointed(text)}"
            self.traps.append(Trap("text-number", path, place(node), says))
        if plain and isinstance(value, bool) and text.lower() in WORDS:
            says = f"{text} is {str(value).lower()} here; in quotes it would be a word"
            self.traps.append(Trap("boolean-word", path, place(node), says))
        return value


def place(node: yaml.Node) -> Place:
    """Where a node stands."""
    start, end = node.start_mark, node.end_mark
    width = end.column - start.column if end.line == start.line else 1
    return Place(start.line + 1, start.column + 1, max(1, width))


def pointed(text: str) -> str:
    """A number in scientific notation with a point and a sign, as YAML 1.1 reads it: 2e-4 to 2.0e-4."""
    mantissa, _, exponent = text.lower().partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
