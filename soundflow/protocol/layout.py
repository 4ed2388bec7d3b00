"""The token layout of a stream, piece by piece (protocol section 5).

Training concatenates the very pieces that the live decoder appends one at a time::

    prefix                ONLINE ENGLISH SYSTEM TEXT_BEGIN <system> TEXT_END
    listen  (per chunk)   AUDIO_BEGIN PAD*10 ASSISTANT
    silence               KEEP_SILENCE                              decision
    reply                 TEXT_BEGIN <emotion> <text> TEXT_END      decision, reply, reply, ...

A piece is its ids and, for each id, the loss it is a target of. Roles belong to the token that is
predicted, so pieces join without looking at their neighbours; the shift by one happens once, in
the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from soundflow.protocol.tokens import TokenTable

LAYOUT_VERSION = 1
LABEL_IGNORE = -100


class Role(IntEnum):
    """Which loss a token is a target of; every token has at most one."""

    CONTEXT = 0
    DECISION = 1  # L_stream: KEEP_SILENCE or TEXT_BEGIN of a reply
    REPLY = 2  # L_LM: emotion, text and TEXT_END of a reply


@dataclass(frozen=True)
class Piece:
    """Token ids and their roles, of equal length."""

    ids: tuple[int, ...]
    roles: tuple[Role, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Piece) -> Piece:
        return Piece(self.ids + other.ids, self.roles + other.roles)


def _context(*ids: int) -> Piece:
    return Piece(ids, (Role.CONTEXT,) * len(ids))


def _require_text(table: TokenTable, ids: Sequence[int]) -> tuple[int, ...]:
    stray = table.control_ids.intersection(ids)
    if stray:
        raise ValueError(f"text holds control ids {sorted(stray)}; encode it with TextTokenizer")
    return tuple(int(i) for i in ids)


def online_prefix(table: TokenTable, system_ids: Sequence[int]) -> Piece:
    return _context(
        table.online, table.english, table.system,
        table.text_begin, *_require_text(table, system_ids), table.text_end,
    )  # fmt: skip


def offline_prefix(table: TokenTable, system_ids: Sequence[int]) -> Piece:
    return _context(
        table.offline, table.english, table.system,
        table.text_begin, *_require_text(table, system_ids), table.text_end,
    )  # fmt: skip


def listen(table: TokenTable, slots: int) -> Piece:
    """One chunk of audio. Its ``slots`` PAD positions take the encoder outputs of the chunk."""
    return _context(table.audio_begin, *(table.pad,) * slots, table.assistant)


def block_tokens(table: TokenTable, slots: int) -> int:
    """Tokens of a chunk with its decision, without what follows a decision to speak."""
    return len(listen(table, slots)) + len(silence(table))


def silence(table: TokenTable) -> Piece:
    return Piece((table.keep_silence,), (Role.DECISION,))


def reply(table: TokenTable, text_ids: Sequence[int], emotion: str = "normal") -> Piece:
    """A whole turn: the decision to speak, the emotion, the text and its end."""
    said = (table.emotion_ids[emotion], *_require_text(table, text_ids), table.text_end)
    return Piece((table.text_begin, *said), (Role.DECISION, *(Role.REPLY,) * len(said)))


def offline_audio(table: TokenTable, slots: int) -> Piece:
    return _context(table.audio_begin, *(table.audio_pad,) * slots, table.audio_end)


def offline_user(table: TokenTable, text_ids: Sequence[int]) -> Piece:
    return _context(
        table.user, table.text_begin, *_require_text(table, text_ids), table.text_end
    )  # fmt: skip


def offline_prompt(
    table: TokenTable, system_ids: Sequence[int], slots: int, user_ids: Sequence[int] | None
) -> Piece:
    """Everything before the assistant's block: the prefix, the audio and the question.

    Args:
        slots: AUDIO_PAD positions; 0 where the exchange is in text alone.
        user_ids: None where nothing is asked in text.
    """
    pieces = [offline_prefix(table, system_ids)]
    if slots:
        pieces.append(offline_audio(table, slots))
    if user_ids is not None:
        pieces.append(offline_user(table, user_ids))
    return join(pieces)


def offline_answer_begin(table: TokenTable) -> Piece:
    """What is given of the assistant's block where the model is to write the rest."""
    ids = (table.assistant, table.text_begin)
    return Piece(ids, (Role.REPLY,) * len(ids))


def offline_answer(table: TokenTable, text_ids: Sequence[int]) -> Piece:
    """The assistant's block. All of it is a target, as in the release."""
    ids = (*_require_text(table, text_ids), table.text_end)
    return offline_answer_begin(table) + Piece(ids, (Role.REPLY,) * len(ids))


def online_stream(
    table: TokenTable,
    slots: int,
    system_ids: Sequence[int],
    n_chunks: int,
    replies: Mapping[int, tuple[Sequence[int], str]],
) -> Piece:
    """A whole online stream: the prefix, then every chunk with its silence or its reply.

    Args:
        replies: chunk index -> (text ids, emotion). At most one turn begins in a chunk.

    Raises:
        ValueError: if a reply lies outside the stream.
    """
    outside = [c for c in replies if not 0 <= c < n_chunks]
    if outside:
        raise ValueError(f"replies at chunks {outside} lie outside a stream of {n_chunks} chunks")
    pieces = [online_prefix(table, system_ids)]
    for chunk in range(n_chunks):
        pieces.append(listen(table, slots))
        turn = replies.get(chunk)
        pieces.append(silence(table) if turn is None else reply(table, *turn))
    return join(pieces)


def join(pieces: Iterable[Piece]) -> Piece:
    ids: list[int] = []
    roles: list[Role] = []
    for piece in pieces:
        ids.extend(piece.ids)
        roles.extend(piece.roles)
    return Piece(tuple(ids), tuple(roles))


def labels(ids: npt.NDArray[np.int32], roles: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """The published, unshifted label row: the id where it is a target, -100 elsewhere."""
    return np.where(roles == Role.CONTEXT, LABEL_IGNORE, ids).astype(np.int32)


@dataclass(frozen=True)
class ParsedTurn:
    chunk: int
    emotion: str | None
    text_ids: tuple[int, ...]


@dataclass(frozen=True)
class ParsedStream:
    system_ids: tuple[int, ...]
    n_chunks: int
    turns: tuple[ParsedTurn, ...]


def parse_online(table: TokenTable, slots: int, ids: Sequence[int]) -> ParsedStream:
    """Reads an online layout back; the inverse of `online_stream`.

    Raises:
        ValueError: naming the position at which the ids leave the layout.
    """
    head = (table.online, table.english, table.system, table.text_begin)
    if tuple(ids[: len(head)]) != head:
        raise ValueError(f"position 0: not an online prefix: {list(ids[: len(head)])}")
    at = _find(ids, table.text_end, len(head))
    system_ids = tuple(ids[len(head) : at])
    at += 1
    block = listen(table, slots).ids
    turns: list[ParsedTurn] = []
    chunk = 0
    while at < len(ids):
        if tuple(ids[at : at + len(block)]) != block:
            raise ValueError(
                f"position {at}: not a listen block: {list(ids[at : at + len(block)])}"
            )
        at += len(block)
        decision = ids[at] if at < len(ids) else None
        if decision == table.text_begin:
            end = _find(ids, table.text_end, at)
            said = ids[at + 1 : end]
            emotion = table.emotion_name(said[0]) if said else None
            turns.append(ParsedTurn(chunk, emotion, tuple(said[1 if emotion else 0 :])))
            at = end + 1
        elif decision == table.keep_silence:
            at += 1
        else:
            raise ValueError(f"position {at}: {decision} is not a decision")
        chunk += 1
    return ParsedStream(system_ids, chunk, tuple(turns))


def _find(ids: Sequence[int], token: int, start: int) -> int:
    for at in range(start, len(ids)):
        if ids[at] == token:
            return at
    raise ValueError(f"position {start}: text is not closed by {token}")
