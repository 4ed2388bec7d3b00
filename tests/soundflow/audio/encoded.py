"""Speech-like test signals, written by real encoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
RATE, SECONDS = 16_000, 6.0  # of the signal that every file of `FORMATS` holds
# name -> (container, codec, options, samples that the codec may add at the end)
FORMATS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "mp3": ("mp3", "libmp3lame", {}, 0),
    "mp3 without a Xing header": ("mp3", "libmp3lame", {"write_xing": "0"}, 1500),
    "mp2": ("mp2", "mp2", {}, 1200),
    "m4a": ("ipod", "aac", {}, 1100),
    "m4a, index first": ("ipod", "aac", {"movflags": "faststart"}, 1100),
    "mp4, fragmented": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}, 2100),
    "alac": ("ipod", "alac", {}, 0),
    "aac": ("adts", "aac", {}, 2100),
    "webm": ("webm", "libopus", {}, 0),
    "webm, live": ("webm", "libopus", {"live": "1"}, 0),
    "ogg": ("ogg", "libopus", {}, 0),
    "flac in ogg": ("ogg", "flac", {}, 0),
    "flac": ("flac", "flac", {}, 0),
    "wav": ("wav", "pcm_s16le", {}, 0),
    "wav, adpcm": ("wav", "adpcm_ima_wav", {}, 2100),
    "wav of 24 bits": ("wav", "pcm_s24le", {}, 0),
    "rf64": ("wav", "pcm_s16le", {"rf64": "always"}, 0),
    "aiff": ("aiff", "pcm_s16be", {}, 0),
    "au": ("au", "pcm_s16be", {}, 0),
    "caf": ("caf", "pcm_s16le", {}, 0),
    "w64": ("w64", "pcm_s16le", {}, 0),
    "mkv": ("matroska", "aac", {}, 2100),
    "ts": ("mpegts", "aac", {}, 2100),
}


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
