"""How fast a build with synthesised speech is, gate and alignment on, and where its time goes.

    python -m tests.benchmarks.bench_speech_build [--streams 120]

Builds `recipes/build/all_abilities.yaml` (all 28 tasks) in one process with an empty cache, so that
every rendering and alignment is made: English is checked by Whisper tiny.en and aligned by
pocketsphinx. The same streams are then built from a full cache, and once more from an empty one
under a profiler for the shares.

Figures are hours of stream an hour of one core's own time, and what a corpus of 300 000 h (the size
of StreamAudio-2M) would take. The baseline is this builder when each clip was heard in a window of
30 s: 4.0.

Seen with 61 streams on one of two shared x86-64 cores: 19.1 with an empty cache (65 % of it the
gate, 11 % synthesis), so 15 700 core-hours for 300 000 h; 81 with a full one.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from data_build.recipe import BuildRecipe
from data_build.run import build
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import draw_voices, synthesise
from data_build.speech.whisper import Whisper
from soundflow.audio.level import Float32
from soundflow.config.load import load
from soundflow.text.wer import ErrorCount
from tests.benchmarks.bench_build import ROOT, cpu_seconds
from tests.benchmarks.bench_mix import errors, sentences

BEFORE = 4.0
CORPUS_HOURS = 300_000
_APART_SAMPLES, _WINDOW_SAMPLES = 8_000, 11 * 16_000
# Function -> what it is called here. Their times do not overlap; the rest is named so.
_PARTS = {
    ("gate.py", "check"): "gate: transcribing and comparing",
    ("voices.py", "synthesise"): "speech synthesis",
    ("hmm.py", "align"): "word times",
    ("kinds.py", "take"): "synthesised sounds",
    ("beds.py", "draw_beds"): "noise beds (with the sounds of its noises)",
    ("mix.py", "mix"): "mixing",
    ("label.py", "label"): "labels",
    ("scene_builder.py", "build"): "scenes",
    ("writer.py", "flac_bytes"): "FLAC, of streams and of the cache",
}


def recipe_of(output: Path, streams: int) -> BuildRecipe:
    overrides = [f"output={output}", f"splits.train.streams={streams}", "workers=1",
                 "splits.test.streams=1", "speech.asr_models={en: tiny.en}",
                 "max_dropped_share=0.5"]  # fmt: skip
    path = ROOT / "recipes/build/all_abilities.yaml"
    return load(path, BuildRecipe, overrides, command="build-data")


def shares(recipe: BuildRecipe) -> list[tuple[str, float]]:
    """Share of the time of a build for each part of it, from the largest."""
    profile = cProfile.Profile()
    with profile:
        build(recipe)
    stats = pstats.Stats(profile)
    seconds: dict[str, float] = {}
    for (path, _, name), (_, _, _, cumulative, _) in stats.stats.items():  # type: ignore[attr-defined]
        part = _PARTS.get((Path(path).name, name))
        if part is not None:
            seconds[part] = seconds.get(part, 0.0) + cumulative
    total = stats.total_tt  # type: ignore[attr-defined]
    seconds["all else"] = total - sum(seconds.values())
    return sorted(((n, s / total) for n, s in seconds.items()), key=lambda item: -item[1])


def _hear(whisper: Whisper, clips: Sequence[Float32], into: list[str]) -> None:
    into.extend(whisper.transcribe_all(clips, "en"))


def windows(utterances: int) -> list[str]:
    """Seconds of one core for each clip, and WER: alone, in batches, joined in one window."""
    config = SpeechConfig()
    engines = {name: make_engine(name, config) for name in ("pico", "hibari")}
    voices = draw_voices(config.pool, engines, "en", {"train": utterances}, 1)["train"]
    texts, whisper = sentences(utterances), Whisper("tiny.en")
    clips = [
        synthesise(text, voice, engines[voice.engine])
        for text, voice in zip(texts, voices, strict=True)
    ]
    joined: list[tuple[str, Float32]] = []
    for text, clip in zip(texts, clips, strict=True):
        apart = np.concatenate([clip, np.zeros(_APART_SAMPLES, np.float32)])
        if joined and len(joined[-1][1]) + len(apart) <= _WINDOW_SAMPLES:
            joined[-1] = (f"{joined[-1][0]} {text}", np.concatenate([joined[-1][1], apart]))
        else:
            joined.append((text, apart))
    whisper.transcribe(clips[0], "en")  # loads the model
    lines = []
    for name, batch, pairs in (
        ("one clip a window", 1, list(zip(texts, clips, strict=True))),
        ("batches of 4", 4, list(zip(texts, clips, strict=True))),
        ("batches of 16", 16, list(zip(texts, clips, strict=True))),
        ("clips joined in a window", 1, joined),
    ):
        setattr(Whisper, "batch_size", batch)  # noqa: B010
        heard: list[str] = []
        seconds = cpu_seconds(partial(_hear, whisper, [clip for _, clip in pairs], heard))
        counted = ErrorCount()
        for (text, _), transcript in zip(pairs, heard, strict=True):
            counted += errors(text, transcript)
        lines.append(f"{name:26s} {seconds / utterances:.3f} s a clip, WER {counted.rate:.1%}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=120)
    parser.add_argument("--utterances", type=int, default=48, help="to compare windows with")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        recipe = recipe_of(Path(scratch) / "data", asked.streams)
        cold_s = cpu_seconds(lambda: build(recipe))
        summary = build(recipe)  # finished shards are kept; this only counts
        for split in recipe.splits:
            shutil.rmtree(Path(recipe.output) / split)
        warm_s = cpu_seconds(lambda: build(recipe))
        parts = shares(replace(recipe, output=str(Path(scratch) / "again")))
    print(f"{summary.streams} streams, {summary.hours:.2f} h; hours of stream an hour of one core:")
    print(f"  {'before':22s} {BEFORE:6.1f}")
    for name, seconds in (("empty cache", cold_s), ("renderings cached", warm_s)):
        speed = summary.hours * 3_600 / seconds
        print(
            f"  {name:22s} {speed:6.1f}   {speed / BEFORE:4.1f} x before; {CORPUS_HOURS:,} h in "
            f"{CORPUS_HOURS / speed:,.0f} core-hours"
        )
    print("where the time of a build with an empty cache goes:")
    for name, share in parts:
        print(f"  {share:5.1%}  {name}")
    print("the gate's ASR model:")
    for line in windows(asked.utterances):
        print(f"  {line}")


if __name__ == "__main__":
    main()
