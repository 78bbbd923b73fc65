"""The section of a recipe about captions: who proposes them, and how they are put."""

from typing import Annotated, Literal

from pydantic import Field

from portraitist.sections import Section


class Tagger(Section):
    """A tagger of the WD14 kind, on this machine; needs the packages of the extra `sight`.

    folder      with `model.onnx` and `selected_tags.csv`
    general     probability from which a tag counts; the newest and largest of these models are best at about 0.5
    characters  the same for tags that name known characters; 0 never takes one, as suits a character of one's own
    thresholds  of single tags, by name, in place of `general`
    threads     of the CPU
    """

    folder: str = ""
    general: float = Field(0.35, gt=0, le=1)
    characters: float = Field(0.0, ge=0, le=1)
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field({})
    threads: int = Field(2, ge=1, le=256)


class Describer(Section):
    """A model that reads pictures, behind an address that speaks OpenAI's protocol (Ollama, vLLM, LM Studio, ...).

    url           of the API, such as http://localhost:11434/v1
    model         its name there
    key_variable  the environment variable that holds the key; "" sends none. The key itself never stands here
    timeout       seconds that one answer may take
    tries         how often one picture is asked about while the service is overloaded
    at_once       pictures asked about at a time
    tokens        most that an answer may have; a reasoning model that spends them on thoughts gets four times as many
    price_in      of a million tokens asked, in any currency; 0 where nothing is paid
    price_out     of a million tokens answered
    """

    url: str = ""
    model: str = ""
    key_variable: str = Field("", pattern=r"^[A-Za-z_0-9]*$")
    timeout: float = Field(120.0, gt=0, le=3600)
    tries: int = Field(4, ge=1, le=20)
    at_once: int = Field(2, ge=1, le=64)
    tokens: int = Field(1024, ge=64, le=32768)
    price_in: float = Field(0.0, ge=0)
    price_out: float = Field(0.0, ge=0)


class Captioning(Section):
    """How captions are made and judged. Nothing here decides a run: the captions themselves do.

    source    of what captions say: none (trigger and noun alone), tagger, endpoint
    style     family: what suits the family of the base; or tags, sentences, phrases
    identity  omit leaves out what the character itself is (eyes, hair colour, scars, ...), so that the trigger learns
              it; name says it, so that it can be changed by words, and has to be asked for
    always    phrases that name the character itself, beside the usual ones
    varies    phrases that do not, though they look like it: a hair style that changes from picture to picture
    drop      words whose phrases are left out
    replace   words by what stands for them
    template  kinds in braces, such as "{trigger}, {framing}, {clothing}"; "" takes the style's own
    most      phrases of a caption, the least worthy left out first; 0 for any number
    limit     tokens of a caption, likewise; 0 takes the family's limit
    tagger    a tagger on this machine
    endpoint  a model behind an address
    """

    source: Literal["none", "tagger", "endpoint"] = "none"
    style: Literal["family", "tags", "sentences", "phrases"] = "family"
    identity: Literal["omit", "name"] = "omit"
    always: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    replace: dict[str, str] = Field({})
    template: str = ""
    most: int = Field(12, ge=0, le=100)
    limit: int = Field(0, ge=0, le=4096)
    tagger: Tagger = Tagger()
    endpoint: Describer = Describer()
