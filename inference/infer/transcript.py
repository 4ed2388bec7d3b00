"""The live transcript: one line for each chunk, printed as a session goes on.

::

      2.4 s  LISTENING  ▏          0.01
      2.8 s  LISTENING  ▎          0.04   ┆ turn on the light: deserves a reply now
      3.2 s  SPEAKING   █████████▊ 0.98   Light on.
"""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEnded,
    SessionEvent,
)
from inference.feed import SessionOutput
from inference.sources.recordings import Recording
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

BAR_CELLS = 10
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(probability: float, cells: int = BAR_CELLS) -> str:
    """A probability as a bar, in eighths of a character."""
    eighths = round(min(max(probability, 0.0), 1.0) * cells * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def printable(text: str) -> str:
    """A reply for a terminal, which would obey control characters: a model may write any."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class Transcript:
    """Prints events as they come. Text streams into the line of its chunk."""

    def __init__(self, console: Console, time: TimeBase) -> None:
        self._console = console
        self._time = time
        self._truth: list[tuple[int, Event]] = []  # (chunk at which it is ready, event)
        self._speaking = False

    def show(self, output: SessionOutput) -> None:
        if output.begins is not None:
            self._recording(output.begins, output.at_samples)
        for event in output.events:
            self._one(event)

    def close(self) -> None:
        """Ends the line of a reply that an error cut short."""
        if self._speaking:
            self._print(Text())

    def _recording(self, recording: Recording, start_samples: int) -> None:
        self._console.rule(Text(recording.name, "bold"), style="dim", align="left")
        for event in recording.events or ():
            at = self._time.reply_chunk(start_samples + event.ready_samples)
            self._truth.append((at, event))

    def _one(self, event: SessionEvent) -> None:
        if isinstance(event, Decided):
            self._decided(event)
        elif isinstance(event, ReplyStarted):
            tone = "bold red" if event.emotion == "urgent" else "bold green"
            self._print(Text(f"{event.emotion}: " if event.emotion != "normal" else "", tone), "")
        elif isinstance(event, ReplyText):
            self._print(Text(printable(event.text), "bold"), "")
        elif isinstance(event, ReplyEnded):
            cut_short = "" if event.reason == "end" else f" [{event.reason}]"
            self._print(Text(cut_short, "dim"))
            self._speaking = False
        elif isinstance(event, ChunkDropped):
            self._note(f"{event.time_s:7.1f} s  DROPPED: the decoder is too far behind")
        elif isinstance(event, MemoryTrimmed):
            what = f"the oldest {event.blocks} chunks" if event.blocks else "middle of the reply"
            self._note(f"           memory full: {what} dropped")
        elif isinstance(event, SessionEnded):
            parts = [f"{event.chunks} chunks, {event.time_s:.1f} s received"]
            if event.dropped_chunks:
                parts.append(f"{event.dropped_chunks} chunks dropped")
            if event.trimmed_blocks:
                parts.append(f"{event.trimmed_blocks} oldest chunks dropped from the full memory")
            self._print(Text(", ".join(parts), "dim"))

    def _note(self, words: str) -> None:
        """A line of its own, also in the middle of a reply."""
        self._print(Text(("\n" if self._speaking else "") + words, "dim yellow"))

    def _decided(self, event: Decided) -> None:
        odds = event.p_response
        line = Text(f"{event.time_s:7.1f} s  ")
        line.append("SPEAKING   " if event.speak else "LISTENING  ",
                    "bold green" if event.speak else "dim")  # fmt: skip
        line.append(bar(odds or 0.0), "green" if event.speak else "cyan")
        line.append(f" {odds:.2f}  " if odds is not None else "   -  ", "dim")
        line.append("(stale) " if event.stale else "", "dim")
        due = [e for chunk, e in self._truth if chunk == event.chunk]
        for one in due:
            what = "deserves a reply" if one.must_respond else "deserves none"
            line.append(f"┆ {one.kind.replace('_', ' ')}: {what} ", "yellow")
        line.append("▸ " if event.speak else "", "bold green")
        self._speaking = event.speak
        self._print(line, end="" if event.speak else "\n")

    def _print(self, text: Text, end: str = "\n") -> None:
        self._console.print(text, end=end, soft_wrap=True)
