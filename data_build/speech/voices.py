"""The pool of voices, the draw of speakers for each split, and speech by one voice.

::

    pool: voices × warp × pitch × rate ─▶ draw, per split and language ─▶ speakers of the split
                                          (no speaker in two splits)

    text ─▶ engine (own rate and pitch) ─▶ vocal-tract warp ─▶ 16 kHz ─▶ silence trimmed
            rate / warp, pitch / warp      played ``warp`` times faster    known margins

Playing a recording faster scales formants, pitch and pace together; asking the engine for the
inverse pitch and pace first leaves a change of the formants alone, which is what another head size
does (vocal-tract length perturbation: Jaitly & Hinton 2013; factors 0.8-1.2 cover adults).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
import soxr
from annotated_types import MinLen
from pydantic.dataclasses import dataclass

from data_build.randomness import generator
from data_build.records import VOICE_LIMITS, Voice
from data_build.speech.engines.engine import Float32, SpeechEngine, unspeakable
from soundflow.audio.level import audible_span, is_silent
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import FRAME_SAMPLES, SAMPLE_RATE_HZ
from soundflow.text.normalize import primary_language

MARGIN_SAMPLES = 800  # 50 ms of the take (or of zeros) before and after what is audible
_DRAWS = 500  # tries to find a speaker that is still free


@dataclass(frozen=True, config=SETTINGS)
class VoicePool:
    """Voices as ``engine:name`` and the ranges from which their factors are drawn.

    Attributes:
        warp, pitch, rate: (lowest, highest) of `Voice`'s factors.
    """

    voices: Annotated[tuple[str, ...], MinLen(1)] = ("pico:en-US", "pico:en-GB", "hibari:heart")
    warp: tuple[float, float] = (0.88, 1.14)
    pitch: tuple[float, float] = (0.8, 1.25)
    rate: tuple[float, float] = (0.9, 1.15)

    def __post_init__(self) -> None:
        for voice in self.voices:
            if len(voice.split(":", 1)) != 2:
                raise ValueError(f"voices: expected engine:name, got {voice!r}")
        for name, (lowest, highest) in VOICE_LIMITS.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                limits = f"[{lowest}, {highest}]"
                raise ValueError(f"{name} must be a range within {limits}, got {(low, high)}")


def draw_voices(
    pool: VoicePool,
    engines: Mapping[str, SpeechEngine],
    language: str,
    counts: Mapping[str, int],
    seed: int,
) -> dict[str, tuple[Voice, ...]]:
    """Split -> its speakers of one language, ``counts[split]`` of them.

    Speaker ``n`` of a split depends on (seed, split, language, n). Only where that speaker
    (`Voice.id`) is taken, by a split whose name comes first or by a smaller n, it is drawn again.

    Args:
        engines: by name; every engine that the pool names.

    Raises:
        UserError: if an engine or a voice of the pool is unknown, none speaks the language, or the
            ranges do not give enough different speakers.
    """
    code = primary_language(language)
    names = [voice for voice in pool.voices if language_of(voice, engines) == code]
    if not names:
        raise UserError(
            f"no voice of the pool speaks {language!r}: {', '.join(pool.voices)}",
            "add one under speech.pool.voices",
        )
    taken: set[str] = set()
    drawn: dict[str, tuple[Voice, ...]] = {}
    for split in sorted(counts):
        voices: list[Voice] = []
        for number in range(counts[split]):
            rng = generator(seed, "voice", split, code, number)
            for attempt in range(_DRAWS):
                # In turn, so that a few speakers are of as many engines as possible; another one
                # with each attempt, since the factors of a voice may be fixed.
                engine, name = names[(number + attempt) % len(names)].split(":", 1)
                warp, pitch, rate = (
                    round(float(rng.uniform(*bounds)), 2)
                    for bounds in (pool.warp, pool.pitch, pool.rate)
                )
                voice = fitted(Voice(engine, name, code, warp, pitch, rate), engines[engine])
                if voice.id not in taken:
                    break
            else:
                raise UserError(
                    f"speech.pool: no more than {len(taken)} different {code!r} voices found, "
                    f"the splits ask for {sum(counts.values())}",
                    "widen warp or pitch, name more voices, or ask for fewer in the splits",
                )
            taken.add(voice.id)
            voices.append(voice)
        drawn[split] = tuple(voices)
    return drawn


def fitted(voice: Voice, engine: SpeechEngine) -> Voice:
    """The voice with the factors that the engine lacks tied to the warp (plain resampling)."""
    return replace(
        voice,
        rate=voice.rate if "rate" in engine.controls else voice.warp,
        pitch=voice.pitch if "pitch" in engine.controls else voice.warp,
    )


def language_of(voice: str, engines: Mapping[str, SpeechEngine]) -> str:
    """The language of a voice of the pool, by the name that its engine gives it.

    Raises:
        UserError: if the engine has no such voice.
    """
    engine, name = voice.split(":", 1)
    known = engines[engine].voices
    if name not in known:
        raise UserError(f"engine {engine!r} has no voice {name!r}", f"one of {', '.join(known)}")
    return known[name]


def synthesise(text: str, voice: Voice, engine: SpeechEngine) -> Float32:
    """Speaks ``text``; a pure function of its arguments, the same bytes in every process.

    Args:
        engine: the one that ``voice.engine`` names.

    Returns:
        (n_samples,) float32 mono at the rate of every clip, in [-1, 1]: speech (10 ms grid) with
        exactly `MARGIN_SAMPLES` before it and after it.

    Raises:
        UserError: if the engine cannot do what the voice asks for (see `fitted`).
        Dropped: if the engine gives no sound for this text.
    """
    # Rounded, so that a pitch drawn equal to the warp leaves an engine without pitch alone.
    asked = {"rate": round(voice.rate / voice.warp, 4), "pitch": round(voice.pitch / voice.warp, 4)}
    for control, factor in asked.items():
        if factor != 1.0 and control not in engine.controls:
            raise UserError(
                f"{engine.id} cannot change {control}, voice {voice.id!r} asks for {factor:g}",
                f"set {control} equal to warp: it then moves with the formants",
            )
    spoken = engine.speak(
        text, voice.name, rate=asked["rate"], pitch=asked["pitch"], take=voice.take
    )
    if not np.isfinite(spoken).all():
        raise unspeakable(text, f"{engine.id} gives samples that are no numbers")
    played_at_hz = engine.sample_rate_hz * voice.warp
    if played_at_hz != SAMPLE_RATE_HZ:
        spoken = soxr.resample(spoken, played_at_hz, SAMPLE_RATE_HZ, quality="HQ")
    if is_silent(spoken[: len(spoken) // FRAME_SAMPLES * FRAME_SAMPLES]):
        raise unspeakable(text, f"{engine.id} gives silence")
    return np.clip(trim_silence(spoken), -1.0, 1.0).astype(np.float32)


def trim_silence(samples: Float32) -> Float32:
    """Cuts, or pads with zeros, so that `MARGIN_SAMPLES` lie before and after what is audible."""
    on, off = audible_span(samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES])
    start, end = on - MARGIN_SAMPLES, off + MARGIN_SAMPLES
    before, after = max(0, -start), max(0, end - len(samples))
    return np.pad(samples[max(0, start) : end], (before, after))
