"""One stream on one time axis: its sound, the decisions, the truth and the replies.

::

    waveform     ▁▂▇▅▂▁▁▁▃▆▃▁▁
    mel          (what the encoder is given)
    p(response)  ▁▁▁▁▁█▁▁▁▁▁█▁   one bar a chunk, the threshold as a line
    truth        [turn on the light]|  [phone]     the bar is t_ready
    replies            ▸ Light on.
    seconds      0   1   2   3   4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from soundflow.report.chart import Scale, tick_label, ticks
from soundflow.report.embed import audio_uri
from soundflow.report.heatmap import heatmap_uri
from soundflow.report.markup import join, tag

Float32 = npt.NDArray[np.float32]
Grade = Literal["right", "inexact", "false", "unknown"]

LEFT, RIGHT, TOP = 92, 14, 6
PX_PER_S, LEAST_WIDTH = 78.0, 900.0
WAVE, MEL, ODDS, LANE, AXIS, GAP = 52, 92, 60, 22, 24, 8
LETTER_PX = 6.6


@dataclass(frozen=True)
class Bar:
    """One decision: the chunk's span in seconds, p(response), and whether it spoke."""

    start_s: float
    end_s: float
    p_response: float | None
    speak: bool


@dataclass(frozen=True)
class Span:
    """One true event. ``ready_s``: from when on it can be answered."""

    start_s: float
    ready_s: float
    end_s: float
    name: str
    must_respond: bool


@dataclass(frozen=True)
class ReplyMark:
    """One reply, at its onset."""

    at_s: float
    text: str
    grade: Grade
    emotion: str = "normal"


@dataclass(frozen=True)
class StreamView:
    """Everything that is drawn of a stream, or of a part of a longer one.

    Attributes:
        audio: (n,) float32 in [-1, 1].
        mel: (n_mels, n_frames) as the encoder is given it, or None.
        start_s: where the audio begins on the time axis of bars, spans and replies.
        px_per_s: width of a second.
    """

    title: str
    note: str
    audio: Float32
    rate_hz: int
    mel: Float32 | None
    bars: Sequence[Bar]
    threshold: float | None
    spans: Sequence[Span]
    said: Sequence[ReplyMark]
    start_s: float = 0.0
    px_per_s: float = PX_PER_S

    @property
    def duration_s(self) -> float:
        return len(self.audio) / self.rate_hz


def stream_view(view: StreamView) -> Markup:
    """The stream as a figure with a player; the page's script moves the play-head."""
    player = tag(
        "audio", "", controls="", preload="metadata", src=audio_uri(view.audio, view.rate_hz)
    )
    heading = join((tag("h3", view.title), tag("span", view.note, class_="note")))
    return tag(
        "article",
        join((tag("header", heading), timeline(view), player)),
        class_="stream",
    )


def timeline(view: StreamView) -> Markup:
    """The picture alone, for an article of the class "stream" that has a player."""
    width = max(LEAST_WIDTH, view.duration_s * view.px_per_s) + LEFT + RIGHT
    end_s = view.start_s + max(view.duration_s, 1e-6)
    x = Scale(view.start_s, end_s, LEFT, width - RIGHT)
    truth_rows = _rows([(x(s.start_s), x(s.start_s) + _span_width(s, x)) for s in view.spans])
    said_rows = _rows([_said_extent(r, x) for r in view.said])
    lanes: list[tuple[str, float, Markup]] = [("waveform", WAVE, _wave(view, x))]
    if view.mel is not None and view.mel.size:
        lanes.append(("log-mel", MEL, _mel(view.mel, x)))
    if view.bars:
        # Without a threshold the bars are decisions that were laid down, not probabilities.
        decided = view.threshold is None
        lanes.append(("decision" if decided else "p(response)", ODDS, _odds(view, x)))
    if view.spans:
        lanes.append(("truth", LANE * (max(truth_rows) + 1), _spans(view, x, truth_rows)))
    lanes.append(("replies", LANE * (max(said_rows, default=0) + 1), _said(view, x, said_rows)))
    parts, top = [], float(TOP)
    for name, height, drawing in lanes:
        parts.append(tag("text", name, x=LEFT - 10, y=top + height / 2 + 4, class_="lane end"))
        parts.append(tag("g", drawing, transform=f"translate(0 {top:g})"))
        top += height + GAP
    parts.append(_axis(x, top))
    parts.append(
        tag("line", x1=LEFT, x2=LEFT, y1=TOP, y2=top, class_="playhead", visibility="hidden")
    )
    svg = tag(
        "svg",
        join(parts),
        viewBox=f"0 0 {width:g} {top + AXIS:g}",
        class_="timeline",
        style=f"min-width:{width * 0.75:g}px",
        role="img",
        aria_label=f"{view.title}: sound, decisions, truth and replies over time",
        data_x0=x.start,
        data_x1=x.end,
        data_start=f"{view.start_s:.4f}",
        data_duration=f"{view.duration_s:.4f}",
    )
    return tag("div", svg, class_="scroll")


def _wave(view: StreamView, x: Scale) -> Markup:
    columns = max(1, min(int(x.end - x.start), len(view.audio)))
    edges = np.linspace(0, len(view.audio), columns + 1).astype(int)[:-1]
    if not len(view.audio):
        return Markup("")
    peak = max(float(np.abs(view.audio).max()), 1e-3)
    high = np.maximum.reduceat(view.audio, edges) / peak
    low = np.minimum.reduceat(view.audio, edges) / peak
    at = np.linspace(x.start, x.end, columns)
    half = WAVE / 2
    there = [f"{a:.1f},{half - h * half:.1f}" for a, h in zip(at, high, strict=True)]
    back = [f"{a:.1f},{half - v * half:.1f}" for a, v in zip(at[::-1], low[::-1], strict=True)]
    return tag("polygon", points=" ".join(there + back), class_="wave")


def _mel(mel: Float32, x: Scale) -> Markup:
    return tag(
        "image",
        href=heatmap_uri(mel),
        x=x.start,
        y=0,
        width=x.end - x.start,
        height=MEL,
        preserveAspectRatio="none",
    )


def _odds(view: StreamView, x: Scale) -> Markup:
    box = tag("rect", x=x.start, y=0, width=x.end - x.start, height=ODDS, class_="lane-box")
    parts = [box]
    for bar in view.bars:
        p = bar.p_response or 0.0
        left, right = x(bar.start_s) + 1, x(bar.end_s) - 1
        height = max(1.5, p * ODDS)
        words = "speaks" if bar.speak else "silent"
        odds = "" if view.threshold is None else f"p(response) {p:.3f}, "
        hint = tag("title", f"{bar.end_s:.1f} s: {odds}{words}")
        parts.append(
            tag(
                "rect",
                hint,
                x=left,
                y=ODDS - height,
                width=max(1.0, right - left),
                height=height,
                rx=1.5,
                class_="bar speak" if bar.speak else "bar",
            )
        )
    if view.threshold is not None:
        at = ODDS * (1.0 - view.threshold)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="threshold"))
    return join(parts)


def _rows(extents: Sequence[tuple[float, float]]) -> list[int]:
    """The first row in which each extent fits behind the ones before it."""
    ends: list[float] = []
    rows = []
    for start, end in extents:
        row = next((i for i, e in enumerate(ends) if e <= start), len(ends))
        if row == len(ends):
            ends.append(end)
        ends[row] = end
        rows.append(row)
    return rows


def _span_width(span: Span, x: Scale) -> float:
    return max(x(span.end_s) - x(span.start_s), len(span.name) * LETTER_PX + 10)


def _spans(view: StreamView, x: Scale, rows: Sequence[int]) -> Markup:
    parts = []
    for span, row in zip(view.spans, rows, strict=True):
        y, kind = row * LANE, "wanted" if span.must_respond else "unwanted"
        left = x(span.start_s)
        answer = "to be answered" if span.must_respond else "not to be answered"
        hint = tag("title", f"{span.name}: {answer}, t_ready {span.ready_s:.2f} s")
        parts.append(
            tag(
                "rect",
                hint,
                x=left,
                y=y + 2,
                width=max(2.0, x(span.end_s) - left),
                height=LANE - 4,
                rx=3,
                class_=f"span {kind}",
            )
        )
        if span.must_respond:
            ready = x(span.ready_s)
            parts.append(tag("line", x1=ready, x2=ready, y1=y, y2=y + LANE, class_="ready"))
        parts.append(tag("text", span.name, x=left + 5, y=y + 15, class_="label"))
    return join(parts)


_SIGNS: dict[Grade, str] = {"right": "✓", "inexact": "≈", "false": "✗", "unknown": "▸"}


def _said_words(said: ReplyMark) -> str:
    tone = f" ({said.emotion})" if said.emotion not in ("normal", "") else ""
    text = said.text if len(said.text) <= 60 else said.text[:57] + "..."
    return f"{_SIGNS[said.grade]} {text}{tone}"


def _said_width(said: ReplyMark) -> float:
    return len(_said_words(said)) * LETTER_PX + 16


def _fits(said: ReplyMark, x: Scale) -> bool:
    """A reply at the very end would leave the picture; its words then stand to the left."""
    return x(said.at_s) + _said_width(said) <= x.end + RIGHT


def _said_extent(said: ReplyMark, x: Scale) -> tuple[float, float]:
    at, width = x(said.at_s), _said_width(said)
    return (at, at + width) if _fits(said, x) else (at - width, at + 1)


def _said(view: StreamView, x: Scale, rows: Sequence[int]) -> Markup:
    parts = []
    for said, row in zip(view.said, rows, strict=True):
        y, left = row * LANE, x(said.at_s)
        words, fits = _said_words(said), _fits(said, x)
        parts.append(tag("line", x1=left, x2=left, y1=y, y2=y + LANE, class_=f"mark {said.grade}"))
        parts.append(
            tag(
                "text",
                join((tag("title", said.text), words)),
                x=left + 5 if fits else left - 5,
                y=y + 15,
                class_=f"label {said.grade}" + ("" if fits else " end"),
            )
        )
    return join(parts)


def _axis(x: Scale, top: float) -> Markup:
    parts = [tag("line", x1=x.start, x2=x.end, y1=top, y2=top, class_="axis")]
    for value in ticks(x.low, x.high, about=12):
        at = x(value)
        parts.append(tag("line", x1=at, x2=at, y1=top, y2=top + 4, class_="axis"))
        parts.append(tag("text", tick_label(value), x=at, y=top + 17, class_="tick middle"))
    parts.append(tag("text", "seconds", x=x.start - 10, y=top + 17, class_="lane end"))
    return join(parts)
