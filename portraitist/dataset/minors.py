"""Words that are refused whoever writes them: minors in anything sexual, and a real person who is a minor.

What sexualises is told by words: one that says a minor together with one that is sexual, in one text or in texts that
belong together (a caption, and what the project says of its character); and the few words that say both at once.
Adults are not its business ("young woman", "1girl"), nor are minors who are not sexualised (a school, a child on a
beach). Where both kinds of word stand in one text it refuses, whatever they were meant to say. English only, and no
judge of pictures.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from portraitist.errors import PortraitistError

UNFIT = "Minors are not sexualised here, in any form: remove this picture, or what is wrong in its words."
NO_SUBJECT = "Minors are never a subject, whoever consents. If it is about something else, say it otherwise."
"""What to do about words that `unfit` and `underage` find."""

BOTH = (
    r"lolis?|lolicons?|lolita complex|shotas|shotacons?|toddlercons?|jailbait|underage(?:d)? sex|child ?porn\w*|cp porn"
)

SCHOOL = (
    r"school ?(?:girl|boy)s?|(?:school|student|sailor) uniforms?|serafuku|(?:high|middle|elementary|primary) school\w*"
)

MINOR = (
    r"child|children|kids?(?! (?:gloves|leather))|toddlers?|infants?|newborns?|"
    r"bab(?:y|ies)(?! (?:blue|pink|doll|dolls|hairs?|bangs|bump|powder))|pre ?teens?|tweens?|teens?|teenage[rd]?s?|"
    r"adolescents?|under ?aged?|minors|a minor|(?:little|small|young|prepubescent|elementary) (?:girl|boy)s?|"
    r"youngsters?|kindergart(?:en|ner)\w*|shota|lolita girl|juveniles?|prepubescent|pubescent|" + SCHOOL
)

SEXUAL = (
    r"nude|nudes|nudity|naked|nsfw|topless|bottomless|nipples?|areolas?|genitals?|genitalia|penis|vagina|vulva|pussy|"
    r"cameltoe|crotch|cleavage|breasts?|underboob|sideboob|buttocks|panties|panty|pantyshot|upskirt|thong|g ?string|"
    r"lingerie|underwear|bra|bikini|babydoll|garter belt|sex|sexy|sexual\w*|erotic\w*|seductive\w*|"
    r"sensual\w*|provocative\w*|suggestive\w*|lewd|lascivious|explicit|porn\w*|hentai|ecchi|ahegao|fetish\w*|bdsm|"
    r"bondage|aroused|arousal|orgasm\w*|masturbat\w*|intercourse|fellatio|blowjob|handjob|cum|undressing|undressed|"
    r"stripping|striptease|spread legs|see through|wet shirt|r ?18|rating explicit|rating questionable|flat chest"
)

TENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
TWENTY_UP = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
SPELLED = rf"{''.join(f'(?<!{word}[ -])' for word in TWENTY_UP)}(?:one|two|three|four|five|six|seven|eight|nine|{TENS})"
TOLD_AGE = (
    rf"\b(?:1[0-7]|[0-9]|{SPELLED}) ?"
    r"(?:years? olds?|years? of age|yrs? olds?|y ?o)\b|"
    rf"\bage[ds]? (?:of )?(?:1[0-7]|[0-9]|{TENS})\b|"
    r"\b\d{1,2} ?months? olds?\b"
)

LETTERS = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})

FINDS = {
    name: re.compile(rf"\b(?:{words})\b") for name, words in {"both": BOTH, "minor": MINOR, "sexual": SEXUAL}.items()
}
TOLD_AGES = re.compile(TOLD_AGE)


def unfit(*texts: str) -> str:
    """Why texts that belong together cannot be used, with the words that say so; "" where they can.

    Texts are a caption, and what else is said of the same character (its noun, its brief).
    """
    found: dict[str, str] = {}
    for text in texts:
        low = " ".join(re.sub(r"[_\W]+", " ", unicodedata.normalize("NFKC", text).casefold()).split())
        signs = " ".join(re.sub(r"[^\w@$!]+|_", " ", unicodedata.normalize("NFKC", text).casefold()).split())
        for form in (low, signs.translate(LETTERS)):
            for name, pattern in FINDS.items():
                if match := pattern.search(form):
                    found.setdefault(name, match[0])
        if match := TOLD_AGES.search(low):
            found.setdefault("minor", match[0])
    if "both" in found:
        return f"it says {found['both']!r}"
    if "minor" in found and "sexual" in found:
        return f"it says {found['minor']!r} and {found['sexual']!r}"
    return ""


AGE = (
    rf"(?:age[ds]?[ :]*(?P<a>\d{{1,2}}|(?:{TENS})\b)(?!\d|\s*%|s\b)|"
    rf"(?P<b>\d{{1,2}}|{SPELLED})[- ]?(?:years?|yrs?)[- ](?:old|of[- ]age)|"
    r"(?P<c>\d{1,2})[- ]?(?:yo|y/o)\b|(?P<d>\d{1,2})[- ]months?[- ]old)"
)
PERSON = r"(?:girl|boy|child|kid|teen\w*|student|person|model|character|daughter|son|schoolgirl|schoolboy)"
YOUNG = (
    r"(?:child(?:ren)?|kids?|toddlers?|infants?|pre-?teens?|tweens?|teen(?:age(?:d|rs?)?|s)?|minors?|underaged?|"
    r"school ?girls?|school ?boys?|(?:little|young|small) (?:girls?|boys?)|lolis?|shotas?)"
)

AGES = re.compile(rf"(?<![\w.]){AGE}", re.I)
AFTER_AGE = re.compile(rf"[- ]*(?:{PERSON}\b|$|[,.;!)])", re.I)
WHO = rf"(?:{YOUNG}|(?:high|middle|elementary) school)(?: (?:{PERSON}|figure|actor|actress)s?)?"
IS_YOUNG = re.compile(rf"(?:^|,|\bis|\bas)\s*(?:an?|the)\s+(?:\w+\s+)?(?P<who>{WHO})\s*(?:$|,|\.)", re.I)
TAGGED_YOUNG = re.compile(rf"[^,]*,\s*(?P<who>{WHO})\s*(?:$|,)", re.I)
"""As taggers write it, without an article, right behind the trigger; further on it may be of somebody else."""


def ages(text: str) -> list[str]:
    """Ages below 18 that a text tells of somebody: "twelve years old", "a 5-year-old girl", not "a 5-year-old dog"."""
    found = []
    for match in AGES.finditer(text):
        number = next(value for value in match.groupdict().values() if value is not None)
        if (match["d"] or not number.isdecimal() or int(number) < 18) and AFTER_AGE.match(text, match.end()):
            found.append(match[0])
    return found


def underage(text: str) -> str:
    """The words by which a text says that its subject is a minor, "" for none: an age, or "a child" after a comma."""
    match = IS_YOUNG.search(text) or TAGGED_YOUNG.match(text)
    return next(iter(ages(text)), match["who"] if match else "")


def refuse(texts: Mapping[str, str], *, real: bool) -> None:
    """Refuse texts that sexualise minors and, of a real person, those that say they are one.

    texts  by where they stand, for the message
    """
    for where, text in texts.items():
        if reason := unfit(text):
            raise PortraitistError(
                f"{where} sexualises a minor: {reason}", "This is never made. If it was not meant, say it otherwise."
            )
        if real and (words := underage(text)):
            raise PortraitistError(
                f"{where} says that a real person is a minor ({words})",
                NO_SUBJECT,
            )


def noun_texts(noun: str, others: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A project's own words by where they stand; the noun as it follows a trigger: ", a child"."""
    return {"noun": f", a {re.sub(r'^(an?|the) ', '', noun)}", **dict(others)}
