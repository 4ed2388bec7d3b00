"""The picture of a session on a terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from inference.events import (
    Decided,
    MemoryTrimmed,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEnded,
)
from inference.feed import SessionOutput
from inference.infer.live_view import LiveView, SessionView
from inference.sources.recordings import Recording
from tests.inference.engines import make_engine

TIME = make_engine().spec.time


def out(*events, packet=0, at=0, name=None):
    begins = None if name is None else Recording(name, iter(()))
    return SessionOutput(begins, at, np.full(packet, 0.1, np.float32), events)


def drawn(view: SessionView, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view)
    return console.file.getvalue()


def decided(chunk: int, p: float, speak: bool = False) -> Decided:
    return Decided(chunk, TIME.end_s(chunk), p, speak, wall_s=1.25, arrived_wall_s=1.0)


def test_a_reply_grows_and_then_moves_above_the_picture():
    view = SessionView(TIME, 0.5)
    view.take(out(decided(0, 0.9, True), packet=6400, name="talk.wav"))
    view.take(out(ReplyStarted(0, 0.4, "urgent"), ReplyText(0, 0.4, 1, "Light ")))
    picture = drawn(view)
    for words in ("talk.wav", "▸ Light ▌", "SPEAKING", "urgent", "0.90, speaks at 0.50",
                  "decided 0.25 s after the chunk", "-20 dBFS"):  # fmt: skip
        assert words in picture
    (line,) = view.take(out(ReplyEnded(0, 0.4, "urgent", "Light on.", "limit")))
    assert line.plain.split() == ["0.4", "s", "▸", "urgent:", "Light", "on.", "[limit]"]
    assert "LISTENING" in drawn(view)


@pytest.mark.parametrize("width", [40, 80, 200, 300])
def test_the_strip_holds_the_last_minute_at_any_width(width):
    view = SessionView(TIME, 0.5)
    for chunk in range(400):
        view.take(out(decided(chunk, 0.99 if chunk in (3, 399) else 0.0), packet=6400))
    (strip,) = [line for line in drawn(view, width).splitlines() if "last 60 s" in line]
    assert strip.count("█") == 1  # chunk 3 is long past
    assert max(len(line) for line in drawn(view, width).splitlines()) == width
    room = width - 17
    together = -(-150 // (room - 24 if room >= 48 else room))
    assert strip.count("▁") == -(-150 // together) - 1


def test_a_reply_is_one_row_whatever_it_is_written_with():
    """A terminal would obey control characters, and some characters take two of its cells."""
    view = SessionView(TIME, 0.5)
    rows = len(drawn(view, 60).splitlines())
    for reply in ("a\nb\x1b[2J\x9b2J", "早上好" * 30, "good morning " * 30):
        view.take(out(ReplyStarted(0, 0.4, "normal"), ReplyText(0, 0.4, 1, reply)))
        picture = drawn(view, 60)
        assert len(picture.splitlines()) == rows
        assert {cell_len(line) for line in picture.splitlines()} == {60}
        (line,) = view.take(out(ReplyEnded(0, 0.4, "normal", reply, "end")))
        assert not {"\x1b", "\x9b"} & {*picture, *line.plain}


def test_what_is_forgotten_is_said():
    view = SessionView(TIME, 0.5)
    view.take(out(packet=16_000 * 60))
    assert "remembers 60 s" in drawn(view)
    view.take(out(MemoryTrimmed(149, 60.0, 25, remembered_s=50.0)))
    assert "remembers 50 s" in drawn(view)


def test_the_picture_is_drawn_in_place_and_removed_at_the_end():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=90)
    live = LiveView(console, SessionView(TIME, 0.5))
    live.show(out(decided(0, 0.2), packet=6400, name="talk.wav"))
    assert "p(response)" in file.getvalue()
    live.show(out(ReplyEnded(0, 0.4, "normal", "Light on.", "end"), SessionEnded(1, 0.4, 6400)))
    live.close()
    tail = file.getvalue().rpartition("1 chunks, 0.4 s received")[2]
    assert "\x1b[2K" in tail  # its lines are erased
    assert "Light on." in file.getvalue()
