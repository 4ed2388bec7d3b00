"""Common Voice, and CoVoST 2: its recordings with a translation."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from data_build.drops import Report
from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file
from data_build.sources.rows import Row, named_rows, text_lines, tsv_rows, usable
from data_build.sources.source import (
    BadRow,
    Corpus,
    SourceConfig,
    find_file,
    find_folder,
    the_only,
)
from soundflow.errors import UserError

COMMON_VOICE = Origin("Common Voice", "CC0-1.0", "Mozilla Common Voice contributors")
COMMON_VOICE_TREE = "cv-corpus-<version>/<language>/{<split>.tsv, clips/}"


def common_voice(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """Common Voice (commonvoice.mozilla.org), releases 1 to today::

        cv-corpus-17.0-2024-03-15/en/train.tsv    client_id  path  sentence_id  sentence ...
                                     clips/common_voice_en_123.mp3

    Columns came and went (``accent`` became ``accents``); ``client_id``, ``path`` and ``sentence``
    are in all. The first releases left ``.mp3`` off the path. Splits: train (default), dev, test,
    validated, other, invalidated.
    """
    folder = _common_voice_language(config)
    table = find_file(config, folder, (f"{config.split or 'train'}.tsv",), COMMON_VOICE_TREE)
    clips = folder / "clips"

    def make(row: Row) -> Clip:
        name = row.text("path")
        path = clips / (name if Path(name).suffix else f"{name}.mp3")
        return Clip(
            id=path.stem,
            kind="speech",
            audio=audio_file(path),
            origin=COMMON_VOICE,
            text=row.text("sentence"),
            language=row.text_or(folder.name, "locale"),
            speaker=row.text_or("", "client_id"),
        )

    yield from usable(tsv_rows(table, report), make, report)


def _common_voice_language(config: SourceConfig) -> Path:
    root = find_folder(config, ("",), COMMON_VOICE_TREE)
    if config.language and root.name != config.language:
        return find_folder(config, (config.language,), COMMON_VOICE_TREE)
    if (root / "clips").is_dir():
        return root
    languages = sorted(p.parent.name for p in root.glob("*/clips") if p.is_dir())
    return root / the_only(config, root, "languages", languages, "choose one: language: en")


COVOST2 = Origin("CoVoST 2", "CC0-1.0", "Common Voice contributors; Wang et al. 2020")
COVOST2_TREE = (
    "covost_v2.<from>_<to>.<split>.tsv (or covost_v2.<from>_<to>.tsv with validated.tsv) and clips/"
)

_TABLE = re.compile(r"covost_v2\.([A-Za-z-]+)_([A-Za-z-]+)(?:\.(train|dev|test))?\.tsv")


def covost2(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """CoVoST 2 (github.com/facebookresearch/covost), over Common Voice 4 recordings::

        covost_v2.en_zh-CN.train.tsv    path  sentence  translation  client_id
        clips/common_voice_en_18540003.mp3

    That is what ``get_covost_splits.py`` writes. As downloaded there is only
    ``covost_v2.en_zh-CN.tsv`` (path, translation, split); then ``validated.tsv`` of Common Voice
    is needed for the sentences. The tables escape with a backslash. ``language`` names the pair
    ("en_zh-CN"); ``audio_root`` the Common Voice language folder when clips lie elsewhere.
    """
    root = find_folder(config, ("",), COVOST2_TREE)
    voice = Path(config.audio_root).expanduser() if config.audio_root else root
    clips = voice / "clips"
    if not clips.is_dir():
        raise UserError(
            f"covost2: {clips}: no such folder",
            "set audio_root to the Common Voice language folder that contains clips/",
        )
    pair = _pair(config, root)
    split = config.split or "train"
    source, _, target = pair.partition("_")
    ready = root / f"covost_v2.{pair}.{split}.tsv"
    if ready.is_file():
        rows = _escaped_rows(ready, report)
    else:
        raw = find_file(config, root, (f"covost_v2.{pair}.tsv",), COVOST2_TREE)
        validated = find_file(config, voice, ("validated.tsv",), COVOST2_TREE)
        rows = _joined(raw, validated, split, report)

    def make(row: Row) -> Clip:
        name = row.text("path")
        path = clips / (name if Path(name).suffix else f"{name}.mp3")
        return Clip(
            id=f"{pair}/{path.stem}",
            kind="speech",
            audio=audio_file(path),
            origin=COVOST2,
            text=row.text("sentence"),
            language=source,
            speaker=row.text_or("", "client_id"),
            translation=row.text("translation"),
            translation_language=target,
        )

    yield from usable(rows, make, report)


def _pair(config: SourceConfig, root: Path) -> str:
    if config.language:
        return config.language
    names = (_TABLE.fullmatch(p.name) for p in sorted(root.glob("covost_v2.*.tsv")))
    pairs = sorted({f"{m[1]}_{m[2]}" for m in names if m})
    return the_only(config, root, "pairs", pairs, "choose one: language: en_zh-CN")


def _escaped_rows(path: Path, report: Report) -> Iterator[Row]:
    """Tab-separated rows in which a backslash takes the next character literally."""
    lines = text_lines(path, report)
    _, header = next(lines, (0, ""))
    if not header:
        raise UserError(f"{path}: has no header line", "fetch the file again")

    def cells() -> Iterator[tuple[int, list[str]]]:
        for number, line in lines:
            try:
                reader = csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\")
                yield number, next(reader)
            except csv.Error as error:
                report(BadRow("cannot be read", error).drop(f"{path}:{number}"))

    yield from named_rows(path, header.split("\t"), cells(), report)


def _joined(raw: Path, validated: Path, split: str, report: Report) -> Iterator[Row]:
    """Rows of Common Voice with the translation that the downloaded table has for their path."""
    # "train_covost" marks rows that CoVoST added to Common Voice's own training split.
    splits = {split, f"{split}_covost"} if split == "train" else {split}
    translations = {
        str(row.data["path"]): row.data.get("translation")
        for row in _escaped_rows(raw, report)
        if row.data.get("split") in splits and "path" in row.data
    }
    for row in tsv_rows(validated, report):
        translation = translations.get(str(row.data.get("path")))
        if translation is not None:
            yield Row(row.where, {**row.data, "translation": translation})


CORPORA = {
    "common_voice": Corpus(
        common_voice, ("speech",), COMMON_VOICE.licence, COMMON_VOICE_TREE,
        "commonvoice.mozilla.org/datasets",
    ),
    "covost2": Corpus(
        covost2, ("speech",), COVOST2.licence, COVOST2_TREE,
        "github.com/facebookresearch/covost and Common Voice 4",
    ),
}  # fmt: skip
