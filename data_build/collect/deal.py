"""Which split each item of the sources and texts goes to, by all that it shares with others.

::

    candidates ─▶ recordings ─▶ same_audio (contents, near-duplicates)
         └─▶ keys, strata ─────────┴─▶ SplitAssignment ─▶ Deal: number of the item ─▶ split
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_build.collect.candidates import Candidate, candidates
from data_build.collect.split_assignment import SET_ASIDE, Rule, SplitAssignment
from data_build.collect.traits import ALARM, BENIGN, UNDECIDED, WANTED, traits_of, verdict_of
from data_build.collect.transcripts import CheckedTexts
from data_build.labelling.policy import Policy
from data_build.pools.fingerprint import SameAudio, same_audio
from data_build.pools.identity import same_text, texts_of
from data_build.processes import n_workers
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, Recorded, Unspoken
from data_build.sources.source import ignore
from data_build.tasks.table import needs_of, traits_needed, uses_judged_sounds
from soundflow.errors import UserError

FINGERPRINTS = "fingerprints.npy"
_OPENED_UNSAVED = 5_000  # recordings; reading the beginnings of more than these takes minutes


@dataclass(frozen=True)
class Deal:
    """The result.

    Attributes:
        homes: number of the split of each candidate, or SET_ASIDE.
        recordings: number of the recording of each candidate in ``same``, or -1.
        checked: what the check of the texts has left out.
        notes: what splits share although they should not, and why.
    """

    splits: tuple[str, ...]
    homes: npt.NDArray[np.int64]
    recordings: npt.NDArray[np.int64]
    same: SameAudio
    checked: CheckedTexts
    notes: tuple[str, ...]

    def of(self, number: int, item: Clip | Dialogue) -> tuple[str | None, Clip | Dialogue]:
        """The split of a candidate, None if it has none, and the item with its identity.

        Raises:
            UserError: if the sources have more items than when they were dealt.
        """
        if number >= len(self.homes):
            self.require(number + 1)
        home, at = int(self.homes[number]), int(self.recordings[number])
        if isinstance(item, Clip) and at >= 0:
            content, near = int(self.same.content[at]), int(self.same.near[at])
            item = replace(item, recording=_name(content), near_duplicates=_name(near))
        return None if home == SET_ASIDE else self.splits[home], item

    def require(self, count: int) -> None:
        """Checks that the sources have ``count`` items still.

        Raises:
            UserError: if not.
        """
        if count != len(self.homes):
            raise UserError(
                "the sources have changed while they were read", "run the same command again"
            )


def deal(recipe: BuildRecipe, checked: CheckedTexts, store: Path | None, *, keep: bool) -> Deal:
    """Deals all candidates; reads the sources once, and the beginning of each recording.

    Args:
        checked: what it has quarantined is left out.
        store: the fingerprints of earlier runs.
        keep: whether new ones are added there. If not, and there are many, the audio is left
            unopened and near-duplicates are known from ``store`` alone.

    Raises:
        UserError: if a source or text is missing.
    """
    weights = {name: split.weight for name, split in recipe.splits.items()}
    assignment = SplitAssignment(weights, recipe.seed, _needs(recipe))
    rules = recipe.intervention_policy()
    judged = any(uses_judged_sounds(split.tasks) for split in recipe.splits.values())
    places, recordings, named = dict[Recorded, int](), array("l"), dict[str, bool]()
    for candidate in candidates(recipe, checked, ignore):  # drops are reported with the tables
        _add(assignment, candidate, rules if judged else None)
        item = candidate.item
        audio = item.audio if isinstance(item, Clip) else None
        if isinstance(item, Clip) and isinstance(audio, Recorded):
            begins = Recorded(audio.path, audio.member, audio.start_s)
            recordings.append(places.setdefault(begins, len(places)))
            if item.kind == "speech":
                named[_scope(item)] = named.get(_scope(item), False) or bool(item.speaker)
        else:
            recordings.append(-1)
    several = sum(weight > 0 for weight in weights.values()) > 1
    opened = several and (keep or len(places) <= _OPENED_UNSAVED)
    same = same_audio(list(places), n_workers(recipe.workers), store, keep=keep, opened=opened)
    for number, at in enumerate(recordings):
        for kind, values in (("content", same.content), ("near", same.near)):
            if at >= 0 and values[at]:
                assignment.join(number, f"{kind}\0{values[at]}")
    dealt = assignment.deal()
    notes = _notes(dealt.rules, int((dealt.homes == SET_ASIDE).sum()))
    nameless = sorted(scope for scope, any_named in named.items() if not any_named)
    if several and nameless:
        notes.append(
            f"The sources name no speaker for {', '.join(nameless)}: "
            "one voice may be in more than one split."
        )
    return Deal(
        tuple(recipe.splits),
        dealt.homes,
        np.array(recordings, np.int64),
        same,
        checked,
        tuple(notes),
    )


def _add(to: SplitAssignment, candidate: Candidate, rules: Policy | None) -> None:
    """Adds an item with its keys, apart from those of its audio."""
    item, tables = candidate.item, candidate.tables
    strata = [f"cue {name}" for name in candidate.cues] + ["a cue"] * bool(candidate.cues)
    texts = [f"text\0{text}" for text in texts_of(item)]
    if isinstance(item, Dialogue):
        whole = "\0".join(same_text(turn.user) for turn in item.turns)
        strata += ["dialogues", f"dialogues {item.language}", *traits_of(item)]
        to.add(whole, _scope(item), strata, always=[f"dialogue\0{whole}"], texts=texts)
        return
    always = [f"group\0{item.group}"] if item.group else []
    if isinstance(item.audio, Recorded):
        always.append(f"recording\0{item.audio.path}\0{item.audio.member or ''}")
    what = f"{item.origin.corpus}\0{item.id}"
    if isinstance(item.audio, Unspoken):  # no speaker forbids to divide texts to the last word
        what = f"{same_text(item.text)}\0{same_text(item.translation)}"
        always.append(f"text\0{same_text(item.text)}")
    if rules is not None and tables == ("sounds",):
        verdict = verdict_of(item, rules)
        strata.append(f"verdict {verdict}")
        tables = () if verdict == UNDECIDED else tables
    for table in tables:
        strata.append(table)
        if table == "speech":
            strata.append(f"speech {item.language}")
        elif table == "translated":
            strata.append(f"translated {item.language} {item.translation_language}")
    if item.kind != "speech":
        strata += [f"label {label}" for label in item.labels[:1]]
    speaker = f"speaker\0{item.speaker}" if item.speaker else ""
    to.add(what, _scope(item), strata, always=always, speaker=speaker, texts=texts)


def _scope(item: Clip | Dialogue) -> str:
    if isinstance(item, Dialogue):
        return f"dialogues in {item.language or 'no stated language'}"
    if item.kind != "speech":
        return f"recordings of {item.kind}"
    what = "texts" if isinstance(item.audio, Unspoken) else "speech"
    return f"{what} in {item.language or 'no stated language'}"


def _needs(recipe: BuildRecipe) -> dict[str, set[str]]:
    """Stratum -> the splits whose tasks are impossible without it."""
    needs: dict[str, set[str]] = {}
    for split, config in recipe.splits.items():
        strata: set[str] = {
            need
            for need in needs_of(config.tasks, config.offline)
            if need in ("speech", "translated", "dialogues", "sounds")
        }
        if "judged" in needs_of(config.tasks, config.offline):
            strata |= {f"verdict {ALARM}", f"verdict {BENIGN}"}
        if "cues" in needs_of(config.tasks, config.offline):
            strata |= {f"cue {cue.name}" for cue in recipe.cues}
        strata |= {t for t in traits_needed(config.tasks) if WANTED[t].table == "dialogues"}
        for stratum in strata:
            needs.setdefault(stratum, set()).add(split)
    return needs


_WHY: dict[Rule, str] = {
    "set_aside": "rows whose text another split has are left out, since texts tie its speakers",
    "share_speakers": "divided by text and recording; splits share speakers, since there are too "
    "few of them",
    "recordings": "divided by recording; splits share speakers and texts, since these tie nearly "
    "all of it together",
}


def _notes(rules: dict[str, Rule], set_aside: int) -> list[str]:
    notes = []
    for rule, why in _WHY.items():
        scopes = sorted(scope for scope, used in rules.items() if used == rule)
        if scopes:
            scopes_named = ", ".join(scopes)
            count = f" ({set_aside} rows)" if rule == "set_aside" else ""
            notes.append(f"{scopes_named[0].upper()}{scopes_named[1:]}: {why}{count}.")
    return notes


def _name(number: int) -> str:
    return f"{number:016x}" if number else ""
