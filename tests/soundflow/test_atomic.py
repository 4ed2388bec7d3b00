"""A file is whole or not there, and what went wrong is said of the right file."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from soundflow.atomic import atomic_write, remove_abandoned, write_text
from soundflow.errors import UserError


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file"
    with atomic_write(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.writelines([b"half", 2])  # type: ignore[list-item]
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"one"


def test_a_full_disk_is_said_of_the_file_that_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="target: the disk is full"),
        atomic_write(tmp_path / "target"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="target: cannot be written"):
        write_text(tmp_path / "file" / "target", "x")


def test_another_file_that_cannot_be_read_is_not_called_unwritable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), atomic_write(tmp_path / "target"):
        (tmp_path / "source").read_bytes()
    assert not list(tmp_path.iterdir())


def test_what_dead_writers_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    host = socket.gethostname()
    names = {
        f"a/.x.tar.{host}.{gone.pid}.partial": False,
        f".y.{host}.{os.getpid()}.partial": True,
        f".z.elsewhere.{gone.pid}.partial": True,
        "whole.partial": True,
    }
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    folder = tmp_path / f".model.{host}.{gone.pid}.partial"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    remove_abandoned(tmp_path)
    assert not folder.exists()
    assert {name: (tmp_path / name).exists() for name in names} == names
