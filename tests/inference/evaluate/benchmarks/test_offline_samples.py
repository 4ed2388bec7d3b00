"""Offline samples of a build, as exchanges of every form."""

from __future__ import annotations

import numpy as np
import pytest

from data_build.tokenize import Vocabulary, offline_sample
from inference.decoder.sampling import SamplingConfig
from inference.evaluate.benchmarks.offline_samples import OfflineSamplesConfig, OfflineSamplesTask
from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.systems.model import Model
from inference.exchange import answer, prompt_of
from soundflow.errors import UserError
from soundflow.shards.schema import OfflineTurn, StreamRecord, quantise
from soundflow.shards.writer import write_index, write_shard
from tests.inference.engines import make_engine, make_stream

ENGINE = make_engine()
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=6)
FORMS = (("What is it?", 2), (None, 1), ("Who are you?", 0))


def sample(name: str, question: str | None, n_chunks: int):
    time = ENGINE.spec.time
    audio = np.random.default_rng(n_chunks).normal(0, 0.1, n_chunks * time.chunk_samples)
    pcm = quantise(audio.astype(np.float32))
    record = StreamRecord(
        name, "offline", "test", "offline", "Be brief.", len(pcm),
        offline=OfflineTurn(question, "It is rain."),
    )  # fmt: skip
    return offline_sample(record, pcm, Vocabulary(ENGINE.tokenizer, ENGINE.spec))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    made = [sample(f"o{k}", *form) for k, form in enumerate(FORMS)]
    made.insert(1, make_stream(ENGINE, "s", 3, ()))
    write_index(
        folder / "test", ENGINE.spec, [write_shard(folder / "test", 0, "key", made, ENGINE.spec)]
    )
    write_index(
        folder / "streams", ENGINE.spec,
        [write_shard(folder / "streams", 0, "key", made[1:2], ENGINE.spec)],
    )  # fmt: skip
    return OfflineSamplesTask(OfflineSamplesConfig(data=str(folder)), ENGINE.spec.time)


def test_the_model_answers_each_form_as_an_exchange_of_its_own(task):
    items = task.items()
    assert [(i.id, i.reference.form) for i in items] == [
        ("o0", "A_T_T"), ("o1", "A_T"), ("o2", "T_T"),
    ]  # fmt: skip
    found = dict(Model(ENGINE, 0.5, GREEDY).run(items))
    for item in items:
        recording = item.open() if item.exchange.has_audio else None
        prompt = prompt_of(ENGINE, item.exchange.question, recording, "Be brief.")
        assert found[item.id].text == answer(ENGINE, prompt, GREEDY).text.strip()


def test_known_figures(task):
    items = task.items()
    said = [
        Outcome((TimedReply(1, "It is rain."),)), Outcome((TimedReply(1, "It is a dog."),)),
        Outcome((TimedReply(1, "It is rain."),), Failure("time-out", "slow")),
    ]  # fmt: skip
    rows = [task.score(i, o) for i, o in zip(items, said, strict=True)]
    summary = task.summarise(rows)
    assert summary.figures["exact"].value == pytest.approx(1 / 3)
    assert summary.figures["wer"].value == pytest.approx((2 + 3) / 9), "a failure says nothing"
    assert summary.figures["failed"].n == 3
    assert [(r[0], r[2].value) for r in summary.tables[0].rows] == [
        ("A_T", 0.0), ("A_T_T", 1.0), ("T_T", 0.0),
    ]  # fmt: skip
    assert task.summarise([]).figures["exact"].value is None


def test_a_split_of_streams_alone_is_named(task):
    config = OfflineSamplesConfig(data=task.config.data, split="streams")
    with pytest.raises(UserError, match="holds no offline sample"):
        OfflineSamplesTask(config, ENGINE.spec.time).items()


def test_samples_of_a_truncated_shard_are_failures_and_not_right(tmp_path):
    made = [sample(f"o{k}", *form) for k, form in enumerate(FORMS)]
    folder = tmp_path / "test"
    write_index(folder, ENGINE.spec, [write_shard(folder, 0, "key", made, ENGINE.spec)])
    (tar,) = folder.glob("*.tar")
    tar.write_bytes(b"")
    task = OfflineSamplesTask(OfflineSamplesConfig(data=str(tmp_path)), ENGINE.spec.time)
    items = task.items()
    found = dict(Model(ENGINE, 0.5, GREEDY).run(items))
    assert [found[i.id].failure.kind for i in items] == ["unreadable audio"] * 3
    for outcomes in (found, dict.fromkeys(found, Outcome())):
        figures = task.summarise([task.score(i, outcomes[i.id]) for i in items]).figures
        assert (figures["exact"].value, figures["exact"].n) == (0.0, 3)
