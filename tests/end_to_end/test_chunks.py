"""A chunk of any length from the recipe to the report: builder, trainer and engine agree on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.run import evaluate
from inference.profiles import OURS
from inference.sessions.audio_frontend import open_frontend
from soundflow.api import AudioInteraction, Decided
from soundflow.audio.frontend import log_mel, log_mels
from soundflow.config.load import load
from soundflow.data.features import stream_features
from soundflow.protocol.layout import online_stream, parse_online
from soundflow.protocol.stream_config import StreamConfig
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample, quantise
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run as train

SECONDS = 4.8  # a whole number of every chunk below

BUILD = """
output: {folder}/data
stream: {{chunk_s: {chunk_s}, window_chunks: 3}}
cues:
  - {{name: alarm, sound: smoke_alarm, reply: "Smoke alarm!", emotion: urgent}}
  - {{name: beep, sound: single_beep}}
splits:
  train: {{streams: 4, takes: 4}}
  valid: {{streams: 2, takes: 4}}
  test: {{streams: 2, takes: 4}}
tasks: {{cues: {{items: [1, 1]}}}}
synthetic: {{event_noise: [typing], ambient_noise: [rain], noise_s: 2.0}}
compose: {{gap_slots: [4, 8], tail_slots: [25, 30], max_chunks: {max_chunks}}}
"""

TRAIN = """
output: {folder}/run
data: {{sources: [{{folder: {folder}/data}}], global_batch_size: 2}}
model:
  audio_encoder: {{width: 16, layers: 1, heads: 2, ffn_width: 32, max_positions: 64, init_std: 0.1}}
  lm: {{width: 32, layers: 1, heads: 2, kv_heads: 1, ffn_width: 48, max_positions: 1024}}
optim: {{updates: 2}}
compute: {{precision: fp32, threads: 1, accelerator: cpu}}
intervals: {{validate_every: 2, save_every: 2}}
"""

EVALUATE = """
checkpoint: {folder}/run/model
output: {folder}/evaluation
timing: {{data: {folder}/data, thresholds: [0.5], latency_streams: 1}}
report: {{streams: 1}}
"""


def recipe_of(schema: type, text: str, folder: Path, **values: object) -> object:
    path = folder / f"{schema.__name__}.yaml"
    path.write_text(text.format(folder=folder, **values))
    return load(path, schema)


@pytest.mark.parametrize(
    "chunk_s", [0.08, pytest.param(0.2, marks=pytest.mark.slow), 0.4,
                pytest.param(0.6, marks=pytest.mark.slow), 0.8],
)  # fmt: skip
def test_a_chunk_from_the_recipe_to_the_report(tmp_path: Path, chunk_s: float) -> None:
    max_chunks = round(SECONDS / chunk_s)
    build(recipe_of(BuildRecipe, BUILD, tmp_path, chunk_s=chunk_s, max_chunks=max_chunks))
    shards = ShardSet(tmp_path / "data/train")
    time = shards.spec.time
    assert time.chunk_s == pytest.approx(chunk_s)
    assert shards.spec.front_end.window_chunks == 3
    sample = shards.read(0)
    assert parse_online(shards.spec.tokens, time.slots_per_chunk, sample.ids.tolist()).n_chunks == (
        len(sample.pcm) // time.chunk_samples
    )
    for reply in sample.record.replies:
        ready = next(e for e in sample.record.events if reply.text in e.answers).ready_samples
        assert time.decision_time_samples(reply.chunk) - time.chunk_samples < ready

    result = train(recipe_of(TrainRecipe, TRAIN, tmp_path))
    assert result.updates == 2
    assert result.metrics

    model = AudioInteraction.from_pretrained(result.model_folder)
    assert model.spec == shards.spec
    with model.open(threshold=1.0) as session:
        session.push(sample.audio())
    decided = [e for e in session.events(timeout_s=20) if isinstance(e, Decided)]
    assert [e.chunk for e in decided] == list(range(shards.lengths[0].chunks))

    done = evaluate(recipe_of(EvaluateRecipe, EVALUATE, tmp_path)).timing
    assert done.agreement.same == done.agreement.sessions == 1
    assert not done.failures
    assert done.latency.decision_p50_s is not None
    assert (tmp_path / "evaluation/report.html").is_file()


@pytest.mark.parametrize("chunk_s", [0.08, 0.2, 0.4, 0.6, 0.8])
def test_builder_trainer_and_engine_hear_the_same_bits(chunk_s: float) -> None:
    """At every chunk: the whole stream, the training row, and packets of any size."""
    spec = stream_spec(tiny_tokenizer(), StreamConfig(chunk_s=chunk_s, window_chunks=2))
    rng = np.random.default_rng(0)
    n_chunks = round(SECONDS / chunk_s)
    audio = 0.2 * rng.standard_normal(n_chunks * spec.time.chunk_samples)
    pcm = quantise(np.clip(audio * np.geomspace(1, 1e-6, len(audio)), -1, 1).astype(np.float32))
    piece = online_stream(spec.tokens, spec.time.slots_per_chunk, [], n_chunks, {})
    record = StreamRecord("s", "online", "a", "t", "", len(pcm))
    sample = StreamSample(
        record, pcm, np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
    )
    sample.validate(spec)
    built = log_mel(sample.audio(), spec.time, spec.front_end)
    trained = stream_features(sample, spec).mel
    frontend = open_frontend(spec, OURS)
    live = [c for packet in np.array_split(sample.audio(), 37) for c in frontend.push(packet)]
    live += frontend.finish()
    assert built.shape == (n_chunks, 128, spec.time.frames_per_chunk)
    np.testing.assert_array_equal(trained, built)
    np.testing.assert_array_equal(log_mels(live, spec.time, spec.front_end), built)
    running = replace(spec.front_end, maximum="running")
    assert not np.array_equal(log_mel(sample.audio(), spec.time, running), built)
