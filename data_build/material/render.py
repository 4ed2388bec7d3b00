"""One clip made by us: spoken by a voice, or synthesised; kept in a cache by its content."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from data_build.records import AudioRef, Clip, ClipKind, Drop, Origin
from data_build.seeding import digest, generator
from data_build.speech.engines.engine import RenderingFailed
from data_build.speech.voices import Voice, synthesise
from data_build.synth.kinds import sound_kind, take
from soundflow.atomic import replacing
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes

RATE_HZ = 16_000
ENGINE_VERSION = 1  # raise when a renderer changes what it makes
_LICENCES = {"pico": "Apache-2.0", "hibari": "Apache-2.0"}


@dataclass(frozen=True)
class Spoken:
    """A phrase by a voice."""

    text: str
    voice: Voice


@dataclass(frozen=True)
class Synthesised:
    """A take of a kind of sound; ``seed_parts`` tell it from every other take."""

    kind: str
    seed_parts: tuple[str | int, ...]
    seconds: float | None = None


Job = Spoken | Synthesised


def key_of(job: Job) -> str:
    return digest(type(job).__name__, asdict(job), ENGINE_VERSION)


def render(job: Job, cache: Path) -> Clip | Drop:
    """The clip of ``job``, made now or found in the cache.

    Raises:
        UserError: if an engine is missing or the cache cannot be written.
    """
    key = key_of(job)
    path = cache / key[:2] / f"{key}.flac"
    ready_s = None
    if isinstance(job, Synthesised):
        # Cheap enough to make again; only then is its t_ready known.
        made = take(job.kind, generator(*job.seed_parts), job.seconds)
        ready_s, samples = made.ready_samples / RATE_HZ, made.samples
        if not path.exists():
            _keep(path, samples)
    elif not path.exists():
        try:
            _keep(path, synthesise(job.text, job.voice))
        except RenderingFailed as error:
            return Drop("render", f"{job.voice.id}: {job.text}", str(error))
    audio = AudioRef(str(path))
    duration_s = soundfile.info(str(path)).duration
    if isinstance(job, Spoken):
        return Clip(
            id=key,
            kind="speech",
            audio=audio,
            origin=Origin(f"voice {job.voice.engine}", _LICENCES.get(job.voice.engine, "")),
            duration_s=duration_s,
            text=job.text,
            language=job.voice.language,
            speaker=job.voice.id,
        )
    about = sound_kind(job.kind)
    kind: ClipKind = "event" if about.role == "foreground" else "noise"
    return Clip(
        id=key,
        kind=kind,
        audio=audio,
        origin=Origin("synthesised sound", "Apache-2.0"),
        duration_s=duration_s,
        labels=(about.label,),
        caption=about.caption,
        extra={"kind": job.kind, "ready_s": ready_s},
    )


def _keep(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    with replacing(path) as file:
        file.write(flac_bytes(quantise(samples), RATE_HZ))
