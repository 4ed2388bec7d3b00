"""Whether embedded speech is understood in the mix: its WER alone, and under the default noise.

    python -m tests.benchmarks.bench_mix [--utterances 224] [--asr base]

Sentences of `recipes/build/material` are spoken by the default pool of voices, each is put in a
stream of its own with both noise tracks of `recipes/build/all_abilities.yaml` at the default
settings of composition, and transcribed by Whisper:

* alone      the rendering by itself
* baseline   noise scaled by the plain ratio of powers, as before `data_build.compose.snr`
* mix        the stream as `data_build.compose.mix` makes it

The bar: WER in the mix at most 1.5 times that alone, and 3 points. Seen with `tiny.en` and 112
utterances: 5.0 % alone, 15.8 % for the baseline, 6.4 % in the mix.

Then `--streams` whole streams of that recipe are built, gate on, and every utterance in the
foreground is transcribed as it is in the stream (as `soundflow audit` does), and without anything
beside it: backgrounds, ambience and noise. The same bar, by task and over all. Seen with `tiny.en`
and 180 streams of 503 utterances: 2.9 % alone, 5.0 % in the mix (8.1 % of 100 streams with role
gains by power alone); of 26 tasks two are beyond the bar, by 0.3 and 0.4 points:
transcribe_in_noise, and one of few words.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from data_build.collect.collect import collect
from data_build.compose.beds import draw_beds
from data_build.compose.config import ComposeConfig
from data_build.compose.mix import Mix, foreground_power, mix, place
from data_build.context import MATERIAL as MATERIAL_FOLDER
from data_build.context import build_context
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.recipe import BuildRecipe
from data_build.records import Clip, SyntheticSound
from data_build.run import require_material
from data_build.shard_job import build_stream
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import draw_voices, synthesise
from data_build.speech.whisper import Whisper
from data_build.synth.kinds import synthesised_clip, take
from soundflow.audio.level import Float32
from soundflow.config.load import load
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.text.normalize import level_compounds, split_numerals, units
from soundflow.text.wer import ErrorCount, count_unit_errors

ROOT = Path(__file__).resolve().parents[2]
MATERIAL = ROOT / "recipes/build/material"
_SEED, _VOICES, _TAKES, _MARGIN_S = 5, 24, 3, 0.75


def errors(text: str, transcript: str) -> ErrorCount:
    return count_unit_errors(
        *level_compounds(split_numerals(units(text, "en")), split_numerals(units(transcript, "en")))
    )


def sentences(count: int) -> list[str]:
    lines = [
        json.loads(line)
        for name in ("sentences", "translations")
        for line in (MATERIAL / f"{name}.jsonl").read_text().splitlines()
    ]
    texts = [line["text"] for line in lines if line.get("language", "en") == "en"]
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[order[n % len(texts)]] for n in range(count)]


def in_noise(speech: Float32, pools: tuple[Sequence[Clip], Sequence[Clip]], number: int) -> Mix:
    """A stream of one utterance and two noise tracks."""
    seed, config = StreamSeed(_SEED, "train", number), ComposeConfig()
    margin = int(_MARGIN_S * SAMPLE_RATE_HZ)
    n_samples = len(speech) + 2 * margin
    placed = [place(PreparedClip(speech), margin, "foreground", 320)]
    beds = draw_beds(n_samples, pools, lambda clip: True, _made, config.noise, seed)
    return mix(n_samples, placed, beds, config, seed)


def by_plain_ratio(mixed: Mix, speech_samples: int) -> Float32:
    """The same mix with noise scaled by powers alone."""
    margin = int(_MARGIN_S * SAMPLE_RATE_HZ)
    spoken = place(
        PreparedClip(mixed.foreground[margin : margin + speech_samples]), margin, "foreground", 0
    )
    power = foreground_power(mixed.foreground, [spoken])
    audio = mixed.foreground.copy()
    for bed, track in zip(mixed.noise, mixed.noise_tracks, strict=True):
        mean = float(np.mean(bed.astype(np.float64) ** 2))
        audio += bed * np.float32(np.sqrt(power / mean / 10 ** (track.snr_db / 10)))
    return audio


def _made(clip: Clip) -> PreparedClip:
    assert isinstance(clip.audio, SyntheticSound)
    return PreparedClip(take(clip.audio.kind, generator(*clip.audio.seed), 12.0).samples)


def whole_streams(streams: int, asr: str) -> None:
    """Prints WER of the foreground of built streams, in the mix and alone."""
    with tempfile.TemporaryDirectory() as scratch:
        recipe = load(
            ROOT / "recipes/build/all_abilities.yaml", BuildRecipe,
            [f"output={scratch}/data", "workers=1", "speech.asr_models={en: tiny.en}",
             f"splits.train.streams={streams}", "max_dropped_share=0.5"], command="build-data",
        )  # fmt: skip
        require_material(recipe, collect(recipe, Path(recipe.output) / MATERIAL_FOLDER))
        context, whisper = build_context(recipe), Whisper(asr)
        mixes: list[Mix] = []

        def kept(*args: Any) -> Mix:
            mixes.append(mix(*args))
            return mixes[-1]

        found: dict[str, dict[str, ErrorCount]] = defaultdict(lambda: defaultdict(ErrorCount))
        utterances = 0
        with mock.patch("data_build.compose.stream.mix", kept):
            for number in range(streams):
                sample, _ = build_stream(context, "train", number)
                if sample is None or sample.record.kind != "online":
                    continue
                for item in sample.record.items:
                    english = item.track == "foreground" and item.text and item.language == "en"
                    if not english:
                        continue
                    utterances += 1
                    span = slice(item.on_samples, item.end_samples)
                    for version, audio in (
                        ("alone", mixes[-1].foreground), ("mix", sample.audio())
                    ):  # fmt: skip
                        counted = errors(item.text, whisper.transcribe(audio[span], "en"))
                        for group in (sample.record.task, "all streams"):
                            found[group][version] += counted
        print(f"{utterances} utterances of {streams} built streams, Whisper {asr}; WER")
        print_rates(found, "all streams")


def print_rates(found: Mapping[str, Mapping[str, ErrorCount]], last: str) -> None:
    for group, versions in sorted(found.items(), key=lambda pair: pair[0] == last):
        rates = {version: count.rate or 0.0 for version, count in versions.items()}
        bar = 1.5 * rates["alone"] + 0.03
        line = "  ".join(f"{version} {rate:6.1%}" for version, rate in rates.items())
        met = "met" if rates["mix"] <= bar else "not met"
        n = versions["alone"].reference_units
        print(f"  {group:24s} {n:5d} words  {line}  bar {bar:6.1%} {met}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=224)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--asr", default="base", help="tiny.en, base or a CTranslate2 folder")
    asked = parser.parse_args()
    if asked.utterances:
        single_utterances(asked.utterances, asked.asr)
    if asked.streams:
        whole_streams(asked.streams, asked.asr)


def single_utterances(utterances: int, asr: str) -> None:
    """Prints WER of one utterance a stream, with the baseline."""
    recipe = load(ROOT / "recipes/build/all_abilities.yaml", BuildRecipe, command="build-data")
    kinds = (recipe.synthetic.event_noise, recipe.synthetic.ambient_noise)
    events, ambient = ([synthesised_clip(k, n) for k in ks for n in range(_TAKES)] for ks in kinds)
    speech = SpeechConfig()
    engines = {name: make_engine(name, speech) for name in ("pico", "hibari")}
    voices = draw_voices(speech.pool, engines, "en", {"train": _VOICES + 1}, 1)["train"]
    whisper = Whisper(asr)
    found: dict[str, dict[str, ErrorCount]] = defaultdict(lambda: defaultdict(ErrorCount))
    quieter_db: dict[str, list[float]] = defaultdict(list)
    for number, text in enumerate(sentences(utterances)):
        voice = voices[number % len(voices)]
        name = f"{voice.engine}:{voice.name}"
        spoken = synthesise(text, voice, engines[voice.engine])
        mixed = in_noise(spoken, (events, ambient), number)
        plain = by_plain_ratio(mixed, len(spoken))
        before = float(np.mean((plain - mixed.foreground) ** 2))
        after = float(np.mean(sum(mixed.noise) ** 2))
        quieter_db[name].append(10 * np.log10(before / after))
        for version, audio in (("alone", spoken), ("baseline", plain), ("mix", mixed.audio)):
            counted = errors(text, whisper.transcribe(audio, "en"))
            for group in (name, "all voices"):
                found[group][version] += counted
    print(f"{platform.processor() or platform.machine()}, Whisper {asr}; WER")
    for group, versions in sorted(found.items(), key=lambda item: item[0] == "all voices"):
        rates = {version: count.rate or 0.0 for version, count in versions.items()}
        bar = 1.5 * rates["alone"] + 0.03
        line = "  ".join(f"{version} {rate:6.1%}" for version, rate in rates.items())
        noise = [x for n, xs in quieter_db.items() if group in (n, "all voices") for x in xs]
        met = "met" if rates["mix"] <= bar else "not met"
        print(f"  {group:15s} {line}  bar {bar:6.1%} {met}; noise {np.mean(noise):.1f} dB quieter")


if __name__ == "__main__":
    main()
