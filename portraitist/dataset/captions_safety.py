"""The screen for captions and prompts that sexualise minors: those are refused in any form, drawn or not.

By words: one that says a minor together with one that is sexual, in one caption or in a caption and what the project
says of its character; and the few words that say both at once. English only, and no judge of pictures: it cannot
know what a picture shows, and is there so that nothing here is ever asked for in words.

Adults are not its business ("young woman", "1girl"), nor are minors who are not sexualised (a school, a child on a
beach). Where both kinds of word stand in one text it refuses, whatever they were meant to say.
"""

import re
import unicodedata

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
AGE = (
    rf"(?:aged? (?:of )?)?\b(?:1[0-7]|[0-9]|one|two|three|four|five|six|seven|eight|nine|{TENS}) ?"
    r"(?:years? olds?|yrs? olds?|y ?o|year old)\b|"
    rf"\bage[ds]?:? (?:of )?(?:1[0-7]|[0-9]|{TENS})\b"
)

LETTERS = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})

FINDS = {
    name: re.compile(rf"\b(?:{words})\b") for name, words in {"both": BOTH, "minor": MINOR, "sexual": SEXUAL}.items()
}
AGES = re.compile(AGE)


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
        if match := AGES.search(low):
            found.setdefault("minor", match[0])
    if "both" in found:
        return f"it says {found['both']!r}"
    if "minor" in found and "sexual" in found:
        return f"it says {found['minor']!r} and {found['sexual']!r}"
    return ""
