"""A stream depends on its recipe and its number: one setting changes one thing in it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.collect.collect import collect
from data_build.context import MATERIAL, build_context
from data_build.drops import Drop
from data_build.recipe import BuildRecipe
from data_build.run import build
from data_build.shard_job import build_stream, quota_key
from data_build.shard_plan import ShardJob, plan_jobs
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.shards.schema import StreamRecord, StreamSample

RECIPE = """
output: {output}
seed: 3
cues:
  - {{name: alarm, sound: smoke_alarm, reply: "Smoke alarm!"}}
  - {{name: timer, sound: kitchen_timer}}
  - {{name: bark, sound: dog_bark}}
splits:
  train: {{streams: 4, takes: 4}}
synthetic: {{event_noise: [typing, clock_tick], ambient_noise: [rain, wind], noise_s: 2.0}}
compose: {{gap_slots: [5, 10], tail_slots: [15, 20]}}
"""


def recipe(tmp_path: Path, *words: str) -> BuildRecipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(output=tmp_path / "data"))
    return load(path, BuildRecipe, list(words))


def made(tmp_path: Path, *words: str) -> list[StreamSample]:
    """The streams of ``train``; no shard is written."""
    settings = recipe(tmp_path, *words)
    collect(settings, Path(settings.output) / MATERIAL)
    context = build_context(settings)
    streams = [build_stream(context, "train", number)[0] for number in range(4)]
    assert all(stream is not None for stream in streams)
    return [stream for stream in streams if stream is not None]


def without_noise(record: StreamRecord) -> StreamRecord:
    items = tuple(replace(item, above_rest_db=None) for item in record.items)
    return replace(record, noise=(), items=items, peak_limited=False)


def same(before: list[StreamSample], after: list[StreamSample]) -> bool:
    return all(
        a.record == b.record and np.array_equal(a.pcm, b.pcm) and np.array_equal(a.ids, b.ids)
        for a, b in zip(before, after, strict=True)
    )


def test_the_snr_of_the_noise_is_all_that_changes(tmp_path: Path) -> None:
    before = made(tmp_path)
    after = made(tmp_path, "compose.noise.snr_db=[0,3]")
    for a, b in zip(before, after, strict=True):
        assert without_noise(a.record) == without_noise(b.record)
        assert [t.clips for t in a.record.noise] == [t.clips for t in b.record.noise]
        assert [t.snr_db for t in a.record.noise] != [t.snr_db for t in b.record.noise]
        assert np.array_equal(a.ids, b.ids)


def test_more_takes_change_no_plan(tmp_path: Path) -> None:
    before = made(tmp_path)
    after = made(tmp_path, "splits.train.takes=9")
    for a, b in zip(before, after, strict=True):
        assert [(i.what, i.track) for i in a.record.items] == [
            (i.what, i.track) for i in b.record.items
        ]
        assert [r.text for r in a.record.replies] == [r.text for r in b.record.replies]
    assert not same(before, after)


def test_another_split_and_more_streams_change_nothing(tmp_path: Path) -> None:
    before = made(tmp_path)
    more = "splits.other={streams: 2, takes: 4}"
    assert same(before, made(tmp_path, more, "splits.train.streams=50"))
    assert not same(before, made(tmp_path, "seed=4"))


def test_a_stream_that_cannot_be_made_is_a_loss_with_its_reason(tmp_path: Path) -> None:
    settings = recipe(tmp_path, "compose.max_chunks=1", "compose.gap_slots=[10,10]")
    collect(settings, Path(settings.output) / MATERIAL)
    sample, drops = build_stream(build_context(settings), "train", 0)
    assert sample is None
    assert drops[-1] == Drop("compose", "train-000000", drops[-1].reason)
    assert "longer than a stream may be" in drops[-1].reason
    assert drops[-1].kind == "loss"


def long_speech(tmp_path: Path, *, words: bool) -> BuildRecipe:
    """Two recordings of 40 s, of one word a second."""
    tone = (np.sin(np.arange(640_000) / 9) * 0.3).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", tone, 16_000)
    soundfile.write(tmp_path / "b.wav", tone[::-1], 16_000)
    times = [{"text": f"w{i}", "start": i + 0.1, "end": i + 0.9} for i in range(40)]
    rows = [
        {"path": name, "kind": "speech", "text": " ".join(w["text"] for w in times),
         **({"words": times} if words else {})}
        for name in ("a.wav", "b.wav")
    ]  # fmt: skip
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "long.yaml"
    path.write_text(
        f"output: {tmp_path / 'data'}\nsources: [{{corpus: manifest, root: {tmp_path}}}]\n"
        "splits: {train: {streams: 2, tasks: {transcribe_utterances: 1}}}\n"
        "prepare: {tfjp: null}\nworkers: 1\nspeech: {asr_models: {}}\n"
        "tasks: {transcription: {utterances: [1, 1]}}\n"
    )
    return load(path, BuildRecipe)


def test_long_speech_is_cut_with_its_text(tmp_path: Path) -> None:
    settings = long_speech(tmp_path, words=True)
    collect(settings, Path(settings.output) / MATERIAL)
    sample, drops = build_stream(build_context(settings), "train", 0)
    assert sample is not None
    assert [drop for drop in drops if drop.kind == "loss"] == []  # plans were drawn again
    (item,) = sample.record.items
    (reply,) = sample.record.replies
    count = int(settings.longest_speech_s)
    assert reply.text == item.text == " ".join(f"w{i}" for i in range(count))
    assert count - 0.1 <= item.n_samples / 16_000 <= settings.longest_speech_s


def test_long_speech_without_word_times_is_not_made_into_empty_streams(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 of 4 rows and streams were dropped") as error:
        build(long_speech(tmp_path, words=False))
    assert "is speech of more than" in error.value.hint


def test_what_is_kept_depends_on_every_setting_of_its_content(tmp_path: Path) -> None:
    keys = set()
    for words in ([], ["compose.noise.snr_db=[0,3]"], ["splits.train.takes=3"], ["seed=4"],
                  ["workers=2"], ["max_dropped_share=0.5"]):  # fmt: skip
        settings = recipe(tmp_path, *words)
        collect(settings, Path(settings.output) / MATERIAL)
        (job,) = plan_jobs(build_context(settings), {})
        keys.add(job.shard_key)
    assert len(keys) == 4  # the last two are the first


def test_shards_of_older_code_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    job = ShardJob("train", 0, 0, 4, "content")
    before = job.shard_key
    monkeypatch.setattr("data_build.shard_plan.BUILD_VERSION", 99)
    assert job.shard_key != before


def test_tasks_meet_their_shares_from_the_first_streams_on() -> None:
    shares = {"a": 0.55, "b": 0.2, "c": 0.25, "never": 0.0}
    for n in (20, 160, 1_000):
        counts = Counter(quota_key(shares, i) for i in range(n))
        for name, share in shares.items():
            assert abs(counts[name] - share * n) <= 2 + 0.01 * n
    with pytest.raises(ValueError):
        quota_key({"a": 0.0}, 3)
