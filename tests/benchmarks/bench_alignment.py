"""How right measured word times are: as ends of words, and as the chunks of a built stream.

    python -m tests.benchmarks.bench_alignment [../shared/data]

Spoken digits of one speaker, cut to their audible part and joined, have ends that are known; they
are built into streams three times, with those times, with none (so that they are aligned), and
spread evenly, and the replies are compared word by word.

Whole sentences have no truth: there other systems are the other opinion. The first is a phone
recogniser of another kind (the aligner `hama`); that it has no bias of its own is measured on the
digits first. Then a Whisper, `base` where it is installed. The
constants of `data_build/speech` were chosen on the first half of the speakers, and on the digits;
the figures of the second half were seen before they were fixed.

German, French, Spanish and Italian: single words of several voices of `pico`, joined, and recorded
Mandarin words of one speaker; with and without pauses, alone and in pink noise at 25 dB. A word
ends where it falls below -42 dB of its loudest 10 ms, or into the floor of its recording: the room
of the Mandarin words lies at -42 to -48 dB, and with 0.2 s of it in each word 17 % seemed early.

About fifteen minutes on one core, most of them for the Whispers; with `--without-whisper` five.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_build.recipe import BuildRecipe
from data_build.records import Voice
from data_build.run import build
from data_build.speech.aligners.dtw import WhisperAligner
from data_build.speech.aligners.hmm import HmmAligner
from data_build.speech.aligners.phones import PhoneAligner
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import synthesise
from data_build.speech.word_times import (
    MEASURED_LATER_S,
    Aligner,
    Float32,
    evenly_spread,
    spoken_units,
)
from soundflow.audio.level import AUDIBLE_DB, block_power, db
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.protocol.timebase import FRAME_SAMPLES, SAMPLE_RATE_HZ, to_seconds
from soundflow.shards.reader import ShardSet
from tests.benchmarks.bench_tfjp import in_noise

TRANSLATIONS = Path(__file__).resolve().parents[2] / "recipes/build/material/translations.jsonl"
CHUNK_S = 0.4
ABOVE_ROOM_DB = 6.0
JOINED_PER_SPEAKER = 6
# Pauses between joined digits, in seconds: none, as in fluent speech, or short ones.
PAUSES = {"joined": (0.0, 0.02), "with pauses": (0.1, 0.5)}

Ends = list[float]


@dataclass(frozen=True)
class Chunks:
    """In which chunk words come, against that in which they end."""

    right: float
    early: float
    late: float

    @staticmethod
    def of(difference: np.ndarray[Any, Any]) -> Chunks:
        return Chunks(
            float((difference == 0).mean()),
            float((difference < 0).mean()),
            float((difference >= 2).mean()),
        )

    def __str__(self) -> str:
        return (
            f"right chunk {100 * self.right:5.1f} %   before the end {100 * self.early:5.1f} %   "
            f"two or more late {100 * self.late:4.1f} %"
        )


def told(name: str, found: Iterable[float], true: Iterable[float], later_s: float) -> None:
    """Errors of ends, and the chunks that they give at any phase of the chunk grid."""
    off = np.asarray(list(found)) - np.asarray(list(true))
    phase = np.arange(0, CHUNK_S, 0.01)[:, None]
    chunk = np.ceil(np.round((phase + off + later_s) / CHUNK_S, 6))
    in_chunks = Chunks.of(chunk - np.ceil(np.round(phase / CHUNK_S, 6)))
    middle, most = (1e3 * np.quantile(abs(off), q) for q in (0.5, 0.9))
    print(
        f"{name:32s} {len(off):5d} words   bias {1e3 * np.median(off):+4.0f} ms   "
        f"median {middle:3.0f}   90 % {most:4.0f}   {in_chunks}"
    )


def joined_digits(
    folder: Path, rows: Sequence[dict[str, Any]], pauses: str
) -> list[dict[str, Any]]:
    """Writes joined digits; returns their rows, with the true words."""
    rng = np.random.default_rng(0)
    speakers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if "Spoken Digit" in row["source"]:
            speakers[row["speaker"]].append(row)
    made = []
    for speaker, mine in sorted(speakers.items()):
        for take in range(JOINED_PER_SPEAKER):
            parts, words, at = list[Float32](), list[dict[str, Any]](), 0
            for number in rng.permutation(len(mine)):
                samples = soundfile.read(folder / mine[number]["path"], dtype="float32")[0]
                said = said_part(samples)
                gap = np.zeros(int(rng.uniform(*PAUSES[pauses]) * SAMPLE_RATE_HZ), np.float32)
                start_s, end_s = to_seconds(at), to_seconds(at + len(said))
                words.append({"text": mine[number]["text"], "start": start_s, "end": end_s})
                parts += [said, gap]
                at += len(said) + len(gap)
            room = 1e-4 * rng.standard_normal(at)
            text = " ".join(word["text"] for word in words)
            made.append({
                "path": f"{speaker}-{take}.wav", "kind": "speech", "text": text, "language": "en",
                "licence": "CC-BY-SA-4.0", "words": words,
                "samples": np.concatenate(parts) + room.astype(np.float32),
            })  # fmt: skip
    return made


def ends(words: Sequence[Any] | None) -> Ends | None:
    return None if words is None else [word.end_s for word in words]


def of_joined_digits(rows: list[dict[str, Any]], name: str) -> None:
    aligner, lost = HmmAligner(), 0
    found: dict[str, Ends] = defaultdict(list)
    true: dict[str, Ends] = defaultdict(list)
    for row in rows:
        samples, text = row["samples"], row["text"]
        lost += (aligned := ends(aligner.align(samples, text, "en"))) is None
        others = {
            "pocketsphinx": aligned,
            "phone recogniser": ends(PhoneAligner().align(samples, text, "en")),
            "even": ends(evenly_spread(samples, text, "en")),
        }
        for who, theirs in others.items():
            if theirs is not None:
                found[who] += theirs
                true[who] += [word["end"] for word in row["words"]]
    print(f"-- digits, {name}: known ends; {lost} of {len(rows)} not aligned by pocketsphinx")
    for who, theirs in found.items():
        told(who, theirs, true[who], MEASURED_LATER_S if who == "pocketsphinx" else 0.0)


def in_streams(rows: list[dict[str, Any]], folder: Path, name: str) -> None:
    """The same streams with true, measured and even word times: chunks of every word."""
    by_times = {
        "true": None,
        "pocketsphinx": {"en": "pocketsphinx"},
        "even": {"xx": "pocketsphinx"},
    }
    said: dict[str, dict[str, list[int]]] = {}
    for times, aligners in by_times.items():
        place = folder / times
        place.mkdir(parents=True)
        with (place / "manifest.jsonl").open("w") as manifest:
            for row in rows:
                soundfile.write(place / row["path"], row["samples"], SAMPLE_RATE_HZ)
                kept = {k: v for k, v in row.items() if k != "samples"}
                if aligners is not None:
                    del kept["words"]
                manifest.write(json.dumps(kept) + "\n")
        recipe = place / "recipe.yaml"
        recipe.write_text(json.dumps({
            "output": str(place / "data"), "workers": 1, "max_dropped_share": 1.0,
            "sources": [{"corpus": "manifest", "root": str(place)}],
            "splits": {"train": {"streams": 60, "tasks": {"transcribe_words": 1.0}}},
            "tasks": {"transcription": {"utterances": [1, 1]}},
            "speech": {"aligners": aligners or {}, "allow_even": True},
        }))  # fmt: skip
        build(load(recipe, BuildRecipe))
        shards = ShardSet(place / "data" / "train")
        said[times] = {}
        for position in range(len(shards)):
            record = shards.read(position).record
            (item, *_) = [i for i in record.items if i.text and i.what == "speech"]
            chunks = {reply.chunk: reply.text for reply in record.replies}
            said[times][f"{record.id} {item.text} {item.start_samples}"] = [
                chunk for chunk in item.reply_chunks for _ in chunks[chunk].split()
            ]
    print(f"-- digits, {name}: built streams, after TFJP")
    for times in ("pocketsphinx", "even"):
        both = said["true"].keys() & said[times].keys()
        off = [
            there - here
            for key in both
            for here, there in zip(said["true"][key], said[times][key], strict=True)
        ]
        print(
            f"{times:32s} {len(off):5d} words of {len(both)} streams   {Chunks.of(np.asarray(off))}"
        )


def of_sentences(rows: Sequence[dict[str, Any]], folder: Path, whispers: Sequence[str]) -> None:
    chosen = [
        r for r in rows
        if r["kind"] == "speech" and r.get("language") == "en" and len(r["text"].split()) > 2
    ]  # fmt: skip
    clips = [soundfile.read(folder / r["path"], dtype="float32")[0] for r in chosen]
    started = time.process_time()
    found = [
        ends(HmmAligner().align(x, r["text"], "en")) for x, r in zip(clips, chosen, strict=True)
    ]
    speed = sum(map(len, clips)) / SAMPLE_RATE_HZ / (time.process_time() - started)
    lost = sum(one is None for one in found)
    print(
        f"-- sentences: {len(chosen)} recordings, {lost} not aligned; pocketsphinx is {speed:.0f} "
        "times real time"
    )
    phones = [
        ends(PhoneAligner().align(x, r["text"], "en")) for x, r in zip(clips, chosen, strict=True)
    ]
    told("against the phone recogniser", *_pairs(found, phones), MEASURED_LATER_S)
    first_half = ["Asterisk" in r["source"] for r in chosen]
    for name, half in (("chosen on", True), ("held out", False)):
        of_half = [
            one if is_first == half else None
            for one, is_first in zip(found, first_half, strict=True)
        ]
        told(f"  speakers {name}", *_pairs(of_half, phones), MEASURED_LATER_S)
    for model in whispers:
        try:
            whisper = WhisperAligner(model)
        except UserError as error:
            print(f"{model}: {error.message}")
            continue
        theirs = [
            ends(whisper.align(x, r["text"], "en")) for x, r in zip(clips, chosen, strict=True)
        ]
        told(f"against {model}", *_pairs(found, theirs), MEASURED_LATER_S)
        told(f"{model} against the phone recogniser", *_pairs(theirs, phones), MEASURED_LATER_S)
    even = [ends(evenly_spread(x, r["text"], "en")) for x, r in zip(clips, chosen, strict=True)]
    told("even against the phone recogniser", *_pairs(even, phones), 0.0)


def said_part(samples: Float32) -> Float32:
    """The part of a recorded word above its room, at a peak of 0.3."""
    level_db = db(block_power(samples))
    room_db = np.percentile(level_db, 10) + ABOVE_ROOM_DB
    (loud,) = np.nonzero(level_db > max(level_db.max() + AUDIBLE_DB, room_db))
    said = samples[loud[0] * FRAME_SAMPLES : (loud[-1] + 1) * FRAME_SAMPLES]
    return np.asarray(said * (0.3 / abs(said).max()), np.float32)


@dataclass(frozen=True)
class Said:
    """A text and its words, said one by one; those of Mandarin are of several characters."""

    text: str
    words: tuple[str, ...]
    parts: tuple[Float32, ...]


def said_by_pico(language: str, name: str) -> list[Said]:
    """The sentences of `recipes/build/material` by three voices."""
    engine = make_engine("pico", SpeechConfig())
    rows = [json.loads(line) for line in TRANSLATIONS.read_text().splitlines()]
    said = list[Said]()
    for warp in (0.9, 1.0, 1.1):
        voice = Voice("pico", name, language, warp, 1.0, 1.0)
        for text in (row["text"] for row in rows if row["language"] == language):
            words = tuple(spoken_units(text, language))
            parts = tuple(said_part(synthesise(word, voice, engine)) for word in words)
            said.append(Said(text, words, parts))
    return said


def said_in_mandarin(rows: Sequence[dict[str, Any]], folder: Path) -> list[Said]:
    """The recorded words in two orders, six at a time."""
    of_language = [row for row in rows if row.get("language") == "zh"]
    said, rng = list[Said](), np.random.default_rng(0)
    for order in (rng.permutation(len(of_language)) for _ in range(2)):
        for at in range(0, len(order), 6):
            chosen = [of_language[number] for number in order[at : at + 6]]
            words = tuple(row["text"] for row in chosen)
            files = (soundfile.read(folder / row["path"], dtype="float32")[0] for row in chosen)
            said.append(Said("".join(words), words, tuple(map(said_part, files))))
    return said


def of_other_languages(rows: Sequence[dict[str, Any]], folder: Path, *, with_whisper: bool) -> None:
    voices = {"de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}
    texts = {language: said_by_pico(language, name) for language, name in voices.items()}
    texts["zh"] = said_in_mandarin(rows, folder)
    aligners: dict[str, Aligner] = {"hama": PhoneAligner()}
    if with_whisper:
        aligners["base"] = WhisperAligner("base")
    for (language, said), pauses, snr_db in product(texts.items(), PAUSES, (None, 25.0)):
        rng = np.random.default_rng(0)
        found: dict[str, Ends] = defaultdict(list)
        true: dict[str, Ends] = defaultdict(list)
        for one in said:
            samples, known = _joined(one.parts, PAUSES[pauses], snr_db, rng)
            units = [len(spoken_units(word, language)) for word in one.words]
            last_units = np.cumsum(units) - 1
            heard = {who: ends(a.align(samples, one.text, language)) for who, a in aligners.items()}
            heard["even"] = ends(evenly_spread(samples, one.text, language))
            for who, theirs in heard.items():
                if theirs is not None:
                    found[who] += [theirs[unit] for unit in last_units]
                    true[who] += known
        noise = "" if snr_db is None else f", in noise at {snr_db:.0f} dB"
        print(f"-- {language}, words {pauses}{noise}: known ends")
        for who, theirs in found.items():
            told(who, theirs, true[who], 0.0 if who == "even" else MEASURED_LATER_S)


def _joined(
    parts: Sequence[Float32],
    gap_s: tuple[float, float],
    snr_db: float | None,
    rng: np.random.Generator,
) -> tuple[Float32, Ends]:
    """Words with gaps, in pink noise or in hardly any; and where each ends."""
    pieces, known, at = list[Float32](), Ends(), 0
    for part in parts:
        gap = np.zeros(int(rng.uniform(*gap_s) * SAMPLE_RATE_HZ), np.float32)
        known.append(to_seconds(at + len(part)))
        pieces += [part, gap]
        at += len(part) + len(gap)
    joined = np.concatenate(pieces)
    if snr_db is not None:
        return in_noise(joined, True, rng, snr_db), known
    return joined + (1e-4 * rng.standard_normal(at)).astype(np.float32), known


def _pairs(one: Sequence[Ends | None], other: Sequence[Ends | None]) -> tuple[Ends, Ends]:
    """The ends of all words that both have found."""
    both = [
        pair
        for mine, theirs in zip(one, other, strict=True)
        if mine and theirs and len(mine) == len(theirs)
        for pair in zip(mine, theirs, strict=True)
    ]
    return [mine for mine, _ in both], [theirs for _, theirs in both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--without-whisper", action="store_true")
    args = parser.parse_args()
    rows = [json.loads(line) for line in (args.data / "manifest.jsonl").read_text().splitlines()]
    for name in PAUSES:
        joined = joined_digits(args.data, rows, name)
        of_joined_digits(joined, name)
        with tempfile.TemporaryDirectory() as place:
            in_streams(joined, Path(place), name)
    of_other_languages(rows, args.data, with_whisper=not args.without_whisper)
    of_sentences(rows, args.data, () if args.without_whisper else ("base", "tiny.en"))


if __name__ == "__main__":
    main()
