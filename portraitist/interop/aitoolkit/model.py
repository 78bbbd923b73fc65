"""ai-toolkit: what becomes of `model` and `network`."""

from collections.abc import Iterator

from portraitist.interop.aitoolkit.process import Process
from portraitist.interop.diagnosis import Remark
from portraitist.interop.nearest import asked


def model(process: Process) -> Iterator[Remark]:
    """Which loader the model comes to, and in what it is held."""
    if not process.get("model", "name_or_path"):
        yield process.say("no-model", "model")
    yield from family(process)
    yield from quantising(process)
    for key in ("attn_masking", "split_model_over_gpus"):
        if process.flag("model", key) and not process.flag("model", "is_flux"):
            yield process.say("flux-only", "model", key, key=key)
    if process.recovery and process.get("model", "assistant_lora_path"):
        yield process.say("recovery-assistant", "model", "assistant_lora_path")


def family(process: Process) -> Iterator[Remark]:
    """arch, and the flags of old."""
    keys = process.rules.keys
    flags = [key for key in process.section("model") if key.startswith("is_") and key != "is_v_pred"]
    raised = [key for key in flags if key in keys["flags"] and process.flag("model", key)]
    said = process.text("model", "arch")
    meant = process.named_arch or "qwen_image"
    for key in flags:
        if key not in keys["flags"]:
            yield process.say("no-such-flag", "model", key, key=key, arch=meant)
    known = [*keys["unets"], *keys["old_flows"], *keys["old_others"], *keys["flows"]]
    if not process.said_arch and process.name_or_path:
        if process.named_arch:
            yield process.say("no-arch", "model", name=process.name_or_path, arch=meant)
        elif not any(word in process.name_or_path.lower() for word in ("v1-5", "v1-4", "sd15", "sd1", "1.5")):
            yield process.say("arch-default", "model", name=process.name_or_path)
    if said and process.arch not in known:
        near = asked(process.arch, known)
        rule = "unknown-arch" if near or process.named_arch else "own-arch"
        yield process.say(rule, "model", "arch", value=repr(said), near=near, arch=meant)
    for key in raised:
        if said and keys["flags"][key] != process.arch and process.arch != "flex2":
            yield process.say("arch-flags", "model", key, arch=process.arch, flag=key)


def quantising(process: Process) -> Iterator[Remark]:
    """What the weights are really held in."""
    keys, on = process.rules.keys, process.flag("model", "quantize")
    kind = process.text("model", "qtype", default="qfloat8").partition("|")[0]
    if process.has("model", "quantize_dtype"):
        value = str(process.get("model", "quantize_dtype"))
        wanted = value if value in keys["qtypes"] else "int8" if "8" in value else "qfloat8"
        fields = {"qtype": process.quantised, "value": value, "wanted": wanted}
        yield process.say("quantize-dtype", "model", "quantize_dtype", key="quantize_dtype", **fields)
    for key, counts in (("qtype", on), ("qtype_te", process.flag("model", "quantize_te", default=on))):
        value = process.text("model", key).partition("|")[0]
        if counts and value and value not in keys["qtypes"]:
            near = asked(value, keys["qtypes"])
            yield process.say("unknown-qtype", "model", key, key=key, value=repr(value), near=near)
    if not on and process.text("model", "qtype") and not process.has("model", "quantize"):
        value = process.text("model", "qtype")
        yield process.say("qtype-idle", "model", "qtype", value=value, dtype=process.quantised)
    if on and not process.has("model", "quantize_te"):
        qtype = kind if process.arch == "flux" else process.text("model", "qtype_te", default="qfloat8")
        yield process.say("quantize-text", "model", "quantize", qtype=qtype)
    if on and kind in keys["few_bits"] and not process.recovery:
        yield process.say("few-bits", "model", "qtype", value=kind)
    said = process.text("model", "qtype_te")
    if process.arch == "flux" and said and said != kind and process.flag("model", "quantize_te", default=on):
        yield process.say("flux-text-qtype", "model", "qtype_te", value=said, qtype=kind)


def network(process: Process) -> Iterator[Remark]:
    """Rank and alpha as they take effect."""
    if not process.section("network"):
        return
    rank, kind = process.rank, process.text("network", "type", default="lora").lower()
    if kind == "lokr" and process.flag("network", "lokr_full_rank", default=True):
        if process.has("network", "linear") and not process.has("network", "lokr_full_rank"):
            yield process.say("lokr-full", "network", "linear", rank=rank)
        return
    if not process.get("network", "linear") and not process.get("network", "rank"):
        yield process.say("rank-default", "network")
    both = process.get("network", "linear"), process.get("network", "rank")
    if None not in both and both[0] != both[1]:
        yield process.say("rank-twice", "network", "rank", linear=both[0], rank=both[1])
    low, high = process.rules.keys["ranks"].get(process.family, (1, 10**9))
    if not low <= rank <= high:
        at = "rank" if process.has("network", "rank") else "linear"
        yield process.say("rank-range", "network", at, rank=rank, family=process.family, low=low, high=high)
    yield from alpha(process, rank)


def alpha(process: Process, rank: int) -> Iterator[Remark]:
    """Alpha counts with UNets alone."""
    key = "linear_alpha" if process.has("network", "linear_alpha") else "alpha"
    said = process.number("network", key, default=-1)
    if process.transformer and said >= 0:
        if said == rank:
            yield process.say("alpha-equal", "network", key, arch=process.arch)
        else:
            fields = {"alpha": said, "arch": process.arch, "rank": rank, "scale": said / max(rank, 1)}
            yield process.say("alpha-ignored", "network", key, **fields)
    if process.unet and said < 0 and rank > 1:
        yield process.say("alpha-one", "network", rank=rank, share=1 / rank)
