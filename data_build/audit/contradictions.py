"""Contradictions: one context, two labels; and sounds of alarm that are answered only sometimes.

The context of an event is all that a model has been given before its reply: the text before the
stream, and every sound and utterance in order, voices numbered as they appear. Noise is left out.
Two wordings of one reply are one label: each counts among the answers to the other's event.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit, in_order
from data_build.labelling.policy import Policy, policy
from data_build.randomness import digest
from data_build.scenes.ontology import ontology
from soundflow.shards.schema import MixedItem

_SHOWN = 5
_SHOWN_OF_A_CLASS = 2


@dataclass
class _Labels:
    """The labels of one context: replies by ability, silence as None, and a stream of each.

    ``meaning``: all that would be as right as each reply, itself included.
    """

    what: str
    seen: dict[tuple[str, str | None], str] = field(default_factory=dict)
    meaning: dict[str | None, frozenset[str]] = field(default_factory=dict)

    def contradict(self) -> bool:
        """Answered and not answered, or answered otherwise in another ability."""
        texts = {text for _, text in self.seen}
        if None in texts:
            return len(texts) > 1
        return any(
            ability != other and self.meaning[text].isdisjoint(self.meaning[another])
            for ability, text in self.seen
            for other, another in self.seen
        )

    def told(self) -> str:
        labels = "; ".join(
            f"{text or 'silence'} ({where})" for (_, text), where in self.seen.items()
        )
        return f"{self.what}: {labels}"


class Contradictions:
    """Contexts with more than one label.

    Once there are more than ``kept`` contexts, those are looked at whose digest is divisible by a
    power of two that rises with their number: a fixed share of all contexts, each with all of its
    events.
    """

    def __init__(self, limits: AuditLimits, kept: int = 100_000) -> None:
        self._limit = Limit("at_most", limits.contradictions)
        self._contexts: dict[str, _Labels] = {}
        self._kept = kept
        self._one_in = 1
        self._uses = 0

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        if record.kind != "online":
            return
        said = {reply.chunk: reply.text for reply in record.replies}
        as_right = {answer: event.answers for event in record.events for answer in event.answers}
        context = digest(record.system)
        voices: dict[str, int] = {}
        for item in in_order(record):
            what = in_words(item)
            voice = voices.setdefault(item.speaker, len(voices)) if item.text else -1
            context = digest(context, item.track == "ambient", voice, what)
            text = " ".join(said[chunk] for chunk in item.reply_chunks) or None
            if int(context, 16) % self._one_in:
                continue
            labels = self._contexts.setdefault(context, _Labels(what))
            labels.seen.setdefault((record.ability, text), f"{stream.name}, {record.task}")
            answers = [as_right.get(said[chunk], ()) for chunk in item.reply_chunks]
            labels.meaning[text] = frozenset({text or "", *map(" ".join, product(*answers))})
            self._uses += 1
        while len(self._contexts) > self._kept:
            self._one_in *= 2
            self._contexts = {
                context: labels
                for context, labels in self._contexts.items()
                if int(context, 16) % self._one_in == 0
            }

    def figures(self) -> Iterator[Figure]:
        wrong = [labels for labels in self._contexts.values() if labels.contradict()]
        n = len(self._contexts)
        examples = tuple(labels.told() for labels in wrong[:_SHOWN])
        share = f", one in {self._one_in} of all" if self._one_in > 1 else ""
        of = f"{len(wrong)} of {n} contexts{share}, {self._uses} events"
        yield Figure("contradictions", len(wrong) / n if n else 0.0, n, self._limit, of, examples)


class AlarmsAnswered:
    """Whether sounds of danger are answered wherever they occur, also as noise."""

    def __init__(self, limits: AuditLimits, rules: Policy | None = None) -> None:
        self._limit = Limit("at_least", limits.alarms_answered)
        self._rules = rules or policy()
        self._seen: dict[str, Counter[bool]] = defaultdict(Counter)
        self._silent: dict[str, list[str]] = defaultdict(list)

    def add(self, stream: AuditedStream) -> None:
        if stream.record.kind != "online":
            return
        for item in stream.record.items:
            name = self._alarm(item)
            if name is not None:
                self._seen[name][bool(item.reply_chunks)] += 1
                if not item.reply_chunks:
                    self._note(name, f"{name}: {stream.name}, {stream.record.task}")
        for track in stream.record.noise:
            for clip in track.clips:
                self._count_noise(clip.labels, stream)

    def figures(self) -> Iterator[Figure]:
        total = sum(sum(c.values()) for c in self._seen.values())
        answered = sum(c[True] for c in self._seen.values())
        of = f"{total} alarms of {len(self._seen)} classes, {total - answered} not answered"
        few = sorted(self._seen, key=lambda n: min(self._seen[n][True], self._seen[n][False]))
        examples = [text for name in reversed(few) for text in self._silent[name]]
        share = answered / total if total else 1.0
        yield Figure("alarms answered", share, total, self._limit, of, tuple(examples[:_SHOWN]))

    def _alarm(self, item: MixedItem) -> str | None:
        return None if item.text else self._class(item.clip.labels)

    def _class(self, labels: tuple[str, ...]) -> str | None:
        for label in labels:
            sound = ontology().find(label)
            if sound is not None and self._rules.is_danger(sound):
                return sound.name
        return None

    def _count_noise(self, labels: tuple[str, ...], stream: AuditedStream) -> None:
        name = self._class(labels)
        if name is not None:
            self._seen[name][False] += 1
            self._note(name, f"{name} as noise: {stream.name}, {stream.record.task}")

    def _note(self, name: str, example: str) -> None:
        if len(self._silent[name]) < _SHOWN_OF_A_CLASS:
            self._silent[name].append(example)


def in_words(item: MixedItem) -> str:
    """What is said, or the class of a sound; a cue of the recipe is what the recipe calls it."""
    if item.text:
        return f"“{item.text}”"
    known = [ontology().find(label) for label in item.clip.labels]
    names = sorted({sound.name for sound in known if sound is not None})
    return f"{item.what} ({', '.join(names)})" if names else item.what
