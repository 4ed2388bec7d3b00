"""Sound events: alarms, bells, knocks, breaking glass. Every take draws its own parameters.

A generator returns ``(samples, ready_s)``: ready is the earliest moment at which a listener could
tell the sound from its look-alikes here (timing protocol, truth ``t_ready``); None means its end.
The look-alikes are made to overlap: a kitchen timer may beep at the pitch of a smoke alarm, but
never for as long, a microwave for longer; a spoon rings like glass, but does not burst.
"""

from __future__ import annotations

import numpy as np

from data_build.synth.signals import (
    Float64,
    band,
    clock,
    coloured,
    gate,
    place,
    slow_curve,
    struck,
    tone,
    white,
)

Rng = np.random.Generator
Made = tuple[Float64, float | None]


def smoke_alarm(rng: Rng, seconds: float | None) -> Made:
    """Temporal-three pattern (ISO 8201): three pulses of 0.5 s, 0.5 s apart, at about 3.1 kHz."""
    on = rng.uniform(0.46, 0.54)
    period = 2 * on
    length = seconds or 3 * period - on
    hz = rng.uniform(2_850, 3_350)
    harmonics = (1.0, rng.uniform(0.0, 0.4))
    cycle = np.zeros(len(clock(length)))
    for start in np.arange(0.0, length, 3 * period + 1.0):
        part = min(3 * period - on, length - start)
        if part > 0.05:
            place(cycle, tone(part, hz, harmonics) * gate(part, on, period, 3), start)
    # The end of the first pulse, heard for one slot, tells it from longer and shorter beeps.
    return cycle, on + 0.04


def microwave_beep(rng: Rng, seconds: float | None) -> Made:
    """One or two long beeps, longer than a smoke alarm's pulse."""
    on = rng.uniform(0.85, 1.2)
    pulses = 1 if seconds is None else max(1, int(seconds / (on + 0.6)))
    length = seconds or on
    hz = rng.uniform(1_600, 3_200)
    return tone(length, hz, (1.0, 0.2)) * gate(length, on, on + 0.6, pulses), None


def kitchen_timer(rng: Rng, seconds: float | None) -> Made:
    """Groups of four short beeps, shorter than a smoke alarm's pulse."""
    on = rng.uniform(0.05, 0.11)
    period = on * rng.uniform(1.7, 2.2)
    hz = rng.uniform(2_000, 3_400)
    group = 4 * period
    length = seconds or 2 * group + rng.uniform(0.3, 0.5)
    out = np.zeros(len(clock(length)))
    pip = tone(group, hz, (1.0, 0.3)) * gate(group, on, period, 4)
    for start in np.arange(0.0, length, group + 0.35):
        place(out, pip, start)
    return out, None


def single_beep(rng: Rng, seconds: float | None) -> Made:
    """One clear beep, the thing to be counted."""
    length = seconds or rng.uniform(0.18, 0.32)
    hz = rng.uniform(700, 1_150)
    return tone(length, hz, (1.0, rng.uniform(0.1, 0.5), 0.2)) * gate(
        length, length, length + 1, 1
    ), None


def phone_ring(rng: Rng, seconds: float | None) -> Made:
    """Two bell tones warbling some twenty times a second, in bursts."""
    length = seconds or rng.uniform(1.1, 1.8)
    low = rng.uniform(700, 1_300)
    high = low * rng.uniform(1.18, 1.35)
    warble = rng.uniform(16, 24)
    t = clock(length)
    hz = np.where((t * warble) % 1.0 < 0.5, low, high)
    burst = gate(length, min(length, rng.uniform(0.4, 0.9)), 1.4, 99, ramp_s=0.02)
    return tone(length, hz, (1.0, 0.5, 0.3)) * burst, None


def door_bell(rng: Rng, seconds: float | None) -> Made:
    """Ding-dong: two struck bars, the second lower."""
    length = seconds or rng.uniform(1.3, 1.8)
    high = rng.uniform(600, 900)
    out = np.zeros(len(clock(length)))
    gap = rng.uniform(0.4, 0.6)
    for at, base in ((0.0, high), (gap, high * rng.choice([0.794, 0.75, 0.84]))):
        bar = struck(rng, length, base * np.array([1, 2.76, 5.4]), [0.5, 0.2, 0.1], [1, 0.4, 0.2])
        place(out, bar, at)
    return out, None


def glass_break(rng: Rng, seconds: float | None) -> Made:
    """A broadband crash, then a rain of shards that ring high and short."""
    length = seconds or rng.uniform(0.9, 1.4)
    crash = white(rng, length) * np.exp(-clock(length) / rng.uniform(0.04, 0.09))
    out = band(crash, 900, 7_800) * 2.0
    n_shards = int(rng.integers(25, 50))
    for at in rng.exponential(length / 4, n_shards):
        modes = rng.uniform(2_200, 7_400, 3)
        place(out, struck(rng, 0.15, modes, rng.uniform(0.01, 0.05)), at, rng.uniform(0.2, 0.9))
    return out, 0.3


def cutlery_clink(rng: Rng, seconds: float | None) -> Made:
    """One to three clear clinks of metal or china: rings like glass, without the crash."""
    n = int(rng.integers(1, 4))
    length = seconds or 0.3 * n + 0.4
    out = np.zeros(len(clock(length)))
    base = rng.uniform(2_300, 4_200)
    for i in range(n):
        modes = base * np.array([1.0, 1.51, 2.3]) * rng.uniform(0.97, 1.03)
        hit = struck(rng, 0.35, modes, rng.uniform(0.05, 0.12), [1.0, 0.6, 0.4])
        place(out, hit, 0.3 * i + rng.uniform(0, 0.1), rng.uniform(0.5, 1.0))
    return out, None


def footsteps(rng: Rng, seconds: float | None) -> Made:
    """Heel and sole thuds at walking pace."""
    length = seconds or rng.uniform(1.4, 2.2)
    pace = rng.uniform(0.42, 0.6)
    low, high = rng.uniform(80, 160), rng.uniform(500, 1_600)
    out = np.zeros(len(clock(length)))
    for at in np.arange(0.0, length - 0.1, pace):
        thud = band(white(rng, 0.12) * np.exp(-clock(0.12) / 0.02), low, high)
        jitter = rng.uniform(0, 0.04)
        place(out, thud, at + jitter, rng.uniform(0.6, 1.0))
        place(out, thud[: len(thud) // 2], at + jitter + 0.07, 0.4)
    return out, None


def door_knock(rng: Rng, seconds: float | None) -> Made:
    """Three to five knocks on wood."""
    n = int(rng.integers(3, 6))
    gap = rng.uniform(0.15, 0.28)
    length = seconds or n * gap + 0.15
    modes = rng.uniform(110, 260) * np.array([1, 2.2, 3.7, 5.1])
    out = np.zeros(len(clock(length)))
    for i in range(max(n, int(length / 1.5) if seconds else n)):
        knock = struck(rng, 0.14, modes, [0.05, 0.03, 0.02, 0.015], [1, 0.6, 0.4, 0.3])
        place(out, knock, i * gap, rng.uniform(0.7, 1.0))
    return out, None


def dog_bark(rng: Rng, seconds: float | None) -> Made:
    """Short voiced bursts with a falling pitch and formants."""
    n = int(rng.integers(1, 4))
    length = seconds or 0.45 * n
    out = np.zeros(len(clock(length)))
    base = rng.uniform(280, 620)
    for at in np.arange(0.0, length - 0.1, rng.uniform(0.35, 0.5)):
        t = clock(0.22)
        glide = base * (0.8 + 0.5 * np.exp(-(((t - 0.05) / 0.06) ** 2)))
        voice = tone(0.22, glide, [1 / k for k in range(1, 14)])
        bark = band(voice + 0.3 * white(rng, 0.22), 350, 2_400) * np.sin(np.pi * t / 0.22) ** 0.7
        place(out, bark, at, rng.uniform(0.7, 1.0))
    return out, None


def siren(rng: Rng, seconds: float | None) -> Made:
    """A wail that sweeps up and down."""
    length = seconds or rng.uniform(2.0, 3.5)
    t = clock(length)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * t * rng.uniform(0.25, 0.7))
    hz = rng.uniform(500, 700) + sweep * rng.uniform(500, 900)
    return tone(length, hz, (1.0, 0.6, 0.4, 0.2)), min(length, 1.0)


def car_horn(rng: Rng, seconds: float | None) -> Made:
    """Two reeds a third apart."""
    length = seconds or rng.uniform(0.5, 1.2)
    hz = rng.uniform(340, 430)
    reeds = [1 / k**0.7 for k in range(1, 12)]
    both = tone(length, hz, reeds) + tone(length, hz * 1.26, reeds)
    return both * gate(length, length, length + 1, 1, ramp_s=0.03), None


def alarm_clock(rng: Rng, seconds: float | None) -> Made:
    """A mechanical bell hammered fast."""
    length = seconds or rng.uniform(1.2, 2.0)
    out = np.zeros(len(clock(length)))
    modes = rng.uniform(1_500, 2_600) * np.array([1.0, 1.9, 2.7])
    strike = struck(rng, 0.12, modes, [0.05, 0.03, 0.02])
    for at in np.arange(0.0, length - 0.02, 1 / rng.uniform(18, 28)):
        place(out, strike, at, rng.uniform(0.7, 1.0))
    return out, None


def thunder(rng: Rng, seconds: float | None) -> Made:
    """A crack, then brown rumble that rolls away."""
    length = seconds or rng.uniform(2.5, 4.5)
    t = clock(length)
    rumble = coloured(rng, length, -7.0) * np.exp(-t / (length / 3)) * slow_curve(rng, length, 4, 1)
    crack = band(white(rng, length), 200, 4_000) * np.exp(-t / 0.08)
    return rumble + rng.uniform(0.2, 0.8) * crack, min(length, 1.0)


def cough(rng: Rng, seconds: float | None) -> Made:
    """One to three bursts of throat noise."""
    n = int(rng.integers(1, 4))
    length = seconds or 0.45 * n
    out = np.zeros(len(clock(length)))
    for at in np.arange(0.0, length - 0.1, 0.42):
        t = clock(0.3)
        burst = np.exp(-t / 0.05) + 0.4 * np.exp(-(((t - 0.16) / 0.05) ** 2))
        place(out, band(white(rng, 0.3), 400, 3_500) * burst, at + rng.uniform(0, 0.05))
    return out, None


def gunshot(rng: Rng, seconds: float | None) -> Made:
    """A shock front and its reverberation."""
    length = seconds or rng.uniform(0.6, 1.2)
    t = clock(length)
    tail = coloured(rng, length, -3.0) * np.exp(-t / rng.uniform(0.1, 0.25))
    return 3 * white(rng, length) * np.exp(-t / 0.012) + tail, 0.1


def crying_baby(rng: Rng, seconds: float | None) -> Made:
    """Wails of a second: a high voice with vibrato."""
    length = seconds or rng.uniform(1.8, 3.0)
    t = clock(length)
    wail = 0.9 + rng.uniform(0.1, 0.3)
    hz = rng.uniform(380, 520) * (1 + 0.18 * np.sin(np.pi * (t % wail) / wail))
    hz = hz * (1 + 0.02 * np.sin(2 * np.pi * 6.5 * t))
    voice = tone(length, hz, [1 / k**0.8 for k in range(1, 14)])
    return band(voice, 300, 4_500) * gate(length, wail * 0.8, wail, 99, 0.08), min(length, 1.0)


def bird_chirp(rng: Rng, seconds: float | None) -> Made:
    """Quick upward and downward whistles."""
    length = seconds or rng.uniform(0.8, 1.6)
    out = np.zeros(len(clock(length)))
    base = rng.uniform(2_400, 4_800)
    for at in np.arange(0.0, length - 0.1, rng.uniform(0.14, 0.3)):
        d = rng.uniform(0.05, 0.11)
        sweep = base * (1 + rng.uniform(-0.25, 0.25) * clock(d) / d)
        place(out, tone(d, sweep) * np.sin(np.pi * clock(d) / d), at, rng.uniform(0.4, 1.0))
    return out, None


def church_bell(rng: Rng, seconds: float | None) -> Made:
    """A struck bell with its minor-third partial."""
    length = seconds or rng.uniform(2.0, 3.5)
    base = rng.uniform(220, 480)
    modes = base * np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.7, 4.0])
    return struck(
        rng, length, modes, [2.5, 1.5, 1.2, 0.9, 0.7, 0.4, 0.2], [0.6, 1, 0.8, 0.5, 0.6, 0.3, 0.2]
    ), None


def reversing_beep(rng: Rng, seconds: float | None) -> Made:
    """A vehicle's reversing signal: even beeps near 1.2 kHz, half on and half off."""
    length = seconds or rng.uniform(2.0, 3.0)
    on = rng.uniform(0.4, 0.6)
    return tone(length, rng.uniform(1_050, 1_400), (1.0, 0.3)) * gate(length, on, 2 * on, 99), None
