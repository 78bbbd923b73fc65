"""What cleanvision and imagehash say of folders of pictures. Runs in an environment of its own, without portraitist.

python3 -m venv peers && peers/bin/pip install cleanvision imagehash
peers/bin/python benchmarks/audit_peers.py quality FOLDER      issues of every picture, as JSON
peers/bin/python benchmarks/audit_peers.py twins FOLDER ...    pairs of every folder, as JSON
peers/bin/python benchmarks/audit_peers.py speed FOLDER        seconds of all checks but duplicates, and of all
"""

import json
import sys
import time
from itertools import combinations
from pathlib import Path

QUALITY = ("blurry", "dark", "light", "low_information", "grayscale", "odd_aspect_ratio", "odd_size")


def main() -> None:
    """Do what the first argument says, and write JSON to the standard output."""
    from cleanvision import Imagelab

    what, folders = sys.argv[1], sys.argv[2:]
    out, sys.stdout = sys.stdout, sys.stderr
    found: object
    if what == "quality":
        lab = Imagelab(data_path=folders[0])
        lab.find_issues({name: {} for name in QUALITY}, n_jobs=1, verbose=False)
        table = lab.issues
        found = {Path(name).name: [q for q in QUALITY if bool(row[f"is_{q}_issue"])] for name, row in table.iterrows()}
    elif what == "twins":
        found = [twins(Path(folder)) for folder in folders]
    else:
        found = {}
        for name, kinds in (("quality", {q: {} for q in QUALITY}), ("all", None)):
            began, used = time.perf_counter(), time.process_time()
            Imagelab(data_path=folders[0]).find_issues(kinds, n_jobs=1, verbose=False)
            found[name] = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    json.dump(found, out)


def twins(folder: Path) -> dict[str, list[list[str]]]:
    """Pairs of one folder, by cleanvision and by imagehash's pHash within 6 and within 10 of 64 bits."""
    import imagehash
    from cleanvision import Imagelab
    from PIL import Image

    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [group for kind in ("exact_duplicates", "near_duplicates") for group in lab.info[kind]["sets"]]
    pairs = {"cleanvision": [sorted(map(name_of, pair)) for group in sets for pair in combinations(group, 2)]}
    hashes = {path.name: imagehash.phash(Image.open(path)) for path in sorted(folder.iterdir())}
    for most in (6, 10):
        pairs[f"imagehash {most}"] = [
            [a, b] for a, b in combinations(sorted(hashes), 2) if hashes[a] - hashes[b] <= most
        ]
    return pairs


def name_of(path: str) -> str:
    """The file's own name."""
    return Path(path).name


if __name__ == "__main__":
    main()
