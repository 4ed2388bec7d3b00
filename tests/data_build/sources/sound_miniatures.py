"""Tiny corpora of sounds, music and noise in their published layouts."""

from __future__ import annotations

from pathlib import Path

from data_build.sources.source import SourceConfig
from tests.data_build.sources.making import (
    tone,
    write,
)

AUDIOSET_HEAD = (
    "# Segments csv created Sun Mar  5 10:54:31 2017",
    "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4",
    "# YTID, start_seconds, end_seconds, positive_labels",
)


def audioset(root: Path) -> SourceConfig:
    write(
        root / "balanced_train_segments.csv",
        *AUDIOSET_HEAD,
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"',
        '--BfvyPmVMo, 20.000, 30.000, "/m/03l9g"',
        '--gone, 30.000, 40.000, "/m/03l9g"',
    )
    write(
        root / "class_labels_indices.csv",
        "index,mid,display_name",
        '72,/m/068hy,"Domestic animals, pets"',
        '73,/m/07q6cd_,"Squeak"',
        '418,/m/03l9g,"Hammer"',
    )
    audio = root / "audio" / "balanced_train_segments"
    tone(audio / "--4gqARaEJE.wav", 0.2)
    tone(audio / "Y--BfvyPmVMo.flac", 0.2)
    return SourceConfig("audioset", str(root), split="balanced_train")


def esc50(root: Path) -> SourceConfig:
    folder = root / "ESC-50-master"
    rows = []
    for fold, target, category, esc10 in ((1, 0, "dog", True), (2, 36, "vacuum_cleaner", False)):
        name = f"{fold}-100032-A-{target}.wav"
        tone(folder / "audio" / name, rate_hz=44_100)
        rows.append(f"{name},{fold},{target},{category},{esc10},100032,A")
    write(folder / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    return SourceConfig("esc50", str(root))


def fma(root: Path) -> SourceConfig:
    meta = root / "fma_metadata"
    write(
        meta / "tracks.csv",
        ",artist,set,set,track,track,track,track,track",
        ",name,split,subset,duration,genre_top,genres_all,license,title",
        "track_id,,,,,,,,",
        '2,AWOL,training,small,168,Hip-Hop,[21],Attribution-NonCommercial,"Food, or\nfood"',
        "3,AWOL,training,medium,237,Hip-Hop,[21],Attribution,Electric Ave",
        '5,Kurt Vile,test,small,206,,"[10, 12]",Attribution,This World',
    )
    write(
        meta / "genres.csv",
        "genre_id,#tracks,parent,title,top_level",
        "10,13845,0,Pop,10",
        "12,32923,0,Rock,12",
        "21,8389,0,Hip-Hop,21",
    )
    for track in (2, 5):
        tone(root / "fma_small" / "000" / f"{track:06d}.mp3", 0.3, 44_100)
    return SourceConfig("fma", str(root))


def musan(root: Path) -> SourceConfig:
    folder = root / "musan"
    for source, count in (("free-sound", 2), ("sound-bible", 1)):
        for number in range(count):
            tone(folder / "noise" / source / f"noise-{source}-{number:04d}.wav")
        write(folder / "noise" / source / "LICENSE", "Public Domain")
    tone(folder / "music" / "fma" / "music-fma-0000.wav")
    write(folder / "music" / "fma" / "ANNOTATIONS", "music-fma-0000 country,folk Y some_artist")
    tone(folder / "speech" / "librivox" / "speech-librivox-0000.wav")
    return SourceConfig("musan", str(root))


def wham(root: Path) -> SourceConfig:
    for split in ("tr", "cv", "tt"):
        tone(root / "wham_noise" / split / f"01a{split}010k_1.3053_01po0310_-1.3053.wav")
    return SourceConfig("wham", str(root))


def dns_noise(root: Path) -> SourceConfig:
    folder = root / "datasets" / "noise"
    tone(folder / "door_bell_Freesound_validated_396619_8.wav")
    tone(folder / "1XLvR2wPOKc.wav")
    return SourceConfig("dns_noise", str(root))
