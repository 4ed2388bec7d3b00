"""The baselines on a split, with the silence timer at its best setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from inference.evaluate import systems
from inference.evaluate.metrics import score
from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.systems import SilenceTimer
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.reader import ShardSet

TIMER_MARGINS_DB = (3.0, 6.0, 9.0, 12.0)
TIMER_SILENCES_S = (0.2, 0.4, 0.8)


def baselines(
    shards: ShardSet,
    positions: Sequence[int],
    truths: Sequence[Truth],
    time: TimeBase,
    timer: SilenceTimer,
    rate: float,
    seed: int,
) -> dict[str, list[Outcome]]:
    """Name -> one outcome for each stream. ``rate``: replies per chunk of the random baseline."""
    plain: dict[str, Callable[[Truth], Outcome]] = {
        "never": lambda t: systems.never(t, time),
        "always": lambda t: systems.always(t, time),
        "random": lambda t: systems.random(t, time, rate, seed),
        "oracle": lambda t: systems.oracle(t, time),
        "oracle 1.9 s early": lambda t: systems.oracle(t, time, systems.EARLY_ORACLE_S),
        "oracle 3 s late": lambda t: systems.oracle(t, time, systems.LATE_ORACLE_S),
    }
    found = {name: [system(t) for t in truths] for name, system in plain.items()}
    found["silence timer"] = timer_outcomes(shards, positions, time, [timer])[timer]
    return found


def timer_outcomes(
    shards: ShardSet, positions: Sequence[int], time: TimeBase, timers: Sequence[SilenceTimer]
) -> dict[SilenceTimer, list[Outcome]]:
    """Every setting on every stream, reading the audio once."""
    found: dict[SilenceTimer, list[Outcome]] = {timer: [] for timer in timers}
    for position in positions:
        audio = shards.read(position).audio()
        for timer in timers:
            found[timer].append(timer(audio, time))
    return found


def best_timer(
    shards: ShardSet, positions: Sequence[int], truths: Sequence[Truth], time: TimeBase
) -> SilenceTimer:
    """The setting with the best F1 on a held-out split."""
    timers = [
        SilenceTimer(margin_db=margin, silence_s=silence)
        for margin, silence in product(TIMER_MARGINS_DB, TIMER_SILENCES_S)
    ]
    found = timer_outcomes(shards, positions, time, timers)
    return max(timers, key=lambda timer: score(truths, found[timer], time)["f1"].value or 0.0)


def reply_rate(truths: Sequence[Truth], time: TimeBase) -> float:
    """Replies per chunk in the ground truth."""
    chunks = sum(time.chunks_in(t.n_samples) for t in truths)
    wanted = sum(e.must_respond for t in truths for e in t.events)
    return wanted / chunks if chunks else 0.0
