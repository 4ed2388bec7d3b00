"""Clips that a build cannot make again from their source: stored beside it for good."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from data_build.records import Clip, Prepared
from data_build.scenes.measure import Float32
from soundflow.atomic import atomic_write
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes


@dataclass(frozen=True)
class ClipStore:
    """A folder of FLAC files by content key; unlike a cache it forgets nothing.

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
        """Stores (n,) float32 samples at 16 kHz, brought down to a peak of 1 where they exceed it.

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
