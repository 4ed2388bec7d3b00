"""Who made the clips of a build, and how many streams use each: on disk, however many there are.

::

    streams of a shard ─▶ Uses, in its sidecar ─▶ Credits ─▶ credits.tsv, the sources of the card
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple

from soundflow.shards.schema import StreamRecord

_CACHE_KIB = 65_536


class Terms(NamedTuple):
    """What a clip is used under."""

    corpus: str
    licence: str
    attribution: str


class Uses:
    """Terms -> id of a clip under them -> the streams of a shard that use it."""

    def __init__(self) -> None:
        self.by_terms: dict[Terms, Counter[str]] = {}

    def add(self, record: StreamRecord) -> None:
        """Counts a stream."""
        for name, clip in record.clips.items():
            terms = Terms(clip.corpus, clip.licence, clip.attribution)
            self.by_terms.setdefault(terms, Counter())[name] += 1

    def to_json(self) -> list[dict[str, Any]]:
        return [{**t._asdict(), "streams": dict(n)} for t, n in self.by_terms.items()]


class CreditLine(NamedTuple):
    """A clip, its terms, and how many streams use it."""

    clip: str
    terms: Terms
    streams: int


class SourceCount(NamedTuple):
    """The clips of a corpus under a licence, and their uses in streams."""

    corpus: str
    licence: str
    clips: int
    uses: int


class Credits(AbstractContextManager["Credits"]):
    """All clips of a build, in a temporary file that goes when this is closed.

    Iterating gives a `CreditLine` for each, in the order of their ids.
    """

    def __init__(self) -> None:
        self._clips = sqlite3.connect("")  # a file without a name, in the folder for such files
        self._clips.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._clips.execute(
            "CREATE TABLE clips (id TEXT PRIMARY KEY, corpus TEXT, licence TEXT, attribution TEXT,"
            " streams INTEGER) WITHOUT ROWID"
        )

    def __exit__(self, *error: object) -> None:
        self._clips.close()

    def add(self, uses: list[dict[str, Any]]) -> None:
        """Adds what a sidecar holds of `Uses`."""
        self._clips.executemany(
            "INSERT INTO clips VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET streams = streams + excluded.streams",
            (
                (name, one["corpus"], one["licence"], one["attribution"], streams)
                for one in uses
                for name, streams in one["streams"].items()
            ),
        )

    def __iter__(self) -> Iterator[CreditLine]:
        with closing(self._clips.execute("SELECT * FROM clips ORDER BY id")) as rows:
            for name, corpus, licence, attribution, streams in rows:
                yield CreditLine(name, Terms(corpus, licence, attribution), streams)

    def sources(self) -> list[SourceCount]:
        """Every corpus with each licence, most used first."""
        rows = self._clips.execute(
            "SELECT corpus, licence, COUNT(*), SUM(streams) AS uses FROM clips"
            " GROUP BY corpus, licence ORDER BY uses DESC, corpus, licence"
        )
        return [SourceCount(*row) for row in rows]

    def attributions(self, most: int) -> tuple[list[str], int]:
        """The first names by the alphabet, and how many more there are."""
        different = "FROM (SELECT DISTINCT attribution FROM clips WHERE attribution != '')"
        rows = self._clips.execute(f"SELECT attribution {different} ORDER BY 1 LIMIT ?", (most,))
        names = [name for (name,) in rows]
        (count,) = self._clips.execute(f"SELECT COUNT(*) {different}").fetchone()
        return names, count - len(names)
