"""Listening to recordings: one session, everything that happens shown as it happens."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from inference.engine import Engine, load_engine
from inference.events import SessionEvent, to_json
from inference.latency import Latency, chunk_costs, measure
from inference.profiles import Profile, open_session, whole_chunks
from inference.recipe import InferRecipe
from inference.recordings import Recording, open_recordings
from inference.session import SessionConfig, warm_up
from inference.transcript import Transcript
from soundflow.model.precision import choose_dtype, chunk_seconds, precision_name
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

Float32 = npt.NDArray[np.float32]

OpenEngine = Callable[[Path, str, torch.dtype], Engine]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionOutput:
    """What became known while a recording was fed.

    ``begins`` is the recording that begins with this packet; ``at_samples`` where, in the session.
    """

    begins: Recording | None
    at_samples: int
    events: tuple[SessionEvent, ...]


def infer(
    recipe: InferRecipe,
    *,
    as_json: bool = False,
    pipe: BinaryIO | None = None,
    open_engine: OpenEngine = load_engine,
) -> Latency:
    """Hears the recordings of a recipe and prints a transcript, or one JSON event a line.

    Args:
        open_engine: reads ``recipe.checkpoint``; the composition root hands in one that reads
            checkpoints of every form.
        pipe: where ``-`` reads from; standard input by default.

    Raises:
        UserError: if the checkpoint or a recording cannot be read.
    """
    engine = _open(recipe, open_engine)
    warm_up(engine)
    heard = hear(engine, recipe, pipe or sys.stdin.buffer)
    return _print_json(engine, heard) if as_json else _print_transcript(engine, heard)


def _open(recipe: InferRecipe, open_engine: OpenEngine) -> Engine:
    def seconds(dtype: torch.dtype) -> float:
        engine = open_engine(recipe.checkpoint, recipe.device, dtype)
        return chunk_seconds(engine.model, engine.spec)

    dtype = choose_dtype(recipe.precision, recipe.device, seconds)
    if recipe.precision == "auto":
        log.info("precision: %s, the faster one here", precision_name(dtype))
    return open_engine(recipe.checkpoint, recipe.device, dtype)


def hear(
    engine: Engine,
    recipe: InferRecipe,
    pipe: BinaryIO,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[SessionOutput]:
    """One session over all recordings, each followed by the profile's silence."""
    recordings = open_recordings(
        recipe.audio, engine.spec, recipe.packet_s, recipe.pcm_rate_hz, pipe
    )
    session = open_session(engine, recipe.heard_as, _config(recipe, recordings))
    received, began = 0, time.perf_counter()
    for recording in recordings:
        begins: Recording | None = recording
        for packet in _packets(recording, recipe.heard_as, engine.spec.time):
            if recipe.real_time:
                due_s = engine.spec.time.seconds(received + len(packet))
                sleep(max(0.0, began + due_s - time.perf_counter()))
            yield SessionOutput(begins, received, tuple(session.push(packet)))
            received += len(packet)
            begins = None
    yield SessionOutput(None, received, tuple(session.close()))


def _packets(recording: Recording, profile: Profile, base: TimeBase) -> Iterator[Float32]:
    """The packets of a recording, filled up to a chunk boundary, and the silence behind it."""
    if profile.maximum == "clip" or profile.trailing == "drop":
        # Both need the whole recording: its maximum, or where its last whole chunk ends.
        samples = np.concatenate(list(recording.packets))
        yield whole_chunks(samples, profile.trailing, base)
    else:
        n_samples = 0
        for packet in recording.packets:
            n_samples += len(packet)
            yield packet
        if padding := base.padding_of(n_samples):
            yield np.zeros(padding, np.float32)
    silence = np.zeros(base.samples(profile.silence_s), np.float32)
    if len(silence):
        yield whole_chunks(silence, "pad", base)


def _config(recipe: InferRecipe, recordings: list[Recording]) -> SessionConfig:
    """A built stream brings its own instruction, unless the recipe gives one."""
    own = recordings[0].system if len(recordings) == 1 else None
    if recipe.session.system is not None or own is None:
        return recipe.session
    given = recipe.session
    return SessionConfig(own, given.threshold, given.limit_positions, given.sampling)


def _print_transcript(engine: Engine, heard: Iterator[SessionOutput]) -> Latency:
    console = Console(highlight=False, markup=False, emoji=False)
    transcript = Transcript(console, engine.spec.time)
    events: list[SessionEvent] = []
    for step in heard:
        if step.begins is not None:
            truth: tuple[Event, ...] | None = step.begins.events
            transcript.recording(step.begins.name, step.at_samples, truth)
        transcript.show(step.events)
        events += step.events
    found = _latency(engine, events)
    if found.real_time_factor is not None and found.decision_p95_s is not None:
        console.print(
            f"real-time factor {found.real_time_factor:.3f}, decisions "
            f"{1000 * found.decision_p95_s:.0f} ms (p95) after their chunk; {found.hardware}",
            style="dim",
            soft_wrap=True,
        )
    return found


def _print_json(engine: Engine, heard: Iterator[SessionOutput]) -> Latency:
    events: list[SessionEvent] = []
    for step in heard:
        for event in step.events:
            print(json.dumps(to_json(event), ensure_ascii=False), flush=True)
        events += step.events
    return _latency(engine, events)


def _latency(engine: Engine, events: list[SessionEvent]) -> Latency:
    return measure([chunk_costs(events)], engine.spec.time, engine.spec.front_end)
