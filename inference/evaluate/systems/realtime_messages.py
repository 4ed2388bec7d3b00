"""What is said to an endpoint of the OpenAI Realtime protocol, and what its events mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.evaluate.outcome import Failure, Outcome, Piece, TimedReply
from inference.evaluate.task import Exchange

# Text of a reply; the second is what a server with a voice says aloud.
_DELTAS = ("response.output_text.delta", "response.output_audio_transcript.delta")


class ServerError(Exception):
    """The server reported an error, or said something that is not of the protocol."""


@dataclass
class Received:
    """What a server has said so far, event by event.

    Attributes:
        round_trip_s: of the network; None before it was measured.
        in_progress: ids of responses that have begun and not ended.
        ended: how many have.
    """

    round_trip_s: float | None = None
    in_progress: set[str] = field(default_factory=set)
    ended: int = 0
    _pieces: dict[str, list[Piece]] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], at_samples: int) -> None:
        """An event that came when so much audio had been sent, the network apart.

        Raises:
            ServerError: if it reports one.
        """
        kind = event.get("type")
        if kind == "error":
            raise ServerError(error_text(event.get("error")))
        if kind == "response.created":
            self.in_progress.add(str(event["response"]["id"]))
        elif kind in _DELTAS and event["delta"]:
            piece = Piece(str(event["delta"]), at_samples)
            self._pieces.setdefault(str(event["response_id"]), []).append(piece)
        elif kind == "response.done":
            response = event["response"]
            self.in_progress.discard(str(response["id"]))
            self.ended += 1
            if response.get("status") == "failed":
                raise ServerError(error_text((response.get("status_details") or {}).get("error")))

    def outcome(self, failure: Failure | None = None) -> Outcome:
        """A reply begins with its first text; a response without any said nothing."""
        replies = [
            TimedReply(pieces[0].at_samples, "".join(p.text for p in pieces), "", tuple(pieces))
            for pieces in self._pieces.values()
        ]
        replies.sort(key=lambda reply: reply.at_samples)
        return Outcome(tuple(replies), failure, round_trip_s=self.round_trip_s)


def session_update(
    wanted: Mapping[str, Any], rate_hz: int, system: str | None, exchange: Exchange | None
) -> dict[str, Any]:
    """`session.update`. A question in text is part of the instructions, which every server reads;
    not every one takes items of text.
    """
    session = dict(wanted)
    audio = dict(session.pop("audio", {}))
    given = dict(audio.pop("input", {}))
    given["format"] = {"type": "audio/pcm", "rate": rate_hz}
    if exchange is not None:  # it speaks when it is asked to, and not before
        given["turn_detection"] = None
    fixed: dict[str, Any] = {"type": "realtime", "output_modalities": ["text"]}
    question = None if exchange is None else exchange.question
    instructions = [text for text in (system, question) if text]
    if instructions:
        fixed["instructions"] = "\n\n".join(instructions)
    whole = {**session, **fixed, "audio": {**audio, "input": given}}
    return {"type": "session.update", "session": whole}


def parsed(message: str | bytes) -> dict[str, Any]:
    try:
        event = json.loads(message)
    except ValueError as error:
        raise ServerError("a message is not JSON") from error
    if not isinstance(event, dict):
        raise ServerError("a message is not a JSON object")
    return event


def error_text(error: Any) -> str:
    """The code and message of an error of the protocol, in one line."""
    if not isinstance(error, dict):
        return "an error without words"
    parts = [str(error[name]) for name in ("code", "message") if error.get(name)]
    return " ".join(": ".join(parts).split())[:200] or "an error without words"
