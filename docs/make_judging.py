"""Writes docs/judging.md from the registry of measures, so that the page cannot say what they do not."""

from pathlib import Path

from portraitist import durable
from portraitist.judge.measures import ASKED, MEASURES
from portraitist.judge.measuring.definition import Measure
from portraitist.judge.measuring.identity import FEW, SKILL

PAGE = Path(__file__).with_name("judging.md")

HEAD = f"""# What judging measures

*Made by `make docs` from `portraitist/judge/measuring`; not edited by hand.*

`evaluate` draws the same prompts from the same seeds with every checkpoint and with the base, and measures each
picture. A score is the mean over pictures with a 90 % interval: bootstrap over the pictures, and below eight as much
wider as Student's is (of 8 to 16 normal values the plain one misses the mean in 16 to 13 of 100). Two checkpoints, or a
checkpoint and the base, are compared picture by picture, so that the prompts' own difficulty cancels. A measure that
cannot be taken of a character is left out, not guessed; where eyes are at fault, `evaluate` says so.

## Eyes

Who is in a picture is seen by the family's own eyes where it has any (`mini`), and by models on your machine that
[the recipe](recipe.md) names:

```toml
[sight]
embedding = "models/dinov2.onnx"       # whole pictures: shown the subject alone, on grey
faces = "models/yunet.onnx"            # finds faces
recognition = "models/sface.onnx"      # and whose they are: only where a face is found
pose = "models/rtmpose.onnx"           # joints, for anatomy
```

A family without eyes of its own gets plain ones (colours and edges), until a model is named. Each eye is tried on your
pictures first. Where {FEW} references or more show a framing (close-up, mid, full, or from behind), pictures of that
framing are held against those alone, so that no back is judged by a face. An eye is used at a framing only where it
tells the references from the base's pictures in {SKILL:.0%} of all pairs; else `evaluate` says that it is blind there.
Where no eye can be shown to tell the character, that is said too, and identity is for you to judge. Nothing is ever
downloaded; a change of models is a change of the yardstick, and pictures are measured anew.

## Measures

| measure | name in files | range | better |
|---|---|---|---|
"""

PEOPLE = """
## Asked of a person

No eye here sees everything, and not every picture shows what a measure needs. A person is asked these of a few pictures
of each ballot ([votes](voting.md)):

"""


def page() -> str:
    """The whole page."""
    known = MEASURES.values()
    rows = [f"| [{m.title}](#{anchor(m)}) | `{m.name}` | {span(m)} | {m.better} |" for m in known]
    parts = [
        f"\n### {m.title}\n\n{m.says}\n\n*Blind spots.* {m.blind}\n\n*Source.* {m.source}\n" for m in MEASURES.values()
    ]
    asked = [f"- {question} (`{name}`)" for name, question in ASKED.items()]
    return HEAD + "\n".join(rows) + "\n" + "".join(parts) + PEOPLE + "\n".join(asked) + "\n"


def anchor(measure: Measure) -> str:
    """The heading's anchor, as Markdown makes it."""
    return measure.title.lower().replace(" ", "-")


def span(measure: Measure) -> str:
    """The range in words."""
    least, most = measure.range
    return f"{least:g} to {most:g}"


if __name__ == "__main__":
    durable.write_text(PAGE, page())
