"""The clip library: finds clips for a query by BM25 over captions, labels and their classes.

::

    folder/
      library.json      what the segments hold
      segment-000000/   the BM25 arrays of 50 000 clips (memory-mapped)
      segment-000001/   ...

The library is an index beside a table of clips; it holds no clip itself. It is written segment by
segment, so a corpus of millions takes the memory of one, and searching maps files instead of
loading them. Every segment proposes its best clips; they are ranked together with the word
statistics of the whole library (Robertson & Zaragoza 2009, equation 3.15 with k1 = 1.5, b = 0.75,
Lucene's idf).
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import re
import shutil
import socket
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

from data_build.randomness import digest, generator
from data_build.records import Clip
from data_build.scenes.ontology import ontology
from soundflow.atomic import disk_error

LIBRARY_VERSION = 2  # raise when the same clips are indexed differently
SEGMENT_CLIPS = 50_000
_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\w\w+")
_STOP_WORDS = frozenset(STOPWORDS_EN)
_HEAD = "library.json"


@dataclass(frozen=True)
class SearchResult:
    """A clip and how well it fits the query (any scale; higher is better).

    ``misfit``: its length is not the wanted one; ``draw`` orders what is equally good.
    """

    clip: Clip
    score: float
    misfit: bool
    draw: str

    def order(self) -> tuple[float, bool, str]:
        return -self.score, self.misfit, self.draw


class Reranker(Protocol):
    """Scores texts against a query by meaning (`data_build.scenes.onnx_models`)."""

    def scores(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


def clip_text(clip: Clip) -> str:
    """The search text of a clip: caption, transcript, labels, classes and their ancestors."""
    world = ontology()
    names: dict[str, None] = {}
    for label in clip.labels:
        names.setdefault(label.replace("_", " "))
        sound = world.find(label)
        if sound is not None:
            names.update(dict.fromkeys(sound.lineage[:3]))
    return " ".join([clip.caption, clip.text, *names]).strip()


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


def write_clip_library(folder: Path, clips: Iterable[Clip]) -> None:
    """Indexes the clips unless the folder is there already; two processes may do it at once.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    if folder.is_dir():
        return
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it reports every step by default
    mine = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}")
    shutil.rmtree(mine, ignore_errors=True)
    stream, heads = iter(clips), list[dict[str, Any]]()
    try:
        mine.mkdir(parents=True)
        while batch := list(itertools.islice(stream, SEGMENT_CLIPS)):
            heads.append(_write_segment(mine / _segment_name(len(heads)), batch))
        (mine / _HEAD).write_text(json.dumps({"segments": heads}))
        for file in mine.rglob("*.*"):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        mine.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was quicker
            raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _write_segment(path: Path, clips: Sequence[Clip]) -> dict[str, Any]:
    # A clip without a word still takes its row, or rows and clips would part ways.
    texts = [list(tokens(clip_text(clip))) or ["nothing"] for clip in clips]
    index = bm25s.BM25(k1=_K1, b=_B, method="lucene")
    index.index(texts, show_progress=False)
    index.save(path, show_progress=False)
    labels = {label for clip in clips for label in clip.labels}
    found = (ontology().find(label) for label in labels)
    return {
        "clips": len(clips),
        "words": sum(map(len, texts)),
        "classes": sorted({sound.name for sound in found if sound is not None}),
    }


def _segment_name(number: int) -> str:
    return f"segment-{number:06d}"


class ClipLibrary:
    """A library on disk, over the clips that it was written from, in the same order."""

    def __init__(
        self, folder: Path, clips: Sequence[Clip], reranker: Reranker | None = None
    ) -> None:
        self._clips, self._reranker = clips, reranker
        self._segments: list[_Segment] = []
        first = 0
        for number, head in enumerate(json.loads((folder / _HEAD).read_bytes())["segments"]):
            segment = _Segment(folder / _segment_name(number), first, **head)
            self._segments.append(segment)
            first += segment.clips
        if first != len(clips):
            raise ValueError(f"{folder}: an index of {first} clips, not of {len(clips)}")

    @property
    def classes(self) -> frozenset[str]:
        """The sound classes that some clip is labelled with."""
        return frozenset(name for segment in self._segments for name in segment.classes)

    def search(
        self,
        query: str,
        k: int = 3,
        among: int = 30,
        seed: str = "",
        length_s: float | None = None,
    ) -> list[SearchResult]:
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
        scored: list[SearchResult] = []
        for segment in self._segments:
            for row in segment.propose(words, pool, generator("search", seed, segment.first)):
                clip = self._clips[row]
                score = statistics.score(tokens(clip_text(clip)))
                fits = length_s is None or 0.5 <= (clip.duration_s or 0.0) / length_s <= 2.0
                scored.append(SearchResult(clip, round(score, 6), not fits, digest(seed, clip.id)))
        best = sorted(scored, key=SearchResult.order)[:pool]
        if self._reranker is not None and best:
            texts = [clip_text(candidate.clip) for candidate in best]
            best = _fused(best, self._reranker.scores(query, texts))
        return best[:k]


def _fused(best: Sequence[SearchResult], meaning: npt.NDArray[np.float32]) -> list[SearchResult]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009, k = 60) of both rankings."""
    place = np.empty(len(best), int)
    place[np.lexsort((np.arange(len(best)), -meaning))] = np.arange(len(best))
    fused = [
        replace(candidate, score=1.0 / (60 + rank) + 1.0 / (60 + int(place[rank])))
        for rank, candidate in enumerate(best)
    ]
    return sorted(fused, key=SearchResult.order)


@dataclass(frozen=True)
class _Statistics:
    """The BM25 statistics of a query over the whole library."""

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
    clips = sum(segment.clips for segment in segments)
    total = sum(segment.words for segment in segments)
    idf = {}
    for word in dict.fromkeys(words):
        holding = sum(segment.holding(word) for segment in segments)
        idf[word] = math.log1p((clips - holding + 0.5) / (holding + 0.5))
    return _Statistics(idf, max(total / max(clips, 1), 1.0))


@dataclass(frozen=True, eq=False)
class _Segment:
    """Clips ``first`` to ``first + clips`` of a library, their arrays mapped when first needed."""

    folder: Path
    first: int
    clips: int
    words: int
    classes: Sequence[str]

    def holding(self, word: str) -> int:
        """In how many clips the word is."""
        at = self._index.vocab_dict.get(word)
        if at is None:
            return 0
        starts = self._index.scores["indptr"]
        return int(starts[at + 1] - starts[at])

    def propose(self, words: Sequence[str], k: int, rng: np.random.Generator) -> list[int]:
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
        return [self.first + int(row) for row in rows]

    @cached_property
    def _index(self) -> Any:
        return bm25s.BM25.load(self.folder, mmap=True, show_progress=False)
