"""Any audio file to mono float32 at the stream's rate: whole, in part, or block by block.

::

    file, pipe, bytes ─▶ decode (to its real end) ─▶ channels ─▶ mono ─▶ soxr ─▶ blocks of float32
"""

from __future__ import annotations

import io
import logging
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soxr

from soundflow.audio.decode import CutShort, DecodeError, Source, open_source, require_known
from soundflow.audio.mixdown import Mixdown, choose_channels, dc_warning, mixed_as_it_arrives
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

Float32 = npt.NDArray[np.float32]

# By which a file in a folder is taken for a recording.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".webm", ".mp4")
)
# Float recordings may exceed [-1, 1]; beyond 18 dB they are integers in disguise, or damaged.
MAX_AMPLITUDE = 8.0
# Times of segments are often rounded up; less than a short vowel may be missing at their end.
END_TOLERANCE_S = 0.1
_KEPT_SAMPLES = 1 << 23  # decoded only once up to so many values; above, twice

_log = logging.getLogger(__name__)


class AudioError(UserError):
    """A recording that cannot be used.

    Args:
        name: the file.
        fault: the same words for every recording with the same fault, so that they can be counted.
        detail: where in the file, and how much.
    """

    def __init__(self, name: str, fault: str, detail: str, hint: str) -> None:
        super().__init__(f"{name}: {fault}{f' ({detail})' if detail else ''}", hint)
        self.name = name
        self.fault = fault
        self.detail = detail

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str, str, str]]:  # type: ignore[override]
        return type(self), (self.name, self.fault, self.detail, self.hint)


@dataclass(frozen=True)
class Recording:
    """Audio as it was read.

    Attributes:
        samples: (n,) float32 at ``sample_rate_hz``, n >= 1.
        warnings: what a person should know: which channels were used and why, an offset, ...
    """

    samples: Float32
    sample_rate_hz: int
    warnings: tuple[str, ...] = ()


@dataclass
class AudioBlocks:
    """A recording as an iterator of (n,) float32 blocks, n >= 1; memory does not grow with it.

    Attributes:
        read_ahead: whether all of it decides which channels are mixed, for which it is decoded
            once before the first block; otherwise its first audible second does, and the first
            block comes at once.
        name: used in messages.
        warnings: as in `Recording`; complete once the blocks have been read.

    Raises:
        AudioError: while iterating, as `read_recording`.
    """

    source: str | Path | bytes
    sample_rate_hz: int = SAMPLE_RATE_HZ
    start_s: float = 0.0
    end_s: float | None = None
    limit_s: float | None = None
    name: str = ""
    read_ahead: bool = True
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or _name_of(self.source)

    def __iter__(self) -> Iterator[Float32]:
        self.warnings.clear()
        try:
            with _opened(self.source) as file:
                yield from self._blocks(open_source(file))
        except (DecodeError, OSError) as error:
            raise _named(self.name, error) from error

    def _blocks(self, source: Source) -> Iterator[Float32]:
        start, stop = self._span(source.rate_hz)
        if source.tracks > 1:
            self.warnings.append(f"it has {source.tracks} audio tracks: the first is used")
        resampler = _Resampler(source.rate_hz, self.sample_rate_hz)
        n, total = 0, 0.0
        for block in self._mixed(source, start, stop):
            mono = self._checked(block, start + n, source.rate_hz)
            n += len(mono)
            total += float(mono.sum(dtype=np.float64))
            if len(out := resampler.push(mono)):
                yield out
        self._require_enough(n, source.rate_hz)
        if len(out := resampler.finish()):
            yield out
        if said := dc_warning(total / n):
            self.warnings.append(said)

    def _mixed(self, source: Source, start: int, stop: int | None) -> Iterator[Float32]:
        if not self.read_ahead:
            blocks = source.blocks(start, stop)
            return mixed_as_it_arrives(blocks, source.rate_hz, self.warnings.append)
        decoded, mixdown = _chosen(source, start, stop)
        self.warnings += mixdown.warnings
        return map(mixdown.mix, decoded)

    def _span(self, rate_hz: int) -> tuple[int, int | None]:
        ends = [self.end_s, None if self.limit_s is None else self.start_s + self.limit_s]
        end_s = min((e for e in ends if e is not None), default=None)
        return round(self.start_s * rate_hz), None if end_s is None else round(end_s * rate_hz)

    def _checked(self, mono: Float32, at: int, rate_hz: int) -> Float32:
        peak = float(np.abs(mono).max())
        if peak <= MAX_AMPLITUDE:  # False for NaN
            return mono
        place = f"{(at + int((~(np.abs(mono) <= MAX_AMPLITUDE)).argmax())) / rate_hz:.2f} s"
        if not np.isfinite(peak):
            raise AudioError(
                self.name, "holds NaN or infinity", f"at {place}", "repair or remove the recording"
            )
        raise AudioError(
            self.name,
            "holds samples far beyond full scale",
            f"{peak:.3g} times, at {place}",
            "scale it to [-1, 1]; integers written as float have to be divided by 32768",
        )

    def _require_enough(self, n: int, rate_hz: int) -> None:
        if n == 0:
            whole = (self.start_s, self.end_s) == (0.0, None)
            part = "" if whole else f"from {self.start_s:g} s to {_end(self.end_s)}"
            raise AudioError(self.name, "holds no audio", part, "remove it or correct its times")
        limited = self.limit_s is not None and self.start_s + self.limit_s < (self.end_s or 1e30)
        if self.end_s is None or limited:
            return
        ends_s = self.start_s + n / rate_hz
        if ends_s < self.end_s - END_TOLERANCE_S:
            raise AudioError(
                self.name,
                "ends before the requested part",
                f"at {ends_s:.2f} s, before {self.end_s:g} s",
                "correct its times, or remove it",
            )


def _name_of(source: str | Path | bytes) -> str:
    return "audio bytes" if isinstance(source, bytes) else str(source)


def _end(end_s: float | None) -> str:
    return "its end" if end_s is None else f"{end_s:g} s"


def read_recording(
    source: str | Path | bytes,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    start_s: float = 0.0,
    end_s: float | None = None,
    limit_s: float | None = None,
    name: str = "",
) -> Recording:
    """Reads, mixes down and resamples a recording.

    Args:
        source: a path (of a file or a pipe), or the bytes of a file.
        start_s, end_s: the part to read; None means to the end. It must be there: a file that
            ends more than 0.1 s before ``end_s`` is an error.
        limit_s: read at most this much.
        name: what messages call it.

    Raises:
        AudioError: naming the file, if it is missing, unreadable, damaged, cut short, empty in the
            requested part, changes its rate midway, or holds NaN, infinity, or samples beyond 8
            times full scale.
    """
    blocks = AudioBlocks(source, sample_rate_hz, start_s, end_s, limit_s, name)
    samples = np.concatenate(list(blocks))
    return Recording(np.ascontiguousarray(samples), sample_rate_hz, tuple(blocks.warnings))


def read_audio(
    source: str | Path | bytes,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    start_s: float = 0.0,
    end_s: float | None = None,
    limit_s: float | None = None,
    name: str = "",
) -> Float32:
    """The samples of `read_recording`; its warnings go to the log."""
    name = name or _name_of(source)
    recording = read_recording(
        source,
        sample_rate_hz=sample_rate_hz,
        start_s=start_s,
        end_s=end_s,
        limit_s=limit_s,
        name=name,
    )
    for warning in recording.warnings:
        _log.warning("%s: %s", name, warning)
    return recording.samples


def duration_s(source: str | Path | bytes) -> float:
    """Length of anything that can be decoded, by decoding it: headers may be wrong.

    Raises:
        AudioError: as `read_recording`.
    """
    name = "audio bytes" if isinstance(source, bytes) else str(source)
    try:
        with _opened(source) as file:
            decoder = open_source(file)
            return sum(len(b) for b in decoder.blocks(0, None)) / decoder.rate_hz
    except (DecodeError, OSError) as error:
        raise _named(name, error) from error


def require_recording(path: Path) -> None:
    """Checks that a file is there and begins like a recording; nothing more of it is read.

    Raises:
        AudioError: if it is missing, unreadable, empty, or no decoder knows it.
    """
    try:
        with _opened(path) as file:
            require_known(file)
    except (DecodeError, OSError) as error:
        raise _named(str(path), error) from error


def _named(name: str, error: DecodeError | OSError) -> AudioError:
    if isinstance(error, OSError):  # of the disk or the network, midway
        return AudioError(name, f"cannot be read ({error.strerror or error})", "", "fetch it again")
    if isinstance(error, CutShort):
        hint = "fetch it again, or convert what there is to WAV or FLAC"
        return AudioError(name, "is cut short", str(error), hint)
    hint = "convert it to WAV or FLAC, or remove it"
    return AudioError(name, "cannot be decoded", str(error), hint)


def _chosen(source: Source, start: int, stop: int | None) -> tuple[Iterator[Float32], Mixdown]:
    """The blocks of a part, and how its channels are mixed, decided over all of it."""
    if source.channels == 1:
        return source.blocks(start, stop), Mixdown((0,))
    kept: list[Float32] | None = []
    held = 0

    def seen() -> Iterator[Float32]:
        nonlocal kept, held
        for block in source.blocks(start, stop):
            held += block.size
            if kept is not None:
                kept.append(block)
                kept = kept if held <= _KEPT_SAMPLES else None
            yield block

    mixdown = choose_channels(seen(), source.channels)
    return (iter(kept) if kept is not None else source.blocks(start, stop)), mixdown


class _Resampler:
    """One rate to another over consecutive blocks; never less than one sample in all."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        )
        self._given = 0

    def push(self, block: Float32) -> Float32:
        block = np.ascontiguousarray(block)
        return self._counted(block if self._stream is None else self._stream.resample_chunk(block))

    def finish(self) -> Float32:
        if self._stream is not None:
            rest = self._counted(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        else:
            rest = np.zeros(0, np.float32)
        return rest if self._given else np.zeros(1, np.float32)

    def _counted(self, out: Float32) -> Float32:
        self._given += len(out)
        return out


@contextmanager
def _opened(source: str | Path | bytes) -> Iterator[BinaryIO]:
    """A seekable file; what a pipe gives is kept in a temporary file first.

    Raises:
        AudioError: if it is missing, empty, a folder, or cannot be read.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    path, name = Path(source), str(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(name, "is a folder, not an audio file", "", "name a file")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise AudioError(name, "is a device, not an audio file", "", "name a file or a pipe")
        file: BinaryIO = path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(name, "no such file", "", "check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "check its name and permissions"
        raise AudioError(name, f"cannot be read ({reason})", "", hint) from error
    with ExitStack() as stack:
        stack.enter_context(file)
        try:
            if not stat.S_ISREG(mode):
                kept = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, kept)
                kept.seek(0)
                file = kept
            if not file.read(1):
                raise AudioError(name, "is empty (0 bytes)", "", "remove it or fetch it again")
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
            raise AudioError(name, fault, "", "fetch it again") from error
        yield file
