"""Samples in, mel chunks out: the streaming front end (protocol section 2).

::

    push(packet) ─▶ [ buffer ] ─▶ one chunk as soon as its 40 look-ahead samples are there
    finish()     ─▶ zeros to the chunk boundary, reflection at the end, the last chunk(s)
                                   │
             of any streams: log_mels(chunks) ─▶ (n, n_mels, frames)

A whole clip is defined as ``push(everything)`` then ``finish()``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from soundflow.audio.mel import Float32, log_mel_power, normalise
from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase

CHUNKS_AT_ONCE = 8  # what is computed of them fits into the cache


class StreamMaximum:
    """M of a stream as it goes on: over its newest chunks, or over everything."""

    def __init__(self, front_end: FrontEnd) -> None:
        self._forgets = front_end.maximum == "window"
        self._newest = deque[float](maxlen=front_end.window_chunks if self._forgets else 1)

    def with_chunk(self, loudest: float) -> float:
        """M of the next chunk, whose own maximum is ``loudest``."""
        if not self._forgets and self._newest:
            loudest = max(loudest, self._newest[-1])
        self._newest.append(loudest)
        return max(self._newest)


@dataclass(frozen=True)
class AudioChunk:
    """One chunk before its log-mel.

    Attributes:
        samples: (chunk_samples + window_samples - hop_samples,) float32: the chunk and what the
            windows of its outer frames reach beyond it.
        maximum: of its stream; it goes on when the log-mel of the chunk is computed.
    """

    samples: Float32
    maximum: StreamMaximum


@dataclass(frozen=True)
class MeasuredChunk:
    """One chunk whose log-mel had to be computed for the maximum of its clip.

    Attributes:
        log_power: (n_mels, frames_per_chunk) float32, before the maximum is applied.
        maximum: of its clip.
    """

    log_power: Float32
    maximum: StreamMaximum


Chunk = AudioChunk | MeasuredChunk


def log_mels(chunks: Sequence[Chunk], time: TimeBase, front_end: FrontEnd) -> Float32:
    """Chunks of any streams, (n, n_mels, frames_per_chunk) float32; those of one stream in order.

    Each is the same as alone, bit for bit.
    """
    out = np.empty((len(chunks), front_end.n_mels, time.frames_per_chunk), np.float32)
    for at in range(0, len(chunks), CHUNKS_AT_ONCE):
        some = chunks[at : at + CHUNKS_AT_ONCE]
        raw = _log_power(some, time, front_end)
        loudest = raw.max(axis=(1, 2)).tolist()
        maxima = [chunk.maximum.with_chunk(own) for chunk, own in zip(some, loudest, strict=True)]
        out[at : at + len(some)] = normalise(raw, np.array(maxima, np.float32))
    return out


def _log_power(chunks: Sequence[Chunk], time: TimeBase, front_end: FrontEnd) -> Float32:
    """(n, n_mels, frames_per_chunk), computed where it is not known."""
    heard = [chunk.samples for chunk in chunks if isinstance(chunk, AudioChunk)]
    computed = log_mel_power(np.stack(heard), time, front_end) if heard else np.zeros(0, np.float32)
    if len(computed) == len(chunks):
        return computed
    next_one = iter(computed)
    return np.stack(
        [next(next_one) if isinstance(one, AudioChunk) else one.log_power for one in chunks]
    )


class AudioChunks:
    """Cuts a stream that arrives in packets of any size into chunks.

    What comes out is the same however the samples were cut into packets, and a chunk never changes
    once it is out. ``maximum`` clip is taken as running: whoever has the whole clip replaces it.
    """

    def __init__(self, time: TimeBase, front_end: FrontEnd) -> None:
        self._time = time
        self._before = front_end.window_samples // 2
        self._after = front_end.window_samples // 2 - time.hop_samples
        self._buffer = np.zeros(0, np.float32)  # from `before` samples ahead of the next chunk
        self._received = 0
        self._started = False
        self._finished = False
        self._maximum = StreamMaximum(front_end)

    @property
    def received_samples(self) -> int:
        return self._received

    def push(self, packet: npt.ArrayLike) -> list[AudioChunk]:
        """Takes a packet of mono samples in [-1, 1].

        Returns:
            The chunks that became complete.

        Raises:
            RuntimeError: after `finish`.
            UserError: if the packet is not one-dimensional or holds NaN or infinity.
        """
        if self._finished:
            raise RuntimeError("the stream is finished; start a new one")
        samples = np.asarray(packet, np.float32)
        if samples.ndim != 1:
            raise UserError(
                f"a packet must be mono, shape (n,), got {samples.shape}", "mix the channels down"
            )
        if not np.isfinite(samples).all():
            raise UserError(
                f"the audio holds NaN or infinity near sample {self._received}",
                "repair the recording or its decoder",
            )
        self._received += len(samples)
        self._buffer = np.concatenate((self._buffer, samples))
        if not self._started and len(self._buffer) > self._before:
            self._reflect_start()
        return self._drain() if self._started else []

    def finish(self) -> list[AudioChunk]:
        """Ends the stream: pads it to a chunk boundary and returns the remaining chunks."""
        if self._finished:
            raise RuntimeError("the stream is finished already")
        padding = self._time.padding_of(self._received)
        chunks = self.push(np.zeros(padding, np.float32)) if padding else []
        self._received -= padding
        self._finished = True
        if self._received:
            end = self._buffer[-self._after - 1 : -1][::-1]
            self._buffer = np.concatenate((self._buffer, end))
            chunks += self._drain()
        return chunks

    def _reflect_start(self) -> None:
        head = self._buffer[1 : self._before + 1][::-1]
        self._buffer = np.concatenate((head, self._buffer))
        self._started = True

    def _drain(self) -> list[AudioChunk]:
        step = self._time.chunk_samples
        need = self._before + step + self._after
        out: list[AudioChunk] = []
        at = 0
        while len(self._buffer) - at >= need:
            out.append(AudioChunk(self._buffer[at : at + need], self._maximum))
            at += step
        if at:
            self._buffer = self._buffer[at:].copy()  # a view would keep the whole packet alive
        return out


class StreamingLogMel:
    """Whisper's log-mel over a stream that arrives in packets of any size: `AudioChunks`, with the
    log-mel of each as soon as it is out.

    With ``maximum="clip"`` nothing comes out before `finish`, because Whisper's maximum is taken
    over the whole clip.
    """

    def __init__(self, time: TimeBase, front_end: FrontEnd) -> None:
        self._time = time
        self._front_end = front_end
        self._chunks = AudioChunks(time, front_end)
        self._waiting: list[AudioChunk] = []  # of a clip whose maximum is unknown

    def push(self, packet: npt.ArrayLike) -> list[Float32]:
        """The chunks that a packet completes, each (n_mels, frames_per_chunk) float32.

        Raises:
            RuntimeError, UserError: as `AudioChunks.push`.
        """
        chunks = self._chunks.push(packet)
        if self._front_end.maximum == "clip":
            self._waiting += chunks
            return []
        return list(log_mels(chunks, self._time, self._front_end))

    def finish(self) -> list[Float32]:
        """Ends the stream: pads it to a chunk boundary and returns the remaining chunks."""
        chunks = self._chunks.finish()
        if self._front_end.maximum == "clip":
            clip = with_clip_maximum([*self._waiting, *chunks], self._time, self._front_end)
            self._waiting.clear()
            return list(log_mels(clip, self._time, self._front_end))
        return list(log_mels(chunks, self._time, self._front_end))


def with_clip_maximum(
    chunks: Sequence[AudioChunk], time: TimeBase, front_end: FrontEnd
) -> list[MeasuredChunk]:
    """All chunks of a clip, measured against the loudest of them."""
    maximum = StreamMaximum(replace(front_end, maximum="running"))
    measured = []
    for at in range(0, len(chunks), CHUNKS_AT_ONCE):
        for log_power in _log_power(chunks[at : at + CHUNKS_AT_ONCE], time, front_end):
            maximum.with_chunk(float(log_power.max()))
            measured.append(MeasuredChunk(log_power, maximum))
    return measured


def log_mel(samples: npt.ArrayLike, time: TimeBase, front_end: FrontEnd) -> Float32:
    """All chunks of a finished stream, (n_chunks, n_mels, frames_per_chunk) float32."""
    stream = AudioChunks(time, front_end)
    chunks = stream.push(samples) + stream.finish()
    if front_end.maximum == "clip":
        return log_mels(with_clip_maximum(chunks, time, front_end), time, front_end)
    return log_mels(chunks, time, front_end)
