"""The intervention policy: which sounds deserve a reply (paper section "Silence").

::

    labels ─▶ nearest row of interventions.tsv upwards ─▶ respond    one of four categories
                                                          borderline the clip is discarded
                                                          (no row)   silent

Where labels disagree the clip is discarded rather than labelled: a film's gunshot, children who
scream at play.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from data_build.chat.client import Answer, ChatClient, ChatRequest
from data_build.chat.prompts import read_prompt
from data_build.drops import Drop, Dropped
from data_build.http_calls import CallFailure
from data_build.records import Clip, PlannedReply
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from soundflow.protocol.tokens import EMOTIONS

STEP = "silence_policy"

Category = Literal["distress", "hazard", "damage", "safety"]
Verdict = Literal["respond", "borderline", "silent"]

# Among these an alarming sound is most likely played, filmed or fun.
HARMLESS_COMPANY = (
    "Music", "Sound reproduction", "Laughter", "Cheering", "Applause", "Children playing",
    "Fireworks",
)  # fmt: skip


Report = Callable[[Drop], None]
PROMPT = Path(__file__).parent / "prompts" / "intervention.v1.md"
_LANGUAGES = {"en": "English", "zh": "Mandarin Chinese"}

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["respond", "borderline", "silent"]},
        "reason": {"type": "string", "maxLength": 300},
        "category": {"enum": ["distress", "hazard", "damage", "safety"]},
        "reply": {"type": "string", "minLength": 1, "maxLength": 160},
        "emotion": {"enum": list(EMOTIONS)},
    },
    "required": ["verdict", "reason"],
    "if": {"properties": {"verdict": {"const": "respond"}}},
    "then": {"required": ["category", "reply", "emotion"]},
}


@dataclass(frozen=True)
class Judgement:
    """The judgement on a clip: respond (``category`` and ``reply`` are set) or stay silent.

    ``evidence`` names the classes that decided it; ``made_by`` the rules or the prompt.
    """

    category: Category | None
    reply: PlannedReply | None
    evidence: tuple[str, ...]
    made_by: dict[str, Any] = field(default_factory=lambda: {"name": "rules", "version": 1})

    def __post_init__(self) -> None:
        if (self.category is None) != (self.reply is None):
            raise ValueError(f"category and reply come together, got {self}")


@dataclass(frozen=True)
class _Row:
    verdict: Verdict
    category: Category | None
    emotion: str
    texts: dict[str, str]


def judge(clip: Clip, language: str = "en") -> Judgement:
    """The rule-based judgement on a clip by its labels.

    Raises:
        Dropped: if the labels do not decide it.
    """
    if clip.kind == "speech":
        raise _undecided(clip, "the policy does not cover speech")
    known = ontology()
    named = (known.find(label) for label in dict.fromkeys(clip.labels))
    sounds = [sound for sound in named if sound is not None]
    if not sounds:
        raise _undecided(clip, f"no label that is known: {list(clip.labels)}")
    if any(known.is_a(sound.name, "Speech") for sound in sounds):
        raise _undecided(clip, "holds speech")
    alarming = [sound for sound in sounds if verdict(sound) == "respond"]
    if not alarming:
        unclear = [sound.name for sound in sounds if verdict(sound) == "borderline"]
        if unclear:
            raise _undecided(clip, f"borderline: {', '.join(unclear)}")
        return Judgement(None, None, tuple(sound.name for sound in sounds))
    names = tuple(sound.name for sound in alarming)
    company = [sound.name for sound in sounds if _harmless(sound)]
    if company:
        raise _undecided(clip, f"borderline: {', '.join(names)} amid {', '.join(company)}")
    rows = [row for sound in alarming if (row := _row(sound))]
    if len({row.category for row in rows}) > 1:
        raise _undecided(clip, f"borderline: {', '.join(names)} call for different words")
    text = rows[0].texts.get(language.split("-")[0], rows[0].texts["en"])
    return Judgement(rows[0].category, PlannedReply(text, rows[0].emotion), names)


def model_judgements(
    clips: Iterable[Clip], client: ChatClient, report: Report, language: str = "en"
) -> Iterator[tuple[Clip, Judgement]]:
    """Every clip with the model's judgement, in order; many requests run at once.

    Speech, and clips without label and caption, are dropped without asking.

    Args:
        report: gets a drop for every clip that is left out.
    """
    waiting: deque[Clip] = deque()

    def requests() -> Iterator[ChatRequest]:
        for clip in clips:
            if clip.kind == "speech":
                report(Drop(STEP, clip.id, "the policy does not cover speech", "choice"))
            elif not clip.labels and not clip.caption:
                report(Drop(STEP, clip.id, "neither label nor caption", "choice"))
            else:
                waiting.append(clip)
                yield _request(clip, language)

    for answer in client.map_json(requests()):
        clip = waiting.popleft()
        if isinstance(answer, CallFailure):
            report(answer.drop(STEP, clip.id))
        elif answer["verdict"] == "borderline":
            # The model's reasons are all different; together they are one.
            report(Drop(STEP, f"{clip.id}: {answer['reason']}", "borderline", "choice"))
        else:
            yield clip, _judgement(answer)


def _request(clip: Clip, language: str) -> ChatRequest:
    variables = {
        "labels": clip.labels,
        "caption": clip.caption,
        "duration_s": clip.duration_s,
        "language": _LANGUAGES.get(language, language),
    }
    return ChatRequest(read_prompt(PROMPT), variables, _SCHEMA)


def _judgement(answer: Answer) -> Judgement:
    stamp = read_prompt(PROMPT).stamp()
    if answer["verdict"] == "silent":
        return Judgement(None, None, (answer["reason"],), stamp)
    reply = PlannedReply(answer["reply"].strip(), answer["emotion"])
    return Judgement(answer["category"], reply, (answer["reason"],), stamp)


def _undecided(clip: Clip, reason: str) -> Dropped:
    return Dropped(Drop(STEP, clip.id, reason, "choice"))


def verdict(sound: SoundClass) -> Verdict:
    """The policy's verdict on a class by itself."""
    row = _row(sound)
    return row.verdict if row else "silent"


def _harmless(sound: SoundClass) -> bool:
    return not set(sound.lineage).isdisjoint(HARMLESS_COMPANY)


def _row(sound: SoundClass) -> _Row | None:
    table = _table()
    return next((table[name] for name in sound.lineage if name in table), None)


@lru_cache(maxsize=1)
def _table() -> dict[str, _Row]:
    known: Ontology = ontology()
    table: dict[str, _Row] = {}
    path = Path(__file__).parent / "interventions.tsv"
    with path.open(encoding="utf-8", newline="") as lines:
        wanted = (line for line in lines if not line.startswith("#"))
        for row in csv.DictReader(wanted, delimiter="\t", quoting=csv.QUOTE_NONE):
            name, category = row["class"], row["category"]
            if name not in known.classes or name in table:
                raise ValueError(f"{path.name}: {name!r} is unknown or given twice")
            if row["verdict"] not in get_args(Verdict):
                raise ValueError(f"{path.name}: {name}: verdict {row['verdict']!r}")
            if (category in get_args(Category)) != (row["verdict"] == "respond"):
                raise ValueError(f"{path.name}: {name}: category {category!r}")
            table[name] = _Row(
                verdict=row["verdict"],  # type: ignore[arg-type]
                category=category if category != "-" else None,  # type: ignore[arg-type]
                emotion=row["emotion"],
                texts={"en": row["en"], "zh": row["zh"]},
            )
    return table
