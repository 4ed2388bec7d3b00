"""Builder, training batch and live engine: one stream, three users, no difference.

Features and ids must agree bit for bit. Logits at the decisions agree within 1e-4: the trainer
computes rows of a batch at once and the engine a few positions at a time, and float32 sums round
by shape (measured: 5e-6).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.tokenize import online_sample, read_vocabulary
from inference.decoder.policy import ForcedPolicy
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep
from soundflow.data.batch import packed
from soundflow.data.features import stream_features
from soundflow.protocol.turns import Reply
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample, quantise
from soundflow.shards.writer import write_index, write_shard
from soundflow.train.loss import target_states
from tests.inference.engines import make_engine

VOCABULARY = read_vocabulary("tiny")
SPEC, TABLE = VOCABULARY.spec, VOCABULARY.spec.tokens
SYSTEM = "Answer what deserves it."
LOGIT_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three streams of different lengths, as the builder writes them."""
    folder = tmp_path_factory.mktemp("data") / "train"
    made = [
        _build("a", 5, (Reply(1, "Light on."), Reply(4, "I am Flow.", "happy"))),
        _build("b", 9, (Reply(0, "Smoke alarm! Get out.", "urgent"),)),
        _build("c", 3, ()),
    ]
    info = write_shard(folder, 0, "key", made, SPEC)
    write_index(folder, SPEC, [info])
    return ShardSet(folder)


def _build(name: str, n_chunks: int, replies: tuple[Reply, ...]) -> StreamSample:
    rng = np.random.default_rng(len(replies) + n_chunks)
    loud = np.repeat(rng.uniform(0.0, 0.25, 4 * n_chunks), 1600)
    audio = np.clip(rng.standard_normal(len(loud)) * loud, -1, 1).astype(np.float32)
    record = StreamRecord(name, "online", "test", "parity", SYSTEM, len(audio), replies)
    return online_sample(record, quantise(audio), VOCABULARY)


class Listener:
    """A forced live session that notes what reaches the encoder and the language model."""

    def __init__(self, engine, sample: StreamSample) -> None:
        self.mels: list[np.ndarray] = []
        self.ids: list[int] = list(engine.prefix_ids(sample.record.system))
        self.decisions: list[torch.Tensor] = []
        forced = {
            r.chunk: (TABLE.emotion_ids[r.emotion], *VOCABULARY.tokenizer.encode(r.text),
                      TABLE.text_end)
            for r in sample.record.replies
        }  # fmt: skip
        config = SessionConfig(system=sample.record.system)
        self.session = Lockstep(engine, config, ForcedPolicy(forced))
        runner = self.session.executor.runner
        encode, run, decide = runner.encode, runner.run, runner.p_response

        def noting_encode(mels):
            self.mels += [mel[None] for mel in mels]
            return encode(mels)

        def noting_run(requests):
            self.ids += [i for request in requests for i in request.step.ids]
            return run(requests)

        def noting_decide(hidden):
            self.decisions += list(engine.model.logits(hidden))
            return decide(hidden)

        runner.encode, runner.run = noting_encode, noting_run
        runner.p_response = noting_decide


ENGINE = replace(make_engine(), spec=SPEC, tokenizer=VOCABULARY.tokenizer)


def _listen(sample: StreamSample, cuts) -> Listener:
    listener = Listener(ENGINE, sample)
    for packet in np.split(sample.audio(), sorted(cuts)):
        listener.session.push(packet)
    listener.session.close()
    return listener


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2), st.lists(st.integers(0, 9 * 6400), max_size=25))
def test_features_and_ids_are_the_same_bits_everywhere(shards, which, cuts):
    sample = shards.read(which)
    batch = packed([stream_features(sample, SPEC)], SPEC)
    live = _listen(sample, [min(c, len(sample.pcm)) for c in cuts])
    assert np.array_equal(np.concatenate(live.mels), batch.mel.numpy())
    # The last decision is taken, but nothing came after it that would have fed it.
    fed = len(live.ids)
    assert live.ids == batch.ids[:fed].tolist()
    assert live.ids == sample.ids[:fed].tolist()
    assert len(sample.ids) - fed == 1


def test_one_sample_at_a_time(shards):
    sample = shards.read(2)
    live = _listen(sample, range(1, len(sample.pcm)))
    assert np.array_equal(np.concatenate(live.mels), stream_features(sample, SPEC).mel)


def test_live_logits_are_those_of_the_training_forward(shards):
    """Three streams packed into a row against three sessions on growing caches."""
    samples = [shards.read(i) for i in range(3)]
    batch = packed([stream_features(s, SPEC) for s in samples], SPEC)
    with torch.inference_mode():
        states = target_states(ENGINE.model, batch)[: batch.decisions]
        trained = ENGINE.model.logits(states)
    live = torch.stack([d for s in samples for d in _listen(s, [1000]).decisions])
    assert live.shape == trained.shape == (5 + 9 + 3, TABLE.vocab_size)
    assert trained.std() > 0.1, "flat logits would agree whatever the engine did"
    assert float((live - trained).abs().max()) < LOGIT_TOLERANCE


def test_a_wrong_past_would_be_noticed(shards):
    """The same comparison fails when the live session says something else."""
    sample = shards.read(0)
    other = replace(sample, record=replace(sample.record, replies=(Reply(1, "Light off."),)))
    right, wrong = _listen(sample, []), _listen(other, [])
    difference = (right.decisions[2] - wrong.decisions[2]).abs().max()
    assert float(difference) > 10 * LOGIT_TOLERANCE
