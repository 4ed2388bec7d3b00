"""LibriSpeech: word error rate, and how long after a word was spoken it is written.

As published (openslr.org/12), or as on the hub (``openslr/librispeech_asr``)::

    LibriSpeech/test-clean/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac
                                               <speaker>-<chapter>.trans.txt     ID TEXT

Word times are those of the published alignments, one file a chapter beside them or elsewhere::

    <speaker>-<chapter>.alignment.txt      ID ",GO,,DO,YOU," "0.490,0.890,1.270,1.380,1.490"

A reference is compared with all replies to its recording. *Streaming* asks for words while they are
spoken, in a stream; *offline* hears the recording to its end and is then asked for the transcript,
in an offline exchange.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import jiwer
import numpy as np
import pydantic.dataclasses

from inference.evaluate.audio_items import audio_item
from inference.evaluate.benchmarks.emission import emitted
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import Row, read_rows
from inference.evaluate.settings import BenchmarkConfig, Mode
from inference.evaluate.statistics.counts import item_share
from inference.evaluate.statistics.figures import Draws, Figure, quantiles, ratio
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Exchange, Item, Summary
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.text.normalize import VERSION, units
from soundflow.text.wer import count_errors

Split = Literal["test-clean", "test-other", "dev-clean", "dev-other"]
INSTRUCTIONS: dict[Mode, str] = {
    "streaming": "Transcribe the speech as it is spoken.",
    "offline": "Transcribe the speech.",
}
QUANTILES = (0.5, 0.9)


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class LibriSpeechConfig(BenchmarkConfig):
    """LibriSpeech.

    Attributes:
        data: the folder ``LibriSpeech`` as published, or the id of a hub repository.
        alignments: a folder with the published word alignments; without it no delay is measured.
        instructions: what each mode is asked: the instruction of the stream, or the question. The
            modes that are named are measured.
        pause_s: silence after every recording, in which the rest can be written.
    """

    splits: tuple[Split, ...] = ("test-clean", "test-other")
    instructions: dict[Mode, str] = field(default_factory=lambda: dict(INSTRUCTIONS))
    alignments: Path | None = None


@dataclass(frozen=True)
class Spoken:
    """A transcript; ``words`` with the time at which each ends, where it is known."""

    text: str
    words: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class TranscriptRow:
    """Edits against the transcript, and the delay of every word that is right."""

    substitutions: int
    deletions: int
    insertions: int
    reference_units: int
    delays_s: tuple[float, ...]
    failed: bool


@dataclass(frozen=True)
class LibriSpeechTask:
    """See the top of this module."""

    config: LibriSpeechConfig
    split: Split
    mode: Mode
    time: TimeBase
    threshold: float | None = None
    lead: str = (
        "Word error rate after levelling spelling and numerals, over all reference words. The "
        "delay is from the end of a spoken word to its emission, over the words that are right."
    )
    row_type: type[TranscriptRow] = field(default=TranscriptRow, repr=False)

    @property
    def name(self) -> str:
        return f"librispeech_{self.split}_{self.mode}".replace("-", "_")

    @property
    def title(self) -> str:
        return f"LibriSpeech {self.split}, {self.mode}"

    def items(self) -> list[Item[Spoken]]:
        asked = self.config.instructions[self.mode]
        offline = self.mode == "offline"
        system, exchange = (None, Exchange(asked)) if offline else (asked, None)
        return [
            audio_item(
                name,
                row.audio,
                spoken,
                pause_s=self.config.pause_s,
                system=system,
                exchange=exchange,
            )
            for name, row, spoken in self._utterances()[: self.config.max_items]
        ]

    def baselines(self) -> list[Baseline[Spoken]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[Spoken], outcome: Outcome) -> TranscriptRow:
        found = count_errors(item.reference.text, outcome.text)
        words = item.reference.words if self.mode == "streaming" else ()
        return TranscriptRow(
            found.substitutions, found.deletions, found.insertions, found.reference_units,
            tuple(word_delays(words, outcome)), outcome.failure is not None,
        )  # fmt: skip

    def summarise(self, rows: Sequence[TranscriptRow]) -> Summary:
        draws = Draws.of(len(rows))
        words = [r.reference_units for r in rows]
        rates = {
            "wer": ratio(
                [r.substitutions + r.deletions + r.insertions for r in rows], words, draws
            ),
            "substitution_rate": ratio([r.substitutions for r in rows], words, draws),
            "deletion_rate": ratio([r.deletions for r in rows], words, draws),
            "insertion_rate": ratio([r.insertions for r in rows], words, draws),
        }
        failed = item_share([r.failed for r in rows])
        signature = (
            f"librispeech:1|{self.split}|{self.mode}|norm:soundflow.v{VERSION}.en(whisper)|"
            f"jiwer:{_version()}|failed:what came before counts|chunk:{self.time.chunk_s:g}s"
        )
        timed = self.mode == "streaming" and self.config.alignments is not None
        figures = {**rates, **(_delays(rows, draws) if timed else {}), "failed": failed}
        return Summary({name: f.signed(signature) for name, f in figures.items()})

    def right(self, row: TranscriptRow) -> tuple[bool, ...]:
        """Whether the transcript has no error."""
        return (not row.failed and row.substitutions + row.deletions + row.insertions == 0,)

    def _utterances(self) -> list[tuple[str, Row, Spoken]]:
        folder = Path(self.config.data)
        published = [
            folder / self.split, *([folder] if folder.name == self.split else [])
        ]  # fmt: skip
        found = [u for place in published if place.is_dir() for u in _chapters(place)]
        if not found:
            subset, of = self.split.split("-")[1], self.split.split("-")[0]
            name = "validation" if of == "dev" else of
            rows = read_rows(self.config.data, ["text"], split=name, subset=subset)
            found = [
                (str(r.fields.get("id", k)), r, str(r.fields["text"])) for k, r in enumerate(rows)
            ]
        times = read_alignments(self.config.alignments) if self.config.alignments else {}
        return [(name, row, Spoken(text, times.get(name, ()))) for name, row, text in found]


def librispeech_tasks(config: LibriSpeechConfig, time: TimeBase) -> list[LibriSpeechTask]:
    return [
        LibriSpeechTask(config, split, mode, time)
        for split in config.splits
        for mode in config.instructions
    ]


def _delays(rows: Sequence[TranscriptRow], draws: Draws) -> dict[str, Figure]:
    delays = np.array([d for r in rows for d in r.delays_s], np.float64)
    of = np.array([k for k, r in enumerate(rows) for _ in r.delays_s], np.int64)
    names = [f"word_delay_p{100 * q:.0f}_s" for q in QUANTILES]
    found = dict(zip(names, quantiles(delays, of, QUANTILES, draws), strict=True))
    sums, counts = [sum(r.delays_s) for r in rows], [len(r.delays_s) for r in rows]
    return {**found, "word_delay_mean_s": ratio(sums, counts, draws)}


def word_delays(words: Sequence[tuple[str, float]], outcome: Outcome) -> list[float]:
    """Emission minus end of the spoken word, in seconds, for the words that are right.

    Each word is levelled by itself, so a numeral of several words may have no partner; it has no
    delay then.
    """
    spoken = [(unit, end_s) for word, end_s in words for unit in units(word)]
    written = [(unit, word.at_s) for word in emitted(outcome) for unit in units(word.text)]
    if not spoken or not written:
        return []
    aligned = jiwer.process_words(
        " ".join(unit for unit, _ in spoken), " ".join(unit for unit, _ in written)
    )
    return [
        written[part.hyp_start_idx + k][1] - spoken[part.ref_start_idx + k][1]
        for part in aligned.alignments[0]
        if part.type == "equal"
        for k in range(part.ref_end_idx - part.ref_start_idx)
    ]


def read_alignments(folder: Path) -> dict[str, tuple[tuple[str, float], ...]]:
    """Utterance -> (word, end in seconds) of every file ``*.alignment.txt``.

    Raises:
        UserError: if there is none, or a line is of another form.
    """
    found = {}
    for path in sorted(folder.rglob("*.alignment.txt")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match = re.fullmatch(r'(\S+) "([^"]*)" "([^"]*)"\s*', line)
            words = match[2].split(",") if match else []
            ends = match[3].split(",") if match else []
            if not match or len(words) != len(ends):
                raise UserError(f"{path}: line {number} is no alignment", "download it again")
            found[match[1]] = tuple(
                (word, float(end)) for word, end in zip(words, ends, strict=True) if word
            )
    if not found:
        raise UserError(f"{folder}: holds no *.alignment.txt", "name the folder of the alignments")
    return found


def _chapters(folder: Path) -> list[tuple[str, Row, str]]:
    found = []
    for listed in sorted(folder.rglob("*.trans.txt")):
        for line in listed.read_text().splitlines():
            name, _, text = line.partition(" ")
            found.append((name, Row({}, partial(Path, listed.parent / f"{name}.flac")), text))
    return found


def _version() -> str:
    from importlib.metadata import version

    return version("jiwer")
