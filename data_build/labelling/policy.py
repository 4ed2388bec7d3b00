"""The intervention policy: which sounds deserve a reply that nobody asked for (paper: "Silence").

::

    cues of the recipe ─▶ its own policy file ─▶ interventions.tsv ─▶ the nearest row upwards:
        respond      the words of one of four categories of danger, or of the cue
        borderline   the clip is discarded
        silent       also where there is no row

Where labels disagree the clip is discarded rather than labelled: a film's gunshot, children who
scream at play. So is a clip whose labels nobody has judged.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from data_build.drops import Drop, Dropped, unanswered
from data_build.records import Clip, Judgement, PlannedReply, Verdict
from data_build.scenes.ontology import SoundClass, ontology
from data_build.wording.grammar import GrammarFault, literal, parse
from data_build.wording.wording import english_name
from soundflow.endpoints.chat import Answer, ChatClient, ChatRequest
from soundflow.endpoints.http_calls import CallFailure
from soundflow.endpoints.prompts import read_prompt
from soundflow.errors import UserError
from soundflow.protocol.tokens import EMOTIONS

STEP = "silence_policy"
CATEGORIES = ("distress", "hazard", "damage", "safety")
TABLE = Path(__file__).parent / "interventions.tsv"
_COLUMNS = ("class", "verdict", "category", "emotion", "words", "reason")
# Among these an alarming sound is most likely played, filmed or fun.
HARMLESS_COMPANY = (
    "Music", "Sound reproduction", "Laughter", "Cheering", "Applause", "Children playing",
    "Fireworks",
)  # fmt: skip


Report = Callable[[Drop], None]
PROMPT = Path(__file__).parent / "prompts" / "intervention.v3.md"

_SENTENCE = {"type": "string", "minLength": 1, "maxLength": 160}


def _schema(languages: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["respond", "borderline", "silent"]},
            "reason": {"type": "string", "maxLength": 300},
            "category": {"enum": list(CATEGORIES)},
            "replies": {
                "type": "object",
                "properties": dict.fromkeys(languages, _SENTENCE),
                "required": list(languages),
            },
            "emotion": {"enum": list(EMOTIONS)},
        },
        "required": ["verdict", "reason"],
        "if": {"properties": {"verdict": {"const": "respond"}}},
        "then": {"required": ["category", "replies", "emotion"]},
    }


@dataclass(frozen=True)
class Row:
    """A row of the policy: a verdict and, where it is "respond", the reply.

    The text of the reply is a line of the grammar (`data_build.wording`).
    """

    verdict: Verdict
    category: str = ""
    reply: PlannedReply | None = None
    by: str = "rules"


@dataclass(frozen=True)
class Policy:
    """The policy of a build.

    Attributes:
        rows: class of the ontology, or a label of the user's own that names none -> row.
        cues: name of a cue -> its reply, None if it deserves none.
    """

    rows: Mapping[str, Row]
    cues: Mapping[str, PlannedReply | None]

    def judgement(self, clip: Clip) -> Judgement:
        """The judgement on a sound: the one that it carries, or the one by its labels.

        Raises:
            Dropped: if its labels do not decide it.
        """
        return clip.judgement or self.judge(clip)

    def judge(self, clip: Clip) -> Judgement:
        """The judgement by the labels alone; without any, by the classes that the caption names.

        Raises:
            Dropped: if they do not decide it.
        """
        if clip.kind == "speech":
            raise _undecided(clip, "the policy does not cover speech")
        sounds, own = _known(clip), [self.rows[n] for n in clip.labels if n in self.rows]
        if not sounds and not own:
            raise _undecided(clip, f"no label that the policy knows: {list(clip.labels)}")
        if any("Speech" in sound.lineage for sound in sounds):
            raise _undecided(clip, "holds speech")
        rows = {sound.name: row for sound in sounds if (row := self._row(sound))}
        rows |= {n: self.rows[n] for n in clip.labels if n in self.rows}
        alarming = {name: row for name, row in rows.items() if row.verdict == "respond"}
        if not alarming:
            unclear = [name for name, row in rows.items() if row.verdict == "borderline"]
            if unclear:
                raise _undecided(clip, f"borderline: {', '.join(unclear)}")
            by = next((row.by for row in rows.values()), "rules")
            evidence = tuple(sound.name for sound in sounds) or clip.labels
            return Judgement(evidence=evidence, made_by={"name": by, "version": 2})
        names = tuple(alarming)
        company = [sound.name for sound in sounds if _harmless(sound)]
        if company and any(row.category for row in alarming.values()):
            raise _undecided(clip, f"borderline: {', '.join(names)} amid {', '.join(company)}")
        if len({row.category for row in alarming.values()}) > 1:
            raise _undecided(clip, f"borderline: {', '.join(names)} call for different words")
        first = alarming[names[0]]
        made_by = {"name": first.by, "version": 2}
        return Judgement(first.reply, first.category, names, made_by)

    def cued(self, clip: Clip) -> bool:
        """Whether a cue of the recipe says what the sounds of this clip deserve."""
        names = [*clip.labels, *(name for sound in _known(clip) for name in sound.lineage)]
        return any(name in self.rows and self.rows[name].by == "cues" for name in names)

    def harmless(self, clip: Clip) -> bool:
        """Whether a noise may lie under any stream: no class that it names calls for a reply."""
        rows = [self.rows[n] for n in clip.labels if n in self.rows]
        rows += [row for sound in _known(clip) if (row := self._row(sound))]
        return all(row.verdict == "silent" for row in rows)

    def verdict(self, sound: SoundClass) -> Verdict:
        """The verdict on a class by itself."""
        row = self._row(sound)
        return row.verdict if row else "silent"

    def _row(self, sound: SoundClass) -> Row | None:
        return next((self.rows[name] for name in sound.lineage if name in self.rows), None)


@dataclass(frozen=True)
class CuedSound:
    """A cue whose sound has a label: the reply to it holds for every sound of that label."""

    name: str
    label: str | None
    reply: PlannedReply | None


def policy(cues: Iterable[CuedSound] = (), file: str | None = None) -> Policy:
    """The policy of the project, extended and overridden by a file, and both by the cues.

    Cues of one class that disagree leave other sounds of that class undecided.

    Raises:
        UserError: if the file is missing or a row of it is wrong.
    """
    rows = dict(_built_in())
    if file is not None:
        rows |= _read(Path(file), own=True)
    cued: dict[str, list[PlannedReply | None]] = {}
    replies = {cue.name: cue.reply for cue in cues}
    for cue in cues:
        if cue.label is not None:
            known = ontology().find(cue.label)
            cued.setdefault(known.name if known else cue.label, []).append(cue.reply)
    for name, given in cued.items():
        reply = given[0]
        if any(other != reply for other in given):
            rows[name] = Row("borderline", by="cues")
        elif reply is None:
            rows[name] = Row("silent", by="cues")
        else:
            category = rows[name].category if name in rows else ""
            rows[name] = Row("respond", category, reply, by="cues")
    return Policy(rows, replies)


def judged(
    clips: Iterable[Clip],
    rules: Policy,
    client: ChatClient | None,
    report: Report,
    languages: Sequence[str],
) -> Iterator[Clip]:
    """The clips with their judgements; undecided ones are left out.

    Args:
        client: the chat model that judges; None: the rules do. A cue of the recipe needs neither.
        report: gets a drop for every clip that is left out.
        languages: in which streams may be; the model writes a reply in each.
    """
    clips = list(clips)
    if client is not None:
        cued = [clip for clip in clips if rules.cued(clip)]
        others = [clip for clip in clips if not rules.cued(clip)]
        for clip, judgement in model_judgements(others, client, report, languages):
            yield replace(clip, judgement=judgement)
        clips = cued
    for clip in clips:
        try:
            yield replace(clip, judgement=rules.judge(clip))
        except Dropped as dropped:
            report(dropped.drop)


def model_judgements(
    clips: Iterable[Clip], client: ChatClient, report: Report, languages: Sequence[str]
) -> Iterator[tuple[Clip, Judgement]]:
    """Every clip with the model's judgement, in order; many requests run at once.

    Speech, and clips without label and caption, are dropped without asking.

    Args:
        report: gets a drop for every clip that is left out.
        languages: of the replies; the first is that of most streams.
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
                yield _request(clip, languages)

    for answer in client.map_json(requests()):
        clip = waiting.popleft()
        if isinstance(answer, CallFailure):
            report(unanswered(answer, STEP, clip.id))
        elif answer["verdict"] == "borderline":
            # The model's reasons are all different; together they are one.
            report(Drop(STEP, f"{clip.id}: {answer['reason']}", "borderline", "choice"))
        else:
            yield clip, _judgement(answer, languages)


def _request(clip: Clip, languages: Sequence[str]) -> ChatRequest:
    variables = {
        "labels": clip.labels,
        "caption": clip.caption,
        "duration_s": clip.duration_s,
        "languages": {code: english_name(code) for code in languages},
    }
    return ChatRequest(read_prompt(PROMPT), variables, _schema(languages))


def _judgement(answer: Answer, languages: Sequence[str]) -> Judgement:
    stamp = read_prompt(PROMPT).stamp()
    if answer["verdict"] == "silent":
        return Judgement(evidence=(answer["reason"],), made_by=stamp)
    texts = {code: literal(answer["replies"][code].strip()) for code in languages}
    reply = PlannedReply(texts[languages[0]], answer["emotion"])
    return Judgement(reply, answer["category"], (answer["reason"],), stamp, texts)


def _undecided(clip: Clip, reason: str) -> Dropped:
    return Dropped(Drop(STEP, clip.id, reason, "choice"))


def _known(clip: Clip) -> list[SoundClass]:
    """The classes that the labels name; those of the caption where there are no labels."""
    known = ontology()
    if clip.labels:
        found = (known.find(label) for label in dict.fromkeys(clip.labels))
        return [sound for sound in found if sound is not None]
    words = clip.caption.lower().strip(" .").split()
    runs = (words[i : i + n] for n in (4, 3, 2, 1) for i in range(len(words) - n + 1))
    found = (known.find(" ".join(run)) for run in runs)
    return list(dict.fromkeys(sound for sound in found if sound is not None))


def _harmless(sound: SoundClass) -> bool:
    return not set(sound.lineage).isdisjoint(HARMLESS_COMPANY)


@lru_cache(maxsize=1)
def _built_in() -> dict[str, Row]:
    return _read(TABLE, own=False)


def _read(path: Path, *, own: bool) -> dict[str, Row]:
    """The rows of a table; one of the user's ``own`` may name labels that are no classes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"policy: {path}: cannot be read ({error})", "name a TSV file") from error
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    table: dict[str, Row] = {}
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        fault = _fault(row)
        sound = ontology().find(row["class"]) if not fault else None
        name = sound.name if sound else row["class"]
        if not fault and sound is None and not own:
            fault = "is no class"
        if not fault and name in table:
            fault = "is given twice"
        if fault:
            columns = " ".join(_COLUMNS)
            raise UserError(
                f"policy: {path}: {row.get('class')!r} {fault}",
                f"the columns, between tabs, are: {columns}; see {TABLE}",
            )
        respond = row["verdict"] == "respond"
        table[name] = Row(
            row["verdict"],  # type: ignore[arg-type]
            row["category"] if respond else "",
            PlannedReply(row["words"], row["emotion"]) if respond else None,
            path.name if own else "rules",
        )
    return table


def _fault(row: Mapping[str, str | None]) -> str | None:
    if any(not isinstance(row.get(column), str) for column in _COLUMNS[:-1]):
        return f"lacks one of its {len(_COLUMNS) - 1} columns"
    if row["verdict"] not in get_args(Verdict):
        return f"has the verdict {row['verdict']!r}, not one of {', '.join(get_args(Verdict))}"
    if (row["category"] in CATEGORIES) != (row["verdict"] == "respond"):
        return f"has the category {row['category']!r}; it takes {', '.join(CATEGORIES)}, or -"
    if row["verdict"] == "respond":
        if row["emotion"] not in EMOTIONS or (row["words"] or "-") == "-":
            return "responds: it needs an emotion and words"
        try:
            parse(row["words"] or "")
        except GrammarFault as fault:
            return f"has words that are not of the grammar of data_build/wording: {fault}"
    return None
