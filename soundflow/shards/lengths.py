"""The lengths of all streams of a split: two memory-mapped tables.

::

    train/streams.npy    (n_streams,) of ROW, in the order of the shards; codes of kind and task
    train/turns.npy      (n_turns,) of TURN: the replies of stream 0, of stream 1, ...
    train/index.json     the names behind the codes, and the checksums of the tables

Training plans from here, over millions of streams at once, also what a stream holds up to some
chunk; the sidecars of the shards serve to read single streams.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import Kind, StreamSample

LENGTHS_NAME = "streams.npy"
TURNS_NAME = "turns.npy"
KINDS: tuple[Kind, ...] = get_args(Kind)
ROW = np.dtype(
    [
        ("tokens", "<i4"),
        ("chunks", "<i4"),
        ("decisions", "<i4"),
        ("reply_tokens", "<i4"),
        ("first_turn", "<i8"),
        ("task", "<u2"),
        ("kind", "<u2"),
    ]
)
TURN = np.dtype([("chunk", "<i4"), ("reply_tokens", "<i4")])

Int32 = npt.NDArray[np.int32]


class Turn(NamedTuple):
    """A reply of an online stream: the chunk that it follows, and its targets of L_LM."""

    chunk: int
    reply_tokens: int


@dataclass(frozen=True)
class StreamLengths:
    """The row of one stream.

    Attributes:
        tokens: of the whole layout.
        chunks: of audio.
        decisions, reply_tokens: tokens that are a target of L_stream and of L_LM.
        turns: of an online stream, in order.
    """

    tokens: int
    chunks: int
    decisions: int
    reply_tokens: int
    kind: Kind
    task: str
    turns: tuple[Turn, ...] = ()

    def first_chunks(self, n_chunks: int, block_tokens: int) -> StreamLengths:
        """An online stream cut after ``n_chunks``: what all audio and replies up to there have.

        Args:
            block_tokens: of a chunk with its decision.
        """
        if n_chunks >= self.chunks or self.kind != "online":
            return self
        turns = tuple(turn for turn in self.turns if turn.chunk < n_chunks)
        reply_tokens = sum(turn.reply_tokens for turn in turns)
        cut_tokens = (self.chunks - n_chunks) * block_tokens + self.reply_tokens - reply_tokens
        return replace(
            self,
            tokens=self.tokens - cut_tokens,
            chunks=n_chunks,
            decisions=n_chunks,
            reply_tokens=reply_tokens,
            turns=turns,
        )

    @staticmethod
    def of(sample: StreamSample, spec: StreamSpec) -> StreamLengths:
        turns: tuple[Turn, ...] = ()
        if sample.record.kind == "online":
            chunk_of_token = np.cumsum(sample.ids == spec.tokens.audio_begin) - 1
            replies = np.bincount(chunk_of_token[sample.roles == Role.REPLY])
            turns = tuple(Turn(int(at), int(replies[at])) for at in np.flatnonzero(replies))
        return StreamLengths(
            tokens=len(sample.ids),
            chunks=spec.time.chunks_in(len(sample.pcm)),
            decisions=int((sample.roles == Role.DECISION).sum()),
            reply_tokens=int((sample.roles == Role.REPLY).sum()),
            kind=sample.record.kind,
            task=sample.record.task,
            turns=turns,
        )


@dataclass(frozen=True)
class Lengths:
    """All rows of a split; columns are views of the file, read where they are touched.

    Attributes:
        rows: (n_streams,) of ROW.
        turns: (n_turns,) of TURN; those of a stream begin at its ``first_turn``.
        tasks: the name behind each code of ``task``.
    """

    rows: npt.NDArray[np.void]
    turns: npt.NDArray[np.void]
    tasks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, stream: int) -> StreamLengths:
        tokens, chunks, decisions, reply_tokens, first_turn, task, kind = self.rows[stream].item()
        last = stream in (-1, len(self) - 1)
        end = len(self.turns) if last else int(self.rows["first_turn"][stream + 1])
        turns = tuple(Turn(*turn) for turn in self.turns[first_turn:end].tolist())
        return StreamLengths(
            tokens, chunks, decisions, reply_tokens, KINDS[kind], self.tasks[task], turns
        )

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

    def _column(self, name: str) -> Int32:
        column: Int32 = self.rows[name]
        return column


def table_of(lengths: Iterable[StreamLengths]) -> Lengths:
    """The tables of streams in their order, which need not be in memory at once."""
    codes: dict[str, int] = {}
    turns = array("i")

    def row(o: StreamLengths) -> tuple[int, ...]:
        first = len(turns) // len(Turn._fields)
        for turn in o.turns:
            turns.extend(turn)
        task = codes.setdefault(o.task, len(codes))
        return (
            o.tokens, o.chunks, o.decisions, o.reply_tokens, first, task, KINDS.index(o.kind)
        )  # fmt: skip

    rows = np.fromiter(map(row, lengths), ROW)
    tasks = tuple(sorted(codes))
    in_order = np.array([tasks.index(task) for task in codes], rows["task"].dtype)
    rows["task"] = in_order[rows["task"]]
    return Lengths(rows, np.array(turns, "<i4").view(TURN), tasks)


def table_bytes(table: npt.NDArray[np.void]) -> bytes:
    """The content of its file: a plain array with its header, never pickle."""
    buffer = io.BytesIO()
    np.save(buffer, table, allow_pickle=False)
    return buffer.getvalue()


def open_lengths(local: Callable[[str], Path], n_streams: int, about: dict[str, Any]) -> Lengths:
    """Maps the tables of a split into memory, at a cost that does not depend on their size.

    Args:
        local: the file behind a name.
        about: what the index says of them.

    Raises:
        ValueError: if they are not the tables that the index describes.
        OSError: if they cannot be read.
    """
    if about["kinds"] != list(KINDS):
        raise ValueError(f"kinds {about['kinds']}, this version knows {list(KINDS)}")
    rows = _map(local(LENGTHS_NAME), ROW, n_streams)
    turns = _map(local(TURNS_NAME), TURN, about["n_turns"])
    return Lengths(rows, turns, tuple(about["tasks"]))


def _map(path: Path, dtype: np.dtype[np.void], n: int) -> npt.NDArray[np.void]:
    # A file without rows cannot be mapped.
    try:
        rows = np.load(path, mmap_mode="r" if n else None, allow_pickle=False)
    except (EOFError, SyntaxError, TokenError) as error:  # numpy reads a header as Python
        raise ValueError(f"{path.name}: its header cannot be read") from error
    if rows.dtype != dtype or rows.shape != (n,):
        raise ValueError(f"{path.name}: {rows.shape} of {rows.dtype}, the index says {n} rows")
    found: npt.NDArray[np.void] = rows.view(np.ndarray)
    return found
