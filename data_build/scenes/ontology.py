"""The AudioSet ontology as data: classes of sounds, their places, and which go together.

::

    ontology.tsv   551 classes: name, AudioSet id, parent, place, roles, usual length
    labels.tsv     what data sets call them ("crying_baby")
    rules.tsv      exclusions, order, times of day, evidence, each for whole branches
    settings.tsv   places a scene can happen in, and what belongs there

A hint or rule given for a class holds for everything under it.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from data_build.records import TrackRole
from soundflow.errors import did_you_mean

Place = Literal["in", "out", "any"]
TIMES_OF_DAY = ("early morning", "morning", "noon", "afternoon", "evening", "night")

_FOLDER = Path(__file__).parent
_ROLES: dict[str, TrackRole] = {"f": "foreground", "b": "background", "a": "ambient"}


@dataclass(frozen=True)
class SoundClass:
    """A class of sounds.

    Attributes:
        id: AudioSet's machine id, "" for a class that only groups others.
        place: where such a sound occurs.
        roles: the tracks that it may be on.
        seconds: shortest and longest usual length.
        doorway: whether it leads from inside to outside or back.
        lineage: its own name and those of its parents, upwards.
    """

    name: str
    id: str
    place: Place
    roles: tuple[TrackRole, ...]
    seconds: tuple[float, float]
    doorway: bool
    lineage: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A place a scene can happen in; the tuples hold class names, each with its branch.

    Attributes:
        times: of day.
        ambient, front, behind: what may lie under a scene, happen close by, be heard from afar.
        unwelcome: what does not belong there, even if it is under one of those.
    """

    name: str
    place: Place
    phrase: str
    times: frozenset[str]
    ambient: tuple[str, ...]
    front: tuple[str, ...]
    behind: tuple[str, ...]
    unwelcome: tuple[str, ...]

    @property
    def welcome(self) -> tuple[str, ...]:
        return *self.ambient, *self.front, *self.behind


Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Ontology:
    """Classes by name, other people's labels, and the rules between branches."""

    classes: Mapping[str, SoundClass]
    labels: Mapping[str, str]
    settings: tuple[Setting, ...]
    exclude: Pairs
    before: Pairs
    alike: Pairs
    apart: frozenset[str]
    incidents: frozenset[str]
    caused: frozenset[str]
    when: Mapping[str, frozenset[str]]

    def find(self, label: str) -> SoundClass | None:
        """The class that a label, display name or AudioSet id means, or None."""
        name = self._names.get(_plain(label)) or self._names.get(label)
        return self.classes[name] if name else None

    def is_a(self, name: str, branch: str) -> bool:
        return branch in self.classes[name].lineage

    def is_any(self, name: str, branches: Iterable[str]) -> bool:
        return not set(self.classes[name].lineage).isdisjoint(branches)

    def is_instance(self, name: str, branches: Iterable[str]) -> bool:
        """Whether a class is one of the branches or under it, and no kind of its own there."""
        return any(self.is_a(name, b) and name in self.instances(b) for b in branches)

    def placed(self, name: str) -> bool:
        """Whether a sound belongs in any setting."""
        return any(self.is_instance(name, setting.welcome) for setting in self.settings)

    def related(self, one: str, other: str) -> bool:
        """Whether one is the other or a descendant of it."""
        return self.is_a(one, other) or self.is_a(other, one)

    def under(self, branch: str) -> tuple[str, ...]:
        """The class and everything below it, in the order of the file."""
        return self._branches[branch]

    def excluded(self, one: str, other: str) -> bool:
        """Whether the two never share a scene."""
        return self._holds(self.exclude, one, other) or self._holds(self.exclude, other, one)

    def precedes(self, first: str, second: str) -> bool:
        """Whether ``first`` has to come before ``second`` where both are."""
        return self._holds(self.before, first, second)

    def ordered(self, one: str, other: str) -> bool:
        """Whether one of the two has to come before the other."""
        return self.precedes(one, other) or self.precedes(other, one)

    def evidence(self, name: str) -> tuple[str, ...]:
        """The classes of clips that are an instance of a class, itself first.

        A class is evidence for those above it, unless one on the way is a kind of its own; never
        for its siblings.
        """
        found = dict.fromkeys(self.instances(name))
        found.update(dict.fromkeys(b for a, b in sorted(self.alike) if a in found))
        return tuple(found)

    def instances(self, name: str) -> tuple[str, ...]:
        """The class, and what is under it without being a kind of its own."""
        if name not in self._known_instances:
            above = set(self.classes[name].lineage)
            self._known_instances[name] = tuple(
                below
                for below in self.under(name)
                if self.apart.isdisjoint(set(self.classes[below].lineage) - above)
            )
        return self._known_instances[name]

    def times(self, name: str) -> frozenset[str]:
        """The times of day at which a sound is heard."""
        rows = (self.when[up] for up in self.classes[name].lineage if up in self.when)
        return frozenset(TIMES_OF_DAY).intersection(*rows)

    def clashes(self, one: str, other: str) -> bool:
        """Whether the two never share a scene: they exclude each other, or are two incidents of
        which none leads to the other."""
        both = self.is_any(one, self.incidents) and self.is_any(other, self.incidents)
        return self.excluded(one, other) or (both and not self.ordered(one, other))

    def _holds(self, pairs: Pairs, one: str, other: str) -> bool:
        key = (id(pairs), one, other)
        known = self._answers.get(key)
        if known is None:
            ups = self.classes[one].lineage
            known = any((a, b) in pairs for b in self.classes[other].lineage for a in ups)
            self._answers[key] = known
        return known

    @cached_property
    def _answers(self) -> dict[tuple[int, str, str], bool]:
        return {}

    @cached_property
    def _known_instances(self) -> dict[str, tuple[str, ...]]:
        return {}

    @cached_property
    def _branches(self) -> dict[str, tuple[str, ...]]:
        below: dict[str, list[str]] = {name: [] for name in self.classes}
        for name, sound in self.classes.items():
            for parent in sound.lineage:
                below[parent].append(name)
        return {name: tuple(members) for name, members in below.items()}

    @cached_property
    def _names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in self.classes:
            # "Smoke detector, smoke alarm" is also found by either half.
            for part in (*name.split(","), *re.split(r"\s*\(", name)[:1]):
                names.setdefault(_plain(part), name)
        for name, sound in self.classes.items():
            names[_plain(name)] = name
            if sound.id:
                names[sound.id] = name
        names.update({_plain(label): name for label, name in self.labels.items()})
        return names


# Where the first name of a class does not say what is heard.
_SPOKEN = {"Walk, footsteps": "footsteps"}


def spoken_name(name: str) -> str:
    """The first of a class's names, in lower case, without what is in brackets."""
    if name in _SPOKEN:
        return _SPOKEN[name]
    return re.sub(r"\s*\(.*\)", "", name).split(",")[0].strip().lower()


def place_fault(name: object) -> str | None:
    """What is wrong with the name of a setting, None if there is such one."""
    known = [setting.name for setting in ontology().settings]
    if name in known:
        return None
    tail = did_you_mean(name if isinstance(name, str) else "", known)
    return f"there is no setting {name!r}; {tail}"


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", label.lower()).strip()


@lru_cache(maxsize=1)
def ontology() -> Ontology:
    """The ontology that comes with the package."""
    classes: dict[str, SoundClass] = {}
    for row in _rows("ontology.tsv"):
        parent = classes[row["parent"]] if row["parent"] != "-" else None
        classes[row["name"]] = _sound_class(row, parent)
    rules: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in _rows("rules.tsv"):
        rules[row["rule"]].add((row["first"], row["second"]))
    return Ontology(
        classes=classes,
        labels={row["label"]: row["class"] for row in _rows("labels.tsv")},
        settings=tuple(_setting(row) for row in _rows("settings.tsv")),
        exclude=frozenset(rules["exclude"]),
        before=frozenset(rules["before"]),
        alike=frozenset(rules["alike"]),
        apart=frozenset(name for name, _ in rules["apart"]),
        incidents=frozenset(name for name, _ in rules["incident"]),
        caused=frozenset(name for name, _ in rules["caused"]),
        when={name: frozenset(times.split(", ")) for name, times in rules["when"]},
    )


@dataclass(frozen=True)
class Material:
    """The sound of a class in words, for a sound generator."""

    material: str
    surface: str
    intensity: str


@lru_cache(maxsize=1)
def _materials() -> dict[str, Material]:
    return {
        row["class"]: Material(row["material"], row["surface"], row["intensity"])
        for row in _rows("materials.tsv")
    }


def material(sound: SoundClass) -> Material:
    """The material of the nearest ancestor that has one."""
    table = _materials()
    return next(table[name] for name in sound.lineage if name in table)


def _sound_class(row: dict[str, str], parent: SoundClass | None) -> SoundClass:
    place: Place = "any" if parent is None else parent.place
    for known in ("in", "out", "any"):
        if row["place"] == known:
            place = known
    if row["roles"] != "-" or parent is None:
        roles = tuple(_ROLES[letter] for letter in row["roles"])
    else:
        roles = parent.roles
    if row["seconds"] != "-" or parent is None:
        shortest, longest = map(float, row["seconds"].split("-"))
    else:
        shortest, longest = parent.seconds
    inherited = parent is not None and parent.doorway
    return SoundClass(
        name=row["name"],
        id="" if row["id"] == "-" else row["id"],
        place=place,
        roles=roles,
        seconds=(shortest, longest),
        doorway={"yes": True, "no": False}.get(row["doorway"], inherited),
        lineage=(row["name"], *(parent.lineage if parent else ())),
    )


def _setting(row: dict[str, str]) -> Setting:
    return Setting(
        name=row["name"],
        place="in" if row["place"] == "in" else "out",
        phrase=row["phrase"],
        times=frozenset(TIMES_OF_DAY if row["times"] == "-" else row["times"].split(", ")),
        ambient=_names(row["ambient"]),
        front=_names(row["front"]),
        behind=_names(row["behind"]),
        unwelcome=_names(row["unwelcome"]),
    )


def _names(field: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in field.split(";"))


def _rows(file: str) -> list[dict[str, str]]:
    with (_FOLDER / file).open(encoding="utf-8", newline="") as lines:
        rows = (line for line in lines if not line.startswith("#"))
        return list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))
