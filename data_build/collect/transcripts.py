"""Checks the texts of recordings against what an ASR model hears in them (``sources.N.check``).

::

    recordings of the sources with check ─▶ not heard yet ─▶ ASR, in batches ─▶ heard.sqlite
                    └────────────── text against what was heard ◀──────────────────┘
                                          └─▶ Quarantined: for no split

Transcripts are kept by the content of the audio, so nothing is heard twice, wherever its file lies
and however often a build is interrupted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_build.drops import Drop, Dropped
from data_build.pools.fingerprint import content_of
from data_build.processes import Progress, n_workers, spread
from data_build.randomness import digest
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Recorded
from data_build.sources.audio_refs import audio_source
from data_build.sources.catalogue import read
from data_build.sources.source import ignore
from data_build.speech.asr import AsrModel, Float32
from data_build.speech.gate import misheard
from data_build.speech.setup import SpeechConfig, make_asr_models
from soundflow.atomic import write_text
from soundflow.audio.files import read_recording
from soundflow.errors import UserError
from soundflow.protocol.timebase import to_samples
from soundflow.text.normalize import primary_language

STEP = "check"
HEARD, QUARANTINE = "heard.sqlite", "quarantine.jsonl"
_PER_TASK = 64
_SHORTEST_SAMPLES = to_samples(0.05)


@dataclass(frozen=True)
class Quarantined:
    """A recording whose text is not what is heard.

    Attributes:
        source: number of its source in the recipe.
        id: of the clip.
        wer: word (or character) error rate of what was ``heard`` against the ``text``.
    """

    source: int
    id: str
    path: str
    text: str
    heard: str
    wer: float

    def drop(self) -> Drop:
        about = f"“{self.text}” is heard as “{self.heard}”, WER {self.wer:.2f}"
        return Drop(STEP, f"{self.id} ({about})", "has a text that is not what is heard", "choice")


@dataclass(frozen=True)
class CheckedTexts:
    """The result of the check.

    Attributes:
        quarantined: by number of the source and id of the clip.
        unheard: how many recordings were not heard, since nothing may be transcribed now.
    """

    quarantined: Mapping[tuple[int, str], Quarantined] = field(default_factory=dict)
    unheard: int = 0


@dataclass(frozen=True)
class _Utterance:
    """What is to be heard; ``key`` tells the audio and the model."""

    key: str
    audio: Recorded
    language: str


def check_texts(
    recipe: BuildRecipe, folder: Path, *, hear: bool, progress: Progress
) -> CheckedTexts:
    """Checks every recording of speech of the sources that ask for it.

    Args:
        folder: of the store, and of the list of what is quarantined.
        hear: whether recordings that are not in the store are transcribed; otherwise nothing is
            written either.

    Raises:
        UserError: if a source is missing, or a language has no ASR model.
    """
    if not any(source.check for source in recipe.sources):
        return CheckedTexts()
    models = make_asr_models(recipe.speech)
    utterances = [_utterance(clip, audio, models) for _, clip, audio in _recordings(recipe)]
    stored = hear or (folder / HEARD).exists()
    with closing(_open(folder / HEARD if stored else None)) as store:
        if hear:
            _hear(utterances, recipe, store, progress)
        quarantined, unheard = dict[tuple[int, str], Quarantined](), 0
        for one, (number, clip, audio) in zip(utterances, _recordings(recipe), strict=True):
            row = store.execute("SELECT text FROM heard WHERE key = ?", (one.key,)).fetchone()
            if row is None:
                unheard += 1
            elif row[0] is not None:
                wer = misheard(clip.text, row[0], clip.language or "en", recipe.speech.gate)
                if wer is not None:
                    quarantined[number, clip.id] = Quarantined(
                        number, clip.id, audio.path, clip.text, row[0], round(wer, 4)
                    )
    if hear:
        lines = (json.dumps(asdict(q), ensure_ascii=False) + "\n" for q in quarantined.values())
        write_text(folder / QUARANTINE, "".join(lines))
    return CheckedTexts(quarantined, unheard)


def _hear(
    utterances: list[_Utterance],
    recipe: BuildRecipe,
    store: sqlite3.Connection,
    progress: Progress,
) -> None:
    """Transcribes what the store does not know yet."""
    known = {key for (key,) in store.execute("SELECT key FROM heard")}
    # The same batches whatever is known: what is heard beside a clip may change a transcript.
    batches = [utterances[at : at + _PER_TASK] for at in range(0, len(utterances), _PER_TASK)]
    todo = [batch for batch in batches if any(one.key not in known for one in batch)]
    done, settings = len(batches) - len(todo), (recipe.speech, recipe.prepare.max_s)
    for _, found in spread(_transcribed, todo, n_workers(recipe.workers), _set_up, settings):
        with store:
            store.executemany("INSERT OR IGNORE INTO heard VALUES (?, ?)", found)
        done += 1
        progress("transcripts of sources", done, len(batches))


def read_quarantine(folder: Path) -> list[Quarantined]:
    """What `check_texts` has set aside, the most doubtful first."""
    path = folder / QUARANTINE
    lines = path.read_text().splitlines() if path.exists() else []
    found = [Quarantined(**json.loads(line)) for line in lines]
    return sorted(found, key=lambda one: -one.wer)


def _recordings(recipe: BuildRecipe) -> Iterator[tuple[int, Clip, Recorded]]:
    """The recordings to be checked, each with the number of its source."""
    for number, source in enumerate(recipe.sources):
        if not source.check:
            continue
        for item in read(source, ignore):  # drops are reported with the tables
            if not isinstance(item, Clip) or item.kind != "speech" or not item.text:
                continue
            if isinstance(item.audio, Recorded):
                yield number, item, item.audio


def _utterance(clip: Clip, audio: Recorded, models: Mapping[str, AsrModel]) -> _Utterance:
    language = primary_language(clip.language or "en")
    model = models.get(language)
    if model is None:
        raise UserError(
            f"{clip.id}: no ASR model for language {language!r}, which sources.check needs",
            "name one under speech.asr_models (for many languages `base`)",
        )
    try:
        content = content_of(audio_source(audio))
    except (OSError, UserError, Dropped):
        content = 0  # cannot be read: the build drops it when a stream needs it
    key = digest(content or asdict(audio), audio.start_s, audio.end_s, language, model.id)
    return _Utterance(key, audio, language)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        store = sqlite3.connect(path or ":memory:")
        store.execute("CREATE TABLE IF NOT EXISTS heard (key TEXT PRIMARY KEY, text TEXT)")
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: cannot be used ({error})", "remove the file") from error
    return store


_models: Mapping[str, AsrModel] = {}
_longest_s = 0.0


def _set_up(speech: SpeechConfig, longest_s: float) -> None:
    """Prepares this process for `_transcribed`."""
    global _models, _longest_s
    _models, _longest_s = make_asr_models(speech), longest_s


def _transcribed(batch: list[_Utterance]) -> list[tuple[str, str | None]]:
    """Key and transcript of each; no transcript where the audio is damaged, or too long to use."""
    clips: dict[str, list[tuple[str, Float32]]] = {}
    found: dict[str, str | None] = {}
    for one in batch:
        found[one.key] = None
        try:
            samples = read_recording(
                audio_source(one.audio), start_s=one.audio.start_s, end_s=one.audio.end_s,
                limit_s=_longest_s + 1.0, name=one.audio.path,
            ).samples  # fmt: skip
        except (OSError, UserError, Dropped):
            continue
        if _SHORTEST_SAMPLES <= len(samples) <= to_samples(_longest_s):
            clips.setdefault(one.language, []).append((one.key, samples))
    for language, named in clips.items():
        texts = _models[language].transcribe_all([samples for _, samples in named], language)
        found.update(zip((key for key, _ in named), texts, strict=True))
    return list(found.items())
