"""Many voices from few engines: one text by one voice, as samples.

::

    text ─▶ engine (own rate and pitch) ─▶ vocal-tract warp ─▶ 16 kHz ─▶ silence trimmed
            rate / warp, pitch / warp      played ``warp`` times faster    known margins

Playing a recording faster scales formants, pitch and pace together; asking the engine for the
inverse pitch and pace first leaves a change of the formants alone, which is what another head size
does (vocal-tract length perturbation: Jaitly & Hinton 2013; factors 0.8-1.2 cover adults).
"""

from __future__ import annotations

import numpy as np
import soxr

from data_build.records import Voice
from data_build.speech.engines.engine import Float32, SpeechEngine, unspeakable
from soundflow.audio.level import audible_span, is_silent
from soundflow.errors import UserError
from soundflow.protocol.timebase import FRAME_SAMPLES, SAMPLE_RATE_HZ

MARGIN_SAMPLES = 800  # 50 ms of the take (or of zeros) before and after what is audible


def synthesise(text: str, voice: Voice, engine: SpeechEngine) -> Float32:
    """Speaks ``text``; a pure function of its arguments, the same bytes in every process.

    Args:
        engine: the one that ``voice.engine`` names.

    Returns:
        (n_samples,) float32 mono at the rate of every clip, in [-1, 1]: speech (10 ms grid) with
        exactly `MARGIN_SAMPLES` before it and after it.

    Raises:
        UserError: if the engine cannot do what the voice asks for (see `voices.fitted`).
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
