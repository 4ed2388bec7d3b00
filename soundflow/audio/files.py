"""Any audio file to mono float32 at the stream's rate.

libsndfile first (WAV, FLAC, OGG, MP3, ...); what it cannot read goes through PyAV (M4A, WebM,
video containers). Channels are averaged; soxr resamples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from soundflow.audio.mel import Float32
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ


def read_audio(
    source: str | Path | bytes,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    start_s: float = 0.0,
    end_s: float | None = None,
    name: str | None = None,
) -> Float32:
    """Reads, mixes down and resamples a recording.

    Args:
        source: a path, or the bytes of a file (a tar member, a database cell).
        start_s, end_s: the part to read; None means to the end.
        name: what to call ``source`` in messages where it is bytes.

    Returns:
        (n,) float32, n >= 1. Float recordings may exceed [-1, 1]; nothing is clipped here.

    Raises:
        UserError: naming the file, if it is missing, unreadable, corrupt, empty in the wanted
            part, or holds NaN or infinity.
    """
    label = name or ("audio bytes" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _read_bytes_or_path(source)
    try:
        audio, rate = _read_soundfile(data, start_s, end_s) or _read_av(data, start_s, end_s)
    except (soundfile.LibsndfileError, ValueError, OSError) as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{label}: cannot be decoded ({why})", "convert it to WAV or FLAC, or remove it"
        ) from error
    if audio.size == 0:
        part = "" if (start_s, end_s) == (0.0, None) else f" between {start_s} s and {end_s} s"
        raise UserError(f"{label}: holds no audio{part}", "remove it or mend its times")
    mono = audio.mean(axis=1, dtype=np.float32) if audio.shape[1] > 1 else audio[:, 0]
    if not np.isfinite(mono).all():
        raise UserError(f"{label}: holds NaN or infinity", "repair or remove the recording")
    if rate != sample_rate_hz:
        # Below one output sample soxr returns nothing; a clip never becomes empty by resampling.
        mono = soxr.resample(mono, rate, sample_rate_hz) if len(mono) > 1 else mono
        if mono.size == 0:
            mono = np.zeros(1, np.float32)
    return np.ascontiguousarray(mono, np.float32)


def duration_s(path: str | Path) -> float:
    """Length from the header alone, without decoding.

    Raises:
        UserError: if the file is missing or neither decoder knows its length.
    """
    data = _read_bytes_or_path(path)
    try:
        info = soundfile.info(data)
        return float(info.frames / info.samplerate)
    except soundfile.LibsndfileError:
        return len(read_audio(path)) / SAMPLE_RATE_HZ


def _read_bytes_or_path(source: str | Path) -> str:
    path = Path(source)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not an audio file", "name a file")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UserError(f"{path}: is empty (0 bytes)", "remove it or fetch it again")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", "check the path") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror})", "check permissions"
        ) from error
    return str(path)


def _read_soundfile(
    source: str | bytes, start_s: float, end_s: float | None
) -> tuple[Float32, int] | None:
    """None where libsndfile does not know the format; a known one must be whole."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        return None
    with sound:
        rate = int(sound.samplerate)
        start = min(round(start_s * rate), sound.frames)
        stop = sound.frames if end_s is None else min(round(end_s * rate), sound.frames)
        sound.seek(start)
        audio: Float32 = sound.read(max(stop - start, 0), dtype="float32", always_2d=True)
    if len(audio) < stop - start:
        raise ValueError(f"it ends after {len(audio)} of {stop - start} samples")
    return audio, rate


def _read_av(source: str | bytes, start_s: float, end_s: float | None) -> tuple[Float32, int]:
    import av

    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else source) as container:
            if not container.streams.audio:
                raise ValueError("it has no audio track")
            rate = int(container.streams.audio[0].rate)
            planes = list(_av_planes(container))
    except av.FFmpegError as error:  # some of its kinds are ValueError or OSError, some are not
        raise ValueError(str(error)) from error
    if not planes:
        raise ValueError("no frame could be decoded")
    audio = np.concatenate(planes, axis=1).T
    stop = None if end_s is None else round(end_s * rate)
    return audio[round(start_s * rate) : stop], rate


def _av_planes(container: object) -> Iterator[Float32]:
    import av

    resampler = av.AudioResampler(format="fltp")  # same rate and channels, float planes
    for frame in container.decode(audio=0):  # type: ignore[attr-defined]
        for plain in resampler.resample(frame):
            yield plain.to_ndarray()
    for plain in resampler.resample(None):
        yield plain.to_ndarray()
