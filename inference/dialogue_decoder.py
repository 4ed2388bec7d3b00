"""Decisions and replies of one stream, without running the model (protocol section 6).

The decoder says what the language model has to append next and where its logits are needed
(`Step`); the caller computes them and passes them back::

    step = decoder.next_step(queue)       LISTENING: one or more blocks    SPEAKING: one token
    logits = ...                          one forward pass                 one forward pass
    events = decoder.take(logits)         Decided                          ReplyStarted/Text/Ended

So one session on a bounded memory, a batch of sessions under evaluation, and a server share the
same decisions, and none of them can decode differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.chunk_queue import ChunkQueue, EncodedChunk
from inference.events import (
    Decided,
    EndReason,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEvent,
)
from inference.policy import Policy
from soundflow.errors import UserError
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import Listening, Speaking, State, advance, legal
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import StreamDecoder, TextTokenizer


@dataclass(frozen=True)
class Step:
    """Token ids to append, in order.

    Attributes:
        slots: encoder outputs for the PAD positions of ``ids``, one (slots, d) a listen block.
        block_starts: offsets at which a listen block begins.
        read: ascending offsets whose logits are needed; the last one is ``len(ids) - 1``.
    """

    ids: tuple[int, ...]
    slots: tuple[Tensor, ...]
    block_starts: tuple[int, ...]
    read: tuple[int, ...]


@dataclass
class _Turn:
    """The reply in progress."""

    chunk: int
    decoder: StreamDecoder
    emotion: str = ""
    said: tuple[int, ...] = ()  # every token after TEXT_BEGIN


class NonFiniteLogitsError(UserError):
    """The model computed NaN or infinity: no decision is possible."""

    def __init__(self, chunk: int) -> None:
        super().__init__(
            f"the model computed NaN or infinity at chunk {chunk}",
            "try precision=fp32; if it stays, the weights are damaged",
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return UserError, (self.message, self.hint)


class DialogueDecoder:
    """The decisions and replies of one stream.

    Args:
        clock: seconds since the session was opened, stamped on events.
    """

    def __init__(
        self,
        spec: StreamSpec,
        tokenizer: TextTokenizer,
        policy: Policy,
        max_reply_tokens: int,
        clock: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._table = spec.tokens
        self._tokenizer = tokenizer
        self._policy = policy
        self._max_reply_tokens = max_reply_tokens
        self._clock = clock
        self._state: State = Listening()
        self._turn: _Turn | None = None
        self._pending: tuple[int, ...] = ()  # chosen, but not in the memory yet
        self._asked: list[EncodedChunk] | None = None  # the chunks of the step in flight
        self._in_flight = False

    @property
    def state(self) -> State:
        return self._state

    def next_step(self, queue: ChunkQueue) -> Step | None:
        """What to compute next; None while LISTENING with an empty queue.

        LISTENING drains the queue: chunks with newer ones waiting are answered by silence, as in
        training, and the newest is decided on.

        Raises:
            RuntimeError: if the logits of the last step were not taken.
        """
        if self._in_flight:
            raise RuntimeError("take the logits of the last step before asking for the next")
        if isinstance(self._state, Speaking):
            step = Step(self._pending, (), (), (len(self._pending) - 1,))
        else:
            chunks = queue.drain()
            if not chunks:
                return None
            step = self._listen(chunks)
            self._asked = chunks
        self._pending = ()
        self._in_flight = True
        return step

    def _listen(self, chunks: list[EncodedChunk]) -> Step:
        block = layout.listen(self._table, self._spec.time.slots_per_chunk).ids
        ids = list(self._pending)
        starts, read = [], []
        for chunk in chunks:
            starts.append(len(ids))
            ids.extend(block)
            read.append(len(ids) - 1)
            if chunk is not chunks[-1]:
                ids.extend(layout.silence(self._table).ids)
        return Step(tuple(ids), tuple(c.slots for c in chunks), tuple(starts), tuple(read))

    def take(self, logits: Tensor) -> list[SessionEvent]:
        """Turns the logits of the last step into tokens and events.

        Args:
            logits: (m, vocabulary) float32 at the newest m of ``Step.read``. Fewer than were asked
                for means that the oldest blocks were dropped from the memory unread.

        Raises:
            RuntimeError: if no step is in flight.
            NonFiniteLogitsError: if those that decide hold NaN or infinity.
        """
        if not self._in_flight:
            raise RuntimeError("no step is in flight")
        self._in_flight = False
        if isinstance(self._state, Speaking):
            return self._speak(logits[-1])
        assert self._asked is not None
        chunks, self._asked = self._asked, None
        return self._decide(chunks, logits)

    def stop(self) -> list[SessionEvent]:
        """Ends the reply in progress; does nothing while LISTENING.

        Raises:
            RuntimeError: if the logits of the last step were not taken.
        """
        if self._in_flight:
            raise RuntimeError("take the logits of the last step before stopping")
        if self._turn is None:
            return []
        return self._end("stopped", close=True)

    def _decide(self, chunks: list[EncodedChunk], logits: Tensor) -> list[SessionEvent]:
        table = self._table
        unread = len(chunks) - len(logits)
        pair = logits[:, [table.text_begin, table.keep_silence]]
        read: list[float] = torch.sigmoid(pair[:, 0] - pair[:, 1]).tolist()
        newest, p_newest = chunks[-1], read[-1]
        if not bool(torch.isfinite(pair).all()):
            raise NonFiniteLogitsError(newest.index)
        events: list[SessionEvent] = []
        for at, chunk in enumerate(chunks[:-1]):
            p_stale = read[at - unread] if at >= unread else None
            events.append(self._decided(chunk, p_stale, speak=False, stale=True))
        speak = self._policy.speaks(newest.index, p_newest)
        events.append(self._decided(newest, p_newest, speak=speak, stale=False))
        token = table.text_begin if speak else layout.silence(table).ids[0]
        self._state = advance(self._state, token, table)
        self._pending = (token,)
        if speak:
            self._turn = _Turn(newest.index, self._tokenizer.stream_decoder())
        return events

    def _decided(
        self, chunk: EncodedChunk, p_response: float | None, *, speak: bool, stale: bool
    ) -> Decided:
        time_s = self._spec.time.end_s(chunk.index)
        arrived = chunk.arrived_wall_s
        return Decided(chunk.index, time_s, p_response, speak, stale, arrived, self._clock())

    def _speak(self, logits: Tensor) -> list[SessionEvent]:
        turn = self._turn
        assert turn is not None
        allowed = legal(self._state, self._table)
        # The largest logit is NaN if any is. Teacher forcing checks the same.
        if not bool(torch.isfinite(logits.max())):
            raise NonFiniteLogitsError(turn.chunk)
        token = self._policy.next_token(turn.chunk, turn.said, logits, allowed)
        self._state = advance(self._state, token, self._table)
        turn.said = (*turn.said, token)
        self._pending = (token,)
        if isinstance(self._state, Listening):
            return self._end("end", close=False)
        time_s = self._spec.time.end_s(turn.chunk)
        if len(turn.said) == 1:
            turn.emotion = self._table.emotion_name(token) or ""
            return [ReplyStarted(turn.chunk, time_s, turn.emotion, self._clock())]
        text = turn.decoder.push(token)
        events: list[SessionEvent] = [ReplyText(turn.chunk, time_s, token, text, self._clock())]
        if len(turn.said) - 1 >= self._max_reply_tokens:
            events += self._end("limit", close=True)
        return events

    def _end(self, reason: EndReason, close: bool) -> list[SessionEvent]:
        turn = self._turn
        assert turn is not None
        if close:  # the model did not say TEXT_END itself; its memory must still see one
            self._pending = (*self._pending, self._table.text_end)
            self._state = Listening()
        self._turn = None
        text = self._tokenizer.decode(turn.said)
        time_s = self._spec.time.end_s(turn.chunk)
        return [ReplyEnded(turn.chunk, time_s, turn.emotion, text, reason, self._clock())]
