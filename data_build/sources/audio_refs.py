"""Audio files of rows: looked up in the file system; and the bytes of a member of a tar."""

from __future__ import annotations

import functools
import itertools
import os
import stat
import tarfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_build.drops import Report
from data_build.records import Recorded
from data_build.sources.source import BadRow, shortened
from soundflow.audio.files import AUDIO_SUFFIXES
from soundflow.errors import UserError

# Streams draw clips at random, so some tars are in use at once; an index has ~200 bytes a member.
_KEPT_INDICES = 8


def audio_file(path: Path, start_s: float = 0.0, end_s: float | None = None) -> Recorded:
    """A reference to an existing, non-empty file.

    A name with accents is found in whichever of the two Unicode forms the file system has it.

    Raises:
        BadRow: if the file is missing, empty, unreadable or no regular file, or the times are
            impossible.
    """
    if end_s is not None and end_s <= start_s:
        raise BadRow("ends before or at its start", f"{start_s:g} s to {end_s:g} s")
    for form in itertools.chain((path,), _other_forms(path)):
        if (size := _size(form)) is not None:
            if size == 0:
                raise BadRow("its audio file is empty", path)
            return Recorded(str(form), None, start_s, end_s)
    raise BadRow("its audio file is missing", path)


def existing_audio(places: Sequence[Path]) -> Path:
    """The first of several possible places of a file that exists.

    Raises:
        BadRow: naming the first place, if there is none.
    """
    for place in places:
        if _size(place) is not None:
            return place
    raise BadRow("its audio file is missing", places[0])


def written_path(written: str, base: Path | None) -> Path:
    """A path from a table, relative to ``base``; a leading ``~/`` is the home folder."""
    path = Path(written).expanduser() if written.startswith("~/") else written
    return base / path if base else Path(path)


def files_below(
    folder: Path, report: Report, suffixes: frozenset[str] = AUDIO_SUFFIXES
) -> Iterator[Path]:
    """Files with one of ``suffixes`` under ``folder``, in sorted order, folder by folder.

    Hidden entries and leftovers of archive tools are skipped. A folder is read once, however
    many links lead to it (also from inside itself). A subfolder that cannot be listed is reported.

    Raises:
        UserError: if ``folder`` itself cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    try:
        waiting = [_listed(folder, seen)]
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror})", "check that it exists and permissions"
        ) from error
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        elif entry.name != entry.name.encode(errors="replace").decode():
            report(BadRow("its name is not valid UTF-8").drop(shortened(entry.path)))
        elif entry.is_dir():
            try:
                waiting.append(_listed(Path(entry.path), seen))
            except OSError as error:
                report(BadRow("is a folder that cannot be listed", error.strerror).drop(entry.path))
        elif (path := Path(entry.path)).suffix.lower() in suffixes:
            yield path


def audio_below(folder: Path, report: Report) -> Iterator[tuple[Path, Recorded]]:
    """(path, reference) of the audio files; one that cannot be used is reported."""
    for path in files_below(folder, report):
        try:
            yield path, audio_file(path)
        except BadRow as error:
            report(error.drop(str(path)))


def relative_id(path: Path, root: Path) -> str:
    """The path below ``root`` without its suffix, with forward slashes: stable when root moves."""
    return path.relative_to(root).with_suffix("").as_posix()


def audio_source(audio: Recorded) -> str | bytes:
    """What `soundflow.audio.files.read_audio` takes: the path, or the bytes of the tar member.

    Raises:
        UserError: if the tar cannot be read or has no such member.
    """
    return audio.path if audio.member is None else read_member(Path(audio.path), audio.member)


def read_member(path: Path, member: str) -> bytes:
    """The bytes of a regular member of an uncompressed tar.

    Raises:
        UserError: naming tar and member, if the tar cannot be read, is truncated before the
            member's end, or has no such member.
    """
    try:
        stat = path.stat()
        places = _index(str(path), stat.st_size, stat.st_mtime_ns)
        if member not in places:
            raise UserError(f"{path}: has no member {member!r}", "fetch the tar again")
        offset, size = places[member]
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason})", "fetch the tar again") from error
    if len(content) < size:
        raise UserError(f"{path}: is truncated inside {member!r}", "fetch the tar again")
    return content


@functools.lru_cache(maxsize=_KEPT_INDICES)
def _index(path: str, size: int, mtime_ns: int) -> dict[str, tuple[int, int]]:
    """Member name -> (offset, bytes). Size and time are there to notice a changed file."""
    del size, mtime_ns
    places = {}
    with tarfile.open(path, "r:") as tar:
        try:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]
                if member.isreg():
                    # Later members of the same name replace earlier ones, as in tar itself.
                    places[member.name] = (member.offset_data, member.size)
        except tarfile.ReadError:
            pass  # the members before the place where it breaks off are whole
    return places


def _listed(folder: Path, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder by name; none if it was listed before."""
    about = folder.stat()
    if (about.st_dev, about.st_ino) in seen:
        return iter(())
    seen.add((about.st_dev, about.st_ino))
    with os.scandir(folder) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _size(path: Path) -> int | None:
    """The size of a regular file; None if nothing is there."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadRow(f"its audio file cannot be read ({reason})", path) from None
    if stat.S_ISDIR(about.st_mode):
        raise BadRow("its audio file is a folder", path)
    if not stat.S_ISREG(about.st_mode):
        raise BadRow("its audio file is a pipe, socket or device", path)
    return about.st_size


def _other_forms(path: Path) -> Iterator[Path]:
    text = str(path)
    forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    yield from (Path(form) for form in forms if form != text)
