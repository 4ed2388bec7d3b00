"""The six operators of TFJP and their settings, on one shared STFT.

A clip is transformed once. Operators only choose frames (`kept`) and lower powers (`power`); the
spectra themselves are never touched, and the audio comes back in one inverse transform::

    samples ─▶ analyse ─▶ ClipSpectrum ─ operators ─▶ ClipSpectrum ─▶ synthesise ─▶ samples
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from annotated_types import Interval, MultipleOf
from pydantic import NonNegativeFloat, PositiveInt

from data_build.tfjp.spans import (
    BLANK,
    Frames,
    Mask,
    Span,
    best_span,
    runs,
    snap,
    without_long_silence,
)
from soundflow.audio.stft import Complex64, Float32, istft, stft
from soundflow.config.settings import SETTINGS, Few, PositiveSeconds, Seconds, Spread
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import FRAME_SAMPLES, SAMPLE_RATE_HZ, to_samples

LOUD_PERCENTILE = 95.0
SMOOTH_FRAMES = 5
NUMERICAL_SILENCE_DB = 80.0  # below the loud frames: what 16-bit rounding leaves
_WINDOW_SAMPLES = FrontEnd.window_samples


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class TfjpConfig:
    """Settings of the six operators and of the loop around them, the published ones by default.

    Published: ``silence_s`` (tau), ``gate_percentile``, ``noise_share``, ``gamma``,
    ``boundary_samples`` (delta, half of a chunk of 0.4 s), ``taper_s`` (omega) and ``max_passes``
    (K). Ours:

    Attributes:
        gate_margin_db: the percentile estimates the floor of the recording; the frames of a steady
            floor scatter around it by this much, and are silent all the same.
        silence_below_db: nothing is silent that is not this far below the loud frames (their 95th
            percentile), or else a percentile would find silence in a clip that has none.
        noise_below_db: the quietest frames are a noise floor only this far below the loud frames;
            otherwise they are the sound itself (rain, a hum), and are left alone.
        residual_db: what denoising leaves of a frequency bin at the least (Berouti et al. 1979).
        core_threshold: a frame counts for the core above this share of the best frame's score.
        repeat_below_db: a later or earlier sound repeats the core if its peak is at most this much
            lower,
        repeat_entropy: and its spectral entropy, in [0, 1], at most this far from the core's.
        window_s: longer clips are processed in windows of at most this length.
    """

    silence_s: PositiveSeconds = 0.3
    gate_percentile: Annotated[float, Interval(gt=0, lt=50)] = 10.0
    gate_margin_db: Spread = 6.0
    silence_below_db: Annotated[float, Interval(gt=0, le=200)] = 30.0
    noise_share: Annotated[float, Interval(gt=0, lt=1)] = 0.05
    noise_below_db: Spread = 15.0
    gamma: NonNegativeFloat = 1.0
    residual_db: Annotated[float, Interval(ge=-200, lt=0)] = -20.0
    core_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.25
    repeat_below_db: Spread = 15.0
    repeat_entropy: Annotated[float, Interval(ge=0, le=1)] = 0.2
    boundary_samples: Annotated[PositiveInt, MultipleOf(FRAME_SAMPLES)] = 3_200
    taper_s: Seconds = 0.02
    max_passes: Few = 3
    window_s: Annotated[float, Interval(ge=1, le=86_400)] = 60.0


@dataclass(frozen=True)
class ClipSpectrum:
    """A clip on the 10 ms frame grid, as far as it is processed.

    Attributes:
        stft: (n, bins) complex64, as transformed; shared by every state of the clip.
        kept: (m,) which of the n frames is at each place, or BLANK.
        observed: (m, bins) float32, power of the frames, as transformed.
        power: (m, bins) float32, power that is left of it; never above ``observed``.
        energy: (m,) float32, sum of ``power``.
        taper_samples: length of the Hann flanks at both ends.
    """

    stft: Complex64
    kept: Frames
    observed: Float32
    power: Float32
    energy: Float32
    taper_samples: int = 0

    def __len__(self) -> int:
        return len(self.kept)

    def take(self, places: Frames) -> ClipSpectrum:
        """The clip that has only these frames, in this order."""
        return replace(
            self,
            kept=self.kept[places],
            observed=(observed := self.observed[places]),
            power=observed if self.power is self.observed else self.power[places],
            energy=self.energy[places],
        )

    @cached_property
    def ranked(self) -> Float32:
        """Energies of the source's frames, ascending."""
        return np.sort(self.energy[self.kept != BLANK])

    def energy_at(self, percentile: float) -> float:
        return float(self.ranked[round(percentile / 100.0 * (len(self.ranked) - 1))])


def analyse(samples: Float32) -> ClipSpectrum:
    """The one STFT: 400-sample Hann windows every 160 samples, (n,) -> ceil(n / 160) frames."""
    spectra = stft(samples, _WINDOW_SAMPLES, FRAME_SAMPLES)
    power = spectra.real**2 + spectra.imag**2
    return ClipSpectrum(spectra, np.arange(len(spectra)), power, power, power.sum(axis=1))


def synthesise(clip: ClipSpectrum) -> Float32:
    """The one inverse STFT, and the taper: (m * 160,) float32.

    Lowered powers change amplitudes and leave phases, so single peaks may exceed the source's.
    """
    spectra = clip.stft[clip.kept]
    spectra[clip.kept == BLANK] = 0.0
    if clip.power is not clip.observed:
        observed = np.maximum(clip.observed, np.finfo(np.float32).tiny)
        spectra *= np.sqrt(clip.power / observed)
    samples = istft(spectra, _WINDOW_SAMPLES, FRAME_SAMPLES)
    taper = min(clip.taper_samples, len(samples) // 2)
    if taper:
        flank = (0.5 - 0.5 * np.cos(np.pi * (np.arange(taper) + 0.5) / taper)).astype(np.float32)
        samples[:taper] *= flank
        samples[-taper:] *= flank[::-1]
    return samples


def loud_energy(clip: ClipSpectrum) -> float:
    """Energy that one frame in twenty exceeds."""
    return clip.energy_at(LOUD_PERCENTILE)


def gate_energy(clip: ClipSpectrum, config: TfjpConfig) -> float:
    """Energy under which a frame is silent: the percentile gate, bounded by the loud frames."""
    loud = loud_energy(clip)
    gate = clip.energy_at(config.gate_percentile) * _ratio(config.gate_margin_db)
    lowest, highest = loud * _ratio(-NUMERICAL_SILENCE_DB), loud * _ratio(-config.silence_below_db)
    return min(max(gate, lowest), highest)


def active_frames(clip: ClipSpectrum, config: TfjpConfig) -> Mask:
    """Frames above the gate, but for single ones in a pause.

    Frames of a steady floor scatter by several dB, and one of them above the gate would end a
    pause. So a frame above it counts only if the 50 ms around it are above it on average.
    """
    gate = gate_energy(clip, config)
    kernel = np.full(SMOOTH_FRAMES, 1.0 / SMOOTH_FRAMES)
    around = np.convolve(np.pad(clip.energy, SMOOTH_FRAMES // 2, mode="edge"), kernel, "valid")
    active: Mask = (clip.energy > gate) & (around > gate)
    return active


def silence_cut(clip: ClipSpectrum, config: TfjpConfig) -> ClipSpectrum:
    """Shortens inner silent runs to tau. Returns ``clip`` itself if there is nothing to cut."""
    longest_frames = round(config.silence_s * SAMPLE_RATE_HZ / FRAME_SAMPLES)
    keep = without_long_silence(~active_frames(clip, config), longest_frames)
    return clip if len(keep) == len(clip) else clip.take(keep)


def noise_profile(clip: ClipSpectrum, config: TfjpConfig) -> Float32:
    """Mean power of the quietest frames, (bins,); zeros if those are not a noise floor."""
    n = max(1, round(config.noise_share * len(clip.ranked)))
    quietest = (clip.energy <= clip.ranked[n - 1]) & (clip.kept != BLANK)
    profile: Float32 = clip.power[quietest].mean(axis=0)
    if profile.sum() > loud_energy(clip) * _ratio(-config.noise_below_db):
        return np.zeros_like(profile)
    return profile


def denoise(clip: ClipSpectrum, profile: Float32, config: TfjpConfig) -> ClipSpectrum:
    """Power spectral subtraction (Boll 1979) of ``gamma`` times the profile.

    A bin keeps at least ``residual_db`` of what was observed in it, however often this is repeated.
    """
    if not profile.any():
        return clip
    residual = clip.observed * np.float32(_ratio(config.residual_db))
    left = np.maximum(clip.power - np.float32(config.gamma) * profile, residual)
    power = np.minimum(left, clip.power)
    return replace(clip, power=power, energy=power.sum(axis=1))


def core_locate(clip: ClipSpectrum, config: TfjpConfig) -> Span:
    """The span with the best score of normalised energy over spectral entropy, and its repetitions.

    A frame scores ``e / (1 + h)``: its level between the gate and the loud frames, in [0, 1], over
    one plus its spectral entropy, in [0, 1]; structured sound beats equally loud noise, and neither
    term alone can dominate. The best span is the one whose scores exceed the threshold by the most.

    It ends at the first long pause. A clock, a dog or a walker makes pauses between sounds of one
    kind, so the core reaches from the first to the last run of frames above the threshold that is
    like the best span in level and in entropy.
    """
    loud, gate = loud_energy(clip), gate_energy(clip, config)
    if loud <= 0.0:
        return Span(0, len(clip))
    tiny = loud * np.finfo(np.float32).eps ** 2
    level = np.log(np.maximum(clip.energy, tiny) / gate) / np.log(loud / gate)
    entropy = spectral_entropy(clip)
    score = np.clip(level, 0.0, 1.0) / (1.0 + entropy)
    gain = score - config.core_threshold * score.max()
    best = best_span(gain)
    peak, kind = _peak_and_entropy(clip, entropy, best)

    def is_repetition(run: Span) -> bool:
        run_peak, run_kind = _peak_and_entropy(clip, entropy, run)
        loud_enough = run_peak >= peak * _ratio(-config.repeat_below_db)
        return loud_enough and abs(run_kind - kind) <= config.repeat_entropy

    like_it = [run for run in runs(gain > 0.0) if is_repetition(run)]
    return Span(
        min([best.start, *(run.start for run in like_it)]),
        max([best.stop, *(run.stop for run in like_it)]),
    )


def _peak_and_entropy(
    clip: ClipSpectrum, entropy: npt.NDArray[np.float64], span: Span
) -> tuple[float, float]:
    """The highest energy of a frame in the span, and the entropy of its frames by their energy."""
    energy = clip.energy[span.start : span.stop].astype(np.float64)
    inside = entropy[span.start : span.stop]
    total = float(energy.sum())
    return float(energy.max()), float(energy @ inside / total) if total else float(inside.mean())


def spectral_entropy(clip: ClipSpectrum) -> npt.NDArray[np.float64]:
    """Shannon entropy of every frame's power distribution over its bins, in [0, 1], (m,)."""
    energy = np.maximum(clip.energy, np.finfo(np.float32).tiny)
    share = clip.power / energy[:, None]
    nats = -(share * np.log(share + np.float32(1e-12))).sum(axis=1, dtype=np.float64)
    entropy: npt.NDArray[np.float64] = np.clip(nats / np.log(share.shape[1]), 0.0, 1.0)
    return entropy


def boundary_norm(clip: ClipSpectrum, core: Span, config: TfjpConfig) -> tuple[ClipSpectrum, Span]:
    """Cuts to ``core``, its ends snapped to half-chunks; blank frames where the clip is shorter.

    Returns:
        The clip, and the position of the core in it.
    """
    step_frames = config.boundary_samples // FRAME_SAMPLES
    span = snap(core, active_frames(clip, config), step_frames)
    inside = clip.take(np.arange(span.start, min(span.stop, len(clip))))
    missing = len(span) - len(inside)
    start = max(core.start - span.start, 0)
    stop = min(core.stop - span.start, len(span))
    return (_padded(inside, missing) if missing else inside), Span(start, stop)


def spec_smooth(clip: ClipSpectrum, config: TfjpConfig) -> ClipSpectrum:
    """Hann flanks of omega at both ends; a state, not a change, so repeating it does nothing."""
    return replace(clip, taper_samples=to_samples(config.taper_s))


def _padded(clip: ClipSpectrum, n_frames: int) -> ClipSpectrum:
    blank = np.zeros((n_frames, clip.power.shape[1]), np.float32)
    observed = np.concatenate((clip.observed, blank))
    return replace(
        clip,
        kept=np.concatenate((clip.kept, np.full(n_frames, BLANK))),
        observed=observed,
        power=observed if clip.power is clip.observed else np.concatenate((clip.power, blank)),
        energy=np.concatenate((clip.energy, blank[:, 0])),
    )


def _ratio(db: float) -> float:
    return float(10.0 ** (db / 10.0))
