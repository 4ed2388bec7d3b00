"""Audio from a pipe (standard input, a FIFO, a process substitution), read by its content.

::

    RIFF, fLaC, OggS, ID3, two MP3 frames, ...  ─▶ decoded as a file while it arrives
    anything else                               ─▶ raw signed 16-bit little-endian mono PCM
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

import av
import numpy as np
import numpy.typing as npt

from inference.packets import PCM16_SCALE, mono_blocks, resampled, scaled
from soundflow.audio.containers import mpeg_frame_bytes
from soundflow.errors import UserError

Float32 = npt.NDArray[np.float32]

_SNIFFED_BYTES = 12
_HEADER_BYTES = 6
# Where a container shows itself: offset and bytes.
_MAGIC = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"FORM"), (0, b"caff"), (0, b"fLaC"), (0, b"OggS"),
    (0, b"ID3"), (0, b"\x1aE\xdf\xa3"), (4, b"ftyp"), (0, b".snd"), (0, b"#!AMR"),
)  # fmt: skip


class Source(Protocol):
    """A binary stream that can only be read forward."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Head:
    """A pipe with a look-ahead at its first bytes."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._held = b""
        # Gives what is there instead of waiting for all that was asked for.
        self._read_some = getattr(pipe, "read1", pipe.read)

    def peek(self, n_bytes: int) -> bytes:
        """The next ``n_bytes``, or fewer at the end of the pipe."""
        if len(self._held) < n_bytes:
            self._held += self._pipe.read(n_bytes - len(self._held))
        return self._held[:n_bytes]

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        if not self._held:
            return bytes(self._read_some(size))
        size = len(self._held) if size < 0 else size
        data, self._held = self._held[:size], self._held[size:]
        return data


def pipe_blocks(
    pipe: BinaryIO, name: str, to_hz: int, *, pcm_rate_hz: int, packet_s: float
) -> Iterator[Float32]:
    """Mono samples at ``to_hz`` as they arrive, until the pipe ends.

    Args:
        name: of the pipe, for messages.
        pcm_rate_hz: the rate of raw PCM; files bring their own.

    Raises:
        UserError: if the pipe is empty, holds a file that cannot be decoded, or raw PCM that ends
            inside a sample.
    """
    head = _Head(pipe)
    if not head.peek(1):
        raise UserError(f"{name}: is empty (0 bytes)", "pipe an audio file or raw 16-bit PCM")
    if is_audio_file(head):
        yield from _decoded(head, name, to_hz)
    else:
        yield from resampled(_pcm(head, name, pcm_rate_hz, packet_s), pcm_rate_hz, to_hz)


def is_audio_file(head: _Head) -> bool:
    """Whether the pipe begins as an audio file does."""
    first = head.peek(_SNIFFED_BYTES)
    if any(first[at : at + len(magic)] == magic for at, magic in _MAGIC):
        return True
    # An MP3 without a tag begins with a frame, and with another where that ends.
    length = mpeg_frame_bytes(first)
    if length is None or length < len(first):
        return False
    return mpeg_frame_bytes(head.peek(length + _HEADER_BYTES)[length:]) is not None


def _pcm(head: _Head, name: str, rate_hz: int, packet_s: float) -> Iterator[Float32]:
    packet_bytes = 2 * max(1, round(rate_hz * packet_s))
    left = b""
    while data := head.read(packet_bytes):
        data = left + data
        whole = len(data) // 2 * 2
        left = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / PCM16_SCALE
    if left:
        raise UserError(f"{name}: ends inside a 16-bit sample", "send s16le mono PCM")


def _decoded(head: Source, name: str, to_hz: int) -> Iterator[Float32]:
    try:
        with av.open(head) as container:
            if not container.streams.audio:
                raise UserError(f"{name}: holds no audio track", "pipe a recording")
            rate_hz = int(container.streams.audio[0].rate)
            mono = mono_blocks(_frames(container), name, rate_hz)
            yield from resampled(mono, rate_hz, to_hz)
    except av.FFmpegError as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{name}: cannot be decoded while it arrives ({why})",
            "pipe WAV, FLAC, Ogg or MP3, or name the file",
        ) from error


def _frames(container: av.container.InputContainer) -> Iterator[Float32]:
    """(n, channels) float32 of every frame."""
    planes = av.AudioResampler(format="fltp")  # same rate and channels
    for frame in container.decode(audio=0):
        for plain in planes.resample(frame):
            yield scaled(plain.to_ndarray().T)
    for plain in planes.resample(None):
        yield scaled(plain.to_ndarray().T)
