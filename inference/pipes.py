"""Audio out of a pipe: standard input, a FIFO or a process substitution, told apart by content.

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

from inference.packets import PCM16_SCALE, resampled, scaled
from soundflow.errors import UserError

Float32 = npt.NDArray[np.float32]

_SNIFFED_BYTES = 12
# Where a container shows itself: offset and bytes.
_MAGIC = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"FORM"), (0, b"caff"), (0, b"fLaC"), (0, b"OggS"),
    (0, b"ID3"), (0, b"\x1aE\xdf\xa3"), (4, b"ftyp"), (0, b".snd"), (0, b"#!AMR"),
)  # fmt: skip
# Layer III by version: bit rates of MPEG 1 and of its extensions to low rates; the sample rates of
# MPEG 1, halved by version 2 and again by 2.5.
_MPEG1, _MPEG2, _MPEG25 = 3, 2, 0
_MPEG1_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBIT = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG1_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISOR = {_MPEG1: 1, _MPEG2: 2, _MPEG25: 4}


class Source(Protocol):
    """A binary stream that can only be read forward."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Head:
    """A pipe whose first bytes were looked at."""

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
        name: what to call the pipe in messages.
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
    length = _mp3_frame_bytes(first)
    return length is not None and _mp3_frame_bytes(head.peek(length + 4)[length:]) is not None


def _mp3_frame_bytes(data: bytes) -> int | None:
    """Length of the MP3 (layer III) frame whose header ``data`` begins with; None for others."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE6 != 0xE2:
        return None
    version, bit_rate, rate = data[1] >> 3 & 3, data[2] >> 4, data[2] >> 2 & 3
    if version not in _RATE_DIVISOR or bit_rate in (0, 15) or rate == 3:
        return None
    kbit, bytes_a_bit = (_MPEG1_KBIT, 144) if version == _MPEG1 else (_MPEG2_KBIT, 72)
    rate_hz = _MPEG1_RATES_HZ[rate] // _RATE_DIVISOR[version]
    return bytes_a_bit * 1000 * kbit[bit_rate - 1] // rate_hz + (data[2] >> 1 & 1)


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
            yield from resampled(_mono_frames(container), rate_hz, to_hz)
    except av.FFmpegError as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{name}: cannot be decoded while it arrives ({why})",
            "pipe WAV, FLAC, Ogg or MP3, or name the file",
        ) from error


def _mono_frames(container: av.container.InputContainer) -> Iterator[Float32]:
    planes = av.AudioResampler(format="fltp")
    for frame in container.decode(audio=0):
        for plain in planes.resample(frame):
            yield scaled(plain.to_ndarray()).mean(axis=0, dtype=np.float32)
    for plain in planes.resample(None):
        yield scaled(plain.to_ndarray()).mean(axis=0, dtype=np.float32)
