"""Finds near-duplicate audio: the same sound at another level, in another codec, cut otherwise.

::

    recording ─▶ first 6 s ─▶ 25 bands ─▶ a 24-bit word a frame ─▶ the 96 lowest by hash
    two clips that share enough words at one distance in time are the same sound

The words are made as in Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR
2002), with fewer bits: the signs of differences of band energies along frequency and time. Only
the lowest hashes are kept (bottom-k sampling), since both copies keep the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_build.drops import Dropped
from data_build.processes import spread
from data_build.records import Recorded
from data_build.sources.audio_refs import audio_source
from soundflow.atomic import atomic_write
from soundflow.audio.files import read_recording
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

Words = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.void]
U64 = npt.NDArray[np.uint64]

_READ_S = 6.0
_WINDOW, _HOP = 4_096, 512  # samples at 16 kHz
_BITS = 24
_BANDS_HZ = np.geomspace(300.0, 3_500.0, _BITS + 2)  # what telephones pass
_FLOOR = 1e-3  # of the loudest frame: codecs change quieter ones
_KEPT = 96
_SHARED = 4  # words that two copies share; docs/sources.md says what that finds
_COMMON = 24  # clips that may have the same word
_EDGE_BYTES = 1 << 16
_PER_TASK = 64
_ROW = np.dtype(
    [("key", "<u8"), ("content", "<u8"), ("n", "<u2"), ("words", "<u4", _KEPT),
     ("frames", "<u2", _KEPT)]
)  # fmt: skip


@dataclass(frozen=True)
class SameAudio:
    """Which recordings are the same, by number; 0 where nothing is known.

    Attributes:
        content: of each, what its file is, wherever it lies.
        near: of each, the cluster of near-duplicates that it is in; 0 where it is alone.
    """

    content: U64
    near: U64


def same_audio(
    recordings: Sequence[Recorded],
    workers: int,
    store: Path | None,
    *,
    keep: bool = True,
    opened: bool = True,
) -> SameAudio:
    """Reads the beginning of every recording that ``store`` does not know yet.

    What cannot be decoded is the same as nothing else; the build drops it when a stream needs it.

    Args:
        store: a file that keeps fingerprints between runs, if there is one.
        keep: whether new ones are added to it.
        opened: whether recordings may be opened; otherwise nothing is known of new ones.
    """
    keys = np.array([_key(audio) for audio in recordings], np.uint64)
    known = _read(store)
    todo = np.flatnonzero(~np.isin(keys, known["key"]))
    if len(todo) and opened:
        chunks = [
            [(int(keys[i]), recordings[i]) for i in todo[at : at + _PER_TASK]]
            for at in range(0, len(todo), _PER_TASK)
        ]
        found = [known, *(rows for _, rows in spread(_fingerprints, chunks, workers))]
        known = np.concatenate(found)
        known = known[np.unique(known["key"], return_index=True)[1]]
        if store is not None and keep:
            with atomic_write(store) as file:
                np.save(file, known, allow_pickle=False)
    rows = np.zeros(len(keys), _ROW)
    there = np.isin(keys, known["key"])
    rows[there] = known[np.searchsorted(known["key"], keys[there])]
    return SameAudio(rows["content"], _clusters(rows))


def fingerprint(samples: npt.NDArray[np.float32]) -> tuple[Words, Words]:
    """The sampled words of (n,) float32 samples at 16 kHz, and the frame of each."""
    padded = np.pad(samples.astype(np.float64), _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)))
    energy = power @ _bands()
    bits = np.diff(energy[1:] - energy[:-1], axis=1) > 0
    words = (bits.astype(np.uint32) << np.arange(_BITS, dtype=np.uint32)).sum(
        axis=1, dtype=np.uint32
    )
    loudness = energy.sum(axis=1)[1:]
    audible = np.flatnonzero(loudness > _FLOOR * max(float(loudness.max(initial=0.0)), 1e-12))
    words, first = np.unique(words[audible], return_index=True)
    at = audible[first].astype(np.uint32)
    order = np.argsort(words * np.uint32(2_654_435_761), kind="stable")[:_KEPT]
    return words[order], at[order]


@lru_cache(maxsize=1)
def _bands() -> npt.NDArray[np.float64]:
    """(bins, bands): which bins each band adds up."""
    hz = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE_HZ)[:, None]
    return ((hz >= _BANDS_HZ[:-1]) & (hz < _BANDS_HZ[1:])).astype(np.float64)


def _fingerprints(of: list[tuple[int, Recorded]]) -> Rows:
    rows = np.zeros(len(of), _ROW)
    for row, (key, audio) in zip(rows, of, strict=True):
        row["key"] = key
        try:
            source = audio_source(audio)
            content = content_of(source)
            samples = read_recording(
                source, start_s=audio.start_s, limit_s=_READ_S, name=audio.path
            ).samples
        except (UserError, Dropped, OSError):
            continue
        words, frames = fingerprint(samples)
        row["content"], row["n"] = content, len(words)
        row["words"][: len(words)], row["frames"][: len(words)] = words, frames
    return rows


def _clusters(rows: Rows) -> U64:
    """The name of each row's cluster: the lowest content in it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = _pairs(rows)
    edges = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(len(rows), len(rows)))
    _, cluster = connected_components(edges, directed=False)
    lowest = np.full(int(cluster.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, cluster, rows["content"])
    size = np.bincount(cluster, minlength=len(lowest))
    return np.where(size[cluster] > 1, lowest[cluster], 0).astype(np.uint64)


def _pairs(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows that share enough words at one distance in time."""
    kept = np.arange(_KEPT) < rows["n"][:, None]
    row, place = np.nonzero(kept)
    words, frames = rows["words"][row, place], rows["frames"][row, place].astype(np.int64)
    order = np.argsort(words, kind="stable")
    words, frames, row = words[order], frames[order], row[order]
    starts = np.flatnonzero(np.r_[True, words[1:] != words[:-1]]) if len(words) else row[:0]
    often = np.repeat(np.diff(np.r_[starts, len(words)]), np.diff(np.r_[starts, len(words)]))
    usual = often <= _COMMON
    words, frames, row = words[usual], frames[usual], row[usual]
    found: list[npt.NDArray[np.int64]] = []
    for step in range(1, _COMMON):
        same = np.flatnonzero(words[step:] == words[:-step])
        a, b = row[same], row[same + step]
        distance = (frames[same] - frames[same + step]) * np.where(a < b, 1, -1)
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b), distance], axis=1))
    matches = np.concatenate(found) if found else np.zeros((0, 3), np.int64)
    matches = matches[matches[:, 0] != matches[:, 1]]
    at, times = np.unique(matches, axis=0, return_counts=True)
    smaller = np.minimum(rows["n"][at[:, 0]], rows["n"][at[:, 1]])
    enough = at[times >= np.minimum(_SHARED, np.maximum(smaller // 2, 3))]
    return enough[:, 0], enough[:, 1]


def _key(audio: Recorded) -> int:
    """What is read: the part of the file as it lies on disk now."""
    try:
        facts = Path(audio.path).stat()
    except OSError:
        return _number(audio.path, audio.member)
    return _number(audio.path, audio.member, audio.start_s, facts.st_size, facts.st_mtime_ns)


def content_of(source: str | bytes) -> int:
    """Identifies a file by its length, its beginning and its end."""
    if isinstance(source, bytes):
        return _number(len(source), source[:_EDGE_BYTES], source[-_EDGE_BYTES:])
    with Path(source).open("rb") as file:
        first = file.read(_EDGE_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _EDGE_BYTES))
        return _number(size, first, file.read())


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def _read(store: Path | None) -> Rows:
    """What an earlier run has kept; nothing if the file is missing or damaged."""
    try:
        if store is not None:
            rows: Rows = np.load(store, allow_pickle=False)
            if rows.dtype == _ROW:
                return rows
    except (OSError, ValueError, EOFError):
        pass
    return np.zeros(0, _ROW)
