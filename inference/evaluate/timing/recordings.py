"""Recordings of one's own, with the moments from which a reply is due: the timing protocol on them.

A folder with ``metadata.jsonl`` beside the audio, a line for each recording; also a data set with a
column ``events``, as `Dataset.save_to_disk` leaves it or of the hub::

    {"file_name": "kitchen.wav", "events": [{"ready_s": 3.2}, {"ready_s": 11.8}]}
    {"file_name": "street.wav", "events": []}                     nothing deserves a reply
    {"file_name": "talk.wav", "system": "Answer in one word.",
     "events": [{"ready_s": 2.4, "on_s": 0.9, "answers": ["Yes.", "Yes, it is."]}]}

``ready_s`` is the first moment at which a careful listener could know that a reply is due. With
``answers`` the words are compared too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import pydantic.dataclasses
from annotated_types import Gt
from pydantic import NonNegativeFloat, PositiveFloat, TypeAdapter, ValidationError

from inference.evaluate.audio_items import audio_item
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import Row, read_rows
from inference.evaluate.settings import BenchmarkConfig
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Item, Summary
from inference.evaluate.timing.rows import TimingRow
from inference.evaluate.timing.task import TIMER, VAD, TimingTask
from inference.evaluate.timing.truth import Truth
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

FIGURES = (
    "f1", "recall", "precision", "false_per_hour", "false_per_hour_negative", "latency_p50_s",
    "latency_p95_s", "early_share", "repeats", "misses", "reply_exact", "content", "failures",
)  # fmt: skip
BASELINES = ("never", "always", TIMER, VAD)


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class RecordingsConfig(BenchmarkConfig):
    """Recordings of one's own; ``data`` is their folder, or a stored data set.

    Attributes:
        split: of a stored data set.
        window_s: how late a reply may come.
        system: the instruction of recordings that name none; None takes the checkpoint's own.
    """

    split: str = "test"
    window_s: PositiveFloat = 2.0
    system: str | None = None


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class Label:
    """A moment from which a reply is due, in seconds from the start of the recording.

    Attributes:
        on_s: when what is to be answered begins; a reply from then on is early and not a stray.
        answers: all right ones; given for every event or for none.
    """

    ready_s: Annotated[float, Gt(0)]
    on_s: NonNegativeFloat | None = None
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.on_s is not None and self.on_s >= self.ready_s:
            raise ValueError(f"on_s must be before ready_s, got {self.on_s:g} and {self.ready_s:g}")


_LABELS = TypeAdapter(tuple[Label, ...])


@dataclass(frozen=True)
class RecordingsTask:
    """See the top of this module."""

    config: RecordingsConfig
    time: TimeBase
    threshold: float | None = None
    name: str = "recordings"
    title: str = "Own recordings"
    lead: str = (
        "When it speaks, by the timing protocol. What became of each recording is in "
        "rows/recordings.jsonl."
    )
    row_type: type[TimingRow] = field(default=TimingRow, repr=False)

    @property
    def timing(self) -> TimingTask:
        return TimingTask((), self.time, self.config.window_s)

    def items(self) -> list[Item[Truth]]:
        rows = read_rows(self.config.data, ["events"], split=self.config.split)
        return [self._item(k, row) for k, row in enumerate(rows[: self.config.max_items])]

    def baselines(self) -> list[Baseline[Truth]]:
        return [b for b in self.timing.baselines() if b.name in BASELINES]

    def score(self, item: Item[Truth], outcome: Outcome) -> TimingRow:
        return self.timing.score(item, outcome)

    def summarise(self, rows: Sequence[TimingRow]) -> Summary:
        found = self.timing.summarise(rows).figures
        return Summary({name: found[name] for name in FIGURES})

    def right(self, row: TimingRow) -> tuple[bool, ...]:
        return row.answered

    def _item(self, number: int, row: Row) -> Item[Truth]:
        name = str(row.fields.get("id") or row.fields.get("file_name") or f"{number:05d}")
        system = row.fields.get("system") or self.config.system
        pause_s = self.config.pause_s
        item = audio_item(name, row.audio, None, pause_s=pause_s, system=system)
        events = tuple(self._event(label) for label in self._labels(name, row))
        ends = item.n_samples - self.time.samples(pause_s)
        last = max((e.ready_samples for e in events), default=0)
        if 0 < ends < last:  # 0: it cannot be read, which its turn will show
            raise UserError(
                f"{self.config.data}: {name}: ready_s {self.time.seconds(last):g} is after its "
                f"end, {self.time.seconds(ends):.2f} s",
                "correct its events",
            )
        truth = Truth(name, item.n_samples, events, system=system or "")
        return Item(name, item.n_samples, item.open, truth, system)

    def _labels(self, name: str, row: Row) -> tuple[Label, ...]:
        try:
            # A stored data set gives every event all columns.
            given = [{k: v for k, v in e.items() if v is not None} for e in row.fields["events"]]
            return _LABELS.validate_python(given)
        except (AttributeError, TypeError, ValidationError) as error:
            said = "; ".join(str(error).splitlines()[1:3]) or str(error)
            raise UserError(
                f"{self.config.data}: {name}: events: {' '.join(said.split())}",
                'events are like [{"ready_s": 3.2}]; with none, nothing deserves a reply',
            ) from error

    def _event(self, label: Label) -> Event:
        ready = max(1, self.time.samples(label.ready_s))
        on = ready - 1 if label.on_s is None else min(ready - 1, self.time.samples(label.on_s))
        return Event("event", on, ready, ready, True, label.answers or ("",), "known")
