"""A session as one HTML page: sound, p(response), decisions, replies and truth, with a player.

The picture is drawn in pieces of 24 s as the session goes on, so memory holds one piece of sound
and what is drawn (about 60 kB a piece). From three hours on only pieces with replies are drawn. The
page carries the audio as FLAC up to ten minutes, as MP3 up to one hour, and none of a longer
session.
"""

from __future__ import annotations

import io
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from markupsafe import Markup

from inference.engine import Engine
from inference.events import Decided, ReplyEnded, ReplyStarted, SessionEnded, SessionEvent
from inference.feed import SessionOutput
from inference.infer.unread import Unread
from inference.latency import Latency
from inference.sessions.audio_frontend import open_frontend
from inference.sessions.config import SessionConfig
from inference.sources.recordings import Recording
from soundflow.audio.frontend import Chunk, log_mels
from soundflow.report.embed import data_uri
from soundflow.report.markup import join, number, percent, table, tag, tiles
from soundflow.report.page import Section, require_replaceable, write_page
from soundflow.report.timeline import Bar, ReplyMark, Span, StreamView, timeline

Float32 = npt.NDArray[np.float32]

PIECE_S = 24.0
PX_PER_S = 40.0
ALL_DRAWN_S = 3 * 3600.0
MOST_DRAWN_S = 6 * 3600.0  # with the pieces that hold replies
FLAC_S, MP3_S = 600.0, 3600.0
MOST_REPLIES = 2000  # in the table
# The spectrogram in the page: 40 ms and two bands to a point.
POOLED_FRAMES, POOLED_BANDS = 4, 2
_COPIED_SAMPLES = 1 << 18


@dataclass(frozen=True)
class Reply:
    """A reply, at the end of the chunk after which it began."""

    at_s: float
    emotion: str
    text: str
    p_response: float | None


class SessionReport:
    """Collects a session, and writes its page at the end.

    Args:
        config: as `settled`.

    Raises:
        UserError: if ``path`` is a file that SoundFlow did not make.
    """

    def __init__(self, path: Path, engine: Engine, config: SessionConfig) -> None:
        require_replaceable(path)
        self._path = path
        self._spec, self._time = engine.spec, engine.spec.time
        self._threshold = config.threshold or 0.0
        self._frontend = open_frontend(engine.spec, engine.profile)
        self._piece_chunks = max(1, round(PIECE_S / self._time.chunk_s))
        self._audio = _EmbeddedAudio(self._time.sample_rate_hz)
        self._packets: deque[Float32] = deque()  # of the piece that is not drawn yet, and after it
        self._mels: deque[Float32] = deque()
        self._bars: list[Bar] = []
        self._marks: list[ReplyMark] = []
        self._spans: list[Span] = []
        self._drawn: list[Markup] = []
        self._piece = 0
        self._left_out = 0
        self._recordings: list[tuple[float, str]] = []
        self._replies: list[Reply] = []
        self._n_replies = 0
        self._p_response: float | None = None
        self._ended: SessionEnded | None = None

    def show(self, output: SessionOutput) -> None:
        if output.begins is not None:
            self._begin(output.begins, output.at_samples)
        if len(output.packet):
            self._packets.append(output.packet)
            self._audio.write(output.packet)
            self._hear(self._frontend.push(output.packet))
        for event in output.events:
            self._event(event)

    def _hear(self, chunks: Sequence[Chunk]) -> None:
        self._mels.extend(map(_pooled, log_mels(chunks, self._time, self._spec.front_end)))

    def close(self) -> None:
        self._audio.close()

    def write(self, latency: Latency, unread: Sequence[Unread] = ()) -> None:
        """Writes the page, once the session has ended.

        Args:
            unread: recordings that were not read to their end.

        Raises:
            UserError: if the file cannot be written.
        """
        assert self._ended is not None
        length_s = self._ended.time_s
        sections = [
            Section("summary", "Summary", latency.hardware, self._tiles(latency)),
            Section("session", "Session", self._lead(length_s), self._article(length_s)),
        ]
        if unread:
            failed = table(
                ("recording", "why"), [(one.name, one.reason) for one in unread], words=2
            )
            sections.append(
                Section("unread", "Not read", "Recordings that could not be read on.", failed)
            )
        first, *others = dict.fromkeys(name for _, name in self._recordings) or [self._path.stem]
        title = f"{first} and {len(others)} more" if others else first
        write_page(self._path, title, "A session of soundflow infer", sections)

    def _begin(self, recording: Recording, at_samples: int) -> None:
        at_s = self._time.seconds(at_samples)
        self._recordings.append((at_s, recording.name))
        for event in recording.events or ():
            self._spans.append(
                Span(
                    at_s + self._time.seconds(event.on_samples),
                    at_s + self._time.seconds(event.ready_samples),
                    at_s + self._time.seconds(event.end_samples),
                    event.kind.replace("_", " "),
                    event.must_respond,
                )
            )

    def _event(self, event: SessionEvent) -> None:
        match event:
            case Decided():
                # Decisions are in order, and the reply to the one before has ended.
                while event.chunk >= (self._piece + 1) * self._piece_chunks:
                    self._draw()
                self._p_response = event.p_response
                end_s = event.time_s
                start_s = end_s - self._time.chunk_s
                self._bars.append(Bar(start_s, end_s, event.p_response, event.speak))
            case ReplyStarted():
                self._n_replies += 1
            case ReplyEnded():
                mark = ReplyMark(event.time_s, event.text, "unknown", event.emotion)
                self._marks.append(mark)
                if len(self._replies) < MOST_REPLIES:
                    self._replies.append(
                        Reply(event.time_s, event.emotion, event.text, self._p_response)
                    )
            case SessionEnded():
                self._hear(self._frontend.finish())
                while self._packets:
                    self._draw()
                self._ended = event

    def _draw(self) -> None:
        """Draws the next piece and forgets its sound."""
        base = self._time
        start_s = self._piece * self._piece_chunks * base.chunk_s
        end_s = start_s + self._piece_chunks * base.chunk_s
        audio = _taken(self._packets, self._piece_chunks * base.chunk_samples)
        mels = [self._mels.popleft() for _ in range(min(self._piece_chunks, len(self._mels)))]
        wanted = start_s < ALL_DRAWN_S or (bool(self._marks) and start_s < MOST_DRAWN_S)
        if wanted and len(audio):
            view = StreamView(
                title=f"{start_s:.0f} s to {end_s:.0f} s",
                note="",
                audio=audio,
                rate_hz=base.sample_rate_hz,
                mel=np.concatenate(mels, axis=1) if mels else None,
                bars=self._bars,
                threshold=self._threshold,
                spans=[s for s in self._spans if start_s <= s.start_s < end_s],
                said=self._marks,
                start_s=start_s,
                px_per_s=PX_PER_S,
            )
            self._drawn.append(timeline(view))
        else:
            self._left_out += 1
        self._bars, self._marks = [], []
        self._spans = [s for s in self._spans if s.start_s >= end_s]
        self._piece += 1

    def _tiles(self, latency: Latency) -> Markup:
        ended = self._ended
        assert ended is not None
        dropped = f"{ended.dropped_chunks} dropped" if ended.dropped_chunks else "none dropped"
        p95_ms, p50_ms = latency.decision_p95_s, latency.decision_p50_s
        return tiles(
            (
                ("Heard", f"{ended.time_s:,.1f} s", f"{ended.chunks:,} chunks, {dropped}"),
                ("Replies", f"{self._n_replies:,}", f"p(response) from {self._threshold:.2f} on"),
                ("Real-time factor", number(latency.real_time_factor, 3), "below 1 keeps up"),
                (
                    "Decision",
                    f"{number(p50_ms and 1000 * p50_ms, 0)} ms",
                    f"p95 {number(p95_ms and 1000 * p95_ms, 0)} ms after the chunk",
                ),
                ("Deadlines missed", percent(latency.missed_deadlines, 1), "later than a chunk"),
            )
        )

    def _lead(self, length_s: float) -> str:
        words = ["Play, or click a picture or a time to listen from there."]
        if length_s > MP3_S:
            words = [f"Audio is left out of sessions over {MP3_S / 3600:.0f} h."]
        elif length_s > FLAC_S:
            words.append(f"Audio over {FLAC_S / 60:.0f} min is compressed.")
        if self._left_out:
            words.append(f"{self._left_out} pieces of {PIECE_S:.0f} s are not drawn.")
        return " ".join(words)

    def _article(self, length_s: float) -> Markup:
        source = self._audio.uri(length_s)
        plays = source is not None
        parts = [tag("div", join(self._drawn))]
        if plays:
            parts.append(tag("audio", "", controls="", preload="metadata", src=source))
        if len(self._recordings) > 1:
            rows = [(_time(at_s, plays), name) for at_s, name in self._recordings[:MOST_REPLIES]]
            parts.append(table(("begins", "recording"), rows, words=1))
        if self._replies:
            rows_of_replies = [
                (_time(r.at_s, plays), r.emotion, number(r.p_response), r.text)
                for r in self._replies
            ]
            parts.append(table(("reply at", "tone", "p", "text"), rows_of_replies, words=3))
        return tag("article", join(parts), class_="stream session")


class _EmbeddedAudio:
    """The sound of a session for the page, kept in a temporary file up to an hour."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._flac = soundfile.SoundFile(self._file, "w", rate_hz, 1, "PCM_16", format="FLAC")

    def write(self, packet: Float32) -> None:
        if self._flac.frames < MP3_S * self._rate_hz:
            self._flac.write(np.clip(packet, -1.0, 1.0))

    def uri(self, length_s: float) -> str | None:
        """A data URI; None where the session is too long."""
        if length_s > MP3_S:
            return None
        self._flac.close()
        self._file.seek(0)
        if length_s <= FLAC_S:
            return data_uri(self._file.read(), "audio/flac")
        packed = io.BytesIO()
        with (
            soundfile.SoundFile(self._file) as whole,
            soundfile.SoundFile(packed, "w", self._rate_hz, 1, format="MP3") as mp3,
        ):
            for block in whole.blocks(_COPIED_SAMPLES, dtype="float32"):
                mp3.write(block)
        return data_uri(packed.getvalue(), "audio/mpeg")

    def close(self) -> None:
        self._flac.close()
        self._file.close()


def _time(at_s: float, plays: bool) -> Markup:
    words = f"{at_s:.1f} s"
    if not plays:
        return Markup("{}").format(words)
    return tag("button", words, class_="seek", type="button", data_seek=f"{at_s:.2f}")


def _pooled(mel: Float32) -> Float32:
    """(n_mels, frames) averaged over neighbours, for a picture."""
    bands, frames = mel.shape[0] // POOLED_BANDS, mel.shape[1] // POOLED_FRAMES
    cut = mel[: bands * POOLED_BANDS, : frames * POOLED_FRAMES]
    pooled: Float32 = cut.reshape(bands, POOLED_BANDS, frames, POOLED_FRAMES).mean(axis=(1, 3))
    return pooled


def _taken(packets: deque[Float32], n_samples: int) -> Float32:
    """Up to ``n_samples`` from the front."""
    taken: list[Float32] = []
    missing = n_samples
    while packets and missing:
        packet = packets.popleft()
        taken.append(packet[:missing])
        if len(packet) > missing:
            packets.appendleft(packet[missing:])
        missing -= len(taken[-1])
    return np.concatenate(taken) if taken else np.zeros(0, np.float32)
