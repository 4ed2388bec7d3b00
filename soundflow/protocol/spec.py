"""`StreamSpec`: everything that must agree between builder, trainer and engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.layout import LAYOUT_VERSION
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.tokens import TokenTable


@dataclass(frozen=True)
class StreamSpec:
    """Time base, front end, token table, text vocabulary and layout of a stream.

    Shards, checkpoints and sessions carry the fingerprint; loading something whose spec differs
    is refused with the differing fields. ``tokenizer`` is `TextTokenizer.fingerprint`.
    """

    tokenizer: str
    time: TimeBase = field(default_factory=TimeBase)
    front_end: FrontEnd = field(default_factory=FrontEnd)
    tokens: TokenTable = field(default_factory=TokenTable)
    layout_version: int = LAYOUT_VERSION

    @property
    def look_ahead_samples(self) -> int:
        """Samples behind the end of a chunk that its last mel frame needs."""
        return self.front_end.window_samples // 2 - self.time.hop_samples

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> StreamSpec:
        """A spec from its JSON form.

        Raises:
            UserError: if a field is missing, unknown or impossible.
        """
        try:
            return StreamSpec(
                tokenizer=data["tokenizer"],
                time=TimeBase(**data["time"]),
                front_end=FrontEnd(**data["front_end"]),
                tokens=TokenTable(**data["tokens"]),
                layout_version=data["layout_version"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"stream spec cannot be read: {error}", "was it written by another version?"
            ) from error

    def diff(self, other: StreamSpec) -> list[str]:
        """One line ``field: mine != theirs`` for every field that differs."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        keys = sorted(mine.keys() | theirs.keys())
        return [
            f"{k}: {mine.get(k)} != {theirs.get(k)}" for k in keys if mine.get(k) != theirs.get(k)
        ]

    def require_same(self, other: StreamSpec, mine: str, theirs: str) -> None:
        """Checks that two specs are the same.

        Raises:
            UserError: naming both places and every differing field, if the specs differ.
        """
        lines = self.diff(other)
        if lines:
            raise UserError(
                f"{mine} and {theirs} follow different stream specs: " + "; ".join(lines),
                "rebuild the data, or use the checkpoint that belongs to it",
            )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
