"""Any endpoint of the OpenAI Realtime protocol as a system: the same items, over the network.

::

    began ──── audio is sent at the speed of a microphone ──────────────────▶ silence ─▶ settled
                                     ▲ a packet leaves        ▲ first delta arrives
    at_samples = (arrival - began - round trip) * rate        audio sent -> first delta

The clock of a reply is that of the sender: how much audio had been sent when its first text came,
less one round trip of the network, measured by pings before the audio begins. The computation of
the other side is part of it, as it is for whoever talks to it.

An item that cannot be finished (the connection drops, the server reports an error or takes too
long) is one outcome with that failure and the replies up to then. An offline exchange is asked for
by `response.create`, when all of its audio has been sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import pydantic.dataclasses
from annotated_types import Interval
from pydantic import NonNegativeInt

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems.realtime_call import Call, converse, reach
from inference.evaluate.task import Item
from soundflow.config.record import to_plain
from soundflow.config.settings import SETTINGS, Few, PositiveSeconds
from soundflow.errors import UserError, not_installed
from soundflow.protocol.timebase import TimeBase


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class RealtimeConfig:
    """An endpoint that speaks the OpenAI Realtime protocol.

    Attributes:
        url: ``wss://host/v1/realtime``; the model is appended.
        api_key_env: the environment variable that holds the key (never the key itself).
        session: further fields of ``session.update``, in the words of the endpoint. Format,
            modality and the instruction of the item are set by the evaluation.
        rate_hz: of the PCM16 that is sent; the protocol has 24 kHz.
        packet_s: how much audio a message holds.
        pace: of a microphone. Others are for servers of one's own that take audio faster; times are
            then not those of a user.
        at_once: conversations side by side.
        asked_again: how often an item that failed is asked once more, each time that the evaluation
            is run again.
        settle_s: how long after the audio a reply may still begin.
        timeout_s: how long after the audio the last reply may end; also for connecting.
    """

    url: str
    model: str
    api_key_env: str = ""
    session: dict[str, Any] = field(default_factory=dict)
    rate_hz: Annotated[int, Interval(ge=8_000, le=48_000)] = 24_000
    packet_s: Annotated[float, Interval(gt=0, le=1)] = 0.1
    pace: Annotated[float, Interval(gt=0, le=100)] = 1.0
    at_once: Few = 4
    asked_again: NonNegativeInt = 1
    settle_s: PositiveSeconds = 2.0
    timeout_s: PositiveSeconds = 30.0

    def __post_init__(self) -> None:
        url = urlsplit(self.url)
        if "@" in url.netloc:  # not repeated: it may hold a password
            raise ValueError("url holds no credentials; api_key_env names the variable that does")
        if url.scheme not in ("ws", "wss") or not url.hostname or url.port == 0:
            raise ValueError(f"url must be ws(s)://host[:port]/path, got {self.url!r}")

    def decisive(self) -> dict[str, Any]:
        """What decides about the outcomes."""
        plain = to_plain(self)
        return {k: v for k, v in plain.items() if k not in ("at_once", "asked_again")}


@dataclass(frozen=True)
class RealtimeSystem:
    """An endpoint as a `System`."""

    name: str
    config: RealtimeConfig
    time: TimeBase = field(repr=False)

    def require_reachable(self) -> None:
        """Opens a session and closes it.

        Raises:
            UserError: if the endpoint cannot be reached or refuses, or websockets is missing.
        """
        if find_spec("websockets") is None:
            raise not_installed("websockets, with which endpoints are evaluated,", "serve")
        refused = reach(self._call())
        if refused is not None:
            raise UserError(
                f"systems.{self.name}: {self.config.url} cannot be used ({refused})",
                "check url, model and api_key_env, and that the server runs",
            )

    def takes_s(self, items: Sequence[Item[Any]]) -> float:
        """Seconds that these items take, all conversations busy."""
        audio_s = self.time.seconds(sum(item.n_samples for item in items))
        settled_s = self.config.settle_s * len(items)
        return (audio_s / self.config.pace + settled_s) / min(
            self.config.at_once, max(1, len(items))
        )

    def clock(self, outcomes: Sequence[Outcome]) -> str:
        """What the times of these outcomes mean, in a sentence."""
        trips_s = [o.round_trip_s for o in outcomes if o.round_trip_s is not None]
        network = "no connection was made"
        if trips_s:
            network = (
                f"the network apart, whose round trip took {1000 * median(trips_s):.0f} ms at the "
                f"median and {1000 * max(trips_s):.0f} ms at most"
            )
        pace = "" if self.config.pace == 1.0 else f", audio sent {self.config.pace:g} times as fast"
        return f"times run from audio sent to the first delta, {network}{pace}"

    def run(self, items: Sequence[Item[Any]]) -> Iterator[tuple[str, Outcome]]:
        """Each item in a conversation of its own, `RealtimeConfig.at_once` of them at a time."""
        call = self._call()
        with ThreadPoolExecutor(self.config.at_once) as pool:
            calls = {pool.submit(converse, call, item): item.id for item in items}
            try:
                for done in as_completed(calls):
                    yield calls[done], done.result()
            finally:  # also after Ctrl-C: leaving the pool waits for those that are not over
                call.stopped.set()
                for waiting in calls:
                    waiting.cancel()

    def _call(self) -> Call:
        c = self.config
        headers = {}
        if c.api_key_env:
            key = os.environ.get(c.api_key_env, "")
            if not key:
                raise UserError(
                    f"systems.{self.name}: the variable {c.api_key_env} is not set", "export it"
                )
            headers["Authorization"] = f"Bearer {key}"
        separator = "&" if urlsplit(c.url).query else "?"
        url = f"{c.url}{separator}{urlencode({'model': c.model})}"
        return Call(
            url, headers, c.session, self.time, c.rate_hz, c.packet_s, c.pace, c.settle_s,
            c.timeout_s,
        )  # fmt: skip
