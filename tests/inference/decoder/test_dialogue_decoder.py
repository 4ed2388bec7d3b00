"""The decoder without its arithmetic: what it asks for and what it makes of the answer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.decoder.chunk_queue import ChunkQueue, EncodedChunk
from inference.decoder.dialogue_decoder import DialogueDecoder, Drain, InTurn
from inference.decoder.policy import ModelPolicy
from inference.decoder.sampling import SamplingConfig
from inference.decoder.turn import repeats
from inference.events import Decided, ReplyEnded, ReplyStarted, ReplyText, ReplyTruncated
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import Listening, Speaking
from tests.inference.engines import make_engine

ENGINE = make_engine()
SPEC, TABLE = ENGINE.spec, ENGINE.spec.tokens
BLOCK, QUIET = layout.listen(TABLE, 10).ids, layout.silence(TABLE).ids


def make_decoder(limit: int = 8, order=None, **sampling) -> DialogueDecoder:
    config = SamplingConfig(max_reply_tokens=limit, **sampling)
    return DialogueDecoder(
        SPEC, ENGINE.tokenizer, ModelPolicy(0.5), config, order or Drain(), lambda: 0.0
    )


def waiting(*indices: int, during_reply: bool = False) -> ChunkQueue:
    queue = ChunkQueue(100)
    for i in indices:
        queue.put(EncodedChunk(i, torch.zeros(10, 32), during_reply=during_reply))
    return queue


def speak(decoder: DialogueDecoder, *tokens: int) -> list:
    """A reply of ``tokens`` after chunk 0."""
    decoder.next_step(waiting(0))
    events = list(decoder.take_decisions([0.9]).events)
    for token in tokens:
        decoder.next_step(waiting())
        events += decoder.take_token(token)
    return events


def test_an_empty_queue_asks_for_nothing():
    assert make_decoder().next_step(waiting()) is None


def test_a_drain_answers_stale_chunks_by_silence_in_one_step():
    decoder = make_decoder()
    step = decoder.next_step(waiting(4, 5, 6, during_reply=True))
    assert step.ids == BLOCK + QUIET + BLOCK + QUIET + BLOCK
    assert step.read == (11, 24, 37)
    assert step.block_starts == (0, 13, 26)
    assert len(step.slots) == 3
    taken = decoder.take_decisions([0.9, 0.9, 0.9])
    assert [(e.chunk, e.speak, e.stale) for e in taken.events] == [
        (4, False, True), (5, False, True), (6, True, False),
    ]  # fmt: skip
    assert taken.kept == len(step.ids)


def test_of_a_queue_that_does_not_fit_the_oldest_are_all_stale():
    decoder, queue = make_decoder(), waiting(0, 1, 2, during_reply=True)
    decoder.next_step(queue, at_most=2)
    assert [e.stale for e in decoder.take_decisions([0.9, 0.9]).events] == [True, True]
    assert decoder.next_step(queue, at_most=2).ids == QUIET + BLOCK
    assert decoder.take_decisions([0.9]).events[0].speak


def silent(decoder: DialogueDecoder, queue: ChunkQueue) -> list[int]:
    """Takes a step that is answered by silence; the chunks in it."""
    step = decoder.next_step(queue)
    decoder.take_decisions([0.1] * len(step.read))
    return [chunk.index for chunk in step.chunks]


def test_a_stream_is_computed_as_far_ahead_as_it_was_silent():
    decoder, queue = make_decoder(limit=1, order=InTurn(ahead=5)), waiting(*range(20))
    assert [len(silent(decoder, queue)) for _ in range(5)] == [1, 2, 4, 5, 5]
    speak(decoder, TABLE.normal, 300)
    assert [len(silent(decoder, queue)) for _ in range(2)] == [1, 2]


def test_what_arrived_before_a_reply_is_decided_on_after_it():
    """A burst of chunks, then two more during the reply to the second."""
    decoder, queue = make_decoder(limit=1, order=Drain(ahead=3)), waiting(2, 3, 4, 5)
    assert silent(decoder, waiting(0)) + silent(decoder, waiting(1)) == [0, 1]
    assert len(decoder.next_step(queue).chunks) == 3
    taken = decoder.take_decisions([0.1, 0.9, 0.9])
    assert [(e.chunk, e.speak, e.stale) for e in taken.events] == [
        (2, False, False), (3, True, False),
    ]  # fmt: skip
    for token in (TABLE.normal, 300):
        decoder.next_step(queue)
        decoder.take_token(token)
    for chunk in (6, 7):
        queue.put(EncodedChunk(chunk, torch.zeros(10, 32), during_reply=True))
    assert silent(decoder, queue) == [4]
    assert [c.index for c in decoder.next_step(queue).chunks] == [5, 6, 7]
    taken = decoder.take_decisions([0.1, 0.9, 0.1])
    assert [e.stale for e in taken.events] == [False, True, False]
    assert not any(e.speak for e in taken.events)


def test_in_turn_what_was_computed_behind_a_reply_is_taken_again():
    decoder, queue = make_decoder(order=InTurn(ahead=4)), waiting(*range(3, 8))
    assert silent(decoder, waiting(0)) + silent(decoder, waiting(1, 2)) == [0, 1, 2]
    step = decoder.next_step(queue)
    assert [c.index for c in step.chunks] == [3, 4, 5, 6]
    taken = decoder.take_decisions([0.1, 0.8, 0.9, 0.1])
    assert [(e.chunk, e.speak) for e in taken.events] == [(3, False), (4, True)]
    assert step.ids[: taken.kept] == QUIET + BLOCK + QUIET + BLOCK
    assert len(queue) == 3
    assert decoder.next_step(queue).ids == (TABLE.text_begin,)


def test_a_whole_turn():
    decoder = make_decoder()
    text = ENGINE.tokenizer.encode("Light on.")
    decoder.next_step(waiting(0))
    assert decoder.take_decisions([0.731]).events == (Decided(0, 0.4, 0.731, True),)
    events, queue = [], waiting()
    for token in (TABLE.urgent, *text, TABLE.text_end):
        assert isinstance(decoder.state, Speaking)
        queue.put(EncodedChunk(len(events) + 1, torch.zeros(10, 32)))  # waits until the turn ends
        assert len(decoder.next_step(queue).ids) == 1
        events += decoder.take_token(token)
    assert events[0] == ReplyStarted(0, 0.4, "urgent")
    assert "".join(e.text for e in events if isinstance(e, ReplyText)) == "Light on."
    assert events[-1] == ReplyEnded(0, 0.4, "urgent", "Light on.", "end")
    assert decoder.state == Listening()
    # TEXT_END goes in front of what arrived meanwhile.
    assert decoder.next_step(queue).ids[:2] == (TABLE.text_end, TABLE.audio_begin)


def test_an_illegal_token_is_refused():
    decoder = make_decoder()
    with pytest.raises(ValueError, match="not legal"):
        speak(decoder, TABLE.keep_silence)


def test_the_limit_closes_the_turn_in_the_memory_too():
    decoder = make_decoder(limit=2)
    assert speak(decoder, TABLE.sad, 300, 301)[-1].reason == "limit"
    assert decoder.next_step(waiting(1)).ids[:2] == (301, TABLE.text_end)


def test_the_clock_may_end_a_reply():
    now = iter([0.0] * 6 + [9.0] * 9)
    config = SamplingConfig(max_reply_s=5.0)
    decoder = DialogueDecoder(
        SPEC, ENGINE.tokenizer, ModelPolicy(0.5), config, Drain(), lambda: next(now)
    )
    events = speak(decoder, TABLE.sad, 300)
    while not isinstance(events[-1], ReplyEnded):
        decoder.next_step(waiting())
        events += decoder.take_token(301)
    assert events[-1].reason == "limit"


def test_a_reply_that_goes_round_in_circles_is_ended():
    events = speak(make_decoder(limit=99, max_repeats=3), TABLE.sad, 300, *[301, 302] * 3)
    assert events[-1].reason == "repetition"
    assert len([e for e in events if isinstance(e, ReplyText)]) == 7


@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.integers(2, 5),
)
def test_repetition_is_found_whatever_came_before(before, cycle, times):
    assert repeats([*before, *cycle * times], times)
    assert not repeats(list(range(40)), times)


@pytest.mark.parametrize(("heard", "kept"), [(None, 3), (0, 0), (2, 2), (3, 3), (9, 3)])
def test_an_interrupted_reply_keeps_what_was_heard(heard, kept):
    decoder = make_decoder()
    speak(decoder, TABLE.sad, 300, 301, 302)
    cut = decoder.interrupt(heard)
    assert cut.events[-1].reason == "stopped"
    assert decoder.state == Listening()
    # In the memory: TEXT_BEGIN, sad, 300, 301; 302 is pending.
    fed = [TABLE.text_begin, TABLE.sad, 300, 301]
    after = [*fed[: len(fed) - cut.forget], *decoder.next_step(waiting(1)).ids]
    words = [300, 301, 302][:kept]
    assert after == [TABLE.text_begin, TABLE.sad, *words, TABLE.text_end, *BLOCK]


def test_a_reply_stopped_before_its_first_token_is_a_legal_turn():
    decoder = make_decoder()
    decoder.next_step(waiting(0))
    with pytest.raises(RuntimeError, match="take the output"):
        decoder.interrupt()
    decoder.take_decisions([0.9])
    cut = decoder.interrupt()
    assert cut.events == (
        ReplyStarted(0, 0.4, "normal"), ReplyEnded(0, 0.4, "normal", "", "stopped"),
    )  # fmt: skip
    begun = (TABLE.text_begin, TABLE.normal, TABLE.text_end)
    assert decoder.next_step(waiting(1)).ids == begun + BLOCK


def test_a_reply_that_is_over_but_not_yet_in_the_memory_is_shortened():
    decoder = make_decoder()
    speak(decoder, TABLE.sad, 300, 301, TABLE.text_end)
    cut = decoder.interrupt(1)
    assert cut.forget == 1
    assert isinstance(cut.events[0], ReplyTruncated)
    assert decoder.next_step(waiting(1)).ids == (TABLE.text_end, *BLOCK)
    decoder.take_decisions([0.1])
    assert decoder.last_reply == (0, 1)
    assert decoder.interrupt(0).events == ()  # now in the memory: the executor's business


def test_misuse_raises():
    decoder = make_decoder()
    with pytest.raises(RuntimeError, match="no listening step"):
        decoder.take_decisions([0.5])
    with pytest.raises(RuntimeError, match="no speaking step"):
        decoder.take_token(300)
    decoder.next_step(waiting(0))
    with pytest.raises(RuntimeError, match="take the output"):
        decoder.next_step(waiting(1))


def test_a_full_queue_drops_the_oldest_and_says_which():
    queue = ChunkQueue(2)
    dropped = [queue.put(EncodedChunk(i, torch.zeros(10, 32))) for i in range(5)]
    assert [chunk.index if chunk else None for chunk in dropped] == [None, None, 0, 1, 2]
    assert [c.index for c in queue.take(9)] == [3, 4]
    assert len(queue) == 0
