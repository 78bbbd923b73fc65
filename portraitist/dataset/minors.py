"""Words that are refused whoever writes them: minors in anything sexual, and a real person who is a minor.

Careful in both directions: an age, a child in the background and a school are ordinary words of captions, and stay
so. What is refused is told with the very words. It reads words; pictures are for people to judge.
"""

import re
from collections.abc import Iterable, Mapping

from portraitist.errors import PortraitistError

AGE = (
    r"(?:age[ds]?[ :]*(?P<a>\d{1,2})(?!\d|\s*%|s\b)|(?P<b>\d{1,2})[- ]?(?:years?|yrs?)[- ]old|(?P<c>\d{1,2})[- ]?"
    r"(?:yo|y/o)\b|(?P<d>\d{1,2})[- ]months?[- ]old)"
)
PERSON = r"(?:girl|boy|child|kid|teen\w*|student|person|model|character|daughter|son|schoolgirl|schoolboy)"
YOUNG = (
    r"(?:child(?:ren)?|kids?|toddlers?|infants?|pre-?teens?|tweens?|teen(?:age(?:d|rs?)?|s)?|minors?|underaged?|"
    r"school ?girls?|school ?boys?|(?:little|young|small) (?:girls?|boys?)|lolis?|shotas?)"
)
SEXUAL = (
    r"(?:nudes?|nudity|naked|topless|bottomless|nsfw|sex|sexual(?:ly|ized|ised)?|sexy|porn\w*|hentai|erotic\w*|"
    r"nipples?|areolae?|genital\w*|penis|vagina|vulva|pussy|cum|fellatio|blowjob|masturbat\w*|orgasm\w*|intercourse|"
    r"lingerie|seductive|upskirt|panty ?shot|fetish|bondage|rape[ds]?|raping|undress(?:ed|ing))"
)
NEVER = re.compile(r"(?<!\w)(?:lolicons?|shotacons?|toddlercons?|child porn\w*|kiddie porn|jailbait|csam)(?!\w)", re.I)
SCHOOL = r"(?:school uniform|serafuku|classroom|school ?bag|randoseru|kindergarten|elementary school|middle school)"

AGES = re.compile(rf"(?<![\w.]){AGE}", re.I)
YOUNG_WORD = re.compile(rf"(?<!\w){YOUNG}(?!\w)", re.I)
SEXUAL_WORD = re.compile(rf"(?<!\w){SEXUAL}(?!\w)", re.I)
SCHOOL_WORD = re.compile(rf"(?<!\w){SCHOOL}(?!\w)", re.I)
AFTER_AGE = re.compile(rf"[- ]*(?:{PERSON}\b|$|[,.;!)])", re.I)
IS_YOUNG = re.compile(
    rf"(?:^|,|\bis|\bas)\s*(?:an?|the)\s+(?:\w+\s+)?(?P<who>{YOUNG}(?: (?:girl|boy)s?)?)\s*(?:$|,|\.)", re.I
)


def ages(text: str) -> list[str]:
    """Ages below 18 that a text tells of somebody: "12 years old", "a 5-year-old girl", not "a 5-year-old dog"."""
    found = []
    for match in AGES.finditer(text):
        number = next(value for value in match.groupdict().values() if value is not None)
        if (match["d"] or int(number) < 18) and AFTER_AGE.match(text, match.end()):
            found.append(match[0])
    return found


def sexualised(text: str) -> str:
    """The words that sexualise a minor in a text, "" for none: of a genre that is that, or the one beside the other."""
    if match := NEVER.search(text):
        return match[0]
    sexual = SEXUAL_WORD.search(text)
    if sexual is None:
        return ""
    spoken = [match[0] for pattern in (YOUNG_WORD, SCHOOL_WORD) if (match := pattern.search(text))]
    young = next(iter([*ages(text), *spoken]), "")
    return f"{young} ... {sexual[0]}" if young else ""


def underage(text: str) -> str:
    """The words by which a text says that its subject is a minor, "" for none: an age, or "a child" after a comma."""
    match = IS_YOUNG.search(text)
    return next(iter(ages(text)), match["who"] if match else "")


def refuse(texts: Mapping[str, str], *, real: bool) -> None:
    """Refuse texts that sexualise minors and, of a real person, those that say they are one.

    texts  by where they stand, for the message
    """
    for where, text in texts.items():
        if words := sexualised(text):
            raise PortraitistError(
                f"{where} sexualises a minor ({words})", "This is never made. If it was not meant, say it otherwise."
            )
        if real and (words := underage(text)):
            raise PortraitistError(
                f"{where} says that a real person is a minor ({words})",
                "Minors are never a subject, whoever consents. If it is about something else, say it otherwise.",
            )


def noun_texts(noun: str, others: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A project's own words by where they stand; the noun as it follows a trigger: ", a child"."""
    return {"noun": f", a {re.sub(r'^(an?|the) ', '', noun)}", **dict(others)}
