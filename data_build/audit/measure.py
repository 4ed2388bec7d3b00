"""A measure of a finished corpus, and the figures that it gives.

A further measure is a module of this folder: a class that looks at one stream after another, and a
line in `data_build.audit.audit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import MixedItem, StreamRecord, StreamSample


@dataclass(frozen=True)
class Limit:
    """What a share may be: at most, or at least, ``value``."""

    kind: Literal["at_most", "at_least"]
    value: float

    @property
    def words(self) -> str:
        return f"{self.kind.replace('_', ' ')} {100 * self.value:g} %"

    def holds(self, figure: float) -> bool:
        return figure <= self.value if self.kind == "at_most" else figure >= self.value


@dataclass(frozen=True)
class Figure:
    """A figure of the scorecard.

    Attributes:
        n: how many things it is the share or the mean of.
        limit: None: it is for information.
        of: these things in words, with their number.
        unit: "share" is of 1; it is shown as per cent.
        examples: a few of the streams behind it.
    """

    name: str
    value: float
    n: int
    limit: Limit | None = None
    of: str = ""
    examples: tuple[str, ...] = ()
    unit: str = "share"

    @property
    def shown(self) -> str:
        """The value with its unit."""
        if self.unit == "share":
            return f"{100 * self.value:.1f} %"
        return f"{self.value:.1f} {self.unit}"

    @property
    def verdict(self) -> str:
        """Whether it keeps its limit, in words; "" without one."""
        if self.limit is None:
            return ""
        if not self.n:
            return "nothing to judge"
        return "kept" if self.passed else "missed"

    @property
    def passed(self) -> bool:
        """Whether it misses no limit; of nothing, none is missed."""
        return not self.n or self.limit is None or self.limit.holds(self.value)


@dataclass(frozen=True)
class AuditedStream:
    """A stream of a split, as it lies on disk.

    Attributes:
        read: reads its samples and tokens (a published conversation has no tokens).
    """

    split: str
    record: StreamRecord
    spec: StreamSpec
    read: Callable[[], StreamSample]

    @cached_property
    def sample(self) -> StreamSample:
        return self.read()

    @property
    def name(self) -> str:
        return f"{self.split}/{self.record.id}"


class Measure(Protocol):
    """Looks at every stream of a corpus once, and gives figures at the end."""

    def add(self, stream: AuditedStream) -> None:
        """Looks at one stream."""

    def figures(self) -> Iterator[Figure]:
        """The figures over all streams so far."""


@dataclass(frozen=True)
class Measures:
    """What an audit measures.

    Attributes:
        of_records: look at the record of every stream.
        of_samples: also read samples or tokens, so they look at some streams of each split.
    """

    of_records: Sequence[Measure]
    of_samples: Sequence[Measure] = ()

    def figures(self) -> Iterator[Figure]:
        """Of all measures, in their order."""
        for measure in (*self.of_records, *self.of_samples):
            yield from measure.figures()


@dataclass(frozen=True)
class AuditedSplit:
    """A split, or a file of a published corpus: ``count`` streams in order."""

    name: str
    count: int
    streams: Iterable[AuditedStream]


def in_order(record: StreamRecord) -> list[MixedItem]:
    """Everything audible but the noise, in the order in which it ends."""
    return sorted(record.items, key=lambda item: (item.end_samples, item.on_samples))
