"""Packets, the samples that arrive at once: checked and resampled to the rate of the stream."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

from soundflow.audio.files import MAX_AMPLITUDE
from soundflow.audio.mixdown import mixed_as_it_arrives
from soundflow.errors import UserError

Float32 = npt.NDArray[np.float32]

log = logging.getLogger(__name__)

PCM16_SCALE = np.float32(32768.0)


def as_float32(packet: npt.ArrayLike) -> Float32:
    """A packet of mono samples as float32 in [-1, 1].

    Args:
        packet: (n,), floating point in [-1, 1], or int16, which is divided by 32768.

    Raises:
        UserError: if it has another type or shape, holds NaN or infinity, or lies outside [-1, 1]
            by more than a factor of 8 (float recordings and decoders may exceed it a little).
    """
    samples = np.asarray(packet)
    if samples.ndim != 1:
        raise UserError(
            f"expected a mono packet of shape (n,), got {samples.shape}", "mix the channels down"
        )
    return scaled(samples)


def scaled(samples: npt.NDArray[np.generic]) -> Float32:
    """As `as_float32`, for any shape."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / PCM16_SCALE
    if samples.dtype.kind != "f" and samples.size:
        raise UserError(
            f"expected samples of type float32 or int16, got {samples.dtype}",
            "convert to float32 in [-1, 1], or to 16-bit integers",
        )
    found = np.ascontiguousarray(samples, np.float32)
    peak = float(np.abs(found).max(initial=0.0))
    if not np.isfinite(peak):
        raise UserError("the audio holds NaN or infinity", "repair the recording or its decoder")
    if peak > MAX_AMPLITUDE:
        raise UserError(
            f"expected samples in [-1, 1], got {peak:g}",
            "divide integer samples by their full scale, for 16 bits 32768",
        )
    return found


class PacketResampler:
    """A stream of packets from one sample rate to another, without seams between packets.

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


def resampled(packets: Iterable[Float32], from_hz: int, to_hz: int) -> Iterator[Float32]:
    """Packets at another rate, to the last sample."""
    resampler = PacketResampler(from_hz, to_hz)
    for packet in packets:
        yield resampler.push(packet)
    yield resampler.finish()


def mono_blocks(blocks: Iterable[Float32], name: str, rate_hz: int) -> Iterator[Float32]:
    """Blocks of several channels mixed to mono as they arrive, (n, channels) -> (n,).

    Channels that are dead or cancel each other are named in the log.
    """
    return mixed_as_it_arrives(blocks, rate_hz, lambda words: log.warning("%s: %s", name, words))


def cut(samples: Float32, packet_samples: int) -> Iterator[Float32]:
    """Consecutive packets; the last one may be shorter."""
    for at in range(0, len(samples), packet_samples):
        yield samples[at : at + packet_samples]
