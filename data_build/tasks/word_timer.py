"""Gives speech the times of its words: of its corpus, or measured once and then from a cache.

::

    Clip ─▶ its corpus has times ───────────────────────────────▶ known
       └──▶ an aligner for its language ─▶ cache ─▶ align ──────▶ measured
                └─ none, and the recipe allows it ─▶ even spread ─▶ assumed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data_build.clip_cache import clip_key
from data_build.drops import Drop, Dropped
from data_build.records import Clip, Word
from data_build.speech.word_times import EVEN, Aligner, Float32, evenly_spread
from soundflow.atomic import write_text
from soundflow.errors import UserError
from soundflow.protocol.timebase import to_samples
from soundflow.text.normalize import primary_language

STEP = "word times"
_Rows = list[tuple[str, float, float]] | None  # text, start, end
_STORED: TypeAdapter[tuple[str, _Rows]] = TypeAdapter(tuple[str, _Rows])  # checksum, words
_LEAST_SAMPLES = to_samples(0.05)  # less is no word, and no window of some models
REMEDY = (
    "name one under speech.aligners (for many languages `base`, a Whisper), or let its words be "
    "spread evenly by speech.allow_even: true"
)


@dataclass(frozen=True)
class WordTimer:
    """Times the words of clips; the same clip gets the same times in any process.

    Attributes:
        samples: gives the samples of a clip before any preprocessing, (n,) float32 at 16 kHz; the
            times are those of these samples.
        aligners: language code -> aligner.
        folder: of the cache, keyed by the samples, the text and the aligner.
        allow_even: whether words of a language without an aligner may be spread evenly.
    """

    samples: Callable[[Clip], Float32]
    aligners: Mapping[str, Aligner]
    folder: Path
    allow_even: bool = False

    def timed(self, clip: Clip) -> Clip:
        """A clip of speech with ``words`` and ``words_by``.

        Raises:
            Dropped: if it cannot be read, or its text cannot be found in its audio.
            UserError: if its language has no aligner.
        """
        if clip.words:
            return clip
        language = clip.language or "en"
        aligner = self.aligners.get(primary_language(language))
        samples = self.samples(clip)
        if aligner is None:
            if not self.allow_even:
                raise UserError(f"{clip.id}: no aligner for language {language!r}", REMEDY)
            return replace(clip, words=evenly_spread(samples, clip.text, language), words_by=EVEN)
        if len(samples) < _LEAST_SAMPLES:
            raise Dropped(Drop(STEP, clip.id, "is too short to hold a word"))
        words = self._aligned(aligner, samples, clip.text, language)
        if words is None:
            raise Dropped(Drop(STEP, clip.id, "its text cannot be found in its audio"))
        return replace(clip, words=words, words_by=aligner.id)

    def _aligned(
        self, aligner: Aligner, samples: Float32, text: str, language: str
    ) -> tuple[Word, ...] | None:
        about = {
            "samples": hashlib.sha256(samples.tobytes()).hexdigest(),
            "text": text,
            "language": language,
            "aligner": aligner.id,
        }
        key = clip_key(about)
        path = self.folder / key[:2] / f"{key}.json"
        try:
            checksum, rows = _STORED.validate_json(path.read_bytes())
        except (OSError, ValidationError):  # not there, or damaged
            checksum, rows = "", None
        if checksum != _checksum(key, rows):
            words = aligner.align(samples, text, language)
            rows = None if words is None else [(w.text, w.start_s, w.end_s) for w in words]
            stored = json.dumps((_checksum(key, rows), rows), ensure_ascii=False)
            write_text(path, stored, synced=False)
        return None if rows is None else tuple(Word(*row) for row in rows)


def _checksum(key: str, rows: _Rows) -> str:
    """Of the words under a key: a changed digit would be another time, and no fault of the JSON."""
    return clip_key({"key": key, "words": rows})
