"""Whether replies have their evidence: known before they begin, audible, and not under a noise."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit
from data_build.compose.masking import HEARD_DB, HEARD_RISE_DB, rises
from data_build.labelling.sounds import nameless
from data_build.records import Clip, Origin, Unspoken
from soundflow.audio.level import is_silent
from soundflow.shards.schema import SourceClip

_SHOWN = 5


class Answers:
    """Replies that begin before the event that they answer could be known, and events that nothing
    answers.
    """

    def __init__(self, limits: AuditLimits) -> None:
        self._limit = Limit("at_most", limits.early_replies)
        self._unanswered_limit = Limit("at_most", limits.unanswered_events)
        self._replies, self._early = 0, list[str]()
        self._events, self._unanswered = 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        time, record = stream.spec.time, stream.record
        waiting = sorted(
            (e for e in record.events if e.must_respond), key=lambda e: e.ready_samples
        )
        self._events += len(waiting)
        for reply in record.replies:
            self._replies += 1
            now = time.decision_time_samples(reply.chunk)
            due = next((e for e in waiting if reply.text in e.answers), None)
            said = f"{stream.name}: {reply.text!r} at {time.seconds(now):.1f} s"
            if due is None:
                self._early.append(f"{said} answers nothing")
                continue
            waiting.remove(due)
            if due.ready_samples > now:
                ready_s = time.seconds(due.ready_samples)
                self._early.append(f"{said} answers what is known at {ready_s:.1f} s")
        self._unanswered += [
            f"{stream.name}: {e.kind} at {time.seconds(e.on_samples):.1f} s, to be answered by "
            f"{e.answers[0]!r}"
            for e in waiting
        ]

    def figures(self) -> Iterator[Figure]:
        for name, wrong, n, what, limit in (
            ("early replies", self._early, self._replies, "replies", self._limit),
            ("unanswered events", self._unanswered, self._events, "events to be answered",
             self._unanswered_limit),
        ):  # fmt: skip
            share, examples = len(wrong) / n if n else 0.0, tuple(wrong[:_SHOWN])
            yield Figure(name, share, n, limit, f"{n} {what}", examples)


class InaudibleEvents:
    """Events where nothing was mixed, or nothing can be heard in the samples: their span is silent,
    or, if nothing else happens in it, no louder anywhere than what goes on all the time.
    """

    def __init__(self, limits: AuditLimits) -> None:
        self._limit = Limit("at_most", limits.inaudible_events)
        self._events, self._inaudible = 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        audio, record = stream.sample.audio(), stream.record
        happening = [item for item in record.items if item.track != "ambient"]
        spans = [(item.on_samples, item.end_samples) for item in happening]
        unheard = {
            item.end_samples
            for item, rise_db in zip(happening, rises(audio, spans), strict=True)
            if rise_db is not None and rise_db < HEARD_RISE_DB
        }
        for event in record.events:
            self._events += 1
            mixed = any(
                item.start_samples <= event.on_samples < item.start_samples + item.n_samples
                for item in record.items
            )
            silent = is_silent(audio[event.on_samples : event.end_samples])
            if not mixed or silent or event.end_samples in unheard:
                at_s = stream.spec.time.seconds(event.on_samples)
                self._inaudible.append(f"{stream.name}: {event.kind} at {at_s:.1f} s")

    def figures(self) -> Iterator[Figure]:
        share = len(self._inaudible) / self._events if self._events else 0.0
        examples = tuple(self._inaudible[:_SHOWN])
        yield Figure(
            "inaudible events", share, self._events, self._limit, f"{self._events} events", examples
        )


class MaskedEvents:
    """Items of streams that can nowhere be heard through what sounds beside them: nowhere as loud
    as all of it (`data_build.compose.masking`), as the builder has measured it in the mix."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limit = Limit("at_most", limits.masked_events)
        self._above_db, self._masked = array("d"), list[str]()

    def add(self, stream: AuditedStream) -> None:
        for item in stream.record.items:
            if item.above_rest_db is None:
                continue
            self._above_db.append(item.above_rest_db)
            if item.above_rest_db < HEARD_DB:
                at_s = stream.spec.time.seconds(item.on_samples)
                level = f"{item.above_rest_db:.1f} dB above the rest"
                self._masked.append(f"{stream.name}: {item.what} at {at_s:.1f} s, {level}")

    def figures(self) -> Iterator[Figure]:
        n = len(self._above_db)
        if n:
            low, middle = np.percentile(self._above_db, (5, 50))
            of = f"{n} sounds; above the rest, median {middle:.0f} dB, 5 % below {low:.0f} dB"
            share, examples = len(self._masked) / n, tuple(self._masked[:_SHOWN])
            yield Figure("masked events", share, n, self._limit, of, examples)


class NameableNoise:
    """Streams inside a planned scene, or in which any sound may be asked about, over a noise that
    has a name of its own."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limit = Limit("at_most", limits.nameable_noise)
        self._streams, self._named = 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        if record.kind != "online" or not (record.scene or record.any_sound):
            return
        self._streams += 1
        named = [c for track in record.noise for c in track.clips if not nameless(_clip(c))]
        if named:
            what = ", ".join(sorted({(c.labels or ("unnamed",))[0] for c in named}))
            self._named.append(f"{stream.name}, {record.task}: {what}")

    def figures(self) -> Iterator[Figure]:
        share = len(self._named) / self._streams if self._streams else 0.0
        of = f"{self._streams} streams in scenes or with questions about any sound"
        yield Figure(
            "nameable noise", share, self._streams, self._limit, of, tuple(self._named[:_SHOWN])
        )


def _clip(source: SourceClip) -> Clip:
    origin = Origin(source.corpus, source.licence, source.attribution)
    return Clip(source.id, "noise", Unspoken(), origin, labels=source.labels)
