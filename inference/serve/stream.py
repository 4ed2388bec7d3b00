"""Our own protocol: audio as binary messages, events of a session as they are (docs/serving.md).

::

    client                                      server
                                                {"event": "session_opened", "sample_rate_hz": ...}
    {"command": "configure", ...}  (optional)   {"event": "session_configured", ...}
    audio, audio, audio, ...       (binary)     {"event": "decided", "p_response": 0.03, ...}
    {"command": "interrupt"}                    {"event": "reply_ended", "reason": "stopped", ...}
    {"command": "finish"}                       {"event": "session_ended", ...}, then closes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from annotated_types import Interval, MaxLen
from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from inference.engine import Engine
from inference.events import Decided, SessionEvent
from inference.events import to_json as event_json
from inference.serve.dialect import (
    Action,
    Configure,
    Finish,
    Interrupt,
    Message,
    Push,
    Reaction,
)
from inference.serve.encodings import AudioInput, Encoding
from inference.serve.faults import Fault
from inference.sessions.config import Respond, SessionConfig
from soundflow.config.settings import SETTINGS, Fraction

PROTOCOL = 1


@dataclass(frozen=True, config=SETTINGS)
class ConfigureCommand:
    """Whatever is left out stays as it is."""

    command: Literal["configure"]
    system: Annotated[str, MaxLen(100_000)] | None = None
    threshold: Fraction | None = None
    max_reply_tokens: PositiveInt | None = None
    proactive: bool | None = None
    encoding: Encoding | None = None
    sample_rate_hz: Annotated[int, Interval(ge=8_000, le=192_000)] | None = None


@dataclass(frozen=True, config=SETTINGS)
class InterruptCommand:
    command: Literal["interrupt"]
    heard_tokens: NonNegativeInt | None = None


@dataclass(frozen=True, config=SETTINGS)
class RespondCommand:
    """``system`` and ``max_reply_tokens`` hold for this reply alone."""

    command: Literal["respond"]
    system: Annotated[str, MaxLen(100_000)] | None = None
    max_reply_tokens: PositiveInt | None = None
    remembered: bool = True


@dataclass(frozen=True, config=SETTINGS)
class FinishCommand:
    command: Literal["finish"]


Command = Annotated[
    ConfigureCommand | InterruptCommand | RespondCommand | FinishCommand,
    Field(discriminator="command"),
]
_COMMANDS: TypeAdapter[Command] = TypeAdapter(Command, config=SETTINGS)


class StreamDialect:
    """One client of our own protocol.

    Args:
        config: of its session, with instruction and threshold.
        require_fits: raises `Fault` if a session cannot be opened with a configuration.
    """

    def __init__(
        self, engine: Engine, config: SessionConfig, require_fits: Callable[[SessionConfig], None]
    ) -> None:
        self._time = engine.spec.time
        self._most_tokens = config.sampling.max_reply_tokens
        self._config = config
        self._require_fits = require_fits
        self._encoding: Encoding = "pcm16"
        self._audio = AudioInput("pcm16", self._time.sample_rate_hz, self._time.sample_rate_hz)

    def opened(self) -> Sequence[Message]:
        return [self._described("session_opened")]

    def received(self, message: str | bytes) -> Reaction:
        if isinstance(message, bytes):
            samples, seconds = self._audio.decode(message)
            return Reaction([Push(samples, seconds)])
        try:
            command = _COMMANDS.validate_json(message, strict=True)
        except ValidationError as error:
            raise _fault(error) from None
        match command:
            case ConfigureCommand():
                actions = self._configure(command)
                return Reaction(actions, [self._described("session_configured")])
            case InterruptCommand():
                return Reaction([Interrupt(command.heard_tokens)])
            case RespondCommand():
                config = self._changed(command)
                self._require_fits(config)
                return Reaction([Respond(config, command.remembered)])
            case FinishCommand():
                return Reaction([Push(self._audio.finish(), 0.0), Finish()])

    def told(self, event: SessionEvent, remembered_s: float) -> Sequence[Message]:
        told = event_json(event)
        if isinstance(event, Decided):
            told["remembered_s"] = remembered_s
        return [told]

    def fault(self, fault: Fault) -> Message:
        return {
            "event": "error",
            "code": fault.code,
            "message": fault.message,
            "param": fault.param,
        }

    def _configure(self, command: ConfigureCommand) -> list[Action]:
        config = replace(
            self._changed(command),
            threshold=self._config.threshold if command.threshold is None else command.threshold,
            proactive=self._config.proactive if command.proactive is None else command.proactive,
        )
        self._require_fits(config)
        actions: list[Action] = []
        encoding = command.encoding or self._encoding
        rate_hz = command.sample_rate_hz or self._audio.rate_hz
        if (encoding, rate_hz) != (self._encoding, self._audio.rate_hz):
            actions.append(Push(self._audio.finish(), 0.0))
            self._audio = AudioInput(encoding, rate_hz, self._time.sample_rate_hz)
            self._encoding = encoding
        if config != self._config:
            actions.append(Configure(config))
            self._config = config
        return actions

    def _changed(self, command: ConfigureCommand | RespondCommand) -> SessionConfig:
        """The configuration with the instruction and the longest reply that a command names."""
        sampling = self._config.sampling
        tokens = command.max_reply_tokens or sampling.max_reply_tokens
        return replace(
            self._config,
            system=self._config.system if command.system is None else command.system,
            sampling=replace(sampling, max_reply_tokens=min(tokens, self._most_tokens)),
        )

    def _described(self, event: str) -> Message:
        return {
            "event": event,
            "protocol": PROTOCOL,
            "chunk_s": self._time.chunk_s,
            "model_rate_hz": self._time.sample_rate_hz,
            "encoding": self._encoding,
            "sample_rate_hz": self._audio.rate_hz,
            "system": self._config.system,
            "threshold": self._config.threshold,
            "proactive": self._config.proactive,
            "max_reply_tokens": self._config.sampling.max_reply_tokens,
        }


def _fault(error: ValidationError) -> Fault:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return Fault("invalid_json", "the message is not JSON")
    path = [str(p) for p in first["loc"][1:]]
    where = ".".join(path) or "command"
    said = first["msg"]
    return Fault("invalid_value", f"{where}: {said[0].lower()}{said[1:]}", param=where)
