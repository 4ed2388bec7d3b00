"""LISTENING / SPEAKING as a pure transition function (protocol section 6).

::

                 KEEP_SILENCE                        text
                 ┌────────┐                        ┌──────┐
                 ▼        │      TEXT_BEGIN        ▼      │
    listen ──▶ Listening ─┴─────────────────────▶ Speaking ┴──┐
                 ▲                                            │
                 └─────────── TEXT_END, limit, stop ──────────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from soundflow.protocol.tokens import TokenTable


@dataclass(frozen=True)
class Listening:
    """Between turns: the next token answers a listen block."""


@dataclass(frozen=True)
class Speaking:
    """Inside a turn; ``said`` counts the tokens after TEXT_BEGIN."""

    said: int = 0


State = Listening | Speaking


@dataclass(frozen=True)
class Legal:
    """What may come next: one of ``only``, or, where that is empty, anything but ``never``."""

    only: tuple[int, ...] = ()
    never: tuple[int, ...] = ()

    def allows(self, token: int) -> bool:
        return token in self.only if self.only else token not in self.never


def legal(state: State, table: TokenTable) -> Legal:
    """The decision pair while listening; an emotion first, then text or TEXT_END, in a turn."""
    if isinstance(state, Listening):
        return Legal(only=(table.keep_silence, table.text_begin))
    if state.said == 0:
        return Legal(only=tuple(table.emotion_ids.values()))
    return Legal(never=tuple(sorted(table.control_ids - {table.text_end})))


def advance(state: State, token: int, table: TokenTable) -> State:
    """The state after ``token``.

    Raises:
        ValueError: if ``token`` is not legal in ``state``.
    """
    if not legal(state, table).allows(token):
        raise ValueError(f"token {token} is not legal in {state}")
    if isinstance(state, Listening):
        return Speaking() if token == table.text_begin else state
    return Listening() if token == table.text_end else Speaking(state.said + 1)
