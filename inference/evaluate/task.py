"""The interfaces of evaluation: tasks know what is right, systems answer.

::

    Task.items ──▶ Item ──▶ System.run ──▶ Outcome ──▶ Task.score ──▶ row ──▶ Task.summarise
                   (audio,                 (replies,    one row an item,       (figures with n,
                    reference)              failure)    whatever happened)      interval, signature)

A task never sees a model and a system never sees a reference (the oracles, which exist to check the
tasks, are the exception). Rows are additive: they come from any number of processes, in any order.

To add a benchmark, write a module with a `Task`, and name its settings and its tasks in
`inference.evaluate.suite`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from inference.evaluate.outcome import Outcome
from inference.evaluate.statistics.figures import Figure
from inference.sources.recordings import Recording

MODEL = "model"  # the name of our checkpoint among the systems

ReferenceT = TypeVar("ReferenceT")
ReferenceT_co = TypeVar("ReferenceT_co", covariant=True)
ReferenceT_contra = TypeVar("ReferenceT_contra", contravariant=True)
RowT = TypeVar("RowT")
RowT_contra = TypeVar("RowT_contra", contravariant=True)


@dataclass(frozen=True)
class Exchange:
    """An offline exchange: the audio is heard to its end, then answered. Not a stream.

    Attributes:
        question: in text; None leaves it to the audio.
        has_audio: False for a question in text alone.
    """

    question: str | None
    has_audio: bool = True


@dataclass(frozen=True)
class Item(Generic[ReferenceT_co]):
    """One recording to answer, and what is known about the right answer.

    Attributes:
        id: unique within the task, and the same in every run.
        n_samples: its length; known without reading the audio.
        open: opens the audio, which names its instruction (``Recording.system``; None takes the
            system's own). It may raise UserError: the item is then scored as unreadable.
        reference: what `Task.score` compares with.
        system: the instruction that its audio names; outcomes are kept by it.
        exchange: what is asked in an offline exchange; None for a stream.
    """

    id: str
    n_samples: int
    open: Callable[[], Recording]
    reference: ReferenceT_co
    system: str | None = None
    exchange: Exchange | None = None


class System(Protocol[ReferenceT_contra]):
    """Something that answers items: a model, a baseline, someone else's service."""

    @property
    def name(self) -> str:
        """As tables show it."""
        ...

    def run(self, items: Sequence[Item[ReferenceT_contra]]) -> Iterator[tuple[str, Outcome]]:
        """(item id, outcome), once for each item, in any order, each as soon as it is there.

        A failure is an outcome. An exception ends the whole evaluation.
        """
        ...


@dataclass(frozen=True)
class Table:
    """A breakdown for report and console; the first cell of each row names it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Figure, ...], ...]
    lead: str = ""


@dataclass(frozen=True)
class Summary:
    """What a set of rows comes to.

    Attributes:
        figures: by name, the most important first.
        tables: breakdowns of them.
        warnings: why the figures are not what they seem, in sentences.
    """

    figures: Mapping[str, Figure]
    tables: tuple[Table, ...] = ()
    warnings: tuple[str, ...] = ()


class Task(Protocol[ReferenceT, RowT]):
    """A set of items with a score.

    Rows are frozen dataclasses of plain values; pydantic writes and reads them as JSON.
    """

    @property
    def name(self) -> str:
        """Names its files and its entry in results.json."""
        ...

    @property
    def title(self) -> str:
        """Heading of its section of the report."""
        ...

    @property
    def lead(self) -> str:
        """What is measured, in a sentence or two."""
        ...

    @property
    def threshold(self) -> float | None:
        """p(response) that the model has to reach in this task; None: that of the evaluation."""
        ...

    @property
    def row_type(self) -> type[RowT]: ...

    def items(self) -> Sequence[Item[ReferenceT]]:
        """All items, in a fixed order, without reading their audio.

        Raises:
            UserError: if the data set is missing or is not in its published layout.
        """
        ...

    def baselines(self) -> Sequence[System[ReferenceT]]:
        """The systems without a model that stand beside the model in the table."""
        ...

    def score(self, item: Item[ReferenceT], outcome: Outcome) -> RowT:
        """Exactly one row, also for a failure or an answer that cannot be parsed."""
        ...

    def summarise(self, rows: Sequence[RowT]) -> Summary:
        """The figures of rows in the order of `items`; of no rows all are null."""
        ...

    def right(self, row: RowT) -> tuple[bool, ...]:
        """Right or wrong, for each unit that has such a verdict, in a fixed order.

        `soundflow evaluate --compare` pairs them (McNemar); empty where the task has none.
        """
        ...


@runtime_checkable
class Submits(Protocol[ReferenceT_contra, RowT_contra]):
    """A task whose benchmark has a prediction format of its own, for its own scorer."""

    def predictions(
        self, items: Sequence[Item[ReferenceT_contra]], rows: Sequence[RowT_contra]
    ) -> tuple[str, str]:
        """Name and text of that file, for rows in the order of ``items``."""
        ...
