"""Audits a finished build from its shards: every measure over every stream, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_build.audit.contradictions import AlarmsAnswered, Contradictions
from data_build.audit.evidence import EarlyReplies, InaudibleEvents, NameableNoise
from data_build.audit.leaks import Leaks
from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Measure
from data_build.audit.round_trip import RoundTrip
from data_build.audit.variety import DistinctTexts, Shapes
from data_build.labelling.policy import Policy
from data_build.tokenize import Vocabulary
from soundflow.errors import UserError
from soundflow.shards.address import Url
from soundflow.shards.reader import ShardSet
from soundflow.shards.writer import INDEX_NAME


@dataclass(frozen=True)
class Scorecard:
    """The figures of a corpus."""

    data: str
    streams: dict[str, int]
    figures: tuple[Figure, ...]

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)

    def to_json(self) -> dict[str, Any]:
        figures = [{**asdict(figure), "passed": figure.passed} for figure in self.figures]
        return {**asdict(self), "passed": self.passed, "figures": figures}


def measures(limits: AuditLimits, policy: Policy, vocabulary: Vocabulary) -> list[Measure]:
    """Everything that an audit measures."""
    return [
        Contradictions(limits),
        AlarmsAnswered(limits, policy),
        EarlyReplies(limits),
        InaudibleEvents(limits),
        NameableNoise(limits),
        Leaks(limits),
        RoundTrip(limits, vocabulary),
        Shapes(),
        DistinctTexts(),
    ]


def audit(
    data: Path | Url,
    taken: Iterable[Measure],
    tell: Callable[[str, int, int], None] | None = None,
    named: Iterable[str] = (),
) -> Scorecard:
    """Reads every stream of a build.

    Args:
        data: the output of a build, or one split of it.
        tell: is told the split, how many of its streams are read, and how many it has.
        named: the splits of a build in a store, which need not be able to list them.

    Raises:
        UserError: if ``data`` holds no finished split, or a shard is damaged.
    """
    taken, streams = list(taken), dict[str, int]()
    for folder in splits(data) if isinstance(data, Path) else [data / name for name in named]:
        shards = ShardSet(folder)
        streams[folder.name] = len(shards)
        for position in range(len(shards)):
            stream = AuditedStream(folder.name, shards.read(position), shards.spec)
            for measure in taken:
                measure.add(stream)
            if tell is not None:
                tell(folder.name, position + 1, len(shards))
    figures = tuple(figure for measure in taken for figure in measure.figures())
    return Scorecard(str(data), streams, figures)


def splits(data: Path) -> list[Path]:
    """The finished splits in a folder.

    Raises:
        UserError: if there is none.
    """
    found = [data] if (data / INDEX_NAME).is_file() else []
    found += sorted(path.parent for path in data.glob(f"*/{INDEX_NAME}"))
    if not found:
        raise UserError(f"{data}: holds no finished split", "name the output folder of a build")
    return found
