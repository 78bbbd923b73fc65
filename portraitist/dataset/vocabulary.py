"""Words that captions use, by what they tell: data for `taxonomy`, gathered by us, one phrase between two commas.

A phrase is a word or a few, in lower case. What a caption's phrase is about is decided by the longest of these in it.
"""


def phrases(text: str) -> tuple[str, ...]:
    """The phrases of a text, which commas divide."""
    return tuple(" ".join(part.split()) for part in text.split(",") if part.strip())


WORDS: dict[str, tuple[str, ...]] = {
    "framing": phrases(
        """close-up, close up, closeup, close-up shot, extreme close-up, macro shot, portrait, headshot, head shot,
        bust shot, head and shoulders, half body, half-body, upper body, waist up, waist-up, medium shot,
        mid shot, medium close-up, cowboy shot, american shot, knee up, three-quarter length, full body,
        full-body, full shot, full length, full-length, wide shot, long shot, establishing shot, head to toe,
        lower body, feet out of frame, cropped legs, head out of frame, legs only, torso only, face focus"""
    ),
    "view": phrases(
        """front view, frontal view, from the front, facing the camera, facing forward, straight-on, side view,
        from the side, from side, in profile, profile view, profile, left profile, right profile, back view,
        rear view, from behind, from the back, back turned, three-quarter view, three quarter view, 3/4 view,
        three-quarter left, three-quarter right, three-quarter back, facing left, facing right, facing away,
        back left, back right, from above, from below, high angle, low angle, eye level, bird's eye view,
        overhead view, top-down view, worm's eye view, dutch angle, over the shoulder, over-the-shoulder,
        seen from"""
    ),
    "pose": phrases(
        """standing, sitting, seated, sits, kneeling, lying, lying down, reclining, crouching, squatting, leaning,
        walking, running, jumping, dancing, climbing, swimming, flying, floating, falling, fighting stance,
        stretching, bending, bowing, crawling, waving, pointing, saluting, clapping, stepping, riding, posing,
        hands on hips, hand on hip, hands in pockets, hand in pocket, arms crossed, crossed arms, arms up,
        arms raised, arms out, arms behind back, arms at sides, hand up, hands up, hand on chin,
        hand on own face, head tilt, head tilted, head resting, legs crossed, crossed legs, on one knee,
        on all fours, tiptoe, turning, looking back, looking over shoulder, outstretched arm, peace sign, v sign,
        thumbs up, wariza, seiza, t-pose, a-pose, arm up, on back, on side, on stomach, hand on own hip,
        hands on own hips, leaning forward, spread arms, action pose, dynamic pose"""
    ),
    "expression": phrases(
        """smiling, smile, smiles, light smile, slight smile, grin, grinning, smirk, smirking, laughing, laugh,
        laughs, crying, tears, sad, sadness, frown, frowning, angry, anger, scowl, scowling, surprised, surprise,
        shocked, scared, afraid, fearful, worried, nervous, embarrassed, shy, blush, blushing, bored, tired,
        sleepy, sleeping, asleep, winking, wink, one eye closed, pout, pouting, serious, stern, calm, relaxed,
        neutral, neutral expression, expressionless, expression, thoughtful, pensive, confident, proud,
        determined, happy, joyful, excited, confused, curious, disgusted, annoyed, smug, open mouth,
        closed mouth, parted lips, teeth showing, clenched teeth, tongue out, tongue, teeth, eyes closed,
        closed eyes, half-closed eyes, narrowed eyes, wide eyes, wide-eyed, raised eyebrow, looking at viewer,
        looking at the viewer, looking at camera, looking at the camera, looking into the camera, looking away,
        looking down, looking up, looking to the side, looking afar, gaze, eye contact, yawning, screaming,
        shouting, whistling, singing, talking"""
    ),
    "lighting": phrases(
        """light, lighting, lit, soft light, soft lighting, night, day, daytime, dusk, dawn, hard light, warm light,
        cool light, dim light, side light, natural light, window light, studio lighting, studio light, rim light,
        rim lighting, backlight, backlit, backlighting, sunlight, moonlight, candlelight, firelight, lamplight,
        daylight, golden hour, blue hour, neon light, neon lights, neon lighting, overcast, dappled light,
        dappled sunlight, low-key lighting, high-key lighting, dramatic lighting, chiaroscuro, harsh light,
        diffused light, volumetric light, god rays, lens flare, shadow, shadows, silhouette, flash,
        flash photography, spotlight, at night, at dusk, at dawn, dark, bright, sunbeam, in shade"""
    ),
    "clothing": phrases(
        """wearing, dressed, dress, sundress, gown, skirt, miniskirt, shirt, t-shirt, tshirt, t shirt, tee, blouse,
        top, tank top, crop top, sweater, jumper, pullover, hoodie, sweatshirt, cardigan, jacket, coat, overcoat,
        raincoat, trench coat, parka, blazer, suit, tuxedo, vest, waistcoat, jeans, trousers, pants, shorts,
        leggings, tights, pantyhose, stockings, thighhighs, socks, kneehighs, shoes, boots, sneakers, trainers,
        sandals, high heels, heels, slippers, barefoot, bare feet, gloves, mittens, scarf, shawl, hat, cap,
        beret, beanie, helmet, hood, crown, tiara, veil, headband, hairband, hair ribbon, hair bow,
        hair ornament, hairclip, hairpin, hair tie, ribbon, bow, bow tie, bowtie, tie, necktie, choker, collar,
        necklace, pendant, earrings, ear cuff, bracelet, bangle, ring, watch, wristwatch, belt, sash, apron,
        robe, bathrobe, pajamas, pyjamas, nightgown, uniform, school uniform, armour, armor, cape, cloak, kimono,
        yukata, hanfu, sari, overalls, jumpsuit, bodysuit, leotard, swimsuit, bikini, lingerie, underwear, bra,
        glasses, eyeglasses, spectacles, sunglasses, goggles, eyepatch, mask, face mask, headphones, headset,
        headscarf, hijab, turban, backpack, bag, handbag, purse, satchel, sleeves, long sleeves, short sleeves,
        sleeveless, off shoulder, bare shoulders, neckline, turtleneck, zipper, buttons, buttoned, lace, ruffles,
        frills, plaid, striped, polka dot, camisole, corset, poncho, pocket, pockets, outfit, clothes, clothing,
        attire, costume, jewelry, jewellery, winter clothes, sportswear, casual clothes, fur trim, footwear,
        panties, cleavage, hakama, tracksuit, wings badge, badge, brooch, spacesuit, lab coat, wedding dress,
        top hat, witch hat, straw hat"""
    ),
    "hair": phrases(
        """hair, haired, bangs, fringe, braid, braids, braided, ponytail, pigtails, twintails, twin tails, bun,
        hair bun, topknot, bob, bob cut, pixie cut, mohawk, undercut, buzz cut, dreadlocks, curls, curly, wavy,
        spiky, bald, sidelocks, ahoge, updo, makeup, make-up, lipstick, eyeliner, eyeshadow, mascara, foundation,
        face paint, nail polish, painted nails, blonde, brunette, redhead, hairstyle, wet hair, messy hair,
        hair up, hair down, hair loose"""
    ),
    "face": phrases(
        """eyes, eye, eyelashes, eyebrows, freckles, freckled, mole, beauty mark, scar, scars, wrinkles, dimples,
        beard, stubble, mustache, moustache, goatee, sideburns, jawline, jaw, cheekbones, cheeks, chin, nose,
        lips, face, facial features, skin, tan, pale, dark-skinned, complexion, fangs, ears, elf ears,
        pointed ears, animal ears, cat ears, horns, antlers, tail, wings, heterochromia, tattoo, tattoos,
        birthmark, facial hair, forehead, breasts, chest, collarbone, navel, midriff, thighs, abs, muscular,
        slim, petite, tall, build, physique, body type, whiskers, snout, fur, scales, feathers"""
    ),
    "object": phrases(
        """holding, carrying, weapon, instrument, toy, using, playing, drinking, eating, reading, writing, typing,
        cooking, throwing, catching, gripping, clutching, touching, petting, pushing, pulling, lifting,
        with a book, book, cup, mug, glass, bottle, phone, smartphone, umbrella, sword, knife, gun,
        bow and arrow, staff, wand, shield, guitar, violin, piano, microphone, camera, laptop, tablet, pen,
        pencil, flower, bouquet, balloon, ball, bicycle, bike, motorcycle, car, skateboard, newspaper, letter,
        coin, candle, lantern, torch, key, map, fan, basket, suitcase, cane, broom, dog, cat, horse, bird, food,
        cake, apple, coffee, tea, ice cream, cigarette"""
    ),
    "background": phrases(
        """background, backdrop, indoors, outdoors, outside, inside, forest, wood, woods, park, garden, field,
        meadow, beach, ocean, sea, lake, river, waterfall, mountain, mountains, hill, desert, snow, rain, sky,
        cloudy sky, night sky, starry sky, sunset, sunrise, city, cityscape, street, alley, road, bridge,
        rooftop, building, buildings, skyline, village, market, room, bedroom, living room, kitchen, bathroom,
        office, classroom, library, cafe, coffee shop, restaurant, bar, shop, store, studio, gym, hall, corridor,
        stairs, staircase, window, door, doorway, wall, brick wall, fence, floor, sofa, couch, bed, chair, desk,
        table, train, train station, station, subway, airport, castle, church, temple, ruins, cave, space,
        underwater, pool, swimming pool, stage, theatre, theater, museum, hospital, school, farm, stable, barn,
        harbour, harbor, boat, ship, plants, trees, flowers, tree, cloud, clouds, moon, water, petals, curtains,
        pillow, grass, sand, bokeh, blurred background, plain wall, gradient, scenery, landscape, interior,
        balcony, terrace, laboratory, workshop, warehouse, tent, campfire, jungle, autumn leaves,
        cherry blossoms, scene"""
    ),
    "style": phrases(
        """composition, centered, blurry, sparkle, traditional media, watermark, signature, artist name, logo,
        english text, speech bubble, centred, symmetrical, rule of thirds, depth of field,
        shallow depth of field, wide-angle lens, wide angle, telephoto, fisheye, macro, lens, 35mm, 50mm, 85mm,
        film grain, grain, photo, photograph, photography, photorealistic, realistic, illustration, painting,
        oil painting, watercolor, watercolour, sketch, line art, lineart, monochrome, greyscale, grayscale,
        black and white, sepia, anime, anime style, cartoon, comic, manga, pixel art, 3d, 3d render, render,
        concept art, flat color, flat colour, ink style, pastel style, style, retro, vintage, cinematic,
        polaroid, snapshot, selfie, film still, screenshot, drawing, minimalist, high contrast, muted colors,
        muted colours, vivid colors, vivid colours, negative space"""
    ),
}
"""Phrases by kind."""

SAME: tuple[tuple[str, ...], ...] = (
    ("close-up", "close up", "closeup", "close-up shot"),
    ("upper body", "half body", "half-body", "waist up", "waist-up", "medium shot", "mid shot"),
    ("full body", "full-body", "full shot", "full length", "full-length", "head to toe"),
    ("side view", "from the side", "from side", "profile view", "in profile", "profile"),
    ("back view", "from behind", "from the back", "rear view"),
    ("front view", "frontal view", "from the front", "straight-on"),
    ("three-quarter view", "three quarter view", "3/4 view"),
    ("sitting", "seated", "sits"),
    ("arms crossed", "crossed arms"),
    ("smiling", "smile", "smiles"),
    ("grinning", "grin"),
    ("laughing", "laugh", "laughs"),
    ("surprised", "surprise"),
    ("angry", "anger"),
    ("looking at viewer", "looking at the viewer", "looking at camera", "looking at the camera"),
    ("closed eyes", "eyes closed"),
    ("soft light", "soft lighting", "diffused light"),
    ("rim light", "rim lighting"),
    ("backlit", "backlight", "backlighting"),
    ("t-shirt", "tshirt", "t shirt", "tee"),
    ("sweater", "jumper", "pullover"),
    ("trousers", "pants"),
    ("sneakers", "trainers"),
    ("glasses", "eyeglasses", "spectacles"),
    ("tie", "necktie"),
    ("outdoors", "outside"),
    ("sofa", "couch"),
    ("cafe", "coffee shop"),
    ("photograph", "photo"),
    ("black and white", "monochrome", "greyscale", "grayscale"),
    ("makeup", "make-up"),
)
"""Words for one thing; the first is the one that we write."""

EXCLUSIVE: dict[str, tuple[tuple[str, ...], ...]] = {
    "posture": (
        ("standing",), ("sitting", "seated"), ("kneeling",), ("lying", "lying down", "reclining"),
        ("crouching", "squatting"), ("walking",), ("running",), ("jumping",), ("swimming",),
    ),
    "side": (
        ("front view", "frontal view", "from the front", "facing the camera", "straight-on"),
        ("side view", "from the side", "from side", "profile view", "in profile", "facing left", "facing right"),
        ("back view", "from behind", "from the back", "rear view", "facing away"),
    ),
    "height": (("from above", "high angle"), ("from below", "low angle"), ("eye level",)),
    "place": (("indoors",), ("outdoors", "outside")),
    "mouth": (("open mouth",), ("closed mouth",)),
    "eyes": (("closed eyes", "eyes closed", "sleeping"), ("looking at viewer", "looking at the viewer", "wide eyes")),
    "mood": (("neutral", "expressionless"), ("smiling", "smile", "laughing", "grinning"), ("angry", "scowling"),
             ("sad", "crying", "frowning")),
    "softness": (("soft light", "soft lighting", "diffused light"), ("hard light", "harsh light")),
    "warmth": (("warm light",), ("cool light",)),
    "feet": (("barefoot", "bare feet"), ("boots", "shoes", "sneakers", "sandals", "high heels")),
    "colour": (("monochrome", "black and white", "greyscale", "grayscale"), ("vivid colors", "vivid colours")),
}  # fmt: skip
"""Groups of which a picture has one at most, each as sets of words for one thing. Framings are a group beside these."""

IMPLIES: dict[str, tuple[str, ...]] = {
    "sundress": ("dress",), "gown": ("dress",), "wedding dress": ("dress",), "miniskirt": ("skirt",),
    "blouse": ("shirt",), "t-shirt": ("shirt",), "trench coat": ("coat",), "raincoat": ("coat",),
    "lab coat": ("coat",), "school uniform": ("uniform",), "sunglasses": ("glasses",), "sneakers": ("shoes",),
    "high heels": ("shoes", "heels"), "top hat": ("hat",), "witch hat": ("hat",), "straw hat": ("hat",),
    "tiara": ("crown",), "grinning": ("smiling",), "laughing": ("smiling", "open mouth"), "crying": ("sad", "tears"),
    "scowling": ("angry",), "sleeping": ("closed eyes",), "forest": ("trees", "outdoors"),
    "beach": ("sand", "outdoors"), "street": ("outdoors",), "city": ("buildings", "outdoors"),
    "mountains": ("outdoors",), "park": ("outdoors",),
    "night sky": ("sky",), "starry sky": ("sky",), "bedroom": ("room", "indoors"), "living room": ("room", "indoors"),
    "kitchen": ("room", "indoors"), "bathroom": ("room", "indoors"), "classroom": ("room", "indoors"),
    "office": ("room", "indoors"), "brick wall": ("wall",),
    "watercolor": ("painting",), "oil painting": ("painting",), "bow tie": ("bow", "tie"),
    "extreme close-up": ("close-up",), "headshot": ("portrait",),
}  # fmt: skip
"""What a word says without saying it. A longer phrase implies its own last words without an entry: red dress, dress."""

IDENTITY = phrases(
    """eyes, hair, haired, bangs, fringe, braid, braids, ponytail, pigtails, twintails, twin tails, bun, topknot,
    bob cut, pixie cut, mohawk, undercut, dreadlocks, sidelocks, ahoge, bald, blonde, brunette, redhead, skin,
    dark-skinned, pale-skinned, complexion, ears, horns, horn, antlers, tail, wings, fangs, freckles, freckled,
    mole, beauty mark, birthmark, scar, scars, tattoo, tattoos, beard, stubble, mustache, moustache, goatee,
    jawline, jaw, cheekbones, dimples, heterochromia, eyebrows, eyelashes, whiskers, fur, muscular build,
    slim build, wrinkles, facial hair, facial features, breasts, flat chest, abs"""
)
"""Last words of what the character itself is: a starting point, to which a recipe adds its own."""

VARIES = phrases(
    """closed eyes, eyes closed, half-closed eyes, narrowed eyes, wide eyes, one eye closed, rolling eyes,
    tears in eyes, wet hair, messy hair, hair up, hair down, hair loose, tied hair, wind-blown hair,
    windblown hair, hair ornament, hair bow, hair ribbon, hair tie, hairband, makeup, make-up, lipstick,
    eyeliner, eyeshadow, mascara, nail polish, painted nails, face paint, cat ears headband, wet skin,
    raised eyebrow, raised eyebrows, furrowed eyebrows, wings spread, fur trim, fur coat, fur collar, fur hat"""
)
"""What ends like a feature of the character, and changes from picture to picture."""

FORBIDDEN = phrases(
    """nose, solo, solo focus, male focus, female focus, virtual youtuber, 1girl, 1boy, 1woman, 1man, masterpiece,
    best quality, high quality, highest quality, top quality, amazing quality, 8k, 4k, uhd, hdr, ultra detailed,
    highly detailed, extremely detailed, intricate details, award-winning, award winning, trending on artstation,
    absurdres, highres, hi-res, stunning, beautiful, gorgeous, attractive, perfect, flawless, breathtaking,
    professional quality, high resolution, sharp focus"""
)
"""What every picture has, or no picture shows: learnt as part of the character, or as nothing."""

HEDGES = phrases(
    """appears to be, appears to, seems to be, seems to, possibly, probably, perhaps, what looks like, might be,
    may be, this image shows, the image shows, this image, the image, in this picture, this picture shows,
    this photo shows, there is, we can see, can be seen, is visible, are visible"""
)
"""How a model hedges and introduces; nothing of the picture is said by it."""
