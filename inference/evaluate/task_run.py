"""One benchmark from items to figures: the model, other endpoints, the baselines.

::

    items ─▶ outcomes of the model ─▶ rows ─┐
          ─▶ outcomes of endpoints ─▶ rows ─┼─▶ a summary for each system
          ─▶ baselines ─────────────▶ rows ─┘
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from inference.evaluate.outcome import Outcome, failures
from inference.evaluate.results import (
    OUTCOMES_FOLDER,
    PREDICTIONS_FOLDER,
    ROWS_FOLDER,
    TaskResults,
)
from inference.evaluate.store import OutcomeStore, Part, write_rows
from inference.evaluate.systems.answers import answers
from inference.evaluate.systems.model import Model
from inference.evaluate.systems.realtime import RealtimeSystem
from inference.evaluate.systems.thresholds import decode_at, outcome_at
from inference.evaluate.task import MODEL, Item, Submits, Summary, Task
from soundflow.atomic import write_text

log = logging.getLogger(__name__)

SCORED_AT_ONCE = 16

_TO_JSON: TypeAdapter[Any] = TypeAdapter(Any)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Work:
    """Where an evaluation keeps its outcomes, and which share of the items this process decodes.

    Attributes:
        settings: all that decides about the outcomes of the model, besides the items.
        tell: called with stage, done, total.
        notes: filled with what readers of the figures have to know.
    """

    output: Path
    settings: Sequence[Any]
    part: Part
    tell: Progress
    notes: list[str] = field(default_factory=list)

    def of_model(self, name: str, content: str) -> OutcomeStore:
        """The outcomes of the model on the items whose content has this hash."""
        return self._store(name, [content, *self.settings])

    def of_system(self, system: RealtimeSystem, name: str, content: str) -> OutcomeStore:
        return self._store(f"{name}.{system.name}", [content, system.config.decisive()])

    def _store(self, name: str, settings: Sequence[Any]) -> OutcomeStore:
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        return OutcomeStore(self.output / OUTCOMES_FOLDER / f"{name}-{key}", self.part)

    def name_missing(self, name: str, decoded: Sequence[bool]) -> None:
        """Says which parts have not decoded all of their items, where some have not."""
        missing = [place for place, done in enumerate(decoded) if not done]
        if missing:
            parts = sorted({place % self.part.of for place in missing})
            log.info(
                "%s: %d of %d items are not decoded yet, those of --part %s",
                name, len(missing), len(decoded), ", ".join(f"{k}/{self.part.of}" for k in parts),
            )  # fmt: skip

    def ask(
        self, system: RealtimeSystem, name: str, content: str, items: Sequence[Item[Any]]
    ) -> list[Outcome] | None:
        """The outcomes of an endpoint; None while other parts are missing."""
        stage = f"{system.name} on {name}"
        store = self.of_system(system, name, content)
        found = answers(
            system, items, store, self.part,
            lambda done, total: self.tell(stage, done, total), system.config.asked_again,
        )  # fmt: skip
        if found is not None:
            self.notes.append(f"{stage}: {system.clock(found)}")
        return found


def run_task(
    task: Task[Any, Any],
    items: Sequence[Item[Any]],
    model: Model,
    others: Sequence[RealtimeSystem],
    work: Work,
) -> TaskResults | None:
    """The figures of every system, or None while other parts are missing."""
    found = _answers(task, items, model, others, work)
    if any(outcomes is None for outcomes in found.values()):
        return None
    systems: dict[str, Summary] = {}
    failed: list[str] = []
    ids = [item.id for item in items]
    for name, outcomes in found.items():
        assert outcomes is not None
        with ThreadPoolExecutor(SCORED_AT_ONCE) as pool:  # some ask a judge
            rows = list(pool.map(task.score, items, outcomes))
        write_rows(rows_path(work.output, task, name), ids, rows)
        if name == MODEL and isinstance(task, Submits):
            file, text = task.predictions(items, rows)
            write_text(work.output / PREDICTIONS_FOLDER / file, text)
        systems[name] = task.summarise(rows)
        failed += failures(ids, outcomes, "" if name == MODEL else name)
    for baseline in task.baselines():
        said = dict(baseline.run(items))
        systems[baseline.name] = task.summarise([task.score(i, said[i.id]) for i in items])
    return TaskResults(task.name, task.title, task.lead, len(items), systems, tuple(failed))


def _answers(
    task: Task[Any, Any],
    items: Sequence[Item[Any]],
    model: Model,
    others: Sequence[RealtimeSystem],
    work: Work,
) -> Mapping[str, list[Outcome] | None]:
    """The outcomes of the model and of every endpoint; None where other parts are missing."""
    if task.threshold is not None:
        model = model.at(task.threshold)
    content = items_hash(items)
    store = work.of_model(task.name, content)
    share = [items[k] for k in work.part.share(len(items))]
    work.tell(task.name, 0, len(share))
    decode_at(model, share, [model.threshold], store, lambda n: work.tell(task.name, n, len(share)))
    store.refresh()
    time = model.engine.spec.time
    decoded = [outcome_at(store, item.id, model.threshold, time) for item in items]
    work.name_missing(task.name, [o is not None for o in decoded])
    known = [o for o in decoded if o is not None]
    found: dict[str, list[Outcome] | None] = {MODEL: known if len(known) == len(items) else None}
    for other in others:
        found[other.name] = work.ask(other, task.name, content, items)
    return found


def rows_path(output: Path, task: Task[Any, Any], system: str = MODEL) -> Path:
    """Where the rows of a system are kept; those of the model are what comparisons read."""
    name = task.name if system == MODEL else f"{task.name}.{system}"
    return output / ROWS_FOLDER / f"{name}.jsonl"


def items_hash(items: Sequence[Item[Any]]) -> str:
    """Changes with the items, their lengths, instructions and questions; published data sets do not
    change under a name."""
    listed = _TO_JSON.dump_json([[i.id, i.n_samples, i.system, i.exchange] for i in items])
    return hashlib.sha256(listed).hexdigest()[:16]
