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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_build.drops import Drop, Dropped
from data_build.labelling.policy_table import Row, built_in_rows, read_rows
from data_build.records import Clip, Judgement, PlannedReply, Verdict
from data_build.scenes.ontology import SoundClass, ontology

STEP = "silence_policy"
# Among these an alarming sound is most likely played, filmed or fun.
HARMLESS_COMPANY = (
    "Music", "Sound reproduction", "Laughter", "Cheering", "Applause", "Children playing",
    "Fireworks",
)  # fmt: skip


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

    def is_danger(self, sound: SoundClass) -> bool:
        """Whether a sound of a class is answered in any case: others only where a cue says so."""
        row = self._row(sound)
        return row is not None and bool(row.category)

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
    rows = dict(built_in_rows())
    if file is not None:
        rows |= read_rows(Path(file), own=True)
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
