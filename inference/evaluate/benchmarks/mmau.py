"""MMAU: questions on sounds, music and speech, each with choices, asked in text or aloud.

As published (github.com/Sakshi113/MMAU), the audio beside it::

    mmau-test-mini.json      [{"id", "audio_id": "./test-mini-audios/<id>.wav", "question",
                               "choices", "answer", "task", "difficulty", ...}, ...]

*Text*: question and choices are the instruction of a stream, in which the clip is heard. *Spoken*:
the clip is heard, then the question with its choices read aloud, ``<questions>/<id>.wav``.
*Offline*: the clip is heard to its end, then question and choices are asked in text, in an offline
exchange.

``accuracy`` reads one choice off the reply: the only one that occurs in it word by word, or its
letter. A reply that names none, or several, is wrong; no option is ever drawn at random.
``official_accuracy`` is the rule of the published scorer: all words of the answer occur, and no
word that only other choices have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from annotated_types import Interval

from inference.evaluate.audio_items import length_samples
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import require_columns
from inference.evaluate.settings import BenchmarkConfig
from inference.evaluate.statistics.counts import item_share
from inference.evaluate.statistics.figures import Figure
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Exchange, Item, Summary, Table
from inference.sources.recordings import Recording
from soundflow.audio.files import read_audio
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.text.normalize import VERSION, units

Mode = Literal["text", "spoken", "offline"]
LETTERS = "ABCDEFGH"


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class MmauConfig(BenchmarkConfig):
    """MMAU.

    Attributes:
        data: the JSON file as published; paths in it are relative to its folder.
        modes: how the question is asked.
        questions: a folder with each question read aloud, ``<id>.wav``; for ``spoken``.
        gap_s: silence between clip and spoken question; ``pause_s``: after everything.
    """

    modes: tuple[Mode, ...] = ("text",)
    questions: Path | None = None
    gap_s: Annotated[float, Interval(ge=0, le=10)] = 0.4

    def __post_init__(self) -> None:
        if "spoken" in self.modes and self.questions is None:
            raise ValueError("questions: spoken questions need a folder of recordings")


@dataclass(frozen=True)
class Choices:
    """A question with its choices; ``answer`` is one of them."""

    question: str
    choices: tuple[str, ...]
    answer: str
    task: str
    difficulty: str


@dataclass(frozen=True)
class ChoiceRow:
    """``chosen`` is None where the reply names no choice, or several."""

    id: str
    reply: str
    chosen: str | None
    answer: str
    official: bool
    task: str
    difficulty: str

    @property
    def right(self) -> bool:
        return self.chosen == self.answer


@dataclass(frozen=True)
class MmauTask:
    """See the top of this module."""

    config: MmauConfig
    mode: Mode
    time: TimeBase
    threshold: float | None = None
    lead: str = (
        "Multiple choice. A reply that names no choice, or several, is wrong, and so is a failure."
    )
    row_type: type[ChoiceRow] = field(default=ChoiceRow, repr=False)

    @property
    def name(self) -> str:
        return f"mmau_{self.mode}"

    @property
    def title(self) -> str:
        return f"MMAU, {self.mode} question"

    def items(self) -> list[Item[Choices]]:
        entries = _read(Path(self.config.data))[: self.config.max_items]
        return [self._item(entry) for entry in entries]

    def baselines(self) -> list[Baseline[Choices]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[Choices], outcome: Outcome) -> ChoiceRow:
        asked = item.reference
        reply = "" if outcome.failure is not None else outcome.text
        return ChoiceRow(
            item.id, reply, chosen(reply, asked.choices), asked.answer,
            official_match(reply, asked.answer, asked.choices), asked.task, asked.difficulty,
        )  # fmt: skip

    def summarise(self, rows: Sequence[ChoiceRow]) -> Summary:
        signature = f"mmau:1|{self.mode}|norm:soundflow.v{VERSION}.en|unparsable:wrong"
        figures = {
            "accuracy": _share(rows, lambda r: r.right),
            "official_accuracy": _share(rows, lambda r: r.official),
            "unparsable": _share(rows, lambda r: r.chosen is None),
        }
        tables = tuple(
            Table(
                f"By {name}",
                (name, "questions", "accuracy", "unparsable"),
                tuple(
                    (value, str(len(mine)), _share(mine, lambda r: r.right),
                     _share(mine, lambda r: r.chosen is None))
                    for value in sorted({getattr(r, name) for r in rows})
                    if (mine := [r for r in rows if getattr(r, name) == value])
                ),
            )
            for name in ("task", "difficulty")
        )  # fmt: skip
        return Summary({name: f.signed(signature) for name, f in figures.items()}, tables)

    def right(self, row: ChoiceRow) -> tuple[bool, ...]:
        return (row.right,)

    def predictions(
        self, items: Sequence[Item[Choices]], rows: Sequence[ChoiceRow]
    ) -> tuple[str, str]:
        """The published file with ``model_prediction``, as its scorer reads it."""
        said = {row.id: row.reply for row in rows}
        entries = [e for e in _read(Path(self.config.data)) if str(e["id"]) in said]
        whole = [{**e, "model_prediction": said[str(e["id"])]} for e in entries]
        return f"{self.name}.json", json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

    def _item(self, entry: dict[str, Any]) -> Item[Choices]:
        name, choices = str(entry["id"]), tuple(map(str, entry["choices"]))
        asked = Choices(
            str(entry["question"]), choices, str(entry["answer"]),
            str(entry.get("task", "")), str(entry.get("difficulty", "")),
        )  # fmt: skip
        parts = [Path(self.config.data).parent / str(entry["audio_id"])]
        system: str | None = in_text(asked)
        exchange = None
        if self.mode == "offline":
            system, exchange = None, Exchange(in_text(asked))
        if self.mode == "spoken" and self.config.questions is not None:
            parts.append(self.config.questions / f"{name}.wav")
            system = None
        gap = self.time.samples(self.config.gap_s)
        n = sum(map(length_samples, parts)) + gap * (len(parts) - 1)
        pause_s = self.config.pause_s

        def opened() -> Recording:
            return Recording(name, _joined(parts, gap), system, pause_s=pause_s)

        length = n + self.time.samples(pause_s)
        return Item(name, length, opened, asked, system, exchange)


def mmau_tasks(config: MmauConfig, time: TimeBase) -> list[MmauTask]:
    return [MmauTask(config, mode, time) for mode in config.modes]


def in_text(asked: Choices) -> str:
    """The question as an instruction."""
    lines = [f"({LETTERS[k]}) {_unlettered(choice)}" for k, choice in enumerate(asked.choices)]
    return "\n".join([asked.question, "Answer with one of these choices:", *lines])


def chosen(reply: str, choices: Sequence[str]) -> str | None:
    """The one choice that a reply names; None if it names none, or several."""
    said = f" {' '.join(units(reply))} "
    spelt = {choice: f" {' '.join(units(_unlettered(choice)))} " for choice in choices}
    named = [choice for choice in choices if spelt[choice].strip() and spelt[choice] in said]
    # "car" is not named by "race car" where that is a choice too.
    named = [
        c for c in named if not any(o != c and spelt[c] in spelt[o] for o in named)
    ]  # fmt: skip
    if named:
        return named[0] if len(named) == 1 else None
    letter = re.match(r"\s*(?:\(([A-H])\)|([A-H])(?:[.):]|\s*$))", reply)
    at = LETTERS.index(letter[1] or letter[2]) if letter else len(choices)
    return choices[at] if at < len(choices) else None


def _unlettered(choice: str) -> str:
    """Some versions of the file letter their choices: "(A) man"."""
    return re.sub(r"^\s*\([A-H]\)\s*", "", choice)


def official_match(reply: str, answer: str, choices: Sequence[str]) -> bool:
    """The rule of the published scorer, over sets of words."""
    said, right = _word_set(reply), _word_set(answer)
    others = set().union(*(_word_set(c) for c in choices if _word_set(c) != right)) - right
    return bool(said) and right <= said and not (others & said)


def _word_set(text: str) -> set[str]:
    return set(re.findall(r"\b\w+\b", text.lower()))


def _share(rows: Sequence[ChoiceRow], which: Callable[[ChoiceRow], bool]) -> Figure:
    return item_share([which(r) for r in rows])


def _joined(paths: Sequence[Path], gap: int) -> Iterator[npt.NDArray[np.float32]]:
    for k, path in enumerate(paths):
        if k:
            yield np.zeros(gap, np.float32)
        yield read_audio(path, name=path.name)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        entries = [dict(entry) for entry in json.loads(path.read_text(encoding="utf-8-sig"))]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error!r})", "name the JSON file of MMAU"
        ) from error
    for entry in entries:
        require_columns(path, entry, ["id", "audio_id", "question", "choices", "answer"])
        if entry["answer"] not in entry["choices"]:
            raise UserError(
                f"{path}: {entry['id']}: the answer is none of its choices",
                "only the questions of test-mini have published answers",
            )
    return entries
