"""Embeds bytes in the page: a report is one file that loads nothing from the network."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
import soundfile

Float32 = npt.NDArray[np.float32]


def data_uri(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def audio_uri(audio: Float32, rate_hz: int) -> str:
    """(n,) float32 mono in [-1, 1] as lossless FLAC, which every current browser plays."""
    buffer = io.BytesIO()
    clipped = np.clip(audio, -1.0, 1.0)
    soundfile.write(buffer, clipped, rate_hz, format="FLAC", subtype="PCM_16")
    return data_uri(buffer.getvalue(), "audio/flac")
