"""Where packets come from: files, raw PCM on a pipe, or any rate that a microphone has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]

PCM16_SCALE = np.float32(32768.0)
PACKET_S = 0.1


def cut(audio: Float32, packet_samples: int) -> Iterator[Float32]:
    """Consecutive packets; the last one may be shorter."""
    for at in range(0, len(audio), packet_samples):
        yield audio[at : at + packet_samples]


def pcm_packets(
    pipe: BinaryIO, rate_hz: int, time: TimeBase, packet_s: float = PACKET_S
) -> Iterator[Float32]:
    """Mono signed 16-bit little-endian PCM from a pipe, until it ends.

    Raises:
        UserError: if the rate is impossible, or the pipe ends inside a sample.
    """
    resampler = PacketResampler(rate_hz, time.sample_rate_hz)
    packet_bytes = 2 * max(1, round(rate_hz * packet_s))
    left = b""
    while data := pipe.read(packet_bytes):
        data = left + data
        whole = len(data) // 2 * 2
        left = data[whole:]
        pcm = np.frombuffer(data[:whole], "<i2")
        yield resampler.push(pcm.astype(np.float32) / PCM16_SCALE)
    if left:
        raise UserError("standard input: ended inside a 16-bit sample", "send s16le mono PCM")
    yield resampler.finish()


class PacketResampler:
    """A packet stream of one rate to another, without seams between packets.

    Raises:
        UserError: if a rate is not positive.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if min(from_hz, to_hz) <= 0:
            raise UserError(f"sample rate {from_hz} Hz is impossible", "give the rate in Hz")
        self._same = from_hz == to_hz
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def push(self, packet: Float32) -> Float32:
        """(n,) -> (m,); the first packets may give nothing while the filter fills."""
        if self._same:
            return packet
        out: Float32 = self._stream.resample_chunk(packet)
        return out

    def finish(self) -> Float32:
        if self._same:
            return np.zeros(0, np.float32)
        out: Float32 = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return out
