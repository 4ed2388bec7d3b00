"""AudioSet: labelled sounds, with weak and strong labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_build.drops import Report
from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file, existing_audio
from data_build.sources.json_stream import array_items
from data_build.sources.rows import Row, csv_cells, csv_rows, text_lines, tsv_rows, usable
from data_build.sources.source import (
    BadRow,
    Corpus,
    SourceConfig,
    find_file,
    find_folder,
)
from soundflow.errors import UserError

AUDIOSET = Origin(
    "AudioSet",
    "CC-BY-4.0 (labels), CC-BY-SA-4.0 (ontology); audio under its uploader's terms",
    "Google; Gemmeke et al. 2017",
)

AUDIOSET_TREE = (
    "{balanced_train,unbalanced_train,eval}_segments.csv, class_labels_indices.csv or "
    "ontology.json, and audio/[<table>/]<YouTube id>.wav"
)

_WEAK = ("balanced_train", "unbalanced_train", "eval")
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")


def audioset(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """AudioSet (research.google.com/audioset): labels by Google, audio fetched by yourself::

        balanced_train_segments.csv     # three comment lines, then
                                        --4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"
        audioset_train_strong.tsv       segment_id  start_time_seconds  end_time_seconds  label
        class_labels_indices.csv        index,mid,display_name          (or ontology.json)
        audio/balanced_train_segments/--4gqARaEJE.wav

    There is no official audio, so the usual conventions are all understood: file names ``<id>``,
    ``Y<id>``, ``<id>_<start s>``, ``<id>_<start s>_<end s>``, ``<id>_<start ms>`` (and
    ``..._<end ms>``); in ``audio_root``, ``audio/`` or the root, in a folder named after the table
    or not. Files hold the ten seconds of their segment. Many clips have left YouTube; each missing
    one is reported.

    Splits: balanced_train, unbalanced_train, eval, and train_strong, eval_strong, where every
    label has its own start and end. None = every weak table that is there.
    """
    root = find_folder(config, ("",), AUDIOSET_TREE)
    names = _display_names(config, root, report)
    if config.split in ("train_strong", "eval_strong"):
        yield from _strong(config, root, names, report)
        return
    if config.split is not None and config.split not in _WEAK:
        known = (*_WEAK, "train_strong", "eval_strong")
        raise UserError(f"audioset: split {config.split!r} is unknown", f"known: {known}")
    splits = (config.split,) if config.split else _WEAK
    tables = [root / f"{s}_segments.csv" for s in splits]
    tables = [t for t in tables if t.is_file()]
    if not tables:
        raise UserError(
            f"audioset: {root} has no {' or '.join(f'{s}_segments.csv' for s in splits)}",
            f"expected {AUDIOSET_TREE}",
        )
    for table in tables:
        folders = _audio_folders(config, root, table.stem)

        def make(row: Row, folders: Sequence[Path] = folders) -> Clip:
            name = row.text("id")
            start_s, end_s = row.seconds("start"), row.seconds("end")
            mids = tuple(m.strip() for m in row.text("mids").split(",") if m.strip())
            return Clip(
                id=f"{name}_{start_s:g}",
                kind="event",
                audio=audio_file(_audioset_file(folders, name, start_s, end_s)),
                origin=replace(AUDIOSET, attribution=f"https://youtu.be/{name}"),
                labels=tuple(names.get(mid, mid) for mid in mids),
                notes={"mids": list(mids)},
            )

        yield from usable(_weak_rows(table, report), make, report)


def _weak_rows(table: Path, report: Report) -> Iterator[Row]:
    for number, cells in csv_cells(table, report, skip_space=True):
        if cells[0].startswith("#"):
            continue
        where = f"{table}:{number}"
        if len(cells) != 4:
            report(BadRow("does not have the four columns of a segment", len(cells)).drop(where))
            continue
        yield Row(where, dict(zip(("id", "start", "end", "mids"), cells, strict=True)))


def _strong(
    config: SourceConfig, root: Path, names: dict[str, str], report: Report
) -> Iterator[Clip]:
    table = find_file(config, root, (f"audioset_{config.split}.tsv",), AUDIOSET_TREE)
    stems = ("eval_segments",) if config.split == "eval_strong" else (
        "unbalanced_train_segments", "balanced_train_segments",
    )  # fmt: skip
    folders = [f for stem in stems for f in _audio_folders(config, root, stem)]

    def make(row: Row) -> Clip:
        segment = row.text("segment_id")
        name, _, start_ms = segment.rpartition("_")
        if not name or not start_ms.isdigit():
            raise BadRow("segment_id is not <YouTube id>_<start in ms>", repr(segment))
        on_s, off_s = row.seconds("start_time_seconds"), row.seconds("end_time_seconds")
        mid = row.text("label")
        start_s = int(start_ms) / 1000
        return Clip(
            id=f"{segment}_{on_s:g}_{off_s:g}_{mid}",
            kind="event",
            audio=audio_file(_audioset_file(folders, name, start_s, start_s + 10), on_s, off_s),
            origin=replace(AUDIOSET, attribution=f"https://youtu.be/{name}"),
            duration_s=round(off_s - on_s, 6),
            labels=(names.get(mid, mid),),
            notes={"mids": [mid]},
        )

    yield from usable(tsv_rows(table, report), make, report)


def _audio_folders(config: SourceConfig, root: Path, table: str) -> list[Path]:
    base = Path(config.audio_root).expanduser() if config.audio_root else root
    short = table.removesuffix("_segments")
    candidates = [
        base / "audio" / table, base / "audio" / short, base / table, base / short,
        base / "audio", base,
    ]  # fmt: skip
    return [folder for folder in candidates if folder.is_dir()]


def _audioset_file(folders: Sequence[Path], name: str, start_s: float, end_s: float) -> Path:
    start_ms, end_ms = round(start_s * 1000), round(end_s * 1000)
    stems = (
        name, f"Y{name}", f"{name}_{start_s:g}", f"{name}_{start_s:g}_{end_s:g}",
        f"{name}_{start_ms}", f"{name}_{start_ms}_{end_ms}", f"{name}_{start_s:.3f}",
        f"Y{name}_{start_s:.3f}_{end_s:.3f}",
    )  # fmt: skip
    if not folders:
        raise BadRow("its audio file is missing: there is no folder for it", name)
    places = itertools.product(folders, stems, _SUFFIXES)
    return existing_audio([folder / f"{stem}{suffix}" for folder, stem, suffix in places])


def _display_names(config: SourceConfig, root: Path, report: Report) -> dict[str, str]:
    """Label id ("/m/068hy") -> name, from whichever of the published tables is there."""
    indices, ontology = root / "class_labels_indices.csv", root / "ontology.json"
    strong = root / "mid_to_display_name.tsv"
    names: dict[str, str] = {}
    if strong.is_file():
        for _, line in text_lines(strong, report):
            mid, _, name = line.partition("\t")
            names[mid] = name.strip() or mid
    if indices.is_file():
        rows = usable(
            csv_rows(indices, report), lambda r: (r.text("mid"), r.text("display_name")), report
        )
        names.update(rows)
    elif ontology.is_file():
        nodes = (
            Row(f"{ontology}[{index}]", node if isinstance(node, dict) else {})
            for index, node in array_items(ontology, report)
        )
        names.update(usable(nodes, lambda r: (r.text("id"), r.text("name")), report))
    if not names:
        raise UserError(
            f"{config.corpus}: {root} has no class_labels_indices.csv or ontology.json with labels",
            f"expected {AUDIOSET_TREE}",
        )
    return names


CORPORA = {
    "audioset": Corpus(
        audioset, ("event",), AUDIOSET.licence, AUDIOSET_TREE,
        "research.google.com/audioset; the audio you fetch yourself",
    ),
}  # fmt: skip
