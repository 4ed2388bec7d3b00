"""SoundFlow from Python: load a model, feed it audio, get its decisions and replies as they happen.

::

    from soundflow import AudioInteraction

    model = AudioInteraction.from_pretrained("runs/quickstart/model")
    for event in model.stream("talk.wav"):
        print(event)

A live source is pushed instead, packet by packet, into a session that listens while it speaks::

    with model.open() as session:               # any number of them; one worker computes for all
        for packet in microphone:               # mono float32 or int16, 16 kHz, any length
            session.push(packet)                # never waits

    for event in session.events():              # here, or in another thread as they come
        print(event)

A question about a finished recording, or in text alone, is an offline exchange::

    print(model.answer("What is to be heard?", "street.wav"))

Events are the dataclasses of `inference.events` (docs/events.md): `Decided` after every chunk, and,
when the model speaks, `ReplyStarted`, `ReplyText` for each token, `ReplyEnded`; `ChunkDropped`,
`MemoryTrimmed` and `Overloaded` where something was lost or late; last `SessionEnded`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ReplyTruncated,
    ReplyWithdrawn,
    SessionEnded,
    SessionEvent,
    SessionFailed,
)
from inference.exchange import Answer, answer, prompt_of
from inference.feed import feed
from inference.limits import Limits
from inference.profiles import Profile, ProfileName, profile_of
from inference.sessions.config import SessionConfig
from inference.sessions.live import LiveEngine
from inference.sessions.live_session import Session
from inference.sessions.lockstep import Lockstep
from inference.sources.names import resolve
from inference.sources.recordings import Reader, Recording, samples_recording
from soundflow.config.settings import Precision
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec

__all__ = [
    "Answer",
    "AudioInteraction",
    "ChunkDropped",
    "Decided",
    "MemoryTrimmed",
    "Overloaded",
    "Profile",
    "ReplyEnded",
    "ReplyStarted",
    "ReplyText",
    "ReplyTruncated",
    "ReplyWithdrawn",
    "Session",
    "SessionEnded",
    "SessionEvent",
    "SessionFailed",
    "UserError",
]

Array = npt.NDArray[Any]
Audio = str | Path | Array | Iterable[Array]


class AudioInteraction:
    """A loaded model. Open any number of sessions; each has a memory of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._live: LiveEngine | None = None
        self._opening = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        profile: ProfileName | Profile = "ours",
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> AudioInteraction:
        """Loads a checkpoint.

        Args:
            name: a folder (SoundFlow, the published release, Qwen2.5-Omni or its Thinker, a plain
                transformers folder), or the id of a Hugging Face repository with one of these.
            profile: how recordings are padded and positions computed, fixed once loaded:
                ``published`` as in the published code (docs/interoperability.md).
            precision: of the weights; ``auto`` takes the faster of fp32 and bf16, measured.
            device: as torch names it.

        Raises:
            UserError: if there is no such checkpoint, or it cannot be run.
        """
        return cls(open_engine(name, device, precision, profile_of(profile)))

    @property
    def spec(self) -> StreamSpec:
        """Sample rate, chunk, front end and control tokens."""
        return self._engine.spec

    @property
    def system(self) -> str:
        """The instruction that sessions begin with unless another is given."""
        return self._engine.system

    def open(self, **options: Any) -> Session:
        """A live session, served by one worker thread together with all others of this model.

        Args:
            options: fields of `inference.sessions.config.SessionConfig` (system, threshold,
                limit_positions, past_turns, proactive) and of
                `inference.decoder.sampling.SamplingConfig` (temperature, top_k, top_p,
                max_reply_tokens, max_reply_s, max_repeats, seed).

        Raises:
            ValueError: if a value is impossible.
            UserError: if the instruction does not fit into the memory, or too many are open.
        """
        config = _session_config(**options)
        with self._opening:
            if self._live is None:
                self._live = LiveEngine(self._engine, Limits())
        return self._live.open(config)

    def close(self) -> None:
        """Ends all live sessions and their worker; a later `open` starts anew."""
        with self._opening:
            if self._live is not None:
                self._live.close()
                self._live = None

    def stream(
        self, audio: Audio, *, sample_rate_hz: int | None = None, **options: Any
    ) -> Iterator[SessionEvent]:
        """The events of one recording in a session of its own, the same as `soundflow infer` gives.

        After the recording, silence is fed as the profile says (ours: 1 s), so that its last words
        can be answered. To decide about every sample yourself, push packets into an open session.

        Args:
            audio: a file of any format and rate, a pipe, ``-``, or ``FOLDER#STREAM`` of built data;
                or samples, float in [-1, 1] or int16, mono (n,) or (n, channels); or an iterable of
                such packets, as they arrive.
            sample_rate_hz: of samples, packets and raw PCM out of a pipe; the model's where None.
                Files bring their own.
            options: as of `open`. A stream of built data brings its own ``system``.

        Raises:
            UserError: if the audio cannot be read, or holds NaN or infinity.
        """
        recording = self._recording(audio, sample_rate_hz)
        if recording.system is not None:
            options.setdefault("system", recording.system)
        session = Lockstep(self._engine, _session_config(**options))
        return chain.from_iterable(o.events for o in feed(self._engine, session, [recording]))

    def stream_files(
        self, names: Sequence[str | Path], **options: Any
    ) -> Iterator[list[SessionEvent]]:
        """Recordings one after another in one session, each followed by silence.

        Args:
            names: as ``audio`` of `stream`, by name; also folders of recordings and sequence files
                (docs/inference.md). All must be there before the first is fed.
            options: as of `open`.

        Yields:
            What became known during each recording (its last chunk with what follows); last, the
            end of the session.

        Raises:
            UserError: if one cannot be read.
        """
        sources = resolve([str(name) for name in names])
        recordings = [Reader(self.spec).open(source) for source in sources]
        session = Lockstep(self._engine, _session_config(**options))
        events: list[SessionEvent] = []
        for output in feed(self._engine, session, recordings):
            if output.begins is not None and output.begins is not recordings[0]:
                yield events
                events = []
            events += output.events
        yield events[:-1]
        yield events[-1:]

    def answer(
        self,
        question: str | None = None,
        audio: Audio | None = None,
        *,
        sample_rate_hz: int | None = None,
        system: str | None = None,
        **sampling: Any,
    ) -> Answer:
        """An offline exchange: the whole of a recording is heard, then the question is answered.

        The three forms of training: a question about a recording (A_T_T), a recording alone (A_T),
        or text alone (T_T). ``str(answer)`` is its text.

        Args:
            question: in text.
            audio, sample_rate_hz: as of `stream`.
            system: the instruction; training's, or that of a stream of built data, where None.
            sampling: fields of `inference.decoder.sampling.SamplingConfig`.

        Raises:
            UserError: if there is neither, the audio cannot be read, or it is longer than the model
                was trained to take at once.
        """
        if question is None and audio is None:
            raise UserError("nothing was asked", "give a question, a recording, or both")
        recording = None if audio is None else self._recording(audio, sample_rate_hz)
        prompt = prompt_of(self._engine, question, recording, system)
        return answer(self._engine, prompt, SamplingConfig(**sampling))

    def _recording(self, audio: Audio, sample_rate_hz: int | None) -> Recording:
        rate_hz = sample_rate_hz or self.spec.time.sample_rate_hz
        if isinstance(audio, str | Path):
            sources = resolve([str(audio)])
            if len(sources) > 1:
                raise UserError(f"{audio}: names {len(sources)} recordings", "use stream_files")
            return Reader(self.spec, pcm_rate_hz=rate_hz).open(sources[0])
        packets = [audio] if isinstance(audio, np.ndarray) else audio
        return samples_recording("samples", packets, rate_hz, self.spec.time.sample_rate_hz)


def _session_config(
    *,
    system: str | None = None,
    threshold: float | None = None,
    limit_positions: int | None = None,
    past_turns: float = 0.0,
    proactive: bool = True,
    **sampling: Any,
) -> SessionConfig:
    config = SamplingConfig(**sampling)
    return SessionConfig(system, threshold, limit_positions, config, past_turns, proactive)
