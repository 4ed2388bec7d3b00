"""A session on a terminal, as it goes on.

::

     12.8 s  ▸ Light on.                                          replies scroll by above
    ╭ talk.wav ─────────────────────────────────────────────────────────────────╮
    │ input        ▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▮▯▯▯▯▯▯▯▯▯▯▯▯▯▯   -21 dBFS                     │
    │ last 60 s    ▁▁▁▂▁▁▁▁▁█▁▁▁▁▁▁▃▁▁▁▁▁▁▁▁▁▁▁▁▁▁   a cell a chunk or a few     │
    │ p(response)  ██████▌             │             0.21, speaks from 0.50      │
    │ reply        ▸ Glass br                                                    │
    │ 13.2 s · 0.03 s behind · remembers 13 s · 2 replies                        │
    ╰────────────────────────────────────────────────────────────────────────────╯
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEnded,
    SessionEvent,
)
from inference.feed import SessionOutput
from inference.infer.transcript import bar, printable
from soundflow.protocol.timebase import TimeBase

STRIP_S = 60.0
QUIETEST_DB = -60.0
REDRAWS_A_SECOND = 12.0
_HEIGHTS = "▁▂▃▄▅▆▇█"
_LABEL_CELLS, _VALUE_CELLS, _FRAME_CELLS = 13, 24, 4
_PEAK_FALLS_DB = 20.0  # a second


@dataclass(frozen=True)
class Cell:
    """One chunk of the strip."""

    p_response: float
    speaks: bool
    stale: bool


@dataclass
class SessionView:
    """What is shown of a session; drawn by rich at whatever width there is.

    Attributes:
        threshold: p(response) from which the model speaks.
        level_db: of the newest packet, relative to full scale; ``peak_db`` falls slowly after it.
        cells: the chunks of the last minute, oldest first.
        reply: what has been said of the reply in progress; None between replies.
        behind_s: how long after its chunk the last decision came.
        forgotten_s: stream time before which nothing is remembered.
    """

    time: TimeBase
    threshold: float
    title: str = ""
    received_s: float = 0.0
    level_db: float = QUIETEST_DB
    peak_db: float = QUIETEST_DB
    cells: deque[Cell] = field(default_factory=deque)
    emotion: str = ""
    reply: str | None = None
    behind_s: float = 0.0
    forgotten_s: float = 0.0
    replies: int = 0
    dropped: int = 0

    def take(self, output: SessionOutput) -> list[Text]:
        """Brings the view up to date; returns lines for the scroll-back above it."""
        if output.begins is not None:
            self.title = output.begins.name
        if len(output.packet):
            self._level(output)
        lines = [self._event(event) for event in output.events]
        return [line for line in lines if line is not None]

    def _level(self, output: SessionOutput) -> None:
        power = float(np.mean(np.square(output.packet, dtype=np.float64)))
        self.level_db = max(QUIETEST_DB, 10 * float(np.log10(power + 1e-12)))
        fallen_db = self.peak_db - _PEAK_FALLS_DB * self.time.seconds(len(output.packet))
        self.peak_db = max(self.level_db, fallen_db)
        self.received_s = self.time.seconds(output.at_samples + len(output.packet))

    def _event(self, event: SessionEvent) -> Text | None:
        match event:
            case Decided():
                self.cells.append(Cell(event.p_response or 0.0, event.speak, event.stale))
                while len(self.cells) > round(STRIP_S / self.time.chunk_s):
                    self.cells.popleft()
                self.behind_s = event.wall_s - event.arrived_wall_s
            case ReplyStarted():
                self.emotion, self.reply = event.emotion, ""
                self.replies += 1
            case ReplyText():
                self.reply = (self.reply or "") + printable(event.text).replace("\n", " ")
            case ReplyEnded():
                self.reply = None
                return _reply_line(event)
            case MemoryTrimmed():
                self.forgotten_s = event.time_s - event.remembered_s
            case ChunkDropped():
                self.dropped += 1
            case Overloaded():
                late = f"{event.time_s:8.1f} s  decisions are {event.late_s:.1f} s behind the audio"
                return Text(late, "yellow")
            case SessionEnded():
                return Text(f"{event.chunks} chunks, {event.time_s:.1f} s received", "dim")
        return None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - _LABEL_CELLS - _FRAME_CELLS
        explained = room >= 2 * _VALUE_CELLS
        cells = room - _VALUE_CELLS if explained else max(10, room)
        rows = (
            ("input", self._meter(cells), f"{self.level_db:.0f} dBFS"),
            (f"last {STRIP_S:.0f} s", *self._strip(cells)),
            ("p(response)", *self._odds(cells)),
            ("reply", self._said(cells), self.emotion if self.reply is not None else ""),
        )
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(style="dim", width=_LABEL_CELLS - 1)
        grid.add_column(width=cells)
        if explained:
            grid.add_column(style="dim", no_wrap=True)
        for row in rows:
            grid.add_row(*row[: 3 if explained else 2])
        speaking = self.reply is not None
        yield Panel(
            _stacked(grid, Text(self._facts(), "dim")),
            title=Text(self.title, "bold"),
            title_align="left",
            subtitle=Text("SPEAKING", "bold green") if speaking else Text("LISTENING", "cyan"),
            subtitle_align="right",
            border_style="green" if speaking else "blue",
        )

    def _meter(self, cells: int) -> Text:
        def place(level_db: float) -> int:
            return round((1 - max(level_db, QUIETEST_DB) / QUIETEST_DB) * cells)

        lit, peak = place(self.level_db), min(place(self.peak_db), cells - 1)
        meter = Text()
        for at in range(cells):
            share = at / cells
            colour = "red" if share > 0.95 else "yellow" if share > 0.8 else "green"
            mark = "▮" if at < lit else "▕" if at == peak and peak > 0 else " "
            meter.append(mark, colour)
        return meter

    def _strip(self, cells: int) -> tuple[Text, str]:
        chunks = round(STRIP_S / self.time.chunk_s)
        together = -(-chunks // cells)
        strip = Text()
        known = list(self.cells)
        for at in range(0, len(known), together):
            group = known[at : at + together]
            p = max(cell.p_response for cell in group)
            colour = "bright_black" if all(cell.stale for cell in group) else "cyan"
            if any(cell.speaks for cell in group):
                colour = "bold green"
            elif p >= self.threshold / 2:
                colour = "yellow"
            strip.append(_HEIGHTS[min(int(p * len(_HEIGHTS)), len(_HEIGHTS) - 1)], colour)
        each = "a chunk" if together == 1 else f"{together} chunks"
        return strip, f"a cell is {each}"

    def _odds(self, cells: int) -> tuple[Text, str]:
        p = self.cells[-1].p_response if self.cells else 0.0
        drawn = Text(bar(p, cells), "green" if p >= self.threshold else "cyan")
        mark = min(int(self.threshold * cells), cells - 1)
        if drawn.plain[mark] == " ":
            drawn = Text.assemble(drawn[:mark], ("│", "dim"), drawn[mark + 1 :])
        return drawn, f"{p:.2f}, speaks at {self.threshold:.2f}"

    def _said(self, cells: int) -> Text:
        if self.reply is None:
            return Text("")
        room, tail = cells - 3, self.reply
        if cell_len(tail) > room:  # a Chinese character takes two cells
            tail = tail[-room:]
            while cell_len(tail) >= room:
                tail = tail[1:]
            tail = f"…{tail}"
        return Text.assemble(("▸ ", "bold green"), (tail, _tone(self.emotion)), ("▌", "green"))

    def _facts(self) -> str:
        replies = "1 reply" if self.replies == 1 else f"{self.replies} replies"
        facts = [
            f"{_clock(self.received_s)} heard",
            f"decided {self.behind_s:.2f} s after the chunk",
            f"remembers {max(0.0, self.received_s - self.forgotten_s):.0f} s",
            replies,
        ]
        return " · ".join([*facts, f"{self.dropped} chunks dropped"] if self.dropped else facts)


def _stacked(grid: Table, facts: Text) -> Table:
    stack = Table.grid()
    stack.add_row(grid)
    stack.add_row(facts)
    return stack


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _tone(emotion: str) -> str:
    return "bold red" if emotion == "urgent" else "bold"


def _reply_line(event: ReplyEnded) -> Text:
    mood = f"{event.emotion}: " if event.emotion != "normal" else ""
    cut = "" if event.reason == "end" else f" [{event.reason}]"
    return Text.assemble(
        (f"{event.time_s:8.1f} s  ", "dim"), ("▸ ", "bold green"), (mood, _tone(event.emotion)),
        (printable(event.text), _tone(event.emotion)), (cut, "dim"),
    )  # fmt: skip


class LiveView:
    """Draws a `SessionView` in place, at most twelve times a second; replies stay above it."""

    def __init__(
        self, console: Console, view: SessionView, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._view = view
        self._clock = clock
        self._drawn_s = -1.0
        self._live = Live(view, console=console, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, output: SessionOutput) -> None:
        for line in self._view.take(output):
            self._live.console.print(line, soft_wrap=True)
        now = self._clock()
        if now - self._drawn_s >= 1 / REDRAWS_A_SECOND:
            self._drawn_s = now
            self._live.refresh()

    def close(self) -> None:
        """Removes the picture; the lines above it stay."""
        self._live.stop()
