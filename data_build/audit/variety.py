"""How much the texts of each task vary, whether streams are repeated, and how long, loud and
talkative they are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit
from data_build.randomness import hash64
from soundflow.audio.level import active_power, db

_SHOWN = 5
_GRAM = 2  # words of a distinct-n figure
# Of so many texts of a task the n-grams are counted: distinct-n falls with the number of texts, so
# more would make corpora of different sizes harder to compare.
_COUNTED = 20_000


@dataclass
class _Texts:
    """The texts of one task: how many, and digests of the different ones and of their n-grams."""

    n_texts: int = 0
    n_grams: int = 0
    texts: set[int] = field(default_factory=set)
    grams: set[int] = field(default_factory=set)

    def add(self, text: str) -> None:
        self.n_texts += 1
        self.texts.add(hash64(text))
        if self.n_texts > _COUNTED:
            return
        words = text.lower().split()
        self.n_grams += max(0, len(words) - _GRAM + 1)
        self.grams.update(
            hash64(" ".join(words[at : at + _GRAM])) for at in range(len(words) - _GRAM + 1)
        )


class DistinctTexts:
    """Distinct forms and distinct-2 (different word pairs, of all) of what is said, by task.

    Instructions, questions and turns of the user on one side, replies on the other.
    """

    def __init__(self) -> None:
        self._asked: dict[str, _Texts] = defaultdict(_Texts)
        self._told: dict[str, _Texts] = defaultdict(_Texts)

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        asked = [record.system, *(item.text for item in record.items)]
        if record.offline is not None:
            asked.append(record.offline.user or "")
            self._told[record.task].add(record.offline.answer)
        for text in filter(None, asked):
            self._asked[record.task].add(text)
        for reply in record.replies:
            self._told[record.task].add(reply.text)

    def figures(self) -> Iterator[Figure]:
        for side, by_task in (("asked", self._asked), ("told", self._told)):
            for task in sorted(by_task):
                found = by_task[task]
                share = len(found.grams) / found.n_grams if found.n_grams else 0.0
                of = f"{len(found.texts)} different of {found.n_texts} texts"
                yield Figure(f"distinct-{_GRAM}, {side}, {task}", share, found.n_grams, of=of)


class Repeats:
    """Streams with the same clips at the same times and the same replies as an earlier one.

    A text without sound may be drawn again; the gaps between sounds are drawn by the sample.
    """

    def __init__(self, limits: AuditLimits) -> None:
        self._limit = Limit("at_most", limits.repeats)
        self._first: dict[int, str] = {}
        self._streams, self._again = 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        if not record.items:
            return
        self._streams += 1
        placed = [(item.clip.id, item.start_samples) for item in record.items]
        said = [(reply.chunk, reply.text) for reply in record.replies]
        key = hash64(repr((record.system, placed, said, record.offline)))
        if key in self._first:
            self._again.append(f"{stream.name} is {self._first[key]} again")
        else:
            self._first[key] = stream.name

    def figures(self) -> Iterator[Figure]:
        n, again = self._streams, self._again
        share = len(again) / n if n else 0.0
        yield Figure(
            "repeated streams", share, n, self._limit, f"{n} streams", tuple(again[:_SHOWN])
        )


class Shapes:
    """Length, turns and silence of the streams."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._turns: list[int] = []
        self._system = 0

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        if record.kind != "online":
            return
        self._seconds.append(stream.spec.time.seconds(record.n_samples))
        self._turns.append(len(record.replies))
        self._system += bool(record.system)

    def figures(self) -> Iterator[Figure]:
        if not self._seconds:
            return
        n = len(self._seconds)
        streams = f"{n} streams"
        yield Figure("mean length", float(np.mean(self._seconds)), n, of=streams, unit="s")
        several = sum(3 <= turns <= 15 for turns in self._turns)
        yield Figure("streams of 3 to 15 replies", several / n, n, of=streams)
        none = sum(turns == 0 for turns in self._turns)
        yield Figure("streams without a reply", none / n, n, of=streams)
        yield Figure("streams with a written instruction", self._system / n, n, of=streams)


class Levels:
    """Level of the streams: the power of their audible parts."""

    def __init__(self) -> None:
        self._levels_db: list[float] = []

    def add(self, stream: AuditedStream) -> None:
        if stream.record.kind == "online":
            self._levels_db.append(float(db(active_power(stream.sample.audio()))))

    def figures(self) -> Iterator[Figure]:
        if self._levels_db:
            low, middle, high = np.percentile(self._levels_db, (5, 50, 95))
            of = f"{len(self._levels_db)} streams; 5 %: {low:.1f}, 95 %: {high:.1f}"
            yield Figure("median level", float(middle), len(self._levels_db), of=of, unit="dBFS")


class Emotions:
    """Shares of the emotions among the replies."""

    def __init__(self) -> None:
        self._emotions: Counter[str] = Counter()

    def add(self, stream: AuditedStream) -> None:
        self._emotions.update(reply.emotion for reply in stream.record.replies)

    def figures(self) -> Iterator[Figure]:
        n = self._emotions.total()
        for emotion, count in self._emotions.most_common():
            yield Figure(f"emotion {emotion}", count / n, n, of=f"{count} of {n} replies")
