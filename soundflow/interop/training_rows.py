"""The published training JSONL: token rows ready for a trainer, features by path.

::

    {"tasks": "online" | "offline", "idx": 0, "input_ids": [...], "labels": [...],
     "audio_pos": [[start, end], ...] | null, "pt_path_dir": "features/0" | null}

``labels`` is the unshifted row: the id where it is a target, -100 elsewhere. ``audio_pos`` holds
the half-open span of each run of audio slots; the encoder outputs of all spans lie one after the
other in ``<pt_path_dir>/AudioFeat.pt``, a tensor of (slots, width).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from soundflow.interop.json_lines import OnBadLine, read_lines, write_lines
from soundflow.protocol.layout import LABEL_IGNORE, Role, labels
from soundflow.protocol.tokens import TokenTable
from soundflow.shards.schema import StreamSample

FEATURE_FILE = "AudioFeat.pt"
Span = tuple[int, int]


@dataclass(frozen=True)
class TrainingRow:
    """One line. ``audio_spans`` are half-open token positions; ``features_dir`` as written."""

    kind: Literal["online", "offline"]
    index: int
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    audio_spans: tuple[Span, ...] = ()
    features_dir: str | None = None

    @property
    def n_slots(self) -> int:
        return sum(end - start for start, end in self.audio_spans)

    def roles(self, table: TokenTable) -> npt.NDArray[np.int8]:
        """(n_tokens,) int8 `Role` of every token: what the published row has one loss for.

        A target that answers ASSISTANT in an online row is a decision; all others are reply.
        """
        ids, targets = np.array(self.ids), np.array(self.labels)
        roles = np.where(targets == LABEL_IGNORE, Role.CONTEXT, Role.REPLY).astype(np.int8)
        if self.kind == "online":
            answers = np.concatenate(([False], ids[:-1] == table.assistant))
            decides = np.isin(ids, (table.keep_silence, table.text_begin))
            roles[(targets != LABEL_IGNORE) & answers & decides] = Role.DECISION
        return roles

    def validate(self, table: TokenTable) -> None:
        """Checks a row against itself and the token table.

        Raises:
            ValueError: if lengths differ, a label is neither its id nor -100, an id is outside the
            vocabulary, or the spans are not exactly the audio slots.
        """
        if len(self.ids) != len(self.labels):
            raise ValueError(f"{len(self.ids)} 'input_ids' but {len(self.labels)} 'labels'")
        wrong = [
            i
            for i, (token, label) in enumerate(zip(self.ids, self.labels, strict=True))
            if label not in (LABEL_IGNORE, token)
        ]
        if wrong:
            raise ValueError(f"'labels' differ from 'input_ids' at position {wrong[0]}")
        outside = [t for t in self.ids if not 0 <= t < table.vocab_size]
        if outside:
            raise ValueError(f"id {outside[0]} is outside the vocabulary of {table.vocab_size}")
        slots = {p for start, end in self.audio_spans for p in range(start, end)}
        found = {i for i, t in enumerate(self.ids) if t in (table.pad, table.audio_pad)}
        if slots != found or len(slots) != self.n_slots:
            raise ValueError(f"'audio_pos' covers {len(slots)} positions, slots are {len(found)}")

    def to_json(self) -> dict[str, Any]:
        return {
            "tasks": self.kind,
            "idx": self.index,
            "input_ids": list(self.ids),
            "labels": list(self.labels),
            "audio_pos": [list(s) for s in self.audio_spans] or None,
            "pt_path_dir": self.features_dir,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> TrainingRow:
        """A row from one line of the file.

        Raises:
            ValueError: if a field is missing or of another type.
        """
        kind = data.get("tasks")
        if kind not in ("online", "offline"):
            raise ValueError(f"'tasks' must be 'online' or 'offline', got {kind!r}")
        features = data.get("pt_path_dir")
        if features is not None and not isinstance(features, str):
            raise ValueError(f"'pt_path_dir' must be text or null, got {features!r}")
        spans = data.get("audio_pos") or []
        if not all(isinstance(s, list) and len(s) == 2 for s in spans):
            raise ValueError("'audio_pos' must be a list of [start, end]")
        pairs = [_integers(s, "audio_pos") for s in spans]
        index = data.get("idx")
        if not isinstance(index, int):
            raise ValueError(f"'idx' must be an integer, got {index!r}")
        return TrainingRow(
            kind=cast(Literal["online", "offline"], kind),
            index=index,
            ids=_integers(data.get("input_ids"), "input_ids"),
            labels=_integers(data.get("labels"), "labels"),
            audio_spans=tuple((a, b) for a, b in pairs),
            features_dir=features,
        )

    @staticmethod
    def from_sample(
        sample: StreamSample, index: int, table: TokenTable, features_dir: str | None
    ) -> TrainingRow:
        """A stream of ours in the published form; ``features_dir`` None for text alone."""
        ids = [int(t) for t in sample.ids]
        return TrainingRow(
            kind=sample.record.kind,
            index=index,
            ids=tuple(ids),
            labels=tuple(int(t) for t in labels(sample.ids, sample.roles)),
            audio_spans=tuple(audio_spans(ids, table)),
            features_dir=features_dir,
        )


def audio_spans(ids: Sequence[int], table: TokenTable) -> Iterator[Span]:
    """The half-open span of every run of PAD or AUDIO_PAD."""
    start: int | None = None
    for position, token in enumerate((*ids, table.assistant)):
        inside = token in (table.pad, table.audio_pad)
        if inside and start is None:
            start = position
        elif not inside and start is not None:
            yield start, position
            start = None


def read_training_rows(
    path: Path, table: TokenTable, on_bad: OnBadLine | None = None
) -> Iterator[TrainingRow]:
    """Reads and validates; for errors see `soundflow.interop.json_lines.read_lines`."""

    def parse(_: int, data: dict[str, Any]) -> TrainingRow:
        row = TrainingRow.from_json(data)
        row.validate(table)
        return row

    return read_lines(path, parse, on_bad)


def write_training_rows(path: Path, rows: Iterable[TrainingRow]) -> int:
    return write_lines(path, (row.to_json() for row in rows))


def _integers(value: object, key: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(
        isinstance(v, int) and not isinstance(v, bool) for v in value
    ):
        raise ValueError(f"{key!r} must be a list of integers")
    return tuple(value)
