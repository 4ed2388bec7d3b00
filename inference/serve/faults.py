"""What a server says to a client that asked for too much or for what there is not."""

from __future__ import annotations

from typing import Literal

Kind = Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]

# WebSocket close codes (RFC 6455, section 7.4.1; 1012 and 1013 in the IANA registry).
NORMAL = 1000
GOING_AWAY = 1001
POLICY = 1008
INTERNAL = 1011
RESTART = 1012
TRY_LATER = 1013


class Fault(Exception):
    """A mistake of a client, or a limit that it met.

    Args:
        code: names it for programs.
        message: one sentence for people; holds nothing of the machine.
        param: the field that it is about.
        event_id: the client event that caused it.
        close: the WebSocket close code if it ends the connection.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        kind: Kind = "invalid_request_error",
        param: str | None = None,
        event_id: str | None = None,
        close: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind: Kind = kind
        self.param = param
        self.event_id = event_id
        self.close = close

    def to_json(self) -> dict[str, str | None]:
        return {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": self.event_id,
        }
