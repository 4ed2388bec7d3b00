"""Samples of any audio file, a block at a time, from any place in it, to its real end.

libsndfile reads what it knows exactly (linear PCM in WAV and its kin, FLAC); everything else is
decoded by FFmpeg through PyAV. No length in a header is trusted: files are decoded to their end,
and `soundflow.audio.containers` distinguishes a complete file from a truncated one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from soundflow.audio.containers import (
    Ending,
    ending,
    is_mpeg_audio,
    mp3_frames,
    mpeg_frame_bytes,
)

Float32 = npt.NDArray[np.float32]

BLOCK_SAMPLES = 1 << 15
_EXACT = frozenset(
    ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
)
# Codecs forget what came before within some frames; a second is more than any needs.
_LEAD_S = 1.0
_LOWEST_HZ, _HIGHEST_HZ = 1_000, 6_144_000
_GAP_S = 0.1  # decoders round the length of first and last frames, never by so much
# What follows the audio of an MP3 or separates two that were joined.
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"Xing", b"Info")


class DecodeError(ValueError):
    """The file cannot be decoded, or not from some place on; the text says why."""


class CutShort(DecodeError):
    """The file ends before its audio does."""


class Source(Protocol):
    """A file that can be decoded: ``rate_hz``, ``channels``, and how many audio ``tracks``."""

    rate_hz: int
    channels: int
    tracks: int

    def blocks(self, start: int, stop: int | None) -> Iterator[Float32]:
        """(n, channels) float32 of the samples [start, stop) that there are, n <= BLOCK_SAMPLES.

        Raises:
            CutShort: at the end of what there is, if the file is cut before ``stop``.
            DecodeError: where it is damaged.
        """
        ...


def open_source(file: BinaryIO) -> Source:
    """The decoder for a seekable file.

    Raises:
        DecodeError: if none knows it.
    """
    end = ending(file)
    if end.second_file:
        raise DecodeError("another file of its kind is appended to it; split it in two")
    # What libsndfile reads of MP3 is not exact, and its decoder talks to the terminal.
    exact = None if is_mpeg_audio(file) else _open_soundfile(file, end)
    if exact is not None and exact.exact and not end.chained:
        return _with_a_rate(exact)
    try:
        return _with_a_rate(_FfmpegSource(file, end))
    except DecodeError:
        if exact is None or end.cut:
            raise
        return _with_a_rate(exact)


def require_known(file: BinaryIO) -> None:
    """Checks that a decoder knows the file, by its beginning alone.

    Raises:
        DecodeError: if none does.
    """
    exact = None if is_mpeg_audio(file) else _open_soundfile(file, Ending())
    _with_a_rate(exact or _FfmpegSource(file, Ending()))


def _with_a_rate(source: Source) -> Source:
    """An impossible rate in a header would make hours of a second, or nothing of an hour."""
    if not _LOWEST_HZ <= source.rate_hz <= _HIGHEST_HZ:
        raise DecodeError(f"its header says {source.rate_hz} samples a second")
    return source


def _open_soundfile(file: BinaryIO, end: Ending) -> _SoundfileSource | None:
    try:
        return _SoundfileSource(file, end)
    except (soundfile.LibsndfileError, ValueError, TypeError, OSError):
        return None


class _Tolerant:
    """A file whose damaged headers may name impossible places: going there leads nowhere.

    Both decoders see it from the position: libsndfile would only print an exception of its
    callback, FFmpeg would pass one on that says nothing of the damage.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with suppress(ValueError, OSError, OverflowError):
            self._file.seek(offset, whence)
        return self._file.tell()


class _SoundfileSource:
    tracks = 1

    def __init__(self, file: BinaryIO, end: Ending) -> None:
        self._file, self._cut = file, end.cut
        with self._open() as sound:
            self.rate_hz = int(sound.samplerate)
            self.channels = int(sound.channels)
            self._frames = int(sound.frames)
            self._flac = sound.format == "FLAC"
            self.exact = sound.subtype in _EXACT and 0 < sound.frames < 1 << 40

    def _open(self) -> Any:
        self._file.seek(0)
        return soundfile.SoundFile(_Tolerant(self._file))

    def _by_ffmpeg(self, declared: int = 0) -> _FfmpegSource:
        """The same file, read on by FFmpeg, which believes its frames rather than its header."""
        other = _FfmpegSource(self._file, Ending(), declared)
        if (other.rate_hz, other.channels) != (self.rate_hz, self.channels):
            raise DecodeError(
                f"is damaged: its header says {self.channels} channels at {self.rate_hz} Hz, its "
                f"frames have {other.channels} at {other.rate_hz} Hz"
            )
        return other

    def _goes_on(self) -> bool:
        """Whether frames of FLAC follow the last sample that the header counts."""
        rest = self._file.read()
        return b"\xff\xf8" in rest or b"\xff\xf9" in rest

    def blocks(self, start: int, stop: int | None) -> Iterator[Float32]:
        last = self._frames if stop is None else min(stop, self._frames)
        at = min(start, last)
        try:
            with self._open() as sound:
                sound.seek(at)
                while at < last:
                    count = min(BLOCK_SAMPLES, last - at)
                    block: Float32 = sound.read(count, dtype="float32", always_2d=True)
                    if len(block):
                        yield block
                    at += len(block)
                    if len(block) < count:
                        raise CutShort(_breaks_off(at, self.rate_hz))
            if self._flac and (stop is None or stop > last) and self._goes_on():
                yield from self._by_ffmpeg().blocks(at, stop)
        except (soundfile.LibsndfileError, CutShort) as error:
            if not self._flac:
                raise error if isinstance(error, CutShort) else DecodeError(_line(error)) from error
            # FFmpeg finds the last sample that can be had, and says what is wrong.
            yield from self._by_ffmpeg(self._frames).blocks(at, stop)
        if self._cut and (stop is None or stop > self._frames):
            raise CutShort(_breaks_off(self._frames, self.rate_hz))


@dataclass(frozen=True)
class _Start:
    """The first frame: positions count from the first sample that the decoder gives."""

    pts: int | None
    time_base: Any
    samples: int


class _FfmpegSource:
    def __init__(self, file: BinaryIO, end: Ending, declared: int = 0) -> None:
        self._file = file
        self._end = end
        self._declared = declared
        with self._open() as (container, stream):
            self.tracks = len(container.streams.audio)
            self._format = str(container.format.name)
            try:
                frame = next(container.decode(stream), None)
            except Exception as error:
                if not _is_decoding(error):
                    raise
                raise _nothing(end, _line(error)) from error
            if frame is None:
                raise _nothing(end, "no frame could be decoded")
            self.rate_hz = int(frame.sample_rate)
            self.channels = len(frame.layout.channels)
            self._first = _Start(frame.pts, frame.time_base, frame.samples)

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        import av

        self._file.seek(0)
        try:
            container = av.open(_Tolerant(self._file))
        except (av.FFmpegError, ValueError) as error:
            raise _nothing(self._end, _line(error)) from error
        with container:
            if not container.streams.audio:
                raise DecodeError("it has no audio track")
            yield container, container.streams.audio[0]

    def blocks(self, start: int, stop: int | None) -> Iterator[Float32]:
        """See `Source.blocks`."""
        with self._open() as (container, stream):
            parts, at = self._from(container, stream, start), None
            waiting: list[Float32] = []
            held = 0
            for at, part in parts:
                if stop is not None and at >= stop:
                    break
                piece = part[max(start - at, 0) : None if stop is None else max(stop - at, 0)]
                if len(piece):
                    waiting.append(piece)
                    held += len(piece)
                while held >= BLOCK_SAMPLES:
                    whole = np.concatenate(waiting)
                    yield whole[:BLOCK_SAMPLES]
                    waiting, held = [whole[BLOCK_SAMPLES:]], held - BLOCK_SAMPLES
            if held:
                yield np.concatenate(waiting)

    def _from(self, container: Any, stream: Any, start: int) -> Iterator[tuple[int, Float32]]:
        """(position, samples) of consecutive frames, from at or before ``start`` on."""
        lead = start - round(_LEAD_S * self.rate_hz)
        base = self._first.time_base
        at: int | None = 0
        skip_to: int | None = None
        if lead > 0 and self._first.pts is not None:
            wanted = self._first.pts + int(lead / self.rate_hz / base)
            if self._format.startswith(("mov", "matroska", "ogg")) and not self._end.chained:
                container.seek(wanted, stream=stream)
                at = None
            elif self._format in ("mp3", "aac") and not self._end.chained:
                skip_to, at = wanted, None
        yield from self._frames(container, stream, at, skip_to)

    def _frames(
        self, container: Any, stream: Any, at: int | None, skip_to: int | None
    ) -> Iterator[tuple[int, Float32]]:
        packets, last, last_bytes, end = 0, b"", 0, 0
        settled = at is not None
        try:
            for packet in container.demux(stream):
                if packet.size:
                    packets, last, last_bytes = packets + 1, bytes(packet)[:11], packet.size
                    end = (packet.pos or 0) + packet.size
                    if skip_to is not None and packet.pts is not None and packet.pts < skip_to:
                        continue
                for frame in _decoded(packet, last):
                    if not settled:  # after a jump FFmpeg trims the first frame like a beginning
                        settled = True
                        continue
                    at = self._place(frame) if at is None else at
                    self._require_no_gap(frame, at)
                    self._require_same(frame, at)
                    samples = _as_float(frame)
                    yield at, samples
                    at += len(samples)
        except DecodeError:
            raise
        except Exception as error:
            if not _is_decoding(error):
                raise
            if self._end.cut or end >= self._file.seek(0, os.SEEK_END):
                raise CutShort(_breaks_off(at or 0, self.rate_hz)) from error
            place = f"{(at or 0) / self.rate_hz:.2f} s"
            raise DecodeError(f"is damaged or breaks off after {place} ({_line(error)})") from error
        if self._is_cut(packets, last, last_bytes) or (at or 0) < self._declared:
            raise CutShort(_breaks_off(at or 0, self.rate_hz))

    def _place(self, frame: Any) -> int:
        """The position of a frame after a jump.

        Matroska rounds its times to milliseconds; frames of one length lie on a grid.
        """
        exact = float((frame.pts - self._first.pts) * frame.time_base * self.rate_hz)
        tick = float(frame.time_base * self.rate_hz)
        size = int(frame.samples)
        steps = round((exact - self._first.samples) / size)
        on_grid = self._first.samples + steps * size
        return on_grid if abs(on_grid - exact) <= tick else round(exact)

    def _require_no_gap(self, frame: Any, at: int) -> None:
        """Ogg gives the position of what follows a damaged page, which FFmpeg passes over."""
        if self._format != "ogg" or self._end.chained or frame.pts is None:
            return
        if self._first.pts is None or self._place(frame) - at <= _GAP_S * self.rate_hz:
            return
        missing_s = (self._place(frame) - at) / self.rate_hz
        raise DecodeError(f"is damaged: {missing_s:.2f} s are missing at {at / self.rate_hz:.2f} s")

    def _require_same(self, frame: Any, at: int) -> None:
        now = (int(frame.sample_rate), len(frame.layout.channels))
        if now == (self.rate_hz, self.channels):
            return
        what, before, after = (
            ("sample rate", f"{self.rate_hz} Hz", f"{now[0]} Hz")
            if now[0] != self.rate_hz
            else ("number of channels", str(self.channels), str(now[1]))
        )
        place = f"{at / self.rate_hz:.2f} s"
        raise DecodeError(f"its {what} changes from {before} to {after} at {place}; split it there")

    def _is_cut(self, packets: int, last: bytes, last_bytes: int) -> bool:
        """Whether the file ended before its audio; ``last`` begins its last packet."""
        if self._end.cut:
            return True
        if self._format not in ("mp3", "aac"):
            return False
        declared = mp3_frames(self._file) if self._format == "mp3" else None
        return (mpeg_frame_bytes(last) or 0) > last_bytes or (declared or 0) > packets


def _decoded(packet: Any, head: bytes) -> Any:
    """The frames of a packet; none where it is a tag between frames."""
    try:
        return packet.decode()
    except ValueError:  # FFmpeg's InvalidDataError among them
        if packet.size and (head.startswith(_TAGS) or not head.strip(b"\0")):
            return ()
        raise


def _as_float(frame: Any) -> Float32:
    """(n, channels) float32 of a frame of any sample format."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype == np.uint8:
        scaled = (values.astype(np.float32) - 128) / np.float32(128)
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    else:
        scaled = values.astype(np.float32, copy=False)
    joined: Float32 = np.ascontiguousarray(scaled.T)
    return joined


def _nothing(end: Ending, why: str) -> DecodeError:
    if end.cut:
        return CutShort("it breaks off before any audio")
    return DecodeError(why)


def _is_decoding(error: Exception) -> bool:
    import av

    return isinstance(error, av.FFmpegError | ValueError)


def _breaks_off(samples: int, rate_hz: int) -> str:
    return f"it breaks off after {samples / rate_hz:.2f} s"


def _line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
