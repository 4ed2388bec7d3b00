"""Tables of clips or dialogues on disk, with random access and nothing held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np

from data_build.records import (
    Clip,
    ClipAudio,
    Dialogue,
    DialogueTurn,
    Intervention,
    Origin,
    Prepared,
    Question,
    Recorded,
    SyntheticSound,
    Unspoken,
    Word,
)
from soundflow.atomic import atomic_write

T = TypeVar("T")


class TableWriter(AbstractContextManager["TableWriter"]):
    """Writes ``NAME.jsonl`` and its line offsets; both appear only when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._offsets: list[int] = [0]
        self._digest = hashlib.sha256()
        self._file: BinaryIO

    def __enter__(self) -> TableWriter:
        self._file = self._stack.enter_context(atomic_write(self._path))
        return self

    def add(self, item: Clip | Dialogue) -> None:
        line = json.dumps(_plain(item), sort_keys=True, ensure_ascii=False).encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self._offsets.append(self._offsets[-1] + len(line))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:
            with atomic_write(self._path.with_suffix(".npy")) as file:
                np.save(file, np.array(self._offsets, np.int64), allow_pickle=False)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __len__(self) -> int:
        return len(self._offsets) - 1


class Table(Sequence[T]):
    """Reads what `TableWriter` wrote."""

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], T]) -> None:
        self._path = path
        self._parse = parse
        self._offsets = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[T]: ...
    def __getitem__(self, position: int | slice) -> T | Sequence[T]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(f"item {position} of {len(self)} in {self._path}")
        if self._file is None:
            self._file = self._path.open("rb")
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        self._file.seek(start)
        return self._parse(json.loads(self._file.read(end - start)))

    def __iter__(self) -> Iterator[T]:
        with self._path.open("rb") as file:
            for line in file:
                yield self._parse(json.loads(line))


class ClipTable(Table[Clip]):
    """A table of clips."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, clip_from_json)


class DialogueTable(Table[Dialogue]):
    """A table of dialogues."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, dialogue_from_json)


def _plain(item: Clip | Dialogue) -> dict[str, Any]:
    """What ``asdict`` gives, without its deep copies."""
    if isinstance(item, Dialogue):
        return asdict(item)
    return {
        **vars(item),
        "audio": {"type": type(item.audio).__name__, **vars(item.audio)},
        "origin": vars(item.origin),
        "words": [vars(word) for word in item.words],
        "question": asdict(item.question) if item.question else None,
        "intervention": vars(item.intervention) if item.intervention else None,
    }


def clip_from_json(data: dict[str, Any]) -> Clip:
    """The inverse of what `TableWriter` writes."""
    question, intervention = data["question"], data["intervention"]
    if question is not None:
        question = Question(question["text"], tuple(question["answers"]))
    return Clip(
        **{
            **data,
            "audio": _audio_from_json(data["audio"]),
            "origin": Origin(**data["origin"]),
            "labels": tuple(data["labels"]),
            "words": tuple(Word(**w) for w in data["words"]),
            "question": question,
            "intervention": None if intervention is None else Intervention(**intervention),
        }
    )


def _audio_from_json(data: dict[str, Any]) -> ClipAudio:
    about = {name: value for name, value in data.items() if name != "type"}
    match data["type"]:
        case "Recorded":
            return Recorded(**about)
        case "SyntheticSound":
            return SyntheticSound(about["kind"], tuple(about["seed"]), about["seconds"])
        case "Unspoken":
            return Unspoken()
        case "Prepared":
            return Prepared(**about)
        case other:
            raise ValueError(f"{other!r} is not a kind of clip audio")


def dialogue_from_json(data: dict[str, Any]) -> Dialogue:
    """The inverse of ``asdict(dialogue)``."""
    turns = tuple(DialogueTurn(**turn) for turn in data["turns"])
    return Dialogue(**{**data, "turns": turns, "origin": Origin(**data["origin"])})
