"""Dataset configs of sd-scripts, one pair a rule: what triggers it, and its repaired form."""

from pathlib import Path

from tests.doctoring import pictures

GENERAL = 'enable_bucket = true\nmax_bucket_reso = 2048\ncaption_extension = ".txt"\n'


def dataset(subset: str = 'image_dir = "pics"', own: str = "resolution = 1024", general: str = GENERAL) -> str:
    """A config of one dataset with one subset."""
    return f"[general]\n{general}[[datasets]]\n{own}\n[[datasets.subsets]]\n{subset}\n"


def folder(name: str, more: str = "") -> str:
    """A config of one folder."""
    return dataset(f'image_dir = "{name}"\n{more}')


def made(place: Path) -> Path:
    """Folders that the configs name."""
    pictures(place / "pics", 2)
    pictures(place / "10_maya", 2)
    pictures(place / "bare", 2, caption="")
    pictures(place / "long", 1, caption=", ".join(["red dress"] * 60))
    pictures(place / "lines", 1, caption="maya\nred dress")
    pictures(place / "empty", 1)
    (place / "empty" / "0.txt").write_text("")
    (place / "nothing").mkdir()
    pictures(place / "crops", 2)
    (place / "crops" / "1.png").rename(place / "crops" / "0_face.png")
    return place


SPLIT = "resolution = 1024\nvalidation_split = 0.1\nvalidation_seed = 1"
CASES = {
    "misplaced-key": (folder("pics", "validation_split = 0.1"), dataset(own=SPLIT)),
    "unknown-key-in-dataset": (folder("pics", "shuffle_captions = true"), folder("pics", "shuffle_caption = true")),
    "wrong-type": (dataset(own='resolution = "1024,1024"'), dataset(own="resolution = [1024, 1024]")),
    "mixed-subsets": (
        dataset('image_dir = "pics"\n[[datasets.subsets]]\nimage_dir = "bare"\nmetadata_file = "m.json"'),
        dataset(),
    ),
    "no-folder-key": (dataset("num_repeats = 2"), dataset()),
    "no-datasets": ("[general]\nshuffle_caption = true\n", dataset()),
    "folder-all-empty": (folder("nothing"), dataset()),
    "folder-not-here": (folder("nowhere"), dataset()),
    "folder-empty": (folder("nothing"), dataset()),
    "repeats-in-name": (folder("10_maya"), folder("10_maya", "num_repeats = 10")),
    "keep-tokens-idle": (folder("pics", "keep_tokens = 1"), folder("pics", "keep_tokens = 1\nshuffle_caption = true")),
    "extension-default": (
        dataset('image_dir = "nowhere"', general=GENERAL.replace('caption_extension = ".txt"\n', "")),
        folder("nowhere"),
    ),
    "extension-without-dot": (folder("pics", 'caption_extension = "txt"'), dataset()),
    "captions-not-read": (folder("pics", 'caption_extension = ".caption"'), dataset()),
    "captions-missing": (folder("bare"), dataset()),
    "captions-empty": (folder("empty"), dataset()),
    "captions-first-line": (folder("lines"), folder("lines", "enable_wildcard = true")),
    "captions-too-long": (folder("long"), dataset()),
    "duplicate-folder": (
        dataset('image_dir = "pics"\n[[datasets.subsets]]\nimage_dir = "pics"'),
        dataset('image_dir = "pics"\n[[datasets.subsets]]\nimage_dir = "bare"'),
    ),
    "repeats-zero": (folder("pics", "num_repeats = 0"), dataset()),
    "no-buckets": (dataset(general='caption_extension = ".txt"\n'), dataset()),
    "bucket-steps": (dataset(own="resolution = 1024\nbucket_reso_steps = 48"), dataset()),
    "bucket-range": (dataset(own="resolution = 1280\nmax_bucket_reso = 1024"), dataset(own="resolution = 1280")),
    "bucket-ceiling": (dataset(own="resolution = 1024\nmax_bucket_reso = 1024"), dataset()),
    "resolution-of-command": (dataset(own="batch_size = 1"), dataset()),
    "reg-images": (folder("pics", "is_reg = true"), dataset()),
    "masks-need-flag": (folder("pics", 'conditioning_data_dir = "pics"'), dataset()),
    "validation-leak": (dataset(own=SPLIT.replace("\nvalidation_seed = 1", "")), dataset(own=SPLIT)),
    "cache-info-with-validation": (
        dataset('image_dir = "pics"\ncache_info = true', SPLIT),
        folder("pics", "cache_info = true"),
    ),
    "folder-crops": (dataset('image_dir = "crops"', SPLIT), dataset(own=SPLIT)),
    "validation-out-of-range": (dataset(own="resolution = 1024\nvalidation_split = 1.5"), dataset(own=SPLIT)),
}
