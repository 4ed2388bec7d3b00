"""A session on disk: what went into it and what came out, so that it can be replayed.

::

    FOLDER/session.json    what decides about the events: checkpoint, settings, machine
           audio.flac      every sample that the session was given, 24 bits
           events.jsonl    in order: {"packet": samples, "arrived_s": ...}, recordings, events

Written as the session goes on: after a kill everything is there up to the last line, and the audio
up to its last quarter of a second.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from inference.engine import Engine
from inference.events import ReplyEnded, ReplyText, SessionEnded, SessionEvent, from_json, to_json
from inference.feed import SessionOutput
from inference.hardware import hardware
from inference.infer.recipe import InferRecipe
from inference.sessions.config import SessionConfig
from soundflow.atomic import write_text
from soundflow.audio.files import AudioBlocks, AudioError
from soundflow.config.load import build, changed
from soundflow.config.record import to_plain
from soundflow.errors import UserError
from soundflow.output import Output, claim
from soundflow.stored_json import parsed

Float32 = npt.NDArray[np.float32]

COMMAND = "infer"
HEADER, AUDIO, EVENTS = "session.json", "audio.flac", "events.jsonl"
_FULL_SCALE = np.float32(2**23)
_REMEDY = "name the folder of a session that was recorded with --record"


@dataclass(frozen=True)
class CheckpointIdentity:
    """What a checkpoint is, wherever it lies and in whichever form.

    Attributes:
        weights: a hash of all parameters as they are in memory, in this ``precision``.
        spec: the fingerprint of the stream spec, which names the tokenizer too.
    """

    weights: str
    precision: str
    spec: str


def identity_of(engine: Engine) -> CheckpointIdentity:
    """The identity of the checkpoint behind an engine; reads every weight once."""
    return CheckpointIdentity(engine.weights_hash(), engine.precision, engine.spec.fingerprint)


def settled(config: SessionConfig, engine: Engine) -> SessionConfig:
    """The settings with all that the engine decides where they leave it open."""
    limit = min(config.limit_positions or engine.limit_positions, engine.limit_positions)
    return replace(
        config,
        system=engine.system if config.system is None else config.system,
        threshold=engine.threshold if config.threshold is None else config.threshold,
        limit_positions=limit,
    )


def recordable(samples: Float32) -> Float32:
    """Samples as 24 bits hold them: a recorded session hears just these."""
    steps = np.clip(np.rint(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    rounded: Float32 = (steps / _FULL_SCALE).astype(np.float32)
    return rounded


class SessionRecorder:
    """Writes a session into a folder as it goes on.

    Args:
        folder: as `claim_folder` left it.
        recipe: with the settings of the session as `settled` gives them.
    """

    def __init__(
        self,
        folder: Path,
        recipe: InferRecipe,
        engine: Engine,
        *,
        real_time: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        header = {
            "checkpoint": asdict(identity_of(engine)),
            "real_time": real_time,
            "hardware": hardware(engine.model.device),
            "recipe": to_plain(recipe),
        }
        write_text(folder / HEADER, json.dumps(header, indent=1, ensure_ascii=False) + "\n")
        self._folder, rate_hz = folder, engine.spec.time.sample_rate_hz
        self._audio = soundfile.SoundFile(folder / AUDIO, "w", rate_hz, 1, "PCM_24", format="FLAC")
        self._lines = (folder / EVENTS).open("w", encoding="utf-8", buffering=1)
        self._time = engine.spec.time
        self._clock = clock
        self._began = clock()

    def show(self, output: SessionOutput) -> None:
        if output.begins is not None:
            at_s = self._time.seconds(output.at_samples)
            self._line(event="recording_started", name=output.begins.name, time_s=at_s)
        if len(output.packet):
            steps = (output.packet * _FULL_SCALE).astype(np.int32)
            with self._writable():
                self._audio.write(steps << 8)
            arrived_s = round(self._clock() - self._began, 6)
            self._line(packet=len(output.packet), arrived_s=arrived_s)
        for event in output.events:
            self._line(**to_json(event))

    def close(self) -> None:
        with self._writable():
            self._audio.close()
        self._lines.close()

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Says of which file libsndfile complains; it does not say why."""
        try:
            yield
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"{self._folder / AUDIO}: cannot be written ({error})", "is the disk full?"
            ) from error

    def _line(self, **fields: object) -> None:
        self._lines.write(json.dumps(fields, ensure_ascii=False) + "\n")


def claim_folder(folder: Path) -> None:
    """Makes ``folder`` that of a session to be recorded.

    Raises:
        UserError: if it holds a recorded session, which is a test to somebody, or anything else.
    """
    if (folder / HEADER).is_file():
        raise UserError(
            f"{folder}: holds a recorded session", "record into another folder, or remove this one"
        )
    claim(folder, Output(COMMAND, {}, (HEADER, AUDIO, EVENTS)))


@dataclass(frozen=True)
class RecordedSession:
    """What `SessionRecorder` wrote.

    Attributes:
        packets: how many samples arrived at once, in order.
        complete: whether it reached its end; otherwise it breaks off somewhere.
    """

    folder: Path
    checkpoint: CheckpointIdentity
    real_time: bool
    recipe: InferRecipe
    packets: tuple[int, ...]
    events: tuple[SessionEvent, ...]

    @property
    def complete(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], SessionEnded)

    @property
    def interrupted(self) -> dict[int, int]:
        """Chunks whose reply was interrupted, and after how many tokens."""
        said = Counter(e.chunk for e in self.events if isinstance(e, ReplyText))
        ended = (e for e in self.events if isinstance(e, ReplyEnded))
        return {e.chunk: said[e.chunk] for e in ended if e.reason == "stopped"}

    def audio(self) -> Iterator[Float32]:
        """The samples, packet by packet, as far as they are there.

        Raises:
            UserError: if the audio of a complete session cannot be read.
        """
        held = np.zeros(0, np.float32)
        blocks = self._blocks()
        for length in self.packets:
            while len(held) < length and (block := next(blocks, None)) is not None:
                held = np.concatenate((held, block))
            if len(held) < length:
                return
            yield held[:length]
            held = held[length:]

    def _blocks(self) -> Iterator[Float32]:
        try:
            yield from AudioBlocks(self.folder / AUDIO, read_ahead=False)
        except AudioError:
            if self.complete:
                raise


def read_session(folder: Path) -> RecordedSession:
    """Reads a recorded session; a last line that a kill cut short is left out.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    file = folder / HEADER
    try:
        header = parsed(file.read_bytes())
        checkpoint = CheckpointIdentity(**header["checkpoint"])
        real_time, recipe = bool(header["real_time"]), header["recipe"]
        lines = (folder / EVENTS).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: is no recorded session ({error})", _REMEDY) from error
    packets: list[int] = []
    events: list[SessionEvent] = []
    for number, text in enumerate(lines[:-1], start=1):
        try:
            line: dict[str, Any] = parsed(text)
            if "packet" in line:
                packets.append(int(line["packet"]))
            elif line.get("event") != "recording_started":
                events.append(from_json(line))
        except (ValueError, TypeError, AttributeError) as error:
            where = f"{folder / EVENTS}:{number}"
            raise UserError(f"{where}: is damaged ({error})", "record the session again") from error
    return RecordedSession(
        folder, checkpoint, real_time, build(InferRecipe, recipe, str(file)),
        tuple(packets), tuple(events),
    )  # fmt: skip


def with_settings(session: RecordedSession, words: Sequence[str]) -> RecordedSession:
    """The session with some of its settings changed by ``key.sub=value`` words.

    Raises:
        UserError: if a key or value is none of a recipe's.
    """
    if not words:
        return session
    tree = changed(to_plain(session.recipe), words, str(session.folder))
    return replace(session, recipe=build(InferRecipe, tree, str(session.folder)))
