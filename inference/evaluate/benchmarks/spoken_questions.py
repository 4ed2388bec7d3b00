"""Spoken questions: Llama Questions, Web Questions, VoiceBench AlpacaEval and SD-QA.

::

    OpenAudioBench      llama_questions/llama_questions.csv     Questions, Answer, audio_filename
                        llama_questions/audios/
                        web_questions/web_questions.csv         question, answers (a; b),
                        web_questions/audios/                   audio_filename
    hlt-lab/voicebench  alpacaeval                              prompt, audio
                        sd-qa                                   prompt, reference, audio

The question is heard, and all replies to it together are the answer; *offline*, it is heard to its
end and then answered, in an offline exchange. A judge says whether it is
right (1 to 5 for AlpacaEval, which has no references). Where there are references, ``contains``
says without a judge whether one of them occurs in the answer, word by word. No reply, a failed item
and an answer without a verdict are wrong (1 of 5), and counted as such beside the score.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import pydantic.dataclasses

from inference.evaluate.audio_items import audio_item
from inference.evaluate.benchmarks.judge import Judge, JudgeConfig, NoVerdict, judge_prompt
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import Row, read_rows, require_columns
from inference.evaluate.settings import BenchmarkConfig, Mode
from inference.evaluate.statistics.counts import item_share, share
from inference.evaluate.statistics.figures import Draws, Figure, mean
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Exchange, Item, Summary, Table
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.text.normalize import VERSION, units

OpenAudioBenchSet = Literal["llama_questions", "web_questions"]
VoiceBenchSet = Literal["alpacaeval", "sd_qa"]
SetName = OpenAudioBenchSet | VoiceBenchSet
CORRECT = {
    "type": "object",
    "properties": {"correct": {"type": "boolean"}},
    "required": ["correct"],
    "additionalProperties": False,
}
GRADE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}
TITLES: dict[SetName, str] = {
    "llama_questions": "Llama Questions",
    "web_questions": "Web Questions",
    "alpacaeval": "VoiceBench AlpacaEval",
    "sd_qa": "VoiceBench SD-QA",
}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class SpokenQuestionsConfig(BenchmarkConfig):
    """What both sources of spoken questions share.

    Attributes:
        judge: who says whether an answer is right; without one, only ``contains`` is measured.
        modes: whether questions are heard in a stream, or as finished recordings.
        system: the instruction; None takes the checkpoint's own.
    """

    judge: JudgeConfig | None = None
    modes: tuple[Mode, ...] = ("streaming",)
    system: str | None = None


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class OpenAudioBenchConfig(SpokenQuestionsConfig):
    """Two sets of OpenAudioBench. ``data`` is its folder ``eval_datas`` as downloaded."""

    sets: tuple[OpenAudioBenchSet, ...] = ("llama_questions", "web_questions")


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class VoiceBenchConfig(SpokenQuestionsConfig):
    """Two sets of VoiceBench.

    Attributes:
        data: the hub id, or a folder with a folder for each subset.
        sd_qa_region: the split of SD-QA.
    """

    data: str = "hlt-lab/voicebench"
    sets: tuple[VoiceBenchSet, ...] = ("alpacaeval", "sd_qa")
    sd_qa_region: str = "usa"


@dataclass(frozen=True)
class Question:
    """``answers`` are alternatives; none where no answer is known."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class AnswerRow:
    """One answer.

    Attributes:
        score: 0 or 1 for right or wrong, 1 to 5 for AlpacaEval; the lowest without a verdict.
        contains: whether an answer occurs in the reply; None where none is known.
        missing: why there is no verdict: no reply, the failure, or what is wrong with the judge.
    """

    question: str
    reply: str
    score: int
    contains: bool | None
    missing: str = ""


@dataclass(frozen=True)
class SpokenQuestionsTask:
    """See the top of this module."""

    config: OpenAudioBenchConfig | VoiceBenchConfig
    of: SetName
    mode: Mode
    time: TimeBase
    judge: Judge | None = field(default=None, repr=False)
    threshold: float | None = None
    lead: str = (
        "Questions that are heard, judged by a chat model. No reply, a failure, and a reply "
        "without a usable verdict are wrong."
    )
    row_type: type[AnswerRow] = field(default=AnswerRow, repr=False)

    @property
    def name(self) -> str:
        return f"{self.of}_{self.mode}"

    @property
    def title(self) -> str:
        return f"{TITLES[self.of]}, {self.mode}"

    @property
    def graded(self) -> bool:
        """Whether verdicts are grades from 1 to 5."""
        return self.of == "alpacaeval"

    def items(self) -> list[Item[Question]]:
        if isinstance(self.config, VoiceBenchConfig):
            found = _voicebench(self.config, self.of)
        else:
            found = _csv(self.config, self.of)
        exchange = Exchange(None) if self.mode == "offline" else None
        return [
            audio_item(
                f"{k:05d}", row.audio, question,
                pause_s=self.config.pause_s, system=self.config.system, exchange=exchange,
            )
            for k, (row, question) in enumerate(found[: self.config.max_items])
        ]  # fmt: skip

    def baselines(self) -> list[Baseline[Question]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[Question], outcome: Outcome) -> AnswerRow:
        question, reply = item.reference, outcome.text
        lowest = 1 if self.graded else 0
        failure = outcome.failure
        contains: bool | None = None
        if question.answers:
            contains = failure is None and occurs(question.answers, reply)
        if failure is not None:
            return AnswerRow(question.text, reply, lowest, contains, str(failure))
        if not reply:
            return AnswerRow(question.text, "", lowest, contains, "no reply")
        if self.judge is None:
            return AnswerRow(question.text, reply, lowest, contains, "no judge")
        variables = {"question": question.text, "answers": question.answers, "reply": reply}
        verdict = self.judge.ask(
            judge_prompt(self._prompt), variables, GRADE if self.graded else CORRECT
        )
        if isinstance(verdict, NoVerdict):
            return AnswerRow(question.text, reply, lowest, contains, verdict.reason)
        grade = int(verdict["score"]) if self.graded else int(verdict["correct"])
        return AnswerRow(question.text, reply, grade, contains)

    def summarise(self, rows: Sequence[AnswerRow]) -> Summary:
        n, draws = len(rows), Draws.of(len(rows))
        figures: dict[str, Figure] = {}
        base = f"{self.of}:1|{self.mode}|no reply, failed, no verdict:lowest"
        if self.judge is not None:
            by = f"{base}|{self.judge.signature(judge_prompt(self._prompt))}"
            if self.graded:
                score = mean([r.score for r in rows], draws)
                figures["score_1_to_5"] = score.signed(by)
            else:
                figures["accuracy"] = item_share([r.score for r in rows]).signed(by)
        if not self.graded:
            words = f"{base}|norm:soundflow.v{VERSION}.en|consecutive words of any answer"
            known = [r.contains is not None for r in rows]
            figures["contains"] = share([bool(r.contains) for r in rows], known, draws).signed(
                words
            )
        missing = [r.missing for r in rows]
        for name, wanted in (("no_reply", "no reply"), ("no_verdict", "judge:")):
            counted = [reason.startswith(wanted) for reason in missing]
            figures[name] = item_share(counted).signed(base)
        reasons = sorted({reason for reason in missing if reason})
        table = Table(
            "Answers without a verdict",
            ("why", "answers"),
            tuple((reason, str(missing.count(reason))) for reason in reasons),
        )
        unjudged = [reason for reason in missing if reason.startswith("judge:")]
        warnings = [
            f"{len(unjudged)} of {n} answers have no verdict and count as wrong, until the same "
            f"command asks for them again ({reason})"
            for reason in unjudged[:1]
        ]
        return Summary(figures, (table,) if reasons else (), tuple(warnings))

    def right(self, row: AnswerRow) -> tuple[bool, ...]:
        return () if self.graded else (bool(row.score if self.judge else row.contains),)

    @property
    def _prompt(self) -> str:
        return "judge_reply" if self.graded else "judge_answer"


def spoken_question_tasks(
    config: OpenAudioBenchConfig | VoiceBenchConfig, time: TimeBase
) -> list[SpokenQuestionsTask]:
    """One for each set and mode; they share the judge."""
    judge = None if config.judge is None else Judge(config.judge)
    return [
        SpokenQuestionsTask(config, of, mode, time, judge)
        for of in config.sets
        for mode in config.modes
    ]


def occurs(answers: Sequence[str], reply: str) -> bool:
    """Whether the words of any answer follow one another in the reply; case and spelling aside."""
    said = f" {' '.join(units(reply))} "
    return any(words and f" {' '.join(words)} " in said for words in map(units, answers))


def _csv(config: OpenAudioBenchConfig, of: SetName) -> list[tuple[Row, Question]]:
    folder = Path(config.data) / of
    path = folder / f"{of}.csv"
    asked, answered = (
        ("Questions", "Answer") if of == "llama_questions" else ("question", "answers")
    )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path}: cannot be read ({error!r})", "name the folder eval_datas of OpenAudioBench"
        ) from error
    require_columns(path, lines[0] if lines else {}, [asked, answered, "audio_filename"])
    found = []
    for line in lines:
        many = line[answered].split(";") if of == "web_questions" else [line[answered]]
        answers = tuple(a.strip() for a in many if a.strip())
        audio = partial(Path, folder / "audios" / line["audio_filename"])
        found.append((Row(line, audio), Question(line[asked], answers)))
    return found


def _voicebench(config: VoiceBenchConfig, of: SetName) -> list[tuple[Row, Question]]:
    subset, split = ("sd-qa", config.sd_qa_region) if of == "sd_qa" else (of, "test")
    local = Path(config.data) / subset
    data = str(local) if local.is_dir() else config.data
    wanted = ["prompt", "reference"] if of == "sd_qa" else ["prompt"]
    return [
        (row, Question(str(row.fields["prompt"]), _references(row) if of == "sd_qa" else ()))
        for row in read_rows(data, wanted, split=split, subset=subset)
    ]


def _references(row: Row) -> tuple[str, ...]:
    found = row.fields["reference"]
    return (found,) if isinstance(found, str) else tuple(map(str, found))
