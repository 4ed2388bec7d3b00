"""The lengths of all streams of a split: one memory-mapped table, one row for each stream.

::

    train/streams.npy    (n_streams,) of ROW, in the order of the shards; codes of kind and task
    train/index.json     the names behind the codes, and the checksum of the table

Training reads the lengths of millions of streams from here at once; the sidecars of the shards
serve to read single streams.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import Kind, StreamSample

LENGTHS_NAME = "streams.npy"
KINDS: tuple[Kind, ...] = get_args(Kind)
ROW = np.dtype(
    [
        ("tokens", "<i4"),
        ("chunks", "<i4"),
        ("decisions", "<i4"),
        ("reply_tokens", "<i4"),
        ("task", "<u2"),
        ("kind", "<u2"),
    ]
)

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class StreamLengths:
    """The row of one stream.

    Attributes:
        tokens: of the whole layout.
        chunks: of audio.
        decisions, reply_tokens: tokens that are a target of L_stream and of L_LM.
    """

    tokens: int
    chunks: int
    decisions: int
    reply_tokens: int
    kind: Kind
    task: str

    @staticmethod
    def of(sample: StreamSample, spec: StreamSpec) -> StreamLengths:
        return StreamLengths(
            tokens=len(sample.ids),
            chunks=spec.time.chunks_in(len(sample.pcm)),
            decisions=int((sample.roles == Role.DECISION).sum()),
            reply_tokens=int((sample.roles == Role.REPLY).sum()),
            kind=sample.record.kind,
            task=sample.record.task,
        )


@dataclass(frozen=True)
class Lengths:
    """All rows of a split; columns are views of the file, read where they are touched.

    Attributes:
        rows: (n_streams,) of ROW.
        tasks: the name behind each code of ``task``.
    """

    rows: npt.NDArray[np.void]
    tasks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, stream: int) -> StreamLengths:
        tokens, chunks, decisions, reply_tokens, task, kind = self.rows[stream].item()
        return StreamLengths(tokens, chunks, decisions, reply_tokens, KINDS[kind], self.tasks[task])

    @property
    def tokens(self) -> Int32:
        """(n_streams,) tokens of each stream."""
        return self._column("tokens")

    @property
    def chunks(self) -> Int32:
        """(n_streams,) chunks of audio."""
        return self._column("chunks")

    @property
    def decisions(self) -> Int32:
        """(n_streams,) tokens that are a decision."""
        return self._column("decisions")

    @property
    def reply_tokens(self) -> Int32:
        """(n_streams,) tokens that belong to a reply."""
        return self._column("reply_tokens")

    def is_kind(self, kind: Kind) -> npt.NDArray[np.bool_]:
        """(n_streams,) which streams are of ``kind``."""
        return np.asarray(self.rows["kind"] == KINDS.index(kind))

    def is_task(self, task: str) -> npt.NDArray[np.bool_]:
        """(n_streams,) which streams are of ``task``; none where no stream is."""
        code = self.tasks.index(task) if task in self.tasks else len(self.tasks)
        return np.asarray(self.rows["task"] == code)

    def _column(self, name: str) -> Int32:
        column: Int32 = self.rows[name]
        return column

    def to_bytes(self) -> bytes:
        """The content of the file: a plain array with its header, never pickle."""
        buffer = io.BytesIO()
        np.save(buffer, self.rows, allow_pickle=False)
        return buffer.getvalue()


def table_of(lengths: Sequence[StreamLengths]) -> Lengths:
    tasks = tuple(sorted({one.task for one in lengths}))
    code = {task: number for number, task in enumerate(tasks)}
    rows = [
        (o.tokens, o.chunks, o.decisions, o.reply_tokens, code[o.task], KINDS.index(o.kind))
        for o in lengths
    ]
    return Lengths(np.array(rows, ROW), tasks)


def open_lengths(path: Path, n_streams: int, about: dict[str, Any]) -> Lengths:
    """Maps the table of a split into memory, at a cost that does not depend on its size.

    Args:
        about: what the index says of it.

    Raises:
        ValueError: if it is not the table that the index describes.
        OSError: if it cannot be read.
    """
    if about["kinds"] != list(KINDS):
        raise ValueError(f"kinds {about['kinds']}, this version knows {list(KINDS)}")
    # A file without rows cannot be mapped.
    rows = np.load(path, mmap_mode="r" if n_streams else None, allow_pickle=False)
    if rows.dtype != ROW or rows.shape != (n_streams,):
        raise ValueError(f"{rows.shape} of {rows.dtype}, the index says {n_streams} streams")
    return Lengths(rows.view(np.ndarray), tuple(about["tasks"]))
