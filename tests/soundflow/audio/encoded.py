"""Speech-like test signals, written by real encoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def chirps(rate_hz: int, seconds: float, seed: int = 0) -> Float32:
    """(n,) tones that change every 0.1 s, so that every place sounds different."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate_hz * 0.1)) / rate_hz
    count = round(seconds * 10)
    tones = [0.3 * np.sin(2 * np.pi * hz * t) for hz in rng.uniform(200, 3000, count)]
    return np.concatenate(tones).astype(np.float32)


def encode(
    path: Path,
    samples: Float32,
    rate_hz: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    tracks: int = 1,
) -> Path:
    """The file that FFmpeg writes for (n,) or (n, 2) samples."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = np.ascontiguousarray(samples.reshape(len(samples), channels))
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        streams = [out.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(tracks)]
        for stream in streams:
            stream.codec_context.open()
        for at in range(0, len(data), 4096):
            for stream in streams:
                frame = av.AudioFrame.from_ndarray(
                    data[at : at + 4096].reshape(1, -1), format="flt", layout=layout
                )
                frame.sample_rate, frame.pts = rate_hz, at
                frame.time_base = Fraction(1, rate_hz)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path
