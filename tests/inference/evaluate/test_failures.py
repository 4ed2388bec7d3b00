"""Every way to fail, from recipe to results: one row each, named, in every denominator."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.benchmarks.librispeech import LibriSpeechConfig
from inference.evaluate.recipe import EvaluateRecipe, ReportConfig
from inference.evaluate.run import evaluate
from inference.evaluate.suite import BenchmarksConfig
from inference.evaluate.systems import model as model_module
from inference.evaluate.timing.config import TimingConfig
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from soundflow.shards.reader import ShardSet
from tests.inference.engines import make_engine, write_split
from tests.inference.evaluate.benchmarks.published_data import flac

ENGINE = make_engine()
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=4)


@pytest.fixture
def checkpoint(tmp_path):
    facts = TrainingFacts(400, ENGINE.system)
    save_checkpoint(tmp_path / "model", ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    return tmp_path / "model"


def test_each_failure_of_an_item_is_a_row_with_its_name(checkpoint, tmp_path, monkeypatch):
    chapter = tmp_path / "LibriSpeech" / "test-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    names = ("fine", "corrupt", "slow", "huge", "broken")
    for name in names:
        (chapter / f"{name}.flac").write_bytes(b"fLaC, or not" if name == "corrupt" else flac(0.8))
    (chapter / "1-2.trans.txt").write_text("".join(f"{name} TWO WORDS\n" for name in names))
    late_s, stock = 0.0, model_module.feed

    def feed(engine, session, recordings):
        nonlocal late_s
        match recordings[0].name:
            case "huge":
                raise MemoryError("it takes 90 GB")
            case "broken":
                raise RuntimeError("no such\nkernel")
            case "slow":
                late_s += 1e6
        yield from stock(engine, session, recordings)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s)
    monkeypatch.setattr(model_module, "feed", feed)
    monkeypatch.setattr(model_module, "clock", clock)
    speech = LibriSpeechConfig(
        data=str(tmp_path / "LibriSpeech"), splits=("test-clean",),
        instructions={"streaming": "Write."}, pause_s=0.4,
    )  # fmt: skip
    recipe = EvaluateRecipe(
        checkpoint=checkpoint, output=tmp_path / "out", threshold=0.0, sampling=GREEDY,
        streams_at_once=1, benchmarks=BenchmarksConfig(librispeech=speech),
    )  # fmt: skip
    (task,) = evaluate(recipe).tasks
    named = dict(failure.split(": ", 2)[:2] for failure in task.failures)
    assert named == {
        "corrupt": "unreadable audio", "slow": "time-out", "huge": "out of memory",
        "broken": "crash",
    }  # fmt: skip
    assert all("\n" not in failure for failure in task.failures)
    figures = task.systems["model"].figures
    assert figures["failed"].value == pytest.approx(4 / 5)
    assert figures["wer"].n == 10, "the words of every item"
    rows = (tmp_path / "out" / "rows" / "librispeech_test_clean_streaming.jsonl").read_text()
    assert len(rows.splitlines()) == 5


def test_each_stream_of_a_truncated_shard_is_a_row_and_the_others_are_scored(checkpoint, tmp_path):
    shards = write_split(ENGINE, tmp_path / "data" / "test")
    (tar,) = (tmp_path / "data" / "test").glob("*.tar")
    whole = tar.read_bytes()
    audio = shards.entry(1).members["flac"]
    middle = audio.offset + audio.size // 2
    timing = TimingConfig(
        data=tmp_path / "data", calibrate_on=None, thresholds=(0.5,), latency_streams=1
    )
    recipe = EvaluateRecipe(
        checkpoint=checkpoint, output=tmp_path / "out", timing=timing, sampling=GREEDY,
        report=ReportConfig(streams=1),
    )  # fmt: skip
    figures = {}
    for how, damaged, lost in (
        ("flipped", whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :], ["s1"]),
        ("truncated", whole[:middle], [f"s{k}" for k in range(1, 6)]),
        ("emptied", b"", [f"s{k}" for k in range(6)]),
    ):
        tar.write_bytes(damaged)
        timed = evaluate(replace(recipe, output=tmp_path / how)).timing
        assert timed.n_streams == len(shards) == 6
        named = [failure.split(":")[0] for failure in timed.failures]
        assert named == lost
        start = f"unreadable audio: damaged shard {tar}"
        assert all(f.split(": ", 1)[1].startswith(start) for f in timed.failures)
        figures[how] = timed.headline["model"]
        # An event that nobody could read of was due all the same.
        assert figures[how]["wanted"].value == 6
        assert timed.headline["oracle"]["recall"].value == 1.0
    assert figures["emptied"]["misses"].value == 6
    with pytest.raises(UserError, match=tar.name):
        ShardSet(tmp_path / "data" / "test")
