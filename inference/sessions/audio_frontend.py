"""Packets in, chunks out, and their log-mel: the part of a session that needs no model.

::

    packet ─check─▶ float32 ─▶ AudioChunks ─▶ chunks of all sessions ─▶ mels (n, n_mels, frames)

Under ``maximum: clip`` the maximum of the log-mel is that of a whole recording, so each packet has
to be a whole recording; `inference.feed` provides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inference.packets import as_float32
from inference.profiles import Profile
from soundflow.audio.frontend import AudioChunks, Chunk, log_mels, with_clip_maximum
from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]


class AudioFrontend(Protocol):
    """The front end of one session. ``received_samples`` counts the samples pushed."""

    @property
    def received_samples(self) -> int: ...

    def push(self, packet: Float32) -> Sequence[Chunk]:
        """(n,) samples -> the chunks that became complete."""

    def finish(self) -> Sequence[Chunk]:
        """Pads the stream to a chunk boundary -> the remaining chunks."""


class ClipFrontend:
    """A front end for which every packet is a recording with a maximum of its own."""

    def __init__(self, time: TimeBase, front_end: FrontEnd) -> None:
        self._time = time
        self._front_end = front_end
        self._received = 0

    @property
    def received_samples(self) -> int:
        return self._received

    def push(self, packet: Float32) -> Sequence[Chunk]:
        """The chunks of one recording.

        Raises:
            UserError: if it is not a whole number of chunks.
        """
        if len(packet) % self._time.chunk_samples:
            raise UserError(
                f"a packet of {len(packet)} samples under `maximum: clip`, which takes whole "
                f"recordings, padded to multiples of {self._time.chunk_samples} samples",
                "feed recordings by name, or load the model with profile='ours' for a live source",
            )
        self._received += len(packet)
        whole = AudioChunks(self._time, self._front_end)
        return with_clip_maximum(whole.push(packet) + whole.finish(), self._time, self._front_end)

    def finish(self) -> Sequence[Chunk]:
        """Nothing: no recording is incomplete."""
        return []


def open_frontend(spec: StreamSpec, profile: Profile) -> AudioFrontend:
    """The front end of a new session: that of training, except for what the profile changes."""
    if profile.maximum == "clip":
        return ClipFrontend(spec.time, spec.front_end)
    maximum = profile.maximum or spec.front_end.maximum
    return AudioChunks(spec.time, replace(spec.front_end, maximum=maximum))


def mel_chunks(spec: StreamSpec, profile: Profile, packets: Iterable[npt.ArrayLike]) -> Float32:
    """All chunks of a finished stream, (n_chunks, n_mels, frames) float32."""
    frontend = open_frontend(spec, profile)
    chunks = [chunk for packet in packets for chunk in frontend.push(as_float32(packet))]
    chunks += frontend.finish()
    return log_mels(chunks, spec.time, spec.front_end)
