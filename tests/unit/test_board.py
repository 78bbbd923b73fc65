"""What TensorBoard's own reader finds in our files is what the record says."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from portraitist.events import Chosen, Scored, Started, Stepped, Warned
from portraitist.judge import board
from portraitist.runs import RunFolder


def step(number: int, loss: float) -> Stepped:
    """One step at a known time."""
    return Stepped(step=number, loss=loss, gradient=0.5, rate=1e-3, seconds=0.25, memory_gb=1.5, at=1000.0 + number)


@pytest.fixture
def run(tmp_path):
    """A run with a short record."""
    found = RunFolder(tmp_path / "runs" / "a")
    for event in (
        Started(verb="train", at=999.0, pid=1), step(1, 0.5), step(2, 0.25),
        Scored(step=2, strength=0.85, stage="grid", scores={"identity": 0.75, "agreement": 0.5}, at=1003.0),
        Chosen(step=2, strength=0.85, why="It is the only one.", at=1004.0),
        Warned(says="Hot.", remedy="Cool it.", at=1005.0),
    ):  # fmt: skip
        found.log.append(event)
    return found


def read(run: RunFolder) -> EventAccumulator:
    """The run as TensorBoard sees it."""
    found = EventAccumulator(str(run.path / board.FOLDER), size_guidance={"scalars": 0, "tensors": 0})
    return found.Reload()


def test_tensorboard_reads_back_every_step_with_its_time(run):
    assert board.write(run) == 2 * 5 + 2 + 1 + 1
    found = read(run)
    assert [(e.step, e.value, e.wall_time) for e in found.Scalars("train/loss")] == [
        (1, 0.5, 1001.0),
        (2, 0.25, 1002.0),
    ]
    assert [e.value for e in found.Scalars("train/memory_gb")] == [1.5, 1.5]
    assert found.Scalars("judge/identity/grid at 0.85")[0].value == 0.75


def test_words_are_on_the_text_page(run):
    board.write(run)
    said = read(run).Tensors("choice")[0].tensor_proto.string_val[0].decode()
    assert said == "Step 2 at strength 0.85. It is the only one."
    assert read(run).SummaryMetadata("warnings").plugin_data.plugin_name == "text"


def test_writing_again_leaves_the_file_alone_until_there_is_more(run):
    board.write(run)
    path = run.path / board.FOLDER / board.NAME
    before = path.stat()
    board.write(run)
    assert path.stat().st_ino == before.st_ino
    run.log.append(step(3, 0.125))
    board.write(run)
    assert [e.value for e in read(run).Scalars("train/loss")] == [0.5, 0.25, 0.125]
    assert len(list(path.parent.iterdir())) == 1


def test_a_step_taken_again_is_on_the_board_once(run):
    run.log.append(step(2, 0.125))
    board.write(run)
    assert [(e.step, e.value) for e in read(run).Scalars("train/loss")] == [(1, 0.5), (2, 0.125)]


def test_a_run_without_a_record_makes_an_empty_board(tmp_path):
    assert board.write(RunFolder(tmp_path / "b")) == 0


def test_scores_of_other_guidance_and_beside_another_lora_have_curves_of_their_own(tmp_path):
    run = RunFolder(tmp_path / "runs" / "b")
    for guidance, beside in ((0.0, ""), (3.0, ""), (0.0, "abc@0.5"), (0.0, "abc@1")):
        scores = {"identity": guidance + len(beside)}
        run.log.append(Scored(step=2, strength=1.0, stage="grid", scores=scores, guidance=guidance, beside=beside))
    board.write(run)
    tags = read(run).Tags()["scalars"]
    ends = ("", ", guidance 3", ", beside another at 0.5", ", beside another at 1")
    assert sorted(tags) == sorted(f"judge/identity/grid at 1{end}" for end in ends)
