"""The results of an evaluation, as typed values with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.evaluate.statistics.figures import Figure
from inference.evaluate.task import Summary, Table
from inference.evaluate.timing.results import TimingResults
from soundflow.protocol.spec import StreamSpec

RESULTS_FILE = "results.json"
REPORT_FILE = "report.html"
RECIPE_FILE = "evaluate.yaml"
OUTCOMES_FOLDER = "outcomes"
ROWS_FOLDER = "rows"
PREDICTIONS_FOLDER = "predictions"
COMPARISON_FILE = "comparison.html"


@dataclass(frozen=True)
class Provenance:
    """What was measured, with what, on what.

    Attributes:
        weights: `Engine.weights_hash` of the model in memory.
        threshold_from: where the threshold of everything but the curve comes from.
    """

    checkpoint: str
    weights: str
    spec: StreamSpec
    device: str
    precision: str
    threshold: float
    threshold_from: str
    hardware: str


@dataclass(frozen=True)
class TaskResults:
    """One task: a summary for each system, the model first.

    Attributes:
        failures: "item: reason" of every item that failed, behind the name of the system if it is
            not the model.
    """

    name: str
    title: str
    lead: str
    n_items: int
    systems: Mapping[str, Summary]
    failures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "n_items": self.n_items,
            "systems": {name: _summary(s) for name, s in self.systems.items()},
            "failures": list(self.failures),
        }


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        notes: what did not go as planned but cost no item.
    """

    provenance: Provenance
    timing: TimingResults | None
    tasks: tuple[TaskResults, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self.provenance),
            "spec": self.provenance.spec.to_json(),
            "timing": self.timing.to_json() if self.timing else None,
            "tasks": {task.name: task.to_json() for task in self.tasks},
            "notes": list(self.notes),
        }


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "figures": {name: f.to_json() for name, f in summary.figures.items()},
        "tables": [_table(table) for table in summary.tables],
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [[c.to_json() if isinstance(c, Figure) else c for c in row] for row in table.rows]
    return {"title": table.title, "head": list(table.head), "rows": rows}
