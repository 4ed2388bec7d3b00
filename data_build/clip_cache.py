"""A disk cache of prepared clips, keyed by the hash of everything they are made from.

::

    key = clip_key(what it is made from) ─▶ get ─▶ Clip on disk
                                             └─▶ (make it) ─▶ put ─▶ the same

Any number of processes on one machine may share a folder: a clip appears by renaming a finished
file, and a clip that two processes make at once is written twice with the same bytes. The clips
used longest ago go when the folder outgrows its limit, but never one used within the last hour,
since a build may still be about to read it. A `ClipStore` beside it forgets nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from data_build.records import Clip, Prepared
from soundflow.atomic import atomic_write, write_text
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.shards.schema import PCM_SCALE, Pcm, quantise
from soundflow.shards.writer import flac_bytes
from soundflow.stored_json import parsed

Float32 = npt.NDArray[np.float32]

_HELD_S = 3600.0


def clip_key(recipe: dict[str, Any]) -> str:
    """40 hex digits of the canonical JSON of everything that the samples depend on."""
    return hashlib.sha256(_canonical(recipe)).hexdigest()[:40]


def _canonical(data: dict[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _checksum(flac: bytes, n_samples: int, notes: dict[str, Any]) -> str:
    return hashlib.sha256(flac + _canonical({"n_samples": n_samples, "notes": notes})).hexdigest()


@dataclass(frozen=True)
class CachedClip:
    """A clip on disk: mono PCM16 FLAC, and the notes of its maker."""

    path: Path
    n_samples: int
    notes: dict[str, Any]

    def read(self) -> Float32:
        """(n_samples,) float32, exactly PCM / 32768."""
        pcm: Pcm = soundfile.read(self.path, dtype="int16")[0]
        return pcm.astype(np.float32) / PCM_SCALE


class ClipCache:
    """A folder of clips with a size limit.

    Args:
        folder: made when it is not there.
        limit_bytes: kept to within what was used in the last hour.

    Raises:
        UserError: if the folder cannot be made, or the limit is not positive.
    """

    def __init__(self, folder: Path, limit_bytes: int = 8 * 2**30) -> None:
        if limit_bytes <= 0:
            raise UserError(f"clip cache limit must be positive, got {limit_bytes} bytes")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder}: clip cache cannot be made: {error.strerror}", "choose another folder"
            ) from error
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._written_bytes = 0

    def get(self, key: str) -> CachedClip | None:
        """The clip, marked as just used; None if it is not there, or any byte of it is damaged."""
        path, notes_path = self._paths(key)
        try:
            os.utime(path)
            stored = parsed(notes_path.read_bytes())
            n_samples, notes = stored["n_samples"], stored["notes"]
            whole = stored["sha256"] == _checksum(path.read_bytes(), n_samples, notes)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return CachedClip(path, n_samples, notes) if whole else None

    def put(self, key: str, samples: Float32, notes: dict[str, Any] | None = None) -> CachedClip:
        """Stores a clip, (n,) float32 in [-1, 1], as PCM16; what `CachedClip.read` gives is it.

        Raises:
            ValueError: if a sample is not finite or lies outside [-1, 1].
            UserError: if the disk is full or not writable; nothing is left behind then.
        """
        pcm = quantise(samples)
        path, notes_path = self._paths(key)
        flac = flac_bytes(pcm, SAMPLE_RATE_HZ)
        checksum = _checksum(flac, len(pcm), notes or {})
        stored = {"n_samples": len(pcm), "notes": notes or {}, "sha256": checksum}
        # Notes first: a clip counts as there once its audio is.
        write_text(notes_path, json.dumps(stored, ensure_ascii=False), synced=False)
        with atomic_write(path, synced=False) as file:
            file.write(flac)
        self._written_bytes += len(flac)
        if self._written_bytes > self.limit_bytes // 16:
            self.trim()
        return CachedClip(path, len(pcm), dict(notes or {}))

    def trim(self) -> int:
        """Deletes the clips used longest ago until the limit holds; returns how many went."""
        self._written_bytes = 0
        now = time.time()
        clips: list[tuple[float, int, Path]] = []
        for path in self.folder.rglob("*"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".partial":
                if now - facts.st_mtime > _HELD_S:
                    path.unlink(missing_ok=True)  # left by a process that was killed
            elif path.suffix == ".flac":
                clips.append((facts.st_mtime, facts.st_size, path))
        excess = sum(size for _, size, _ in clips) - self.limit_bytes
        gone = 0
        for used, size, path in sorted(clips):
            if excess <= 0 or now - used < _HELD_S:
                break
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            excess -= size
            gone += 1
        return gone

    def _paths(self, key: str) -> tuple[Path, Path]:
        base = self.folder / key[:2] / key
        return base.with_suffix(".flac"), base.with_suffix(".json")


@dataclass(frozen=True)
class ClipStore:
    """A folder of clips that a build cannot make again from their source: nothing is deleted.

    The audio of a stored clip is `Prepared`: its samples are to be used as they are.
    """

    folder: Path

    def get(self, clip: Clip, key: str) -> Clip | None:
        """The clip with its stored audio; None if there is none (or it is damaged)."""
        path = self._path(key)
        try:
            info = soundfile.info(path)
        except (OSError, soundfile.LibsndfileError):
            return None
        notes = {**clip.notes, "made_from": asdict(clip.audio)}
        duration_s = info.frames / info.samplerate
        return replace(clip, audio=Prepared(str(path)), duration_s=duration_s, notes=notes)

    def put(self, clip: Clip, samples: Float32, key: str) -> Clip:
        """Stores (n,) float32 samples at 16 kHz, scaled to a peak of 1 if they exceed it.

        Raises:
            UserError: if the disk is full or not writable.
        """
        peak = max(float(np.abs(samples).max(initial=0.0)), 1.0)
        pcm = quantise((samples / np.float32(peak)).astype(np.float32))
        with atomic_write(self._path(key)) as file:
            file.write(flac_bytes(pcm, SAMPLE_RATE_HZ))
        stored = self.get(clip, key)
        if stored is None:
            raise RuntimeError(f"{self._path(key)} cannot be read back")
        return stored

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.flac"
