"""Tracks to one waveform: levels, role gains, noise at a drawn SNR, the peak under its limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.compose.noise_bed import noise_bed
from data_build.pools.prepare import PreparedClip
from data_build.records import Clip, TrackRole
from soundflow.audio.level import Float32, active_power, audible_span, gain_to


@dataclass(frozen=True)
class Placed:
    """A clip on a track.

    Attributes:
        start_samples: in the stream.
        samples: (n,) float32, faded, not scaled yet.
        on_samples, end_samples: the part that can be heard, in the stream.
    """

    role: TrackRole
    start_samples: int
    heard: PreparedClip
    samples: Float32
    on_samples: int
    end_samples: int


@dataclass(frozen=True)
class Mix:
    """The mixed stream and its parts, before the peak limit is applied to their sum.

    Attributes:
        audio: (n,) float32, the limited sum.
        foreground, beside, event_noise, ambient_noise: (n,) float32 each; ``beside`` holds
            background and ambient items.
        drawn: what was drawn and measured, for the provenance: levels, gains, SNRs.
    """

    audio: Float32
    foreground: Float32
    beside: Float32
    event_noise: Float32
    ambient_noise: Float32
    drawn: dict[str, object]


def place(heard: PreparedClip, start: int, role: TrackRole, fade_samples: int) -> Placed:
    """Fades a clip at both ends and finds what can be heard of it."""
    faded = taper(heard.samples, fade_samples)
    on, end = audible_span(faded)
    return Placed(role, start, heard, faded, start + on, start + end)


def taper(samples: Float32, fade_samples: int) -> Float32:
    """A half Hann window at each end."""
    n = min(fade_samples, len(samples) // 2)
    out = samples.copy()
    if n:
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)).astype(np.float32)
        out[:n] *= ramp
        out[-n:] *= ramp[::-1]
    return out


def mix(
    n_samples: int,
    placed: Sequence[Placed],
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    read: Callable[[Clip], Float32],
    config: ComposeConfig,
    sample_rate_hz: int,
    rng: np.random.Generator,
) -> Mix:
    """Mixes a stream of ``n_samples``.

    The foreground is brought to a level drawn from ``level_db``, measured on the faded samples;
    background and ambient items to the role gains below it. Each noise track is scaled so that
    foreground power (over what is audible) to noise power (over the stream) is its drawn SNR.

    Args:
        noise: event-like and ambient noise clips; an empty pool leaves its track out.
    """
    level_db = float(rng.uniform(*config.level_db))
    offsets = {
        "foreground": 0.0,
        "background": config.background_db,
        "ambient": config.ambient_db,
    }
    foreground = np.zeros(n_samples, np.float32)
    beside = np.zeros(n_samples, np.float32)
    gains_db: list[float] = []
    for item in placed:
        target = level_db + offsets[item.role]
        if item.role == "foreground":
            target += float(rng.uniform(-config.spread_db, config.spread_db))
        gain = gain_to(target, active_power(item.samples))
        track = foreground if item.role == "foreground" else beside
        room = track[item.start_samples : item.start_samples + len(item.samples)]
        room += item.samples[: len(room)] * np.float32(gain)
        gains_db.append(round(20 * float(np.log10(max(gain, 1e-6))), 3))
    power = foreground_power(foreground, placed) or 10 ** (level_db / 10)
    fade = round(config.noise.crossfade_s * sample_rate_hz)
    tracks: list[Float32] = []
    drawn_noise: list[dict[str, object]] = []
    for pool, offset_db in zip(noise, (0.0, config.noise.ambient_offset_db), strict=True):
        wanted = rng.random() < config.noise.share
        snr_db = float(rng.uniform(*config.noise.snr_db)) - offset_db
        track = np.zeros(n_samples, np.float32)
        used: tuple[Clip, ...] = ()
        if wanted and pool:
            track, used = noise_bed(n_samples, pool, read, fade, rng)
            mean = float(np.mean(track.astype(np.float64) ** 2))
            if mean > 0.0:
                track *= np.float32(np.sqrt(power / mean / 10 ** (snr_db / 10)))
            drawn_noise.append(
                {
                    "clips": [clip.id for clip in used],
                    "origins": [asdict(clip.origin) for clip in used],
                    "snr_db": round(snr_db, 3),
                }
            )
        tracks.append(track)
    audio = foreground + beside + tracks[0] + tracks[1]
    peak = float(np.abs(audio).max(initial=0.0))
    limited = peak > config.peak
    if limited:
        audio *= np.float32(config.peak / peak)
    drawn: dict[str, object] = {
        "level_db": round(level_db, 3),
        "gains_db": gains_db,
        "noise": drawn_noise,
        "limited": limited,
    }
    return Mix(audio, foreground, beside, tracks[0], tracks[1], drawn)


def foreground_power(foreground: Float32, placed: Sequence[Placed]) -> float:
    """Mean power of the foreground over the audible spans of its items; 0 without any."""
    energy, n = 0.0, 0
    for item in placed:
        if item.role == "foreground":
            part = foreground[item.on_samples : item.end_samples].astype(np.float64)
            energy += float(np.square(part).sum())  # not a BLAS dot: its bits depend on threads
            n += len(part)
    return energy / n if n else 0.0
