"""`soundflow infer`: runs recordings through one session and shows its events as they happen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from inference.engine import Engine, load_engine
from inference.events import SessionEvent, to_json
from inference.feed import SessionOutput, feed
from inference.latency import Latency, chunk_costs, measure
from inference.profiles import Profile, profile_of
from inference.recipe import InferRecipe
from inference.recordings import Recording, open_recordings, require_present
from inference.session import Session, SessionConfig, warm_up
from inference.transcript import Transcript
from soundflow.model.precision import Precision

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]


def infer(
    recipe: InferRecipe,
    *,
    as_json: bool = False,
    pipe: BinaryIO | None = None,
    open_engine: OpenEngine = load_engine,
) -> Latency:
    """Runs the recordings of a recipe and prints a transcript, or one JSON event a line.

    Args:
        open_engine: reads ``recipe.checkpoint``; the command passes one that reads checkpoints of
            every form.
        pipe: where ``-`` reads from; standard input by default.

    Raises:
        UserError: if the checkpoint or a recording cannot be read, or the instruction does not fit
            into the session's limits.
    """
    profile = profile_of(recipe.profile)
    require_present(recipe.audio)
    engine = open_engine(recipe.checkpoint, recipe.device, recipe.precision, profile)
    outputs = run_session(engine, recipe, pipe or sys.stdin.buffer)
    return _print_json(engine, outputs) if as_json else _print_transcript(engine, outputs)


def run_session(engine: Engine, recipe: InferRecipe, pipe: BinaryIO) -> Iterator[SessionOutput]:
    """One session over all recordings. All of them are opened before the first is fed."""
    recordings = open_recordings(
        recipe.audio, engine.spec, recipe.packet_s, recipe.pcm_rate_hz, pipe
    )
    session = Session(engine, _config(recipe, recordings))
    warm_up(engine)
    yield from feed(engine, session, recordings, real_time=recipe.real_time)


def _config(recipe: InferRecipe, recordings: list[Recording]) -> SessionConfig:
    """A built stream brings its own instruction, unless the recipe gives one."""
    own = recordings[0].system if len(recordings) == 1 else None
    if recipe.session.system is not None or own is None:
        return recipe.session
    return replace(recipe.session, system=own)


def _print_transcript(engine: Engine, outputs: Iterator[SessionOutput]) -> Latency:
    console = Console(highlight=False, markup=False, emoji=False)
    transcript = Transcript(console, engine.spec.time)
    events: list[SessionEvent] = []
    for output in outputs:
        if output.begins is not None:
            transcript.recording(output.begins.name, output.at_samples, output.begins.events)
        transcript.show(output.events)
        events += output.events
    found = _latency(engine, events)
    if found.real_time_factor is not None and found.decision_p95_s is not None:
        console.print(
            f"real-time factor {found.real_time_factor:.3f}, decisions "
            f"{1000 * found.decision_p95_s:.0f} ms (p95) after their chunk; {found.hardware}",
            style="dim",
            soft_wrap=True,
        )
    return found


def _print_json(engine: Engine, outputs: Iterator[SessionOutput]) -> Latency:
    events: list[SessionEvent] = []
    for output in outputs:
        for event in output.events:
            print(json.dumps(to_json(event), ensure_ascii=False), flush=True)
        events += output.events
    return _latency(engine, events)


def _latency(engine: Engine, events: list[SessionEvent]) -> Latency:
    return measure([chunk_costs(events)], engine.spec.time, engine.spec.front_end)
