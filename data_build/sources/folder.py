"""A folder of recordings without a table: what they are stands in their names and beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from data_build.drops import Drop, Report
from data_build.records import Clip, Origin
from data_build.sources.audio_refs import audio_file, files_below
from data_build.sources.beside import MAX_TEXT_BYTES, TEXT_SUFFIXES, columns_beside
from data_build.sources.manifest import UNNAMED, USUAL_TABLES, clip_of, span_of
from data_build.sources.rows import Row, usable
from data_build.sources.source import (
    AS_STATED,
    BadRow,
    Corpus,
    SourceConfig,
    find_folder,
)
from soundflow.errors import UserError

FOLDER_TREE = "*.wav, *.flac, ..., also in subfolders; <name>.{txt,lab,json,cls} beside <name>.wav"
# What `columns` may name beside the keys of the .json: the folders from the root, the innermost of
# them, the name of the file, and its parts between "_", "-" and spaces.
_PLACE = re.compile(r"(folder|name)(?:\.([1-9]\d?))?")
_BETWEEN_PARTS = re.compile(r"[_\-\s]+")
_BESIDE = (".json", *TEXT_SUFFIXES)


def folder(config: SourceConfig, report: Report) -> Iterator[Clip]:
    """Every recording below a folder is a clip; what it is stands beside it, or in its place::

        root/anna/s1_hello.wav   s1_hello.txt      the text (.lab too); .cls a label, .caption one
        root/dog/12.flac         12.json           {"label": ..., "speaker": ...}, as in a manifest

    ``columns`` says what a place means: ``{label: folder}`` the folder that the file lies in,
    ``folder.1`` the first below the root, ``name`` the name of the file without its suffix,
    ``name.2`` its second part between "_", "-" and spaces. Any other value is a key of the .json.
    With ``audio_root`` the texts lie under the root and the recordings, in the same folders,
    there. ``split`` is a folder under both.

    Raises:
        UserError: if no recording is there, or none of them can be used.
    """
    texts = find_folder(config, (config.split or "",), FOLDER_TREE)
    audio = Path(config.audio_root or config.root).expanduser() / (config.split or "")
    if "path" in config.columns:
        raise UserError(
            "folder: columns.path has no meaning: recordings are found by themselves",
            "leave it out, or set audio_root",
        )
    origin = Origin(Path(config.root).expanduser().name or "folder", config.licence or "not stated")
    first: list[Drop] = []

    def noted(drop: Drop) -> None:
        first[:] = first or [drop]
        report(drop)

    def make(row: _Recording) -> Clip:
        columns = row.columns(config, report)
        start_s, end_s, length_s = span_of(config, columns)
        recorded = audio_file(row.path, start_s, end_s)
        return clip_of(config, columns, recorded, row.place.as_posix(), origin, length_s)

    rows = (_Recording(path, texts, path.relative_to(audio)) for path in files_below(audio, noted))
    clips = usable(rows, make, noted)
    one = next(clips, None)
    if one is None:
        raise _nothing(config, audio, first)
    yield from chain((one,), clips)


class _Recording:
    """A recording in the folder.

    Args:
        texts: where the folder of its texts begins.
        place: its path from where the recordings begin.
    """

    def __init__(self, path: Path, texts: Path, place: Path) -> None:
        self.path, self.place = path, place
        self._beside = texts / place

    @property
    def where(self) -> str:
        return str(self.path)

    def columns(self, config: SourceConfig, report: Report) -> Row:
        found = columns_beside(self._texts(), str(self._beside.with_suffix("")), report)
        places = [name for name in config.columns.values() if _PLACE.fullmatch(name)]
        return Row(self.where, {**found, **{name: self._part(name) for name in places}})

    def _texts(self) -> Iterator[tuple[str, bytes]]:
        for suffix in _BESIDE:
            try:
                with self._beside.with_suffix(suffix).open("rb") as file:
                    yield suffix, file.read(MAX_TEXT_BYTES + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BadRow(f"its {suffix} cannot be read ({error.strerror})") from None

    def _part(self, name: str) -> str:
        """What a place says: "folder", "folder.1", "name" or "name.2"."""
        what, _, number = name.partition(".")
        folders = self.place.parent.parts
        if what == "folder":
            parts = folders
            whole = folders[-1] if folders else ""
        else:
            whole = self.place.stem
            parts = tuple(filter(None, _BETWEEN_PARTS.split(whole)))
        if number:
            whole = parts[int(number) - 1] if int(number) <= len(parts) else ""
        if not whole:
            raise BadRow(f"its path has no {name}")
        return whole


def _nothing(config: SourceConfig, audio: Path, first: list[Drop]) -> UserError:
    if not first:
        return UserError(f"folder: {audio} holds no recording", f"expected {FOLDER_TREE}")
    root = Path(config.root).expanduser()
    table = next((name for name in USUAL_TABLES if (root / name).is_file()), None)
    if table:
        remedy = f"there is a {table}: read it with corpus: manifest"
    elif first[0].reason == UNNAMED:
        remedy = (
            "say what they are: columns: {label: folder} where folders are named after the sound, "
            "kind: noise for noise, or a .txt with the text beside each"
        )
    else:
        remedy = "see docs/sources.md for what may lie beside a recording"
    why = f"{first[0].item}: {first[0].reason}"
    return UserError(f"folder: no recording in {audio} can be used; the first: {why}", remedy)


CORPORA = {
    "folder": Corpus(
        folder, ("speech", "event", "music", "noise"), AS_STATED, FOLDER_TREE,
        "a folder of your own, without a table",
    ),
}  # fmt: skip
