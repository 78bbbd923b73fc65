"""A file written tensor by tensor is the library's own; one that fails on its way is none; reading holds nothing."""

import pytest
import safetensors.torch
import torch

from portraitist import durable, tensorfile
from portraitist.errors import PortraitistError

TENSORS = {
    "z": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a": torch.tensor(7, dtype=torch.int64),
    "m": torch.randn(3, 1, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16),
    "codes": torch.arange(5, dtype=torch.uint8),
    "half": torch.ones(3, dtype=torch.float16),
    "eighth": torch.ones(3).to(torch.float8_e4m3fn),
    "double": torch.tensor([0.1], dtype=torch.float64),
    "none": torch.empty(0, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "signs": torch.tensor([True, False]),
}


@pytest.mark.parametrize("metadata", [{}, {"format": "1", "a": "ü"}])
def test_its_bytes_are_those_of_safetensors(metadata, tmp_path):
    tensorfile.write(tmp_path / "ours", TENSORS, metadata)
    whole = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    theirs = safetensors.torch.save(whole, metadata=metadata or None)
    assert (tmp_path / "ours").read_bytes() == durable.sorted_header(theirs)


def test_a_tensor_is_made_when_its_turn_comes_and_read_back_it_is_equal(tmp_path):
    made = []

    def later(name):
        made.append(name)
        return TENSORS[name]

    plans = {n: tensorfile.Planned(tuple(t.shape), t.dtype, lambda n=n: later(n)) for n, t in TENSORS.items()}
    pieces = tensorfile.chunks(plans, {})
    next(pieces)
    assert made == []
    next(pieces)
    assert made == ["a"], "the first in the file's order"
    tensorfile.write(tmp_path / "f", plans)
    back = tensorfile.read(tmp_path / "f")
    assert back.keys() == TENSORS.keys()
    for name, tensor in back.items():
        assert tensor.dtype == TENSORS[name].dtype
        assert tensor.float().equal(TENSORS[name].float()), name


def test_one_that_fails_on_its_way_leaves_what_was_there(tmp_path):
    tensorfile.write(tmp_path / "f", {"a": torch.ones(2)})
    before = (tmp_path / "f").read_bytes()

    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tensorfile.write(tmp_path / "f", {"a": tensorfile.Planned((2,), torch.float32, fails)})
    assert (tmp_path / "f").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    (tmp_path / "f").write_bytes(before[:-1])
    with pytest.raises(PortraitistError, match="damaged"):
        tensorfile.read(tmp_path / "f")


def test_what_was_read_stays_when_the_file_is_replaced_or_let_go(tmp_path):
    tensorfile.write(tmp_path / "f", {"a": torch.ones(3)})
    held = tensorfile.read(tmp_path / "f")["a"]
    tensorfile.write(tmp_path / "f", {"a": torch.zeros(3)})
    durable.remove(tmp_path / "f")
    assert held.equal(torch.ones(3))


def test_a_file_that_does_not_hold_what_was_written_is_told(tmp_path):
    path = tmp_path / "ours"
    tensorfile.write(path, TENSORS, {"a": "1"})
    tensorfile.confirm(path, TENSORS, {"a": "1"})
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole + b"x", whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:], b""):
        path.write_bytes(spoilt)
        with pytest.raises(PortraitistError, match="does not hold what was written"):
            tensorfile.confirm(path, TENSORS, {"a": "1"})


def test_a_file_that_ends_early_is_told(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    place = memoryview(bytearray(4))
    assert b"".join(map(bytes, durable.read_pieces(tmp_path / "a", 3, 7, place))) == b"3456789"
    with pytest.raises(PortraitistError, match="ends before"):
        list(durable.read_pieces(tmp_path / "a", 3, 8, place))
