"""The few signals that every synthetic sound is made of, as vectorised numpy.

All functions return float32 at 16 kHz and draw from the generator they are given, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from soundflow.protocol.timebase import SAMPLE_RATE_HZ

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def seconds_to_samples(seconds: float) -> int:
    return max(1, round(seconds * SAMPLE_RATE_HZ))


def clock(seconds: float) -> Float64:
    """Time of every sample, in seconds."""
    return np.arange(seconds_to_samples(seconds)) / SAMPLE_RATE_HZ


def white(rng: np.random.Generator, seconds: float) -> Float64:
    return rng.standard_normal(seconds_to_samples(seconds))


def coloured(rng: np.random.Generator, seconds: float, slope_db_per_octave: float) -> Float64:
    """Noise whose power falls by ``slope_db_per_octave`` (pink -3, brown -6), flat under 20 Hz."""
    n = seconds_to_samples(seconds)
    size = 1 << max(4, (n - 1).bit_length())  # a power of two: odd lengths make slow FFTs
    hz = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ), 20.0)
    shape = (hz / 20.0) ** (slope_db_per_octave / 6.0206)
    noise = rng.standard_normal((2, len(hz)))
    signal = np.fft.irfft((noise[0] + 1j * noise[1]) * shape, size)[:n]
    return np.asarray(signal / (signal.std() + 1e-12))


def band(signal: Float64, low_hz: float, high_hz: float, order: int = 2) -> Float64:
    """Butterworth band-pass; the upper edge is kept under the Nyquist frequency."""
    # Here: it takes as long to import as all else that a recipe needs to be checked.
    from scipy.signal import butter, sosfilt

    edges = [max(low_hz, 10.0), min(high_hz, SAMPLE_RATE_HZ * 0.49)]
    sos = butter(order, edges, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sos, signal))


def tone(seconds: float, hz: float | Float64, harmonics: Sequence[float] = (1.0,)) -> Float64:
    """A harmonic tone; ``hz`` may be a curve of one value a sample. Aliases are left out."""
    t = clock(seconds)
    curve = np.broadcast_to(np.asarray(hz, np.float64), t.shape)
    phase = 2 * np.pi * np.cumsum(curve) / SAMPLE_RATE_HZ
    count = min(len(harmonics), int(SAMPLE_RATE_HZ / 2 / max(float(curve.max()), 1.0)))
    # sin(k x) = 2 cos(x) sin((k-1) x) - sin((k-2) x): two transcendentals for any timbre.
    double_cos = 2 * np.cos(phase)
    before, now = np.zeros(len(t)), np.sin(phase)
    out = np.zeros(len(t))
    for weight in harmonics[:count]:
        out += weight * now
        before, now = now, double_cos * now - before
    return out


def gate(
    seconds: float, on_s: float, period_s: float, pulses: int, ramp_s: float = 0.005
) -> Float64:
    """``pulses`` raised-cosine pulses of ``on_s``, one every ``period_s``."""
    t = clock(seconds)
    phase = t % period_s
    ramp = np.clip(np.minimum(phase, on_s - phase) / ramp_s, 0.0, 1.0)
    pulse = 0.5 - 0.5 * np.cos(np.pi * ramp)
    return np.where(t < pulses * period_s, pulse, 0.0)


def struck(
    rng: np.random.Generator,
    seconds: float,
    modes_hz: npt.ArrayLike,
    decay_s: npt.ArrayLike,
    weights: npt.ArrayLike = 1.0,
) -> Float64:
    """A struck body: decaying sinusoids of random phase, (n_modes,) each."""
    hz = np.atleast_1d(np.asarray(modes_hz, np.float64))
    keep = hz < SAMPLE_RATE_HZ * 0.48
    decay = np.broadcast_to(np.asarray(decay_s, np.float64), hz.shape)[keep, None]
    weight = np.broadcast_to(np.asarray(weights, np.float64), hz.shape)[keep, None]
    t = clock(seconds)[None, :]
    phase = rng.uniform(0, 2 * np.pi, (int(keep.sum()), 1))
    partials = weight * np.exp(-t / decay) * np.sin(2 * np.pi * hz[keep, None] * t + phase)
    return np.asarray(partials.sum(axis=0))


def place(out: Float64, sound: Float64, at_s: float, gain: float = 1.0) -> None:
    """Adds ``sound`` into ``out`` at ``at_s``, in place; what would stick out is cut."""
    start = round(at_s * SAMPLE_RATE_HZ)
    if start < len(out):
        room = out[start : start + len(sound)]
        room += gain * sound[: len(room)]


def slow_curve(rng: np.random.Generator, seconds: float, hz: float, depth: float) -> Float64:
    """A gain curve that wanders around 1 by ``depth``, about ``hz`` times a second."""
    n = seconds_to_samples(seconds)
    knots = rng.standard_normal(max(4, int(seconds * hz) + 3))
    x = np.linspace(0, len(knots) - 1, n)
    return np.exp(depth * np.interp(x, np.arange(len(knots)), knots))


def finish(signal: Float64, peak: float = 0.5, fade_s: float = 0.003) -> Float32:
    """Fades both ends, so that no cut clicks, and scales to ``peak``."""
    n = min(seconds_to_samples(fade_s), len(signal) // 2)
    out = signal.copy()
    if n:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
        out[:n] *= ramp
        out[-n:] *= ramp[::-1]
    scaled: Float32 = (out * (peak / (np.abs(out).max() + 1e-12))).astype(np.float32)
    return scaled
