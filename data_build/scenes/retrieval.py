"""The clip library: finds clips for a query by their labels, then by BM25 over their words.

::

    folder/
      library.json      what the segments hold
      segment-000000/   the BM25 arrays of 50 000 clips (memory-mapped)
        labelled.npy    the clips of each class, class after class (memory-mapped)
      segment-000001/   ...

Clips that are labelled with a wanted class come before all others, whatever the words of the query
say: "music" means music, not the gong of a temple in a caption.

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
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from statistics import median
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

SEGMENT_CLIPS = 50_000
_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\w\w+")
_STOP_WORDS = frozenset(STOPWORDS_EN)
_HEAD = "library.json"
_LABELLED = "labelled.npy"


@dataclass(frozen=True)
class SearchResult:
    """A clip and how well it fits the query (any scale; higher is better).

    ``rank``: of the first wanted class that it is labelled with; ``misfit``: its length is not the
    wanted one; ``draw`` orders what is equally good.
    """

    clip: Clip
    rank: int
    score: float
    misfit: bool
    draw: str

    def order(self) -> tuple[int, float, bool, str]:
        return self.rank, -self.score, self.misfit, self.draw


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
    rows: dict[str, list[int]] = defaultdict(list)
    for row, clip in enumerate(clips):
        for name in _classes(clip):
            rows[name].append(row)
    names = sorted(rows)
    np.save(path / _LABELLED, np.array([row for name in names for row in rows[name]], np.int32))
    return {
        "clips": len(clips),
        "words": sum(map(len, texts)),
        "classes": {name: len(rows[name]) for name in names},
        "usual_s": {
            name: round(median(lengths_s), 2)
            for name in names
            if (lengths_s := [s for row in rows[name] if (s := clips[row].duration_s)])
        },
    }


def _classes(clip: Clip) -> list[str]:
    """The classes that a clip is labelled with."""
    found = (ontology().find(label) for label in clip.labels)
    return list(dict.fromkeys(sound.name for sound in found if sound is not None))


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
    def classes(self) -> dict[str, float | None]:
        """The sound classes that some clip is labelled with, and how long such clips usually are,
        where it is known."""
        found: dict[str, float | None] = {}
        for segment in self._segments:
            found.update(
                {name: segment.usual_s.get(name, found.get(name)) for name in segment.classes}
            )
        return found

    def search(
        self,
        query: str,
        k: int = 3,
        among: int = 30,
        seed: str = "",
        length_s: float | None = None,
        classes: Sequence[str] = (),
    ) -> list[SearchResult]:
        """The ``k`` best clips, best first: those labelled with the first of ``classes``, with
        another of them, then what the words of the query find.

        Of equally good clips (a thousand barks that are labelled "dog bark" and no more) those
        between half and twice ``length_s`` come first, then in an order drawn from ``seed``, or
        every scene would get the same ones. With a re-ranker the best ``among`` by words are ranked
        by words and meaning together.
        """
        words = tokens(query)
        if not (words or classes) or not self._segments:
            return []
        pool = max(k, among)
        statistics = _statistics(words, self._segments)
        scored: list[SearchResult] = []
        for segment in self._segments:
            rng = generator("search", seed, segment.first)
            labelled = segment.labelled(classes[:1], pool, rng)
            labelled += segment.labelled(classes[1:], pool, rng)
            for row in dict.fromkeys([*labelled, *segment.propose(words, pool, rng)]):
                clip = self._clips[row]
                score = statistics.score(tokens(clip_text(clip)))
                fits = length_s is None or 0.5 <= (clip.duration_s or 0.0) / length_s <= 2.0
                scored.append(
                    SearchResult(
                        clip, _rank(clip, classes), round(score, 6), not fits,
                        digest(seed, clip.id),
                    )
                )  # fmt: skip
        best = sorted(scored, key=SearchResult.order)[:pool]
        if self._reranker is not None and best:
            texts = [clip_text(candidate.clip) for candidate in best]
            best = _fused(best, self._reranker.scores(query, texts))
        return best[:k]


def _rank(clip: Clip, classes: Sequence[str]) -> int:
    """0: labelled with the first of the classes; 1: with another of them; 2: with none."""
    names = _classes(clip)
    return 2 if set(names).isdisjoint(classes) else 1 - (classes[0] in names)


def _fused(best: Sequence[SearchResult], meaning: npt.NDArray[np.float32]) -> list[SearchResult]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009, k = 60) of both rankings; labels
    still come first."""
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
    """Clips ``first`` to ``first + clips`` of a library, their arrays mapped when first needed.

    ``classes``: how many clips of each there are; ``usual_s``: their median length.
    """

    folder: Path
    first: int
    clips: int
    words: int
    classes: Mapping[str, int]
    usual_s: Mapping[str, float]

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

    def labelled(self, classes: Sequence[str], k: int, rng: np.random.Generator) -> list[int]:
        """Up to ``k`` clips that are labelled with one of the classes; a draw of more."""
        spans = [self._spans[name] for name in classes if name in self._spans]
        count = sum(map(len, spans))
        if not count:
            return []
        drawn = np.arange(count) if count <= k else rng.choice(count, k, replace=False)
        ends = np.cumsum([len(span) for span in spans])
        which = np.searchsorted(ends, drawn, side="right")
        starts = np.array([span.start for span in spans]) - (ends - [len(span) for span in spans])
        return [self.first + int(self._labelled[at]) for at in drawn + starts[which]]

    @cached_property
    def _spans(self) -> dict[str, range]:
        """Where the clips of each class lie in `_labelled`."""
        ends = list(itertools.accumulate(self.classes.values()))
        return {
            name: range(end - n, end)
            for (name, n), end in zip(self.classes.items(), ends, strict=True)
        }

    @cached_property
    def _labelled(self) -> npt.NDArray[np.int32]:
        array: npt.NDArray[np.int32] = np.load(self.folder / _LABELLED, mmap_mode="r")
        return array

    @cached_property
    def _index(self) -> Any:
        return bm25s.BM25.load(self.folder, mmap=True, show_progress=False)
