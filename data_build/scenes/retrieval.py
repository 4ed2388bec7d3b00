"""The clip library: finds recordings for a query by BM25 over captions, labels and their classes.

::

    folder/
      segment-000000/   clips.jsonl  clips.npy  bm25 arrays (memory-mapped)  segment.json
      segment-000001/   ...

A library grows by whole segments, each at most ``SEGMENT_CLIPS`` clips, so adding to a corpus of
millions needs the memory of one segment, and searching maps files instead of loading them. Every
segment proposes its best clips; they are ranked together with the word statistics of the whole
library (Robertson & Zaragoza 2009, equation 3.15 with k1 = 1.5, b = 0.75, Lucene's idf).
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np
import numpy.typing as npt
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from data_build.pools.table import ClipTable, TableWriter
from data_build.randomness import digest, generator
from data_build.records import Clip
from data_build.scenes.ontology import ontology
from soundflow.atomic import disk_error
from soundflow.errors import UserError

SEGMENT_CLIPS = 50_000
LIBRARY_VERSION = 1
_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\w\w+")
_STOP_WORDS = frozenset(STOPWORDS_EN)


@dataclass(frozen=True)
class Found:
    """A clip and how well it fits the query (any scale; higher is better)."""

    clip: Clip
    score: float


class Reranker(Protocol):
    """Scores texts against a query by meaning; see `data_build.scenes.sentence_encoder`."""

    def scores(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


def clip_text(clip: Clip) -> str:
    """What a clip is searched by: caption, transcript, labels, their classes and what those are."""
    world = ontology()
    names: dict[str, None] = {}
    for label in clip.labels:
        names.setdefault(label.replace("_", " "))
        sound = world.find(label)
        if sound is not None:
            names.update(dict.fromkeys(sound.lineage[:3]))
    return " ".join([clip.caption, clip.text, *names]).strip()


def _classes(clip: Clip) -> list[str]:
    found = (ontology().find(label) for label in clip.labels)
    return [sound.name for sound in found if sound is not None]


def groundable(had: Iterable[str]) -> frozenset[str]:
    """The classes for which one of the classes ``had`` (of clips, of a generator) is evidence."""
    world, known = ontology(), frozenset(had)
    return frozenset(name for name in world.classes if not known.isdisjoint(world.evidence(name)))


@lru_cache(maxsize=16_384)
def tokens(text: str) -> tuple[str, ...]:
    """Stemmed words of two letters and more, without stop words."""
    words = [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]
    return tuple(_stemmer().stemWords(words))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    return Stemmer.Stemmer("english")


class ClipLibrary:
    """A library on disk; open it again with the same folder."""

    def __init__(self, folder: Path, reranker: Reranker | None = None) -> None:
        self._folder = folder
        self._reranker = reranker
        done = sorted(folder.glob("segment-*/segment.json")) if folder.is_dir() else []
        self._segments = [_Segment(path.parent) for path in done]

    def __len__(self) -> int:
        return sum(len(segment) for segment in self._segments)

    @property
    def classes(self) -> frozenset[str]:
        """The sound classes that some clip is labelled with."""
        return frozenset(name for segment in self._segments for name in segment.classes)

    def add(self, clips: Iterable[Clip]) -> int:
        """Adds clips; returns how many. An interrupted call leaves only whole segments."""
        self._folder.mkdir(parents=True, exist_ok=True)
        added = 0
        stream = iter(clips)
        while batch := list(itertools.islice(stream, SEGMENT_CLIPS)):
            path = self._folder / f"segment-{len(self._segments):06d}"
            _write_segment(path, batch)
            self._segments.append(_Segment(path))
            added += len(batch)
        return added

    def search(
        self,
        query: str,
        k: int = 3,
        among: int = 30,
        seed: str = "",
        length_s: float | None = None,
    ) -> list[Found]:
        """The ``k`` best clips, best first.

        Of equally good clips (a thousand barks that are labelled "dog bark" and no more) those
        between half and twice ``length_s`` come first, then in an order drawn from ``seed``, or
        every scene would get the same ones. With a re-ranker the best ``among`` by words are ranked
        by words and meaning together.
        """
        words = tokens(query)
        if not words or not self._segments:
            return []
        pool = max(k, among)
        statistics = _statistics(words, self._segments)
        scored: list[_Scored] = []
        for segment in self._segments:
            for clip in segment.propose(words, pool, generator("search", seed, segment.name)):
                score = statistics.score(tokens(clip_text(clip)))
                fits = length_s is None or 0.5 <= (clip.duration_s or 0.0) / length_s <= 2.0
                scored.append(_Scored(round(score, 6), not fits, digest(seed, clip.id), clip))
        best = sorted(scored, key=_Scored.order)[:pool]
        if self._reranker is not None and best:
            texts = [clip_text(candidate.clip) for candidate in best]
            best = _fuse(best, self._reranker.scores(query, texts))
        return [Found(candidate.clip, candidate.score) for candidate in best[:k]]


@dataclass(frozen=True)
class _Scored:
    score: float
    misfit: bool
    lot: str
    clip: Clip

    def order(self) -> tuple[float, bool, str]:
        return -self.score, self.misfit, self.lot


def _fuse(best: Sequence[_Scored], meaning: npt.NDArray[np.float32]) -> list[_Scored]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009, k = 60) of both rankings."""
    place = np.empty(len(best), int)
    place[np.lexsort((np.arange(len(best)), -meaning))] = np.arange(len(best))
    fused = [
        replace(candidate, score=1.0 / (60 + rank) + 1.0 / (60 + int(place[rank])))
        for rank, candidate in enumerate(best)
    ]
    return sorted(fused, key=_Scored.order)


@dataclass(frozen=True)
class _Statistics:
    """What BM25 knows of a query in the whole library."""

    idf: dict[str, float]
    mean_words: float

    def score(self, words: Sequence[str]) -> float:
        counts = Counter(words)
        norm = _K1 * (1.0 - _B + _B * len(words) / self.mean_words)
        return sum(
            idf * counts[word] / (counts[word] + norm)
            for word, idf in self.idf.items()
            if counts[word]
        )


def _statistics(words: Sequence[str], segments: Sequence[_Segment]) -> _Statistics:
    clips = sum(len(segment) for segment in segments)
    total = sum(segment.n_words for segment in segments)
    idf = {}
    for word in dict.fromkeys(words):
        holding = sum(segment.holding(word) for segment in segments)
        idf[word] = math.log1p((clips - holding + 0.5) / (holding + 0.5))
    return _Statistics(idf, max(total / max(clips, 1), 1.0))


class _Segment:
    """One finished part of a library, opened lazily and memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = folder.name
        head = json.loads((folder / "segment.json").read_bytes())
        if head.get("version") != LIBRARY_VERSION:
            raise UserError(
                f"{folder}: library version {head.get('version')}, this reads {LIBRARY_VERSION}",
                "build the clip library again",
            )
        self._n_clips = int(head["clips"])
        self.n_words = int(head["words"])
        self.classes: tuple[str, ...] = tuple(head["classes"])

    def __len__(self) -> int:
        return self._n_clips

    def holding(self, word: str) -> int:
        """In how many clips the word is."""
        at = self._index.vocab_dict.get(word)
        if at is None:
            return 0
        starts = self._index.scores["indptr"]
        return int(starts[at + 1] - starts[at])

    def propose(self, words: Sequence[str], k: int, rng: np.random.Generator) -> list[Clip]:
        """Up to ``k`` clips that hold any of the words; a draw where too many are equally good."""
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return []
        scores: npt.NDArray[np.float32] = self._index.get_scores(known)
        (rows,) = np.nonzero(scores > 0.0)
        if len(rows) > k:
            least = np.partition(scores[rows], -k)[-k]
            better, equal = rows[scores[rows] > least], rows[scores[rows] == least]
            drawn = rng.permutation(equal)[: k - len(better)]
            rows = np.concatenate((better, np.sort(drawn)))
        return [self._clips[int(row)] for row in rows]

    @cached_property
    def _index(self) -> Any:
        return bm25s.BM25.load(self._folder, mmap=True, show_progress=False)

    @cached_property
    def _clips(self) -> ClipTable:
        return ClipTable(self._folder / "clips.jsonl")


def _write_segment(path: Path, clips: Sequence[Clip]) -> None:
    """Writes into a temporary folder that is renamed when every file is on disk.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    # A clip without a word still takes its row, or rows and clips would part ways.
    texts = [list(tokens(clip_text(clip))) or ["nothing"] for clip in clips]
    index = bm25s.BM25(k1=_K1, b=_B, method="lucene")
    index.index(texts, show_progress=False)
    head = {
        "version": LIBRARY_VERSION,
        "clips": len(clips),
        "words": sum(len(text) for text in texts),
        "classes": sorted({name for clip in clips for name in _classes(clip)}),
    }
    try:
        with TableWriter(temporary / "clips.jsonl") as table:
            for clip in clips:
                table.add(clip)
        index.save(temporary, show_progress=False)
        (temporary / "segment.json").write_text(json.dumps(head))
        for file in temporary.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        temporary.rename(path)  # refused where another process has added the same segment
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
