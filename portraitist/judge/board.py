"""TensorBoard files of a run: a reader of its events, and of nothing else.

Written anew each time from the first event on, so equal records make equal files, and a run that was cut back to a
checkpoint leaves nothing of what it lost.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from portraitist import durable
from portraitist.events import Chosen, Event, Failed, Scored, Stepped, Warned
from portraitist.runs import RunFolder

FOLDER, NAME = "tensorboard", "events.out.tfevents.portraitist"
"""TensorBoard takes every file with "tfevents" in its name."""

CURVES = {
    "train/loss": "loss",
    "train/gradient_norm": "gradient",
    "train/rate": "rate",
    "train/seconds_a_step": "seconds",
    "train/memory_gb": "memory_gb",
}
"""Tags and the fields of a step that they show."""


def write(run: RunFolder) -> int:
    """Write the run's record as `tensorboard/` in its folder; returns how many points it holds.

    A file whose bytes would stay the same is left alone, so that a TensorBoard that watches it does not start over.
    """
    data, count = packed(run.log.events())
    path = run.path / FOLDER / NAME
    if not (path.is_file() and path.read_bytes() == data):
        durable.write_bytes(path, data)
    return count


def packed(events: Iterable[Event]) -> tuple[bytes, int]:
    """Events as the bytes of one TensorBoard file (TFRecords of `Event` messages), and how many points it holds."""
    from tensorboard.compat.proto.event_pb2 import Event as Message
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    told = list(events)
    newest = {event.step: i for i, event in enumerate(told) if isinstance(event, Stepped)}
    buffer, count = io.BytesIO(), 0
    writer = RecordWriter(buffer)
    for i, event in enumerate(told):
        if isinstance(event, Stepped) and newest[event.step] != i:
            continue  # taken again after a cut: TensorBoard would draw both
        if not buffer.tell():
            writer.write(Message(wall_time=event.at, file_version="brain.Event:2").SerializeToString())
        for step, value in points(event):
            summary = Summary(value=[value(Summary)])
            writer.write(Message(wall_time=event.at, step=step, summary=summary).SerializeToString())
            count += 1
    return buffer.getvalue(), count


def points(event: Event) -> Iterator[tuple[int, Any]]:
    """What an event puts on the board: its step, and how its value is made from the Summary class."""
    match event:
        case Stepped():
            for tag, name in CURVES.items():
                yield event.step, scalar(tag, getattr(event, name))
        case Scored():
            for name, mean in event.scores.items():
                yield event.step, scalar(f"judge/{name}/{drawn(event)}", mean)
        case Chosen():
            yield event.step, text("choice", f"Step {event.step} at strength {event.strength:g}. {event.why}")
        case Warned():
            yield 0, text("warnings", f"{event.says} {event.remedy}".strip())
        case Failed():
            yield 0, text("failures", f"{event.verb}: {event.problem} {event.remedy}".strip())


def drawn(event: Scored) -> str:
    """How the pictures of a score were drawn; guidance and a second LoRA only where there is something to say."""
    guided = f", guidance {event.guidance:g}" if event.guidance else ""
    beside = f", beside another at {event.beside.partition('@')[2]}" if event.beside else ""
    return f"{event.stage} at {event.strength:g}{guided}{beside}"


def scalar(tag: str, number: float) -> Any:
    """A number under a tag."""
    return lambda summary: summary.Value(tag=tag, simple_value=number)


def text(tag: str, words: str) -> Any:
    """Words under a tag, for TensorBoard's text page."""
    from tensorboard.plugins.text.summary_v2 import text_pb

    def value(summary: Any) -> Any:
        return text_pb(tag, words).value[0]

    return value
