"""Ten thousand malformed adapter files: each is read or refused in two lines, and none takes memory by its word."""

import json
import random
import resource
import time

import pytest
import safetensors.torch
import torch

from portraitist.adapters import files
from portraitist.errors import PortraitistError
from tests.kills import tell

pytestmark = pytest.mark.proof

COUNT = 10_000
SIZES = (-1, 0, 1, 2**31, 2**40, 2**63, 2**64, 10**30, 1.5, "9", None, [], {}, True)
TYPES = ("F32", "F16", "BF16", "F64", "F8_E4M3", "I64", "U8", "BOOL", "F128", "", 7, None, [], "F32\0")


def adapter():
    """A small file of LoRA and LoHa factors in several types."""
    found = {}
    for i, dtype in enumerate((torch.float32, torch.float16, torch.bfloat16)):
        found[f"blocks.{i}.to_q.lora_A.weight"] = torch.randn(4, 64).to(dtype)
        found[f"blocks.{i}.to_q.lora_B.weight"] = torch.randn(64, 4).to(dtype)
        found[f"blocks.{i}.to_q.alpha"] = torch.tensor(2.0).to(dtype)
    found |= {f"mid.hada_w{j}_{half}": torch.randn(8, 8) for j in (1, 2) for half in "ab"}
    return safetensors.torch.save(found, {"format": "pt"})


def header_spoilt(data, chance):
    """The file with one to three facts of its header made false."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for _ in range(chance.randrange(1, 4)):
        name = chance.choice([name for name in header if name != "__metadata__"])
        entry, how = header[name], chance.randrange(8)
        if how == 0:
            entry["dtype"] = chance.choice(TYPES)
        elif how == 1:
            entry["shape"] = chance.choice(([2**20] * 12, [chance.choice(SIZES) for _ in range(chance.randrange(5))]))
        elif how == 2:
            entry["data_offsets"] = [chance.choice(SIZES), chance.choice(SIZES)]
        elif how == 3:
            entry["data_offsets"] = header[chance.choice([n for n in header if n != "__metadata__"])].get(
                "data_offsets"
            )
        elif how == 4:
            header[name] = chance.choice(SIZES)
            break
        elif how == 5:
            del entry[chance.choice(list(entry))]
            break
        elif how == 6:
            header["__metadata__"] = chance.choice(SIZES)
        else:
            header[chance.choice(("", "\x1b[2J", "x" * 10_000, "a\nb", name + ".lora_A.weight"))] = dict(entry)
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + data[8 + size :]


def bytes_spoilt(data, chance):
    """The file with bytes turned, taken out or put in, cut off, or with another length in front."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        at, how = chance.randrange(max(1, len(found))), chance.randrange(5)
        if how == 0 and found:
            found[at] = chance.randrange(256)
        elif how == 1:
            del found[at : at + chance.randrange(1, 60)]
        elif how == 2:
            found[at:at] = chance.randbytes(chance.randrange(1, 60))
        elif how == 3:
            del found[at:]
        else:
            found[:8] = chance.choice((0, 1, 10**6, 10**9, 2**40, 2**63, 2**64 - 1)).to_bytes(8, "little")
    return bytes(found)


def nested(data, chance):
    """A header of brackets alone, or one number of many digits."""
    text = chance.choice((b"[" * 50_000, b'{"a":' * 20_000, b'{"a":' + b"9" * 50_000 + b"}", b"\xff" * 999, b"null"))
    return len(text).to_bytes(8, "little") + text


def test_a_malformed_file_is_read_or_refused_and_takes_no_memory_by_its_word(tmp_path):
    chance, data, path = random.Random(8), adapter(), tmp_path / "a.safetensors"
    counts, slowest = {"read": 0, "refused": 0}, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(COUNT):
        spoil = chance.choices((header_spoilt, bytes_spoilt, nested), (6, 5, 1))[0]
        path.write_bytes(spoil(data, chance))
        began = time.process_time()
        try:
            tensors, _ = files.read(path)
            assert sum(tensor.nbytes for tensor in tensors.values()) <= path.stat().st_size, i
            counts["read"] += 1
        except PortraitistError as error:
            counts["refused"] += bool(error.problem and error.remedy)
        slowest = max(slowest, time.process_time() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    tell(f"{counts} slowest {1000 * slowest:.1f} ms of CPU, memory grew by {grown / 1000:.1f} MB")
    assert counts["refused"] > COUNT // 2
    assert sum(counts.values()) == COUNT, "each refusal has a problem and a remedy"
    assert grown < 30_000, "kilobytes: the interpreter's own, and of a file of 11 kB twice"
