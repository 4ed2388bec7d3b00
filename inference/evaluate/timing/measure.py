"""Measures the timing of a model: chooses a threshold on one half, counts on the other.

::

    calibrate_on ─▶ threshold, operating points, the silence timer's settings
    split ────────▶ the model at that threshold ┐
                    the baselines               ├─▶ the timing protocol, W = 2, 1, 5 s
                    the model at every threshold ─▶ curve, operating points
                    a few live sessions ──────────▶ latency, and the same outcomes as in a batch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference.evaluate.outcome import Outcome, failures
from inference.evaluate.systems.agreement import first_flip, same
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.thresholds import decode_at, outcome_at
from inference.evaluate.task import MODEL, Item
from inference.evaluate.timing.baselines import best_timer
from inference.evaluate.timing.breakdown import by_kind, by_task
from inference.evaluate.timing.conditions import by_condition
from inference.evaluate.timing.config import TimingConfig
from inference.evaluate.timing.curve import (
    HEADLINE_FALSE_PER_HOUR,
    Choice,
    OperatingPoint,
    choose_f1,
    choose_recall_at,
    operating_point,
)
from inference.evaluate.timing.halves import Half, Halves, Progress
from inference.evaluate.timing.metrics import figures, score, signature_of
from inference.evaluate.timing.reliability import reliability
from inference.evaluate.timing.results import Agreement, TimingResults
from inference.evaluate.timing.rows import TimingRow, rows_of, windows_of
from inference.evaluate.timing.stability import (
    Length,
    Places,
    by_length,
    by_number,
    joined,
    length,
    of_one_instruction,
)
from inference.evaluate.timing.task import NEGATIVE_PREFIX, reply_rate
from inference.evaluate.timing.truth import Truth
from inference.hardware import hardware
from inference.latency import Latency, measure
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet


def choose(config: TimingConfig, halves: Halves) -> Choice | None:
    """The threshold by the rule of the recipe; None without a calibration split.

    Raises:
        UserError: if no threshold keeps to the budget.
    """
    if halves.calibration is None:
        return None
    curve = {t: halves.calibration.rows(t) for t in config.thresholds}
    if config.calibrate == "f1":
        return choose_f1(curve)
    budget = config.calibrate.false_per_hour
    chosen = choose_recall_at(curve, budget)
    if chosen is None:
        raise UserError(
            f"timing.calibrate: no threshold has at most {budget:g} false triggers an hour of "
            f"silence-only audio on {halves.calibration.name}",
            "allow more, add higher timing.thresholds, or use calibrate: f1",
        )
    return chosen


def measure_timing(
    config: TimingConfig,
    model: Model,
    halves: Halves,
    chosen: Choice | None,
    tell: Progress,
    others: Mapping[str, Sequence[Outcome]],
) -> TimingResults:
    """All figures, once every item has been decoded at every threshold.

    Args:
        others: what other systems did with the items of the test half, by name.
    """
    test, time, headline_s = halves.test, model.engine.spec.time, config.windows_s[0]
    truths, threshold = test.truths, model.threshold
    outcomes = test.outcomes(threshold)
    assert outcomes is not None
    learn = halves.calibration or test
    timer = best_timer(learn.items, time, headline_s) if halves.calibration else None
    task = replace(test.task, timer=timer, reply_rate=reply_rate(learn.truths, time))
    systems: dict[str, Sequence[Outcome]] = {MODEL: outcomes, **others}
    for baseline in task.baselines():
        found = dict(baseline.run(test.items))
        systems[baseline.name] = [found[item.id] for item in test.items]
    ids = [item.id for item in test.items]
    failed = [*failures(ids, outcomes)]
    for name, theirs in others.items():
        failed += failures(ids, theirs, name)
    signature = signature_of(time, headline_s)
    curve = {t: test.rows(t) for t in sorted({*config.thresholds, threshold})}
    latency, agreement = _time_sessions(config, model, test, outcomes)
    return TimingResults(
        split=test.name,
        data_fingerprint=test.content_hash,
        calibrate_on=halves.calibration.name if halves.calibration else None,
        n_streams=len(truths),
        n_offline=_count_offline(test.shards),
        threshold=threshold,
        chosen=chosen,
        timer=task.silence_timer,
        systems={
            window: {n: score(truths, o, time, window) for n, o in systems.items()}
            for window in config.windows_s
        },
        curve={t: figures(rows, signature) for t, rows in curve.items()},
        points=_points(config, halves, signature),
        reliability=reliability(truths, outcomes, time, headline_s),
        tasks=by_task(truths, outcomes, time, headline_s),
        kinds=by_kind(truths, outcomes, windows_of(time, headline_s)),
        conditions=by_condition(truths, curve[threshold], time),
        stability=_stability(config, model, test, curve[threshold], tell),
        latency=latency,
        agreement=agreement,
        failures=tuple(failed),
    )


def _points(config: TimingConfig, halves: Halves, signature: str) -> tuple[OperatingPoint, ...]:
    if halves.calibration is None:
        return ()
    calibration = {t: halves.calibration.rows(t) for t in config.thresholds}
    test = {t: halves.test.rows(t) for t in config.thresholds}
    return tuple(
        operating_point(budget, calibration, test, signature) for budget in HEADLINE_FALSE_PER_HOUR
    )


def _stability(
    config: TimingConfig, model: Model, test: Half, rows: Sequence[TimingRow], tell: Progress
) -> tuple[Length, ...]:
    """Joins streams of the split itself: more silence would only dilute what is compared."""
    if config.stability is None:
        return ()
    time = model.engine.spec.time
    own = [k for k, item in enumerate(test.items) if not item.id.startswith(NEGATIVE_PREFIX)]
    own = [own[k] for k in of_one_instruction([test.items[k].reference for k in own])]
    items, rows = [test.items[k] for k in own], [rows[k] for k in own]
    wanted = [
        (f"{k} segment{'s' if k > 1 else ''}", by_number(len(items), k))
        for k in config.stability.segments
    ]
    if config.stability.hours is not None:
        lengths = [item.n_samples for item in items]
        n_samples = time.samples(3600.0 * config.stability.hours)
        wanted.append((f"{config.stability.hours:g} h", by_length(lengths, n_samples)))
    return tuple(
        _one_length(model, test, items, rows, label, groups, tell) for label, groups in wanted
    )


def _one_length(
    model: Model,
    test: Half,
    items: Sequence[Item[Truth]],
    rows: Sequence[TimingRow],
    label: str,
    groups: Sequence[Places],
    tell: Progress,
) -> Length:
    time, window_s = model.engine.spec.time, test.task.window_s
    name = label.replace(" ", "-")
    long = [
        joined(f"{name}:{k:04d}", [items[place] for place in places])
        for k, places in enumerate(groups)
    ]
    stage = f"decode {label}"
    tell(stage, 0, len(long))
    patient = replace(model, timeout_s=model.timeout_s * max(map(len, groups), default=1))
    decode_at(patient, long, [model.threshold], test.store, lambda k: tell(stage, k, len(long)))
    outcomes = [outcome_at(test.store, i.id, model.threshold, time) for i in long]
    known = [o for o in outcomes if o is not None]
    found = rows_of([i.reference for i in long], known, time, window_s)
    return length(label, rows, found, groups, signature_of(time, window_s))


def _count_offline(shards: Sequence[ShardSet]) -> int:
    return sum(int(s.lengths.is_kind("offline").sum()) for s in shards)


def one_of_each_task(truths: Sequence[Truth]) -> list[int]:
    """All streams: the first of every task, then the second, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for index, truth in enumerate(truths):
        rank = seen[truth.task] = seen.get(truth.task, -1) + 1
        ranked.append((rank, index))
    return [index for _, index in sorted(ranked)]


def _time_sessions(
    config: TimingConfig, model: Model, test: Half, outcomes: Sequence[Outcome]
) -> tuple[Latency, Agreement]:
    """Feeds a few streams to live sessions and compares their outcomes with those in a batch."""
    costs, flips = [], []
    agree = 0
    fine = [i for i in one_of_each_task(test.truths) if outcomes[i].failure is None]
    timed = fine[: config.latency_streams]
    for index in timed:
        alone = model.run_session(test.items[index])
        costs.append(alone.costs)
        agree += same(alone.outcome, outcomes[index])
        flip = first_flip(alone.outcome, outcomes[index], model.threshold)
        flips += [] if flip is None else [flip]
    latency = measure(costs, model.engine.spec, hardware(model.engine.model.device))
    return latency, Agreement(len(timed), agree, len(flips), max(flips, default=None))
