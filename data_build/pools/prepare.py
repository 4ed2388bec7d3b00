"""The samples of a clip: decoded or made, checked, preprocessed; once, then from the cache.

::

    Clip ─▶ read or make ─▶ checks ─▶ TFJP (recorded speech, events) ─▶ cache ─▶ PreparedClip
                              └─▶ Dropped
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pydantic.dataclasses
from pydantic import PositiveFloat, TypeAdapter

from data_build.clip_cache import CachedClip, ClipCache, clip_key
from data_build.drops import Drop, Dropped
from data_build.randomness import generator
from data_build.records import Clip, Prepared, Recorded, SyntheticSound, Unspoken
from data_build.sources.audio_refs import audio_source
from data_build.synth.kinds import SYNTH_VERSION, take
from data_build.tfjp.loop import TfjpReport, tfjp
from data_build.tfjp.spans import CutMap
from data_build.tfjp.spectrum import TfjpConfig
from soundflow.audio.files import AudioError, read_recording
from soundflow.audio.level import Float32, is_silent
from soundflow.config.record import to_plain
from soundflow.config.settings import SETTINGS, PositiveSeconds
from soundflow.errors import UserError
from soundflow.protocol.timebase import to_samples, to_seconds
from soundflow.shards.schema import PCM_SCALE, quantise

PREPARE_VERSION = 3  # raise when the same clip comes out differently
_log = logging.getLogger(__name__)
_LOOK_AHEAD_S = 1.0  # tells a recording that is longer than the limit
# Stated lengths are rounded, and those of compressed files lack the padding.
_STATED_S, _STATED_SHARE = 0.15, 0.02
_LETTERS_PER_S = 60  # twice what the fastest speakers reach (about 600 words a minute)
_PEAK = 0.7  # recordings are kept at this peak, so that quiet ones do not lose bits to PCM16
_CUTS: TypeAdapter[CutMap | None] = TypeAdapter(CutMap | None)
_REPORT: TypeAdapter[TfjpReport | None] = TypeAdapter(TfjpReport | None)
STEP = "prepare"


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class PrepareConfig:
    """Requirements on a recording, and its preprocessing.

    Attributes:
        tfjp: settings of the preprocessing; null leaves recordings as they are.
        min_s, max_s: a shorter recording is dropped. A longer one is cut, but for speech, which is
            dropped if it has no word times to cut it by, since audio and text must match.
        cache_gb: limit of the cache on disk.
        memory_mb: limit of the decoded clips that each process keeps.
    """

    tfjp: TfjpConfig | None = field(default_factory=TfjpConfig)
    min_s: PositiveSeconds = 0.1
    max_s: PositiveSeconds = 24.0
    cache_gb: PositiveFloat = 20.0
    memory_mb: PositiveFloat = 256.0

    def __post_init__(self) -> None:
        if self.min_s > self.max_s:
            raise ValueError(f"min_s={self.min_s:g} must not exceed max_s={self.max_s:g}")


@dataclass(frozen=True)
class PreparedClip:
    """A prepared clip.

    Attributes:
        samples: (n,) float32, read-only.
        ready_samples: first moment at which a listener could recognise it; None if unknown.
        ready_by: what measured that moment in a recording; empty: the maker of the sound knows it.
        cuts: the map from times of the recording; None if nothing was cut.
        report: what TFJP did, for the provenance.
        skipped_samples: cut off the front since, at a junction.
        source_samples: length before preprocessing; None: as ``samples``.
    """

    samples: Float32
    ready_samples: int | None = None
    cuts: CutMap | None = None
    report: TfjpReport | None = None
    skipped_samples: int = 0
    source_samples: int | None = None
    ready_by: str = ""

    @property
    def source_s(self) -> float:
        """How long the clip was before it was preprocessed."""
        return to_seconds(self.source_samples or len(self.samples))

    def at(self, seconds: float) -> int:
        """Sample that corresponds to a time in the original recording."""
        sample = to_samples(seconds)
        moved = self.cuts.moved(sample) if self.cuts else sample
        return min(max(moved - self.skipped_samples, 0), len(self.samples))


class ReadyTimer(Protocol):
    """Measures when a recorded sound can be recognised."""

    @property
    def id(self) -> str:
        """Model and version."""

    def ready_samples(self, samples: Float32, labels: Sequence[str]) -> int | None:
        """Where in (n,) float32 samples at 16 kHz all labels are known; None if nowhere."""


class Preparer:
    """Prepares clips, remembering the newest in memory and all on disk (``clips``).

    Args:
        timer: measures when recorded sounds can be recognised; None leaves that open.
    """

    def __init__(
        self, folder: Path, config: PrepareConfig, timer: ReadyTimer | None = None
    ) -> None:
        self._timer = timer
        self.clips = ClipCache(folder, int(config.cache_gb * 2**30))
        self._config = config
        self._tfjp_plain = to_plain(config.tfjp)
        self._memory: OrderedDict[str, PreparedClip] = OrderedDict()
        self._said: set[str] = set()
        self._memory_bytes = 0
        self._bad: dict[str, Drop] = {}

    def prepare(self, clip: Clip) -> PreparedClip:
        """The samples of a clip, made or read at its first use.

        Raises:
            Dropped: if the clip cannot be used.
            UserError: if an engine is missing, or the cache cannot be written.
        """
        prepared = self._prepared(clip)
        _require_time_to_say(clip, prepared.source_s)
        return prepared

    def unprocessed(self, clip: Clip) -> Float32:
        """The samples of speech as its file has them, in whose time its words are.

        Raises:
            Dropped: if it cannot be read.
        """
        if isinstance(clip.audio, Recorded):
            return self._read(clip, clip.audio, self._config.max_s + _LOOK_AHEAD_S)
        return self.prepare(clip).samples

    def _prepared(self, clip: Clip) -> PreparedClip:
        key = self._key(clip)
        if key in self._bad:
            raise Dropped(self._bad[key])
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        kept = None if isinstance(clip.audio, Prepared) else self.clips.get(key)
        prepared = _from_cache(kept) if kept else None
        if prepared is None:
            try:
                prepared = self._prepare(key, clip)
            except Dropped as dropped:
                self._bad[key] = dropped.drop
                raise
        self._remember(key, prepared)
        return prepared

    def _key(self, clip: Clip) -> str:
        audio = clip.audio
        if isinstance(audio, Unspoken):
            raise RuntimeError(f"{clip.id} reached a stream without a voice")
        if isinstance(audio, SyntheticSound):
            return clip_key(
                {"synthetic": asdict(audio), "synth": SYNTH_VERSION, "version": PREPARE_VERSION}
            )
        path = Path(audio.path)
        try:
            facts = path.stat()
        except OSError as error:
            raise _dropped(clip, f"cannot be read ({error.strerror})") from error
        about = {
            "audio": vars(audio),
            "bytes": facts.st_size,
            "mtime": facts.st_mtime_ns,
            "tfjp": self._tfjp_plain if self._tfjp(clip) else None,
            "max_s": self._config.max_s,
            "stated_s": _stated_s(clip, audio),
            "timed": (self._timer.id, clip.labels) if self._timer and _is_timed(clip) else None,
            "version": PREPARE_VERSION,
        }
        return clip_key(about)

    def _tfjp(self, clip: Clip) -> TfjpConfig | None:
        # Noise and music are used as they are: denoising would remove most of them. What
        # curation kept was prepared by it already.
        if clip.kind not in ("speech", "event") or isinstance(clip.audio, Prepared):
            return None
        return self._config.tfjp

    def _prepare(self, key: str, clip: Clip) -> PreparedClip:
        audio = clip.audio
        if isinstance(audio, Prepared):
            return PreparedClip(self._read(clip, Recorded(audio.path)))
        if isinstance(audio, SyntheticSound):
            sound = take(audio.kind, generator(*audio.seed), audio.seconds)
            made = PreparedClip(sound.samples, sound.ready_samples)
        elif isinstance(audio, Recorded):
            made = self._recording(clip, audio)
        else:
            raise RuntimeError(f"{clip.id} reached a stream without a voice")
        notes = {
            "ready_samples": made.ready_samples,
            "cuts": asdict(made.cuts) if made.cuts else None,
            "report": asdict(made.report) if made.report else None,
            "source_samples": made.source_samples,
            "ready_by": made.ready_by,
        }
        # The first use has the same bits as every later one, which come from PCM16.
        samples = quantise(made.samples).astype(np.float32) / PCM_SCALE
        self.clips.put(key, samples, notes)
        samples.setflags(write=False)
        return replace(made, samples=samples)

    def _recording(self, clip: Clip, audio: Recorded) -> PreparedClip:
        config = self._config
        # A recording of hours is not read for the seconds of it that are kept.
        samples = self._read(clip, audio, config.max_s + _LOOK_AHEAD_S)
        if len(samples) < to_samples(config.min_s):
            raise _dropped(clip, f"is too short (under {config.min_s:g} s)")
        if is_silent(samples):
            raise _dropped(clip, "is silent")
        if clip.kind == "speech" and len(samples) > to_samples(config.max_s):
            reason = f"is speech of more than {config.max_s:g} s (prepare.max_s)"
            raise Dropped(replace(_dropped(clip, reason).drop, kind="choice"))
        _require_stated_length(clip, audio, samples)
        samples = samples[: to_samples(config.max_s)]
        settings = self._tfjp(clip)
        if settings is None:
            return PreparedClip(_at_peak(samples))
        done = tfjp(samples, settings)
        if is_silent(done.samples):
            raise _dropped(clip, "is nothing but noise")
        ready = None
        if self._timer is not None and _is_timed(clip):
            ready = self._timer.ready_samples(_at_peak(done.samples), clip.labels)
        return PreparedClip(
            _at_peak(done.samples),
            ready_samples=ready,
            cuts=done.cuts,
            report=done.report,
            source_samples=len(samples),
            ready_by="" if ready is None or self._timer is None else self._timer.id,
        )

    def _read(self, clip: Clip, audio: Recorded, limit_s: float | None = None) -> Float32:
        try:
            read = read_recording(
                audio_source(audio),
                start_s=audio.start_s,
                end_s=audio.end_s,
                limit_s=limit_s,
                name=audio.path,
            )
        except AudioError as error:
            raise _dropped(clip, error.fault, error.detail) from error
        except UserError as error:
            raise _dropped(clip, error.message.removeprefix(f"{audio.path}: ")) from error
        for warning in read.warnings:
            if warning not in self._said:
                self._said.add(warning)
                _log.warning("%s: %s (others like it are not named)", audio.path, warning)
        return read.samples

    def _remember(self, key: str, prepared: PreparedClip) -> None:
        self._memory[key] = prepared
        self._memory_bytes += prepared.samples.nbytes
        while self._memory_bytes > self._config.memory_mb * 2**20 and len(self._memory) > 1:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= oldest.samples.nbytes


def _is_timed(clip: Clip) -> bool:
    return clip.kind == "event" and isinstance(clip.audio, Recorded) and bool(clip.labels)


def _dropped(clip: Clip, reason: str, about: str = "") -> Dropped:
    audio = clip.audio
    path = audio.path if isinstance(audio, Recorded | Prepared) else clip.id
    return Dropped(Drop(STEP, f"{path} ({about})" if about else path, reason))


def _require_stated_length(clip: Clip, audio: Recorded, samples: Float32) -> None:
    """Drops speech whose length differs from that in its corpus: its text would not match."""
    length_s, stated_s = to_seconds(len(samples)), _stated_s(clip, audio)
    if stated_s is None:
        return
    if abs(length_s - stated_s) > max(_STATED_S, _STATED_SHARE * stated_s):
        about = f"{length_s:.2f} s, stated {stated_s:g} s"
        raise _dropped(clip, "has another length than its corpus states", about)


def _require_time_to_say(clip: Clip, length_s: float) -> None:
    """Drops recorded speech with more text than anybody says in its time."""
    if clip.kind != "speech" or not isinstance(clip.audio, Recorded):
        return
    letters = sum(not c.isspace() for c in clip.text)
    if letters > _LETTERS_PER_S * (length_s + 1.0):
        raise _dropped(
            clip, "has more text than can be said in it", f"{letters} letters in {length_s:.2f} s"
        )


def _stated_s(clip: Clip, audio: Recorded | Prepared) -> float | None:
    """The length that the corpus states, where its text depends on it."""
    whole = isinstance(audio, Recorded) and audio.end_s is None
    return clip.duration_s if clip.kind == "speech" and whole else None


def _at_peak(samples: Float32) -> Float32:
    return (samples * np.float32(_PEAK / max(float(np.abs(samples).max()), 1e-9))).astype(
        np.float32
    )


def _from_cache(kept: CachedClip) -> PreparedClip:
    """The clip as read from the cache, so that every use has the same bits."""
    samples = kept.read()
    samples.setflags(write=False)
    notes = kept.notes
    return PreparedClip(
        samples,
        notes["ready_samples"],
        _CUTS.validate_python(notes["cuts"]),
        _REPORT.validate_python(notes["report"]),
        source_samples=notes["source_samples"],
        ready_by=notes["ready_by"],
    )
