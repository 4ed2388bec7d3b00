"""An evaluation: a checkpoint in, outcomes, figures and a report out.

::

    recipe ─▶ engine, tasks ─▶ outcomes/   what the model did, line by line; resumed, shared
                            ─▶ rows/       one row an item
                            ─▶ predictions/ what was answered, in the benchmark's own format
                            ─▶ results.json, calibration.json, report.html
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from inference.engine import Engine, load_engine
from inference.evaluate.benchmarks.suite import benchmark_tasks
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report.origin import Origin, find_origin
from inference.evaluate.report.page import write_report
from inference.evaluate.report.streams import instructive
from inference.evaluate.results import (
    OUTCOMES_FOLDER,
    PREDICTIONS_FOLDER,
    RECIPE_FILE,
    REPORT_FILE,
    RESULTS_FILE,
    ROWS_FOLDER,
    Provenance,
    Results,
    TaskResults,
)
from inference.evaluate.store import OutcomeStore, Part, write_rows
from inference.evaluate.systems.model import MODEL, Model
from inference.evaluate.systems.thresholds import decode_at, outcome_at
from inference.evaluate.task import Item, Submits, Task
from inference.evaluate.timing import measure as timing
from inference.evaluate.timing.curve import Choice
from inference.evaluate.timing.results import TimingResults
from inference.evaluate.turn_taking.end_of_turn import EndOfTurnTask
from inference.evaluate.turn_taking.full_duplex import FullDuplexTask
from inference.latency import hardware
from inference.lockstep import warm_up
from inference.profiles import Profile, profile_of
from soundflow.atomic import write_text
from soundflow.config.record import record, to_plain
from soundflow.errors import UserError
from soundflow.model.precision import Precision
from soundflow.model.weights import CALIBRATION_FILE
from soundflow.protocol.timebase import TimeBase

log = logging.getLogger(__name__)

SCORED_AT_ONCE = 16

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]
Progress = Callable[[str, int, int], None]


def tasks_of(recipe: EvaluateRecipe, time: TimeBase) -> list[Task[Any, Any]]:
    """The benchmarks that a recipe names, besides timing; their data is not opened yet."""
    tasks: list[Task[Any, Any]] = []
    if recipe.end_of_turn is not None:
        tasks.append(EndOfTurnTask(recipe.end_of_turn, time))
    if recipe.full_duplex is not None:
        tasks.append(FullDuplexTask(recipe.full_duplex, time))
    if recipe.benchmarks is not None:
        tasks += benchmark_tasks(recipe.benchmarks, time)
    return tasks


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
    weights = engine.weights_hash()
    model = Model(
        engine, engine.threshold, recipe.sampling, recipe.streams_at_once, recipe.timeout_s
    )
    origin = find_origin(recipe)
    record(recipe.output / RECIPE_FILE, recipe)

    def open_store(name: str, content: str) -> OutcomeStore:
        settings = [
            weights, content, engine.spec.fingerprint, to_plain(recipe.sampling),
            to_plain(engine.profile), engine.precision,
        ]  # fmt: skip
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        return OutcomeStore(recipe.output / OUTCOMES_FOLDER / f"{name}-{key}", part)

    warm_up(engine)
    halves, chosen = None, None
    if recipe.timing is not None:
        halves = timing.open_halves(recipe.timing, model, open_store)
        thresholds = sorted({*recipe.timing.thresholds, model.threshold})
        for half in halves.all:
            timing.decode(half, model, thresholds, part.share(len(half.items)), tell)
        if not all(timing.is_complete(half, thresholds) for half in halves.all):
            return None
        chosen = timing.choose(recipe.timing, halves)
    model, threshold_from = _at_threshold(recipe, model, chosen)
    tasks = []
    for task in tasks_of(recipe, engine.spec.time):
        found = _measure(task, model, recipe, open_store, part, tell)
        if found is None:
            return None
        tasks.append(found)
    timed: TimingResults | None = None
    if recipe.timing is not None and halves is not None:
        timed = timing.measure_timing(recipe.timing, model, halves, chosen, tell)
        test = halves.test
        names = [item.id for item in test.items]
        write_rows(rows_path(recipe.output, test.task), names, test.rows(model.threshold))
    results = Results(
        Provenance(
            str(recipe.checkpoint), weights, engine.spec, recipe.device,
            engine.precision, model.threshold, threshold_from, hardware(),
        ),
        timed, tuple(tasks), tuple(model.notes),
    )  # fmt: skip
    _write(recipe, results, model, halves, origin)
    return results


def report_path(recipe: EvaluateRecipe) -> Path:
    return recipe.output / REPORT_FILE


def rows_path(output: Path, task: Task[Any, Any]) -> Path:
    """Where the rows of a task are kept, for comparisons."""
    return output / ROWS_FOLDER / f"{task.name}.jsonl"


def _at_threshold(recipe: EvaluateRecipe, model: Model, chosen: Choice | None) -> tuple[Model, str]:
    """The model at the threshold of everything but the curve, and where that comes from."""
    if recipe.threshold is not None:
        return model.at(recipe.threshold), "the recipe"
    if chosen is not None:
        return model.at(chosen.threshold), f"calibrated for the best {chosen.rule}"
    return model, "the checkpoint"


def _measure(
    task: Task[Any, Any],
    model: Model,
    recipe: EvaluateRecipe,
    open_store: timing.OpenStore,
    part: Part,
    tell: Progress,
) -> TaskResults | None:
    """One benchmark: the model on this part's items, then, if all are there, its figures."""
    if task.threshold is not None:
        model = model.at(task.threshold)
    items = task.items()
    store = open_store(task.name, items_hash(items))
    share = [items[k] for k in part.share(len(items))]
    tell(task.name, 0, len(share))
    decode_at(model, share, [model.threshold], store, lambda n: tell(task.name, n, len(share)))
    time = model.engine.spec.time
    outcomes = [outcome_at(store, item.id, model.threshold, time) for item in items]
    known = [o for o in outcomes if o is not None]
    if len(known) < len(items):
        return None
    with ThreadPoolExecutor(SCORED_AT_ONCE) as pool:  # some ask a judge
        rows = list(pool.map(task.score, items, known))
    write_rows(rows_path(recipe.output, task), [item.id for item in items], rows)
    if isinstance(task, Submits):
        name, text = task.predictions(items, rows)
        write_text(recipe.output / PREDICTIONS_FOLDER / name, text)
    systems = {MODEL: task.summarise(rows)}
    for baseline in task.baselines():
        found = dict(baseline.run(items))
        systems[baseline.name] = task.summarise([task.score(i, found[i.id]) for i in items])
    failures = tuple(
        f"{item.id}: {o.failure}" for item, o in zip(items, known, strict=True) if o.failure
    )
    return TaskResults(task.name, task.title, task.lead, len(items), systems, failures)


def items_hash(items: Sequence[Item[Any]]) -> str:
    """Changes with the items, their lengths and instructions; published data sets do not change
    under a name."""
    listed = json.dumps([[item.id, item.n_samples, item.system] for item in items])
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def _write(
    recipe: EvaluateRecipe,
    results: Results,
    model: Model,
    halves: timing.Halves | None,
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
        }
        calibration = json.dumps(about, indent=1, sort_keys=True)
        write_text(recipe.output / CALIBRATION_FILE, calibration)
        if recipe.write_calibration:
            write_calibration(recipe.checkpoint, calibration)
    drawn = [] if halves is None else instructive(halves.test, model, recipe.report.streams)
    write_report(report_path(recipe), results, model.engine.spec, drawn, origin)


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
