"""The published conversation formats: the user's audio and what is answered.

::

    corpus   {"id", "stream_scene_type", "num_turns",            StreamAudio-2M
              "turns": [{user, assistant, emotion, scene_type, audio_path}]}
    online   {"conversation": [{audio_path, assistant, emotion?}]}
             or {"merge_path", "assistant", "emotion"?}
    offline  {user?, assistant, audio_path?}                     A_T_T, A_T, T_T
             or {"conversation": [{user?, assistant, audio_path?}]}

Audio paths are kept as written; join them with the folder they are relative to
(``Path(root) / turn.audio_path`` leaves an absolute path as it is).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from soundflow.interop.json_lines import (
    OnBadLine,
    optional_text,
    read_lines,
    text_field,
    write_lines,
)
from soundflow.protocol.tokens import EMOTIONS

NO_RESPONSE = "<no need to response>"  # spelt as in the release
_NO_RESPONSE_MARKERS = (NO_RESPONSE, "no need to response")
OfflineTask = Literal["A_T_T", "A_T", "T_T"]


def offline_task(user: str | None, has_audio: bool) -> OfflineTask:
    """The form of an offline exchange: A for audio, T for text, the last T for the answer."""
    if not has_audio:
        return "T_T"
    return "A_T" if user is None else "A_T_T"


def is_silent(assistant: str) -> bool:
    """Whether an ``assistant`` field means that nothing is said."""
    return assistant.strip().lower() in _NO_RESPONSE_MARKERS


def emotion_of(name: object) -> str:
    """One of our six emotions, read in any case; an unknown one becomes normal, as published."""
    lower = name.strip().lower() if isinstance(name, str) else ""
    return lower if lower in EMOTIONS else "normal"


@dataclass(frozen=True)
class CorpusTurn:
    """One turn of StreamAudio-2M. ``user`` is the transcript or caption of ``audio_path``."""

    user: str
    assistant: str
    emotion: str
    scene_type: str
    audio_path: str

    @property
    def silent(self) -> bool:
        return is_silent(self.assistant)


@dataclass(frozen=True)
class CorpusItem:
    """One line of StreamAudio-2M."""

    id: str
    stream_scene_type: str
    turns: tuple[CorpusTurn, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "stream_scene_type": self.stream_scene_type,
            "num_turns": len(self.turns),
            "turns": [asdict(turn) for turn in self.turns],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> CorpusItem:
        """A conversation from one line of the file.

        Raises:
            ValueError: if a field is missing or ``num_turns`` disagrees with ``turns``.
        """
        identity = data.get("id")
        if not isinstance(identity, str | int) or isinstance(identity, bool):
            raise ValueError(f"'id' must be text or a number, got {identity!r}")
        turns = tuple(
            CorpusTurn(
                user=optional_text(turn, "user") or "",
                assistant=text_field(turn, "assistant"),
                emotion=emotion_of(turn.get("emotion")),
                scene_type=optional_text(turn, "scene_type") or "",
                audio_path=text_field(turn, "audio_path"),
            )
            for turn in _objects(data, "turns")
        )
        if data.get("num_turns", len(turns)) != len(turns):
            raise ValueError(f"'num_turns' is {data['num_turns']}, but there are {len(turns)}")
        return CorpusItem(str(identity), optional_text(data, "stream_scene_type") or "", turns)


@dataclass(frozen=True)
class OnlineTurn:
    """A clip and what is said after it."""

    audio_path: str
    assistant: str
    emotion: str = "normal"

    @property
    def silent(self) -> bool:
        return is_silent(self.assistant)


@dataclass(frozen=True)
class OnlineConversation:
    """Clips that follow one another in one stream."""

    index: int
    turns: tuple[OnlineTurn, ...]

    @staticmethod
    def from_json(index: int, data: dict[str, Any]) -> OnlineConversation:
        """A conversation from one line of the file.

        Raises:
            ValueError: if the line has neither a conversation nor the shorthand of one turn.
        """
        if data.get("conversation"):
            rows, path_key = _objects(data, "conversation"), "audio_path"
        elif "merge_path" in data:
            rows, path_key = [data], "merge_path"
        else:
            raise ValueError("expected 'conversation', or 'merge_path' and 'assistant'")
        turns = tuple(
            OnlineTurn(
                audio_path=text_field(row, path_key),
                assistant=text_field(row, "assistant"),
                emotion=emotion_of(row.get("emotion")),
            )
            for row in rows
        )
        return OnlineConversation(index, turns)

    def to_json(self) -> dict[str, Any]:
        return {"conversation": [asdict(turn) for turn in self.turns]}


@dataclass(frozen=True)
class OfflineExample:
    """One question and answer about a clip, or in text alone.

    The release uses the first turn of an offline conversation only; ``further_turns`` says how
    many it leaves out.
    """

    index: int
    assistant: str
    user: str | None = None
    audio_path: str | None = None
    further_turns: int = 0

    @property
    def task(self) -> OfflineTask:
        return offline_task(self.user, self.audio_path is not None)

    @staticmethod
    def from_json(index: int, data: dict[str, Any]) -> OfflineExample:
        """An example from one line of the file.

        Raises:
            ValueError: if there is no answer, or neither audio nor text to answer.
        """
        rows = _objects(data, "conversation") if data.get("conversation") else [data]
        first = rows[0]
        answer = optional_text(first, "assistant")
        if answer is None:
            raise ValueError("'assistant' is missing or empty")
        example = OfflineExample(
            index=index,
            assistant=answer,
            user=optional_text(first, "user"),
            audio_path=optional_text(first, "audio_path") or optional_text(first, "merge_path"),
            further_turns=len(rows) - 1,
        )
        if example.user is None and example.audio_path is None:
            raise ValueError("expected 'user' or 'audio_path'")
        return example

    def to_json(self) -> dict[str, Any]:
        row = {"user": self.user, "assistant": self.assistant, "audio_path": self.audio_path}
        return {key: value for key, value in row.items() if value is not None}


def read_corpus(path: Path, on_bad: OnBadLine | None = None) -> Iterator[CorpusItem]:
    """StreamAudio-2M. For errors see `soundflow.interop.json_lines.read_lines`."""
    return read_lines(path, lambda _, data: CorpusItem.from_json(data), on_bad)


def write_corpus(path: Path, items: Iterable[CorpusItem]) -> int:
    return write_lines(path, (item.to_json() for item in items))


def read_online(path: Path, on_bad: OnBadLine | None = None) -> Iterator[OnlineConversation]:
    return read_lines(path, OnlineConversation.from_json, on_bad)


def read_offline(path: Path, on_bad: OnBadLine | None = None) -> Iterator[OfflineExample]:
    return read_lines(path, OfflineExample.from_json, on_bad)


def _objects(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = data.get(key)
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) for r in rows):
        raise ValueError(f"{key!r} must be a list of objects, got {rows!r}")
    return rows
