"""Samples in, mel chunks out: the streaming front end (protocol section 2).

::

    push(packet) ─▶ [ buffer ] ─▶ one chunk as soon as its 40 look-ahead samples are there
    finish()     ─▶ zeros to the chunk boundary, reflection at the end, the last chunk(s)

A whole clip is defined as ``push(everything)`` then ``finish()``.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from soundflow.audio.mel import Float32, log_mel_chunk, normalise
from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase


class StreamingLogMel:
    """Whisper's log-mel over a stream that arrives in packets of any size.

    The chunks that come out are the same, bit for bit, however the samples were cut into packets,
    and a chunk never changes once it is out. With ``maximum="clip"`` nothing comes out before
    `finish`, because Whisper's maximum is taken over the whole clip.
    """

    def __init__(self, time: TimeBase, front_end: FrontEnd) -> None:
        self._time = time
        self._front_end = front_end
        self._before = front_end.window_samples // 2
        self._after = front_end.window_samples // 2 - time.hop_samples
        self._buffer = np.zeros(0, np.float32)  # from `before` samples ahead of the next chunk
        self._received = 0
        self._started = False
        self._finished = False
        window = front_end.maximum == "window"
        self._maxima = deque[np.float32](maxlen=front_end.window_chunks if window else 1)
        self._waiting: list[Float32] = []  # raw log-mel chunks of a clip whose maximum is unknown

    @property
    def received_samples(self) -> int:
        return self._received

    def push(self, packet: npt.ArrayLike) -> list[Float32]:
        """Takes a packet of mono samples in [-1, 1].

        Returns:
            The chunks that became complete, each (n_mels, frames_per_chunk) float32.

        Raises:
            RuntimeError: after `finish`.
            UserError: if the packet is not one-dimensional or holds NaN or infinity.
        """
        if self._finished:
            raise RuntimeError("the stream is finished; start a new StreamingLogMel")
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

    def finish(self) -> list[Float32]:
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
        if self._front_end.maximum == "clip":
            loudest = np.float32(max((c.max() for c in self._waiting), default=-np.inf))
            chunks = [normalise(c, loudest) for c in self._waiting]
            self._waiting.clear()
        return chunks

    def _maximum_with(self, newest: np.float32) -> np.float32:
        """M of a chunk whose own maximum is ``newest``: over the window, or over everything."""
        if self._front_end.maximum == "running" and self._maxima:
            newest = max(newest, self._maxima[-1])
        self._maxima.append(newest)
        return max(self._maxima)

    def _reflect_start(self) -> None:
        head = self._buffer[1 : self._before + 1][::-1]
        self._buffer = np.concatenate((head, self._buffer))
        self._started = True

    def _drain(self) -> list[Float32]:
        step = self._time.chunk_samples
        need = self._before + step + self._after
        out: list[Float32] = []
        at = 0
        while len(self._buffer) - at >= need:
            raw = log_mel_chunk(self._buffer[at : at + need], self._time, self._front_end)
            at += step
            if self._front_end.maximum == "clip":
                self._waiting.append(raw)
            else:
                out.append(normalise(raw, self._maximum_with(raw.max())))
        if at:
            self._buffer = self._buffer[at:].copy()  # a view would keep the whole packet alive
        return out


def log_mel(samples: npt.ArrayLike, time: TimeBase, front_end: FrontEnd) -> Float32:
    """All chunks of a finished stream, (n_chunks, n_mels, frames_per_chunk) float32."""
    stream = StreamingLogMel(time, front_end)
    chunks = stream.push(samples) + stream.finish()
    shape = (0, front_end.n_mels, time.frames_per_chunk)
    return np.stack(chunks) if chunks else np.zeros(shape, np.float32)
