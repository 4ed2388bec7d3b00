"""A reply: what was said of it, how much of that is in the memory, and what an interruption keeps.

::

    said      <emotion> Light on .         ReplyStarted  ReplyText ...  ReplyEnded
    fed       <emotion> Light on           of it, what is in the memory
    cut(1)    <emotion> Light TEXT_END     one token was heard: the memory forgets the next one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.decoder.sampling import SamplingConfig
from inference.events import (
    EndReason,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ReplyTruncated,
    SessionEvent,
)
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import TextTokenizer

LONGEST_CYCLE_TOKENS = 16


@dataclass(frozen=True)
class Cut:
    """An interruption.

    Attributes:
        forget: how many of the newest positions the memory has to forget.
        pending: ids that it then has to see before anything else.
    """

    events: tuple[SessionEvent, ...] = ()
    forget: int = 0
    pending: tuple[int, ...] = ()


class Turn:
    """One reply.

    Args:
        clock: seconds since the session was opened, stamped on events.
        chunk: that it answers.
        asked: whether the caller asked for it.

    Attributes:
        said: its emotion and text.
        ended: whether it is over; ``closed``: whether its TEXT_END is in the memory too.
    """

    def __init__(
        self,
        spec: StreamSpec,
        tokenizer: TextTokenizer,
        clock: Callable[[], float],
        chunk: int,
        asked: bool,
    ) -> None:
        self._table = spec.tokens
        self._tokenizer = tokenizer
        self._decoder = tokenizer.stream_decoder()
        self._clock = clock
        self._began_s = clock()
        self._time_s = spec.time.end_s(chunk)
        self._fed = 0  # of ``said``, what is in the memory
        self.chunk = chunk
        self.asked = asked
        self.said: tuple[int, ...] = ()
        self.ended = False
        self.closed = False

    @property
    def text_tokens(self) -> int:
        return max(0, len(self.said) - 1)

    def feed(self) -> None:
        """All of it so far goes into the memory."""
        self._fed = len(self.said)
        self.closed = self.ended

    def say(self, token: int) -> ReplyStarted | ReplyText:
        """Its next token: the emotion, then text."""
        self.said = (*self.said, token)
        if len(self.said) == 1:
            return self._started()
        text = self._decoder.push(token)
        return ReplyText(self.chunk, self._time_s, token, text, self._clock())

    def must_end(self, config: SamplingConfig) -> EndReason | None:
        """Why it may not go on, if so. A reply has at least one token of text."""
        if not self.text_tokens:
            return None
        spoken_s = self._clock() - self._began_s
        if self.text_tokens >= config.max_reply_tokens:
            return "limit"
        if config.max_reply_s is not None and spoken_s >= config.max_reply_s:
            return "limit"
        if config.max_repeats is not None and repeats(self.said[1:], config.max_repeats):
            return "repetition"
        return None

    def end(self, reason: EndReason) -> ReplyEnded:
        self.ended = True
        text = self._tokenizer.decode(self.said)
        return ReplyEnded(self.chunk, self._time_s, self._emotion, text, reason, self._clock())

    def cut(self, heard_tokens: int | None) -> Cut | None:
        """Ends it, or shortens it while the memory has not seen its end, to what was heard.

        Args:
            heard_tokens: text tokens that were heard; None for all that were said.

        Returns:
            None where there is nothing to shorten, or the memory has seen all of it (`shorten`).
        """
        heard = self.text_tokens if heard_tokens is None else min(heard_tokens, self.text_tokens)
        if self.closed or (self.ended and heard == self.text_tokens):
            return None
        events: list[SessionEvent] = []
        begin: tuple[int, ...] = ()
        if not self.said:  # stopped before its emotion: a legal turn has one
            begin = (self._table.text_begin,)
            self.said = (self._table.emotion_ids["normal"],)
            events.append(self._started())
        self.said = self.said[: 1 + heard]
        forget = max(0, self._fed - len(self.said))
        self._fed -= forget
        events.append(self._truncated() if self.ended else self.end("stopped"))
        pending = (*begin, *self.said[self._fed :], self._table.text_end)
        return Cut(tuple(events), forget, pending)

    def shorten(self, heard_tokens: int) -> ReplyTruncated:
        """Reports that the memory, which saw all of it, holds only its first tokens now."""
        self.said = self.said[: 1 + heard_tokens]
        return self._truncated()

    def _started(self) -> ReplyStarted:
        return ReplyStarted(self.chunk, self._time_s, self._emotion, self.asked, self._clock())

    def _truncated(self) -> ReplyTruncated:
        text = self._tokenizer.decode(self.said)
        return ReplyTruncated(self.chunk, self._time_s, text, self._clock())

    @property
    def _emotion(self) -> str:
        return (self._table.emotion_name(self.said[0]) if self.said else None) or ""


def repeats(text: Sequence[int], times: int) -> bool:
    """Whether ``text`` ends in the same tokens ``times`` times in a row, at most 16 of them."""
    for cycle in range(1, min(LONGEST_CYCLE_TOKENS, len(text) // times) + 1):
        tail = text[-cycle * times :]
        if all(tail[at] == tail[at - cycle] for at in range(cycle, len(tail))):
            return True
    return False
