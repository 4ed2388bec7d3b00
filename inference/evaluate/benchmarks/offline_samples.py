"""Offline samples of built data: a recording, a question or both, and the answer of the builder.

The other half of what training sees, in the three forms of offline exchanges (A_T_T, A_T, T_T). An
answer is compared with the builder's, word for word and by its word errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pydantic.dataclasses

from inference.evaluate.outcome import Outcome
from inference.evaluate.settings import BenchmarkConfig
from inference.evaluate.statistics.counts import item_share, wilson
from inference.evaluate.statistics.figures import Draws, ratio
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Exchange, Item, Summary, Table
from inference.sources.recordings import Recording
from soundflow.config.settings import SETTINGS, SplitName
from soundflow.errors import UserError
from soundflow.interop.conversations import OfflineTask, offline_task
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.address import open_address
from soundflow.shards.reader import ShardSet
from soundflow.text.normalize import VERSION
from soundflow.text.wer import count_errors


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class OfflineSamplesConfig(BenchmarkConfig):
    """The offline samples of a split; ``data`` is the output of a build. There is no pause."""

    split: SplitName = "test"


@dataclass(frozen=True)
class Answered:
    """The form of an exchange and its answer; no form where the sample cannot be read."""

    form: OfflineTask | None
    answer: str


@dataclass(frozen=True)
class OfflineRow:
    """One answer: word for word that of the builder, and its edits."""

    form: OfflineTask | None
    exact: bool
    errors: int
    reference_units: int
    failed: bool


@dataclass(frozen=True)
class OfflineSamplesTask:
    """See the top of this module."""

    config: OfflineSamplesConfig
    time: TimeBase
    threshold: float | None = None
    name: str = "offline_samples"
    title: str = "Offline samples"
    lead: str = (
        "Answers to whole recordings and to text, compared with those of the builder. A failure "
        "has said nothing."
    )
    row_type: type[OfflineRow] = field(default=OfflineRow, repr=False)

    def items(self) -> list[Item[Answered]]:
        folder = open_address(self.config.data) / self.config.split
        shards = ShardSet(folder, require_whole=False)
        positions = np.flatnonzero(shards.lengths.is_kind("offline"))[: self.config.max_items]
        if not len(positions):
            raise UserError(f"{shards.folder}: holds no offline sample", "choose another split")
        return [_item(shards, int(position)) for position in positions]

    def baselines(self) -> list[Baseline[Answered]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[Answered], outcome: Outcome) -> OfflineRow:
        said = "" if outcome.failure is not None else outcome.text
        found = count_errors(item.reference.answer, said)
        known = item.reference.form is not None
        return OfflineRow(
            item.reference.form,
            known and said.strip() == item.reference.answer.strip(),
            found.substitutions + found.deletions + found.insertions,
            found.reference_units,
            outcome.failure is not None,
        )

    def summarise(self, rows: Sequence[OfflineRow]) -> Summary:
        draws = Draws.of(len(rows))
        signature = f"offline-samples:1|norm:soundflow.v{VERSION}.en|failed:says nothing"
        errors, words = [r.errors for r in rows], [r.reference_units for r in rows]
        figures = {
            "exact": item_share([r.exact for r in rows]),
            "wer": ratio(errors, words, draws),
            "failed": item_share([r.failed for r in rows]),
        }
        forms = sorted({r.form for r in rows if r.form is not None})
        table = Table(
            "By form",
            ("form", "samples", "exact"),
            tuple(
                (form, str(len(mine)), wilson(sum(r.exact for r in mine), len(mine)))
                for form in forms
                if (mine := [r for r in rows if r.form == form])
            ),
            "A: audio, T: text; the last T is the answer.",
        )
        return Summary({name: f.signed(signature) for name, f in figures.items()}, (table,))

    def right(self, row: OfflineRow) -> tuple[bool, ...]:
        return (row.exact,)


def _item(shards: ShardSet, position: int) -> Item[Answered]:
    opened = partial(_open, shards, position)
    try:
        record = shards.record(position)
    except UserError:  # so will its audio be, when it is opened
        entry = shards.entry(position)
        return Item(entry.id, entry.n_samples, opened, Answered(None, ""), None, Exchange(None))
    if record.offline is None:
        raise UserError(f"{shards.folder}: {record.id} has no answer", "build the data again")
    question, heard = record.offline.user, record.n_samples > 0
    return Item(
        record.id,
        record.n_samples,
        opened,
        Answered(offline_task(question, heard), record.offline.answer),
        record.system,
        Exchange(question, heard),
    )


def _open(shards: ShardSet, position: int) -> Recording:
    sample = shards.read(position)
    return Recording(sample.record.id, iter([sample.audio()]), sample.record.system, pause_s=0.0)
