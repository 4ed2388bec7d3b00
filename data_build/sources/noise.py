"""Recordings to mix under a stream: MUSAN, WHAM!, the DNS-Challenge noise set.

``texture`` is "ambient" or "event" where the corpus is all of one sort: the noise pool
of a stream is split in event-like and ambient noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_build.records import Clip, ClipKind, Origin
from data_build.sources.audio_refs import audio_below, relative_id
from data_build.sources.rows import text_lines
from data_build.sources.source import Corpus, Report, SourceConfig, WorkerShard, find_folder
from soundflow.errors import UserError

MUSAN = Origin("MUSAN", "CC-BY-4.0", "Snyder et al. 2015; see the LICENSE file beside each clip")
WHAM = Origin("WHAM!", "CC-BY-NC-4.0", "Whisper.ai, MERL; Wichern et al. 2019")
DNS_NOISE = Origin(
    "DNS-Challenge noise",
    "CC-BY-4.0 (AudioSet), CC0-1.0 (Freesound), CC-BY-SA-3.0 (DEMAND)",
    "Microsoft; Reddy et al. 2020",
)

MUSAN_TREE = "musan/{noise,music,speech}/<source>/{*.wav, ANNOTATIONS, LICENSE}"
WHAM_TREE = "wham_noise/{tr,cv,tt}/*.wav (or high_res_wham/audio/*.wav)"
DNS_TREE = "datasets/noise/*.wav (or datasets_fullband/noise_fullband/*.wav)"

_MUSAN_KINDS: dict[str, ClipKind] = {"noise": "noise", "music": "music", "speech": "speech"}
_WHAM_SPLITS = {"train": "tr", "valid": "cv", "dev": "cv", "test": "tt"}


def musan(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """MUSAN (openslr.org/17)::

        musan/noise/free-sound/noise-free-sound-0000.wav
              music/fma/music-fma-0000.wav
              music/fma/ANNOTATIONS           "music-fma-0000 country,folk Y some_artist"
              speech/librivox/speech-librivox-0000.wav

    Splits: noise (default), music, speech. Music carries its genres as labels and whether it has
    vocals. A unit of work is a file.
    """
    root = find_folder(config, ("musan", ""), MUSAN_TREE)
    split = config.split or "noise"
    if split not in _MUSAN_KINDS:
        raise UserError(f"musan: split {split!r} is unknown", f"known: {', '.join(_MUSAN_KINDS)}")
    folder = root / split
    if not folder.is_dir():
        raise UserError(f"musan: {folder}: no such folder", f"expected {MUSAN_TREE}")
    annotations = _musan_music(folder, report) if split == "music" else {}
    for path, audio in audio_below(folder, report, part):
        genres, vocals, artist = annotations.get(path.stem, ("", "", ""))
        yield Clip(
            id=relative_id(path, root),
            kind=config.kind or _MUSAN_KINDS[split],
            audio=audio,
            origin=MUSAN,
            speaker=artist,
            labels=tuple(g for g in genres.split(",") if g),
            notes={"vocals": vocals == "Y"} if vocals else {},
        )


def _musan_music(folder: Path, report: Report) -> dict[str, tuple[str, str, str]]:
    """Clip -> (genres, Y or N, artist), from the ANNOTATIONS files; some lines end early."""
    found = {}
    for path in sorted(folder.glob("*/ANNOTATIONS")):
        for _, line in text_lines(path, report):
            name, *rest = line.split()
            genres, vocals, artist = (*rest, "", "", "")[:3]
            found[name] = (genres, vocals, artist)
    return found


def wham(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """WHAM! noise (wham.whisper.ai): cafés, restaurants, bars::

        wham_noise/tr/01aa010k_1.3053_01po0310_-1.3053.wav    (cv, tt likewise)
        high_res_wham/audio/4.wav                              (the 48 kHz release, no splits)

    Splits: tr, cv, tt (also train, valid, test); None = all. All of it is ambient. A unit of work
    is a file.
    """
    root = find_folder(config, ("wham_noise", "high_res_wham/audio", "audio", ""), WHAM_TREE)
    split = _WHAM_SPLITS.get(config.split or "", config.split)
    folder = root / split if split else root
    if not folder.is_dir():
        raise UserError(f"wham: {folder}: no such folder", f"expected {WHAM_TREE}")
    for path, audio in audio_below(folder, report, part):
        yield Clip(
            id=relative_id(path, root),
            kind="noise",
            audio=audio,
            origin=WHAM,
            texture="ambient",
        )


def dns_noise(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """Noise of the Deep Noise Suppression Challenge (github.com/microsoft/DNS-Challenge)::

        datasets/noise/door_Freesound_validated_396619_8.wav                 (challenges 1-3)
                       1XLvR2wPOKc.wav                                       (from AudioSet)
        datasets_fullband/noise_fullband/<the same>                          (challenges 4, 5)

    What Freesound calls the sound is kept as a label. A unit of work is a file.
    """
    names = (
        "datasets_fullband/noise_fullband", "datasets/noise", "noise_fullband", "noise", "",
    )  # fmt: skip
    root = find_folder(config, names, DNS_TREE)
    for path, audio in audio_below(root, report, part):
        word = re.match(r"(.+?)_Freesound", path.stem)
        yield Clip(
            id=relative_id(path, root),
            kind="noise",
            audio=audio,
            origin=DNS_NOISE,
            labels=(word[1].replace("_", " "),) if word else (),
        )


CORPORA = {
    "musan": Corpus(
        musan, ("noise", "music", "speech"), MUSAN.licence, MUSAN_TREE, "openslr.org/17",
    ),
    "wham": Corpus(wham, ("noise",), WHAM.licence, WHAM_TREE, "wham.whisper.ai"),
    "dns_noise": Corpus(
        dns_noise, ("noise",), DNS_NOISE.licence, DNS_TREE, "github.com/microsoft/DNS-Challenge",
    ),
}  # fmt: skip
