"""An evaluation: checkpoint and held-out streams in, results.json and report.html out.

::

    calibrate_on ─▶ threshold (stored with the checkpoint), silence timer's settings
    split ────────▶ the model at that threshold ┐
                    the systems without a model ├─▶ the timing protocol, W = 2, 1, 5 s
                    the model at every threshold ─▶ curve
                    a few live sessions ──────────▶ latency, and the same events as side by side
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine import Engine, load_engine
from inference.evaluate import curve as curves
from inference.evaluate.baselines import baselines, best_timer, reply_rate
from inference.evaluate.curve import Calibration, calibrate
from inference.evaluate.metrics import Metrics, score
from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.streams import TestStream, online_positions, read_groups, truth_of
from inference.evaluate.sweep import Run, listen, outcome_of, sweep
from inference.evaluate.systems import SilenceTimer
from inference.latency import Latency, chunk_costs, measure
from inference.session import warm_up
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.shards.reader import ShardSet

MODEL = "model"
RESULTS_FILE = "results.json"
REPORT_FILE = "report.html"
RECIPE_FILE = "evaluate.yaml"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Swept:
    """A split decoded at several thresholds. ``runs`` holds one run a stream."""

    positions: list[int]
    truths: list[Truth]
    runs: dict[float, list[Run]]

    def outcomes(self, engine: Engine, threshold: float) -> list[Outcome]:
        return [outcome_of(run, engine.spec.time) for run in self.runs[threshold]]


@dataclass(frozen=True)
class Shown:
    """A stream that the report draws; ``index`` is its place in the split as it was decoded."""

    index: int
    stream: TestStream


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        systems: window in seconds -> system -> figures.
        curve: threshold -> figures at the headline window.
        sessions_agree: of the streams that were also heard by a live session, how many gave the
            same decisions and replies.
    """

    split: str
    n_streams: int
    calibration: Calibration
    timer: SilenceTimer
    systems: dict[float, dict[str, Metrics]]
    curve: dict[float, Metrics]
    latency: Latency
    sessions: int
    sessions_agree: int
    failures: list[str]

    def to_json(self) -> dict[str, Any]:
        headline = next(iter(self.systems))
        return {
            "split": self.split,
            "n_streams": self.n_streams,
            "calibration": vars(self.calibration),
            "silence_timer": vars(self.timer),
            "headline_window_s": headline,
            "recall_at_false_per_hour": {
                str(limit): curves.recall_at(self.curve, limit)
                for limit in curves.HEADLINE_FALSE_PER_HOUR
            },
            "systems": {
                str(window): {
                    name: {k: v.to_json() for k, v in metrics.items()}
                    for name, metrics in by_name.items()
                }
                for window, by_name in self.systems.items()
            },
            "curve": curves.to_json(self.curve),
            "latency": self.latency.to_json(),
            "sessions": self.sessions,
            "sessions_agree": self.sessions_agree,
            "failures": self.failures,
        }


def evaluate(recipe: EvaluateRecipe, *, progress: Progress | None = None) -> Results:
    """Measures a checkpoint and writes ``results.json`` and ``report.html`` to its output.

    Raises:
        UserError: if checkpoint and data are missing, damaged or of different specs.
    """
    from inference.evaluate.report import write_report

    tell = progress or (lambda stage, done, total: None)
    engine = load_engine(recipe.checkpoint)
    warm_up(engine)
    shards = ShardSet(recipe.data / recipe.split)
    record(recipe.output / RECIPE_FILE, recipe)
    calibration, timer, rate = _calibrate(recipe, engine, tell)
    thresholds = sorted({*recipe.thresholds, calibration.threshold})
    shown: list[Shown] = []
    swept = _sweep(recipe, engine, shards, thresholds, tell, shown)
    time = engine.spec.time
    by_system = {MODEL: swept.outcomes(engine, calibration.threshold)}
    by_system |= baselines(
        shards, swept.positions, swept.truths, time, timer, rate, recipe.sampling.seed
    )
    headline = recipe.windows_s[0]
    latency, agree = _time_sessions(recipe, engine, swept, shown, calibration.threshold)
    results = Results(
        split=recipe.split,
        n_streams=len(swept.truths),
        calibration=calibration,
        timer=timer,
        systems={
            window: {n: score(swept.truths, o, time, window) for n, o in by_system.items()}
            for window in recipe.windows_s
        },
        curve={
            t: score(swept.truths, swept.outcomes(engine, t), time, headline) for t in thresholds
        },
        latency=latency,
        sessions=min(recipe.latency_streams, len(shown)),
        sessions_agree=agree,
        failures=[r.failure for r in swept.runs[calibration.threshold] if r.failure],
    )
    write_text(
        recipe.output / RESULTS_FILE, json.dumps(results.to_json(), indent=1, allow_nan=False)
    )
    drawn = [
        (one.stream.sample, swept.runs[calibration.threshold][one.index])
        for one in shown[: recipe.report.streams]
    ]
    write_report(recipe, results, engine.spec, drawn)
    return results


def _calibrate(
    recipe: EvaluateRecipe, engine: Engine, tell: Progress
) -> tuple[Calibration, SilenceTimer, float]:
    """Threshold, silence timer and the random system's rate, from the calibration split."""
    if recipe.calibrate_on is None:
        kept = Calibration(engine.threshold, None, "none", 0)
        shards = ShardSet(recipe.data / recipe.split)
        truths = [truth_of(shards.record(i)) for i in online_positions(shards, recipe.max_streams)]
        return kept, SilenceTimer(), reply_rate(truths, engine.spec.time)
    shards = ShardSet(recipe.data / recipe.calibrate_on)
    swept = _sweep(recipe, engine, shards, recipe.thresholds, tell, [])
    time = engine.spec.time
    curve = {
        t: score(swept.truths, swept.outcomes(engine, t), time, recipe.windows_s[0])
        for t in recipe.thresholds
    }
    calibration = calibrate(curve, recipe.calibrate_on, len(swept.truths))
    curves.store(calibration, recipe.checkpoint, shards.spec.fingerprint)
    timer = best_timer(shards, swept.positions, swept.truths, time)
    return calibration, timer, reply_rate(swept.truths, time)


def _sweep(
    recipe: EvaluateRecipe,
    engine: Engine,
    shards: ShardSet,
    thresholds: Sequence[float],
    tell: Progress,
    keep: list[Shown],
) -> Swept:
    """Decodes a split group by group; ``keep`` takes a few streams of every task for the report."""
    positions = online_positions(shards, recipe.max_streams)
    n_wanted = max(recipe.report.streams, recipe.latency_streams)
    wanted = _choose(shards, positions, n_wanted)
    truths: list[Truth] = []
    runs: dict[float, list[Run]] = {t: [] for t in thresholds}
    stage = f"decode {shards.folder.name}"
    tell(stage, 0, len(positions))
    for group in read_groups(engine, shards, positions, recipe.streams_at_once):
        for threshold, found in sweep(engine, group, thresholds, recipe.sampling).items():
            runs[threshold] += found
        for stream in group:
            if len(truths) in wanted:
                keep.append(Shown(len(truths), stream))
            truths.append(truth_of(stream.record))
        tell(stage, len(truths), len(positions))
    return Swept(positions, truths, runs)


def _choose(shards: ShardSet, positions: Sequence[int], wanted: int) -> set[int]:
    """Indices into ``positions``: the first stream of every task, then the second, and so on."""
    by_task: dict[str, list[int]] = {}
    for index, position in enumerate(positions):
        by_task.setdefault(shards.record(position).task, []).append(index)
    ranked = sorted(
        (rank, indices[rank]) for indices in by_task.values() for rank in range(len(indices))
    )
    return {index for _, index in ranked[:wanted]}


def _time_sessions(
    recipe: EvaluateRecipe,
    engine: Engine,
    swept: Swept,
    shown: Sequence[Shown],
    threshold: float,
) -> tuple[Latency, int]:
    """Feeds a few streams to sessions of their own; compares what they did with the batch."""
    costs, agree = [], 0
    time = engine.spec.time
    for one in shown[: recipe.latency_streams]:
        alone = listen(engine, one.stream, threshold, recipe.sampling)
        beside = swept.runs[threshold][one.index]
        agree += outcome_of(alone, time) == outcome_of(beside, time)
        costs.append(chunk_costs(alone.events))
    return measure(costs, engine.spec.time, engine.spec.front_end), agree


def report_path(recipe: EvaluateRecipe) -> Path:
    return recipe.output / REPORT_FILE
