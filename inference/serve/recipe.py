"""The recipe of `soundflow serve`."""

from __future__ import annotations

from dataclasses import field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.profiles import Profile, ProfileName
from inference.sessions.config import SessionConfig
from soundflow.config.settings import SETTINGS, Few, PositiveSeconds, Precision


@dataclass(frozen=True, config=SETTINGS)
class ServeLimits:
    """What one client may ask for. Each limit has an error of its own (docs/serving.md).

    Attributes:
        sessions: connections at once.
        message_bytes: size of one message.
        messages_per_s: sustained; twice as many may come at once.
        ahead_s: how much audio may arrive earlier than a microphone would deliver it.
        idle_s: time without audio.
        session_s: length of a connection.
        waiting_messages: messages that a client has not read yet.
        ping_s: how often a client is asked whether it is still there, and how long the answer, or
            a request, may take.
    """

    sessions: Few = 16
    message_bytes: Annotated[int, Interval(ge=1024, le=16 * 2**20)] = 2**20
    messages_per_s: Few = 200
    ahead_s: PositiveSeconds = 30.0
    idle_s: PositiveSeconds = 60.0
    session_s: PositiveSeconds = 8 * 3600.0
    waiting_messages: PositiveInt = 2000
    ping_s: PositiveSeconds = 20.0


@dataclass(frozen=True, config=SETTINGS)
class ServeRecipe:
    """The engine behind WebSockets.

    Attributes:
        checkpoint: a checkpoint folder of any form.
        host: the address to listen on; any but loopback needs a token.
        port: 0 takes a free one.
        token_file: a file with the token that clients must present. The environment variable
            SOUNDFLOW_TOKEN holds it otherwise.
        origins: web pages of other origins that may connect, as ``https://example.org``.
        tls_cert: certificate chain in PEM; browsers give the microphone to secure pages only.
        tls_key: its private key.
        engines: processes that compute, each with the model and its share of the sessions: one for
            each core that a model keeps busy, or for each GPU (``device: cuda`` gives each its
            own).
        session: what sessions begin with; clients may change instruction, threshold and length of
            replies.
        profile: how positions are computed.
        precision: of the weights; ``auto`` takes the faster of fp32 and bf16, measured.
    """

    checkpoint: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Interval(ge=0, le=65_535)] = 8000
    token_file: Path | None = None
    origins: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: ServeLimits = field(default_factory=ServeLimits)
    engines: Few = 1
    session: SessionConfig = field(default_factory=SessionConfig)
    profile: ProfileName | Profile = "ours"
    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or none")
        if self.engines > self.limits.sessions:
            raise ValueError(
                f"engines: {self.engines} are more than limits.sessions={self.limits.sessions}"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
