"""Validation during training: the same figures for any number of processes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.evaluate.store import Part
from inference.evaluate.validate import StreamValidation, T, Validation
from soundflow.errors import Stopped
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import Checkpoint
from soundflow.shards.reader import ShardSet
from tests.inference.engines import make_engine, write_split

ENGINE = make_engine()
CHECKPOINT = Checkpoint(ENGINE.model, ENGINE.tokenizer, ENGINE.spec, TrainingFacts(400))


class Ranks:
    """Processes as threads, which hand each other their values in turns."""

    def __init__(self, world: int) -> None:
        self._values: list[object] = [None] * world
        self._barrier = threading.Barrier(world)
        self._turn = threading.Lock()
        self.world = world

    def run(
        self, validate: StreamValidation, poll: Callable[[int], None] = lambda rank: None
    ) -> list[Validation | Stopped]:
        found: dict[int, Validation | Stopped] = {}

        def work(rank: int) -> None:
            def gather(value: T) -> list[T]:
                self._values[rank] = value
                self._turn.release()
                self._barrier.wait()
                everything = list(self._values)
                self._barrier.wait()
                self._turn.acquire()
                return everything  # type: ignore[return-value]

            with self._turn:
                part = Part(rank, self.world)
                try:
                    found[rank] = validate(CHECKPOINT, part, gather, lambda: poll(rank))
                except Stopped as stopped:
                    found[rank] = stopped

        threads = [threading.Thread(target=work, args=(k,)) for k in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[k] for k in range(self.world)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[ShardSet]:
    """Two splits whose streams have the same ids."""
    folder: Path = tmp_path_factory.mktemp("validate")
    write_split(ENGINE, folder / "a", 4)
    write_split(ENGINE, folder / "b", 3)
    return [ShardSet(folder / "a"), ShardSet(folder / "b")]


@pytest.fixture(scope="module")
def whole(splits: list[ShardSet]) -> Validation:
    return StreamValidation(splits, 7, 6)(CHECKPOINT)


def test_every_stream_is_measured_and_a_threshold_is_chosen(
    splits: list[ShardSet], whole: Validation
) -> None:
    wanted = whole.figures["wanted"]
    events = [e for s in splits for i in range(len(s)) for e in s.record(i).events]
    assert wanted == sum(event.must_respond for event in events) > 0
    assert 0 <= whole.figures["f1_se"] < 1
    assert {"f1", "recall", "false_per_hour", "said", "threshold"} <= set(whole.figures)
    assert all(isinstance(value, float) for value in whole.figures.values())
    if whole.calibration is not None:
        assert whole.calibration["n_streams"] == 7
        assert whole.calibration["threshold"] == whole.figures["threshold"]
    verdicts = [line.verdict for line in whole.transcripts]
    assert verdicts.count("hit") + verdicts.count("miss") == wanted
    assert len(verdicts) - verdicts.count("miss") == whole.figures["said"]


@pytest.mark.parametrize("world", [2, 5])
def test_figures_do_not_depend_on_the_number_of_processes(
    splits: list[ShardSet], whole: Validation, world: int
) -> None:
    """Of five processes one has no stream to measure, two none to calibrate on."""
    found = Ranks(world).run(StreamValidation(splits, 7, 6))
    assert all(one == whole for one in found)


def test_a_process_that_is_asked_to_stop_while_it_decodes_ends_the_validation_of_all(
    splits: list[ShardSet],
) -> None:
    passes = [0, 0]

    def poll(rank: int) -> None:
        passes[rank] += 1
        if rank == 1 and passes[rank] == 10:
            raise Stopped(15, together=True)

    found = Ranks(2).run(StreamValidation(splits, 7, 6), poll)
    assert [type(one) for one in found] == [Stopped, Stopped]
    assert passes[1] == 10, "in the middle of a stream"
    assert passes[0] > 10


def test_the_choice_of_streams_is_fixed_and_the_model_stays_in_training(
    splits: list[ShardSet],
) -> None:
    ENGINE.model.train()
    try:
        few = StreamValidation(splits, 3, 6)
        assert len(few) == 3
        assert few(CHECKPOINT) == StreamValidation(splits, 3, 6)(CHECKPOINT)
        assert ENGINE.model.training
    finally:
        ENGINE.model.eval()


def test_one_stream_is_measured_without_a_choice(splits: list[ShardSet]) -> None:
    found = StreamValidation(splits, 1, 6)(CHECKPOINT)
    assert found.calibration is None
    assert found.figures["threshold"] == 0.5


def test_a_damaged_stream_is_named_and_its_events_are_misses(
    splits: list[ShardSet], whole: Validation, tmp_path: Path
) -> None:
    """A flipped byte in the audio: the index is whole, so nothing shows before it is decoded."""
    folder = tmp_path / "a"
    shutil.copytree(splits[0].folder, folder)
    (tar,) = folder.glob("*.tar")
    audio = splits[0].entry(1).members["flac"]
    content = bytearray(tar.read_bytes())
    content[audio.offset + audio.size // 2] ^= 0xFF
    tar.write_bytes(content)
    found = StreamValidation([ShardSet(folder), splits[1]], 7, 6)(CHECKPOINT)
    assert whole.figures["failures"] == 0
    assert not whole.failures
    assert found.figures["failures"] == 1
    assert found.figures["wanted"] == whole.figures["wanted"]
    (named,) = found.failures
    assert named.startswith(f"s1: unreadable audio: damaged shard {tar}")
    (line,) = [line for line in found.transcripts if line.verdict == "failed"]
    assert named == f"{line.stream}: {line.said}"
    assert [t.verdict for t in found.transcripts if t.stream == "s1"].count("miss") >= 1
