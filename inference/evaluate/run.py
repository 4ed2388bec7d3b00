"""An evaluation: checkpoint and held-out streams in, results.json and report.html out.

::

    calibrate_on ─▶ threshold (stored with the checkpoint), silence timer's settings
    split ────────▶ the model at that threshold ┐
                    the baselines               ├─▶ the timing protocol, W = 2, 1, 5 s
                    the model at every threshold ─▶ curve
                    a few live sessions ──────────▶ latency, and the same events as in a batch
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.engine import Engine, load_engine
from inference.evaluate.baselines import baselines, best_timer, reply_rate
from inference.evaluate.breakdown import by_kind, by_task
from inference.evaluate.curve import Calibration, calibrate, calibration_folder, store
from inference.evaluate.metrics import score, windows_of
from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report import Drawn, write_report
from inference.evaluate.report_origin import Origin, find_origin
from inference.evaluate.results import MODEL, RECIPE_FILE, REPORT_FILE, RESULTS_FILE, Results
from inference.evaluate.streams import encode_streams, online_positions, read_groups, truth_of
from inference.evaluate.sweep import Run, outcome_of, run_alone, sweep
from inference.evaluate.systems import SilenceTimer
from inference.evaluate.triggers import match
from inference.latency import Latency, chunk_costs, measure
from inference.session import warm_up
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.shards.reader import ShardSet

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Swept:
    """A split decoded at several thresholds.

    ``positions`` are places in the split; ``truths`` and every list of ``runs`` have one entry for
    each of them.
    """

    shards: ShardSet
    positions: list[int]
    truths: list[Truth]
    runs: dict[float, list[Run]]

    def outcomes(self, engine: Engine, threshold: float) -> list[Outcome]:
        return [outcome_of(run, engine.spec.time) for run in self.runs[threshold]]


def evaluate(recipe: EvaluateRecipe, *, progress: Progress | None = None) -> Results:
    """Measures a checkpoint and writes ``results.json`` and ``report.html`` to its output.

    Raises:
        UserError: if checkpoint and data are missing, damaged or of different specs, or memory
            runs out.
    """
    tell = progress or (lambda stage, done, total: None)
    engine = load_engine(recipe.checkpoint)
    shards = ShardSet(recipe.data / recipe.split)
    origin = find_origin(recipe)
    record(recipe.output / RECIPE_FILE, recipe)
    folder = calibration_folder(recipe.checkpoint, recipe.output)
    warm_up(engine)
    calibration, path, timer, rate = _calibrate(recipe, engine, folder, tell)
    thresholds = sorted({*recipe.thresholds, calibration.threshold})
    swept = _sweep(recipe, engine, shards, thresholds, tell)
    results = _measure(recipe, engine, swept, calibration, path, timer, rate)
    write_text(
        recipe.output / RESULTS_FILE, json.dumps(results.to_json(), indent=1, allow_nan=False)
    )
    _report(recipe, engine, swept, results, origin)
    return results


def report_path(recipe: EvaluateRecipe) -> Path:
    return recipe.output / REPORT_FILE


def _calibrate(
    recipe: EvaluateRecipe, engine: Engine, folder: Path, tell: Progress
) -> tuple[Calibration, Path | None, SilenceTimer, float]:
    """Threshold and where it is stored, silence timer, and the random system's rate of replies."""
    time = engine.spec.time
    if recipe.calibrate_on is None:
        kept = Calibration(engine.threshold, None, "none", 0)
        shards = ShardSet(recipe.data / recipe.split)
        truths = [truth_of(shards.record(i)) for i in online_positions(shards, recipe.max_streams)]
        return kept, None, SilenceTimer(), reply_rate(truths, time)
    shards = ShardSet(recipe.data / recipe.calibrate_on)
    swept = _sweep(recipe, engine, shards, recipe.thresholds, tell)
    curve = {
        t: score(swept.truths, swept.outcomes(engine, t), time, recipe.windows_s[0])
        for t in recipe.thresholds
    }
    calibration = calibrate(curve, recipe.calibrate_on, len(swept.truths))
    path = store(calibration, folder, shards.content_hash)
    timer = best_timer(shards, swept.positions, swept.truths, time)
    return calibration, path, timer, reply_rate(swept.truths, time)


def _sweep(
    recipe: EvaluateRecipe,
    engine: Engine,
    shards: ShardSet,
    thresholds: Sequence[float],
    tell: Progress,
) -> Swept:
    """Decodes the online streams of a split group by group."""
    positions = online_positions(shards, recipe.max_streams)
    truths: list[Truth] = []
    runs: dict[float, list[Run]] = {t: [] for t in thresholds}
    stage = f"decode {shards.folder.name}"
    tell(stage, 0, len(positions))
    for group in read_groups(engine, shards, positions, recipe.streams_at_once):
        for threshold, found in sweep(engine, group, thresholds, recipe.sampling).items():
            runs[threshold] += found
        truths += [truth_of(stream.record) for stream in group]
        tell(stage, len(truths), len(positions))
    return Swept(shards, positions, truths, runs)


def _measure(
    recipe: EvaluateRecipe,
    engine: Engine,
    swept: Swept,
    calibration: Calibration,
    path: Path | None,
    timer: SilenceTimer,
    rate: float,
) -> Results:
    time, truths, threshold = engine.spec.time, swept.truths, calibration.threshold
    headline_s = recipe.windows_s[0]
    outcomes = swept.outcomes(engine, threshold)
    seed = recipe.sampling.seed
    systems = {
        MODEL: outcomes,
        **baselines(swept.shards, swept.positions, truths, time, timer, rate, seed),
    }
    timed = _one_of_each_task(truths)[: recipe.latency_streams]
    latency, agree = _time_sessions(recipe, engine, swept, timed, threshold)
    return Results(
        split=recipe.split,
        n_streams=len(truths),
        n_offline=_count_offline(swept.shards),
        calibration=calibration,
        calibration_path=str(path) if path else None,
        stored_beside_report=path is not None and path.parent != recipe.checkpoint,
        timer=timer,
        systems={
            window: {n: score(truths, o, time, window) for n, o in systems.items()}
            for window in recipe.windows_s
        },
        curve={t: score(truths, swept.outcomes(engine, t), time, headline_s) for t in swept.runs},
        tasks=by_task(truths, outcomes, time, headline_s),
        kinds=by_kind(truths, outcomes, windows_of(time, headline_s)),
        latency=latency,
        sessions=len(timed),
        sessions_agree=agree,
        failures=tuple(r.failure for r in swept.runs[threshold] if r.failure),
    )


def _count_offline(shards: ShardSet) -> int:
    return sum(shards.record(i).kind == "offline" for i in range(len(shards)))


def _one_of_each_task(truths: Sequence[Truth]) -> list[int]:
    """All streams: the first of every task, then the second, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for index, truth in enumerate(truths):
        rank = seen[truth.task] = seen.get(truth.task, -1) + 1
        ranked.append((rank, index))
    return [index for _, index in sorted(ranked)]


def _time_sessions(
    recipe: EvaluateRecipe, engine: Engine, swept: Swept, timed: Sequence[int], threshold: float
) -> tuple[Latency, int]:
    """Feeds a few streams to live sessions and compares their events with the batch."""
    costs, agree = [], 0
    time = engine.spec.time
    for index in timed:
        (stream,) = encode_streams(engine, [swept.shards.read(swept.positions[index])])
        alone = run_alone(engine, stream, threshold, recipe.sampling)
        agree += outcome_of(alone, time) == outcome_of(swept.runs[threshold][index], time)
        costs.append(chunk_costs(alone.events))
    return measure(costs, time, engine.spec.front_end), agree


def _report(
    recipe: EvaluateRecipe, engine: Engine, swept: Swept, results: Results, origin: Origin
) -> None:
    runs = swept.runs[results.calibration.threshold]
    chosen = _instructive(engine, swept, runs, recipe)
    drawn: list[Drawn] = [(swept.shards.read(swept.positions[i]), runs[i]) for i in chosen]
    write_report(recipe.output / REPORT_FILE, results, engine.spec, drawn, origin)


def _instructive(
    engine: Engine, swept: Swept, runs: Sequence[Run], recipe: EvaluateRecipe
) -> list[int]:
    """Streams to draw: those with most misses and false triggers, task by task, then others.

    A third of the places is kept for streams without a mistake, where there are any.
    """
    windows = windows_of(engine.spec.time, recipe.windows_s[0])

    def mistakes(index: int) -> int:
        outcome = outcome_of(runs[index], engine.spec.time)
        matching = match(swept.truths[index].events, outcome.onsets, windows)
        return len(matching.misses) + matching.n_false + (outcome.failure is not None)

    wrong = {i: n for i in range(len(swept.truths)) if (n := mistakes(i))}
    by_mistakes = sorted(wrong, key=lambda i: -wrong[i])
    order = _one_of_each_task([swept.truths[i] for i in by_mistakes])
    right = [i for i in _one_of_each_task(swept.truths) if i not in wrong]
    wanted = recipe.report.streams
    n_right = min(len(right), max(wanted // 3, wanted - len(wrong)))
    return [by_mistakes[k] for k in order][: wanted - n_right] + right[:n_right]
