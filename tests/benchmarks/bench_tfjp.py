"""How fast TFJP is: against the floor of one STFT pair, and against a transform per operator.

    python tests/benchmarks/bench_tfjp.py [folder with a manifest.jsonl]

The naive variant does the same arithmetic, but every operator takes samples and gives samples, as
pipelines of separate filters do. One thread; figures are hours of audio an hour of one core's
own time, so that other work on the machine hardly shows.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from data_build.tfjp.loop import STABLE_SHARE, tfjp
from data_build.tfjp.spectrum import (
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
from soundflow.audio.stft import Float32, istft, stft

RATE_HZ = 16_000
CONFIG = TfjpConfig()


def naive(samples: Float32) -> tuple[Float32, int]:
    """TFJP with a transform pair an operator: the samples, and how many transforms it took."""
    transforms = 0
    for _ in range(CONFIG.max_passes):
        for _ in range(CONFIG.max_passes):
            before = samples
            samples = synthesise(silence_cut(analyse(samples), CONFIG))
            profile = noise_profile(analyse(samples), CONFIG)
            left = synthesise(denoise(analyse(samples), profile, CONFIG))
            transforms += 5
            power = float(np.square(samples).sum())
            lost = power - float(np.square(left).sum())
            stable = len(samples) == len(before) and lost <= STABLE_SHARE * power
            samples = left
            if stable:
                break
        core = core_locate(analyse(samples), CONFIG)
        samples = synthesise(boundary_norm(analyse(samples), core, CONFIG)[0])
        samples = synthesise(spec_smooth(analyse(samples), CONFIG))
        again = synthesise(silence_cut(analyse(samples), CONFIG))
        transforms += 7
        if len(again) == len(samples):
            break
        samples = again
    return samples, transforms


def least_cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def read_clips(folder: Path) -> list[Float32]:
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [soundfile.read(folder / row["path"], dtype="float32")[0] for row in rows]


def made_clips() -> list[Float32]:
    """Bursts of noise in a noise floor, for machines without recordings."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(200):
        n = int(rng.integers(RATE_HZ, 8 * RATE_HZ))
        loud = np.repeat(rng.random(n // 1_600 + 1) < 0.6, 1_600)[:n]
        clips.append((rng.standard_normal(n) * np.where(loud, 0.2, 0.002)).astype(np.float32))
    return clips


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    clips = read_clips(folder) if folder else made_clips()
    seconds = sum(map(len, clips)) / RATE_HZ
    tfjp(clips[0], CONFIG)  # the first call imports and caches
    floor_s = least_cpu_seconds(lambda: [istft(stft(c, 400, 160), 400, 160) for c in clips])
    ours_s = least_cpu_seconds(lambda: [tfjp(c, CONFIG) for c in clips])
    naive_s = least_cpu_seconds(lambda: [naive(c) for c in clips])
    reports = [tfjp(c, CONFIG).report for c in clips]
    transforms = np.mean([naive(c)[1] for c in clips])
    print(f"{len(clips)} clips, {seconds / 60:.1f} min; hours of audio an hour of one core:")
    print(f"  floor: one STFT pair      {seconds / floor_s:8.0f}")
    print(
        f"  TFJP: one STFT pair       {seconds / ours_s:8.0f}   {floor_s / ours_s:.0%} of the floor"
    )
    print(
        f"  a transform per operator  {seconds / naive_s:8.0f}   {transforms:.1f} transforms a clip"
    )
    print(f"  the shared STFT is {naive_s / ours_s:.1f} times as fast")
    print(
        f"passes {np.mean([r.passes for r in reports]):.2f} a clip; "
        f"pass limit hit by {np.mean([r.hit_limit for r in reports]):.1%}"
    )


if __name__ == "__main__":
    main()
