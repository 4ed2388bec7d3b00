"""Where the audio of a row lies: looked up in the file system, never opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_build.drops import Drop
from data_build.records import Recorded
from data_build.sources.source import ALL_ROWS, STEP, BadRow, Report, WorkerShard
from soundflow.errors import UserError

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".webm", ".mp4")
)


def audio_file(path: Path, start_s: float = 0.0, end_s: float | None = None) -> Recorded:
    """A reference to an existing, non-empty file.

    Raises:
        BadRow: if the file is missing or empty, or the times are impossible.
    """
    if end_s is not None and end_s <= start_s:
        raise BadRow(f"ends at {end_s} s, before or at its start {start_s} s")
    try:
        size = path.stat().st_size if path.is_file() else -1
    except (OSError, ValueError):
        size = -1
    if size < 0:
        raise BadRow(f"audio file {path} is missing")
    if size == 0:
        raise BadRow(f"audio file {path} is empty")
    return Recorded(str(path), None, start_s, end_s)


def first_audio_file(candidates: Sequence[Path]) -> Path:
    """The first of several possible places that exists.

    Raises:
        BadRow: naming the first place, if there is none.
    """
    for path in candidates:
        try:
            if path.is_file():
                return path
        except ValueError:  # a NUL inside the name
            continue
    raise BadRow(f"audio file {candidates[0]} is missing")


def files_below(folder: Path, suffixes: frozenset[str] = AUDIO_SUFFIXES) -> Iterator[Path]:
    """Files with one of ``suffixes`` under ``folder``, in sorted order, folder by folder.

    Hidden entries and the litter of archive tools are passed over.

    Raises:
        UserError: if a folder cannot be listed.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror})", "check that it exists and permissions"
        ) from error
    for name in names:
        if name.startswith(".") or name == "__MACOSX":
            continue
        path = folder / name
        if path.is_dir():
            yield from files_below(path, suffixes)
        elif path.suffix.lower() in suffixes:
            yield path


def audio_below(
    folder: Path, report: Report, part: WorkerShard = ALL_ROWS
) -> Iterator[tuple[Path, Recorded]]:
    """(path, reference) of the audio files of ``part``; an empty one is reported."""
    for index, path in enumerate(files_below(folder)):
        if not part.takes(index):
            continue
        try:
            yield path, audio_file(path)
        except BadRow as error:
            report(Drop(STEP, str(path), str(error)))


def relative_id(path: Path, root: Path) -> str:
    """The path below ``root`` without its suffix, with forward slashes: stable when root moves."""
    return path.relative_to(root).with_suffix("").as_posix()
