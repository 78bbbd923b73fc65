"""What is found in captions is there, what is advised mends it, and nothing that anybody writes brings it down."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.audit import Rules, Seen, phrasing, wording
from portraitist.captioning import Captioning
from portraitist.dataset.captions_rules import Manner, revised
from portraitist.dataset.vocabulary import FORBIDDEN, SAME, WORDS
from portraitist.pictures import Picture
from portraitist.recipe import Recipe
from portraitist.sections import Data, Set

SCENES = ("forest", "beach", "city street", "kitchen", "plain gray background", "night sky", "park", "office")
TAGGED = Recipe(data=Data(sets=(Set(name="body", tag="realistic_body"),)))
POSES = ("sitting", "standing", "walking", "waving")


def good(count: int = 8) -> list[str]:
    """Captions with nothing wrong in them."""
    framings = ("close-up", "upper body", "full body")
    return [f"{framings[i % 3]} of zorblax, {POSES[i % 4]}, {SCENES[i % 8]}, scene {i}" for i in range(count)]


def pictures(texts, **facts):
    return [Picture(f"{i}.png", f"d{i}", 64, 64, text, **facts) for i, text in enumerate(texts)]


def findings(texts, check=None, seen=None, **facts):
    matter = Seen(pictures=pictures(texts, **facts), trigger="zorblax", side=64, **(seen or {}))
    checks = (check,) if check else wording.CHECKS
    return [finding for one in checks for finding in one(matter, Rules())]


def names(found):
    return {finding.check for finding in found}


def test_good_captions_give_no_finding():
    assert findings(good()) == []


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("trigger_late", "sitting, forest, zorblax"),
        ("trigger_repeated", "zorblax, sitting, forest, zorblax"),
        ("identity_named", "zorblax, blue eyes, forest"),
        ("over_captioned", "zorblax, " + ", ".join(f"thing {i}" for i in range(13))),
        ("contradiction", "close-up of zorblax, full body, forest"),
        ("contradiction", "zorblax, sitting, standing"),
        ("words_mixed", "zorblax, seated, forest"),
        ("empty_words", "zorblax, masterpiece, forest"),
        ("empty_words", "zorblax, solo, 8k"),
        ("empty_words", "zorblax, appears to be happy"),
        ("unfit", "zorblax, schoolgirl, lingerie"),
        ("trigger_missing", "sitting, forest"),
        ("caption_missing", ""),
    ],
)
def test_a_planted_fault_is_found_by_its_name_and_no_other(check, text):
    found = findings([*good(), text])
    assert check in names(found)
    assert names(found) <= {check, "over_captioned"}
    assert all(one.says and one.remedy for one in found)


def test_a_phrase_of_nearly_all_captions_leaks():
    texts = [f"{text}, black hoodie" for text in good()]
    (found,) = findings(texts, phrasing.leaked_constant)
    assert '8 captions say "black hoodie" (8)' in found.says
    texts[0], texts[1] = good()[:2]
    assert findings(texts, phrasing.leaked_constant) == [], "three in four are few enough"
    assert findings([f"{text}, black hoodie" for text in good(4)], phrasing.leaked_constant) == []


def test_the_trigger_the_noun_and_the_tags_of_sets_may_stand_everywhere():
    texts = [f"{text}, a woman, realistic_body" for text in good()]
    (found,) = findings(texts, phrasing.leaked_constant)
    assert '"realistic body" (8), "woman" (8)' in found.says
    assert findings(texts, phrasing.leaked_constant, {"noun": "a woman", "recipe": TAGGED}) == []


def test_a_sets_own_tag_stands_in_all_its_captions():
    seen = {"recipe": TAGGED}
    texts = ["zorblax, realistic_body, forest", "zorblax, forest", "zorblax, unrealistic_body"]
    (found,) = findings(texts, phrasing.tag_missing, seen, set="20_body")
    assert found.pictures == ("1.png", "2.png")
    assert findings(texts, phrasing.tag_missing, seen, set="face") == []


def test_identity_may_be_named_where_the_recipe_says_so_and_what_varies_always():
    texts = ["zorblax, ponytail, forest"] * 3
    assert findings(texts, phrasing.identity_named)
    for how in (Captioning(identity="name"), Captioning(varies=("ponytail",))):
        assert findings(texts, phrasing.identity_named, {"recipe": Recipe(captioning=how)}) == []
    hat = ["zorblax, red hat"]
    assert findings(hat, phrasing.identity_named) == []
    assert findings(hat, phrasing.identity_named, {"recipe": Recipe(captioning=Captioning(always=("red hat",)))})
    assert findings(texts, phrasing.identity_named, role="prior") == [], "others are to be told apart by their looks"


def near(view: str) -> dict[str, object]:
    """Measures of a 64 px picture that a face fills."""
    face = {"box": [10, 20, 40, 40], "score": 1.0, "head": 0.78, "view": view, "yaw": None}
    return {"content": {"faces": [face]}}


@pytest.mark.parametrize(
    ("caption", "measures", "told"),
    [("full body", near("frontal"), True), ("close-up", near("frontal"), False), ("full body", near("profile"), False),
     ("full body", {}, False), ("full body", {"content": {}}, False)],
)  # fmt: skip
def test_a_caption_is_held_to_the_measured_framing_where_that_is_sure(caption, measures, told):
    found = findings([f"{caption} of zorblax, forest"], phrasing.contradiction, measures=measures)
    assert bool(found) == told


def test_the_text_that_would_be_cut_is_shown():
    seen = {"count_tokens": lambda text: len(text.split()), "token_limit": 4, "readers": "each of the two CLIPs"}
    (found,) = findings(["zorblax, one two three four five"], wording.caption_too_long, seen)
    assert 'each of the two CLIPs reads 4, and not: "four five"' in found.says


@given(words=st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=30), limit=st.integers(0, 40))
def test_what_is_read_and_what_is_cut_are_the_whole_caption(words, limit):
    def count(text):
        return sum(-(-len(word) // 3) for word in text.split())

    matter = Seen(pictures=(), trigger="z", side=64, count_tokens=count, token_limit=limit)
    text = " ".join(words)
    cut = wording.unread(text, matter)
    assert text.endswith(cut)
    kept = text.removesuffix(cut).strip()
    assert count(kept) <= limit
    if cut:
        assert count(f"{kept} {cut.split()[0]}") > limit


def test_what_the_brief_wants_to_vary_must_be_named():
    brief = {"outfit": ("red dress", "suit"), "scene": ("forest", "beach")}
    (found,) = findings(good(), phrasing.unnamed, {"brief": brief})
    assert "outfits" in found.says
    assert findings([f"{text}, red dress" for text in good()], phrasing.unnamed, {"brief": brief}) == []
    assert findings(good(), phrasing.unnamed, {"brief": {"outfit": ("suit",)}}) == [], "one outfit does not vary"


def test_a_line_that_stands_twice_is_told():
    twice = [Picture("a.png", "a", 9, 9, "zorblax", ("zorblax",)), Picture("b.png", "b", 9, 9, "zorblax", ("x",))]
    (found,) = phrasing.variants_alike(Seen(pictures=twice, trigger="zorblax", side=9), Rules())
    assert found.pictures == ("a.png",)


def test_a_childs_noun_makes_any_sexual_caption_unfit():
    (found,) = findings(["zorblax, nude"], phrasing.unfit, {"noun": "a little girl"})
    assert found.severity == "block"
    assert findings(["zorblax, nude"], phrasing.unfit, {"noun": "a woman"}) == []
    brief = {"outfit": ("suit", "lingerie")}
    assert findings(["zorblax"], phrasing.unfit, {"brief": brief, "noun": "a woman"}) == []
    (found,) = findings(["zorblax"], phrasing.unfit, {"brief": brief, "noun": "a schoolgirl"})
    assert "project.toml" in found.says


def test_the_rules_mend_what_is_found():
    """A remedy is a claim: what `caption --rules` makes of a caption has none of these findings."""
    bad = ["zorblax, blue eyes, masterpiece, seated, standing, solo", "close-up of zorblax, full body, freckles",
           "zorblax, sitting, appears to be happy", "waving, zorblax, closed eyes"]  # fmt: skip
    mended = [revised(text, "zorblax", Manner())[0] for text in bad]
    mendable = {"identity_named", "empty_words", "contradiction", "words_mixed", "trigger_late"}
    assert names(findings(bad)) >= mendable
    assert not names(findings(mended)) & mendable, mended


def mutated(draw: random.Random) -> str:
    """A caption as nobody should write one."""
    words = [phrase for some in WORDS.values() for phrase in some] + [*FORBIDDEN, *(w for g in SAME for w in g)]
    pieces = [draw.choice(words) for _ in range(draw.randrange(30))] + ["zorblax"] * draw.randrange(3)
    draw.shuffle(pieces)
    text = draw.choice([", ", ". ", " ", ";", "\n", ",,", "_"]).join(pieces)
    for _ in range(draw.randrange(6)):
        at = draw.randrange(len(text) + 1)
        text = (
            text[:at] + draw.choice(["\0", "\ud83d", "é", "漢", "{trigger}", "[", "(", "\\", ".", "," * 9]) + text[at:]
        )
    return text[draw.randrange(3) :] * draw.choice([1, 1, 1, 5])


def test_two_hundred_mutated_captions_are_judged_without_a_crash():
    draw = random.Random(0)
    texts = [mutated(draw) for _ in range(200)]
    found = findings(texts, seen={"noun": "a woman", "token_limit": 20, "count_tokens": lambda text: len(text.split())})
    assert {"contradiction", "empty_words", "identity_named", "caption_too_long", "words_mixed"} <= names(found)
    for text in texts:
        new, _ = revised(text, "zorblax", Manner())
        assert revised(new, "zorblax", Manner())[0] == new


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(max_size=60), max_size=8))
def test_any_captions_are_judged_without_a_crash(texts):
    for one in findings(texts):
        assert one.severity in ("block", "warn", "note")
