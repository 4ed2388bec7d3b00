"""Caches the answers of a chat model on disk, shared by all processes.

One file for each answer, renamed into place, is safe on the shared file system of a cluster, where
the SQLite file of `diskcache` is not; and it is human-readable.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from soundflow.atomic import write_text


def cache_key(question: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that determines an answer."""
    canonical = json.dumps(question, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class ChatCache:
    """One JSON file for each answer: ``<folder>/<prompt>.v<version>/<ab>/<key>.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, prompt_id: str, key: str) -> Path:
        return self._folder / prompt_id / key[:2] / f"{key}.json"

    def get(self, prompt_id: str, key: str) -> dict[str, Any] | None:
        """The stored answer, or None; a damaged entry counts as missing and is written again."""
        try:
            entry = json.loads(self.path(prompt_id, key).read_bytes())
        except (OSError, ValueError):
            return None
        answer = entry.get("answer") if isinstance(entry, dict) else None
        return answer if isinstance(answer, dict) else None

    def put(
        self, prompt_id: str, key: str, question: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        """Stores an answer with its question; readers see the whole entry or none.

        Raises:
            UserError: if the disk is full or the folder cannot be written.
        """
        entry = {"question": question, "answer": answer}
        write_text(self.path(prompt_id, key), json.dumps(entry, ensure_ascii=False))
