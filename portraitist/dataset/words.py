"""Words that a base certainly knows: a trigger that is one of them stands for everything it meant before."""

import re

PEOPLE = (
    "person people human man men woman women girl girls boy boys lady gentleman guy child children kid baby teen "
    "adult mother father mom dad sister brother son daughter wife husband friend king queen prince princess knight "
    "wizard witch warrior soldier hero heroine villain pirate ninja samurai angel demon devil vampire ghost fairy "
    "elf dwarf orc goblin giant monster alien robot android cyborg mermaid superhero doctor nurse teacher student "
    "chef dancer singer actor actress model artist painter writer athlete player astronaut cowboy clown maid butler "
    "police bride"
)
CREATURES = (
    "animal cat dog horse bird fish lion tiger bear wolf fox rabbit bunny mouse rat cow pig sheep goat deer monkey "
    "ape elephant giraffe zebra panda koala kangaroo dragon unicorn dinosaur snake lizard frog turtle shark whale "
    "dolphin octopus spider bee butterfly ant eagle owl crow raven duck chicken penguin parrot hamster kitten puppy"
)
THINGS = (
    "face head hair eye eyes nose mouth hand hands arm leg foot body skin smile hat cap helmet crown mask glasses "
    "shirt dress skirt coat jacket suit shoes boots gloves scarf cape armor sword shield gun bow staff wand ring "
    "necklace car truck bus train ship boat plane bicycle house home castle tower bridge city town village street "
    "road park garden forest tree flower rose grass mountain hill river lake sea ocean beach island desert sky "
    "cloud sun moon star snow rain fire water ice earth stone rock wood metal gold silver glass paper book table "
    "chair bed door window wall floor room kitchen office school church shop food bread cake apple banana orange "
    "coffee tea wine phone computer camera"
)
LOOKS = (
    "red green blue yellow orange purple pink black white grey gray brown golden small big tall short old young new "
    "beautiful pretty cute ugly happy sad angry dark light bright cold hot soft hard long wide strange magic space "
    "cyber fantasy anime manga cartoon comic sketch drawing painting portrait photo photograph photography picture "
    "image art artwork style character avatar figure toy doll statue sculpture render cinematic vintage retro "
    "modern realistic digital illustration poster logo concept design game movie film"
)
NAMES = (
    "james john robert michael david william richard joseph thomas charles mary patricia jennifer linda elizabeth "
    "barbara susan jessica sarah karen emma olivia sophia isabella mia anna maria julia laura lisa alice lily lucy "
    "grace hannah emily ella chloe maya luna stella nora eva leo max jack harry oliver noah liam lucas henry oscar "
    "felix hugo paul peter mark luke adam alex sam ben tom tim jake ryan kevin brian eric steve george edward frank "
    "tony diana jane kate"
)
COMMON = frozenset(f"{PEOPLE} {CREATURES} {THINGS} {LOOKS} {NAMES}".split())


def everyday(trigger: str) -> bool:
    """Whether a trigger is an everyday word or a given name of English, or nothing but such words joined together.

    Marks and digits at its ends and its case count for nothing: "Woman" and "woman_1" are women to a text encoder.
    """
    parts = [part for part in re.split(r"[\W_\d]+", trigger.lower()) if part]
    return bool(parts) and all(part in COMMON for part in parts)
