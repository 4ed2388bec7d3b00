"""Audits a finished corpus: every measure over its streams, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_build.audit.contradictions import AlarmsAnswered, Contradictions
from data_build.audit.evidence import Answers, InaudibleEvents, MaskedEvents, NameableNoise
from data_build.audit.leaks import Leaks
from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedSplit, AuditedStream, Figure, Measures
from data_build.audit.recognised import Recognisers, recognised
from data_build.audit.round_trip import RoundTrip
from data_build.audit.variety import DistinctTexts, Emotions, Levels, Repeats, Shapes
from data_build.labelling.policy import Policy
from data_build.tokenize import Vocabulary
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
    def missed(self) -> tuple[str, ...]:
        """The names of the figures that miss their limit."""
        return tuple(figure.name for figure in self.figures if not figure.passed)

    @property
    def passed(self) -> bool:
        return not self.missed

    def to_json(self) -> dict[str, Any]:
        figures = [{**asdict(figure), "passed": figure.passed} for figure in self.figures]
        return {**asdict(self), "passed": self.passed, "figures": figures}


def build_measures(
    limits: AuditLimits, policy: Policy, vocabulary: Vocabulary, recognisers: Recognisers
) -> Measures:
    """Everything that can be measured of a finished build."""
    return Measures(
        (
            Contradictions(limits),
            AlarmsAnswered(limits, policy),
            Answers(limits),
            MaskedEvents(limits),
            NameableNoise(limits),
            Leaks(limits),
            Repeats(limits),
            Shapes(),
            Emotions(),
            DistinctTexts(),
        ),
        (
            InaudibleEvents(limits),
            RoundTrip(limits, vocabulary),
            Levels(),
            *recognised(limits, recognisers),
        ),
    )


def published_measures(limits: AuditLimits, recognisers: Recognisers) -> Measures:
    """What can be measured of published conversations, which name no sounds and hold no tokens."""
    return Measures(
        (
            Contradictions(limits),
            Leaks(limits),
            Repeats(limits),
            Shapes(),
            Emotions(),
            DistinctTexts(),
        ),
        (InaudibleEvents(limits), Levels(), *recognised(limits, recognisers)),
    )


def audit(
    data: str,
    splits: Iterable[AuditedSplit],
    measures: Measures,
    sampled: int,
    tell: Callable[[str, int, int], None] | None = None,
) -> Scorecard:
    """Looks at every stream of a corpus.

    Args:
        data: names the corpus.
        sampled: of at most so many streams of each split, evenly chosen, samples are read too.
        tell: is told the split, how many of its streams are read, and how many it has.

    Raises:
        UserError: if a file is damaged.
    """
    counts = dict[str, int]()
    for split in splits:
        counts[split.name] = split.count
        every = max(1, -(-split.count // sampled))
        for position, stream in enumerate(split.streams):
            chosen = position % every == 0
            for measure in (*measures.of_records, *(measures.of_samples if chosen else ())):
                measure.add(stream)
            if tell is not None:
                tell(split.name, position + 1, split.count)
    return Scorecard(data, counts, tuple(measures.figures()))


def finished_splits(data: Path) -> list[Path]:
    """The folders of the finished splits in the output of a build; or that of the one split."""
    found = [data] if (data / INDEX_NAME).is_file() else []
    return found + sorted(path.parent for path in data.glob(f"*/{INDEX_NAME}"))


def built_split(folder: Path | Url) -> AuditedSplit:
    """One finished split.

    Raises:
        UserError: if it is not finished.
    """
    shards = ShardSet(folder)
    streams = (
        AuditedStream(folder.name, shards.record(at), shards.spec, partial(shards.read, at))
        for at in range(len(shards))
    )
    return AuditedSplit(folder.name, len(shards), streams)
