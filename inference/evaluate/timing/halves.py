"""The two halves of a measurement of timing, and what the model did with their streams.

::

    calibrate_on ─▶ the half on which a threshold is chosen ┐
    split ────────▶ the half that is measured               ┴─ items, outcomes at every threshold
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.evaluate.outcome import Outcome
from inference.evaluate.store import OutcomeStore
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.thresholds import decode_at, outcome_at
from inference.evaluate.task import Item
from inference.evaluate.timing.config import RecallAt, TimingConfig
from inference.evaluate.timing.rows import TimingRow, rows_of
from inference.evaluate.timing.task import TimingTask, online_positions
from inference.evaluate.timing.truth import Truth
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

Progress = Callable[[str, int, int], None]
OpenStore = Callable[[str, str], OutcomeStore]


@dataclass(frozen=True)
class Half:
    """A split (with the negatives of the same name) and the model's outcomes on it."""

    name: str
    shards: tuple[ShardSet, ...]
    task: TimingTask
    items: list[Item[Truth]]
    store: OutcomeStore

    @property
    def truths(self) -> list[Truth]:
        return [item.reference for item in self.items]

    @property
    def has_negatives(self) -> bool:
        return any(truth.is_negative for truth in self.truths)

    @property
    def content_hash(self) -> str:
        return "-".join(s.content_hash for s in self.shards)

    def read(self, index: int) -> StreamSample:
        """The stream of an item.

        Raises:
            UserError: if it is damaged.
        """
        shards, position = self.task.streams[index]
        return shards.read(position)

    def outcomes(self, threshold: float) -> list[Outcome] | None:
        """None while items are missing."""
        time = self.task.time
        found = [outcome_at(self.store, item.id, threshold, time) for item in self.items]
        return [o for o in found if o is not None] if None not in found else None

    def rows(self, threshold: float) -> list[TimingRow]:
        outcomes = self.outcomes(threshold)
        assert outcomes is not None, "measured before all items were decoded"
        return rows_of(self.truths, outcomes, self.task.time, self.task.window_s)


@dataclass(frozen=True)
class Halves:
    """What is measured, and what the threshold is chosen on."""

    test: Half
    calibration: Half | None

    @property
    def all(self) -> tuple[Half, ...]:
        return (self.calibration, self.test) if self.calibration else (self.test,)


def open_halves(config: TimingConfig, model: Model, open_store: OpenStore) -> Halves:
    """Reads the records of both splits and what was decoded of them before.

    Args:
        open_store: (name, content hash) -> the outcomes of this model on that data.

    Raises:
        UserError: if a split is missing, holds no stream, or follows another spec than the model;
            if a budget of false triggers is asked for without audio in which to hear them.
    """
    names = [config.split, *([config.calibrate_on] if config.calibrate_on else [])]
    found = [_open_half(config, model, name, open_store) for name in names]
    halves = Halves(found[0], found[1] if config.calibrate_on else None)
    learn = halves.calibration
    if learn and isinstance(config.calibrate, RecallAt) and not learn.has_negatives:
        raise UserError(
            f"timing.calibrate: {config.data}/{learn.name} holds no silence-only stream, in which "
            "false triggers would be counted",
            "name a build of them in timing.negatives, or use calibrate: f1",
        )
    return halves


def _open_half(config: TimingConfig, model: Model, name: str, open_store: OpenStore) -> Half:
    shards = [ShardSet(config.data / name, require_whole=False)]
    if config.negatives is not None:
        shards.append(ShardSet(config.negatives / name, require_whole=False))
    for one in shards:
        model.engine.spec.require_same(one.spec, "the checkpoint", str(one.folder))
    time = model.engine.spec.time
    streams = [(s, i) for s in shards for i in online_positions(s, config.max_streams)]
    negatives = shards[1] if len(shards) > 1 else None
    task = TimingTask(streams, time, config.windows_s[0], negatives, seed=model.sampling.seed)
    content = "-".join(s.content_hash for s in shards)
    return Half(name, tuple(shards), task, task.items(), open_store(name, content))


def decode(half: Half, model: Model, thresholds: Sequence[float], part: Sequence[int],
           tell: Progress) -> None:  # fmt: skip
    """Brings the store to hold these items of a half at every threshold."""
    items = [half.items[k] for k in part]
    stage = f"decode {half.name}"
    tell(stage, 0, len(items))
    decode_at(model, items, thresholds, half.store, lambda n: tell(stage, n, len(items)))


def decoded(half: Half, thresholds: Sequence[float]) -> list[bool]:
    """Whether each item is known at every threshold, by all processes together."""
    half.store.refresh()
    time = half.task.time
    return [
        all(outcome_at(half.store, item.id, t, time) is not None for t in thresholds)
        for item in half.items
    ]
