"""`soundflow infer`: runs recordings through one session and shows its events as they happen.

::

    names ─▶ sources ─▶ recordings ─▶ session ─▶ outputs ─▶ observers: terminal or JSON lines,
                                                            latency, recording, report
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from inference.engine import Engine, load_engine, use_threads
from inference.feed import SessionOutput, feed, feed_live
from inference.infer.json_lines import JsonLines, print_line
from inference.infer.live_view import LiveView, SessionView
from inference.infer.observer import Observer, Observers
from inference.infer.recipe import InferRecipe
from inference.infer.replay import Comparison, compare, replay, require_same_checkpoint
from inference.infer.report import SessionReport
from inference.infer.session_record import (
    SessionRecorder,
    claim_folder,
    read_session,
    recordable,
    settled,
    with_settings,
)
from inference.infer.stopping import StopRequest, stop_request
from inference.infer.summary import LatencyMeter, summary_line
from inference.infer.transcript import Transcript
from inference.infer.unread import Unread, as_far_as_read, require_all_read
from inference.latency import Latency
from inference.limits import Limits
from inference.profiles import Profile, profile_of
from inference.sessions.config import SessionConfig
from inference.sessions.live import LiveEngine
from inference.sessions.lockstep import Lockstep, warm_up
from inference.sources.microphone import OpenMicrophone, open_microphone
from inference.sources.names import MicrophoneInput, Source, resolve
from inference.sources.recordings import Reader, Recording
from soundflow.config.settings import Precision
from soundflow.errors import Stopped, UserError
from soundflow.logs import ERR, OUT
from soundflow.report.page import require_replaceable

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


def infer(
    recipe: InferRecipe,
    *,
    as_json: bool = False,
    record: Path | None = None,
    report: Path | None = None,
    devices: Devices | None = None,
) -> Latency:
    """Runs the recordings of a recipe and shows the session: on a terminal as a picture that
    moves, elsewhere as a transcript, or as one JSON event a line.

    Args:
        record: a folder for all that `inference.infer.replay` needs.

    Raises:
        UserError: if the checkpoint or a recording cannot be read, or the instruction does not fit
            into the session's limits.
        UserError: at the end, if of several recordings one could not be read or not to its end.
        Stopped: after a signal; the session has then ended in good order, summary included.
    """
    devices = devices or Devices()
    sources = resolve(recipe.audio)
    if record is not None:
        claim_folder(record)
    if report is not None:
        require_replaceable(report)
    engine = devices.open_engine(
        recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
    )
    use_threads(engine)
    reader = Reader(
        engine.spec,
        recipe.packet_s,
        recipe.pcm_rate_hz,
        devices.standard_input,
        devices.open_microphone,
    )
    first = reader.open(sources[0])
    # A microphone is the last, and found missing before the first is heard.
    last = [reader.open(one) for one in sources[1:] if isinstance(one, MicrophoneInput)]
    between = sources[1 : len(sources) - len(last)]
    recordings: Iterable[Recording] = chain([first], map(reader.open, between), last)
    recipe = with_instruction(recipe, first if len(sources) == 1 else None)
    recipe = replace(recipe, session=settled(recipe.session, engine))
    real_time = recipe.real_time or _is_live(sources)
    unread: list[Unread] = []
    if len(sources) > 1:
        recordings = as_far_as_read(recordings, unread, engine.spec.time)
    with stop_request() as stop, Observers() as observers:
        meter = observers.add(LatencyMeter(engine, real_time=real_time))
        page = None
        if record is not None:
            recordings = map(_recordable, recordings)
            observers.add(SessionRecorder(record, recipe, engine, real_time=real_time))
        if report is not None:
            page = observers.add(SessionReport(report, engine, recipe.session))
        outputs = run_session(engine, recipe, recordings, stop, real_time=real_time)
        observers.add(_shown(engine, recipe.session, as_json=as_json))
        for output in outputs:
            observers.show(output)
        found = meter.latency()
        if page is not None:
            page.write(found, unread)
    if as_json:
        for one in unread:
            print_line(one.to_json())
    (ERR if as_json else OUT).print(summary_line(found, meter), style="dim", soft_wrap=True)
    if stop.asked is not None:
        name = signal.Signals(stop.asked).name
        raise Stopped(stop.asked, f"stopped by {name}; the session has ended in good order")
    require_all_read(unread, len(sources))
    return found


def run_session(
    engine: Engine,
    recipe: InferRecipe,
    recordings: Iterable[Recording],
    stop: StopRequest,
    *,
    real_time: bool = False,
) -> Iterator[SessionOutput]:
    """One session over all recordings: in lockstep, or live at the speed of the clock."""
    warm_up(engine)
    heard = (replace(one, blocks=stop.until(one.blocks)) for one in recordings)
    if not real_time:
        session = Lockstep(engine, recipe.session)
        yield from feed(engine, session, heard, stopped=stop)
        return
    with LiveEngine(engine, Limits(max_sessions=1)) as live:
        yield from feed_live(engine, live.open(recipe.session), heard, stopped=stop)


def _recordable(recording: Recording) -> Recording:
    return replace(recording, blocks=map(recordable, recording.blocks))


def _is_live(sources: Sequence[Source]) -> bool:
    return any(isinstance(source, MicrophoneInput) for source in sources)


def with_instruction(recipe: InferRecipe, alone: Recording | None) -> InferRecipe:
    """A built stream that is alone brings its own instruction, unless the recipe gives one."""
    if recipe.session.system is not None or alone is None or alone.system is None:
        return recipe
    return replace(recipe, session=replace(recipe.session, system=alone.system))


def replay_session(
    folder: Path,
    checkpoint: Path,
    *,
    settings: Sequence[str] = (),
    to_compare: bool = False,
    devices: Devices | None = None,
) -> Comparison:
    """Replays a recorded session with a checkpoint.

    Args:
        settings: changes of the recorded ones; only to compare.
        to_compare: allows another checkpoint and other settings, and goes on behind the first
            difference.

    Raises:
        UserError: if there is no such session, or without ``to_compare`` it is of another
            checkpoint.
    """
    recorded = read_session(folder)
    if settings and not to_compare:
        raise UserError(
            f"{folder}: a replay takes its settings from the recording, not {settings[0]}",
            "drop it, or add --compare",
        )
    recorded = with_settings(recorded, settings)
    recipe = recorded.recipe
    devices = devices or Devices()
    precision: Precision = "bf16" if recorded.checkpoint.precision == "bf16" else "fp32"
    engine = devices.open_engine(checkpoint, recipe.device, precision, profile_of(recipe.profile))
    use_threads(engine)
    if not to_compare:
        require_same_checkpoint(recorded, engine)
    return compare(recorded, replay(engine, recorded), to_the_end=to_compare)


def _shown(engine: Engine, config: SessionConfig, *, as_json: bool) -> Observer:
    """JSON lines, a picture that moves on a terminal, a transcript elsewhere."""
    if as_json:
        return JsonLines(sys.stdout, engine.spec.time)
    if not OUT.is_terminal or OUT.is_dumb_terminal:
        return Transcript(OUT, engine.spec.time)
    return LiveView(OUT, SessionView(engine.spec.time, config.threshold or 0.0))
