"""Recordings one after another in one session, under our choices or the published ones.

::

    a.wav ▓▓▓▓▓▓▓▓▓░ 1 s ░░░  b.wav ▓▓▓▓▓▓▓░ 1 s ░░░    one context, one chunk count
          └ whole chunks ┘          └ whole chunks ┘

A profile is data. What it decides is decided in one place each: how samples become whole chunks
(`whole_chunks`), over what the maximum of the log-mel is taken (`ClipEars`), how positions are
counted (`soundflow.model.fp16_positions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass

from inference.chunk_queue import EncodedChunk
from inference.engine import Engine
from inference.events import SessionEvent
from inference.policy import Policy
from inference.session import Session, SessionConfig
from inference.streaming_encoder import StreamingEncoder
from soundflow.config.settings import SETTINGS
from soundflow.interop.published import PUBLISHED_SILENCE_S
from soundflow.model.fp16_positions import Positions, set_positions
from soundflow.protocol.front_end import Maximum
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]
Trailing = Literal["pad", "drop"]


@dataclass(frozen=True, config=SETTINGS)
class Profile:
    """How recordings are heard. The defaults are ours.

    Attributes:
        maximum: of the log-mel; None is the one that the model was trained with. ``clip`` takes
            each recording as a whole, which no live stream can know.
        trailing: whether the last, incomplete chunk of a recording is filled with zeros or left
            out.
        positions: exact, or rounded to float16 as the published code has them.
        silence_s: silence behind each recording, so that its last words can be answered.
    """

    maximum: Maximum | None = None
    trailing: Trailing = "pad"
    positions: Positions = "exact"
    silence_s: NonNegativeFloat = PUBLISHED_SILENCE_S


OURS = Profile()
# The published quick start: a list of files. It pads each of them to a whole chunk, so that the
# rule of its decoder that leaves out an incomplete chunk finds none.
PUBLISHED = Profile(maximum="clip", positions="half")
# The published live server: only whole chunks of what arrives are heard, and the maximum is that
# of the history.
PUBLISHED_LIVE = Profile(maximum="running", trailing="drop", positions="half", silence_s=0.0)

ProfileName = Literal["ours", "published", "published_live"]
PROFILES: dict[ProfileName, Profile] = {
    "ours": OURS,
    "published": PUBLISHED,
    "published_live": PUBLISHED_LIVE,
}


class ClipEars:
    """Ears for which every packet is a recording of its own, with its own maximum.

    Raises:
        ValueError: in `push`, if the recording is not a whole number of chunks.
    """

    def __init__(self, engine: Engine) -> None:
        self._model = engine.model
        self._spec = replace(engine.spec, front_end=replace(engine.spec.front_end, maximum="clip"))
        self._heard = 0
        self._received = 0

    @property
    def received_samples(self) -> int:
        return self._received

    def push(self, packet: npt.ArrayLike) -> Iterator[EncodedChunk]:
        samples = np.asarray(packet, np.float32)
        if len(samples) % self._spec.time.chunk_samples:
            raise ValueError(f"a recording of {len(samples)} samples is not whole chunks")
        self._received += len(samples)
        clip = StreamingEncoder(self._model, self._spec)
        for chunk in (*clip.push(samples), *clip.finish()):
            yield replace(chunk, index=self._heard)
            self._heard += 1

    def finish(self) -> Iterator[EncodedChunk]:
        """Nothing remains: recordings are whole chunks."""
        return iter(())


def open_session(
    engine: Engine,
    profile: Profile = OURS,
    config: SessionConfig | None = None,
    policy: Policy | None = None,
) -> Session:
    """A session that hears as ``profile`` says.

    The way of counting positions belongs to the model, so it holds for all sessions of the engine
    until another profile is opened.
    """
    set_positions(engine.model, profile.positions)
    ears = ClipEars(engine) if profile.maximum == "clip" else None
    if profile.maximum is not None and ears is None:
        front_end = replace(engine.spec.front_end, maximum=profile.maximum)
        engine = replace(engine, spec=replace(engine.spec, front_end=front_end))
    return Session(engine, config, policy, ears=ears)


def hear_recordings(
    session: Session, recordings: Iterable[Float32], profile: Profile, time: TimeBase
) -> Iterator[list[SessionEvent]]:
    """Feeds recordings to ``session`` and closes it.

    Args:
        recordings: mono float32 at the stream's rate.

    Yields:
        For each recording what happened during it and the silence behind it; last, the end.
    """
    silence = np.zeros(time.samples(profile.silence_s), np.float32)
    for samples in recordings:
        events: list[SessionEvent] = []
        for part in (samples, silence):
            whole = whole_chunks(part, profile.trailing if part is samples else "pad", time)
            if len(whole):
                events += session.push(whole)
        yield events
    yield session.close()


def whole_chunks(samples: Float32, trailing: Trailing, time: TimeBase) -> Float32:
    """The samples, padded with zeros to a chunk boundary, or cut at the last one."""
    if trailing == "drop":
        return samples[: len(samples) // time.chunk_samples * time.chunk_samples]
    return np.pad(samples, (0, time.padding_of(len(samples))))
