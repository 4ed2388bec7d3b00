"""Files of tiny corpora: real audio in the real container, tables, members of tars."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000


def tone(path: Path, seconds: float = 0.2, rate_hz: int = RATE_HZ, hz: float = 440.0) -> Path:
    """A tone in the container that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    opus = path.suffix == ".opus"
    soundfile.write(
        path,
        wave.astype(np.float32),
        rate_hz,
        format="OGG" if opus else path.suffix[1:].upper(),
        subtype="OPUS" if opus else None,
    )
    return path


def tone_bytes(suffix: str = "flac", hz: float = 440.0) -> bytes:
    buffer = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(3200) / RATE_HZ)
    soundfile.write(buffer, wave.astype(np.float32), RATE_HZ, format=suffix.upper())
    return buffer.getvalue()


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_json_lines(path: Path, *rows: object) -> Path:
    return write(path, *(json.dumps(row, ensure_ascii=False) for row in rows))


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
