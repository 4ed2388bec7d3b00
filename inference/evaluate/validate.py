"""Validates a model during training by live decoding, each process its share of the streams.

::

    all streams, at a few thresholds ─▶ outcomes of all ─┬─▶ half A at the best threshold of half B
                                                         ├─▶ half B at the best threshold of half A
                                                         │        both halves together ─▶ figures
                                                         └─▶ best threshold of all ─▶ calibration

So every stream is measured, at a threshold that it had no part in (cross-fitting in two folds). All
processes compute the figures from the outcomes of all, in the order of the streams, so they do not
depend on how many processes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from inference.decoder.policy import UNCALIBRATED_THRESHOLD
from inference.decoder.sampling import SamplingConfig
from inference.engine import engine_of
from inference.evaluate.outcome import Outcome, failures
from inference.evaluate.statistics.figures import Figure
from inference.evaluate.store import Part, Stored
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.thresholds import holds_at
from inference.evaluate.task import Item
from inference.evaluate.timing.curve import Choice, choose_f1, logit_grid
from inference.evaluate.timing.metrics import figures
from inference.evaluate.timing.rows import TimingRow, windows_of
from inference.evaluate.timing.task import TimingTask, seeded_choice
from inference.evaluate.timing.triggers import match
from inference.evaluate.timing.truth import Truth
from soundflow.errors import Stopped
from soundflow.model.weights import Checkpoint
from soundflow.shards.reader import ShardSet
from soundflow.text.wer import ErrorCount, count_errors

FIGURES = (
    "f1", "recall", "precision", "false_per_hour", "reply_exact", "latency_p50_s", "latency_p90_s",
    "latency_p95_s", "early_share", "wanted", "said", "hits", "false", "repeats", "misses",
    "failures",
)  # fmt: skip
# Coarse: `soundflow evaluate` looks closer, once. A decoding serves all thresholds at which every
# decision is the same. The middle one is `UNCALIBRATED_THRESHOLD`.
THRESHOLDS = logit_grid(5, 3.0)

T = TypeVar("T")


class Gather(Protocol):
    """The value of every process, in order; all of them call it."""

    def __call__(self, value: T) -> list[T]: ...


WHOLE = Part()


def alone(value: T) -> list[T]:
    return [value]


@dataclass(frozen=True)
class Transcript:
    """What became of one event, of one reply that belongs to none, or of a stream that failed.

    Attributes:
        verdict: hit, miss, early, repeat or stray; failed, of a whole stream, before its events.
        at_s: when the reply began; of a miss, when it was due.
        wanted: the first right answer; empty for a stray reply.
        said: of a stream that failed, why.
    """

    stream: str
    verdict: str
    at_s: float
    wanted: str
    said: str


@dataclass(frozen=True)
class Validation:
    """What live decoding found.

    Attributes:
        figures: by name; those that cannot be measured are left out. ``f1_se`` is the standard
            error of ``f1`` over the choice of streams.
        calibration: the content of ``calibration.json``; None where nothing could be chosen.
        transcripts: at the thresholds of the figures.
        failures: "stream: reason" of every stream that failed; its events count as misses.
    """

    figures: dict[str, float]
    calibration: dict[str, Any] | None
    transcripts: list[Transcript]
    failures: tuple[str, ...]


class StreamValidation:
    """A fixed choice of held-out online streams, decoded as often as asked.

    No teacher forcing: replies of the model stay in its context, so false triggers and their
    consequences show.

    Args:
        splits: of one spec.
        n_streams: how many streams, over all splits.
    """

    def __init__(
        self,
        splits: Sequence[ShardSet],
        n_streams: int = 32,
        max_reply_tokens: int = 24,
        seed: int = 0,
    ) -> None:
        self._splits = splits
        self._time = splits[0].spec.time
        streams = _chosen(splits, n_streams, seed)
        self._task = TimingTask(streams, self._time)
        numbered = enumerate(self._task.items())  # two builds may have the same ids
        self._items = [replace(item, id=f"{n}:{item.id}") for n, item in numbered]
        self._at_once = n_streams
        self._sampling = SamplingConfig(temperature=0.0, max_reply_tokens=max_reply_tokens)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._items)

    def __call__(
        self,
        checkpoint: Checkpoint,
        part: Part = WHOLE,
        gather: Gather = alone,
        poll: Callable[[], None] = lambda: None,
    ) -> Validation:
        """Decodes the share of this process; all processes return the same.

        Args:
            poll: called often while this process decodes; a `Stopped` that it raises in one of
                them ends the validation of all.
        """
        model = checkpoint.model
        was_training = model.training
        model.eval()
        try:
            # Sessions run without autocast; so does their measurement.
            with torch.autocast(model.device.type, enabled=False):
                system = Model(
                    engine_of(checkpoint), UNCALIBRATED_THRESHOLD, self._sampling, self._at_once,
                    poll=poll,
                )  # fmt: skip
                return self._measured(system, part, gather)
        finally:
            model.train(was_training)

    def _measured(self, system: Model, part: Part, gather: Gather) -> Validation:
        decoded = self._decoded(system, part, gather)

        def at(item: Item[Truth], threshold: float) -> Outcome:
            found = self._outcome_at(decoded[item.id], threshold)
            assert found is not None
            return found

        curve = {
            t: [self._task.score(item, at(item, t)) for item in self._items] for t in THRESHOLDS
        }
        halves = (slice(0, None, 2), slice(1, None, 2))
        of_halves = [self._best({t: rows[half] for t, rows in curve.items()}) for half in halves]
        crossed = [UNCALIBRATED_THRESHOLD if c is None else c.threshold for c in of_halves[::-1]]
        outcomes = [at(item, crossed[n % 2]) for n, item in enumerate(self._items)]
        pairs = list(zip(self._items, outcomes, strict=True))
        found = figures([self._task.score(item, outcome) for item, outcome in pairs])
        choice = self._best(curve) if len(self._items) > 1 else None
        values = {name: found[name].value for name in FIGURES}
        values["f1_se"] = _standard_error(found["f1"])
        values["threshold"] = choice.threshold if choice else UNCALIBRATED_THRESHOLD
        values["reply_wer"] = self._reply_errors(pairs).rate
        return Validation(
            {name: value for name, value in values.items() if value is not None},
            self._calibration(choice) if choice else None,
            [line for item, outcome in pairs for line in self._transcripts(item, outcome)],
            failures([item.reference.id for item in self._items], outcomes),
        )

    def _decoded(self, system: Model, part: Part, gather: Gather) -> dict[str, list[Stored]]:
        """Of every item the outcomes that cover all thresholds; each process decodes its share.

        Raises:
            Stopped: in all processes, if one of them was asked to stop.
        """
        found: dict[str, list[Stored]] | Stopped
        try:
            found = self._share(system, part)
        except Stopped as error:
            found = error
        decoded: dict[str, list[Stored]] = {}
        for one in gather(found):
            if isinstance(one, Stopped):
                raise one
            decoded |= one
        return decoded

    def _share(self, system: Model, part: Part) -> dict[str, list[Stored]]:
        share = [self._items[k] for k in part.share(len(self._items))]
        known: dict[str, list[Stored]] = {item.id: [] for item in share}
        for threshold in THRESHOLDS:
            new = [i for i in share if self._outcome_at(known[i.id], threshold) is None]
            for id, outcome in system.at(threshold).run(new):
                known[id].append(Stored(id, threshold, outcome))
        return known

    def _best(self, curve: dict[float, list[TimingRow]]) -> Choice | None:
        """The threshold of the best F1; None if no F1 is above 0."""
        if not curve[UNCALIBRATED_THRESHOLD]:
            return None
        choice = choose_f1(curve, self._seed)
        return choice if choice.value else None

    def _outcome_at(self, known: Sequence[Stored], threshold: float) -> Outcome | None:
        return next((s.outcome for s in known if holds_at(s, threshold, self._time)), None)

    def _calibration(self, choice: Choice) -> dict[str, Any]:
        return {
            **vars(choice),
            "split": ", ".join(str(split.folder) for split in self._splits),
            "n_streams": len(self._items),
            "data_fingerprint": ", ".join(split.content_hash for split in self._splits),
        }

    def _reply_errors(self, pairs: Sequence[tuple[Item[Truth], Outcome]]) -> ErrorCount:
        """Word errors of all replies in time, each against the nearest right answer."""
        counts = [
            min((count_errors(a, reply) for a in answers), key=lambda c: c.rate or 0.0)
            for item, outcome in pairs
            for answers, reply in self._answered(item.reference, outcome)
        ]
        return reduce(add, counts, ErrorCount())

    def _answered(self, truth: Truth, outcome: Outcome) -> list[tuple[Sequence[str], str]]:
        matching = match(truth.events, outcome.replies, windows_of(self._time, self._task.window_s))
        pairs = [(truth.events[i].answers, outcome.replies[j].text) for i, j in matching.hits]
        return [(answers, text) for answers, text in pairs if text is not None]

    def _transcripts(self, item: Item[Truth], outcome: Outcome) -> list[Transcript]:
        """In the order of time; first why the stream failed, where it did."""
        events, replies = item.reference.events, outcome.replies
        matching = match(events, replies, windows_of(self._time, self._task.window_s))
        found: list[tuple[str, int | None, int | None]] = [
            *(("hit", i, j) for i, j in matching.hits),
            *(("early", i, j) for i, j in matching.early),
            *(("repeat", i, j) for i, j in matching.repeats),
            *(("stray", None, j) for j in matching.strays),
            *(("miss", i, None) for i in matching.misses),
        ]
        lines = []
        for verdict, event, reply in found:
            if reply is not None:
                at, said = replies[reply].at_samples, replies[reply].text or ""
            else:
                assert event is not None
                at, said = events[event].ready_samples, ""
            wanted = events[event].answers[0] if event is not None else ""
            name = item.reference.id
            lines.append(Transcript(name, verdict, self._time.seconds(at), wanted, said))
        lines.sort(key=lambda line: line.at_s)
        if outcome.failure is not None:
            lines.insert(0, Transcript(item.reference.id, "failed", 0.0, "", str(outcome.failure)))
        return lines


def _standard_error(figure: Figure) -> float | None:
    """Of the bootstrap; None where too few resamples have the figure."""
    if figure.resampled is None:
        return None
    there = figure.resampled[np.isfinite(figure.resampled)]
    return float(there.std(ddof=1)) if there.size > 1 else None


def _chosen(splits: Sequence[ShardSet], at_most: int, seed: int) -> list[tuple[ShardSet, int]]:
    """Online streams of all splits: all, or a seeded choice, in order."""
    online = [
        (split, position)
        for split in splits
        for position in np.flatnonzero(split.lengths.is_kind("online")).tolist()
    ]
    return seeded_choice(online, at_most, seed)
