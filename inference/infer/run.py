"""`soundflow infer`: runs recordings through one session and shows its events as they happen.

::

    names ─▶ sources ─▶ recordings ─▶ session ─▶ outputs ─▶ observers: terminal or JSON lines,
                                                            latency, recording, report
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from inference.engine import Engine, load_engine
from inference.feed import SessionOutput, feed
from inference.infer.json_lines import JsonLines
from inference.infer.live_view import LiveView, SessionView
from inference.infer.observer import Observer
from inference.infer.recipe import InferRecipe
from inference.infer.stopping import StopRequest, stop_request
from inference.infer.summary import LatencyMeter, summary_line
from inference.infer.transcript import Transcript
from inference.latency import Latency
from inference.profiles import Profile, profile_of
from inference.session import Session, SessionConfig, warm_up
from inference.sources.microphone import OpenMicrophone, open_microphone
from inference.sources.names import MicrophoneInput, Source, resolve
from inference.sources.recordings import Reader, Recording
from soundflow.errors import Stopped
from soundflow.logs import ERR, OUT
from soundflow.model.precision import Precision

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]


@dataclass(frozen=True)
class Devices:
    """Where checkpoints and live audio come from.

    Attributes:
        open_engine: reads a checkpoint; the command passes one that reads every form.
        standard_input: what ``-`` reads; that of the process where None.
        open_microphone: opens an input device.
    """

    open_engine: OpenEngine = load_engine
    standard_input: BinaryIO | None = None
    open_microphone: OpenMicrophone = open_microphone


def infer(recipe: InferRecipe, *, as_json: bool = False, devices: Devices | None = None) -> Latency:
    """Runs the recordings of a recipe and shows the session: on a terminal as a picture that
    moves, elsewhere as a transcript, or as one JSON event a line.

    Raises:
        UserError: if the checkpoint or a recording cannot be read, or the instruction does not fit
            into the session's limits.
        Stopped: after a signal; the session has then ended in good order, summary included.
    """
    devices = devices or Devices()
    sources = resolve(recipe.audio)
    engine = devices.open_engine(
        recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
    )
    meter = LatencyMeter(engine.spec, real_time=recipe.real_time or _is_live(sources))
    with stop_request() as stop:
        outputs = run_session(engine, recipe, sources, devices, stop)
        shown = JsonLines(sys.stdout, engine.spec.time) if as_json else _shown(engine, recipe)
        observe(outputs, (meter, shown))
    found = meter.latency()
    (ERR if as_json else OUT).print(summary_line(found, meter), style="dim", soft_wrap=True)
    if stop.asked is not None:
        name = signal.Signals(stop.asked).name
        raise Stopped(stop.asked, f"stopped by {name}; the session has ended in good order")
    return found


def observe(outputs: Iterator[SessionOutput], observers: Sequence[Observer]) -> None:
    """Shows every output to every observer, and closes them however it ends."""
    with ExitStack() as stack:
        for observer in observers:
            stack.callback(observer.close)
        for output in outputs:
            for observer in observers:
                observer.show(output)


def run_session(
    engine: Engine,
    recipe: InferRecipe,
    sources: Sequence[Source],
    devices: Devices,
    stop: StopRequest,
) -> Iterator[SessionOutput]:
    """One session over all sources, each opened when its turn comes."""
    reader = Reader(
        engine.spec,
        recipe.packet_s,
        recipe.pcm_rate_hz,
        devices.standard_input,
        devices.open_microphone,
    )
    first = reader.open(sources[0])
    session = Session(engine, _config(recipe, first if len(sources) == 1 else None))
    warm_up(engine)

    def recordings() -> Iterator[Recording]:
        yield replace(first, blocks=stop.until(first.blocks))
        for source in sources[1:]:
            recording = reader.open(source)
            yield replace(recording, blocks=stop.until(recording.blocks))

    return feed(engine, session, recordings(), real_time=recipe.real_time, stopped=stop)


def _is_live(sources: Sequence[Source]) -> bool:
    return any(isinstance(source, MicrophoneInput) for source in sources)


def _config(recipe: InferRecipe, alone: Recording | None) -> SessionConfig:
    """A built stream that is alone brings its own instruction, unless the recipe gives one."""
    if recipe.session.system is not None or alone is None or alone.system is None:
        return recipe.session
    return replace(recipe.session, system=alone.system)


def _shown(engine: Engine, recipe: InferRecipe) -> Observer:
    """A picture that moves on a terminal, a transcript elsewhere."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return Transcript(console, engine.spec.time)
    threshold = recipe.session.threshold
    view = SessionView(engine.spec.time, engine.threshold if threshold is None else threshold)
    return LiveView(console, view)
