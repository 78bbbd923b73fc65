"""Small adapters on layers of the published trees, and what they come to: for tests of names and files."""

import torch

from portraitist.adapters import content, dialects, trees
from portraitist.adapters.fused import apart


def words(family):
    return dialects.lexicon(family, tuple(trees.shapes(family)))


def lora(family, modules, rank=2, alpha=None, dtype=torch.float32, seed=0):
    """Factors of some layers by canonical names, random; `rank` a number or one per module."""
    draw, found = torch.Generator().manual_seed(seed), {}
    for i, module in enumerate(modules):
        shape = trees.shapes(family)[module]
        r = rank if isinstance(rank, int) else rank[i]
        ones = (1,) * (len(shape) - 2)
        found[module] = {
            "down": torch.randn(r, *shape[1:], generator=draw).to(dtype),
            "up": torch.randn(shape[0], r, *ones, generator=draw).to(dtype),
        }
        if alpha is not None:
            found[module]["alpha"] = torch.as_tensor(alpha(r), dtype=dtype)
    return found


def singles(family, parts):
    """A content of layers by canonical modules, as the unfused dialects have them."""
    return content.Content(
        tuple(content.Layer(module, dialects.Entry((module,), False, ()), each) for module, each in parts.items()),
        (),
    )


def written(parts, row):
    return content.write(singles(row.family, parts), row, trees.shapes(row.family))


def modules_of(said, family):
    """What a content says by canonical modules."""
    tree = trees.shapes(family)
    return {
        module: parts
        for layer in said.layers
        for module, parts in apart(layer.name, layer.entry, layer.tensors, tree).items()
    }


def equal(one, other):
    """Names, types, shapes and bytes: zero and minus zero are two things."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert tensor.shape == other[name].shape, name
        assert bits(tensor) == bits(other[name]), name


def bits(tensor):
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def probed(down, up, scale=1.0):
    """What a change of a weight does to one input: enough to tell any two apart."""
    x = torch.linspace(-1, 1, down[0].numel(), dtype=torch.float64)
    return scale * (up.double().flatten(1) @ (down.double().flatten(1) @ x))


def scale(parts):
    rank = len(parts["down"])
    return float(parts.get("alpha", rank)) / rank
