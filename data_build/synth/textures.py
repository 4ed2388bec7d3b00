"""Sounds that go on: room hum, rain, wind, traffic, babble. They fill the noise tracks."""

from __future__ import annotations

import numpy as np

from data_build.synth.events import Made, Rng
from data_build.synth.signals import (
    Float64,
    band,
    clock,
    coloured,
    place,
    slow_curve,
    struck,
    tone,
    white,
)

DEFAULT_S = 12.0


def pink_noise(rng: Rng, seconds: float | None) -> Made:
    return coloured(rng, seconds or DEFAULT_S, rng.uniform(-3.5, -2.5)), None


def brown_noise(rng: Rng, seconds: float | None) -> Made:
    return coloured(rng, seconds or DEFAULT_S, rng.uniform(-6.5, -5.0)), None


def rain(rng: Rng, seconds: float | None) -> Made:
    """A hiss with drops on it."""
    length = seconds or DEFAULT_S
    hiss = band(white(rng, length), rng.uniform(500, 1_200), 7_500, 1)
    out = hiss * slow_curve(rng, length, 0.7, 0.2)
    n = len(out)
    drops = np.zeros(n)
    hits = rng.integers(0, n, int(length * rng.uniform(20, 90)))
    drops[hits] = rng.exponential(rng.uniform(4, 12), len(hits))
    return out + band(drops, 1_500, 6_000), None


def wind(rng: Rng, seconds: float | None) -> Made:
    """Low noise in gusts."""
    length = seconds or DEFAULT_S
    low = band(coloured(rng, length, -4.0), 60, rng.uniform(400, 900))
    whistle = band(white(rng, length), 500, 900) * 0.2
    return (low + whistle) * slow_curve(rng, length, 0.6, 0.6), None


def mains_hum(rng: Rng, seconds: float | None) -> Made:
    """A machine or a transformer: mains harmonics over a quiet hiss."""
    length = seconds or DEFAULT_S
    base = rng.choice([50.0, 60.0]) * rng.choice([1.0, 2.0])
    weights = rng.uniform(0.1, 1.0, 12) / np.arange(1, 13) ** 0.5
    hum = tone(length, base, [float(w) for w in weights])
    return hum + rng.uniform(0.2, 0.6) * coloured(rng, length, -3.0), None


def traffic(rng: Rng, seconds: float | None) -> Made:
    """Distant road rumble with cars that pass."""
    length = seconds or DEFAULT_S
    t = clock(length)
    out = band(coloured(rng, length, -5.0), 40, 900)
    for _ in range(max(1, int(length / 4))):
        centre, width = rng.uniform(0, length), rng.uniform(0.6, 1.6)
        passing = np.exp(-(((t - centre) / width) ** 2))
        out = out + passing * band(white(rng, length), 150, 2_200) * rng.uniform(0.5, 1.6)
    return out, None


def babble(rng: Rng, seconds: float | None) -> Made:
    """Voices too many and too far to follow: syllable-rate bursts of voiced, formant-like noise."""
    length = seconds or DEFAULT_S
    out = np.zeros(len(clock(length)))
    for _ in range(int(rng.integers(4, 8))):
        pitch = rng.uniform(90, 230) * slow_curve(rng, length, 2.5, 0.12)
        voice = tone(length, pitch, [1 / k for k in range(1, 18)])
        voice = voice + 0.2 * white(rng, length)
        formant = rng.uniform(350, 800)
        vowels = band(voice, formant, formant * 1.6) + 0.5 * band(voice, 1_000, 2_400)
        syllables = np.clip(np.log(slow_curve(rng, length, rng.uniform(4, 6), 1.0)), 0.0, None)
        out += vowels * syllables
    return out, None


def sea_waves(rng: Rng, seconds: float | None) -> Made:
    length = seconds or DEFAULT_S
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * clock(length) / rng.uniform(4, 8) + rng.uniform(0, 6))
    return coloured(rng, length, -3.0) * (0.15 + swell**2), None


def engine(rng: Rng, seconds: float | None) -> Made:
    """A motor: firing pulses with uneven load."""
    length = seconds or DEFAULT_S
    hz = rng.uniform(25, 70) * slow_curve(rng, length, 0.5, 0.05)
    fire = tone(length, hz, [1 / k**0.6 for k in range(1, 24)])
    return band(fire, 40, 1_500) + 0.3 * coloured(rng, length, -4.0), None


def crackling_fire(rng: Rng, seconds: float | None) -> Made:
    length = seconds or DEFAULT_S
    out = 0.15 * coloured(rng, length, -5.0)
    n = len(out)
    pops = np.zeros(n)
    hits = rng.integers(0, n, int(length * rng.uniform(8, 25)))
    pops[hits] = rng.exponential(6.0, len(hits))
    return out + band(pops, 600, 5_500), None


def typing(rng: Rng, seconds: float | None) -> Made:
    """Keys struck in runs."""
    length = seconds or DEFAULT_S
    out: Float64 = np.zeros(len(clock(length)))
    at = 0.05
    while at < length:
        click = struck(rng, 0.04, rng.uniform(1_200, 4_500, 4), rng.uniform(0.003, 0.009))
        place(out, click + 0.2 * white(rng, 0.04) * np.exp(-clock(0.04) / 0.004), at)
        at += rng.choice([rng.uniform(0.08, 0.2), rng.uniform(0.4, 0.9)], p=[0.85, 0.15])
    return out, None


def clock_tick(rng: Rng, seconds: float | None) -> Made:
    length = seconds or DEFAULT_S
    out: Float64 = np.zeros(len(clock(length)))
    period = rng.choice([0.5, 1.0]) * rng.uniform(0.97, 1.03)
    tick, tock = rng.uniform(1_800, 4_000, (2, 3))
    for number, at in enumerate(np.arange(0.1, length, period)):
        place(out, struck(rng, 0.05, tock if number % 2 else tick, 0.006), at)
    return out + 0.01 * coloured(rng, length, -3.0), None


def water_running(rng: Rng, seconds: float | None) -> Made:
    length = seconds or DEFAULT_S
    stream = band(white(rng, length), 400, 6_000, 1) * slow_curve(rng, length, 8, 0.25)
    for _ in range(int(length * 6)):
        d = rng.uniform(0.02, 0.06)
        bubble = tone(d, rng.uniform(400, 1_400) * (1 + 0.8 * clock(d) / d)) * np.exp(-clock(d) / d)
        place(stream, bubble, rng.uniform(0, length), rng.uniform(0.3, 1.0))
    return stream, None


def applause(rng: Rng, seconds: float | None) -> Made:
    length = seconds or DEFAULT_S
    n = len(clock(length))
    claps = np.zeros(n)
    hits = rng.integers(0, n, int(length * rng.uniform(80, 250)))
    claps[hits] = rng.exponential(1.0, len(hits))
    body = np.exp(-clock(0.03) / 0.006) * white(rng, 0.03)
    wet = np.convolve(claps, body)[:n]
    return band(wet, 500, 5_000), None


def night_insects(rng: Rng, seconds: float | None) -> Made:
    """Crickets: a high carrier in trains of pulses."""
    length = seconds or DEFAULT_S
    t = clock(length)
    out: Float64 = 0.02 * coloured(rng, length, -3.0)
    for _ in range(int(rng.integers(1, 4))):
        trill = np.clip(np.sin(2 * np.pi * t * rng.uniform(25, 40)), 0, None)
        chirps = np.clip(np.sin(2 * np.pi * t * rng.uniform(0.8, 2.2) + rng.uniform(0, 6)), 0, None)
        out = out + tone(length, rng.uniform(3_800, 5_600)) * trill * chirps**2
    return out, None
