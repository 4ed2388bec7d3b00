"""The decoder without its arithmetic: what it asks for and what it makes of the answer."""

from __future__ import annotations

import pytest
import torch

from inference.chunk_queue import ChunkQueue, EncodedChunk
from inference.dialogue_decoder import DialogueDecoder
from inference.events import Decided, ReplyEnded, ReplyStarted, ReplyText
from inference.memory import SessionMemory
from inference.policy import ForcedPolicy, ModelPolicy
from inference.sampling import SamplingConfig
from inference.session import prefix_ids
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import Listening, Speaking
from tests.inference.engines import make_engine

ENGINE = make_engine()
SPEC, TABLE = ENGINE.spec, ENGINE.spec.tokens
VOCABULARY = TABLE.vocab_size


def make_decoder(policy=None, limit: int = 8) -> DialogueDecoder:
    greedy = ModelPolicy(0.5, SamplingConfig(temperature=0.0))
    return DialogueDecoder(SPEC, ENGINE.tokenizer, policy or greedy, limit, lambda: 0.0)


def waiting(*indices: int) -> ChunkQueue:
    queue = ChunkQueue(100)
    for i in indices:
        slots = torch.randn(10, 32, generator=torch.Generator().manual_seed(i))
        queue.put(EncodedChunk(i, slots))
    return queue


def logits(n: int = 1, **high: float) -> torch.Tensor:
    """(n, vocabulary), zero but for the named control tokens."""
    row = torch.zeros(n, VOCABULARY)
    for name, value in high.items():
        row[:, getattr(TABLE, name)] = value
    return row


def test_an_empty_queue_asks_for_nothing():
    assert make_decoder().next_step(waiting()) is None


def test_a_drain_answers_stale_chunks_by_silence_in_one_step():
    decoder = make_decoder()
    step = decoder.next_step(waiting(4, 5, 6))
    block, quiet = layout.listen(TABLE, 10).ids, layout.silence(TABLE).ids
    assert step.ids == block + quiet + block + quiet + block
    assert step.read == (11, 24, 37)
    assert step.block_starts == (0, 13, 26)
    assert len(step.slots) == 3
    events = decoder.take(logits(3, text_begin=2.0))
    assert [(e.chunk, e.speak, e.stale) for e in events] == [
        (4, False, True), (5, False, True), (6, True, False),
    ]  # fmt: skip
    assert events[0].p_response == pytest.approx(0.8808, abs=1e-4)


def test_stale_chunks_that_were_dropped_unread_have_no_probability():
    decoder = make_decoder()
    decoder.next_step(waiting(0, 1, 2))
    events = decoder.take(logits(1))
    assert [e.p_response for e in events] == [None, None, 0.5]


def test_draining_gives_the_logits_of_one_chunk_at_a_time():
    """The newest decision is the same, whether the silences before it were taken live or not."""
    one, many = make_decoder(ForcedPolicy({})), make_decoder(ForcedPolicy({}))
    memory = [SessionMemory(ENGINE, prefix_ids(ENGINE), 1024) for _ in range(2)]
    for i in range(4):
        last = memory[0].run(one.next_step(waiting(i)))
        events = one.take(last)
    drained = memory[1].run(many.next_step(waiting(0, 1, 2, 3)))
    assert torch.allclose(last[-1], drained[-1], atol=1e-5)
    assert many.take(drained)[-1].p_response == pytest.approx(events[-1].p_response, abs=1e-6)


def test_a_whole_turn():
    decoder = make_decoder()
    text = ENGINE.tokenizer.encode("Light on.")
    queue = waiting(0)
    decoder.next_step(queue)
    (decided,) = decoder.take(logits(text_begin=1.0))
    assert decided == Decided(0, 0.4, pytest.approx(0.731, abs=1e-3), True)
    events = []
    for token in (TABLE.urgent, *text, TABLE.text_end):
        assert isinstance(decoder.state, Speaking)
        queue.put(EncodedChunk(len(events) + 1, torch.zeros(10, 32)))  # waits until the turn ends
        step = decoder.next_step(queue)
        assert len(step.ids) == 1
        row = torch.zeros(1, VOCABULARY)
        row[0, token] = 5.0
        events += decoder.take(row)
    assert events[0] == ReplyStarted(0, 0.4, "urgent")
    assert "".join(e.text for e in events if isinstance(e, ReplyText)) == "Light on."
    assert events[-1] == ReplyEnded(0, 0.4, "urgent", "Light on.", "end")
    assert decoder.state == Listening()
    # TEXT_END goes in front of what arrived meanwhile.
    assert decoder.next_step(queue).ids[:2] == (TABLE.text_end, TABLE.audio_begin)


def test_control_tokens_never_come_out_of_a_reply():
    decoder = make_decoder()
    decoder.next_step(waiting(0))
    decoder.take(logits(text_begin=1.0))
    decoder.next_step(waiting())
    # KEEP_SILENCE is by far the likeliest, but only an emotion is legal here.
    assert decoder.take(logits(keep_silence=9.0, sad=1.0)) == [ReplyStarted(0, 0.4, "sad")]
    decoder.next_step(waiting())
    row = logits(keep_silence=9.0, audio_begin=8.0, urgent=7.0)
    row[0, 300] = 1.0
    (text,) = decoder.take(row)
    assert text.token == 300


def test_the_limit_closes_the_turn_in_the_memory_too():
    decoder = make_decoder(limit=2)
    decoder.next_step(waiting(0))
    decoder.take(logits(text_begin=1.0))
    word = torch.zeros(1, VOCABULARY)
    word[0, 300] = 1.0
    for row in (logits(sad=1.0), word, word):
        decoder.next_step(waiting())
        events = decoder.take(row)
    assert events[-1].reason == "limit"
    assert decoder.next_step(waiting(1)).ids[1] == TABLE.text_end


def test_stop_from_outside():
    decoder = make_decoder()
    decoder.next_step(waiting(0))
    with pytest.raises(RuntimeError, match="take the logits"):
        decoder.stop()
    decoder.take(logits(text_begin=1.0))
    assert decoder.stop() == [ReplyEnded(0, 0.4, "", "", "stopped")]
    assert decoder.state == Listening()
    assert decoder.next_step(waiting(1)).ids[:2] == (TABLE.text_begin, TABLE.text_end)


def test_misuse_raises():
    decoder = make_decoder()
    with pytest.raises(RuntimeError, match="no step"):
        decoder.take(logits())
    decoder.next_step(waiting(0))
    with pytest.raises(RuntimeError, match="take the logits"):
        decoder.next_step(waiting(1))


def test_a_full_queue_drops_the_oldest_and_says_which():
    queue = ChunkQueue(2)
    dropped = [queue.put(EncodedChunk(i, torch.zeros(10, 32))) for i in range(5)]
    assert [chunk.index if chunk else None for chunk in dropped] == [None, None, 0, 1, 2]
    assert [c.index for c in queue.drain()] == [3, 4]
    assert len(queue) == 0
