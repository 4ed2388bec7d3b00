"""What a client of the OpenAI Realtime protocol may send, and the session that it configures.

Field for field the GA protocol as of ``openai.types.realtime``. What a client could not do without
(audio output, tools, text as an item) is not in the types, so that asking for it is an error with
the name of the field and not a silent difference. Settings of parts that this model does not have
(`WITHOUT_EFFECT`) are sent by most client libraries whether their user asks for them or not: they
change nothing, and ``session.updated`` says what holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len, MaxLen, MinLen
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from inference.serve.faults import Fault
from soundflow.config.settings import SETTINGS, Fraction

Name = Annotated[str, MaxLen(512)]
EventId = Name | None
MaxTokens = Annotated[int, Interval(ge=1, le=4096)] | Literal["inf"]


@dataclass(frozen=True, config=SETTINGS)
class PcmFormat:
    """16-bit little-endian mono; the protocol has 24 kHz, others are an extension."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Annotated[int, Interval(ge=8_000, le=48_000)] = 24_000


@dataclass(frozen=True, config=SETTINGS)
class MuLawFormat:
    """G.711 mu-law at 8 kHz."""

    type: Literal["audio/pcmu"] = "audio/pcmu"


@dataclass(frozen=True, config=SETTINGS)
class ALawFormat:
    """G.711 A-law at 8 kHz."""

    type: Literal["audio/pcma"] = "audio/pcma"


AudioFormat = Annotated[PcmFormat | MuLawFormat | ALawFormat, Field(discriminator="type")]


@dataclass(frozen=True, config=SETTINGS)
class ModelDecides:
    """The model decides after every chunk, at its own threshold; ``create_response``: whether it
    speaks by itself.
    """

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["auto"] = "auto"
    create_response: bool = True
    interrupt_response: Literal[False] = False


@dataclass(frozen=True, config=SETTINGS)
class AtThreshold:
    """The model decides after every chunk; it speaks from this p(response) on, or from its own
    threshold where none is given.
    """

    type: Literal["server_vad"] = "server_vad"
    threshold: Fraction | None = None
    create_response: bool = True
    interrupt_response: Literal[False] = False


TurnDetection = Annotated[ModelDecides | AtThreshold, Field(discriminator="type")]


@dataclass(frozen=True, config=SETTINGS)
class InputSettings:
    format: AudioFormat = Field(default_factory=PcmFormat)
    turn_detection: TurnDetection | None = Field(default_factory=ModelDecides)
    noise_reduction: None = None
    transcription: None = None


@dataclass(frozen=True, config=SETTINGS)
class AudioSettings:
    input: InputSettings = Field(default_factory=InputSettings)
    output: None = None


@dataclass(frozen=True, config=SETTINGS)
class RealtimeSession:
    """The ``session`` of the protocol. A client changes any field but ``id`` and ``object``."""

    id: str
    model: Name
    instructions: str
    type: Literal["realtime"] = "realtime"
    object: Literal["realtime.session"] = "realtime.session"
    output_modalities: Annotated[tuple[Literal["text"], ...], Len(1, 1)] = ("text",)
    max_output_tokens: MaxTokens = "inf"
    audio: AudioSettings = Field(default_factory=AudioSettings)
    tools: Annotated[tuple[Any, ...], MaxLen(0)] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    truncation: Literal["auto"] = "auto"
    tracing: None = None
    prompt: None = None
    include: None = None


@dataclass(frozen=True, config=SETTINGS)
class SessionUpdate:
    type: Literal["session.update"]
    session: dict[str, Any]
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class Append:
    type: Literal["input_audio_buffer.append"]
    audio: str
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class InputAudio:
    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


@dataclass(frozen=True, config=SETTINGS)
class UserMessage:
    """A recording of the user's; ``transcript`` is kept with the item, and not read."""

    type: Literal["message"]
    role: Literal["user"]
    content: Annotated[tuple[InputAudio, ...], MinLen(1)]
    id: Annotated[str, Len(1, 64)] | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


@dataclass(frozen=True, config=SETTINGS)
class ItemCreate:
    """``previous_item_id``: what is heard is heard now, behind all else."""

    type: Literal["conversation.item.create"]
    item: UserMessage
    previous_item_id: None = None
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class Commit:
    type: Literal["input_audio_buffer.commit"]
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class Clear:
    type: Literal["input_audio_buffer.clear"]
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class Cancel:
    type: Literal["response.cancel"]
    response_id: Name | None = None
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class Retrieve:
    type: Literal["conversation.item.retrieve"]
    item_id: Name
    event_id: EventId = None


@dataclass(frozen=True, config=SETTINGS)
class ResponseSettings:
    """What a client may say of the response that it asks for. ``metadata`` comes back with it;
    ``audio``, ``reasoning`` and ``parallel_tool_calls`` change nothing in a reply of text.
    """

    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    conversation: Literal["auto", "none"] = "auto"
    metadata: Annotated[dict[Annotated[str, MaxLen(64)], Name], MaxLen(16)] | None = None
    output_modalities: Annotated[tuple[Literal["text"], ...], Len(1, 1)] = ("text",)
    tools: Annotated[tuple[Any, ...], MaxLen(0)] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    audio: Any = None
    reasoning: Any = None
    parallel_tool_calls: Any = None


@dataclass(frozen=True, config=SETTINGS)
class ResponseCreate:
    type: Literal["response.create"]
    response: ResponseSettings | None = None
    event_id: EventId = None


# Part of the protocol, and not of what this model can do: refused by name.
UNSUPPORTED = {
    "conversation.item.delete": "what was heard leaves the memory only when it grows old",
    "conversation.item.truncate": "there is no output audio; cancel the response instead",
    "output_audio_buffer.clear": "there is no output audio",
}

# Of the items of the protocol.
ITEMS = "only recordings of the user's can be added, at the end; text belongs into the instructions"

# Settings of a voice, of the transcription beside the model, of a detector that waits for silence.
WITHOUT_EFFECT = (
    ("tracing",),
    ("reasoning",),
    ("parallel_tool_calls",),
    ("audio", "output"),
    ("audio", "input", "transcription"),
    ("audio", "input", "noise_reduction"),
    ("audio", "input", "turn_detection", "eagerness"),
    ("audio", "input", "turn_detection", "interrupt_response"),
    ("audio", "input", "turn_detection", "prefix_padding_ms"),
    ("audio", "input", "turn_detection", "silence_duration_ms"),
    ("audio", "input", "turn_detection", "idle_timeout_ms"),
)

ClientEvent = Annotated[
    SessionUpdate | Append | ItemCreate | Commit | Clear | ResponseCreate | Cancel | Retrieve,
    Field(discriminator="type"),
]

_EVENTS: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent, config=SETTINGS)
_SESSION: TypeAdapter[RealtimeSession] = TypeAdapter(RealtimeSession)
# pydantic puts the tag of a union into the path of an error.
_TAGS = {
    "session.update", "input_audio_buffer.append", "input_audio_buffer.commit",
    "input_audio_buffer.clear", "response.create", "response.cancel", "conversation.item.retrieve",
    "conversation.item.create",
    "semantic_vad", "server_vad", "audio/pcm", "audio/pcmu", "audio/pcma", "int", "constrained-int",
}  # fmt: skip


def parse(message: str | bytes) -> ClientEvent:
    """A client event.

    Raises:
        Fault: if it is none, is not supported, or has a field or value that is not.
    """
    if isinstance(message, bytes):
        raise Fault("invalid_json", "expected a JSON text message, got a binary one")
    data = object_of(message)
    event_id = data.get("event_id") if isinstance(data.get("event_id"), str) else None
    kind = data.get("type")
    if isinstance(kind, str) and kind in UNSUPPORTED:
        why = f"{kind} is not supported: {UNSUPPORTED[kind]}"
        raise Fault("unsupported_event", why, param="type", event_id=event_id)
    try:
        return _EVENTS.validate_json(message, strict=True)
    except ValidationError as error:
        fault = _fault(error.errors(include_url=False)[0], "", event_id)
        if kind == "conversation.item.create":
            fault.message += f"; {ITEMS}"
        raise fault from None


def object_of(message: str) -> dict[str, Any]:
    """The JSON object of a message. Raises `Fault` if it is none."""
    try:
        data = json.loads(message)
    except (ValueError, RecursionError):
        raise Fault("invalid_json", "the message is not JSON") from None
    if not isinstance(data, dict):
        raise Fault("invalid_json", "the message is not a JSON object")
    return data


def updated(
    session: RealtimeSession, changes: Mapping[str, Any], event_id: str | None
) -> RealtimeSession:
    """The session with the fields that ``changes`` holds; what is absent stays.

    Raises:
        Fault: naming the first field that is unknown or cannot be honoured.
    """
    for name in ("id", "object"):
        if name in changes:
            raise Fault(
                "unknown_parameter", f"session.{name} cannot be set", param=f"session.{name}",
                event_id=event_id,
            )  # fmt: skip
    merged = _merged(to_json(session), _effective(changes))
    try:
        return _SESSION.validate_json(json.dumps(merged), strict=True)
    except ValidationError as error:
        raise _fault(error.errors(include_url=False)[0], "session.", event_id) from None


def to_json(session: RealtimeSession) -> dict[str, Any]:
    plain: dict[str, Any] = _SESSION.dump_python(session, mode="json")
    return plain


def _effective(changes: Mapping[str, Any], at: tuple[str, ...] = ()) -> dict[str, Any]:
    """Without the settings that have no effect."""
    return {
        key: _effective(value, (*at, key)) if isinstance(value, Mapping) else value
        for key, value in changes.items()
        if (*at, key) not in WITHOUT_EFFECT
    }


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(before, Mapping):
            merged[key] = value
        elif "type" in value and value["type"] != before.get("type"):
            merged[key] = value  # another format, another turn detection: nothing is kept
        else:
            merged[key] = _merged(before, value)
    return merged


def _fault(error: ErrorDetails, where: str, event_id: str | None) -> Fault:
    path = where + ".".join(str(part) for part in error["loc"] if part not in _TAGS)
    match error["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            code, message = "unknown_parameter", f"{path} is not supported"
        case "missing" | "missing_argument" | "union_tag_not_found":
            path = path if error["type"] != "union_tag_not_found" else f"{path}.type".lstrip(".")
            code, message = "missing_required_parameter", f"{path} is missing"
        case "union_tag_invalid":
            path = f"{path}.type".lstrip(".")
            code, message = "invalid_value", f"{path}: this type is not supported"
        case "none_required":
            code, message = "invalid_value", f"{path} is not supported: leave it out, or null"
        case "too_long" if error["ctx"]["max_length"] == 0:
            code, message = "invalid_value", f"{path} is not supported: leave it out, or empty"
        case _:
            said = error["msg"]
            code, message = "invalid_value", f"{path}: {said[0].lower()}{said[1:]}"
    return Fault(code, message, param=path.removesuffix("."), event_id=event_id)
