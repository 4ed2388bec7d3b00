"""Decisions and replies of one stream, without running the model (protocol section 6).

The decoder says what the language model has to append next and where its output is needed
(`Step`); the caller computes it and passes it back::

    step = decoder.next_step(queue)       LISTENING: one or more blocks    SPEAKING: one token
    ...                                   one forward pass                 one forward pass
    taken = decoder.take_decisions(p)     Decided                 decoder.take_token(t)  Reply...

So a live session, a batch under evaluation and a server share the same decisions, and none of them
can decode differently.

Chunks that arrived during a reply are answered in one of two ways::

    Drain     [stale ▸ silence][stale ▸ silence][newest ▸ decided]    keeps up with the clock
    InTurn    [decided][decided][decided]                             every chunk is decided on

All others are decided on, however many of them wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from inference.decoder.chunk_queue import ChunkQueue, EncodedChunk
from inference.decoder.policy import Policy
from inference.decoder.sampling import SamplingConfig
from inference.decoder.turn import Cut, Turn
from inference.events import Decided, ReplyTruncated, ReplyWithdrawn, SessionEvent
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import Listening, Speaking, State, advance
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Drain:
    """What arrived during a reply is taken as a whole at its end: the newest chunk is decided on,
    the others are answered by silence.

    Of chunks that are decided on, up to ``ahead`` are computed at once, as if all stayed silent;
    those after one that is answered are taken again. A stream that was silent for n chunks is
    expected to stay so for n + 1: soon after a reply, little is computed in vain.
    """

    ahead: int = 8


@dataclass(frozen=True)
class InTurn:
    """Every chunk is decided on; ``ahead`` as above."""

    ahead: int = 1


Order = Drain | InTurn


@dataclass(frozen=True)
class Step:
    """Token ids to append, in order.

    Attributes:
        chunks: of its listen blocks; their encoder outputs belong at the PAD positions of ``ids``.
        block_starts: offsets at which a listen block begins.
        read: ascending offsets whose output is needed; the last one is ``len(ids) - 1``.
    """

    ids: tuple[int, ...]
    chunks: tuple[EncodedChunk, ...]
    block_starts: tuple[int, ...]
    read: tuple[int, ...]

    @property
    def slots(self) -> tuple[Tensor, ...]:
        return tuple(chunk.slots for chunk in self.chunks)


@dataclass(frozen=True)
class Taken:
    """Events of decisions, and how many of the step's ids stay in the memory."""

    events: tuple[SessionEvent, ...]
    kept: int


class DialogueDecoder:
    """The decisions and replies of one stream.

    Args:
        clock: seconds since the session was opened, stamped on events.

    Attributes:
        sampling: how the next token is to be chosen.
    """

    def __init__(
        self,
        spec: StreamSpec,
        tokenizer: TextTokenizer,
        policy: Policy,
        sampling: SamplingConfig,
        order: Order,
        clock: Callable[[], float],
    ) -> None:
        self._spec = spec
        self._table = spec.tokens
        self._tokenizer = tokenizer
        self._policy = policy
        self.sampling = sampling
        self._order = order
        self._clock = clock
        self._state: State = Listening()
        self._turn: Turn | None = None  # the newest reply, also after its end
        self._pending: tuple[int, ...] = ()  # chosen, but not in the memory yet
        self._in_flight: tuple[Step, ChunkQueue, frozenset[int]] | None = None  # stale chunks
        self._asked: int | None = None  # the chunk that has to be answered
        self._silent = 0  # chunks answered by silence since the last reply

    def configure(self, policy: Policy, sampling: SamplingConfig) -> None:
        """Another policy and other limits of a reply, from the next decision and token on."""
        self._policy, self.sampling = policy, sampling

    def answer(self, chunk: int) -> None:
        """A reply to ``chunk``, or to the first one behind it that is decided on, whatever the
        policy says."""
        self._asked = chunk

    @property
    def state(self) -> State:
        return self._state

    @property
    def asked(self) -> bool:
        """Whether a reply is in progress that the caller asked for."""
        return isinstance(self._state, Speaking) and self._turn is not None and self._turn.asked

    def next_step(self, queue: ChunkQueue, at_most: int = 1 << 30) -> Step | None:
        """What to compute next; None while LISTENING with an empty queue.

        Args:
            at_most: how many chunks one step may take.

        Raises:
            RuntimeError: if the output of the last step was not taken.
        """
        if self._in_flight is not None:
            raise RuntimeError("take the output of the last step before asking for the next")
        if isinstance(self._state, Speaking):
            step = Step(self._pending, (), (), (len(self._pending) - 1,))
            stale: frozenset[int] = frozenset()
        else:
            chunks = self._take(queue, at_most)
            if not chunks:
                return None
            step = self._listen(chunks)
            # What does not fit into this step is newer still.
            newest = chunks[-1].index if not len(queue) else None
            stale = frozenset(c.index for c in chunks if self._waited(c)) - {newest}
        if self._turn is not None:
            self._turn.feed()
        self._pending = ()
        self._in_flight = (step, queue, stale)
        return step

    def _waited(self, chunk: EncodedChunk) -> bool:
        """Whether it is to be answered by silence, unless it is the newest."""
        return isinstance(self._order, Drain) and chunk.during_reply

    def _take(self, queue: ChunkQueue, at_most: int) -> list[EncodedChunk]:
        """The oldest chunks that wait, not too many of them to be decided on: see `Drain`."""
        chunks, decided = queue.take(at_most), 0
        ahead = min(self._order.ahead, self._silent + 1)
        for at, chunk in enumerate(chunks):
            decided += not self._waited(chunk)
            if decided > ahead:
                queue.put_back(chunks[at:])
                return chunks[:at]
        return chunks

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
        return Step(tuple(ids), tuple(chunks), tuple(starts), tuple(read))

    def take_decisions(self, p_response: Sequence[float]) -> Taken:
        """Decides, after a step while LISTENING.

        Args:
            p_response: one for each of ``Step.read``.

        Raises:
            RuntimeError: if no such step is in flight.
        """
        if self._in_flight is None or isinstance(self._state, Speaking):
            raise RuntimeError("no listening step is in flight")
        step, queue, stale = self._in_flight
        self._in_flight = None
        events: list[SessionEvent] = []
        for at, (chunk, p) in enumerate(zip(step.chunks, p_response, strict=True)):
            asked = self._asked is not None and chunk.index >= self._asked
            late = chunk.index in stale
            speak = not late and (asked or self._policy.speaks(chunk.index, p))
            events.append(self._decided(chunk, p, speak=speak, stale=late))
            if speak:
                queue.put_back(step.chunks[at + 1 :])
                self._silent = 0
                self._begin(chunk.index)
                return Taken(tuple(events), step.read[at] + 1)
        self._silent += len(events)
        self._pending = layout.silence(self._table).ids
        return Taken(tuple(events), len(step.ids))

    def _begin(self, chunk: int) -> None:
        asked = self._asked is not None and chunk >= self._asked
        if asked:
            self._asked = None
        token = self._table.text_begin
        self._state = advance(self._state, token, self._table)
        self._pending = (token,)
        self._turn = Turn(self._spec, self._tokenizer, self._clock, chunk, asked)

    def _decided(self, chunk: EncodedChunk, p: float, *, speak: bool, stale: bool) -> Decided:
        time_s = self._spec.time.end_s(chunk.index)
        return Decided(chunk.index, time_s, p, speak, stale, chunk.arrived_wall_s, self._clock())

    def take_token(self, sampled: int) -> list[SessionEvent]:
        """Goes on with a reply, after a step while SPEAKING.

        Args:
            sampled: the model's choice of the next token.

        Raises:
            RuntimeError: if no such step is in flight.
        """
        turn = self._turn
        if self._in_flight is None or turn is None or not isinstance(self._state, Speaking):
            raise RuntimeError("no speaking step is in flight")
        self._in_flight = None
        token = self._policy.next_token(turn.chunk, turn.said, sampled)
        self._state = advance(self._state, token, self._table)
        self._pending = (token,)
        if isinstance(self._state, Listening):
            return [turn.end("end")]
        events: list[SessionEvent] = [turn.say(token)]
        reason = turn.must_end(self.sampling)
        if reason is not None:  # the model did not end it; its memory must still see TEXT_END
            self._pending = (token, self._table.text_end)
            self._state = Listening()
            events.append(turn.end(reason))
        return events

    def interrupt(self, heard_tokens: int | None = None) -> Cut:
        """Ends the reply in progress, or shortens the last one, to what was heard of it. A reply
        that was asked for and has not begun is withdrawn.

        Args:
            heard_tokens: text tokens that were heard; None for all that were said.

        Returns:
            No events where there is nothing to shorten, or where the memory has gone on since: see
            `shorten`. What is pending is part of the next step.

        Raises:
            RuntimeError: if the output of the last step was not taken.
        """
        if self._in_flight is not None:
            raise RuntimeError("take the output of the last step before interrupting")
        cut = None if self._turn is None else self._turn.cut(heard_tokens)
        if cut is not None:
            self._pending = cut.pending
            self._state = Listening()
        cut = cut or Cut()
        return replace(cut, events=(*cut.events, *self._withdraw()))

    def unsay(self) -> None:
        """The last reply, which is over and which the memory has forgotten, becomes silence."""
        self._pending = layout.silence(self._table).ids
        self._turn = None

    def _withdraw(self) -> list[SessionEvent]:
        asked, self._asked = self._asked, None
        if asked is None:
            return []
        return [ReplyWithdrawn(asked, self._spec.time.end_s(asked), self._clock())]

    @property
    def last_reply(self) -> tuple[int, int] | None:
        """The chunk of a reply that is in the memory to its end, and its number of text tokens."""
        turn = self._turn
        return (turn.chunk, turn.text_tokens) if turn is not None and turn.closed else None

    def shorten(self, heard_tokens: int) -> ReplyTruncated:
        """Reports that the memory holds only the first tokens of the last reply, which is over."""
        assert self._turn is not None
        return self._turn.shorten(heard_tokens)
