"""Audio as it comes over a socket: PCM16 at any rate, and G.711 of telephones, to samples."""

from __future__ import annotations

import io
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import soundfile

from inference.packets import PCM16_SCALE, PacketResampler
from inference.serve.faults import Fault

Float32 = npt.NDArray[np.float32]
Encoding = Literal["pcm16", "mulaw", "alaw"]

TELEPHONE_RATE_HZ = 8000


def _expansion(subtype: str) -> Float32:
    """(256,) the sample that each byte of G.711 stands for, as libsndfile decodes it."""
    every_byte = io.BytesIO(bytes(range(256)))
    samples, _ = soundfile.read(
        every_byte, dtype="int16", format="RAW", subtype=subtype, channels=1,
        samplerate=TELEPHONE_RATE_HZ,
    )  # fmt: skip
    return cast(Float32, samples.astype(np.float32) / PCM16_SCALE)


_EXPANSIONS = {"mulaw": _expansion("ULAW"), "alaw": _expansion("ALAW")}


class AudioInput:
    """Bytes of one client to samples at the rate of the stream, without seams between messages.

    Args:
        rate_hz: of ``pcm16``; G.711 is 8 kHz by definition.
        to_hz: the rate of the stream.
    """

    def __init__(self, encoding: Encoding, rate_hz: int, to_hz: int) -> None:
        self._expansion = _EXPANSIONS.get(encoding)
        self.rate_hz = rate_hz if self._expansion is None else TELEPHONE_RATE_HZ
        self._resampler = PacketResampler(self.rate_hz, to_hz)

    def decode(self, data: bytes, param: str = "audio") -> tuple[Float32, float]:
        """The samples that are complete by now, and the seconds of audio that arrived.

        Args:
            param: where the client put them, for the fault.

        Raises:
            Fault: if PCM16 ends inside a sample.
        """
        if self._expansion is not None:
            samples = self._expansion[np.frombuffer(data, np.uint8)]
        elif len(data) % 2:
            raise Fault(
                "invalid_audio", f"{len(data)} bytes end inside a 16-bit sample", param=param
            )
        else:
            samples = np.frombuffer(data, "<i2").astype(np.float32) / PCM16_SCALE
        return self._resampler.push(samples), len(samples) / self.rate_hz

    def finish(self) -> Float32:
        """What the filter of the resampler still held."""
        return self._resampler.finish()
