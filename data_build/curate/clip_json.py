"""A clip as one line of JSON and back."""

from __future__ import annotations

import json
from dataclasses import asdict

from data_build.records import AudioRef, Clip, Origin, Word


def clip_to_line(clip: Clip) -> str:
    """Canonical: the same clip gives the same text."""
    return json.dumps(asdict(clip), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def clip_from_line(line: str | bytes) -> Clip:
    """The inverse of `clip_to_line`.

    Raises:
        ValueError: if the line is no clip.
    """
    data = json.loads(line)
    try:
        data["audio"] = AudioRef(**data["audio"])
        data["origin"] = Origin(**data["origin"])
        data["words"] = tuple(Word(**word) for word in data["words"])
        data["labels"] = tuple(data["labels"])
        return Clip(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a clip: {error}") from error
