"""Many voices from few engines: ``synthesise(text, voice)`` gives 16 kHz speech.

::

    text ─▶ engine (own rate and pitch) ─▶ vocal-tract warp ─▶ 16 kHz ─▶ silence trimmed
            rate / warp, pitch / warp      played ``warp`` times faster    known margins

Playing a recording faster scales formants, pitch and pace together; asking the engine for the
inverse pitch and pace first leaves a change of the formants alone, which is what another head size
does (vocal-tract length perturbation: Jaitly & Hinton 2013; factors 0.8-1.2 cover adults).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import soxr

from data_build.records import Voice
from data_build.speech.engines.engine import Engine, Float32, RenderingFailed
from data_build.speech.engines.hibari import Hibari
from data_build.speech.engines.pico import Pico
from soundflow.audio.level import audible_span, is_silent
from soundflow.errors import UserError, nearest
from soundflow.protocol.timebase import FRAME_SAMPLES, SAMPLE_RATE_HZ

MARGIN_SAMPLES = 800  # 50 ms of the take (or of zeros) before and after what can be heard

EMBEDDED: dict[str, type[Pico] | type[Hibari]] = {"pico": Pico, "hibari": Hibari}


def synthesise(text: str, voice: Voice, engine: Engine | None = None) -> Float32:
    """Speaks ``text``; a pure function of its arguments, the same bytes in every process.

    Args:
        engine: the engine to use; by default the embedded one that ``voice.engine`` names.

    Returns:
        (n_samples,) float32 mono at 16 kHz in [-1, 1]: speech (10 ms grid) with exactly
        `MARGIN_SAMPLES` before it and after it.

    Raises:
        UserError: if the engine is unknown, its package missing, or it cannot do what the voice
            asks for (see `fitted`).
        RenderingFailed: if the engine gives no sound for this text.
    """
    engine = engine or embedded_engine(voice.engine)
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
    played_at_hz = engine.sample_rate_hz * voice.warp
    if played_at_hz != SAMPLE_RATE_HZ:
        spoken = soxr.resample(spoken, played_at_hz, SAMPLE_RATE_HZ, quality="HQ")
    return np.clip(trim_silence(spoken), -1.0, 1.0).astype(np.float32)


def fitted(voice: Voice, engine: Engine) -> Voice:
    """The voice with the factors that the engine lacks tied to the warp (plain resampling)."""
    return dataclasses.replace(
        voice,
        rate=voice.rate if "rate" in engine.controls else voice.warp,
        pitch=voice.pitch if "pitch" in engine.controls else voice.warp,
    )


def trim_silence(samples: Float32) -> Float32:
    """Cuts, or pads with zeros, so that `MARGIN_SAMPLES` lie before and after what can be heard.

    Raises:
        RenderingFailed: if nothing can be heard.
    """
    whole = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]
    if is_silent(whole):
        raise RenderingFailed("the rendering is silent")
    on, off = audible_span(whole)
    start, end = on - MARGIN_SAMPLES, off + MARGIN_SAMPLES
    before, after = max(0, -start), max(0, end - len(samples))
    return np.pad(samples[max(0, start) : end], (before, after))


@lru_cache(maxsize=8)
def embedded_engine(name: str) -> Engine:
    """The engine of that name, loaded once a process.

    Raises:
        UserError: if there is none, or its package is not installed.
    """
    if name == "kokoro":
        raise UserError("the voice engine 'kokoro' needs its voice files", "set kokoro_voices")
    if name not in EMBEDDED:
        close = nearest(name, EMBEDDED)
        hint = f"did you mean {close!r}?" if close else f"one of {', '.join(EMBEDDED)}"
        raise UserError(f"unknown voice engine {name!r}", hint)
    return EMBEDDED[name]()


def voice_grid(
    bases: Sequence[Voice],
    warps: Sequence[float] = (0.88, 0.94, 1.0, 1.06, 1.13),
    pitches: Sequence[float] = (0.8, 1.0, 1.22),
    rates: Sequence[float] = (0.9, 1.0, 1.12),
) -> tuple[Voice, ...]:
    """Every base with every warp, pitch and rate, in a fixed order.

    Voices that share `Voice.id` differ in pace alone: keep them on the same side of a split.
    """
    return tuple(
        Voice(base.engine, base.name, base.language, warp, pitch, rate)
        for base, warp, pitch, rate in itertools.product(bases, warps, pitches, rates)
    )


def embedded_bases(language: str) -> tuple[Voice, ...]:
    """The unbent voices of the embedded engines in a language, without loading any engine.

    Raises:
        UserError: if no embedded engine speaks it.
    """
    bases = tuple(
        Voice(engine, name, spoken)
        for engine, kind in EMBEDDED.items()
        for name, spoken in kind.voices.items()
        if spoken == language
    )
    if not bases:
        raise UserError(f"no embedded voice speaks {language!r}", "name an HTTP voice server")
    return bases
