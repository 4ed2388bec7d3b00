"""A session goes on with another instruction, threshold and sampling, for good or for one reply.

::

    configure ────────────────────────▶ session's own
    respond, with a configuration ────▶ the reply's ─ end of the reply ─▶ session's own

The instruction is read in place of the old one, and all that is remembered after it: one pass over
the whole memory, which other sessions have to wait for.
"""

from __future__ import annotations

from inference.engine import Engine
from inference.events import SessionEvent
from inference.sessions.config import SessionConfig
from inference.sessions.memory import require_room
from inference.sessions.session_state import SessionState, model_policy


def require_fits(engine: Engine, state: SessionState, config: SessionConfig) -> None:
    """Checks that the instruction and one answered chunk fit into the memory of a session.

    Raises:
        UserError: naming the number of positions needed.
    """
    prefix = engine.prefix_ids(config.system)
    require_room(engine, len(prefix), state.memory.limit_positions)


def go_on_with(engine: Engine, state: SessionState, config: SessionConfig) -> list[SessionEvent]:
    """Puts a configuration in force. What was heard stays, and so does a policy that the session
    was opened with.

    Returns:
        What was trimmed to make room for the instruction.

    Raises:
        OverloadedError: if the machine's memory is not enough; the session is as it was.
    """
    events: list[SessionEvent] = []
    prefix = engine.prefix_ids(config.system)
    if prefix != state.memory.prefix:
        trimmed = state.row.instruct(prefix)
        if trimmed is not None:
            events.append(state.trimmed(trimmed))
    policy = state.given_policy or model_policy(engine, config)
    state.decoder.configure(policy, config.sampling)
    return events
