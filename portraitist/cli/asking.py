"""Questions to a person at a terminal, for what a command line did not say."""

import sys
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from cyclopts import Parameter

from portraitist.dataset.words import everyday
from portraitist.errors import Interrupted

EXAMPLES = {
    "framing": "close-up, half body, full body", "angle": "front, side, back", "lens": "35mm, 85mm",
    "pose": "standing, sitting, running", "expression": "smiling, angry, surprised", "mood": "calm, dramatic",
    "lighting": "soft light, golden hour", "outfit": "red coat, armour", "object": "umbrella, guitar",
    "scene": "forest, city street",
}  # fmt: skip


def wish(kind: str) -> Parameter:
    """The flag of one kind of the brief: values between commas."""
    return Parameter(show_default=False, help=f'The brief, between commas: "{EXAMPLES[kind]}".')


@Parameter(name="*")
@dataclass(frozen=True)
class Wishes:
    """What the character must be able to do, each kind as words between commas; "" says nothing."""

    framing: Annotated[str, wish("framing")] = ""
    angle: Annotated[str, wish("angle")] = ""
    lens: Annotated[str, wish("lens")] = ""
    pose: Annotated[str, wish("pose")] = ""
    expression: Annotated[str, wish("expression")] = ""
    mood: Annotated[str, wish("mood")] = ""
    lighting: Annotated[str, wish("lighting")] = ""
    outfit: Annotated[str, wish("outfit")] = ""
    object: Annotated[str, wish("object")] = ""
    scene: Annotated[str, wish("scene")] = ""

    def brief(self) -> dict[str, list[str]]:
        """The brief by the kinds that prompts know: an angle is a view, a scene a background."""
        names = {"angle": "view", "scene": "background"}
        said = {names.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return {kind: [value.strip() for value in text.split(",")] for kind, text in said.items() if text.strip()}


NO_WISHES = Wishes()


def answer(question: str) -> str:
    """What a person writes after a question, in one line. Raises Interrupted where nobody is there any more."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise Interrupted("Nothing was made: the questions were left.")
    return " ".join(line.split())


def trigger() -> str:
    """A trigger: one word, and one that the person is sure of if it is an everyday one."""
    while True:
        word = answer("Trigger, a rare word that will stand for the character, such as maya_char: ")
        if not word or " " in word or "," in word:
            sys.stderr.write("One word, without spaces or commas.\n")
        elif not everyday(word) or answer(f"{word} has a meaning already. Keep it all the same? [y/N] ").lower() == "y":
            return word


def subject() -> Literal["fictional", "real"]:
    """What the character is: fictional or real."""
    while True:
        word = answer("Is it fictional, or a real person? [fictional/real] ").lower()
        if word in ("fictional", "real"):
            return "real" if word == "real" else "fictional"
        sys.stderr.write("A real person needs a recorded consent before training; answer fictional or real.\n")


def wishes() -> Wishes:
    """The brief, kind by kind; an empty answer leaves a kind out."""
    sys.stderr.write("What must it be able to do? Words between commas; Enter leaves one out.\n")
    return Wishes(**{kind: answer(f"  {kind} ({example}): ") for kind, example in EXAMPLES.items()})
