"""The folder of a model on this machine; nothing is fetched."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from soundflow.errors import UserError

_READ = (".safetensors", ".bin", ".json", ".txt", ".model")  # what loading a model reads


def require_model_folder(folder: str, holds: str) -> None:
    """Refuses a folder without a model's configuration, before anything is loaded.

    Args:
        holds: what the folder should hold, for the remedy.

    Raises:
        UserError: if the folder or its config.json is not there.
    """
    if not (Path(folder) / "config.json").is_file():
        raise UserError(
            f"{folder}: not a model folder, config.json missing",
            f"give a local folder with {holds}",
        )


def model_key(folder: Path) -> str:
    """8 hex digits of the bytes of a model: weights, configuration, vocabulary.

    Whole files are hashed (about a second for 1 GB, once a process): a fine-tuned model has the
    size of the one that it was made from, and often its first and last tensors.
    """
    files = sorted(f for f in folder.iterdir() if f.suffix in _READ)
    return _digest(tuple((f, f.stat().st_size, f.stat().st_mtime_ns) for f in files))


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:8]
