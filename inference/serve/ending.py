"""How a connection ends, and what its client is told."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocketDisconnect

from inference.events import SessionFailed
from inference.serve.faults import INTERNAL, TRY_LATER, Fault
from soundflow.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a connection ended.

    Attributes:
        how: for the metrics.
        code: of the close frame; None where the client is gone.
        fault: what the client is told first.
    """

    how: str
    code: int | None
    fault: Fault | None = None


GONE = Ending("client", None)


def ending_with(failed: SessionFailed) -> Ending:
    """The ending of a session that cannot go on."""
    full = failed.reason == "out_of_memory"
    code, close = ("overloaded", TRY_LATER) if full else ("internal_error", INTERNAL)
    log.error("a session failed: %s", failed.error)
    return Ending(code, close, Fault(code, failed.error, kind="server_error", close=close))


async def ending_of(part: Coroutine[Any, Any, Ending]) -> Ending:
    """What a part of a connection comes to, also where it fails."""
    try:
        return await part
    except Fault as fault:
        return Ending(fault.code, fault.close, fault)
    except WebSocketDisconnect:
        return GONE
    except UserError as error:
        log.error("a session failed: %s", error.message)
    except Exception:
        log.exception("a session failed")
    broken = Fault("internal_error", "the session failed", kind="server_error", close=INTERNAL)
    return Ending(broken.code, broken.close, broken)
