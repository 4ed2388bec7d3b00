"""Members of a tar by name, without unpacking it or walking it each time."""

from __future__ import annotations

import functools
import tarfile
from pathlib import Path

from data_build.records import Recorded
from soundflow.errors import UserError

# Streams draw clips at random, so some tars are in use at once; an index has ~200 bytes a member.
_KEPT_INDICES = 8


def audio_source(audio: Recorded) -> str | bytes:
    """What `soundflow.audio.files.read_audio` takes: the path, or the bytes of the tar member.

    Raises:
        UserError: if the tar cannot be read or has no such member.
    """
    return audio.path if audio.member is None else read_member(Path(audio.path), audio.member)


def read_member(path: Path, member: str) -> bytes:
    """The bytes of a regular member of an uncompressed tar.

    Raises:
        UserError: naming tar and member, if the tar cannot be read, breaks off before the
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
