"""Music: the Free Music Archive dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file
from data_build.sources.rows import Row, csv_cells, csv_rows, usable
from data_build.sources.source import (
    BadRow,
    Corpus,
    Report,
    SourceConfig,
    WorkerShard,
    find_file,
    find_folder,
)
from soundflow.errors import UserError

FMA = Origin("FMA", "see each track (mostly CC-BY, CC-BY-NC, CC-BY-SA)", "Defferrard et al. 2017")
FMA_TREE = "fma_metadata/{tracks.csv, genres.csv} and fma_{small,medium,large,full}/000/000002.mp3"

# Each subset holds the ones before it.
_SUBSETS = ("small", "medium", "large", "full")


def fma(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """The Free Music Archive dataset (github.com/mdeff/fma)::

        fma_metadata/tracks.csv    two header rows (group, column), a row "track_id", then tracks
                     genres.csv    genre_id,#tracks,parent,title,top_level
        fma_small/000/000002.mp3   folder = the first three of the six digits of the track id

    Splits: training, validation, test. ``subset`` chooses small, medium, large or full; by
    default the first of these folders that is there. Tracks outside it are passed over. The
    licence of each track travels with it. A unit of work is a row.
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
        for row in _track_rows(table, report, part)
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


def _track_rows(table: Path, report: Report, part: WorkerShard) -> Iterator[Row]:
    """Rows with "group.column" keys; the third header row only names the index."""
    lines = csv_cells(table, report)
    groups = next(lines, (0, [""]))[1]
    columns = next(lines, (0, []))[1]
    if len(groups) != len(columns):
        raise UserError(f"{table}: has no two header rows", "fetch fma_metadata again")
    header = [f"{g}.{c}" if g else "track_id" for g, c in zip(groups, columns, strict=True)]
    for index, (number, cells) in enumerate(lines):
        if cells[0] == "track_id" or not part.takes(index):
            continue
        if len(cells) != len(header):
            about = f"{len(cells)}, the header {len(header)}"
            report(
                BadRow("has a different number of columns than the header", about).drop(
                    f"{table}:{number}"
                )
            )
            continue
        yield Row(f"{table}:{number}", dict(zip(header, cells, strict=True)))


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


CORPORA = {
    "fma": Corpus(
        fma, ("music",), FMA.licence, FMA_TREE,
        "github.com/mdeff/fma: fma_metadata.zip and one fma_*.zip",
    ),
}  # fmt: skip
