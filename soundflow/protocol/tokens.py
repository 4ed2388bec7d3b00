"""The control tokens of a vocabulary, as validated data (protocol section 4)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

EMOTIONS = ("happy", "sad", "angry", "surprise", "normal", "urgent")


@dataclass(frozen=True)
class TokenTable:
    """Ids of the control tokens. The defaults are those of the published release.

    The 1516xx ids are rare BPE entries of the Qwen2.5 vocabulary that the release re-uses, and
    ``system`` shares its id with ``text_begin``. A small tokenizer brings its own table.

    Raises:
        ValueError: if an id is outside the vocabulary or two names share one id
            (``system`` and ``text_begin`` excepted).
    """

    user: int = 151_601
    assistant: int = 151_602
    keep_silence: int = 151_605
    pad: int = 151_608
    online: int = 151_609
    offline: int = 151_610
    english: int = 151_611
    happy: int = 151_614
    sad: int = 151_615
    angry: int = 151_616
    surprise: int = 151_617
    normal: int = 151_618
    urgent: int = 151_619
    text_end: int = 151_643
    text_begin: int = 151_644
    system: int = 151_644
    audio_pad: int = 151_646
    audio_begin: int = 151_647
    audio_end: int = 151_648
    vocab_size: int = 151_936

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for name, token in self.named_ids().items():
            if not 0 <= token < self.vocab_size:
                raise ValueError(f"{name}={token} is outside the vocabulary of {self.vocab_size}")
            other = taken.setdefault(token, name)
            if other != name and {other, name} != {"text_begin", "system"}:
                raise ValueError(f"{other} and {name} share the id {token}")

    def named_ids(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "vocab_size"}

    @cached_property
    def control_ids(self) -> frozenset[int]:
        return frozenset(self.named_ids().values())

    @property
    def emotion_ids(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in EMOTIONS}

    def emotion_name(self, token: int) -> str | None:
        """The emotion that ``token`` stands for, or None for any other token."""
        return next((name for name, i in self.emotion_ids.items() if i == token), None)
