"""How fast the build is: against the published builder's work, and against the floor.

    python -m tests.benchmarks.bench_build FOLDER_WITH_MANIFEST [--streams 400] [--profile]

Figures are hours of stream an hour of one core's own time, TFJP included, without TTS, LLM, ASR.

* floor     decoding + resampling + one STFT pair + FLAC of as much audio, and nothing else
* baseline  the published builder's work, re-created: every clip becomes a WAV through a process of
            its own, is read again and joined with gaps; stream WAV, float32 features of 256
            values a slot and tokens go to disk. No mixing, no TFJP. The process does nothing here
            (no ffmpeg is needed), which flatters the baseline; as published it ran at 43.
* build     `data_build.run.build` with the recipe for a folder of recordings: first with an empty
            clip cache, then other streams from the same clips

The published 43 is wall-clock time on an idle machine, all else is time of the processor: on a
machine that does other things as well, that is what can be compared.

Seen with 600 streams (1.7 h) from 570 short recordings, one of two shared x86-64 cores, Python
3.11 (figures vary by a fifth with what else runs):

    floor 1003 | baseline's work alone 644 | build 777 with an empty cache, 1152 with a full one,
    that is 18 and 27 times as fast as published; 65 MB an hour of stream, 7.6 % of published

Where the time of a build with an empty cache goes (``--profile``):

    hearing clips 35 %    of which decoding 9, TFJP 10, writing the cache 10, reading it 5
    mixing 20 %           of which the noise beds 11
    FLAC and tar 20 %
    report and card 8 %   the same for a build of any length, so 1 % of one of 15 hours
    tokens 5 %, planning 2 %, reading the manifest 2 %, self-check 2 %, the rest is Python

With a full cache FLAC alone is 22 %, and the floor is passed: a clip that many streams use is
decoded once, while the floor decodes for every second of output.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from data_build.drops import Drop
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Recorded
from data_build.run import build
from data_build.sources.catalogue import read
from data_build.sources.source import SourceConfig
from soundflow.audio.files import Float32, read_audio
from soundflow.audio.frontend import log_mel
from soundflow.audio.stft import istft, stft
from soundflow.config.load import load
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase

ROOT = Path(__file__).resolve().parents[2]
TIME = TimeBase()
PUBLISHED_SPEED = 43.0  # measured on the published builder itself, same kind of input
PUBLISHED_BYTES_PER_HOUR = 855e6  # wav, 2048-dim float32 features (the real tower's), tokens
SMALL_BYTES_PER_HOUR = 209e6  # the same with features of 256 values


def cpu_seconds(work: Callable[[], object]) -> float:
    """User and system time of this process and its children."""

    def now() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    started = now()
    work()
    return now() - started


def floor(clips: Sequence[Recorded], seconds: float) -> None:
    """Reads clips until ``seconds`` are full; one STFT pair; FLAC in streams of 24 s."""
    parts: list[np.ndarray] = []
    for clip in _until(clips, seconds):
        samples = read_audio(clip.path, start_s=clip.start_s, end_s=clip.end_s)
        parts.append(istft(stft(samples, 400, 160), 400, 160))
    audio = np.concatenate(parts)
    with tempfile.TemporaryFile() as out:
        for at in range(0, len(audio), 384_000):
            pcm = np.clip(np.rint(audio[at : at + 384_000] * 32_767), -32_768, 32_767)
            soundfile.write(out, pcm.astype(np.int16), 16_000, format="FLAC", subtype="PCM_16")


def baseline(clips: Sequence[Recorded], seconds: float, folder: Path) -> float:
    """Conversations of three clips until ``seconds`` are full; returns the seconds made."""
    rng = np.random.default_rng(0)
    made, turns = 0, []
    for number, clip in enumerate(_until(clips, seconds)):
        turns.append(_converted(clip, folder / "turn.wav"))
        if len(turns) < 3:
            continue
        parts = []
        for turn in turns:
            gap = rng.standard_normal(int(rng.integers(20, 61)) * TIME.slot_samples) * 1e-3
            parts += [turn, gap.astype(np.float32)]
        stream = np.concatenate(parts)
        stream = np.pad(stream, (0, TIME.padding_of(len(stream))))
        soundfile.write(folder / f"{number}.wav", stream, 16_000, subtype="PCM_16")
        mel = log_mel(stream, TIME, FrontEnd())
        slots = mel.transpose(0, 2, 1).reshape(len(mel) * TIME.slots_per_chunk, -1)
        np.save(folder / f"{number}.features.npy", np.ascontiguousarray(slots[:, ::2]))
        np.save(folder / f"{number}.tokens.npy", np.zeros((2, len(mel) * 14), np.int64))
        made += len(stream)
        turns = []
    return made / 16_000


def _converted(clip: Recorded, wav: Path) -> Float32:
    subprocess.run(["true"], check=True)
    samples = read_audio(clip.path, start_s=clip.start_s, end_s=clip.end_s)
    soundfile.write(wav, samples, 16_000, subtype="PCM_16")
    converted: Float32 = soundfile.read(wav, dtype="float32")[0]
    return converted


def _until(clips: Sequence[Recorded], seconds: float) -> Iterator[Recorded]:
    """The clips over and over, until they last ``seconds``."""
    lasted = 0.0
    while True:
        for clip in clips:
            if lasted >= seconds:
                return
            yield clip
            lasted += soundfile.info(clip.path).duration


def recipe_of(folder: Path, output: Path, streams: int) -> BuildRecipe:
    recipe = load(ROOT / "recipes/build/from_folder.yaml", BuildRecipe, command="build-data")
    source = SourceConfig(corpus="manifest", root=str(folder / "manifest.jsonl"))
    train = replace(recipe.splits["train"], streams=streams, weight=1.0)
    return replace(
        recipe, output=str(output), sources=(source,), splits={"train": train}, workers=1
    )


def _nobody(drop: Drop) -> None:
    """Unusable rows are the build's business, not ours."""


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    profile = cProfile.Profile()
    with profile:
        yield
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = recipe_of(asked.folder, Path(scratch) / "data", asked.streams)
        found = (c.audio for c in read(recipe.sources[0], _nobody) if isinstance(c, Clip))
        clips = [audio for audio in found if isinstance(audio, Recorded)]
        with profiled(asked.profile):
            cold_s = cpu_seconds(lambda: build(recipe))
        made = build(recipe).splits["train"]  # finished shards are kept; this only counts
        hours, n_bytes = made.hours, made.n_bytes
        shutil.rmtree(Path(recipe.output) / "train")
        warm_s = cpu_seconds(lambda: build(replace(recipe, seed=recipe.seed + 1)))
        floor_s = cpu_seconds(lambda: floor(clips, hours * 3_600))
        folder = Path(scratch) / "baseline"
        folder.mkdir()
        worked: list[float] = []
        work_s = cpu_seconds(lambda: worked.append(baseline(clips, hours * 1_800, folder)))
        work_bytes = sum(f.stat().st_size for f in folder.iterdir())
    speeds = {
        "floor": hours * 3_600 / floor_s,
        "baseline, its work alone": worked[0] / work_s,
        "baseline, as published": PUBLISHED_SPEED,
        "build, empty cache": hours * 3_600 / cold_s,
        "build, clips cached": hours * 3_600 / warm_s,
    }
    print(f"{made.streams} streams, {hours:.2f} h; hours of stream an hour of one core:")
    for name, speed in speeds.items():
        share = speed / speeds["floor"]
        ratio = speed / PUBLISHED_SPEED
        print(f"  {name:26s} {speed:7.0f}   {share:5.0%} of the floor   {ratio:5.1f} x published")
    print("bytes an hour of stream:")
    for name, rate in (
        ("baseline, its work alone", work_bytes / worked[0] * 3_600),
        ("published, 256 features", SMALL_BYTES_PER_HOUR),
        ("published, 2048 features", PUBLISHED_BYTES_PER_HOUR),
        ("build", n_bytes / hours),
    ):
        print(f"  {name:26s} {rate / 1e6:7.1f} MB   {rate / PUBLISHED_BYTES_PER_HOUR:6.1%}")


if __name__ == "__main__":
    main()
