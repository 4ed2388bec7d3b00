"""TFJP, time-frequency joint preprocessing of a clip (paper section "TFJP"): the control flow.

::

        ┌─────────── if the last cut changed the clip ───────────┐
        ▼                                                        │
    ┌▶ silence_cut ─▶ noise_profile ─▶ denoise ┐                 │
    └─────── until stable, at most K ──────────┤                 │
                                               ▼                 │
    core_locate ─▶ boundary_norm ─▶ spec_smooth ─▶ silence_cut ──┴──▶

One STFT before, one inverse STFT after, none in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_build.tfjp.spans import BLANK, CutMap
from data_build.tfjp.spectrum import (
    ClipSpectrum,
    TfjpConfig,
    analyse,
    boundary_norm,
    core_locate,
    denoise,
    noise_profile,
    silence_cut,
    spec_smooth,
    synthesise,
)
from soundflow.audio.level import block_power, without_dc
from soundflow.audio.stft import Float32
from soundflow.protocol.timebase import FRAME_SAMPLES, to_samples

# A pass that takes less of the energy (0.09 dB, which nobody hears) changed nothing. With half of
# it, 23 % of recordings of speech in pink noise at 5 dB reach the limit of passes, instead of none
# (tests/benchmarks/bench_tfjp.py).
STABLE_SHARE = 2e-2


@dataclass(frozen=True)
class TfjpReport:
    """What TFJP did to a clip; ``out = in - silence - outside + blank``, all in samples.

    Attributes:
        passes: of silence_cut, noise_profile and denoise, over all rounds.
        rounds: of the whole flow; one more for every last cut that changed the clip.
        hit_limit: True where K ended a loop that was not stable yet.
        silence_samples: cut from inner silences.
        outside_samples: cut from both ends, outside the core.
        blank_samples: added to reach a half-chunk boundary.
        denoised_share: share of the kept frames' energy that denoising took.
        windows: 1, or the number of windows of a long clip; the other figures are then sums, and
            ``denoised_share`` is the highest.
    """

    in_samples: int
    out_samples: int
    passes: int
    rounds: int
    hit_limit: bool
    silence_samples: int
    outside_samples: int
    blank_samples: int
    denoised_share: float
    windows: int = 1


@dataclass(frozen=True)
class TfjpResult:
    """A clip after TFJP.

    Attributes:
        samples: (n,) float32, n a multiple of half a chunk.
        core_start_samples, core_end_samples: the located core in ``samples``; what the clip has to
            say is over at its end.
        cuts: where times of the source went (word ends, event times).
    """

    samples: Float32
    core_start_samples: int
    core_end_samples: int
    cuts: CutMap
    report: TfjpReport


def tfjp(samples: Float32, config: TfjpConfig) -> TfjpResult:
    """Runs the six operators over a clip of 16 kHz mono float32 samples, (n,), less its DC.

    An offset would be energy in every frame: no pause would be silent, no frame the floor.

    Memory is bounded by ``config.window_s``: a longer clip is divided at its quietest moments, and
    its windows are processed one by one and joined.

    Raises:
        ValueError: if the clip is empty or not one-dimensional.
    """
    level = without_dc(samples).astype(np.float32)
    windows = [_window(part, config) for part in divided(level, config)]
    return windows[0] if len(windows) == 1 else _joined(windows, len(samples))


def divided(samples: Float32, config: TfjpConfig) -> Iterator[Float32]:
    """The clip in windows of at most ``window_s``, cut at the quietest hop of each last tenth."""
    hop = FRAME_SAMPLES
    longest = to_samples(config.window_s) // hop * hop
    while len(samples) > longest:
        tail = samples[longest - longest // 10 // hop * hop : longest]
        quietest = int(np.argmin(block_power(tail)))
        at = longest - len(tail) + quietest * hop
        yield samples[:at]
        samples = samples[at:]
    yield samples


def _window(samples: Float32, config: TfjpConfig) -> TfjpResult:
    clip = analyse(samples)
    passes, hit_limit = 0, False
    for rounds in range(1, config.max_passes + 1):
        clip, taken, stable = cleaned(clip, config)
        passes, hit_limit = passes + taken, hit_limit or not stable
        clip, core = boundary_norm(clip, core_locate(clip, config), config)
        clip = spec_smooth(clip, config)
        again = silence_cut(clip, config)
        if again is clip:
            break
        if rounds == config.max_passes:
            hit_limit = True  # this last cut is not taken: it would leave the half-chunk grid
        else:
            clip = again
    hop = FRAME_SAMPLES
    return TfjpResult(
        samples=synthesise(clip),
        core_start_samples=core.start * hop,
        core_end_samples=core.stop * hop,
        cuts=CutMap.of(clip.kept, hop),
        report=_report(samples, clip, passes, rounds, hit_limit),
    )


def cleaned(clip: ClipSpectrum, config: TfjpConfig) -> tuple[ClipSpectrum, int, bool]:
    """Repeats silence_cut, noise_profile and denoise until stable, at most K times.

    Returns:
        The clip, the passes taken, and whether the last pass changed nothing.
    """
    taken, stable = 0, False
    while not stable and taken < config.max_passes:
        before = clip
        clip = silence_cut(clip, config)
        left = denoise(clip, noise_profile(clip, config), config)
        lost = float(clip.energy.sum() - left.energy.sum())
        stable = clip is before and lost <= STABLE_SHARE * float(clip.energy.sum())
        clip, taken = left, taken + 1
    return clip, taken, stable


def _report(
    samples: Float32, clip: ClipSpectrum, passes: int, rounds: int, hit_limit: bool
) -> TfjpReport:
    hop = FRAME_SAMPLES
    source = clip.kept[clip.kept != BLANK]
    first, last = int(source[0]), int(source[-1]) + 1
    silence_samples = (last - first - len(source)) * hop
    inside_samples = min(last * hop, len(samples)) - first * hop  # the last hop may be cut short
    out_samples = len(clip) * hop
    observed = float(clip.observed.sum())
    taken = 1.0 - float(clip.power.sum()) / observed if observed else 0.0
    return TfjpReport(
        in_samples=len(samples),
        out_samples=out_samples,
        passes=passes,
        rounds=rounds,
        hit_limit=hit_limit,
        silence_samples=silence_samples,
        outside_samples=len(samples) - inside_samples,
        blank_samples=out_samples - (inside_samples - silence_samples),
        denoised_share=max(0.0, taken),
    )


def _joined(windows: Sequence[TfjpResult], in_samples: int) -> TfjpResult:
    """The windows of a long clip one after another; the core runs from the first to the last."""
    offset_in = np.cumsum([0] + [w.report.in_samples for w in windows]).tolist()
    offset_out = np.cumsum([0] + [len(w.samples) for w in windows]).tolist()
    reports = [w.report for w in windows]
    return TfjpResult(
        samples=np.concatenate([w.samples for w in windows]),
        core_start_samples=windows[0].core_start_samples,
        core_end_samples=offset_out[-2] + windows[-1].core_end_samples,
        cuts=CutMap.joined([w.cuts for w in windows], offset_in, offset_out),
        report=TfjpReport(
            in_samples=in_samples,
            out_samples=offset_out[-1],
            passes=sum(r.passes for r in reports),
            rounds=sum(r.rounds for r in reports),
            hit_limit=any(r.hit_limit for r in reports),
            silence_samples=sum(r.silence_samples for r in reports),
            outside_samples=sum(r.outside_samples for r in reports),
            blank_samples=sum(r.blank_samples for r in reports),
            denoised_share=max(r.denoised_share for r in reports),
            windows=len(windows),
        ),
    )
