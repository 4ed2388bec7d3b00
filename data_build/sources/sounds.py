"""Sounds, music and noise: ESC-50, FMA, MUSAN, WHAM!, the DNS-Challenge noise set.

``texture`` is "ambient" or "event" where the corpus is all of one sort: the noise pool
of a stream is split in event-like and ambient noise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_build.drops import Report
from data_build.records import Clip, ClipKind, Origin
from data_build.sources.audio_refs import audio_below, audio_file, relative_id
from data_build.sources.rows import (
    Row,
    csv_cells,
    csv_rows,
    named_rows,
    text_lines,
    usable,
)
from data_build.sources.source import (
    BadRow,
    Corpus,
    SourceConfig,
    find_file,
    find_folder,
)
from soundflow.errors import UserError

ESC50 = Origin("ESC-50", "CC-BY-NC-3.0", "Piczak 2015; freesound.org contributors")
ESC50_TREE = "ESC-50-master/{meta/esc50.csv, audio/*.wav}"


def esc50(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """ESC-50 (github.com/karolpiczak/ESC-50)::

        ESC-50-master/meta/esc50.csv     filename,fold,target,category,esc10,src_file,take
                      audio/1-100032-A-0.wav

    A split is a fold, "1" to "5". Ten of the classes (ESC-10) are CC-BY-3.0, the rest
    non-commercial; each clip carries its own.
    """
    root = find_folder(config, ("ESC-50-master", "ESC-50", ""), ESC50_TREE)
    table = find_file(config, root / "meta", ("esc50.csv",), ESC50_TREE)
    rows = (
        row
        for row in csv_rows(table, report)
        if config.split is None or row.data.get("fold") == config.split
    )

    def make(row: Row) -> Clip:
        path = root / "audio" / row.text("filename")
        free = row.text_or("", "esc10") == "True"
        return Clip(
            id=path.stem,
            kind="event",
            audio=audio_file(path),
            origin=replace(
                ESC50,
                licence="CC-BY-3.0" if free else ESC50.licence,
                attribution=f"freesound.org clip {row.text_or('?', 'src_file')}; Piczak 2015",
            ),
            duration_s=5.0,
            labels=(row.text("category").replace("_", " "),),
            notes={"fold": row.text_or("", "fold")},
        )

    yield from usable(rows, make, report)


FMA = Origin("FMA", "see each track (mostly CC-BY, CC-BY-NC, CC-BY-SA)", "Defferrard et al. 2017")
FMA_TREE = "fma_metadata/{tracks.csv, genres.csv} and fma_{small,medium,large,full}/000/000002.mp3"

# Each subset holds the ones before it.
_SUBSETS = ("small", "medium", "large", "full")


def fma(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """The Free Music Archive dataset (github.com/mdeff/fma)::

        fma_metadata/tracks.csv    two header rows (group, column), a row "track_id", then tracks
                     genres.csv    genre_id,#tracks,parent,title,top_level
        fma_small/000/000002.mp3   folder = the first three of the six digits of the track id

    Splits: training, validation, test. ``subset`` chooses small, medium, large or full; by
    default the first of these folders that is there. Tracks outside it are passed over. The
    licence of each track travels with it.
    """
    root = find_folder(config, ("",), FMA_TREE)
    meta = find_folder(config, ("fma_metadata", ""), FMA_TREE)
    table = find_file(config, meta, ("tracks.csv",), FMA_TREE)
    subset = _subset(config, root)
    audio = root / f"fma_{subset}"
    titles = _genre_titles(find_file(config, meta, ("genres.csv",), FMA_TREE), report)
    inside = set(_SUBSETS[: _SUBSETS.index(subset) + 1])
    rows = (
        row
        for row in _track_rows(table, report)
        if row.data.get("set.subset") in inside
        and (config.split is None or row.data.get("set.split") == config.split)
    )

    def make(row: Row) -> Clip:
        track = row.text("track_id")
        if not track.isdigit():
            raise BadRow("track_id is not a number", repr(track))
        number = f"{int(track):06d}"
        artist, title = row.text_or("", "artist.name"), row.text_or("", "track.title")
        top = row.text_or("", "track.genre_top")
        others = _genres(row.text_or("[]", "track.genres_all", "track.genres"), titles)
        return Clip(
            id=number,
            kind="music",
            audio=audio_file(audio / number[:3] / f"{number}.mp3"),
            origin=Origin("FMA", row.text_or(FMA.licence, "track.license"), artist),
            # Everything but the full set is cut to 30 s; the table has the length before the cut.
            duration_s=row.seconds_or_none("track.duration") if subset == "full" else None,
            labels=tuple(dict.fromkeys(g for g in (top, *others) if g)),
            caption=title,
            notes={"artist": artist, "title": title},
        )

    yield from usable(rows, make, report)


def _subset(config: SourceConfig, root: Path) -> str:
    if config.subset is not None and config.subset not in _SUBSETS:
        raise UserError(f"fma: subset {config.subset!r} is unknown", f"known: {_SUBSETS}")
    choices = (config.subset,) if config.subset else _SUBSETS
    for subset in choices:
        if (root / f"fma_{subset}").is_dir():
            return subset
    raise UserError(f"fma: {root} has no fma_{choices[0]}", f"expected {FMA_TREE}")


def _track_rows(table: Path, report: Report) -> Iterator[Row]:
    """Rows with "group.column" keys; the third header row only names the index."""
    lines = csv_cells(table, report)
    groups = next(lines, (0, [""]))[1]
    columns = next(lines, (0, []))[1]
    if len(groups) != len(columns):
        raise UserError(f"{table}: has no two header rows", "fetch fma_metadata again")
    header = [f"{g}.{c}" if g else "track_id" for g, c in zip(groups, columns, strict=True)]
    tracks = (line for line in lines if line[1][0] != "track_id")
    yield from named_rows(table, header, tracks, report)


def _genre_titles(table: Path, report: Report) -> dict[str, str]:
    rows = csv_rows(table, report)
    return dict(usable(rows, lambda r: (r.text("genre_id"), r.text("title")), report))


def _genres(written: str, titles: dict[str, str]) -> list[str]:
    """ "[21, 4]" -> the titles of genres 21 and 4."""
    try:
        ids = json.loads(written)
    except ValueError:
        raise BadRow("genres are not a list", repr(written)) from None
    if not isinstance(ids, list):
        raise BadRow("genres are not a list", repr(written))
    return [titles[str(i)] for i in ids if str(i) in titles]


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


def musan(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """MUSAN (openslr.org/17)::

        musan/noise/free-sound/noise-free-sound-0000.wav
              music/fma/music-fma-0000.wav
              music/fma/ANNOTATIONS           "music-fma-0000 country,folk Y some_artist"
              speech/librivox/speech-librivox-0000.wav

    Splits: noise (default), music, speech. Music carries its genres as labels and whether it has
    vocals.
    """
    root = find_folder(config, ("musan", ""), MUSAN_TREE)
    split = config.split or "noise"
    if split not in _MUSAN_KINDS:
        raise UserError(f"musan: split {split!r} is unknown", f"known: {', '.join(_MUSAN_KINDS)}")
    folder = root / split
    if not folder.is_dir():
        raise UserError(f"musan: {folder}: no such folder", f"expected {MUSAN_TREE}")
    annotations = _musan_music(folder, report) if split == "music" else {}
    for path, audio in audio_below(folder, report):
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


def wham(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """WHAM! noise (wham.whisper.ai): cafés, restaurants, bars::

        wham_noise/tr/01aa010k_1.3053_01po0310_-1.3053.wav    (cv, tt likewise)
        high_res_wham/audio/4.wav                              (the 48 kHz release, no splits)

    Splits: tr, cv, tt (also train, valid, test); None = all. All of it is ambient.
    """
    root = find_folder(config, ("wham_noise", "high_res_wham/audio", "audio", ""), WHAM_TREE)
    split = _WHAM_SPLITS.get(config.split or "", config.split)
    folder = root / split if split else root
    if not folder.is_dir():
        raise UserError(f"wham: {folder}: no such folder", f"expected {WHAM_TREE}")
    for path, audio in audio_below(folder, report):
        yield Clip(
            id=relative_id(path, root),
            kind="noise",
            audio=audio,
            origin=WHAM,
            texture="ambient",
        )


def dns_noise(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """Noise of the Deep Noise Suppression Challenge (github.com/microsoft/DNS-Challenge)::

        datasets/noise/door_Freesound_validated_396619_8.wav                 (challenges 1-3)
                       1XLvR2wPOKc.wav                                       (from AudioSet)
        datasets_fullband/noise_fullband/<the same>                          (challenges 4, 5)

    What Freesound calls the sound is kept as a label.
    """
    names = (
        "datasets_fullband/noise_fullband", "datasets/noise", "noise_fullband", "noise", "",
    )  # fmt: skip
    root = find_folder(config, names, DNS_TREE)
    for path, audio in audio_below(root, report):
        word = re.match(r"(.+?)_Freesound", path.stem)
        yield Clip(
            id=relative_id(path, root),
            kind="noise",
            audio=audio,
            origin=DNS_NOISE,
            labels=(word[1].replace("_", " "),) if word else (),
        )


CORPORA = {
    "esc50": Corpus(
        esc50, ("event",), ESC50.licence, ESC50_TREE, "github.com/karolpiczak/ESC-50",
    ),
    "fma": Corpus(
        fma, ("music",), FMA.licence, FMA_TREE,
        "github.com/mdeff/fma: fma_metadata.zip and one fma_*.zip",
    ),
    "musan": Corpus(
        musan, ("noise", "music", "speech"), MUSAN.licence, MUSAN_TREE, "openslr.org/17",
    ),
    "wham": Corpus(wham, ("noise",), WHAM.licence, WHAM_TREE, "wham.whisper.ai"),
    "dns_noise": Corpus(
        dns_noise, ("noise",), DNS_NOISE.licence, DNS_TREE, "github.com/microsoft/DNS-Challenge",
    ),
}  # fmt: skip
