"""A planned scene: its sounds, its description, and the rules that make it plausible.

::

    ambient     ░░░░░░░░░░░ rain on the roof ░░░░░░░░░░░░░░░░░░░░░░░░░   the whole scene
    background           ▒▒▒▒ a far dog ▒▒▒        ▒▒ traffic ▒▒         anywhere
    foreground  [doorbell]     [footsteps]    [door]      [speech]       one after another

Every planner's scenes go through `check`: the rules of paper section "Scenario planning" are
stated once, here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from data_build.records import Clip, TrackRole
from data_build.scenes.ontology import (
    TIMES_OF_DAY,
    Ontology,
    Place,
    SoundClass,
    spoken_name,
)

MIN_EVENTS, MAX_EVENTS = 3, 15
MAX_AMBIENT = 2
MAX_SENTENCE_WORDS = 80

# Singular and plural agree with all of them: they qualify the sound, they are no sentence.
_WHERE: dict[TrackRole, tuple[str, ...]] = {
    "foreground": ("close by", "right beside the listener", "clear and near", "a few steps away"),
    "background": ("in the distance", "faint and far off", "somewhere behind", "half masked"),
    "ambient": ("all around", "steady throughout", "as a constant bed", "never stopping"),
}
_TIMES: dict[str, tuple[str, ...]] = {
    "early morning": ("In the early morning", "Early morning, just after dawn,"),
    "morning": ("In the morning", "On a weekday morning"),
    "noon": ("At noon", "Around noon"),
    "afternoon": ("In the afternoon", "Late in the afternoon"),
    "evening": ("In the evening", "One evening"),
    "night": ("At night", "Late at night"),
}

Rule = Literal[
    "form", "count", "known", "ambient", "duration", "order", "exclusion", "place", "role"
]


@dataclass(frozen=True)
class Annotation:
    """The annotation of one clip: id, labels, caption and length."""

    id: str
    labels: tuple[str, ...]
    caption: str = ""
    duration_s: float | None = None

    @staticmethod
    def of(clip: Clip) -> Annotation:
        return Annotation(clip.id, clip.labels, clip.caption, clip.duration_s)


@dataclass(frozen=True)
class SubEvent:
    """One sound of a scene. ``source`` is the annotation it was planned from, if any."""

    sound: str
    role: TrackRole
    duration_s: float
    description: str
    source: str | None = None


@dataclass(frozen=True)
class Scene:
    """A planned scene; foreground events stand in the order in which they happen.

    ``made_by`` names the planner, and the prompt where a chat model planned.
    """

    sentence: str
    location: str
    place: Place
    time_of_day: str
    duration_s: float
    events: tuple[SubEvent, ...]
    made_by: dict[str, Any] = field(default_factory=dict)

    def on(self, role: TrackRole) -> tuple[SubEvent, ...]:
        return tuple(e for e in self.events if e.role == role)


@dataclass(frozen=True)
class Plan:
    """The result of a planner: scenes, and why each other clip is in none of them."""

    scenes: tuple[Scene, ...]
    unused: tuple[tuple[Annotation, str], ...] = ()


def describe(sound: SoundClass, role: TrackRole, caption: str, rng: np.random.Generator) -> str:
    """A brief description: the clip's own caption where it has one, and where the sound is."""
    where = _WHERE[role]
    what = caption.strip().rstrip(".") or spoken_name(sound.name)
    return f"{what}, {where[int(rng.integers(len(where)))]}"


def sentence(
    location: str, time_of_day: str, events: Sequence[SubEvent], rng: np.random.Generator
) -> str:
    """One sentence with place, time of day and the first few things that happen."""
    times = _TIMES[time_of_day]
    when = times[int(rng.integers(len(times)))].rstrip(",")
    bed = ", ".join(spoken_name(e.sound) for e in events if e.role == "ambient")
    acts = [spoken_name(e.sound) for e in events if e.role == "foreground"]
    happens = acts[0] if len(acts) == 1 else f"{', then '.join(acts[:3])}"
    more = " and more" if len(acts) > 3 else ""
    return f"{when} {location}, over {bed}: {happens}{more}."


@dataclass(frozen=True)
class Violation:
    rule: Rule
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


def check(scene: Scene, world: Ontology) -> tuple[Violation, ...]:
    """The faults of a scene; empty for a plausible one."""
    unknown = [e.sound for e in scene.events if e.sound not in world.classes]
    if unknown:
        return tuple(Violation("known", f"{sound!r} is no class") for sound in unknown)
    return (
        *_form(scene),
        *_durations(scene, world),
        *_order(scene, world),
        *_exclusion(scene, world),
        *_places(scene, world),
        *_roles(scene, world),
    )


def _form(scene: Scene) -> Iterator[Violation]:
    words = scene.sentence.split()
    if not 4 <= len(words) <= MAX_SENTENCE_WORDS or "\n" in scene.sentence.strip():
        yield Violation("form", f"not one sentence: {scene.sentence[:60]!r}")
    if not scene.location.strip() or scene.time_of_day not in TIMES_OF_DAY:
        yield Violation(
            "form", f"no location or time of day: {scene.location}, {scene.time_of_day}"
        )
    if scene.place not in ("in", "out"):
        yield Violation("form", f"a scene is inside or outside, not {scene.place!r}")
    if not MIN_EVENTS <= len(scene.events) <= MAX_EVENTS:
        yield Violation("count", f"{len(scene.events)} events")
    if not scene.on("foreground"):
        yield Violation("count", "nothing in the foreground")
    if not 1 <= len(scene.on("ambient")) <= MAX_AMBIENT:
        yield Violation("ambient", f"{len(scene.on('ambient'))} ambient textures")
    for event in scene.events:
        if not event.description.strip():
            yield Violation("form", f"{event.sound} is not described")


def _durations(scene: Scene, world: Ontology) -> Iterator[Violation]:
    # Planned lengths are rounded to 10 ms.
    if scene.duration_s + 0.01 < sum(e.duration_s for e in scene.on("foreground")):
        yield Violation("duration", "the foreground is longer than the scene")
    for event in scene.events:
        if event.role == "ambient":
            if event.duration_s != scene.duration_s:
                yield Violation("ambient", f"{event.sound} does not last the whole scene")
            continue
        shortest, longest = world.classes[event.sound].seconds
        if not 0.5 * shortest <= event.duration_s <= 2.0 * longest:
            yield Violation("duration", f"{event.sound} of {event.duration_s:.2f} s")


def _order(scene: Scene, world: Ontology) -> Iterator[Violation]:
    """An ordered pair must both be in the foreground, since only the foreground has an order."""
    for at, event in enumerate(scene.events):
        before = (world.precedes(other.sound, event.sound) for other in scene.events[:at])
        if world.is_any(event.sound, world.caused) and not any(before):
            yield Violation("order", f"{event.sound} without a cause before it")
    for at, event in enumerate(scene.events):
        for other in scene.events[at + 1 :]:
            if world.precedes(other.sound, event.sound):
                yield Violation("order", f"{other.sound} has to come before {event.sound}")
            elif world.ordered(event.sound, other.sound) and not (
                event.role == other.role == "foreground"
            ):
                yield Violation("order", f"{event.sound} and {other.sound} have an order")


def _exclusion(scene: Scene, world: Ontology) -> Iterator[Violation]:
    for at, event in enumerate(scene.events):
        for other in scene.events[at + 1 :]:
            if world.clashes(event.sound, other.sound):
                yield Violation("exclusion", f"{event.sound} with {other.sound}")


def _places(scene: Scene, world: Ontology) -> Iterator[Violation]:
    """The foreground changes between inside and outside only through a doorway."""
    here: Place = scene.place
    for event in scene.on("foreground"):
        sound = world.classes[event.sound]
        if sound.place != "any":
            if here not in ("any", sound.place):
                yield Violation("place", f"{event.sound} ({sound.place}) without a doorway")
            here = sound.place
        if sound.doorway:
            here = "any"
    for event in scene.events:
        beside = world.classes[event.sound].place
        if event.role != "foreground" and beside not in ("any", scene.place):
            yield Violation("place", f"{event.sound} ({beside}) behind a scene {scene.place}side")


def _roles(scene: Scene, world: Ontology) -> Iterator[Violation]:
    """Every sound is on one track only, and one that suits it."""
    for at, event in enumerate(scene.events):
        if event.role not in world.classes[event.sound].roles:
            yield Violation("role", f"{event.sound} in the {event.role}")
        for other in scene.events[at + 1 :]:
            if other.role != event.role and world.related(event.sound, other.sound):
                yield Violation("role", f"{event.sound} {event.role}, {other.sound} {other.role}")
        if event.role == "ambient" and event.sound in [e.sound for e in scene.events[at + 1 :]]:
            yield Violation("role", f"{event.sound} twice as ambient")
