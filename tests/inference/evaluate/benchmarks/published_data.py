"""Miniatures of published data sets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile


def flac(seconds: float, seed: int = 0) -> bytes:
    """Noise at 16 kHz."""
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000))
    soundfile.write(file, noise, 16_000, format="FLAC")
    return file.getvalue()


def listed(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A folder of audio with ``metadata.jsonl``; ``seconds`` of each row becomes a file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for k, row in enumerate(rows):
        (folder / f"{k}.flac").write_bytes(flac(row["seconds"], k))
        fields = {name: value for name, value in row.items() if name != "seconds"}
        lines.append(json.dumps({"file_name": f"{k}.flac", **fields}, ensure_ascii=False))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def saved(
    folder: Path, split: str, rows: Iterable[Mapping[str, Any]], audio: str = "audio"
) -> Path:
    """As `Dataset.save_to_disk` leaves it; ``seconds`` of each row becomes its audio."""
    made = [
        {
            audio: {"bytes": flac(row["seconds"], k), "path": f"{k}.flac"},
            **{name: value for name, value in row.items() if name != "seconds"},
        }
        for k, row in enumerate(rows)
    ]
    data = datasets.Dataset.from_list(made).cast_column(audio, datasets.Audio(decode=False))
    datasets.DatasetDict({split: data}).save_to_disk(str(folder))
    return folder
