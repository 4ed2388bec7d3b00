"""Files that are either whole or not there: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from soundflow.errors import UserError


@contextmanager
def atomic_write(path: Path, *, synced: bool = True) -> Iterator[BufferedRandom]:
    """A binary file that takes the name ``path`` only when the block ends without an error.

    Args:
        synced: whether it also survives a power cut; not needed for a cache that verifies what it
            reads.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
        OSError: if the block itself fails over another file.
    """
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        temporary.replace(path)
        if synced:
            sync_folder(path.parent)
    except OSError as error:
        if isinstance(error.filename, str) and not _is_of(Path(error.filename), path, temporary):
            raise  # the block stumbled over another file
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):  # the parent may be no folder at all; that is reported above
            temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """The name beside ``path`` under which this process writes what will become it."""
    # Machines that share a folder may hand out the same process number.
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")


def remove_abandoned(folder: Path) -> None:
    """Removes what is unfinished below ``folder`` and whose writers on this machine are gone."""
    for path in list(folder.rglob(f".*.{socket.gethostname()}.*.partial")):
        pid = path.name.split(".")[-2]
        if not pid.isdigit() or _is_alive(int(pid)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path: Path, text: str, *, synced: bool = True) -> None:
    with atomic_write(path, synced=synced) as file:
        file.write(text.encode())


def disk_error(error: OSError, path: Path) -> UserError:
    """An OSError while writing ``path`` as a message for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(f"{path}: the disk is full", "free some space; then run the command again")
    reason = error.strerror or type(error).__name__
    return UserError(f"{path}: cannot be written ({reason})", "check the folder and permissions")


def _is_of(named: Path, path: Path, temporary: Path) -> bool:
    return named in (path, temporary, *path.parents)


def sync_folder(folder: Path) -> None:
    # The rename itself must survive a power cut, not only the bytes.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
