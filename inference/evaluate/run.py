"""An evaluation: a checkpoint in, outcomes, figures and a report out.

::

    recipe ─▶ engine, tasks ─▶ outcomes/   what the model did, line by line; resumed, shared
                            ─▶ rows/       one row an item
                            ─▶ predictions/ what was answered, in the benchmark's own format
                            ─▶ results.json, calibration.json, report.html
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inference.engine import Engine, load_engine, use_threads
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report.origin import Origin, find_origin
from inference.evaluate.report.page import write_report
from inference.evaluate.report.streams import instructive
from inference.evaluate.results import (
    RECIPE_FILE,
    REPORT_FILE,
    RESULTS_FILE,
    Provenance,
    Results,
)
from inference.evaluate.store import Part, write_rows
from inference.evaluate.suite import benchmark_tasks
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.realtime import RealtimeSystem
from inference.evaluate.task import Item, Task
from inference.evaluate.task_run import Progress, Work, rows_path, run_task
from inference.evaluate.timing.curve import Choice
from inference.evaluate.timing.halves import Halves, decode, decoded, open_halves
from inference.evaluate.timing.measure import choose, measure_timing
from inference.evaluate.timing.results import TimingResults
from inference.hardware import hardware
from inference.profiles import Profile, profile_of
from inference.sessions.lockstep import warm_up
from soundflow.atomic import write_text
from soundflow.config.record import record, to_plain
from soundflow.config.settings import Precision
from soundflow.errors import UserError
from soundflow.model.facts import CALIBRATION_FILE
from soundflow.model.weights import weights_fingerprint

log = logging.getLogger(__name__)

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]


def evaluate(
    recipe: EvaluateRecipe,
    *,
    open_engine: OpenEngine = load_engine,
    part: Part = Part(),  # noqa: B008 - immutable
    progress: Progress | None = None,
) -> Results | None:
    """Measures a checkpoint and writes its results to the output; what is there is not repeated.

    Args:
        open_engine: reads the checkpoint; the command passes one that reads every form.
        part: the share of the items to decode, of several processes with the same recipe.

    Returns:
        None where other parts are not done yet; the last one to finish has the results.

    Raises:
        UserError: if checkpoint and data are missing, damaged or of different specs.
    """
    tell = progress or (lambda stage, done, total: None)
    engine = open_engine(
        recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
    )
    time = engine.spec.time
    weights = engine.weights_hash()
    model = Model(
        engine, engine.threshold, recipe.sampling, recipe.streams_at_once, recipe.timeout_s
    )
    others = [RealtimeSystem(name, config, time) for name, config in recipe.systems.items()]
    for other in others:
        other.require_reachable()
    origin = find_origin(recipe)
    record(recipe.output / RECIPE_FILE, recipe)
    decisive = [
        weights, engine.spec.fingerprint, to_plain(recipe.sampling), to_plain(engine.profile),
        engine.precision,
    ]  # fmt: skip
    work = Work(recipe.output, decisive, part, tell)
    tasks = [(task, task.items()) for task in benchmark_tasks(recipe.benchmarks, time)]
    for task, items in tasks:
        _require_unique_ids(task, items)
    if not engine.decides:
        _require_exchanges(recipe, tasks)
    halves = None
    if recipe.timing is not None:
        halves = open_halves(recipe.timing, model, work.of_model)
    listed = [item for _, items in tasks for item in items]
    _announce(others, [*(halves.test.items if halves else ()), *listed])

    use_threads(engine, recipe.streams_at_once)
    warm_up(engine)
    chosen, answered = None, {}
    if recipe.timing is not None and halves is not None:
        thresholds = sorted({*recipe.timing.thresholds, model.threshold})
        for half in halves.all:
            decode(half, model, thresholds, part.share(len(half.items)), tell)
        test = halves.test
        for other in others:
            answered[other.name] = work.ask(other, test.task.name, test.content_hash, test.items)
        there = {half.name: decoded(half, thresholds) for half in halves.all}
        for name, items_there in there.items():
            work.name_missing(name, items_there)
        if not all(map(all, there.values())):
            return None
        chosen = choose(recipe.timing, halves)
    model, threshold_from = _at_threshold(recipe, model, chosen)
    found = [run_task(task, items, model, others, work) for task, items in tasks]
    measured = [results for results in found if results is not None]
    known = {name: outcomes for name, outcomes in answered.items() if outcomes is not None}
    if len(measured) < len(tasks) or len(known) < len(answered):
        return None
    timed: TimingResults | None = None
    if recipe.timing is not None and halves is not None:
        timed = measure_timing(recipe.timing, model, halves, chosen, tell, known)
        test = halves.test
        names = [item.id for item in test.items]
        write_rows(rows_path(recipe.output, test.task), names, test.rows(model.threshold))
    results = Results(
        Provenance(
            str(recipe.checkpoint), weights, engine.spec, recipe.device,
            engine.precision, model.threshold, threshold_from,
            hardware(engine.model.device),
        ),
        timed, tuple(measured), (*model.notes, *work.notes),
    )  # fmt: skip
    _write(recipe, results, model, halves, origin)
    return results


def _require_unique_ids(task: Task[Any, Any], items: Sequence[Item[Any]]) -> None:
    """Outcomes are kept by id: of two items with one, the second would get that of the first.

    Raises:
        UserError: naming an id that comes twice.
    """
    for name, n in Counter(item.id for item in items).most_common(1):
        if n > 1:
            raise UserError(
                f"{task.name}: {n} items of its data have the id {name!r}",
                "give each an id of its own",
            )


def _require_exchanges(
    recipe: EvaluateRecipe, tasks: Sequence[tuple[Task[Any, Any], Sequence[Item[Any]]]]
) -> None:
    """Streams ask for decisions; a model that was never trained to take them has only noise there.

    Raises:
        UserError: naming what cannot be measured.
    """
    of_streams = [task.name for task, items in tasks if any(i.exchange is None for i in items)]
    if recipe.timing is not None:
        of_streams.insert(0, "timing")
    if of_streams:
        raise UserError(
            f"{recipe.checkpoint}: was never trained to decide when to speak, so it cannot be "
            f"measured in streams: {', '.join(of_streams)}",
            "leave these out, ask about finished recordings (offline modes; "
            "recipes/evaluate/qwen2_5_omni.yaml), or train it first",
        )


def _announce(others: Sequence[RealtimeSystem], items: Sequence[Item[Any]]) -> None:
    """Says how long endpoints will take: audio cannot be sent faster than it is spoken."""
    for other in others:
        minutes = other.takes_s(items) / 60.0
        log.info(
            "%s is sent %d items in real time, %d at once: %.1f minutes, less what is stored",
            other.name, len(items), other.config.at_once, minutes,
        )  # fmt: skip


def _at_threshold(recipe: EvaluateRecipe, model: Model, chosen: Choice | None) -> tuple[Model, str]:
    """The model at the threshold of everything but the curve, and where that comes from."""
    if recipe.threshold is not None:
        return model.at(recipe.threshold), "the recipe"
    if chosen is not None:
        return model.at(chosen.threshold), f"calibrated for the best {chosen.rule}"
    return model, "the checkpoint"


def _write(
    recipe: EvaluateRecipe,
    results: Results,
    model: Model,
    halves: Halves | None,
    origin: Origin,
) -> None:
    text = json.dumps(results.to_json(), indent=1, allow_nan=False)
    write_text(recipe.output / RESULTS_FILE, text)
    timed = results.timing
    if timed is not None and timed.chosen is not None and halves and halves.calibration:
        about = {
            **vars(timed.chosen),
            "split": halves.calibration.name,
            "n_streams": len(halves.calibration.items),
            "data_fingerprint": halves.calibration.content_hash,
            "weights": results.provenance.weights,
            "fingerprint": weights_fingerprint(model.engine.model),
        }
        calibration = json.dumps(about, indent=1, sort_keys=True)
        write_text(recipe.output / CALIBRATION_FILE, calibration)
        if recipe.write_calibration:
            write_calibration(recipe.checkpoint, calibration)
    drawn = [] if halves is None else instructive(halves.test, model, recipe.report.streams)
    write_report(recipe.output / REPORT_FILE, results, model.engine.spec, drawn, origin)


def write_calibration(checkpoint: Path, calibration: str) -> None:
    """Stores it where sessions look for it; a checkpoint that cannot be written is no failure."""
    try:
        if not checkpoint.is_dir():
            raise UserError(f"{checkpoint}: is no folder on this machine")
        write_text(checkpoint / CALIBRATION_FILE, calibration)
    except UserError as error:
        log.warning(
            "%s; the calibration is in the output: pass its threshold to sessions", error.message
        )
